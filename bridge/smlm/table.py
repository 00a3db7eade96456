"""Tables of localizations in: any program's file becomes one vocabulary, one unit, one origin.

A table is a ``pandas.DataFrame`` with columns of :data:`bridge.smlm.columns.COLUMNS`. Nothing is
converted by guess: a unit, pixel size or factor that isn't known and is needed is an error that
names the option. Writing is in :mod:`bridge.smlm.table_out` and offered here as well.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.errors import TableError
from bridge.smlm.columns import (
    COLUMNS,
    REQUIRED,
    WRITERS,
    TableFormat,
    nm_per_unit,
    photons_per_unit,
)
from bridge.smlm.decode import read_decode
from bridge.smlm.foreign import ForeignTable
from bridge.smlm.picasso import read_picasso
from bridge.smlm.protocol import Protocol, find_protocol
from bridge.smlm.table_out import write_table
from bridge.smlm.text_in import read_text

__all__ = ["read_table", "write_table"]

_SAME_PIXEL = 1e-3  # two pixel sizes that differ by less, relatively, are the same


@dataclass(frozen=True)
class _Setup:
    """What is known of how a table came about."""

    path: Path
    pixel_size_nm: float | None
    photons_per_adu: float | None


def read_table(
    path: str | Path,
    *,
    pixel_size_nm: float | None = None,
    photons_per_adu: float | None = None,
    frame_base: Literal["auto", 0, 1] = "auto",
    origin_x_nm: float = 0.0,
    origin_y_nm: float = 0.0,
    pixel_origin: Literal["auto", "corner", "centre"] = "auto",
    swap_xy: bool = False,
    format: Literal["auto"] | TableFormat = "auto",
    columns: Collection[str] | None = None,
) -> pd.DataFrame:
    """Read a table of localizations that another program wrote.

    Reads text (ThunderSTORM of all versions and what resembles it, DECODE, SMAP, the SMLM
    challenge, N-STORM, the Deep-STORM notebook) and HDF5 (Picasso, DECODE). The pixel size is
    also looked for in ThunderSTORM's protocol and in Picasso's YAML file.

    Parameters
    ----------
    path : str or Path
        The file.
    pixel_size_nm : float, optional
        Edge of a camera pixel, in nm, > 0; must agree with what the files state.
    photons_per_adu : float, optional
        Photons per count above the base level, > 0, for columns in ADU.
    frame_base : {"auto", 0, 1}
        Number of the first frame in the file; "auto": 0 for Picasso and DECODE, and, with a
        warning, for a table that has a frame 0; else 1.
    origin_x_nm, origin_y_nm : float
        Where the table's origin lies in the image, in nm: the top left corner of the region that
        was analysed. Added to x and y, after they were exchanged where they are.
    pixel_origin : {"auto", "corner", "centre"}
        Whether the file counts from the outer corner of the first pixel or from its centre;
        "auto": centre for Picasso and DECODE, else corner.
    swap_xy : bool
        Exchange the x and y that the file would have otherwise.
    format : str
        Whose table it is; "auto" tells by content and headings.
    columns : collection of str, optional
        Our columns to read, besides frame, x and y; by default all that the file has.

    Returns
    -------
    DataFrame
        One row for each localization, in the file's order, frames from 1; columns of ``COLUMNS``
        only, those the file has. Origin: outer corner of the top left pixel. ``attrs``:

        - ``pixel_size_nm``: float or None
        - ``source``: the path, as str
        - ``history``: list of sentences on what was done
        - ``warnings``: list of sentences on what is doubtful

    Raises
    ------
    TableError
        The file is missing, empty, binary or cut off; a column is missing, there twice or without
        its unit; a cell is no finite number; a pixel size is needed and unknown, or two differ.
    """
    place = Path(path)
    _check_numbers(place, pixel_size_nm, photons_per_adu, origin_x_nm, origin_y_nm)
    found = _open(place, None if format == "auto" else format, columns)
    protocol, notes = find_protocol(place)
    warnings = [*found.warnings, *notes]
    setup = _set_up(place, found, protocol, pixel_size_nm, photons_per_adu)
    writer = WRITERS[found.table_format]
    data = _convert(setup, found)
    history = [f"Read from {place.name} as a table of {writer.title}.", *found.notes]
    _check_finite(setup, found, data)

    is_centre = writer.is_centre_origin if pixel_origin == "auto" else pixel_origin == "centre"
    if is_centre:
        half = _half_pixel(setup)
        data["x_nm"], data["y_nm"] = data["x_nm"] + half, data["y_nm"] + half
        history.append("Half a pixel was added: its origin is the centre of the first pixel.")
    if writer.is_swapped != swap_xy:
        _swap(data)
        history.append("x and y were exchanged.")
    is_moved = origin_x_nm != 0 or origin_y_nm != 0
    if is_moved:
        data["x_nm"], data["y_nm"] = data["x_nm"] + origin_x_nm, data["y_nm"] + origin_y_nm
        history.append(f"Moved by {origin_x_nm:g} nm in x and {origin_y_nm:g} nm in y.")
    first = writer.first_frame if frame_base == "auto" else frame_base
    data["frame"] = _number_frames(setup, found, data, first, frame_base, history, warnings)
    _make_whole(setup, found, data, warnings)
    _complete(data, history)
    warnings += _doubts(data, protocol, is_moved=is_moved)
    table = pd.DataFrame({name: data[name] for name in COLUMNS if name in data}, copy=False)
    table.attrs.update(
        pixel_size_nm=setup.pixel_size_nm, source=str(place), history=history, warnings=warnings
    )
    return table


def _check_numbers(
    place: Path,
    pixel_size_nm: float | None,
    photons_per_adu: float | None,
    *origin_nm: float,
) -> None:
    for name, value in (("pixel_size_nm", pixel_size_nm), ("photons_per_adu", photons_per_adu)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise TableError(str(place), f"{name} is {value}", "a number above 0")
    if not all(map(math.isfinite, origin_nm)):
        raise TableError(str(place), f"the origin is at {origin_nm} nm", "two finite numbers")


def _open(
    place: Path, table_format: TableFormat | None, columns: Collection[str] | None
) -> ForeignTable:
    try:
        if place.is_dir():
            raise TableError(str(place), "this is a folder", "a file", "Give one table in it.")
        if h5py.is_hdf5(place):
            return _open_hdf5(place, columns)
        return read_text(place, table_format=table_format, columns=columns)
    except FileNotFoundError as error:
        raise TableError(str(place), "there is no such file", "", "Check the path.") from error
    except PermissionError as error:
        raise TableError(str(place), "you may not read it", "", "Check its rights.") from error
    except OSError as error:
        raise TableError(str(place), f"reading failed: {error}", "a whole file") from error


def _open_hdf5(place: Path, columns: Collection[str] | None) -> ForeignTable:
    with h5py.File(place, "r") as file:
        if "locs" in file:
            found = read_picasso(place, file)
        elif {"data", "meta"} <= set(file):
            found = read_decode(place, file)
        else:
            raise TableError(
                str(place),
                f"an HDF5 file with {', '.join(file) or 'nothing'} in it",
                "one of Picasso ('locs') or DECODE ('data', 'meta')",
                "Export the table as CSV.",
            )
    if columns is None:
        return found
    kept = {name: cells for name, cells in found.cells.items() if name in {*columns, *REQUIRED}}
    return ForeignTable(
        found.table_format,
        found.headings,
        kept,
        found.locate,
        found.pixel_size_nm,
        found.notes,
        found.warnings,
    )


def _set_up(
    place: Path,
    found: ForeignTable,
    protocol: Protocol | None,
    pixel_size_nm: float | None,
    photons_per_adu: float | None,
) -> _Setup:
    """Bring together what files and asker say of the camera; where they differ, refuse."""
    stated = {
        "given": pixel_size_nm,
        place.name: found.pixel_size_nm,
        protocol.path.name if protocol else "": protocol.pixel_size_nm if protocol else None,
    }
    sizes = [(who, size) for who, size in stated.items() if size is not None]
    for who, size in sizes[1:]:
        if not math.isclose(size, sizes[0][1], rel_tol=_SAME_PIXEL):
            raise TableError(
                str(place),
                f"its pixel size is {sizes[0][1]:g} nm ({sizes[0][0]}) and {size:g} nm ({who})",
                "one pixel size",
                "Find out which is right, and correct or leave out the other.",
            )
    return _Setup(
        path=place,
        pixel_size_nm=sizes[0][1] if sizes else None,
        photons_per_adu=photons_per_adu or (protocol.photons_per_adu if protocol else None),
    )


def _convert(setup: _Setup, found: ForeignTable) -> dict[str, NDArray[Any]]:
    """Convert every column to our unit."""
    data = {}
    for name, cells in found.cells.items():
        if name not in REQUIRED and np.isnan(cells).all():
            continue  # DECODE writes every column, used or not
        factor = _factor(setup, found, name)
        data[name] = cells if factor == 1 else cells * factor
    return data


def _factor(setup: _Setup, found: ForeignTable, name: str) -> float:
    heading, unit = found.headings[name], COLUMNS[name].unit
    if not unit:
        return 1.0
    what = f"{setup.path}, column '{heading.text}'"
    if heading.unit in ("", "?"):
        said = "has no unit" if heading.unit == "" else "has a unit unknown here"
        raise TableError(what, said, f"one such as '{COLUMNS[name].heading}'", "Correct it.")
    if unit == "nm":
        factor = nm_per_unit(heading.unit, setup.pixel_size_nm)
    else:
        factor = photons_per_unit(heading.unit, setup.photons_per_adu)
    if factor is not None:
        return factor
    if heading.unit == "px" and unit == "nm":
        raise TableError(
            what,
            "it is in pixels, and no pixel size is known",
            "",
            "Give the camera's pixel size in nm (pixel_size_nm).",
        )
    if heading.unit == "ADU" and unit == "photon":
        raise TableError(
            what,
            "it is in ADU, and the photons of one count aren't known",
            "",
            "Give them (photons_per_adu): electrons per count, divided by "
            "quantum efficiency and EM gain.",
        )
    raise TableError(what, f"its unit is {heading.unit}", COLUMNS[name].heading, "Correct it.")


def _check_finite(setup: _Setup, found: ForeignTable, data: dict[str, NDArray[Any]]) -> None:
    for name in REQUIRED:
        bad = ~np.isfinite(data[name])
        if bad.any():
            row = int(np.argmax(bad))
            raise TableError(
                str(setup.path),
                f"{found.locate(row)}, column '{found.headings[name].text}': "
                f"{data[name][row]} ({int(bad.sum())} such rows)",
                "a finite number",
                "Remove these rows.",
            )


def _half_pixel(setup: _Setup) -> float:
    if setup.pixel_size_nm is None:
        raise TableError(
            str(setup.path),
            "its origin is the centre of the first pixel, and no pixel size is known",
            "",
            "Give the camera's pixel size in nm (pixel_size_nm).",
        )
    return setup.pixel_size_nm / 2


def _swap(data: dict[str, NDArray[Any]]) -> None:
    for one, other in (
        ("x_nm", "y_nm"),
        ("uncertainty_x_nm", "uncertainty_y_nm"),
        ("sigma1_nm", "sigma2_nm"),
    ):
        if one in data and other in data:
            data[one], data[other] = data[other], data[one]


def _number_frames(
    setup: _Setup,
    found: ForeignTable,
    data: dict[str, NDArray[Any]],
    first: int,
    frame_base: Literal["auto", 0, 1],
    history: list[str],
    warnings: list[str],
) -> NDArray[np.int64]:
    """Give frames from 1."""
    frames = _whole(setup, found, data, "frame")
    lowest = int(frames.min())
    if first == 1 and frame_base == "auto" and lowest == 0:
        warnings.append(
            "There is a frame 0, so the frames are taken to count from 0; 1 was added to each."
        )
        first = 0
    if frame_base == "auto" and first == 1 and "id" in data and np.nanmin(data["id"]) == 0:
        warnings.append(
            "The ids count from 0, as in Picasso's export, whose frames count from 0 as well; if "
            "this is one, say that frames count from 0."
        )
    if lowest < first:
        row = int(np.argmin(frames))
        raise TableError(
            str(setup.path),
            f"{found.locate(row)}: the frame is {lowest}",
            f"frames from {first}",
            "Say from which number the frames count (frame_base)."
            if lowest == 0
            else "Remove these rows.",
        )
    if first == 1:
        return frames
    history.append("1 was added to the frames, which counted from 0.")
    return frames + 1


def _whole(
    setup: _Setup, found: ForeignTable, data: dict[str, NDArray[Any]], name: str
) -> NDArray[np.int64]:
    """Give whole numbers, which files may write as 1.0."""
    values = data[name]
    with np.errstate(invalid="ignore"):  # what isn't finite or is too large becomes another number
        whole = values.astype(np.int64)
    bad = whole != values
    if bad.any():
        row = int(np.argmax(bad))
        raise TableError(
            str(setup.path),
            f"{found.locate(row)}, column '{found.headings[name].text}': {values[row]:g}",
            "a whole number",
            "Correct it, or export the table again.",
        )
    return whole


def _make_whole(
    setup: _Setup, found: ForeignTable, data: dict[str, NDArray[Any]], warnings: list[str]
) -> None:
    """Give ids and detections as whole numbers; with gaps they say nothing and are left out."""
    for name in ("id", "detections"):
        if name in data and np.isnan(data[name]).any():
            del data[name]
            warnings.append(f"'{found.headings[name].text}' is left out: it has empty cells.")
        elif name in data:
            data[name] = _whole(setup, found, data, name)


def _complete(data: dict[str, NDArray[Any]], history: list[str]) -> None:
    """Add the one lateral error, and a 2D table's one width, where a file has one for each axis."""
    x, y = data.get("uncertainty_x_nm"), data.get("uncertainty_y_nm")
    if "uncertainty_xy_nm" not in data and x is not None and y is not None:
        data["uncertainty_xy_nm"] = np.hypot(x, y) / math.sqrt(2)
        history.append("uncertainty_xy_nm is the root mean square of those of x and y.")
    first, second = data.get("sigma1_nm"), data.get("sigma2_nm")
    is_flat = "sigma_nm" not in data and "z_nm" not in data
    if is_flat and first is not None and second is not None:
        with np.errstate(invalid="ignore"):  # a width below 0, or none, gives none
            data["sigma_nm"] = np.sqrt(first * second)
        history.append("sigma_nm is the geometric mean of sigma1_nm and sigma2_nm.")


def _doubts(
    data: dict[str, NDArray[Any]], protocol: Protocol | None, *, is_moved: bool
) -> list[str]:
    """Say what makes a table doubtful as a list of what is in each frame."""
    doubts = []
    if "detections" in data and (merged := int(np.sum(data["detections"] > 1))):
        doubts.append(
            f"{merged:,} rows are merged from several detections: such a row lists only the first "
            "of its frames, so the table doesn't say what is in each frame."
        )
    if protocol is None:
        return doubts
    if protocol.post_processing:
        steps = ", ".join(protocol.post_processing)
        doubts.append(
            f"After the analysis came: {steps}. The table may not say what is in each frame."
        )
    if protocol.region_px and protocol.region_px[:2] != (0, 0) and not is_moved:
        top, left, height, width = protocol.region_px
        doubts.append(
            f"Only a region was analysed, {width} x {height} px from x = {left} px, y = {top} px, "
            "and coordinates count from its corner; for the whole image give origin_x_nm and "
            "origin_y_nm."
        )
    return doubts
