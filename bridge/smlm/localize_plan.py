"""What is to be done with a movie, settled before its frames are read: one plan for both kinds.

A heatmap's plan settles a threshold on some frames; a localizer's compares the movie with what the
package was trained on, and refuses what it can't know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.progress import Progress
from bridge.runtime.predict import Predictor
from bridge.smlm.camera import Camera, Emccd, Scaling
from bridge.smlm.frame_reading import Reading
from bridge.smlm.heatmap_model import Heatmap, heatmap_reading, settle_threshold
from bridge.smlm.localize import Threshold, choose_radius
from bridge.smlm.localize_blocks import Convert
from bridge.smlm.localizer_model import (
    LEAST_SUM,
    LocalizerModel,
    emitter_reading,
    least_sum,
    match_counts,
)

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

    wanted: Wanted
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


@dataclass
class LocalizerPlan:
    """The plan for a model that gives coordinates."""

    wanted: Wanted
    model: LocalizerModel
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.n_side = self.model.n_side
        self.columns = self.reading({"threshold": LEAST_SUM}).columns
        self.convert = self._conversion()
        self.warnings += self.model.notes

    def settle(self, predictor: Predictor, movie: xr.DataArray, progress: Progress) -> Settled:
        """Give the probability that was asked for."""
        return {"threshold": least_sum(self.wanted.threshold), "typical": None}

    def reading(self, settled: Settled) -> Reading:
        """List the emitters."""
        return emitter_reading(
            self.model,
            threshold=settled["threshold"] or LEAST_SUM,
            pixel_size_nm=self.wanted.pixel_size_nm,
            offset_px=self.wanted.offset_px,
        )

    def describe(self, settled: Settled) -> str:
        """Give the threshold and what was done to the counts."""
        sentence = f"emitters more likely than {settled['threshold']:.4g}"
        if self.convert is not None and self.wanted.camera is not None:
            offset, gain = self.wanted.camera
            trained = self._trained_for()
            sentence += (
                f"; counts of the movie's camera (offset {offset:g}, {gain:g} photons per count) "
                f"turned into those of the model's (offset {trained.offset_adu:g}, "
                f"{trained.photons_per_adu:g} photons per count)"
            )
        return sentence

    def figures(self) -> dict[str, Any]:
        """Give the frames of context."""
        return {"upscaling": 1, "context_frames": self.model.frames}

    def camera(self) -> Camera | None:
        """Give the movie's camera: the model's, with offset and gain as asked for."""
        conditions = self.model.conditions
        if conditions is None:
            return None
        own: dict[str, float] = {"pixel_size_nm": self.wanted.pixel_size_nm}
        if self.convert is not None and self.wanted.camera is not None:
            offset_adu, photons_per_adu = self.wanted.camera
            camera = conditions.camera
            gain = camera.em_gain if isinstance(camera, Emccd) else 1.0
            electrons = photons_per_adu * camera.quantum_efficiency * gain
            dark_adu = camera.spurious_charge_e * gain / electrons
            own |= {"offset_adu": offset_adu - dark_adu, "electrons_per_adu": electrons}
        return conditions.camera.model_copy(update=own)

    def _trained_for(self) -> Scaling:
        assert self.model.conditions is not None
        return self.model.conditions.camera.scaling()

    def _conversion(self) -> Convert | None:
        camera = self.wanted.camera
        if camera is None or self.model.conditions is None:
            return None
        trained = self._trained_for()
        if np.allclose(camera, trained, rtol=1e-6):
            return None

        def convert(counts: NDArray[Any]) -> NDArray[np.float32]:
            return match_counts(counts, camera, trained)

        return convert
