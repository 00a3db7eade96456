"""The classical fit: lone spots against the Cramer-Rao bound, dense fields, and its speed.

``python -m tests.benchmarks.fit [--frames 200]``. The conditions are those on which Picasso was
measured (its figures stand beside): 100 nm pixels, sigma 130 nm, read noise 1.5 electrons.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bridge.smlm.crlb import precision_bound
from bridge.smlm.evaluate import evaluate
from bridge.smlm.fit import fit_spots
from bridge.smlm.simulate import Simulation, simulate_movie
from tests.smlm.test_fit import CCD, film_grid, score

LONE = {(200, 10): 21.2, (500, 10): 9.72, (1000, 10): 5.93, (5000, 50): 2.57}
"""Photons and background, and what Picasso's MLE reached, in nm along an axis."""

DENSE = {0.1: (0.971, 25.5), 0.5: (0.861, 52.0), 1.0: (0.742, 67.3), 3.0: (0.410, 90.5)}
"""Density, and Picasso's MLE: Jaccard index in the inner field, lateral RMSE in the whole one."""


def print_lone(n_frames: int) -> None:
    """Print how near to the bound lone emitters are localized."""
    print(
        "| photons, background | RMSE per axis nm | / bound | bias x, y nm | found | Picasso nm |"
    )
    print("|---|---|---|---|---|---|")
    for (photons, background), picasso_nm in LONE.items():
        counts, truth = film_grid(photons, background, n_frames=n_frames)
        found = score(fit_spots(counts, camera=CCD), truth)
        bound_nm = precision_bound(
            photons, background, sigma_nm=130.0, pixel_size_nm=100.0, read_noise_photons=1.5
        )
        rmse_nm = found.rmse_per_axis_nm
        print(
            f"| {photons}, {background} | {rmse_nm:.2f} | {rmse_nm / bound_nm:.3f} "
            f"| {found.bias_x_nm:+.2f}, {found.bias_y_nm:+.2f} | {found.recall:.3f} "
            f"| {picasso_nm:.2f} |",
            flush=True,
        )


def print_dense(n_frames: int) -> None:
    """Print how the fit does where spots overlap, and how fast it is."""
    print("| density /um2 | J | RMSE lateral nm | E | Picasso J, RMSE nm | spots/s | frames/s |")
    print("|---|---|---|---|---|---|---|")
    base = Simulation.presets()["smlm-benchmark"]
    for density, (jaccard, rmse_nm) in DENSE.items():
        changes = {"density_per_um2": density, "n_frames": n_frames, "seed": 3}
        settings = Simulation.model_validate(dict(base) | changes)
        movie = simulate_movie(settings)
        frames = np.concatenate(list(movie.blocks))
        start = time.perf_counter()
        table = fit_spots(frames, camera=settings.camera)
        seconds = time.perf_counter() - start
        found = evaluate(table, movie.truth, field_nm=(12_800, 12_800))
        print(
            f"| {density:g} | {found.jaccard:.3f} | {found.rmse_lateral_nm:.1f} "
            f"| {found.efficiency:.2f} | {jaccard:.3f}, {rmse_nm:.1f} "
            f"| {len(table) / seconds:.0f} | {n_frames / seconds:.0f} |",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    print_lone(n_frames=max(options.frames // 20, 2))
    print_dense(n_frames=options.frames)


if __name__ == "__main__":
    main()
