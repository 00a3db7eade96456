"""Packages of UR-Net-8: a widefield image in, a mimic of a sparse STORM image out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.images.preview import save_picture
from bridge.training.batches import Sources, tell_pixels
from bridge.training.kind import (
    BLEND_PX,
    About,
    Arrays,
    CardWords,
    Figures,
    Input,
    Kind,
    Output,
)
from bridge.training.networks import build_network, is_local, stride_of
from bridge.training.recipe import Recipe
from bridge.training.storm_figures import measure
from bridge.training.storm_sources import (
    CHANNELS,
    StormSources,
    open_storm_sources,
    percent_of,
)
from bridge.training.tasks.base import Scaling, TrainingTask
from bridge.training.tasks.storm import UrNetTask

TAGS: Final = (
    "super-resolution",
    "storm",
    "single-molecule-localization-microscopy",
    "widefield",
    "2d",
    "pytorch",
)
"""Tags of every such package."""


class UrNetKind(Kind):
    """Networks that mimic a sparse STORM image."""

    task: ClassVar[type[TrainingTask]] = UrNetTask
    is_dense: ClassVar[bool] = False
    """Whether targets are dense renderings."""
    results: ClassVar[tuple[str, ...]] = ("MU-SRM",)
    """What the network's images are called; the last one counts."""

    def open_sources(self, recipe: Recipe, *, stride: int) -> Sources:
        """Open a folder of widefield and STORM images, or simulate them."""
        return open_storm_sources(recipe, stride=stride, is_dense=self.is_dense)

    def measure_scaling(self, recipe: Recipe, sources: Sources) -> Scaling:
        """Take the floor; each image is stretched by its own percentiles."""
        return Scaling(0.0, 1.0, floor=storm_of(sources).floor)

    def probes(self, recipe: Recipe, edge_px: int) -> tuple[Tensor, ...]:
        """Give an empty patch."""
        return (torch.zeros(1, 1, edge_px, edge_px),)

    def expected_shapes(self, recipe: Recipe, edge_px: int) -> tuple[tuple[int, ...], ...]:
        """Give three renderings for each result."""
        return len(self.results) * ((CHANNELS, edge_px, edge_px),)

    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say that there are renderings out."""
        outputs = tuple(self.output(name) for name in self.results)
        return self.describe(recipe, scaling, (self.widefield(recipe, scaling),), outputs)

    def describe(
        self,
        recipe: Recipe,
        scaling: Scaling,
        inputs: tuple[Input, ...],
        outputs: tuple[Output, ...],
    ) -> About:
        """Put together what is said of the tensors."""
        percent = percent_of(recipe)
        stretched = {inputs[0].name: scaling.floor}
        config = {"least_range": stretched, "stretch_percentiles": list(percent)}
        modality = "fluorescence microscopy"
        return About(
            inputs,
            outputs,
            modality,
            TAGS,
            config,
            is_local=is_local(build_network(recipe.network)),
        )

    def widefield(self, recipe: Recipe, scaling: Scaling) -> Input:
        """Say what the widefield image is, and how it is scaled."""
        return Input(
            "widefield",
            "The widefield image, on the pixels of the STORM image that is wanted.",
            ("intensity",),
            "float32",
            "stretch",
            percent_of(recipe),
            floor=scaling.floor,
        )

    def output(self, name: str) -> Output:
        """Say what an image is."""
        text = (
            f"{WORDS[name]} Three random renderings of one structure: take their mean. 0 is dark."
        )
        channels = tuple(f"rendering_{number}" for number in range(1, CHANNELS + 1))
        return Output(tensor_name(name), text, channels, (0.0, None))

    def measure(self, task: TrainingTask, sources: Sources) -> Figures:
        """Measure on fields that were kept."""

        def restore(image: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
            given = self.with_mimic(task.recipe, image[None, None], task.scaling)
            found = self.predict(task, given)
            return {
                name: one[0].mean(axis=0) for name, one in zip(self.results, found, strict=True)
            }

        return measure(storm_of(sources).test, restore)

    def with_mimic(self, recipe: Recipe, images: NDArray[np.float32], scaling: Scaling) -> Arrays:
        """Give the inputs that belong to widefield images (t, 1, y, x)."""
        return [images]

    def card_words(self, recipe: Recipe, sources: Sources) -> CardWords:
        """Say how the images are to be read."""
        opened = storm_of(sources)
        low, high = percent_of(recipe)
        tiles = "Tiles give the values of the whole image."
        if not is_local(build_network(recipe.network)):
            tiles = (
                "Its norms take statistics of the whole image: run images whole where memory "
                "allows, else in tiles of 416 pixels or more, which are blended."
            )
        return CardWords(
            f"from left to right: widefield, {', '.join(self.results)}",
            (
                f"Input: a widefield image that was enlarged to {tell_pixels(opened)} "
                f"first. Each whole image is stretched by its percentiles {low:g} and {high:g}, "
                f"never tile by tile. zoobridge takes their difference for {opened.floor:g} at "
                "least, so that an empty image stays dark; other programs stretch its noise.",
                "Output: on the same pixels, 0 to about 1. Most of a right answer is black: look "
                "at it with its contrast stretched.",
                tiles,
                *self.use(),
            ),
            (
                "It can invent structure: compare the output, blurred, with the widefield image.",
                "Where filaments cross densely they are smeared into one.",
                "Structures other than those it was trained on.",
                "A black or wrong output: `zoobridge explain IMAGE --model PACKAGE` says why.",
            ),
            "\n\n".join(opened.notes),
        )

    def use(self) -> tuple[str, ...]:
        """Say what else is to be known of inputs and outputs."""
        return ()

    def trained_on(self, recipe: Recipe, sources: Sources) -> dict[str, Any]:
        """Name the conditions, or the fields."""
        return dict(storm_of(sources).trained_on)

    def examples(self, recipe: Recipe, sources: Sources, least_px: int) -> Arrays:
        """Give a kept field, mirrored outwards where it is too small."""
        opened = storm_of(sources)
        image = opened.test[0].widefield
        stride = stride_of(build_network(recipe.network))
        wanted = [-(-max(edge, least_px + 16) // stride) * stride for edge in image.shape]
        edges = [(0, n - edge) for n, edge in zip(wanted, image.shape, strict=True)]
        images = np.pad(image, edges, mode="symmetric")[None, None]
        return self.with_mimic(recipe, images, self.measure_scaling(recipe, sources))

    def draw_cover(
        self, path: Path, task: TrainingTask, inputs: Arrays, outputs: list[NDArray[np.float32]]
    ) -> None:
        """Draw the widefield image and what was made of it."""
        pictures = [("Widefield", np.asarray(inputs[0][0, 0], np.float32))]
        pictures += [
            (name, image[0].mean(axis=0)) for name, image in zip(self.results, outputs, strict=True)
        ]
        save_picture(path, pictures, colours="hot")

    def thin_out(self, recipe: Recipe, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round to three digits: the file is half."""
        return outputs.astype(np.float16).astype(np.float32)

    def measure_radius_px(self, task: TrainingTask) -> int:
        """Give the layers' reach; of a norm over the whole image, the halo for blending."""
        if not is_local(task.network):
            return BLEND_PX
        network: Any = task.network
        return int(network.reach_px)


WORDS: Final = {
    "MU-SRM": "A mimic of an undersampled STORM image.",
    "XM1": "A dense STORM image, from the widefield branch.",
    "XM2": "A dense STORM image, from the sparse image's branch.",
    "XM3": "A dense STORM image, from both branches.",
}
"""What each image is."""


def tensor_name(result: str) -> str:
    """Give the name of a result's tensor."""
    return result.lower().replace("-", "_")


def storm_of(sources: Sources) -> StormSources:
    """Take sources for those of STORM images, which they are."""
    assert isinstance(sources, StormSources)
    return sources
