"""Tables of places in files: our own (CSV) and Topaz's coordinate files, both read and written.

Topaz's file is tab-separated, ``image_name x_coord y_coord score``; its coordinates are whole
numbers of pixels, x the column, 0 the *middle* of the first pixel, and the image's name has no
ending. Ours count from the outer *corner* of the first pixel, half a pixel more. A plane of a stack
is an image of its own in Topaz's words, ``NAME_t0001_c01_z0003``.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from bridge.errors import OutputError, TableError
from bridge.images.new_file import new_file
from bridge.restoration.detect import PLACE_COLUMNS

TOPAZ_ENDINGS: tuple[str, ...] = (".txt", ".tsv", ".tab")
_PLANE = re.compile(r"^(?P<image>.*)_t(?P<t>\d{4,})_c(?P<c>\d{2,})_z(?P<z>\d{4,})$")
_TOPAZ = ("image_name", "x_coord", "y_coord")


def read_places(path: str | Path, *, pixel_size_nm: float | None = None) -> pd.DataFrame:
    """Read a table of places, whichever of the two it is.

    Parameters
    ----------
    path : str or Path
        A CSV with ``x_px`` and ``y_px`` (or ``x_nm`` and ``y_nm``), or a coordinate file of Topaz.
    pixel_size_nm : float, optional
        Edge of a pixel, in nm, for tables that have only nm.

    Returns
    -------
    DataFrame
        ``PLACE_COLUMNS``; ``image`` is empty and ``t``, ``c`` and ``z`` are 1 where the table
        doesn't say them, ``score`` and ``radius_px`` NaN. ``attrs["said"]``: the columns that were
        there.

    Raises
    ------
    TableError
        The file is missing or no such table, or a value isn't a number.
    """
    place = Path(path)
    try:
        text = place.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "there is no such file" if not place.exists() else "it can't be read as text"
        raise TableError(str(place), reason, "a table of places", "Check the path.") from error
    heading, *lines = [line for line in text.splitlines() if line and not line.startswith("#")] or [
        ""
    ]
    separator = "\t" if "\t" in heading else ","
    names = [name.strip().strip('"') for name in heading.split(separator)]
    cells = [line.split(separator) for line in lines]
    for number, row in enumerate(cells, start=2):
        if len(row) != len(names):
            found = f"line {number} has {len(row)} cells"
            raise TableError(str(place), found, f"{len(names)}, as its heading", "Mend the line.")
    table = pd.DataFrame(
        [[cell.strip().strip('"') for cell in row] for row in cells], columns=names
    )
    if set(_TOPAZ) <= set(names):
        found = _from_topaz(table, str(place))
    else:
        found = _from_ours(table, str(place), pixel_size_nm)
    found.attrs["said"] = names
    return found


def write_places(table: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a table of places: Topaz's for .txt, .tsv and .tab, otherwise ours.

    Parameters
    ----------
    table : DataFrame
        As of :func:`bridge.restoration.detect.find_places`; may have no rows.
    path : str or Path
        The file.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputError
        Its ending is unknown, it is there already, or it can't be written.
    """
    place = Path(path)
    check_table_ending(place)
    with new_file(place, overwrite=overwrite) as part:
        if place.suffix.lower() in TOPAZ_ENDINGS:
            _to_topaz(table).to_csv(part, sep="\t", index=False, lineterminator="\n")
        else:
            shown = table.round(
                {"x_px": 3, "y_px": 3, "x_nm": 2, "y_nm": 2, "score": 3, "radius_px": 3}
            )
            shown.to_csv(part, index=False, lineterminator="\n")
    return place


def check_table_ending(path: Path) -> None:
    """Refuse a name for a table of places whose ending says no format."""
    if path.suffix.lower() not in (".csv", *TOPAZ_ENDINGS):
        raise OutputError(
            str(path),
            f"tables ending in '{path.suffix}' aren't written",
            ".csv for our table, .txt or .tsv for Topaz's",
            "Change the ending.",
        )


def plane_name(image: str, *, t: int, c: int, z: int) -> str:
    """Name a plane of a stack for Topaz; t, c and z from 1."""
    return f"{image}_t{t:04d}_c{c:02d}_z{z:04d}"


def parse_plane_names(table: pd.DataFrame) -> pd.DataFrame:
    """Take images named by :func:`plane_name` apart, into ``image``, ``t``, ``c`` and ``z``."""
    matches = [_PLANE.match(str(name)) for name in table["image"]]
    columns: dict[str, list[str] | list[int]] = {
        "image": [m["image"] if m else n for m, n in zip(matches, table["image"], strict=True)]
    }
    for axis in ("t", "c", "z"):
        columns[axis] = [int(m[axis]) if m else 1 for m in matches]
    return table.assign(**columns)


def _from_topaz(table: pd.DataFrame, what: str) -> pd.DataFrame:
    found = parse_plane_names(pd.DataFrame({"image": table["image_name"]}))
    for axis in ("x", "y"):
        found[f"{axis}_px"] = _numbers(table, f"{axis}_coord", what) + 0.5
    found["score"] = _numbers(table, "score", what) if "score" in table else np.nan
    found["radius_px"] = np.nan
    return found[list(PLACE_COLUMNS)]


def _from_ours(table: pd.DataFrame, what: str, pixel_size_nm: float | None) -> pd.DataFrame:
    found = pd.DataFrame(index=table.index)
    found["image"] = table.get("image", "")
    for name in ("t", "c", "z"):
        found[name] = _numbers(table, name, what).astype(int) if name in table else 1
    for axis in ("x", "y"):
        if f"{axis}_px" in table:
            found[f"{axis}_px"] = _numbers(table, f"{axis}_px", what)
        elif f"{axis}_nm" in table and pixel_size_nm:
            found[f"{axis}_px"] = _numbers(table, f"{axis}_nm", what) / pixel_size_nm
        else:
            has_nm = f"{axis}_nm" in table
            raise TableError(
                what,
                f"it has {axis}_nm, and no pixel size is known"
                if has_nm
                else f"its columns are {', '.join(map(str, table.columns)) or 'none'}",
                "x_px and y_px (or x_nm and y_nm), or Topaz's image_name, x_coord and y_coord",
                "Give the pixel size." if has_nm else "Check that it is the right file.",
            )
    for name in ("score", "radius_px"):
        found[name] = _numbers(table, name, what) if name in table else np.nan
    return found[list(PLACE_COLUMNS)]


def _to_topaz(table: pd.DataFrame) -> pd.DataFrame:
    is_stack = bool((table[["t", "c", "z"]] > 1).to_numpy().any())
    names = [
        plane_name(row.image, t=row.t, c=row.c, z=row.z) if is_stack else row.image
        for row in table[["image", "t", "c", "z"]].itertuples()
    ]
    middle = np.floor(table[["x_px", "y_px"]].to_numpy(np.float64)).astype(int)
    return pd.DataFrame(
        {
            "image_name": names,
            "x_coord": middle[:, 0],
            "y_coord": middle[:, 1],
            "score": table["score"].to_numpy(),
        }
    )


def _numbers(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    if not len(table):
        return pd.Series([], dtype=np.float64, index=table.index)
    numbers = pd.to_numeric(table[name], errors="coerce").astype(np.float64)
    bad = ~np.isfinite(numbers)
    if bad.any() and name not in ("score", "radius_px"):
        row = int(bad.to_numpy().argmax())
        found = f"column '{name}' holds '{table[name].iloc[row]}' in row {row + 1}"
        raise TableError(what, found, "a number", "Mend or delete the row.")
    return numbers
