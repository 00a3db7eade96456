"""Packages of networks that list emitters with their uncertainties."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from bridge.images.preview import save_picture
from bridge.smlm.blinking import Lifetimes, LogNormalPhotons
from bridge.smlm.density_sweep import Bench
from bridge.smlm.patches import PatchConditions
from bridge.smlm.render import render_gaussian
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.structures import Filaments
from bridge.training.batches import Sources, tell_pixels
from bridge.training.kind import About, Arrays, CardWords, Figures, Output
from bridge.training.localization_figures import measure
from bridge.training.movie_kind import (
    CAMERA_FAILURE,
    MODALITY,
    TAGS,
    MovieKind,
    frames_input,
    movies_of,
    tell_data,
)
from bridge.training.recipe import Recipe
from bridge.training.sources import MovieSources
from bridge.training.tasks.base import Scaling, TrainingTask
from bridge.training.tasks.localization import LocalizationTask, outputs_of

_EXAMPLE_FRAMES: Final = 300
_EXAMPLE_EDGE_PX: Final = 96
_EXAMPLE_DENSITY_PER_UM2: Final = 1.0
_MAGNIFICATION: Final = 8
_LEAST_SIGMA_NM: Final = 10.0


class LocalizationKind(MovieKind):
    """Networks whose output says for each camera pixel whether an emitter is in it, and where."""

    task: ClassVar[type[TrainingTask]] = LocalizationTask

    def expected_shapes(self, recipe: Recipe, edge_px: int) -> tuple[tuple[int, ...], ...]:
        """Give one plane for each thing that is said of an emitter."""
        return ((len(outputs_of(_conditions(recipe))), edge_px, edge_px),)

    def measure(self, task: TrainingTask, sources: Sources) -> Figures:
        """Measure from sparse to dense, beside a classical fit."""
        assert isinstance(task, LocalizationTask)
        conditions = movies_of(sources).conditions
        assert conditions is not None
        return measure(task, conditions)

    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say what the output's channels are."""
        conditions = _conditions(recipe)
        names = outputs_of(conditions)
        output = Output(
            "localizations",
            "For each camera pixel: whether an emitter is in it, its place from the pixel's "
            "middle, its photons, and their sigmas.",
            names,
        )
        config = {"frames": conditions.frames, "outputs": list(names)}
        return About((frames_input(recipe),), (output,), MODALITY, TAGS, config)

    def card_words(self, recipe: Recipe, sources: Sources) -> CardWords:
        """Say how a list is made of the output, and what it can't do."""
        n_frames = _conditions(recipe).frames
        which = (
            "each on its own"
            if n_frames == 1
            else f"{n_frames} in a row for each, of which the middle one is localized"
        )
        return CardWords(
            "left: the sum of a movie's frames; right: its localizations, each as wide as its "
            "uncertainty",
            (
                "`zoobridge localize` makes a table of a movie, which ThunderSTORM opens.",
                f"Input: raw camera frames of {tell_pixels(sources)}, {which}. The "
                "camera's offset and gain are those below; `zoobridge localize` converts others.",
                "Output: " + ", ".join(outputs_of(_conditions(recipe))) + ". An emitter is where "
                "the probability is the highest of 3 x 3 pixels and above 0.1, and adds up to "
                "more than 0.5 with that of the four next ones.",
            ),
            (
                "Background, width of the spots or photons beyond the ranges above: it finds "
                "nothing, or hundreds. `zoobridge localize` measures a movie first and refuses.",
                "Emitters nearer to each other than half a spot's width become one.",
                "No drift correction and no linking: `zoobridge drift`, `zoobridge link`.",
                CAMERA_FAILURE,
            ),
            tell_data(recipe, sources),
        )

    def example_movie(self, sources: MovieSources) -> NDArray[np.generic]:
        """Give simulated filaments that blink, in the middle of the trained ranges."""
        assert sources.conditions is not None
        bench = Bench.within(sources.conditions)
        highest = sources.conditions.density_per_um2[1]
        settings = Simulation(
            width_px=_EXAMPLE_EDGE_PX,
            height_px=_EXAMPLE_EDGE_PX,
            n_frames=_EXAMPLE_FRAMES,
            density_per_um2=min(_EXAMPLE_DENSITY_PER_UM2, highest / 2),
            photons=LogNormalPhotons(median=bench.photons, spread=0.3),
            background_photons=bench.background_photons,
            psf=bench.psf,
            camera=bench.camera,
            structure=Filaments(),
            blinking=Lifetimes(on_frames=2.0),
            seed=3,
        )
        return np.concatenate(list(simulate_movie(settings).blocks))

    def draw_cover(
        self, path: Path, task: TrainingTask, inputs: Arrays, outputs: list[NDArray[np.float32]]
    ) -> None:
        """Draw the summed frames beside the localizations."""
        assert isinstance(task, LocalizationTask)
        frames = inputs[0][:, inputs[0].shape[1] // 2]
        found = task.list_emitters(torch.from_numpy(outputs[0]))
        drawn = draw_localizations(found, shape=frames.shape[1:], pixel_size_nm=task.pixel_size_nm)
        top = float(np.percentile(drawn[drawn > 0], 98)) if drawn.any() else 1.0
        save_picture(
            path,
            [
                ("Frames, summed", frames.astype(np.float32).sum(axis=0)),
                (f"{len(found)} localizations", drawn),
            ],
            ranges=[None, (0.0, top)],
            colours="hot",
        )

    def thin_out(self, recipe: Recipe, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round to three digits: the file is half."""
        return outputs.astype(np.float16).astype(np.float32)


def draw_localizations(
    found: pd.DataFrame, *, shape: tuple[int, ...], pixel_size_nm: float
) -> NDArray[np.float32]:
    """Draw localizations as spots as wide as their uncertainty, at 8 times the camera's pixels."""
    wide = found.assign(uncertainty_xy_nm=found["uncertainty_xy_nm"].clip(lower=_LEAST_SIGMA_NM))
    drawn: NDArray[np.float32] = render_gaussian(
        wide,
        pixel_size_nm=pixel_size_nm / _MAGNIFICATION,
        shape=(shape[0] * _MAGNIFICATION, shape[1] * _MAGNIFICATION),
    ).values
    return drawn


def _conditions(recipe: Recipe) -> PatchConditions:
    assert recipe.conditions is not None
    return recipe.conditions
