"""The figures of one restored image, by name: which there are, and what is good.

Every figure is measured with the same :class:`Ruler` for all models and fields: one data range, one
kernel, one band, one set of filters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from bridge.quality import metrics, sharpness, structure
from bridge.quality.consistency import Consistency, compare_with_input
from bridge.quality.lpips import LEAST_PX, Lpips
from bridge.quality.resolution import correlate_rings

Better = Literal["high", "low", "near"]


@dataclass(frozen=True)
class Figure:
    """What a figure is."""

    name: str
    """In tables for programs."""
    heading: str
    """In tables for people, with its unit."""
    better: Better
    """Whether high or low is good, or near to ``ideal``."""
    digits: int = 3
    """After the point."""
    ideal: float = 0.0
    """What is best, where near is good."""
    is_ranked: bool = True
    """Whether models are ranked by it."""

    def merit(self, value: float) -> float:
        """Give a number that is higher for what is better; minus infinity for what is none."""
        if math.isnan(value):
            return -math.inf
        return {"high": value, "low": -value, "near": -abs(value - self.ideal)}[self.better]


PERCEPTUAL: Final = "perceptual"
"""Name of the perceptual distance, whichever weights it has."""

FIGURES: Final = (
    Figure("psnr_db", "PSNR dB", "high", 2),
    Figure("ssim", "SSIM", "high"),
    Figure(PERCEPTUAL, "LPIPS", "low"),
    Figure("range_invariant_psnr_db", "range-invariant PSNR dB", "high", 2),
    Figure("micro_ssim", "MicroSSIM", "high"),
    Figure("ms_ssim", "MS-SSIM", "high"),
    Figure("nrmse", "NRMSE", "low"),
    Figure("gradient_deviation", "GMSD", "low"),
    Figure("band_power", "band power (log10)", "near", 2),
    Figure("gradient_distance", "gradient distance x100", "low", 2),
    Figure("flux_ratio", "flux ratio", "near", ideal=1.0),
    Figure("frc_half_nm", "FRC 1/2 nm", "low", 0),
    Figure("frc_seventh_nm", "FRC 1/7 nm", "low", 0),
    Figure("decorrelation_nm", "decorrelation nm", "low", 0, is_ranked=False),
    Figure("rsp", "RSP", "high"),
    Figure("rsp_below_ceiling", "RSP below its ceiling", "low"),
    Figure("rse", "RSE", "low"),
    Figure("spread_correlation", "SD against error r", "high", 2, is_ranked=False),
)
"""All figures, in the order of the tables. Decorrelation takes noise for detail: no rank."""


@dataclass(frozen=True)
class Ruler:
    """What figures are measured with, the same for all.

    Attributes
    ----------
    data_range : float
        What the images span.
    black : float
        Value of what is dark; taken off image and truth before anything is measured.
    sigma_px : float or None
        Kernel between target and input, in target pixels; None measures no consistency.
    band_per_px : (float, float) or None
        Band of spatial frequencies that the target has and the input lacks; None measures none.
    pixel_size_nm : float or None
        Edge of a target pixel; None measures no resolution.
    lpips : Lpips or None
        The perceptual distance; None measures none.
    """

    data_range: float
    black: float = 0.0
    sigma_px: float | None = None
    band_per_px: tuple[float, float] | None = None
    pixel_size_nm: float | None = None
    lpips: Lpips | None = None


def measure(
    image: NDArray[np.float32],
    wanted: xr.DataArray,
    observed: xr.DataArray,
    ruler: Ruler,
    *,
    spread: NDArray[np.float32] | None = None,
) -> dict[str, float]:
    """Measure one restored image.

    Parameters
    ----------
    image : ndarray, axes (Y, X)
        The restored image.
    wanted : DataArray, axes (Y, X)
        Its truth, or its target.
    observed : DataArray, axes (y, x)
        Its input.
    ruler : Ruler
        What it is measured with.
    spread : ndarray, axes (Y, X), optional
        Uncertainty that the model states.

    Returns
    -------
    dict of str to float
        By the names in ``FIGURES``, without ``micro_ssim`` and ``rsp_below_ceiling``, which need
        more than one image. NaN where a figure can't be measured; all are NaN for an image with
        pixels that are no numbers.
    """
    found = {one.name: math.nan for one in FIGURES}
    for name in ("micro_ssim", "rsp_below_ceiling"):
        del found[name]
    if not np.isfinite(image).all():
        return found
    truth = np.asarray(wanted, np.float64) - ruler.black
    image = image - np.float32(ruler.black)
    reach = ruler.data_range
    found |= {
        "psnr_db": metrics.peak_signal_to_noise(image, truth, data_range=reach),
        "ssim": structure.structural_similarity(image, truth, data_range=reach),
        "range_invariant_psnr_db": metrics.range_invariant_psnr(image, truth),
        "nrmse": metrics.normalised_rmse(image, truth),
        "gradient_deviation": structure.gradient_deviation(image, truth, data_range=reach),
        "gradient_distance": sharpness.gradient_distance(image, truth, data_range=reach),
        "flux_ratio": metrics.flux_ratio(image, truth),
    }
    if min(truth.shape) >= structure.LEAST_MULTISCALE_PX:
        found["ms_ssim"] = structure.multiscale_ssim(image, truth, data_range=reach)
    if ruler.lpips is not None and min(truth.shape) >= LEAST_PX:
        found[PERCEPTUAL] = ruler.lpips.distance(image, truth, data_range=reach)
    if ruler.band_per_px is not None:
        found["band_power"] = sharpness.band_power(image, truth, band_per_px=ruler.band_per_px)
    if ruler.pixel_size_nm is not None:
        found |= _measure_detail(image, truth, ruler.pixel_size_nm)
    if ruler.sigma_px is not None:
        fit = agree_with_input(image, observed, sigma_px=ruler.sigma_px)
        found |= {"rsp": fit.rsp, "rse": fit.rse}
    if spread is not None and np.isfinite(spread).all():
        found["spread_correlation"] = metrics.pearson(spread, np.abs(image - truth))
    return found


def agree_with_input(image: ArrayLike, observed: xr.DataArray, *, sigma_px: float) -> Consistency:
    """Compare a restored image with its input, whatever pixel sizes the files say.

    Parameters
    ----------
    image : array_like, axes (Y, X)
        Restored or true image.
    observed : DataArray, axes (y, x)
        Its input.
    sigma_px : float
        Kernel between both, in pixels of the image.

    Returns
    -------
    Consistency
    """
    plain = [xr.DataArray(np.asarray(pixels), dims=("y", "x")) for pixels in (image, observed)]
    return compare_with_input(*plain, sigma_px=sigma_px)


def _measure_detail(
    image: NDArray[np.float32], truth: NDArray[np.float64], pixel_size_nm: float
) -> dict[str, float]:
    """Give ring correlations with the truth, at best two pixels, and the image's own cut-off."""
    names = ("frc_half_nm", "frc_seventh_nm", "decorrelation_nm")
    if image.min() == image.max() or min(image.shape) < 32:
        return dict.fromkeys(names, math.nan)
    size = {"pixel_size_nm": {"y": pixel_size_nm, "x": pixel_size_nm}}
    seen = xr.DataArray(image, dims=("y", "x"), attrs=size)
    curve = correlate_rings(seen, xr.DataArray(truth, dims=("y", "x"), attrs=size))
    lengths = []
    for threshold in (0.5, 1 / 7):
        never_falls = bool((curve.correlation >= threshold).all())
        lengths.append(2 * pixel_size_nm if never_falls else curve.resolution_at(threshold))
    return dict(zip(names, (*lengths, sharpness.decorrelation_nm(seen)), strict=True))
