"""A long table written from rows on disk, a part at a time; whole or not at all.

The formats are those of :mod:`bridge.smlm.table_out` and :mod:`bridge.smlm.picasso`; a table of any
length takes the memory of one part.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import pandas as pd

from bridge.errors import OutputError
from bridge.smlm.picasso import picasso_rows, write_picasso_info
from bridge.smlm.row_store import RowStore
from bridge.smlm.table_out import choose_format, new_file, write_thunderstorm


def check_place(path: Path, *, overwrite: bool) -> None:
    """Refuse now what could not be written after a long run.

    Parameters
    ----------
    path : Path
        The table to write.
    overwrite : bool
        Replace a table that is there.

    Raises
    ------
    OutputError
        The ending says no format, the file is there already, or the folder is missing.
    """
    choose_format(path)
    if path.is_dir():
        raise OutputError(str(path), "this is a folder", "a file", "Give another name.")
    if path.exists() and not overwrite:
        found = "the output is there already"
        raise OutputError(str(path), found, "a name that is free", "Ask to --overwrite.")
    if not path.absolute().parent.parent.is_dir():
        raise OutputError(
            str(path), f"the folder '{path.parent}' is missing", "", "Create it first."
        )


def write_rows(
    store: RowStore,
    path: Path,
    *,
    source: str,
    pixel_size_nm: float,
    shape: tuple[int, int, int],
    overwrite: bool,
) -> None:
    """Write rows as a table, in the format that the file's ending says.

    Parameters
    ----------
    store : RowStore
        The rows, in the order of their frames.
    path : Path
        The table.
    source : str
        The movie, for Picasso.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    shape : (int, int, int)
        Frames, and height and width of the field in pixels.
    overwrite : bool
        Replace a table that is there.

    Raises
    ------
    OutputError
        It can't be written.
    """
    if choose_format(path) == "thunderstorm":
        with new_file(path, overwrite=overwrite) as part, part.open("wb") as file:
            n_rows = 0
            for table in store.chunks():
                write_thunderstorm(file, table, n_before=n_rows)
                n_rows += len(table)
        return
    # The info needs the extent of the field only, which its last pixel's far corner says.
    extent = {
        "frame": shape[0],
        "x_nm": shape[2] * pixel_size_nm,
        "y_nm": shape[1] * pixel_size_nm,
    }
    info = pd.DataFrame({name: [value] for name, value in extent.items()})
    info.attrs["source"] = source
    with (
        new_file(path, overwrite=overwrite) as part,
        new_file(path.with_suffix(".yaml"), overwrite=overwrite) as beside,
    ):
        _write_picasso(part, store.chunks(), store.n_rows, pixel_size_nm)
        write_picasso_info(beside, info, pixel_size_nm=pixel_size_nm)


def _write_picasso(
    path: Path, tables: Iterable[pd.DataFrame], n_rows: int, pixel_size_nm: float
) -> None:
    with h5py.File(path, "w") as file:
        start = 0
        for table in tables:
            rows = picasso_rows(table, pixel_size_nm)
            if "locs" not in file:
                file.create_dataset("locs", shape=(n_rows,), dtype=rows.dtype)
            file["locs"][start : start + len(rows)] = rows
            start += len(rows)
