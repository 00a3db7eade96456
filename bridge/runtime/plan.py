"""Where the tiles lie: pure arithmetic in exact numbers, done before any network is loaded.

Along one dim, in pixels of the reference input::

    0        start_1                 start_2                            padded
    |---------- window ----------|       |                                 |
    |        |---------- window ----------|                                |
    |        |       |           |---------- window ----------|            |
    |------- cut ----|-------- cut -------|------- ... -------|- length ---|
    kept of tile 0     kept of tile 1       kept of the last

All windows of a plan have one size, so that they can share a batch; the last is shifted inwards. A
window never reaches past the (padded) image, hence no tile sees a border that the whole image
would not. Between two tiles the cut lies where both are out of reach of their own window's edge:
``start + lead <= cut <= previous start + window - trail``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ImageError, PackageError
from bridge.runtime.geometry import Affine, Geometry, SizeRule, TensorGeometry

_MOST_TILES_CONSIDERED = 64
_SMALLEST_SHARE_OF_MINIMUM = 8


@dataclass(frozen=True)
class Locality:
    """How far, and on which grid, a network's output depends on its input, along one dim.

    Attributes
    ----------
    lead : int
        Pixels after a window's start whose output feels what lies before the window.
    trail : int
        Pixels before a window's end whose output feels what lies after the window.
    stride : int
        Windows that start at multiples of it see the network's inner grid in the same phase.
    is_bounded : bool
        False where no finite reach was found: the output depends on the whole image.
    """

    lead: int
    trail: int
    stride: int = 1
    is_bounded: bool = True


@dataclass(frozen=True)
class AxisPlan:
    """The tiles along one dim, in pixels of the reference input.

    Attributes
    ----------
    length : int
        The image's size.
    padded : int
        The size after padding at the end to one the network accepts.
    window : int
        Size of every window.
    starts : tuple of int
        First pixel of each window, ascending.
    cuts : tuple of int
        ``len(starts) + 1`` borders between what is kept of each tile; from 0 to ``padded``.
    is_blended : bool
        True where overlapping tiles are mixed because no exact cut exists.
    """

    length: int
    padded: int
    window: int
    starts: tuple[int, ...]
    cuts: tuple[int, ...]
    is_blended: bool = False

    @property
    def cost(self) -> int:
        """Pixels computed along this dim, overlaps counted each time."""
        return self.window * len(self.starts)


@dataclass(frozen=True)
class Tile:
    """One window and what is kept of it.

    Attributes
    ----------
    index : tuple of int
        Number of the tile along each tiled dim.
    start : dict
        First pixel of the window per tiled dim, in pixels of the reference input.
    """

    index: tuple[int, ...]
    start: Mapping[str, int]


@dataclass(frozen=True)
class TilePlan:
    """All tiles of one image, row by row.

    Attributes
    ----------
    axes : dict
        One :class:`AxisPlan` per tiled dim, in the order t z y x.
    """

    axes: Mapping[str, AxisPlan]

    def __len__(self) -> int:
        return math.prod(len(a.starts) for a in self.axes.values())

    def __iter__(self) -> Iterator[Tile]:
        for index in product(*(range(len(a.starts)) for a in self.axes.values())):
            starts = {
                dim: axis.starts[i] for i, (dim, axis) in zip(index, self.axes.items(), strict=True)
            }
            yield Tile(index, starts)

    @property
    def is_blended(self) -> bool:
        """Whether tiles are mixed along any dim."""
        return any(a.is_blended for a in self.axes.values())

    @property
    def window_pixels(self) -> int:
        """Pixels of one window of the reference input."""
        return math.prod(a.window for a in self.axes.values())

    @property
    def computed_pixels(self) -> int:
        """Pixels of all windows together."""
        return math.prod(a.cost for a in self.axes.values())

    def window(self, tile: Tile, tensor: TensorGeometry) -> dict[str, slice]:
        """Give the window of ``tile`` in the pixels of an input ``tensor``."""
        return {
            dim: _scaled(
                tile.start[dim], tile.start[dim] + self.axes[dim].window, tensor.affines[dim]
            )
            for dim in tensor.tiled
        }

    def kept(self, tile: Tile, tensor: TensorGeometry) -> dict[str, tuple[slice, slice]]:
        """Give, per dim, where a tile's output goes and which part of it that is.

        Parameters
        ----------
        tile : Tile
            A tile of this plan.
        tensor : TensorGeometry
            An output.

        Returns
        -------
        dict of (slice, slice)
            Slice of the whole output, and the slice of the tile's own output that fills it; both
            in output pixels, equally long, possibly empty.
        """
        regions = {}
        for number, dim in zip(tile.index, self.axes, strict=True):
            if dim not in tensor.affines or dim not in tensor.tiled:
                continue
            axis, affine = self.axes[dim], tensor.affines[dim]
            whole = affine.size(axis.length)
            origin = int(tile.start[dim] * affine.ratio)
            is_last = number == len(axis.starts) - 1
            low = int(axis.cuts[number] * affine.ratio)
            high = whole if is_last else int(axis.cuts[number + 1] * affine.ratio)
            if axis.is_blended:
                low, high = origin, origin + affine.size(axis.window)
            high = min(high, whole)
            low = min(low, high)
            regions[dim] = (slice(low, high), slice(low - origin, high - origin))
        return regions

    def blend_weights(self, tile: Tile, tensor: TensorGeometry) -> dict[str, NDArray[np.float32]]:
        """Give the weight of a tile's output pixels along the blended dims.

        Returns
        -------
        dict of ndarray, float32, 0 < weight <= 1
            One weight per output pixel of the window, rising and falling linearly where
            neighbouring windows overlap; over all tiles they sum to 1.
        """
        return {
            dim: _shares(self.axes[dim], tensor.affines[dim])[number]
            for number, dim in zip(tile.index, self.axes, strict=True)
            if dim in tensor.tiled and self.axes[dim].is_blended
        }


def _scaled(start: int, stop: int, affine: Affine) -> slice:
    first = int(start * affine.ratio)
    return slice(first, first + affine.size(stop - start))


@lru_cache(maxsize=64)
def _shares(axis: AxisPlan, affine: Affine) -> list[NDArray[np.float32]]:
    """Give each tile's weights; divided by their sum, for three tiles may overlap."""
    ramps = [_ramp(axis, number, affine) for number in range(len(axis.starts))]
    places = [_scaled(start, start + axis.window, affine) for start in axis.starts]
    total = np.zeros(affine.size(axis.padded))
    for place, ramp in zip(places, ramps, strict=True):
        total[place] += ramp
    return [(r / total[p]).astype(np.float32) for p, r in zip(places, ramps, strict=True)]


def _ramp(axis: AxisPlan, number: int, affine: Affine) -> NDArray[np.float64]:
    size = affine.size(axis.window)
    weight = np.ones(size)
    position = np.arange(size) + 0.5
    for neighbour, distance in ((number - 1, position), (number + 1, size - position)):
        if 0 <= neighbour < len(axis.starts):
            shift = abs(axis.starts[neighbour] - axis.starts[number])
            overlap = size - float(shift * affine.ratio)
            if overlap > 0:
                weight *= np.clip(distance / overlap, 0, 1)
    return weight


def common_rule(
    geometry: Geometry, dim: str, rules: Mapping[str, SizeRule] | None = None
) -> SizeRule:
    """Combine what all inputs accept along ``dim`` into one rule on the reference input.

    Parameters
    ----------
    geometry : Geometry
        The package's tensors.
    dim : str
        A tiled dim.
    rules : mapping, optional
        Rules per input name that replace the declared ones (sizes found by trying).

    Returns
    -------
    SizeRule
        Sizes in pixels of the reference input that fit every input.

    Raises
    ------
    PackageError
        No size fits every input.
    """
    minimum, step, fixed = 1, 1, None
    accepted = []
    for tensor in geometry.inputs:
        if dim not in tensor.tiled:
            continue
        rule, affine = (rules or {}).get(tensor.name, tensor.rules[dim]), tensor.affines[dim]
        smallest = max(1, math.ceil((rule.minimum - affine.offset) / affine.ratio))
        if rule.step == 0:
            fixed = smallest
        accepted.append((rule, affine))
        minimum = max(minimum, smallest)
        step = math.lcm(step, (Fraction(max(rule.step, 1)) / affine.ratio).numerator)
    if fixed is not None:
        return SizeRule(fixed, 0)
    for size in range(minimum, minimum + step):
        if all(_accepts(rule, affine, size) for rule, affine in accepted):
            return SizeRule(size, step)
    raise PackageError(
        f"the inputs' sizes along {dim}",
        "no size fits all of them",
        "minima and steps that meet",
        "The description is wrong; tell the package's authors.",
    )


def _accepts(rule: SizeRule, affine: Affine, size: int) -> bool:
    own = affine.ratio * size + affine.offset
    return own.denominator == 1 and (int(own) - rule.minimum) % max(rule.step, 1) == 0


def cut_unit(geometry: Geometry, dim: str) -> int:
    """Give the step, in reference pixels, at which every tensor has a whole pixel border."""
    tensors = [*geometry.inputs, *geometry.outputs]
    return math.lcm(1, *(t.affines[dim].ratio.denominator for t in tensors if dim in t.tiled))


def pad_to_valid(length: int, rule: SizeRule, stride: int, *, dim: str) -> int:
    """Give the smallest size >= ``length`` that can be covered by accepted windows.

    Raises
    ------
    ImageError
        The image is so small that most of what the network sees would be invented.
    """
    if length * _SMALLEST_SHARE_OF_MINIMUM < rule.minimum:
        raise ImageError(
            f"image size along {dim}",
            f"{length} pixels",
            f"at least {math.ceil(rule.minimum / _SMALLEST_SHARE_OF_MINIMUM)}: the model's "
            f"smallest input is {rule.minimum}; more than seven eighths of it would be invented",
            "Use a larger image, or another model.",
        )
    step = rule.step or stride  # a fixed size is covered by windows that are whole strides apart
    return rule.minimum + max(0, math.ceil((length - rule.minimum) / step)) * step


def axis_choices(
    length: int,
    *,
    dim: str,
    rule: SizeRule,
    locality: Locality,
    unit: int = 1,
    longest: int | None = None,
) -> list[AxisPlan]:
    """List the sensible ways to tile one dim, from one window over all to many small ones.

    Parameters
    ----------
    length : int
        The image's size, in pixels of the reference input.
    dim : str
        Its name, for messages.
    rule : SizeRule
        Sizes the network accepts.
    locality : Locality
        Reach and stride of the network.
    unit : int
        Cuts are multiples of it.
    longest : int, optional
        No window longer than this, unless none shorter exists.

    Returns
    -------
    list of AxisPlan
        At least one; each with the fewest computed pixels for its number of tiles.

    Raises
    ------
    ImageError
        The image is far smaller than the network's smallest input.
    """
    stride = math.lcm(locality.stride, unit)
    padded = pad_to_valid(length, rule, stride, dim=dim)
    lead = math.ceil(locality.lead / unit) * unit
    best: dict[int, AxisPlan] = {}
    step = math.lcm(max(rule.step, 1), stride)
    sizes: Sequence[int] = (
        [rule.minimum] if rule.step == 0 else range(padded, rule.minimum - 1, -step)
    )
    for window in sizes:
        plan = _lay(length, padded, window, lead, locality.trail, stride)
        if plan is None:
            continue
        count = len(plan.starts)
        if count > _MOST_TILES_CONSIDERED and best:
            within = [p for p in best.values() if longest is None or p.window <= longest]
            if within:
                break
        if count not in best or plan.window < best[count].window:
            best[count] = plan
    plans = list(best.values())
    if not plans:  # a fixed input too small for the reach: the best that can be done
        widest = _lay(length, padded, rule.minimum, 0, 0, stride)
        assert widest is not None
        return [widest]
    short = [p for p in plans if longest is None or p.window <= longest]
    return short or [min(plans, key=lambda p: p.window)]


def _lay(
    length: int, padded: int, window: int, lead: int, trail: int, stride: int
) -> AxisPlan | None:
    """Lay equal windows over ``padded`` pixels, or give None where they are too small."""
    if window >= padded:
        return AxisPlan(length, padded, padded, (0,), (0, padded))
    advance = (window - lead - trail) // stride * stride
    if advance < stride:
        return None
    count = math.ceil((padded - window) / advance) + 1
    last = padded - window
    even = (last * i // (count - 1) // stride * stride for i in range(count - 1))
    starts = (*even, last)
    if max(b - a for a, b in pairwise(starts)) > advance:  # rounding down made one gap too wide
        starts = (*(min(i * advance, last) for i in range(count - 1)), last)
    cuts = (0, *(s + lead for s in starts[1:]), padded)
    return AxisPlan(length, padded, window, starts, cuts)


def plan_tiles(
    geometry: Geometry,
    sizes: Mapping[str, int],
    localities: Mapping[str, Locality],
    *,
    most_pixels: int,
    longest: int | None = None,
    rules: Mapping[str, SizeRule] | None = None,
) -> TilePlan:
    """Choose the tiles that compute the fewest pixels within a memory budget.

    Parameters
    ----------
    geometry : Geometry
        The package's tensors.
    sizes : mapping
        The image's size per tiled dim, in pixels of the reference input.
    localities : mapping
        Reach and stride per tiled dim.
    most_pixels : int
        Pixels of the reference input that one window may have.
    longest : int, optional
        Longest edge of a window, as asked for by the user.
    rules : mapping, optional
        Accepted sizes per dim that replace the declared ones.

    Returns
    -------
    TilePlan
        Tiles in row-major order; blended where the network's reach is unbounded.

    Raises
    ------
    ImageError
        The image is far smaller than the network's smallest input.
    """
    choices = []
    for dim in geometry.tiled:
        rule = (rules or {}).get(dim) or common_rule(geometry, dim)
        locality = localities[dim]
        unit = cut_unit(geometry, dim)
        options = {"dim": dim, "rule": rule, "unit": unit}
        if locality.is_bounded:
            choices.append(
                axis_choices(sizes[dim], locality=locality, longest=longest, **options)  # type: ignore[arg-type]
            )
        else:
            shrink = _shrink(geometry, dim)
            found = _overlapping(
                sizes[dim],
                locality,
                longest or most_pixels,
                shrink=shrink,
                **options,  # type: ignore[arg-type]
            )
            choices.append(found)

    def pixels(plans: tuple[AxisPlan, ...]) -> int:
        return math.prod(p.window for p in plans)

    def cost(plans: tuple[AxisPlan, ...]) -> tuple[int, int]:
        return math.prod(p.cost for p in plans), math.prod(len(p.starts) for p in plans)

    candidates = list(
        product(*(c[: _MOST_TILES_CONSIDERED if len(choices) < 3 else 24] for c in choices))
    )
    fitting = [c for c in candidates if pixels(c) <= most_pixels]
    best = min(fitting, key=cost) if fitting else min(candidates, key=pixels)
    return TilePlan(dict(zip(geometry.tiled, best, strict=True)))


def _shrink(geometry: Geometry, dim: str) -> int:
    """Give the input pixels that the outputs lack at a window's end (valid convolutions)."""
    lacking = [
        -t.affines[dim].offset / t.affines[dim].ratio for t in geometry.outputs if dim in t.tiled
    ]
    return max(0, *(math.ceil(n) for n in lacking)) if lacking else 0


def _overlapping(
    length: int,
    locality: Locality,
    longest: int,
    *,
    dim: str,
    rule: SizeRule,
    unit: int,
    shrink: int,
) -> list[AxisPlan]:
    """List tilings in which neighbours overlap by at least a quarter, for networks of any reach."""
    at_once = Locality(0, 0, locality.stride)
    whole = axis_choices(length, dim=dim, rule=rule, unit=unit, locality=at_once)[0]
    plans = [whole] if len(whole.starts) == 1 else []
    window = whole.padded if plans else 2 * rule.minimum
    while not plans or window > max(rule.minimum, 16 * locality.stride):
        window //= 2
        margin = window // 8
        reach = Locality(margin, margin + shrink, locality.stride)
        found = axis_choices(length, dim=dim, rule=rule, unit=unit, locality=reach, longest=window)
        plans += [replace(p, is_blended=True) for p in found if p.window <= window][:1]
    return [p for p in plans if p.window <= longest] or plans[-1:]
