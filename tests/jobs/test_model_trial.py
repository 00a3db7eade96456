from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bridge.errors import Cancelled
from bridge.jobs.model_trial import _compared, _judged, _mirrored, _trial_sizes, try_package
from bridge.progress import silent
from bridge.runtime.geometry import read_geometry
from bridge.zoo.package import open_package


def by_area(findings, area):
    return [f for f in findings if f.area == area]


def test_a_size_that_is_only_declared_fixed_is_tiled_on_a_larger_image(write_package, tmp_path):
    def change(content):
        for axis in content["inputs"][0]["axes"][2:]:
            axis["size"] = 16

    package = open_package(write_package(tmp_path / "toy", change))
    assert _trial_sizes(read_geometry(package.description)) == ({"y": 16, "x": 80}, 16)
    (finding,) = by_area(try_package(package, trust=True, progress=silent), "tiles")
    assert finding.level == "ok"
    assert "against the whole image" in finding.sentence


def test_a_missing_test_tensor_is_a_finding(write_package, tmp_path):
    package = open_package(write_package(tmp_path / "toy"))
    (package.root / "test_input.npy").unlink()
    (finding,) = try_package(package, trust=True, progress=silent)
    assert (finding.level, finding.area) == ("error", "test outputs")


def test_stopping_is_not_a_finding(write_package, tmp_path):
    package = open_package(write_package(tmp_path / "toy"))

    def stop(done: int, total: int, note: str = "") -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        try_package(package, trust=True, progress=stop)


def test_the_tolerance_of_the_package_counts(write_package, tmp_path):
    def change(content):
        content["config"] = {
            "bioimageio": {
                "reproducibility_tolerance": [
                    {"absolute_tolerance": 0.01, "weights_formats": ["onnx"]}
                ]
            }
        }

    package = open_package(write_package(tmp_path / "toy", change))
    tensor = read_geometry(package.description).outputs[0]
    expected = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    image = xr.DataArray((expected + np.float32(0.005))[0, 0], dims=("y", "x"))
    assert _compared(package, tensor, "onnxruntime", expected, image).level == "ok"
    assert _compared(package, tensor, "torch", expected, image).level == "error"
    assert _compared(package, tensor, "torch", expected[:, :, :4], image).level == "error"
    assert _compared(package, tensor, "torch", expected, image * np.nan).level == "error"


@pytest.mark.parametrize(
    ("shift", "is_blended", "level"),
    [(0, False, "ok"), (4e-5, False, "ok"), (1e-3, False, "error"), (1e-3, True, "warning")],
)
def test_a_seam_is_an_error_unless_no_exact_cut_exists(shift, is_blended, level):
    pixels = np.random.default_rng(0).standard_normal((32, 32))
    whole = {"output": xr.DataArray(pixels, dims=("y", "x"))}
    moved = pixels.copy()
    moved[16, 16] += shift * pixels.std()
    tiled = {"output": xr.DataArray(moved, dims=("y", "x"))}
    finding = _judged(tiled, whole, {"window": {"y": 16, "x": 16}, "is_blended": is_blended})
    assert finding.level == level


def test_mirroring_continues_without_a_jump(write_package, tmp_path):
    package = open_package(write_package(tmp_path / "toy"))
    tensor = read_geometry(package.description).inputs[0]
    array = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    longer = _mirrored(array, tensor, {"y": 5, "x": 7})
    padded = np.pad(array, ((0, 0), (0, 0), (0, 3), (0, 4)), mode="symmetric")
    np.testing.assert_array_equal(longer, padded)
