"""What a diagnosis found, as a page: the sentence, the pictures, the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from bridge.quality.diagnosis import Diagnosis
from bridge.quality.diagnosis_checks import Row
from bridge.quality.diagnosis_gather import Gathered
from bridge.quality.diagnosis_probe import Image
from bridge.quality.report import FigureTable, Picture, Section, draw_picture, write_page

_WORDS = {"bad": "found", "doubtful": "doubtful", "note": "note", "good": "-", "unseen": "not seen"}


def write_explanation(
    path: Path, image: str, model: str, gathered: Gathered, diagnosis: Diagnosis, *, overwrite: bool
) -> Path:
    """Write the page.

    Parameters
    ----------
    path : Path
        Ending in ``.html``.
    image, model : str
        What was looked at, for the heading.
    gathered : Gathered
        Images and notes.
    diagnosis : Diagnosis
        The rows.
    overwrite : bool
        Replace a page that is there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        It can't be written.
    """
    culprit = diagnosis.culprit
    marked = [row for row in diagnosis.rows if row.status in ("bad", "doubtful", "note")]
    advice = [f"{row.number}. {row.cause}: {row.remedy}" for row in marked if row is not culprit]
    rows = [_cells(row) for row in diagnosis.rows]
    sections = [
        Section("Pictures", [_say_shown(gathered)], pictures=[*_draw(gathered)]),
        Section(
            "All causes, in their order",
            advice,
            notes=list(gathered.notes),
            tables=[FigureTable(["no.", "cause", "", "what was seen"], rows)],
        ),
    ]
    title = f"Why {image} came out of {Path(model).name} as it did"
    return write_page(path, title, sections, lead=diagnosis.sentence, overwrite=overwrite)


def _cells(row: Row) -> list[str]:
    return [str(row.number), row.cause, _WORDS[row.status], row.found]


def _say_shown(gathered: Gathered) -> str:
    text = "Input and blurred output are shown from their 0.1th to their 99.8th percentile; the "
    text += "output from 0 to its 99.8th percentile, and once more as a viewer shows it that takes "
    text += "1 for white."
    if gathered.evidence.output is None:
        return "The network couldn't be run: only the input is shown."
    return text


def _draw(gathered: Gathered) -> list[Picture]:
    evidence = gathered.evidence
    panels: list[tuple[str, Image, float | None, float | None]] = [
        ("input", evidence.image, None, None)
    ]
    if evidence.output is not None:
        panels += [
            ("output", evidence.output, 0.0, None),
            ("output, 1 is white", evidence.output / evidence.unit, 0.0, 1.0),
        ]
    if evidence.before is not None:
        panels.append(("before the last ReLU", evidence.before.mean(axis=(0, 1)), None, None))
    if evidence.sparse is not None:
        panels.append(("MU-SRM", evidence.sparse, 0.0, None))
    if gathered.blurred is not None:
        panels.append(("output, blurred to the input's resolution", gathered.blurred, None, None))
    return [_draw_panel(*panel) for panel in panels]


def _draw_panel(title: str, image: Image, low: float | None, high: float | None) -> Picture:
    figure = Figure(figsize=(3.4, 3.2), layout="constrained")
    axes = figure.subplots()
    ends = np.percentile(image, (0.1, 99.8))
    low = float(ends[0]) if low is None else low
    high = float(ends[1]) if high is None else high
    shown = axes.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-12))
    axes.set(title=title, xticks=[], yticks=[])
    figure.colorbar(shown, shrink=0.8)
    return draw_picture(figure, f"{title[0].upper()}{title[1:]}.")
