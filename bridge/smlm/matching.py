"""Which detection found which emitter: one-to-one pairs within a frame and a tolerance.

Three rules, since three communities use three::

    truth       o--------------o                  t1 at 0, t2 at 200 nm, tolerance 250 nm
    detections          x                  x      d1 at 110, d2 at 350

    greedy      d1-t2 (90 nm); d2-t1 is too far   1 pair    SMLM challenge, DECODE
    stable      the same                          1 pair    ThunderSTORM
    optimal     d1-t1 (110), d2-t2 (150)          2 pairs   the most pairs, then the least sum

Candidates come from a k-d tree over all frames at once, so a million rows take seconds, crowded
frames too; a matrix of all distances is never made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import (
    connected_components,
    min_weight_full_bipartite_matching,
)
from scipy.spatial import KDTree

from bridge.errors import TableError

Rule = Literal["greedy", "optimal", "stable"]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_MAX_CANDIDATES = 100_000_000  # 2.4 GB of them
_MAX_DENSE_CELLS = 1_000_000  # larger groups are solved on a sparse graph
_MAX_GROUP = 100_000  # candidates of an optimal group; at 60,000 it takes 10 s


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections and the emitters they found, sorted by detection.

    Attributes
    ----------
    detection, truth : ndarray of int64, one for each pair
        Row numbers (from 0) in the two tables; none comes twice.
    n_detections, n_truth : int
        Rows of the two tables.
    """

    detection: Indices
    truth: Indices
    n_detections: int
    n_truth: int


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Pairs within the tolerance, from the nearest to the farthest."""

    detection: Indices
    truth: Indices
    distance: Floats

    def take(self, chosen: Indices | NDArray[np.bool_]) -> _Candidates:
        return _Candidates(self.detection[chosen], self.truth[chosen], self.distance[chosen])


def match_frames(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    tolerance_nm: float = 250.0,
    tolerance_axial_nm: float | None = None,
    rule: Rule = "greedy",
    reach_nm: tuple[Floats, Floats] | None = None,
) -> Pairs:
    """Pair detections with emitters of the same frame, each at most once.

    A pair exactly at the tolerance counts. Candidates lie within a disk; with
    ``tolerance_axial_nm`` within a cylinder, and distances are then in three dimensions.

    Parameters
    ----------
    detections, truth : DataFrame
        Localizations with ``frame``, ``x_nm`` and ``y_nm``; ``z_nm`` too for a cylinder. Finite.
    tolerance_nm : float
        Largest lateral distance of a pair, in nm, > 0.
    tolerance_axial_nm : float, optional
        Largest difference in z of a pair, in nm, > 0; without it z is ignored, but see below.
    rule : {"greedy", "optimal", "stable"}
        greedy: the nearest pair of all first, and so on (SMLM challenge 2016 ``loc_metrics.m``,
        DECODE ``GreedyHungarianMatching``). optimal: the most pairs possible, among those the
        least sum of distances. stable: as ThunderSTORM's performance evaluation; candidates lie
        in a sphere of ``tolerance_nm`` where there is an axial tolerance, the nearest in three
        dimensions is preferred even where candidates are chosen in two (z is 0 where absent),
        and of emitters at the same x, y in a frame only the first can be found.
    reach_nm : (ndarray, ndarray), optional
        How far each detection and each emitter reaches, in nm: a pair lies, within the tolerance
        too, no farther apart laterally than the root of the sum of both squares.

    Returns
    -------
    Pairs
        Row numbers of the pairs.

    Raises
    ------
    TableError
        More than 100 million candidates lie within the tolerance, or, for the optimal rule, more
        than 100,000 that hang together.
    ValueError
        A tolerance isn't above 0, or the rule is unknown.
    """
    if rule not in get_args(Rule):
        raise ValueError(f"rule is {rule!r}, expected one of {', '.join(get_args(Rule))}")
    if not tolerance_nm > 0 or not (tolerance_axial_nm is None or tolerance_axial_nm > 0):
        raise ValueError("a tolerance must be above 0 nm")
    found = _find_candidates(detections, truth, tolerance_nm)
    if reach_nm is not None:
        reach = np.hypot(reach_nm[0][found.detection], reach_nm[1][found.truth])
        found = found.take(found.distance <= reach)
    if rule == "stable":
        found = _prefer_as_thunderstorm(
            found, detections, truth, tolerance_nm, is_3d=tolerance_axial_nm is not None
        )
    elif tolerance_axial_nm is not None:
        found = _within_cylinder(found, detections, truth, tolerance_axial_nm)
    order = np.lexsort((found.truth, found.detection, found.distance))
    found = found.take(order)
    choose = _choose_optimal if rule == "optimal" else _choose_nearest_first
    n_detections, n_truth = len(detections), len(truth)
    pairs = choose(found, n_detections, n_truth)
    order = np.argsort(pairs.detection)
    return Pairs(pairs.detection[order], pairs.truth[order], n_detections, n_truth)


def _find_candidates(
    detections: pd.DataFrame, truth: pd.DataFrame, radius_nm: float
) -> _Candidates:
    """List all pairs of a frame within a lateral radius, which is included.

    The frame is a third coordinate whose steps are wider than the radius: one tree serves all
    frames, and equal frames add exactly 0 to a distance.
    """
    if not len(detections) or not len(truth):
        none = np.empty(0, np.int64)
        return _Candidates(none, none, np.empty(0))
    reach = radius_nm * (1 + 1e-9)
    trees = [KDTree(_points(table, frame_step_nm=4 * radius_nm)) for table in (detections, truth)]
    n_candidates = int(trees[0].count_neighbors(trees[1], reach))
    if n_candidates > _MAX_CANDIDATES:
        raise TableError(
            "matching",
            f"{n_candidates:,} pairs of detections and emitters are within {radius_nm:g} nm",
            f"at most {_MAX_CANDIDATES:,}",
            "Give a smaller tolerance, and check that the frames and the unit are right.",
        )
    near = trees[0].sparse_distance_matrix(trees[1], reach, output_type="ndarray")
    i, j = near["i"].astype(np.int64), near["j"].astype(np.int64)
    dx, dy = (_difference(detections, truth, name, i, j) for name in ("x_nm", "y_nm"))
    squared = dx**2 + dy**2
    inside = squared <= radius_nm**2
    return _Candidates(i[inside], j[inside], np.sqrt(squared[inside]))


def _points(table: pd.DataFrame, *, frame_step_nm: float) -> Floats:
    columns = [table["x_nm"], table["y_nm"], table["frame"] * frame_step_nm]
    return np.column_stack([column.to_numpy(np.float64) for column in columns])


def _difference(
    detections: pd.DataFrame, truth: pd.DataFrame, name: str, i: Indices, j: Indices
) -> Floats:
    """Subtract a column of the truth from the detections'; it is 0 where a table lacks it."""
    values = [
        table[name].to_numpy(np.float64)[rows] if name in table else np.zeros(len(rows))
        for table, rows in ((detections, i), (truth, j))
    ]
    return values[0] - values[1]


def _within_cylinder(
    found: _Candidates, detections: pd.DataFrame, truth: pd.DataFrame, tolerance_axial_nm: float
) -> _Candidates:
    dz = _difference(detections, truth, "z_nm", found.detection, found.truth)
    distance = np.hypot(found.distance, dz)
    return _Candidates(found.detection, found.truth, distance).take(
        np.abs(dz) <= tolerance_axial_nm
    )


def _prefer_as_thunderstorm(
    found: _Candidates,
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    radius_nm: float,
    *,
    is_3d: bool,
) -> _Candidates:
    dz = _difference(detections, truth, "z_nm", found.detection, found.truth)
    distance = np.hypot(found.distance, dz)
    is_first = ~truth.duplicated(["frame", "x_nm", "y_nm"]).to_numpy()[found.truth]
    is_inside = distance <= radius_nm if is_3d else True
    return _Candidates(found.detection, found.truth, distance).take(is_first & is_inside)


def _choose_nearest_first(found: _Candidates, n_detections: int, n_truth: int) -> _Candidates:
    """Take the nearest pair, strike both, and repeat; in rounds of pairs that nothing precedes.

    A candidate that comes first in the order both for its detection and for its emitter will be
    taken whatever happens elsewhere, so a round takes all of these at once. The result is that of
    the loop over the sorted list, and also the stable matching of Gale and Shapley for these
    preferences.
    """
    left = found
    taken: list[_Candidates] = []
    while len(left.detection):
        rank = np.arange(len(left.detection))
        is_next = (_first(left.detection, n_detections) == rank) & (
            _first(left.truth, n_truth) == rank
        )
        taken.append(left.take(is_next))
        is_free = np.ones(n_detections, bool), np.ones(n_truth, bool)
        is_free[0][taken[-1].detection] = False
        is_free[1][taken[-1].truth] = False
        left = left.take(is_free[0][left.detection] & is_free[1][left.truth])
    return _join(taken) if taken else found


def _first(ids: Indices, n_ids: int) -> Indices:
    """Give for each entry the place where its id comes first."""
    places = np.empty(n_ids, np.int64)
    places[ids[::-1]] = np.arange(len(ids))[::-1]  # of equal ids the last written stays
    return places[ids]


def _join(parts: list[_Candidates]) -> _Candidates:
    return _Candidates(
        np.concatenate([part.detection for part in parts]),
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.distance for part in parts]),
    )


def _choose_optimal(found: _Candidates, n_detections: int, n_truth: int) -> _Candidates:
    """Take the most pairs, with the least sum of distances, group by connected group."""
    if not len(found.detection):
        return found
    n_nodes = n_detections + n_truth
    edges = (found.detection, n_detections + found.truth)
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(n_nodes, n_nodes))
    _, group = connected_components(graph, directed=False)
    group = group[found.detection]
    order = np.argsort(group, kind="stable")
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    is_star = np.zeros(len(sizes), bool)
    for ids in (found.detection[order], found.truth[order]):
        is_star |= np.maximum.reduceat(ids, starts) == np.minimum.reduceat(ids, starts)
    taken = [found.take(order[starts[is_star]])]  # one detection or one emitter: the nearest
    if sizes[~is_star].max(initial=0) > _MAX_GROUP:
        raise TableError(
            "matching",
            f"{sizes.max():,} candidates hang together within the tolerance: each detection has "
            "several emitters to choose from",
            f"at most {_MAX_GROUP:,} for the optimal rule",
            "Use the greedy rule or a smaller tolerance, and check that the frames are right.",
        )
    for start, size in zip(starts[~is_star], sizes[~is_star], strict=True):
        taken.append(_solve_group(found.take(order[start : start + size])))
    return _join(taken)


def _solve_group(group: _Candidates) -> _Candidates:
    """Solve one group; leaving a detection alone costs more than any sum of distances can save."""
    rows, row = np.unique(group.detection, return_inverse=True)
    columns, column = np.unique(group.truth, return_inverse=True)
    n_pairs = min(len(rows), len(columns))
    penalty = 1.0 + (n_pairs + 1) * float(group.distance.max())
    if len(rows) * len(columns) <= _MAX_DENSE_CELLS:
        places = np.full((len(rows), len(columns)), -1)
        places[row, column] = np.arange(len(row))
        cost = np.where(places >= 0, group.distance[places], penalty)
        chosen = places[linear_sum_assignment(cost)]
        return group.take(chosen[chosen >= 0])
    own = np.arange(len(rows))  # each detection gets a column of its own: to be left alone
    data = np.concatenate([group.distance + 1.0, np.full(len(rows), 1.0 + penalty)])
    index = np.concatenate([row, own]), np.concatenate([column, len(columns) + own])
    graph = csr_array((data, index), shape=(len(rows), len(columns) + len(rows)))
    matched_row, matched_column = min_weight_full_bipartite_matching(graph)
    is_real = matched_column < len(columns)
    wanted = matched_row[is_real] * len(columns) + matched_column[is_real]
    return group.take(np.isin(row * len(columns) + column, wanted))
