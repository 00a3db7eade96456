"""A job's tables as text for people; the only part of the jobs that loads rich."""

from __future__ import annotations

import io
import shutil

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from bridge.jobs.base import Table


def as_text(table: Table) -> str:
    """Draw a table as wide as the terminal, or 120 letters where there is none.

    Parameters
    ----------
    table : Table
        Title, headings and rows; shown as they are, brackets too.

    Returns
    -------
    str
        The lines, without colours.
    """
    drawn = RichTable(
        title=Text(table.title) if table.title else None, box=box.SIMPLE_HEAD, title_justify="left"
    )
    for heading in table.columns:
        drawn.add_column(Text(heading), overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell) for cell in row))
    out = io.StringIO()
    Console(file=out, width=max(shutil.get_terminal_size((120, 24)).columns, 60)).print(drawn)
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join(lines)
