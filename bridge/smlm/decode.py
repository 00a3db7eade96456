"""DECODE's tables, as HDF5 in and out of memory and as CSV out.

Frames count from 0, the centre of the first pixel is at 0, x runs down the rows, and lateral
lengths are in pixels or nm, which the metadata say. Its CSV is read with the other texts.
Source: TuragaLab/DECODE, decode/utils/emitter_io.py and decode/generic/emitter.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.errors import TableError
from bridge.smlm.columns import HEADINGS, Heading, Unit, read_heading
from bridge.smlm.foreign import ForeignTable
from bridge.smlm.text_in import square_pixel


def read_decode(path: Path, file: h5py.File) -> ForeignTable:
    """Read DECODE's HDF5 file.

    Parameters
    ----------
    path : Path
        The file.
    file : h5py.File
        The same, open.

    Returns
    -------
    ForeignTable
        Cells as they stand in the file.

    Raises
    ------
    TableError
        Positions or frames are missing, or there are no rows.
    """
    data, meta = file["data"], file["meta"].attrs
    unit = str(_text(meta.get("xy_unit", "")))
    arrays = dict(_columns(data))
    if not {"x", "y", "frame_ix"} <= set(arrays):
        raise TableError(str(path), "its group 'data' has no xyz or no frame_ix", "both")
    if not len(arrays["x"]):
        raise TableError(str(path), "the table has no rows", "at least one row")
    lateral: Unit = "nm" if unit == "nm" else "px" if unit == "px" else ""
    headings = {}
    for name in (name for name in arrays if name in HEADINGS["decode"]):
        heading = read_heading(name, "decode")
        if name in ("x", "y", "x_sig", "y_sig"):
            heading = Heading(name, heading.column, lateral)
        headings[heading.column] = heading
    return ForeignTable(
        table_format="decode",
        headings=headings,
        cells={column: arrays[heading.text] for column, heading in headings.items()},
        locate=lambda row: f"row {row + 1}",
        pixel_size_nm=square_pixel(str(path), _filled(meta.get("px_size"))),
    )


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _filled(value: Any) -> Any:
    return None if isinstance(value, h5py.Empty) else value


def _columns(data: h5py.Group) -> list[tuple[str, NDArray[np.float64]]]:
    """Give the columns that hold anything; an unused one is stored as an empty data set."""
    found = []
    for name in data:
        values = _filled(data[name][()])
        if values is None:
            continue
        array = np.asarray(values, np.float64)
        if name.startswith("xyz") and array.ndim == 2:
            ending = name.removeprefix("xyz")
            found += [(f"{axis}{ending}", array[:, k].copy()) for k, axis in enumerate("xyz")]
        elif array.ndim == 1:
            found.append((name, array))
    return found


def write_decode(file: TextIO, table: pd.DataFrame, *, pixel_size_nm: float) -> None:
    """Write DECODE's CSV, lengths in nm.

    Parameters
    ----------
    file : text file
        Where to write.
    table : DataFrame
        Localizations.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    """
    columns = {
        "x": table["y_nm"] - pixel_size_nm / 2,
        "y": table["x_nm"] - pixel_size_nm / 2,
        "z": table.get("z_nm", 0.0),
        "id": table["id"] if "id" in table else np.arange(len(table)),
        "frame_ix": table["frame"] - 1,
        "phot": table.get("photons", np.nan),
        "prob": table.get("probability", np.nan),
        "bg": table.get("background", np.nan),
        "x_sig": table.get("uncertainty_y_nm", np.nan),
        "y_sig": table.get("uncertainty_x_nm", np.nan),
        "z_sig": table.get("uncertainty_z_nm", np.nan),
        "phot_sig": table.get("uncertainty_photons", np.nan),
    }
    meta = {"xy_unit": "nm", "px_size": [pixel_size_nm, pixel_size_nm]}
    file.write(f"# DECODE EmitterSet\n# {json.dumps({})}\n# {json.dumps(meta)}\n")
    pd.DataFrame(columns, index=table.index).to_csv(
        file, index=False, lineterminator="\n", na_rep="nan"
    )
