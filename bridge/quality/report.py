"""One self-contained page of sentences, figures and pictures, to read, print or send.

Everything is in the one HTML file: pictures as data, no scripts, nothing loaded from elsewhere.
What the page says is the caller's; this module only lays it out (``page.html.jinja``)::

    page = [Section("What was found", ["Nine in ten emitters were found."], pictures=[picture])]
    write_page("report.html", "Evaluation of beads.csv", page)
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from matplotlib.figure import Figure

from bridge import __version__
from bridge.errors import OutputError

_DPI = 130
_BLANK_CELLS = ("", "-", "\N{EN DASH}")


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Attributes
    ----------
    png : bytes
        The PNG.
    caption : str
        What it shows, in a sentence; also read out where it can't be seen.
    is_wide : bool
        Whether it takes the page's whole width.
    """

    png: bytes
    caption: str
    is_wide: bool = False

    @property
    def data_uri(self) -> str:
        """The picture as a browser takes it from within a page."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class FigureTable:
    """A table of figures on the page.

    Attributes
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequence of str
        Cells, as many in each row as there are headings.
    caption : str
        A line above it; may be empty.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def is_number(self, column: int) -> bool:
        """Tell whether a column holds numbers, which are set flush right."""
        cells = [row[column] for row in self.rows if row[column] not in _BLANK_CELLS]
        return bool(cells) and all(cell.lstrip("-+\N{MINUS SIGN}")[:1].isdigit() for cell in cells)


@dataclass(frozen=True)
class Section:
    """A part of the page: sentences, then notes, pictures and tables.

    Attributes
    ----------
    title : str
        Heading.
    sentences : sequence of str
        Paragraphs, plain text.
    notes : sequence of str
        Paragraphs that must not be missed, such as warnings.
    pictures : sequence of Picture
        Side by side where there is room.
    tables : sequence of FigureTable
        One below the other.
    """

    title: str
    sentences: Sequence[str] = ()
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = field(default=())
    tables: Sequence[FigureTable] = field(default=())


def dash_blanks(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Give rows of cells with a dash where a figure isn't a number."""
    return [["\N{EN DASH}" if cell in ("nan", "+nan") else cell for cell in row] for row in rows]


def draw_picture(figure: Figure, caption: str, *, is_wide: bool = False) -> Picture:
    """Turn a matplotlib figure into a picture.

    Parameters
    ----------
    figure : matplotlib Figure
        The figure; made without pyplot, so that nothing stays in memory.
    caption : str
        What it shows, in a sentence.
    is_wide : bool
        Whether it takes the page's whole width.

    Returns
    -------
    Picture
        At 130 dots per inch, on white.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, facecolor="white", bbox_inches="tight")
    return Picture(buffer.getvalue(), caption, is_wide)


def write_page(
    path: str | Path,
    title: str,
    sections: Sequence[Section],
    *,
    lead: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a page as one HTML file, whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file, ending in ``.html``.
    title : str
        Heading of the page.
    sections : sequence of Section
        What it says.
    lead : str
        The result in a sentence or two, above all else.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        The name doesn't end in .html, the file is there, or it can't be written.
    """
    place = Path(path)
    check_page(place, overwrite=overwrite)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bridge.quality", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("page.html.jinja").render(
        title=title, lead=lead, sections=sections, footer=f"Written by zoobridge {__version__}."
    )
    part = place.with_name(f".{place.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(place)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(
            str(place), f"writing failed: {error.strerror or error}", "", "Choose another folder."
        ) from error
    return place


def check_page(path: str | Path, *, overwrite: bool) -> None:
    """Refuse a page's name before long work begins.

    Parameters
    ----------
    path : str or Path
        The file to be.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    OutputError
        The name doesn't end in .html, the folder is missing, or the file is there.
    """
    place = Path(path)
    if place.suffix.lower() not in (".html", ".htm"):
        raise OutputError(
            str(place), f"the page would end in '{place.suffix}'", "a name ending in .html"
        )
    if not place.absolute().parent.is_dir():
        raise OutputError(
            str(place), f"the folder '{place.parent}' is missing", "", "Create it first."
        )
    if place.is_dir() or (place.exists() and not overwrite):
        raise OutputError(
            str(place),
            "the output is there already",
            "a name that is free",
            "Give another name, or ask to overwrite.",
        )
