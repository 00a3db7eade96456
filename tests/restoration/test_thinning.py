"""Undersampled images drawn from a rendering: as many as asked, where the rendering is bright."""

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from bridge.restoration.thinning import count_localizations, scale_to_bright, thin_rendering


@pytest.fixture
def rendering():
    rng = np.random.default_rng(0)
    counts = np.zeros((120, 150))
    np.add.at(counts, (rng.integers(20, 60, 5000), rng.integers(30, 100, 5000)), 1)
    return ndimage.gaussian_filter(counts, 1).astype(np.float32)


def test_as_many_localizations_are_drawn_as_are_asked_for(rendering):
    rng = np.random.default_rng(1)
    sums = [thin_rendering(rendering, n=400, sigma_px=1, rng=rng).sum() for _ in range(200)]
    assert np.mean(sums) == pytest.approx(400, abs=5 * np.sqrt(400 / 200))
    assert np.std(sums) == pytest.approx(np.sqrt(400), rel=0.25)  # Poisson's


def test_draws_are_on_average_the_rendering_blurred_once_more(rendering):
    rng = np.random.default_rng(2)
    mean = np.mean(
        [thin_rendering(rendering, n=2500, sigma_px=1, rng=rng) for _ in range(400)], axis=0
    )
    expected = ndimage.gaussian_filter(rendering, 1) * (2500 / rendering.sum())
    error = np.sqrt(expected.max() / 400)
    assert np.abs(mean - expected).max() < 5 * error
    few = thin_rendering(-rendering + rendering.max() / 2, n=100, sigma_px=1, rng=rng)
    assert few[40, 60] == 0, "below 0 is nothing"


def test_only_values_that_count_give_a_number(rendering):
    def count(values, dtype):
        image = xr.DataArray(values, dims=("y", "x"), attrs={"dtype": dtype})
        return count_localizations(image)

    assert count(5 * rendering, "float32") == pytest.approx(25_000, rel=0.01)
    assert count(rendering / rendering.max(), "float32") is None
    byte = (255 * rendering / rendering.max()).astype(np.uint8).astype(np.float32)
    assert count(byte, "uint8") is None
    assert count(byte, "uint16") == byte.sum()


def test_the_bright_percentile_becomes_one_and_a_sparse_image_its_brightest(rendering):
    scaled = scale_to_bright(rendering, 99)
    assert (scaled == 1).mean() == pytest.approx(0.01, abs=0.001)
    single = np.zeros((50, 50), np.float32)
    single[3, 4] = 7
    assert scale_to_bright(single, 99)[3, 4] == 1
    assert scale_to_bright(single, 99).sum() == 1
