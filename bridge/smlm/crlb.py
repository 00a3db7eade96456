"""How precisely emitters can be localized at all: theory for Gaussian spots, alone and together.

Alone: Mortensen, Churchman, Spudich, Flyvbjerg, Nature Methods 7, 377 (2010), equations 5 and 6:
the variance along one axis of a fit by least squares and by maximum likelihood; no unbiased
localizer beats the second, which is the Cramer-Rao bound up to a per cent.

Together: the inverse of the Fisher information of all emitters of a frame, whose places and photons
are unknown, and of their background. Where spots overlap it rises without limit. It holds for
unbiased estimates: who takes two emitters for one, in their middle, can be nearer to one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.special import erf

_WINDOW_SIGMAS: Final = 4.5
_BLOCK_SIGMAS: Final = 20.0
_MARGIN_SIGMAS: Final = 10.0
_WEAK_PRIOR: Final = 1e-6  # places known to 1000 widths beforehand: keeps the inverse finite
_LEAST_VARIANCE: Final = 1e-6
_FIELD_PX: Final = (48, 256)
_IN_A_FIELD: Final = 400
_ENOUGH_EMITTERS: Final = 1500
_MOST_FIELDS: Final = 40

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


def joint_bound(
    x_px: ArrayLike,
    y_px: ArrayLike,
    photons: ArrayLike,
    *,
    background: float,
    sigma_nm: float,
    pixel_size_nm: float,
    shape: tuple[int, int],
    read_noise_photons: float = 0.0,
    excess_noise: float = 1.0,
) -> NDArray[np.float64]:
    """Give the smallest standard deviations that emitters of one frame can have together.

    The Fisher information of pixel-integrated Gaussians, all places, all photons and one background
    unknown, is inverted block by block; what lies over ten widths outside a block counts as known.

    Parameters
    ----------
    x_px, y_px : array_like, (n,)
        Places, in pixels from the outer corner of the top left pixel.
    photons : array_like, (n,) or a number
        Photons of each, > 0.
    background : float
        Photons per pixel, >= 0.
    sigma_nm : float
        Standard deviation of the PSF, in nm, > 0, without the pixel's own width.
    pixel_size_nm : float
        Edge of a pixel, in nm, > 0.
    shape : (int, int)
        Size of the frame (y, x), in pixels.
    read_noise_photons : float
        Standard deviation of the read noise, in photons per pixel, >= 0.
    excess_noise : float
        Factor on the variance of the light: 2 for an EMCCD at high gain, 1 for other cameras.

    Returns
    -------
    ndarray, (n, 2), float64
        Standard deviations along x and y, in nm; huge for emitters that lie on each other.
    """
    sigma_px = sigma_nm / pixel_size_nm
    x, y, n = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x_px, y_px, photons)))
    if not x.size:
        return np.empty((0, 2))
    slopes = _list_slopes(x, y, n, sigma_px, shape)
    per_pixel = slopes.by_photons.sum(axis=1)  # relative photons: the slope is the light itself
    variance = excess_noise * (np.asarray(per_pixel).ravel() + background) + read_noise_photons**2
    weight = sparse.diags_array(1 / np.maximum(variance, _LEAST_VARIANCE))
    level = sparse.csc_array(np.full((shape[0] * shape[1], 1), max(background, 1.0)))
    jacobian = sparse.hstack([slopes.by_x, slopes.by_y, slopes.by_photons, level], format="csc")
    information = (jacobian.T @ weight @ jacobian).tocsr()
    variances = _invert_in_blocks(information, x, y, sigma_px)
    return np.sqrt(variances) * sigma_nm


class _Slopes(NamedTuple):
    """How each pixel's light changes with each emitter's place and photons; (pixels, n) each."""

    by_x: sparse.csc_array
    by_y: sparse.csc_array
    by_photons: sparse.csc_array


def _list_slopes(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    photons: NDArray[np.float64],
    sigma_px: float,
    shape: tuple[int, int],
) -> _Slopes:
    """List slopes with places in units of the width, and photons relative to each emitter's."""
    reach = math.ceil(_WINDOW_SIGMAS * sigma_px)
    steps = np.arange(-reach, reach + 1)
    columns, rows = (np.floor(place).astype(int)[:, None] + steps for place in (x, y))  # (n, w)
    share_x, slope_x = _integrate(columns - x[:, None], sigma_px)
    share_y, slope_y = _integrate(rows - y[:, None], sigma_px)
    is_in = ((rows >= 0) & (rows < shape[0]))[:, :, None] & ((columns >= 0) & (columns < shape[1]))[
        :, None
    ]  # (n, y, x)
    pixel = (rows[:, :, None] * shape[1] + columns[:, None])[is_in]
    emitter = np.broadcast_to(np.arange(len(x))[:, None, None], is_in.shape)[is_in]

    def fill(along_y: NDArray[np.float64], along_x: NDArray[np.float64]) -> sparse.csc_array:
        values = (photons[:, None, None] * along_y[:, :, None] * along_x[:, None])[is_in]
        return sparse.csc_array((values, (pixel, emitter)), shape=(shape[0] * shape[1], len(x)))

    return _Slopes(fill(share_y, slope_x), fill(slope_y, share_x), fill(share_y, share_x))


def _integrate(
    edge: NDArray[np.float64], sigma_px: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give a Gaussian's share in pixels that start at ``edge``, and its slope by place / width."""
    low, high = edge / sigma_px, (edge + 1) / sigma_px
    share = (erf(high / math.sqrt(2)) - erf(low / math.sqrt(2))) / 2
    slope = (np.exp(-(low**2) / 2) - np.exp(-(high**2) / 2)) / math.sqrt(2 * math.pi)
    return share, slope


def _invert_in_blocks(
    information: sparse.csr_array,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    sigma_px: float,
) -> NDArray[np.float64]:
    """Give the variances (n, 2) of the places, in units of the width squared."""
    n = len(x)
    edge, margin = _BLOCK_SIGMAS * sigma_px, _MARGIN_SIGMAS * sigma_px
    block = np.stack([np.floor(x / edge), np.floor(y / edge)])  # (2, n)
    variances = np.empty((n, 2))
    for column, row in np.unique(block, axis=1).T:
        is_here = (block[0] == column) & (block[1] == row)
        is_near = (x >= column * edge - margin) & (x < (column + 1) * edge + margin)
        is_near &= (y >= row * edge - margin) & (y < (row + 1) * edge + margin)
        near = is_near.nonzero()[0]
        of = np.concatenate([near, near + n, near + 2 * n, [3 * n]])
        part = information[of][:, of].toarray() + _WEAK_PRIOR * np.eye(len(of))
        factor, _ = dpotrf(part)
        inverse, failed = dpotri(factor)
        assert failed == 0, "the weak prior keeps the information positive"
        both = inverse.diagonal()[: 2 * len(near)].reshape(2, -1).T  # (near, 2)
        variances[is_here] = both[is_here[near]]
    return variances


@dataclass(frozen=True)
class CrowdBound:
    """What theory allows where emitters lie anywhere, at one density."""

    density_per_um2: float
    """Emitters per square micrometre and frame."""
    median_nm: float
    """Lateral: half of the emitters can't be localized better. sqrt(2) of that along an axis."""
    rmse_nm: float
    """Lateral error of an unbiased localizer at the bound, over those within reach."""
    found: float
    """Share of the emitters that such a localizer puts within reach, 0 to 1."""


def crowd_bound(
    density_per_um2: float,
    photons: float,
    background: float,
    *,
    sigma_nm: float,
    pixel_size_nm: float,
    read_noise_photons: float = 0.0,
    excess_noise: float = 1.0,
    reach_nm: float = 250.0,
    seed: int = 0,
) -> CrowdBound:
    """Sum up the joint bound over random frames of emitters that lie anywhere.

    Parameters
    ----------
    density_per_um2 : float
        Emitters per square micrometre and frame, > 0.
    photons, background : float
        Of each emitter, and per pixel.
    sigma_nm, pixel_size_nm, read_noise_photons, excess_noise : float
        As in :func:`joint_bound`.
    reach_nm : float
        Distance within which a detection counts, as in scoring.
    seed : int
        Of the places.

    Returns
    -------
    CrowdBound
        Of about 1500 emitters, those near the frames' edges left out.
    """
    generator = np.random.default_rng(seed)
    per_pixel = density_per_um2 * (pixel_size_nm / 1000) ** 2
    edge = int(np.clip(math.sqrt(_IN_A_FIELD / per_pixel), *_FIELD_PX))
    rim = min(_WINDOW_SIGMAS * sigma_nm / pixel_size_nm, edge / 4)
    variances, n = [np.empty((0, 2))], 0
    for _ in range(_MOST_FIELDS):
        x, y = generator.uniform(0, edge, (2, generator.poisson(per_pixel * edge**2)))
        bounds = joint_bound(
            x,
            y,
            photons,
            background=background,
            sigma_nm=sigma_nm,
            pixel_size_nm=pixel_size_nm,
            shape=(edge, edge),
            read_noise_photons=read_noise_photons,
            excess_noise=excess_noise,
        )
        is_inner = (np.minimum(x, y) >= rim) & (np.maximum(x, y) < edge - rim)
        variances.append(bounds[is_inner] ** 2)
        n += int(is_inner.sum())
        if n >= _ENOUGH_EMITTERS:
            break
    lateral = np.concatenate(variances).sum(axis=1)  # nm squared
    # Errors with this variance are Rayleigh-distributed: how many are within reach, how far off?
    far = reach_nm**2 / lateral
    within = -np.expm1(-far)
    squares = lateral * (within - far * np.exp(-far))
    return CrowdBound(
        density_per_um2=density_per_um2,
        median_nm=float(np.sqrt(np.median(lateral))) if len(lateral) else math.nan,
        rmse_nm=float(np.sqrt(squares.sum() / within.sum())) if len(lateral) else math.nan,
        found=float(within.mean()) if len(lateral) else math.nan,
    )
