"""The width of a PSF, measured on an image of beads.

Beads are found as spots, those that are crowded, saturated or at an edge are left out, and each of
the others is fitted by a Gaussian that is integrated over the pixels (error functions). A Gaussian
sampled at the pixels' middles would come out 4 to 11 % too wide, since it takes the pixel in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial import KDTree
from scipy.special import erf

from bridge.errors import ImageError
from bridge.images.blur import FWHM_PER_SIGMA
from bridge.restoration.detect import find_spots
from bridge.restoration.kernel import PsfWidth

_TRIAL_SIGMAS_PX = (0.8, 1.2, 1.8, 2.7, 4.0, 6.0)
_MOST_TRIED = 30
_MOST_FITTED = 200
_REACH_SIGMAS = 4.0  # half a bead's window
_APART_SIGMAS = 7.0  # a bead with a nearer neighbour is left out
_LEAST_BEADS = 3
_FEW_BEADS = 8
_LEAST_EXPLAINED = 0.8  # share of the window's variance that a bead's fit explains
_OUTLIER = 3.5  # robust standard deviations
_ROUND = 1.1  # ratio of the widths along x and y that is worth a word
_SAMPLED_PX = 0.5
_MAD_TO_SD = 1.4826


@dataclass(frozen=True, eq=False)
class BeadWidth:
    """What beads say about a PSF.

    Attributes
    ----------
    sigma_nm : float
        Standard deviation of the Gaussian: mean over beads, without outliers.
    spread_nm : float
        Standard deviation of it from bead to bead.
    n_beads, n_left_out : int
        Beads that count, and spots that don't: crowded, saturated, at an edge, not fitting.
    sigma_y_nm, sigma_x_nm : float
        Means along both axes.
    pixel_size_nm : float
        Edge of a pixel.
    y_px, x_px : ndarray, (n_beads,)
        Their middles, from the outer corner of the top left pixel.
    warnings : tuple of str
        Sentences on what is doubtful.
    """

    sigma_nm: float
    spread_nm: float
    n_beads: int
    n_left_out: int
    sigma_y_nm: float
    sigma_x_nm: float
    pixel_size_nm: float
    y_px: NDArray[np.float64]
    x_px: NDArray[np.float64]
    warnings: tuple[str, ...]

    @property
    def fwhm_nm(self) -> float:
        """Full width at half maximum, in nm."""
        return self.sigma_nm * FWHM_PER_SIGMA

    @property
    def width(self) -> PsfWidth:
        """The width for :func:`bridge.restoration.kernel.kernel_between`."""
        return PsfWidth(self.sigma_nm, "beads", self.spread_nm / math.sqrt(self.n_beads))


@dataclass(frozen=True)
class BeadFit:
    """A pixel-integrated Gaussian fitted to one bead; lengths in pixels from the corner.

    ``explained`` is the share of the window's variance that the fit explains, 1 at best.
    """

    y_px: float
    x_px: float
    sigma_y_px: float
    sigma_x_px: float
    explained: float

    @property
    def sigma_px(self) -> float:
        """Root mean square of both widths, whose square is what adds up in a convolution."""
        return math.sqrt((self.sigma_y_px**2 + self.sigma_x_px**2) / 2)


def measure_beads(image: xr.DataArray, *, pixel_size_nm: float | None = None) -> BeadWidth:
    """Measure the width of a PSF on an image of beads.

    Parameters
    ----------
    image : DataArray, axes (y, x), or with t, z
        Frames are averaged; of slices the one with the sharpest spots is taken.
    pixel_size_nm : float, optional
        Edge of a pixel, in nm; left out, the image says it.

    Returns
    -------
    BeadWidth
        Width, number of beads, spread.

    Raises
    ------
    ImageError
        No pixel size is known, pixels aren't square, there are channels, or fewer than 3 beads
        can be measured.
    """
    what = str(image.attrs.get("source") or "the beads")
    size_nm = pixel_size_nm or _square_pixel(image, what)
    plane = _sharpest_plane(image, what)
    sigma_px = _rough_sigma(plane, what)
    fits, n_spots = _fit_all(plane, sigma_px)
    good = [fit for fit in fits if fit.explained >= _LEAST_EXPLAINED]
    good = _without_outliers(good)
    if len(good) < _LEAST_BEADS:
        raise ImageError(
            what,
            f"{len(good)} of {n_spots} spots can be measured",
            f"at least {_LEAST_BEADS} single beads, not saturated, away from edges and others",
            "Record a sparser field with more light; or give the FWHM as a number.",
        )
    widths = np.array([fit.sigma_px for fit in good])
    sigma_y, sigma_x = (
        math.sqrt(float(np.mean([getattr(fit, name) ** 2 for fit in good])))
        for name in ("sigma_y_px", "sigma_x_px")
    )
    return BeadWidth(
        sigma_nm=float(widths.mean()) * size_nm,
        spread_nm=float(widths.std(ddof=1)) * size_nm,
        n_beads=len(good),
        n_left_out=n_spots - len(good),
        sigma_y_nm=sigma_y * size_nm,
        sigma_x_nm=sigma_x * size_nm,
        pixel_size_nm=size_nm,
        y_px=np.array([fit.y_px for fit in good]),
        x_px=np.array([fit.x_px for fit in good]),
        warnings=tuple(_doubts(what, widths, sigma_y, sigma_x)),
    )


def fit_bead(window: NDArray[np.floating], *, sigma_px: float) -> BeadFit:
    """Fit a Gaussian, integrated over the pixels, on an even background.

    Parameters
    ----------
    window : ndarray, axes (y, x)
        One bead, near the middle.
    sigma_px : float
        About its width, in pixels, > 0.

    Returns
    -------
    BeadFit
        Places from the window's corner.
    """
    values = np.asarray(window, np.float64)
    low, high = float(np.median(values)), float(values.max())
    reach = max(high - low, np.finfo(float).tiny)
    values = (values - low) / reach
    edges_y, edges_x = (np.arange(n + 1.0) for n in values.shape)
    top_y, top_x = np.unravel_index(int(values.argmax()), values.shape)

    def misses(p: NDArray[np.float64]) -> NDArray[np.float64]:
        light, y, x, sigma_y, sigma_x, background = p
        share = [
            np.diff(erf((edges - middle) / (math.sqrt(2) * sigma))) / 2
            for edges, middle, sigma in ((edges_y, y, sigma_y), (edges_x, x, sigma_x))
        ]
        missed: NDArray[np.float64] = light * share[0][:, None] * share[1] + background - values
        return missed.ravel()

    start = (2 * math.pi * sigma_px**2, top_y + 0.5, top_x + 0.5, sigma_px, sigma_px, 0.0)
    bounds = (
        (0, 0, 0, 0.05, 0.05, -np.inf),
        (np.inf, values.shape[0], values.shape[1], values.shape[0], values.shape[1], np.inf),
    )
    found = least_squares(misses, start, bounds=bounds, x_scale="jac")
    explained = 1 - 2 * found.cost / max(float(((values - values.mean()) ** 2).sum()), 1e-300)
    _, y, x, sigma_y, sigma_x, _ = map(float, found.x)
    return BeadFit(y, x, sigma_y, sigma_x, float(explained))


def _square_pixel(image: xr.DataArray, what: str) -> float:
    sizes = image.attrs.get("pixel_size_nm") or {}
    if "y" not in sizes or "x" not in sizes:
        raise ImageError(
            what, "it doesn't say its pixel size", "the beads' pixel size in nm", "Give it."
        )
    if abs(sizes["y"] - sizes["x"]) > 1e-3 * sizes["x"]:
        found = f"its pixels are {sizes['y']:g} x {sizes['x']:g} nm"
        raise ImageError(what, found, "square pixels", "Correct the size, or resample the image.")
    return float(sizes["x"])


def _sharpest_plane(image: xr.DataArray, what: str) -> NDArray[np.float64]:
    if "c" in image.dims:
        found = f"it has {image.sizes['c']} channels"
        raise ImageError(what, found, "one channel", "Save the beads' channel as an image.")
    still = image.mean("t") if "t" in image.dims else image
    planes = [still.isel(z=k) for k in range(still.sizes["z"])] if "z" in still.dims else [still]
    pixels = [np.asarray(plane.values, np.float64) for plane in planes]
    if not all(np.isfinite(p).all() for p in pixels):
        raise ImageError(what, "some of its values aren't numbers", "finite values")
    steps = [sum(float((np.diff(p, axis=axis) ** 2).sum()) for axis in (0, 1)) for p in pixels]
    return pixels[int(np.argmax(steps))]


def _rough_sigma(plane: NDArray[np.float64], what: str) -> float:
    """Find the width to start from: the trial width that the brightest spots' own agrees with."""
    widths = {}
    for trial in _TRIAL_SIGMAS_PX:
        if min(plane.shape) < 2 * _REACH_SIGMAS * trial + 3:
            break
        spots = find_spots(plane, radius_px=math.sqrt(2) * trial).head(_MOST_TRIED)
        if len(spots) >= _LEAST_BEADS:
            widths[trial] = max(float(spots["radius_px"].median()) / math.sqrt(2), 0.5 * trial)
    if not widths:
        raise ImageError(
            what,
            "no spots that look like beads",
            f"at least {_LEAST_BEADS} single bright spots on an even background",
            "Check that it is the image of the beads; or give the FWHM as a number.",
        )
    return min(widths.items(), key=lambda pair: abs(math.log(pair[1] / pair[0])))[1]


def _fit_all(plane: NDArray[np.float64], sigma_px: float) -> tuple[list[BeadFit], int]:
    """Fit the brightest spots that stand alone; also give how many spots there are."""
    spots = find_spots(plane, radius_px=max(math.sqrt(2) * sigma_px, 1.0))
    places = spots[["y_px", "x_px"]].to_numpy()
    # With one spot alone the second nearest is infinitely far.
    apart = np.asarray(KDTree(places).query(places, k=2)[0])[:, 1] if len(places) else places[:, 0]
    reach = math.ceil(_REACH_SIGMAS * sigma_px) + 1
    # Camera counts are whole, and so is the plateau at their end; in floats there is none.
    full = plane.max() if (plane == np.floor(plane)).all() else math.inf
    fits: list[BeadFit] = []
    for (y, x), nearest in zip(places, apart, strict=True):
        top, left = math.floor(y) - reach, math.floor(x) - reach
        window = plane[max(top, 0) : top + 2 * reach + 1, max(left, 0) : left + 2 * reach + 1]
        is_whole = window.shape == (2 * reach + 1,) * 2 and top >= 0 and left >= 0
        is_saturated = int((window == full).sum()) > 1
        if not is_whole or is_saturated or nearest < _APART_SIGMAS * sigma_px:
            continue
        fit = fit_bead(window, sigma_px=sigma_px)
        fits.append(
            BeadFit(fit.y_px + top, fit.x_px + left, fit.sigma_y_px, fit.sigma_x_px, fit.explained)
        )
        if len(fits) == _MOST_FITTED:
            break
    return fits, len(spots)


def _without_outliers(fits: list[BeadFit]) -> list[BeadFit]:
    if not fits:
        return []
    widths = np.array([fit.sigma_px for fit in fits])
    middle = float(np.median(widths))
    spread = max(_MAD_TO_SD * float(np.median(np.abs(widths - middle))), 1e-3 * middle)
    return [
        fit for fit, w in zip(fits, widths, strict=True) if abs(w - middle) <= _OUTLIER * spread
    ]


def _doubts(what: str, widths: NDArray[np.float64], sigma_y: float, sigma_x: float) -> list[str]:
    doubts = []
    if len(widths) < _FEW_BEADS:
        doubts.append(f"{what}: only {len(widths)} beads; more would tell the width better.")
    ratio = max(sigma_y, sigma_x) / min(sigma_y, sigma_x)
    if ratio > _ROUND:
        doubts.append(
            f"{what}: the beads are {ratio:.2f} times as wide along one axis as along the other; "
            "the kernel is round all the same."
        )
    if widths.mean() < _SAMPLED_PX:
        doubts.append(
            f"{what}: the beads' sigma is {widths.mean():.2g} pixels, too few to measure it well."
        )
    return doubts
