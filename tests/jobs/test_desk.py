"""Requests with open images: values, images in and out, failures as answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bridge
from bridge.errors import Cancelled
from bridge.jobs.desk import Desk, Request, defaults, display_range, takes_image
from bridge.jobs.registry import JOBS, load_job
from bridge.jobs.titles import result_title


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOBRIDGE_HOME", str(tmp_path_factory.mktemp("home")))
        yield Desk()


@pytest.fixture(scope="module")
def spots() -> xr.DataArray:
    """(y, x) camera counts with a few spots."""
    y, x = np.mgrid[:64, :72]
    counts = 110.0 + np.random.default_rng(1).poisson(8, (64, 72))
    for row, column in ((20, 30), (40, 12), (50, 60)):
        counts += 250 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 3.4)
    attrs = {"pixel_size_nm": {"y": 100.0, "x": 100.0}}
    return xr.DataArray(counts.astype(np.uint16), dims=("y", "x"), attrs=attrs)


def predict(desk: Desk, image: xr.DataArray | None, **values: str):
    return desk.perform(Request(("predict",), values, image=image, title="cells.tif"))


def test_an_open_image_is_predicted_as_from_python(desk, spots):
    answer = predict(desk, spots, engine="onnxruntime")
    assert answer.error == ""
    (shown,) = answer.images
    assert shown.title == "cells-deep-storm"
    expected = bridge.predict("deep-storm", spots, engine="onnxruntime").image
    xr.testing.assert_allclose(shown.image, expected, atol=1e-4)
    assert shown.image.attrs["pixel_size_nm"] == {"y": 12.5, "x": 12.5}
    status = json.loads(answer.status)
    assert status["ok"] is True
    assert status["outputs"] == {"images": ["cells-deep-storm"]}
    assert (answer.files, answer.temporary) == ([], [])


def test_a_second_request_loads_no_model(desk, spots, monkeypatch):
    predict(desk, spots, tile="64", engine="onnxruntime")
    monkeypatch.setattr("bridge.runtime.ready.open_package", None)
    assert predict(desk, spots, tile="64", engine="onnxruntime").is_ok


def test_a_model_whose_files_changed_is_opened_again(desk, spots, tmp_path):
    source = Path(bridge.__file__).parents[1] / "models_zoo" / "packages" / "deep-storm"
    copy = shutil.copytree(source, tmp_path / "copy")
    assert predict(desk, spots, model=str(copy), engine="onnxruntime").is_ok
    (copy / "weights.onnx").write_bytes(b"damaged")
    answer = predict(desk, spots, model=str(copy), engine="onnxruntime")
    assert "weights.onnx" in answer.error


def test_output_is_written_and_not_shown(desk, spots, tmp_path):
    path = tmp_path / "result.tif"
    answer = predict(desk, spots, output=str(path))
    assert answer.is_ok
    assert answer.images == []
    assert bridge.open_image(path).shape == (512, 576)
    assert "already" in predict(desk, spots, output=str(path)).error


def test_a_file_is_predicted_without_an_open_image(desk, spots, tmp_path):
    path = tmp_path / "my [1] cells.tif"
    bridge.write_image(path, spots)
    answer = predict(desk, None, input=str(path))
    assert answer.error == ""
    (shown,) = answer.files
    assert shown.name == "my _1_ cells-deep-storm.tif"
    assert bridge.open_image(shown).shape == (512, 576)
    assert answer.temporary == [shown.parent]
    shutil.rmtree(shown.parent)


def test_localizations_come_as_a_table(desk, spots):
    movie = xr.concat([spots, spots], dim="t")
    movie.attrs = spots.attrs
    answer = desk.perform(Request(("localize",), {}, image=movie, title="movie.tif"))
    assert answer.error == ""
    (table,) = answer.files
    header, *rows = table.read_text().splitlines()
    assert "x [nm]" in header
    assert len(rows) == json.loads(answer.status)["outputs"]["n_localizations"] >= 6
    assert not any(str(answer.temporary[0]) in line for line in answer.lines)
    shutil.rmtree(answer.temporary[0])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"tiel": "64"}, "Did you mean tile"),
        ({"tile": "many"}, "tile: 'many'. Expected a whole number"),
        ({"tile": "-3"}, "tile: '-3'"),
        ({"engine": "tensorflow"}, "one of auto, openvino"),
        ({"sum": "maybe"}, "true or false"),
        ({"model": "deep-strom"}, "Did you mean deep-storm"),
    ],
)
def test_wrong_values_are_answers(desk, spots, values, found):
    answer = predict(desk, spots, **values)
    assert not answer.is_ok
    assert found in answer.error
    assert json.loads(answer.status)["ok"] is False


def test_macro_options_win_over_values(desk, spots):
    request = Request(("predict",), {"tile": "x"}, options="modul=a", image=spots, title="a")
    assert "there is no key 'modul'" in desk.perform(request).error


def test_no_image_is_an_answer(desk):
    assert "no image is open" in predict(desk, None).error


def test_an_unknown_job_is_an_answer(desk):
    answer = desk.perform(Request(("predikt",)))
    assert "Did you mean predict" in answer.error


def test_a_cancelled_job_leaves_nothing(desk, spots, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def stop(done: int, total: int, note: str = "") -> None:
        raise Cancelled

    movie = xr.concat([spots] * 4, dim="t")
    movie.attrs = spots.attrs
    answer = desk.perform(Request(("localize",), {}, image=movie, title="m"), stop)
    assert json.loads(answer.status)["error"]["kind"] == "Cancelled"
    assert list(tmp_path.iterdir()) == []


def test_defaults_are_texts_that_jobs_take():
    for command in JOBS:
        job = load_job(command)
        texts = defaults(job)
        assert set(texts) == set(job.model_fields)
        assert all(isinstance(text, str) for text in texts.values())
    assert defaults(load_job(("predict",)))["model"] == "deep-storm"
    assert takes_image(("predict",))
    assert not takes_image(("render",))


def test_a_relative_output_starts_at_home(desk, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    small = {"frames": "2", "width_px": "16", "height_px": "16"}
    answer = desk.perform(Request(("simulate",), {"output": "movie.tif", **small}))
    assert answer.error == ""
    assert (tmp_path / "movie.tif").is_file()
    answer = desk.perform(Request(("train",), {"recipe": "nothing"}))
    assert "nothing" in answer.error


def test_sparse_images_get_a_contrast_that_shows_them():
    image = xr.DataArray(np.zeros((100, 100), np.float32), dims=("y", "x"))
    image[3, 3] = 7
    assert display_range(image) == (0.0, 7.0)
    image[:] = np.nan
    assert display_range(image) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("title", "model", "output", "expected"),
    [
        ("cells.ome.tif", "deep-storm", "", "cells-deep-storm"),
        ("cells", "C:\\models\\my net.zip", "", "cells-my net"),
        ("a.b.png", "/models/unet/rdf.yaml", "mask", "a.b-unet-mask"),
    ],
)
def test_titles(title, model, output, expected):
    assert result_title(title, model, output) == expected
