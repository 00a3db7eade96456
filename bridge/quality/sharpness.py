"""How sharp an image is: its power at fine detail, its gradients, and its own cut-off.

=========================  ===================================================  ==========
figure                     what it tells                                        best
=========================  ===================================================  ==========
``band_power``             log10 of the power over the truth's, in a band       0
``gradient_distance``      how far the gradients are from the truth's           0
``decorrelation_nm``       finest detail above the noise, without a truth       small
=========================  ===================================================  ==========

None of the three says that the detail is right: made-up texture has power and gradients too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.stats import wasserstein_distance

from bridge.errors import ImageError
from bridge.quality.metrics import pair
from bridge.quality.resolution import fade

_N_RADII: Final = 50
_N_FILTERS: Final = 10
_FINEST_FILTER_PX: Final = 0.15
_LEAST_DROP: Final = 0.0005  # after a peak, for it to be one
_LEAST_PEAK: Final = 0.05


def band_power(image: ArrayLike, truth: ArrayLike, *, band_per_px: tuple[float, float]) -> float:
    """Give the mean log10 of the image's power over the truth's, ring by ring, in a band.

    Parameters
    ----------
    image, truth : array_like, axes (y, x)
        Of equal shape, in the same units, at least 16 pixels each way; edges are faded out.
    band_per_px : (float, float)
        Lowest and highest spatial frequency, in 1/pixel, 0 < low < high <= 0.5.

    Returns
    -------
    float
        0 for equal power, -1 for a tenth of it (too smooth), above 0 too rough; NaN where the truth
        has no power, minus infinity where the image has none.

    Raises
    ------
    ImageError
        The shapes differ or are too small, a value isn't finite, or no frequency is in the band.
    """
    given, wanted = pair(image, truth)
    low, high = band_per_px
    spectra = [_ring_power(pixels) for pixels in (given, wanted)]
    frequency = spectra[0].frequency_per_px
    inside = (frequency >= low) & (frequency <= high)
    if not inside.any():
        raise ImageError(
            "band",
            f"no frequency of an image of {wanted.shape} pixels is in {low:.3g} to {high:.3g} "
            "per pixel",
            "0 < low < high <= 0.5, wide enough for the image",
        )
    power, true_power = (spectrum.power[inside] for spectrum in spectra)
    if not true_power.all():
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(np.log10(power / true_power).mean())


def gradient_distance(image: ArrayLike, truth: ArrayLike, *, data_range: float = 1.0) -> float:
    """Give 100 x the Wasserstein distance of the gradients' magnitudes.

    Parameters
    ----------
    image, truth : array_like, axes (y, x)
        Of equal shape, in the same units.
    data_range : float
        What counts as 1: both are divided by it.

    Returns
    -------
    float
        0 where gradients are as frequent as in the truth, wherever they are.

    Raises
    ------
    ImageError
        The shapes differ, or a value isn't finite.
    """
    steep = [np.hypot(*np.gradient(pixels / data_range)).ravel() for pixels in pair(image, truth)]
    return 100 * float(wasserstein_distance(*steep))


def decorrelation_nm(image: xr.DataArray) -> float:
    """Measure the finest detail of one image by decorrelation (Descloux et al. 2019).

    The image is correlated with itself after all its frequencies were made equally strong and those
    above a radius left out; the correlation peaks where signal gives way to noise. The largest peak
    over a series of high-pass filters is the cut-off [1]_. Nothing finer than two pixels is found.

    Parameters
    ----------
    image : DataArray, axes (y, x)
        An image of at least 32 pixels each way; ``attrs["pixel_size_nm"]`` holds y and x.

    Returns
    -------
    float
        Two pixels over the cut-off in units of the highest frequency, in nm; NaN where there is no
        peak.

    Raises
    ------
    ImageError
        The image isn't a plane, is too small or not finite, or its pixel size isn't known.

    References
    ----------
    .. [1] Descloux, Grussmayer, Radenovic: Nature Methods 16, 918 (2019),
       doi 10.1038/s41592-019-0515-7.
    """
    size = image.attrs.get("pixel_size_nm") or {}
    what = str(image.attrs.get("source") or "image")
    if image.dims != ("y", "x") or min(image.shape) < 32 or not np.isfinite(image.values).all():
        raise ImageError(
            what, f"it is {dict(image.sizes)}", "a plane (y, x) of numbers, at least 32 pixels wide"
        )
    if not {"y", "x"} <= set(size):
        raise ImageError(what, "the pixel size isn't known", "attrs['pixel_size_nm'] with y and x")
    if image.values.min() == image.values.max():
        return float("nan")
    cut_off = find_cut_off(np.asarray(image, np.float64))
    return 2 * max(size["y"], size["x"]) / cut_off if cut_off else float("nan")


def find_cut_off(pixels: NDArray[np.float64]) -> float:
    """Find the cut-off by decorrelation, in units of the highest frequency; 0 where none is."""
    spectrum = _SortedSpectrum.of(pixels)
    radii = np.linspace(0, 1, _N_RADII)
    plain = _find_peak(radii, spectrum.decorrelate(radii))
    coarsest = 2 / plain.radius if plain.radius else max(pixels.shape) / 2
    filters = np.geomspace(coarsest, _FINEST_FILTER_PX, _N_FILTERS)
    peaks = [plain]
    for is_refined in (False, True):
        found = [_find_peak(radii, spectrum.decorrelate(radii, sigma)) for sigma in filters]
        peaks += found
        if not is_refined:
            by_both = int(np.argmax([peak.height * peak.radius for peak in found]))
            by_radius = int(np.argmax([peak.radius for peak in found]))
            first, last = sorted((by_both, by_radius))
            last = min(last + 1, _N_FILTERS - 1)
            first = min(first, last - 1)
            filters = np.geomspace(filters[first], filters[last], _N_FILTERS)
            middle = found[by_both].radius
            radii = np.linspace(max(middle - 0.05, 0), min(middle + 0.3, 1), _N_RADII)
    return max(peak.radius for peak in peaks)


class _Peak(NamedTuple):
    radius: float
    height: float


class _Spectrum(NamedTuple):
    frequency_per_px: NDArray[np.float64]
    power: NDArray[np.float64]


class _SortedSpectrum(NamedTuple):
    """Amplitudes in the order of their radius, up to the highest frequency, without the mean."""

    radius: NDArray[np.float64]  # 1 at the highest frequency of each axis
    amplitude: NDArray[np.float64]

    @classmethod
    def of(cls, pixels: NDArray[np.float64]) -> _SortedSpectrum:
        """Take an image's spectrum, its edges faded out."""
        window = np.outer(*(fade(n) for n in pixels.shape))
        amplitude = np.abs(fft.fft2((pixels - pixels.mean()) * window))
        y, x = (2 * np.fft.fftfreq(n) for n in pixels.shape)
        radius = np.hypot(y[:, None], x[None])
        inside = (radius < 1) & (radius > 0)
        order = np.argsort(radius[inside], kind="stable")
        return cls(radius[inside][order], amplitude[inside][order])

    def decorrelate(self, radii: NDArray[np.float64], sigma_px: float = 0.0) -> NDArray[np.float64]:
        """Give the correlation of the image, less its blur, with its evened spectrum in each disc.

        Where both have the same phases, the sum of their products is that of the amplitudes.
        """
        amplitude = self.amplitude
        if sigma_px:
            amplitude = amplitude * (1 - np.exp(-0.5 * (np.pi * sigma_px * self.radius) ** 2))
        whole = np.sqrt((amplitude**2).sum())
        sums = np.concatenate([[0.0], np.cumsum(amplitude)])
        n_inside = np.searchsorted(self.radius, radii)
        with np.errstate(invalid="ignore", divide="ignore"):
            curve: NDArray[np.float64] = sums[n_inside] / (whole * np.sqrt(n_inside))
        return np.nan_to_num(curve)


def _find_peak(radii: NDArray[np.float64], curve: NDArray[np.float64]) -> _Peak:
    """Give the highest point that the curve falls from; radius 0 where it only rises, or is low."""
    end = len(curve)
    while end > 1:
        top = int(np.argmax(curve[:end]))
        if curve[top] - curve[top:end].min() >= _LEAST_DROP:
            height = float(curve[top])
            return _Peak(float(radii[top]), height) if height >= _LEAST_PEAK else _Peak(0.0, 0.0)
        end -= 1
    return _Peak(0.0, 0.0)


def _ring_power(pixels: NDArray[np.float64]) -> _Spectrum:
    """Give the mean power in rings one step of the longer side wide, edges faded out."""
    if pixels.ndim != 2 or min(pixels.shape) < 16:
        raise ImageError("image", f"it has {pixels.shape} pixels", "a plane, at least 16 each way")
    power = np.abs(fft.fft2(pixels * np.outer(*(fade(n) for n in pixels.shape)))) ** 2
    y, x = (np.fft.fftfreq(n) for n in pixels.shape)
    ring = np.rint(np.hypot(y[:, None], x[None]) * max(pixels.shape)).astype(np.int64).ravel()
    n_rings = max(pixels.shape) // 2
    sums = np.bincount(ring, power.ravel(), minlength=n_rings)[:n_rings]
    counts = np.bincount(ring, minlength=n_rings)[:n_rings]
    return _Spectrum(np.arange(n_rings) / max(pixels.shape), sums / np.maximum(counts, 1))
