"""What is to be done with a movie, settled before its frames are read: one plan for both kinds.

A heatmap's plan, which is here, settles a threshold on some frames; a localizer's, in
:mod:`bridge.smlm.localizer_plan`, compares the movie with what the package was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import xarray as xr

from bridge.progress import Progress, silent
from bridge.runtime.predict import Predictor
from bridge.smlm.frame_reading import Reading, is_localizer
from bridge.smlm.heatmap_model import (
    Heatmap,
    heatmap_reading,
    read_heatmap,
    settle_threshold,
)
from bridge.smlm.localize import Threshold, choose_radius
from bridge.smlm.localize_blocks import Convert

if TYPE_CHECKING:
    from bridge.smlm.camera import Scaling
    from bridge.smlm.patches import PatchConditions

Settled = Mapping[str, float | None]
"""``threshold``, and ``typical`` where it was measured."""


@dataclass(frozen=True)
class Wanted:
    """What a user asks for.

    Attributes
    ----------
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    threshold : Threshold
        How high a peak, or how likely an emitter, must be.
    radius : int
        Half width of a peak's window, in fine pixels; 0: about 60 nm. Heatmaps only.
    camera : Scaling or None
        The movie's camera; None: the one that the package was trained for. Localizers only.
    offset_px : (int, int)
        x and y of the movie's corner in the whole field, in camera pixels.
    anyway : bool
        Go on where the movie contradicts what the package was trained on.
    """

    pixel_size_nm: float
    threshold: Threshold = field(default_factory=Threshold)
    radius: int = 0
    camera: Scaling | None = None
    offset_px: tuple[int, int] = (0, 0)
    anyway: bool = False


class Plan(Protocol):
    """How the frames of one movie become rows."""

    kind: Literal["heatmap", "localizer"]
    wanted: Wanted
    conditions: PatchConditions | None
    columns: tuple[str, ...]
    n_side: int
    convert: Convert | None
    warnings: list[str]
    facts: dict[str, Any]

    def settle(self, predictor: Predictor, movie: xr.DataArray, progress: Progress) -> Settled:
        """Find out what has to be known before the first frame."""

    def reading(self, settled: Settled) -> Reading:
        """Say how a frame of the output becomes rows."""

    def describe(self, settled: Settled) -> str:
        """Say how rows were found, for the history."""

    def figures(self) -> dict[str, Any]:
        """Give what a report says of the model."""


@dataclass
class HeatmapPlan:
    """The plan for a model of heatmaps."""

    wanted: Wanted
    heatmap: Heatmap
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    n_side: int = 0
    convert: Convert | None = None
    kind: Literal["heatmap", "localizer"] = "heatmap"
    conditions: PatchConditions | None = None

    def __post_init__(self) -> None:
        fine_nm = self.wanted.pixel_size_nm / self.heatmap.upscaling
        self.radius = self.wanted.radius or choose_radius(fine_nm)
        self.columns = self.reading({"threshold": 0.0}).columns
        self.warnings += self.heatmap.notes
        if self.wanted.camera is not None:
            self.warnings.append(
                "This model of heatmaps doesn't say which camera it was trained for, so the "
                "camera's offset and gain were not used."
            )
        if self.wanted.threshold.kind == "auto" and self.heatmap.sum_per_emitter is None:
            self.warnings.append(
                "The package doesn't say what an emitter adds up to "
                "(config.zoobridge.sum_per_emitter), so in a movie without emitters noise would be "
                "listed."
            )

    def settle(self, predictor: Predictor, movie: xr.DataArray, progress: Progress) -> Settled:
        """Settle the threshold by some frames."""
        settled = settle_threshold(
            predictor,
            movie,
            self.heatmap,
            self.wanted.threshold,
            radius=self.radius,
            progress=progress,
        )
        return asdict(settled)

    def reading(self, settled: Settled) -> Reading:
        """List the peaks."""
        return heatmap_reading(
            self.heatmap,
            threshold=settled["threshold"] or 0.0,
            radius=self.radius,
            pixel_size_nm=self.wanted.pixel_size_nm,
            offset_px=self.wanted.offset_px,
        )

    def describe(self, settled: Settled) -> str:
        """Give the threshold and the window."""
        fine_nm = self.wanted.pixel_size_nm / self.heatmap.upscaling
        return (
            f"peaks of its output above {settled['threshold']:.4g}, centre of gravity within "
            f"{self.radius} pixels of {fine_nm:g} nm"
        )

    def figures(self) -> dict[str, Any]:
        """Give the heatmap's grid."""
        return {"upscaling": self.heatmap.upscaling, "radius_px": self.radius}


def check_model(predictor: Predictor) -> None:
    """Refuse a model that gives neither heatmaps nor coordinates.

    Raises
    ------
    PackageError
        It says what the model gives instead.
    """
    if is_localizer(predictor.package):
        from bridge.smlm.localizer_model import read_localizer  # noqa: PLC0415 - see plan_movie

        read_localizer(predictor.package, predictor.geometry)
    else:
        read_heatmap(predictor.package, predictor.geometry)


def trained_camera(predictor: Predictor) -> Scaling | None:
    """Give offset and gain of the camera that a localizer was trained for, where it says them."""
    if not is_localizer(predictor.package):
        return None
    from bridge.smlm.localizer_model import read_localizer  # noqa: PLC0415 - see plan_movie

    conditions = read_localizer(predictor.package, predictor.geometry).conditions
    return None if conditions is None else conditions.camera.scaling()


def plan_movie(
    predictor: Predictor, movie: xr.DataArray, wanted: Wanted, progress: Progress = silent
) -> Plan:
    """Check that a package and a movie go together, and say what is to be done.

    Parameters
    ----------
    predictor : Predictor
        The package.
    movie : DataArray, axes (t, y, x) or (t, c, y, x)
        From :func:`bridge.smlm.movie_blocks.take_frames`.
    wanted : Wanted
        What the user asks for.
    progress : Progress
        Told while a localizer's movie is measured.

    Returns
    -------
    Plan

    Raises
    ------
    PackageError
        The model gives neither heatmaps nor coordinates.
    ImageError
        The movie isn't one that the model can know.
    InputError
        The threshold isn't one of this model.
    """
    package = predictor.package
    if not is_localizer(package):
        return HeatmapPlan(wanted, read_heatmap(package, predictor.geometry))
    # It needs torch, which takes a second to load; heatmaps do without.
    from bridge.smlm.localizer_plan import plan_localizer  # noqa: PLC0415

    return plan_localizer(predictor, movie, wanted, progress)
