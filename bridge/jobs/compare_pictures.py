"""Pictures of a comparison of restorations: fields at one contrast, and means with intervals."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bridge.quality.image_contest import (
    NOISY_TARGET,
    RICHARDSON_LUCY,
    ImageContest,
    Standing,
    TestField,
)
from bridge.quality.image_figures import FIGURES, PERCEPTUAL, Ruler
from bridge.quality.ranking import ALL

_MOST_PX: Final = 192
_MOST_COLUMNS: Final = 5
_ERROR_SHARE: Final = 0.25
_MODEL, _BASELINE = "#0072B2", "#8a8a8a"
_TEXT: Final[Any] = {
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
}


@rc_context(_TEXT)
def draw_field(
    one: TestField,
    images: Mapping[str, NDArray[np.float32]],
    contest: ImageContest,
    ruler: Ruler,
) -> Figure:
    """Draw the middle of a field: input, Richardson-Lucy, each model, and what is wanted.

    Parameters
    ----------
    one : TestField
        The field.
    images : mapping of str to ndarray, axes (Y, X)
        What each contestant made of it.
    contest : ImageContest
        Says who is a model, and who how good on this field.
    ruler : Ruler
        Gives the contrast, the same for all.

    Returns
    -------
    Figure
        At most five in a row, each with its difference from what is wanted below.
    """
    models = [s.name for s in contest.standings if s.kind == "model"]
    ours = ["input", RICHARDSON_LUCY, *models]
    wanted = np.asarray(one.wanted, np.float32)
    columns: list[tuple[str, NDArray[np.float32]]] = [(name, images[name]) for name in ours]
    if NOISY_TARGET in images:
        columns.append((NOISY_TARGET, images[NOISY_TARGET]))
    columns.append(("truth" if one.truth is not None else "target", wanted))
    n_bands = math.ceil(len(columns) / _MOST_COLUMNS)
    width = math.ceil(len(columns) / n_bands)
    figure = Figure(figsize=(2.45 * width, 5.25 * n_bands), layout="constrained")
    panels = np.atleast_2d(figure.subplots(2 * n_bands, width, squeeze=False))
    for axes in panels.ravel():
        axes.set_axis_off()
    cut = tuple(_middle(n) for n in wanted.shape)
    ceiling = ruler.black + ruler.data_range
    reach = _ERROR_SHARE * ruler.data_range
    for number, (name, image) in enumerate(columns):
        above = panels[number // width * 2, number % width]
        below = panels[number // width * 2 + 1, number % width]
        above.imshow(image[cut], cmap="gray", vmin=ruler.black, vmax=ceiling)
        above.set_title("\n".join(textwrap.wrap(name, 26)), fontweight="bold")
        if image is wanted:
            _draw_bar(above, image[cut].shape, ruler.pixel_size_nm)
            continue
        below.imshow(image[cut] - wanted[cut], cmap="RdBu_r", vmin=-reach, vmax=reach)
        below.set_title(_say_figures(contest, one.name, name))
    return figure


@rc_context(_TEXT)
def draw_ranks(
    standings: Sequence[Standing], summary: pd.DataFrame, ruler: Ruler, names: Sequence[str]
) -> Figure:
    """Draw means with their intervals, best on top, a panel for each figure.

    Parameters
    ----------
    standings : sequence of Standing
        Who is a model.
    summary : DataFrame
        Means, intervals and ranks.
    ruler : Ruler
        Names the perceptual distance.
    names : sequence of str
        The figures.

    Returns
    -------
    Figure
    """
    kinds = {one.name: one.kind for one in standings}
    every = summary[summary["structure"] == ALL]
    present = [figure for name in names for figure in FIGURES if figure.name == name]
    present = [one for one in present if one.name in set(every["figure"])]
    size = (3.9 * len(present), 0.9 + 0.32 * len(standings))
    figure = Figure(figsize=size, layout="constrained")
    for axes, one in zip(figure.subplots(1, len(present), squeeze=False)[0], present, strict=True):
        part = every[every["figure"] == one.name]
        part = part[np.isfinite(part["mean"])].sort_values("rank", ascending=False)
        for height, row in enumerate(part.to_dict("records")):
            colour = _MODEL if kinds[row["model"]] == "model" else _BASELINE
            axes.plot([row["low"], row["high"]], [height, height], color=colour, linewidth=2.5)
            axes.plot(row["mean"], height, "o", color=colour, markersize=6)
        labels = [textwrap.shorten(str(model), 30, placeholder="...") for model in part["model"]]
        axes.set_yticks(range(len(part)), labels)
        title = one.heading
        if one.name == PERCEPTUAL and ruler.lpips is not None:
            title = ruler.lpips.name
        axes.set_title(f"{title} ({one.better} is good)")
        axes.grid(axis="x", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure


def _middle(n: int) -> slice:
    start = max((n - _MOST_PX) // 2, 0)
    return slice(start, min(start + _MOST_PX, n))


def _say_figures(contest: ImageContest, field: str, name: str) -> str:
    """Give PSNR and SSIM of one image."""
    rows = contest.rows
    own = rows[(rows["field"] == field) & (rows["model"] == name)].set_index("figure")["value"]
    return f"{own['psnr_db']:.2f} dB, SSIM {own['ssim']:.3f}"


def _draw_bar(axes: Axes, shape: tuple[int, ...], pixel_size_nm: float | None) -> None:
    """Draw a length of 1, 2 or 5 times a power of ten, about a quarter of the width."""
    if pixel_size_nm is None:
        return
    quarter = shape[1] * pixel_size_nm / 4
    power = 10 ** math.floor(math.log10(quarter))
    length = max(step * power for step in (1, 2, 5) if step * power <= quarter)
    y, x = 0.94 * shape[0], 0.05 * shape[1]
    axes.plot([x, x + length / pixel_size_nm], [y, y], color="white", linewidth=3)
    text = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm"
    axes.text(x, y - 0.03 * shape[0], text, color="white", va="bottom")
