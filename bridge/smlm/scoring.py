"""Counts and errors behind an evaluation: who counts, what chance finds, how far pairs are apart.

The photon rule is that of the challenge's ``loc_metrics.m``: dim emitters are matched like others,
so a detection of one is not false, and then neither the emitter nor its detection counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.errors import TableError
from bridge.smlm.crlb import precision_bound
from bridge.smlm.diagnostics import Spread, misplace, spread_of
from bridge.smlm.matching import Rule, match_frames

ALPHA_LATERAL_PER_NM = 0.01
ALPHA_AXIAL_PER_NM = 0.005

_CHANCE_ROWS = 20_000  # small tables are misplaced several times, until about as many rows
_MAX_CHANCE_REPEATS = 10


@dataclass(frozen=True, eq=False)
class Score:
    """Pairs that count, and the counts.

    Attributes
    ----------
    detection, truth : ndarray of int64, one for each of the ``tp`` pairs
        Row numbers in the tables.
    of_dim : ndarray of int64
        Rows of detections that found a dim emitter; they don't count.
    fp, fn : int
        False detections and missed emitters.
    """

    detection: NDArray[np.int64]
    truth: NDArray[np.int64]
    of_dim: NDArray[np.int64]
    fp: int
    fn: int

    @property
    def tp(self) -> int:
        """Pairs that count."""
        return len(self.detection)

    @property
    def jaccard(self) -> float:
        """Share of pairs: tp / (tp + fp + fn)."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def precision(self) -> float:
        """Share of detections that are right: tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float:
        """Share of emitters that were found: tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN where either is, or both are 0."""
        return _ratio(2 * self.precision * self.recall, self.precision + self.recall)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan


@dataclass(frozen=True, eq=False)
class Judge:
    """Scores any detections against one truth, by one set of rules.

    Parameters
    ----------
    truth : DataFrame
        Emitters inside the border.
    is_dim : ndarray of bool, one for each emitter
        At or below the photon threshold.
    rule : {"greedy", "optimal", "stable"}
        How pairs are matched.
    tolerance_nm : float
        Largest lateral distance.
    tolerance_axial_nm : float or None
        Largest axial distance; None in 2D.
    """

    truth: pd.DataFrame
    is_dim: NDArray[np.bool_]
    rule: Rule
    tolerance_nm: float
    tolerance_axial_nm: float | None

    def score(self, detections: pd.DataFrame) -> Score:
        """Match detections and count.

        Parameters
        ----------
        detections : DataFrame
            Localizations inside the border.

        Returns
        -------
        Score
            Pairs and counts.
        """
        pairs = match_frames(
            detections,
            self.truth,
            tolerance_nm=self.tolerance_nm,
            tolerance_axial_nm=self.tolerance_axial_nm,
            rule=self.rule,
        )
        counts = ~self.is_dim[pairs.truth]
        tp = int(counts.sum())
        return Score(
            pairs.detection[counts],
            pairs.truth[counts],
            pairs.detection[~counts],
            fp=len(detections) - len(pairs.detection),
            fn=len(self.truth) - int(self.is_dim.sum()) - tp,
        )

    def score_by_chance(
        self,
        detections: pd.DataFrame,
        *,
        field_nm: tuple[float, float],
        border_nm: float,
        seed: int,
    ) -> tuple[float, float]:
        """Score the same detections where only chance makes pairs.

        Parameters
        ----------
        detections : DataFrame
            Localizations inside the border.
        field_nm : (float, float)
            Width and height of the field, in nm.
        border_nm : float
            Rim that was left out, in nm.
        seed : int
            Seed of the order of frames.

        Returns
        -------
        (float, float)
            Jaccard index and lateral RMSE in nm, over enough repeats to be steady.
        """
        frames = np.union1d(detections["frame"], self.truth["frame"])
        repeats = int(np.clip(_CHANCE_ROWS // max(len(detections), 1), 1, _MAX_CHANCE_REPEATS))
        jaccards, squares = [], []
        for repeat in range(repeats):
            moved = misplace(
                detections, frames, field_nm=field_nm, border_nm=border_nm, seed=seed + repeat
            )
            score = self.score(moved)
            jaccards.append(score.jaccard)
            pairs = measure_pairs(score, moved, self.truth, is_3d=False)
            squares.append(pairs["dx_nm"] ** 2 + pairs["dy_nm"] ** 2)
        return float(np.mean(jaccards)), root_mean(np.concatenate(squares))


def efficiency(jaccard: float, rmse_nm: float, *, alpha_per_nm: float) -> float:
    """Put Jaccard index and RMSE into the challenge's one figure.

    Parameters
    ----------
    jaccard : float
        0 <= jaccard <= 1.
    rmse_nm : float
        In nm, >= 0; lateral or axial.
    alpha_per_nm : float
        What an error of 1 nm costs: 0.01 lateral, 0.005 axial.

    Returns
    -------
    float
        1 at best, negative where both are bad.
    """
    return float(1 - np.hypot(1 - jaccard, alpha_per_nm * rmse_nm))


def is_inside(
    table: pd.DataFrame, *, field_nm: tuple[float, float], border_nm: float
) -> NDArray[np.bool_]:
    """Tell which rows lie inside the border, edges excluded; without a border all do.

    Parameters
    ----------
    table : DataFrame
        Localizations.
    field_nm : (float, float)
        Width (along x) and height (along y) of the field, in nm.
    border_nm : float
        Width of the rim that is left out, in nm, >= 0.

    Returns
    -------
    ndarray of bool, one for each row
        True inside.
    """
    inside = np.ones(len(table), bool)
    if border_nm > 0:
        for name, length in zip(("x_nm", "y_nm"), field_nm, strict=True):
            place = table[name].to_numpy(np.float64)
            inside &= (place > border_nm) & (place < length - border_nm)
    return inside


def photon_threshold(truth: pd.DataFrame, quantile: float) -> float:
    """Give the photons up to which emitters are dim.

    Parameters
    ----------
    truth : DataFrame
        Emitters inside the border.
    quantile : float
        0 <= q < 1; 0 makes none dim.

    Returns
    -------
    float
        ``floor(quantile(photons, q))`` with Matlab's quantile (Hazen's), as in the challenge; 0
        for q = 0.

    Raises
    ------
    TableError
        The emitters' photons aren't known.
    """
    if not quantile:
        return 0.0
    photons = truth["photons"].to_numpy(np.float64) if "photons" in truth else np.array([np.nan])
    if not np.isfinite(photons).all():
        raise TableError(
            "table of the truth",
            "the photons of the emitters aren't known" if "photons" in truth else "has no photons",
            "the true photons of every emitter",
            "Leave the photon quantile at 0, or give a truth with photons.",
        )
    return float(np.floor(np.quantile(photons, quantile, method="hazen")))


def measure_pairs(
    score: Score, detections: pd.DataFrame, truth: pd.DataFrame, *, is_3d: bool
) -> pd.DataFrame:
    """Give frame and errors of each pair that counts.

    Parameters
    ----------
    score : Score
        The pairs.
    detections, truth : DataFrame
        The tables that were scored.
    is_3d : bool
        Whether to give errors along z.

    Returns
    -------
    DataFrame
        ``frame``, ``dx_nm``, ``dy_nm`` and in 3D ``dz_nm``, detection minus truth.
    """
    found, real = detections.iloc[score.detection], truth.iloc[score.truth]
    columns = {"frame": real["frame"].to_numpy()}
    for axis in "xyz" if is_3d else "xy":
        name = f"{axis}_nm"
        columns[f"d{name}"] = found[name].to_numpy(np.float64) - real[name].to_numpy(np.float64)
    return pd.DataFrame(columns)


def root_mean(squares: NDArray[np.float64] | pd.Series) -> float:
    """Give the root of the mean, NaN of nothing."""
    return float(np.sqrt(np.mean(squares))) if len(squares) else np.nan


def mean(values: NDArray[np.float64] | pd.Series) -> float:
    """Give the mean, NaN of nothing."""
    return float(np.mean(values)) if len(values) else np.nan


def summarise_errors(pairs: pd.DataFrame) -> dict[str, float]:
    """Give root mean squares, means and mean absolute values of errors.

    Parameters
    ----------
    pairs : DataFrame
        As from ``measure_pairs``.

    Returns
    -------
    dict of str to float
        ``rmse_..._nm``, ``bias_..._nm``, ``mean_abs_..._nm`` and ``mean_distance_..._nm``; those
        along z are NaN in 2D.
    """
    dx, dy = pairs["dx_nm"].to_numpy(), pairs["dy_nm"].to_numpy()
    dz = pairs["dz_nm"].to_numpy() if "dz_nm" in pairs else np.empty(0)
    lateral = dx**2 + dy**2
    volume = lateral + dz**2 if "dz_nm" in pairs else np.empty(0)
    figures = {
        "rmse_lateral_nm": root_mean(lateral),
        "rmse_axial_nm": root_mean(dz**2),
        "rmse_volume_nm": root_mean(volume),
        "mean_distance_lateral_nm": mean(np.sqrt(lateral)),
        "mean_distance_volume_nm": mean(np.sqrt(volume)),
        "rmse_x_nm": root_mean(dx**2),
        "rmse_y_nm": root_mean(dy**2),
    }
    for axis, errors in (("x", dx), ("y", dy), ("z", dz)):
        figures[f"bias_{axis}_nm"] = mean(errors)
        figures[f"mean_abs_{axis}_nm"] = mean(np.abs(errors))
    return figures


def compare_with_bound(pairs: pd.DataFrame, *, tolerance_nm: float) -> tuple[float, float]:
    """Compare errors with what theory allows, where the tolerance leaves room for them.

    Parameters
    ----------
    pairs : DataFrame
        Errors, with ``bound_nm`` where it is known.
    tolerance_nm : float
        Largest lateral distance of a pair; bounds above a quarter of it are left out, since
        matching cuts the errors of such dim emitters off.

    Returns
    -------
    bound_nm : float
        Root mean square of the bounds; NaN where none is known.
    times_bound : float
        Root mean square of the errors along an axis, over it.
    """
    if "bound_nm" not in pairs:
        return np.nan, np.nan
    fair = pairs[pairs["bound_nm"] <= tolerance_nm / 4]
    bound = root_mean(fair["bound_nm"] ** 2)
    error = root_mean((fair["dx_nm"] ** 2 + fair["dy_nm"] ** 2) / 2)
    return bound, error / bound


@dataclass(frozen=True, eq=False)
class Found:
    """The two rows of each pair side by side, for figures that need more than places.

    Parameters
    ----------
    pairs : DataFrame
        Errors, as from ``measure_pairs``.
    detections, truth : DataFrame, one row for each pair
        The rows of the tables.
    """

    pairs: pd.DataFrame
    detections: pd.DataFrame
    truth: pd.DataFrame

    @cached_property
    def photons_ratio(self) -> float:
        """Median of detected by true photons."""
        if "photons" not in self.detections or "photons" not in self.truth:
            return np.nan
        detected, emitted = (
            part["photons"].to_numpy(np.float64) for part in (self.detections, self.truth)
        )
        usable = np.isfinite(detected) & (emitted > 0)
        return float(np.median(detected[usable] / emitted[usable])) if usable.any() else np.nan

    def bounds_nm(self, pixel_size_nm: float | None) -> NDArray[np.float64] | None:
        """Give the precision along an axis that theory allows each emitter if it were alone.

        Photons, background and sigma are the truth's where it has them, else the detections'.

        Parameters
        ----------
        pixel_size_nm : float, optional
            Edge of a camera pixel.

        Returns
        -------
        ndarray or None
            In nm; None where something isn't known.
        """
        known = []
        for name in ("photons", "background", "sigma_nm"):
            column = self._first_known(name)
            if column is None:
                return None
            known.append(column)
        if not pixel_size_nm:
            return None
        return precision_bound(known[0], known[1], sigma_nm=known[2], pixel_size_nm=pixel_size_nm)

    def _first_known(self, name: str) -> NDArray[np.float64] | None:
        for table in (self.truth, self.detections):
            if name in table and np.isfinite(table[name]).all():
                column: NDArray[np.float64] = table[name].to_numpy(np.float64)
                return column
        return None

    @cached_property
    def spread_lateral(self) -> Spread:
        """Errors along x and y over their stated uncertainties."""
        stated = [
            next((n for n in (own, "uncertainty_xy_nm") if n in self.detections), None)
            for own in ("uncertainty_x_nm", "uncertainty_y_nm")
        ]
        if None in stated:
            return spread_of([], [])
        return spread_of(
            np.concatenate([self.pairs["dx_nm"], self.pairs["dy_nm"]]),
            np.concatenate([self.detections[name] for name in stated]),
        )

    @cached_property
    def spread_axial(self) -> Spread:
        """Errors along z over their stated uncertainties."""
        if "dz_nm" not in self.pairs or "uncertainty_z_nm" not in self.detections:
            return spread_of([], [])
        return spread_of(self.pairs["dz_nm"], self.detections["uncertainty_z_nm"])
