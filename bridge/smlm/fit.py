"""The classical way to localize: one Gaussian is fitted to each spot that stands out.

Spots are found in a band-passed frame (:mod:`bridge.smlm.spot_search`) and fitted by maximum
likelihood (:mod:`bridge.smlm.fit_kernels`). Emitters whose spots overlap are taken for one, or
displace each other: where a field is dense, this is what a network has to beat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bridge.errors import ImageError
from bridge.progress import Progress, silent
from bridge.smlm import fit_kernels as kernels
from bridge.smlm.camera import Camera
from bridge.smlm.spot_search import Light, find_spots, light_from_counts

THRESHOLD: Final = 5.0
"""Standard deviations of the noise by which a spot must stand out."""

SURE_WIDTH: Final = 0.15
"""Largest standard error of a width that counts, as a share of it."""

_USUAL_SIGMA_PX = 1.3
_SIGMA_PX = (0.5, 4.0)
_FURTHEST_PX = 1.5
_WINDOW = 2.3  # half the window's width, over that of a spot
_RADIUS_PX = (3, 10)
_BLOCK_PX = 1 << 21
_LEAST_EDGE_PX = 8
_FEW_SPOTS = 20
_SAME_WIDTH = 0.1
_ALONE = 6.0  # no other spot within so many widths
_MOST_LOOKS = 10
_MOST_GUESSES = 4
_FRAME_STEP_PX = 1e6
_TWICE = 0.5  # fits this near, in spots' widths, are of the same spot


def fit_spots(
    frames: NDArray[np.generic],
    *,
    camera: Camera,
    first_frame: int = 1,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Localize the spots of a movie, each as one emitter.

    Parameters
    ----------
    frames : ndarray, axes (t, y, x)
        Camera counts.
    camera : Camera
        Gives photons, noise and the pixel size.
    first_frame : int
        Number of the first of these frames.
    progress : Progress
        Told of the frames done.

    Returns
    -------
    DataFrame
        ``frame``, ``x_nm`` and ``y_nm`` from the outer corner of the top left pixel, ``sigma_nm``
        (of the Gaussian, without the pixel's own width), ``photons``, ``background`` per pixel and
        ``uncertainty_xy_nm``, the standard error along an axis by the Fisher information.
        Left out: fits that moved by more than 1.5 pixels, are narrower than 0.5 or wider than 4.

    Raises
    ------
    ImageError
        The frames aren't (t, y, x), or hold values that are no numbers; a map of the camera's chip
        doesn't fit.
    """
    _check(frames)
    sigma_px = estimate_width_px(frames, camera=camera)
    step = max(1, _BLOCK_PX // frames[0].size)
    parts = []
    for first in range(0, len(frames), step):
        light = light_from_counts(frames[first : first + step], camera)
        fits = fit_light(light, sigma_px=sigma_px)
        parts.append(make_table(fits, light, camera=camera, first_frame=first_frame + first))
        progress(min(first + step, len(frames)), len(frames), "fitting spots")
    table = pd.concat(parts, ignore_index=True)
    table.attrs.update(
        pixel_size_nm=camera.pixel_size_nm,
        source="fit of spots",
        history=[f"Single spots fitted by maximum likelihood, found at {THRESHOLD:g} x noise."],
        warnings=[],
    )
    return table


class Fits(NamedTuple):
    """Spots that were fitted, in pixels and in the unit of their :class:`Light`."""

    frame: NDArray[np.int64]
    """Frame of each, from 0."""
    values: NDArray[np.float64]
    """(n, 11): the columns of :mod:`bridge.smlm.fit_kernels`."""

    def where(self, is_kept: NDArray[np.bool_]) -> Fits:
        """Keep some of them."""
        return Fits(self.frame[is_kept], self.values[is_kept])

    @classmethod
    def join(cls, parts: Sequence[Fits]) -> Fits:
        """Put several together, whose frames are numbered as one run."""
        return cls(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def relative_error(self, column: int) -> NDArray[np.float64]:
        """Give the standard error of a column as a share of its value."""
        return np.sqrt(self.values[:, kernels.VARIANCE + column]) / self.values[:, column]


def fit_light(light: Light, *, sigma_px: float, threshold: float = THRESHOLD) -> Fits:
    """Find and fit the spots of some frames.

    Parameters
    ----------
    light : Light
        The frames.
    sigma_px : float
        About how wide a spot is, in pixels, > 0.
    threshold : float
        Standard deviations of the noise by which a spot must stand out, > 0.

    Returns
    -------
    Fits
        Those that came to a sensible end, sorted by frame.
    """
    frames, rows, columns = find_spots(light, sigma_px=sigma_px, threshold=threshold)
    radius = int(np.clip(np.round(_WINDOW * sigma_px), *_RADIUS_PX))
    values = kernels.fit_windows(
        light.values, light.variance, frames, rows, columns, radius, sigma_px
    )
    is_good = np.isfinite(values).all(axis=1)
    for axis, start in ((kernels.X, columns), (kernels.Y, rows)):
        is_good &= np.abs(values[:, axis] - start - 0.5) <= _FURTHEST_PX
    is_good &= (values[:, kernels.SIGMA] >= _SIGMA_PX[0]) & (
        values[:, kernels.SIGMA] <= _SIGMA_PX[1]
    )
    is_good &= values[:, kernels.LIGHT] > np.sqrt(values[:, kernels.VARIANCE + kernels.LIGHT])
    return _without_twins(Fits(frames, values).where(is_good), _TWICE * sigma_px)


def distance_to_next(fits: Fits) -> NDArray[np.float64]:
    """Give each spot's distance to the nearest other one of its frame, in pixels; inf if alone."""
    if len(fits.frame) < 2:
        return np.full(len(fits.frame), np.inf)
    places = _apart(fits)
    distance = np.asarray(cKDTree(places).query(places, k=[2])[0])[:, 0]
    return np.where(distance < _FRAME_STEP_PX / 2, distance, np.inf)


def is_lone_spot(
    fits: Fits, *, sigma_px: float, width_error: float = SURE_WIDTH
) -> NDArray[np.bool_]:
    """Tell which spots are surely of one emitter: alone, of sure width, and shaped as a Gaussian.

    Parameters
    ----------
    fits : Fits
        Spots of some frames.
    sigma_px : float
        About how wide a spot is, in pixels, > 0.
    width_error : float
        Largest standard error of the width, as a share of it, > 0.

    Returns
    -------
    ndarray, (n,), bool
        Of those that are far from others and bright enough for a width, the better half by their
        misfit: two emitters in one spot are wider than one, and don't fit.
    """
    is_lone = distance_to_next(fits) > _ALONE * sigma_px
    is_lone &= fits.relative_error(kernels.SIGMA) < width_error
    if is_lone.any():
        misfit = fits.values[:, kernels.MISFIT]
        is_lone &= misfit <= np.median(misfit[is_lone])
    return is_lone


def estimate_width_px(frames: NDArray[np.generic], *, camera: Camera) -> float:
    """Estimate how wide the spots of a movie are, from ten of its frames.

    Parameters
    ----------
    frames : ndarray, axes (t, y, x)
        Camera counts.
    camera : Camera
        The camera.

    Returns
    -------
    float
        Median width of lone spots, in pixels; 1.3 where there are hardly any.
    """
    looks = np.unique(np.linspace(0, len(frames) - 1, _MOST_LOOKS).astype(int))
    light = light_from_counts(frames[looks], camera)
    for start in (_USUAL_SIGMA_PX, 2 * _USUAL_SIGMA_PX):
        sigma_px = start
        for _ in range(_MOST_GUESSES):
            fits = fit_light(light, sigma_px=sigma_px)
            widths = fits.values[is_lone_spot(fits, sigma_px=sigma_px), kernels.SIGMA]
            if len(widths) < _FEW_SPOTS:
                break
            before, sigma_px = sigma_px, float(np.median(widths))
            if abs(sigma_px - before) <= _SAME_WIDTH * before:
                return sigma_px
    return _USUAL_SIGMA_PX


def make_table(fits: Fits, light: Light, *, camera: Camera, first_frame: int = 1) -> pd.DataFrame:
    """Turn fits into a table of localizations.

    Parameters
    ----------
    fits : Fits
        The fits.
    light : Light
        The frames that were fitted.
    camera : Camera
        Gives the pixel size.
    first_frame : int
        Number of the first of these frames.

    Returns
    -------
    DataFrame
        As :func:`fit_spots` gives it.
    """
    values, pixel_nm = fits.values, camera.pixel_size_nm
    variance = values[:, [kernels.VARIANCE + kernels.X, kernels.VARIANCE + kernels.Y]].mean(axis=1)
    return pd.DataFrame(
        {
            "frame": fits.frame + first_frame,
            "x_nm": values[:, kernels.X] * pixel_nm,
            "y_nm": values[:, kernels.Y] * pixel_nm,
            "sigma_nm": values[:, kernels.SIGMA] * pixel_nm,
            "photons": values[:, kernels.LIGHT] / light.per_photon,
            "background": light.photons(values[:, kernels.BACKGROUND]),
            "uncertainty_xy_nm": np.sqrt(variance) * pixel_nm,
        }
    )


def _without_twins(fits: Fits, nearest_px: float) -> Fits:
    """Of fits that ended at the same place, keep the one that is surest of its light."""
    if len(fits.frame) < 2:
        return fits
    pairs = cKDTree(_apart(fits)).query_pairs(nearest_px, output_type="ndarray")
    error = fits.relative_error(kernels.LIGHT)
    worse = np.where(error[pairs[:, 0]] > error[pairs[:, 1]], pairs[:, 0], pairs[:, 1])
    is_kept = np.ones(len(fits.frame), bool)
    is_kept[worse] = False
    return fits.where(is_kept)


def _apart(fits: Fits) -> NDArray[np.float64]:
    """Give places (n, 3) in which different frames are far from each other."""
    places = fits.values[:, [kernels.X, kernels.Y]]
    return np.column_stack([places, fits.frame * _FRAME_STEP_PX])


def _check(frames: NDArray[np.generic]) -> None:
    if frames.ndim != 3 or not len(frames) or min(frames.shape[1:]) < _LEAST_EDGE_PX:
        raise ImageError(
            "movie",
            f"its shape is {' x '.join(map(str, frames.shape))}",
            f"one frame or more, axes (t, y, x), of at least {_LEAST_EDGE_PX} x {_LEAST_EDGE_PX} "
            "pixels",
        )
    n_bad = int(frames.size - np.isfinite(frames).sum()) if frames.dtype.kind == "f" else 0
    if n_bad:
        raise ImageError(
            "movie",
            f"{n_bad} of {frames.size} values aren't finite numbers",
            "camera counts",
            "Replace them, or leave these frames out.",
        )
