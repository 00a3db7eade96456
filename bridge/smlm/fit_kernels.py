"""The inner loop of fitting spots, compiled: one Gaussian, integrated over pixels, per window.

A spot's expected light in pixel (v, u), with its centre (x, y), width s, light n and background b::

    b + n E(u - x) E(v - y),   E(d) = (erf((d + 1) / (s sqrt 2)) - erf(d / (s sqrt 2))) / 2

The data are Poisson distributed with read noise of known variance, which is added to both data and
expectation (Huang et al., Nature Methods 10, 653 (2013), equation 2 of its supplement; here pixels
stay negative where noise makes them so, as cutting them off would bias the fit). The likelihood's
maximum is found by Fisher scoring, damped as Levenberg and Marquardt do, and the inverse of the
information matrix at the end is the estimate's covariance (Smith et al., Nature Methods 7, 373
(2010)).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.smlm.compiling import compiled

X, Y, LIGHT, BACKGROUND, SIGMA = 0, 1, 2, 3, 4
"""Columns of what a fit gives: pixels from the frame's outer corner, light in the frame's unit."""
VARIANCE: Final = 5
"""First of five columns with the variances of those."""
MISFIT: Final = 10
"""Column with the mean square of the residual over its expected one; 1 where the model is right."""

_N: Final = 5
_COLUMNS: Final = 11
_MOST_STEPS: Final = 40
_CONVERGED: Final = 1e-5  # likelihood still to gain; the place is then right to 0.3 % of its error
_SIGMA_PX: Final = (0.2, 8.0)
_LEAST_LIGHT: Final = 1e-3
_FURTHEST_STEP_PX: Final = 0.5


@compiled
def fit_windows(
    values: NDArray[np.float32],
    variance: NDArray[np.float32],
    frames: NDArray[np.int64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    radius: int,
    sigma_px: float,
) -> NDArray[np.float64]:
    """Fit a spot around each of the given pixels.

    ``values`` (t, y, x) have Poisson noise, ``variance`` (y, x) is that of the read noise. Windows
    are ``2 radius + 1`` pixels wide, less at the frame's border. Gives a row for each spot; NaN
    where the fit didn't come to an end.
    """
    n_y, n_x = variance.shape
    fits = np.full((rows.size, _COLUMNS), np.nan)
    edge = 2 * radius + 1
    axes = np.empty((6, edge))
    at, tried = np.empty(_N), np.empty(_N)
    gradient, step = np.empty(_N), np.empty(_N)
    information, factor = np.empty((_N, _N)), np.empty((_N, _N))
    for i in range(rows.size):
        top, left = max(rows[i] - radius, 0), max(columns[i] - radius, 0)
        bottom, right = min(rows[i] + radius + 1, n_y), min(columns[i] + radius + 1, n_x)
        window = values[frames[i], top:bottom, left:right]
        noise = variance[top:bottom, left:right]
        at[X], at[Y] = columns[i] - left + 0.5, rows[i] - top + 0.5
        at[SIGMA] = sigma_px
        _guess_light(window, at)
        lowest = -0.5 * noise.min()
        at[BACKGROUND] = max(at[BACKGROUND], lowest)
        likelihood = _evaluate(window, noise, at, axes, gradient, information)
        damping = 1e-3
        is_done = False
        for _ in range(_MOST_STEPS):
            if at[BACKGROUND] <= lowest and gradient[BACKGROUND] < 0:
                _hold(BACKGROUND, gradient, information)
            if not _solve(information, damping, gradient, factor, step):
                break
            gain = 0.0
            for k in range(_N):
                gain += gradient[k] * step[k]
            is_done = gain < _CONVERGED
            if is_done:
                break
            _advance(at, step, lowest, tried)
            new = _evaluate(window, noise, tried, axes, gradient, information)
            gained = new - likelihood
            if gained >= 0:
                at[:] = tried
                likelihood = new
                damping = max(damping / 10, 1e-6)
            else:
                damping *= 10
                _evaluate(window, noise, at, axes, gradient, information)
            is_done = abs(gained) < _CONVERGED  # also where a bound leaves nothing to gain
            if is_done or damping > 1e6:
                break
        if not is_done:
            continue
        _evaluate(window, noise, at, axes, gradient, information)
        if _report(window, noise, at, axes, information, factor, step, fits[i]):
            fits[i, X] += left
            fits[i, Y] += top
    return fits


@compiled
def _hold(k: int, gradient: NDArray[np.float64], information: NDArray[np.float64]) -> None:
    """Keep a parameter where it is: it lies at its bound, and would go beyond."""
    gradient[k] = 0
    information[k, :] = 0
    information[:, k] = 0
    information[k, k] = 1


@compiled
def _guess_light(window: NDArray[np.float32], at: NDArray[np.float64]) -> None:
    """Take the darkest quarter's edge for the background, and what is above it for the spot."""
    flat = np.sort(window.copy().ravel())
    background = float(flat[flat.size // 4])
    total = 0.0
    for value in flat:
        total += max(value - background, 0.0)
    at[BACKGROUND] = background
    at[LIGHT] = max(total, 10 * _LEAST_LIGHT)


@compiled
def _spread(centre: float, sigma: float, n: int, rows: NDArray[np.float64]) -> None:
    """Write the shares of the pixels along an axis, and their slopes by centre and sigma."""
    scale = 1 / (sigma * math.sqrt(2.0))
    peak = 1 / (sigma * math.sqrt(2 * math.pi))
    offset = -centre
    before = math.erf(offset * scale)
    density = peak * math.exp(-((offset * scale) ** 2))
    for k in range(n):
        after_offset = k + 1 - centre
        after = math.erf(after_offset * scale)
        after_density = peak * math.exp(-((after_offset * scale) ** 2))
        rows[0, k] = (after - before) / 2
        rows[1, k] = density - after_density
        rows[2, k] = (offset * density - after_offset * after_density) / sigma
        offset, before, density = after_offset, after, after_density


@compiled
def _evaluate(
    window: NDArray[np.float32],
    noise: NDArray[np.float32],
    at: NDArray[np.float64],
    axes: NDArray[np.float64],
    gradient: NDArray[np.float64],
    information: NDArray[np.float64],
) -> float:
    """Give the likelihood's logarithm, and write its gradient and the Fisher information."""
    n_y, n_x = window.shape
    _spread(at[X], at[SIGMA], n_x, axes[:3])
    _spread(at[Y], at[SIGMA], n_y, axes[3:])
    gradient[:] = 0
    information[:] = 0
    slope = np.empty(_N)
    slope[BACKGROUND] = 1
    likelihood = 0.0
    light = at[LIGHT]
    for v in range(n_y):
        for u in range(n_x):
            share = axes[0, u] * axes[3, v]
            slope[X] = light * axes[1, u] * axes[3, v]
            slope[Y] = light * axes[0, u] * axes[4, v]
            slope[LIGHT] = share
            slope[SIGMA] = light * (axes[2, u] * axes[3, v] + axes[0, u] * axes[5, v])
            expected = at[BACKGROUND] + light * share + noise[v, u]
            found = window[v, u] + noise[v, u]
            likelihood += found * math.log(expected) - expected
            weight = 1 / expected
            residual = found * weight - 1
            for k in range(_N):
                gradient[k] += residual * slope[k]
                weighted = weight * slope[k]
                for m in range(k + 1):
                    information[k, m] += weighted * slope[m]
    return likelihood


@compiled
def _advance(
    at: NDArray[np.float64], step: NDArray[np.float64], lowest: float, to: NDArray[np.float64]
) -> None:
    """Take a step, not too far, and stay where the model means anything."""
    for k in (X, Y):
        to[k] = at[k] + min(max(step[k], -_FURTHEST_STEP_PX), _FURTHEST_STEP_PX)
    to[LIGHT] = max(at[LIGHT] + step[LIGHT], at[LIGHT] / 4, _LEAST_LIGHT)
    to[BACKGROUND] = max(at[BACKGROUND] + step[BACKGROUND], lowest)
    sigma = min(max(at[SIGMA] + step[SIGMA], at[SIGMA] / 1.5), at[SIGMA] * 1.5)
    to[SIGMA] = min(max(sigma, _SIGMA_PX[0]), _SIGMA_PX[1])


@compiled
def _solve(
    matrix: NDArray[np.float64],
    damping: float,
    right: NDArray[np.float64],
    factor: NDArray[np.float64],
    solution: NDArray[np.float64],
) -> bool:
    """Solve with a lower triangle, its diagonal raised, by Cholesky; tells whether it can be."""
    for k in range(_N):
        for m in range(k + 1):
            rest = matrix[k, m] * (1 + damping) if k == m else matrix[k, m]
            for j in range(m):
                rest -= factor[k, j] * factor[m, j]
            if k != m:
                factor[k, m] = rest / factor[m, m]
            elif rest > 0:
                factor[k, k] = math.sqrt(rest)
            else:
                return False  # also for NaN
    for k in range(_N):
        rest = right[k]
        for j in range(k):
            rest -= factor[k, j] * solution[j]
        solution[k] = rest / factor[k, k]
    for k in range(_N - 1, -1, -1):
        rest = solution[k]
        for j in range(k + 1, _N):
            rest -= factor[j, k] * solution[j]
        solution[k] = rest / factor[k, k]
    return True


@compiled
def _report(
    window: NDArray[np.float32],
    noise: NDArray[np.float32],
    at: NDArray[np.float64],
    axes: NDArray[np.float64],
    information: NDArray[np.float64],
    factor: NDArray[np.float64],
    column: NDArray[np.float64],
    fit: NDArray[np.float64],
) -> bool:
    """Write estimates, variances and misfit; tells whether the information can be inverted."""
    unit = np.zeros(_N)
    for k in range(_N):
        unit[:] = 0
        unit[k] = 1
        if not _solve(information, 0.0, unit, factor, column):
            return False
        fit[VARIANCE + k] = column[k]
    fit[:_N] = at
    n_y, n_x = window.shape
    misfit = 0.0
    for v in range(n_y):
        for u in range(n_x):
            expected = at[BACKGROUND] + at[LIGHT] * axes[0, u] * axes[3, v]
            misfit += (window[v, u] - expected) ** 2 / (expected + noise[v, u])
    fit[MISFIT] = misfit / max(n_y * n_x - _N, 1)
    return True
