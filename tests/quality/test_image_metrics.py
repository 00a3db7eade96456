"""Figures of restored images against independent implementations and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage import metrics as skimage_metrics

from bridge.errors import ImageError, InputError
from bridge.images.blur import bin_pixels, blur
from bridge.quality.consistency import compare_with_input, relative_sigma_nm
from bridge.quality.metrics import (
    flux_ratio,
    normalised_rmse,
    peak_signal_to_noise,
    range_invariant_psnr,
)
from bridge.quality.resolution import correlate_rings, fade
from bridge.quality.sharpness import (
    _SortedSpectrum,
    band_power,
    decorrelation_nm,
    gradient_distance,
)
from bridge.quality.structure import (
    gradient_deviation,
    micro_ssim,
    multiscale_ssim,
    structural_similarity,
)
from tests.quality.conftest import plane

RANGE = 3.0


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Blobs of some pixels, from 0 to about 3, on 200 x 190 pixels."""
    noise = np.random.default_rng(0).normal(size=(200, 190))
    blobs = gaussian_filter(noise, 2).clip(0)
    return RANGE * blobs / blobs.max()


@pytest.fixture(scope="module")
def image(truth: np.ndarray) -> np.ndarray:
    """The truth, a little blurred, brighter, and noisy."""
    rng = np.random.default_rng(1)
    return 1.1 * gaussian_filter(truth, 0.8) + 0.05 + rng.normal(0, 0.1, truth.shape)


def tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels)[None, None]


def test_pixelwise_figures_are_those_of_scikit_image(image, truth):
    assert peak_signal_to_noise(image, truth, data_range=RANGE) == pytest.approx(
        skimage_metrics.peak_signal_noise_ratio(truth, image, data_range=RANGE), abs=1e-6
    )
    assert normalised_rmse(image, truth) == pytest.approx(
        skimage_metrics.normalized_root_mse(truth, image, normalization="euclidean"), abs=1e-6
    )
    assert flux_ratio(image, truth) == pytest.approx(image.sum() / truth.sum(), abs=1e-12)


def test_ssim_is_that_of_torchmetrics(image, truth):
    """torchmetrics pads by reflection, scikit-image (and we) leave the rim out: cut here.

    Its variances are those of pixels, not of samples (49 / 48), which is undone by scaling the
    second constant: the same factor on variances and on k2^2 cancels.
    """
    functional = pytest.importorskip("torchmetrics.functional.image")
    pixels = [tensor(a) for a in (image, truth)]
    _, full = functional.structural_similarity_index_measure(
        *pixels,
        gaussian_kernel=False,
        kernel_size=7,
        data_range=RANGE,
        k2=0.03 * math.sqrt(48 / 49),
        return_full_image=True,
    )
    expected = float(full[0, 0, 3:-3, 3:-3].mean())
    assert structural_similarity(image, truth, data_range=RANGE) == pytest.approx(
        expected, abs=1e-6
    )


def test_multiscale_ssim_is_the_formula_in_windows_cut_by_hand(image, truth):
    """Wang 2003 by loops over windows: 11 x 11 weights, five scales."""
    place = np.arange(-5, 6)
    weight = np.exp(-(place**2) / (2 * 1.5**2))
    weight = np.outer(weight, weight) / weight.sum() ** 2
    c1, c2 = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2

    def mean(pixels):
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (11, 11))
        return (windows * weight).sum((-2, -1))

    product, x, y = 1.0, truth, image
    for scale, power in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mx, my = mean(x), mean(y)
        vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
        value = (2 * cov + c2) / (vx + vy + c2)
        if scale == 4:
            value = value * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        product *= value.mean() ** power
        x, y = (
            a[: len(a) // 2 * 2, : a.shape[1] // 2 * 2]
            .reshape(len(a) // 2, 2, a.shape[1] // 2, 2)
            .mean((1, 3))
            for a in (x, y)
        )
    assert multiscale_ssim(image, truth, data_range=RANGE) == pytest.approx(product, abs=1e-6)


def test_multiscale_ssim_is_near_that_of_torchmetrics(image, truth):
    """Not equal: at the coarsest scale torchmetrics averages over windows padded by reflection,
    at all others, as we and Wang do everywhere, over those inside."""
    functional = pytest.importorskip("torchmetrics.functional.image")
    pixels = [tensor(a) for a in (image, truth)]
    measure = functional.multiscale_structural_similarity_index_measure
    expected = float(measure(*pixels, data_range=RANGE))
    assert multiscale_ssim(image, truth, data_range=RANGE) == pytest.approx(expected, abs=5e-3)


def test_range_invariant_psnr_is_the_formula_of_its_paper(image, truth):
    """Weigert 2018: both without their mean, the best factor, the truth's range."""
    wanted, given = truth - truth.mean(), image - image.mean()
    factor = (wanted * given).sum() / (given**2).sum()
    error = ((wanted - factor * given) ** 2).mean()
    expected = 20 * np.log10(np.ptp(truth)) - 10 * np.log10(error)
    assert range_invariant_psnr(image, truth) == pytest.approx(expected, abs=1e-6)
    assert range_invariant_psnr(5 * image - 3, truth) == pytest.approx(expected, abs=1e-6)


def test_micro_ssim_is_scikit_images_after_the_best_scale(image, truth):
    """As in the paper, by hand: offsets and largest value of the set, one factor by a fine grid."""
    truth, image = truth[:64, :64], image[:64, :64]
    truths, images = [truth, 0.4 * truth[::-1]], [image, 0.4 * image[::-1]]
    found = micro_ssim(images, truths)
    low_truth, low_image = (np.percentile(np.stack(both), 3) for both in (truths, images))
    largest = np.stack(truths).max() - low_truth

    def score(factor):
        return [
            skimage_metrics.structural_similarity(
                (t - low_truth) / largest,
                factor * (i - low_image) / largest,
                data_range=np.ptp(t) / largest,
            )
            for t, i in zip(truths, images, strict=True)
        ]

    near = max(np.linspace(0.3, 1.7, 71), key=lambda factor: np.mean(score(factor)))
    best = max((score(factor) for factor in near + np.linspace(-0.02, 0.02, 81)), key=np.mean)
    assert np.mean(found) == pytest.approx(np.mean(best), abs=1e-6)
    assert found == pytest.approx(best, abs=1e-4), "each, at a factor of the grid's fineness"


def test_micro_ssim_forgives_scale_and_offset(image, truth):
    plain = micro_ssim([image], [truth])
    assert micro_ssim([0.01 * image + 100], [truth]) == pytest.approx(plain, abs=1e-5)
    assert micro_ssim([image], [40 * truth + 7]) == pytest.approx(plain, abs=1e-5)
    assert np.isnan(micro_ssim([image], [np.ones_like(truth)])).all()


def test_gradient_deviation_is_its_formula_by_convolution(image, truth):
    """Xue 2014 for 8-bit: Prewitt / 3 on means of 2 x 2, c = 170; here scaled to 255."""
    kernel = np.array([[1, 0, -1]] * 3) / 3

    def gradient(pixels):
        small = (255 / RANGE * pixels).reshape(100, 2, 95, 2).mean((1, 3))
        parts = [convolve2d(small, k, mode="same") for k in (kernel, kernel.T)]
        return np.hypot(*parts)

    a, b = gradient(image), gradient(truth)
    expected = np.std((2 * a * b + 170) / (a**2 + b**2 + 170))
    found = gradient_deviation(image, truth, data_range=RANGE)
    assert found == pytest.approx(expected, abs=1e-6)
    assert gradient_deviation(truth, truth, data_range=RANGE) == 0


def test_band_power_of_a_gaussian_blur_is_its_transfer():
    """White noise, blurred: the power falls by exp(-(2 pi f sigma)^2), so its log10 is known."""
    white = np.random.default_rng(3).normal(size=(256, 256))
    sigma_px, band = 0.8, (0.1, 0.3)
    blurred = blur(white, sigma_px)
    rings = np.arange(256 // 2) / 256
    inside = rings[(rings >= band[0]) & (rings <= band[1])]
    expected = (-((2 * np.pi * inside * sigma_px) ** 2) / np.log(10)).mean()
    assert band_power(blurred, white, band_per_px=band) == pytest.approx(expected, abs=0.02)
    assert band_power(10 * white, white, band_per_px=band) == pytest.approx(2, abs=1e-9)
    assert band_power(0 * white, white, band_per_px=band) == -np.inf
    assert np.isnan(band_power(white, 0 * white, band_per_px=band))
    with pytest.raises(ImageError, match="no frequency"):
        band_power(white, white, band_per_px=(0.3, 0.3001))


def test_gradient_distance_is_the_mean_difference_of_sorted_gradients(image, truth):
    """For as many values of each, the Wasserstein distance pairs them by rank."""
    steep = [np.sort(np.hypot(*np.gradient(pixels)).ravel()) for pixels in (image, truth)]
    expected = 100 * np.abs(steep[0] - steep[1]).mean()
    assert gradient_distance(image, truth) == pytest.approx(expected, abs=1e-6)
    assert gradient_distance(image, truth, data_range=2) == pytest.approx(expected / 2, abs=1e-6)
    shuffled = truth[::-1, ::-1]
    assert gradient_distance(shuffled, truth) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("cut_off", [0.3, 0.5, 0.7])
def test_decorrelation_finds_the_cut_off_of_a_microscope(cut_off: float):
    """Points seen through a transfer function that is 0 beyond a radius, with little noise."""
    rng = np.random.default_rng(2)
    points = np.zeros((255, 255))
    points[tuple(rng.integers(0, 255, (2, 400)))] = rng.uniform(0.5, 1, 400)
    y, x = np.meshgrid(*(2 * np.fft.fftfreq(255),) * 2, indexing="ij")
    radius = (np.hypot(y, x) / cut_off).clip(0, 1)
    transfer = 2 / np.pi * (np.arccos(radius) - radius * np.sqrt(1 - radius**2))
    seen = np.fft.ifft2(np.fft.fft2(points) * transfer).real
    noisy = seen + rng.normal(0, 2e-4 * seen.max(), seen.shape)
    found = decorrelation_nm(plane(noisy, 50.0))
    assert found == pytest.approx(2 * 50 / cut_off, rel=0.15)
    assert decorrelation_nm(plane(7 * noisy, 50.0)) == pytest.approx(found, rel=1e-9)


def test_decorrelation_is_the_correlation_of_its_definition():
    """Descloux 2019, equation 1, by whole arrays of complex numbers, without a high-pass."""
    pixels = gaussian_filter(np.random.default_rng(4).normal(size=(63, 50)), 1.2)
    window = np.outer(fade(63), fade(50))
    spectrum = np.fft.fft2((pixels - pixels.mean()) * window)
    radius = np.hypot(2 * np.fft.fftfreq(63)[:, None], 2 * np.fft.fftfreq(50)[None])
    allowed = (radius < 1) & (radius > 0)
    evened = spectrum / np.abs(spectrum)
    radii = np.array([0.2, 0.5, 0.9])
    expected = []
    for r in radii:
        mask = allowed & (radius < r)
        shared = (spectrum * evened.conj() * mask).sum().real
        norms = (np.abs(spectrum[allowed]) ** 2).sum() * (np.abs(evened[mask]) ** 2).sum()
        expected.append(shared / math.sqrt(norms))
    assert _SortedSpectrum.of(pixels).decorrelate(radii) == pytest.approx(expected, abs=1e-6)


def test_frc_against_the_truth_falls_where_noise_takes_over():
    """Truth of a falling spectrum + white noise: correlation sqrt(S / (S + N)), half at N = 3 S."""
    rng = np.random.default_rng(5)
    n, sigma_px, noise = 512, 2.0, 0.01
    truth = blur(rng.normal(size=(n, n)), sigma_px)
    noisy = truth + rng.normal(0, noise, truth.shape)
    curve = correlate_rings(plane(noisy, 10.0), plane(truth, 10.0))
    for threshold in (0.5, 1 / 7):
        share = 1 / threshold**2 - 1  # of noise to signal in the power
        # exp(-(2 pi f sigma)^2) = noise^2 / share
        frequency = math.sqrt(math.log(share / noise**2)) / (2 * math.pi * sigma_px)
        assert curve.resolution_at(threshold) == pytest.approx(10 / frequency, rel=0.04)
    assert curve.resolution_at(1 / 7) == curve.resolution_nm


def test_the_blur_between_two_microscopes():
    assert relative_sigma_nm(280, 110) == pytest.approx(
        math.sqrt(280**2 - 110**2) / 2.3548, rel=1e-4
    )
    assert relative_sigma_nm(280, 110) / 40 == pytest.approx(2.73, abs=0.005), "restoration facts"
    with pytest.raises(InputError, match="blurred more"):
        relative_sigma_nm(110, 280)


def test_consistency_with_a_known_kernel_has_the_ceiling_that_noise_leaves(truth):
    """Pearson of a signal and the signal + noise is 1 / sqrt(1 + noise^2 / signal^2)."""
    clean = 5 * bin_pixels(blur(truth, 2.0), 2) + 3
    noise = 0.3 * clean.std()
    rng = np.random.default_rng(6)
    observed = plane(clean + rng.normal(0, noise, clean.shape), 80.0)
    ceiling = compare_with_input(plane(truth, 40.0), observed, sigma_px=2.0)
    assert ceiling.rsp == pytest.approx(1 / math.sqrt(1 + 0.3**2), abs=5e-3)
    assert ceiling.rse == pytest.approx(noise, rel=0.02)
    assert (ceiling.alpha, ceiling.beta) == (pytest.approx(5, rel=0.01), pytest.approx(3, abs=0.02))
    assert ceiling.sigma_nm == 80
    exact = compare_with_input(plane(truth, 40.0), plane(clean, 80.0), sigma_px=2.0)
    assert exact.rsp == pytest.approx(1, abs=1e-9)
    moved = np.roll(truth, 6, axis=0)
    assert compare_with_input(plane(moved, 40.0), observed, sigma_px=2.0).rsp < ceiling.rsp - 0.05
    black = compare_with_input(plane(0 * truth, 40.0), observed, sigma_px=2.0)
    assert np.isnan(black.rsp)
    assert black.rse == pytest.approx(observed.values.std(), rel=1e-6)


def test_consistency_needs_a_whole_ratio(truth):
    with pytest.raises(ImageError, match="whole number"):
        compare_with_input(
            xr.DataArray(truth, dims=("y", "x")), plane(truth[:130, :130], 80.0), sigma_px=1
        )


def test_figures_refuse_what_is_too_small_or_has_no_range(truth):
    small = truth[:100, :100]
    with pytest.raises(ImageError, match="at least 176"):
        multiscale_ssim(small, small, data_range=1)
    with pytest.raises(ImageError, match="at least 7"):
        structural_similarity(small[:5], small[:5], data_range=1)
    for figure in (structural_similarity, multiscale_ssim, gradient_deviation):
        with pytest.raises(ImageError, match="data range"):
            figure(truth, truth, data_range=0)
        with pytest.raises(TypeError, match="data_range"):
            figure(truth, truth)
    with pytest.raises(ImageError, match="pixel size"):
        decorrelation_nm(xr.DataArray(small, dims=("y", "x")))
    assert np.isnan(decorrelation_nm(plane(0 * small, 10.0)))
