"""UR-Net-8 against the published layer list: counts, norms, sizes, reach, other formats."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from models_zoo.ur_net_8.architecture import Norm, UrNet8
from models_zoo.ur_net_8.discriminator import UrDiscriminator


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def alive(network: nn.Module) -> nn.Module:
    """Draw shifts and biases too, so that no wrong one goes unnoticed as 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in network.parameters():
            value += 0.05 * torch.randn(value.shape, generator=generator)
    return network.eval()


# kanshichao/X-Microscopy: UR-Net-8 with a bias in every convolution, scale and shift in each norm.
@pytest.mark.parametrize(("width", "n"), [(64, 81_586_138), (16, 5_104_954), (8, 1_278_218)])
def test_it_has_the_published_number_of_weights(width, n):
    with torch.device("meta"):
        network = UrNet8(width=width)
    assert count(network) == n


def test_its_discriminator_has_the_published_number_of_weights():
    with torch.device("meta"):
        assert count(UrDiscriminator()) == 4_356_673


def test_the_discriminator_judges_images_of_any_size():
    network = UrDiscriminator(width=4)
    for shape in ((64, 64), (90, 131), (20, 30)):
        judged = network(torch.rand(2, 3, *shape), torch.rand(2, 3, *shape))
        assert judged.shape == (2, 1)
        assert torch.isfinite(judged).all()


def test_its_sample_norm_is_torch_s_batch_norm_of_one_image():
    norm, own = nn.BatchNorm2d(5), Norm(5)
    with torch.no_grad():
        for layer in (norm, own):
            layer.weight.copy_(torch.arange(5.0))
            layer.bias.copy_(torch.arange(5.0) - 2)
    values = torch.randn(1, 5, 7, 9) * 30 + 4
    torch.testing.assert_close(own(values), norm.train()(values), atol=1e-4, rtol=1e-5)


def test_its_pixel_norm_is_torch_s_layer_norm_of_the_channels():
    values = torch.randn(2, 6, 4, 5) * 3 + 1
    expected = nn.LayerNorm(6)(values.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(Norm(6, "pixel")(values), expected, atol=1e-5, rtol=1e-5)


def test_a_norm_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="sample, pixel or none"):
        UrNet8(width=2, depth=2, norm="batch")


def test_one_pixel_at_the_bottom_gives_the_shift_and_trains():
    network = UrNet8(width=4)
    bottom = network.down[-1].norm
    nn.init.constant_(bottom.bias, 0.25)
    seen: list[torch.Tensor] = []
    bottom.register_forward_hook(lambda *arguments: seen.append(arguments[2]))
    network.train()(torch.rand(1, 3, 256, 256)).sum().backward()
    assert seen[0].shape == (1, 32, 1, 1)
    torch.testing.assert_close(seen[0], torch.full((1, 32, 1, 1), 0.25))
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("shape", [(250, 301), (1, 1), (3, 64), (256, 256)])
def test_any_size_comes_out_as_it_went_in(shape):
    network = UrNet8(width=2).eval()
    with torch.no_grad():
        output = network(torch.rand(1, 3, *shape))
    assert output.shape == (1, 3, *shape)
    assert torch.isfinite(output).all()


def test_it_starts_near_its_input_with_a_tenth_of_spread():
    image = torch.rand(1, 3, 64, 64)
    for last_gamma in (0.1, 1.0):
        network = UrNet8(width=4, depth=4, last_gamma=last_gamma).eval()
        network.positive = nn.Identity()
        with torch.no_grad():
            added = network(image) - image
        assert float(added.std()) == pytest.approx(last_gamma, rel=0.01)


def test_dropout_is_off_in_use_unless_asked_for():
    image = torch.rand(1, 1, 64, 64)
    for at_inference in (False, True):
        network = UrNet8(width=2, depth=7, channels=1, dropout_at_inference=at_inference)
        alive(network)
        with torch.no_grad():
            assert torch.equal(network(image), network(image)) is not at_inference


def test_images_of_a_batch_do_not_mix():
    network = alive(UrNet8(width=4, depth=4))
    images = torch.rand(3, 3, 40, 40)
    images[1] *= 100
    with torch.no_grad():
        together = network(images)
        for n in range(3):
            torch.testing.assert_close(together[n], network(images[n : n + 1])[0])


@pytest.mark.parametrize("norm", ["pixel", "none"])
@pytest.mark.parametrize("depth", [2, 4])
def test_the_reach_without_a_sample_norm_is_what_it_says(norm, depth):
    """The gradient of a row of the output is 0 farther away than ``reach_px``, and isn't there."""
    network = alive(UrNet8(width=2, depth=depth, norm=norm)).double()
    network.positive = nn.Identity()
    far = []
    for row in range(96, 96 + network.stride):
        image = torch.rand(1, 3, 208, 16, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(image)[:, :, row].sum(), image)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        far.append(max(row - int(rows.min()), int(rows.max()) - row))
    assert max(far) == network.reach_px == 5 * (2**depth - 1)


@pytest.mark.parametrize("norm", ["pixel", "none"])
def test_tiles_with_its_reach_around_them_are_the_whole_image(norm):
    network = alive(UrNet8(width=4, depth=3, norm=norm)).double()
    image = torch.rand(1, 3, 208, 230, dtype=torch.float64)
    step, around = 64, 40  # multiples of the stride of 8; the reach is 35
    tiled = torch.full_like(image, torch.nan)
    with torch.no_grad():
        whole = network(image)
        for y in range(0, 208, step):
            for x in range(0, 230, step):
                top, left = max(y - around, 0), max(x - around, 0)
                tile = network(image[:, :, top : y + step + around, left : x + step + around])
                part = tile[:, :, y - top : y - top + step, x - left : x - left + step]
                tiled[:, :, y : y + step, x : x + step] = part
    assert float((tiled - whole).abs().max()) < 1e-12


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("norm", ["sample", "pixel", "none"])
def test_torchscript_gives_the_same_at_two_sizes(norm):
    network = alive(UrNet8(width=2, norm=norm))
    scripted = torch.jit.script(copy.deepcopy(network))
    for shape in ((64, 96), (51, 34)):
        image = torch.rand(2, 3, *shape)
        with torch.no_grad():
            torch.testing.assert_close(scripted(image), network(image))


@pytest.mark.slow
def test_onnx_gives_the_same_at_sizes_that_do_not_divide(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    network = alive(UrNet8(width=2, depth=3))
    path = tmp_path / "network.onnx"
    free = {0: "batch", 2: torch.export.Dim("y", min=2), 3: torch.export.Dim("x", min=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(2, 3, 50, 61),),
            str(path),
            dynamo=True,
            opset_version=18,
            dynamic_shapes=[free],
            external_data=False,
            verbose=False,
        )
    session = ort.InferenceSession(path)
    for shape in ((64, 96), (33, 47)):
        image = torch.rand(3, 3, *shape)
        with torch.no_grad():
            expected = network(image).numpy()
        (found,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-4)
