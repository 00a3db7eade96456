"""How far a network sees, measured by running it: its reach, its inner grid, the sizes it takes.

A description's halo is a promise; here it is checked. One half of a probe image is replaced by
something else, and the output pixels that change on the other side tell the reach::

    content      AAAAAAAAAAAAAAAA|AAAAAAAAAAAAAAAA
    changed      BBBBBBBBBBBBBBBB|AAAAAAAAAAAAAAAA
    output diff  ################|###.............    lead = 3

The probe is long along one dim and as small as the network allows along the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.errors import NetworkError
from bridge.runtime.engine import Network, require_count
from bridge.runtime.geometry import Affine, Geometry, SizeRule
from bridge.runtime.plan import Locality, common_rule, cut_unit

_NEGLIGIBLE = 1e-7
"""Change of an output, in its standard deviations, that is only rounding."""
_EQUAL = 1e-5
_FIRST_PROBE = 256
_LONGEST_PROBE = 2048
_SMALLEST_SIDE = 48
_SMALLEST_SIDE_3D = 24
_STRIDES = (1, 2, 4, 8, 16, 32, 64, 3, 6, 12, 24, 48, 5, 10, 20, 40)


@dataclass(frozen=True)
class Measured:
    """What was found along one dim.

    Attributes
    ----------
    locality : Locality
        Reach and stride, in pixels of the reference input.
    rule : SizeRule
        Sizes the network accepts; wider than declared where a fixed size is not really fixed.
    """

    locality: Locality
    rule: SizeRule


class Prober:
    """Measure a network's locality.

    Parameters
    ----------
    network : Network
        What is run.
    geometry : Geometry
        The package's tensors.
    contents : mapping
        Per input name one preprocessed array in the tensor's axis order (batch 1): typical values,
        such as the package's test tensor.
    """

    def __init__(
        self, network: Network, geometry: Geometry, contents: Mapping[str, NDArray[Any]]
    ) -> None:
        self._network = network
        self._geometry = geometry
        self._contents = contents
        self._seed = 20260101

    def measure(self, dim: str) -> Measured:
        """Measure reach, stride and accepted sizes along one tiled dim.

        Raises
        ------
        NetworkError
            The network's outputs are not of the size its description says.
        """
        declared = common_rule(self._geometry, dim)
        rule = self._free_rule(dim, declared) if declared.step == 0 else declared
        step = max(rule.step, 1)
        length = self._valid(rule, max(_FIRST_PROBE, 2 * rule.minimum if rule.step else 0))
        while True:
            reach = self._reach(dim, length, rule)
            if reach is not None:
                break
            if rule.step == 0 or 2 * length > _LONGEST_PROBE:
                return Measured(Locality(0, 0, step, is_bounded=False), rule)
            length = self._valid(rule, 2 * length)
        lead, trail = reach
        stride = self._stride(dim, lead, trail, rule)
        if stride is None:
            return Measured(Locality(0, 0, step, is_bounded=False), rule)
        if step % stride:  # windows may then end off the network's inner grid
            lead, trail = self._reach(dim, length, rule, stride) or (lead, trail)
            lead, trail = lead + stride, trail + stride
        return Measured(Locality(lead, trail, stride), rule)

    def _valid(self, rule: SizeRule, at_least: int) -> int:
        if rule.step == 0:
            return rule.minimum
        return rule.minimum + max(0, math.ceil((at_least - rule.minimum) / rule.step)) * rule.step

    def _side(self, dim: str) -> int:
        smallest = _SMALLEST_SIDE if len(self._geometry.tiled) < 3 else _SMALLEST_SIDE_3D
        return self._valid(common_rule(self._geometry, dim), smallest)

    def _sizes(self, dim: str, length: int) -> dict[str, int]:
        return {d: length if d == dim else self._side(d) for d in self._geometry.tiled}

    def _run(self, arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        outputs = self._network([arrays[t.name] for t in self._geometry.inputs])
        require_count(outputs, self._geometry, self._network)
        return outputs

    def _free_rule(self, dim: str, declared: SizeRule) -> SizeRule:
        """Find out whether a size declared as fixed really is."""
        for step in (16, 32, 64):
            length = declared.minimum + step
            arrays = next(self._fillings(self._sizes(dim, length)))
            try:
                longer = self._run(arrays)
                self._check_sizes(longer, dim, length)
                as_declared = self._run(self._part(arrays, dim, 0, declared.minimum))
            except NetworkError:
                continue
            if self._agree(as_declared, longer, dim, 0, 0, declared.minimum // 4):
                return SizeRule(declared.minimum, step)
        return declared

    def _check_sizes(self, outputs: list[NDArray[Any]], dim: str, length: int) -> None:
        for tensor, output in zip(self._geometry.outputs, outputs, strict=True):
            if dim not in tensor.tiled:
                continue
            found = output.shape[tensor.dims.index(dim)] if output.ndim == len(tensor.dims) else 0
            expected = tensor.affines[dim].size(length)
            if found != expected:
                raise NetworkError(
                    f"output '{tensor.name}'",
                    f"{found} pixels along {dim} from an input of {length}",
                    f"{expected}, as its description says",
                    "The description is wrong; tell the package's authors.",
                )

    def _fillings(self, sizes: Mapping[str, int]) -> Iterator[dict[str, NDArray[Any]]]:
        """Give probe images: typical content twice (mirrored, noisy), then noise of its spread."""
        generator = np.random.default_rng(self._seed)
        for kind in ("content", "noise"):
            arrays = {}
            for tensor in self._geometry.inputs:
                content = self._contents[tensor.name]
                shape = [
                    tensor.affines[d].size(sizes[d]) if d in tensor.tiled else n
                    for d, n in zip(tensor.dims, content.shape, strict=True)
                ]
                spread = float(content.std()) or 1.0
                noise = generator.standard_normal(shape)
                if kind == "content":
                    base = _mirrored(content, shape) + 0.05 * spread * noise
                else:
                    base = float(content.mean()) + spread * noise
                arrays[tensor.name] = base.astype(content.dtype)
            yield arrays

    def _reach(
        self, dim: str, length: int, rule: SizeRule, stride: int = 1
    ) -> tuple[int, int] | None:
        """Give (lead, trail) in reference pixels, or None where a change is felt everywhere."""
        unit = math.lcm(cut_unit(self._geometry, dim), max(rule.step, 1), stride)
        cut = length // 2 // unit * unit
        lead = trail = 0
        sizes = self._sizes(dim, length)
        for arrays in self._fillings(sizes):
            other = {name: self._changed(a) for name, a in arrays.items()}
            reference = self._run(arrays)
            self._check_sizes(reference, dim, length)
            before = self._run(self._spliced(other, arrays, dim, cut))
            after = self._run(self._spliced(arrays, other, dim, cut))
            for tensor, ref, pre, post in zip(
                self._geometry.outputs, reference, before, after, strict=True
            ):
                if dim not in tensor.tiled:
                    return None
                axis, affine = tensor.dims.index(dim), tensor.affines[dim]
                border = int(cut * affine.ratio)
                felt = _changed_along(ref, pre, axis)
                if felt[-1]:
                    return None
                last = np.flatnonzero(felt[border:])
                lead = max(lead, _in_reference(int(last[-1]) + 1 if last.size else 0, affine))
                felt = _changed_along(ref, post, axis)
                if felt[0]:
                    return None
                first = np.flatnonzero(felt[:border])
                trail = max(
                    trail, _in_reference(border - int(first[0]) if first.size else 0, affine)
                )
        return lead, trail

    def _changed(self, array: NDArray[Any]) -> NDArray[Any]:
        generator = np.random.default_rng(self._seed + 1)
        noise = generator.standard_normal(array.shape) * (float(array.std()) or 1.0)
        return (array[..., ::-1, ::-1] + noise).astype(array.dtype)

    def _spliced(
        self,
        left: Mapping[str, NDArray[Any]],
        right: Mapping[str, NDArray[Any]],
        dim: str,
        cut: int,
    ) -> dict[str, NDArray[Any]]:
        arrays = {}
        for tensor in self._geometry.inputs:
            array = right[tensor.name].copy()
            if dim in tensor.tiled:
                index = [slice(None)] * array.ndim
                index[tensor.dims.index(dim)] = slice(0, int(cut * tensor.affines[dim].ratio))
                array[tuple(index)] = left[tensor.name][tuple(index)]
            arrays[tensor.name] = array
        return arrays

    def _stride(self, dim: str, lead: int, trail: int, rule: SizeRule) -> int | None:
        """Give the smallest shift of the input that only shifts the output."""
        unit = cut_unit(self._geometry, dim)
        declared = rule.step if rule.step > 1 else 0
        candidates = [s for s in ([declared] if declared else []) + list(_STRIDES) if s % unit == 0]
        longest = max(candidates)
        length = self._valid(rule, lead + trail + 4 * longest)
        if rule.step == 0:
            length = rule.minimum
            candidates = [s for s in candidates if lead + trail + s < length]
        content = next(self._fillings(self._sizes(dim, length + longest)))
        first = self._run(self._part(content, dim, 0, length))
        for stride in candidates:
            shifted = self._run(self._part(content, dim, stride, length))
            margin = stride if rule.step % stride else 0  # the window may end off the inner grid
            if self._agree(first, shifted, dim, stride, lead + margin, length - trail - margin):
                return stride
        return None

    def _part(
        self, arrays: Mapping[str, NDArray[Any]], dim: str, start: int, length: int
    ) -> dict[str, NDArray[Any]]:
        parts = {}
        for tensor in self._geometry.inputs:
            array = arrays[tensor.name]
            if dim in tensor.tiled:
                affine = tensor.affines[dim]
                origin = int(start * affine.ratio)
                index = [slice(None)] * array.ndim
                index[tensor.dims.index(dim)] = slice(origin, origin + affine.size(length))
                array = np.ascontiguousarray(array[tuple(index)])
            parts[tensor.name] = array
        return parts

    def _agree(
        self,
        first: list[NDArray[Any]],
        shifted: list[NDArray[Any]],
        dim: str,
        stride: int,
        low: int,
        high: int,
    ) -> bool:
        """Compare where both are out of reach of their windows' edges."""
        for tensor, a, b in zip(self._geometry.outputs, first, shifted, strict=True):
            if dim not in tensor.tiled:
                continue
            ratio, axis = tensor.affines[dim].ratio, tensor.dims.index(dim)
            start, stop, shift = (
                math.ceil((low + stride) * ratio),
                int(high * ratio),
                int(stride * ratio),
            )
            here = np.take(a, np.arange(start, stop), axis=axis).astype(np.float64)
            there = np.take(b, np.arange(start - shift, stop - shift), axis=axis)
            if here.size and np.abs(here - there).max() > _EQUAL * (float(a.std()) or 1.0):
                return False
        return True


def _mirrored(content: NDArray[Any], shape: list[int]) -> NDArray[Any]:
    """Continue ``content`` by mirroring it until it has ``shape``."""
    for axis, size in enumerate(shape):
        n = content.shape[axis]
        positions = np.arange(size) % (2 * n)
        content = np.take(
            content, np.where(positions < n, positions, 2 * n - 1 - positions), axis=axis
        )
    return content


def _changed_along(a: NDArray[Any], b: NDArray[Any], axis: int) -> NDArray[np.bool_]:
    """Tell per position along ``axis`` whether anything changed by more than rounding."""
    difference = np.abs(a.astype(np.float64) - b)
    others = tuple(i for i in range(a.ndim) if i != axis)
    threshold = _NEGLIGIBLE * (float(a.std()) or 1.0)
    return np.asarray(difference.max(axis=others) > threshold)


def _in_reference(pixels: int, affine: Affine) -> int:
    return math.ceil(pixels / affine.ratio)


def declared_locality(geometry: Geometry, dim: str) -> Locality:
    """Give the locality that the description promises: its halo on both sides, its step as grid."""
    lead = trail = 0
    for tensor in geometry.outputs:
        if dim in tensor.tiled:
            affine = tensor.affines[dim]
            halo = tensor.halo.get(dim, 0)
            lead = max(lead, _in_reference(halo, affine))
            trail = max(trail, _in_reference(max(halo - affine.offset, 0), affine))
    return Locality(lead, trail, max(common_rule(geometry, dim).step, 1))


def settle_locality(
    declared: Locality, measured: Measured, *, halo: int | None
) -> tuple[Locality, str]:
    """Give the locality to tile with: what was asked for, else the larger of promise and finding.

    Parameters
    ----------
    declared : Locality
        What the description promises.
    measured : Measured
        What was found.
    halo : int or None
        Pixels asked for by the user; None for as many as needed.

    Returns
    -------
    Locality, str
        And a sentence to warn with, or "".
    """
    found = measured.locality
    if not found.is_bounded:
        return found, ""
    needed = max(found.lead, found.trail)
    if halo is not None:
        shift = max(0, found.trail - found.lead)
        doubt = ""
        if halo < needed:
            doubt = (
                f"the halo of {halo} pixels asked for is smaller than the {needed} that the "
                "network sees; tiles will differ from the whole image near their borders."
            )
        return replace(found, lead=halo, trail=halo + shift), doubt
    promised = max(declared.lead, declared.trail)
    doubt = ""
    if 0 < promised < needed:
        doubt = (
            f"the package declares a halo of {promised} pixels, but its network sees {needed}; "
            f"{needed} were used."
        )
    used = replace(
        found, lead=max(declared.lead, found.lead), trail=max(declared.trail, found.trail)
    )
    if measured.rule.step == 0 and used.lead + used.trail >= measured.rule.minimum:
        return found, doubt
    return used, doubt
