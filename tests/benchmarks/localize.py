"""Frames per second from a movie's file to the table's, and memory over 100,000 frames.

``python -m tests.benchmarks.localize [--rounds 3] [--frames 2000] [--memory]``

Frames of 128 x 128 pixels of 100 nm at 1 emitter per square micrometre, two threads, 32 bits and
16. ``whole`` is all that ``zoobridge localize`` does behind its imports: the movie measured and
read, the network, rows, table, picture and report. The peer is the bare network of the same engine,
precision and process: the same frames, already in memory and scaled, one by one, its output thrown
away; so the ratio is what everything else costs. ``--memory`` prints the memory while a lazy movie
of 100,000 frames of 64 x 64 pixels runs through a small network. ``--package`` takes a trained
package; without one the network of ``models_zoo/localizer`` has random weights, and its rows mean
nothing.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from tests.benchmarks import setting

THREADS = 2
EDGE_PX = 128
LONG_FRAMES = 100_000
LONG_EDGE_PX = 64
PRECISIONS = ("float32", "bfloat16")


def package_folder(folder: Path, given: str, *, width: int = 64) -> Path:
    """Give the package, written once where none is given."""
    from tests.smlm.localizer_package import random_network, write_localizer

    path = folder / f"localizer-{width}"
    if given:
        return Path(given)
    if not path.exists():
        network = random_network(width=width)
        bias = network.get_submodule("head").get_parameter("bias")
        bias[0] -= 1.5  # some rows in a frame, as real ones have
        write_localizer(path, network, width=width)
    return path


def movie_file(folder: Path, n_frames: int) -> Path:
    """Write a movie, once: 200 simulated frames, again and again."""
    import torch
    import xarray as xr

    from bridge.images.write import write_image
    from bridge.smlm.patches import PatchConditions, simulate_patches
    from bridge.smlm.psf import IntegratedGaussian

    path = folder / f"spots-{n_frames}.tif"
    if path.exists():
        return path
    conditions = PatchConditions(
        size_px=EDGE_PX,
        psf=IntegratedGaussian(sigma_nm=(130.0, 130.0)),
        density_per_um2=(1.0, 1.0),
        photons=(1000.0, 1000.0),
        photons_spread=0.0,
        background_photons=(10.0, 10.0),
        background_variation=0.0,
        lines_share=0.0,
        empty_share=0.0,
    )
    patches = simulate_patches(conditions, 200, generator=torch.Generator().manual_seed(1))
    frames = patches.frames[:, 0].numpy().astype(np.uint16)
    frames = np.tile(frames, (-(-n_frames // 200), 1, 1))[:n_frames]
    attrs = {"pixel_size_nm": {"y": 100.0, "x": 100.0}}
    write_image(path, xr.DataArray(frames, dims=("t", "y", "x"), attrs=attrs))
    return path


def speed(folder: Path, package: Path, n_frames: int, precision: str) -> None:
    """Time the job, then the bare network that it chose."""
    from bridge.images.read import open_image
    from bridge.jobs.base import OpenImage
    from bridge.jobs.localize import Localize
    from bridge.progress import silent
    from bridge.runtime.memory import peak_rise
    from bridge.runtime.predict import Settings
    from bridge.runtime.ready import ReadyModels

    class Models(ReadyModels):
        """Models of two threads, one of them kept for the peer."""

        def predictor(self, model, settings):
            self.last = super().predictor(model, Settings(**{**vars(settings), "threads": THREADS}))
            return self.last

    models = Models()

    def run(n: int) -> float:
        path = movie_file(folder, n)
        job = Localize(
            model=str(package),
            input=path,
            output=folder / "table.csv",
            overwrite=True,
            anyway=True,
            precision=precision,
        )
        start = time.perf_counter()
        job.run_on(OpenImage(open_image(path), path.name), models, silent, keep=True)
        return time.perf_counter() - start

    run(600)  # chooses the engine, compiles
    seconds: list[float] = []
    rise = peak_rise(lambda: seconds.append(run(n_frames)))
    network = models.last._choice.network
    counts = open_image(movie_file(folder, 200)).values.astype(np.float32)
    ready = ((counts - 120.0) / np.float32(50.0))[:, None, None]
    for frame in ready[:20]:
        network([frame])
    start = time.perf_counter()
    for number in range(n_frames):
        network([ready[number % 200]])
    bare = time.perf_counter() - start
    setting.report(
        seconds=seconds[0],
        bare_seconds=bare,
        frames_per_second=n_frames / seconds[0],
        bare_frames_per_second=n_frames / bare,
        share_of_network=bare / seconds[0],
        rise_mib=(rise or 0) / 2**20,
        **{f"is_{network.engine}": 1},
    )


def memory(folder: Path, package: Path) -> None:
    """Print the memory while a long lazy movie runs."""
    import xarray as xr
    from xarray.core import indexing

    from bridge.images.windows import MemorySource, WindowedArray
    from bridge.runtime.predict import Predictor, Settings
    from bridge.smlm.localize_movie import localize_to_file
    from bridge.smlm.localize_plan import Wanted
    from bridge.zoo.package import open_package

    class Repeated(MemorySource):
        """A hundred frames, again and again, made when they are asked for."""

        def __init__(self, frames: np.ndarray) -> None:
            super().__init__(frames)
            self.shape = (LONG_FRAMES, *frames.shape[1:])

        def read(self, key):
            frames, *rest = key
            wanted = np.arange(LONG_FRAMES)[frames] % len(self._pixels)
            return self._pixels[wanted][(..., *rest)]

    rng = np.random.default_rng(1)
    frames = rng.poisson(15.0, (100, LONG_EDGE_PX, LONG_EDGE_PX)) + 100
    frames += 200 * (rng.random(frames.shape) > 0.998)
    pixels = WindowedArray(Repeated(frames.astype(np.uint16)), names=("t", "y", "x"), path="long")
    movie = xr.DataArray(xr.Variable(pixels.dims, indexing.LazilyIndexedArray(pixels)))
    settings = Settings(threads=THREADS, engine="onnxruntime")
    predictor = Predictor(open_package(str(package)), settings)
    seen: dict[int, int] = {}

    def note(done: int, total: int, text: str = "") -> None:
        if total == LONG_FRAMES and done // 5_000 not in seen:
            seen[done // 5_000] = resident_bytes()
            print(f"| {done:,} | {seen[done // 5_000] / 2**20:.0f} |", flush=True)

    print("| frames done | memory in MiB |\n|---|---|")
    found = localize_to_file(
        predictor,
        lambda: movie,
        folder / "long.csv",
        wanted=Wanted(100.0, anyway=True),
        overwrite=True,
        progress=note,
    )
    size = (folder / "long.csv").stat().st_size / 2**20
    print(f"{found.n_localizations:,} rows, a table of {size:.0f} MiB; in the end ", end="")
    print(f"{resident_bytes() / 2**20:.0f} MiB")


def resident_bytes() -> int:
    """Give the memory that this process has now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    """Print a table for each claim that was asked for."""
    parser = setting.parser(dict.fromkeys(PRECISIONS, speed))
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--package", default="")
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    if options.memory:
        memory(folder, package_folder(folder, options.package, width=8))
        return
    package = package_folder(folder, options.package)
    if options.method:
        speed(folder, package, options.frames, options.method)
        return
    movie_file(folder, options.frames)
    found = setting.rounds(
        "tests.benchmarks.localize",
        PRECISIONS,
        options.rounds,
        folder=folder,
        frames=options.frames,
        package=str(package),
    )
    print(f"{options.frames} frames of 128 x 128, {THREADS} threads, best of {options.rounds}\n")
    print("| precision | whole, frames/s | bare network | whole / bare | rise, MiB | engine |")
    print("|---|---|---|---|---|---|")
    for name, rounds in found.items():
        whole = max(each["frames_per_second"] for each in rounds)
        bare = max(each["bare_frames_per_second"] for each in rounds)
        share = max(each["share_of_network"] for each in rounds)
        rise = max(each["rise_mib"] for each in rounds)
        engine = next(key[3:] for key in rounds[0] if key.startswith("is_"))
        print(f"| {name} | {whole:.0f} | {bare:.0f} | {share:.2f} | {rise:.0f} | {engine} |")


if __name__ == "__main__":
    main()
