"""A model run on frames in memory, each whole output frame turned into rows at once.

::

    frames --tiles--> network --tiles--> one output frame, whole --> rows
                                         (the next frame's tiles overwrite it)

Rows are found in whole frames, so tiles leave no doubles at their seams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.progress import Progress, silent
from bridge.runtime.predict import Outcome, OutputSpec, Predictor
from bridge.zoo.description import own_config
from bridge.zoo.package import Package

LOCALIZATION: Final = "localization"
"""What ``config.zoobridge.task`` of a package of coordinates says."""


@dataclass(frozen=True)
class Reading:
    """How one frame of a model's output becomes rows.

    Attributes
    ----------
    columns : tuple of str
        What a row has, besides its frame.
    read : callable
        Takes an output frame, axes (c, y, x), and gives its rows, axes (row, column), float64.
    """

    columns: tuple[str, ...]
    read: Callable[[NDArray[np.float32]], NDArray[np.float64]]


def is_localizer(package: Package) -> bool:
    """Tell whether a package says that it gives coordinates."""
    return own_config(package.description).get("task") == LOCALIZATION


def read_frames(
    predictor: Predictor, frames: xr.DataArray, reading: Reading, progress: Progress = silent
) -> tuple[NDArray[np.float64], Outcome]:
    """Run a model on frames and give the rows of all of them.

    Parameters
    ----------
    predictor : Predictor
        The package.
    frames : DataArray, axes (t, y, x) or (t, c, y, x)
        The frames.
    reading : Reading
        How its output becomes rows.
    progress : Progress
        Told after every batch of tiles.

    Returns
    -------
    ndarray, axes (row, column), float64; Outcome
        The frame's number, counted from 1, then ``reading.columns``; and how the network ran.

    Raises
    ------
    ImageError
        The frames don't fit the model.
    VerdictError
        A whole tile of the output is NaN. Whatever else is wrong with it is in the outcome.
    """
    sinks: list[FrameSink] = []

    def sink(spec: OutputSpec) -> FrameSink:
        sinks.append(FrameSink(spec, reading))
        return sinks[-1]  # asked for anew where memory ran out and tiles get smaller

    images = {predictor.geometry.inputs[0].name: frames}
    outcome = predictor.run(images, sink, progress, takes_flawed=True)
    return sinks[-1].rows(), outcome


class FrameSink:
    """Takes a model's output tile by tile, and keeps of each whole frame its rows only.

    Parameters
    ----------
    spec : OutputSpec
        The output.
    reading : Reading
        How a frame becomes rows.
    """

    def __init__(self, spec: OutputSpec, reading: Reading) -> None:
        sizes = dict(zip(spec.dims, spec.shape, strict=True))
        self._dims = spec.dims
        self._shape = (sizes.get("c", 1), sizes["y"], sizes["x"])
        self._reading = reading
        self._frame = np.zeros(self._shape, np.float32)
        self._number = 1
        self._n_missing = self._frame.size
        self._rows: list[NDArray[np.float64]] = [np.zeros((0, 1 + len(reading.columns)))]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Take one tile, of one frame; frames come one after the other."""
        number = region["t"].start + 1 if "t" in self._dims else 1
        if number != self._number:
            self._number, self._n_missing = number, self._frame.size
        place = tuple(region.get(dim, slice(0, 1)) for dim in ("c", "y", "x"))
        block = self._frame[place]
        block[...] = pixels.reshape(block.shape)
        self._n_missing -= block.size
        if self._n_missing == 0:
            found = self._reading.read(self._frame)
            numbers = np.full((len(found), 1), float(self._number))
            self._rows.append(np.hstack([numbers, found]))

    def rows(self) -> NDArray[np.float64]:
        """Give the rows of all whole frames, each with its frame's number, counted from 1."""
        return np.concatenate(self._rows)
