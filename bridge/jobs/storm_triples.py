"""Fields for X-Microscopy: from tables of localizations with widefield images, or simulated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import ndimage

from bridge.errors import ImageError, InputError, TableError
from bridge.jobs.base import Result
from bridge.progress import Progress
from bridge.quality.report import Section, draw_picture, write_page
from bridge.restoration.draws import require_partners
from bridge.restoration.match import Match, match_files
from bridge.restoration.pair_folder import read_plane
from bridge.restoration.pairs import examine_values, pixel_size_of
from bridge.restoration.register import Registration, register
from bridge.restoration.split import split_fields
from bridge.restoration.storm_fields import StormConditions, draw_storm_field, expose_widefield
from bridge.restoration.storm_folder import StormSettings, StormWriter, new_storm
from bridge.restoration.thinning import scale_to_bright
from bridge.smlm.render import render_gaussian
from bridge.smlm.table import read_table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bridge.jobs.pairs import Pairs

BRIGHT = 99.7
"""Percentile of a rendering that becomes 1."""
N_SHOWN = 4
"""Fields on a page."""
_DENSE_SHARE = 0.5
_TABLES = (".csv", ".tsv", ".txt", ".hdf5")

Image = NDArray[np.float32]


def make_storm_fields(job: Pairs, progress: Progress) -> Result:
    """Make a folder of fields for X-Microscopy.

    Parameters
    ----------
    job : Pairs
        What was asked for.
    progress : Progress
        Told of every field.

    Returns
    -------
    Result
        The folder and its page.

    Raises
    ------
    InputError
        A file is missing or wrong, there are fewer localizations than asked for, or a table and
        its widefield image don't show the same.
    """
    if job.simulate == "widefield-storm":
        return _simulate(job, progress)
    if not (job.table and job.widefield) or job.simulate != "none":
        raise InputError(
            "zoobridge pairs --kind xmicroscopy",
            "there is nothing to make fields from",
            "--widefield with --table or with --target (renderings), or --simulate widefield-storm",
        )
    matches = match_files(job.table, job.widefield, endings=(_TABLES, None))
    require_partners(matches.alone, len(matches.found))
    notes: list[str] = []
    names = {field_name(match): "storm" for match in matches.found}
    parts = split_fields(names, seed=job.seed)
    settings = StormSettings(
        pixel_size_nm=job.srm_pixel_nm,
        localizations=job.localizations,
        render_sigma_nm=job.srm_pixel_nm,
        bright_percentile=BRIGHT,
        source="tables of localizations",
        seed=job.seed,
    )
    shown: list[tuple[str, list[Image]]] = []
    with new_storm(job.output, settings, overwrite=job.overwrite) as writer:
        for number, match in enumerate(matches.found):
            name = field_name(match)
            progress(number, len(matches.found), name)
            rng = np.random.default_rng([job.seed, number])
            table, widefield = _read(job, match, notes)
            found = _register(job, table, widefield, match)
            shape = _grid(widefield, job.srm_pixel_nm)
            scale = (pixel_size_of(widefield) or np.nan) / job.srm_pixel_nm
            on_grid = resample_widefield(widefield.values, found.shift, scale, shape)
            n_dense = max(job.localizations, round(_DENSE_SHARE * len(table)))
            sparse, dense = (
                [_render(table, job, shape, n, rng) for _ in range(job.subsamplings)]
                for n in (job.localizations, n_dense)
            )
            full = _render(table, job, shape, len(table), rng)
            writer.add(
                name,
                parts[name],
                widefield=on_grid,
                sparse=sparse,
                dense=dense,
                full=full,
                figures={
                    "n_localizations": len(table),
                    "n_sparse": job.localizations,
                    "n_dense": n_dense,
                    "shift_y_px": found.shift_y_px,
                    "shift_x_px": found.shift_x_px,
                    "detail_correlation": found.detail_correlation,
                },
            )
            shown.append((name, [on_grid, sparse[0], full]))
        write_storm_page(writer, shown[:N_SHOWN], notes)
    return tell_result(job, writer, notes)


def _simulate(job: Pairs, progress: Progress) -> Result:
    """Draw fields of microtubules."""
    conditions = StormConditions(pixel_size_nm=job.srm_pixel_nm, bright_percentile=BRIGHT)
    names = [f"microtubules_{number:04d}" for number in range(job.fields)]
    parts = split_fields(dict.fromkeys(names, "storm"), seed=job.seed)
    settings = StormSettings(
        pixel_size_nm=job.srm_pixel_nm,
        render_sigma_nm=conditions.render_sigma_px * job.srm_pixel_nm,
        bright_percentile=BRIGHT,
        source="simulated microtubules",
        seed=job.seed,
    )
    shown: list[tuple[str, list[Image]]] = []
    with new_storm(job.output, settings, overwrite=job.overwrite) as writer:
        for number, name in enumerate(names):
            progress(number, job.fields, "fields")
            rng = np.random.default_rng([job.seed, number])
            drawn = draw_storm_field(conditions, rng)
            widefield = expose_widefield(drawn.blur(), conditions, rng)
            sparse, dense = (
                [drawn.render(n, rng) for _ in range(job.subsamplings)]
                for n in (drawn.n_undersampled, drawn.n_dense)
            )
            full = drawn.render_full()
            counts: dict[str, float | str] = {
                "n_localizations": len(drawn.places),
                "n_sparse": drawn.n_undersampled,
                "n_dense": drawn.n_dense,
            }
            writer.add(
                name,
                parts[name],
                widefield=widefield,
                sparse=sparse,
                dense=dense,
                full=full,
                figures=counts,
            )
            if len(shown) < N_SHOWN:
                shown.append((name, [widefield, sparse[0], full]))
        write_storm_page(writer, shown, [])
    return tell_result(job, writer, [])


def _read(job: Pairs, match: Match, notes: list[str]) -> tuple[pd.DataFrame, xr.DataArray]:
    """Read a table and its widefield image, and refuse what can't be used."""
    table = read_table(match.paths[0], pixel_size_nm=job.table_pixel_nm)
    notes += table.attrs.get("warnings", [])
    if job.localizations > len(table):
        raise TableError(
            str(match.paths[0]),
            f"it has {len(table)} localizations, {job.localizations} are asked for",
            f"at most {len(table)}",
            "Ask for fewer with --localizations.",
        )
    widefield = read_plane(match.paths[1])
    notes += examine_values(widefield, what=str(match.paths[1]))
    if job.input_pixel_nm is not None:
        widefield.attrs["pixel_size_nm"] = dict.fromkeys("yx", job.input_pixel_nm)
    if pixel_size_of(widefield) is None:
        raise ImageError(
            str(match.paths[1]),
            "its pixel size isn't known",
            "the edge of a pixel in nm",
            "Give --input-pixel-nm.",
        )
    return table, widefield


def _register(
    job: Pairs, table: pd.DataFrame, widefield: xr.DataArray, match: Match
) -> Registration:
    """Find how the localizations lie on the widefield image; refuse those that don't."""
    pixel_nm = pixel_size_of(widefield) or np.nan
    scale = max(1, round(pixel_nm / job.srm_pixel_nm))
    shape = (scale * widefield.sizes["y"], scale * widefield.sizes["x"])
    drawn = render_gaussian(
        table, pixel_size_nm=pixel_nm / scale, shape=shape, sigma_nm=job.srm_pixel_nm
    )
    found = register(widefield.values, drawn.values, scale=scale)
    require_same_field(job, found, match.paths, scale=pixel_nm / job.srm_pixel_nm)
    return found


def field_name(match: Match) -> str:
    """Give a field's name: its files' words, behind their sub-folder's."""
    return f"{match.structure}_{match.name}" if match.structure else match.name


def require_same_field(
    job: Pairs, found: Registration, paths: Sequence[Path], *, scale: float
) -> None:
    """Raise ImageError where details agree too little, or only after a long way.

    Parameters
    ----------
    job : Pairs
        Its least agreement and longest shift.
    found : Registration
        How the images lie on each other.
    paths : sequence of Path
        Of the field's files.
    scale : float
        Super-resolution pixels per widefield pixel, as found.
    """
    far = max(map(abs, found.shift))
    if found.detail_correlation < job.min_agreement or far > job.max_shift_px:
        raise ImageError(
            " and ".join(path.name for path in paths),
            f"details agree by {found.detail_correlation:.2f}, at a shift of {far:.1f} pixels and "
            f"a scale of {scale:.4g}",
            f"at least {job.min_agreement:g}, within {job.max_shift_px:g} pixels: the same field",
            "Check pixel sizes and whether x and y are swapped, or lower --min-agreement.",
        )


def _grid(widefield: xr.DataArray, pixel_nm: float) -> tuple[int, int]:
    scale = (pixel_size_of(widefield) or np.nan) / pixel_nm
    return round(widefield.sizes["y"] * scale), round(widefield.sizes["x"] * scale)


def resample_widefield(
    widefield: Image, shift: tuple[float, float], scale: float, shape: tuple[int, ...]
) -> Image:
    """Give a widefield image on the STORM grid: what is at p there is at p + shift in it.

    Parameters
    ----------
    widefield : ndarray, axes (y, x)
        The image.
    shift : (float, float)
        Along y and x, in its pixels.
    scale : float
        Pixels of the grid per pixel of the image, > 0.
    shape : (int, int)
        Of the grid.
    """
    rows, columns = (
        (np.arange(n) + 0.5) / scale - 0.5 + step for n, step in zip(shape, shift, strict=True)
    )
    places = np.meshgrid(rows, columns, indexing="ij")
    image: Image = ndimage.map_coordinates(widefield, places, order=3, mode="nearest")
    return image.clip(widefield.min(), widefield.max())


def _render(
    table: pd.DataFrame, job: Pairs, shape: tuple[int, int], n: int, rng: np.random.Generator
) -> Image:
    """Draw ``n`` random localizations; the bright percentile becomes 1, and is cut."""
    drawn = render_gaussian(
        table.iloc[rng.choice(len(table), n, replace=False)],
        pixel_size_nm=job.srm_pixel_nm,
        shape=shape,
        sigma_nm=job.srm_pixel_nm,
    ).values
    return scale_to_bright(drawn, BRIGHT)


def write_storm_page(
    writer: StormWriter, shown: list[tuple[str, list[Image]]], notes: list[str]
) -> Path:
    """Write the page: widefield, undersampled and full image of the first fields, and notes."""
    figure = Figure(figsize=(9.6, 3.3 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 3, squeeze=False)
    for row, (name, images) in zip(axes, shown, strict=True):
        tops = (float(images[0].max()), 1.0, 1.0)
        for axis, image, top, title in zip(
            row, images, tops, (f"{name}: widefield", "undersampled", "full"), strict=True
        ):
            axis.imshow(image, cmap="gray", vmin=0, vmax=top)
            axis.set_title(title, fontsize=8)
            axis.set_axis_off()
    picture = draw_picture(figure, "Widefield, undersampled and full super-resolution images")
    (writer.part / "picture.png").write_bytes(picture.png)
    size_nm, n_fields = writer.settings.pixel_size_nm, len(writer.rows)
    size = "unknown size" if size_nm is None else f"{size_nm:.4g} nm"
    sentences = [
        f"{n_fields} field{'' if n_fields == 1 else 's'} on pixels of {size}, from "
        f"{writer.settings.source}."
    ]
    return write_page(
        writer.part / "page.html",
        "Fields for X-Microscopy",
        [Section("Fields", sentences, notes, [picture])],
        overwrite=True,
    )


def tell_result(job: Pairs, writer: StormWriter, notes: list[str]) -> Result:
    """Say what was made: the folder, its page, and how many fields each part has."""
    page = str(job.output / "page.html")
    counts = {
        part: sum(row["part"] == part for row in writer.rows)
        for part in ("training", "validation", "test")
    }
    told = ", ".join(f"{n} {part}" for part, n in counts.items())
    n_fields = f"{len(writer.rows)} field{'' if len(writer.rows) == 1 else 's'}"
    return Result(
        outputs={"folder": str(job.output), "page": page, "n_fields": len(writer.rows)},
        warnings=notes,
        report=page,
        summary=[f"{n_fields} in {job.output}: {told}.", f"Look at {page}."],
    )
