"""A macro run to its end in a headless ImageJ, and how it went, which ImageJ itself keeps back.

``IJ.runMacro`` gives ``[aborted]`` for every kind of end but the good one. Here the interpreter is
asked for its error and line, and what would be printed or shown in a window is kept.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import jpype

from bridge.errors import OutputError

_ABORTED: Final = "[aborted]"
_LINE: Final = re.compile(r"in line (\d+)")


@dataclass(frozen=True)
class MacroRun:
    """How a macro ended."""

    returned: str
    """What it returned, empty where that is nothing."""
    log: str
    """All that it printed or logged."""
    failure: str
    """Why it failed; empty if it didn't."""


def run_macro(path: Path, argument: str) -> MacroRun:
    """Run a macro file in the ImageJ of this process.

    Parameters
    ----------
    path : Path
        The file, ImageJ macro language.
    argument : str
        What the macro gets by ``getArgument()``.

    Returns
    -------
    MacroRun
        How it ended; a failing macro raises nothing.
    """
    ij = jpype.JClass("ij.IJ")
    interpreter = jpype.JClass("ij.macro.Interpreter")()
    jpype.JClass("ij.io.OpenDialog").setDefaultDirectory(None)
    error_before = _text(ij.getErrorMessage())
    returned, thrown = "", ""
    with _kept("out") as output, _kept("err") as errors, _macro_thread():
        try:
            returned = _text(interpreter.run(path.read_text(encoding="utf-8"), argument))
        except jpype.JException as error:
            thrown = str(error.getMessage() or error)
            interpreter.abortMacro()
        lines = [line for line in str(output.toString("UTF-8")).splitlines() if line.strip()]
    failure = ""
    if thrown or returned == _ABORTED or interpreter.wasError():
        own = _text(interpreter.getErrorMessage())
        told = _LINE.search(str(errors.toString("UTF-8")))  # getLineNumber() may be further on
        own = f"{own} (line {told[1] if told else interpreter.getLineNumber()})" if own else ""
        other = _text(ij.getErrorMessage())
        last = lines[-1] if lines else "it stopped itself, and gave no reason"
        failure = own or (other if other != error_before else "") or last
        if "Macro canceled" not in thrown and thrown and not own:
            failure = thrown
        failure = re.sub(r"\s*\n\s*", " ", failure).strip()
    return MacroRun("" if failure else returned, "\n".join(lines), failure)


def open_titles() -> dict[str, Any]:
    """Give the open images by title; titles that come twice are numbered."""
    windows = jpype.JClass("ij.WindowManager")
    images: dict[str, Any] = {}
    for number in windows.getIDList() or []:
        imp = windows.getImage(number)
        title = str(imp.getTitle())
        same = [known for known in images if known == title or known.startswith(f"{title} (")]
        images[f"{title} ({len(same) + 1})" if same else title] = imp
    return images


def save_tiff(imp: Any, path: Path) -> None:
    """Write an image as ImageJ's TIFF, whole or not at all.

    Raises
    ------
    OutputError
        ImageJ can't write it there.
    """
    part = path.with_name(f".{path.name}.part.tif")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not jpype.JClass("ij.IJ").saveAsTiff(imp, str(part)):
            raise OSError("ImageJ gave no reason")
        part.replace(path)
    except OSError as error:
        found = f"cannot be written ({error.strerror or error})"
        raise OutputError(
            str(path), found, "a place for a file", "Give another --output."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


@contextlib.contextmanager
def _kept(name: Literal["out", "err"]) -> Iterator[Any]:
    """Keep what Java prints on one of its streams; gives what holds it."""
    system = jpype.JClass("java.lang.System")
    kept = jpype.JClass("java.io.ByteArrayOutputStream")()
    stream = jpype.JClass("java.io.PrintStream")(kept, True, "UTF-8")
    before, replace = getattr(system, name), getattr(system, f"set{name.capitalize()}")
    replace(stream)
    try:
        yield kept
    finally:
        replace(before)


@contextlib.contextmanager
def _macro_thread() -> Iterator[None]:
    """Name this thread as ImageJ names those that run a macro; it looks for that."""
    thread = jpype.JClass("java.lang.Thread").currentThread()
    name = thread.getName()
    thread.setName(f"Run$_{name}Macro$")
    try:
        yield
    finally:
        thread.setName(name)
