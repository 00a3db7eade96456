"""Tables of localizations in text files, read by polars.

Two ways: numbers straight into columns, as fast as polars is; and, where a cell is padded, quoted
twice or not a number, as texts that are cleaned, or the line that can't be read is named.
"""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bridge.errors import TableError
from bridge.smlm.columns import (
    COLUMNS,
    REQUIRED,
    Heading,
    TableFormat,
    read_heading,
    recognise_format,
)
from bridge.smlm.foreign import ForeignTable
from bridge.smlm.text_layout import TextLayout, find_layout, split_cells


def read_text(
    path: Path, *, table_format: TableFormat | None = None, columns: Collection[str] | None = None
) -> ForeignTable:
    """Read a table from a text file.

    Parameters
    ----------
    path : Path
        The file.
    table_format : str, optional
        Whose table it is; by default told by the headings.
    columns : collection of str, optional
        Our columns to read, besides those required; by default all.

    Returns
    -------
    ForeignTable
        Cells as they stand in the file.

    Raises
    ------
    TableError
        The file is no table, a heading is there twice, a required one is missing, or a cell is no
        number; with the line's number.
    """
    layout = find_layout(path)
    if layout.comments and layout.comments[0].startswith("DECODE"):
        found: TableFormat = "decode"
    else:
        found = recognise_format(list(layout.headings))
    found = table_format or found
    headings = [read_heading(text, found) for text in layout.headings]
    unit, pixel_size = _decode_meta(layout) if found == "decode" else ("", None)
    if unit:
        headings = [_with_unit(heading, unit) for heading in headings]
    wanted, notes, warnings = _choose(layout, headings, columns)
    cells = _read_numbers(layout, wanted)
    return ForeignTable(
        table_format=found,
        headings={heading.column: heading for heading in wanted.values()},
        cells=cells,
        locate=lambda row: f"line {_line_number(layout, row)}",
        pixel_size_nm=pixel_size,
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def _choose(
    layout: TextLayout, headings: list[Heading], columns: Collection[str] | None
) -> tuple[dict[int, Heading], list[str], list[str]]:
    """Choose the columns to read, by their place in the file."""
    _refuse_twice(layout)
    chosen: dict[int, Heading] = {}
    left_out: list[str] = []
    warnings: list[str] = []
    for place, heading in enumerate(headings[: layout.n_cells]):
        name = heading.column
        if not name:
            left_out += [heading.text] if heading.text else []
        elif name in {other.column for other in chosen.values()}:
            warnings.append(f"'{heading.text}' is left out: {name} was read from another column.")
        elif heading.unit in ("", "?") and COLUMNS[name].unit and name not in REQUIRED:
            warnings.append(f"'{heading.text}' is left out: its unit isn't known.")
        elif columns is None or name in columns or name in REQUIRED:
            chosen[place] = heading
    missing = set(REQUIRED) - {heading.column for heading in chosen.values()}
    if missing:
        names = " and ".join(_say_column(name) for name in REQUIRED if name in missing)
        raise TableError(
            str(layout.path),
            f"it has no column for {names}; its headings are {_list(layout.headings)}",
            "at least frame, x [nm] and y [nm]",
            "Export these columns too.",
        )
    notes = [f"Left out, unknown here: {_list(left_out)}."] if left_out else []
    return chosen, notes, warnings


def _say_column(name: str) -> str:
    return COLUMNS[name].thunderstorm


def _list(texts: Collection[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _refuse_twice(layout: TextLayout) -> None:
    names = [text for text in layout.headings if text]
    twice = sorted({text for text in names if names.count(text) > 1})
    if twice:
        raise TableError(
            str(layout.path),
            f"the heading {_list(twice)} is there more than once",
            "each heading once",
            "Export the table again, or rename one of them.",
        )


def _with_unit(heading: Heading, unit: str) -> Heading:
    """Give DECODE's lateral columns the unit that its metadata states."""
    if heading.column in ("x_nm", "y_nm", "uncertainty_x_nm", "uncertainty_y_nm"):
        return Heading(heading.text, heading.column, "nm" if unit == "nm" else "px")
    return heading


def _decode_meta(layout: TextLayout) -> tuple[str, float | None]:
    """Find the lateral unit and the pixel size in DECODE's comment lines."""
    for line in layout.comments:
        try:
            meta = json.loads(line)
        except ValueError:
            continue
        if isinstance(meta, dict) and "xy_unit" in meta:
            unit = meta["xy_unit"]
            return (unit if unit in ("px", "nm") else ""), square_pixel(
                str(layout.path), meta.get("px_size")
            )
    return "", None


def square_pixel(what: str, sizes: Any) -> float | None:
    """Read a pixel size of one or two numbers, which must agree.

    Parameters
    ----------
    what : str
        The file, for the error.
    sizes : Any
        A number, a pair of them, or nothing.

    Returns
    -------
    float or None
        Edge of a camera pixel in nm; ``None`` where there is none.

    Raises
    ------
    TableError
        Pixels are not square.
    """
    if sizes is None or np.size(sizes) == 0:
        return None
    edges = np.asarray(sizes, np.float64).ravel()
    if not np.all(np.isfinite(edges)) or np.any(edges <= 0):
        return None
    if not np.allclose(edges, edges[0], rtol=1e-3):
        found = f"its camera pixels are {' x '.join(f'{edge:g}' for edge in edges)} nm"
        raise TableError(what, found, "square pixels", "Convert its coordinates to nm first.")
    return float(edges[0])


def _read_numbers(layout: TextLayout, wanted: dict[int, Heading]) -> dict[str, NDArray[Any]]:
    """Read the wanted columns, straight if possible."""
    try:
        frame = _scan(layout, wanted, pl.Float64())
    except pl.exceptions.PolarsError:
        frame = None
    needed = [place for place, heading in wanted.items() if heading.column in REQUIRED]
    if frame is None or any(frame[f"c{place}"].null_count() for place in needed):
        frame = _read_texts(layout, wanted)
    return {
        heading.column: frame[f"c{place}"].fill_null(np.nan).to_numpy(writable=True)
        for place, heading in wanted.items()
    }


def _scan(layout: TextLayout, wanted: dict[int, Heading], kind: pl.DataType) -> pl.DataFrame:
    names = [f"c{place}" for place in range(layout.n_cells)]
    lazy = pl.scan_csv(
        layout.source,
        has_header=False,
        separator=layout.separator,
        eol_char=layout.line_end,
        skip_lines=layout.n_lines_before,
        schema=dict.fromkeys(names, kind),
        decimal_comma=layout.has_decimal_comma and kind == pl.Float64,
        encoding="utf8-lossy",
        glob=False,
    )
    return lazy.select([names[place] for place in wanted]).collect()


def _read_texts(layout: TextLayout, wanted: dict[int, Heading]) -> pl.DataFrame:
    """Read texts, clean them and make numbers of them; the line that resists is named."""
    try:
        texts = _scan(layout, wanted, pl.String())
    except pl.exceptions.PolarsError as error:
        raise _bad_line(layout, wanted) from error
    cleaned = texts.with_columns(pl.all().str.strip_chars(" \t\r\n\"'").replace("", None))
    if layout.has_decimal_comma:
        cleaned = cleaned.with_columns(pl.all().str.replace(",", ".", literal=True))
    cleaned = cleaned.filter(~pl.all_horizontal(pl.all().is_null()))  # blank lines
    numbers = cleaned.cast(pl.Float64, strict=False)
    for place, heading in wanted.items():
        name = f"c{place}"
        has_gap = heading.column in REQUIRED and cleaned[name].null_count() > 0
        if has_gap or numbers[name].null_count() > cleaned[name].null_count():
            raise _bad_line(layout, wanted)
    return numbers


def _lines(layout: TextLayout) -> Iterator[tuple[int, str]]:
    """Give the number and the text of each line with a row, blank ones left out."""
    if isinstance(layout.source, bytes):
        file: io.TextIOBase = io.StringIO(
            layout.source.decode("utf-8", errors="replace"), newline=layout.line_end
        )
    else:
        file = layout.source.open(encoding="utf-8", errors="replace", newline=layout.line_end)
    with file:
        for number, line in enumerate(file, start=1):
            if number > layout.n_lines_before and line.strip():
                yield number, line


def _line_number(layout: TextLayout, row: int) -> int:
    for index, (number, _) in enumerate(_lines(layout)):
        if index == row:
            return number
    raise IndexError(row)


def _bad_line(layout: TextLayout, wanted: dict[int, Heading]) -> TableError:
    """Find the first line that can't be read."""
    what, remedy = str(layout.path), "Correct or remove that line, or export the table again."
    for number, line in _lines(layout):
        cells = split_cells(line, layout.separator)
        if any(cells[layout.n_cells :]):
            found = f"line {number} has {len(cells)} cells"
            return TableError(what, found, f"{layout.n_cells} cells, as in the first row", remedy)
        for place, heading in wanted.items():
            cell = cells[place].strip("\"' ") if place < len(cells) else ""
            if layout.has_decimal_comma:
                cell = cell.replace(",", ".", 1)
            if not cell and heading.column not in REQUIRED:
                continue
            if not _is_number(cell):
                found = f"line {number}, column '{heading.text}': " + (
                    f"'{cell}' is not a number" if cell else "the cell is empty"
                )
                return TableError(what, found, "a number", remedy)
    return TableError(what, "its lines can't be taken apart into cells", "", remedy)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
