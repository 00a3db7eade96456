"""Gaussian blur, its Laplacian, and whole-factor binning of planes, exact on coarse pixels.

The blur multiplies the plane's cosine transform by ``exp(-2 pi^2 sigma^2 f^2)``: the Gaussian in
the Fourier domain, over a plane that goes on beyond its edges as its mirror image without end. So a
constant stays constant, no light is lost, and spots get as wide as they should even from narrow
kernels; a sampled one of 0.36 px leaves them 11 % too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft


def blur(planes: NDArray[np.floating], sigma_px: float) -> NDArray[np.float32]:
    """Blur with a Gaussian.

    Parameters
    ----------
    planes : ndarray, axes (..., y, x)
        Planes, each blurred by itself.
    sigma_px : float
        Standard deviation of the Gaussian, in pixels, >= 0.

    Returns
    -------
    ndarray, axes (..., y, x), float32
        As many pixels, and the same sum. Where the planes are under-sampled, values beside a bright
        pixel may fall a little below 0.
    """
    if sigma_px == 0:
        return np.asarray(planes, np.float32)
    waves = fft.dctn(np.asarray(planes, np.float64), axes=(-2, -1))
    square = _square_frequency(planes.shape) * sigma_px**2
    blurred: NDArray[np.float32] = fft.idctn(waves * np.exp(-square / 2), axes=(-2, -1)).astype(
        np.float32
    )
    return blurred


def blob_responses(
    plane: NDArray[np.floating], sigmas_px: Sequence[float]
) -> list[NDArray[np.float64]]:
    """Give Laplacians of Gaussians, normalised for scale and turned so that blobs are positive.

    Unlike sampled kernels, an even background, however high, adds exactly nothing.

    Parameters
    ----------
    plane : ndarray, axes (y, x)
        The plane.
    sigmas_px : sequence of float
        Standard deviations of the Gaussians, in pixels, > 0.

    Returns
    -------
    list of ndarray, axes (y, x)
        ``-sigma^2 x Laplacian`` of the plane blurred by each sigma.
    """
    waves = fft.dctn(np.asarray(plane, np.float64))
    squares = [_square_frequency(plane.shape) * sigma_px**2 for sigma_px in sigmas_px]
    return [np.asarray(fft.idctn(waves * square * np.exp(-square / 2))) for square in squares]


def _square_frequency(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Give the squared length of each cosine wave's vector, in radians per pixel; axes (y, x)."""
    along_y, along_x = (np.pi * np.arange(n) / n for n in shape[-2:])
    square: NDArray[np.float64] = along_y[:, None] ** 2 + along_x**2
    return square


def bin_pixels(
    planes: NDArray[np.floating], factor: int, *, by_sum: bool = False
) -> NDArray[np.float32]:
    """Join ``factor`` x ``factor`` pixels into one.

    Parameters
    ----------
    planes : ndarray, axes (..., y, x)
        Planes; rows and columns at the far edges that make no whole pixel are left out.
    factor : int
        Old pixels along the edge of a new one, >= 1.
    by_sum : bool
        Add the pixels up, as a camera's wider pixels would; otherwise their mean.

    Returns
    -------
    ndarray, axes (..., y / factor, x / factor), float32
        The new planes; the corner of the first pixel stays where it was.
    """
    n_y, n_x = (n // factor for n in planes.shape[-2:])
    whole = planes[..., : n_y * factor, : n_x * factor]
    cells = whole.reshape(*planes.shape[:-2], n_y, factor, n_x, factor)
    joined = cells.sum(axis=(-3, -1)) if by_sum else cells.mean(axis=(-3, -1))
    return np.asarray(joined, np.float32)
