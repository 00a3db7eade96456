"""A table of localizations in a few figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bridge.errors import TableError
from bridge.smlm.columns import REQUIRED

_TYPICAL = (
    "sigma_nm",
    "sigma1_nm",
    "sigma2_nm",
    "photons",
    "background",
    "uncertainty_xy_nm",
    "uncertainty_z_nm",
)


@dataclass(frozen=True)
class Summary:
    """What is typical of a table.

    Parameters
    ----------
    n_rows : int
        Localizations.
    first_frame, last_frame : int
        Lowest and highest frame, from 1.
    n_frames : int
        Frames with at least one localization.
    field_um : (float, float)
        Height and width of the box around all localizations, in um.
    density_per_um2 : float
        Localizations per frame with any, and square micrometre of that box; NaN where its area
        is 0.
    medians : mapping of str to float
        Median of the finite values of columns such as ``photons`` and ``sigma_nm``.
    """

    n_rows: int
    first_frame: int
    last_frame: int
    n_frames: int
    field_um: tuple[float, float]
    density_per_um2: float
    medians: Mapping[str, float]


def summarise(table: pd.DataFrame) -> Summary:
    """Sum up a table.

    Parameters
    ----------
    table : DataFrame
        Localizations, at least one.

    Returns
    -------
    Summary
        Counts, density and medians.

    Raises
    ------
    TableError
        The table is empty or lacks a column.
    """
    what = str(table.attrs.get("source") or "the table")
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise TableError(what, f"it has no column {' and no '.join(missing)}", ", ".join(REQUIRED))
    if table.empty:
        raise TableError(what, "it has no rows", "at least one row")
    height, width = (float(np.ptp(table[name].to_numpy())) / 1000 for name in ("y_nm", "x_nm"))
    n_frames = int(table["frame"].nunique())
    area = height * width
    return Summary(
        n_rows=len(table),
        first_frame=int(table["frame"].min()),
        last_frame=int(table["frame"].max()),
        n_frames=n_frames,
        field_um=(height, width),
        density_per_um2=len(table) / n_frames / area if area > 0 else math.nan,
        medians={name: _median(table[name]) for name in _TYPICAL if name in table},
    )


def _median(column: pd.Series[float]) -> float:
    values = column.to_numpy(dtype=np.float64)
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else math.nan
