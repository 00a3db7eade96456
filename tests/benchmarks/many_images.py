"""Many images around one copy of the weights, against one after the other on one thread.

``python -m tests.benchmarks.many_images [--rounds 3] [--base 16]``
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import setting

N_IMAGES = 24
EDGE = 512


def run(folder: Path, size: int, base: int, engine: str, *, parallel: bool) -> None:
    """Time 24 images of 512 x 512 from file to file, networks loaded."""
    from bridge.images.write import write_image
    from bridge.runtime.files import FileOptions, Order, predict_file, predict_many
    from bridge.runtime.predict import Predictor, Settings
    from bridge.zoo.package import open_package

    package = open_package(setting.make_package(folder, base))
    settings = Settings(engine=engine, trust=True, threads=1)  # type: ignore[arg-type]
    predictor = Predictor(package, settings)
    source = folder / "small.tif"
    if not source.exists():
        import xarray as xr

        write_image(source, xr.DataArray(setting.make_image(EDGE), dims=("y", "x")))
    options = FileOptions(overwrite=True)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        orders = [Order({"input": source}, Path(out) / f"{i}.tif") for i in range(N_IMAGES)]
        predict_file(predictor, replace(orders[0]), options)
        start = time.perf_counter()
        if parallel:
            results = predict_many(predictor, orders, options)
        else:
            results = [predict_file(predictor, order, options) for order in orders]
        seconds = time.perf_counter() - start
    assert not any(r.error for r in results)
    setting.report(seconds=seconds)


METHODS = {
    f"{engine}-{name}": lambda folder, size, base, engine=engine, name=name: run(
        folder, size, base, engine, parallel=name == "pool"
    )
    for engine in ("onnxruntime", "torch")
    for name in ("serial", "pool")
}


def main() -> None:
    """Print the ratio per engine."""
    options = setting.parser(METHODS).parse_args()
    if options.method:
        METHODS[options.method](options.folder, options.size, options.base)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    setting.make_package(options.folder, options.base)
    found = setting.rounds(
        "tests.benchmarks.many_images",
        list(METHODS),
        options.rounds,
        folder=options.folder,
        base=options.base,
    )
    print("| engine | 24 images in a pool / one after the other on one thread |\n|---|---|")
    for engine in ("onnxruntime", "torch"):
        print(f"| {engine} | {setting.ratio(found, f'{engine}-pool', f'{engine}-serial')} |")


if __name__ == "__main__":
    main()
