"""Lazy pixels: an array that reads from its file only the window that is asked for.

A source speaks the file's axes; ``WindowedArray`` makes them ``t c z y x``, turns values into the
machine's byte order and every reader's own exception into an ``ImageError``. Reading is safe from
several threads, and no more than the window (plus what a compressed block forces) is held.
"""

from __future__ import annotations

import os
import struct
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bridge.errors import ImageError
from bridge.images.axes import sort_dims

#: one index or slice for each axis of the file
WindowKey = tuple[int | slice, ...]

#: what tifffile, zarr, numpy, imagecodecs and the XML parser raise at files that aren't sound
FOREIGN_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    struct.error,
    zlib.error,
    ET.ParseError,
)

_COPY_AGAIN = "Copy it again from where it came from, or save it again."


class PixelSource(Protocol):
    """Pixels of one file, along the file's own axes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis of the file."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values as stored."""

    def read(self, key: WindowKey) -> NDArray[Any]:
        """Read a window; indices drop their axis, slices have positive steps."""


class ContiguousSource:
    """Uncompressed values that lie in one piece in a file.

    Each window is mapped, copied and unmapped, so that pages read do not add up in memory and no
    file stays open.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Byte at which the first value starts.
    shape : tuple of int
        Length of each axis.
    dtype : dtype
        Type of the values, with the file's byte order.
    order : {"C", "F"}
        Whether the last ("C") or the first axis varies fastest.

    Raises
    ------
    ImageError
        The file is too short.
    """

    def __init__(
        self,
        path: Path,
        *,
        offset: int,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        order: Literal["C", "F"] = "C",
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self._path = path
        self._offset = offset
        self._order = order
        needed = offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._stamp = self._look()
        if self._stamp[0] < needed:
            raise ImageError(
                str(path),
                f"the file ends after {self._stamp[0]:,} bytes",
                f"{needed:,} bytes for {' x '.join(map(str, shape))} pixels of {dtype.name}",
                _COPY_AGAIN,
            )

    def read(self, key: WindowKey) -> NDArray[Any]:
        """Read a window."""
        if self._look() != self._stamp:
            raise ImageError(
                str(self._path),
                "the file was changed after it was opened",
                "",
                "Wait until whatever writes it has finished, and start again.",
            )
        pixels = np.memmap(
            self._path, self.dtype, "r", offset=self._offset, shape=self.shape, order=self._order
        )
        return np.array(pixels[key])

    def _look(self) -> tuple[int, int]:
        status = os.stat(self._path)  # noqa: PTH116 - once a window, and this is the quick way
        return status.st_size, status.st_mtime_ns


class ZarrSource:
    """Values behind a zarr array: OME-Zarr, or the blocks of a compressed or tiled TIFF.

    Parameters
    ----------
    array : zarr.Array
        The array.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self.shape = tuple(array.shape)
        self.dtype = np.dtype(array.dtype)
        self._array = array

    def read(self, key: WindowKey) -> NDArray[Any]:
        """Read a window."""
        return np.asarray(self._array[key])


class MemorySource:
    """Values that had to be read whole, because their format has no windows (PNG).

    Parameters
    ----------
    pixels : ndarray
        The values.
    """

    def __init__(self, pixels: NDArray[Any]) -> None:
        self.shape = pixels.shape
        self.dtype = pixels.dtype
        self._pixels = pixels

    def read(self, key: WindowKey) -> NDArray[Any]:
        """Copy a window."""
        return np.array(self._pixels[key])


@dataclass
class RawImage:
    """What a format's reader found: pixels along the file's axes, and what the file says of them.

    Parameters
    ----------
    source : PixelSource
        The pixels.
    letters : str
        One capital letter for each axis of the file; see ``axes.guess_axes``.
    pixel_size_nm : dict
        Edge of a pixel along z, y, x, in nm, where known.
    channel_names : list of str
        Names of the channels; empty where unknown.
    frame_interval_s : float, optional
        Time from frame to frame, in s.
    notes : list of str
        Sentences for the user.
    close : callable
        Lets go of open files.
    """

    source: PixelSource
    letters: str
    pixel_size_nm: dict[str, float] = field(default_factory=dict)
    channel_names: list[str] = field(default_factory=list)
    frame_interval_s: float | None = None
    notes: list[str] = field(default_factory=list)
    close: Callable[[], None] = lambda: None


def values_dtype(dtype: np.dtype[Any], *, what: str) -> np.dtype[Any]:
    """Give the type that values stored as ``dtype`` are read as, in the machine's byte order.

    Truth values are read as uint8, half precision as float32.

    Raises
    ------
    ImageError
        The file holds complex numbers, objects, text or records, or floats wider than 64 bits.
    """
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind == "f" and dtype.itemsize == 2:
        return np.dtype(np.float32)
    if dtype.kind in "iuf" and dtype.itemsize <= 8:
        return dtype.newbyteorder("=")
    raise ImageError(
        what,
        f"the pixels are of type {dtype.name}",
        "whole numbers, or floats of at most 64 bits",
        "Convert the image to 8, 16 or 32 bits first.",
    )


def damaged(path: str, error: Exception) -> ImageError:
    """Make the error for a file whose pixels cannot be read."""
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    return ImageError(
        path,
        f"the file is damaged, incomplete or of an unknown kind ({first_line[:160]})",
        "a whole image file",
        _COPY_AGAIN,
    )


class WindowedArray(BackendArray):
    """The pixels of a file in the project's axes, read window by window.

    Parameters
    ----------
    source : PixelSource
        The pixels.
    names : tuple of (str or None)
        For each axis of the file its name; None: length 1, dropped.
    path : str
        The file, for errors.

    Raises
    ------
    ImageError
        The values are of a type that is no image's.
    """

    def __init__(self, source: PixelSource, *, names: tuple[str | None, ...], path: str) -> None:
        self._source = source
        self._names = names
        self._path = path
        sizes = {n: s for n, s in zip(names, source.shape, strict=True) if n is not None}
        self.dims = sort_dims(sizes)
        self.shape = tuple(sizes[dim] for dim in self.dims)
        self.dtype = values_dtype(source.dtype, what=path)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> WindowedArray:
        return self  # a copied image reads the same file, which is never written

    def _read(self, key: WindowKey) -> NDArray[Any]:
        wanted = dict(zip(self.dims, key, strict=True))
        file_key = tuple(0 if name is None else wanted[name] for name in self._names)
        try:
            pixels = self._source.read(file_key)
        except ImageError:
            raise
        except FOREIGN_ERRORS as error:
            raise damaged(self._path, error) from error
        left = [n for n in self._names if n is not None and isinstance(wanted[n], slice)]
        order = [left.index(dim) for dim in sort_dims(left)]
        return np.asarray(pixels.transpose(order), dtype=self.dtype, order="C")
