"""Packages that nobody here wrote: their test outputs are reproduced, and tiled equals whole."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from bridge.runtime.predict import predict_arrays
from bridge.zoo.package import open_package

from .comparing import TOLERANCE, difference, quick, worst

NUCLEI = "unet2d_nuclei_broad"
MULTI = "unet2d_multi_tensor"


def continued(array: np.ndarray, sizes: dict[str, int]) -> xr.DataArray:
    """Mirror a test input (b, c, y, x) into a larger image."""
    image = array[0, 0]
    widths = [(0, max(0, sizes[d] - n)) for d, n in zip("yx", image.shape, strict=True)]
    padded = np.pad(image, widths, mode="symmetric")[: sizes["y"], : sizes["x"]]
    return xr.DataArray(padded, dims=("y", "x"))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino", "torchscript"])
def test_the_nuclei_networks_test_output_is_reproduced(engine: str, zoo_packages: Path) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    folder = zoo_packages / NUCLEI
    raw, expected = (np.load(folder / f"test_{n}.npy") for n in ("input", "output"))
    image = xr.DataArray(raw[0, 0], dims=("y", "x"))
    package = open_package(folder)
    found, _ = predict_arrays(package, {_name(package): image}, quick(engine=engine))
    (output,) = found.values()
    assert difference(output, xr.DataArray(expected[0, 0], dims=("y", "x"))) <= 1e-4
    np.testing.assert_allclose(output, expected[0, 0], atol=1e-4)


def _name(package: object) -> str:
    return str(package.description.inputs[0].id)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_the_nuclei_network_is_tiled_exactly_and_its_small_halo_mentioned(
    zoo_packages: Path,
) -> None:
    package = open_package(zoo_packages / NUCLEI)
    raw = np.load(zoo_packages / NUCLEI / "test_input.npy")
    image = continued(raw, {"y": 640, "x": 608})
    name = _name(package)
    at_once, whole = predict_arrays(package, {name: image}, quick(engine="torchscript"))
    assert whole.report["tiles"]["count"] == 1
    for engine in ("torchscript", "onnxruntime"):
        tiled, outcome = predict_arrays(package, {name: image}, quick(engine=engine, tile=512))
        assert outcome.report["tiles"]["count"] > 3
        assert worst(tiled, at_once) <= TOLERANCE
        assert any("declares a halo of 32 pixels" in w for w in outcome.warnings)
        assert outcome.report["tiles"]["reach"]["x"]["lead"] > 32


def test_the_two_inputs_and_outputs_of_the_multi_tensor_network_are_tiled_exactly(
    zoo_packages: Path,
) -> None:
    folder = zoo_packages / MULTI
    package = open_package(folder)
    raw = [np.load(folder / f"test_input_{i}.npy") for i in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch.jit.load itself
        script = torch.jit.load(str(folder / "weights_torchscript_traced.pt")).eval()  # type: ignore[no-untyped-call]
    for sizes in ({"y": 256, "x": 256}, {"y": 400, "x": 336}):
        images = {f"input{i}": continued(r, sizes) for i, r in enumerate(raw)}
        normal = [
            torch.from_numpy(
                (i.values - i.values.mean(dtype=np.float64))
                / (i.values.std(dtype=np.float64) + 1e-6)
            )
            for i in images.values()
        ]
        with torch.no_grad():
            plain = script(*(n[None, None].float() for n in normal))
        expected = {
            f"output{i}": xr.DataArray(p.numpy()[0, 0], dims=("y", "x"))
            for i, p in enumerate(plain)
        }
        found, outcome = predict_arrays(package, images, quick(engine="torchscript", tile=208))
        assert outcome.report["tiles"]["count"] > 1
        assert worst(found, expected) <= TOLERANCE
