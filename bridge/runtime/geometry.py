"""How a package's tensors lie over an image: axes, sizes, scales and halos, as plain frozen values.

A *tensor* is what the network takes or gives; an *image* has the dims ``t c z y x``. Every tensor
axis is given one dim here: ``b`` (batch), ``c`` (channel), or a *tiled* dim (``t z y x``). Sizes
along tiled dims follow one rule, ``size = ratio * reference size + offset``, in exact fractions;
the reference is the first input that has the dim.

    image  t c z y x ──► leftover dims (say t) become batch items
           │                     ┌───────── tensor "input"  (b c y x) ─┐
           └─ one item: c y x ───┤                                     ├─► tensor "output" (b c y x)
                                 └───────── tensor "other"  (b c y x) ─┘     ratio 8, offset 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from bioimageio.spec.model import v0_5

from bridge.errors import ImageError, PackageError

TILED_DIMS = ("t", "z", "y", "x")
COLOUR = "colour"
"""The channels of an image where each is run by itself; see ``colours.py``."""
_LARGEST_RATIO_DENOMINATOR = 64


@dataclass(frozen=True)
class SizeRule:
    """Which sizes an input accepts along one dim: ``minimum + n * step`` pixels.

    ``step == 0`` means ``minimum`` and nothing else.
    """

    minimum: int
    step: int


@dataclass(frozen=True)
class Affine:
    """Size or position along one dim from the reference input's: ``ratio * reference + offset``."""

    ratio: Fraction
    offset: int = 0

    def size(self, reference: int) -> int:
        """Give the size in pixels that belongs to ``reference`` pixels (fractions rounded down)."""
        return int(self.ratio * reference) + self.offset


@dataclass(frozen=True)
class TensorGeometry:
    """The axes of one input or output tensor.

    Attributes
    ----------
    name : str
        The tensor's id.
    dims : tuple of str
        One dim per axis, in the tensor's order; ``b`` is batch.
    axis_ids : tuple of str
        The description's names of the same axes.
    n_channels : int or None
        Channels declared; None where there is no channel axis or the number is left open.
    batch_size : int or None
        The only batch size accepted, or None.
    rules : dict
        For inputs: accepted sizes per tiled dim.
    affines : dict
        Per tiled dim: this tensor's size from the reference input's.
    halo : dict
        For outputs: declared halo per tiled dim, in output pixels.
    """

    name: str
    dims: tuple[str, ...]
    axis_ids: tuple[str, ...]
    n_channels: int | None
    batch_size: int | None
    rules: dict[str, SizeRule]
    affines: dict[str, Affine]
    halo: dict[str, int]

    @property
    def tiled(self) -> tuple[str, ...]:
        """The tensor's tiled dims, in its own order."""
        return tuple(d for d in self.dims if d in TILED_DIMS)


@dataclass(frozen=True)
class Geometry:
    """All tensors of a package.

    Attributes
    ----------
    inputs, outputs : tuple of TensorGeometry
        In the description's order.
    references : dict
        Per tiled dim, the name of the input whose pixels count.
    """

    inputs: tuple[TensorGeometry, ...]
    outputs: tuple[TensorGeometry, ...]
    references: dict[str, str]

    @property
    def tiled(self) -> tuple[str, ...]:
        """The dims along which an image can be cut, in the order t z y x."""
        return tuple(d for d in TILED_DIMS if d in self.references)

    def input(self, name: str) -> TensorGeometry:
        """Give the input of that name."""
        return next(t for t in self.inputs if t.name == name)

    def rule(self, dim: str) -> SizeRule:
        """Give the sizes that the reference input accepts along ``dim``."""
        return self.input(self.references[dim]).rules[dim]

    @property
    def max_batch(self) -> int | None:
        """The largest batch the description allows; None for any."""
        sizes = [
            1 if "b" not in t.dims else t.batch_size
            for t in (*self.inputs, *self.outputs)
            if "b" not in t.dims or t.batch_size
        ]
        return min((s for s in sizes if s is not None), default=None)


def read_geometry(description: v0_5.ModelDescr) -> Geometry:
    """Read the tensors' geometry from a description.

    Parameters
    ----------
    description : ModelDescr
        A format 0.5 description (0.4 is converted when a package is opened).

    Returns
    -------
    Geometry

    Raises
    ------
    PackageError
        An axis is of a kind that images don't have, or a size refers to what isn't there.
    """
    descriptors: list[v0_5.InputTensorDescr | v0_5.OutputTensorDescr] = [
        *description.inputs,
        *description.outputs,
    ]
    dims = {str(t.id): _name_axes(str(t.id), t.axes) for t in descriptors}
    axes = {
        (str(t.id), dim): axis
        for t in descriptors
        for dim, axis in zip(dims[str(t.id)], t.axes, strict=True)
    }
    ids = {
        (str(t.id), str(a.id)): d
        for t in descriptors
        for d, a in zip(dims[str(t.id)], t.axes, strict=True)
    }
    references: dict[str, str] = {}
    for tensor in description.inputs:
        for dim in dims[str(tensor.id)]:
            if dim in TILED_DIMS:
                references.setdefault(dim, str(tensor.id))

    resolver = _Resolver(axes, ids, references)
    inputs = tuple(
        _read_tensor(t, dims[str(t.id)], resolver, is_input=True) for t in description.inputs
    )
    outputs = tuple(
        _read_tensor(t, dims[str(t.id)], resolver, is_input=False) for t in description.outputs
    )
    return Geometry(inputs=inputs, outputs=outputs, references=references)


def _name_axes(tensor: str, axes: Sequence[v0_5.AnyAxis]) -> tuple[str, ...]:
    """Give each axis of a tensor its dim; space axes with odd names are z, y, x from the end."""
    space = [a for a in axes if a.type == "space"]
    if len(space) > 3:
        raise PackageError(
            f"tensor '{tensor}'", f"{len(space)} space axes", "at most three (z, y, x)", ""
        )
    by_name = [str(a.id).lower() for a in space]
    if set(by_name) <= {"x", "y", "z"} and len(set(by_name)) == len(by_name):
        space_dims = by_name
    else:
        space_dims = list("zyx"[3 - len(space) :])
    remaining = iter(space_dims)
    dims = []
    for axis in axes:
        match axis.type:
            case "batch":
                dims.append("b")
            case "channel":
                dims.append("c")
            case "space":
                dims.append(next(remaining))
            case _:  # time and index axes
                dims.append("t")
    if len(set(dims)) != len(dims):
        raise PackageError(
            f"tensor '{tensor}'",
            f"axes {[str(a.id) for a in axes]}",
            "at most one batch, channel and time or index axis",
            "zoobridge cannot run this package.",
        )
    return tuple(dims)


class _Resolver:
    """Turn the description's sizes into affine rules on the reference inputs."""

    def __init__(
        self,
        axes: dict[tuple[str, str], v0_5.AnyAxis],
        ids: dict[tuple[str, str], str],
        references: dict[str, str],
    ) -> None:
        self._axes = axes
        self._ids = ids
        self._references = references

    def affine(self, tensor: str, dim: str) -> Affine:
        """Give the size rule of ``tensor`` along ``dim`` from the dim's reference input."""
        axis = self._axes[tensor, dim]
        reference_tensor = self._references.get(dim)
        if reference_tensor == tensor:
            return Affine(Fraction(1))
        size = axis.size
        if isinstance(size, v0_5.SizeReference):
            target = str(size.tensor_id)
            target_dim = self._ids.get((target, str(size.axis_id)))
            if target_dim is None:
                raise PackageError(
                    f"tensor '{tensor}', axis '{axis.id}'",
                    f"its size refers to '{size.tensor_id}.{size.axis_id}'",
                    "an axis of another tensor",
                    "The description is wrong; tell its authors.",
                )
            if target_dim == dim:
                ratio = _ratio(self._axes[target, target_dim], axis)
                inner = self.affine(target, dim)
                return Affine(inner.ratio * ratio, int(inner.offset * ratio) + size.offset)
        if reference_tensor is None:
            return Affine(Fraction(0), _smallest(axis))
        reference = self._axes[reference_tensor, dim]
        ratio = _ratio(reference, axis)
        if isinstance(size, v0_5.DataDependentSize):
            return Affine(ratio)
        mine, theirs = _smallest(axis), _smallest(reference)
        if mine != int(theirs * ratio) and _scale(reference) == _scale(axis):
            ratio = _simple(Fraction(mine, theirs))  # sizes say it where the scales were left out
        return Affine(
            ratio, 0 if isinstance(size, v0_5.ParameterizedSize) else mine - int(theirs * ratio)
        )


def _read_tensor(
    tensor: v0_5.InputTensorDescr | v0_5.OutputTensorDescr,
    dims: tuple[str, ...],
    resolver: _Resolver,
    *,
    is_input: bool,
) -> TensorGeometry:
    name = str(tensor.id)
    by_dim = dict(zip(dims, tensor.axes, strict=True))
    tiled = [d for d in dims if d in TILED_DIMS]
    channel = by_dim.get("c")
    batch = by_dim.get("b")
    rules = {d: _rule(by_dim[d], resolver.affine(name, d)) for d in tiled} if is_input else {}
    return TensorGeometry(
        name=name,
        dims=dims,
        axis_ids=tuple(str(a.id) for a in tensor.axes),
        n_channels=channel.size if channel is not None and isinstance(channel.size, int) else None,
        batch_size=batch.size if batch is not None and isinstance(batch.size, int) else None,
        rules=rules,
        affines={d: resolver.affine(name, d) for d in tiled},
        halo={d: int(getattr(by_dim[d], "halo", 0) or 0) for d in tiled} if not is_input else {},
    )


def _rule(axis: v0_5.AnyAxis, affine: Affine) -> SizeRule:
    size = axis.size
    if isinstance(size, v0_5.ParameterizedSize):
        return SizeRule(size.min, size.step)
    if isinstance(size, int):
        return SizeRule(size, 0)
    return SizeRule(max(1, affine.size(0)), 1)  # follows another input


def _smallest(axis: v0_5.AnyAxis) -> int:
    size = axis.size
    if isinstance(size, int):
        return size
    return size.min if isinstance(size, (v0_5.ParameterizedSize, v0_5.DataDependentSize)) else 1


def _scale(axis: v0_5.AnyAxis) -> Fraction:
    return Fraction(str(getattr(axis, "scale", 1.0)))


def _ratio(reference: v0_5.AnyAxis, axis: v0_5.AnyAxis) -> Fraction:
    """Pixels of ``axis`` per pixel of ``reference``; rounded scales stand for simple ratios."""
    return _simple(_scale(reference) / _scale(axis))


def _simple(exact: Fraction) -> Fraction:
    near = exact.limit_denominator(_LARGEST_RATIO_DENOMINATOR)
    return near if near and abs(near - exact) < Fraction(1, 1000) * exact else exact


def batch_dims(geometry: Geometry, sizes: dict[str, int]) -> tuple[str, ...]:
    """Give the image dims that the network doesn't have, in image order: one batch item each.

    Parameters
    ----------
    geometry : Geometry
        The package's geometry.
    sizes : dict
        The image's size per dim.

    Returns
    -------
    tuple of str
        A subset of ``("t", "colour", "z")``.

    Raises
    ------
    ImageError
        The image lacks a dim that the network needs.
    """
    missing = [d for d in geometry.tiled if d not in sizes]
    if missing:
        names = {"t": "time (t)", "z": "depth (z)", "y": "height (y)", "x": "width (x)"}
        raise ImageError(
            "image axes",
            f"the image has {' '.join('c' if d == COLOUR else d for d in sizes)}",
            f"{' and '.join(names[d] for d in missing)} too: the model works on "
            f"{' '.join(geometry.tiled)}",
            "Give such an image, or say with --axes what the image's axes are.",
        )
    return tuple(d for d in ("t", COLOUR, "z") if d in sizes and d not in geometry.tiled)
