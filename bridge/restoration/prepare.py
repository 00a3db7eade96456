"""From two images of one place to a field of a pair folder: registered, judged, cut.

A pair is refused where its details agree too little, no better than those of places that aren't
the same, or only after a long way. A single large pair is cut into blocks, each registered for
itself, since two microscopes rarely agree over a whole field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bridge.restoration.pairs import cut_block, plan_blocks
from bridge.restoration.register import Registration, chance_agreement, move, register
from bridge.restoration.signal import signal_share

_OVER_CHANCE = 0.1
_LEAST_SIGNAL = 0.02
_N_STRANGERS = 3

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Rules:
    """When a pair is one.

    Attributes
    ----------
    max_shift_px : float
        Longest way along y or x, in input pixels.
    min_agreement : float
        Least correlation of details, 0 to 1.
    """

    max_shift_px: float = 24.0
    min_agreement: float = 0.25


@dataclass(frozen=True)
class RawPair:
    """Two images on fitting grids, not yet registered."""

    name: str
    structure: str
    input: Image
    target: Image
    start: tuple[float, float] = (0.0, 0.0)
    """How far the target was moved already, in input pixels."""
    origin: str = ""
    """The pair that it was cut from; its own name for a whole one."""


@dataclass(frozen=True)
class JudgedPair:
    """A pair, registered, and why it is refused, if it is."""

    name: str
    structure: str
    origin: str
    input: Image
    target: Image
    found: Registration
    chance: float
    """Agreement of details that chance gives."""
    signal: float
    """Share of the target that shows something."""
    refused: str
    """Why it is no pair, with the values; empty for a good one."""

    def figures(self) -> dict[str, float | str]:
        """Give what ``pairs.csv`` says about it."""
        return {
            "correlation": self.found.correlation,
            "detail_correlation": self.found.detail_correlation,
            "chance_correlation": self.chance,
            "shift_y_px": self.found.shift_y_px,
            "shift_x_px": self.found.shift_x_px,
            "blur_px": self.found.blur_px,
            "signal_share": self.signal,
        }


def judge_pair(
    pair: RawPair, *, scale: int, rules: Rules, strangers: list[Image] | None = None
) -> JudgedPair:
    """Register a pair, and decide whether it is one.

    Parameters
    ----------
    pair : RawPair
        The images.
    scale : int
        Target pixels per input pixel.
    rules : Rules
        When a pair is one.
    strangers : list of ndarray, optional
        Targets of other places, to see what chance gives; the first few are used.

    Returns
    -------
    JudgedPair
        Moved and cut to the common part; as they came where it is refused. Shifts count from the
        images as they were read.
    """
    found = register(pair.input, pair.target, scale=scale)
    chance = chance_agreement(
        pair.input, pair.target, (strangers or [])[:_N_STRANGERS], scale=scale
    )
    signal = signal_share(pair.target)
    refused = _refusal(found, chance, signal, rules)
    image, target = pair.input, pair.target
    if not refused:
        image, target = move(image, target, found.shift, scale=scale)
    y, x = (a + b for a, b in zip(found.shift, pair.start, strict=True))
    whole = Registration(y, x, found.blur_px, found.correlation, found.detail_correlation)
    return JudgedPair(
        pair.name,
        pair.structure,
        pair.origin or pair.name,
        image,
        target,
        whole,
        chance,
        signal,
        refused,
    )


def cut_pair(
    pair: RawPair, found: Registration, *, scale: int, block_px: int, gap_px: int
) -> list[RawPair]:
    """Cut a registered pair into blocks that share no pixel.

    Parameters
    ----------
    pair : RawPair
        The images, as they were registered.
    found : Registration
        How they lie; only whole target pixels of it are applied here.
    scale : int
        Target pixels per input pixel.
    block_px, gap_px : int
        Least edge of a block, and what is left between two, in input pixels.

    Returns
    -------
    list of RawPair
        Named after their rows and columns; those of less than half a block's size are left out.
    """
    offset = tuple(round(s * scale) for s in found.shift)
    blocks = []
    for rows, columns in plan_blocks(pair.input.shape, block_px=block_px, gap_px=gap_px):
        image, target = cut_block(
            pair.input,
            pair.target,
            (rows, columns),
            scale=scale,
            offset=(offset[0], offset[1]),
        )
        if min(image.shape) >= block_px // 2:
            name = f"{pair.name}_y{rows.start}_x{columns.start}"
            start = (offset[0] / scale, offset[1] / scale)
            blocks.append(RawPair(name, pair.structure, image, target, start, pair.name))
    return blocks


def _refusal(found: Registration, chance: float, signal: float, rules: Rules) -> str:
    """Say why a pair is none."""
    agree = found.detail_correlation
    if signal < _LEAST_SIGNAL:
        return f"only {100 * signal:.2g} % of the target shows something (least: 2 %)"
    if agree < rules.min_agreement:
        return (
            f"details agree by {agree:.2f}, less than {rules.min_agreement:g} "
            f"(chance: {chance:.2f})"
        )
    if agree < chance + _OVER_CHANCE:
        return f"details agree by {agree:.2f}, hardly better than by chance, {chance:.2f}"
    far = max(map(abs, found.shift))
    if far > rules.max_shift_px:
        return (
            f"the target is {far:.1f} input pixels off, more than {rules.max_shift_px:g} (there "
            f"details agree by {agree:.2f})"
        )
    return ""
