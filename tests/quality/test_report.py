"""The page: whole, self-contained, and safe with any text."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bridge.errors import OutputError
from bridge.quality.report import FigureTable, Section, draw_picture, write_page

VOID = {"meta", "img", "link", "br"}


class Reader(HTMLParser):
    """Notes tags, links and text, and that every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def read(path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    assert reader.open == []
    return reader


@pytest.fixture
def section() -> Section:
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot([0, 1], [1, 0])
    return Section(
        "Errors",
        ["All is well."],
        notes=["Look here."],
        pictures=[draw_picture(figure, "A line.")],
        tables=[FigureTable(["what", "nm"], [["x", "-1.5"], ["y", "+2"]], "In nm.")],
    )


def test_a_page_holds_everything_within_itself(tmp_path, section):
    path = write_page(tmp_path / "page.html", "A title", [section], lead="The result.")
    page = read(path)
    assert "script" not in page.seen
    assert "link" not in page.seen
    assert len(page.links) == 1
    prefix, _, data = page.links[0].partition(",")
    assert prefix == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"))
    assert pixels[0, 0] == 255, "on white, so that it prints"
    assert pixels.min() < 200
    text = " ".join(page.words)
    for words in ("A title", "The result.", "All is well.", "Look here.", "In nm.", "+2"):
        assert words in text
    assert not re.search(r"https?://", path.read_text("utf-8"))
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


def test_numbers_stand_flush_right_and_words_do_not(tmp_path):
    table = FigureTable(["name", "value", "none"], [["a", "-1.5", "-"], ["b", "-", "-"]])
    assert [table.is_number(column) for column in range(3)] == [False, True, False]
    page = write_page(tmp_path / "page.html", "t", [Section("s", tables=[table])])
    assert page.read_text("utf-8").count('class="number"') == 3


def test_text_from_files_cannot_become_markup(tmp_path):
    evil = '<script>alert("x")</script>'
    table = FigureTable([evil], [[evil]], evil)
    path = write_page(
        tmp_path / "page.html", evil, [Section(evil, [evil], [evil], tables=[table])], lead=evil
    )
    page = read(path)
    assert "script" not in page.seen
    assert "".join(page.words).count(evil) == 9


def test_names_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r"ending in \.html"):
        write_page(tmp_path / "page.pdf", "t", [])
    with pytest.raises(OutputError, match="is missing"):
        write_page(tmp_path / "none" / "page.html", "t", [])
    path = write_page(tmp_path / "page.html", "first", [])
    with pytest.raises(OutputError, match="there already"):
        write_page(path, "second", [])
    write_page(path, "second", [], overwrite=True)
    assert "second" in path.read_text("utf-8")
