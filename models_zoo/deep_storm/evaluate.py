"""Measure the network on emitters that it never saw.

``python -m models_zoo.deep_storm.evaluate WEIGHTS [--deep-storm-demo DIR]`` prints the
tables of the card: on simulated filaments (another generator and other seeds than in training), the
demo movie, empty frames, and, where the folder is given, the demo data of the original Deep-STORM,
which others simulated.

The truth is the sum of all emitters, blurred by a Gaussian of 12.5 nm (one fine pixel) or 25 nm.
``r`` is Pearson's correlation with it; ``NMSE`` is the squared error over the truth's square after
the best scale factor. Both leave out 4 camera pixels at each edge. ``mass`` is the emitters that
the outputs add up to, over the true number. ``frames`` is the sum of the camera frames themselves.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models_zoo.deep_storm.architecture import DeepStormLight
from models_zoo.deep_storm.make_demo import SCENE, SEED
from models_zoo.deep_storm.movie import Movie, Scene, count_truth, simulate_movie
from models_zoo.deep_storm.predict import load_network, predict
from models_zoo.deep_storm.simulate import (
    OFFSET_ADU,
    PIXEL_SIZE_NM,
    UPSCALING,
    Emitters,
    expose_mean,
    read_out,
)
from models_zoo.deep_storm.train import PERCENT

FIRST_SEED = 1000
EDGE_PX = 4
DENSE = Scene(
    n_frames=150,
    shape=(48, 48),
    n_filaments=6,
    density_per_um2=6.0,
    on_frames=1.0,
    photons=1000.0,
    background=10.0,
    out_of_focus=0.0,
)
"""As the project's earlier measurements: crowded, dim, and each frame on its own."""
SPARSE = Scene(n_frames=300, shape=(48, 48), n_filaments=6, density_per_um2=1.5)
"""As the demo, on smaller frames and for longer."""

OUTSIDE = {
    "sigma 200 nm (not trained)": replace(SPARSE, sigma_nm=200.0),
    "background 300 (not trained)": replace(SPARSE, background=300.0),
}

Image = NDArray[np.float64]


def score_image(image: Image, truth: Image) -> dict[str, float]:
    """Compare an image with the truth, at 12.5 nm and at 25 nm.

    Parameters
    ----------
    image : ndarray, (Y, X)
        On the fine grid; its scale doesn't matter, its zero does.
    truth : ndarray, (Y, X)
        Emitters per fine pixel.

    Returns
    -------
    dict
        ``r`` and ``NMSE`` against the truth of 12.5 nm, and ``r 25`` and ``NMSE 25`` of both
        blurred further, so that the truth has 25 nm.
    """
    edge = EDGE_PX * UPSCALING
    inner = (slice(edge, -edge), slice(edge, -edge))
    scores = {}
    for name, extra in (("", 0.0), (" 25", np.sqrt(3))):
        given = gaussian_filter(image, extra)[inner]
        wanted = gaussian_filter(truth, np.hypot(1, extra))[inner]
        scale = (given * wanted).sum() / (given**2).sum()
        scores[f"r{name}"] = float(np.corrcoef(given.ravel(), wanted.ravel())[0, 1])
        scores[f"NMSE{name}"] = float(((scale * given - wanted) ** 2).sum() / (wanted**2).sum())
    return scores


def score_movie(network: DeepStormLight, movie: Movie) -> dict[str, dict[str, float]]:
    """Score the summed outputs of a movie, and the summed frames as what there is without them."""
    truth = count_truth(movie)
    outputs = predict(network, movie.frames).astype(np.float64)
    image = outputs.sum(axis=0)
    camera = movie.frames.sum(axis=0) - len(movie.frames) * OFFSET_ADU
    camera = (camera - camera.min()).repeat(UPSCALING, axis=0).repeat(UPSCALING, axis=1)
    edge = EDGE_PX * UPSCALING
    inner = (slice(edge, -edge), slice(edge, -edge))
    mass = image[inner].sum() / PERCENT / truth.sum(axis=0)[inner].sum()
    return {
        "network": {**score_image(image, truth.sum(axis=0)), "mass": float(mass)},
        "frames": score_image(camera, truth.sum(axis=0)),
    }


def measure_haze(network: DeepStormLight, background: float, *, seed: int) -> tuple[float, float]:
    """Run 20 frames of 64 x 64 pixels without an emitter.

    Returns
    -------
    (float, float)
        Emitters that a frame's output adds up to on average, and the brightest pixel in percent.
    """
    rng = np.random.default_rng(seed)
    shape = (20, 64, 64)
    frames = rng.poisson(background, shape) + rng.normal(0, 1.6, shape) + OFFSET_ADU
    outputs = predict(network, frames.round().astype(np.uint16))
    return float(outputs.sum() / PERCENT / len(outputs)), float(outputs.max())


def measure_isolated(
    network: DeepStormLight, photons: float, *, seed: int, n: int = 500
) -> dict[str, float]:
    """Run ``n`` frames with one emitter each, and compare the output's centroid with its place.

    Background 10, sigma 130 nm, read noise 1.6; frames of 24 x 24 pixels, the emitter anywhere in
    the middle one.

    Returns
    -------
    dict
        ``bias x`` and ``bias y``: mean of centroid minus truth, in nm; ``spread``: standard
        deviation per axis, in nm; ``mass``: mean sum of the output, in emitters.
    """
    generator = torch.Generator().manual_seed(seed)
    size = 24
    place = size / 2 + torch.rand((2, n, 1), generator=generator)  # (2, n, 1)
    emitters = Emitters(place[0], place[1], torch.full((n, 1), photons))
    mean = 10 + expose_mean(emitters, torch.full((n,), 1.3), shape=(size, size))
    frames = read_out(mean, torch.full((n,), 1.6), generator=generator)  # (n, y, x)
    outputs = torch.from_numpy(predict(network, frames.numpy())).double()  # (n, Y, X)
    fine_px = (torch.arange(size * UPSCALING) + 0.5) / UPSCALING  # (Y,), camera pixels
    total = outputs.sum(dim=(1, 2))  # (n,)
    x_px = (outputs.sum(dim=1) * fine_px).sum(dim=1) / total  # (n,)
    y_px = (outputs.sum(dim=2) * fine_px).sum(dim=1) / total  # (n,)
    errors_nm = PIXEL_SIZE_NM * torch.stack([x_px - place[0, :, 0], y_px - place[1, :, 0]])
    return {
        "bias x": float(errors_nm[0].mean()),
        "bias y": float(errors_nm[1].mean()),
        "spread": float(errors_nm.var(dim=1).mean().sqrt()),
        "mass": float(total.mean() / PERCENT),
    }


def read_deep_storm_demo(folder: Path) -> tuple[Movie, Movie]:
    """Read the original's demo: as it is, and turned into the camera the network knows.

    Its frames have about 2.06 counts per photon and an electron multiplier's noise: a straight
    line through counts against the table's photons gives 2.06 and, at no photons, 131.6 counts.
    """
    frames = tifffile.imread(folder / "ArtificialDataset_demo1.tif")
    columns = {"id": 0, "frame": 1, "x": 2, "y": 3, "photons": 5}
    rows = np.loadtxt(folder / "positions_demo1.csv", delimiter=",", skiprows=1)
    truth = rows[:, list(columns.values())]
    electrons = (frames - OFFSET_ADU) / 2.06
    same_camera = np.clip(np.round(electrons + OFFSET_ADU), 0, 65535).astype(np.uint16)
    return Movie(frames, truth), Movie(same_camera, truth)


def _row(name: str, scores: dict[str, float]) -> str:
    cells = [name, *(f"{scores[key]:.3f}" for key in ("r", "NMSE", "r 25", "NMSE 25"))]
    cells.append(f"{scores['mass']:.2f}" if "mass" in scores else "")
    return "| " + " | ".join(cells) + " |"


def main(arguments: list[str] | None = None) -> None:
    """Print the card's tables as Markdown."""
    parser = argparse.ArgumentParser(prog="models_zoo.deep_storm.evaluate", description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--deep-storm-demo", type=Path, help="folder with the original's demo")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    network = load_network(given.weights)

    movies = {
        f"{name}, seed {seed}": simulate_movie(scene, seed=seed)
        for name, scene in (("6 per um2", DENSE), ("1.5 per um2", SPARSE))
        for seed in range(FIRST_SEED, FIRST_SEED + 2)
    }
    for name, scene in OUTSIDE.items():
        movies[f"1.5 per um2, {name}"] = simulate_movie(scene, seed=FIRST_SEED)
    movies["demo movie"] = simulate_movie(SCENE, seed=SEED)
    if given.deep_storm_demo is not None:
        raw, same_camera = read_deep_storm_demo(given.deep_storm_demo)
        movies["original's demo, as it is"] = raw
        movies["original's demo, 1 count per electron"] = same_camera
    print("| movie | r | NMSE | r at 25 nm | NMSE at 25 nm | mass |\n|---|---|---|---|---|---|")
    for name, movie in movies.items():
        scores = score_movie(network, movie)
        print(_row(name, scores["network"]))
        print(_row("- sum of its frames", scores["frames"]))
    print("\n| background | emitters per empty 64 x 64 frame | brightest pixel |\n|---|---|---|")
    for background in (5.0, 10.0, 50.0, 150.0):
        haze, brightest = measure_haze(network, background, seed=FIRST_SEED)
        print(f"| {background:g} | {haze:.3f} | {brightest:.2f} % |")
    print("\n| photons of a lone emitter | bias x, y in nm | spread in nm | mass |")
    print("|---|---|---|---|")
    for photons in (500.0, 1000.0, 3000.0):
        found = measure_isolated(network, photons, seed=FIRST_SEED)
        bias = f"{found['bias x']:.1f}, {found['bias y']:.1f}"
        print(f"| {photons:g} | {bias} | {found['spread']:.1f} | {found['mass']:.2f} |")


if __name__ == "__main__":
    main()
