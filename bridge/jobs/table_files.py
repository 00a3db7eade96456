"""Tables in and out of jobs that change them: checked places, told-on history, a report beside."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from bridge.errors import OutputError

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = (".csv", ".txt", ".hdf5", ".h5")


def report_path(table_path: Path) -> Path:
    """Give the place of a table's report: ``found.report.json`` beside ``found.csv``."""
    return table_path.with_name(f"{table_path.stem}.report.json")


def check_places(source: Path, output: Path, *others: Path, overwrite: bool) -> None:
    """Refuse now what could not be written after long work.

    Parameters
    ----------
    source : Path
        The table that is read.
    output : Path
        The table to write.
    *others : Path
        Other files to write beside it.
    overwrite : bool
        Whether files that are there are replaced.

    Raises
    ------
    OutputError
        The output's ending says no format, its folder is missing, it is the table that is read,
        or one of the files is there already.
    """
    if output.suffix.lower() not in _ENDINGS:
        raise OutputError(
            str(output),
            f"tables ending in '{output.suffix}' aren't written",
            "a name ending in " + ", ".join(_ENDINGS),
            "Change the ending.",
        )
    if output.absolute() == source.absolute() or (output.exists() and output.samefile(source)):
        raise OutputError(
            str(output), "this is the table that is read", "another name", "Give a new name."
        )
    for path in (output, *others):
        if path.exists() and not overwrite:
            found = "the output is there already"
            raise OutputError(str(path), found, "a name that is free", "Ask to --overwrite.")
    if not output.absolute().parent.parent.is_dir():
        found = f"the folder '{output.parent}' is missing"
        raise OutputError(str(output), found, "", "Create it first.")


def open_table(path: Path, *, pixel_size_nm: float) -> pd.DataFrame:
    """Read a table, with the history that an earlier job's report tells of it.

    Parameters
    ----------
    path : Path
        The table.
    pixel_size_nm : float
        Edge of a camera pixel in nm; 0 takes what the files say.

    Returns
    -------
    DataFrame
        As of :func:`bridge.smlm.table.read_table`; ``attrs["pixel_size_nm"]`` is also taken from
        the report, where nothing else says it.

    Raises
    ------
    TableError
        It can't be read.
    """
    from bridge.smlm.table import read_table

    known = _read_report(path)
    size = known.get("pixel_size_nm")
    table = read_table(path, pixel_size_nm=pixel_size_nm or None)
    n_rows = known.get("n_rows", known.get("n_localizations"))
    history = known.get("history")
    if n_rows == len(table) and isinstance(history, list):
        table.attrs["history"] = [*map(str, history), *table.attrs["history"]]
        if table.attrs["pixel_size_nm"] is None and isinstance(size, int | float) and size > 0:
            table.attrs["pixel_size_nm"] = float(size)
    return table


def _read_report(table_path: Path) -> dict[str, JsonValue]:
    """Give what the report beside a table says, if it is of this table."""
    import json

    try:
        content = json.loads(report_path(table_path).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    is_report = isinstance(content, dict) and "zoobridge" in content
    named = str(content.get("table", "")) if is_report else ""
    return content if Path(named).name == table_path.name else {}


def write_with_report(
    table: pd.DataFrame,
    source: Path,
    output: Path,
    *,
    started: float,
    settings: Mapping[str, JsonValue],
    figures: Mapping[str, JsonValue],
    overwrite: bool,
) -> str:
    """Write a table, and beside it how it came about.

    Parameters
    ----------
    table : DataFrame
        The table; its ``attrs`` go into the report.
    source : Path
        The table that it was made from.
    output : Path
        The file.
    started : float
        When the job began, as of ``time.time()``.
    settings, figures : mapping
        What was asked for, and what came of it.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    str
        Path of the report.

    Raises
    ------
    OutputError
        A file can't be written.
    """
    import json
    from datetime import UTC, datetime

    from bridge import __version__
    from bridge.jobs.status import finite
    from bridge.smlm.table_out import new_file, write_table

    write_table(table, output, overwrite=overwrite)
    content: dict[str, JsonValue] = {
        "zoobridge": __version__,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 3),
        "source": str(source),
        "table": str(output),
        "n_rows": len(table),
        "pixel_size_nm": table.attrs.get("pixel_size_nm"),
        "settings": dict(settings),
        **figures,
        "history": list(table.attrs.get("history", [])),
        "warnings": list(table.attrs.get("warnings", [])),
    }
    path = report_path(output)
    with new_file(path, overwrite=True) as part:
        text = json.dumps(finite(content), indent=1, ensure_ascii=False, allow_nan=False)
        part.write_text(text, "utf-8")
    return str(path)
