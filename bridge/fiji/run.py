"""ImageJ's face in process: what the ``#!Python`` launchers call, in Fiji's Python mode.

::

    run("predict", globals())       globals: the launcher's inputs, as java.lang.String

Works in every Python that has a JVM with ImageJ 1.x in it: Fiji's Python mode, pyimagej, plain
JPype. A script there may not print (it has no standard output), its exceptions are swallowed, and
what it leaves in its globals is converted to Java; so nothing is printed or returned, and whatever
goes wrong is shown, written into the log, and ends the calling macro.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jpype

from bridge.errors import Cancelled, ZooBridgeError
from bridge.fiji.active import active_image, open_image
from bridge.fiji.convert import from_imageplus, selected_box
from bridge.fiji.dialog import ask
from bridge.fiji.launchers import default_texts
from bridge.fiji.show import Origin, has_display, is_macro, show_answer, stop
from bridge.jobs import status
from bridge.jobs.base import Job
from bridge.jobs.crash import unexpected
from bridge.jobs.desk import INPUT, Answer, Desk, Request, takes_image
from bridge.jobs.macro_words import values_from_macro
from bridge.jobs.options import fields_of
from bridge.jobs.registry import load_job
from bridge.progress import Throttled


@dataclass(frozen=True)
class Done:
    """What came of a request, and what of it is to be seen."""

    answer: Answer
    """What the desk gave."""
    titles: list[str]
    """Titles of the images and tables shown."""


def run(command: str, scope: Mapping[Any, Any]) -> None:
    """Do a job for a launcher: read its inputs, ask if nothing was given, show the results.

    Parameters
    ----------
    command : str
        Command words of the job, ``models list``.
    scope : mapping
        The launcher's globals; of them the job's fields are read.
    """
    job = load_job(tuple(command.split()))
    reason = _failure(job, scope)
    if reason:
        stop(job.label, reason)


def perform(command: str, *, values: Mapping[str, str], options: str | None) -> Done:
    """Do a job on ImageJ's open images, and show what it gives.

    Parameters
    ----------
    command : str
        Command words of the job.
    values : mapping
        Text by field name; empty ones mean the default.
    options : str or None
        Macro options; where given, ``values`` don't count.

    Returns
    -------
    Done
        The answer; a failure is one, too.
    """
    words = tuple(command.split())
    started = time.monotonic()
    with _quiet_stdout():
        try:
            request, origin = _request(words, values, options)
            answer = _desk().perform(request, _ImageJProgress())
            return Done(answer, show_answer(answer, origin))
        except ZooBridgeError as error:
            return _refused(command, error, started)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the host would swallow it
            return _refused(command, unexpected(error, words), started)
        finally:
            jpype.JClass("ij.IJ").showProgress(1.0)


def _failure(job: type[Job], scope: Mapping[Any, Any]) -> str:
    """Do the job; gives why it failed."""
    try:
        values = _texts(job, scope)
        options = _macro_options()
        if options is None and _is_asking(job, values):
            asked = ask(job)
            if asked is None:
                return ""
            values = asked
    except Exception as error:  # noqa: BLE001 - the host would swallow it
        return str(unexpected(error, job.command))
    answer = perform(" ".join(job.command), values=values, options=options).answer
    if not answer.is_ok and _was_cancelled(answer) and not is_macro():
        jpype.JClass("ij.IJ").showStatus("ZooBridge: stopped on request")
        return ""
    return answer.error


def _was_cancelled(answer: Answer) -> bool:
    return bool(json.loads(answer.status)["error"]["kind"] == Cancelled.__name__)


def _texts(job: type[Job], scope: Mapping[Any, Any]) -> dict[str, str]:
    """Read the job's fields from a launcher's globals."""
    names = {option.name for option in fields_of(job)}
    given = {str(key): value for key, value in scope.items() if str(key) in names}
    return {name: str(value) for name, value in given.items() if value is not None}


def _macro_options() -> str | None:
    """Give the options of the macro's ``run`` that this thread works for; None where none are."""
    options = jpype.JClass("ij.Macro").getOptions()
    return None if options is None else str(options)


def _is_asking(job: type[Job], values: Mapping[str, str]) -> bool:
    """Tell whether a person started this from the menu, with nothing decided yet."""
    if not has_display() or jpype.JClass("ij.IJ").isMacro():
        return False
    defaults = default_texts(job)
    return all(text == defaults[name] for name, text in values.items())


def _request(
    words: tuple[str, ...], values: Mapping[str, str], options: str | None
) -> tuple[Request, Origin | None]:
    """Put the request together; the image is the one named by ``input``, or the active one."""
    if options is not None:
        job = load_job(words)
        values = values_from_macro(options, fields_of(job), "zoobridge " + " ".join(words))
    values = dict(values)
    imp = None
    if takes_image(words):
        title = values.get(INPUT, "").strip()
        imp = open_image(title) if title else active_image()
    if imp is None:
        return Request(words, values), None
    values.pop(INPUT, None)
    origin = Origin(imp, selected_box(imp), str(imp.getCalibration().getUnit()))
    return Request(words, values, image=from_imageplus(imp), title=str(imp.getTitle())), origin


def _refused(command: str, error: ZooBridgeError, started: float) -> Done:
    seconds = time.monotonic() - started
    text = status.failed(command, error.as_dict(), warnings=[], seconds=seconds)
    return Done(Answer(status=text, error=str(error)), [])


@functools.cache
def _desk() -> Desk:
    """Give the one desk of this process, which keeps models between runs."""
    return Desk()


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Let what libraries print go to standard error; ImageJ2 gives scripts no standard output."""
    with contextlib.redirect_stdout(sys.stderr or io.StringIO()):
        yield


class _ImageJProgress:
    """ImageJ's progress bar and status line; Esc stops the work."""

    def __init__(self) -> None:
        self._ij = jpype.JClass("ij.IJ")
        self._ij.resetEscape()
        self._show = Throttled(self._move)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Move the bar, or raise ``Cancelled``."""
        if self._ij.escapePressed():
            raise Cancelled
        self._show(done, total, note)

    def _move(self, done: int, total: int, note: str = "") -> None:
        self._ij.showProgress(done, max(total, 1))
        if note:
            self._ij.showStatus(f"ZooBridge: {note}")
