"""A movie read in blocks of frames, each with its neighbours for context.

::

    frames   1 2 3 | 4 5 6 | 7 8          blocks of 3; only one or two are ever in memory
    block 2      3 | 4 5 6 | 7            with one frame of context on either side
    item 4  (3, 4, 5)                     previous, this, next: views of the block, no copies

At the ends of the movie the outermost frame stands for the one that is missing.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bridge.errors import ImageError

MOST_FRAMES: Final = 500
"""Frames of a block, where they are small."""
BLOCK_BYTES: Final = 128 << 20
"""Bytes of a block, as far as it has more than one frame."""


def take_frames(movie: xr.DataArray, *, channel: int = 0) -> tuple[xr.DataArray, list[str]]:
    """Give a movie with its frames along t, and of one channel where one is asked for.

    Parameters
    ----------
    movie : DataArray, axes some of (t, c, z, y, x)
        A movie, or one frame; slices (z) are frames to a model of single planes.
    channel : int
        The channel to take, from 1; 0 for all.

    Returns
    -------
    DataArray, axes (t, y, x) or (t, c, y, x); list of str
        The frames, lazy if ``movie`` is, and what was assumed.

    Raises
    ------
    ImageError
        It has both slices and frames, or no such channel.
    """
    what = str(movie.attrs.get("source") or "the movie")
    notes = []
    if "z" in movie.dims:
        if "t" in movie.dims:
            raise ImageError(
                what,
                f"{movie.sizes['t']} frames (t) of {movie.sizes['z']} slices (z)",
                "frames of one plane",
                "Save the planes as separate movies.",
            )
        notes.append(
            f"The file calls its {movie.sizes['z']} planes slices (z); they are taken as frames."
        )
        movie = movie.rename(z="t")
        movie.attrs["notes"] = [n for n in movie.attrs.get("notes", []) if "slices (z)" not in n]
    if channel:
        n_channels = movie.sizes.get("c", 1)
        if channel > n_channels:
            found = f"{n_channels} channels"
            raise ImageError(what, found, f"a channel {channel}", "Channels count from 1.")
        movie = movie.isel(c=channel - 1) if "c" in movie.dims else movie
    if "t" not in movie.dims:
        movie = movie.expand_dims("t")
    order = [dim for dim in ("t", "c", "y", "x") if dim in movie.dims]
    return movie.transpose(*order, ...), notes


class MovieFrames:
    """The frames of a movie, read in blocks.

    Parameters
    ----------
    movie : DataArray, axes (t, y, x) or (t, c, y, x)
        From :func:`take_frames`, lazy or in memory.
    """

    def __init__(self, movie: xr.DataArray) -> None:
        self.movie = movie
        self.n_frames: int = movie.sizes["t"]

    def block_length(self) -> int:
        """Give the frames of one block: at most 500, and 128 MiB."""
        frame_bytes = int(np.prod(self.movie.shape[1:])) * max(4, self.movie.dtype.itemsize)
        return int(max(1, min(MOST_FRAMES, BLOCK_BYTES // frame_bytes)))

    def read_blocks(self, starts: range, *, n_side: int = 0) -> Generator[tuple[int, xr.DataArray]]:
        """Read the movie block by block, one ahead.

        Parameters
        ----------
        starts : range
            The blocks' first frames, counted from 0; its step is their length.
        n_side : int
            Frames of context on either side of each; the movie then has no axis c.

        Yields
        ------
        (int, DataArray)
            The first frame, and the block in memory. With context its axes are (t, c, y, x), where
            c has the ``2 n_side + 1`` frames around each: views, not copies.

        Raises
        ------
        ImageError
            The file is damaged, or was changed meanwhile.
        """
        with ThreadPoolExecutor(1, "read") as reader:
            ahead: Future[xr.DataArray] | None = None
            before = 0
            for start in starts:
                stop = min(start + starts.step, self.n_frames)
                coming = reader.submit(self._read_block, start, stop, n_side)
                if ahead is not None:
                    yield before, ahead.result()
                ahead, before = coming, start
            if ahead is not None:
                yield before, ahead.result()

    def read(self, first: int, stop: int) -> NDArray[Any]:
        """Read the frames ``first`` to ``stop - 1``, counted from 0."""
        frames: NDArray[Any] = self.movie.isel(t=slice(first, stop)).values
        return frames

    def _read_block(self, first: int, stop: int, n_side: int) -> xr.DataArray:
        attrs = dict(self.movie.attrs)
        if not n_side:
            return xr.DataArray(self.read(first, stop), dims=self.movie.dims, attrs=attrs)
        wanted = np.arange(first - n_side, stop + n_side).clip(0, self.n_frames - 1)
        low = int(wanted[0])
        frames = self.read(low, int(wanted[-1]) + 1)
        if len(frames) < len(wanted):
            frames = frames[wanted - low]
        around = np.moveaxis(sliding_window_view(frames, 2 * n_side + 1, axis=0), -1, 1)
        return xr.DataArray(around, dims=("t", "c", "y", "x"), attrs=attrs)
