"""A heatmap model run on a movie, frame by frame, for a table of localizations.

Only the frame under way and the localizations found are in memory, never all heatmaps::

    movie --tiles--> network --tiles--> one frame, whole --> peaks --> rows
          (some frames first, for the threshold)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError, PackageError
from bridge.progress import Progress, silent
from bridge.runtime.geometry import Geometry
from bridge.runtime.predict import Outcome, OutputSpec, Predictor
from bridge.smlm.columns import COLUMNS, REQUIRED
from bridge.smlm.localize import (
    FramePeaks,
    Threshold,
    choose_radius,
    frame_peaks,
    make_table,
    typical_height,
)
from bridge.zoo.package import Package

SAMPLE_FRAMES: Final = 32
"""Frames that settle a threshold; all of a shorter movie."""

_TAGS: Final = frozenset(
    {"smlm", "single-molecule-localization-microscopy", "storm", "palm", "deep-storm"}
)


@dataclass(frozen=True)
class Heatmap:
    """What a package says of its output.

    Attributes
    ----------
    upscaling : int
        Fine pixels along the edge of a camera pixel.
    sum_per_emitter : float or None
        What one emitter's pixels add up to.
    readings : tuple of str
        Columns that further channels of the output give, by the channel's place; "" for one that
        no column is named like.
    notes : tuple of str
        What is doubtful.
    """

    upscaling: int
    sum_per_emitter: float | None
    readings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Localized:
    """What came of a movie.

    Attributes
    ----------
    table : DataFrame
        Localizations, with ``attrs`` as :func:`bridge.smlm.table.read_table` gives them.
    threshold : float
        The value of the heatmap that peaks had to exceed.
    typical : float or None
        The typical peak's height; None where it was not asked for.
    n_frames : int
        Frames of the movie.
    radius : int
        Half width of the window, in fine pixels.
    heatmap : Heatmap
        What the package says.
    outcome : Outcome
        How the network ran.
    warnings : list of str
        What to look at.
    """

    table: pd.DataFrame
    threshold: float
    typical: float | None
    n_frames: int
    radius: int
    heatmap: Heatmap
    outcome: Outcome
    warnings: list[str] = field(default_factory=list)


def read_heatmap(package: Package, geometry: Geometry) -> Heatmap:
    """Check that a package turns a camera frame into a map of emitters.

    Parameters
    ----------
    package : Package
        An opened package.
    geometry : Geometry
        Its tensors.

    Returns
    -------
    Heatmap

    Raises
    ------
    PackageError
        It doesn't; the message says why.
    """

    def refuse(found: str, expected: str) -> PackageError:
        return PackageError(
            package.name,
            f"it gives no heatmap of emitters: {found}",
            expected,
            "For images, use 'zoobridge predict'.",
        )

    if len(geometry.inputs) > 1 or len(geometry.outputs) > 1:
        found = f"{len(geometry.inputs)} inputs and {len(geometry.outputs)} outputs"
        raise refuse(found, "one of each")
    source, target = geometry.inputs[0], geometry.outputs[0]
    if set(source.tiled) != {"y", "x"} or set(target.tiled) != {"y", "x"}:
        axes = f"the axes {' '.join(source.dims)} become {' '.join(target.dims)}"
        raise refuse(axes, "frames (y x) in, and maps (y x) out")
    ratios = {target.affines[dim].ratio for dim in ("y", "x")}
    offsets = {target.affines[dim].offset for dim in ("y", "x")}
    config = _config(package)
    ratio = ratios.pop()
    if ratios or offsets != {0} or ratio.denominator != 1 or ratio < 1:
        raise refuse("its grid doesn't divide camera pixels evenly", "a whole upscaling")
    if ratio == 1 and not {"upscaling", "sum_per_emitter"} & set(config):
        found = "its output has the pixels of its input, and no upscaling is declared"
        raise refuse(found, "an output on a finer grid, or config.zoobridge.upscaling")
    total = config.get("sum_per_emitter")
    notes = []
    if not config and not _TAGS & {str(tag).lower() for tag in package.description.tags}:
        notes.append(
            "Nothing in the package says that its output is a map of emitters; any bright spot of "
            "it is taken for one."
        )
    return Heatmap(
        upscaling=int(ratio),
        sum_per_emitter=float(total) if isinstance(total, int | float) and total > 0 else None,
        readings=_reading_names(package),
        notes=tuple(notes),
    )


def _config(package: Package) -> dict[str, Any]:
    found = package.description.config.model_dump().get("zoobridge")
    return found if isinstance(found, dict) else {}


def _reading_names(package: Package) -> tuple[str, ...]:
    """Give the column of each channel of the output that is named like one."""
    axes = package.description.outputs[0].axes
    channels = next((axis for axis in axes if axis.type == "channel"), None)
    names = [str(name) for name in getattr(channels, "channel_names", [])]
    return tuple(
        name if name in COLUMNS and name not in (*REQUIRED, "id", "detections") else ""
        for name in names
    )


def localize_movie(
    predictor: Predictor,
    movie: xr.DataArray,
    *,
    pixel_size_nm: float,
    threshold: Threshold | None = None,
    radius: int = 0,
    progress: Progress = silent,
) -> Localized:
    """Run a heatmap model on a movie and list the emitters of every frame.

    Parameters
    ----------
    predictor : Predictor
        The package, ready to run.
    movie : DataArray, axes (t, y, x) or (y, x), or with the model's channels
        Camera frames; a lazy one is read window by window.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    threshold : Threshold, optional
        How high a peak must be; by default automatic.
    radius : int
        Half width of a peak's window, in fine pixels; 0: about 60 nm, 1 to 5.
    progress : Progress
        Told after every batch of tiles.

    Returns
    -------
    Localized

    Raises
    ------
    PackageError
        The model gives no heatmap.
    ImageError
        The movie doesn't fit the model, or has both slices and frames.
    VerdictError
        The model's output is black, constant, NaN or saturated.
    """
    heatmap = read_heatmap(predictor.package, predictor.geometry)
    movie, notes = _take_frames(movie)
    fine_pixel_nm = pixel_size_nm / heatmap.upscaling
    radius = radius or choose_radius(fine_pixel_nm)
    wanted = threshold or Threshold()
    n_frames = movie.sizes.get("t", 1)
    typical, value = None, wanted.value
    found: _Found | None = None
    if wanted.kind != "absolute":
        step = -(-n_frames // SAMPLE_FRAMES)
        sample = movie.isel(t=slice(0, None, step)) if step > 1 else movie
        found = _run(
            predictor, sample, heatmap, 0.0, radius, _renamed(progress, "settling the threshold")
        )
        heights = np.concatenate([peaks.heights for peaks in found.frames.values()])
        typical = typical_height(heights)
        value = wanted.settle(heights, sum_per_emitter=heatmap.sum_per_emitter)
        found = found if step == 1 else None
    if found is None:
        found = _run(predictor, movie, heatmap, value, radius, progress)
    frames = {number: peaks.above(value) for number, peaks in sorted(found.frames.items())}
    names = [name for name in heatmap.readings if name]
    table = make_table(frames, fine_pixel_nm=fine_pixel_nm, reading_names=names)
    warnings = [*notes, *heatmap.notes, *found.outcome.warnings]
    if wanted.kind == "auto" and heatmap.sum_per_emitter is None:
        warnings.append(
            "The package doesn't say what an emitter adds up to (config.zoobridge.sum_per_emitter),"
            " so in a movie without emitters noise would be listed."
        )
    if not len(table):
        warnings.append("No emitter was found.")
    source = str(movie.attrs.get("source") or "a movie")
    history = [
        f"Localized in {n_frames} frames of {Path(source).name} with the model "
        f"{predictor.package.name}: peaks of its output above {value:.4g}, centre of gravity "
        f"within {radius} pixels of {fine_pixel_nm:g} nm."
    ]
    table.attrs.update(
        pixel_size_nm=pixel_size_nm, source=source, history=history, warnings=warnings
    )
    return Localized(table, value, typical, n_frames, radius, heatmap, found.outcome, warnings)


@dataclass(frozen=True)
class _Found:
    frames: Mapping[int, FramePeaks]
    outcome: Outcome


def _run(
    predictor: Predictor,
    movie: xr.DataArray,
    heatmap: Heatmap,
    threshold: float,
    radius: int,
    progress: Progress,
) -> _Found:
    sinks: list[PeakSink] = []

    def sink(spec: OutputSpec) -> PeakSink:
        sinks.append(PeakSink(spec, heatmap.readings, threshold=threshold, radius=radius))
        return sinks[-1]  # asked for anew where memory ran out and tiles get smaller

    name = predictor.geometry.inputs[0].name
    outcome = predictor.run({name: movie}, sink, progress)
    return _Found(sinks[-1].frames, outcome)


class PeakSink:
    """Takes a model's output tile by tile, and keeps of each whole frame its peaks only.

    Parameters
    ----------
    spec : OutputSpec
        The output; of several channels the first is the heatmap.
    readings : sequence of str
        The column that each channel gives besides, or "".
    threshold : float
        Peaks are higher.
    radius : int
        Half width of a peak's window, in fine pixels, >= 1.
    """

    def __init__(
        self, spec: OutputSpec, readings: tuple[str, ...], *, threshold: float, radius: int
    ) -> None:
        sizes = dict(zip(spec.dims, spec.shape, strict=True))
        self.frames: dict[int, FramePeaks] = {}
        self._dims = spec.dims
        self._shape = (sizes.get("c", 1), sizes["y"], sizes["x"])
        self._readings = readings
        self._threshold = threshold
        self._radius = radius
        self._frame = np.zeros(self._shape, np.float32)
        self._number = 1
        self._n_missing = self._frame.size

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
            self._finish()

    def _finish(self) -> None:
        readings = {
            name: self._frame[channel] for channel, name in enumerate(self._readings) if name
        }
        self.frames[self._number] = frame_peaks(
            self._frame[0], threshold=self._threshold, radius=self._radius, readings=readings
        )


def _take_frames(movie: xr.DataArray) -> tuple[xr.DataArray, list[str]]:
    """Give the movie with its frames along t; slices are frames to a model of single frames."""
    if "z" not in movie.dims:
        return movie, []
    if "t" in movie.dims:
        raise ImageError(
            str(movie.attrs.get("source") or "the movie"),
            f"{movie.sizes['t']} frames (t) of {movie.sizes['z']} slices (z)",
            "frames of one plane",
            "Save the planes as separate movies.",
        )
    note = f"The file calls its {movie.sizes['z']} planes slices (z); they are taken as frames."
    frames = movie.rename(z="t")
    frames.attrs["notes"] = [n for n in movie.attrs.get("notes", []) if "slices (z)" not in n]
    return frames, [note]


def _renamed(progress: Progress, name: str) -> Progress:
    """Give the same progress under another note."""

    def tell(done: int, total: int, note: str = "") -> None:
        progress(done, total, name)

    return tell
