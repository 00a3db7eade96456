"""Pictures of a contest: each localizer a colour of its own, theory black, chance grey.

Colours are Okabe and Ito's, which the colour-blind can tell apart; markers differ too, and each
line has its name at its end.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from bridge.smlm.contest import Contest, Standing, Window

_NETWORKS: Final = ("#0072B2", "#009E73", "#56B4E9", "#332288")
_OTHERS: Final = ("#D55E00", "#CC79A7", "#E69F00", "#882255", "#999933")
_MARKERS: Final = "osD^vP*X"
_THEORY, _CHANCE = "#111111", "#8a8a8a"
_LABEL_WIDTH: Final = 16
_LABEL_STEP: Final = 0.085  # of the height, between the middles of labels
_LINE_STEP: Final = 0.06  # more for each further line of a label
_TEXT: Final[Any] = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
}


class Style(NamedTuple):
    """How a localizer is drawn."""

    colour: str
    marker: str


class _Label(NamedTuple):
    height: float
    text: str
    colour: str


def choose_styles(standings: Sequence[Standing]) -> list[Style]:
    """Give each localizer a colour and a marker: cool ones to networks, warm ones to others."""
    styles, used = [], {"network": 0, "other": 0}
    for number, standing in enumerate(standings):
        group = "network" if standing.kind == "network" else "other"
        colours = _NETWORKS if group == "network" else _OTHERS
        styles.append(Style(colours[used[group] % len(colours)], _MARKERS[number % len(_MARKERS)]))
        used[group] += 1
    return styles


@rc_context(_TEXT)
def draw_densities(contest: Contest) -> Figure:
    """Draw Jaccard index and lateral error over density, with chance and what theory allows.

    Parameters
    ----------
    contest : Contest
        Of several densities.

    Returns
    -------
    Figure
        Two panels; legible at a width of 900 pixels.
    """
    figure, (left, right) = _make(1, 2, (10.4, 4.3))
    chance = np.nanmax([_column(s, "chance_jaccard") for s in contest.standings], axis=0)
    by_chance = [("by chance", chance, {"color": _CHANCE, "linestyle": ":"})]
    labels = _draw_lines(left, contest, "jaccard", by_chance)
    left.fill_between(contest.densities, chance, color=_CHANCE, alpha=0.13, linewidth=0)
    left.set(ylim=(0, 1.03), title="Jaccard index: found and right, of all")
    _label_ends(left, labels)
    labels = _draw_lines(right, contest, "rmse_nm", _bound_lines(contest))
    right.set_ylim(bottom=0)
    _label_ends(right, labels)
    right.set(title="lateral error (RMSE, nm) of what was found")
    return figure


@rc_context(_TEXT)
def draw_efficiency(contest: Contest) -> Figure:
    """Draw the efficiency of the SMLM challenge, in per cent, over density."""
    figure, axes = _make(1, 1, (5.6, 4.0))
    labels = _draw_lines(axes, contest, "efficiency", [], factor=100.0)
    values = np.concatenate([_column(s, "efficiency") for s in contest.standings])
    low = 100 * min([0.0, *values[np.isfinite(values)]])
    axes.axhline(0, color=_CHANCE, linewidth=0.8)
    axes.set(ylim=(max(low - 4, -40), 100), title="efficiency (%)")
    _label_ends(axes, labels)
    return figure


@rc_context(_TEXT)
def draw_uncertainties(contest: Contest) -> Figure:
    """Draw errors over stated uncertainties (robust SD) over density; 1 is honest."""
    figure, axes = _make(1, 1, (5.6, 4.0))
    honest = np.ones(len(contest.densities))
    style = {"color": _THEORY, "linestyle": "--"}
    labels = _draw_lines(axes, contest, "robust_sd", [("honest", honest, style)])
    axes.set_ylim(bottom=0)
    _label_ends(axes, labels)
    axes.set(title="errors over stated uncertainties (robust SD)")
    return figure


@rc_context(_TEXT)
def draw_lone(contest: Contest) -> Figure:
    """Draw the error of lone emitters, over the least that theory allows, by their photons."""
    figure, axes = _make(1, 1, (5.6, 4.0))
    labels = [_Label(1.0, "bound", _THEORY)]
    axes.axhline(1, color=_THEORY, linestyle="--", linewidth=1.5)
    highest = 1.0
    for standing, style in zip(contest.standings, choose_styles(contest.standings), strict=True):
        photons = [score.photons for score in standing.lone]
        ratio = np.array([score.rmse_nm / score.bound_nm for score in standing.lone])
        if not np.isfinite(ratio).any():
            continue
        _line(axes, photons, ratio, style)
        labels.append(_Label(_last(ratio), standing.name, style.colour))
        highest = max(highest, float(np.nanmax(ratio)))
    axes.set(xscale="log", xlabel="photons of a lone emitter", ylim=(0, min(1.15 * highest, 4)))
    axes.set(title="lone emitters: error over the bound")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    _mark_ticks(axes, [score.photons for score in contest.standings[0].lone])
    _label_ends(axes, labels)
    return figure


@rc_context(_TEXT)
def draw_bars(contest: Contest) -> Figure:
    """Draw the scores of one movie as bars, with chance and what theory allows.

    Parameters
    ----------
    contest : Contest
        Of one density.

    Returns
    -------
    Figure
        Jaccard index on the left, lateral error on the right.
    """
    n = len(contest.standings)
    figure, (left, right) = _make(1, 2, (10.4, 1.5 + 0.5 * n))
    styles = choose_styles(contest.standings)
    names = [textwrap.fill(s.name, 24) for s in contest.standings]
    places = np.arange(n)[::-1]
    for axes, name, form in ((left, "jaccard", "{:.3f}"), (right, "rmse_nm", "{:.1f}")):
        values = [getattr(s.scores[0], name) for s in contest.standings]
        bars = axes.barh(places, values, 0.62, color=[style.colour for style in styles])
        axes.bar_label(bars, [form.format(value) for value in values], padding=3)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    for place, standing in zip(places, contest.standings, strict=True):
        chance = standing.scores[0].chance_jaccard
        left.plot([chance] * 2, [place - 0.4, place + 0.4], color=_CHANCE, linewidth=2)
    left.set_yticks(places, names)
    right.set_yticks([])
    left.set(xlim=(0, 1.12), title="Jaccard index (grey: by chance)")
    right.margins(x=0.15)
    for label, bounds, look in _bound_lines(contest):
        right.axvline(bounds[0], label=f"{label}: {bounds[0]:.1f}", **look)
    right.set(title="lateral error (RMSE, nm) of what was found")
    if contest.bounds:
        right.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.12), ncols=2)
    return figure


@rc_context(_TEXT)
def draw_windows(contest: Contest, window: Window) -> Figure:
    """Draw a part of a frame for each localizer: emitters as circles, detections as crosses."""
    n = len(contest.standings)
    columns = n if n < 4 else 2 if n == 4 else 3
    rows = math.ceil(n / columns)
    figure, panels = _make(rows, columns, (3.45 * columns, 3.75 * rows + 0.3))
    styles = choose_styles(contest.standings)
    size_um = window.pixel_size_nm / 1000
    height, width = (edge * size_um for edge in window.image.shape)
    x, y = (corner / 1000 for corner in window.corner_nm)
    edge = window.edge_nm / 1000
    shown = window.image[_cut(y, edge, size_um), _cut(x, edge, size_um)]
    low, high = np.percentile(shown.astype(np.float64), (1, 99.8))
    for axes, standing, style in zip(np.ravel(panels), contest.standings, styles, strict=False):
        extent = (0.0, width, height, 0.0)
        axes.imshow(window.image, cmap="gray", extent=extent, vmin=low, vmax=high * 1.15)
        axes.scatter(
            window.truth["x_nm"] / 1000,
            window.truth["y_nm"] / 1000,
            60,
            facecolors="none",
            edgecolors="white",
            linewidths=1.1,
        )
        if len(standing.in_window):
            found = standing.in_window
            axes.scatter(
                found["x_nm"] / 1000, found["y_nm"] / 1000, 48, c="black", marker="+", lw=3.2
            )
            axes.scatter(
                found["x_nm"] / 1000, found["y_nm"] / 1000, 42, c="#FFD21F", marker="+", lw=1.5
            )
        axes.set(xlim=(x, x + edge), ylim=(y + edge, y), xticks=[], yticks=[])
        axes.set_title(
            f"{standing.name}: {len(standing.in_window)} detections",
            color=style.colour,
            fontweight="bold",
        )
        for spine in axes.spines.values():
            spine.set_visible(False)
    for axes in np.ravel(panels)[n:]:
        axes.set_axis_off()
    first = np.ravel(panels)[0]
    first.plot([x + 0.2, x + 0.7], [y + edge - 0.2] * 2, color="white", linewidth=3)
    first.text(x + 0.45, y + edge - 0.28, "500 nm", color="white", ha="center", va="bottom")
    return figure


def _cut(start: float, edge: float, step: float) -> slice:
    return slice(int(start / step), max(math.ceil((start + edge) / step), 1))


def _make(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns)


def _column(standing: Standing, name: str) -> NDArray[np.float64]:
    return np.array([getattr(score, name) for score in standing.scores], np.float64)


def _bound_lines(contest: Contest) -> list[tuple[str, NDArray[np.float64], dict[str, Any]]]:
    """Give what theory allows: in the crowd, and alone."""
    lines: list[tuple[str, NDArray[np.float64], dict[str, Any]]] = []
    if contest.bounds:
        crowd = np.array([bound.median_nm for bound in contest.bounds])
        lines.append(("median bound in the crowd", crowd, {"color": _THEORY, "linestyle": "--"}))
    if math.isfinite(contest.lone_bound_nm):
        alone = np.full(len(contest.densities), contest.lone_bound_nm * math.sqrt(2))
        lines.append(("bound alone", alone, {"color": _THEORY, "linestyle": ":"}))
    return lines


def _draw_lines(
    axes: Axes,
    contest: Contest,
    name: str,
    theory: Sequence[tuple[str, NDArray[np.float64], dict[str, Any]]],
    *,
    factor: float = 1.0,
) -> list[_Label]:
    """Draw a figure of all localizers over density, theory beneath; gives what to label."""
    labels = []
    for label, values, look in theory:
        axes.plot(contest.densities, values, linewidth=1.5, **look)
        labels.append(_Label(_last(values), label, look["color"]))
    for standing, style in zip(contest.standings, choose_styles(contest.standings), strict=True):
        values = factor * _column(standing, name)
        if np.isfinite(values).any():
            _line(axes, contest.densities, values, style)
            labels.append(_Label(_last(values), standing.name, style.colour))
    axes.set(xscale="log", xlabel="emitters per µm² and frame")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    _mark_ticks(axes, contest.densities)
    return labels


def _line(axes: Axes, x: Sequence[float], y: NDArray[np.float64], style: Style) -> None:
    axes.plot(
        x,
        y,
        color=style.colour,
        marker=style.marker,
        markersize=6.5,
        markeredgecolor="white",
        linewidth=2.2,
    )


def _last(values: NDArray[np.float64]) -> float:
    """Give the last value that is one."""
    return float(values[np.isfinite(values)][-1])


def _mark_ticks(axes: Axes, values: Sequence[float]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(list(values)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _label_ends(axes: Axes, labels: Sequence[_Label]) -> None:
    """Write names right of the lines' ends, apart from each other; limits must be settled."""
    if not labels:
        return
    to_share = axes.transScale + axes.transLimits
    texts = [textwrap.fill(label.text, _LABEL_WIDTH) for label in labels]
    wanted = np.array([to_share.transform((1.0, label.height))[1] for label in labels])
    room = np.array([_LABEL_STEP + _LINE_STEP * text.count("\n") for text in texts])
    for number, height in zip(*_spread(np.clip(wanted, 0, 1), room), strict=True):
        label = labels[number]
        axes.annotate(
            texts[number],
            (1.02, height),
            xycoords="axes fraction",
            color=label.colour,
            fontweight="normal" if label.colour in (_THEORY, _CHANCE) else "bold",
            va="center",
            linespacing=0.95,
        )


def _spread(
    wanted: NDArray[np.float64], room: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Give labels from low to high, and heights that are near to those wanted and don't touch.

    Each label takes ``room`` around its middle. Least squares with an order is what isotonic
    regression solves.
    """
    order = np.argsort(wanted, kind="stable")
    room = room[order]
    gaps = np.concatenate([[0.0], np.cumsum((room[1:] + room[:-1]) / 2)])
    return order, isotonic_regression(wanted[order] - gaps).x + gaps
