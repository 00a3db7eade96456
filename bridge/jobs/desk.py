"""Where other programs hand in requests: the jobs for those who have images open, as Fiji has.

A request has texts and perhaps an open image; the answer has the JSON status, images and files to
show, and sentences. Models stay loaded between requests::

    desk = Desk()
    answer = desk.perform(Request(("predict",), {"model": "deep-storm"}, image=movie, title="a"))

Differences to the shell, for all jobs alike: an empty text is the default; a job on an image takes
the open one where ``input`` is empty; results whose ``output`` is empty are given back to be shown;
a relative ``output`` starts at the user's home.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import JsonValue

from bridge.errors import Cancelled, InputError, ZooBridgeError
from bridge.jobs import status
from bridge.jobs.base import ImageJob, Job, OnImage, OpenImage, Result
from bridge.jobs.collect import collected_warnings
from bridge.jobs.macro_words import values_from_macro
from bridge.jobs.options import Option, fields_of, make_job
from bridge.jobs.registry import JOBS, load_job
from bridge.jobs.titles import result_title, without_ending
from bridge.jobs.words import nearest
from bridge.progress import Progress, silent

if TYPE_CHECKING:
    import xarray as xr

INPUT: Final = "input"
OUTPUT: Final = "output"
MODEL: Final = "model"
DEFAULT_MODEL: Final = "deep-storm"
"""The model of a request that names none."""

_SEPARATOR: Final = ";"
_OPENED: Final = (".tif", ".tiff", ".csv", ".html")
_SATURATED: Final = (0.1, 99.8)  # percentiles of the pixels at the ends of the display range
_MOST_PIXELS_LOOKED_AT: Final = 1_000_000


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    command: tuple[str, ...]
    """Command words of the job."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Texts by field name; empty ones mean the default, lists are separated by ``;``."""
    options: str | None = None
    """ImageJ's macro options as they were written; where given, ``values`` don't count."""
    image: xr.DataArray | None = None
    """The open image, dims a subset of t c z y x in this order."""
    title: str = ""
    """Its title."""


class Shown(NamedTuple):
    """An image to show."""

    title: str
    image: xr.DataArray
    display: tuple[float, float]
    """Pixel values drawn black and white."""


@dataclass(frozen=True)
class Answer:
    """What came of a request."""

    status: str
    """The JSON status, one line."""
    lines: list[str] = field(default_factory=list)
    """Sentences for a log; warnings begin with ``Warning:``."""
    images: list[Shown] = field(default_factory=list)
    """Images to show."""
    files: list[Path] = field(default_factory=list)
    """Files to open: images, tables, pages."""
    temporary: list[Path] = field(default_factory=list)
    """Folders to delete when the files are open."""
    error: str = ""
    """Why it failed, in sentences."""

    @property
    def is_ok(self) -> bool:
        """Whether the job succeeded."""
        return not self.error


def takes_image(command: tuple[str, ...]) -> bool:
    """Tell whether a job works on an open image."""
    return issubclass(load_job(command), ImageJob)


def defaults(job: type[Job]) -> dict[str, str]:
    """Give the text of each field's default where an image is open and results are shown."""
    texts: dict[str, str] = {}
    for option in fields_of(job):
        default = option.default
        if isinstance(default, list):
            text = _SEPARATOR.join(default)
        elif isinstance(default, bool):
            text = "true" if default else "false"
        else:
            text = "" if default is None else str(default)
        if option.name == MODEL and option.is_required:
            text = DEFAULT_MODEL
        texts[option.name] = text
    return texts


class Desk:
    """Does requests, one after the other, and keeps the last models ready."""

    def __init__(self) -> None:
        from bridge.runtime.ready import ReadyModels

        self._models = ReadyModels()
        self._lock = threading.Lock()

    def perform(self, request: Request, progress: Progress = silent) -> Answer:
        """Do what is asked for; a failure is an answer, too.

        Parameters
        ----------
        request : Request
            What is asked for.
        progress : Progress
            Told of every step; raises ``Cancelled`` when the user wants to stop.

        Returns
        -------
        Answer
            Status, results to show, sentences.
        """
        started = time.monotonic()
        name = " ".join(request.command)
        temporary: list[Path] = []
        with self._lock, collected_warnings() as warnings:
            try:
                done = self._do(request, temporary, progress)
            except ZooBridgeError as error:
                return _refusal(name, error, warnings, started, temporary)
            except KeyboardInterrupt:
                return _refusal(name, Cancelled(), warnings, started, temporary)
            except Exception as error:  # noqa: BLE001 - whatever it is, the asker gets an answer
                from bridge.jobs.crash import unexpected

                return _refusal(
                    name, unexpected(error, [*request.command]), warnings, started, temporary
                )
        result = done.result
        for folder in [*temporary]:
            if not any(folder.iterdir()):
                folder.rmdir()
                temporary.remove(folder)
        warnings += [text for text in result.warnings if text not in warnings]
        seconds = time.monotonic() - started
        return Answer(
            status=status.succeeded(name, result, warnings=warnings, seconds=seconds),
            lines=_lines(result, warnings, temporary),
            images=[
                Shown(title, image, display_range(image)) for title, image in done.images.items()
            ],
            files=_files(result.outputs, temporary),
            temporary=temporary,
            error=str(result.error) if result.error else "",
        )

    def _do(self, request: Request, temporary: list[Path], progress: Progress) -> OnImage:
        if request.command not in JOBS:
            known = {" ".join(command) for command in JOBS}
            name = " ".join(request.command)
            raise InputError(
                "zoobridge", f"there is no job {name!r}", "", nearest(name, known) or ""
            )
        job_type = load_job(request.command)
        values = _values(job_type, request)
        is_on_image = issubclass(job_type, ImageJob) and INPUT not in values
        if is_on_image:
            values[INPUT] = request.title or "image"
        keep = OUTPUT in values
        target = values.get(OUTPUT) or defaults(job_type).get(OUTPUT)
        if target:  # a program's current folder is nothing that its user knows
            values[OUTPUT] = str(Path.home() / Path(target).expanduser())
        if not keep and OUTPUT in job_type.shown:
            folder = Path(tempfile.mkdtemp(prefix="zoobridge-"))
            temporary.append(folder)
            stem = _stem(job_type, values)
            values[OUTPUT] = str(folder / f"{stem}{job_type.shown[OUTPUT]}")
        lists = {option.name for option in fields_of(job_type) if option.is_list}
        arguments = {key: _split(text) if key in lists else text for key, text in values.items()}
        if is_on_image and INPUT in lists:
            arguments[INPUT] = [values[INPUT]]  # a title may have a ; in it
        job = make_job(job_type, arguments)
        if isinstance(job, ImageJob) and is_on_image:
            if request.image is None:
                raise InputError(
                    "input",
                    "no image is open",
                    "an open image, or the path of a file in 'input'",
                    "Open an image first.",
                )
            opened = OpenImage(request.image, request.title or "image")
            return job.run_on(opened, self._models, progress, keep=keep)
        return OnImage(job.run(progress))


def display_range(image: xr.DataArray) -> tuple[float, float]:
    """Give the pixel values to draw black and white, such that the image fills the contrast."""
    import numpy as np

    pixels = image.values.reshape(-1)
    pixels = pixels[:: max(1, pixels.size // _MOST_PIXELS_LOOKED_AT)]
    pixels = pixels[np.isfinite(pixels)]
    if not pixels.size:
        return 0.0, 1.0
    low, high = (float(limit) for limit in np.percentile(pixels, _SATURATED))
    if high <= low:  # nearly all of one value, as sparse emitters on black
        low, high = float(pixels.min()), float(pixels.max())
    return low, high if high > low else low + 1.0


def _values(job: type[Job], request: Request) -> dict[str, str]:
    """Give the texts that were given; known names only."""
    options: list[Option] = fields_of(job)
    what = "zoobridge " + " ".join(job.command)
    if request.options is not None:
        texts: Mapping[str, str] = values_from_macro(request.options, options, what)
    else:
        texts = request.values
        known = {option.name for option in options}
        for name in texts.keys() - known:
            remedy = nearest(name, known) or ""
            raise InputError(what, f"there is no key {name!r}", "", remedy)
    values = {name: text.strip() for name, text in texts.items()}
    if any(option.name == MODEL and option.is_required for option in options):
        values[MODEL] = values.get(MODEL) or DEFAULT_MODEL
    return {name: text for name, text in values.items() if text}


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(_SEPARATOR) if part.strip()]


def _stem(job: type[Job], values: Mapping[str, str]) -> str:
    """Name a result after what it is made from."""
    source = next((values[name] for name in (INPUT, "table") if values.get(name)), "")
    source = without_ending(source.replace("\\", "/").rpartition("/")[2]).removesuffix(".csv")
    stem = result_title(source, values.get(MODEL, job.command[0]))
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in stem) or job.command[0]


def _lines(result: Result, warnings: list[str], temporary: list[Path]) -> list[str]:
    lines: list[str] = []
    if result.tables:
        from bridge.jobs.tables import as_text

        lines += [line for table in result.tables for line in as_text(table).splitlines() if line]
    lasting = [
        text for text in result.summary if not any(str(folder) in text for folder in temporary)
    ]
    return [*lines, *lasting, *(f"Warning: {text}" for text in warnings)]


def _files(outputs: Mapping[str, JsonValue], temporary: list[Path]) -> list[Path]:
    """List the temporary files that are to be opened."""
    paths = [Path(value) for value in outputs.values() if isinstance(value, str)]
    return [
        path
        for path in paths
        if path.suffix.lower() in _OPENED and path.parent in temporary and path.is_file()
    ]


def _refusal(
    name: str, error: ZooBridgeError, warnings: list[str], started: float, temporary: list[Path]
) -> Answer:
    for folder in temporary:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - started
    return Answer(
        status=status.failed(name, error.as_dict(), warnings=warnings, seconds=seconds),
        lines=[f"Warning: {text}" for text in warnings],
        error=str(error),
    )
