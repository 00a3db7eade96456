"""The dialog of a job: one entry for each field, labelled with its macro key."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Final

import jpype

from bridge.fiji.launchers import default_texts, ordered_fields
from bridge.jobs.base import Job
from bridge.jobs.desk import MODEL
from bridge.jobs.options import Option
from bridge.zoo import catalog

ANOTHER_MODEL: Final = "another_model"
"""Label of the entry for a model that isn't installed."""

_MOST_ROWS: Final = 10
_TEXT_COLUMNS: Final = 18


def ask(job: type[Job]) -> dict[str, str] | None:
    """Show the dialog and wait for its user.

    Parameters
    ----------
    job : type of Job
        The job to ask for.

    Returns
    -------
    dict or None
        Text by field name; None if the user cancelled.
    """
    fields = ordered_fields(job)
    if not fields:
        return {}
    dialog = jpype.JClass("ij.gui.GenericDialog")(job.label)
    defaults = default_texts(job)
    readers = []
    for number, field in enumerate(fields):
        if len(fields) > _MOST_ROWS and number % 2:
            dialog.addToSameRow()
        readers.append(_add(dialog, field, defaults[field.name]))
    dialog.addHelp(_help(job, fields))
    dialog.showDialog()
    if dialog.wasCanceled():
        return None
    values = {field.name: read() for field, read in zip(fields, readers, strict=True)}
    _record(fields, values, defaults)
    return values


def _add(dialog: Any, field: Option, default: str) -> Any:
    """Add a field's entry; gives the function that reads its text."""
    if field.name == MODEL:
        return _add_model(dialog, field, default)
    if field.choices:
        dialog.addChoice(field.name, list(field.choices), default)
        return dialog.getChoices().lastElement().getSelectedItem
    if field.type is bool:
        dialog.addCheckbox(field.name, default == "true")
        box = dialog.getCheckboxes().lastElement()
        return lambda: "true" if box.getState() else "false"
    if field.type in (int, float):
        dialog.addNumericField(field.name, 0.0, 0, _TEXT_COLUMNS // 2, _range(field))
        entry = dialog.getNumericFields().lastElement()
        entry.setText(default)
    elif field.type is Path and not field.is_list and field.name != "output":
        dialog.addFileField(field.name, default, _TEXT_COLUMNS)
        entry = dialog.getStringFields().lastElement()
    else:
        dialog.addStringField(field.name, default, _TEXT_COLUMNS)
        entry = dialog.getStringFields().lastElement()
    return lambda: str(entry.getText())


def _add_model(dialog: Any, field: Option, default: str) -> Any:
    """Add the installed models, and an entry for the path of any other."""
    names = [entry.name for entry in catalog.installed()]
    dialog.addChoice(field.name, names or [default], default)
    choice = dialog.getChoices().lastElement()
    dialog.addFileField(ANOTHER_MODEL, "", _TEXT_COLUMNS)
    entry = dialog.getStringFields().lastElement()
    return lambda: str(entry.getText()).strip() or str(choice.getSelectedItem())


def _range(field: Option) -> str:
    """Say which numbers are allowed, beside the entry."""
    low, high = field.bounds.low, field.bounds.high
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return "" if low is None else f"from {low:g}"


def _help(job: type[Job], fields: list[Option]) -> str:
    rows = "".join(f"<p><b>{field.name}</b><br>{html.escape(field.help)}</p>" for field in fields)
    return f"<html><h3>{html.escape(job.help_line())}</h3>{rows}"


def _record(fields: list[Option], values: dict[str, str], defaults: dict[str, str]) -> None:
    """Tell ImageJ's recorder what differs from the defaults, as a macro has to write it."""
    recorder = jpype.JClass("ij.plugin.frame.Recorder")
    if not recorder.record:
        return
    for field in fields:
        text = values[field.name]
        if field.name == MODEL or text != defaults[field.name]:
            recorder.recordOption(field.name, text.replace("\\", "\\\\"))
