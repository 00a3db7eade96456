"""What cannot be right is refused in a sentence that names both sides."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from bridge.errors import (
    DeviceError,
    ImageError,
    MemoryShortage,
    NetworkError,
    PackageError,
    TrustError,
    VerdictError,
)
from bridge.runtime.choose import Choice
from bridge.runtime.device import Device, find_device
from bridge.runtime.engine import Network, load_network
from bridge.runtime.predict import Predictor, Settings, predict_arrays
from bridge.zoo.package import open_package

from . import whole
from .cases import BY_NAME, TO_FLOAT
from .comparing import TOLERANCE, keep, quick, worst
from .conftest import Shelf
from .packages import Case, In, Out, build, faulty

ONE = BY_NAME["same_size"]
SCRIPT = quick(engine="torchscript", tile=40)


def picture(**sizes: int) -> xr.DataArray:
    pixels = np.random.default_rng(0).normal(100, 20, list(sizes.values())).astype(np.float32)
    return xr.DataArray(pixels, dims=list(sizes), attrs={"source": "cells.tif"})


@pytest.mark.parametrize(
    ("image", "pattern"),
    [
        (picture(c=3, y=40, x=40), r"3 channels \(an RGB image\?\).*1 channel,.*--channel"),
        (picture(c=2, y=40, x=40), r"2 channels.*Expected 1 channel"),
        (picture(x=40), r"the image has x.*height \(y\) too: the model works on y x"),
        (picture(y=40, x=40).astype(complex), r"values of type complex"),
    ],
)  # fmt: skip
def test_an_image_with_other_axes_or_channels_is_refused(
    image: xr.DataArray, pattern: str, shelf: Shelf
) -> None:
    with pytest.raises(ImageError, match=pattern):
        predict_arrays(shelf(ONE), {"input": image}, SCRIPT)


def test_an_image_with_fewer_channels_than_the_model_takes_is_refused(shelf: Shelf) -> None:
    package = shelf(BY_NAME["two_channels_in_three_out"])
    with pytest.raises(ImageError, match=r"1 channel\. Expected 2 channels \(input0, input1\)"):
        predict_arrays(package, {"input": picture(y=40, x=40)}, SCRIPT)


def test_one_channel_of_an_image_can_be_chosen(shelf: Shelf) -> None:
    image = picture(c=3, y=50, x=61)
    chosen = dataclasses.replace(SCRIPT, channel=2)
    found, _ = predict_arrays(shelf(ONE), {"input": image}, chosen)
    expected = whole.run(ONE, {"input": image.isel(c=1)})
    assert worst(found, expected) <= TOLERANCE
    with pytest.raises(ImageError, match=r"3 channels\. Expected a channel 4"):
        predict_arrays(shelf(ONE), {"input": image}, dataclasses.replace(SCRIPT, channel=4))


@pytest.mark.parametrize("name", ["same_size", "input_without_channel_axis"])
def test_a_channel_axis_of_length_one_is_no_obstacle(name: str, shelf: Shelf) -> None:
    case = BY_NAME[name]
    image = picture(c=1, y=50, x=61)
    found, _ = predict_arrays(shelf(case), {"input": image}, SCRIPT)
    assert worst(found, whole.run(case, {"input": image.isel(c=0)})) <= TOLERANCE


def test_a_3d_model_refuses_a_2d_image(shelf: Shelf) -> None:
    with pytest.raises(ImageError, match=r"the image has y x.*depth \(z\) too"):
        predict_arrays(shelf(BY_NAME["same_size_3d"]), {"input": picture(y=40, x=40)}, SCRIPT)


def test_two_images_that_do_not_show_the_same_field_are_refused(shelf: Shelf) -> None:
    package = shelf(BY_NAME["two_sizes"])
    images = {"wide": picture(y=40, x=50), "fine": picture(y=80, x=90)}
    with pytest.raises(
        ImageError, match=r"90 pixels along x. Expected 100, for 50 pixels of .*wide"
    ):
        predict_arrays(package, images, SCRIPT)


def test_two_images_of_different_length_in_time_are_refused(shelf: Shelf) -> None:
    package = shelf(BY_NAME["two_sizes"])
    images = {"wide": picture(t=2, y=40, x=50), "fine": picture(t=3, y=80, x=100)}
    with pytest.raises(ImageError, match=r"3 along t\. Expected 2"):
        predict_arrays(package, images, SCRIPT)
    images["fine"] = picture(y=80, x=100)
    with pytest.raises(ImageError, match=r"1 along t\. Expected 2"):
        predict_arrays(package, images, SCRIPT)


@pytest.mark.parametrize("name", ["wide", "fine"])
def test_an_axis_of_length_one_in_one_of_two_images_is_no_obstacle(name: str, shelf: Shelf) -> None:
    case = BY_NAME["two_sizes"]
    images = case.images({"y": 40, "x": 50})
    expected = whole.run(case, images)["output"]
    images[name] = images[name].expand_dims("t")
    found, _ = predict_arrays(shelf(case), images, SCRIPT)
    np.testing.assert_allclose(found["output"].squeeze(), expected, atol=1e-5)


def test_a_missing_image_of_two_is_named(shelf: Shelf) -> None:
    package = shelf(BY_NAME["two_sizes"])
    with pytest.raises(ImageError, match=r"given for wide. Expected one for each.*wide, fine"):
        predict_arrays(package, {"wide": picture(y=40, x=50)}, SCRIPT)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused_and_placed(bad: float, shelf: Shelf) -> None:
    image = picture(y=60, x=70)
    image[50, 60] = bad
    with pytest.raises(ImageError, match=r"cells\.tif: 1 values are NaN or infinite"):
        predict_arrays(shelf(ONE), {"input": image}, SCRIPT)


def test_values_that_do_not_fit_the_declared_bytes_are_refused(shelf: Shelf) -> None:
    ops = ({"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}, TO_FLOAT)
    package = shelf(Case("bytes", inputs=(In(dtype="uint8", ops=ops),)))
    image = (picture(y=40, x=40) * 10).astype(np.uint16)
    with pytest.raises(ImageError, match=r"values from \d+ to \d+. Expected 0 to 255.*uint8"):
        predict_arrays(package, {"input": image}, SCRIPT)
    found, _ = predict_arrays(package, {"input": image // 10}, SCRIPT)
    assert np.isfinite(found["output"]).all()


def test_outputs_that_do_not_fit_their_integers_are_clipped_and_counted(shelf: Shelf) -> None:
    ops = ({"id": "scale_linear", "kwargs": {"gain": 500.0, "offset": 100.0}},)
    ops = (*ops, {"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}})
    case = Case("wrapping", outputs=(Out(ops=ops, dtype="uint8"),))
    plain = dataclasses.replace(case, outputs=(Out(ops=ops[:1]),))
    images = case.images()
    found, outcome = predict_arrays(shelf(case), images, SCRIPT)
    expected = whole.run(plain, images)["output"].clip(0, 255)
    assert found["output"].dtype == np.uint8
    assert float(np.abs(found["output"].astype(float) - expected).max()) <= 1
    assert any("did not fit its integer type and were clipped" in w for w in outcome.warnings)


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("size", r"output 'output'.*Expected.*as (its|the) description says"),
        ("number", r"it gave 2 outputs. Expected 1"),
        ("channels", r"output 'output'.*(shape \(1, 2, |2 channels).*Expected"),
        ("gives up", r"network \(torch\): it refused inputs of shape.*gives up on purpose"),
    ],
)
@pytest.mark.parametrize("tile", [0, 32])
def test_a_network_unlike_its_description_is_told_so(
    kind: str, pattern: str, tile: int, tmp_path: Path
) -> None:
    folder = faulty(kind, tmp_path)
    images = {"input": picture(y=60, x=70)}
    with pytest.raises(NetworkError, match=pattern):
        predict_arrays(open_package(folder), images, quick(engine="torch", tile=tile))


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("nan", "NaN"),
        ("nan in part", "values are NaN or infinite"),
        ("black", "black: every value is 0"),
        ("constant", "constant: every value is 7"),
        ("saturated", r"saturated: .* of its values are 255"),
    ],
)
def test_an_output_that_is_no_image_is_an_error(kind: str, pattern: str, tmp_path: Path) -> None:
    images = {"input": picture(y=60, x=70)}
    with pytest.raises(VerdictError, match=pattern):
        predict_arrays(open_package(faulty(kind, tmp_path)), images, quick(engine="torch", tile=40))


def test_an_empty_mask_is_an_image_with_a_warning(tmp_path: Path) -> None:
    folder = faulty("black", tmp_path)
    before, outputs, after = (folder / "rdf.yaml").read_text("utf-8").partition("outputs:")
    after = after.replace("type: float32", "type: uint8", 1)
    (folder / "rdf.yaml").write_text(before + outputs + after, "utf-8")
    images = {"input": picture(y=60, x=70)}
    found, outcome = predict_arrays(open_package(folder), images, quick(engine="torch"))
    assert found["output"].dtype == np.uint8
    assert not found["output"].any()
    assert "The output 'output' is black: every value is 0." in outcome.warnings


def test_a_constant_input_is_named_as_the_cause_of_a_constant_output(tmp_path: Path) -> None:
    image = picture(y=60, x=70) * 0 + 5
    with pytest.raises(VerdictError, match=r"the input itself is constant \(every value is 5\)"):
        predict_arrays(
            open_package(faulty("black", tmp_path)), {"input": image}, quick(engine="torch")
        )


def test_an_input_of_another_range_is_named_as_the_cause(tmp_path: Path) -> None:
    image = picture(y=60, x=70) / 1e5
    with pytest.raises(VerdictError, match="far from what the model was made for"):
        predict_arrays(
            open_package(faulty("black", tmp_path)), {"input": image}, quick(engine="torch")
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_cuda_asked_for_and_absent_is_an_error(device: str, shelf: Shelf) -> None:
    with pytest.raises(
        DeviceError, match=f"'{device}' was asked for.*--device auto or --device cpu"
    ):
        Predictor(shelf(ONE), Settings(device=device))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "tpu:0", ""])
def test_an_unknown_device_is_an_error(device: str) -> None:
    with pytest.raises(DeviceError, match="Expected auto, cpu, cuda"):
        find_device(device)


def test_an_engine_that_the_package_has_no_weights_for_is_an_error(shelf: Shelf) -> None:
    package = shelf(BY_NAME["fixed_size_that_is"])
    images = {"input": picture(y=60, x=70)}
    for engine, weights in (("onnxruntime", "onnx"), ("torchscript", "torchscript")):
        with pytest.raises(DeviceError, match=f"engine {engine}: the package has no {weights}"):
            predict_arrays(package, images, quick(engine=engine))


def test_an_engine_that_is_not_installed_is_an_error(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.engine.importlib.util.find_spec", lambda _: None)
    with pytest.raises(DeviceError, match=r"OpenVINO is not installed.*--engine auto"):
        predict_arrays(shelf(ONE), {"input": picture(y=60, x=70)}, quick(engine="openvino"))


def test_a_precision_that_an_engine_cannot_use_is_an_error(shelf: Shelf) -> None:
    with pytest.raises(DeviceError, match="not in float16"):
        predict_arrays(
            shelf(ONE),
            {"input": picture(y=60, x=70)},
            quick(engine="onnxruntime", precision="float16"),
        )


def test_a_state_dict_is_not_run_without_consent(shelf: Shelf) -> None:
    package = shelf(BY_NAME["fixed_size_that_is"])
    for engine in ("torch", "auto"):
        with pytest.raises(TrustError, match=r"code of its own.*nets.py.*--trust"):
            predict_arrays(package, {"input": picture(y=60, x=70)}, Settings(engine=engine))


def test_other_weights_run_without_consent_and_without_the_state_dict(shelf: Shelf) -> None:
    _, outcome = predict_arrays(shelf(ONE), {"input": picture(y=60, x=70)}, Settings(threads=1))
    assert outcome.report["engine"]["name"] == "onnxruntime"
    assert outcome.warnings == []


def test_a_package_without_usable_weights_says_why(tmp_path: Path) -> None:
    folder = build(ONE, tmp_path / "p")
    for name in ("weights.pt", "script.pt", "net.onnx"):
        (folder / name).unlink()
    with pytest.raises(PackageError, match=r"none of its weights.*onnx.*net.onnx is missing"):
        predict_arrays(open_package(folder), {"input": picture(y=60, x=70)}, quick())


class Cramped(Network):
    """Hardware that holds windows of `most` pixels and no more, around a real network."""

    def __init__(self, inner: Network, most: int) -> None:
        self.engine, self.device = inner.engine, inner.device
        self.inner, self.most = inner, most
        self.refused = 0

    def _run(self, arrays: Any) -> list[np.ndarray]:
        if arrays[0].size > self.most:
            self.refused += 1
            raise MemoryShortage(self.engine, "out of memory")
        return self.inner(arrays)


def cramped(shelf: Shelf, most: int) -> tuple[Predictor, Cramped]:
    package = shelf(ONE)
    predictor = Predictor(package, quick(engine="torchscript"))
    inner = load_network(package, "torchscript", Device("cpu", 1), precision="float32", trust=False)
    network = Cramped(inner, most)
    predictor._choice = Choice(network, "of this test")
    return predictor, network


def test_out_of_memory_leads_to_smaller_tiles_and_the_same_result(shelf: Shelf) -> None:
    predictor, network = cramped(shelf, most=20_000)
    images = ONE.images({"y": 300, "x": 400})
    found: dict[str, xr.DataArray] = {}
    outcome = predictor.run(images, keep(found))
    assert network.refused > 0
    assert outcome.report["tiles"]["count"] > 1
    assert np.prod(list(outcome.report["tiles"]["window"].values())) <= 20_000
    assert worst(found, whole.run(ONE, images)) <= TOLERANCE


def test_memory_too_small_for_any_tile_is_an_error(shelf: Shelf) -> None:
    predictor, _ = cramped(shelf, most=1)
    with pytest.raises(MemoryShortage):
        predictor.run(ONE.images({"y": 300, "x": 400}), keep({}))
