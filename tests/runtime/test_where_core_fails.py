"""The cases in which bioimageio.core's own blocking fails or errs: here they work.

Each test also shows core failing, so that the claim stays checked.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loguru
import numpy as np
import pytest
import xarray as xr
from bioimageio.core import create_prediction_pipeline
from bioimageio.core.axis import AxisId
from bioimageio.core.common import MemberId
from bioimageio.core.digest_spec import create_sample_for_model
from bioimageio.core.sample import Sample
from bioimageio.core.tensor import Tensor
from bioimageio.spec import load_description

from bridge.runtime.predict import predict_arrays
from bridge.zoo.package import Package, open_package

from . import whole
from .cases import BY_NAME, normalised
from .comparing import TOLERANCE, difference, quick, worst
from .conftest import Shelf
from .packages import IDS, Case, In, Out, build_04

# core and spec leave the files open that they read
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    loguru.logger.disable("bioimageio")
    yield
    loguru.logger.enable("bioimageio")
    gc.collect()  # their warnings come here, and not in a later test


@pytest.fixture
def core() -> Any:
    """Give core's pipeline for a package, on its ONNX weights."""

    def make(package: Package) -> Any:
        description = load_description(package.root / "rdf.yaml")
        return create_prediction_pipeline(description, weight_format="onnx")

    return make


def sample(case: Case, images: dict[str, xr.DataArray]) -> Sample:
    members = {
        MemberId(t.name): Tensor(
            whole.as_tensor(images[t.name], t.axes), dims=[AxisId(IDS[d]) for d in t.axes]
        )
        for t in case.inputs
    }
    return Sample(members=members, stat={}, id="one")


def core_output(answer: Sample, case: Case) -> dict[str, xr.DataArray]:
    found = {}
    for tensor in case.outputs:
        array = answer.members[MemberId(tensor.name)].data
        dims = [d for d in tensor.axes if d not in "bc"]
        found[tensor.name] = xr.DataArray(np.asarray(array).squeeze(), dims=dims)
    return found


def ours(case: Case, package: Package, images: dict[str, xr.DataArray], **more: Any) -> float:
    chosen = quick(**{"tile": 32, "engine": "onnxruntime", **more})
    found, _ = predict_arrays(package, images, chosen)
    return worst(found, whole.run(case, images))


def test_agrees_with_core_where_core_works(shelf: Shelf, core: Any) -> None:
    case = BY_NAME["upscaling_2"]
    images = case.images({"y": 61, "x": 83})
    package = shelf(case)
    answer = core(package).predict_sample_with_blocking(sample(case, images), ns=16)
    found, _ = predict_arrays(package, images, quick(tile=32, engine="onnxruntime"))
    theirs = core_output(answer, case)["output"]
    inside = {"y": slice(8, -8), "x": slice(8, -8)}  # core pads the whole image by the halo first
    assert difference(found["output"].isel(inside), theirs.isel(inside)) <= TOLERANCE


def test_an_image_smaller_than_the_block_works(shelf: Shelf, core: Any) -> None:
    case = BY_NAME["upscaling_2"]
    images = case.images({"y": 20, "x": 47})
    package = shelf(case)
    with pytest.raises(ValueError, match="smaller than block shape"):
        core(package).predict_sample_with_blocking(sample(case, images), ns=32)
    assert ours(case, package, images, tile=48) <= TOLERANCE


def test_the_smallest_block_the_model_takes_can_be_had(shelf: Shelf, core: Any) -> None:
    """Core takes ``ns=0`` for its default of 10 steps."""
    case = BY_NAME["upscaling_2"]
    images = case.images({"y": 40, "x": 61})
    package = shelf(case)
    pipeline = core(package)

    def n_blocks(ns: int) -> int:
        count, _ = pipeline.predict_sample_with_blocking_yield_intermediates(
            sample(case, images), ns=ns
        )
        return int(count)

    assert n_blocks(0) == n_blocks(10) < n_blocks(1)
    found, outcome = predict_arrays(package, images, quick(tile=16, engine="onnxruntime"))
    assert max(outcome.report["tiles"]["window"].values()) <= 16
    assert worst(found, whole.run(case, images)) <= TOLERANCE


def test_an_output_offset_works(shelf: Shelf, core: Any) -> None:
    case = BY_NAME["valid_convolutions"]
    images = case.images()
    package = shelf(case)
    with pytest.raises((ValueError, AssertionError, RuntimeError)):
        core(package).predict_sample_with_blocking(sample(case, images), ns=16)
    assert ours(case, package, images) <= TOLERANCE


def test_an_output_without_channel_axis_works(shelf: Shelf, core: Any) -> None:
    case = BY_NAME["output_without_channel_axis"]
    images = case.images()
    package = shelf(case)
    with pytest.raises(ValueError, match="does not overlap"):
        core(package).predict_sample_with_blocking(sample(case, images), ns=16)
    assert ours(case, package, images) <= TOLERANCE


def test_two_inputs_of_different_size_with_all_outputs_referencing_input_1_only_work(
    shelf: Shelf, core: Any
) -> None:
    case = BY_NAME["two_sizes_all_outputs_referencing_input_1_only"]
    images = case.images()
    package = shelf(case)
    pipeline = core(package)
    with pytest.raises(ValueError, match="number of blocks"):
        pipeline.predict_sample_with_blocking(sample(case, images), ns=24)
    assert ours(case, package, images) <= TOLERANCE


def test_two_inputs_of_different_size_without_a_declared_halo_have_no_seams(
    shelf: Shelf, core: Any
) -> None:
    case = BY_NAME["two_sizes"]
    images = case.images({"y": 48, "x": 96})
    package = shelf(case)
    answer = core(package).predict_sample_with_blocking(sample(case, images), ns=24)
    assert worst(core_output(answer, case), whole.run(case, images)) > 0.01
    assert ours(case, package, images) <= TOLERANCE


def test_a_declared_halo_that_is_too_small_leaves_no_seams(shelf: Shelf, core: Any) -> None:
    case = BY_NAME["halo_too_small"]
    images = case.images({"y": 60, "x": 90})
    package = shelf(case)
    answer = core(package).predict_sample_with_blocking(sample(case, images), ns=16)
    assert worst(core_output(answer, case), whole.run(case, images)) > 0.01
    assert ours(case, package, images) <= TOLERANCE


def test_a_package_of_format_04_is_tiled(tmp_path: Path, core: Any) -> None:
    case = Case("old", inputs=(In(ops=()),), outputs=(Out(halo=2),))
    package = open_package(build_04(case, tmp_path / "old"))
    images = {n: (i - 100) / 20 for n, i in case.images().items()}
    pipeline = core(package)
    members = {
        MemberId("input"): Tensor(
            images["input"].values[None, None],
            dims=[AxisId(a) for a in ("batch", "channel", "y", "x")],
        )
    }
    with pytest.raises(NotImplementedError):
        pipeline.predict_sample_with_blocking(Sample(members=members, stat={}, id="one"), ns=16)
    assert ours(case, package, images) <= TOLERANCE


def test_tiles_and_whole_are_normalised_alike(shelf: Shelf, core: Any) -> None:
    """Core pads, then normalises the whole image, but normalises, then pads for blocks."""
    case = Case(
        "normalised_with_halo",
        inputs=(In(ops=normalised("zero_mean_unit_variance", axes=["channel", "y", "x"])),),
        outputs=(Out(halo=4),),
    )
    ramp = np.linspace(0, 400, 64, dtype=np.float32)
    images = {"input": case.images({"y": 48, "x": 64})["input"] + ramp}
    package = shelf(case)
    pipeline = core(package)
    at_once = core_output(pipeline.predict_sample_without_blocking(sample(case, images)), case)
    in_blocks = core_output(
        pipeline.predict_sample_with_blocking(sample(case, images), ns=16), case
    )
    assert worst(in_blocks, at_once) > 100 * TOLERANCE
    assert ours(case, package, images) <= TOLERANCE
    assert ours(case, package, images, tile=0) <= TOLERANCE


def test_a_size_that_is_not_minimum_plus_steps_works(shelf: Shelf, core: Any) -> None:
    case = BY_NAME["minimum_not_a_multiple_of_the_step"]
    images = case.images({"y": 50, "x": 61})
    package = shelf(case)
    description = load_description(package.root / "rdf.yaml")
    with pytest.raises(ValueError, match="does not map"):
        create_sample_for_model(description, inputs=images["input"].values[None, None])
    assert ours(case, package, images) <= TOLERANCE


def test_a_batch_larger_than_the_number_of_images_works(shelf: Shelf, core: Any) -> None:
    case = BY_NAME["same_size"]
    images = case.images({"y": 48, "x": 64})
    package = shelf(case)
    with pytest.raises(ValueError, match="smaller than block shape"):
        core(package).predict_sample_with_blocking(sample(case, images), ns=16, batch_size=4)
    assert ours(case, package, images, batch=64) <= TOLERANCE
