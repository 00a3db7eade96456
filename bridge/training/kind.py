"""What each kind of training has to say for packaging; :mod:`bridge.training.kinds` lists them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.training.batches import Sources
from bridge.training.recipe import Recipe
from bridge.training.tasks.base import Scaling, TrainingTask

Arrays = Sequence[NDArray[np.generic]]
STRETCH_EPS: Final = 1e-6
_BATCH: Final = 8


class Figures(Protocol):
    """What was measured of a network."""

    def flat(self) -> dict[str, float]:
        """Give all figures by one name each."""

    def sentences(self) -> list[str]:
        """Tell the most important ones, a sentence each."""

    def card(self) -> str:
        """Tell them as a part of a package's card, in Markdown."""


@dataclass(frozen=True)
class Input:
    """What a package says of an input tensor."""

    name: str
    """Of the tensor."""
    description: str
    """One sentence."""
    channel_names: tuple[str, ...]
    """What each channel is."""
    dtype: Literal["uint16", "float32"] = "uint16"
    """Type of its values."""
    scaling: Literal["fixed", "stretch", "none"] = "fixed"
    """By the run's two numbers, by the image's own percentiles, or not at all."""
    stretch_percent: tuple[float, float] = (0.0, 100.0)
    """Percentiles that become 0 and 1, where it is stretched."""
    floor: float = 0.0
    """What their difference is at least taken for, in the image's own units. zoobridge minds it;
    other programs, for whose operations it can't be said, stretch an empty image to its noise."""
    upscaling: int = 1
    """Pixels per pixel of the first input, and direction."""


@dataclass(frozen=True)
class Output:
    """What a package says of an output tensor."""

    name: str
    """Of the tensor."""
    description: str
    """One sentence."""
    channel_names: tuple[str, ...]
    """What each channel is."""
    limits: tuple[float | None, float | None] = (None, None)
    """Least and greatest value, where there are such."""
    gain: float = 1.0
    """What the network's values are multiplied by."""
    offset: float = 0.0
    """What is added then."""


@dataclass(frozen=True)
class About:
    """What a package says of its kind."""

    inputs: tuple[Input, ...]
    """The image comes first."""
    outputs: tuple[Output, ...]
    """The result comes first."""
    modality: str
    """Of the microscope."""
    tags: tuple[str, ...]
    """That all packages of this kind have."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What ``config.zoobridge`` says beside what all packages say."""
    is_local: bool = True
    """Whether each output pixel depends on the input near it only, so that tiles are exact."""


@dataclass(frozen=True)
class CardWords:
    """What a card says of packages of one kind."""

    cover: str
    """What the cover shows."""
    use: tuple[str, ...]
    """How input and output are to be understood."""
    failures: tuple[str, ...]
    """When it gives worse results, or none."""
    data: str
    """What it was trained on, in Markdown."""


BLEND_PX: Final = 64
"""Halo of networks whose tiles can't be exact, over which the runtime blends them."""


class Kind(ABC):
    """One kind of training."""

    task: ClassVar[type[TrainingTask]]
    """Its network, loss and judgement."""

    @abstractmethod
    def open_sources(self, recipe: Recipe, *, stride: int) -> Sources:
        """Open what a recipe learns from; patches are a multiple of ``stride`` pixels."""

    @abstractmethod
    def measure_scaling(self, recipe: Recipe, sources: Sources) -> Scaling:
        """Take from the training data how its values become the network's."""

    @abstractmethod
    def probes(self, recipe: Recipe, edge_px: int) -> tuple[Tensor, ...]:
        """Give zeros of the shapes (1, c, y, x) of the network's inputs."""

    @abstractmethod
    def expected_shapes(self, recipe: Recipe, edge_px: int) -> tuple[tuple[int, ...], ...]:
        """Give the shapes (c, Y, X) of what the network should make of such inputs."""

    @abstractmethod
    def measure(self, task: TrainingTask, sources: Sources) -> Figures:
        """Measure a network that has its best weights, on data that it never saw."""

    @abstractmethod
    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say what its tensors are."""

    @abstractmethod
    def card_words(self, recipe: Recipe, sources: Sources) -> CardWords:
        """Say what the card needs."""

    @abstractmethod
    def trained_on(self, recipe: Recipe, sources: Sources) -> dict[str, Any]:
        """Say in plain values what the network was trained on."""

    @abstractmethod
    def examples(self, recipe: Recipe, sources: Sources, least_px: int) -> Arrays:
        """Give inputs (t, c, y, x) that the network never saw, in a package's units.

        They are larger than ``least_px`` by 16 pixels or more.
        """

    @abstractmethod
    def draw_cover(
        self, path: Path, task: TrainingTask, inputs: Arrays, outputs: list[NDArray[np.float32]]
    ) -> None:
        """Draw input and output side by side."""

    @abstractmethod
    def thin_out(self, recipe: Recipe, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round a sample output to what can be seen, which makes its file small."""

    @abstractmethod
    def measure_radius_px(self, task: TrainingTask) -> int:
        """Measure how many input pixels away from a change the output still changes."""

    def ready(self, task: TrainingTask, inputs: Arrays) -> list[NDArray[np.float32]]:
        """Turn a package's inputs into what the network gets."""
        told = self.about(task.recipe, task.scaling).inputs
        return [_prepare(i, array, task.scaling) for i, array in zip(told, inputs, strict=True)]

    def predict(self, task: TrainingTask, inputs: Arrays) -> list[NDArray[np.float32]]:
        """Run a package's inputs; gives its outputs (t, c, Y, X)."""
        ready = self.ready(task, inputs)
        found: list[tuple[Tensor, ...]] = []
        with torch.inference_mode():
            for first in range(0, len(ready[0]), _BATCH):
                parts = (torch.from_numpy(array[first : first + _BATCH]) for array in ready)
                given = task.network(*parts)
                found.append(given if isinstance(given, tuple) else (given,))
        told = self.about(task.recipe, task.scaling).outputs
        return [
            torch.cat(parts).numpy() * np.float32(output.gain) + np.float32(output.offset)
            for output, parts in zip(told, zip(*found, strict=True), strict=True)
        ]


def _prepare(told: Input, array: NDArray[np.generic], scaling: Scaling) -> NDArray[np.float32]:
    """Scale an input (t, c, y, x) as its package says."""
    values = np.ascontiguousarray(array, np.float32)
    if told.scaling == "fixed":
        return (values - np.float32(scaling.mean)) / np.float32(scaling.std)
    if told.scaling == "stretch":
        values = np.stack([stretch(image, told.stretch_percent, told.floor) for image in values])
    return values


def stretch(
    image: NDArray[np.float32], percent: tuple[float, float], floor: float = 0.0
) -> NDArray[np.float32]:
    """Make two percentiles of an image 0 and 1, as the Model Zoo's ``scale_range`` does.

    Where they differ by less than the floor, the upper one becomes less than 1: an image of noise
    only isn't stretched to full contrast.
    """
    low, high = np.percentile(image, percent)
    span = max(high - low, floor) + STRETCH_EPS
    stretched: NDArray[np.float32] = ((image - low) / span).astype(np.float32)
    return stretched
