"""What a step learns from: batches, and the sources that give them.

A batch is a pure function of its key, a few whole numbers such as (seed, step).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from bridge.smlm.patches import Patches


class LabelledFrames(NamedTuple):
    """Patches and their labels as images, on one device."""

    frames: Tensor
    """(b, 1, y, x) camera counts, float32."""
    emitters: Tensor
    """(b, 1, Y, X) emitters per fine pixel, float32."""


class ImagePairs(NamedTuple):
    """Patches of images and what is wanted of them, on one device."""

    frames: Tensor
    """(b, c, y, x) inputs, in their own units, float32."""
    targets: Tensor
    """(b, c, Y, X) targets, in their own units, float32."""


Batch = LabelledFrames | Patches | ImagePairs
"""What a step learns from: frames with an image of emitters, with a list of them, or targets."""


class Source(Protocol):
    """Something that gives batches."""

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> Batch:
        """Give ``n`` patches; the same key gives the same ones."""


@dataclass(frozen=True)
class Sources:
    """What a recipe's network learns from and is judged by."""

    training: Source
    """For the steps."""
    validation: Source
    """For the judgement; no pixel of it is learned from."""
    pixel_size_nm: float | None
    """Edge of an input's pixel; None where no image says it."""
    notes: list[str]
    """Sentences on the data."""
    warnings: list[str]
    """What is doubtful in them."""


def tell_pixels(sources: Sources) -> str:
    """Say of what size an input's pixels are."""
    if sources.pixel_size_nm is None:
        return "pixels as large as those it was trained on, which no image says"
    return f"{sources.pixel_size_nm:g} nm pixels"


def seed_of(key: Sequence[int]) -> int:
    """Mix whole numbers into one seed."""
    return int(np.random.SeedSequence(list(key)).generate_state(1, np.uint64)[0] >> 1)
