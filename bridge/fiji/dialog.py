"""The dialog of a job: one entry for each field, labelled with its macro key."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Final

import jpype

from bridge.fiji.active import active_image
from bridge.fiji.launchers import default_texts, ordered_fields
from bridge.jobs.base import ImageJob, Job
from bridge.jobs.desk import MODEL
from bridge.jobs.options import Option
from bridge.zoo import catalog

ANOTHER_MODEL: Final = "another_model"
"""Label of the entry for a model that isn't installed."""

_FLAGS_IN_A_ROW: Final = 3
_TEXT_COLUMNS: Final = 24
_NUMBER_COLUMNS: Final = 9


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
    dialog, defaults = jpype.JClass("ij.gui.GenericDialog")(job.label), default_texts(job)
    if issubclass(job, ImageJob):
        dialog.addMessage(_about_image(active_image()))
    entries = [field for field in fields if field.type is not bool]
    flags = [field for field in fields if field.type is bool]
    readers = {field.name: _add(dialog, field, defaults[field.name]) for field in entries}
    if flags:
        readers |= _add_flags(dialog, flags, defaults)
    dialog.addHelp(_help(job, fields))
    dialog.showDialog()
    if dialog.wasCanceled():
        return None
    values = {field.name: str(readers[field.name]()) for field in fields}
    _record(fields, values, defaults)
    return values


def _add(dialog: Any, field: Option, default: str) -> Any:
    """Add a field's entry; gives the function that reads its text."""
    if field.name == MODEL:
        return _add_model(dialog, field, default)
    if field.choices:
        dialog.addChoice(field.name, list(field.choices), default)
        return dialog.getChoices().lastElement().getSelectedItem
    if field.type in (int, float):
        dialog.addNumericField(field.name, 0.0, 0, _NUMBER_COLUMNS, _range(field))
        entry = dialog.getNumericFields().lastElement()
        entry.setText(default)
    elif field.type is Path and not field.is_list and field.name != "output":
        dialog.addFileField(field.name, default, _TEXT_COLUMNS)
        entry = dialog.getStringFields().lastElement()
    else:
        dialog.addStringField(field.name, default, _TEXT_COLUMNS)
        entry = dialog.getStringFields().lastElement()
    return lambda: str(entry.getText())


def _add_flags(dialog: Any, flags: list[Option], defaults: dict[str, str]) -> dict[str, Any]:
    """Add the check boxes, some beside each other; gives the functions that read them."""
    n_rows = -(-len(flags) // _FLAGS_IN_A_ROW)
    dialog.addCheckboxGroup(
        n_rows,
        _FLAGS_IN_A_ROW,
        [field.name for field in flags],
        [defaults[field.name] == "true" for field in flags],
    )
    boxes = list(dialog.getCheckboxes())
    return {
        field.name: lambda box=box: "true" if box.getState() else "false"
        for field, box in zip(flags, boxes, strict=True)
    }


def _add_model(dialog: Any, field: Option, default: str) -> Any:
    """Add the installed models, and an entry for the path of any other."""
    names = [entry.name for entry in catalog.installed()]
    dialog.addChoice(field.name, names or [default], default)
    choice = dialog.getChoices().lastElement()
    dialog.addFileField(ANOTHER_MODEL, "", _TEXT_COLUMNS)
    entry = dialog.getStringFields().lastElement()
    return lambda: str(entry.getText()).strip() or str(choice.getSelectedItem())


def _about_image(imp: Any) -> str:
    """Say which image would be taken."""
    if imp is None:
        return "No image is open: 'input' has to name a file."
    roi = imp.getRoi()
    part = "" if roi is None or not roi.isArea() else ", inside the selection"
    return f"Image: {imp.getTitle()}{part}"


def _range(field: Option) -> str:
    """Say which numbers are allowed, beside the entry."""
    low, high = field.bounds.low, field.bounds.high
    if low is not None and high is not None:
        return f"{low:.12g} to {high:.12g}"
    return "" if low is None else f"from {low:.12g}"


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
