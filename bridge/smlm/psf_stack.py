"""Spots of any shape, cut from a finely sampled stack made once and interpolated on the device.

A stack's value at (z, v, u) is the share of an emitter's light that reaches the camera pixel whose
centre lies ``(v, u)`` fine steps from the emitter. Between its samples it is interpolated in a
straight line, which keeps the sum and the centre of a spot exact and adds at most 0.0052 pixels
squared, ``1 / (2 * STEPS_PER_PX)`` squared, to its variance along each axis.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import (
    map_coordinates,
    uniform_filter1d,
)
from torch import Tensor

from bridge.errors import ImageError, InputError
from bridge.images.read import open_image
from bridge.smlm.psf_gaussian import add_windows

STEPS_PER_PX = 7  # odd, so that a pixel's box of samples has a middle
_MAX_VALUES = 2_000_000  # of the windows computed at once: 8 MB, a few times over
_LEAST_SPREAD = 1e-6


class SpotStack(NamedTuple):
    """A point spread function, finely sampled."""

    values: Tensor
    """(z, v, u) float32, odd edges; the emitter is at the middle of v and u."""
    first_z_nm: float
    """Height of the first plane."""
    step_z_nm: float
    """From plane to plane, > 0."""
    radius_px: int
    """Spots are drawn in windows of ``2 * radius_px + 1`` camera pixels, and end a pixel before."""


def fine_size(radius_px: int) -> int:
    """Give the edge of a stack in samples: its windows, and a pixel more on each side."""
    return 2 * (radius_px + 1) * STEPS_PER_PX + 1


def integrate_pixels(samples: NDArray[np.float64], *, width_steps: float) -> NDArray[np.float32]:
    """Turn samples of the light's density into what camera pixels get.

    The light is cut off at a circle that every window holds whole wherever in its pixel the
    emitter is; a square cut would pull a spot with long tails towards the window's middle.

    Parameters
    ----------
    samples : ndarray, (z, v, u)
        Density, >= 0, in any unit; edges as by ``fine_size``.
    width_steps : float
        Edge of the box to integrate over, in samples; rounded to an odd number.

    Returns
    -------
    ndarray, (z, v, u), float32
        Integrals, each plane in its own unit: spots are scaled to their photons when drawn.
    """
    width = 2 * round((width_steps - 1) / 2) + 1
    half = samples.shape[1] // 2
    away = np.arange(-half, half + 1)
    samples = samples * (np.hypot(away[:, None], away) <= half - 2 * STEPS_PER_PX)
    for axis in (1, 2):
        if width > 1:
            samples = uniform_filter1d(samples, width, axis=axis, mode="constant")
    return samples.astype(np.float32)


def compute_stack(
    *,
    model: str,
    heights_nm: NDArray[np.float64],
    pixel_size_nm: float,
    radius_px: int,
    optics: dict[str, float],
) -> NDArray[np.float32]:
    """Let ``psfmodels`` compute a stack (Aguet et al., Opt. Express 17, 6829 (2009)).

    Parameters
    ----------
    model : str
        ``vectorial`` or ``scalar`` (Gibson and Lanni).
    heights_nm : ndarray, (z,)
        Heights of the emitter above where it is sharpest.
    pixel_size_nm : float
        Edge of a camera pixel.
    radius_px : int
        Radius of the windows that spots will be drawn in.
    optics : dict of str to float
        Numbers for ``psfmodels.make_psf``; lengths in micrometres, as it takes them.

    Returns
    -------
    ndarray, (z, v, u), float32
        For :class:`SpotStack`.

    Raises
    ------
    InputError
        ``psfmodels`` isn't installed.
    """
    try:
        make_psf = importlib.import_module("psfmodels").make_psf  # an extra
    except ImportError as error:
        raise InputError(
            f"point spread function '{model}'",
            "the library psfmodels, which computes it, is not installed",
            "",
            "Install it with: pip install 'zoobridge[psf]'",
        ) from error
    # Deep in water the sharpest spot isn't where the stage says: look for it along the axis.
    search_um = np.arange(optics["pz"] - 1, 2 * optics["pz"] + 2, 0.01)
    axis = make_psf(search_um, 1, dxy=0.01, model=model, **optics)
    focus_um = search_um[axis[:, 0, 0].argmax()]
    # An emitter above the focal plane is a focal plane below the emitter.
    planes_um = focus_um - heights_nm / 1000
    samples = make_psf(
        planes_um,
        fine_size(radius_px),
        dxy=pixel_size_nm / STEPS_PER_PX / 1000,
        model=model,
        oversample_factor=1,
        **optics,
    )
    return integrate_pixels(samples, width_steps=STEPS_PER_PX)


def measure_stack(
    path: Path, *, stack_pixel_size_nm: float, pixel_size_nm: float, radius_px: int
) -> NDArray[np.float32]:
    """Take a stack from an image of a bead.

    The rim's median of each plane is taken off as background; the bead is where the brightest
    plane has its centre of mass. Pixels that are smaller than the camera's are integrated further.

    Parameters
    ----------
    path : Path
        Image, axes (z, y, x) or (y, x).
    stack_pixel_size_nm : float
        Edge of its pixels; 0 takes the one that the file states.
    pixel_size_nm : float
        Edge of a camera pixel, at least as large.
    radius_px : int
        Radius of the windows that spots will be drawn in, in camera pixels.

    Returns
    -------
    ndarray, (z, v, u), float32
        For :class:`SpotStack`.

    Raises
    ------
    ImageError
        The image cannot be read, has other axes, no pixel size, too large pixels or no spot.
    """
    image = open_image(path)
    if image.ndim not in (2, 3) or {"c"} & set(image.dims):
        axes = " ".join(map(str, image.dims))
        raise ImageError(str(path), f"the spot has the axes {axes}", "z, y and x", "Crop it.")
    size_nm = stack_pixel_size_nm or float(image.attrs.get("pixel_size_nm", {}).get("x", 0))
    if not 0 < size_nm <= pixel_size_nm * 1.001:
        raise ImageError(
            str(path),
            f"its pixels are {size_nm:g} nm wide" if size_nm else "its pixel size is not known",
            f"more than 0 and at most the camera's {pixel_size_nm:g} nm",
            "Give stack_pixel_size_nm.",
        )
    planes = np.array(image.values, dtype=np.float64).reshape(-1, *image.shape[-2:])
    rim = np.concatenate(
        [planes[:, 0], planes[:, -1], planes[:, 1:-1, 0], planes[:, 1:-1, -1]], axis=1
    )
    planes = np.clip(planes - np.median(rim, axis=1)[:, None, None], 0, None)
    if not np.isfinite(planes).all() or (planes.max(axis=(1, 2)) <= 0).any():
        raise ImageError(str(path), "a plane of the stack has no spot in it", "a bead in each")
    sharpest = planes[planes.max(axis=(1, 2)).argmax()]
    middle = [
        float((sharpest.sum(axis=1 - axis) * np.arange(sharpest.shape[axis])).sum())
        / float(sharpest.sum())
        for axis in (0, 1)
    ]
    step = pixel_size_nm / STEPS_PER_PX / size_nm
    offset = (np.arange(fine_size(radius_px)) - fine_size(radius_px) // 2) * step
    grid = np.meshgrid(middle[0] + offset, middle[1] + offset, indexing="ij")
    fine = np.stack([map_coordinates(plane, grid, order=3, mode="constant") for plane in planes])
    missing = STEPS_PER_PX * np.sqrt(max(0.0, 1 - (size_nm / pixel_size_nm) ** 2))
    return integrate_pixels(np.clip(fine, 0, None), width_steps=max(1.0, float(missing)))


def render_stack(
    stack: SpotStack,
    x_px: Tensor,
    y_px: Tensor,
    z_nm: Tensor,
    photons: Tensor,
    *,
    shape: tuple[int, int],
) -> Tensor:
    """Add up spots cut from a stack; each window holds exactly its emitter's photons.

    Parameters
    ----------
    stack : SpotStack
        The spot's shape, on the emitters' device.
    x_px, y_px, z_nm, photons : Tensor, (b, n)
        As for :meth:`bridge.smlm.psf.PsfBase.render`; heights beyond the stack get its last plane.
    shape : (int, int)
        Size of a picture (y, x), in pixels.

    Returns
    -------
    Tensor, (b, y, x), float32
        Expected photons per pixel.
    """
    picture, place = photons.nonzero(as_tuple=True)  # (m,) each
    image = torch.zeros(len(x_px) * shape[0] * shape[1], device=x_px.device)
    x, y, z, light = (t[picture, place] for t in (x_px, y_px, z_nm, photons))  # (m,) each
    size = 2 * stack.radius_px + 1
    step = max(1, _MAX_VALUES // size**2)
    for first in range(0, len(light), step):
        part = slice(first, first + step)
        windows = _interpolate(stack, x[part], y[part], z[part])  # (k, size, size)
        total = windows.sum(dim=(1, 2), keepdim=True).clamp(min=_LEAST_SPREAD)  # (k, 1, 1)
        add_windows(
            image,
            windows / total * light[part, None, None],
            picture=picture[part],
            top=y[part].floor().long() - stack.radius_px,
            left=x[part].floor().long() - stack.radius_px,
            shape=shape,
        )
    return image.view(len(x_px), *shape)  # (b, y, x)


def _interpolate(stack: SpotStack, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Cut a window for each emitter, its pixels' centres between eight samples; (k, size, size)."""
    values = stack.values
    n_planes, edge = values.shape[0], values.shape[2]
    depth = ((z - stack.first_z_nm) / stack.step_z_nm).clamp(0, n_planes - 1)  # (k,)
    plane = depth.floor().long().clamp(max=max(n_planes - 2, 0))  # (k,)
    depth = depth - plane  # (k,)

    def along(centre: Tensor) -> tuple[Tensor, Tensor]:
        pixels = torch.arange(-stack.radius_px, stack.radius_px + 1, device=centre.device)
        away = 0.5 - (centre - centre.floor())  # (k,), the nearest pixel's centre from the emitter
        position = away * STEPS_PER_PX + edge // 2  # (k,)
        low = position.floor()  # (k,)
        return low.long()[:, None] + pixels * STEPS_PER_PX, position - low  # (k, size), (k,)

    (row, row_share), (column, column_share) = along(y), along(x)
    windows = torch.zeros((), device=x.device)
    for dz in (0, 1) if n_planes > 1 else (0,):
        for dy in (0, 1):
            for dx in (0, 1):
                weight = (depth if dz else 1 - depth) * (row_share if dy else 1 - row_share)
                weight = weight * (column_share if dx else 1 - column_share)  # (k,)
                corner = values[
                    plane[:, None, None] + dz, row[:, :, None] + dy, column[:, None, :] + dx
                ]  # (k, size, size)
                windows = windows + weight[:, None, None] * corner
    return windows
