"""Gaussian spots integrated over square pixels, many at once, on any device.

The integral over a pixel is a product of two differences of error functions (Smith et al., Nature
Methods 7, 373 (2010)). On a small picture all spots are one product of two matrices; on a large
one each spot is drawn in a window of five standard deviations, as ThunderSTORM does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

REACH_SIGMAS = 5.0
"""Half the edge of a spot's window; 6e-7 of the light is outside it."""
_SMALL_PX = 192 * 192  # measured: above it, windows are faster
_MAX_VALUES = 4_000_000  # of the windows computed at once: 16 MB


def render_gaussians(
    x_px: Tensor,
    y_px: Tensor,
    photons: Tensor,
    sigma_x_px: Tensor,
    sigma_y_px: Tensor,
    *,
    shape: tuple[int, int],
) -> Tensor:
    """Add up Gaussian spots.

    Parameters
    ----------
    x_px, y_px : Tensor, (b, n)
        Centres, in pixels from the outer corner of the top left pixel; may lie outside.
    photons : Tensor, (b, n)
        Photons of each spot; those of 0 are left out.
    sigma_x_px, sigma_y_px : Tensor, (b, n)
        Standard deviations along the columns and the rows, in pixels, > 0.
    shape : (int, int)
        Size of a picture (y, x), in pixels.

    Returns
    -------
    Tensor, (b, y, x), float32
        Expected photons per pixel.
    """
    if x_px.shape[1] == 0:
        return torch.zeros(len(x_px), *shape, device=x_px.device)
    if shape[0] * shape[1] <= _SMALL_PX:
        rows = _share(y_px, sigma_y_px, shape[0]) * photons[:, :, None]  # (b, n, y)
        columns = _share(x_px, sigma_x_px, shape[1])  # (b, n, x)
        return torch.bmm(rows.transpose(1, 2), columns)  # (b, y, x)
    return _render_in_windows(x_px, y_px, photons, sigma_x_px, sigma_y_px, shape=shape)


def _share(centre_px: Tensor, sigma_px: Tensor, size: int) -> Tensor:
    """Give the share of each spot's light in each row (or column): (b, n) to (b, n, size)."""
    edges = torch.arange(size + 1, device=centre_px.device)  # (size + 1,)
    width = math.sqrt(2) * sigma_px[..., None]  # (b, n, 1)
    steps = torch.erf((edges - centre_px[..., None]) / width)  # (b, n, size + 1)
    return steps.diff(dim=-1) / 2  # (b, n, size)


def _render_in_windows(
    x_px: Tensor,
    y_px: Tensor,
    photons: Tensor,
    sigma_x_px: Tensor,
    sigma_y_px: Tensor,
    *,
    shape: tuple[int, int],
) -> Tensor:
    picture, place = photons.nonzero(as_tuple=True)  # (m,) each
    image = torch.zeros(len(x_px) * shape[0] * shape[1], device=x_px.device)
    if len(picture) == 0:
        return image.view(len(x_px), *shape)
    spots = [t.expand_as(photons)[picture, place] for t in (x_px, y_px, sigma_x_px, sigma_y_px)]
    light = photons[picture, place]  # (m,)
    reach_px = math.ceil(REACH_SIGMAS * float(torch.maximum(spots[2], spots[3]).max()))
    size = 2 * reach_px + 1
    step = max(1, _MAX_VALUES // size**2)
    for first in range(0, len(light), step):
        part = slice(first, first + step)
        x, y, sigma_x, sigma_y = (spot[part] for spot in spots)  # (k,) each
        left, top = x.floor() - reach_px, y.floor() - reach_px  # (k,) each
        columns = _share(x - left, sigma_x, size)  # (k, size)
        rows = _share(y - top, sigma_y, size) * light[part, None]  # (k, size)
        add_windows(
            image,
            rows[:, :, None] * columns[:, None, :],
            picture=picture[part],
            top=top.long(),
            left=left.long(),
            shape=shape,
        )
    return image.view(len(x_px), *shape)  # (b, y, x)


def add_windows(
    image: Tensor,
    windows: Tensor,
    *,
    picture: Tensor,
    top: Tensor,
    left: Tensor,
    shape: tuple[int, int],
) -> None:
    """Add small pictures to large ones, in place; what sticks out is left out.

    Parameters
    ----------
    image : Tensor, (b * y * x,)
        The large pictures; changed.
    windows : Tensor, (k, h, w)
        The small ones.
    picture, top, left : Tensor, (k,), int64
        To which picture each goes, and the row and column of its top left pixel there.
    shape : (int, int)
        Size (y, x) of a large picture.
    """
    height, width = shape
    row = top[:, None] + torch.arange(windows.shape[1], device=image.device)  # (k, h)
    column = left[:, None] + torch.arange(windows.shape[2], device=image.device)  # (k, w)
    row_inside = (row >= 0) & (row < height)  # (k, h)
    column_inside = (column >= 0) & (column < width)  # (k, w)
    start = (picture[:, None] * height + row.clamp(0, height - 1)) * width  # (k, h)
    place = start[:, :, None] + column.clamp(0, width - 1)[:, None, :]  # (k, h, w)
    inside = row_inside[:, :, None] & column_inside[:, None, :]  # (k, h, w)
    image.index_add_(0, place.flatten(), (windows * inside).flatten())
