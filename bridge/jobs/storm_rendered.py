"""Fields for X-Microscopy from images that are rendered already, with widefield images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.images.blur import bin_pixels
from bridge.jobs.base import Result
from bridge.jobs.storm_triples import (
    BRIGHT,
    N_SHOWN,
    field_name,
    require_same_field,
    resample_widefield,
    tell_result,
    write_storm_page,
)
from bridge.progress import Progress
from bridge.restoration.draws import match_draws, require_partners
from bridge.restoration.match import match_files
from bridge.restoration.pair_folder import read_plane
from bridge.restoration.pairs import examine_values, find_grids, fit_grids, pixel_size_of
from bridge.restoration.register import Registration, register
from bridge.restoration.split import split_fields
from bridge.restoration.storm_folder import StormSettings, new_storm
from bridge.restoration.thinning import count_localizations, scale_to_bright, thin_rendering

if TYPE_CHECKING:
    from bridge.jobs.pairs import Pairs

_SIGMA_PX = 1.0
_SAME_FIELD = 0.05
_SAME_SIZE = 0.01
_COARSER = (1, 2, 4)
_LEAST_PX = 64
_FINE = 2.5

Image = NDArray[np.float32]


@dataclass(frozen=True)
class _Field:
    """The images of one field as they were read."""

    name: str
    paths: tuple[Path, Path]
    widefield: xr.DataArray
    full: xr.DataArray
    sparse: list[xr.DataArray]
    dense: list[xr.DataArray]
    ratio: float
    """Pixels of the rendering per pixel of the widefield image."""


def make_rendered_fields(job: Pairs, progress: Progress) -> Result:
    """Make a folder of fields for X-Microscopy from renderings.

    The renderings' grid is kept; the widefield image is registered and resampled to it. Where no
    undersampled renderings are given, they are drawn by thinning the full one; where no dense ones
    are, the full one takes their place.

    Parameters
    ----------
    job : Pairs
        What was asked for: ``target`` holds full renderings, ``widefield``, ``sparse`` and
        ``dense`` what belongs to them.
    progress : Progress
        Told of every field.

    Returns
    -------
    Result
        The folder and its page.

    Raises
    ------
    InputError, ImageError
        An image is missing or of the wrong kind, or images don't show the same field.
    """
    matches = match_files(job.target, job.widefield)
    require_partners(matches.alone, len(matches.found))
    names = [field_name(match) for match in matches.found]
    sparse = match_draws(job.sparse, names) if job.sparse else {}
    dense = match_draws(job.dense, names) if job.dense else {}
    notes = _tell_draws(job, sparse)
    parts = split_fields(dict.fromkeys(names, "storm"), seed=job.seed)
    shown: list[tuple[str, list[Image]]] = []
    first = _read(job, names[0], matches.found[0].paths, sparse, dense, [])
    with new_storm(job.output, _settings(job, first), overwrite=job.overwrite) as writer:
        for number, match in enumerate(matches.found):
            name = names[number]
            progress(number, len(names), name)
            field = _read(job, name, match.paths, sparse, dense, notes)
            _require_same_size(field, first)
            found = _register(field)
            require_same_field(job, found, field.paths, scale=field.ratio)
            full = field.full.values
            drawn = [image.values for image in field.sparse]
            if not drawn:
                rng = np.random.default_rng([job.seed, number])
                drawn = _thin(job, field, rng, notes)
            images = {
                "widefield": resample_widefield(
                    field.widefield.values, found.shift, field.ratio, full.shape
                ),
                "full": scale_to_bright(full, BRIGHT),
            }
            writer.add(
                name,
                parts[name],
                widefield=images["widefield"],
                sparse=[scale_to_bright(image, BRIGHT) for image in drawn],
                dense=[scale_to_bright(i.values, BRIGHT) for i in field.dense or [field.full]],
                full=images["full"],
                figures=_figures(job, field, found),
            )
            if len(shown) < N_SHOWN:
                one = scale_to_bright(drawn[0], BRIGHT)
                shown.append((name, [images["widefield"], one, images["full"]]))
        notes = list(dict.fromkeys(notes))
        write_storm_page(writer, shown, notes)
    return tell_result(job, writer, notes)


def _settings(job: Pairs, first: _Field) -> StormSettings:
    source = "rendered images"
    if not job.sparse:
        source += (
            f"; undersampled ones by thinning, an approximation: values are taken as expected "
            f"counts, drawn (Poisson) and rendered with a Gaussian of {_SIGMA_PX:g} px once more"
        )
    size_nm = _fine_pixel_nm(first)
    return StormSettings(
        pixel_size_nm=size_nm,
        localizations=None if job.sparse else job.localizations,
        render_sigma_nm=None if job.sparse or size_nm is None else _SIGMA_PX * size_nm,
        bright_percentile=BRIGHT,
        source=source,
        seed=job.seed,
    )


def _tell_draws(job: Pairs, sparse: dict[str, list[Path]]) -> list[str]:
    notes = []
    if not job.sparse:
        notes.append(
            "The undersampled images are drawn from the full renderings, as if brightness counted "
            f"localizations (about {job.localizations} each), and spread once more by a Gaussian "
            f"of {_SIGMA_PX:g} px: an approximation. Tables of localizations (--table), or "
            "undersampled renderings (--sparse), are better."
        )
    if not job.dense:
        notes.append("No dense renderings are given; the full ones take their place.")
    counts = {name: len(paths) for name, paths in sparse.items()}
    if len(set(counts.values())) > 1:
        few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        notes.append(
            f"Fields have unequal numbers of undersampled images: {few} has {counts[few]}, {many} "
            f"has {counts[many]}."
        )
    return notes


def _read(
    job: Pairs,
    name: str,
    paths: tuple[Path, ...],
    sparse: dict[str, list[Path]],
    dense: dict[str, list[Path]],
    notes: list[str],
) -> _Field:
    """Read a field's images, and refuse those that don't fit one another."""
    full_path, widefield_path = paths
    full = _read_one(full_path, job.target_pixel_nm, notes)
    widefield = _read_one(widefield_path, job.input_pixel_nm, notes)
    draws = []
    for files in (sparse.get(name, []), dense.get(name, [])):
        images = [_read_one(path, None, notes) for path in files]
        for path, image in zip(files, images, strict=True):
            if image.shape != full.shape:
                raise ImageError(
                    str(path),
                    f"{image.shape} pixels (y, x), {full_path.name} has {full.shape}: "
                    f"{image.shape[0] / full.shape[0]:.4g} times",
                    "all renderings of a field on one grid",
                    "Render them with the same pixels.",
                )
        draws.append(images)
    ratio = _find_ratio(widefield, full, what=f"{widefield_path} and {full_path}")
    return _Field(name, (full_path, widefield_path), widefield, full, draws[0], draws[1], ratio)


def _read_one(path: Path, pixel_nm: float | None, notes: list[str]) -> xr.DataArray:
    image = read_plane(path)
    notes += examine_values(image, what=path.name)
    if float(image.max()) <= 0:
        raise ImageError(str(path), "no pixel is above 0", "an image with something in it", "")
    if pixel_nm is not None:
        image.attrs["pixel_size_nm"] = dict.fromkeys("yx", pixel_nm)
    return image


def _find_ratio(widefield: xr.DataArray, full: xr.DataArray, *, what: str) -> float:
    """Find the rendering's pixels per widefield pixel; both must show the whole of one field."""
    grids = find_grids(widefield, full, what=what)
    along = [full.sizes[dim] / widefield.sizes[dim] for dim in "yx"]
    worst = max(along, key=lambda one: abs(np.log(one / grids.ratio)))
    if abs(np.log(worst / grids.ratio)) > _SAME_FIELD:
        raise ImageError(
            what,
            f"the rendering is {grids.ratio:.4g} times finer by {grids.came_from}, and has "
            f"{along[0]:.4g} x {along[1]:.4g} times as many pixels (y, x)",
            "two images of one field: the same edges in nm",
            "Cut both to the same field, or correct --input-pixel-nm (widefield) and "
            "--target-pixel-nm (rendering).",
        )
    return grids.ratio


def _register(field: _Field) -> Registration:
    """Lay the rendering over the widefield image, on pixels as coarse as the blur allows.

    A widefield image that was brought to fine pixels before has no details of a few of them; so
    coarser ones are tried, and those are taken on which details agree best.
    """
    grids = find_grids(field.widefield, field.full, what=field.name)
    image, target = fit_grids(field.widefield, field.full, grids, resample=True, what=field.name)
    best: Registration | None = None
    for step in _COARSER if field.ratio < _FINE else _COARSER[:1]:
        rows, columns = (n // step for n in image.shape)
        if step > 1 and min(rows, columns) < _LEAST_PX:
            break
        coarse = bin_pixels(image[: rows * step, : columns * step], step)
        edges = (rows * step * grids.scale, columns * step * grids.scale)
        fine = target[: edges[0], : edges[1]]
        found = register(coarse, fine, scale=step * grids.scale)
        if best is None or found.detail_correlation > best.detail_correlation:
            best = Registration(
                step * found.shift_y_px,
                step * found.shift_x_px,
                step * found.blur_px,
                found.correlation,
                found.detail_correlation,
            )
    assert best is not None
    return best


def _thin(job: Pairs, field: _Field, rng: np.random.Generator, notes: list[str]) -> list[Image]:
    """Draw undersampled images from the full one, if it has that many localizations."""
    count = count_localizations(field.full)
    name = field.paths[0].name
    if count is None:
        notes.append(
            f"{name}: its values were scaled and don't count localizations, so whether it has "
            f"{job.localizations} of them isn't known."
        )
    elif count < job.localizations:
        raise ImageError(
            str(field.paths[0]),
            f"its values add up to {count:.4g} localizations, {job.localizations} are asked for",
            f"at most {count:.4g}",
            "Ask for fewer with --localizations.",
        )
    return [
        thin_rendering(field.full.values, n=job.localizations, sigma_px=_SIGMA_PX, rng=rng)
        for _ in range(job.subsamplings)
    ]


def _fine_pixel_nm(field: _Field) -> float | None:
    """Give the edge of a rendering's pixel, from the widefield image's where it must be."""
    coarse_nm = pixel_size_of(field.widefield)
    return pixel_size_of(field.full) or (coarse_nm / field.ratio if coarse_nm else None)


def _require_same_size(field: _Field, first: _Field) -> None:
    sizes = _fine_pixel_nm(field), _fine_pixel_nm(first)
    if sizes[0] and sizes[1] and abs(sizes[0] / sizes[1] - 1) > _SAME_SIZE:
        raise ImageError(
            str(field.paths[0]),
            f"pixels of {sizes[0]:.4g} nm, those of {first.paths[0].name} are {sizes[1]:.4g} nm",
            "one grid for all fields",
            "Make a folder of fields for each.",
        )


def _figures(job: Pairs, field: _Field, found: Registration) -> dict[str, float | str]:
    figures: dict[str, float | str] = {
        "scale": field.ratio,
        "shift_y_px": found.shift_y_px,
        "shift_x_px": found.shift_x_px,
        "detail_correlation": found.detail_correlation,
    }
    count = count_localizations(field.full)
    if count is not None:
        figures["n_localizations"] = round(count)
    if not field.sparse:
        figures["n_sparse"] = job.localizations
    return figures
