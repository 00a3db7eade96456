"""How a text file holds a table: its headings, separator, line ends and decimal sign.

Only the first part of the file is looked at. What real files do here: the whole heading in one
quoted field, CR alone as line end, a byte order mark, semicolons with decimal commas, tabs, UTF-16,
comment lines first, an unnamed first column, a blank last heading.
"""

from __future__ import annotations

import codecs
import csv
import re
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import TableError

_HEAD_BYTES = 256 * 2**10
_TAIL_BYTES = 64 * 2**10
_KNOWN_BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel workbook (.xlsx)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"II*\x00": "a TIFF image",
    b"II+\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip archive",
}
_DECIMAL_COMMA = re.compile(r"^\s*\"?[-+]?\d*,\d+([eE][-+]?\d+)?\"?\s*$")
TEXT_TABLES = "a table as text: comma, semicolon or tab separated"


@dataclass(frozen=True)
class TextLayout:
    """How one text file holds its table.

    Parameters
    ----------
    path : Path
        The file.
    source : Path or bytes
        Where to read UTF-8 or another extension of ASCII from: the file, or its text recoded.
    headings : tuple of str
        The headings, without quotes and blanks around them.
    comments : tuple of str
        Comment lines before the headings, without ``#``.
    separator : {",", ";", tab}
        Between cells.
    line_end : {LF, CR}
        End of a line; a CR before LF is a blank.
    has_decimal_comma : bool
        Whether numbers are written 1,5.
    n_lines_before : int
        Lines before the first row, that of the headings among them.
    n_cells : int
        Cells of the first row.
    """

    path: Path
    source: Path | bytes
    headings: tuple[str, ...]
    comments: tuple[str, ...]
    separator: str
    line_end: str
    has_decimal_comma: bool
    n_lines_before: int
    n_cells: int


def find_layout(path: Path) -> TextLayout:
    """Look at the start and the end of a text file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    TextLayout
        How to read it.

    Raises
    ------
    TableError
        The file is empty, binary, has no headings or no rows, or was cut off.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    source: Path | bytes = path
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        source = path.read_bytes().decode("utf-16", errors="replace").encode()
        head = source[:_HEAD_BYTES]
    _refuse_binary(path, head)
    line_end = "\n" if b"\n" in head else "\r"
    lines = _decode(head).split(line_end)
    comments, n_before, heading = _find_heading(path, lines)
    if any("<localizations" in line for line in comments):
        raise TableError(str(path), "this is a rapidSTORM table", TEXT_TABLES, "Export it as CSV.")
    separator, headings = _split_heading(heading)
    rows = [line for line in lines[n_before:] if line.strip()]
    if not rows:
        raise TableError(str(path), "the table has headings and no rows", "at least one row")
    first = split_cells(rows[0], separator)
    if len(headings) < 2:
        raise TableError(
            str(path),
            f"its first line has one heading: '{headings[0][:60]}'",
            TEXT_TABLES,
            "Export the table as CSV.",
        )
    has_comma = separator != "," and any(_DECIMAL_COMMA.match(cell) for cell in first)
    layout = TextLayout(
        path=path,
        source=source,
        headings=tuple(headings),
        comments=tuple(comments),
        separator=separator,
        line_end=line_end,
        has_decimal_comma=has_comma,
        n_lines_before=n_before,
        n_cells=len(first),
    )
    _refuse_other_width(layout, first)
    _refuse_cut_off(layout)
    return layout


def split_cells(line: str, separator: str) -> list[str]:
    """Split one line into its cells, without quotes and blanks around them."""
    cells = next(csv.reader([line.strip("\r\n")], delimiter=separator), [])
    return [cell.strip() for cell in cells]


def _refuse_binary(path: Path, head: bytes) -> None:
    if not head.strip():
        raise TableError(str(path), "the file is empty", TEXT_TABLES, "Export the table again.")
    for start, name in _KNOWN_BINARY.items():
        if head.startswith(start):
            raise TableError(str(path), f"this is {name}", TEXT_TABLES, "Export it as CSV.")
    if b"\x00" in head:
        raise TableError(str(path), "the file is binary", TEXT_TABLES, "Export the table as CSV.")


def _decode(head: bytes) -> str:
    """Decode what may end within a letter; a lone micro sign is read as Western European."""
    try:
        return codecs.getincrementaldecoder("utf-8-sig")().decode(head)
    except UnicodeDecodeError:
        return head.decode("cp1252", errors="replace")


def _find_heading(path: Path, lines: list[str]) -> tuple[list[str], int, str]:
    comments: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text.startswith("#"):
            comments.append(text.lstrip("#").strip())
        elif text:
            return comments, number, line
    raise TableError(str(path), "there are only comments in it", TEXT_TABLES)


def _split_heading(line: str) -> tuple[str, list[str]]:
    """Split the headings at the separator that gives most of them."""
    for _ in range(2):
        separator = max(",;\t", key=lambda mark: len(split_cells(line, mark)))
        cells = split_cells(line, separator)
        if len(cells) > 1:
            break
        line = cells[0]  # the whole heading was one quoted field
    return separator, [cell.strip("'`\" ") for cell in cells]


def _refuse_other_width(layout: TextLayout, first: list[str]) -> None:
    extra = first[len(layout.headings) :]
    if any(extra):
        hint = "Numbers with a decimal comma need ';' or a tab between the cells. "
        raise TableError(
            str(layout.path),
            f"there are {len(layout.headings)} headings and {len(first)} cells in the first row",
            "a heading for each cell",
            (hint if layout.separator == "," else "") + "Export the table again.",
        )


def _refuse_cut_off(layout: TextLayout) -> None:
    """Compare the last line with the first row: a file that was cut off ends within a row."""
    source = layout.source
    if isinstance(source, bytes):
        tail = source[-_TAIL_BYTES:]
    else:
        with source.open("rb") as file:
            file.seek(max(0, source.stat().st_size - _TAIL_BYTES))
            tail = file.read()
    if tail.endswith((b"\n", b"\r")):
        return
    text = tail.decode("latin-1")
    last = text.rpartition(layout.line_end)[2]
    if not last.strip() or last == text:
        return
    n_cells = len(split_cells(last, layout.separator))
    if n_cells < layout.n_cells:
        raise TableError(
            str(layout.path),
            f"its last line has {n_cells} cells and no end: the file was cut off",
            f"{layout.n_cells} cells",
            "Copy or export the file again.",
        )
