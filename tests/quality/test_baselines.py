"""Baselines against scikit-image, closed forms, and the figures of a known simulation."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter
from skimage.restoration import richardson_lucy as skimage_rl

from bridge.errors import ImageError
from bridge.images.blur import bin_pixels, blur, repeat_pixels
from bridge.quality.baselines import (
    ITERATIONS,
    Example,
    calibrate,
    find_background,
    richardson_lucy,
    take_input,
)
from bridge.quality.metrics import peak_signal_to_noise

SIGMA_PX = 2.0


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Points of a microscope of sigma 1.2 pixels on nothing, 96 x 80 pixels."""
    rng = np.random.default_rng(0)
    points = np.zeros((96, 80))
    points[tuple(rng.integers(10, 70, (2, 60)))] = rng.uniform(0.2, 1, 60)
    seen = gaussian_filter(points, 1.2)
    return seen / seen.max()


def observe(truth: np.ndarray, *, scale: int = 1, seed: int | None = None) -> np.ndarray:
    clean = bin_pixels(blur(truth, SIGMA_PX), scale) + 0.05
    if seed is None:
        return clean
    return np.random.default_rng(seed).poisson(clean * 2000) / 2000


def plane(pixels: np.ndarray) -> xr.DataArray:
    return xr.DataArray(pixels, dims=("y", "x"))


def test_the_blur_is_the_gaussian_and_its_own_adjoint(truth):
    assert blur(truth, SIGMA_PX) == pytest.approx(
        gaussian_filter(truth, SIGMA_PX, mode="reflect", truncate=8), abs=1e-6
    )
    other = np.random.default_rng(1).normal(size=truth.shape)
    assert (blur(truth, 1.3) * other).sum() == pytest.approx((truth * blur(other, 1.3)).sum())
    assert blur(truth, 3.0).sum() == pytest.approx(truth.sum())
    small = bin_pixels(other, 4)
    assert bin_pixels(repeat_pixels(small, 4), 4) == pytest.approx(small)
    assert blur(truth.astype(np.float32), 1.0).dtype == np.float32


def test_richardson_lucy_is_that_of_scikit_image(truth):
    """Away from the edges, beyond which scikit-image sees black and we a mirror image.

    Its start is 0.5 everywhere, ours the mean: one factor for all pixels, which the first update
    takes out. No background, which scikit-image doesn't know.
    """
    padded = np.pad(truth, 20)
    observed = blur(padded, SIGMA_PX)
    place = np.arange(-16, 17)
    profile = np.exp(-(place**2) / (2 * SIGMA_PX**2))
    kernel = np.outer(profile, profile) / profile.sum() ** 2
    expected = skimage_rl(observed, kernel, num_iter=20, clip=False, filter_epsilon=1e-12)
    found = richardson_lucy(observed, sigma_px=SIGMA_PX, background=0.0, iterations=20)
    assert found[20:-20, 20:-20] == pytest.approx(expected[20:-20, 20:-20], abs=2e-4)


@pytest.mark.parametrize("scale", [1, 2])
def test_richardson_lucy_keeps_the_light_and_takes_off_the_background(truth, scale: int):
    observed = observe(truth, scale=scale)
    found = richardson_lucy(observed, sigma_px=SIGMA_PX, background=0.05, scale=scale)
    assert found.shape == truth.shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.sum() == pytest.approx(truth.sum(), rel=0.03)
    plain = take_input(observed, scale=scale, background=0.05)
    better = [peak_signal_to_noise(a, truth, data_range=1) for a in (found, plain)]
    assert better[0] > better[1] + 5


def test_a_black_image_stays_black():
    found = richardson_lucy(np.zeros((32, 32)), sigma_px=2.0, background=0.0, iterations=3)
    assert found == pytest.approx(0, abs=1e-6)


def test_the_input_is_taken_as_it_is():
    pixels = np.arange(6.0).reshape(2, 3)
    taken = take_input(pixels, scale=2, background=1)
    assert taken.shape == (4, 6)
    assert taken[2:, 4:] == pytest.approx(4)


def test_units_background_and_kernel_are_found_on_validation_fields(truth):
    """Inputs are 7 times brighter than targets, and the kernel isn't given."""
    inputs = [7 * observe(t, scale=2, seed=n) for n, t in enumerate((truth, truth[::-1]))]
    examples = [
        Example(plane(i), plane(t)) for i, t in zip(inputs, (truth, truth[::-1]), strict=True)
    ]
    found = calibrate(examples, sigma_px=None)
    assert found.is_fitted
    assert found.n_fields == 2
    assert found.sigma_px == pytest.approx(SIGMA_PX, rel=0.05)
    assert found.gain == pytest.approx(7, rel=0.02)
    background = find_background(inputs[0], sigma_px=1.0, percentile=found.percentile)
    assert background == pytest.approx(7 * 0.05, abs=0.05)
    known = calibrate(examples, sigma_px=SIGMA_PX)
    assert not known.is_fitted
    assert known.gain == pytest.approx(7, rel=0.02)


def test_the_iterations_have_the_least_error_of_all_that_are_tried(truth):
    observed = observe(truth, seed=3)
    chosen = calibrate([Example(plane(observed), plane(truth))], sigma_px=SIGMA_PX)
    background = find_background(
        observed / chosen.gain, sigma_px=SIGMA_PX, percentile=chosen.percentile
    )
    errors = {
        n: (
            (
                richardson_lucy(
                    observed / chosen.gain, sigma_px=SIGMA_PX, background=background, iterations=n
                )
                - truth
            )
            ** 2
        ).mean()
        for n in ITERATIONS
    }
    assert chosen.iterations == min(errors, key=lambda n: errors[n])


def test_without_validation_fields_the_usual_is_taken_where_the_kernel_is_known():
    found = calibrate([], sigma_px=2.0)
    assert (found.iterations, found.gain, found.n_fields) == (50, 1.0, 0)
    with pytest.raises(ImageError, match=r"pairs\.yaml"):
        calibrate([], sigma_px=None)
