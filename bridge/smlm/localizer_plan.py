"""The plan for a model that gives coordinates, and whether a movie is one that it can know.

A localizer outside what it was trained on fails without a sign: no emitters, or hundreds that
aren't there. So the movie is measured first, and one that the model can't know is refused with the
figures, unless the user wants it anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.progress import Progress
from bridge.runtime.predict import Predictor
from bridge.smlm.camera import Camera, Emccd, Scaling
from bridge.smlm.contradictions import find_contradictions
from bridge.smlm.frame_reading import Reading
from bridge.smlm.localize_blocks import Convert
from bridge.smlm.localize_plan import Settled, Wanted
from bridge.smlm.localizer_model import (
    LEAST_SUM,
    LocalizerModel,
    emitter_reading,
    least_sum,
    match_counts,
    read_localizer,
)
from bridge.smlm.measure import measure_movie
from bridge.smlm.patches import PatchConditions

_PIXEL_TOLERANCE: Final = 0.02


@dataclass
class LocalizerPlan:
    """The plan for a model that gives coordinates."""

    wanted: Wanted
    model: LocalizerModel
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    kind: Literal["heatmap", "localizer"] = "localizer"

    def __post_init__(self) -> None:
        self.conditions: PatchConditions | None = self.model.conditions
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


def plan_localizer(
    predictor: Predictor, movie: xr.DataArray, wanted: Wanted, progress: Progress
) -> LocalizerPlan:
    """Check that a localizer and a movie go together; see :func:`.localize_plan.plan_movie`."""
    plan = LocalizerPlan(wanted, read_localizer(predictor.package, predictor.geometry))
    least_sum(wanted.threshold)
    _check_form(plan, movie)
    _check_pixel_size(plan, movie)
    _check_range(plan, movie, progress)
    return plan


def _check_form(plan: LocalizerPlan, movie: xr.DataArray) -> None:
    what = str(movie.attrs.get("source") or "the movie")
    n_channels = movie.sizes.get("c", 1)
    if n_channels > 1:
        rgb = " (an RGB image?)" if n_channels in (3, 4) else ""
        raise ImageError(
            what,
            f"{n_channels} channels{rgb}",
            "frames of one channel",
            "Choose one with --channel 1, --channel 2 ...; if that axis is not colour, say what "
            "the axes are with --axes.",
        )
    if movie.dtype.kind not in "buif":
        raise ImageError(what, f"values of type {movie.dtype}", "numbers")
    if plan.n_side and movie.sizes["t"] == 1:
        plan.warnings.append(
            f"The movie has one frame, and the model looks at {plan.model.frames} in a row: the "
            "frame stands for its neighbours, so what blinking tells is missing."
        )
    if plan.wanted.radius:
        plan.warnings.append("radius_px is for models of heatmaps; this one gives coordinates.")
    if plan.wanted.camera is not None and plan.model.conditions is None:
        plan.warnings.append(
            "The package doesn't say which camera it was trained for, so the camera's offset and "
            "gain were not used."
        )


def _check_pixel_size(plan: LocalizerPlan, movie: xr.DataArray) -> None:
    given, trained = plan.wanted.pixel_size_nm, plan.model.pixel_size_nm
    if abs(given / trained - 1) <= _PIXEL_TOLERANCE:
        return
    found = f"its pixels are {given:g} nm, and the model was trained for {trained:g} nm"
    if not plan.wanted.anyway:
        raise ImageError(
            str(movie.attrs.get("source") or "the movie"),
            f"{found}: its spots are {trained / given:.3g} times as wide in pixels",
            f"{trained * (1 - _PIXEL_TOLERANCE):.4g} to {trained * (1 + _PIXEL_TOLERANCE):.4g} nm",
            "Take a model for these pixels, or train one; --anyway goes on.",
        )
    plan.warnings.append(f"Gone on anyway: {found}.")


def _check_range(plan: LocalizerPlan, movie: xr.DataArray, progress: Progress) -> None:
    """Measure the movie, and compare it with what the model was trained on."""
    conditions, camera = plan.model.conditions, plan.camera()
    if conditions is None or camera is None:
        return
    plane = movie.squeeze("c", drop=True) if "c" in movie.dims else movie
    facts = measure_movie(plane, camera=camera, progress=progress)
    plan.facts = facts.as_dict()
    found = find_contradictions(facts, conditions)
    serious = [c.sentence for c in found if c.is_serious]
    if serious and not plan.wanted.anyway:
        raise ImageError(
            str(movie.attrs.get("source") or "the movie"),
            " ".join(serious),
            f"a movie like those that {plan.model.name} was trained on",
            "Check the camera (--camera-offset-adu, --photons-per-adu), take a model for such "
            "movies, or train one; --anyway goes on.",
        )
    plan.warnings += [c.sentence for c in found]
