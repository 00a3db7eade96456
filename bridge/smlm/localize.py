"""Positions from heatmaps: the peaks of a network's output, found to a part of a pixel.

A heatmap has a fine grid over each camera frame, and is high where emitters are. Coordinates start
at the **outer corner** of the top left pixel: fine pixel ``i`` covers ``i`` to ``i + 1`` fine
pixels, and its middle is at ``(i + 0.5) * pixel_size_nm / upscaling``. (The ZeroCostDL4Mic notebook
writes ``i * pixel_size_nm / upscaling``, half a fine pixel less.)

How high a peak is depends on network, density and brightness: after short training a lone emitter
may reach a tenth of what the label had. So a threshold is a share of the output's own peaks, unless
an absolute one is given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import InputError
from bridge.smlm import peak_kernels as kernels

AUTO_SHARE = 0.2
"""Share of the typical peak that is enough where nothing is asked for.

With the package deep-storm, shares from 0.2 to 0.35 give the same efficiency of the SMLM challenge
to 2 % on its own demo.
"""

LEAST_OF_EMITTER = 0.01
"""Share of one emitter's sum that a fine pixel has to reach, where the model states that sum."""

_SUPPRESSED_NM = 60.0
_MOST_AUTO_RADIUS_PX = 5


@dataclass(frozen=True)
class Threshold:
    """How high a peak must be.

    Parameters
    ----------
    kind : {"auto", "relative", "absolute"}
        "auto": ``AUTO_SHARE`` of the typical peak, and no less than ``LEAST_OF_EMITTER`` of what
        one emitter adds up to, so that an empty movie stays empty.
    value : float
        "relative": share of the typical peak, > 0; "absolute": value of the heatmap, >= 0.
    """

    kind: Literal["auto", "relative", "absolute"] = "auto"
    value: float = AUTO_SHARE

    @classmethod
    def parse(cls, text: str, *, what: str = "threshold") -> Self:
        """Read ``auto``, a share such as ``20%`` or a value of the heatmap such as ``2.5``.

        Raises
        ------
        InputError
            It is none of these, or out of range.
        """
        word = text.strip().lower()
        if word == "auto":
            return cls()
        is_share = word.endswith("%")
        try:
            number = float(word.removesuffix("%"))
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number >= 0) or (is_share and number == 0):
            raise InputError(
                what,
                repr(text),
                "auto, a share of the typical peak such as 20%, or a value such as 2.5",
                "auto suits most movies.",
            )
        return cls("relative", number / 100) if is_share else cls("absolute", number)

    def settle(
        self, heights: NDArray[np.float32], *, sum_per_emitter: float | None = None
    ) -> float:
        """Turn it into a value of the heatmap.

        Parameters
        ----------
        heights : ndarray, (n,)
            Heights of all peaks of some frames; an absolute threshold needs none.
        sum_per_emitter : float, optional
            What the pixels of one emitter add up to, where the model says it, > 0.

        Returns
        -------
        float
            Peaks above it count, >= 0.
        """
        if self.kind == "absolute":
            return self.value
        wanted = self.value * typical_height(heights)
        if self.kind == "auto" and sum_per_emitter:
            return max(wanted, LEAST_OF_EMITTER * sum_per_emitter)
        return wanted


def typical_height(heights: NDArray[np.float32]) -> float:
    """Give the height above and below which the peaks' squared heights add up to the same.

    The many low peaks of haze hardly count in it, and a few outliers don't move it.

    Parameters
    ----------
    heights : ndarray, (n,)
        Heights of peaks, each > 0.

    Returns
    -------
    float
        The weighted median; 0 without peaks.
    """
    if not heights.size:
        return 0.0
    ordered = np.sort(heights.astype(np.float64))
    weight = np.cumsum(ordered**2)
    return float(ordered[np.searchsorted(weight, weight[-1] / 2)])


def choose_radius(fine_pixel_nm: float) -> int:
    """Choose the radius of a peak's window, in fine pixels: about 60 nm, 1 to 5 pixels."""
    return max(1, min(_MOST_AUTO_RADIUS_PX, round(_SUPPRESSED_NM / fine_pixel_nm)))


def find_peaks(
    heatmap: xr.DataArray | NDArray[Any],
    *,
    upscaling: float,
    pixel_size_nm: float,
    threshold: Threshold | float | None = None,
    radius: int = 0,
    sum_per_emitter: float | None = None,
    first_frame: int = 1,
    readings: Mapping[str, NDArray[Any]] | None = None,
) -> pd.DataFrame:
    """Find the emitters of a heatmap: its local maxima, each with its centre of gravity.

    A peak is a pixel above the threshold with no higher one within ``radius``; pixels of the same
    height that touch are one peak. Its place is the centre of gravity of the window around it,
    which follows the centre, so that the place has no preference within a pixel.

    Parameters
    ----------
    heatmap : DataArray or ndarray, axes (y, x) or (t, y, x)
        One frame or a stack; any numbers, no NaN.
    upscaling : float
        Fine pixels along the edge of a camera pixel, > 0.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    threshold : Threshold or float, optional
        How high a peak must be; a number is a value of the heatmap. By default automatic.
    radius : int
        Half width of the window, in fine pixels: it has ``2 radius + 1``. 0: about 60 nm, 1 to 5.
    sum_per_emitter : float, optional
        What the pixels of one emitter add up to, for the automatic threshold.
    first_frame : int
        Number of the first frame.
    readings : mapping of str to ndarray, optional
        Further outputs on the same grid, such as ``photons``: each becomes a column, read at the
        peak's highest pixel.

    Returns
    -------
    DataFrame
        ``frame``, ``x_nm``, ``y_nm``, then ``readings``; ordered by frame, then from the top.
        ``attrs["pixel_size_nm"]`` is the camera's, ``attrs["threshold"]`` the value used.

    Raises
    ------
    ValueError
        The heatmap isn't 2D or 3D, or a number is out of range.
    """
    stack = np.asarray(heatmap)
    stack = stack[None] if stack.ndim == 2 else stack
    if stack.ndim != 3:
        raise ValueError(f"a heatmap has the axes (y, x) or (t, y, x), not {np.ndim(heatmap)} axes")
    if not (upscaling > 0 and pixel_size_nm > 0 and radius >= 0):
        raise ValueError("upscaling and pixel_size_nm are above 0, and radius isn't below 0")
    if not isinstance(threshold, Threshold):
        threshold = Threshold() if threshold is None else Threshold("absolute", float(threshold))
    fine_pixel_nm = pixel_size_nm / upscaling
    radius = radius or choose_radius(fine_pixel_nm)
    lowest = threshold.value if threshold.kind == "absolute" else 0.0
    planes = {
        name: np.asarray(values).reshape(stack.shape) for name, values in (readings or {}).items()
    }
    found = [
        frame_peaks(
            plane,
            threshold=lowest,
            radius=radius,
            readings={name: values[number] for name, values in planes.items()},
        )
        for number, plane in enumerate(stack)
    ]
    used = threshold.settle(
        np.concatenate([peaks.heights for peaks in found]), sum_per_emitter=sum_per_emitter
    )
    numbered = {first_frame + number: peaks.above(used) for number, peaks in enumerate(found)}
    table = make_table(numbered, fine_pixel_nm=fine_pixel_nm, reading_names=list(planes))
    table.attrs.update(pixel_size_nm=pixel_size_nm, threshold=used)
    return table


@dataclass(frozen=True)
class FramePeaks:
    """The peaks of one frame.

    Attributes
    ----------
    centres : ndarray, (n, 2)
        y and x from the frame's outer corner, in fine pixels.
    heights : ndarray, (n,)
        The heatmap's value at each.
    readings : dict of ndarray, (n,)
        Further outputs' values there.
    """

    centres: NDArray[np.float64]
    heights: NDArray[np.float32]
    readings: dict[str, NDArray[np.float64]]

    def above(self, threshold: float) -> FramePeaks:
        """Give those that are higher than a threshold."""
        kept = self.heights > threshold
        readings = {name: values[kept] for name, values in self.readings.items()}
        return FramePeaks(self.centres[kept], self.heights[kept], readings)


def frame_peaks(
    frame: NDArray[Any],
    *,
    threshold: float,
    radius: int,
    readings: Mapping[str, NDArray[Any]] | None = None,
) -> FramePeaks:
    """Find the peaks of one frame above a value of the heatmap.

    Parameters
    ----------
    frame : ndarray, axes (y, x)
        The heatmap.
    threshold : float
        Peaks are higher.
    radius : int
        Half width of the window, in pixels, >= 1.
    readings : mapping of str to ndarray, axes (y, x), optional
        Further outputs to read at the peaks.

    Returns
    -------
    FramePeaks
    """
    pixels = np.ascontiguousarray(frame, np.float32)
    rows, columns = kernels.find_maxima(pixels, float(threshold), radius)
    centres = kernels.find_centres(pixels, rows, columns, radius)
    values = {
        name: np.asarray(plane)[rows, columns].astype(np.float64)
        for name, plane in (readings or {}).items()
    }
    return FramePeaks(centres, pixels[rows, columns], values)


def make_table(
    found: Mapping[int, FramePeaks], *, fine_pixel_nm: float, reading_names: list[str]
) -> pd.DataFrame:
    """Make a table of localizations of the peaks of all frames.

    Parameters
    ----------
    found : mapping of int to FramePeaks
        By frame, from 1.
    fine_pixel_nm : float
        Edge of a pixel of the heatmap, in nm.
    reading_names : list of str
        The columns besides frame, x and y.

    Returns
    -------
    DataFrame
        One row for each peak.
    """
    counts = [len(peaks.heights) for peaks in found.values()]
    centres = np.concatenate([np.zeros((0, 2)), *(peaks.centres for peaks in found.values())])
    columns: dict[str, NDArray[Any]] = {
        "frame": np.repeat(np.array(list(found), np.int64), counts),
        "x_nm": centres[:, 1] * fine_pixel_nm,
        "y_nm": centres[:, 0] * fine_pixel_nm,
    }
    for name in reading_names:
        each = [peaks.readings[name] for peaks in found.values()]
        columns[name] = np.concatenate([np.zeros(0), *each])
    return pd.DataFrame(columns)
