"""Figures of likeness where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import ImageError
from bridge.quality.metrics import (
    flux_ratio,
    normalised_rmse,
    normalised_square_error,
    peak_signal_to_noise,
    pearson,
    range_invariant_psnr,
)


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (64, 48))


def test_equal_images_are_perfect(truth):
    assert normalised_square_error(truth, truth) == pytest.approx(0)
    assert pearson(truth, truth) == pytest.approx(1)
    assert peak_signal_to_noise(truth, truth, data_range=1) == np.inf
    assert normalised_rmse(truth, truth) == 0
    assert flux_ratio(truth, truth) == 1


def test_each_figure_forgives_what_it_says(truth):
    assert normalised_square_error(7 * truth, truth) == pytest.approx(0)
    assert normalised_square_error(truth + 1, truth) > 0.05
    assert pearson(3 - 2 * truth, truth) == pytest.approx(-1)
    noisy = truth + np.random.default_rng(1).normal(0, 0.1, truth.shape)
    assert range_invariant_psnr(5 * noisy - 3, truth) == pytest.approx(
        range_invariant_psnr(noisy, truth)
    )
    assert peak_signal_to_noise(noisy, truth, data_range=1) == pytest.approx(20, abs=0.2)


def test_nmse_of_unrelated_images_is_one_minus_the_squared_cosine(truth):
    other = np.random.default_rng(2).normal(size=truth.shape)
    cosine = (other * truth).sum() / np.sqrt((other**2).sum() * (truth**2).sum())
    assert normalised_square_error(other, truth) == pytest.approx(1 - cosine**2)
    assert normalised_square_error(np.zeros_like(truth), truth) == 1


def test_what_has_no_answer_is_nan_or_refused(truth):
    flat = np.ones_like(truth)
    assert np.isnan([pearson(truth, flat), range_invariant_psnr(truth, flat)]).all()
    assert np.isnan([normalised_rmse(truth, 0 * flat), flux_ratio(truth, 0 * flat)]).all()
    with pytest.raises(ImageError, match="equal shapes"):
        pearson(truth, truth[1:])
    with pytest.raises(ImageError, match="aren't finite"):
        pearson(truth * np.nan, truth)


@pytest.mark.parametrize("data_range", [0, -1, float("nan"), float("inf")])
def test_there_is_no_psnr_without_a_data_range(truth, data_range):
    with pytest.raises(ImageError, match="Give one range for all"):
        peak_signal_to_noise(truth, truth, data_range=data_range)
    with pytest.raises(TypeError, match="data_range"):
        peak_signal_to_noise(truth, truth)
