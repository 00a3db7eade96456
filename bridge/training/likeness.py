"""What to simulate so that it is like a user's own table and movie.

The table says how bright, wide and dense its localizations are; the protocol beside it says which
camera took them; the movie says how bright its background is, and whether camera and table can be
right. Nothing is guessed: where they contradict each other, training is refused with the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bridge.errors import TableError
from bridge.images.read import open_image
from bridge.smlm.camera import Camera, Ccd, Emccd
from bridge.smlm.like import conditions_like
from bridge.smlm.measure import MovieFacts, describe, find_contradictions, measure_movie
from bridge.smlm.movie_blocks import take_frames
from bridge.smlm.patches import PatchConditions
from bridge.smlm.protocol import find_protocol
from bridge.smlm.psf import IntegratedGaussian
from bridge.smlm.sniff import check_against_stack
from bridge.smlm.table import read_table

_BACKGROUND_MARGIN = (0.5, 3.0)  # beyond the trained range a network finds nothing, or hundreds
_DENSER = 3.0  # emitters that a fit didn't tell apart are missing in a table
_USUAL_DENSITY = (3.0, 8.0)  # per square micrometre; a denser table counts as it is
_WIDTH_MARGIN = 0.92
_SAME_PHOTONS = 2.0  # a fit with another model may differ by nearly so much


@dataclass(frozen=True)
class Taken:
    """What was taken from a table and its movie."""

    settings: PatchConditions
    """What is simulated."""
    notes: list[str]
    """What was taken from where."""
    warnings: list[str]
    """What is doubtful."""


def take_likeness(
    table_path: Path,
    stack_path: Path | None,
    base: PatchConditions,
    *,
    pixel_size_nm: float | None = None,
    is_camera_set: bool = False,
) -> Taken:
    """Take conditions of training patches from a table, and from its movie where there is one.

    Parameters
    ----------
    table_path : Path
        Localizations, as ThunderSTORM exports them.
    stack_path : Path or None
        The movie that they were found in.
    base : PatchConditions
        Gives all that isn't said; its camera is replaced by that of the table's protocol.
    pixel_size_nm : float, optional
        Edge of a camera pixel, where the table's files don't say it.
    is_camera_set : bool
        Whether the camera of ``base`` was set on purpose, so that no protocol replaces it.

    Returns
    -------
    Taken
        Conditions, and sentences on what was taken from where.

    Raises
    ------
    TableError
        The table cannot be read, has too few rows, or doesn't belong to the movie.
    ImageError
        The movie cannot be read.
    """
    notes: list[str] = []
    table = read_table(table_path, pixel_size_nm=pixel_size_nm)
    doubts = list(table.attrs.get("warnings", []))
    movie = None if stack_path is None else take_frames(open_image(stack_path))[0]
    if not table.attrs.get("pixel_size_nm"):
        table.attrs["pixel_size_nm"] = _pixel_size_nm(movie) or base.camera.pixel_size_nm
        size_nm = table.attrs["pixel_size_nm"]
        notes.append(f"The table's files don't say its pixel size; {size_nm:g} nm is taken.")
    camera = base.camera if is_camera_set else _protocol_camera(table_path, base.camera, notes)
    likeness = conditions_like(table, base.model_copy(update={"camera": camera}))
    notes += likeness.notes
    conditions = _widen_width(_make_denser(likeness.settings, notes))
    if movie is not None:
        notes += check_against_stack(table, movie).sentences
        facts = measure_movie(movie, camera=conditions.camera)
        notes.append(describe(facts))
        _check_photons(table, facts, conditions.camera)
        conditions = _widen_background(conditions, facts, notes)
        doubts += _check_movie(facts, conditions, str(stack_path))
    return Taken(conditions, notes, doubts)


def _pixel_size_nm(movie: xr.DataArray | None) -> float | None:
    sizes = {} if movie is None else movie.attrs.get("pixel_size_nm") or {}
    return sizes.get("x")


def _protocol_camera(table_path: Path, camera: Camera, notes: list[str]) -> Camera:
    """Give the camera of a table's protocol; the recipe's where there is none."""
    protocol, _ = find_protocol(table_path)
    if protocol is None or protocol.photons_per_adu is None or protocol.offset_adu is None:
        said = camera.scaling()
        notes.append(
            f"No protocol beside the table names the camera; the recipe's is taken: offset "
            f"{said.offset_adu:g} counts, {said.photons_per_adu:.3g} photons per count."
        )
        return camera
    shared = {
        "pixel_size_nm": protocol.pixel_size_nm or camera.pixel_size_nm,
        "quantum_efficiency": protocol.quantum_efficiency or 1.0,
        "offset_adu": protocol.offset_adu,
        "electrons_per_adu": protocol.electrons_per_adu,
        "bit_depth": camera.bit_depth,
    }
    notes.append(
        f"Camera of {protocol.path.name}: offset {protocol.offset_adu:g} counts, "
        f"{protocol.photons_per_adu:.3g} photons per count"
        + (f", EM gain {protocol.em_gain:g}." if protocol.em_gain else ".")
    )
    if protocol.em_gain:
        return Emccd.model_validate({**shared, "em_gain": protocol.em_gain})
    return Ccd.model_validate({**shared, "read_noise_e": protocol.read_noise_e or 1.5})


def _make_denser(conditions: PatchConditions, notes: list[str]) -> PatchConditions:
    """Add room for the emitters that a table doesn't have."""
    found = conditions.density_per_um2[1]
    least, most = _USUAL_DENSITY
    high = max(min(_DENSER * found, most), found, least)
    notes.append(
        f"Trained from 0 to {high:.3g} emitters per square micrometre: a table has fewer than its "
        "movie."
    )
    return conditions.model_copy(update={"density_per_um2": (0.0, high)})


def _widen_width(conditions: PatchConditions) -> PatchConditions:
    """Add room for spots a little narrower and wider than most of the table's."""
    psf = conditions.psf
    if not isinstance(psf, IntegratedGaussian):
        return conditions
    low, high = psf.sigma_nm
    wide = IntegratedGaussian(sigma_nm=(low * _WIDTH_MARGIN, high / _WIDTH_MARGIN))
    return conditions.model_copy(update={"psf": wide})


def _widen_background(
    conditions: PatchConditions, facts: MovieFacts, notes: list[str]
) -> PatchConditions:
    if facts.background_photons is None:
        return conditions
    low, _, high = facts.background_photons
    limits = (
        max(min(low * _BACKGROUND_MARGIN[0], conditions.background_photons[0]), 0.1),
        max(high * _BACKGROUND_MARGIN[1], conditions.background_photons[1]),
    )
    notes.append(
        f"The movie's background is {low:.3g} to {high:.3g} photons per pixel; trained from "
        f"{limits[0]:.3g} to {limits[1]:.3g}."
    )
    return conditions.model_copy(update={"background_photons": limits})


def _check_photons(table: pd.DataFrame, facts: MovieFacts, camera: Camera) -> None:
    """Refuse a camera with which the movie's spots aren't as bright as the table says."""
    if facts.photons is None or "photons" not in table:
        return
    said, measured = float(np.nanmedian(table["photons"])), facts.photons[1]
    if said > 0 and 1 / _SAME_PHOTONS < measured / said < _SAME_PHOTONS:
        return
    scaling, set_to = camera.scaling(), getattr(camera, "electrons_per_adu", 1.0)
    factor = set_to if isinstance(set_to, int | float) else scaling.photons_per_adu
    raise TableError(
        str(table.attrs["source"]),
        f"its emitters have {said:.4g} photons in the middle, and those of the movie "
        f"{measured:.4g} with {scaling.photons_per_adu:.3g} photons per count",
        "a camera that agrees with the table",
        "Keep the -protocol.txt that ThunderSTORM saves beside the table, or give the camera: "
        "--electrons-per-adu of about "
        f"{factor * said / measured:.3g} would agree.",
    )


def _check_movie(facts: MovieFacts, conditions: PatchConditions, source: str) -> list[str]:
    """Refuse a movie that contradicts what will be simulated; give what is less serious."""
    found = find_contradictions(facts, conditions)
    for one in found:
        if one.is_serious:
            remedy = "Give the camera's own values, or train from a movie that is in order."
            raise TableError(source, one.sentence, "what will be simulated", remedy)
    return [one.sentence for one in found]
