"""TIFF in: plain, ImageJ, OME, BigTIFF; striped, tiled, compressed. Only headers are read here.

Uncompressed pixels in one piece are mapped window by window; everything else goes through
tifffile's zarr store, which decodes the strips or tiles that a window touches.
"""

from __future__ import annotations

import contextlib
import math
import os
import xml.etree.ElementTree as ET
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr

from bridge.errors import ImageError
from bridge.images.units import PRINT_UNITS, length_in_nm, time_in_s, unit_name
from bridge.images.windows import (
    FOREIGN_ERRORS,
    ContiguousSource,
    PixelSource,
    RawImage,
    ZarrSource,
    damaged,
)

#: a pixel larger than this, given in cm or inch, is that of a printer or a screen (2540 dpi)
_PRINTER_PIXEL_NM = 10_000.0


def open_tiff(path: Path) -> RawImage:
    """Read the headers of a TIFF file; its pixels stay in the file.

    Of several images in one file the first is taken, of a pyramid the full resolution.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    RawImage
        Pixels along the file's axes, and what the headers say of them.

    Raises
    ------
    ImageError
        It is no TIFF file, it is cut off or damaged, or it holds no image.
    """
    with contextlib.ExitStack() as on_failure:
        try:
            tiff = on_failure.enter_context(tifffile.TiffFile(path))
            series = _first_series(tiff, path)
            letters = series.get_axes(False)
            image = RawImage(_pixels(tiff, series, path, on_failure), letters)
            _describe(image, tiff, series)
        except (ImageError, PermissionError):
            raise
        except tifffile.TiffFileError as error:
            raise ImageError(
                str(path),
                f"this is no TIFF file, whatever its name says ({_beginning(path)})",
                "a TIFF file",
                "Open it in the program that made it, and save it as TIFF.",
            ) from error
        except FOREIGN_ERRORS as error:
            raise damaged(str(path), error) from error
        image.close = on_failure.pop_all().close
    if isinstance(image.source, ContiguousSource):
        image.close()  # each window opens the file by itself
    return image


def _first_series(tiff: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    if not tiff.series or not math.prod(tiff.series[0].shape):
        raise ImageError(str(path), "the file holds no pixels", "an image", "Save it again.")
    series = tiff.series[0]
    _check_whole(tiff, series, path)
    return series


def _check_whole(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> None:
    """Refuse a file that was cut off, where tifffile would go on with the planes that are left."""
    size = tiff.filehandle.size
    promised = int((tiff.imagej_metadata or {}).get("images", 1)) if tiff.is_imagej else 1
    if tiff.is_imagej and series.kind not in ("imagej", "ome") and promised > len(series):
        raise _cut_off(path, f"{len(series)} of the {promised} planes that its header promises")
    if series.kind in ("uniform", "generic", "shaped") and _chain_is_cut(tiff):
        raise _cut_off(path, "fewer planes than it once had")
    if series.dataoffset is not None:
        return  # ContiguousSource compares the file's size
    missing = sum(page is None for page in series)
    if missing:
        raise _cut_off(path, f"{len(series) - missing} of its {len(series)} planes")
    for page in (series[0], series[len(series) - 1]):
        if page is None or series.is_multifile:
            continue
        ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False) if n]
        if ends and max(ends) > size:
            raise _cut_off(path, f"{size:,} of at least {max(ends):,} bytes")


def _chain_is_cut(tiff: tifffile.TiffFile) -> bool:
    """Whether the list of pages ends in a pointer to nowhere instead of in a zero."""
    handle = tiff.filehandle
    end = tiff.pages.next_page_offset
    if end is None or end >= handle.size:
        return True
    handle.seek(end)
    raw = handle.read(tiff.tiff.offsetsize)
    return len(raw) < tiff.tiff.offsetsize or any(raw)


def _cut_off(path: Path, found: str) -> ImageError:
    return ImageError(
        str(path),
        f"the file is cut off: it holds {found}",
        "a whole file",
        "Copy it again from where it came from.",
    )


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return f"it begins with {file.read(8)!r}"


def _pixels(
    tiff: tifffile.TiffFile,
    series: tifffile.TiffPageSeries,
    path: Path,
    closing: contextlib.ExitStack,
) -> PixelSource:
    shape = series.get_shape(False)
    plain = series.transform is None and not series.is_multifile and series.levels[0] is series
    if plain and series.dataoffset is not None:
        dtype = np.dtype(series.dtype).newbyteorder(tiff.byteorder)
        return ContiguousSource(path, offset=series.dataoffset, shape=shape, dtype=dtype)
    # one worker would decode in zarr's own thread, one block after the other for all readers
    store = series.aszarr(level=0, squeeze=False, maxworkers=max(2, os.cpu_count() or 2))
    closing.callback(store.close)
    return ZarrSource(zarr.open_array(store, mode="r", zarr_format=2))


def _describe(image: RawImage, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    page = series.keyframe
    sizes = dict(zip(image.letters, image.source.shape, strict=True))
    if series.kind == "ome":
        _describe_ome(image, tiff.ome_metadata or "", sizes)
    elif tiff.is_imagej:
        _describe_imagej(image, tiff.imagej_metadata or {}, page, sizes)
    elif tiff.shaped_metadata:
        _describe_scale(image, dict(tiff.shaped_metadata[0]), page)
    elif _resolution(page, "XResolution") and page.tags.valueof("ResolutionUnit", 1) == 3:
        image.notes.append(
            "The file gives a resolution for printing; it is not taken for the pixel size."
        )
    if not image.channel_names and sizes.get("S") in (3, 4) and page.photometric in (2, 6):
        image.channel_names = ["red", "green", "blue", "alpha"][: sizes["S"]]
    if series.is_pyramidal:
        image.notes.append(
            f"The file holds {len(series.levels)} resolutions; the full one is read."
        )
    if len(tiff.series) > 1:
        image.notes.append(f"The file holds {len(tiff.series)} images; the first is read.")
    if page.photometric == 0:
        image.notes.append("The file says that 0 is white; values are read as they are stored.")
    if page.photometric == 3 and not tiff.is_imagej:
        image.notes.append("The file has a colour table; the table's indices are read.")


def _describe_imagej(
    image: RawImage, metadata: dict[str, Any], page: tifffile.TiffPage, sizes: dict[str, int]
) -> None:
    _describe_scale(image, metadata, page)
    n_channels = sizes.get("C", 1)
    labels = [str(label) for label in metadata.get("Labels") or []]
    repeats = all(label == labels[i % n_channels] for i, label in enumerate(labels))
    if n_channels > 1 and repeats and len(set(labels)) == n_channels:
        image.channel_names = labels[:n_channels]
    longer = [axis for axis in "TZC" if sizes.get(axis, 1) > 1]
    is_sure = bool(image.channel_names) or "z" in image.pixel_size_nm
    if longer in (["Z"], ["C"]) and not is_sure:
        kind = "slices (z)" if longer == ["Z"] else "channels (c)"
        image.notes.append(
            f"The file calls its {sizes[longer[0]]} planes {kind}. "
            "Say axes='tyx' if they are frames."
        )


def _describe_scale(image: RawImage, metadata: dict[str, Any], page: tifffile.TiffPage) -> None:
    """Take pixel sizes and the frame interval from a description in ImageJ's words."""
    unit = str(metadata.get("unit", ""))
    edges = {"x": _resolution(page, "XResolution"), "y": _resolution(page, "YResolution")}
    spacing = _number(metadata.get("spacing"))
    edges["z"] = Fraction(repr(spacing)) if spacing is not None and spacing > 0 else None
    units = {axis: str(metadata.get(f"{axis}unit", unit)) for axis in edges}
    for axis, edge in edges.items():
        size_nm = length_in_nm(edge, units[axis]) if edge is not None else None
        if size_nm is None:
            continue
        if unit_name(units[axis]) in PRINT_UNITS and size_nm > _PRINTER_PIXEL_NM:
            image.notes.append(
                f"The file's resolution along {axis}, in {units[axis]}, is that of a printer or "
                "screen; it is not taken for the pixel size."
            )
            continue
        image.pixel_size_nm[axis] = size_nm
    interval = _number(metadata.get("finterval"))
    if interval is not None:
        image.frame_interval_s = time_in_s(interval, str(metadata.get("tunit", "s")))


def _resolution(page: tifffile.TiffPage, tag: str) -> Fraction | None:
    """Give the edge of a pixel in the file's unit: the reciprocal of a resolution tag."""
    value = page.tags.valueof(tag)
    try:
        pixels, length = (int(part) for part in value)
    except (TypeError, ValueError):
        return None
    return Fraction(length, pixels) if pixels > 0 and length > 0 else None


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _describe_ome(image: RawImage, xml: str, sizes: dict[str, int]) -> None:
    pixels = ET.fromstring(xml).find("{*}Image/{*}Pixels")
    if pixels is None:
        return
    for axis in "xyz":
        size = _number(pixels.get(f"PhysicalSize{axis.upper()}"))
        unit = pixels.get(f"PhysicalSize{axis.upper()}Unit", "µm")
        size_nm = length_in_nm(size, unit) if size is not None else None
        if size_nm is not None:
            image.pixel_size_nm[axis] = size_nm
    interval = _number(pixels.get("TimeIncrement"))
    if interval is not None:
        image.frame_interval_s = time_in_s(interval, pixels.get("TimeIncrementUnit", "s"))
    names = [channel.get("Name", "") for channel in pixels.findall("{*}Channel")]
    if all(names) and len(names) == sizes.get("C", 1) > 1:
        image.channel_names = names
