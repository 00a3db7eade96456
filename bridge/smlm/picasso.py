"""Picasso's tables: an HDF5 file of localizations with a YAML file beside it.

Frames count from 0, lengths are in camera pixels (z and its error in nm), and the coordinates of
the first pixel's centre are 0. Source: jungmannlab/picasso, picasso/io.py and docs/files.rst.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import yaml

from bridge.errors import TableError
from bridge.smlm.columns import HEADINGS, read_heading
from bridge.smlm.foreign import ForeignTable

_LATERAL = {"x": "x_nm", "y": "y_nm", "sx": "sigma1_nm", "sy": "sigma2_nm",
            "lpx": "uncertainty_x_nm", "lpy": "uncertainty_y_nm"}  # fmt: skip
_OTHER = {"photons": "photons", "bg": "background", "z": "z_nm", "lpz": "uncertainty_z_nm",
          "len": "detections"}  # fmt: skip


def read_picasso(path: Path, file: h5py.File) -> ForeignTable:
    """Read Picasso's localizations.

    Parameters
    ----------
    path : Path
        The HDF5 file; its YAML file has the same name and the ending ``.yaml``.
    file : h5py.File
        The same, open.

    Returns
    -------
    ForeignTable
        Cells as they stand in the file.

    Raises
    ------
    TableError
        The data set ``locs`` isn't one of localizations, or has no rows.
    """
    rows = file["locs"][()]
    names = rows.dtype.names or ()
    missing = [name for name in ("frame", "x", "y") if name not in names]
    if missing:
        raise TableError(
            str(path),
            f"its data set 'locs' has no {' and no '.join(missing)}; it has {', '.join(names)}",
            "frame, x and y",
            "Localize again with Picasso, or export the table as CSV.",
        )
    if not len(rows):
        raise TableError(str(path), "the table has no rows", "at least one row")
    kept = [name for name in names if name in HEADINGS["picasso"]]
    headings = {heading.column: heading for heading in (read_heading(n, "picasso") for n in kept)}
    unknown = ", ".join(f"'{name}'" for name in names if name not in kept)
    pixel_size, warnings = _pixel_size(path)
    return ForeignTable(
        table_format="picasso",
        headings=headings,
        cells={
            column: rows[heading.text].astype(np.float64) for column, heading in headings.items()
        },
        locate=lambda row: f"row {row + 1}",
        pixel_size_nm=pixel_size,
        notes=(f"Left out, unknown here: {unknown}.",) if unknown else (),
        warnings=tuple(warnings),
    )


def _pixel_size(path: Path) -> tuple[float | None, list[str]]:
    """Look for ``Pixelsize`` in the documents of the YAML file, the last one first."""
    sidecar = path.with_suffix(".yaml")
    if not sidecar.is_file():
        return None, [f"{sidecar.name} is missing, which Picasso keeps beside its tables."]
    try:
        documents = list(yaml.safe_load_all(sidecar.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None, [f"{sidecar.name} can't be read, so it was not used."]
    for document in reversed(documents):
        size = document.get("Pixelsize") if isinstance(document, dict) else None
        if isinstance(size, int | float) and math.isfinite(size) and size > 0:
            return float(size), []
    return None, []


def picasso_rows(table: pd.DataFrame, pixel_size_nm: float) -> np.ndarray[Any, Any]:
    """Give a table as Picasso's record array.

    Parameters
    ----------
    table : DataFrame
        Localizations.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.

    Returns
    -------
    ndarray, axis (row,), records
        ``frame`` from 0, ``x`` and ``y`` in pixels from the first pixel's centre, and what else
        there is.
    """
    columns: dict[str, np.ndarray[Any, Any]] = {
        "frame": table["frame"].to_numpy().astype(np.uint32) - np.uint32(1)
    }
    table = _with_widths(table)
    for name, ours in _LATERAL.items():
        if ours in table:
            origin = 0.5 if name in "xy" else 0.0
            columns[name] = table[ours].to_numpy() / pixel_size_nm - origin
    for name, ours in _OTHER.items():
        if ours in table:
            columns[name] = table[ours].to_numpy()
    kinds = [(n, "u4" if n in ("frame", "len") else "f4") for n in columns]
    rows = np.zeros(len(table), dtype=kinds)
    for name, values in columns.items():
        rows[name] = values
    order = np.argsort(rows["frame"], kind="stable")  # Picasso expects it
    sorted_rows: np.ndarray[Any, Any] = rows[order]
    return sorted_rows


def _with_widths(table: pd.DataFrame) -> pd.DataFrame:
    """Fill Picasso's two widths and two errors from the one that a 2D table has."""
    for pair, single in (
        (("sigma1_nm", "sigma2_nm"), "sigma_nm"),
        (("uncertainty_x_nm", "uncertainty_y_nm"), "uncertainty_xy_nm"),
    ):
        if single in table and not set(pair) & set(table):
            table = table.assign(**dict.fromkeys(pair, table[single]))
    return table


def write_picasso(path: Path, table: pd.DataFrame, *, pixel_size_nm: float) -> None:
    """Write Picasso's HDF5 file.

    Parameters
    ----------
    path : Path
        The HDF5 file.
    table : DataFrame
        Localizations.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    """
    rows = picasso_rows(table, pixel_size_nm)
    with h5py.File(path, "w") as file:
        file.create_dataset("locs", data=rows)


def write_picasso_info(path: Path, table: pd.DataFrame, *, pixel_size_nm: float) -> None:
    """Write the YAML file, whose image is as large as the localizations need.

    Parameters
    ----------
    path : Path
        The YAML file.
    table : DataFrame
        Localizations.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    """
    movie = {
        "Byte Order": "<",
        "Data Type": "uint16",
        "File": str(table.attrs.get("source", "")),
        "Frames": int(table["frame"].max()),
        "Height": max(1, math.ceil(table["y_nm"].max() / pixel_size_nm)),
        "Width": max(1, math.ceil(table["x_nm"].max() / pixel_size_nm)),
    }
    own = {"Generated by": "zoobridge", "Pixelsize": float(pixel_size_nm)}
    path.write_text(yaml.safe_dump_all([movie, own], sort_keys=False), encoding="utf-8")
