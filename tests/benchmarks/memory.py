"""Memory of the whole job from file to file: it must not grow with the image.

``python -m tests.benchmarks.memory [--engines auto torch] [--base 32] [--large 6000]``

The U-Net of width 32 takes half an hour for 20,000 x 20,000 pixels on two cores; ``--base 4`` shows
that the rest of the job does not grow either.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks import setting


def make_file(folder: Path, size: int) -> Path:
    """Write a (size, size) uint16 TIFF, band by band."""
    from bridge.images.write import ImageWriter

    path = folder / f"image-{size}.tif"
    if not path.exists():
        spots = np.random.default_rng(1).gamma(2.0, 50.0, (1000, size)).astype(np.uint16)
        with ImageWriter(path, dims=("y", "x"), shape=(size, size), dtype=np.uint16) as writer:
            for start in range(0, size, 1000):
                rows = min(1000, size - start)
                writer.write({"y": slice(start, start + rows)}, spots[:rows])
    return path


def predict(folder: Path, size: int, base: int, engine: str) -> None:
    """Run the U-Net's package from file to file; report the peak above the start of the call."""
    from bridge.jobs.predict import Predict
    from bridge.progress import silent
    from bridge.runtime.memory import peak_rise

    package = setting.make_package(folder, base)
    source = make_file(folder, size)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        job = Predict(
            model=str(package),
            input=[str(source)],
            output=Path(out) / "output.tif",
            engine=engine,  # type: ignore[arg-type]
            trust=True,
        )
        results: list = []
        rise = peak_rise(lambda: results.append(job.run(silent)))
    assert rise is not None
    setting.report(rise_mib=round(rise / 2**20))


METHODS = {
    engine: lambda folder, size, base, engine=engine: predict(folder, size, base, engine)
    for engine in ("auto", "torch", "onnxruntime", "openvino")
}


def main() -> None:
    """Print a table: rise of memory for a small and a large image, per engine."""
    options = setting.parser(METHODS)
    options.add_argument("--large", type=int, default=6000)
    options.add_argument("--engines", nargs="+", default=["auto"])
    chosen = options.parse_args()
    if chosen.method:
        METHODS[chosen.method](chosen.folder, chosen.size, chosen.base)
        return
    chosen.folder.mkdir(parents=True, exist_ok=True)
    setting.make_package(chosen.folder, chosen.base)
    print("| engine | image | rise above the start of the call, MiB |\n|---|---|---|")
    for engine in chosen.engines:
        sizes = (2048, 2048, chosen.large)
        for number, size in enumerate(sizes):
            make_file(chosen.folder, size)
            found = setting.measure(
                "tests.benchmarks.memory", engine, folder=chosen.folder, size=size, base=chosen.base
            )
            if number:  # the first run measures engines and reach, and remembers them
                print(f"| {engine} | {size} x {size} | {found['rise_mib']:.0f} |", flush=True)
            else:
                print(f"| {engine}, very first run | {size} x {size} | {found['rise_mib']:.0f} |")


if __name__ == "__main__":
    main()
