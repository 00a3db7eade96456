"""Localization precision from the table alone: how far emitters move from a frame to the next.

An emitter that shines in two frames running is found twice, at independent errors. The distances of
each row to its nearest neighbour in the following frame have the density (Endesfelder et al. 2014,
Histochem. Cell Biol. 141:629, equation 5)::

    p(d) = A1 d / (2 s^2) exp(-d^2 / (4 s^2))             the same emitter, precision s per axis
         + A2 / (w sqrt(2 pi)) exp(-(d - dc)^2 / (2 w^2))   neighbours near by
         + A3 d                                             neighbours anywhere

which is fitted to the histogram of distances. Needs no truth and no uncertainties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.spatial import KDTree

from bridge.errors import TableError
from bridge.smlm.columns import REQUIRED

Floats = NDArray[np.float64]

_MOST_ROWS = 400_000  # more give no better figure than the model's own error
_LEAST_PAIRS = 100
_OVER_CHANCE = 1.5  # rows found again near by, over those by chance
_FAR_NM = 1000.0
_N_BINS = 80
_REACH_SIGMAS = 8.0  # the histogram ends here; at d = 6 s the peak is down to 1 in 8000
_RAYLEIGH_MEDIAN = 2 * math.sqrt(math.log(2))  # of the distances, over s


@dataclass(frozen=True, eq=False)
class NenaResult:
    """The precision that a table shows by itself, with the histogram that it comes from.

    Attributes
    ----------
    precision_nm : float
        Standard error of a coordinate along one axis, typical of the table, in nm; NaN where the
        table doesn't show it. Where rows differ much, it is that of the better ones: 8 nm for a
        median of 10 nm and a log-normal spread by a factor of 1.8.
    error_nm : float
        Standard error of ``precision_nm`` by the fit, in nm.
    n_pairs : int
        Distances in the histogram.
    same_share : float
        Part of them that belongs to emitters found again.
    edges_nm : ndarray of float64
        Edges of the bins, in nm, from 0.
    counts : ndarray of int64, one less than edges
        Distances in each bin.
    fitted, fitted_same : ndarray of float64, as many as counts
        What the fit expects in each bin: in all, and of emitters found again.
    """

    precision_nm: float
    error_nm: float
    n_pairs: int
    same_share: float
    edges_nm: Floats
    counts: NDArray[np.int64]
    fitted: Floats
    fitted_same: Floats

    def as_text(self) -> str:
        """Give the figure for people, ``9.8 nm (NeNA)``."""
        return f"{self.precision_nm:.3g} nm (NeNA)"


def measure_nena(table: pd.DataFrame) -> NenaResult:
    """Measure the localization precision by nearest neighbours in adjacent frames (NeNA).

    Parameters
    ----------
    table : DataFrame
        Localizations with finite ``frame``, ``x_nm`` and ``y_nm``, not merged.

    Returns
    -------
    NenaResult
        Its precision is NaN where fewer than 100 rows have a neighbour in the following frame, or
        where these are hardly nearer than those of a frame half the movie later. Of a table of
        more than 400,000 rows a run of frames in its middle is used.

    Raises
    ------
    TableError
        A column is missing, or a coordinate isn't finite.
    """
    places = _take_places(table)
    if len(places) < _LEAST_PAIRS:
        return _nothing(0)
    frame = places[:, 0]
    distances = _neighbour_distances(places, frame + 1)
    if len(distances) < _LEAST_PAIRS:
        return _nothing(len(distances))
    n_frames = int(np.ptp(frame)) + 1
    elsewhere = frame.min() + (frame - frame.min() + n_frames // 2) % n_frames
    by_chance = _neighbour_distances(places, elsewhere) if n_frames > 3 else distances
    guess = _guess_sigma(distances, by_chance)
    result = _nothing(len(distances))
    for _ in range(3 if guess else 0):
        result = _fit(distances, guess)
        # Fit once more where the histogram turns out too short or too long for the sigma found.
        if not math.isfinite(result.precision_nm) or 0.8 < result.precision_nm / guess < 1.25:
            break
        guess = result.precision_nm
    near = 3 * result.precision_nm
    n_near, n_chance = (np.count_nonzero(part < near) for part in (distances, by_chance))
    # Nearest neighbours among emitters that know nothing of each other are Rayleigh as well.
    return result if n_near > _OVER_CHANCE * n_chance else _nothing(len(distances))


def _take_places(table: pd.DataFrame) -> Floats:
    """Give frame, x and y in nm of each row, or of a run of frames of a long table."""
    what = str(table.attrs.get("source") or "the table")
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise TableError(what, f"it has no column {' and no '.join(missing)}", ", ".join(REQUIRED))
    places: Floats = table[list(REQUIRED)].to_numpy(np.float64)
    if not np.isfinite(places).all():
        raise TableError(what, "a coordinate isn't finite", "numbers", "Remove these rows.")
    if len(places) > _MOST_ROWS:
        places = places[np.argsort(places[:, 0], kind="stable")]
        start = (len(places) - _MOST_ROWS) // 2
        places = places[start : start + _MOST_ROWS]
    return places


def _neighbour_distances(places: Floats, frames: Floats) -> Floats:
    """Give the distance of each row to the nearest one of another frame, if it is near, in nm."""
    asked = np.column_stack([frames, places[:, 1:]])
    # Frames lie farther apart than any neighbour looked for: one tree serves all of them.
    step = 2 * _FAR_NM
    tree = KDTree(places * (step, 1, 1))
    apart = np.asarray(tree.query(asked * (step, 1, 1), distance_upper_bound=_FAR_NM)[0])
    near: Floats = apart[np.isfinite(apart)]
    return near


def _guess_sigma(distances: Floats, by_chance: Floats) -> float:
    """Give the sigma of which the median distance of what is more than chance is typical; or 0."""
    ordered = np.sort(distances)
    excess = np.arange(1, len(ordered) + 1) - np.searchsorted(np.sort(by_chance), ordered)
    most = int(np.argmax(excess))
    if excess[most] < 5 * math.sqrt(len(ordered)):
        return 0.0
    half = int(np.argmax(excess >= excess[most] / 2))
    return max(float(ordered[half]) / _RAYLEIGH_MEDIAN, 1e-3)


def _same(d: Floats, sigma: float) -> Floats:
    """Give the density of distances between two findings of one emitter (Rayleigh)."""
    density: Floats = d / (2 * sigma**2) * np.exp(-(d**2) / (4 * sigma**2))
    return density


def _fit(distances: Floats, guess: float) -> NenaResult:
    """Fit the three parts to a histogram up to 8 times the guess."""
    far = min(_REACH_SIGMAS * guess, _FAR_NM)
    counts, edges = np.histogram(distances, _N_BINS, (0.0, far))
    n, width = int(counts.sum()), far / _N_BINS
    middle = (edges[1:] + edges[:-1]) / 2

    def expect(d: Floats, same: float, s: float, near: float, dc: float, w: float, any_: float):  # type: ignore[no-untyped-def]
        gauss = np.exp(-((d - dc) ** 2) / (2 * w**2)) / (w * math.sqrt(2 * math.pi))
        return width * (same * (_same(d, s) + near * gauss) + any_ * 2 * d / far**2)

    # Neighbours near by are the fewer, and not as near: else they would explain all by themselves.
    start = [0.7 * n, guess, 0.05, 5 * guess, 1.5 * guess, 0.25 * n]
    low = [0, guess / 4, 0, 3 * guess, 0.75 * guess, 0]
    high = [2 * n, 2.5 * guess, 1, 2 * far, far, 2 * n]
    if n < _LEAST_PAIRS:
        return _nothing(n)
    try:
        values, noise = np.array(start), np.sqrt(np.maximum(counts, 1))
        for _ in range(2):  # counting noise as seen is too small where there is little by chance
            values, spread = curve_fit(
                expect,
                middle,
                counts,
                p0=values,
                sigma=noise,
                absolute_sigma=True,
                bounds=(low, high),
                x_scale=np.maximum(np.abs(start), 1e-9),
                max_nfev=2000,
            )
            noise = np.sqrt(np.maximum(expect(middle, *values), 0.5))
    except RuntimeError:  # it doesn't settle
        return _nothing(n)
    sigma, error = float(values[1]), float(np.sqrt(spread[1, 1]))
    fitted_same = width * values[0] * _same(middle, sigma)
    share = float(fitted_same.sum() / n)
    is_seen = values[0] > 5 * math.sqrt(n) and error < sigma / 2 and sigma < 0.99 * high[1]
    return NenaResult(
        sigma if is_seen else math.nan,
        error if is_seen else math.nan,
        n,
        share,
        edges,
        counts.astype(np.int64),
        expect(middle, *values),
        fitted_same,
    )


def _nothing(n_pairs: int) -> NenaResult:
    none = np.empty(0)
    return NenaResult(
        math.nan, math.nan, n_pairs, math.nan, none, np.empty(0, np.int64), none, none
    )
