"""Pictures of an evaluation: who was found, how far off, and whether pixels show through.

Each function gives a matplotlib figure. Blue is right, red is false, orange is missed, grey is
theory or truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from bridge.smlm.diagnostics import SubpixelHistogram
from bridge.smlm.evaluate import Evaluation
from bridge.smlm.nena import NenaResult
from bridge.smlm.scoring import is_inside

_RIGHT, _FALSE, _MISSED, _THEORY = "#1f5fa8", "#c81e1e", "#d97706", "#666666"
_DIM = "#c4c4c4"
_WINDOW_NM = 4000.0
_MAX_POINTS = 20_000


def draw_overlay(evaluation: Evaluation, table: pd.DataFrame, truth: pd.DataFrame) -> Figure:
    """Draw detections over emitters in the frame with the most emitters, where it is densest.

    Parameters
    ----------
    evaluation : Evaluation
        What was found.
    table, truth : DataFrame
        The tables it was made from.

    Returns
    -------
    Figure
        A window of at most 4 x 4 um.
    """
    field = (evaluation.field_width_nm, evaluation.field_height_nm)
    kept = [
        is_inside(part, field_nm=field, border_nm=evaluation.border_nm) for part in (table, truth)
    ]
    frames = truth["frame"].to_numpy()
    frame = pd.Series(frames[kept[1]]).mode().iloc[0]
    rows = [
        (inside & (part["frame"] == frame).to_numpy()).nonzero()[0]
        for inside, part in zip(kept, (table, truth), strict=True)
    ]
    detections, emitters = (
        part[["x_nm", "y_nm"]].to_numpy(np.float64)[chosen] / 1000
        for part, chosen in zip((table, truth), rows, strict=True)
    )
    pairs = evaluation.pairs[evaluation.pairs["frame"] == frame]
    is_right = np.isin(rows[0], pairs["detection"])
    is_found = np.isin(rows[1], pairs["truth"])
    is_of_dim = np.isin(rows[0], evaluation.of_dim)
    is_dim = np.zeros(len(rows[1]), bool)
    if evaluation.n_dim:
        is_dim = (truth["photons"].to_numpy() <= evaluation.photon_threshold)[rows[1]]
    figure = Figure(figsize=(5.4, 5.4), layout="constrained")
    axes = figure.subplots()
    for pair in pairs.itertuples():
        ends = (table.iloc[pair.detection], truth.iloc[pair.truth])
        axes.plot(
            *([end[name] / 1000 for end in ends] for name in ("x_nm", "y_nm")),
            color=_RIGHT,
            linewidth=0.8,
        )
    _dots(axes, emitters[is_found], "emitter, found", marker="o", colour=_THEORY, hollow=True)
    _dots(
        axes,
        emitters[~is_found & ~is_dim],
        "emitter, missed",
        marker="o",
        colour=_MISSED,
        hollow=True,
    )
    _dots(axes, detections[is_right], "detection, right", marker="+", colour=_RIGHT)
    is_false = ~is_right & ~is_of_dim
    _dots(axes, detections[is_false], "detection, false", marker="x", colour=_FALSE)
    if is_dim.any():
        _dots(axes, emitters[is_dim], "dim, not counted", marker="o", colour=_DIM, hollow=True)
        _dots(axes, detections[is_of_dim], "found a dim one", marker="+", colour=_DIM)
    _zoom(axes, emitters, field)
    axes.set(xlabel="x (µm)", ylabel="y (µm)", aspect="equal", title=f"Frame {frame:.0f}")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _dots(
    axes: Axes,
    places: NDArray[np.float64],
    label: str,
    *,
    marker: str,
    colour: str,
    hollow: bool = False,
) -> None:
    style: dict[str, Any] = (
        {"facecolors": "none", "edgecolors": colour} if hollow else {"c": colour}
    )
    label = f"{label} ({len(places)} in the frame)"
    size = 70 if hollow else 45
    axes.scatter(places[:, 0], places[:, 1], size, marker=marker, label=label, **style)


def _zoom(axes: Axes, emitters: NDArray[np.float64], field_nm: tuple[float, float]) -> None:
    """Show the window around the emitter with the most neighbours; y points down, as in images."""
    half = _WINDOW_NM / 2000
    apart = np.abs(emitters[:, None] - emitters[None, :2000]).max(-1)
    middle = emitters[(apart < half).sum(1).argmax()]
    limits = []
    for place, length in zip(middle, field_nm, strict=True):
        centre = np.clip(place, half, max(half, length / 1000 - half))
        limits.append((centre - half, centre + half))
    axes.set(xlim=limits[0], ylim=limits[1][::-1])


def draw_scatter(evaluation: Evaluation) -> Figure:
    """Draw the errors of all pairs, with bias, RMSE and bound.

    Parameters
    ----------
    evaluation : Evaluation
        At least one pair.

    Returns
    -------
    Figure
        dx to the right, dy down.
    """
    pairs = evaluation.pairs
    shown = pairs.sample(min(len(pairs), _MAX_POINTS), random_state=0)
    reach = _reach(evaluation)
    figure = Figure(figsize=(4.4, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.scatter(
        shown["dx_nm"],
        shown["dy_nm"],
        s=3,
        c=_RIGHT,
        alpha=float(np.clip(3000 / len(shown), 0.08, 0.6)),
        linewidths=0,
    )
    axes.axhline(0, color="#bbbbbb", linewidth=0.6)
    axes.axvline(0, color="#bbbbbb", linewidth=0.6)
    for radius, colour, label in (
        (evaluation.rmse_per_axis_nm, "black", "RMSE along an axis"),
        (evaluation.bound_nm, _MISSED, "bound for isolated emitters"),
    ):
        if np.isfinite(radius):
            label = f"{label}: {radius:.1f} nm"
            circle = Circle((0, 0), radius, fill=False, color=colour, linewidth=1.4, label=label)
            axes.add_patch(circle)
    bias = (evaluation.bias_x_nm, evaluation.bias_y_nm)
    label = f"bias: {bias[0]:+.1f}, {bias[1]:+.1f} nm"
    axes.plot(*bias, "+", color=_FALSE, markersize=11, markeredgewidth=2, label=label)
    axes.set(xlim=(-reach, reach), ylim=(reach, -reach), aspect="equal")
    axes.set(xlabel="dx, detection minus truth (nm)", ylabel="dy (nm)")
    figure.legend(loc="outside lower center", frameon=False)
    return figure


def draw_errors(evaluation: Evaluation) -> Figure:
    """Draw histograms of the errors along each axis, with a Gaussian as wide as the bound.

    Parameters
    ----------
    evaluation : Evaluation
        At least one pair.

    Returns
    -------
    Figure
        Shares of the pairs by error.
    """
    reach = _reach(evaluation)
    edges = np.linspace(-reach, reach, 61).tolist()
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    names = [name for name in ("dx_nm", "dy_nm", "dz_nm") if name in evaluation.pairs]
    for name, colour in zip(names, (_RIGHT, "#2a9d8f", "#7b2d8b"), strict=False):
        errors = evaluation.pairs[name].to_numpy()
        weights = np.full(len(errors), 1 / len(errors) / (edges[1] - edges[0]))
        axes.hist(errors, edges, weights=weights, histtype="step", color=colour, label=name[:2])
    if np.isfinite(evaluation.bound_nm):
        x = np.linspace(-reach, reach, 400)
        bounds = evaluation.pairs["bound_nm"].dropna().sample(200, replace=True, random_state=0)
        sigma = bounds.to_numpy()[:, None]
        curve = (np.exp(-((x / sigma) ** 2) / 2) / sigma).mean(0) / np.sqrt(2 * np.pi)
        axes.plot(x, curve, color=_THEORY, linestyle="--", label="at the bound")
    axes.margins(y=0.08)
    axes.set(xlabel="error (nm)", ylabel="share of pairs per nm", xlim=(-reach, reach))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def _reach(evaluation: Evaluation) -> float:
    errors = np.abs(evaluation.pairs[["dx_nm", "dy_nm"]].to_numpy())
    return float(max(1.0, min(evaluation.tolerance_nm, 1.3 * np.quantile(errors, 0.99))))


def draw_subpixel(found: SubpixelHistogram, truth: SubpixelHistogram | None) -> Figure:
    """Draw where in their camera pixels localizations lie.

    Parameters
    ----------
    found : SubpixelHistogram
        The detections.
    truth : SubpixelHistogram, optional
        The emitters.

    Returns
    -------
    Figure
        Shares by place in the pixel, relative to a flat distribution; x left, y right.
    """
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    both = figure.subplots(1, 2, sharey=True)
    for axes, axis in zip(both, "xy", strict=True):
        counts = getattr(found, axis)
        edges = np.linspace(0, 1, len(counts) + 1)
        shares = counts / max(counts.mean(), 1e-9)
        axes.stairs(shares, edges, fill=True, color="#9dbde0", label="detections")
        if truth is not None:
            counts = getattr(truth, axis)
            axes.stairs(counts / counts.mean(), edges, color="black", label="emitters")
        axes.axhline(1, color=_THEORY, linestyle="--", linewidth=0.8, label="flat")
        axes.set(xlabel=f"{axis} within the pixel", xlim=(0, 1), ylim=(0, None))
    both[0].set_ylabel("share, flat = 1")
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def draw_nena(found: NenaResult) -> Figure:
    """Draw how far rows are from their nearest neighbours in the next frame.

    Parameters
    ----------
    found : NenaResult
        The measurement, with a histogram.

    Returns
    -------
    Figure
        Distances, what the fit expects in all, and of emitters found again.
    """
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    middle = (found.edges_nm[1:] + found.edges_nm[:-1]) / 2
    axes.stairs(found.counts, found.edges_nm, fill=True, color="#9dbde0", label="neighbours")
    if np.isfinite(found.precision_nm):
        axes.plot(middle, found.fitted, color="black", linewidth=1, label="fit")
        label = f"found again: {found.precision_nm:.1f} nm"
        axes.plot(middle, found.fitted_same, "--", color=_FALSE, linewidth=1.2, label=label)
    axes.set(xlabel="distance to the nearest in the next frame (nm)", ylabel="rows")
    axes.set(xlim=(0, found.edges_nm[-1]), ylim=(0, None))
    axes.legend(frameon=False)
    return figure
