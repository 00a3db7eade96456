"""When emitters shine, and how brightly: photons of each one in each frame.

::

    each-frame   |*|.|*|.|      every frame draws its own emitters (ThunderSTORM's generator)
    lifetimes    |.|-==|===|=-.|  one shines on from anywhere in a frame to anywhere in another, and
                                gives the first and last frame their part of its photons (DECODE)
"""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.smlm.layout import Layout, Points

_PositivePhotons = Annotated[float, Field(gt=0, le=1e9)]


class _Setting(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class UniformPhotons(_Setting):
    """Photons drawn uniformly from a range, as in ThunderSTORM's generator."""

    kind: Literal["uniform"] = "uniform"
    """Kind of the distribution."""
    low: _PositivePhotons = 700.0
    """Least photons in a frame."""
    high: _PositivePhotons = 900.0
    """Most photons in a frame."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low: it is above high")
        return self

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the photons of ``n`` emitters."""
        return rng.uniform(self.low, self.high, n)


class NormalPhotons(_Setting):
    """Photons drawn from a normal distribution, at least 1, as in DECODE and the notebook."""

    kind: Literal["normal"] = "normal"
    """Kind of the distribution."""
    mean: _PositivePhotons = 2250.0
    """Mean photons in a frame."""
    deviation: Annotated[float, Field(ge=0, le=1e9)] = 250.0
    """Standard deviation."""

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the photons of ``n`` emitters."""
        return rng.normal(self.mean, self.deviation, n).clip(min=1.0)


class LogNormalPhotons(_Setting):
    """Photons whose logarithm is normal: what tables of real emitters look like."""

    kind: Literal["log-normal"] = "log-normal"
    """Kind of the distribution."""
    median: _PositivePhotons = 1000.0
    """Median photons in a frame."""
    spread: Annotated[float, Field(ge=0, le=3)] = 0.35
    """Standard deviation of the natural logarithm; about the relative spread."""

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the photons of ``n`` emitters."""
        return self.median * np.exp(rng.normal(0, self.spread, n))


Photons = Annotated[UniformPhotons | NormalPhotons | LogNormalPhotons, Field(discriminator="kind")]
"""Any distribution of an emitter's photons in a frame, told apart by its ``kind``."""


class Shining(NamedTuple):
    """Emitters in frames, one row for each emitter in each frame, sorted by frame."""

    frame: NDArray[np.int64]
    """Frame, from 0."""
    blink: NDArray[np.int64]
    """Which on-time a row belongs to, from 0; the same in all frames of one."""
    places: Points
    """(n, 3): x, y, z in nm."""
    photons: NDArray[np.float64]
    """Photons in this frame, > 0."""


class EachFrame(_Setting):
    """Emitters that know nothing of other frames: a Poisson number of new ones in each."""

    kind: Literal["each-frame"] = "each-frame"
    """Kind of the blinking."""

    def shine(
        self,
        layout: Layout,
        photons: Photons,
        *,
        n_frames: int,
        mean_active: float,
        rng: np.random.Generator,
    ) -> Shining:
        """Let emitters shine.

        Parameters
        ----------
        layout : Layout
            Where they may be.
        photons : Photons
            How bright they are.
        n_frames : int
            Length of the movie.
        mean_active : float
            Emitters in a frame on average, >= 0.
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        Shining
            What shines when.
        """
        number = rng.poisson(mean_active, n_frames)
        frame = np.repeat(np.arange(n_frames), number)
        n = len(frame)
        return Shining(frame, np.arange(n), layout.sample(n, rng), photons.draw(n, rng))


class Lifetimes(_Setting):
    """Emitters that shine for a while, go dark, come back, and bleach at last."""

    kind: Literal["lifetimes"] = "lifetimes"
    """Kind of the blinking."""
    on_frames: Annotated[float, Field(gt=0, le=1e6)] = 2.0
    """Mean time that an emitter shines, in frames (exponential)."""
    blinks: Annotated[float, Field(ge=1, le=1e4)] = 1.0
    """Times that one shines before it bleaches, on average (geometric)."""
    off_frames: Annotated[float, Field(gt=0, le=1e7)] = 100.0
    """Mean dark time between, in frames (exponential)."""
    bleach_frames: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Time in which the number of emitters falls to 37 %, in frames; 0: it doesn't."""

    def shine(
        self,
        layout: Layout,
        photons: Photons,
        *,
        n_frames: int,
        mean_active: float,
        rng: np.random.Generator,
    ) -> Shining:
        """Let emitters shine; parameters and result as of :meth:`EachFrame.shine`.

        ``mean_active`` counts emitters that shine in a part of a frame as well, before bleaching.
        """
        # Some have begun before the movie does; an exponential is over after ten times its mean.
        pause = (self.blinks - 1) * (self.on_frames + self.off_frames)
        before = 10 * (self.on_frames + pause)
        # An on-time of length L that begins anywhere touches L + 1 frames on average.
        rate = mean_active / (self.on_frames + 1) / self.blinks
        n_emitters = rng.poisson(rate * (n_frames + before))
        appears = rng.uniform(-before, n_frames, n_emitters)
        if self.bleach_frames > 0:
            survival = np.exp(-appears.clip(min=0) / self.bleach_frames)
            appears = appears[rng.random(n_emitters) < survival]
        n_blinks = rng.geometric(1 / self.blinks, len(appears))
        owner = np.repeat(np.arange(len(appears)), n_blinks)
        places = layout.sample(len(appears), rng)[owner]
        on = rng.exponential(self.on_frames, len(owner))
        off = rng.exponential(self.off_frames, len(owner))
        start = appears[owner] + _sum_before(on + off, n_blinks)
        bright = photons.draw(len(owner), rng)
        return _split_into_frames(start, start + on, places, bright, n_frames=n_frames)


Blinking = Annotated[EachFrame | Lifetimes, Field(discriminator="kind")]
"""Any blinking, told apart by its ``kind``."""


def _sum_before(times: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum up what comes before each entry in its own run; ``lengths`` are those of the runs."""
    total = times.cumsum() - times
    first = np.repeat(lengths.cumsum() - lengths, lengths)
    return total - total[first]


def _split_into_frames(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    places: Points,
    bright: NDArray[np.float64],
    *,
    n_frames: int,
) -> Shining:
    """Give each frame its part of every on-time, in frames from 0."""
    is_seen = (end > 0) & (start < n_frames)
    start, end = start[is_seen].clip(0, n_frames), end[is_seen].clip(0, n_frames)
    places, bright = places[is_seen], bright[is_seen]
    first = np.floor(start).astype(np.int64)
    last = np.ceil(end).astype(np.int64)  # exclusive
    lengths = last - first
    blink = np.repeat(np.arange(len(start)), lengths)
    frame = first[blink] + np.arange(len(blink)) - np.repeat(lengths.cumsum() - lengths, lengths)
    part = np.minimum(end[blink], frame + 1) - np.maximum(start[blink], frame)
    light = bright[blink] * part
    order = np.argsort(frame, kind="stable")
    order = order[(light > 0)[order]]
    return Shining(frame[order], blink[order], places[blink[order]], light[order])
