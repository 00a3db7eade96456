"""Every case, tiled, against the plain network run once on the whole image (``whole.py``)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ImageError
from bridge.runtime.predict import Predictor, predict_arrays
from bridge.zoo.package import Package, open_package

from . import whole
from .cases import BY_NAME, GEOMETRY, GLOBAL, PROCESSING, SEVERAL, TYPES
from .comparing import TOLERANCE, difference, keep, quick, worst
from .conftest import Shelf
from .packages import Case, In, Out, build_04

ENGINES = {
    "pytorch_state_dict": ("torch",),
    "torchscript": ("torchscript",),
    "onnx": ("onnxruntime", "openvino"),
}
PROCESSED = [(c, e) for c in PROCESSING for e in ("torchscript", "onnxruntime")]
CASES = [(c, e) for c in [*GEOMETRY, *SEVERAL] for f in c.formats for e in ENGINES[f]]
CASES += [*PROCESSED, *((c, "torchscript") for c in TYPES)]
NAMED = [pytest.param(case, engine, id=f"{case.name}-{engine}") for case, engine in CASES]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was measured about a network once need not be measured for every engine."""
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(shared_home))
    return shared_home


@pytest.mark.parametrize(("case", "engine"), NAMED)
def test_tiled_equals_whole(case: Case, engine: str, shelf: Shelf) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    package = shelf(case)
    images = case.images()
    expected = whole.run(case, images)
    differences = []
    for tile, batch in zip(case.tiles, (1, case.batch), strict=False):
        found, outcome = predict_arrays(
            package, images, quick(tile=tile, batch=batch, engine=engine)
        )
        assert outcome.report["engine"]["name"] == engine
        assert math.prod(outcome.report["tiles"]["per_dim"].values()) > 1
        assert not outcome.report["tiles"]["is_blended"]
        differences.append(worst(found, expected))
    print(f"largest difference: {max(differences):.1e} std")  # pytest -rP shows it
    assert max(differences) <= TOLERANCE


CHEAP = [
    "same_size",
    "upscaling_3",
    "downscaling_4",
    "valid_convolutions_upscaled_2",
    "growing_output",
    "minimum_not_a_multiple_of_the_step",
    "two_sizes_that_agree_on_few",
    "unet_of_three_poolings",
]


@pytest.mark.parametrize("name", CHEAP)
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_tiled_equals_whole_for_random_sizes_tiles_batches_and_leftover_axes(
    name: str, data: st.DataObject, shelf: Shelf
) -> None:
    case = BY_NAME[name]
    is_unet = name.startswith("unet")
    edge = st.integers(9, 170 if is_unet else 75)
    sizes = {"y": data.draw(edge, "y"), "x": data.draw(edge, "x")}
    left_over = data.draw(st.dictionaries(st.sampled_from("tz"), st.integers(1, 3), max_size=1))
    tile = data.draw(st.integers(16, 140 if is_unet else 60), "tile")
    batch = data.draw(st.integers(1, 5), "batch")
    images = case.images({**left_over, **sizes})
    predictor_settings = quick(engine="torchscript", tile=tile, batch=batch)
    found, _ = predict_arrays(shelf(case), images, predictor_settings)
    assert worst(found, whole.run(case, images)) <= TOLERANCE


@pytest.mark.parametrize("sizes", [{"y": 9, "x": 11}, {"y": 3, "x": 83}, {"y": 100, "x": 5}])
def test_images_smaller_than_the_minimum_equal_the_network_on_the_mirrored_image(
    sizes: dict[str, int], shelf: Shelf
) -> None:
    case = BY_NAME["minimum_not_a_multiple_of_the_step"]
    image = case.images(sizes)["input"]
    padded = np.pad(
        image.values, [(0, whole.valid_sizes(case, sizes)[d] - sizes[d]) for d in "yx"], "symmetric"
    )
    with torch.no_grad():
        plain = case.network()(torch.from_numpy((padded - 100) / (20 + 1e-6))[None, None].float())
    expected = xr.DataArray(plain.numpy()[0, 0, : sizes["y"], : sizes["x"]], dims=("y", "x"))
    for tile in (0, 25):
        found, _ = predict_arrays(
            shelf(case), {"input": image}, quick(tile=tile, engine="torchscript")
        )
        assert difference(found["output"], expected) <= TOLERANCE


@pytest.mark.parametrize("sizes", [{"y": 1, "x": 90}, {"y": 90, "x": 1}, {"y": 1, "x": 1}])
def test_single_rows_columns_and_pixels_are_run(sizes: dict[str, int], shelf: Shelf) -> None:
    case = Case("small_minimum", inputs=(In(sizes=(4, 1)),))
    images = case.images(sizes)
    found, _ = predict_arrays(shelf(case), images, quick(tile=40, engine="torchscript"))
    assert worst(found, whole.run(case, images)) <= TOLERANCE


def test_an_image_mostly_invented_by_padding_is_refused(shelf: Shelf) -> None:
    case = BY_NAME["two_sizes_each_output_referencing_its_own"]
    with pytest.raises(ImageError, match=r"2 pixels.*smallest input is 24.*larger image"):
        predict_arrays(shelf(case), case.images({"y": 40, "x": 2}), quick(engine="torchscript"))


def test_an_image_too_small_for_valid_convolutions_is_refused(shelf: Shelf) -> None:
    case = BY_NAME["valid_convolutions"]
    with pytest.raises(ImageError, match=r"4 pixels along y.*at least one pixel"):
        predict_arrays(shelf(case), case.images({"y": 4, "x": 40}), quick(engine="torchscript"))


def test_a_network_of_fixed_size_is_covered_by_windows_of_that_size(shelf: Shelf) -> None:
    case = BY_NAME["fixed_size_that_is"]
    for sizes in ({"y": 32, "x": 32}, {"y": 20, "x": 33}, {"y": 70, "x": 90}):
        images = case.images(sizes)
        found, outcome = predict_arrays(shelf(case), images, quick(engine="torch"))
        assert outcome.report["tiles"]["window"] == {"y": 32, "x": 32}
        padded = {d: max(n, 32) for d, n in sizes.items()}
        mirrored = np.pad(
            images["input"].values, [(0, padded[d] - sizes[d]) for d in "yx"], "symmetric"
        )
        expected = whole.run(case, {"input": xr.DataArray(mirrored, dims=("y", "x"))})["output"]
        assert difference(found["output"], expected[: sizes["y"], : sizes["x"]]) <= TOLERANCE


def test_a_halo_larger_than_needed_changes_nothing(shelf: Shelf) -> None:
    case = BY_NAME["same_size"]
    images = case.images()
    found, outcome = predict_arrays(
        shelf(case), images, quick(tile=40, halo=9, engine="torchscript")
    )
    assert outcome.warnings == []
    assert worst(found, whole.run(case, images)) <= TOLERANCE


def test_a_halo_smaller_than_needed_is_obeyed_and_warned_of(shelf: Shelf) -> None:
    case = BY_NAME["halo_too_small"]
    images = case.images()
    found, outcome = predict_arrays(
        shelf(case), images, quick(tile=40, halo=1, engine="torchscript")
    )
    assert any("halo of 1 pixels asked for is smaller than the 4" in w for w in outcome.warnings)
    assert worst(found, whole.run(case, images)) > TOLERANCE


def test_a_declared_halo_that_is_too_small_is_measured_used_and_mentioned(shelf: Shelf) -> None:
    case = BY_NAME["halo_too_small"]
    _, outcome = predict_arrays(shelf(case), case.images(), quick(tile=40, engine="torchscript"))
    assert any("declares a halo of 1 pixels, but" in w for w in outcome.warnings)
    assert outcome.report["tiles"]["reach"]["x"]["lead"] == 4


def test_a_tile_below_the_networks_reach_is_enlarged_and_mentioned(shelf: Shelf) -> None:
    case = BY_NAME["unet_of_three_poolings"]
    _, outcome = predict_arrays(shelf(case), case.images(), quick(tile=32, engine="torchscript"))
    assert outcome.report["tiles"]["window"]["x"] > 32
    assert any("needs tiles of at least" in w for w in outcome.warnings)


@pytest.mark.parametrize("case", GLOBAL, ids=lambda c: c.name)
def test_a_network_with_global_statistics_runs_in_one_pass_where_it_fits(
    case: Case, shelf: Shelf
) -> None:
    images = case.images()
    found, outcome = predict_arrays(shelf(case), images, quick(engine="torchscript"))
    assert outcome.report["tiles"]["count"] == 1
    assert outcome.warnings == []
    assert worst(found, whole.run(case, images)) <= TOLERANCE


@pytest.mark.parametrize("case", GLOBAL, ids=lambda c: c.name)
def test_a_network_with_global_statistics_is_blended_and_warned_of(
    case: Case, shelf: Shelf
) -> None:
    images = case.images()
    found, outcome = predict_arrays(shelf(case), images, quick(engine="torchscript", tile=48))
    assert outcome.report["tiles"]["is_blended"]
    assert any("depends on the whole image" in w for w in outcome.warnings)
    expected = whole.run(case, images)["output"]
    assert difference(found["output"], expected) > TOLERANCE
    error = (found["output"] - expected).std() / expected.std()
    assert float(error) < 0.8


def test_a_global_network_of_fixed_size_is_blended_without_seams(shelf: Shelf) -> None:
    case = Case(
        "fixed_size_and_global",
        "OnlyOneSize",
        {"is_global": True},
        inputs=(In(sizes=32),),
        formats=("pytorch_state_dict",),
        whole_kwargs={"size": 0},
    )
    images = case.images({"y": 90, "x": 110})
    found, outcome = predict_arrays(shelf(case), images, quick(engine="torch"))
    assert outcome.report["tiles"]["is_blended"]
    expected = whole.run(case, images)["output"]
    assert float((found["output"] - expected).std() / expected.std()) < 0.35


def test_a_package_of_format_04_with_an_architecture_file_is_converted_and_run(
    tmp_path: Path,
) -> None:
    kwargs = {"mode": "per_sample", "axes": "cyx"}
    case = Case("old", inputs=(In(ops=()),), outputs=(Out(halo=2),))
    steps = [{"name": "zero_mean_unit_variance", "kwargs": kwargs}]
    package = open_package(build_04(case, tmp_path / "old", steps))
    image = case.images()["input"]
    normal = (image.values - image.values.mean()) / (image.values.std() + 1e-6)
    with torch.no_grad():
        plain = case.network()(torch.from_numpy(normal)[None, None].float()).numpy()[0, 0]
    for engine in ("torch", "onnxruntime"):
        found, outcome = predict_arrays(package, {"input": image}, quick(tile=32, engine=engine))
        assert outcome.report["tiles"]["count"] > 1
        assert difference(found["output"], xr.DataArray(plain, dims=("y", "x"))) <= TOLERANCE


def test_a_package_of_format_04_that_upscales_is_converted_and_run(tmp_path: Path) -> None:
    case = Case("old", "Upscale", {"scale": 4}, (In(ops=()),), (Out(ratio=4),))
    package = open_package(build_04(case, tmp_path / "old"))
    images = {n: (i - 100) / 20 for n, i in case.images().items()}
    found, outcome = predict_arrays(package, images, quick(tile=32, engine="torchscript"))
    assert outcome.report["tiles"]["count"] > 1
    assert worst(found, whole.run(case, images)) <= TOLERANCE


def test_one_predictor_gives_the_same_for_images_of_any_order(shelf: Shelf) -> None:
    """What was measured for one image must not change the next one's result."""
    case = BY_NAME["fixed_size_that_is_not_fixed"]
    package: Package = shelf(case)
    sizes = ({"y": 32, "x": 32}, {"y": 64, "x": 96}, {"y": 32, "x": 32})
    predictor = Predictor(package, quick(engine="torchscript"))
    for size in sizes:
        images = case.images(size)
        found: dict[str, xr.DataArray] = {}
        fresh, _ = predict_arrays(package, images, quick(engine="torchscript"))
        predictor.run(images, keep(found))
        np.testing.assert_allclose(found["output"], fresh["output"], atol=1e-6)
