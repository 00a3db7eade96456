"""Carry out a plan: read, normalise, run, postprocess, cut and write, three stages side by side.

::

    reader thread    window -> tensor -> preprocessing ─┐
    caller's thread                      batch -> network ─┐
    writer thread                             postprocessing -> crop -> sink, tally

At most two batches are under way in each stage, so memory does not grow with the image.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bridge.errors import NetworkError, VerdictError
from bridge.progress import Progress
from bridge.runtime.engine import Network, require_count
from bridge.runtime.geometry import COLOUR, Geometry, TensorGeometry
from bridge.runtime.plan import Tile, TilePlan
from bridge.runtime.processing import Pipeline, Statistics
from bridge.runtime.verdict import Tally
from bridge.runtime.windows import TensorSource

Item = Mapping[str, int]


class Sink(Protocol):
    """Where one output goes, in the output image's own dims."""

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Write one block; ``pixels`` has the sink's dims in order."""


@dataclass(frozen=True)
class Layout:
    """How an output tensor becomes an image.

    Attributes
    ----------
    tensor : TensorGeometry
        The output.
    dims : tuple of str
        The image's dims, in the order t colour c z y x.
    shape : tuple of int
        Its size.
    """

    tensor: TensorGeometry
    dims: tuple[str, ...]
    shape: tuple[int, ...]

    def place(
        self, item: Item, regions: Mapping[str, slice], pixels: NDArray[Any]
    ) -> tuple[dict[str, slice], NDArray[Any]]:
        """Turn one tile's cut output (tensor axis order, no batch axis) into an image block."""
        dims = [d for d in self.tensor.dims if d != "b"]
        if "c" in dims and "c" not in self.dims:
            pixels = pixels.squeeze(dims.index("c"))
            dims.remove("c")
        for dim in self.dims:
            if dim not in dims:
                pixels, dims = pixels[None], [dim, *dims]
        region = {
            d: slice(item[d], item[d] + 1) if d in item else regions.get(d, slice(0, n))
            for d, n in zip(self.dims, self.shape, strict=True)
        }
        return region, pixels.transpose([dims.index(d) for d in self.dims])


@dataclass
class Work:
    """Everything that one run over one image needs.

    Attributes
    ----------
    network, geometry, pipeline, plan
        What runs, on what, with which normalisation and tiles.
    sources : dict of TensorSource
        Per input.
    items : list of Item
        Batch items: the leftover dims' indices.
    statistics : list of Statistics
        One per item.
    layouts, sinks : dict
        Per output.
    batch : int
        Tiles per forward pass.
    done : frozenset of str
        Steps finished by an earlier, interrupted run.
    """

    network: Network
    geometry: Geometry
    pipeline: Pipeline
    plan: TilePlan
    sources: Mapping[str, TensorSource]
    items: Sequence[Item]
    statistics: Sequence[Statistics]
    layouts: Mapping[str, Layout]
    sinks: Mapping[str, Sink]
    batch: int = 1
    done: frozenset[str] = frozenset()
    is_raw: bool = False
    """True where the network's output is wanted before postprocessing."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    """Filled while running: per output, its range."""
    colour_tallies: dict[tuple[str, int], Tally] = field(default_factory=dict)
    """Filled while running, where colours are run by themselves: per output and colour."""
    seen: dict[str, Tally] = field(default_factory=dict)
    """Filled while running: per input, the range of the raw pixels that were read."""
    least_bright: Mapping[str, float] = field(default_factory=dict)
    """Per input or output that must not be black: the value that counts as bright."""
    flaw: VerdictError | None = None
    """Filled in the end: what is wrong with the output, where that is no error."""

    def count(self, name: str, item: Item, pixels: NDArray[Any]) -> Tally:
        """Take finished pixels into an output's range; gives their own."""
        tally = self.tallies[name].add(pixels)
        self.count_colour(name, item, tally)
        return tally

    def count_colour(self, name: str, item: Item, tally: Tally) -> None:
        """Take a block's range into that of its colour, if it has one."""
        if COLOUR in item:
            self.colour_tallies.setdefault((name, item[COLOUR]), Tally()).merge(tally)

    def new_tally(self, name: str) -> Tally:
        """Give an empty tally for an input or output."""
        return Tally(bright_from=self.least_bright.get(name, math.inf))


def run(work: Work, progress: Progress) -> None:
    """Carry out the work; sinks and tallies are filled when it returns.

    Raises
    ------
    Cancelled
        ``progress`` said so; after at most two more batches.
    VerdictError
        An output holds NaN.
    """
    finished = {_step_name(s): s for s in work.done}
    for name in work.layouts:
        work.tallies.setdefault(name, work.new_tally(name))
    for step in work.done:
        for name, fields in json.loads(step)["tally"].items():
            tally = Tally.from_list(fields)
            work.tallies[name].merge(tally)
            work.count_colour(name, work.items[_item_number(step)], tally)
    steps = (s for s in _steps(work) if _name(*s) not in finished)
    total = len(work.items) * len(work.plan)
    progress(len(finished), total, work.network.engine)
    count = len(finished)
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        writing: list[Future[None]] = []
        try:
            for batch, arrays in _prefetch(work, steps, reader):
                outputs = work.network(arrays)
                _check_outputs(work, outputs, len(batch))
                writing.append(writer.submit(_finish, work, batch, outputs))
                if len(writing) > 1:
                    writing.pop(0).result()
                count += len(batch)
                progress(count, total, work.network.engine)
            for future in writing:
                future.result()
        except BaseException:
            for future in writing:
                future.cancel()
            raise


_Step = tuple[int, Tile]


def _steps(work: Work) -> Iterator[_Step]:
    for number in range(len(work.items)):
        for tile in work.plan:
            yield number, tile


def _name(number: int, tile: Tile) -> str:
    return f"{number}:{'.'.join(map(str, tile.index))}"


def _step_name(step: str) -> str:
    return str(json.loads(step)["step"])


def _item_number(step: str) -> int:
    return int(_step_name(step).partition(":")[0])


def _prefetch(
    work: Work, steps: Iterator[_Step], reader: ThreadPoolExecutor
) -> Iterator[tuple[list[_Step], list[NDArray[Any]]]]:
    """Give batches with their preprocessed arrays, one batch read ahead."""
    ahead: Future[tuple[list[_Step], list[NDArray[Any]]]] | None = None
    while batch := list(itertools.islice(steps, work.batch)):
        coming = reader.submit(_prepare, work, batch)
        if ahead is not None:
            yield ahead.result()
        ahead = coming
    if ahead is not None:
        yield ahead.result()


def _prepare(work: Work, batch: list[_Step]) -> tuple[list[_Step], list[NDArray[Any]]]:
    arrays = []
    for tensor in work.geometry.inputs:
        source = work.sources[tensor.name]
        parts = []
        for number, tile in batch:
            window = work.plan.window(tile, tensor)
            pixels = source.read(work.items[number], window)
            work.seen.setdefault(tensor.name, work.new_tally(tensor.name)).add(pixels)
            parts.append(work.pipeline.preprocess(tensor.name, pixels, work.statistics[number]))
        if len(parts) == 1:
            arrays.append(parts[0])
        else:
            arrays.append(np.concatenate(parts, axis=tensor.dims.index("b")))
    return batch, arrays


def _check_outputs(work: Work, outputs: list[NDArray[Any]], n_tiles: int) -> None:
    require_count(outputs, work.geometry, work.network)
    for tensor, output in zip(work.geometry.outputs, outputs, strict=True):
        shape = [
            n_tiles
            if d == "b"
            else tensor.n_channels or (output.shape[i] if i < output.ndim else 0)
            if d == "c"
            else tensor.affines[d].size(work.plan.axes[d].window)
            for i, d in enumerate(tensor.dims)
        ]
        if list(output.shape) != shape:
            raise NetworkError(
                f"output '{tensor.name}'",
                f"shape {output.shape}",
                f"{tuple(shape)} with axes {' '.join(tensor.dims)}, as the description says",
                "The description is wrong; tell the package's authors.",
            )


def _finish(work: Work, batch: list[_Step], outputs: list[NDArray[Any]]) -> None:
    """Postprocess, cut and write one batch's outputs."""
    for position, (number, tile) in enumerate(batch):
        arrays = {}
        for tensor, output in zip(work.geometry.outputs, outputs, strict=True):
            if "b" in tensor.dims:
                output = np.take(output, [position], axis=tensor.dims.index("b"))
            arrays[tensor.name] = output
        if not work.is_raw:
            arrays = work.pipeline.postprocess(arrays, work.statistics[number])
        tallies = {}
        for tensor in work.geometry.outputs:
            tally = _write(work, tensor, number, tile, arrays[tensor.name])
            tallies[tensor.name] = tally.as_list()
        mark = json.dumps({"step": _name(number, tile), "tally": tallies})
        for sink in work.sinks.values():
            if hasattr(sink, "mark"):
                sink.mark(mark)


def _write(
    work: Work, tensor: TensorGeometry, number: int, tile: Tile, output: NDArray[Any]
) -> Tally:
    layout = work.layouts[tensor.name]
    kept = work.plan.kept(tile, tensor)
    if work.plan.is_blended:
        for dim, weight in work.plan.blend_weights(tile, tensor).items():
            shape = [-1 if d == dim else 1 for d in tensor.dims]
            output = output * weight.reshape(shape)
    index = tuple(kept[d][1] if d in kept else slice(None) for d in tensor.dims)
    cut = output[index]
    if "b" in tensor.dims:
        cut = cut.squeeze(tensor.dims.index("b"))
    if cut.size == 0:
        return Tally()
    tally = work.count(tensor.name, work.items[number], cut)
    if tally.n_bad == cut.size and not work.plan.is_blended:
        raise VerdictError(
            f"output '{tensor.name}'",
            "NaN: a whole tile of it is NaN or infinite",
            "finite values",
            "The network overflowed: check the input's range, and use --precision float32.",
        )
    region, pixels = layout.place(work.items[number], {d: k[0] for d, k in kept.items()}, cut)
    work.sinks[tensor.name].write(region, pixels)
    return tally
