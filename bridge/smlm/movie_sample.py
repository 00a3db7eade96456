"""A sample of a movie's frames, and what their pixels say before any spot is fitted.

::

    movie   |--------------------------------------------------|
    sample  ||      ||      ||      ||      ||      ||      ||      pairs of neighbouring frames
    runs    [           ][               ][                ]        at most 20 frames each

Pairs tell frames that were dropped and repeated, and their difference is noise and blinking alone,
without what a chip or a sample shows in every frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from bridge.smlm.spot_search import Light, clipped_deviation, rough_part

MOST_FRAMES = 100
"""Frames looked at."""

AREA_PX = 16
"""Edge of the areas whose background is told, in pixels."""

_LEAST_FRAMES = 8
_MOST_PIXELS = 1 << 25
_RUN_FRAMES = 20
_BELOW_OFFSET = 6.0
_NEAR_TOP = 0.02  # of the range between a frame's median and its highest count
_PILED_UP = (10, 3)  # so many pixels at the top, and so many times those just below
_LOW_QUANTILE = 0.02
_LOW_Z = -2.0537  # of a normal distribution
_BLURRED = 3  # pixels; leaves a third of the noise


def choose_frames(n_frames: int, frame_px: int) -> list[int]:
    """Choose frames spread over a movie, in pairs of neighbours where not all are taken.

    Parameters
    ----------
    n_frames : int
        Length of the movie, >= 1.
    frame_px : int
        Pixels of a frame.

    Returns
    -------
    list of int
        Frames from 0, in order, at most 100.
    """
    most = int(np.clip(_MOST_PIXELS // max(frame_px, 1), _LEAST_FRAMES, MOST_FRAMES))
    if n_frames <= most:
        return list(range(n_frames))
    first = np.unique(np.linspace(0, n_frames - 2, most // 2).astype(int))
    return sorted({int(number) for number in (*first, *(first + 1))})


def split_runs(chosen: list[int]) -> list[list[int]]:
    """Split the chosen frames into runs that are looked at together; pairs stay together.

    Parameters
    ----------
    chosen : list of int
        Frames from 0, in order.

    Returns
    -------
    list of list of int
        At most 20 frames each.
    """
    return [chosen[i : i + _RUN_FRAMES] for i in range(0, len(chosen), _RUN_FRAMES)]


def read_frames(movie: xr.DataArray, numbers: list[int]) -> NDArray[np.generic]:
    """Read frames one by one; gives their counts (t, y, x) in the movie's type."""
    return np.stack([np.asarray(movie.isel(t=number).values) for number in numbers])


@dataclass
class CountTally:
    """What the counts themselves say, added up frame by frame.

    Parameters
    ----------
    ceilings : tuple of float
        Counts at and above which a pixel is saturated for sure.
    """

    ceilings: tuple[float, ...]
    lowest: float = np.inf
    highest: float = -np.inf
    n_pixels: int = 0
    n_not_finite: int = 0
    n_constant: int = 0
    n_repeated: int = 0
    _n_at_ceiling: int = 0
    _tops: list[tuple[float, int, int]] = field(default_factory=list)
    _last: tuple[int, NDArray[np.generic]] | None = None

    def add(self, number: int, frame: NDArray[np.generic]) -> bool:
        """Add a frame (y, x); tells whether to measure it: it is neither constant nor repeated."""
        finite = np.isfinite(frame)
        self.n_not_finite += int(frame.size - finite.sum())
        values = frame[finite]
        before, self._last = self._last, (number, frame)
        if not values.size:
            return False
        low, high = float(values.min()), float(values.max())
        self.n_pixels += values.size
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        if low == high:
            self.n_constant += 1
            return False
        near = high - max(_NEAR_TOP * (high - float(np.median(values))), 1.0)
        n_top = int((values == high).sum())
        self._tops.append((high, n_top, int((values >= near).sum()) - n_top))
        self._n_at_ceiling += int((values >= min(self.ceilings)).sum()) if self.ceilings else 0
        is_repeated = before is not None and before[0] == number - 1
        is_repeated = is_repeated and before is not None and np.array_equal(before[1], frame)
        self.n_repeated += is_repeated
        return not is_repeated

    def saturated_share(self) -> float:
        """Give the share of the pixels that are at the top of what could be recorded."""
        at_top = [(n_top, n_near) for high, n_top, n_near in self._tops if high == self.highest]
        n_top, n_near = (sum(part) for part in zip(*at_top, strict=True)) if at_top else (0, 0)
        least, times = _PILED_UP
        is_piled_up = n_top >= least and n_top > times * n_near
        n_saturated = max(self._n_at_ceiling, n_top if is_piled_up else 0)
        return n_saturated / max(self.n_pixels, 1)


def share_below_offset(light: Light) -> float:
    """Give the share of pixels that are darker than read noise can make them."""
    floor = light.dark - _BELOW_OFFSET * np.sqrt(light.variance)
    return float((light.values < floor).mean())


def measure_noise(light: Light, numbers: list[int]) -> tuple[float, float]:
    """Compare the noise of the darker pixels with what the camera makes of their light.

    Parameters
    ----------
    light : Light
        A run of frames.
    numbers : list of int
        Their numbers in the movie, to find neighbours.

    Returns
    -------
    (float, float)
        Variance found over variance expected, and the share of the light's own noise in what is
        expected, 0 to 1; means over the pairs of neighbours, or over single frames where there are
        none.
    """
    values = light.values
    pairs = [i for i in range(len(values) - 1) if numbers[i + 1] == numbers[i] + 1]
    ratios, shares = [], []
    for i in pairs or range(len(values)):
        two = values[i : i + 2] if pairs else values[i : i + 1]
        rough = rough_part(two[1] - two[0]) / np.sqrt(2) if pairs else rough_part(two[0])
        around = ndimage.uniform_filter(two.mean(axis=0), 5)[1:-1, 1:-1]
        variance = light.variance[1:-1, 1:-1]
        is_dark = around <= np.median(around)
        shot = np.maximum(around[is_dark], 0)
        expected = shot + variance[is_dark]
        ratios.append(clipped_deviation(rough[is_dark] / np.sqrt(expected)) ** 2)
        shares.append(float(shot.mean() / expected.mean()))
    return float(np.median(ratios)), float(np.median(shares))


def measure_background(light: Light, noise_ratio: float) -> NDArray[np.float64]:
    """Estimate the background in small areas from their darkest places.

    A low quantile of slightly blurred pixels is what little noise leaves of the background between
    emitters; how far it lies below the mean follows from the camera.

    Parameters
    ----------
    light : Light
        A run of frames.
    noise_ratio : float
        Variance of the noise over what the camera says, >= 0.

    Returns
    -------
    ndarray, axes (area row, area column)
        Mean light per pixel, in the unit of ``light``.
    """
    blurred = np.stack([ndimage.uniform_filter(frame, _BLURRED) for frame in light.values])
    n_y, n_x = (max(1, edge // AREA_PX) for edge in light.variance.shape)
    levels = np.empty((n_y, n_x))
    for row in range(n_y):
        for column in range(n_x):
            area = np.s_[
                row * AREA_PX : (row + 1) * AREA_PX, column * AREA_PX : (column + 1) * AREA_PX
            ]
            low = float(np.quantile(blurred[:, *area], _LOW_QUANTILE))
            read = float(light.variance[area].mean())
            # low = level + k sqrt(level + read): a quadratic equation in the root
            k = _LOW_Z / _BLURRED * np.sqrt(noise_ratio)
            root = (-k + np.sqrt(k**2 + 4 * max(low + read, 0.0))) / 2
            levels[row, column] = root**2 - read
    return levels
