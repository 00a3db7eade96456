from __future__ import annotations

from bridge.jobs.base import Table
from bridge.jobs.tables import as_text


def test_cells_are_shown_as_they_are():
    table = Table(
        title="[bold]t[/bold]", columns=["file", ":tada:"], rows=[["[a], b.tif", "[red]x[/red]"]]
    )
    text = as_text(table)
    for cell in ("[bold]t[/bold]", ":tada:", "[a], b.tif", "[red]x[/red]"):
        assert cell in text


def test_no_letter_of_a_long_path_is_lost(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    path = "/" + "/".join(f"folder{i}" for i in range(30))
    text = as_text(Table(columns=["path"], rows=[[path]]))
    assert "".join(text.split()).endswith(path)
    assert max(map(len, text.splitlines())) <= 60
