"""The inner loops of finding peaks, compiled: local maxima of a frame, and their centres.

::

    5 5 9 9 5        a pixel is a peak if it is above the threshold and none within the radius is
    5 5 9 9 5        higher; where equal pixels touch (a plateau), they are one peak, or none if
    5 5 5 5 5        any of them has a higher one within the radius
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.smlm.compiling import compiled

_MOST_STEPS: Final = 12
_CONVERGED_PX: Final = 1e-4
_FURTHEST_PX: Final = 1.0


@compiled
def find_maxima(
    frame: NDArray[np.float32], threshold: float, radius: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the peaks above the threshold, row by row; gives their rows and columns."""
    n_y, n_x = frame.shape
    rows = [0 for _ in range(0)]
    columns = [0 for _ in range(0)]
    seen = np.zeros((0, 0), np.bool_)
    for y in range(n_y):
        for x in range(n_x):
            if not frame[y, x] > threshold or _has_higher(frame, y, x, radius):
                continue
            if not _touches_equal(frame, y, x):
                if not _has_equal_before(frame, y, x, radius):
                    rows.append(y)
                    columns.append(x)
                continue
            if seen.size == 0:
                seen = np.zeros((n_y, n_x), np.bool_)
            if not seen[y, x]:
                is_peak, top, left = _walk_plateau(frame, y, x, radius, seen)
                if is_peak:
                    rows.append(top)
                    columns.append(left)
    return np.array(rows, np.int64), np.array(columns, np.int64)


@compiled
def find_emitters(
    probability: NDArray[np.float32], least: float, least_sum: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """List the pixels where an emitter is, row by row; gives rows, columns and probabilities.

    Such a pixel is the highest of its 3 x 3 neighbours, the first of equal ones, and above
    ``least``; it and its four next neighbours, over which the network spreads an emitter near a
    pixel's edge, add up to more than ``least_sum``. That sum, at most 1, is the probability.
    """
    n_y, n_x = probability.shape
    rows = [0 for _ in range(0)]
    columns = [0 for _ in range(0)]
    sums = [0.0 for _ in range(0)]
    for y in range(n_y):
        for x in range(n_x):
            if not probability[y, x] > least:
                continue
            if _has_higher(probability, y, x, 1) or _has_equal_before(probability, y, x, 1):
                continue
            total = float(probability[y, x])
            total += probability[y - 1, x] if y > 0 else 0.0
            total += probability[y + 1, x] if y + 1 < n_y else 0.0
            total += probability[y, x - 1] if x > 0 else 0.0
            total += probability[y, x + 1] if x + 1 < n_x else 0.0
            if total > least_sum:
                rows.append(y)
                columns.append(x)
                sums.append(min(total, 1.0))
    return np.array(rows, np.int64), np.array(columns, np.int64), np.array(sums, np.float64)


@compiled
def find_centres(
    frame: NDArray[np.float32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    radius: int,
) -> NDArray[np.float64]:
    """Give the centre of gravity (y, x) of each peak, in pixels from the frame's outer corner.

    The window, ``2 radius + 1`` pixels wide, follows the centre until that lies in its middle,
    cutting pixels at its edges; a fixed one would draw the centre to the middle of its pixel. The
    window's lowest value is taken off first, as haze would hold the centre where it started.
    """
    n_y, n_x = frame.shape
    centres = np.empty((rows.size, 2), np.float64)
    for i in range(rows.size):
        floor = frame[rows[i], columns[i]]
        for y in range(max(rows[i] - radius, 0), min(rows[i] + radius + 1, n_y)):
            for x in range(max(columns[i] - radius, 0), min(columns[i] + radius + 1, n_x)):
                floor = min(floor, frame[y, x])
        start_y, start_x = rows[i] + 0.5, columns[i] + 0.5
        at_y, at_x = start_y, start_x
        for _ in range(_MOST_STEPS):
            to_y, to_x = _weigh(frame, at_y, at_x, radius + 0.5, floor)
            to_y = min(max(to_y, start_y - _FURTHEST_PX), start_y + _FURTHEST_PX)
            to_x = min(max(to_x, start_x - _FURTHEST_PX), start_x + _FURTHEST_PX)
            moved = max(abs(to_y - at_y), abs(to_x - at_x))
            at_y, at_x = to_y, to_x
            if moved < _CONVERGED_PX:
                break
        centres[i, 0], centres[i, 1] = at_y, at_x
    return centres


@compiled
def _weigh(
    frame: NDArray[np.float32], at_y: float, at_x: float, half: float, floor: float
) -> tuple[float, float]:
    """Give the centre of gravity in the window around a place; at the border it is narrower."""
    n_y, n_x = frame.shape
    half_y = min(half, at_y, n_y - at_y)
    half_x = min(half, at_x, n_x - at_x)
    total = 0.0
    sum_y = 0.0
    sum_x = 0.0
    for y in range(int(at_y - half_y), min(math.ceil(at_y + half_y), n_y)):
        top, bottom = max(float(y), at_y - half_y), min(y + 1.0, at_y + half_y)
        for x in range(int(at_x - half_x), min(math.ceil(at_x + half_x), n_x)):
            left, right = max(float(x), at_x - half_x), min(x + 1.0, at_x + half_x)
            weight = (frame[y, x] - floor) * (bottom - top) * (right - left)
            if weight > 0:
                total += weight
                sum_y += weight * (top + bottom) / 2
                sum_x += weight * (left + right) / 2
    if total <= 0:
        return at_y, at_x
    return sum_y / total, sum_x / total


@compiled
def _has_higher(frame: NDArray[np.float32], y: int, x: int, radius: int) -> bool:
    n_y, n_x = frame.shape
    for v in range(max(y - radius, 0), min(y + radius + 1, n_y)):
        for u in range(max(x - radius, 0), min(x + radius + 1, n_x)):
            if frame[v, u] > frame[y, x]:
                return True
    return False


@compiled
def _has_equal_before(frame: NDArray[np.float32], y: int, x: int, radius: int) -> bool:
    """Tell whether a peak of the same height, found earlier, is within the radius."""
    n_x = frame.shape[1]
    for v in range(max(y - radius, 0), y + 1):
        for u in range(max(x - radius, 0), min(x + radius + 1, n_x)):
            if v == y and u >= x:
                break
            if frame[v, u] == frame[y, x]:
                return True
    return False


@compiled
def _touches_equal(frame: NDArray[np.float32], y: int, x: int) -> bool:
    n_y, n_x = frame.shape
    n_equal = 0
    for v in range(max(y - 1, 0), min(y + 2, n_y)):
        for u in range(max(x - 1, 0), min(x + 2, n_x)):
            n_equal += frame[v, u] == frame[y, x]
    return n_equal > 1


@compiled
def _walk_plateau(
    frame: NDArray[np.float32], y: int, x: int, radius: int, seen: NDArray[np.bool_]
) -> tuple[bool, int, int]:
    """Walk over all equal pixels that hang together; gives whether they are a peak, and where.

    The place is the pixel of the plateau nearest its middle.
    """
    n_y, n_x = frame.shape
    height = frame[y, x]
    places = [(y, x)]
    seen[y, x] = True
    is_peak = True
    sum_y, sum_x = 0, 0
    done = 0
    while done < len(places):
        at_y, at_x = places[done]
        done += 1
        sum_y += at_y
        sum_x += at_x
        is_peak = is_peak and not _has_higher(frame, at_y, at_x, radius)
        for v in range(max(at_y - 1, 0), min(at_y + 2, n_y)):
            for u in range(max(at_x - 1, 0), min(at_x + 2, n_x)):
                if frame[v, u] == height and not seen[v, u]:
                    seen[v, u] = True
                    places.append((v, u))
    best_y, best_x = y, x
    nearest = math.inf
    for at_y, at_x in places:
        distance = (at_y - sum_y / done) ** 2 + (at_x - sum_x / done) ** 2
        if distance < nearest:
            nearest, best_y, best_x = distance, at_y, at_x
    return is_peak, best_y, best_x
