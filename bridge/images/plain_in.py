"""PNG and NumPy files in. A PNG is decoded whole (its format has no windows); a .npy is mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.images.windows import (
    FOREIGN_ERRORS,
    ContiguousSource,
    MemorySource,
    RawImage,
    damaged,
    values_dtype,
)

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_NPY_MAGIC = b"\x93NUMPY"
_COLOURS = ["red", "green", "blue"]


def open_png(path: Path) -> RawImage:
    """Decode a PNG: grey (y, x) or colour (y, x, c); an alpha channel that says nothing is dropped.

    Raises
    ------
    ImageError
        It is no whole PNG, or its transparency varies.
    """
    data = path.read_bytes()
    if not data.startswith(_PNG_MAGIC):
        raise ImageError(
            str(path),
            f"this is no PNG file, whatever its name says (it begins with {data[:8]!r})",
            "a PNG file",
            "Open it in the program that made it, and save it as PNG or TIFF.",
        )
    try:
        pixels: NDArray[np.uint8 | np.uint16] = imagecodecs.png_decode(data)
    except FOREIGN_ERRORS as error:
        raise damaged(str(path), error) from error
    notes = []
    if pixels.ndim == 3 and pixels.shape[-1] in (2, 4):
        alpha = pixels[..., -1]
        if alpha.min() != alpha.max():
            raise ImageError(
                str(path),
                "the picture has a transparency that varies",
                "a grey or colour picture",
                "Flatten it in an image editor, and save it again.",
            )
        pixels = pixels[..., :-1]
        notes.append("The picture's transparency is the same everywhere and was dropped.")
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    letters = "YX" if pixels.ndim == 2 else "YXS"
    names = _COLOURS if pixels.ndim == 3 else []
    return RawImage(MemorySource(pixels), letters, channel_names=list(names), notes=notes)


def open_npy(path: Path) -> RawImage:
    """Map a .npy file: (y, x), or a stack of planes of unknown meaning.

    Raises
    ------
    ImageError
        It is no whole .npy file, it holds objects, or it has fewer than two axes.
    """
    with path.open("rb") as file:
        beginning = file.read(len(_NPY_MAGIC))
    if beginning != _NPY_MAGIC:
        raise ImageError(
            str(path),
            f"this is no .npy file, whatever its name says (it begins with {beginning!r})",
            "one array, saved by numpy.save",
        )
    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
    except FOREIGN_ERRORS as error:
        raise damaged(str(path), error) from error
    values_dtype(mapped.dtype, what=str(path))
    if mapped.ndim < 2 or not mapped.size:
        raise ImageError(
            str(path),
            f"the array has the shape {mapped.shape}",
            "at least the axes y and x, with pixels in them",
        )
    order: Literal["C", "F"] = "C" if mapped.flags.c_contiguous else "F"
    source = ContiguousSource(
        path, offset=mapped.offset, shape=mapped.shape, dtype=mapped.dtype, order=order
    )
    return RawImage(source, "Q" * (mapped.ndim - 2) + "YX")
