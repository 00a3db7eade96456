"""Architectures against their papers' code: layers, names, counts, and what their outputs need."""

from __future__ import annotations

import copy
import importlib.util
import math
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models_zoo.deep_storm.architecture import DeepStormLight
from models_zoo.deep_storm_original.architecture import DeepStorm
from models_zoo.dsir.architecture import DsirAutoencoder

NETWORKS = {
    "light": lambda: DeepStormLight(width=8),
    "original": DeepStorm,
    "dsir": DsirAutoencoder,
    "dsir, published": lambda: DsirAutoencoder(published=True),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def frames(n: int, edge: int = 8) -> torch.Tensor:
    return torch.randn(n, 1, edge, edge, generator=torch.Generator().manual_seed(n))


def used(network: nn.Module) -> nn.Module:
    """Let the norms' running statistics be those of some frames, as after a training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(frames(4))
    return network.eval()


# Deep-STORM, original layout


def test_deep_storm_has_the_published_number_of_weights():
    assert sum(p.numel() for p in DeepStorm().parameters()) == 1_366_208


def test_deep_storm_has_the_published_layers_under_their_names():
    state = DeepStorm().state_dict()
    channels = [1, 32, 64, 128, 512, 128, 64, 32]
    for number, (n_in, n_out) in enumerate(pairwise(channels), start=1):
        assert state[f"F{number}.conv.weight"].shape == (n_out, n_in, 3, 3)
        assert state[f"F{number}.norm.weight"].shape == (n_out,)
        assert f"F{number}.conv.bias" not in state
    assert state["Prediction.weight"].shape == (1, 32, 1, 1)
    assert "Prediction.bias" not in state
    norms = {key.rpartition(".")[0] for key in state if ".norm." in key}
    assert norms == {f"F{number}.norm" for number in range(1, 8)}


def test_deep_storm_s_norms_are_keras_own():
    norms = [m for m in DeepStorm().modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_deep_storm_s_weights_start_orthogonal():
    for module in DeepStorm().modules():
        if isinstance(module, nn.Conv2d):
            matrix = module.weight.detach().flatten(1)
            matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-4, rtol=0)


def test_deep_storm_equals_its_layers_written_out():
    """Keras' layers one by one: box enlargement, conv, norm, ReLU, pool; nearest enlargement."""
    network = used(DeepStorm())
    state = network.state_dict()

    def layer(x: torch.Tensor, number: int) -> torch.Tensor:
        x = nn.functional.conv2d(x, state[f"F{number}.conv.weight"], padding=1)
        name = f"F{number}.norm"
        parts = (state[f"{name}.{p}"][:, None, None] for p in ("running_mean", "running_var"))
        mean, variance = parts
        scale, shift = (state[f"{name}.{p}"][:, None, None] for p in ("weight", "bias"))
        return ((x - mean) / (variance + 1e-3).sqrt() * scale + shift).clamp(min=0)

    def pool(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (-1, 2)).amax(-1).unflatten(-2, (-1, 2)).amax(-2)

    def enlarge(x: torch.Tensor, factor: int) -> torch.Tensor:
        return x.repeat_interleave(factor, -1).repeat_interleave(factor, -2)

    x = enlarge(frames(2), 8)
    for number in (1, 2, 3):
        x = pool(layer(x, number))
    x = layer(x, 4)
    for number in (5, 6, 7):
        x = layer(enlarge(x, 2), number)
    expected = (x * state["Prediction.weight"]).sum(1, keepdim=True).clamp(min=0)
    with torch.no_grad():
        torch.testing.assert_close(network(frames(2)), expected, atol=1e-4, rtol=1e-4)


def test_deep_storm_is_never_negative_in_use_and_may_be_while_it_learns():
    network = used(DeepStorm())
    with torch.no_grad():
        assert network(frames(2)).min() >= 0
        assert network.train()(frames(2)).min() < 0


# DSIR

# leaxp's conv_autoencoder.py: 4 convolutions, 3 transposed ones, norms of 16, 8 and 1 channels.
DSIR_PUBLISHED = {
    "conv1.weight": (16, 1, 3, 3),
    "conv1.bias": (16,),
    "conv2.weight": (8, 16, 3, 3),
    "conv2.bias": (8,),
    "conv3.weight": (8, 8, 3, 3),
    "conv3.bias": (8,),
    "conv4.weight": (1, 8, 3, 3),
    "conv4.bias": (1,),
    "convt1.weight": (8, 8, 2, 2),
    "convt1.bias": (8,),
    "convt2.weight": (8, 16, 2, 2),
    "convt2.bias": (16,),
    "convt3.weight": (16, 8, 2, 2),
    "convt3.bias": (8,),
} | {
    f"bn{number}.{part}": () if part == "num_batches_tracked" else (channels,)
    for number, channels in ((1, 16), (2, 8), (4, 1))
    for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
}


def published_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Give weights of the published names and shapes, with the means of layers that were mixed."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in DSIR_PUBLISHED.items():
        value = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            value = value.abs() * 10 + 5
        elif name.endswith("running_mean"):
            value = value.abs() * 50 + 100
        elif name.endswith("num_batches_tracked"):
            value = torch.tensor(11_000)
        elif name.startswith("bn") and name.endswith("weight"):
            value = value.abs() + 0.5
        state[name] = value
    return state


def test_dsir_takes_exactly_the_published_weights():
    network = DsirAutoencoder(published=True)
    assert {name: tuple(v.shape) for name, v in network.state_dict().items()} == DSIR_PUBLISHED
    network.load_state_dict(published_state(), strict=True)


def test_dsir_published_is_not_dark_whatever_its_running_means():
    network = DsirAutoencoder(published=True).eval()
    network.load_state_dict(published_state())
    with torch.no_grad():
        output = network(frames(3))
    assert output.min() >= 0
    assert (output > 0).float().mean() > 0.05
    assert output.std() > 0.1


def test_dsir_published_runs_as_the_original_does_one_image_at_a_time():
    """The original never calls eval(): its shared norms take the statistics of the batch, of one.

    Written with real batch norms in training mode, shared as in conv_autoencoder.py.
    """
    state = published_state()
    network = DsirAutoencoder(published=True).eval()
    network.load_state_dict(state)
    layers = nn.ModuleDict(
        {
            "conv1": nn.Conv2d(1, 16, 3, padding=1),
            "conv2": nn.Conv2d(16, 8, 3, padding=1),
            "conv3": nn.Conv2d(8, 8, 3, padding=1),
            "conv4": nn.Conv2d(8, 1, 3, padding=1),
            "convt1": nn.ConvTranspose2d(8, 8, 2, stride=2),
            "convt2": nn.ConvTranspose2d(8, 16, 2, stride=2),
            "convt3": nn.ConvTranspose2d(16, 8, 2, stride=2),
            "bn1": nn.BatchNorm2d(16),
            "bn2": nn.BatchNorm2d(8),
            "bn4": nn.BatchNorm2d(1),
        }
    )
    layers.load_state_dict(state)
    layers.train()
    for seed in range(3):
        frame = frames(seed + 1)[:1]
        with torch.no_grad():
            x = nn.functional.interpolate(frame, scale_factor=8, mode="bilinear")
            x = (x - x.mean()) / x.std(unbiased=False)
            for conv, norm in (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn2")):
                x = nn.functional.max_pool2d(torch.relu(layers[norm](layers[conv](x))), 2)
            for conv, norm in (("convt1", "bn2"), ("convt2", "bn1"), ("convt3", "bn2")):
                x = torch.relu(layers[norm](layers[conv](x)))
            expected = torch.relu(layers["bn4"](layers["conv4"](x)))
            torch.testing.assert_close(network(frame), expected, atol=1e-4, rtol=1e-4)


def test_dsir_published_takes_any_scale_of_its_frames():
    network = DsirAutoencoder(published=True).eval()
    network.load_state_dict(published_state())
    with torch.no_grad():
        torch.testing.assert_close(
            network(frames(2) * 350 + 100), network(frames(2)), atol=2e-3, rtol=2e-3
        )


def test_dsir_anew_gives_each_layer_a_norm_of_its_own():
    network = DsirAutoencoder()
    calls: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    with torch.no_grad():
        network(frames(2))
    assert len(calls) == len(set(calls)) == 7
    by_name = {name: tuple(v.shape) for name, v in network.state_dict().items()}
    assert by_name.items() >= DSIR_PUBLISHED.items()


def test_dsir_anew_is_not_dark_in_use_after_learning_the_statistics():
    network = used(DsirAutoencoder())
    with torch.no_grad():
        output = network(frames(3))
    assert output.min() >= 0
    assert (output > 0).float().mean() > 0.05


# All of them


@pytest.mark.parametrize("name", NETWORKS)
def test_a_sample_s_output_does_not_depend_on_its_batch(name):
    network = used(NETWORKS[name]())
    batch = frames(3)
    batch[1] *= 100
    with torch.no_grad():
        together = network(batch)
        for number in range(3):
            alone = network(batch[number : number + 1])[0]
            scale = float(alone.abs().max())
            torch.testing.assert_close(together[number], alone, atol=1e-5 * scale, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_enlarges_odd_shapes_eight_times(name):
    network = used(NETWORKS[name]())
    step = network.stride
    shape = (math.ceil(7 / step) * step, math.ceil(11 / step) * step)
    with torch.no_grad():
        assert network(torch.zeros(2, 1, *shape)).shape == (2, 1, shape[0] * 8, shape[1] * 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_torchscript_gives_the_same(name):
    network = used(NETWORKS[name]())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        scripted = torch.jit.script(copy.deepcopy(network))
    with torch.no_grad():
        expected = network(frames(2, 12))
        torch.testing.assert_close(scripted(frames(2, 12)), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["original", "dsir"])
def test_the_output_lies_where_the_light_is(name):
    """Moving the light by a camera pixel moves the output by 8 fine ones."""
    network = used(NETWORKS[name]())
    frame = torch.zeros(1, 1, 16, 16)
    frame[0, 0, 8, 7] = 5.0
    with torch.no_grad():
        dark = network(torch.zeros_like(frame))
        here = network(frame) - dark
        moved = network(frame.roll((1, 2), (2, 3))) - dark
    inner = slice(32, -32)  # the edges' zeros don't move
    torch.testing.assert_close(
        moved[..., inner, inner],
        here.roll((8, 16), (2, 3))[..., inner, inner],
        atol=1e-4,
        rtol=1e-3,
    )
    rows, columns = np.nonzero(here[0, 0].numpy())
    assert abs((rows.min() + rows.max()) / 2 - 8.5 * 8) <= 8
    assert abs((columns.min() + columns.max()) / 2 - 7.5 * 8) <= 8


@pytest.mark.parametrize("folder", ["deep_storm", "deep_storm_original", "dsir"])
def test_it_needs_torch_only(folder):
    found = importlib.util.find_spec(f"models_zoo.{folder}.architecture")
    assert found is not None
    assert found.origin is not None
    lines = Path(found.origin).read_text(encoding="utf-8").splitlines()
    imports = [
        line.split()[1].split(".")[0] for line in lines if line.startswith(("import", "from"))
    ]
    assert set(imports) <= {"__future__", "torch"} | set(sys.stdlib_module_names)
