"""Rendering 5 million localizations: ours against ``numpy.bincount`` and picasso's Gaussians.

``python -m tests.benchmarks.render [--rounds 3] [--points 5000000] [--size 4096]``

Half of the points lie on lines, half anywhere; Gaussians have a sigma of 0.5 to 6 pixels, median
1.3, cut at 3 sigma. Where ``picassosr`` is installed its own ``_fill_gaussian`` runs; else
``fill_gaussian`` below, which does the same work: for each point in turn, one exponential per row
and column of its window (not integrated over the pixel), their product added to the image, all on
one thread. All methods get what they need as arrays, and are compiled before they are timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks import setting

PIXEL_NM = 10.0
HAS_PICASSO = importlib.util.find_spec("picasso") is not None


def make_points(n: int, size: int) -> tuple[NDArray[np.float64], ...]:
    """Give x, y and sigma of ``n`` points in a random order, in pixels."""
    rng = np.random.default_rng(0)
    along = rng.random(n // 2)
    line = rng.integers(0, 20, n // 2)
    x = np.concatenate([along, rng.random(n - n // 2)]) * size
    y = np.concatenate([(0.3 * along + line / 40) % 1, rng.random(n - n // 2)]) * size
    order = rng.permutation(n)
    sigma = np.clip(rng.lognormal(np.log(1.3), 0.5, n), 0.5, 6.0)
    return x[order], y[order], sigma


def best_of(work: Callable[[], object], repeats: int = 3) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def bincount(n: int, size: int, *, is_bare: bool) -> None:
    """Time the counting of flat pixel numbers; not ``is_bare``: with their making."""
    x_nm, y_nm = (v * PIXEL_NM for v in make_points(n, size)[:2])

    def number() -> NDArray[np.int64]:
        rows, columns = ((v / PIXEL_NM).astype(np.int64) for v in (y_nm, x_nm))
        return rows * size + columns

    ready = number()
    setting.report(
        seconds=best_of(lambda: np.bincount(ready if is_bare else number(), minlength=size**2))
    )


def ours(n: int, size: int, method: str) -> None:
    import pandas as pd

    from bridge.smlm import render

    x, y, sigma = make_points(n, size)
    columns = {"x_nm": x * PIXEL_NM, "y_nm": y * PIXEL_NM, "uncertainty_xy_nm": sigma * PIXEL_NM}
    table = pd.DataFrame(columns)
    draw = getattr(render, f"render_{method}")
    setting.report(seconds=best_of(lambda: draw(table, pixel_size_nm=PIXEL_NM, shape=(size, size))))


def picasso(n: int, size: int) -> None:
    if HAS_PICASSO:
        from picasso.render import _fill_gaussian as fill
    else:
        from numba import njit

        fill = njit(fill_gaussian)
    x, y, sigma = (v.astype(np.float32) for v in make_points(n, size))

    def draw() -> None:
        fill(np.zeros((size, size), np.float32), x, y, sigma, sigma, size, size)

    setting.report(seconds=best_of(draw))


def fill_gaussian(
    image: NDArray[np.float32],
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    sigma_x: NDArray[np.float32],
    sigma_y: NDArray[np.float32],
    n_x: int,
    n_y: int,
) -> None:
    """Draw Gaussians one after the other, as picasso 0.11 does."""
    for i in range(len(x)):
        left, right = max(int(x[i] - 3 * sigma_x[i]), 0), min(int(x[i] + 3 * sigma_x[i]) + 1, n_x)
        top, bottom = max(int(y[i] - 3 * sigma_y[i]), 0), min(int(y[i] + 3 * sigma_y[i]) + 1, n_y)
        fall_x, fall_y = 0.5 / (sigma_x[i] * sigma_x[i]), 0.5 / (sigma_y[i] * sigma_y[i])
        peak = 1 / (2 * np.pi * sigma_x[i] * sigma_y[i])
        n_columns, n_rows = right - left, bottom - top
        along_x, along_y = np.empty(n_columns, np.float32), np.empty(n_rows, np.float32)
        for u in range(n_columns):
            distance = left + u + 0.5 - x[i]
            along_x[u] = np.exp(-fall_x * distance * distance)
        for v in range(n_rows):
            distance = top + v + 0.5 - y[i]
            along_y[v] = peak * np.exp(-fall_y * distance * distance)
        for v in range(n_rows):
            line = image[top + v]
            for u in range(n_columns):
                line[left + u] += along_y[v] * along_x[u]


METHODS: dict[str, Callable[[int, int], None]] = {
    "bincount-bare": lambda n, size: bincount(n, size, is_bare=True),
    "bincount": lambda n, size: bincount(n, size, is_bare=False),
    "histogram": lambda n, size: ours(n, size, "histogram"),
    "ash": lambda n, size: ours(n, size, "ash"),
    "gaussian": lambda n, size: ours(n, size, "gaussian"),
    "picasso": picasso,
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--method", choices=list(METHODS))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--points", type=int, default=5_000_000)
    options.add_argument("--size", type=int, default=4096, help="edge of the image, in pixels")
    given = options.parse_args()
    if given.method:
        METHODS[given.method](given.points, given.size)
        return
    found = setting.rounds(
        "tests.benchmarks.render",
        list(METHODS),
        given.rounds,
        points=given.points,
        size=given.size,
    )
    peer = "picasso's _fill_gaussian" if HAS_PICASSO else "a kernel like picasso's _fill_gaussian"
    print(f"\n{given.points:,} points, {given.size} x {given.size}; median (range) of rounds\n")
    print("| measure | ratio |\n|---|---|")
    for one, other, title in (
        ("histogram", "bincount-bare", "histogram / numpy.bincount of ready pixel numbers"),
        ("histogram", "bincount", "histogram / numpy.bincount with the making of pixel numbers"),
        ("ash", "bincount-bare", "averaged shifted histogram / numpy.bincount of ready numbers"),
        ("picasso", "gaussian", f"{peer} / Gaussian by uncertainty"),
        ("gaussian", "bincount-bare", "Gaussian by uncertainty / numpy.bincount of ready numbers"),
    ):
        print(f"| {title} | {setting.ratio(found, one, other)} |")


if __name__ == "__main__":
    main()
