"""The frames of a movie added up while they are computed: one image, and no stack anywhere.

::

    tile of frame t --+--> running sum (float64, on disk, as large as one frame) --> image (float32)
    tile of frame t+1-+
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.runtime.verdict import Tally

if TYPE_CHECKING:
    from bridge.runtime.bind import Bound
    from bridge.runtime.execute import Layout, Sink, Work
    from bridge.runtime.predict import OutputSpec, SinkFactory

FRAMES: Final = "t"
"""The axis that is summed over."""
_BLOCK_PIXELS: Final = 1 << 22


class FrameSum:
    """A sink that adds up frames, and writes their sum to another sink in the end.

    Values are added as they are, those below 0 too; in float64, so that a long movie's sum is not
    the coarser for it. The running sum lies in a temporary file, which the system keeps in memory
    as far as there is some.

    Parameters
    ----------
    spec : OutputSpec
        The output as a stack; its dims include t.
    sinks : callable
        Gives the sink of the sum; entered and left with this one.
    """

    def __init__(self, spec: OutputSpec, sinks: SinkFactory) -> None:
        self._axis = spec.dims.index(FRAMES)
        self.spec = spec_of_sum(spec)
        self._target: AbstractContextManager[Sink] = sinks(self.spec)
        self._folder = tempfile.TemporaryDirectory(prefix="zoobridge-", ignore_cleanup_errors=True)

    def __enter__(self) -> Self:
        try:
            self._sink = self._target.__enter__()
        except BaseException:
            self._folder.cleanup()
            raise
        path = Path(self._folder.name) / "sum"
        self._sum = np.memmap(path, dtype=np.float64, mode="w+", shape=self.spec.shape)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._sum
        self._folder.cleanup()
        self._target.__exit__(kind, error, trace)

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Add one block: with the axis t, of one or more frames; without it, of one."""
        index = tuple(region[dim] for dim in self.spec.dims)
        if FRAMES not in region:
            self._sum[index] += pixels
            return
        for frame in np.moveaxis(pixels, self._axis, 0):
            self._sum[index] += frame

    def finish(self) -> Tally:
        """Write the sum, some rows at a time, and give its range."""
        tally = Tally()
        rows_dim = self.spec.dims[0]
        n_rows = self.spec.shape[0]
        rows = max(1, _BLOCK_PIXELS * n_rows // math.prod(self.spec.shape))
        whole = {d: slice(0, n) for d, n in zip(self.spec.dims, self.spec.shape, strict=True)}
        for start in range(0, n_rows, rows):
            part = slice(start, min(start + rows, n_rows))
            pixels = self._sum[part].astype(self.spec.dtype)
            tally.add(pixels)
            self._sink.write({**whole, rows_dim: part}, pixels)
        return tally


def frames_of(work: Work) -> Iterator[Work]:
    """Give the work on each frame, as if it were an image of its own."""
    n_frames = 1 + max(item[FRAMES] for item in work.items)
    n_items = len(work.items) // n_frames  # t comes first in the items' order
    layouts = {name: _without_frames(layout) for name, layout in work.layouts.items()}
    for number in range(n_frames):
        own = slice(number * n_items, (number + 1) * n_items)
        frame = {FRAMES: number}
        yield replace(
            work,
            sources={
                name: replace(source, image=source.image.isel(frame, missing_dims="ignore"))
                for name, source in work.sources.items()
            },
            items=[{d: i for d, i in item.items() if d != FRAMES} for item in work.items[own]],
            statistics=work.statistics[own],
            layouts=layouts,
            done=frozenset(),
        )


def _without_frames(layout: Layout) -> Layout:
    sizes = dict(zip(layout.dims, layout.shape, strict=True))
    del sizes[FRAMES]
    return replace(layout, dims=tuple(sizes), shape=tuple(sizes.values()))


def spec_of_sum(spec: OutputSpec) -> OutputSpec:
    """Give what a sink for the sum of an output's frames has to hold: no t, float32."""
    sizes = dict(zip(spec.dims, spec.shape, strict=True))
    del sizes[FRAMES]
    attrs = {name: value for name, value in spec.attrs.items() if name != "frame_interval_s"}
    return replace(
        spec,
        dims=tuple(sizes),
        shape=tuple(sizes.values()),
        dtype=np.dtype(np.float32),
        attrs=attrs,
    )


def require_frames(bound: Bound) -> None:
    """Raise ImageError where an image has no frames that the model takes one by one.

    Parameters
    ----------
    bound : Bound
        The image, or one per input, fitted to the model.
    """
    if FRAMES in bound.batch_sizes:
        return
    image = next(iter(bound.sources.values())).image
    dims = [str(d) for d in image.dims]
    source = str(image.attrs.get("source") or image.name or "image")
    if FRAMES in dims:
        raise ImageError(
            source,
            "the model takes its time axis whole, so there are no outputs of frames to add up",
            "a model that takes one frame at a time",
            "Leave --sum out.",
        )
    raise ImageError(
        source,
        f"it has the axes {' '.join(dims)}, and no time axis to add up along",
        "a movie, with an axis t",
        "If its z is time, say --axes tyx." if "z" in dims else "Leave --sum out.",
    )
