"""Settings of a simulation taken from a table of a user's own localizations.

What a network has not seen in training it fails at in silence, so the ranges for training patches
cover nearly all of the table; a movie gets the table's middle. A table knows nothing of emitters
that were not found: dense data look sparser in it than they are.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError
from scipy.spatial import cKDTree

from bridge.errors import TableError
from bridge.smlm.blinking import LogNormalPhotons
from bridge.smlm.patches import PatchConditions
from bridge.smlm.psf import IntegratedGaussian
from bridge.smlm.simulate import Simulation

Settings = TypeVar("Settings", PatchConditions, Simulation)

LEAST_ROWS = 40
"""With fewer localizations than this, quantiles say nothing."""

_WIDE = (0.01, 0.99)  # quantiles for density and background
_MIDDLE = (0.1, 0.9)  # for photons and widths, whose tails are failed fits
_BACKGROUND_MARGIN = 1.5  # a background beyond the trained range gives no or hundreds of detections
_SD_PER_IQR = 0.7413  # of a normal distribution
_MOST_SPREAD = 1.5
_SAME_PLACE_NM = 60.0  # from one frame to the next; several times the precision
_LONG_AFTER = 50  # frames, after which an emitter is at the same place by chance


class Likeness(NamedTuple, Generic[Settings]):
    """Settings that are like a table."""

    settings: Settings
    """The settings."""
    notes: list[str]
    """Sentences: what was taken from the table, and what it didn't say."""


def conditions_like(table: pd.DataFrame, base: Settings) -> Likeness[Settings]:
    """Take density, photons, width, background and pixel size from a table.

    Parameters
    ----------
    table : DataFrame
        Localizations, at least 40; needs ``frame``, ``x_nm`` and ``y_nm``. Not merged: each emitter
        in each frame has a row. ``photons``, ``sigma_nm``, ``background`` and
        ``attrs["pixel_size_nm"]`` are used where they are.
    base : PatchConditions or Simulation
        Gives all that the table doesn't say.

    Returns
    -------
    Likeness
        Settings of the type of ``base``, and notes. Patches get ranges: density from 1 % to 99 % of
        the patch-sized fields of a frame, photons and width from 10 % to 90 % of the rows,
        background from 1 % to 99 % and half as much again. A movie gets the mean density and the
        medians.

    Raises
    ------
    TableError
        A column is missing, there are too few rows, or their values are beyond any movie's.
    """
    _check(table)
    try:
        return _take_all(table, base)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise TableError(
            str(table.attrs.get("source") or "table"),
            f"its {detail['loc'][0]} would be {detail['input']!r}",
            f"values of a movie: {detail['msg']}",
            "Check its units, and leave out failed fits.",
        ) from error


def _take_all(table: pd.DataFrame, base: Settings) -> Likeness[Settings]:
    notes: list[str] = []
    changes: dict[str, object] = {}
    pixel_size_nm = table.attrs.get("pixel_size_nm")
    if pixel_size_nm:
        changes["camera"] = base.camera.model_copy(update={"pixel_size_nm": float(pixel_size_nm)})
        notes.append(f"Pixel size {pixel_size_nm:g} nm, from the table.")
    else:
        kept = base.camera.pixel_size_nm
        notes.append(f"The table has no pixel size; {kept:g} nm is kept.")
    camera = cast("Any", changes.get("camera", base.camera))
    is_movie = isinstance(base, Simulation)
    field_nm = None if isinstance(base, Simulation) else base.size_px * camera.pixel_size_nm
    changes["density_per_um2"] = _take_density(table, field_nm, notes)
    photons = _values(table, "photons", notes)
    if photons is not None:
        changes |= _take_photons(table, photons, notes, is_movie=is_movie)
    changes |= _take_width(table, base, notes)
    if isinstance(base, PatchConditions) and base.frames > 1:
        changes |= _take_on_time(table, notes)
    background = _take_background(table, notes)
    if background is not None:
        middle = float(np.median(background))
        low, high = _quantiles(background, _WIDE)
        limits = (low / _BACKGROUND_MARGIN, high * _BACKGROUND_MARGIN)
        changes["background_photons"] = middle if is_movie else limits
        notes.append(f"Background {low:.3g} to {high:.3g} photons per pixel.")
    # model_copy alone would not check the values.
    checked = type(base).model_validate(dict(base) | changes)
    return Likeness(checked, notes)


def _check(table: pd.DataFrame) -> None:
    name = str(table.attrs.get("source") or "table")
    missing = [column for column in ("frame", "x_nm", "y_nm") if column not in table.columns]
    if missing:
        raise TableError(name, f"column '{missing[0]}' is missing", "frame, x_nm and y_nm")
    if len(table) < LEAST_ROWS:
        raise TableError(
            name,
            f"it has {len(table)} localizations",
            f"at least {LEAST_ROWS}, to take statistics from",
            "Give a table of more frames.",
        )


def _values(table: pd.DataFrame, column: str, notes: list[str]) -> NDArray[np.float64] | None:
    """Give a column's positive values; None, and a note, where there are too few."""
    if column not in table.columns:
        notes.append(f"The table has no column {column}; what was set is kept.")
        return None
    values = table[column].to_numpy(dtype=np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) < LEAST_ROWS:
        notes.append(f"Column {column} has {len(values)} values above 0; what was set is kept.")
        return None
    return cast("NDArray[np.float64]", values)


def _quantiles(values: NDArray[np.float64], limits: tuple[float, float]) -> tuple[float, float]:
    low, high = np.quantile(values, limits)
    return float(low), float(high)


def _take_density(
    table: pd.DataFrame, field_nm: float | None, notes: list[str]
) -> float | tuple[float, float]:
    """Count emitters per square micrometre and frame: the mean, or a range over small fields."""
    frame = table["frame"].to_numpy()
    n_frames = int(frame.max() - frame.min()) + 1
    x_nm, y_nm = (table[name].to_numpy(dtype=np.float64) for name in ("x_nm", "y_nm"))
    if "detections" in table.columns and bool((table["detections"] > 1).any()):
        notes.append("The table is merged: its density is too low.")
    width, height = (max(float(np.ptp(values)), 1.0) for values in (x_nm, y_nm))
    mean = len(table) / n_frames / (width * height / 1e6)
    if field_nm is None:
        notes.append(f"Density {mean:.3g} per square micrometre and frame.")
        return mean
    # Whole fields only: those cut by the table's edge would look sparser.
    n_x, n_y = (max(1, int(length // field_nm)) for length in (width, height))
    column = ((x_nm - x_nm.min()) // field_nm).astype(np.int64)
    row = ((y_nm - y_nm.min()) // field_nm).astype(np.int64)
    is_whole = (column < n_x) & (row < n_y)
    place = (row * n_x + column)[is_whole]
    key = (frame - frame.min()).astype(np.int64)[is_whole] * (n_x * n_y) + place
    seen = np.unique(key, return_counts=True)[1]
    # Fields that are empty in every frame are no sample; a field that shines at times is.
    n_fields = len(np.unique(place)) * n_frames
    counts = np.concatenate([np.zeros(n_fields - len(seen)), seen.astype(np.float64)])
    low, high = (value / (field_nm**2 / 1e6) for value in _quantiles(counts, _WIDE))
    notes.append(f"Density {low:.3g} to {high:.3g} per square micrometre and frame.")
    return low, max(high, mean)


def _take_photons(
    table: pd.DataFrame, photons: NDArray[np.float64], notes: list[str], *, is_movie: bool
) -> dict[str, object]:
    """Give photons and their spread."""
    low, high = _quantiles(photons, _MIDDLE)
    notes.append(f"Photons {low:.4g} to {high:.4g}, median {np.median(photons):.4g}.")
    if is_movie:
        spread = _robust_deviation(np.log(photons))
        median = float(np.median(photons))
        return {"photons": LogNormalPhotons(median=median, spread=spread)}
    shining = table[np.isfinite(table["photons"]) & (table["photons"] > 0)]
    logarithm = np.log(shining["photons"].astype("float64"))
    # Of rows that share a frame: what differs between frames is in the range already.
    within = (logarithm - logarithm.groupby(shining["frame"]).transform("median")).to_numpy()
    is_shared = shining["frame"].duplicated(keep=False).to_numpy()
    source = within[is_shared] if is_shared.sum() >= LEAST_ROWS else logarithm.to_numpy()
    return {
        "photons": (low, high),
        "photons_spread": _robust_deviation(source),
        "drawn_per": "patch",
    }


def _take_on_time(table: pd.DataFrame, notes: list[str]) -> dict[str, object]:
    """Give how long emitters shine: from how many are there again in the next frame.

    With exponential on-times of mean ``m`` an emitter touches ``m + 1`` frames on average, so that
    ``m / (m + 1)`` of its rows are followed by another one.
    """
    ordered = table.sort_values("frame", kind="stable")
    places = ordered[["x_nm", "y_nm"]].to_numpy(np.float64)
    frame = ordered["frame"].to_numpy(np.int64)
    extent_nm = float((places.max(axis=0) - places.min(axis=0)).max())
    apart_nm = extent_nm + 4 * _SAME_PLACE_NM  # so that frames never meet
    tree = cKDTree(np.column_stack([places, frame * apart_nm]))

    def followed(step: int) -> float:
        asked = np.column_stack([places, (frame + step) * apart_nm])
        distance, _ = tree.query(asked, distance_upper_bound=_SAME_PLACE_NM)
        has_next = frame <= frame.max() - step
        is_near = np.isfinite(np.asarray(distance, np.float64))
        return float(is_near[has_next].mean()) if has_next.any() else 0.0

    by_chance = followed(_LONG_AFTER)
    share = (followed(1) - by_chance) / max(1 - by_chance, 0.1)
    on_frames = max(share, 0.0) / max(1 - share, 0.02)
    low, high = max(on_frames / 2, 0.5), max(2 * on_frames, 1.0)
    notes.append(
        f"Emitters shine for {on_frames:.2g} frames; trained from {low:.2g} to {high:.2g}."
    )
    return {"on_frames": (low, high)}


def _robust_deviation(values: NDArray[np.float64]) -> float:
    low, high = np.nanquantile(values, (0.25, 0.75))
    return min(float(high - low) * _SD_PER_IQR, _MOST_SPREAD)


def _take_width(
    table: pd.DataFrame, base: PatchConditions | Simulation, notes: list[str]
) -> dict[str, object]:
    """Give the width of the spots, where the base's is a number that can be set."""
    if not isinstance(base.psf, IntegratedGaussian):
        notes.append(f"The point spread function stays {base.psf.kind}.")
        return {}
    sigma_nm = _values(table, "sigma_nm", notes)
    if sigma_nm is None:
        return {}
    low, high = _quantiles(sigma_nm, _MIDDLE)
    notes.append(f"Width (sigma) {low:.4g} to {high:.4g} nm.")
    return {"psf": IntegratedGaussian(sigma_nm=(low, high))}


def _take_background(table: pd.DataFrame, notes: list[str]) -> NDArray[np.float64] | None:
    """Give the background per pixel, if it is one."""
    background = _values(table, "background", notes)
    if background is not None and np.ptp(background) == 0 and "background_std" in table.columns:
        # ThunderSTORM's ground truth has the camera's base level there.
        deviation = float(table["background_std"].iloc[0])
        if not np.isclose(deviation**2, background[0], rtol=1e-3):
            notes.append(
                "All rows have the same background, and it is not that of the noise beside it; "
                "what was set is kept."
            )
            return None
    return background
