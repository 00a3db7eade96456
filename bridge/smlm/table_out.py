"""Tables of localizations out: what ThunderSTORM, Picasso and DECODE import.

A file is written under a temporary name beside its place and renamed when it is whole.

ThunderSTORM takes a number apart by rules of its own (util/StringFormatting.java): ``1.5e-3`` is
1.5 to it, without a word. So it gets fixed point with 5 decimals, ``NaN`` and ``Infinity``.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from bridge.errors import OutputError, TableError
from bridge.images.new_file import new_file as new_file
from bridge.smlm.columns import COLUMNS, REQUIRED
from bridge.smlm.decode import write_decode
from bridge.smlm.picasso import write_picasso, write_picasso_info

_DECIMALS = 5
_ENDINGS = {".csv": "thunderstorm", ".txt": "thunderstorm", ".hdf5": "picasso", ".h5": "picasso"}


def write_table(
    table: pd.DataFrame,
    path: str | Path,
    *,
    format: Literal["auto", "thunderstorm", "picasso", "decode"] = "auto",
    pixel_size_nm: float | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a table of localizations for another program.

    Parameters
    ----------
    table : DataFrame
        Localizations; needs ``frame``, from 1, ``x_nm`` and ``y_nm``, all finite. Columns that
        aren't in ``COLUMNS`` are left out; a missing ``id`` is numbered from 1.
    path : str or Path
        The file. One missing folder above it is made.
    format : {"auto", "thunderstorm", "picasso", "decode"}
        Who shall read it; "auto": Picasso for ``.hdf5`` and ``.h5``, ThunderSTORM for ``.csv`` and
        ``.txt``. Picasso's table has a YAML file of the same name beside it.
    pixel_size_nm : float, optional
        Edge of a camera pixel, in nm, > 0; by default that of ``table.attrs``. Picasso and DECODE
        need it.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    TableError
        A column is missing, a value isn't finite, or a frame is below 1.
    OutputError
        The file is there already or can't be written, its ending says no format, or the pixel
        size is needed and unknown.
    """
    place = Path(path)
    _check_table(table)
    chosen = choose_format(place) if format == "auto" else format
    size = pixel_size_nm or table.attrs.get("pixel_size_nm")
    if chosen == "thunderstorm":
        with new_file(place, overwrite=overwrite) as part, part.open("wb") as file:
            write_thunderstorm(file, table)
        return place
    if not size:
        raise OutputError(
            str(place),
            f"coordinates of {chosen} count from the centre of the first pixel, and no pixel size "
            "is known",
            "",
            "Give the camera's pixel size in nm (pixel_size_nm).",
        )
    if chosen == "decode":
        with (
            new_file(place, overwrite=overwrite) as part,
            part.open("w", encoding="ascii", newline="\n") as text,
        ):
            write_decode(text, table, pixel_size_nm=size)
        return place
    with (
        new_file(place, overwrite=overwrite) as part,
        new_file(place.with_suffix(".yaml"), overwrite=overwrite) as info,
    ):
        write_picasso(part, table, pixel_size_nm=size)
        write_picasso_info(info, table, pixel_size_nm=size)
    return place


def choose_format(place: Path) -> str:
    """Give the format that a file's ending stands for.

    Raises
    ------
    OutputError
        It stands for none.
    """
    chosen = _ENDINGS.get(place.suffix.lower())
    if chosen is None:
        raise OutputError(
            str(place),
            f"tables ending in '{place.suffix}' aren't written",
            "a name ending in .csv, .txt, .hdf5 or .h5",
            "Change the ending, or say the format.",
        )
    return chosen


def _check_table(table: pd.DataFrame) -> None:
    what = str(table.attrs.get("source") or "the table")
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise TableError(what, f"it has no column {' and no '.join(missing)}", ", ".join(REQUIRED))
    for name in REQUIRED:
        values = table[name].to_numpy(dtype=np.float64)
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(np.argmax(bad))
            raise TableError(
                what,
                f"{name} of row {row + 1} is {values[row]}",
                "finite numbers",
                "Remove these rows.",
            )
    if len(table) and table["frame"].min() < 1:
        raise TableError(
            what, f"a frame is {table['frame'].min()}", "frames from 1", "Add what is missing."
        )


def write_thunderstorm(file: IO[bytes], table: pd.DataFrame, *, n_before: int = 0) -> None:
    """Write a table, or the next part of one, as ThunderSTORM reads it.

    Parameters
    ----------
    file : file, open for writing bytes
        Where it goes.
    table : DataFrame
        Localizations.
    n_before : int
        Rows that are in the file already; 0 writes the headings first.
    """
    columns = [COLUMNS[name] for name in COLUMNS if name == "id" or name in table]
    if n_before == 0:
        headings = ",".join(f'"{column.heading}"' for column in columns)
        file.write((headings + "\n").encode("ascii"))
    cells: dict[str, Any] = {}
    for column in columns:
        if column.name not in table:
            cells[column.name] = np.arange(n_before + 1, n_before + len(table) + 1)
        elif column.dtype == "int64":
            cells[column.name] = table[column.name].to_numpy(dtype=np.int64)
        else:
            cells[column.name] = _numbers(table[column.name].to_numpy(dtype=np.float64))
    pl.DataFrame(cells).write_csv(
        file, include_header=False, float_precision=_DECIMALS, null_value="NaN"
    )


def _numbers(values: NDArray[np.float64]) -> NDArray[np.float64] | list[str]:
    """Give numbers, or their texts where one is infinite, which polars would write as ``inf``."""
    if not np.isinf(values).any():
        return values
    text = pl.DataFrame({"": values}).write_csv(
        include_header=False, float_precision=_DECIMALS, line_terminator="\n"
    )
    return text.replace("inf", "Infinity").splitlines()
