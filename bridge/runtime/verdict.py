"""Is an output an image at all? Black, constant, NaN and saturated ones are errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from bioimageio.spec.model import v0_5
from numpy.typing import NDArray

from bridge.errors import VerdictError
from bridge.zoo.description import own_config

_SATURATED_SHARE = 0.99
_RELATIVE_SPREAD = 1e-6
_BLACK = 1e-12
_FAINT_SHARE = 0.1
_BRIGHT_SHARE = 0.01


@dataclass
class Tally:
    """Range of an image, gathered block by block.

    Attributes
    ----------
    low, high, total : float
        Smallest and largest value, and sum, of the finite values.
    count, n_bad, n_top : int
        All values; NaN or infinite ones; those at the largest value.
    n_bright : int
        Values of at least ``bright_from``.
    bright_from : float
        What counts as bright.
    """

    low: float = math.inf
    high: float = -math.inf
    total: float = 0.0
    count: int = 0
    n_bad: int = 0
    n_top: int = 0
    n_bright: int = 0
    bright_from: float = math.inf

    def add(self, pixels: NDArray[Any]) -> Tally:
        """Take in one block; gives the block's own tally."""
        values = pixels if np.isfinite(pixels).all() else pixels[np.isfinite(pixels)]
        own = Tally(count=pixels.size, n_bad=pixels.size - values.size)
        own.bright_from = self.bright_from
        if values.size:
            own.low, own.high = float(values.min()), float(values.max())
            own.total = float(values.sum(dtype=np.float64))
            own.n_top = int((values == values.max()).sum())
            if own.high >= self.bright_from:
                own.n_bright = int((values >= self.bright_from).sum())
        self.merge(own)
        return own

    def merge(self, other: Tally) -> None:
        """Take in what another tally gathered."""
        if other.high > self.high:
            self.n_top = other.n_top
        elif other.high == self.high:
            self.n_top += other.n_top
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.total += other.total
        self.count += other.count
        self.n_bad += other.n_bad
        self.n_bright += other.n_bright

    @property
    def mean(self) -> float:
        """Mean of the finite values."""
        return self.total / max(1, self.count - self.n_bad)

    def as_list(self) -> list[float]:
        """Give the fields in order, for a journal."""
        counts = (self.count, self.n_bad, self.n_top, self.n_bright)
        return [self.low, self.high, self.total, *counts]

    @classmethod
    def from_list(cls, fields: Sequence[float]) -> Tally:
        """Make a tally from :meth:`as_list`'s fields."""
        low, high, total, *counts = fields
        return cls(float(low), float(high), float(total), *(int(n) for n in counts))

    def as_dict(self) -> dict[str, float]:
        """Give minimum, maximum, mean and the count of bad values, for a report."""
        return {"min": self.low, "max": self.high, "mean": self.mean, "not_finite": self.n_bad}


def flaw(output: Tally) -> str:
    """Name what is wrong with an output as a whole, or give an empty text."""
    if output.n_bad:
        return "NaN" if output.n_bad == output.count else "NaN in part"
    if output.count < 2:
        return ""
    if max(abs(output.low), abs(output.high)) <= _BLACK:
        return "black"
    if output.high - output.low <= _RELATIVE_SPREAD * max(abs(output.low), abs(output.high)):
        return "constant"
    if output.n_top > _SATURATED_SHARE * output.count:
        return "saturated"
    return ""


def judge(
    name: str,
    output: Tally,
    image: Tally,
    typical: Tally | None,
    typical_output: Tally | None = None,
) -> None:
    """Raise where an output is no image, with the likely cause.

    Parameters
    ----------
    name : str
        What the output is called in messages.
    output : Tally
        The output after postprocessing.
    image : Tally
        The image as it was given, before preprocessing.
    typical : Tally or None
        The package's test input: what the network was made for.
    typical_output : Tally or None
        What the network makes of it.

    Raises
    ------
    VerdictError
        The output is constant, black, NaN or saturated; or it is nearly black, and the image is
        unlike those that the network was made for.
    """
    kind = flaw(output)
    if not kind and typical is not None and typical_output is not None:
        faint = _FAINT_SHARE * (typical_output.high - typical_output.low)
        if output.count > 1 and _is_far(image, typical) and output.high - output.low < faint:
            kind = "nearly black"
    if not kind:
        return
    if kind.startswith("NaN"):
        found = f"{output.n_bad} of {output.count} values are NaN or infinite"
    elif kind == "saturated":
        found = f"saturated: {output.n_top / output.count:.1%} of its values are {output.high:g}"
    elif kind == "nearly black":
        found = f"nearly black: values from {output.low:g} to {output.high:g}"
    else:
        found = f"{kind}: every value is {output.low:g}"
    raise VerdictError(name, found, "an image", likely_cause(image, typical))


def judge_brightness(name: str, tally: Tally) -> None:
    """Raise where an image is black that the result is made of: the result wouldn't show it.

    Parameters
    ----------
    name : str
        What the image is called in messages.
    tally : Tally
        Of the image, with the package's ``bright_from``.

    Raises
    ------
    VerdictError
        Less than 1 % of its values are bright.
    """
    share = tally.n_bright / max(tally.count, 1)
    if share >= _BRIGHT_SHARE or not math.isfinite(tally.bright_from):
        return
    raise VerdictError(
        name,
        f"black: {share:.2%} of its values reach {tally.bright_from:.3g}, the highest is "
        f"{tally.high:.3g}",
        f"at least {_BRIGHT_SHARE:.0%} of them; the result would be bright all the same, and wrong",
        "Run 'zoobridge explain' with this model and this image. Where the field is all but empty, "
        "cut out the part with structures.",
    )


def least_bright(description: v0_5.ModelDescr) -> dict[str, float]:
    """Give which value 1 % of an image must reach, by the tensor's name.

    ``config.zoobridge.least_bright`` of a package: images that its result is made of, such as
    X-Net's second input.
    """
    told = own_config(description).get("least_bright")
    if not isinstance(told, dict):
        return {}
    return {str(name): float(v) for name, v in told.items() if isinstance(v, int | float)}


def likely_cause(image: Tally, typical: Tally | None) -> str:
    """Say in one or two sentences why an output may have come out empty.

    Parameters
    ----------
    image, typical : Tally
        The image that was given, and one the network is known to work on.
    """
    if image.count and image.high - image.low <= _RELATIVE_SPREAD * max(abs(image.high), 1e-30):
        return f"Likely cause: the input itself is constant (every value is {image.low:g})."
    seen = f"the input runs from {image.low:g} to {image.high:g} (mean {image.mean:g})"
    if typical is None:
        return (
            f"No test image comes with the package to compare with; {seen}. Check its "
            "normalisation, and that its weights belong to its network."
        )
    made_for = f"its test image from {typical.low:g} to {typical.high:g} (mean {typical.mean:g})"
    if _is_far(image, typical):
        return (
            f"Likely cause: the input's range is far from what the model was made for: {seen}, "
            f"{made_for}. Give the raw image, or scale it to that range."
        )
    return (
        f"The input's range is like that of the model's test image ({seen}, {made_for}), so the "
        "model is the likelier cause: 'zoobridge models check' runs it on its own test image."
    )


def _is_far(image: Tally, typical: Tally) -> bool:
    spread = max(typical.high - typical.low, 1e-30)
    ratio = (image.high - image.low) / spread
    shift = abs(image.mean - typical.mean) / spread
    return not 0.05 < ratio < 20 or shift > 5


def range_warning(image: Tally, typical: Tally | None) -> str:
    """Give a warning where the input's range is far from the model's test image's, or ""."""
    if typical is None or not image.count or not _is_far(image, typical):
        return ""
    return (
        f"The input runs from {image.low:g} to {image.high:g} (mean {image.mean:g}), the model's "
        f"test image from {typical.low:g} to {typical.high:g} (mean {typical.mean:g}): check that "
        "it is the kind of image the model was made for."
    )
