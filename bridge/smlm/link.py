"""Emitters that shine for several frames become one row each: linked over frames, then merged.

::

    frame    1     2     3     4     5          gap_frames = 1
             a-----a           a                a: two rows become one, the third is too late
                   b-----------b                b: one dark frame between, one row
             c--c' in the same frame            never linked: they are two emitters

A row is followed by at most one later row, the nearest pairs first, so that two neighbours stay
two; frames next to each other are linked before those with dark frames between. Merged rows are
means weighted by 1 / sigma^2 with sigma^2 = 1 / sum(1 / sigma_i^2), the estimate of least variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bridge.errors import TableError
from bridge.progress import Progress, silent
from bridge.smlm.columns import COLUMNS, REQUIRED
from bridge.smlm.matching import match_frames
from bridge.smlm.nena import measure_nena

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

REACH_SIGMAS = 4.0
"""Distance of two rows of one emitter, over their combined sigma, that 3 in 10,000 exceed."""

_WIDE_QUANTILE = 0.95  # rows less certain than this share reach no farther than it
_RAYLEIGH_MEDIAN = math.sqrt(2 * math.log(2))
_SUMMED = ("photons",)
_ROOT_SUMMED = ("uncertainty_photons",)
_ROOT_MEAN = ("background_std",)
_GREATEST = ("probability",)
_AXES = {
    "x_nm": ("uncertainty_x_nm", "uncertainty_xy_nm"),
    "y_nm": ("uncertainty_y_nm", "uncertainty_xy_nm"),
    "z_nm": ("uncertainty_z_nm",),
}


@dataclass(frozen=True, eq=False)
class Linked:
    """A table with one row for each time that an emitter shone.

    Attributes
    ----------
    table : DataFrame
        Merged rows by first frame, ``detections`` among the columns; ``attrs`` as of the input,
        its history told on and its warnings added to.
    group : ndarray of int64, one for each row of the input
        Row of ``table``, from 0, that it became part of.
    distance_nm : float
        Largest lateral distance of two linked rows that was allowed, in nm.
    distance_from : str
        Who said so, as a sentence part.
    gap_frames : int
        Dark frames that were allowed between two linked rows.
    scatter_ratio : float
        How far linked rows lie apart (median) over what their uncertainties say; 1 where these are
        honest, NaN where there are none.
    """

    table: pd.DataFrame
    group: Indices
    distance_nm: float
    distance_from: str
    gap_frames: int
    scatter_ratio: float


@dataclass(frozen=True, eq=False)
class _Reach:
    """How far apart rows may lie: all of them, and each for itself."""

    lateral_nm: float
    axial_nm: float | None
    rows_nm: Floats | None
    source: str


def link_frames(
    table: pd.DataFrame,
    *,
    distance_nm: float | None = None,
    gap_frames: int = 1,
    progress: Progress = silent,
) -> Linked:
    """Merge the rows of emitters that shine on, or again, at the same place.

    Parameters
    ----------
    table : DataFrame
        Localizations with finite ``frame``, ``x_nm`` and ``y_nm``, in two frames or more.
    distance_nm : float, optional
        Largest lateral distance of two linked rows, in nm, > 0. By default 4 times their combined
        uncertainty, in z too where ``uncertainty_z_nm`` says one; without uncertainties the
        precision that the table itself shows (NeNA) stands for them.
    gap_frames : int
        Dark frames allowed between two linked rows, >= 0.
    progress : Progress
        Told of every step.

    Returns
    -------
    Linked
        ``photons`` are summed, as in ThunderSTORM's merging; ``frame`` is the first;
        ``background`` and widths are means, ``background_std`` the root mean square (ThunderSTORM
        sums it), ``probability`` the greatest, ``chi2`` lost. Where no row of a group has an
        uncertainty above 0, its coordinates are plain means and its uncertainty is NaN.

    Raises
    ------
    TableError
        The table is empty, of one frame, or lacks a column; or it says nothing about how far
        apart rows may be.
    ValueError
        The distance or the gap is out of range.
    """
    if distance_nm is not None and not 0 < distance_nm < math.inf:
        raise ValueError("distance_nm must be finite and above 0")
    if gap_frames < 0:
        raise ValueError("gap_frames must be 0 or more")
    _check(table)
    reach = _settle_reach(table, distance_nm)
    before, after = _pair_up(table, reach, gap_frames, progress)
    group = _number_groups(table, before, after)
    progress(gap_frames + 1, gap_frames + 2, "merging")
    merged, notes = _merge(table, group)
    merged.attrs = dict(table.attrs)
    rule = f"at most {reach.lateral_nm:.3g} nm apart ({reach.source})"
    merged.attrs["history"] = [
        *table.attrs.get("history", []),
        f"Linked: rows {rule}, with at most {gap_frames} dark frames between, were merged; "
        f"{len(table):,} rows became {len(merged):,}.",
        *notes,
    ]
    merged.attrs["warnings"] = [*table.attrs.get("warnings", []), *_doubts(table, notes)]
    ratio = _scatter_ratio(table, before, after)
    progress(gap_frames + 2, gap_frames + 2, "done")
    return Linked(merged, group, reach.lateral_nm, reach.source, gap_frames, ratio)


def _check(table: pd.DataFrame) -> None:
    what = str(table.attrs.get("source") or "the table")
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise TableError(what, f"it has no column {' and no '.join(missing)}", ", ".join(REQUIRED))
    if table.empty:
        raise TableError(what, "it has no rows", "localizations", "Check what was exported.")
    if not np.isfinite(table[["x_nm", "y_nm"]].to_numpy(np.float64)).all():
        raise TableError(what, "a coordinate isn't finite", "numbers", "Remove these rows.")
    if table["frame"].min() == table["frame"].max():
        raise TableError(
            what,
            f"all {len(table):,} rows are of frame {table['frame'].iloc[0]}",
            "at least two frames, as rows are linked over frames",
            "Check the column 'frame'.",
        )


def _settle_reach(table: pd.DataFrame, distance_nm: float | None) -> _Reach:
    """Say how far apart two rows of one emitter may lie."""
    axial = None
    if "z_nm" in table and "uncertainty_z_nm" in table:
        sigma_z = _valid(table["uncertainty_z_nm"].to_numpy(np.float64))
        axial = _widest(sigma_z) if np.isfinite(sigma_z).any() else None
    if distance_nm is not None:
        return _Reach(distance_nm, axial, None, "as asked for")
    sigma = lateral_sigma(table)
    if sigma is None:
        found = measure_nena(table)
        if not math.isfinite(found.precision_nm):
            raise TableError(
                str(table.attrs.get("source") or "the table"),
                "it has no uncertainties, and too few emitters of one frame are found again in "
                "the next to measure the precision",
                "one of both, to tell how far apart rows of one emitter may be",
                "Give the largest distance in nm (distance_nm).",
            )
        reach = REACH_SIGMAS * math.sqrt(2) * found.precision_nm
        return _Reach(reach, axial, None, f"4 times the combined precision of {found.as_text()}")
    widest = _widest(sigma)
    sigma = np.where(np.isfinite(sigma), sigma, np.nanmedian(sigma))
    rows = np.minimum(REACH_SIGMAS * sigma, widest / math.sqrt(2))
    return _Reach(widest, axial, rows, "4 times the combined uncertainty of both rows")


def lateral_sigma(table: pd.DataFrame) -> Floats | None:
    """Give the lateral uncertainty of each row along one axis.

    Parameters
    ----------
    table : DataFrame
        Localizations.

    Returns
    -------
    ndarray of float64, or None
        In nm, > 0 or NaN where a row has none; None where no row has one.
    """
    if "uncertainty_xy_nm" in table:
        sigma = _valid(table["uncertainty_xy_nm"].to_numpy(np.float64))
    elif {"uncertainty_x_nm", "uncertainty_y_nm"} <= set(table):
        x, y = (table[f"uncertainty_{axis}_nm"].to_numpy(np.float64) for axis in "xy")
        sigma = _valid(np.hypot(_valid(x), _valid(y)) / math.sqrt(2))
    else:
        return None
    return sigma if np.isfinite(sigma).any() else None


def _valid(sigma: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(sigma) & (sigma > 0), sigma, np.nan)


def _widest(sigma: Floats) -> float:
    wide = float(np.nanquantile(sigma, _WIDE_QUANTILE))
    return REACH_SIGMAS * math.sqrt(2) * wide


def _pair_up(
    table: pd.DataFrame, reach: _Reach, gap_frames: int, progress: Progress
) -> tuple[Indices, Indices]:
    """Give pairs of rows, one followed by the other; each row once at most on either side."""
    names = [*REQUIRED, "z_nm"] if reach.axial_nm is not None else list(REQUIRED)
    rows = pd.DataFrame({name: table[name].to_numpy() for name in names})
    has_next, has_previous = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    pairs: list[tuple[Indices, Indices]] = []
    for step in range(1, gap_frames + 2):
        progress(step - 1, gap_frames + 2, f"linking frames {step} apart")
        first, second = np.flatnonzero(~has_next), np.flatnonzero(~has_previous)
        later = rows.iloc[second]
        later = later.assign(frame=later["frame"] - step)
        found = match_frames(
            rows.iloc[first],
            later,
            tolerance_nm=reach.lateral_nm,
            tolerance_axial_nm=reach.axial_nm,
            reach_nm=None
            if reach.rows_nm is None
            else (reach.rows_nm[first], reach.rows_nm[second]),
        )
        before, after = first[found.detection], second[found.truth]
        has_next[before], has_previous[after] = True, True
        pairs.append((before, after))
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])


def _number_groups(table: pd.DataFrame, before: Indices, after: Indices) -> Indices:
    """Give every row its chain's number, by their first frame, then by the order of the table."""
    n = len(table)
    links = coo_array((np.ones(len(before), np.int8), (before, after)), shape=(n, n))
    n_groups, label = connected_components(links, directed=False)
    order = np.argsort(table["frame"].to_numpy(), kind="stable")
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    first = np.full(n_groups, n)
    np.minimum.at(first, label, place)
    number = np.empty(n_groups, np.int64)
    number[np.argsort(first)] = np.arange(n_groups)
    group: Indices = number[label]
    return group


def _merge(table: pd.DataFrame, group: Indices) -> tuple[pd.DataFrame, list[str]]:
    """Make one row of each group; gives the notes on how it was weighted too."""
    size = np.bincount(group)
    before = table["detections"].to_numpy() if "detections" in table else np.ones(len(table), int)
    merged: dict[str, NDArray[np.generic]] = {}
    plain = []
    for axis, names in _AXES.items():
        if axis not in table:
            continue
        name = next((name for name in names if name in table), "")
        sigma = _valid(table[name].to_numpy(np.float64)) if name else np.full(len(table), np.nan)
        if not np.isfinite(sigma).any():
            plain.append(axis)
        merged[axis] = _weighted_mean(table[axis].to_numpy(np.float64), sigma, group, size)
    for name in table:
        values = table[name].to_numpy(np.float64)
        if name in _SUMMED:
            merged[name] = np.bincount(group, values)
        elif name in _ROOT_SUMMED:
            merged[name] = np.sqrt(np.bincount(group, values**2))
        elif name in _ROOT_MEAN:
            merged[name] = np.sqrt(np.bincount(group, values**2) / size)
        elif name in _GREATEST:
            merged[name] = np.full(len(size), -np.inf)
            np.maximum.at(merged[name], group, values)
        elif name == "chi2":
            merged[name] = np.where(size == 1, np.bincount(group, values), np.nan)
        elif name.startswith("uncertainty_"):
            merged[name] = _combined_sigma(_valid(values), group)
        elif name in COLUMNS and name not in (*merged, "id", "frame", "detections"):
            merged[name] = np.bincount(group, values) / size
    frame = np.full(len(size), np.iinfo(np.int64).max)
    np.minimum.at(frame, group, table["frame"].to_numpy(np.int64))
    merged["frame"] = frame
    merged["detections"] = np.bincount(group, before).astype(np.int64)
    notes = []
    if plain:
        notes.append(
            f"There are no uncertainties of {' and '.join(plain)}, so merged rows are plain means."
        )
    return pd.DataFrame({name: merged[name] for name in COLUMNS if name in merged}), notes


def _weighted_mean(values: Floats, sigma: Floats, group: Indices, size: Indices) -> Floats:
    """Weight by 1 / sigma^2; a row without sigma counts only where none of its group has one."""
    weight = np.where(np.isfinite(sigma), sigma, np.inf) ** -2.0
    total = np.bincount(group, weight)
    first = np.empty(len(size))
    first[group[::-1]] = values[::-1]  # a mean of small differences keeps all digits
    shift = values - first[group]
    plain = np.bincount(group, shift) / size
    with np.errstate(divide="ignore", invalid="ignore"):
        weighted = np.bincount(group, weight * shift) / total
    return first + np.where(total > 0, weighted, plain)


def _combined_sigma(sigma: Floats, group: Indices) -> Floats:
    total = np.bincount(group, np.where(np.isfinite(sigma), sigma, np.inf) ** -2.0)
    with np.errstate(divide="ignore"):
        return np.where(total > 0, total**-0.5, np.nan)


def _doubts(table: pd.DataFrame, notes: list[str]) -> list[str]:
    doubts = list(notes)
    if "detections" in table and (table["detections"] > 1).any():
        doubts.append(
            "The table was merged before: a merged row is known by its first frame only, so it may "
            "be linked wrongly. Link the table as it was localized instead."
        )
    return doubts


def _scatter_ratio(table: pd.DataFrame, before: Indices, after: Indices) -> float:
    """Compare distances of linked rows with what their uncertainties let expect."""
    sigma = lateral_sigma(table)
    if sigma is None or not len(before):
        return math.nan
    x, y = (table[name].to_numpy(np.float64) for name in ("x_nm", "y_nm"))
    apart = np.hypot(x[after] - x[before], y[after] - y[before])
    ratio = apart / np.hypot(sigma[before], sigma[after])
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) / _RAYLEIGH_MEDIAN if len(ratio) else math.nan
