"""What a user of ImageJ sees of an answer: images, tables, pages, sentences and errors.

Only classes of ImageJ 1.x are used; ImageJ2 and Fiji have them, too. Titles are those of the
answer, so that a macro knows them beforehand. Nothing is printed: a script in ImageJ2 has no
standard output.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jpype

from bridge.fiji.active import forget_options, show_image
from bridge.fiji.convert import Box, keep_overlay, to_imageplus
from bridge.jobs.desk import Answer

_LINE_WIDTH: Final = 90
_TABLES: Final = (".csv", ".tsv")
_PAGES: Final = (".html",)


@dataclass(frozen=True)
class Origin:
    """The open image that a request was about."""

    imp: Any
    """The ImagePlus."""
    box: Box
    """The rectangle of it that was used."""
    unit: str
    """The unit of its calibration."""


def show_answer(answer: Answer, origin: Origin | None) -> list[str]:
    """Show the images and files of an answer, and write its sentences into the log.

    Parameters
    ----------
    answer : Answer
        What the desk gave; its temporary folders are deleted.
    origin : Origin, optional
        The open image that it was made from.

    Returns
    -------
    list of str
        Titles of the images, then those of the tables.
    """
    images = [
        to_imageplus(
            shown.image,
            title=shown.title,
            unit="" if origin is None else origin.unit,
            display=shown.display,
        )
        for shown in answer.images
    ]
    try:
        images += [imp for path in answer.files if (imp := _opened_image(path)) is not None]
        tables = [path.stem for path in answer.files if _show_table(path)]
        for path in answer.files:
            _show_page(path)
    finally:
        _delete(answer)
    for imp in images:
        if origin is not None:
            keep_overlay(origin.imp, origin.box, imp)
        show_image(imp)
    for line in answer.lines:
        log(line)
    return [*(str(imp.getTitle()) for imp in images), *tables]


def stop(title: str, text: str) -> None:
    """Tell why something failed, in a dialog or in the log, and end the macro that asked for it.

    Parameters
    ----------
    title : str
        Title of the dialog, the command's name.
    text : str
        The reason.
    """
    ij = jpype.JClass("ij.IJ")
    lines = "\n".join(textwrap.wrap(text, _LINE_WIDTH))
    if not has_display() or ij.getInstance() is None:
        log(f"{title}: {text}")
    elif not is_macro():
        ij.showMessage(title, lines)
    if is_macro():
        # Macro.abort alone ends no macro: the interpreter doesn't look at it. This one tells the
        # interpreter; without a display its own dialog then fails, when all is done.
        forget_options()
        with contextlib.suppress(jpype.JException):
            ij.error(title, f"{title}: {lines}")
        _cancel_macro()
    jpype.JClass("ij.Macro").abort()


def _cancel_macro() -> None:
    """Let ImageJ leave the macro as soon as its command is over, so that ``runMacro`` tells of it.

    Otherwise it looks for the end of loops, and finds errors there that are none.
    """
    ij = jpype.JClass("ij.IJ")
    with contextlib.suppress(
        jpype.JException
    ):  # older ones leave it anyway, and have no such field
        running = ij.class_.getDeclaredField("macroInterpreter")
        running.setAccessible(True)
        running.set(None, None)
    if ij.getInstance() is None:
        jpype.JClass("ij.macro.Interpreter").batchMode = True


def is_macro() -> bool:
    """Tell whether a macro is running."""
    return jpype.JClass("ij.macro.Interpreter").getInstance() is not None


def log(line: str) -> None:
    """Write a line into ImageJ's log."""
    jpype.JClass("ij.IJ").log(line)


def has_display() -> bool:
    """Tell whether windows can be shown."""
    return not jpype.JClass("java.awt.GraphicsEnvironment").isHeadless()


def _opened_image(path: Path) -> Any:
    if path.suffix.lower() in (*_TABLES, *_PAGES):
        return None
    imp = jpype.JClass("ij.IJ").openImage(str(path))
    if imp is None:
        log(f"Warning: ImageJ cannot open {path.name}.")
        return None
    if imp.getStack().isVirtual():
        imp = imp.duplicate()  # its file is about to be deleted
    imp.setTitle(path.stem)
    return imp


def _show_table(path: Path) -> bool:
    if path.suffix.lower() not in _TABLES:
        return False
    table = jpype.JClass("ij.measure.ResultsTable").open(str(path))
    table.show(path.stem)
    return True


def _show_page(path: Path) -> None:
    if path.suffix.lower() in _PAGES and has_display():
        jpype.JClass("ij.plugin.BrowserLauncher").openURL(path.as_uri())


def _delete(answer: Answer) -> None:
    """Delete the temporary folders, those with a page when Python ends: a browser may read it."""
    has_page = {path.parent for path in _pages(answer.files)}
    for folder in answer.temporary:
        if folder in has_page and has_display():
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _pages(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in _PAGES]
