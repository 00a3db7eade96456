"""The loss of localizing networks against a slow one written from its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bridge.smlm.patches import Emitters, PatchConditions, simulate_patches
from bridge.training.localization_loss import LocalizationLoss
from models_zoo.localizer.architecture import OUTPUTS, Localizer


def network_output(b: int = 2, edge: int = 8, seed: int = 0) -> Tensor:
    """Give a plausible output (b, 8, y, x)."""
    rng = torch.Generator().manual_seed(seed)
    raw = torch.rand((b, 8, edge, edge), generator=rng)
    low = torch.tensor([0.01, -1.0, -1.0, 300.0, 5.0, 0.05, 0.05, 50.0])[None, :, None, None]
    high = torch.tensor([0.5, 1.0, 1.0, 2000.0, 30.0, 0.5, 0.5, 400.0])[None, :, None, None]
    return low + (high - low) * raw


def emitters(places: list[list[tuple[float, float, float]]]) -> Emitters:
    """Give labelled emitters from (x, y, photons) of each patch."""
    n = max(map(len, places)) or 1
    rows = torch.zeros(3, len(places), n)
    is_real = torch.zeros(len(places), n, dtype=torch.bool)
    for i, patch in enumerate(places):
        for k, values in enumerate(patch):
            rows[:, i, k] = torch.tensor(values)
            is_real[i, k] = True
    zero = torch.zeros(len(places), n)
    return Emitters(rows[0], rows[1], zero, rows[2], is_real, zero, rows[2][:, None])


def slow_loss(out: Tensor, places: list[list[tuple[float, float, float]]]) -> float:
    total, n_real = 0.0, max(sum(map(len, places)), 1)
    b, _, height, width = out.shape
    for i in range(b):
        p = out[i, 0].tolist()
        flat = [value for row in p for value in row]
        mean, variance = sum(flat), sum(v * (1 - v) for v in flat) + 1e-2
        total += ((len(places[i]) - mean) ** 2 / variance + math.log(variance)) / 2
        held = {(int(y), int(x)) for x, y, _ in places[i]}
        for r in range(height):
            for c in range(width):
                total -= math.log(p[r][c] if (r, c) in held else 1 - p[r][c])
        for x, y, photons in places[i]:
            mixture = 0.0
            for r in range(height):
                for c in range(width):
                    if max(abs(r - int(y)), abs(c - int(x))) > 2:
                        continue
                    _, dx, dy, n, _, sx, sy, sn = out[i, :, r, c].tolist()
                    density = p[r][c] / mean
                    for off, s in (
                        (c + 0.5 + dx - x, sx),
                        (r + 0.5 + dy - y, sy),
                        (n - photons, sn),
                    ):
                        density *= math.exp(-((off / s) ** 2) / 2) / (s * math.sqrt(2 * math.pi))
                    mixture += density
            total -= math.log(mixture)
    return total / n_real


PLACES = [[(3.2, 4.9, 900.0), (7.6, 0.4, 1500.0)], [(3.9, 3.1, 600.0)]]


def test_it_is_its_formula():
    out = network_output()
    background = out[:, 4:5].clone()  # right, so that this part is 0
    found = LocalizationLoss()(out.double(), emitters(PLACES), background.double())
    assert float(found) == pytest.approx(slow_loss(out.double(), PLACES), rel=1e-5)


def test_a_wrong_background_costs():
    out = network_output()
    loss = LocalizationLoss()
    right = loss(out, emitters(PLACES), out[:, 4:5])
    assert loss(out, emitters(PLACES), 2 * out[:, 4:5]) - right == pytest.approx(
        0.3 * math.log(2) ** 2, rel=1e-3
    )


def test_an_empty_batch_has_a_loss_and_gradients():
    out = network_output().requires_grad_()
    LocalizationLoss()(out, emitters([[], []]), out[:, 4:5].detach()).backward()
    assert out.grad is not None
    assert torch.isfinite(out.grad).all()
    assert out.grad[:, 0].abs().max() > 0


def test_emitters_outside_a_patch_count_for_nothing():
    out = network_output()
    inside = emitters(PLACES)
    outside = inside._replace(is_labelled=inside.is_labelled & (inside.x_px < 5))
    fewer = emitters([[PLACES[0][0]], PLACES[1]])
    loss = LocalizationLoss()
    assert loss(out, outside, out[:, 4:5]) == pytest.approx(loss(out, fewer, out[:, 4:5]))


def test_the_network_starts_with_few_emitters_in_reasonable_units():
    torch.manual_seed(0)
    conditions = PatchConditions(size_px=16)
    patches = simulate_patches(conditions, 4, generator=torch.Generator().manual_seed(1))
    network = Localizer(width=8).eval()
    with torch.inference_mode():
        out = network((patches.frames - 120) / 50)
    assert out.shape == (4, len(OUTPUTS), 16, 16)
    values = dict(zip(OUTPUTS, out.mean(dim=(0, 2, 3)).tolist(), strict=True))
    assert 0 < values["probability"] < 0.1
    assert 300 < values["photons"] < 3000
    assert 5 < values["background"] < 50
    assert out[:, [5, 6, 7]].min() > 0
    assert out[:, 1:3].abs().max() <= 1
    assert float(LocalizationLoss()(out, patches.emitters, patches.background)) > 0


def test_features_of_a_frame_do_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    network = Localizer(width=4, frames=3, has_z=True).eval()
    frames = torch.randn(1, 3, 16, 20)
    with torch.inference_mode():
        assert network(frames).shape == (1, 10, 16, 20)
        alone = network.features(frames[:, 1:2])
        together = network.features(frames.reshape(3, 1, 16, 20))[1:2]
    torch.testing.assert_close(alone, together)
