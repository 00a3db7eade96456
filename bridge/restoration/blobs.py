"""Laplacians of Gaussians, which answer to blobs of one size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft


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
