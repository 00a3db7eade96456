"""What a job is, and what it gives back: the one definition behind shell, macro, menu and JSON.

A job is a frozen pydantic model. Its fields are what a user can set, the docstring under each field
is its help, the class docstring's first line is the job's help::

    class Blur(Job):
        \"\"\"Smooth an image.\"\"\"

        label: ClassVar[str] = "ZooBridge Blur"
        command: ClassVar[tuple[str, ...]] = ("blur",)

        input: list[Path]
        \"\"\"Images to smooth.\"\"\"
        sigma_px: Annotated[float, Field(gt=0, le=100)] = 1.0
        \"\"\"Width of the Gaussian, in pixels.\"\"\"

        def run(self, progress: Progress) -> Result:
            from bridge.images.read import read_image   # heavy imports wait until here
            ...
            return Result(outputs={"image": str(path)}, summary=["1 image smoothed."])

The contract of the fields, held by ``tests/jobs/test_contract.py`` (ImageJ reads macro keys in its
own X a non-letter; every field has a docstring and a default, or is a required text or path; types
are those :func:`bridge.jobs.options.fields_of` knows. A new job is listed in
:mod:`bridge.jobs.registry`. Nothing here imports more than pydantic.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from bridge.errors import ZooBridgeError
from bridge.progress import Progress

if TYPE_CHECKING:
    import xarray as xr

    from bridge.runtime.ready import ReadyModels


class Table(BaseModel):
    """Rows for people to read; the same content belongs into ``Result.outputs`` for programs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    title: str = ""
    """Line above the table."""
    columns: list[str]
    """Headings."""
    rows: list[list[str]]
    """Cells, as many in each row as there are headings."""


class Result(BaseModel):
    """What a job gives back.

    A job that finds out something bad *and* has results to show (a doctor's list with a failure in
    it, an image that came out black) returns them together with ``error``; it counts as failed.
    A job with nothing to show raises instead.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, arbitrary_types_allowed=True
    )

    outputs: dict[str, JsonValue] = Field(default_factory=dict)
    """What a program wants to know, paths as text; goes into the JSON status."""
    warnings: list[str] = Field(default_factory=list)
    """Sentences about what is doubtful."""
    report: str | None = None
    """Path of the report, if one was written."""
    summary: list[str] = Field(default_factory=list)
    """Sentences for people."""
    tables: list[Table] = Field(default_factory=list)
    """Tables for people, shown before the summary."""
    error: ZooBridgeError | None = None
    """Why the job counts as failed in spite of its outputs."""


class Job(BaseModel):
    """Something a user can ask for."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    label: ClassVar[str]
    """Name of the ImageJ command and of the menu leaf, as in ``ZooBridge Predict``."""
    command: ClassVar[tuple[str, ...]]
    """Words of the shell command, as in ``("models", "list")``."""
    positional: ClassVar[tuple[str, ...]] = ()
    """Fields that the shell also takes without their option's name, in this order."""
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Fields for results that ImageJ shows rather than keeps where a user leaves them empty, each
    with the ending of the temporary file that is opened."""

    @abstractmethod
    def run(self, progress: Progress) -> Result:
        """Do the work.

        Parameters
        ----------
        progress : Progress
            Told of every step; raises ``Cancelled`` when the user wants to stop.

        Returns
        -------
        Result
            Outputs, warnings and sentences.

        Raises
        ------
        ZooBridgeError
            The job cannot be done; the message says why and what to do.
        """

    @classmethod
    def help_line(cls) -> str:
        """Give the first line of the class's docstring."""
        return cls.help_text().partition("\n")[0]

    @classmethod
    def help_text(cls) -> str:
        """Give the class's whole docstring, without its indentation."""
        return inspect.cleandoc(cls.__doc__ or "")


@dataclass(frozen=True)
class OpenImage:
    """An image that a program has open."""

    image: xr.DataArray
    """Dims a subset of t c z y x, in this order."""
    title: str
    """Its name for people."""


@dataclass(frozen=True)
class OnImage:
    """What a job on an open image gives back."""

    result: Result
    images: Mapping[str, xr.DataArray] = field(default_factory=dict)
    """Result images by title; none where they were written to a file."""


class ImageJob(Job):
    """A job on one image, of a file or open in a program; it has ``input`` and ``output``."""

    @abstractmethod
    def run_on(
        self, opened: OpenImage, models: ReadyModels, progress: Progress, *, keep: bool
    ) -> OnImage:
        """Do the work on an open image; ``input`` is only its name.

        Parameters
        ----------
        opened : OpenImage
            The image.
        models : ReadyModels
            Models kept from before.
        progress : Progress
            Told of every step; raises ``Cancelled`` when the user wants to stop.
        keep : bool
            Whether ``output`` is to be written; otherwise result images are given back.

        Returns
        -------
        OnImage
            Result, and images to show.

        Raises
        ------
        ZooBridgeError
            The job cannot be done.
        """
