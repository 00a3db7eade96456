"""Fit images to a model's inputs: axes, channels, sizes; a misfit's error says both sides."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr
from bioimageio.spec.model import v0_5

from bridge.errors import ImageError
from bridge.runtime.geometry import COLOUR, Geometry, TensorGeometry, batch_dims
from bridge.runtime.windows import TensorSource, padding_of
from bridge.zoo.description import pixel_size_nm

_LEFT_OVER = ("t", COLOUR, "z")
_PIXEL_SIZE_TOLERANCE = 1.2


@dataclass(frozen=True)
class Bound:
    """Images that fit a model.

    Attributes
    ----------
    sources : dict of TensorSource
        Per input name.
    sizes : dict
        Size per tiled dim, in pixels of the reference input.
    batch_sizes : dict
        Size per leftover dim, in the order t, colour, z.
    warnings : tuple of str
        What fits, but perhaps isn't meant.
    """

    sources: Mapping[str, TensorSource]
    sizes: Mapping[str, int]
    batch_sizes: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def items(self) -> list[Mapping[str, int]]:
        """The batch items: every combination of leftover indices."""
        ranges = [range(n) for n in self.batch_sizes.values()]
        return [
            dict(zip(self.batch_sizes, index, strict=True)) for index in itertools.product(*ranges)
        ]


def bind(
    images: Mapping[str, xr.DataArray],
    description: v0_5.ModelDescr,
    geometry: Geometry,
    *,
    channel: int = 0,
) -> Bound:
    """Fit images to the model's inputs.

    Parameters
    ----------
    images : mapping
        One image per input name.
    description : ModelDescr
        The model's description.
    geometry : Geometry
        Its tensors.
    channel : int
        The channel to use of each image, from 1; 0 for all of them.

    Returns
    -------
    Bound

    Raises
    ------
    ImageError
        An input lacks an image, or an image's axes, channels or size don't fit.
    """
    names = [t.name for t in geometry.inputs]
    if set(images) != set(names):
        raise ImageError(
            "images",
            f"given for {', '.join(images) or 'no input'}",
            f"one for each of the model's inputs: {', '.join(names)}",
            "Name them as --input NAME=FILE." if len(names) > 1 else "",
        )
    sources: dict[str, TensorSource] = {}
    batch: dict[str, int] = {}
    for tensor, descriptor in zip(geometry.inputs, description.inputs, strict=True):
        image = _pick_channel(images[tensor.name], channel)
        _check_dtype(image, tensor)
        _check_channels(image, tensor, descriptor)
        if "c" in image.dims and "c" not in tensor.dims:
            image = image.isel(c=0)
        sizes = {str(d): int(n) for d, n in image.sizes.items()}
        left_over = batch_dims(geometry, {**dict.fromkeys(geometry.tiled, 0), **sizes})
        if not sources:
            batch = {dim: sizes[dim] for dim in left_over}
        for dim in dict.fromkeys((*batch, *left_over)):
            if batch.get(dim, 1) != sizes.get(dim, 1):
                raise ImageError(
                    f"{_source(image)} for input '{tensor.name}'",
                    f"{sizes.get(dim, 1)} along {dim}",
                    f"{batch.get(dim, 1)}, as in the other input",
                )
        missing = [d for d in tensor.tiled if d not in sizes]
        if missing:
            batch_dims(geometry, sizes)
        image = image.isel({d: 0 for d in left_over if d not in batch})
        sources[tensor.name] = TensorSource(image, tensor, padding_of(descriptor))
    reference = {d: sources[geometry.references[d]].image.sizes[d] for d in geometry.tiled}
    _check_sizes(sources, reference, geometry)
    warnings = tuple(
        w for d in description.inputs for w in _pixel_size_warnings(sources, description, d)
    )
    ordered: dict[str, int] = {d: batch[d] for d in _LEFT_OVER if d in batch}
    return Bound(sources, reference, ordered, warnings)


def _pick_channel(image: xr.DataArray, channel: int) -> xr.DataArray:
    if channel == 0:
        return image
    n = image.sizes.get("c", 1)
    if channel > n:
        raise ImageError(
            _source(image), f"{n} channels", f"a channel {channel}", "Channels count from 1."
        )
    return image.isel(c=channel - 1) if "c" in image.dims else image


def _check_dtype(image: xr.DataArray, tensor: TensorGeometry) -> None:
    if image.dtype.kind not in "buif":
        raise ImageError(
            _source(image),
            f"values of type {image.dtype}",
            f"numbers for input '{tensor.name}'",
            "",
        )


def _check_channels(
    image: xr.DataArray, tensor: TensorGeometry, descriptor: v0_5.InputTensorDescr
) -> None:
    n = image.sizes.get("c", 1)
    if "c" not in tensor.dims:
        expected: int | None = 1
    else:
        expected = tensor.n_channels
    if expected is None or n == expected:
        return
    n_colours = image.sizes.get(COLOUR)
    names = next((a.channel_names for a in descriptor.axes if a.type == "channel"), [])
    wanted = f"{expected} channel{'s' if expected != 1 else ''}"
    if names and expected > 1:
        wanted += f" ({', '.join(map(str, names))})"
    what = f"{n} channels" + (" (an RGB image?)" if n in {3, 4} else "") if n > 1 else "1 channel"
    if n_colours:
        what = f"{n_colours} colours, each run by itself"
    raise ImageError(
        f"{_source(image)} for input '{tensor.name}'",
        what,
        f"{wanted}, as the model was made for",
        "Choose one with --channel 1, --channel 2 ..., or run each by itself and merge the results "
        "with --each-colour; if that axis is not colour, say what the axes are with --axes."
        if expected == 1
        else "Leave --each-colour out: the model takes its channels together."
        if n_colours
        else "Give an image with these channels.",
    )


def _check_sizes(
    sources: Mapping[str, TensorSource], reference: Mapping[str, int], geometry: Geometry
) -> None:
    for source in sources.values():
        for dim in source.tensor.tiled:
            expected = source.tensor.affines[dim].size(reference[dim])
            found = source.image.sizes[dim]
            if found != expected:
                raise ImageError(
                    f"{_source(source.image)} for input '{source.tensor.name}'",
                    f"{found} pixels along {dim}",
                    f"{expected}, for {reference[dim]} pixels of input "
                    f"'{geometry.references[dim]}'",
                    "The two images must show the same field at the model's scales.",
                )


def _pixel_size_warnings(
    sources: Mapping[str, TensorSource],
    description: v0_5.ModelDescr,
    descriptor: v0_5.InputTensorDescr,
) -> list[str]:
    """Warn where the image's pixels are of another size than the model's description says."""
    source = sources[str(descriptor.id)]
    known: Mapping[str, float] = source.image.attrs.get("pixel_size_nm", {})
    axes = dict(zip(source.tensor.dims, descriptor.axes, strict=True))
    found = []
    for dim, nm in known.items():
        if dim not in source.tensor.tiled:
            continue
        made_for = pixel_size_nm(description, descriptor, str(axes[dim].id))
        if made_for is None:
            continue
        if max(nm / made_for, made_for / nm) > _PIXEL_SIZE_TOLERANCE:
            found.append(
                f"The image's pixels are {nm:g} nm along {dim}, the model was made for "
                f"{made_for:g} nm."
            )
    return found


def _source(image: xr.DataArray) -> str:
    return str(image.attrs.get("source") or image.name or "image")
