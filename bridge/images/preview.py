"""Pictures of images: a small grey copy, and panels side by side with titles and scale bars.

::

    +---------+ +---------+
    |         | |         |     panels of equal height, small ones enlarged without smoothing
    |   ----- | |   ----- |     scale bar, its length written above it
    +---------+ +---------+
      input       result        titles

Pictures are for looking at: contrast is stretched, and large images are thinned out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bridge.errors import OutputError

_MAX_WIDTH_PX = 1600
_PANEL_HEIGHT_PX = 512
_GAP_PX = 8
_PAPER = (16, 16, 16)
_INK = (255, 255, 255)
_MARK = (255, 196, 0)
_PERCENTILES = (0.1, 99.9)
_BAR_SHARE = 0.25  # a scale bar is at most this part of its panel's width


def thumbnail(
    image: xr.DataArray,
    *,
    size_px: int = 256,
    value_range: tuple[float, float] | None = None,
) -> NDArray[np.uint8]:
    """Give a small grey copy of an image; of a large lazy one, only every n-th pixel is read.

    Parameters
    ----------
    image : DataArray, axes some of (t, c, z, y, x)
        The image; the first frame, first channel and middle slice are taken.
    size_px : int
        Longest edge of the copy, in pixels, > 0.
    value_range : (float, float), optional
        Values shown black and white; by default the percentiles 0.1 and 99.9 of what is read.

    Returns
    -------
    ndarray, axes (y, x), uint8
        The copy; at most as large as the image.
    """
    plane = _plane(image)
    step = max(1, math.ceil(max(plane.shape) / size_px))
    values = plane.isel(y=slice(None, None, step), x=slice(None, None, step)).values
    return _stretch(values, value_range)


@dataclass(frozen=True, eq=False)
class Marks:
    """Circles on a panel.

    Parameters
    ----------
    x_px, y_px : ndarray, (n,)
        Their middles, in pixels of the image from the outer corner of its top left pixel.
    radius_px : float
        Their radius, in pixels of the image.
    """

    x_px: NDArray[np.float64]
    y_px: NDArray[np.float64]
    radius_px: float


def save_picture(
    path: str | Path,
    panels: Sequence[tuple[str, xr.DataArray | NDArray[Any]]],
    *,
    ranges: Sequence[tuple[float, float] | None] | None = None,
    colours: Literal["grey", "hot"] = "grey",
    marks: Sequence[Marks | None] | None = None,
    is_small: bool = True,
) -> None:
    """Save images side by side as a PNG, each with its title and, where it is known, its scale.

    Parameters
    ----------
    path : str or Path
        The PNG; replaced if it is there.
    panels : sequence of (str, DataArray or ndarray)
        Title and image of each panel, from left to right. Of axes besides y and x the first frame,
        first channel and middle slice are shown. An ndarray has the axes (y, x).
    ranges : sequence of ((float, float) or None), optional
        For each panel the values shown black and white; None: the percentiles 0.1 and 99.9.
    colours : {"grey", "hot"}
        Black to white, or black over red and yellow to white as is usual for localizations.
    marks : sequence of (Marks or None), optional
        For each panel the circles to draw on it.
    is_small : bool
        Whether the file is to be as small as can be; otherwise it is written several times faster.

    Raises
    ------
    OutputError
        The picture cannot be written.
    ValueError
        There are no panels, an ndarray isn't 2D, or there are more or fewer ranges or marks than
        panels.
    """
    if not panels:
        raise ValueError("a picture needs at least one panel")
    limits = [None] * len(panels) if ranges is None else list(ranges)
    circles = [None] * len(panels) if marks is None else list(marks)
    planes = [_plane(image) for _, image in panels]
    height = _panel_height([plane.shape for plane in planes])
    drawn = [
        _draw_panel(
            plane, height=height, title=title, value_range=limit, colours=colours, marks=own
        )
        for plane, (title, _), limit, own in zip(planes, panels, limits, circles, strict=True)
    ]
    width = sum(panel.width for panel in drawn) + _GAP_PX * (len(drawn) + 1)
    picture = Image.new("RGB", (width, drawn[0].height + 2 * _GAP_PX), _PAPER)
    left = _GAP_PX
    for panel in drawn:
        picture.paste(panel, (left, _GAP_PX))
        left += panel.width + _GAP_PX
    try:
        if is_small:
            picture.save(path, format="PNG", optimize=True)
        else:
            picture.save(path, format="PNG", compress_level=1)
    except OSError as error:
        raise OutputError(
            str(path),
            f"the picture can't be written: {error.strerror}",
            "",
            "Choose another place.",
        ) from error


@dataclass(frozen=True)
class ScaleBar:
    """A scale bar of round length; "um" stands for µm, which Pillow's own font lacks.

    Parameters
    ----------
    length_px : float
        Its length, in pixels of the image.
    label : str
        Its length, in nm or um.
    """

    length_px: float
    label: str


def fit_scale_bar(*, width_px: int, pixel_size_nm: float) -> ScaleBar:
    """Choose the longest bar of 1, 2 or 5 times a power of ten nm within a quarter of the width.

    Parameters
    ----------
    width_px : int
        Width of the image, in pixels.
    pixel_size_nm : float
        Edge of a pixel along x, in nm, > 0.

    Returns
    -------
    ScaleBar
        Length and label.
    """
    most_nm = width_px * pixel_size_nm * _BAR_SHARE
    power = 10.0 ** math.floor(math.log10(most_nm))
    length_nm = max(digit * power for digit in (1, 2, 5) if digit * power <= most_nm * (1 + 1e-9))
    label = f"{length_nm:g} nm" if length_nm < 1000 else f"{length_nm / 1000:g} um"
    return ScaleBar(length_px=length_nm / pixel_size_nm, label=label)


def _plane(image: xr.DataArray | NDArray[Any]) -> xr.DataArray:
    if not isinstance(image, xr.DataArray):
        return xr.DataArray(image, dims=("y", "x"))
    middle = {"z": image.sizes["z"] // 2} if "z" in image.dims else {}
    first = {dim: 0 for dim in image.dims if dim not in ("z", "y", "x")}
    return image.isel(first | middle)


def _panel_height(shapes: Sequence[tuple[int, ...]]) -> int:
    """Choose the height at which all panels fit side by side."""
    widths_per_height = sum(x / y for y, x in shapes)
    room = _MAX_WIDTH_PX - _GAP_PX * (len(shapes) + 1)
    return max(1, min(_PANEL_HEIGHT_PX, math.floor(room / widths_per_height)))


def _draw_panel(
    plane: xr.DataArray,
    *,
    height: int,
    title: str,
    value_range: tuple[float, float] | None,
    colours: Literal["grey", "hot"],
    marks: Marks | None = None,
) -> Image.Image:
    n_y, n_x = plane.shape
    width = max(1, round(n_x * height / n_y))
    step = max(1, min(n_y // (2 * height), n_x // (2 * width)))  # the rest is averaged below
    values = plane.isel(y=slice(None, None, step), x=slice(None, None, step)).values
    smaller = height < values.shape[0]
    grey = Image.fromarray(_stretch(values, value_range))
    grey = grey.resize(
        (width, height), Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    )
    pixels = np.asarray(grey)
    coloured = Image.fromarray(_hot()[pixels] if colours == "hot" else pixels).convert("RGB")
    text_px = max(11.0, min(18.0, height / 24))
    font = ImageFont.load_default(size=text_px)
    if marks is not None:
        _draw_marks(ImageDraw.Draw(coloured), marks, zoom=width / n_x)
    line = math.ceil(text_px * 1.5)
    panel = Image.new("RGB", (width, height + line), _PAPER)
    panel.paste(coloured, (0, 0))
    draw = ImageDraw.Draw(panel)
    draw.text((width / 2, height + line / 2), _shorten(title, draw, font, width), _INK, font, "mm")
    size_nm = dict(plane.attrs.get("pixel_size_nm") or {}).get("x")
    if size_nm:
        bar = fit_scale_bar(width_px=n_x, pixel_size_nm=size_nm)
        _draw_bar(draw, bar, zoom=width / n_x, corner=(width, height), font=font)
    return panel


def _draw_marks(draw: ImageDraw.ImageDraw, marks: Marks, *, zoom: float) -> None:
    radius = marks.radius_px * zoom
    for x, y in zip(marks.x_px * zoom, marks.y_px * zoom, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_MARK, width=1)


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    bar: ScaleBar,
    *,
    zoom: float,
    corner: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    margin = max(4, corner[1] // 40)
    thick = max(2, corner[1] // 100)
    right, bottom = corner[0] - margin, corner[1] - margin
    left = right - bar.length_px * zoom
    draw.rectangle((left, bottom - thick, right, bottom), _INK, outline=_PAPER)
    middle = ((left + right) / 2, bottom - thick - 3)
    draw.text(middle, bar.label, _INK, font, "mb", stroke_width=2, stroke_fill=_PAPER)


def _shorten(
    title: str,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    short = title.replace("µ", "u")
    n_letters = len(short)
    while n_letters and draw.textlength(short, font) > width:
        n_letters -= 1
        short = title[:n_letters].replace("µ", "u") + ".."
    return short if n_letters else ""


def _stretch(values: NDArray[Any], limits: tuple[float, float] | None) -> NDArray[np.uint8]:
    """Map values to 0..255; not-a-number is black, a constant image mid-grey or black where 0."""
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return np.zeros(values.shape, np.uint8)
    low, high = np.percentile(finite, _PERCENTILES) if limits is None else limits
    if limits is None and low == high:  # mostly constant: show what sticks out
        low, high = finite.min(), finite.max()
    if low == high:
        grey = 0 if low == 0 else 128
        return np.where(np.isfinite(numbers), grey, 0).astype(np.uint8)
    scaled = (np.nan_to_num(numbers, nan=low, posinf=high, neginf=low) - low) / (high - low)
    grey_values: NDArray[np.uint8] = np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return grey_values


def _hot() -> NDArray[np.uint8]:
    """Give the colours from black over red and yellow to white, of shape (256, 3)."""
    ramp = np.linspace(0, 3, 256)[:, None] - np.arange(3)
    return np.round(np.clip(ramp, 0, 1) * 255).astype(np.uint8)
