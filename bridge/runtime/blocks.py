"""Where outputs go before or instead of a file: arrays in memory, and scratch files on disk."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.runtime.colours import of_same_colour
from bridge.runtime.geometry import COLOUR, TensorGeometry
from bridge.runtime.processing import Statistics
from bridge.runtime.windows import TensorSource

if TYPE_CHECKING:
    from bridge.runtime.execute import Layout, Sink, Work

_BLOCK_PIXELS = 1 << 22


class ArraySink:
    """An output kept in memory.

    Parameters
    ----------
    name, dims, shape, dtype, attrs
        Of the image.
    """

    def __init__(
        self,
        name: str,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        attrs: Mapping[str, Any],
    ) -> None:
        self.image = xr.DataArray(np.zeros(shape, dtype), dims=dims, name=name, attrs=dict(attrs))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Write one block."""
        self.image.values[tuple(region[str(d)] for d in self.image.dims)] = pixels


class ScratchSink:
    """The network's raw output, kept whole in a temporary file until it can be finished.

    Parameters
    ----------
    layout : Layout
        Of the output.
    adds : bool
        True where overlapping tiles are summed up.
    """

    def __init__(self, layout: Layout, *, adds: bool) -> None:
        self._layout = layout
        self._adds = adds
        self._folder = tempfile.TemporaryDirectory(prefix="zoobridge-", ignore_cleanup_errors=True)

    def __enter__(self) -> Self:
        path = Path(self._folder.name) / "raw"
        shape = self._layout.shape or (1,)
        self.pixels = np.memmap(path, dtype=np.float32, mode="w+", shape=shape)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self.pixels
        self._folder.cleanup()

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Write or add one block."""
        index = tuple(region[d] for d in self._layout.dims)
        if self._adds:
            self.pixels[index] += pixels
        else:
            self.pixels[index] = pixels

    @property
    def source(self) -> TensorSource:
        """The raw output as the source of a tensor, for statistics."""
        return TensorSource(xr.DataArray(self.pixels, dims=self._layout.dims), self._layout.tensor)


def finish_whole(
    work: Work, scratch: Mapping[str, ScratchSink], finals: Mapping[str, Sink]
) -> None:
    """Postprocess raw outputs that had to be whole first, and write them.

    Parameters
    ----------
    work : Work
        Its tallies are filled.
    scratch : mapping
        The raw outputs.
    finals : mapping
        Where the finished ones go.
    """
    sources = {name: s.source for name, s in scratch.items()}
    for name in scratch:
        work.tallies[name] = work.new_tally(name)
    shared: dict[int | None, Statistics] = {}
    for number, item in enumerate(work.items):
        colour = item.get(COLOUR)
        if colour not in shared:
            alike = of_same_colour(work.items, item)
            shared[colour] = work.pipeline.measure(sources, alike, of_all_items=True)
        own = work.pipeline.measure(sources, [item], of_all_items=False)
        stat = {**work.statistics[number], **shared[colour], **own}
        for tensor in work.geometry.outputs:
            layout = work.layouts[tensor.name]
            sizes = {d: n for d, n in zip(layout.dims, layout.shape, strict=True) if d not in item}
            for window in _row_blocks(sizes, tensor, pointwise=work.pipeline.is_pointwise):
                pixels = sources[tensor.name].read(item, window)
                done = work.pipeline.postprocess({tensor.name: pixels}, stat)[tensor.name]
                cut = done.squeeze(tensor.dims.index("b")) if "b" in tensor.dims else done
                work.count(tensor.name, item, cut)
                region, block = layout.place(item, window, cut)
                finals[tensor.name].write(region, block)


def _row_blocks(
    sizes: Mapping[str, int], tensor: TensorGeometry, *, pointwise: bool
) -> list[dict[str, slice]]:
    """Cut an output into bands along its first tiled dim, or leave it whole."""
    whole = {d: slice(0, sizes[d]) for d in tensor.tiled}
    if not pointwise or not tensor.tiled:
        return [whole]
    first = tensor.tiled[0]
    rows = max(1, _BLOCK_PIXELS * sizes[first] // max(1, math.prod(sizes.values())))
    return [
        {**whole, first: slice(start, min(start + rows, sizes[first]))}
        for start in range(0, sizes[first], rows)
    ]
