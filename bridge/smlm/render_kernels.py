"""The inner loops of rendering, compiled: count points, sort them by tile, draw Gaussians.

Calls of ``draw_band`` share no pixel, so threads may run them side by side. Nothing here knows of
tables.

::

    points, any order --sort_by_tile--> tile 0 | tile 1 | ...     64 x 64 pixels each, row by row
    band of rows      --draw_band-----> from its own tile rows, and from those whose spots reach it
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.smlm.compiling import compiled

TILE_PX: Final = 64
"""Edge of the tiles by which points are sorted: what is drawn next is still in the cache."""

CUT_SIGMAS: Final = 3.0
"""A Gaussian covers ``ceil(3 sigma)`` pixels on each side of its own, as ThunderSTORM's do."""

MOST_REACH_PX: Final = 1 << 20
"""Wider Gaussians are cut here, far beyond any image."""

_TABLE_END: Final = 6.0
_TABLE_STEPS: Final = 4096
_BLOCK: Final = 2048


def tabulate_normal() -> NDArray[np.float32]:
    """Tabulate the normal distribution from -6 to 6 standard deviations.

    Returns
    -------
    ndarray, (4097,), float32
        ``P(X <= -6 + 12 i / 4096)``. Between two entries a straight line is wrong by at most
        3e-7: the step squared, times the largest ``|P''|`` of 0.24, over 8, plus the rounding.
    """
    steps = np.linspace(-_TABLE_END, _TABLE_END, _TABLE_STEPS + 1)
    return np.array([0.5 * math.erfc(-step / math.sqrt(2)) for step in steps], np.float32)


@compiled
def count_points(
    x_nm: NDArray[np.float64],
    y_nm: NDArray[np.float64],
    left_nm: float,
    top_nm: float,
    pixel_size_nm: float,
    counts: NDArray[np.uint32],
) -> int:
    """Add 1 to the pixel ``floor((x - left) / size)`` of each point; gives how many lie outside."""
    n_y, n_x = counts.shape
    flat = counts.reshape(-1)
    places = np.empty(_BLOCK, np.int64)
    n_outside = 0
    for start in range(0, x_nm.size, _BLOCK):  # two short loops: the first one is vectorized
        n = min(_BLOCK, x_nm.size - start)
        for i in range(n):
            u = math.floor((x_nm[start + i] - left_nm) / pixel_size_nm)
            v = math.floor((y_nm[start + i] - top_nm) / pixel_size_nm)
            is_inside = (u >= 0) & (u < n_x) & (v >= 0) & (v < n_y)
            places[i] = np.int64(v) * n_x + np.int64(u) if is_inside else -1
        for i in range(n):
            if places[i] >= 0:
                flat[places[i]] += np.uint32(1)
            else:
                n_outside += 1
    return n_outside


@compiled
def sort_by_tile(
    x_nm: NDArray[np.float64],
    y_nm: NDArray[np.float64],
    sigma_nm: NDArray[np.float64],
    left_nm: float,
    top_nm: float,
    pixel_size_nm: float,
    shape: tuple[int, int],
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64], int, int]:
    """Sort points by tile, and turn them into pixels.

    Returns
    -------
    starts : ndarray, (n_tiles + 1,), int64
        Where each tile's points start; tiles run row by row.
    points : ndarray, (n, 3), float32
        x and y from the tile's corner, and sigma, in pixels; float32 is exact enough so near to
        the corner.
    reaches : ndarray, (n_tile_rows,), int64
        How many rows the widest spot of each row of tiles covers beyond its own.
    n_outside, n_unsized : int
        Points outside the image, and those inside without a finite sigma above 0; left out.
    """
    n_y, n_x = shape
    n_rows, n_columns = (n_y + TILE_PX - 1) // TILE_PX, (n_x + TILE_PX - 1) // TILE_PX
    tiles = np.empty(x_nm.size, np.int32)
    starts = np.zeros(n_rows * n_columns + 1, np.int64)
    reaches = np.zeros(n_rows, np.int64)
    n_outside = 0
    n_unsized = 0
    for i in range(x_nm.size):
        u = math.floor((x_nm[i] - left_nm) / pixel_size_nm)
        v = math.floor((y_nm[i] - top_nm) / pixel_size_nm)
        tiles[i] = -1
        if not (0 <= u < n_x and 0 <= v < n_y):
            n_outside += 1
        elif not (sigma_nm[i] > 0 and math.isfinite(sigma_nm[i])):
            n_unsized += 1
        else:
            row = np.int64(v) // TILE_PX
            tiles[i] = row * n_columns + np.int64(u) // TILE_PX
            starts[tiles[i] + 1] += 1
            reaches[row] = max(reaches[row], _reach(sigma_nm[i] / pixel_size_nm))
    for tile in range(n_rows * n_columns):
        starts[tile + 1] += starts[tile]
    free = starts[:-1].copy()
    points = np.empty((starts[-1], 3), np.float32)
    for i in range(x_nm.size):
        tile = tiles[i]
        if tile >= 0:
            place = free[tile]
            free[tile] += 1
            points[place, 0] = (x_nm[i] - left_nm) / pixel_size_nm - tile % n_columns * TILE_PX
            points[place, 1] = (y_nm[i] - top_nm) / pixel_size_nm - tile // n_columns * TILE_PX
            points[place, 2] = sigma_nm[i] / pixel_size_nm
    return starts, points, reaches, n_outside, n_unsized


@compiled
def draw_band(
    starts: NDArray[np.int64],
    points: NDArray[np.float32],
    reaches: NDArray[np.int64],
    table: NDArray[np.float32],
    top: int,
    bottom: int,
    image: NDArray[np.float32],
) -> None:
    """Add every spot's part in the rows ``top <= y < bottom`` to the image, and touch no other."""
    n_x = image.shape[1]
    n_columns = (n_x + TILE_PX - 1) // TILE_PX
    flat = image.reshape(-1)
    along_x = np.empty(n_x + 1, np.float32)
    along_y = np.empty(bottom - top + 1, np.float32)
    for row in range(reaches.size):
        tile_y = row * TILE_PX
        if tile_y - reaches[row] >= bottom or tile_y + TILE_PX + reaches[row] <= top:
            continue
        for column in range(n_columns):
            tile_x = column * TILE_PX
            tile = row * n_columns + column
            for i in range(starts[tile], starts[tile + 1]):
                x, y, sigma = points[i, 0], points[i, 1], points[i, 2]
                reach = _reach(sigma)
                u, v = _pixel(x), _pixel(y)
                first_y = max(tile_y + v - reach, top)
                last_y = min(tile_y + v + reach + 1, bottom)
                if first_y >= last_y:
                    continue
                first_x = max(tile_x + u - reach, 0)
                last_x = min(tile_x + u + reach + 1, n_x)
                _spread(x, u, sigma, reach, first_x - tile_x, last_x - tile_x, table, along_x)
                _spread(y, v, sigma, reach, first_y - tile_y, last_y - tile_y, table, along_y)
                n = last_x - first_x
                for y_px in range(first_y, last_y):
                    share = along_y[y_px - first_y]
                    begin = np.uint64(y_px * n_x + first_x)
                    for j in range(n):
                        flat[begin + np.uint64(j)] += share * along_x[j]


@compiled
def _reach(sigma_px: float) -> int:
    return int(min(math.ceil(CUT_SIGMAS * sigma_px), float(MOST_REACH_PX)))


@compiled
def _pixel(position_px: float) -> int:
    """Give the pixel; float32 may have rounded a position up to the next tile's first."""
    return min(int(position_px), TILE_PX - 1)


@compiled
def _spread(
    position: np.float32,
    pixel: int,
    sigma: np.float32,
    reach: int,
    first: int,
    last: int,
    table: NDArray[np.float32],
    shares: NDArray[np.float32],
) -> None:
    """Integrate a 1D Gaussian over each pixel of ``first <= i < last``; the whole window sums to 1.

    The window is the pixel and ``reach`` more on each side. The integral over a pixel is the
    normal distribution at its right edge minus that at its left.
    """
    steps = np.float32(_TABLE_STEPS / (2 * _TABLE_END)) / sigma
    n = last - first
    for i in range(n + 1):
        shares[i] = _distribution((np.float32(first + i) - position) * steps, table)
    begin, end = shares[0], shares[n]
    if first > pixel - reach:
        begin = _distribution((np.float32(pixel - reach) - position) * steps, table)
    if last <= pixel + reach:
        end = _distribution((np.float32(pixel + reach + 1) - position) * steps, table)
    scale = np.float32(1) / (end - begin)
    for i in range(n):
        shares[i] = (shares[i + 1] - shares[i]) * scale


@compiled
def _distribution(steps: np.float32, table: NDArray[np.float32]) -> np.float32:
    """Look the normal distribution up, so many of the table's steps from its middle."""
    place = steps + np.float32(_TABLE_STEPS / 2)
    if place < np.float32(0):
        place = np.float32(0)
    if place > np.float32(_TABLE_STEPS - 0.01):
        place = np.float32(_TABLE_STEPS - 0.01)
    before = np.uint64(np.int32(place))  # unsigned: numba needn't ask whether it counts from behind
    share = place - np.float32(np.int32(place))
    return np.float32(table[before] + share * (table[before + np.uint64(1)] - table[before]))
