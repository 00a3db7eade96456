"""Figures of likeness where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.errors import ImageError
from bridge.quality.metrics import (
    compare_images,
    normalised_square_error,
    peak_signal_to_noise,
    pearson,
    range_invariant_psnr,
)


@pytest.fixture
def truth() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (64, 48))


def test_equal_images_are_perfect(truth):
    figures = compare_images(truth, truth)
    assert figures["nmse"] == pytest.approx(0)
    assert figures["correlation"] == pytest.approx(1)
    assert figures["ssim"] == pytest.approx(1)
    assert figures["psnr_db"] == np.inf


def test_each_figure_forgives_what_it_says(truth):
    assert normalised_square_error(7 * truth, truth) == pytest.approx(0)
    assert normalised_square_error(truth + 1, truth) > 0.05
    assert pearson(3 - 2 * truth, truth) == pytest.approx(-1)
    noisy = truth + np.random.default_rng(1).normal(0, 0.1, truth.shape)
    assert range_invariant_psnr(5 * noisy - 3, truth) == pytest.approx(
        range_invariant_psnr(noisy, truth)
    )
    assert peak_signal_to_noise(noisy, truth) == pytest.approx(20, abs=0.2)


def test_nmse_of_unrelated_images_is_one_minus_the_squared_cosine(truth):
    other = np.random.default_rng(2).normal(size=truth.shape)
    cosine = (other * truth).sum() / np.sqrt((other**2).sum() * (truth**2).sum())
    assert normalised_square_error(other, truth) == pytest.approx(1 - cosine**2)
    assert normalised_square_error(np.zeros_like(truth), truth) == 1


def test_what_has_no_answer_is_nan_or_refused(truth):
    flat = np.ones_like(truth)
    figures = compare_images(truth, flat)
    assert np.isnan([figures[name] for name in ("correlation", "psnr_db", "ssim")]).all()
    with pytest.raises(ImageError, match="equal shapes"):
        compare_images(truth, truth[1:])
    with pytest.raises(ImageError, match="aren't finite"):
        compare_images(truth * np.nan, truth)
    with pytest.raises(ImageError, match="at least 7"):
        compare_images(truth[:5], truth[:5])
