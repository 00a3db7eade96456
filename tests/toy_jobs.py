"""Jobs that do nothing useful: what the shell must cope with, one at a time."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bridge.errors import ImageError, VerdictError
from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress


class Echo(Job):
    """Give back what was asked for.

    A second paragraph, only for the job's own help.
    """

    label: ClassVar[str] = "Toy Echo"
    command: ClassVar[tuple[str, ...]] = ("echo",)

    input: list[str]
    """Any texts."""
    output: Path = Path("out")
    """A path."""
    tile: Annotated[int, Field(ge=0, le=8192)] = 0
    """Tile edge in pixels."""
    sigma_px: Annotated[float, Field(gt=0)] | None = None
    """Width of something."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to run."""
    overwrite: bool = False
    """Replace what is there."""
    keep: bool = True
    """Keep what is there."""
    folders: Annotated[list[Path], Field(default_factory=list)]
    """Some folders."""

    def run(self, progress: Progress) -> Result:
        progress(1, 1, "echoing")
        return Result(outputs=self.model_dump(mode="json"), summary=["Echoed."])


class Named(Job):
    """Take a name without its option."""

    label: ClassVar[str] = "Toy Named"
    command: ClassVar[tuple[str, ...]] = ("toys", "named")
    positional: ClassVar[tuple[str, ...]] = ("name", "others")

    name: str
    """A name."""
    others: Annotated[list[str], Field(default_factory=list)]
    """More names."""
    loud: bool = False
    """Say it aloud."""

    def run(self, progress: Progress) -> Result:
        return Result(outputs=self.model_dump(mode="json"))


class _Toy(Job):
    label: ClassVar[str] = "Toy"


class Refuse(_Toy):
    """Refuse an image."""

    command: ClassVar[tuple[str, ...]] = ("refuse",)

    def run(self, progress: Progress) -> Result:
        logging.getLogger("bridge.toy").warning("the image is odd")
        raise ImageError("Zellkörper.tif", "has 3 channels", "1 channel", "Choose one.")


class Crash(_Toy):
    """Fall over a mistake of ours."""

    command: ClassVar[tuple[str, ...]] = ("crash",)

    def run(self, progress: Progress) -> Result:
        raise IndexError("list index out of range")


class Quit(_Toy):
    """Call a library that ends the process."""

    command: ClassVar[tuple[str, ...]] = ("quit",)

    def run(self, progress: Progress) -> Result:
        sys.exit(0)


class Chatter(_Toy):
    """Print on every way to standard output."""

    command: ClassVar[tuple[str, ...]] = ("chatter",)

    def run(self, progress: Progress) -> Result:
        print("printed by Python")
        sys.__stdout__.write("written to the first stdout\n")
        os.write(1, b"written to descriptor 1\n")
        os.system("echo echoed by a child")
        warnings.warn("warned by Python", stacklevel=1)
        ctypes.CDLL(None).printf(b"printed by C\n")  # buffered by the C library
        return Result(outputs={"nothing": float("nan")})


class Forever(_Toy):
    """Work until somebody stops it."""

    command: ClassVar[tuple[str, ...]] = ("forever",)

    def run(self, progress: Progress) -> Result:
        print("at work", flush=True)
        while True:
            progress(0, 1, "waiting")


class Deaf(_Toy):
    """Work without ever asking whether to stop."""

    command: ClassVar[tuple[str, ...]] = ("deaf",)

    def run(self, progress: Progress) -> Result:
        print("at work", flush=True)
        while True:
            pass


class Black(_Toy):
    """Give a result that counts as failed."""

    command: ClassVar[tuple[str, ...]] = ("black",)

    def run(self, progress: Progress) -> Result:
        table = Table(title="Found [1]", columns=["file", "state"], rows=[["[a], b.tif", "black"]])
        return Result(
            outputs={"image": "black.tif"},
            warnings=["the range is odd"],
            report="black.json",
            summary=["1 image was written."],
            tables=[table],
            error=VerdictError("black.tif", "is black"),
        )


JOBS = {
    ("echo",): "toy_jobs:Echo",
    ("toys", "named"): "toy_jobs:Named",
    ("refuse",): "toy_jobs:Refuse",
    ("crash",): "toy_jobs:Crash",
    ("quit",): "toy_jobs:Quit",
    ("chatter",): "toy_jobs:Chatter",
    ("forever",): "toy_jobs:Forever",
    ("deaf",): "toy_jobs:Deaf",
    ("black",): "toy_jobs:Black",
}
