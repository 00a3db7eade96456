"""A movie whose file gets longer while it is read, as one does that is being recorded.

The frames that it had at the start are the movie; what comes behind them is only told of.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bridge.errors import ImageError

_ATTEMPTS: Final = 10
_PAUSE_S: Final = 0.05  # between attempts to open a file that is being written


class GrowingMovie:
    """A lazy movie that is opened again where its file was changed under it.

    Parameters
    ----------
    reopen : callable
        Opens the movie lazily, axes (t, y, x) or (t, c, y, x).

    Attributes
    ----------
    movie : DataArray
        The frames that were there at the start, lazy. Reading them raises ImageError where the
        file became another movie.
    """

    def __init__(self, reopen: Callable[[], xr.DataArray]) -> None:
        self._reopen = reopen
        self._inner = inner = reopen()
        self._n_frames: int = inner.sizes["t"]
        numbers = {0, self._n_frames // 2, self._n_frames - 1}
        self._known = {n: np.array(inner.isel(t=n).values) for n in sorted(numbers)}
        lazy = indexing.LazilyIndexedArray(_Followed(self._read, inner.shape, inner.dtype))
        self.movie = xr.DataArray(xr.Variable(inner.dims, lazy, inner.attrs), name=inner.name)

    def fingerprint(self) -> str:
        """Name the movie by its form and the pixels of its first, middle and last frame."""
        found = hashlib.sha256(f"{self.movie.dims} {self.movie.shape} {self.movie.dtype}".encode())
        for frame in self._known.values():
            found.update(np.ascontiguousarray(frame).tobytes())
        return found.hexdigest()

    def note(self) -> str:
        """Say that the file has more frames now than at the start; empty where it hasn't."""
        n_now = self._inner.sizes["t"]
        with contextlib.suppress(ImageError):  # it is being written right now
            n_now = self._reopen().sizes["t"]
        if n_now <= self._n_frames:
            return ""
        return (
            f"The movie's file grew while it was read: the {self._n_frames:,} frames that it had "
            f"at the start were used; now it has {n_now:,}."
        )

    def _read(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        for attempt in range(_ATTEMPTS):
            try:
                pixels: NDArray[Any] = self._inner[key].values
                return pixels
            except ImageError:
                if attempt + 1 == _ATTEMPTS or not self._follow():
                    raise
                time.sleep(_PAUSE_S * (attempt > 0))
        raise AssertionError

    def _follow(self) -> bool:
        """Open the file again; gives False where it is surely another movie, or as it was."""
        try:
            newer = self._reopen()
            is_same = newer.dims == self._inner.dims and newer.shape[1:] == self._inner.shape[1:]
            is_same = is_same and newer.sizes["t"] > self._n_frames
            is_same = is_same and all(
                np.array_equal(newer.isel(t=number).values, frame)
                for number, frame in self._known.items()
            )
        except ImageError:  # changed again, this moment
            return True
        if is_same:
            self._inner = newer
        return is_same


class _Followed(BackendArray):
    """What xarray reads lazily through a function."""

    def __init__(
        self,
        read: Callable[[tuple[int | slice, ...]], NDArray[Any]],
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._read = read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        """Read a window."""
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )
