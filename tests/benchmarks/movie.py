"""Frames per second from a movie's file to the sum of its outputs, and memory for more frames.

``python -m tests.benchmarks.movie [--rounds 3] [--frames 48] [--memory] [--dsir]``

Frames of 64 x 64 pixels, eight times finer, two threads. The peer is the naive loop: the same
network in eager torch, NCHW, a frame at a time, all outputs kept in memory and summed in the end.
Both begin at the file and end with the summed image in a file; networks are loaded before.
``--memory`` prints the rise for 100 and 1,000 frames, ``--dsir`` the seconds for 361 frames.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks import setting

THREADS = 2
EDGE_PX = 64
ZOO = Path(__file__).parents[2] / "models_zoo"
FOLDERS = {"original": "deep_storm_original", "dsir": "dsir"}
DSIR_FRAMES = 361


def make_package(folder: Path, kind: str) -> Path:
    """Give the embedded package (``light``), or write one of random weights of another layout."""
    import tifffile
    import torch
    from bioimageio.spec import save_bioimageio_package_as_folder

    from bridge.images.preview import save_picture
    from bridge.training.describe import Facts, describe
    from bridge.training.kinds import KINDS
    from bridge.training.networks import build_network
    from bridge.training.recipe import load_recipe
    from bridge.training.tasks.base import Scaling
    from bridge.training.weights import write_weights

    if kind == "light":
        return ZOO / "packages" / "deep-storm"
    path = folder / kind
    if path.exists():
        return path
    recipe = load_recipe(ZOO / FOLDERS[kind] / "recipe.yaml")
    torch.manual_seed(7)
    network = build_network(recipe.network).eval()
    scaling = Scaling(mean=120.0, std=50.0)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        draft = Path(temporary)
        counts = make_movie(1)[:, None]
        ready = (counts.astype(np.float32) - scaling.mean) / np.float32(scaling.std)
        with torch.inference_mode():
            output = network(torch.from_numpy(ready)).numpy()
        np.save(draft / "test_input.npy", counts)
        np.save(draft / "test_output.npy", output)
        tifffile.imwrite(draft / "sample_input.tif", counts[0])
        tifffile.imwrite(draft / "sample_output.tif", output[0])
        save_picture(draft / "cover.png", [("Output", output[0, 0])])
        (draft / "README.md").write_text("# Validation\n\nRandom weights: for its speed only.\n")
        shutil.copyfile(recipe.network.architecture, draft / "architecture.py")
        about = KINDS[recipe.task.kind].about(recipe, scaling)
        write_weights(
            network,
            draft,
            examples=[ready],
            input_names=[about.inputs[0].name],
            output_names=[about.outputs[0].name],
        )
        facts = Facts(scaling, 100.0, 16, {}, {}, {})
        description = describe(recipe, network, facts, about, draft)
        save_bioimageio_package_as_folder(description, output_path=path)
    return path


def make_movie(n_frames: int) -> np.ndarray:
    """Give (n_frames, 64, 64) uint16 camera frames of spots."""
    generator = np.random.default_rng(1)
    frames = generator.normal(120, 10, (n_frames, EDGE_PX, EDGE_PX))
    frames += 200 * (generator.random(frames.shape) > 0.99)
    return np.clip(frames, 0, 65535).astype(np.uint16)


def movie_file(folder: Path, n_frames: int) -> Path:
    """Write a movie, once."""
    import xarray as xr

    from bridge.images.write import write_image

    path = folder / f"movie-{n_frames}.tif"
    if not path.exists():
        write_image(path, xr.DataArray(make_movie(n_frames), dims=("t", "y", "x")))
    return path


def ours(folder: Path, kind: str, n_frames: int) -> None:
    """Time ``zoobridge predict --sum``, and take its memory above a run of two frames."""
    from bridge.runtime.files import FileOptions, Order, predict_file
    from bridge.runtime.memory import peak_rise
    from bridge.runtime.predict import Predictor, Settings
    from bridge.zoo.package import open_package

    package = open_package(make_package(folder, kind))
    predictor = Predictor(package, Settings(sum=True, trust=True, threads=THREADS))
    name = predictor.geometry.inputs[0].name
    options = FileOptions(overwrite=True)
    target = folder / f"ours-{kind}.tif"
    predict_file(predictor, Order({name: movie_file(folder, 2)}, target), options)
    order = Order({name: movie_file(folder, n_frames)}, target)
    seconds: list[float] = []
    results: list = []

    def work() -> None:
        start = time.perf_counter()
        results.append(predict_file(predictor, order, options))
        seconds.append(time.perf_counter() - start)

    rise = peak_rise(work)
    engine = results[0].report["engine"]["name"]
    setting.report(
        seconds=seconds[0],
        frames_per_second=n_frames / seconds[0],
        rise_mib=(rise or 0) / 2**20,
        **{f"is_{engine}": 1},
    )


def naive(folder: Path, kind: str, n_frames: int) -> None:
    """Time the loop that a script would have."""
    import tifffile
    import torch

    from bridge.runtime.memory import peak_rise
    from bridge.zoo.package import open_package
    from bridge.zoo.weights import load_torch

    torch.set_num_threads(THREADS)
    package = open_package(make_package(folder, kind))
    network = load_torch(package, "pytorch_state_dict", trust=True).eval()
    scaling = package.description.inputs[0].preprocessing[1].kwargs  # type: ignore[union-attr]
    mean, std = np.float32(scaling.mean), np.float32(scaling.std)  # type: ignore[union-attr]
    path = movie_file(folder, n_frames)
    seconds: list[float] = []

    def run(movie: np.ndarray) -> np.ndarray:
        outputs = []
        with torch.no_grad():
            for frame in (movie.astype(np.float32) - mean) / std:
                outputs.append(network(torch.from_numpy(frame)[None, None])[0, 0].numpy())
        return np.stack(outputs).sum(axis=0, dtype=np.float64).astype(np.float32)

    def work() -> None:
        start = time.perf_counter()
        tifffile.imwrite(folder / f"naive-{kind}.tif", run(tifffile.imread(path)))
        seconds.append(time.perf_counter() - start)

    run(tifffile.imread(path)[:2])
    rise = peak_rise(work)
    setting.report(
        seconds=seconds[0],
        frames_per_second=n_frames / seconds[0],
        rise_mib=(rise or 0) / 2**20,
    )


METHODS: dict[str, Callable[..., None]] = {
    f"{way.__name__}-{kind}": lambda folder, n_frames, way=way, kind=kind: way(
        folder, kind, n_frames
    )
    for kind in ("original", "light", "dsir")
    for way in (naive, ours)
}


def main() -> None:
    """Print a table for each claim that was asked for."""
    parser = setting.parser(METHODS)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--kinds", nargs="+", default=["original", "light"])
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--dsir", action="store_true")
    options = parser.parse_args()
    folder = options.folder
    if options.method:
        METHODS[options.method](folder, options.frames)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if options.memory:
        _print_memory(folder)
    elif options.dsir:
        _print_dsir(folder, options.rounds)
    else:
        _print_speed(folder, options.kinds, options.rounds, options.frames)


def _print_speed(folder: Path, kinds: list[str], n_rounds: int, n_frames: int) -> None:
    import tifffile

    for kind in kinds:
        make_package(folder, kind)
    methods = [f"{way}-{kind}" for kind in kinds for way in ("naive", "ours")]
    found = setting.rounds(
        "tests.benchmarks.movie", methods, n_rounds, folder=folder, frames=n_frames
    )
    print(f"{n_frames} frames of 64 x 64, {THREADS} threads, best of {n_rounds} rounds\n")
    print(
        "| layout | naive, frames/s | ours, frames/s | naive / ours | engine | difference / std |"
    )
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        theirs, mine = found[f"naive-{kind}"], found[f"ours-{kind}"]
        rates = [max(m["frames_per_second"] for m in each) for each in (theirs, mine)]
        engine = next(key[3:] for key in mine[0] if key.startswith("is_"))
        sums = [tifffile.imread(folder / f"{w}-{kind}.tif") for w in ("naive", "ours")]
        difference = float(np.abs(sums[1] - sums[0]).max() / sums[0].std())
        ratio = setting.ratio(found, f"naive-{kind}", f"ours-{kind}")
        speeds = f"{rates[0]:.2f} | {rates[1]:.2f}"
        print(f"| {kind} | {speeds} | {ratio} | {engine} | {difference:.0e} |")


def _print_memory(folder: Path) -> None:
    print("| layout | frames | ours, rise in MiB | naive, rise in MiB |\n|---|---|---|---|")
    for kind, counts in (("light", (100, 1000)), ("original", (100, 1000))):
        make_package(folder, kind)
        for n_frames in counts:
            rises = [
                setting.measure(
                    "tests.benchmarks.movie", f"{way}-{kind}", folder=folder, frames=n_frames
                )["rise_mib"]
                for way in (("ours", "naive") if kind == "light" else ("ours",))
            ]
            text = " | ".join(f"{r:.0f}" for r in rises)
            print(f"| {kind} | {n_frames:,} | {text} |", flush=True)


def _print_dsir(folder: Path, n_rounds: int) -> None:
    make_package(folder, "dsir")
    found = setting.rounds(
        "tests.benchmarks.movie",
        ["naive-dsir", "ours-dsir"],
        n_rounds,
        folder=folder,
        frames=DSIR_FRAMES,
    )
    best = {name: min(m["seconds"] for m in each) for name, each in found.items()}
    print(f"{DSIR_FRAMES} frames of 64 x 64 with DSIR's layout, {THREADS} threads, file to file")
    print(f"ours {best['ours-dsir']:.2f} s, naive {best['naive-dsir']:.2f} s (best of {n_rounds});")
    print(f"naive / ours {setting.ratio(found, 'naive-dsir', 'ours-dsir')}")


if __name__ == "__main__":
    main()
