"""SR3 and flow matching: layers as published, the sampler against closed forms, and seams."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models_zoo.sr3.architecture import Sr3, _Attention, _PixelNorm
from tests.models_zoo.restorers import awake, count, reach_px, written_differences

TARGETS = ("x0", "v", "eps", "flow")


@pytest.fixture(autouse=True)
def fixed_chance():
    torch.manual_seed(0)


def sr3(**options: object) -> Sr3:
    """Make a small one."""
    return Sr3(**{"width": 8, "steps": 2, "samples": 2, **options}).eval()


# Layers


def test_counts_are_those_of_the_published_code_and_of_the_project_compared_with():
    """97.8 M is the size of Janspiry's 16 -> 128 options, 9.73 M that of the STED comparison."""
    colour = {"channels": 3, "outputs": 3}
    with torch.device("meta"):  # counted without memory
        published = Sr3(
            width=64,
            multipliers=(1, 2, 4, 8, 8),
            blocks=2,
            norm="group",
            groups=32,
            attention=True,
            attention_levels=(3,),  # 128 pixels halved three times are 16
            layout="published",
            **colour,
        )
        compared = Sr3(width=32, multipliers=(1, 2, 4, 8), attention=True, layout="published")
    assert count(published) == 97_807_491
    assert count(compared) == 9_734_817


def test_the_slim_one_has_the_weights_it_was_measured_with():
    assert count(Sr3()) == 523_249
    assert count(Sr3(residual=False)) == count(Sr3())


def test_the_pixel_norm_looks_at_one_pixel_s_channels_only():
    norm = _PixelNorm(6)
    features = torch.randn(2, 6, 5, 7)
    values = features.numpy()
    expected = (values - values.mean(axis=1, keepdims=True)) / np.sqrt(
        values.var(axis=1, keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(norm(features).detach().numpy(), expected, atol=1e-5)


def test_attention_is_the_softmax_over_all_pixels():
    """Written out with numpy."""
    attention = _Attention(4, "none", 1)
    features = torch.randn(1, 4, 3, 5)
    flat = features.numpy().reshape(4, 15)
    query, key, value = (attention.ask.weight.detach().numpy()[:, :, 0, 0] @ flat).reshape(3, 4, 15)
    likeness = np.exp(query.T @ key / 2.0)  # 2 is the root of 4 channels
    found = value @ (likeness / likeness.sum(axis=1, keepdims=True)).T
    answer = attention.answer.weight.detach().numpy()[:, :, 0, 0] @ found
    answer += attention.answer.bias.detach().numpy()[:, None]
    expected = features.numpy() + answer.reshape(1, 4, 3, 5)
    np.testing.assert_allclose(attention(features).detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_target_has_scale_times_the_pixels(scale):
    network = sr3(scale=scale)
    assert network.stride == 4 // scale
    edge = 2 * network.stride + 4
    restored, spread = network(
        torch.rand(2, 1, edge, edge), torch.randn(2, 2, scale * edge, scale * edge)
    )
    assert restored.shape == spread.shape == (2, 1, scale * edge, scale * edge)


def test_an_image_of_several_channels_gives_several_outputs():
    network = awake(sr3(channels=3, outputs=2, samples=3))
    restored, spread = network(torch.rand(2, 3, 8, 12), torch.randn(2, 6, 8, 12))
    assert restored.shape == spread.shape == (2, 2, 8, 12)


# Noise levels and targets


def test_noise_levels_are_those_of_sr3_s_two_thousand_steps():
    """Against the product over the steps."""
    kept = np.cumprod(1.0 - np.linspace(1e-6, 1e-2, 2000))
    times = (np.arange(2000) + 1) / 2000
    signal, noise = sr3().noise_levels(torch.from_numpy(times))
    np.testing.assert_allclose(signal.numpy(), np.sqrt(kept), rtol=0.02)
    np.testing.assert_allclose((signal**2 + noise**2).numpy(), 1.0)
    np.testing.assert_allclose(noise.numpy()[100:], np.sqrt(1 - kept)[100:], rtol=0.01)


def test_noise_levels_of_the_flow_are_a_straight_line():
    signal, noise = sr3(target="flow").noise_levels(torch.tensor([0.0, 0.3, 1.0]))
    torch.testing.assert_close(signal, torch.tensor([1.0, 0.7, 0.0]))
    torch.testing.assert_close(noise, torch.tensor([0.0, 0.3, 1.0]))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("time", [0.1, 0.5, 0.9])
def test_a_right_answer_gives_back_what_was_mixed(target, time):
    network = sr3(target=target)
    truth, noise = torch.rand(2, 1, 8, 8), torch.randn(2, 1, 8, 8)
    times = torch.full((2,), time)
    noisy, wanted = network.training_pair(truth, noise, times)
    signal, sigma = (float(share[0]) for share in network.noise_levels(times))
    clean, chance = network._split(wanted, noisy, signal, sigma)
    torch.testing.assert_close(clean, 2 * truth - 1, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(chance, noise, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("target", TARGETS)
def test_before_training_it_makes_the_best_linear_guess(target):
    """Against least squares over many pixels whose targets are the image give or take 0.1."""
    network = sr3(target=target)
    image = torch.rand(1, 1, 200, 200)
    truth = image + 0.1 * torch.randn(image.shape)
    time = torch.tensor([0.2])
    noisy, wanted = network.training_pair(truth, torch.randn(image.shape), time)
    with torch.no_grad():
        said = network.predict(image, noisy, network.noise_levels(time)[0])
    known = np.stack([2 * image.numpy().ravel() - 1, noisy.numpy().ravel()], axis=1)
    weights, left, _, _ = np.linalg.lstsq(known, wanted.numpy().ravel(), rcond=None)
    np.testing.assert_allclose(said.numpy().ravel(), known @ weights, atol=0.05)
    assert float((said - wanted).square().sum()) == pytest.approx(float(left[0]), rel=1e-3)


# Sampling


@pytest.mark.parametrize("target", TARGETS)
def test_an_untrained_network_samples_the_normal_distribution_it_assumes(target):
    """The closed form: the walk ends at the image plus 0.1 times the noise it started from."""
    network = sr3(target=target, steps=200, samples=1)
    image = 0.4 + 0.3 * torch.rand(1, 1, 8, 8)
    noise = torch.randn(1, 1, 8, 8)
    with torch.no_grad():
        restored, spread = network(image, noise)
    np.testing.assert_allclose(restored.numpy(), (image + 0.1 * noise).numpy(), atol=0.012)
    assert not spread.any()


def test_mean_and_spread_are_those_of_the_samples():
    network = awake(sr3(samples=3))
    image, noise = torch.rand(2, 1, 8, 12), torch.randn(2, 3, 8, 12)
    with torch.no_grad():
        restored, spread = network(image, noise)
        alone = [network.draw(image, noise[:, [k, k, k]])[:, 0, 0].numpy() for k in range(3)]
    np.testing.assert_allclose(restored[:, 0].numpy(), np.mean(alone, axis=0), atol=1e-5)
    np.testing.assert_allclose(spread[:, 0].numpy(), np.std(alone, axis=0, ddof=1), atol=1e-5)


def test_equal_noise_gives_equal_samples_and_other_noise_others():
    network = awake(sr3())
    image, noise = torch.rand(1, 1, 8, 8), torch.randn(1, 2, 8, 8)
    with torch.no_grad():
        first, again = network(image, noise)[0], network(image, noise)[0]
        other = network(image, -noise)[0]
    assert torch.equal(first, again)
    assert (first - other).abs().max() > 0.01


@pytest.mark.parametrize(("target", "is_limited"), [("x0", True), ("eps", True), ("v", False)])
def test_samples_stay_in_the_limits_where_one_step_could_leave_them(target, is_limited):
    network = awake(sr3(target=target))
    with torch.no_grad():
        network.last.weight.mul_(20)
        samples = network.draw(torch.rand(1, 1, 16, 16), torch.randn(1, 2, 16, 16))
    is_inside = bool(((samples >= -0.1 - 1e-5) & (samples <= 1.3 + 1e-5)).all())
    assert is_inside == is_limited


# Seams


def in_tiles(network: Sr3, image: Tensor, noise: Tensor, *, core: int, halo: int) -> Tensor:
    """Sample tile by tile, each with its part of the one noise field."""
    whole = torch.zeros_like(image)
    edge = image.shape[3]
    for y in range(0, edge, core):
        for x in range(0, edge, core):
            top, left = max(y - halo, 0), max(x - halo, 0)
            window = np.s_[..., top : y + core + halo, left : x + core + halo]
            tile = network(image[window], noise[window])[0]
            inner = np.s_[..., y - top : y - top + core, x - left : x - left + core]
            whole[..., y : y + core, x : x + core] = tile[inner]
    return whole


@pytest.fixture(scope="module")
def field() -> tuple[Tensor, Tensor]:
    """An image, bright on the right only, and its noise."""
    generator = torch.Generator().manual_seed(5)
    image = torch.rand(1, 1, 128, 128, generator=generator)
    image[..., :64] *= 0.1
    return image, torch.randn(1, 1, 128, 128, generator=generator)


def sampler(**options: object) -> Sr3:
    """Make one whose network adds about 0.08 to the linear guess, as a trained one does."""
    network = awake(sr3(width=16, samples=1, **options))
    with torch.no_grad():
        network.last.weight.mul_(0.2)
    return network


def difference(network: Sr3, field: tuple[Tensor, Tensor], *, halo: int) -> float:
    with torch.no_grad():
        whole = network(*field)[0]
        tiled = in_tiles(network, *field, core=64, halo=halo)
    return float((whole - tiled).abs().max())


@pytest.mark.parametrize("target", ["x0", "flow"])
def test_tiles_with_one_noise_field_have_no_seams(field, target):
    network = sampler(target=target, steps=3)
    assert difference(network, field, halo=36) < 1e-4
    assert difference(network, field, halo=0) > 1e-2


def test_a_single_step_is_exact_at_the_reach(field):
    assert difference(sampler(target="flow", steps=1), field, halo=36) < 1e-5


def test_group_norms_leave_seams_whatever_the_halo(field):
    assert difference(sampler(norm="group", steps=3), field, halo=36) > 1e-2


def test_one_call_sees_no_farther_than_34_pixels():
    network = awake(sr3(width=8))
    noisy, level = torch.zeros(1, 1, 96, 96), torch.tensor([0.5])
    assert 24 <= reach_px(lambda image: network.predict(image, noisy, level), edge_px=96) <= 34


# Packages


@pytest.mark.parametrize(
    "options",
    [
        {"target": "x0"},
        {"target": "flow", "scale": 2},
        {"target": "v", "norm": "group", "attention": True, "layout": "published"},
    ],
    ids=["x0", "flow, x2", "v, published"],
)
def test_written_formats_agree_at_other_sizes(tmp_path, options):
    network = awake(sr3(**options))
    scale = network.scale
    inputs = [
        [torch.rand(1, 1, 12, 16), torch.randn(1, 2, 12 * scale, 16 * scale)],
        [torch.rand(3, 1, 20, 8), torch.randn(3, 2, 20 * scale, 8 * scale)],
    ]
    assert max(written_differences(network, tmp_path, inputs, n_outputs=2)) < 1e-4
