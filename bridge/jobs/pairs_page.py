"""The page of a folder of pairs: inputs, targets, both over each other, and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bridge.images.blur import bin_pixels, blur
from bridge.quality.report import FigureTable, Picture, Section, draw_picture, write_page

if TYPE_CHECKING:
    from bridge.restoration.pairs import Grids
    from bridge.restoration.prepare import JudgedPair

Shown = tuple[str, str, NDArray[np.float32], NDArray[np.float32]]
"""Name, structure, input (y, x), target (Y, X)."""

_BRIGHT = 99.8  # percentile that is white
_MOST = 8  # fields in one picture


def write_pairs_page(
    folder: Path,
    title: str,
    shown: Sequence[Shown],
    refused: Sequence[JudgedPair],
    notes: Sequence[str],
    *,
    rows: Sequence[dict[str, Any]] = (),
    grids: Grids | None = None,
) -> Path:
    """Write ``page.html`` and ``picture.png`` into a folder of pairs.

    Parameters
    ----------
    folder : Path
        The folder.
    title : str
        Heading.
    shown : sequence of Shown
        Fields to draw.
    refused : sequence of JudgedPair
        Pairs that aren't pairs.
    notes : sequence of str
        What is doubtful.
    rows : sequence of dict
        Figures of the fields, as in ``pairs.csv``.
    grids : Grids, optional
        The scale found.

    Returns
    -------
    Path
        The page.
    """
    picture = draw_fields(shown[:_MOST])
    (folder / "picture.png").write_bytes(picture.png)
    sentences = ["Input, target, and both over each other: input magenta, target green."]
    if grids is not None:
        sentences.append(
            f"The target has {grids.scale} pixels per input pixel, by {grids.came_from} "
            f"({grids.ratio:.4g})."
        )
    sections = [Section("Fields", sentences, notes, [picture])]
    if rows:
        sections.append(Section("Figures", _EXPLAINED, tables=[_tabulate(rows)]))
    if refused:
        sections.append(_refusals(refused))
    return write_page(folder / "page.html", title, sections, overwrite=True)


def write_refusals(output: Path, refused: Sequence[JudgedPair]) -> Path:
    """Write a page beside a folder that wasn't made, since no pair was left.

    Parameters
    ----------
    output : Path
        The folder that was asked for.
    refused : sequence of JudgedPair
        What was refused.

    Returns
    -------
    Path
        The page, ``OUTPUT.refused.html``.
    """
    page = output.with_name(f"{output.name}.refused.html")
    return write_page(page, "No pairs", [_refusals(refused)], overwrite=True)


def draw_fields(shown: Sequence[Shown]) -> Picture:
    """Draw fields, one in a row: input, target, both, at one contrast for all.

    Parameters
    ----------
    shown : sequence of Shown
        The fields.

    Returns
    -------
    Picture
        Grey levels run from 0 (or the least value) to the 99.8th percentile of all fields.
    """
    limits = [_limits([one[2] for one in shown]), _limits([one[3] for one in shown])]
    figure = Figure(figsize=(9.6, 3.2 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 3, squeeze=False)
    for row, (name, structure, image, target) in zip(axes, shown, strict=True):
        row[0].imshow(image, cmap="gray", vmin=limits[0][0], vmax=limits[0][1])
        row[1].imshow(target, cmap="gray", vmin=limits[1][0], vmax=limits[1][1])
        row[2].imshow(_overlay(image, target, limits))
        for axis, title in zip(row, (f"{name} ({structure})", "target", "both"), strict=True):
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    return draw_picture(figure, f"{len(shown)} fields: input, target, both over each other")


_EXPLAINED = (
    "correlation: Pearson's, of the target, moved and blurred to the input's sharpness, and the "
    "input. detail_correlation: without what is wider than a few pixels, such as light from out "
    "of focus. chance_correlation: the best that other places, or this one mirrored, reach.",
    "shift: what moved the target, in input pixels. blur: the Gaussian between both, in input "
    "pixels. signal_share: share of the target that shows something.",
)


def _refusals(refused: Sequence[JudgedPair]) -> Section:
    sentences = [f"{pair.name}: {pair.refused}." for pair in refused]
    shown = [(p.name, p.structure, p.input, p.target) for p in refused[:_MOST]]
    return Section("Refused", sentences, pictures=[draw_fields(shown)])


def _overlay(
    image: NDArray[np.float32], target: NDArray[np.float32], limits: list[tuple[float, float]]
) -> NDArray[np.float32]:
    """Put the input (magenta) over the target on its pixels (green)."""
    scale = max(1, round(target.shape[0] / image.shape[0]))
    small = blur(bin_pixels(target, scale), 0.7)[: image.shape[0], : image.shape[1]]
    given = image[: small.shape[0], : small.shape[1]]
    bright = max(float(np.percentile(small, _BRIGHT)), 1e-12)
    red = ((given - limits[0][0]) / (limits[0][1] - limits[0][0])).clip(0, 1)
    green = (small / bright).clip(0, 1)
    return np.stack([red, green, red], axis=-1)


def _limits(images: Sequence[NDArray[np.float32]]) -> tuple[float, float]:
    low = min(0.0, *(float(image.min()) for image in images))
    high = max(float(np.percentile(image, _BRIGHT)) for image in images)
    return low, max(high, low + 1e-12)


def _tabulate(rows: Sequence[dict[str, Any]]) -> FigureTable:
    cells = [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in r.values()] for r in rows]
    return FigureTable(list(rows[0]), cells, "One row per field, as in pairs.csv")
