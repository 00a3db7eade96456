"""All that a localizer package promises, measured beside the classical fit in the same run.

``python -m tests.benchmarks.localizer PACKAGE [--frames 300] [--blinking 2] [--share 1]``

Scenes are those of ``bridge.smlm.density_sweep``: 128 x 128 pixels, emitters equally bright, never
trained on. Printed are Jaccard index, lateral error, honesty of the uncertainties, chance, and
what theory allows, by density; lone emitters against the bound; frames without emitters; whether a
probability of 0.7 is right seven times in ten; and whether pixels show through.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bridge.progress import silent
from bridge.runtime.predict import Predictor, Settings
from bridge.smlm.contenders import Contender, fit_contender, network_contender, trained_on
from bridge.smlm.contest import LONE_PHOTONS
from bridge.smlm.crlb import crowd_bound
from bridge.smlm.density_sweep import (
    DENSITIES_PER_UM2,
    Bench,
    Scene,
    count_false,
    score_lone_emitters,
    score_scene,
    simulate_scenes,
)
from bridge.smlm.evaluate import evaluate
from bridge.smlm.localize import Threshold
from bridge.zoo.package import open_package

REACH = {
    0.1: (0.99, 9.7),
    0.5: (0.975, 12.5),
    1.0: (0.96, 15.5),
    3.0: (0.87, 26.5),
    6.0: (0.75, 38),
}
REACH_SD = {0.1: 1.05, 0.5: 1.1, 1.0: 1.1, 3.0: 1.15}
BINS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0 + 1e-9])
DENSE = (1.0, 3.0, 6.0)
BACKGROUNDS = 5


def print_table(title: str, headings: Sequence[str], rows: Iterator[Sequence[object]]) -> None:
    """Print rows as they come, in Markdown."""
    print(f"\n{title}\n\n| {' | '.join(headings)} |\n|{'---|' * len(headings)}", flush=True)
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def compare_densities(
    network: Contender, fit: Contender, bench: Bench, scenes: Sequence[Scene]
) -> Iterator[Sequence[object]]:
    """Give a row for each density."""
    size_nm = bench.camera.pixel_size_nm
    for scene in scenes:
        started = time.perf_counter()
        ours = score_scene(scene, network.localize(scene.frames), pixel_size_nm=size_nm)
        seconds = time.perf_counter() - started
        theirs = score_scene(scene, fit.localize(scene.frames), pixel_size_nm=size_nm)
        bound = crowd_bound(
            scene.density_per_um2,
            bench.photons,
            bench.background_photons,
            sigma_nm=bench.sigma_nm,
            pixel_size_nm=size_nm,
            read_noise_photons=bench.noise_photons,
            excess_noise=bench.camera.excess_factor(),
        )
        jaccard, rmse_nm = REACH.get(scene.density_per_um2, (0.0, np.inf))
        highest = REACH_SD.get(scene.density_per_um2, np.inf)
        is_reached = ours.jaccard >= jaccard and ours.rmse_nm <= rmse_nm
        is_reached = is_reached and 0.95 <= ours.robust_sd <= highest
        yield (
            f"{scene.density_per_um2:g} ({len(scene.frames)} frames)",
            f"{theirs.jaccard:.3f} / {theirs.rmse_nm:.1f}",
            f"**{ours.jaccard:.3f} / {ours.rmse_nm:.1f}**",
            f"{ours.robust_sd:.2f}",
            f"{ours.bias_nm:+.2f}",
            f"{ours.chance_jaccard:.3f} / {ours.chance_rmse_nm:.0f}",
            f"{bound.median_nm:.1f} ({bound.rmse_nm:.1f} at {bound.found:.2f})",
            f"{jaccard:g} / {rmse_nm:g} / {highest:g}",
            "yes" if is_reached else "no",
            f"{len(scene.frames) / seconds:.0f}",
        )


def compare_lone(
    network: Contender, fit: Contender, bench: Bench, n: int
) -> Iterator[Sequence[object]]:
    """Give a row for each brightness."""
    for photons in LONE_PHOTONS:
        ours, theirs = (
            score_lone_emitters(bench, one.localize, photons=photons, n=n, context=one.context)
            for one in (network, fit)
        )
        yield (
            f"{photons:g}",
            f"{ours.bound_nm:.2f}",
            f"{theirs.rmse_nm:.2f}",
            f"**{ours.rmse_nm:.2f}**",
            f"{ours.rmse_nm / ours.bound_nm:.3f}",
            f"{ours.bias_nm:+.2f} (+- {ours.rmse_nm / np.sqrt(n):.2f})",
            f"{ours.found:.3f}",
            f"{ours.photons_ratio:.3f}",
        )


def count_empty(
    network: Contender, fit: Contender, bench: Bench, backgrounds: Sequence[float], n_frames: int
) -> Iterator[Sequence[object]]:
    """Give a row for each background; each has its own frames."""
    for number, background in enumerate(backgrounds):
        setting = replace(bench, seed=bench.seed + number)
        false = [
            count_false(setting, one.localize, background_photons=background, n_frames=n_frames)
            for one in (network, fit)
        ]
        yield f"{background:.3g}", n_frames, f"**{false[0]:.4f}**", f"{false[1]:.4f}"


def bin_probabilities(
    network: Contender, bench: Bench, scenes: Sequence[Scene]
) -> Iterator[Sequence[object]]:
    """Give a row for each bin of probabilities; all are matched, then binned."""
    for scene in scenes:
        found = network.localize(scene.frames)
        edge_nm = scene.frames.shape[-1] * bench.camera.pixel_size_nm
        result = evaluate(found, scene.truth, field_nm=(edge_nm, edge_nm))
        is_inner = found[["x_nm", "y_nm"]].sub(edge_nm / 2).abs().max(axis=1) <= edge_nm / 2 - 450
        is_right = np.zeros(len(found), bool)
        is_right[result.pairs["detection"]] = True
        inner = pd.DataFrame(
            {
                "p": found["probability"],
                "right": is_right,
                "bin": np.digitize(found["probability"], BINS),
            }
        )[is_inner.to_numpy()]
        bins = inner.groupby("bin").agg(p=("p", "mean"), right=("right", "mean"), n=("p", "size"))
        for row in bins[bins["n"] >= 20].itertuples():
            yield (
                f"{scene.density_per_um2:g}",
                f"{row.p:.3f}",
                f"{row.right:.3f}",
                f"{row.right - row.p:+.3f}",
                row.n,
            )
        gap = float((bins["n"] * (bins["right"] - bins["p"]).abs()).sum() / bins["n"].sum())
        yield f"{scene.density_per_um2:g}", "all", "", f"**{gap:.3f}** (mean of sizes)", len(inner)


def look_at_pixels(
    network: Contender, bench: Bench, scenes: Sequence[Scene]
) -> Iterator[Sequence[object]]:
    """Give a row for each density: is each place in the pixel as frequent as the others?"""
    for scene in scenes:
        found = network.localize(scene.frames)
        result = evaluate(found, scene.truth, pixel_size_nm=bench.camera.pixel_size_nm)
        for who, histogram in (("network", result.subpixel), ("truth", result.subpixel_truth)):
            shares = histogram.x / histogram.x.mean()
            yield (
                f"{scene.density_per_um2:g}",
                who,
                f"{histogram.chi2:.1f}",
                f"{histogram.p_value:.2g}",
                f"{histogram.unevenness:.3f}",
                f"{shares.min():.2f} to {shares.max():.2f}",
            )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--frames", type=int, help="of each scene; by default 8 to 80")
    parser.add_argument("--blinking", type=float, default=0.0, help="mean time lit, in frames")
    parser.add_argument("--share", type=float, default=1.0, help="of all but the scenes' frames")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--only", nargs="*", help="densities lone empty reliability pixels")
    options = parser.parse_args()
    parts = options.only or ["densities", "lone", "empty", "reliability", "pixels"]
    predictor = Predictor(open_package(options.package), Settings(precision=options.precision))
    conditions = trained_on(predictor)
    if conditions is None:
        raise SystemExit("the package doesn't say what it was trained on")
    bench = replace(Bench.within(conditions), on_frames=options.blinking)
    network = network_contender(predictor, camera=bench.camera)
    open_minded = network_contender(
        predictor, camera=bench.camera, threshold=Threshold("absolute", 0.1)
    )
    fit = fit_contender(bench.camera)
    scenes = list(simulate_scenes(bench, DENSITIES_PER_UM2, n_frames=options.frames))
    dense = [scene for scene in scenes if scene.density_per_um2 in DENSE]
    for one in (network, fit):
        one.localize(scenes[2].frames[:2], silent)  # what is loaded and compiled
    print(
        f"{network.name}: sigma {bench.sigma_nm:g} nm, {bench.photons:g} photons, background "
        f"{bench.background_photons:g}, lit {options.blinking or 'in each frame anew'}"
    )
    if "densities" in parts:
        heads = ["per um2", "fit: J / RMSE nm", "network", "robust SD", "bias nm", "chance"]
        heads += ["crowd bound: median (RMSE at found)", "reach: J / RMSE / SD", "reached"]
        rows = compare_densities(network, fit, bench, scenes)
        print_table("Density", [*heads, "frames/s, movie measured first"], rows)
    if "lone" in parts:
        heads = ["photons", "bound nm", "fit nm", "network nm", "network / bound", "bias nm"]
        rows = compare_lone(network, fit, bench, round(1000 * options.share))
        print_table("Lone emitters, along an axis", [*heads, "found", "photons / true"], rows)
    if "empty" in parts:
        backgrounds = np.geomspace(*conditions.background_photons, BACKGROUNDS).tolist()
        n_frames = round(1000 * options.share / BACKGROUNDS)
        rows = count_empty(network, fit, bench, backgrounds, n_frames)
        heads = ["background", "frames of 64 x 64", "network, a frame", "fit, a frame"]
        print_table("False where there is nothing", heads, rows)
    if "reliability" in parts:
        heads = ["per um2", "mean p", "right within 250 nm", "difference", "detections"]
        rows = bin_probabilities(open_minded, bench, dense)
        print_table("Reliability of the probability", heads, rows)
    if "pixels" in parts:
        heads = ["per um2", "who", "chi-square (18)", "p", "unevenness", "shares along x"]
        rows = look_at_pixels(network, bench, dense)
        print_table("Places within the pixel", heads, rows)
    for note in network.notes:
        print(f"\n{note}")


if __name__ == "__main__":
    main()
