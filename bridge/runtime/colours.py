"""Colours run one by one: each channel is an image of its own, and the results are one composite.

::

    image  c y x ──► "colour" y x ──► one item per colour ──► network ──► colour (c) y x ──► c y x

Inside a run the colours are a leftover dim like t and z, named ``colour``; so tiles, statistics,
sums and journals treat them as passes of their own. Only the images given and the sinks know c.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import xarray as xr
from numpy.typing import NDArray

from bridge.errors import InputError
from bridge.runtime.geometry import COLOUR

if TYPE_CHECKING:
    from bridge.runtime.execute import Item, Sink
    from bridge.runtime.predict import OutputSpec, SinkFactory


def require_no_choice(channel: int) -> None:
    """Raise InputError where one channel is chosen though each is to be run."""
    if channel:
        raise InputError(
            f"--channel {channel}",
            "--each-colour is given too, which runs every channel",
            "one of the two",
            "Leave out --channel for a composite of all colours, or --each-colour for one of them.",
        )


def split_colours(images: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Make the channels (c) of each image colours; an image without channels stays as it is."""
    return {
        name: image.rename({"c": COLOUR}) if "c" in image.dims else image
        for name, image in images.items()
    }


def colour_names(image: xr.DataArray) -> list[str]:
    """Give the names of an image's colours; empty ones where the image doesn't say them."""
    names = [str(name) for name in image.attrs.get("channel_names") or []]
    n_colours = image.sizes.get(COLOUR, 1)
    return names if len(names) == n_colours else [""] * n_colours


def of_same_colour(items: Sequence[Item], item: Item) -> list[Item]:
    """Give the items of an item's colour: all of them where there are no colours."""
    return [one for one in items if one.get(COLOUR) == item.get(COLOUR)]


def as_channels(sizes: Mapping[str, int]) -> dict[str, int]:
    """Give the sizes that an image has once its colours are channels again."""
    merged: dict[str, int] = {}
    for dim, n in sizes.items():
        name = "c" if dim == COLOUR else dim
        merged[name] = merged.get(name, 1) * n
    return merged


def merging(sinks: SinkFactory, names: Sequence[str]) -> SinkFactory:
    """Give sinks that take colours, and write them as channels to those of ``sinks``.

    Parameters
    ----------
    sinks : callable
        Gives, per output, the sink of the composite.
    names : sequence of str
        Of the colours; empty ones are not known.
    """

    def factory(spec: OutputSpec) -> AbstractContextManager[Sink]:
        return _Composite(spec, sinks, names)

    return factory


class _Composite:
    """A sink whose colours, and within a colour its channels, are the channels of another."""

    def __init__(self, spec: OutputSpec, sinks: SinkFactory, names: Sequence[str]) -> None:
        self._dims = spec.dims
        sizes = dict(zip(spec.dims, spec.shape, strict=True))
        self._n_channels = sizes.get("c", 1)
        whole = as_channels(sizes)
        attrs = {name: value for name, value in spec.attrs.items() if name != "channel_names"}
        labels = _label(names, spec.attrs.get("channel_names"), sizes.get("c"))
        if labels:
            attrs["channel_names"] = labels
        merged = replace(spec, dims=tuple(whole), shape=tuple(whole.values()), attrs=attrs)
        self._target = sinks(merged)

    def __enter__(self) -> Self:
        self._sink = self._target.__enter__()
        self.finished: frozenset[str] = getattr(self._sink, "finished", frozenset())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._target.__exit__(kind, error, trace)

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Write a block of some colours; each with all of its channels."""
        n = self._n_channels
        colours = region[COLOUR]
        merged = {dim: part for dim, part in region.items() if dim != COLOUR}
        merged["c"] = slice(colours.start * n, colours.stop * n)
        shape = list(pixels.shape)
        if "c" in self._dims:
            at = self._dims.index(COLOUR)
            shape[at : at + 2] = [shape[at] * shape[at + 1]]
        self._sink.write(merged, pixels.reshape(shape))

    def mark(self, step: str) -> None:
        """Note a finished step where the other sink keeps a journal."""
        note: Callable[[str], None] | None = getattr(self._sink, "mark", None)
        if note is not None:
            note(step)


def _label(
    colours: Sequence[str], renderings: Sequence[str] | None, n_renderings: int | None
) -> list[str]:
    """Name the composite's channels: ``GFP``, or ``GFP: rendering``; none where nothing is known.

    Channels that a network makes of one colour stay together.
    """
    if n_renderings is None:
        return list(colours) if all(colours) else []
    own = renderings or [f"channel {number}" for number in range(1, n_renderings + 1)]
    return [
        f"{colour or f'colour {number}'}: {rendering}"
        for number, colour in enumerate(colours, start=1)
        for rendering in own
    ]
