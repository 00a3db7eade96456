"""ImageJ's images and ours: the only place that knows both orders of axes.

::

    ImagePlus        planes numbered from 1, channels fastest, then slices, then frames
    DataArray        (t, c, z, y, x), axes of length 1 left out, except y and x

Pixels go over in one copy for each plane, through a window of Java onto numpy's memory; the images
of both sides stay independent. RGB is three channels named red, green, blue. Lookup tables are
display, not data: an 8-bit image in false colours gives its values.
"""

from __future__ import annotations

import ctypes
from fractions import Fraction
from typing import Any, Final, NamedTuple

import jpype
import jpype.nio
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError, MemoryShortage
from bridge.images.units import length_in_nm, time_in_s
from bridge.worker import planes_of

UNIT: Final = "micron"
"""Unit of results whose image named none, the one of our TIFF files."""

_RGB: Final = ["red", "green", "blue"]
_OPAQUE: Final = 0xFF000000
_MOST_COMPOSITE_CHANNELS: Final = 7  # ImageJ draws no more at once
_WINDOW_BYTES: Final = 1 << 30  # Java's buffers count in 32 bits
_ARRAYS: Final = {
    "uint8": (jpype.JByte, ""),
    "uint16": (jpype.JShort, "asShortBuffer"),
    "uint32": (jpype.JInt, "asIntBuffer"),
    "float32": (jpype.JFloat, "asFloatBuffer"),
}


class Box(NamedTuple):
    """A rectangle of an image in pixels, its corner counted from the top left one."""

    x: int
    y: int
    width: int
    height: int


def selected_box(imp: Any) -> Box:
    """Give the rectangle around an image's selection, the whole image where there is none.

    Lines and points select no area, and count as none, as in ImageJ's own filters.

    Parameters
    ----------
    imp : ImagePlus
        The image.

    Returns
    -------
    Box
        The part inside the image.

    Raises
    ------
    ImageError
        The image was closed, or no pixel of it is selected.
    """
    title = str(imp.getTitle())
    width, height = int(imp.getWidth()), int(imp.getHeight())
    if imp.getProcessor() is None or not width or not height:
        raise ImageError(title, "the image has been closed", "an open image", "Open it again.")
    roi = imp.getRoi()
    if roi is None or not roi.isArea():
        return Box(0, 0, width, height)
    bounds = roi.getBounds()
    left, top = max(0, int(bounds.x)), max(0, int(bounds.y))
    right = min(width, int(bounds.x) + int(bounds.width))
    bottom = min(height, int(bounds.y) + int(bounds.height))
    if right <= left or bottom <= top:
        raise ImageError(
            title,
            f"the selection of {int(bounds.width)} x {int(bounds.height)} pixels at "
            f"({int(bounds.x)}, {int(bounds.y)}) holds no pixel of the image",
            "a selection with an area, or none",
            "Remove it with Edit > Selection > Select None, or draw another.",
        )
    return Box(left, top, right - left, bottom - top)


def from_imageplus(imp: Any) -> xr.DataArray:
    """Copy an image, or the rectangle around its selection, out of ImageJ.

    Of a virtual stack the plane on display is taken as it is shown, with edits that the stack
    itself doesn't know.

    Parameters
    ----------
    imp : ImagePlus
        8, 16 or 32 bit, RGB, stack or hyperstack.

    Returns
    -------
    DataArray, axes some of (t, c, z, y, x), uint8, uint16 or float32
        Axes of length 1 are left out, except y and x. ``attrs``: ``pixel_size_nm`` (empty where
        the calibration is none of length), ``unit`` as the image spells it, ``display_range``,
        ``source`` (the title) and, where known, ``frame_interval_s`` and ``channel_names``.

    Raises
    ------
    ImageError
        The image was closed, or no pixel of it is selected.
    """
    box = selected_box(imp)
    width, n_channels, n_slices, n_frames = (
        int(imp.getWidth()),
        int(imp.getNChannels()),
        int(imp.getNSlices()),
        int(imp.getNFrames()),
    )
    rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
    is_whole = (box.width, box.height) == (width, int(imp.getHeight()))
    dtype = {8: np.uint8, 16: np.uint16, 24: np.uint32, 32: np.float32}[int(imp.getBitDepth())]
    pixels = np.empty((n_frames, n_channels, n_slices, box.height, box.width), dtype)
    scratch = np.empty((int(imp.getHeight()), width), dtype) if not is_whole else None
    stack = imp.getStack()
    for number in range(1, n_frames * n_slices * n_channels + 1):
        z_and_t, c = divmod(number - 1, n_channels)
        t, z = divmod(z_and_t, n_slices)
        plane = _plane(imp, stack, number)
        if scratch is None:
            _copy_from_java(plane, pixels[t, c, z])
        else:
            _copy_from_java(plane, scratch)
            pixels[t, c, z] = scratch[rows, columns]
    names = _channel_names(stack, n_channels)
    if dtype is np.uint32:
        pixels, names = _split_rgb(pixels), _rgb_names(names, n_channels)
    image = xr.DataArray(pixels, dims=("t", "c", "z", "y", "x"))
    for dim in ("t", "c", "z"):
        if image.sizes[dim] == 1:
            image = image.isel({dim: 0})
    image.attrs = _attrs(imp, image.dims, names)
    return image


def to_imageplus(
    image: xr.DataArray,
    *,
    title: str,
    unit: str = "",
    display: tuple[float, float] | None = None,
) -> Any:
    """Copy an image into ImageJ, without showing it.

    Parameters
    ----------
    image : DataArray, axes some of (t, c, z, y, x)
        Any real type: bool becomes 0 and 255, whole numbers of more than 16 bit, negative ones and
        other floats become 32-bit float. Three uint8 channels named red, green and blue become
        RGB.
    title : str
        Title of the new image.
    unit : str
        Unit of its calibration; by default that in ``attrs["unit"]``, or microns.
    display : (float, float), optional
        Pixel values drawn black and white; by default ``attrs["display_range"]``, or the extremes.

    Returns
    -------
    ImagePlus
        XYCZT, calibrated.

    Raises
    ------
    ImageError
        The pixels are no real numbers, or a plane is too large for Java.
    MemoryShortage
        Java's memory doesn't suffice.
    """
    names = list(image.attrs.get("channel_names") or [])
    _refuse_what_imagej_cannot_hold(image, title)
    pixels = np.ascontiguousarray(planes_of(image))
    is_rgb = pixels.dtype == np.uint8 and names == _RGB and pixels.shape[2] == len(_RGB)
    if is_rgb:
        pixels, names = _join_rgb(pixels), []
    n_frames, n_slices, n_channels, height, width = pixels.shape
    stack = jpype.JClass("ij.ImageStack")(width, height)
    labels = names if len(names) == n_channels > 1 else [None] * n_channels
    for number, plane in enumerate(pixels.reshape(-1, height, width)):
        label = jpype.JObject(labels[number % n_channels], "java.lang.String")
        stack.addSlice(label, _java_array(plane, title))
    imp = jpype.JClass("ij.ImagePlus")(title, stack)
    imp.setDimensions(n_channels, n_slices, n_frames)
    imp.setOpenAsHyperStack(max(n_channels, n_slices) > 1 and n_channels * n_slices * n_frames > 1)
    if 1 < n_channels <= _MOST_COMPOSITE_CHANNELS and not is_rgb:
        composite = jpype.JClass("ij.CompositeImage")
        imp = composite(imp, composite.COMPOSITE)
    _calibrate(imp, image, unit or str(image.attrs.get("unit") or ""))
    if not is_rgb:
        _set_display(imp, display or image.attrs.get("display_range"))
    return imp


def keep_overlay(source: Any, box: Box, result: Any) -> None:
    """Put a copy of an image's overlay on a result made from a rectangle of it.

    Parameters
    ----------
    source : ImagePlus
        The image that the result was made from.
    box : Box
        The rectangle of it that was used.
    result : ImagePlus
        Gets the overlay, scaled; left alone if it isn't the same field of view.
    """
    overlay = source.getOverlay()
    scale = result.getWidth() / box.width
    if overlay is None or result.getHeight() != scale * box.height:
        return
    moved = overlay.duplicate()
    moved.translate(float(-box.x), float(-box.y))
    result.setOverlay(moved.scale(scale, scale))


def _plane(imp: Any, stack: Any, number: int) -> Any:
    """Give a plane's Java array."""
    if stack.isVirtual() and number == imp.getCurrentSlice():
        return imp.getProcessor().getPixels()
    return stack.getPixels(number)


def _copy_from_java(array: Any, target: NDArray[Any]) -> None:
    """Copy a Java array into a C-contiguous numpy array of as many elements."""
    flat = target.reshape(-1)
    step = _WINDOW_BYTES // flat.itemsize
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        _window(part).put(array, start, part.size)


def _java_array(plane: NDArray[Any], title: str) -> Any:
    """Copy a plane into a new Java array."""
    try:
        array = jpype.JArray(_ARRAYS[plane.dtype.name][0])(plane.size)
    except jpype.JClass("java.lang.OutOfMemoryError") as error:
        raise MemoryShortage(
            title,
            f"Java has no memory left for a plane of {plane.nbytes / 1e6:.0f} MB",
            "",
            "Close images, or give ImageJ more in Edit > Options > Memory & Threads.",
        ) from error
    flat = np.ascontiguousarray(plane).reshape(-1)
    step = _WINDOW_BYTES // flat.itemsize
    for start in range(0, flat.size, step):
        part = flat[start : start + step]
        _window(part).get(array, start, part.size)
    return array


def _window(part: NDArray[Any]) -> Any:
    """Give Java a buffer onto numpy's memory, for use while ``part`` is alive.

    It owns nothing: a buffer made from the array itself would keep the array until Java next
    cleans up, which may be many images later.
    """
    memory = (ctypes.c_byte * part.nbytes).from_address(part.ctypes.data)
    order = jpype.JClass("java.nio.ByteOrder").nativeOrder()
    buffer = jpype.nio.convertToDirectBuffer(memory).order(order)
    view = _ARRAYS[part.dtype.name][1]
    return getattr(buffer, view)() if view else buffer


def _refuse_what_imagej_cannot_hold(image: xr.DataArray, title: str) -> None:
    if image.dtype.kind not in "buif":
        found = f"its pixels are {image.dtype}"
        raise ImageError(title, found, "real numbers", "Take its magnitude or phase.")
    width, height = image.sizes["x"], image.sizes["y"]
    if width * height >= 2**31:
        found = f"a plane of {width} x {height} pixels"
        raise ImageError(title, found, "at most 2147483647", "Write it to a file with 'output'.")


def _split_rgb(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Take 0xAARRGGBB apart: (t, c, z, y, x) to three times as many channels."""
    parts = [(pixels >> shift).astype(np.uint8) for shift in (16, 8, 0)]
    n_frames, n_channels, *plane = pixels.shape
    return np.stack(parts, axis=2).reshape(n_frames, 3 * n_channels, *plane)


def _join_rgb(pixels: NDArray[Any]) -> NDArray[np.uint32]:
    """Put (t, z, 3, y, x) together to one opaque channel."""
    red, green, blue = (pixels[:, :, [c]].astype(np.uint32) for c in range(3))
    joined = np.full_like(red, _OPAQUE)
    for colour, shift in ((red, 16), (green, 8), (blue, 0)):
        joined |= colour << np.uint32(shift)
    return joined


def _rgb_names(names: list[str], n_channels: int) -> list[str]:
    if n_channels == 1:
        return list(_RGB)
    return [f"{name} {colour}" for name in names for colour in _RGB]


def _channel_names(stack: Any, n_channels: int) -> list[str]:
    """Give the labels of the first planes, if they name the channels."""
    if n_channels == 1:
        return []
    labels = [stack.getSliceLabel(number) for number in range(1, n_channels + 1)]
    names = ["" if label is None else str(label).partition("\n")[0] for label in labels]
    return names if all(names) and len(set(names)) == n_channels else []


def _attrs(imp: Any, dims: tuple[Any, ...], names: list[str]) -> dict[str, Any]:
    calibration = imp.getCalibration()
    sizes = {
        "z": length_in_nm(float(calibration.pixelDepth), str(calibration.getZUnit())),
        "y": length_in_nm(float(calibration.pixelHeight), str(calibration.getYUnit())),
        "x": length_in_nm(float(calibration.pixelWidth), str(calibration.getXUnit())),
    }
    attrs: dict[str, Any] = {
        "pixel_size_nm": {dim: size for dim, size in sizes.items() if size and dim in dims},
        "unit": str(calibration.getUnit()),
        "display_range": (float(imp.getDisplayRangeMin()), float(imp.getDisplayRangeMax())),
        "source": str(imp.getTitle()),
    }
    interval_s = time_in_s(float(calibration.frameInterval), str(calibration.getTimeUnit()))
    if interval_s is not None and "t" in dims:
        attrs["frame_interval_s"] = interval_s
    if names:
        attrs["channel_names"] = names
    return attrs


def _calibrate(imp: Any, image: xr.DataArray, unit: str) -> None:
    sizes_nm = dict(image.attrs.get("pixel_size_nm") or {})
    calibration = imp.getCalibration()
    if sizes_nm:
        unit_nm = length_in_nm(Fraction(1), unit)
        if unit_nm is None:
            unit, unit_nm = UNIT, 1000.0
        calibration.setUnit(unit)
        fields = {"x": "pixelWidth", "y": "pixelHeight", "z": "pixelDepth"}
        for dim, size_nm in sizes_nm.items():
            size = Fraction(repr(float(size_nm))) / Fraction(repr(unit_nm))
            setattr(calibration, fields[dim], float(size))
    if image.attrs.get("frame_interval_s"):
        calibration.frameInterval = float(image.attrs["frame_interval_s"])
        calibration.setTimeUnit("sec")


def _set_display(imp: Any, display: tuple[float, float] | None) -> None:
    """Set the contrast of every channel; pixels stay as they are."""
    for channel in range(1, imp.getNChannels() + 1):
        imp.setPositionWithoutUpdate(channel, 1, 1)
        if display is None:
            imp.resetDisplayRange()
        else:
            imp.setDisplayRange(*display)
    imp.setPositionWithoutUpdate(1, 1, 1)
