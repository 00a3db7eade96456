"""Find round structures of one size, such as centrioles: the Laplacian of a Gaussian.

The response to a blob is largest for ``sigma = radius / sqrt(2)`` (Lindeberg, International Journal
of Computer Vision 30, 79 (1998)). A score is the response over the noise of the plane's responses,
so a threshold means the same in every image. A second, wider Laplacian tells a blob's own size, by
which specks as small as the PSF are left out::

    radius        0.85 x                         1 x
                   |                              |
    speck: out     |  structure looked for: in    |  wider ones: in
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import brentq
from skimage.feature import peak_local_max

from bridge.errors import ImageError, InputError
from bridge.restoration.blobs import blob_responses

Slices = Literal["each", "projection"]

PLACE_COLUMNS: tuple[str, ...] = ("image", "t", "c", "z", "x_px", "y_px", "score", "radius_px")
"""Columns of a table of places; t, c and z count from 1, x and y from the outer corner of the top
left pixel; nm columns are added where the pixel size is known."""

_WIDER = 3.0  # the second Laplacian's sigma over the first one's
_MOST_RADII = 8.0  # sizes beyond are not told apart
_FALSE_PER_PLANE = 0.05
_QUIET = 1e-3  # noise is taken to be at least this part of the largest response
_MAD_TO_SD = 1.4826
_BLACK_SHARE = 0.1  # of pixels with the least value: the background is without noise then
_NEIGHBOURHOOD = 13  # edge of the neighbourhood of which noise is taken, in radii
_LEAST_RADIUS_PX = 1.0
_TINY = 1e-300


def find_places(
    image: xr.DataArray,
    *,
    radius_px: float,
    threshold: float | None = None,
    min_distance_px: float | None = None,
    least_size: float = 0.85,
    slices: Slices = "each",
    name: str = "",
) -> pd.DataFrame:
    """Find structures in every plane of an image.

    Parameters
    ----------
    image : DataArray, axes some of (t, c, z, y, x)
        The image; planes are read one by one.
    radius_px, threshold, min_distance_px, least_size
        As of :func:`find_spots`.
    slices : {"each", "projection"}
        Look into each slice, or at the brightest value along z.
    name : str
        The image's name in the table.

    Returns
    -------
    DataFrame
        ``PLACE_COLUMNS``, and ``x_nm`` and ``y_nm`` where the pixel size is known; by plane, the
        best first. ``attrs``: ``best_score`` of all local maxima of the right size, and
        ``threshold``, the largest of the planes'.

    Raises
    ------
    ImageError
        A plane has values that aren't numbers.
    InputError
        The radius is below one pixel.
    """
    if slices == "projection" and "z" in image.dims:
        image = image.max("z", keep_attrs=True)
    stacked = [str(dim) for dim in image.dims if dim not in ("y", "x")]
    tables = []
    for index in np.ndindex(*(image.sizes[dim] for dim in stacked)):
        at = dict(zip(stacked, index, strict=True))
        plane = np.asarray(image.isel(at).values)
        if not np.isfinite(plane).all():
            what = name or str(image.attrs.get("source") or "the image")
            raise ImageError(what, "some of its values aren't numbers", "finite values")
        spots = find_spots(
            plane,
            radius_px=radius_px,
            threshold=threshold,
            min_distance_px=min_distance_px,
            least_size=least_size,
        )
        tables.append(spots.assign(image=name, **{d: at.get(d, 0) + 1 for d in "tcz"}))
    table = pd.concat(tables, ignore_index=True)[list(PLACE_COLUMNS)]
    table.attrs = {
        key: max(one.attrs[key] for one in tables) for key in ("best_score", "threshold")
    }
    return with_nm(table, image)


def with_nm(table: pd.DataFrame, image: xr.DataArray) -> pd.DataFrame:
    """Add ``x_nm`` and ``y_nm`` to a table of places, if the image says its pixel size."""
    sizes = image.attrs.get("pixel_size_nm") or {}
    if "y" in sizes and "x" in sizes:
        return table.assign(x_nm=table["x_px"] * sizes["x"], y_nm=table["y_px"] * sizes["y"])
    return table


def find_spots(
    plane: NDArray[np.generic],
    *,
    radius_px: float,
    threshold: float | None = None,
    min_distance_px: float | None = None,
    least_size: float = 0.0,
) -> pd.DataFrame:
    """Find blobs of about one radius in a plane.

    Parameters
    ----------
    plane : ndarray, axes (y, x)
        Finite values; bright on dark.
    radius_px : float
        Radius of the structure as it appears, in pixels, >= 1; of a Gaussian spot sqrt(2) sigma,
        0.6 of its FWHM.
    threshold : float, optional
        Least score; left out, :func:`automatic_threshold`.
    min_distance_px : float, optional
        Of two nearer ones the better is kept, in pixels; left out, one radius.
    least_size : float
        Smaller structures than this part of the radius are left out, 0 <= x <= 1; 0 keeps all.

    Returns
    -------
    DataFrame
        ``x_px``, ``y_px`` (from the outer corner of the top left pixel, finer than a pixel),
        ``score`` (response over noise) and ``radius_px`` (estimated); the best first. ``attrs``:
        ``best_score``, 0 where there is no maximum, and ``threshold``.

    Raises
    ------
    InputError
        The radius is below one pixel.
    """
    if radius_px < _LEAST_RADIUS_PX:
        raise InputError(
            "the radius",
            f"{radius_px:.3g} pixels",
            f"at least {_LEAST_RADIUS_PX:g} pixel",
            "Check the radius and the pixel size.",
        )
    values = np.asarray(plane, np.float64)
    sigma_px = radius_px / math.sqrt(2)
    least = automatic_threshold(values.shape, radius_px) if threshold is None else threshold
    response, wider = blob_responses(values, (sigma_px, _WIDER * sigma_px))
    scores = response / (_noise(response) * edge_noise(values.shape, sigma_px))
    is_black = float((values == values.min()).mean()) > _BLACK_SHARE
    excess = _excess_noise(response, radius_px) if is_black else np.ones_like(scores)
    spacing = max(1, int(radius_px if min_distance_px is None else min_distance_px))
    peaks = peak_local_max(  # type: ignore[no-untyped-call]
        scores, min_distance=spacing, threshold_abs=0.0, exclude_border=False, p_norm=2
    )
    rows, columns = peaks[:, 0], peaks[:, 1]
    top = np.maximum(response[rows, columns], np.finfo(float).tiny)
    sizes = _sizes(wider[rows, columns] / top)
    dy, dx = _beside(scores, rows, columns)
    found = pd.DataFrame(
        {
            "x_px": columns + 0.5 + dx,
            "y_px": rows + 0.5 + dy,
            "score": (scores / excess)[rows, columns],
            "radius_px": sizes * radius_px,
        }
    )
    found = found[sizes >= least_size].sort_values("score", ascending=False, ignore_index=True)
    best = float(found["score"].max()) if len(found) else 0.0
    found = found[found["score"] >= least].copy()
    found.attrs = {"best_score": best, "threshold": float(least)}
    return found


def automatic_threshold(shape: tuple[int, ...], radius_px: float) -> float:
    """Give the score that noise alone exceeds in one of twenty planes.

    The expected number of maxima above u in a Gaussian field of unit variance is
    ``area x L u exp(-u^2 / 2) / (2 pi)^(3/2)`` (Adler, The Geometry of Random Fields, 1981; Worsley
    et al., Human Brain Mapping 4, 58 (1996)), L the variance of its slope along an axis:
    ``1.5 / sigma^2`` for white noise seen by a Laplacian of a Gaussian.

    Parameters
    ----------
    shape : (int, int)
        The plane's (y, x), in pixels.
    radius_px : float
        Radius that is looked for, in pixels.
    """
    sigma_px = radius_px / math.sqrt(2)
    cells = max(math.prod(shape) * 1.5 / sigma_px**2 / (2 * math.pi) ** 1.5, 1.0)
    share = math.log(_FALSE_PER_PLANE / cells)
    return float(brentq(lambda u: math.log(u) - u**2 / 2 - share, 1.0, 100.0))


def edge_noise(shape: tuple[int, ...], sigma_px: float) -> NDArray[np.float64]:
    """Give how much noisier responses are near the edges, where the plane meets its mirror image.

    Parameters
    ----------
    shape : (int, int)
        The plane's (y, x), in pixels.
    sigma_px : float
        Of the Laplacian of a Gaussian, in pixels.

    Returns
    -------
    ndarray, axes (y, x)
        Standard deviation over that far from the edges: 1 there, 1.4 at an edge, 2 in a corner.
    """
    # Noise is correlated with its image twice as far away as the edge; over white noise the
    # correlation is Laguerre's (1 - 2 s + s^2 / 2) exp(-s) of s = distance^2 / (4 sigma^2).
    places = [np.arange(n) + 0.5 for n in shape]
    squares = [(np.minimum(p, n - p) / sigma_px) ** 2 for p, n in zip(places, shape, strict=True)]
    apart_y, apart_x = squares[0][:, None], squares[1][None, :]
    variance = 1 + sum(
        (1 - 2 * s + s**2 / 2) * np.exp(-s) for s in (apart_y, apart_x, apart_y + apart_x)
    )
    deviation: NDArray[np.float64] = np.sqrt(np.broadcast_to(variance, shape))
    return deviation


def _noise(response: NDArray[np.float64]) -> float:
    """Give the responses' standard deviation without outliers; above 0 for images without noise."""
    deviation = _MAD_TO_SD * float(np.median(np.abs(response - np.median(response))))
    return max(deviation, _QUIET * float(np.abs(response).max()), _TINY)


def _excess_noise(response: NDArray[np.float64], radius_px: float) -> NDArray[np.float64]:
    """Give how many times noisier each place's neighbourhood is than the plane; 1 at least.

    Light brings noise, so that a cell is noisier than the black around it. Needed where there is
    black, which the plane's own noise is taken from.
    """
    step = max(1, int(radius_px))
    apart = np.abs(response[::step, ::step] - np.median(response))
    around = _MAD_TO_SD * ndimage.median_filter(apart, _NEIGHBOURHOOD) / _noise(response)
    places = [np.arange(n) // step for n in response.shape]
    excess: NDArray[np.float64] = np.maximum(around, 1.0)[np.ix_(*places)]
    return excess


def _sizes(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate sizes, over the one looked for, from the ratio of the wider response to the first.

    For a Gaussian blob s times as wide the ratio is ``a^2 ((s^2 + 1) / (s^2 + a^2))^2``.
    """
    root = np.sqrt(np.maximum(ratio, 0))
    far = root > _WIDER * (_MOST_RADII**2 + 1) / (_MOST_RADII**2 + _WIDER**2)
    square = _WIDER * (root * _WIDER - 1) / np.where(far, 1.0, _WIDER - root)
    sizes: NDArray[np.float64] = np.where(far, _MOST_RADII, np.sqrt(np.maximum(square, 0)))
    return sizes


def _beside(
    scores: NDArray[np.float64], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give how far the top of a parabola through three pixels lies beside the middle one."""
    padded = np.pad(scores, 1, mode="edge")
    middle = scores[rows, columns]
    away = []
    for step in ((1, 0), (0, 1)):
        before = padded[rows + 1 - step[0], columns + 1 - step[1]]
        after = padded[rows + 1 + step[0], columns + 1 + step[1]]
        bend = before - 2 * middle + after
        shift = np.where(bend < 0, (before - after) / (2 * np.where(bend < 0, bend, -1.0)), 0.0)
        away.append(np.clip(shift, -0.5, 0.5))
    return away[0], away[1]
