"""Pictures of localizations: counted, counted and smoothed, or drawn as Gaussians.

All three put a localization where ThunderSTORM puts it (its ``rendering`` package, version
``dev-2017-01-28-b1``): into the pixel ``floor((x_nm - left_nm) / pixel_size_nm)``, if that pixel is
in the image. Coordinates start at the **outer corner** of the top left pixel.

::

    table --render_histogram--> localizations per pixel
          --render_ash--------> the same, smoothed by a triangle      (averaged shifted histogram)
          --render_gaussian---> one normalised spot for each          (by its uncertainty, or alike)
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from bridge.errors import TableError
from bridge.runtime.device import n_cores
from bridge.smlm import render_kernels as kernels

UNCERTAINTY = "uncertainty_xy_nm"

_POINTS_PER_BAND = 20_000


def render_histogram(
    table: pd.DataFrame,
    *,
    pixel_size_nm: float,
    shape: tuple[int, int],
    origin_nm: tuple[float, float] = (0.0, 0.0),
) -> xr.DataArray:
    """Count localizations per pixel of a super-resolution grid.

    Parameters
    ----------
    table : DataFrame
        Localizations; needs ``x_nm`` and ``y_nm``.
    pixel_size_nm : float
        Edge of one output pixel, in nm, > 0: the camera's over the magnification.
    shape : (int, int)
        Output size (y, x), in output pixels, each > 0.
    origin_nm : (float, float)
        Where (y, x) the top left corner of the output lies in the table's coordinates, in nm.

    Returns
    -------
    DataArray, axes (y, x), uint32
        Localizations per pixel; those outside are left out and counted in ``attrs["outside"]``.
        ``attrs["pixel_size_nm"]`` as every image has it.

    Raises
    ------
    TableError
        A column is missing, or a coordinate isn't finite.
    """
    x_nm, y_nm = _coordinates(table)
    counts = np.zeros(_check_grid(pixel_size_nm, shape), np.uint32)
    top_nm, left_nm = map(float, origin_nm)
    n_outside = kernels.count_points(x_nm, y_nm, left_nm, top_nm, float(pixel_size_nm), counts)
    _refuse_not_finite(table, n_outside)
    return _image(counts, pixel_size_nm, outside=n_outside)


def render_ash(
    table: pd.DataFrame,
    *,
    pixel_size_nm: float,
    shape: tuple[int, int],
    origin_nm: tuple[float, float] = (0.0, 0.0),
    shifts: int = 2,
) -> xr.DataArray:
    """Draw an averaged shifted histogram: counts smoothed by a triangle along y and x.

    A localization in pixel (u, v) adds ``(shifts - |i|) (shifts - |j|)`` to the pixels
    (u + i, v + j) with ``|i|, |j| < shifts`` that are in the image, as in ThunderSTORM's
    ``ASHRendering``; it is not normalised. Scott, Ann. Stat. 13, 1024 (1985).

    Parameters
    ----------
    table : DataFrame
        Localizations; needs ``x_nm`` and ``y_nm``.
    pixel_size_nm : float
        Edge of one output pixel, in nm, > 0.
    shape : (int, int)
        Output size (y, x), in output pixels, each > 0.
    origin_nm : (float, float)
        Where (y, x) the top left corner of the output lies in the table's coordinates, in nm.
    shifts : int
        Width of the triangle, in pixels, >= 1; 1 gives the histogram, 2 the weights 1 2 1.

    Returns
    -------
    DataArray, axes (y, x), float32
        Weighted counts: each localization adds ``shifts ** 4`` away from the border. ``attrs`` as
        those of :func:`render_histogram`.

    Raises
    ------
    TableError
        A column is missing, or a coordinate isn't finite.
    """
    if shifts < 1:
        raise ValueError(f"shifts is {shifts}; at least 1")
    counted = render_histogram(table, pixel_size_nm=pixel_size_nm, shape=shape, origin_nm=origin_nm)
    triangle = shifts - np.abs(np.arange(1 - shifts, shifts)).astype(np.float64)
    smooth = counted.values.astype(np.float32)
    for axis in (0, 1):
        smooth = correlate1d(smooth, triangle, axis, mode="constant")
    return _image(smooth, pixel_size_nm, outside=counted.attrs["outside"])


def render_gaussian(
    table: pd.DataFrame,
    *,
    pixel_size_nm: float,
    shape: tuple[int, int],
    origin_nm: tuple[float, float] = (0.0, 0.0),
    sigma_nm: float | None = None,
) -> xr.DataArray:
    """Draw each localization as a Gaussian of its own uncertainty, or of one width for all.

    The Gaussian is integrated over every pixel (differences of the normal distribution, exact to
    3e-7) and cut ``ceil(3 sigma)`` pixels from its own, as in ThunderSTORM's ``DensityRendering``;
    here what was cut is made up for, so that each one sums to 1 where the image holds all of it.

    Parameters
    ----------
    table : DataFrame
        Localizations; needs ``x_nm``, ``y_nm`` and, without ``sigma_nm``, ``uncertainty_xy_nm``.
    pixel_size_nm : float
        Edge of one output pixel, in nm, > 0.
    shape : (int, int)
        Output size (y, x), in output pixels, each > 0.
    origin_nm : (float, float)
        Where (y, x) the top left corner of the output lies in the table's coordinates, in nm.
    sigma_nm : float, optional
        Standard deviation of every Gaussian, in nm, > 0; by default each row's
        ``uncertainty_xy_nm``.

    Returns
    -------
    DataArray, axes (y, x), float32
        Localizations per pixel. ``attrs`` as those of :func:`render_histogram`; localizations
        inside whose uncertainty isn't a finite number above 0 are left out and counted in
        ``attrs["without_uncertainty"]``.

    Raises
    ------
    TableError
        A column is missing, a coordinate isn't finite, or no row has an uncertainty.
    """
    x_nm, y_nm = _coordinates(table)
    widths_nm = _widths(table, sigma_nm)
    size = _check_grid(pixel_size_nm, shape)
    top_nm, left_nm = map(float, origin_nm)
    starts, points, reaches, n_outside, n_unsized = kernels.sort_by_tile(
        x_nm, y_nm, widths_nm, left_nm, top_nm, float(pixel_size_nm), size
    )
    _refuse_not_finite(table, n_outside)
    image = np.zeros(size, np.float32)
    table_of_normal = kernels.tabulate_normal()

    def draw(band: tuple[int, int]) -> None:
        kernels.draw_band(starts, points, reaches, table_of_normal, *band, image)

    bands = _plan_bands(starts, n_tile_rows=reaches.size, n_y=size[0])
    with ThreadPoolExecutor(n_cores(), "render") as pool:
        list(pool.map(draw, bands))
    return _image(image, pixel_size_nm, outside=n_outside, without_uncertainty=n_unsized)


def _coordinates(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    for name in ("x_nm", "y_nm"):
        if name not in table.columns:
            raise TableError(
                _name(table),
                f"there is no column '{name}' among {', '.join(map(str, table.columns))}",
                "localizations with x and y",
                "Export the table again with them.",
            )
    x_nm, y_nm = (
        np.ascontiguousarray(table[name].to_numpy(dtype=np.float64)) for name in ("x_nm", "y_nm")
    )
    return x_nm, y_nm


def _refuse_not_finite(table: pd.DataFrame, n_outside: int) -> None:
    """Refuse coordinates that aren't finite; the kernels count them as outside."""
    if not n_outside:
        return
    for name in ("x_nm", "y_nm"):
        bad = np.flatnonzero(~np.isfinite(table[name].to_numpy(dtype=np.float64)))
        if bad.size:
            raise TableError(
                _name(table),
                f"{bad.size} of {len(table)} values of '{name}' aren't finite; the first is in "
                f"row {bad[0] + 1}",
                "finite coordinates",
                "Remove these rows.",
            )


def _widths(table: pd.DataFrame, sigma_nm: float | None) -> NDArray[np.float64]:
    if sigma_nm is not None:
        if not (np.isfinite(sigma_nm) and sigma_nm > 0):
            raise ValueError(f"sigma_nm is {sigma_nm}; a finite number above 0")
        return np.full(len(table), sigma_nm, np.float64)
    remedy = "Give one width for all with --sigma-nm, or draw a histogram."
    if UNCERTAINTY not in table.columns:
        raise TableError(
            _name(table),
            f"there is no column '{UNCERTAINTY}' to draw Gaussians by",
            "an uncertainty for each localization",
            remedy,
        )
    widths = np.ascontiguousarray(table[UNCERTAINTY].to_numpy(dtype=np.float64))
    if len(widths) and not (np.isfinite(widths) & (widths > 0)).any():
        raise TableError(
            _name(table),
            f"no value of '{UNCERTAINTY}' is a finite number above 0",
            "an uncertainty for each localization",
            remedy,
        )
    return widths


def _name(table: pd.DataFrame) -> str:
    return str(table.attrs.get("source") or "the table")


def _check_grid(pixel_size_nm: float, shape: tuple[int, int]) -> tuple[int, int]:
    if not (np.isfinite(pixel_size_nm) and pixel_size_nm > 0):
        raise ValueError(f"pixel_size_nm is {pixel_size_nm}; a finite number above 0")
    n_y, n_x = (int(n) for n in shape)
    if n_y < 1 or n_x < 1:
        raise ValueError(f"shape is {n_y} x {n_x}; each at least 1")
    return n_y, n_x


def _plan_bands(starts: NDArray[np.int64], *, n_tile_rows: int, n_y: int) -> list[tuple[int, int]]:
    """Cut the image into bands of rows with as many points each, on borders of tiles."""
    n_columns = (starts.size - 1) // n_tile_rows
    before = starts[::n_columns]  # points above each row of tiles
    n_bands = max(1, min(4 * n_cores(), int(before[-1]) // _POINTS_PER_BAND))
    wanted = np.linspace(0, before[-1], n_bands + 1)[1:-1]
    inner = np.searchsorted(before, wanted)
    edges = np.unique(np.concatenate([[0], inner, [n_tile_rows]])) * kernels.TILE_PX
    edges[-1] = n_y
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _image(
    pixels: NDArray[np.uint32] | NDArray[np.float32], pixel_size_nm: float, **counts: int
) -> xr.DataArray:
    attrs = {
        "pixel_size_nm": {"y": float(pixel_size_nm), "x": float(pixel_size_nm)},
        **{name: int(count) for name, count in counts.items()},
    }
    return xr.DataArray(pixels, dims=("y", "x"), attrs=attrs)
