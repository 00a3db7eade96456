"""The page of a verification: the image before and after, blurred again, error and spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bridge.quality.consistency import Consistency
from bridge.quality.report import FigureTable, Section, draw_picture, write_page

_TOP_PERCENT: Final = 99.8
_INCHES: Final = 3.6


def write_verification(
    path: Path,
    *,
    source: xr.DataArray,
    mean: xr.DataArray,
    spread: xr.DataArray | None,
    consistency: Consistency,
    n_results: int,
    warnings: Sequence[str],
    overwrite: bool,
) -> Path:
    """Write the page.

    Parameters
    ----------
    path : Path
        The page, ending in ``.html``.
    source : DataArray, axes (y, x)
        The image before.
    mean : DataArray, axes (Y, X)
        The mean of the results.
    spread : DataArray, axes (Y, X), optional
        Their standard deviation, where there are several.
    consistency : Consistency
        Of the mean with the image before.
    n_results : int
        How many results there are.
    warnings : sequence of str
        What is doubtful.
    overwrite : bool
        Replace a page that is there.

    Returns
    -------
    Path
        The page.
    """
    low, high = (float(v) for v in np.percentile(source, [0.1, _TOP_PERCENT]))
    error_top = float(np.percentile(consistency.error_map, _TOP_PERCENT)) or 1.0
    before = [
        ("Input", source, (low, high), "gray"),
        ("Result, blurred again", consistency.blurred, (low, high), "gray"),
        ("Difference (absolute)", consistency.error_map, (0.0, error_top), "magma"),
    ]
    top = float(np.percentile(mean, _TOP_PERCENT))
    after = [("Result", mean, (float(mean.min()), top), "gray")]
    if spread is not None:
        after.append(("Spread", spread, (0.0, float(np.percentile(spread, _TOP_PERCENT))), "magma"))
    rows = [
        ["RSP (1 is best; noise keeps it below)", f"{consistency.rsp:.3f}"],
        ["RSE, in the input's units", f"{consistency.rse:.4g}"],
        ["sigma of the blur, nm (pixels where no size is known)", f"{consistency.sigma_nm:.4g}"],
    ]
    if spread is not None:
        rows.append([f"mean spread of {n_results} results", f"{float(spread.mean()):.4g}"])
    sections = [
        Section(
            "Does it give the input back?",
            [
                "The result is blurred to the input's resolution, and scaled. What differs by more "
                "than noise was invented or lost. Detail finer than the input's resolution can't "
                "be checked this way.",
            ],
            notes=warnings,
            pictures=[draw_picture(_draw(before), "From left to right.", is_wide=True)],
            tables=[FigureTable(["figure", "value"], rows)],
        ),
        Section(
            "Where is it unsure?",
            [
                "The spread is the standard deviation over orientations and models. It is a lower "
                "bound: what all get wrong alike doesn't show.",
            ],
            pictures=[draw_picture(_draw(after), "Result, and its spread.", is_wide=True)],
        ),
    ]
    return write_page(
        path, "A restored image, checked without a truth", sections, overwrite=overwrite
    )


def _draw(panels: Sequence[tuple[str, xr.DataArray, tuple[float, float], str]]) -> Figure:
    figure = Figure(figsize=(_INCHES * len(panels), _INCHES), layout="constrained")
    for axes, (title, image, (low, high), colours) in zip(
        np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True
    ):
        shown = axes.imshow(image, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(title)
        axes.set_axis_off()
        figure.colorbar(shown, ax=axes, shrink=0.8)
    return figure
