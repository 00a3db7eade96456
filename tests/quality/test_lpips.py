"""LPIPS against torchmetrics, with weights of any values in torchvision's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from bridge.errors import ImageError, InputError
from bridge.quality.lpips import open_lpips, untrained_lpips

ALEX = [(64, 11, 4, 2), "R", "M", (192, 5, 1, 2), "R", "M", (384, 3, 1, 1), "R", (256, 3, 1, 1)]
ALEX += ["R", (256, 3, 1, 1), "R", "M"]
VGG_WIDTHS = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512]
VGG = [x for w in VGG_WIDTHS for x in ([w] if w == "M" else [(w, 3, 1, 1), "R"])]


def torchvision_features(name: str) -> nn.Sequential:
    """Lay out torchvision's ``features`` with random weights, as ``pretrained=False`` gives."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for one in ALEX if name == "alexnet" else VGG:
        if isinstance(one, tuple):
            width, kernel, stride, padding = one
            layers.append(nn.Conv2d(channels, width, kernel, stride, padding))
            channels = width
        elif one == "R":
            layers.append(nn.ReLU())
        else:
            layers.append(nn.MaxPool2d(3 if name == "alexnet" else 2, 2))
    return nn.Sequential(*layers)


def save_weights(folder: Path, name: str) -> Path:
    features = torchvision_features(name)
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    state["classifier.6.bias"] = torch.zeros(1000)  # torchvision's has a classifier too
    torch.save(state, folder / f"{name}.pth")
    return folder / f"{name}.pth"


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, np.ndarray]:
    truth = gaussian_filter(np.random.default_rng(0).normal(size=(97, 80)), 1.5).clip(0)
    truth /= truth.max()
    return truth + np.random.default_rng(1).normal(0, 0.05, truth.shape), truth


@pytest.mark.parametrize(("backbone", "name"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_it_is_that_of_torchmetrics(backbone, name, images, tmp_path, monkeypatch):
    """With its own trained heads; torchvision, which isn't needed here, would give the layers."""
    theirs = pytest.importorskip("torchmetrics.functional.image.lpips")
    monkeypatch.setattr(
        theirs, "_get_tv_model_features", lambda net, pretrained: torchvision_features(name)
    )
    reference = theirs._LPIPS(pretrained=True, net=backbone, pnet_rand=True)
    tensors = [torch.tensor(a.clip(0, 1), dtype=torch.float32).expand(1, 3, -1, -1) for a in images]
    with torch.no_grad():
        expected = float(reference(*tensors, normalize=True))
    mine = open_lpips(save_weights(tmp_path, name), backbone=backbone)
    assert mine.distance(*images, data_range=1.0) == pytest.approx(expected, abs=1e-6)
    assert expected > 1e-3


def test_the_range_is_what_makes_white(images):
    """The commonest mistake, images of 0 to 1 where -1 to 1 is expected, can't be made."""
    network = untrained_lpips()
    image, truth = images
    plain = network.distance(image, truth, data_range=1.0)
    assert network.distance(200 * image, 200 * truth, data_range=200) == pytest.approx(
        plain, abs=1e-5
    )
    given, wanted = (
        torch.tensor(2 * a.clip(0, 1) - 1, dtype=torch.float32).expand(1, 3, -1, -1) for a in images
    )
    assert plain == pytest.approx(float(network(given, wanted)), abs=1e-6)
    assert network.distance(truth, truth, data_range=1.0) == 0
    with pytest.raises(TypeError, match="data_range"):
        network.distance(image, truth)
    with pytest.raises(ImageError, match="data range"):
        network.distance(image, truth, data_range=0)


def test_the_untrained_baseline_is_the_same_anywhere(images):
    """The distance by hand from its own features: unit length, squared, added up, averaged."""
    first, again, other = untrained_lpips(), untrained_lpips(), untrained_lpips(seed=1)
    image, truth = images
    value = first.distance(image, truth, data_range=1)
    assert again.distance(image, truth, data_range=1) == value
    assert other.distance(image, truth, data_range=1) != value
    assert first.name == "untrained LPIPS"
    both = torch.stack([torch.tensor(2 * a.clip(0, 1) - 1).float() for a in images])
    expected = 0.0
    for layer in first.features(both[:, None].expand(-1, 3, -1, -1)):
        unit = layer.numpy() / np.linalg.norm(layer.numpy(), axis=1, keepdims=True).clip(1e-9)
        expected += ((unit[0] - unit[1]) ** 2).sum(0).mean()
    assert value == pytest.approx(expected, rel=1e-4)


def test_files_that_hold_something_else_are_named(tmp_path):
    alex = save_weights(tmp_path, "alexnet")
    with pytest.raises(InputError, match="no such file"):
        open_lpips(tmp_path / "none.pth")
    with pytest.raises(InputError, match="Give the backbone that the file is of"):
        open_lpips(alex, backbone="vgg")
    with pytest.raises(InputError, match=r"'lin0\.model\.1\.weight' is missing"):
        open_lpips(alex, heads_path=alex)
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(InputError, match="can't be read as tensors"):
        open_lpips(tmp_path / "text.pth")
    torch.save(nn.Linear(1, 1), tmp_path / "code.pth")
    with pytest.raises(InputError, match="can't be read as tensors"):
        open_lpips(tmp_path / "code.pth")
    with pytest.raises(InputError, match="at least 64"):
        untrained_lpips().distance(np.zeros((32, 32)), np.zeros((32, 32)), data_range=1)
