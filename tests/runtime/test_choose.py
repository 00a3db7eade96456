"""Which engine runs: the fastest of those that agree, remembered per package and machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from bridge.runtime.predict import Settings, predict_arrays
from bridge.runtime.remember import recall
from bridge.zoo.package import open_package

from . import whole
from .cases import BY_NAME
from .comparing import TOLERANCE, quick, worst
from .conftest import Shelf
from .packages import build, drop_hash

ONE = BY_NAME["same_size"]


@pytest.fixture
def _all_work_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.runtime.predict._SMALL_WORK_PIXELS", 0)
    monkeypatch.setattr("bridge.runtime.choose._TIMED_PIXELS", 96 * 96)


@pytest.mark.usefixtures("_all_work_is_large")
def test_for_large_work_every_engine_is_timed_and_the_fastest_taken(shelf: Shelf) -> None:
    images = ONE.images()
    found, outcome = predict_arrays(shelf(ONE), images, quick(tile=40))
    engine = outcome.report["engine"]
    assert {"torch", "torchscript", "onnxruntime"} <= set(engine["seconds_per_megapixel"])
    best = min(engine["seconds_per_megapixel"].values())
    assert engine["seconds_per_megapixel"][engine["name"]] == best
    assert worst(found, whole.run(ONE, images)) <= TOLERANCE
    again = predict_arrays(shelf(ONE), images, quick(tile=40))[1].report["engine"]
    assert again["name"] == engine["name"]
    assert again["why"] == "it was the fastest here before"


@pytest.mark.usefixtures("_all_work_is_large")
def test_without_consent_the_state_dict_is_not_timed(shelf: Shelf) -> None:
    _, outcome = predict_arrays(shelf(ONE), ONE.images(), Settings(tile=40, threads=1))
    assert "torch" not in outcome.report["engine"]["seconds_per_megapixel"]


@pytest.mark.usefixtures("_all_work_is_large")
def test_weights_that_disagree_with_the_others_are_left_out_with_a_warning(tmp_path: Path) -> None:
    folder = build(ONE, tmp_path / "p")
    model = onnx.load(folder / "net.onnx")
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    wrong = onnx.numpy_helper.to_array(tensor) * np.float32(1.5)
    tensor.CopyFrom(onnx.numpy_helper.from_array(wrong, tensor.name))
    onnx.save(model, folder / "net.onnx")
    drop_hash(folder, "net.onnx")
    images = ONE.images()
    found, outcome = predict_arrays(open_package(folder), images, quick(tile=40))
    assert outcome.report["engine"]["name"] in ("torch", "torchscript")
    assert any("differs from the others" in w for w in outcome.warnings)
    assert worst(found, whole.run(ONE, images)) <= TOLERANCE


def test_weights_that_cannot_be_loaded_are_left_out_with_a_warning(tmp_path: Path) -> None:
    folder = build(ONE, tmp_path / "p")
    (folder / "net.onnx").write_bytes(b"no graph")
    drop_hash(folder, "net.onnx")
    images = ONE.images()
    found, outcome = predict_arrays(open_package(folder), images, quick(tile=40))
    assert outcome.report["engine"]["name"] == "torchscript"
    assert any("Engine onnxruntime was left out" in w for w in outcome.warnings)
    assert worst(found, whole.run(ONE, images)) <= TOLERANCE


def test_what_was_measured_is_remembered_per_content(shelf: Shelf, home: Path) -> None:
    package = shelf(ONE)
    predict_arrays(package, ONE.images(), quick(tile=40, engine="torchscript"))
    known = recall(package.sha256)
    assert known["locality y"]["locality"]["lead"] == 2
    assert recall("0" * 64) == {}
    next((home / "cache" / "measured").iterdir()).write_text("{ damaged")
    assert recall(package.sha256) == {}
    predict_arrays(package, ONE.images(), quick(tile=40, engine="torchscript"))
    assert recall(package.sha256)["locality y"] == known["locality y"]
