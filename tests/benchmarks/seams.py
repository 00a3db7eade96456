"""Whether tiles give the values of the whole image, for packages of X-Microscopy's chain.

``python -m tests.benchmarks.seams PACKAGE --edge 4096`` draws a field of microtubules, runs the
bare network by torch on the whole image, and the package by ONNX Runtime in tiles; it prints the
greatest difference of each output in its standard deviations, and the root mean square.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bridge.restoration.storm_fields import StormConditions, draw_storm_field, expose_widefield
from bridge.runtime.predict import Predictor, Settings
from bridge.training.kind import stretch
from bridge.zoo.package import Package, open_package


def draw(edge_px: int, seed: int) -> xr.DataArray:
    """Draw a widefield image with as many filaments for its size as in training."""
    usual = StormConditions()
    n = (edge_px / usual.edge_px) ** 2
    low, high = (round(n * limit) for limit in usual.filaments)
    conditions = StormConditions(edge_px=edge_px, filaments=(low, high), full_per_px=12)
    rng = np.random.default_rng(seed)
    field = draw_storm_field(conditions, rng)
    pixels = expose_widefield(field.blur(), conditions, rng)
    size_nm = {"y": conditions.pixel_size_nm, "x": conditions.pixel_size_nm}
    return xr.DataArray(pixels, dims=("y", "x"), attrs={"pixel_size_nm": size_nm})


def run_whole(package: Package, image: xr.DataArray) -> list[NDArray[np.float32]]:
    """Run the package's TorchScript network by torch alone, on the image in one piece."""
    said = package.description.config.model_dump()["zoobridge"]
    (least,) = said["least_range"].values()
    ready = stretch(image.values, tuple(said["stretch_percentiles"]), least)
    weights = package.description.weights.torchscript
    assert weights is not None
    network = torch.jit.load(str(package.file(weights))).eval()
    with torch.inference_mode():
        found = network(torch.from_numpy(ready)[None, None])
    return [one[0, 0].numpy() for one in found]


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package")
    parser.add_argument("--edge", type=int, default=4096, help="pixels")
    parser.add_argument("--tile", type=int, default=1024, help="longest tile edge, pixels")
    given = parser.parse_args()
    package = open_package(given.package)
    image = draw(given.edge, seed=1)
    started = time.perf_counter()
    whole = run_whole(package, image)
    print(f"whole: {time.perf_counter() - started:.1f} s")
    settings = Settings(tile=given.tile, device="cpu", engine="onnxruntime", trust=True)
    predictor = Predictor(package, settings)
    started = time.perf_counter()
    tiled, outcome = predictor.run_in_memory({predictor.input_names[0]: image}, takes_flawed=True)
    print(f"{outcome.report['tiles']['count']} tiles: {time.perf_counter() - started:.1f} s")
    for (output, found), wanted in zip(tiled.items(), whole, strict=True):
        spread = float(wanted.std(dtype=np.float64))
        difference = (found.values.squeeze().astype(np.float64) - wanted) / spread
        greatest, square = float(abs(difference).max()), float((difference**2).mean())
        print(f"{output} (sd {spread:.3g}): greatest {greatest:.2g}, rms {square**0.5:.2g} sd")


if __name__ == "__main__":
    main()
