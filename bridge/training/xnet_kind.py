"""Packages of X-Net, and of the whole chain: widefield image to dense STORM images.

X-Net's package has two inputs, the widefield image and UR-Net-8's image of it. The chain's has one
input and four outputs: both networks are one graph, which programs for one input run.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.errors import RecipeError
from bridge.quality.diagnosis_checks import BLACK_P99
from bridge.training.batches import Sources
from bridge.training.kind import About, Arrays, Input, Output, stretch
from bridge.training.recipe import Recipe
from bridge.training.storm_kind import WORDS, UrNetKind, tensor_name
from bridge.training.storm_sources import CHANNELS, open_storm_sources, percent_of
from bridge.training.tasks.base import Scaling, TrainingTask
from bridge.training.tasks.frozen import floor_of, load_frozen
from bridge.training.tasks.storm import ChainTask, XNetTask, start_ur_of

_CHAIN: Final = ("MU-SRM", "XM1", "XM2", "XM3")


class XNetKind(UrNetKind):
    """Networks that make dense STORM images of a widefield image and a mimic of a sparse one."""

    task: ClassVar[type[TrainingTask]] = XNetTask
    is_dense: ClassVar[bool] = True
    results: ClassVar[tuple[str, ...]] = ("XM1", "XM2", "XM3")

    def open_sources(self, recipe: Recipe, *, stride: int) -> Sources:
        """Open the images, stretched as UR-Net-8 was trained with."""
        task = recipe.task
        floor = floor_of(start_ur_of(task))  # type: ignore[arg-type]
        if recipe.storm.floor not in (None, floor):
            found = f"{recipe.storm.floor:g}, but UR-Net-8 was trained with {floor:g}"
            raise RecipeError("data.floor", found, "UR-Net-8's", "Leave it away.")
        data = recipe.storm.model_copy(update={"floor": floor})
        known = recipe.model_copy(update={"data": data})
        return open_storm_sources(known, stride=stride, is_dense=True)

    def probes(self, recipe: Recipe, edge_px: int) -> tuple[Tensor, ...]:
        """Give an empty widefield image and an empty mimic."""
        return (
            torch.zeros(1, 1, edge_px, edge_px),
            torch.zeros(1, CHANNELS, edge_px, edge_px),
        )

    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say that there are two images in."""
        mimic = Input(
            "mu_srm",
            "UR-Net-8's image of the same widefield image, cut to 0 .. 1; never a black one.",
            tuple(f"rendering_{number}" for number in range(1, CHANNELS + 1)),
            "float32",
            "none",
        )
        inputs = (self.widefield(recipe, scaling), mimic)
        about = self.describe(recipe, scaling, inputs, tuple(map(self.output, self.results)))
        return _not_black(about, mimic.name)

    def with_mimic(self, recipe: Recipe, images: NDArray[np.float32], scaling: Scaling) -> Arrays:
        """Give widefield images (t, 1, y, x), and what UR-Net-8 makes of each."""
        network = load_frozen(start_ur_of(recipe.task))  # type: ignore[arg-type]
        percent = percent_of(recipe)
        ready = np.stack([stretch(image, percent, scaling.floor) for image in images])
        with torch.inference_mode():
            mimic = network(torch.from_numpy(ready)).clamp(0, 1).numpy()
        return [images, mimic]

    def use(self) -> tuple[str, ...]:
        """Say what the second input is."""
        return (
            "The second input, mu_srm, is the output of UR-Net-8's package for the same image; "
            "the package of the whole chain needs the widefield image only. Look at it first: from "
            "a black one X-Net makes a bright image, and a wrong one.",
        )


class ChainKind(UrNetKind):
    """UR-Net-8 and X-Net as one network of one input."""

    task: ClassVar[type[TrainingTask]] = ChainTask
    is_dense: ClassVar[bool] = True
    results: ClassVar[tuple[str, ...]] = _CHAIN

    def expected_shapes(self, recipe: Recipe, edge_px: int) -> tuple[tuple[int, ...], ...]:
        """Give one image for each result."""
        return len(self.results) * ((1, edge_px, edge_px),)

    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say that the first image must not be black."""
        return _not_black(super().about(recipe, scaling), tensor_name(_CHAIN[0]))

    def output(self, name: str) -> Output:
        """Say what an image is."""
        text = f"{WORDS[name]} The mean of three renderings; 0 is dark."
        return Output(tensor_name(name), text, ("intensity",), (0.0, None))

    def use(self) -> tuple[str, ...]:
        """Say which of the images counts."""
        return (
            "Four outputs: MU-SRM, XM1, XM2 and XM3. XM3 is the result; where MU-SRM is black, "
            "XM3 is wrong, though it doesn't look so.",
        )


def _not_black(about: About, name: str) -> About:
    """Have the runtime refuse a black image of that name: X-Net's result wouldn't show it."""
    return replace(about, config={**about.config, "least_bright": {name: BLACK_P99}})
