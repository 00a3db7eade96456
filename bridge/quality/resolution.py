"""How fine an image is: Fourier ring correlation (FRC) of two images, or of a table cut in two.

Two independent images of the same structure agree at coarse detail and not at fine detail; the
length at which their correlation, ring by ring in Fourier space, falls below 1/7 is called the
resolution (Nieuwenhuizen et al., Nature Methods 10, 557 (2013)). It needs no truth, and it
measures what is reproducible, not what is right: a bias common to both images doesn't show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import uniform_filter1d

from bridge.errors import ImageError, TableError

Split = Literal["blocks", "random"]

THRESHOLD = 1 / 7

_TUKEY_SHARE = 0.25
_SMOOTHED_RINGS = 7
_MAX_SIDE_PX = 8192
_N_BLOCKS = 40


@dataclass(frozen=True, eq=False)
class RingCorrelation:
    """Correlation of two images by spatial frequency.

    Attributes
    ----------
    frequency_per_nm : ndarray, one for each ring
        Spatial frequency, in 1/nm, from 0 to half the sampling frequency.
    correlation : ndarray, one for each ring
        Correlation, -1 to 1, smoothed over 7 rings; NaN where both images have nothing.
    resolution_nm : float
        Length at which the correlation first falls below 1/7; NaN if it never does, or is below
        from the start.
    """

    frequency_per_nm: NDArray[np.float64]
    correlation: NDArray[np.float64]
    resolution_nm: float

    def resolution_at(self, threshold: float) -> float:
        """Give the length at which the correlation first falls below another threshold.

        Parameters
        ----------
        threshold : float
            Such as 0.5, which suits a noise-free truth: 1/7 is meant for two noisy images.

        Returns
        -------
        float
            In nm; NaN if it never does, or is below from the start.
        """
        return _crossing(self.frequency_per_nm, self.correlation, threshold)


@dataclass(frozen=True, eq=False)
class TableResolution:
    """Resolution of a table's image, over several cuts into halves.

    Attributes
    ----------
    resolution_nm : float
        Mean over the cuts; NaN if any has none.
    spread_nm : float
        Standard deviation over the cuts.
    split : {"blocks", "random"}
        How the table was cut.
    curves : tuple of RingCorrelation
        One for each cut.
    """

    resolution_nm: float
    spread_nm: float
    split: Split
    curves: tuple[RingCorrelation, ...]


def correlate_rings(first: xr.DataArray, second: xr.DataArray) -> RingCorrelation:
    """Correlate two images of the same field, ring by ring.

    Edges are faded out (Tukey window, 1/4), rings are one frequency step of the longer side wide.

    Parameters
    ----------
    first, second : DataArray, axes (y, x)
        Images of equal shape, at least 16 pixels each way; ``attrs["pixel_size_nm"]`` of the
        first holds y and x.

    Returns
    -------
    RingCorrelation
        The curve and the resolution.

    Raises
    ------
    ImageError
        The images differ in shape, aren't planes, are too small, hold values that aren't finite,
        or the pixel size isn't known.
    """
    size = _check(first, second)
    shape = first.shape
    window = np.outer(*(fade(n) for n in shape))
    spectra = [fft.rfft2(np.asarray(image, np.float64) * window) for image in (first, second)]
    step = 1 / max(shape[0] * size[0], shape[1] * size[1])
    frequency_y = np.fft.fftfreq(shape[0], size[0])[:, None]
    frequency_x = np.fft.rfftfreq(shape[1], size[1])[None]
    ring = np.rint(np.hypot(frequency_y, frequency_x) / step).astype(np.int64).ravel()
    n_rings = int(0.5 / max(size) / step)
    twice = np.full(spectra[0].shape, 2.0)  # the half that rfft2 leaves out mirrors the other
    twice[:, 0] = 1
    if shape[1] % 2 == 0:
        twice[:, -1] = 1

    def sum_rings(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(ring, (values * twice).ravel(), minlength=n_rings)[:n_rings]
        return sums.astype(np.float64)

    common = sum_rings((spectra[0] * spectra[1].conj()).real)
    power = [sum_rings(np.abs(spectrum) ** 2) for spectrum in spectra]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = common / np.sqrt(power[0] * power[1])
    smooth: NDArray[np.float64] = uniform_filter1d(correlation, _SMOOTHED_RINGS)
    frequency: NDArray[np.float64] = np.arange(n_rings, dtype=np.float64) * step
    return RingCorrelation(frequency, smooth, _crossing(frequency, smooth))


def measure_table(
    table: pd.DataFrame,
    *,
    pixel_size_nm: float = 5.0,
    split: Split = "blocks",
    repeats: int = 5,
    seed: int = 0,
) -> TableResolution:
    """Cut a table into two halves, count both into pixels, and correlate; several times.

    Parameters
    ----------
    table : DataFrame
        Localizations with ``x_nm`` and ``y_nm``, and ``frame`` for blocks.
    pixel_size_nm : float
        Edge of a pixel of the images, in nm, > 0; at most a quarter of the resolution expected.
    split : {"blocks", "random"}
        blocks: by 40 blocks of consecutive frames, so that an emitter that shines for several
        frames stays in one half; random: each localization by itself, which such emitters make
        look better than it is.
    repeats : int
        Number of cuts, >= 1.
    seed : int
        Seed of the cuts.

    Returns
    -------
    TableResolution
        Mean and spread over the cuts.

    Raises
    ------
    TableError
        There are too few localizations or frames, or the image would have more than 8192 pixels
        along an axis.
    """
    (y, x), edges = _lay_grid(table, pixel_size_nm)
    units = _units(table, split)
    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(repeats):
        half = rng.permutation(np.arange(units.max() + 1) % 2)[units]
        images = [
            xr.DataArray(
                np.histogram2d(y[half == h], x[half == h], bins=edges)[0],
                dims=("y", "x"),
                attrs={"pixel_size_nm": {"y": pixel_size_nm, "x": pixel_size_nm}},
            )
            for h in (0, 1)
        ]
        curves.append(correlate_rings(*images))
    each = np.array([curve.resolution_nm for curve in curves])
    spread = float(each.std(ddof=1)) if repeats > 1 else np.nan
    return TableResolution(float(each.mean()), spread, split, tuple(curves))


def fade(n: int) -> NDArray[np.float64]:
    """Give the Tukey window of 1/4: flat, with an eighth at each end fading as a cosine to 0.

    As ``scipy.signal.windows.tukey``, whose import takes longer than the measurement.

    Parameters
    ----------
    n : int
        Number of pixels, > 1.

    Returns
    -------
    ndarray, (n,)
        0 at both ends, 1 in the middle.
    """
    from_end = np.minimum(np.arange(n), np.arange(n)[::-1]) / (n - 1)
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(
        2 * np.pi * np.minimum(from_end / _TUKEY_SHARE, 0.5)
    )
    return window


def _lay_grid(
    table: pd.DataFrame, pixel_size_nm: float
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Give y and x of the localizations, and the edges of the pixels around them all."""
    places = [table[name].to_numpy(np.float64) for name in ("y_nm", "x_nm")]
    what = str(table.attrs.get("source") or "table")
    if len(table) < 100 or not all(np.isfinite(place).all() for place in places):
        raise TableError(
            what, f"{len(table)} localizations", "at least 100, all with finite x_nm and y_nm"
        )
    edges = []
    for place in places:
        low = np.floor(place.min() / pixel_size_nm)
        n_pixels = max(16, int(np.floor(place.max() / pixel_size_nm) - low) + 1)
        if n_pixels > _MAX_SIDE_PX:
            raise TableError(
                what,
                f"the localizations span {n_pixels} pixels of {pixel_size_nm:g} nm",
                f"at most {_MAX_SIDE_PX}",
                "Give a larger pixel size, or a part of the field.",
            )
        n_pixels = fft.next_fast_len(n_pixels, real=True)
        edges.append((low + np.arange(n_pixels + 1)) * pixel_size_nm)
    return places, edges


def _units(table: pd.DataFrame, split: Split) -> NDArray[np.int64]:
    """Give each localization the number of what it stays together with: its block, or itself."""
    if split == "random":
        return np.arange(len(table))
    frames = np.unique(table["frame"].to_numpy())
    if len(frames) < 2:
        raise TableError(
            str(table.attrs.get("source") or "table"),
            "all localizations are in one frame",
            "at least 2 frames to be divided",
            "Divide at random instead.",
        )
    n_blocks = min(_N_BLOCKS, len(frames))
    place = np.searchsorted(frames, table["frame"].to_numpy())
    units: NDArray[np.int64] = place * n_blocks // len(frames)
    return units


def _check(first: xr.DataArray, second: xr.DataArray) -> tuple[float, float]:
    what = str(first.attrs.get("source") or "first image")
    if first.dims != ("y", "x") or second.dims != ("y", "x") or first.shape != second.shape:
        shapes = [f"{dict(image.sizes)}" for image in (first, second)]
        raise ImageError(
            what, f"the images are {shapes[0]} and {shapes[1]}", "two planes (y, x) of equal shape"
        )
    if min(first.shape) < 16:
        raise ImageError(what, f"the image has {first.shape} pixels", "at least 16 each way")
    if not all(np.isfinite(image.values).all() for image in (first, second)):
        raise ImageError(what, "some pixels aren't finite", "numbers only")
    size = first.attrs.get("pixel_size_nm") or {}
    if not {"y", "x"} <= set(size):
        raise ImageError(
            what, "the pixel size isn't known", "attrs['pixel_size_nm'] with y and x", ""
        )
    return float(size["y"]), float(size["x"])


def _crossing(
    frequency: NDArray[np.float64], correlation: NDArray[np.float64], threshold: float = THRESHOLD
) -> float:
    """Give the length at which a curve first falls below, between rings by a straight line."""
    below = correlation < threshold
    if not below.any() or below[0]:
        return np.nan
    after = int(np.argmax(below))
    drop = correlation[after - 1] - correlation[after]
    share = (correlation[after - 1] - threshold) / drop
    return float(1 / (frequency[after - 1] + share * (frequency[after] - frequency[after - 1])))
