"""Pictures of a drift: its course, and what undoing it does to the densest place of the table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bridge.smlm.drift import Drift
from bridge.smlm.render import render_histogram

_CROP_NM = 3000.0
_CROP_PIXEL_NM = 10.0
_BAR_NM = 500.0
_COLOURS = {"x": "#1f5fa8", "y": "#c81e1e"}


def draw_drift(drift: Drift, before: pd.DataFrame, after: pd.DataFrame) -> Figure:
    """Draw the drift, and the table where it is densest before and after.

    Parameters
    ----------
    drift : Drift
        How the sample moved.
    before, after : DataFrame
        The table as it was, and without the drift.

    Returns
    -------
    Figure
        Drift over frames with its knots; two crops of 3 um, drawn at the same contrast.
    """
    figure = Figure(figsize=(11.5, 3.7), layout="constrained")
    course, left, right = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    for axis, values, knots in (
        ("x", drift.dx_nm, drift.knot_nm[:, 0]),
        ("y", drift.dy_nm, drift.knot_nm[:, 1]),
    ):
        course.plot(drift.frame, values, color=_COLOURS[axis], label=axis)
        course.plot(drift.knot_frame, knots, ".", color=_COLOURS[axis])
    course.set(xlabel="frame", ylabel="drift (nm)", title="Drift since the first frame")
    course.grid(alpha=0.25)
    course.legend(frameon=False)
    corner = _densest_corner(after)
    crops = [_crop(table, corner) for table in (before, after)]
    top = max(1.0, float(np.percentile(crops[1][crops[1] > 0], 99))) if crops[1].any() else 1.0
    for axes, crop, title in ((left, crops[0], "before"), (right, crops[1], "after")):
        _show(axes, crop, top, title)
    return figure


def sharpness(table: pd.DataFrame, *, pixel_size_nm: float) -> float:
    """Tell how much localizations gather in few pixels.

    Parameters
    ----------
    table : DataFrame
        Localizations.
    pixel_size_nm : float
        Edge of a pixel, in nm, > 0.

    Returns
    -------
    float
        Sum of squared counts over their sum; larger where the same structure is sharper.
    """
    places = np.floor(table[["y_nm", "x_nm"]].to_numpy(np.float64) / pixel_size_nm)
    _, counts = np.unique(places[:, 0] + 1j * places[:, 1], return_counts=True)
    return float((counts.astype(np.float64) ** 2).sum() / counts.sum())


def _densest_corner(table: pd.DataFrame) -> tuple[float, float]:
    """Give the corner (y, x) in nm of the crop that holds most, on a grid of half crops."""
    half = _CROP_NM / 2
    places = np.floor(table[["y_nm", "x_nm"]].to_numpy(np.float64) / half).astype(np.int64)
    cells, counts = np.unique(places, axis=0, return_counts=True)
    y, x = cells[np.argmax(counts)]
    return (y - 0.5) * half, (x - 0.5) * half


def _crop(table: pd.DataFrame, corner_nm: tuple[float, float]) -> np.ndarray:
    n = round(_CROP_NM / _CROP_PIXEL_NM)
    return render_histogram(
        table, pixel_size_nm=_CROP_PIXEL_NM, shape=(n, n), origin_nm=corner_nm
    ).values


def _show(axes: Axes, crop: np.ndarray, top: float, title: str) -> None:
    n = len(crop)
    axes.imshow(crop, cmap="hot", vmin=0, vmax=top)
    bar = _BAR_NM / _CROP_PIXEL_NM
    axes.plot([0.04 * n, 0.04 * n + bar], [0.95 * n] * 2, color="white", linewidth=3)
    axes.text(0.04 * n, 0.93 * n, f"{_BAR_NM:g} nm", color="white", va="bottom", fontsize=8)
    axes.set(title=title, xticks=[], yticks=[])
