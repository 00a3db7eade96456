"""What each kind of training has to say for packaging; :mod:`bridge.training.kinds` lists them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bridge.training.recipe import Recipe
from bridge.training.sources import Sources
from bridge.training.tasks.base import TrainingTask


class Figures(Protocol):
    """What was measured of a network."""

    def flat(self) -> dict[str, float]:
        """Give all figures by one name each."""

    def sentences(self) -> list[str]:
        """Tell the most important ones, a sentence each."""

    def card(self) -> str:
        """Tell them as a part of a package's card, in Markdown."""


@dataclass(frozen=True)
class Output:
    """What a package says of its output tensor."""

    name: str
    """Of the tensor."""
    description: str
    """One sentence."""
    channel_names: tuple[str, ...]
    """What each channel is."""
    limits: tuple[float | None, float | None] = (None, None)
    """Least and greatest value, where there are such."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What ``config.zoobridge`` says of it."""


@dataclass(frozen=True)
class CardWords:
    """What a card says of packages of one kind."""

    cover: str
    """What the cover shows."""
    use: tuple[str, ...]
    """How input and output are to be understood."""
    failures: tuple[str, ...]
    """When it gives worse results, or none."""


class Kind(ABC):
    """One kind of training."""

    task: ClassVar[type[TrainingTask]]
    """Its network, loss and judgement."""

    @abstractmethod
    def measure(self, task: TrainingTask, sources: Sources) -> Figures:
        """Measure a network that has its best weights, on data that it never saw."""

    @abstractmethod
    def output(self, recipe: Recipe) -> Output:
        """Say what the output tensor is."""

    @abstractmethod
    def card_words(self, recipe: Recipe, sources: Sources) -> CardWords:
        """Say what the card needs."""

    @abstractmethod
    def example_movie(self, sources: Sources) -> NDArray[np.generic]:
        """Give frames (t, y, x) that the network never saw, to show what it does."""

    @abstractmethod
    def draw_cover(
        self,
        path: Path,
        task: TrainingTask,
        frames: NDArray[np.generic],
        outputs: NDArray[np.float32],
    ) -> None:
        """Draw input and output side by side."""

    @abstractmethod
    def thin_out(self, recipe: Recipe, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round a sample output to what can be seen, which makes its file small."""

    def inputs_of(self, recipe: Recipe, frames: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn frames (t, y, x) into the network's inputs (t, c, y, x), counts still."""
        return frames[:, None]

    def predict(self, task: TrainingTask, inputs: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run inputs (t, c, y, x) in camera counts; gives outputs (t, c, Y, X)."""
        with torch.inference_mode():
            outputs: list[NDArray[np.float32]] = [
                task(torch.from_numpy(inputs[first : first + 8].astype(np.float32))).numpy()
                for first in range(0, len(inputs), 8)
            ]
        return np.concatenate(outputs)
