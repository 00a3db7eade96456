"""A model of heatmaps: what its package says, how its output becomes rows, its threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import PackageError
from bridge.progress import Progress
from bridge.runtime.geometry import Geometry
from bridge.runtime.predict import Predictor
from bridge.smlm.columns import COLUMNS, REQUIRED
from bridge.smlm.frame_reading import Reading, read_frames
from bridge.smlm.localize import Threshold, frame_peaks, typical_height
from bridge.zoo.description import own_config
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
    config = own_config(package.description)
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


def _reading_names(package: Package) -> tuple[str, ...]:
    """Give the column of each channel of the output that is named like one."""
    axes = package.description.outputs[0].axes
    channels = next((axis for axis in axes if axis.type == "channel"), None)
    names = [str(name) for name in getattr(channels, "channel_names", [])]
    return tuple(
        name if name in COLUMNS and name not in (*REQUIRED, "id", "detections") else ""
        for name in names
    )


def heatmap_reading(
    heatmap: Heatmap,
    *,
    threshold: float,
    radius: int,
    pixel_size_nm: float,
    offset_px: tuple[int, int] = (0, 0),
) -> Reading:
    """Say how a heatmap becomes rows: its peaks, each with its centre of gravity.

    Parameters
    ----------
    heatmap : Heatmap
        What the package says.
    threshold : float
        Peaks are higher.
    radius : int
        Half width of a peak's window, in fine pixels, >= 1.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    offset_px : (int, int)
        x and y of the movie's corner in the whole field, in camera pixels.

    Returns
    -------
    Reading
    """
    fine_nm = pixel_size_nm / heatmap.upscaling
    channels = {name: i for i, name in enumerate(heatmap.readings) if name}
    corner_nm = [offset * pixel_size_nm for offset in offset_px]

    def read(frame: NDArray[np.float32]) -> NDArray[np.float64]:
        readings = {name: frame[i] for name, i in channels.items()}
        peaks = frame_peaks(frame[0], threshold=threshold, radius=radius, readings=readings)
        x_nm = peaks.centres[:, 1] * fine_nm + corner_nm[0]
        y_nm = peaks.centres[:, 0] * fine_nm + corner_nm[1]
        return np.column_stack([x_nm, y_nm, *(peaks.readings[name] for name in channels)])

    return Reading(("x_nm", "y_nm", *channels), read)


@dataclass(frozen=True)
class Settled:
    """A threshold as a value of the heatmap.

    Attributes
    ----------
    threshold : float
        Peaks above it count.
    typical : float or None
        Height of the typical peak; None where nothing had to be measured.
    """

    threshold: float
    typical: float | None


def settle_threshold(
    predictor: Predictor,
    movie: xr.DataArray,
    heatmap: Heatmap,
    wanted: Threshold,
    *,
    radius: int,
    progress: Progress,
) -> Settled:
    """Turn a threshold into a value of the heatmap, by frames from all over the movie.

    Parameters
    ----------
    predictor : Predictor
        The package.
    movie : DataArray, axes (t, y, x) or (t, c, y, x)
        The movie.
    heatmap : Heatmap
        What the package says.
    wanted : Threshold
        What was asked for.
    radius : int
        Half width of a peak's window, in fine pixels.
    progress : Progress
        Told after every batch of tiles.

    Returns
    -------
    Settled
    """
    if wanted.kind == "absolute":
        return Settled(wanted.value, None)

    def heights_of(frame: NDArray[np.float32]) -> NDArray[np.float64]:
        return frame_peaks(frame[0], threshold=0.0, radius=radius).heights[:, None].astype(float)

    def tell(done: int, total: int, note: str = "") -> None:
        progress(done, total, "settling the threshold")

    step = -(-movie.sizes["t"] // SAMPLE_FRAMES)
    sample = movie.isel(t=slice(0, None, step))
    rows, _ = read_frames(predictor, sample, Reading(("height",), heights_of), tell)
    heights = rows[:, 1].astype(np.float32)
    value = wanted.settle(heights, sum_per_emitter=heatmap.sum_per_emitter)
    return Settled(value, typical_height(heights))
