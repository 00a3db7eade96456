"""Images in: open a file without reading its pixels, and find the images of a folder.

An image is an ``xarray.DataArray`` whose pixels are read when a window of it is taken::

    image = open_image("movie.tif")
    first_rows = image.isel(t=0, y=slice(0, 512)).values

Nothing here ever reads a large file whole.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from xarray.core import indexing

from bridge.errors import ImageError
from bridge.images.axes import SPATIAL, apply_axes, guess_axes
from bridge.images.plain_in import open_npy, open_png
from bridge.images.tiff_in import open_tiff
from bridge.images.windows import RawImage, WindowedArray, damaged
from bridge.images.zarr_in import is_zarr, open_zarr

_OPENERS: dict[str, Callable[[Path], RawImage]] = {
    ".tif": open_tiff,
    ".tiff": open_tiff,
    ".btf": open_tiff,
    ".tf8": open_tiff,
    ".png": open_png,
    ".npy": open_npy,
}

#: what ``open_image`` reads, besides folders of OME-Zarr
IMAGE_ENDINGS: tuple[str, ...] = tuple(_OPENERS)

#: how pictures end that are drawn beside results: no images to work on
BESIDE_RESULTS = ".consistency.png"

_READABLE = "TIFF (.tif, .tiff, .btf, .tf8), PNG, .npy, or a folder of OME-Zarr"


def open_image(path: str | Path, *, axes: str | None = None) -> xr.DataArray:
    """Open an image; its pixels are read when a window of it is taken.

    Parameters
    ----------
    path : str or Path
        A TIFF (plain, ImageJ, OME; striped, tiled, compressed), PNG or .npy file, or a folder of
        OME-Zarr 0.4 or 0.5.
    axes : str, optional
        One letter of ``t c z y x`` for each axis of the file, in the file's order, such as
        ``"zyx"``; axes of length 1 may be left out. Goes before what the file says.

    Returns
    -------
    DataArray, axes some of (t, c, z, y, x), in this order
        Native byte order; bool is read as uint8, float16 as float32. Axes of length 1 are
        dropped, except y and x. Reading is safe from several threads. ``attrs``:

        - ``pixel_size_nm``: dict from z, y, x to nm, for the axes whose size the file states
        - ``channel_names``: list of str, if known
        - ``frame_interval_s``: float, if known
        - ``source``: the path, as str
        - ``notes``: list of sentences on what was assumed or left out

    Raises
    ------
    ImageError
        The file is missing, empty, cut off, damaged, of an unknown kind, or its axes aren't clear;
        also when a window is read later.
    """
    place = Path(path)
    try:
        raw = _open_raw(place)
    except PermissionError as error:
        raise _forbidden(place) from error
    except OSError as error:
        raise damaged(str(place), error) from error
    try:
        image = _name_axes(raw, axes=axes, path=str(place))
    except ImageError:
        raw.close()
        raise
    return image


def find_images(paths: Sequence[str | Path]) -> list[Path]:
    """List the images among files and folders.

    Parameters
    ----------
    paths : sequence of (str or Path)
        Files, taken as they are, and folders, for the images right in them. A folder of OME-Zarr
        is an image.

    Returns
    -------
    list of Path
        Each image once, in the order given; those of a folder in natural order (2 before 10).
        Hidden files, files that aren't images, and pictures of a check are left out.

    Raises
    ------
    ImageError
        A path doesn't exist, a folder has no image in it, or no path was given.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        try:
            found.update(dict.fromkeys(_images_at(path)))
        except PermissionError as error:
            raise _forbidden(path) from error
    if not found:
        raise ImageError("input", "no file or folder was given", "at least one image")
    return list(found)


def _images_at(path: Path) -> list[Path]:
    if not path.exists():
        raise _missing(path)
    if not path.is_dir() or is_zarr(path):
        return [path]
    inside = sorted((p for p in path.iterdir() if _looks_like_image(p)), key=_natural)
    if not inside:
        raise ImageError(str(path), "the folder has no image in it", _READABLE, "Check the folder.")
    return inside


def _open_raw(path: Path) -> RawImage:
    if not path.exists():
        raise _missing(path)
    if path.is_dir():
        if is_zarr(path):
            return open_zarr(path)
        raise ImageError(str(path), "this is a folder", _READABLE, "Give one image in it.")
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise ImageError(
            str(path),
            f"files ending in '{path.suffix}' aren't read",
            _READABLE,
            "Open it in Fiji, and save it as TIFF.",
        )
    if path.stat().st_size == 0:
        raise ImageError(
            str(path), "the file is empty", "an image", "Copy it again from where it came from."
        )
    return opener(path)


def _forbidden(path: Path) -> ImageError:
    return ImageError(
        str(path), "you may not read it", "a file that you may read", "Ask its owner, or copy it."
    )


def _missing(path: Path) -> ImageError:
    near = path.parent if path.parent.is_dir() else None
    remedy = f"Look into '{near}' for its right name." if near else "The folder is missing too."
    return ImageError(str(path), "there is no such file", "an image", remedy)


def _name_axes(raw: RawImage, *, axes: str | None, path: str) -> xr.DataArray:
    shape = raw.source.shape
    notes = list(raw.notes)
    if axes is None:
        names, assumed = guess_axes(raw.letters, shape=shape, what=path)
        notes += assumed
    else:
        names = apply_axes(axes, shape=shape, what=path)
        notes = [note for note in notes if "axes='" not in note]
    pixels = WindowedArray(raw.source, names=names, path=path)
    attrs: dict[str, Any] = {
        "pixel_size_nm": {
            dim: raw.pixel_size_nm[dim]
            for dim in SPATIAL
            if dim in pixels.dims and dim in raw.pixel_size_nm
        },
        "source": path,
        "notes": notes,
    }
    sizes = dict(zip(pixels.dims, pixels.shape, strict=True))
    if raw.channel_names and len(raw.channel_names) == sizes.get("c"):
        attrs["channel_names"] = list(raw.channel_names)
    if raw.frame_interval_s is not None and "t" in sizes:
        attrs["frame_interval_s"] = raw.frame_interval_s
    lazy = xr.Variable(pixels.dims, indexing.LazilyIndexedArray(pixels), attrs)
    image = xr.DataArray(lazy, name=Path(path).name.split(".")[0] or None)
    image.set_close(weakref.finalize(pixels, raw.close))
    return image


def _looks_like_image(path: Path) -> bool:
    if path.name.startswith(".") or path.name.endswith(BESIDE_RESULTS):
        return False
    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in IMAGE_ENDINGS


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sort numbers in names by value."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts]
