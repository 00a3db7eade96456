"""How precisely an isolated emitter can be localized at all: theory for a Gaussian spot.

Mortensen, Churchman, Spudich, Flyvbjerg, Nature Methods 7, 377 (2010), equations 5 and 6: the
variance along one axis of a fit by least squares and by maximum likelihood; no unbiased localizer
beats the second, which is the Cramer-Rao bound up to a per cent. Neighbours in the same frame
make it harder still, so a dense field never reaches these figures.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Fit = Literal["mle", "least squares"]


def precision_bound(
    photons: ArrayLike,
    background: ArrayLike,
    *,
    sigma_nm: ArrayLike,
    pixel_size_nm: float,
    read_noise_photons: float = 0.0,
    excess_noise: float = 1.0,
    fit: Fit = "mle",
) -> NDArray[np.float64]:
    """Give the smallest standard deviation along one axis that a localization can have.

    ``sa^2 = sigma^2 + a^2/12``, ``tau = 2 pi sa^2 (b + r^2) / (N a^2)``; then
    ``sa^2/N (16/9 + 4 tau)`` by least squares and
    ``sa^2/N (1 + 4 tau + sqrt(2 tau / (1 + 4 tau)))`` by maximum likelihood, times the excess
    noise.

    Parameters
    ----------
    photons : array_like
        Photons of the emitter in the frame, N, > 0.
    background : array_like
        Photons of the background per camera pixel, b, >= 0.
    sigma_nm : array_like
        Standard deviation of the PSF, in nm, > 0, without the pixel's own width.
    pixel_size_nm : float
        Edge of a camera pixel, a, in nm, > 0.
    read_noise_photons : float
        Standard deviation of the camera's read noise, r, in photons per pixel, >= 0.
    excess_noise : float
        Factor on the variance: 2 for an EMCCD at high gain, 1 for other cameras.
    fit : {"mle", "least squares"}
        Which of the two equations.

    Returns
    -------
    ndarray, shape of the inputs broadcast
        Standard deviations, in nm; NaN where photons, background or sigma are out of range.

    Examples
    --------
    >>> round(float(precision_bound(1000, 10, sigma_nm=130, pixel_size_nm=100)), 2)
    5.71
    """
    n, b, sigma = np.broadcast_arrays(
        *(np.asarray(values, np.float64) for values in (photons, background, sigma_nm))
    )
    is_valid = (n > 0) & (b >= 0) & (sigma > 0)
    n, b, sigma = (np.where(is_valid, values, np.nan) for values in (n, b, sigma))
    area = pixel_size_nm**2
    variance_a = sigma**2 + area / 12
    tau = 2 * np.pi * variance_a * (b + read_noise_photons**2) / (n * area)
    likelihood = 1 + 4 * tau + np.sqrt(2 * tau / (1 + 4 * tau))
    factor = likelihood if fit == "mle" else 16 / 9 + 4 * tau
    bound: NDArray[np.float64] = np.sqrt(excess_noise * variance_a / n * factor)
    return bound
