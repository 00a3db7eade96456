"""Packages of networks that make an image of emitters."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bridge.images.preview import save_picture
from bridge.smlm.simulate import simulate_movie
from bridge.training.batches import Sources
from bridge.training.heatmap_figures import filament_movies, measure
from bridge.training.kind import About, Arrays, CardWords, Figures, Output
from bridge.training.movie_kind import (
    CAMERA_FAILURE,
    MODALITY,
    TAGS,
    MovieKind,
    frames_input,
    movies_of,
    tell_data,
)
from bridge.training.parts import HeatmapPart
from bridge.training.recipe import Recipe
from bridge.training.sources import MovieSources
from bridge.training.tasks.base import Scaling, TrainingTask
from bridge.training.tasks.heatmap import HeatmapTask

_EXAMPLE_FRAMES = 100


class HeatmapKind(MovieKind):
    """Networks whose output is an image of emitters on a finer grid."""

    task: ClassVar[type[TrainingTask]] = HeatmapTask

    def expected_shapes(self, recipe: Recipe, edge_px: int) -> tuple[tuple[int, ...], ...]:
        """Give one fine image."""
        fine_px = edge_px * _part(recipe).upscaling
        return ((1, fine_px, fine_px),)

    def measure(self, task: TrainingTask, sources: Sources) -> Figures:
        """Measure on filaments, on empty frames and on kept parts of movies."""
        assert isinstance(task, HeatmapTask)
        opened = movies_of(sources)
        return measure(task, conditions=opened.conditions, fields=opened.fields)

    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say that the output is a map of emitters."""
        part = _part(recipe)
        output = Output(
            "emitters",
            f"Emitters per fine pixel: the values of one add up to about {part.amount:g}.",
            ("emitters",),
            (0.0, None),
        )
        config = {"sum_per_emitter": part.amount, "combine_frames": "sum"}
        return About((frames_input(recipe),), (output,), MODALITY, TAGS, config)

    def card_words(self, recipe: Recipe, sources: Sources) -> CardWords:
        """Say how the image is to be read."""
        part = _part(recipe)
        size_nm = movies_of(sources).pixel_size_nm
        fine_nm = size_nm / part.upscaling
        return CardWords(
            "left: the sum of a movie's frames; right: the sum of the outputs",
            (
                f"Input: raw camera frames of {size_nm:g} nm pixels, each on its "
                "own; those of a movie go along the batch. Scaling and upscaling are inside.",
                f"Output: emitters per fine pixel of {fine_nm:g} nm; one adds up to about "
                f"{part.amount:g}. Sum over the frames for the super-resolved image.",
            ),
            (
                "Brightness is not a count where spots overlap.",
                "Each frame is on its own: no tracks, no third dimension.",
                "deepImageJ 3 reads the scale of an axis as a factor (JDLL issue 50), so it may "
                "expect another output size than this one has. Not tried.",
                CAMERA_FAILURE,
            ),
            tell_data(recipe, sources),
        )

    def example_movie(self, sources: MovieSources) -> NDArray[np.generic]:
        """Give the kept part of a movie, or simulated filaments."""
        if sources.fields:
            field = sources.fields[0]
            return field.read(0, min(field.n_frames, _EXAMPLE_FRAMES))
        assert sources.conditions is not None
        settings = list(filament_movies(sources.conditions).values())[-1]
        settings = settings.model_copy(
            update={"width_px": 96, "height_px": 96, "n_frames": _EXAMPLE_FRAMES}
        )
        return np.concatenate(list(simulate_movie(settings).blocks))

    def draw_cover(
        self, path: Path, task: TrainingTask, inputs: Arrays, outputs: list[NDArray[np.float32]]
    ) -> None:
        """Draw the summed frames beside the summed outputs."""
        frames = inputs[0]
        summed = frames[:, frames.shape[1] // 2].astype(np.float32).sum(axis=0)
        save_picture(
            path,
            [("Frames, summed", summed), ("Output, summed", outputs[0][:, 0].sum(axis=0))],
            colours="hot",
        )

    def thin_out(self, recipe: Recipe, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round to steps of 1/6400 emitter: nobody sees them, and the file is a tenth."""
        step = _part(recipe).amount / 6400
        rounded: NDArray[np.float32] = ((outputs / step).round() * step).astype(np.float32)
        return rounded

    def predict(self, task: TrainingTask, inputs: Arrays) -> list[NDArray[np.float32]]:
        """Give emitters, never below 0."""
        return [output.clip(min=0) for output in super().predict(task, inputs)]


def _part(recipe: Recipe) -> HeatmapPart:
    assert isinstance(recipe.task, HeatmapPart)
    return recipe.task
