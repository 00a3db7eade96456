"""How good a table of localizations is, against the true emitters.

The rules are those of the SMLM challenge 2016 (Sage et al., Nature Methods 16, 387 (2019); its
``assessment_frame.m`` and ``loc_metrics.m``): detections and emitters nearer to the border than
450 nm are left out, pairs are matched greedily within 250 nm (3D: and 500 nm along z), and the
dimmest quarter of the emitters may be made not to count. A Jaccard index alone says little in
crowded frames, where chance finds much, so the chance level stands beside it.

Errors are detection minus truth. Nothing here reads a file or draws.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.errors import TableError
from bridge.smlm.diagnostics import Spread, SubpixelHistogram, count_subpixel, likely_mistakes
from bridge.smlm.matching import Rule
from bridge.smlm.scoring import (
    ALPHA_AXIAL_PER_NM,
    ALPHA_LATERAL_PER_NM,
    Found,
    Judge,
    Score,
    compare_with_bound,
    efficiency,
    is_inside,
    measure_pairs,
    photon_threshold,
    summarise_errors,
)

_COUNTS = ("tp", "fp", "fn", "jaccard", "precision", "recall", "f1")
_NOTICEABLE_BIAS_NM = 5.0
_FEW_PAIRS = 20
_CLEAR_SHARE = 0.1  # of the way from here to a perfect index
_GOOD_JACCARD = 0.7  # from here on nobody looks for swapped axes


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Figures of a table against the truth; NaN where a figure has nothing to stand on."""

    rule: Rule
    """How pairs were matched."""
    is_3d: bool
    """Both tables have z: the axial tolerance was used, and distances are in three dimensions."""
    tolerance_nm: float
    """Largest lateral distance of a pair."""
    tolerance_axial_nm: float
    """Largest axial distance of a pair, in 3D."""
    border_nm: float
    """Width of the rim that was left out."""
    field_width_nm: float
    """Width of the field, from x = 0."""
    field_height_nm: float
    """Height of the field, from y = 0."""
    photon_threshold: float
    """Emitters with at most so many photons count neither as found nor as missed."""
    n_frames: int
    """Frames with a detection or an emitter."""
    n_detections: int
    """Detections inside the border."""
    n_emitters: int
    """Emitters inside the border, once for each frame."""
    n_dim: int
    """Those of them at or below the photon threshold."""
    tp: int
    """Pairs whose emitter is above the threshold."""
    fp: int
    """Detections without an emitter."""
    fn: int
    """Emitters above the threshold without a detection."""
    jaccard: float
    """tp / (tp + fp + fn), 0 to 1."""
    precision: float
    """tp / (tp + fp), 0 to 1."""
    recall: float
    """tp / (tp + fn), 0 to 1."""
    f1: float
    """2 precision recall / (precision + recall), 0 to 1."""
    rmse_lateral_nm: float
    """sqrt(mean(dx^2 + dy^2)): the challenge's RMSE; sqrt(2) times the one along an axis."""
    rmse_x_nm: float
    """sqrt(mean(dx^2))."""
    rmse_y_nm: float
    """sqrt(mean(dy^2))."""
    rmse_axial_nm: float
    """sqrt(mean(dz^2))."""
    rmse_volume_nm: float
    """sqrt(mean(dx^2 + dy^2 + dz^2))."""
    bias_x_nm: float
    """mean(dx)."""
    bias_y_nm: float
    """mean(dy)."""
    bias_z_nm: float
    """mean(dz)."""
    mean_abs_x_nm: float
    """mean(|dx|): what ThunderSTORM calls "RMSE x"."""
    mean_abs_y_nm: float
    """mean(|dy|): what ThunderSTORM calls "RMSE y"."""
    mean_distance_lateral_nm: float
    """mean(sqrt(dx^2 + dy^2)): what ThunderSTORM calls "RMSE lateral"."""
    mean_abs_z_nm: float
    """mean(|dz|): what ThunderSTORM calls "RMSE axial"."""
    mean_distance_volume_nm: float
    """mean(sqrt(dx^2 + dy^2 + dz^2)): what ThunderSTORM calls "RMSE total"."""
    efficiency: float
    """1 - sqrt((1 - J)^2 + (0.01 per nm x lateral RMSE)^2); 1 is perfect, may be below 0."""
    efficiency_axial: float
    """The same with 0.005 per nm and the axial RMSE."""
    efficiency_volume: float
    """Mean of the two, as DECODE has it."""
    chance_jaccard: float
    """Jaccard index of the same detections in the wrong frames: what density alone gives."""
    chance_rmse_lateral_nm: float
    """Lateral RMSE of those."""
    photons_ratio: float
    """Median over pairs of detected by true photons."""
    bound_nm: float
    """Precision along an axis that theory allows isolated emitters like those found; of emitters
    so dim that it is over a quarter of the tolerance, which would cut their errors off, none."""
    times_bound: float
    """Root mean square of those emitters' errors along an axis, over ``bound_nm``."""
    spread_lateral: Spread
    """Errors along x and y over their stated uncertainties."""
    spread_axial: Spread
    """Errors along z over their stated uncertainties."""
    subpixel: SubpixelHistogram | None
    """Where in their pixels the detections lie; None where the pixel size isn't known."""
    subpixel_truth: SubpixelHistogram | None
    """Where in their pixels the emitters lie."""
    pairs: pd.DataFrame
    """One row for each of the ``tp`` pairs: ``detection`` and ``truth`` (row numbers in the tables
    given), ``frame``, ``dx_nm``, ``dy_nm``, in 3D ``dz_nm``, and ``bound_nm`` where it is known."""
    of_dim: NDArray[np.int64]
    """Row numbers of the detections that found a dim emitter, and so don't count."""
    warnings: tuple[str, ...]
    """Sentences on what is doubtful."""

    @property
    def rmse_per_axis_nm(self) -> float:
        """Root mean square of the errors along x and y together, in nm."""
        return self.rmse_lateral_nm / math.sqrt(2)

    def as_dict(self) -> dict[str, Any]:
        """Give the figures, without pairs and warnings, for a status or a report."""
        parts = ("pairs", "of_dim", "warnings", "spread_lateral", "spread_axial")
        figures = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in parts and not field.name.startswith("subpixel")
        }
        figures["rmse_per_axis_nm"] = self.rmse_per_axis_nm
        for name in ("lateral", "axial"):
            spread = getattr(self, f"spread_{name}")
            figures[f"z_score_sd_{name}"] = spread.sd
            figures[f"z_score_robust_sd_{name}"] = spread.robust_sd
        for name, histogram in (
            ("subpixel", self.subpixel),
            ("subpixel_truth", self.subpixel_truth),
        ):
            for part in ("chi2", "p_value", "unevenness"):
                figures[f"{name}_{part}"] = getattr(histogram, part, np.nan)
        return figures


def evaluate(
    table: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    tolerance_nm: float = 250.0,
    tolerance_axial_nm: float = 500.0,
    matching: Rule = "greedy",
    border_nm: float = 450.0,
    field_nm: tuple[float, float] | None = None,
    photon_quantile: float = 0.0,
    pixel_size_nm: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Compare localizations with the true emitters, frame by frame.

    Parameters
    ----------
    table : DataFrame
        Detections: ``frame``, ``x_nm``, ``y_nm``; ``z_nm``, ``photons`` and uncertainties are
        used where they are. Origin at the image's top left corner.
    truth : DataFrame
        Emitters, a row for each frame in which one shines, in the same columns.
    tolerance_nm, tolerance_axial_nm : float
        Largest distances of a pair, in nm, > 0, included; the axial one counts where both tables
        have z, not all 0.
    matching : {"greedy", "optimal", "stable"}
        See ``match_frames``.
    border_nm : float
        Detections and emitters so near to the field's edge are left out, in nm, >= 0.
    field_nm : (float, float), optional
        Width and height of the field, in nm; by default up to the outermost emitter, rounded up
        to a whole pixel where the pixel size is known.
    photon_quantile : float
        0 <= q < 1; with q > 0, emitters of at most ``floor(quantile(photons, q))`` photons are
        matched like others, but neither they nor their detections count (challenge: 0.25).
    pixel_size_nm : float, optional
        Edge of a camera pixel; by default what the tables state.
    seed : int
        Seed of the chance level.

    Returns
    -------
    Evaluation
        Figures, pairs and warnings.

    Raises
    ------
    TableError
        A table is empty, lacks a column, or has values that aren't finite; the tables share no
        frame; nothing lies inside the border; photons are asked for and not there.
    ValueError
        A setting is out of range.
    """
    if not 0 <= photon_quantile < 1 or not border_nm >= 0:
        raise ValueError("photon_quantile must be in [0, 1), and border_nm at least 0")
    scene = _set_scene(table, truth, border_nm, field_nm, pixel_size_nm)
    threshold = photon_threshold(scene.truth, photon_quantile)
    judge = Judge(
        scene.truth,
        _is_dim(scene.truth, threshold),
        matching,
        tolerance_nm,
        tolerance_axial_nm if scene.is_3d else None,
    )
    score = judge.score(scene.detections)
    found = _lay_out(score, scene)
    chance = judge.score_by_chance(
        scene.detections, field_nm=scene.field_nm, border_nm=border_nm, seed=seed
    )
    errors = summarise_errors(found.pairs)
    bound_nm, times_bound = compare_with_bound(found.pairs, tolerance_nm=tolerance_nm)
    figures: dict[str, Any] = {name: getattr(score, name) for name in _COUNTS}
    figures |= errors | _efficiencies(score.jaccard, errors)
    return Evaluation(
        rule=matching,
        is_3d=scene.is_3d,
        tolerance_nm=tolerance_nm,
        tolerance_axial_nm=tolerance_axial_nm,
        border_nm=border_nm,
        field_width_nm=scene.field_nm[0],
        field_height_nm=scene.field_nm[1],
        photon_threshold=threshold,
        n_frames=len(np.union1d(scene.detections["frame"], scene.truth["frame"])),
        n_detections=len(scene.detections),
        n_emitters=len(scene.truth),
        n_dim=int(judge.is_dim.sum()),
        **figures,
        chance_jaccard=chance[0],
        chance_rmse_lateral_nm=chance[1],
        photons_ratio=found.photons_ratio,
        bound_nm=bound_nm,
        times_bound=times_bound,
        spread_lateral=found.spread_lateral,
        spread_axial=found.spread_axial,
        subpixel=_subpixel(scene.detections, scene.pixel_size_nm),
        subpixel_truth=_subpixel(scene.truth, scene.pixel_size_nm),
        pairs=found.pairs,
        of_dim=scene.rows[0][score.of_dim],
        warnings=(*scene.notes, *_suspect(judge, scene.detections, score, chance[0], found.pairs)),
    )


@dataclass(frozen=True, eq=False)
class _Scene:
    """Both tables inside the border, and what is known of them."""

    detections: pd.DataFrame
    truth: pd.DataFrame
    rows: tuple[NDArray[np.int64], NDArray[np.int64]]
    field_nm: tuple[float, float]
    pixel_size_nm: float | None
    is_3d: bool
    notes: tuple[str, ...]


def _set_scene(
    table: pd.DataFrame,
    truth: pd.DataFrame,
    border_nm: float,
    field_nm: tuple[float, float] | None,
    pixel_size_nm: float | None,
) -> _Scene:
    """Check both tables and leave out what is near the border."""
    is_3d = _has_depth(table) and _has_depth(truth)
    _check(table, "table of detections", is_3d=is_3d)
    _check(truth, "table of the truth", is_3d=is_3d)
    _check_frames(table, truth)
    pixel_nm = pixel_size_nm or table.attrs.get("pixel_size_nm") or truth.attrs.get("pixel_size_nm")
    width_nm, height_nm = field_nm or _guess_field(truth, pixel_nm)
    field = (float(width_nm), float(height_nm))
    inside = [
        is_inside(part, field_nm=field, border_nm=border_nm).nonzero()[0] for part in (table, truth)
    ]
    if not len(inside[1]):
        raise TableError(
            "table of the truth",
            f"no emitter is more than {border_nm:g} nm inside a field of {width_nm:.0f} x "
            f"{height_nm:.0f} nm",
            "",
            "Give a smaller border_nm, or check the unit of the coordinates.",
        )
    notes = []
    if field_nm is None and border_nm > 0:
        notes.append(
            f"The size of the field isn't given; taken as {width_nm:.0f} x {height_nm:.0f} nm, up "
            f"to the outermost emitter. {border_nm:g} nm at each edge are left out."
        )
    if "detections" in table and (table["detections"] > 1).any():
        notes.append(
            "The table of detections was merged over frames; only the first frame of each "
            "localization can be found."
        )
    return _Scene(
        table.iloc[inside[0]],
        truth.iloc[inside[1]],
        (inside[0], inside[1]),
        field,
        pixel_nm,
        is_3d,
        tuple(notes),
    )


def _has_depth(table: pd.DataFrame) -> bool:
    return "z_nm" in table and bool((table["z_nm"] != 0).any())


def _check(table: pd.DataFrame, what: str, *, is_3d: bool) -> None:
    what = str(table.attrs.get("source") or what)
    if not len(table):
        raise TableError(what, "the table is empty", "at least one localization")
    for name in ("frame", "x_nm", "y_nm", *(("z_nm",) if is_3d else ())):
        if name not in table:
            raise TableError(
                what,
                f"there is no column '{name}'",
                "frame, x_nm and y_nm",
                "Read the table with read_table, or rename its columns.",
            )
        n_bad = int((~np.isfinite(table[name].to_numpy(np.float64))).sum())
        if n_bad:
            raise TableError(
                what,
                f"{n_bad} of {len(table)} values of '{name}' aren't finite numbers",
                "a number in every row",
                "Leave these rows out" + (", or the column z_nm." if name == "z_nm" else "."),
            )


def _check_frames(table: pd.DataFrame, truth: pd.DataFrame) -> None:
    frames = [np.unique(part["frame"].to_numpy()) for part in (table, truth)]
    if not np.isin(frames[0], frames[1]).any():
        ranges = [f"{own[0]:.0f} to {own[-1]:.0f}" for own in frames]
        raise TableError(
            str(table.attrs.get("source") or "table of detections"),
            f"its frames, {ranges[0]}, have none in common with those of the truth, {ranges[1]}",
            "frames of one movie, counted from 1 in both tables",
            "Check which movie the tables belong to, and what their first frame is called.",
        )


def _guess_field(truth: pd.DataFrame, pixel_size_nm: float | None) -> tuple[float, float]:
    edges = truth[["x_nm", "y_nm"]].max().to_numpy(np.float64)
    if pixel_size_nm:
        edges = np.ceil(edges / pixel_size_nm) * pixel_size_nm
    return float(edges[0]), float(edges[1])


def _is_dim(truth: pd.DataFrame, threshold: float) -> NDArray[np.bool_]:
    if not threshold:
        return np.zeros(len(truth), bool)
    return np.asarray(truth["photons"] <= threshold)


def _lay_out(score: Score, scene: _Scene) -> Found:
    pairs = measure_pairs(score, scene.detections, scene.truth, is_3d=scene.is_3d)
    pairs["detection"] = scene.rows[0][score.detection]
    pairs["truth"] = scene.rows[1][score.truth]
    found = Found(pairs, scene.detections.iloc[score.detection], scene.truth.iloc[score.truth])
    bounds = found.bounds_nm(scene.pixel_size_nm)
    if bounds is not None:
        pairs["bound_nm"] = bounds
    return found


def _efficiencies(jaccard: float, errors: dict[str, float]) -> dict[str, float]:
    lateral = efficiency(jaccard, errors["rmse_lateral_nm"], alpha_per_nm=ALPHA_LATERAL_PER_NM)
    axial = efficiency(jaccard, errors["rmse_axial_nm"], alpha_per_nm=ALPHA_AXIAL_PER_NM)
    return {
        "efficiency": lateral,
        "efficiency_axial": axial,
        "efficiency_volume": (lateral + axial) / 2,
    }


def _subpixel(table: pd.DataFrame, pixel_size_nm: float | None) -> SubpixelHistogram | None:
    return count_subpixel(table, pixel_size_nm=pixel_size_nm) if pixel_size_nm else None


def _suspect(
    judge: Judge, detections: pd.DataFrame, score: Score, chance: float, pairs: pd.DataFrame
) -> Iterator[str]:
    """Say what the figures themselves show to be wrong."""
    for axis in "xyz":
        errors = pairs.get(f"d{axis}_nm")
        if errors is None or len(errors) < _FEW_PAIRS:
            continue
        bias, sure = errors.mean(), 5 * errors.std() / np.sqrt(len(errors))
        if abs(bias) > max(_NOTICEABLE_BIAS_NM, sure):
            yield (
                f"Detections are displaced along {axis} by {bias:+.1f} nm on average; check the "
                "origins of both tables (half a pixel?)."
            )
    is_above_chance = score.jaccard > chance + _CLEAR_SHARE * (1 - chance)
    if not is_above_chance:
        yield f"The Jaccard index, {score.jaccard:.3f}, is hardly above chance, {chance:.3f}."
    if score.jaccard > _GOOD_JACCARD:
        return
    for what, variant in likely_mistakes(detections):
        other = judge.score(variant).jaccard
        if other > score.jaccard + _CLEAR_SHARE * (1 - score.jaccard):
            yield f"The Jaccard index would be {other:.2f} {what} in the detections."
