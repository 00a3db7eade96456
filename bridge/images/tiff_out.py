"""TIFF out: one uncompressed piece of pixels, laid out before the first is known, then filled.

::

    header | page t=0 z=0 c=0 | page t=0 z=0 c=1 | ...          ImageJ: t, z, c
    header | page t=0 c=0 z=0 | page t=0 c=0 z=1 | ...          OME: t, c, z

ImageJ's form is taken wherever ImageJ can read it (uint8, uint16, float32); everything else becomes
OME-TIFF. Above 4 GB an ImageJ file has one page header, and all planes behind it.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from bridge.errors import OutputError

_IMAGEJ_TYPES = ("uint8", "uint16", "float32")
_OME_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_CLASSIC_LIMIT = 2**32 - 2**25  # what tifffile leaves for headers in a TIFF of 32-bit offsets
_TAG_LIMIT = 2**32 - 1


@dataclass(frozen=True)
class ImageForm:
    """What an output will be.

    Parameters
    ----------
    dims : tuple of str
        Axes, some of t c z y x in this order.
    shape : tuple of int
        Length of each axis.
    dtype : dtype
        Type of the values.
    pixel_size_nm : dict
        Edge of a pixel along z, y, x, in nm, where known.
    channel_names : tuple of str
        A name for each channel, or none at all.
    frame_interval_s : float, optional
        Time from frame to frame, in s.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pixel_size_nm: Mapping[str, float] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    frame_interval_s: float | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each of t c z y x; 1 for those the image lacks."""
        return dict.fromkeys("tczyx", 1) | dict(zip(self.dims, self.shape, strict=True))

    @property
    def n_bytes(self) -> int:
        """Bytes that all pixels take."""
        return math.prod(self.shape) * self.dtype.itemsize


class TiffOutput:
    """An unfinished TIFF whose windows are written straight to their places; safe from threads.

    Parameters
    ----------
    path : Path
        The temporary file.
    form : ImageForm
        What it will be.
    page_order : str
        Order of the planes' axes, ``"tzc"`` or ``"tcz"``.
    offset : int
        Byte at which the first pixel starts.
    """

    def __init__(self, path: Path, *, form: ImageForm, page_order: str, offset: int) -> None:
        self._form = form
        self._page_order = page_order
        self._offset = offset
        self._file = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        self._seeking = threading.Lock()

    @classmethod
    def create(cls, path: Path, form: ImageForm) -> tuple[TiffOutput, dict[str, Any]]:
        """Write the headers and take the space.

        Parameters
        ----------
        path : Path
            The temporary file, written over if it exists.
        form : ImageForm
            What it will be.

        Returns
        -------
        output : TiffOutput
            Ready to be written to.
        layout : dict
            What ``TiffOutput`` needs to open the file again.

        Raises
        ------
        OutputError
            TIFF has no such type of values.
        OSError
            There is not enough space, or no permission.
        """
        page_order, offset = _write_headers(path, form)
        layout = {"page_order": page_order, "offset": offset}
        output = cls(path, form=form, page_order=page_order, offset=offset)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(output._file, 0, path.stat().st_size)
        except BaseException:
            output.close()
            raise
        return output, layout

    def write(self, window: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Write a window.

        Parameters
        ----------
        window : mapping of str to slice
            Start and stop along each axis of the image.
        pixels : ndarray
            The values, along the image's axes.
        """
        sizes = self._form.sizes
        ranges = {d: range(*window.get(d, slice(0, 1)).indices(sizes[d])) for d in "tcz"}
        rows, columns = window["y"], window["x"]
        full = (len(ranges["t"]), len(ranges["c"]), len(ranges["z"]), *pixels.shape[-2:])
        planes = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<")).reshape(full)
        width, item = sizes["x"], self._form.dtype.itemsize
        for t, c, z in itertools.product(*(range(n) for n in full[:3])):
            place = {"t": ranges["t"][t], "c": ranges["c"][c], "z": ranges["z"][z]}
            page = 0
            for dim in self._page_order:
                page = page * sizes[dim] + place[dim]
            first = (page * sizes["y"] + rows.start) * width + columns.start
            start = self._offset + first * item
            plane = planes[t, c, z]
            if plane.shape[1] == width:
                self._put(plane.reshape(-1), start)
                continue
            for row, line in enumerate(plane):
                self._put(line, start + row * width * item)

    def sync(self) -> None:
        """Make what was written reach the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file; more than once does no harm."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _put(self, values: NDArray[Any], offset: int) -> None:
        rest = values.view(np.uint8).data
        while rest:
            if hasattr(os, "pwrite"):
                done = os.pwrite(self._file, rest, offset)
            else:  # Windows has one position for all threads
                with self._seeking:
                    os.lseek(self._file, offset, os.SEEK_SET)
                    done = os.write(self._file, rest)
            rest = rest[done:]
            offset += done


def _write_headers(path: Path, form: ImageForm) -> tuple[str, int]:
    sizes = form.sizes
    is_imagej = (
        form.dtype.name in _IMAGEJ_TYPES
        and sizes["y"] * sizes["x"] * form.dtype.itemsize < _CLASSIC_LIMIT
        and _imagej_can_say(form.pixel_size_nm)
    )
    if not is_imagej and form.dtype.name not in _OME_TYPES:
        raise OutputError(
            str(path.name),
            f"TIFF holds no {form.dtype.name} pixels",
            "one of " + ", ".join(_OME_TYPES),
            "Convert the pixels, or write OME-Zarr (.zarr).",
        )
    page_order = "tzc" if is_imagej else "tcz"
    details = _imagej_details(form) if is_imagej else _ome_details(form)
    one_sample = (1,) if is_imagej else ()  # or tifffile drops an x of length 1
    placed = tifffile.imwrite(
        path,
        shape=tuple(sizes[dim] for dim in page_order + "yx") + one_sample,
        dtype=form.dtype.newbyteorder("<"),
        byteorder="<",
        photometric="minisblack",
        returnoffset=True,
        **details,
    )
    if placed is None:
        raise RuntimeError("tifffile did not lay the pixels out in one piece")
    return page_order, placed[0]


def _imagej_can_say(pixel_size_nm: Mapping[str, float]) -> bool:
    """ImageJ has one calibration for all axes: y and x must be known, or nothing."""
    return not pixel_size_nm or {"y", "x"} <= set(pixel_size_nm)


def _imagej_details(form: ImageForm) -> dict[str, Any]:
    sizes = form.sizes
    metadata: dict[str, Any] = {"axes": "TZCYXS"}
    details: dict[str, Any] = {"imagej": True, "metadata": metadata}
    if 1 < sizes["c"] <= 7:
        metadata["mode"] = "composite"
    if form.pixel_size_nm:
        metadata["unit"] = "micron"
        details["resolution"] = tuple(_per_micron(form.pixel_size_nm[dim]) for dim in "xy")
        if "z" in form.pixel_size_nm:
            metadata["spacing"] = form.pixel_size_nm["z"] / 1000
    if form.frame_interval_s is not None:
        metadata["finterval"] = form.frame_interval_s
    if form.channel_names:
        metadata["Labels"] = list(form.channel_names) * (sizes["t"] * sizes["z"])
    if form.n_bytes > _CLASSIC_LIMIT - 1024 * sizes["t"] * sizes["z"] * sizes["c"]:
        details["truncate"] = True
    return details


def _ome_details(form: ImageForm) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "TCZYX"}
    for dim, size_nm in form.pixel_size_nm.items():
        metadata[f"PhysicalSize{dim.upper()}"] = size_nm
        metadata[f"PhysicalSize{dim.upper()}Unit"] = "nm"
    if form.frame_interval_s is not None:
        metadata["TimeIncrement"] = form.frame_interval_s
        metadata["TimeIncrementUnit"] = "s"
    if form.channel_names:
        metadata["Channel"] = {"Name": list(form.channel_names)}
    return {"ome": True, "bigtiff": True, "metadata": metadata}


def _per_micron(size_nm: float) -> tuple[int, int]:
    """Give pixels per micron as the fraction of two 32-bit numbers that a TIFF tag holds."""
    ratio = 1000 / Fraction(repr(float(size_nm)))
    limit = _TAG_LIMIT
    while max(ratio.numerator, ratio.denominator) > _TAG_LIMIT:
        limit //= 2
        ratio = ratio.limit_denominator(limit)
    return ratio.numerator, ratio.denominator
