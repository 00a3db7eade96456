"""The bound of emitters that overlap: against theory for lone ones, and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from bridge.smlm import crlb
from bridge.smlm.crlb import crowd_bound, joint_bound, precision_bound

SCENE = {"background": 10.0, "sigma_nm": 130.0, "pixel_size_nm": 100.0, "read_noise_photons": 1.5}
FRAME = {**SCENE, "shape": (32, 32)}


def light(parameters: np.ndarray, *, sigma_px: float, shape: tuple[int, int]) -> np.ndarray:
    """Give the mean photons of a frame, written down plainly."""
    x, y, photons = parameters[:-1].reshape(3, -1)

    def share(places: np.ndarray, size: int) -> np.ndarray:
        edges = (np.arange(size + 1)[None] - places[:, None]) / sigma_px / np.sqrt(2)
        return np.diff(erf(edges), axis=1) / 2

    spots = photons[:, None, None] * share(y, shape[0])[:, :, None] * share(x, shape[1])[:, None]
    return spots.sum(0) + parameters[-1]


def brute_force(x, y, photons, *, excess: float = 1.0) -> np.ndarray:
    """Invert the Fisher information made by differences; gives (n, 2) in nm."""
    sigma_px, shape = 1.3, (24, 26)
    truth = np.concatenate([x, y, photons, [10.0]])
    slopes = []
    for number in range(len(truth)):
        step = 1e-4 * max(truth[number], 1.0)
        ends = [truth.copy(), truth.copy()]
        ends[0][number] -= step
        ends[1][number] += step
        low, high = (light(end, sigma_px=sigma_px, shape=shape) for end in ends)
        slopes.append((high - low).ravel() / (2 * step))
    jacobian = np.stack(slopes, axis=1)
    variance = excess * light(truth, sigma_px=sigma_px, shape=shape).ravel() + 1.5**2
    covariance = np.linalg.inv(jacobian.T @ (jacobian / variance[:, None]))
    n = len(x)
    return 100 * np.sqrt(np.diag(covariance)[: 2 * n]).reshape(2, n).T


@pytest.mark.parametrize("photons", [200, 1000, 5000])
def test_a_lone_emitter_has_the_bound_of_mortensen(photons):
    places = 16 + np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    bounds = [joint_bound([x], [y], photons, **FRAME)[0] for x, y in places]
    alone = precision_bound(photons, **SCENE)
    assert np.sqrt(np.mean(np.square(bounds))) == pytest.approx(alone, rel=0.02)


def test_neighbours_three_widths_apart_hardly_matter_and_half_a_width_apart_ruin_each_other():
    alone = joint_bound([16.2], [15.9], 1000, **FRAME)[0].max()
    three = joint_bound([16.2 - 1.95, 16.2 + 1.95], [15.9] * 2, 1000, **FRAME)
    half = joint_bound([16.2 - 0.325, 16.2 + 0.325], [15.9] * 2, 1000, **FRAME)
    assert (three.max() / alone) < 1.35
    assert (half[:, 0] > 10 * alone).all()
    far = joint_bound([8.2, 24.2], [15.9] * 2, 1000, **FRAME)
    np.testing.assert_allclose(far, alone, rtol=0.02)


@pytest.mark.parametrize("excess", [1.0, 2.0])
def test_a_small_crowd_equals_brute_force(excess):
    generator = np.random.default_rng(3)
    x, y = generator.uniform(5, 19, (2, 8))
    photons = generator.uniform(300, 3000, 8)
    setting = {**SCENE, "shape": (24, 26), "excess_noise": excess}
    ours = joint_bound(x, y, photons, **setting)
    np.testing.assert_allclose(ours, brute_force(x, y, photons, excess=excess), rtol=1e-3)


def test_blocks_do_not_show(monkeypatch):
    x, y = np.random.default_rng(1).uniform(0, 60, (2, 180))
    setting = {**SCENE, "shape": (60, 60)}
    in_blocks = joint_bound(x, y, 1000, **setting)
    monkeypatch.setattr(crlb, "_BLOCK_SIGMAS", 1000.0)
    whole = joint_bound(x, y, 1000, **setting)
    assert (in_blocks != whole).any()
    is_resolved = whole.max(axis=1) < 100
    assert is_resolved.sum() > 100
    np.testing.assert_allclose(in_blocks[is_resolved], whole[is_resolved], rtol=3e-3)


def test_emitters_on_the_same_spot_are_beyond_any_reach_and_no_emitters_are_no_error():
    bounds = joint_bound([16.0, 16.0], [16.0, 16.0], 1000, **FRAME)
    assert np.isfinite(bounds).all()
    assert bounds.min() > 10_000
    assert joint_bound([], [], 1000, **FRAME).shape == (0, 2)


def test_a_sparse_field_is_as_good_as_alone_and_a_dense_one_is_not():
    sparse, dense = (crowd_bound(density, 1000, **SCENE) for density in (0.05, 3.0))
    alone = float(precision_bound(1000, **SCENE)) * np.sqrt(2)
    assert sparse.median_nm == pytest.approx(alone, rel=0.02)
    assert sparse.found > 0.995
    assert 1.5 * alone < dense.median_nm < 3 * alone
    assert dense.rmse_nm > 2 * sparse.rmse_nm
    assert dense.found < sparse.found


def test_the_sum_over_reach_equals_drawn_errors():
    alone = float(precision_bound(1000, **SCENE))
    errors = np.hypot(*np.random.default_rng(0).normal(0, alone, (2, 400_000)))
    is_within = errors <= 8.0
    found = crowd_bound(0.02, 1000, **SCENE, reach_nm=8.0)
    assert found.found == pytest.approx(is_within.mean(), rel=0.03)
    assert found.rmse_nm == pytest.approx(np.sqrt(np.mean(errors[is_within] ** 2)), rel=0.02)
