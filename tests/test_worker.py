"""The Appose face in a real worker process, images in real shared memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import appose
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bridge.worker import image_of, planes_of

SCRIPT = "from bridge.worker import perform\nperform(task, request, pixels)"


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[appose.Service]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOBRIDGE_HOME", str(tmp_path_factory.mktemp("home")))
        environment = appose.custom().bin_paths(str(Path(sys.executable).parent)).build()
        with environment.python().init("import numpy") as worker:
            yield worker
        worker.wait_for()
        for stream in (worker._process.stdout, worker._process.stderr):
            stream.close()  # Appose leaves that to the garbage collector


def ask(service: appose.Service, pixels: np.ndarray, **request: object) -> appose.service.Task:
    with appose.NDArray(pixels.dtype.name, list(pixels.shape)) as shared:
        shared.ndarray()[...] = pixels
        about = {"title": "cells.tif", "pixel_size_nm": {"y": 100.0, "x": 100.0}}
        text = json.dumps({"command": "predict", "values": {}, "image": about, **request})
        task = service.task(SCRIPT, {"request": text, "pixels": shared})
        task.wait_for()
        return task


def test_an_image_goes_there_and_its_result_comes_back(service):
    pixels = np.random.default_rng(0).poisson(120, (2, 1, 1, 48, 56)).astype(np.uint16)
    task = ask(service, pixels, values={"engine": "onnxruntime"})
    answer = json.loads(task.outputs["answer"])
    assert answer["error"] == ""
    assert answer["status"]["ok"] is True
    (image,) = answer["images"]
    assert image["title"] == "cells-deep-storm"
    assert image["pixel_size_nm"] == {"y": 12.5, "x": 12.5}
    with task.outputs[image["key"]] as result:
        result.shm.unlink_on_dispose(True)  # the host's duty
        assert result.shape == [2, 1, 1, 384, 448]
        found = result.ndarray()
        assert found.dtype == np.float32
        assert image["display"][0] <= image["display"][1] <= found.max()
        del found


def test_a_failed_job_is_an_answer(service):
    task = ask(service, np.zeros((1, 1, 1, 8, 8), np.uint8), options="modle=x")
    answer = json.loads(task.outputs["answer"])
    assert answer["ok"] is False
    assert "Did you mean model" in answer["error"]
    assert answer["images"] == []


def test_a_cancelled_task_stops_at_the_next_step(service):
    pixels = np.random.default_rng(0).poisson(120, (200, 1, 1, 64, 64)).astype(np.uint16)
    with appose.NDArray(pixels.dtype.name, list(pixels.shape)) as shared:
        shared.ndarray()[...] = pixels
        text = json.dumps({"command": "predict", "image": {"title": "movie"}})
        task = service.task(SCRIPT, {"request": text, "pixels": shared})
        task.listen(lambda event: task.cancel() if event.maximum else None)
        task.wait_for()
    answer = json.loads(task.outputs["answer"])
    assert answer["status"]["error"]["kind"] == "Cancelled"


sizes = st.tuples(*(st.integers(1, 3),) * 3, st.integers(1, 5), st.integers(1, 5))


@given(st.sampled_from(["u1", "u2", "f4"]).flatmap(lambda t: arrays(t, sizes)))
def test_planes_come_back_as_they_were(planes):
    image = image_of(planes, {"x": 100.0, "y": 90.0}, 0.0)
    assert "".join(image.dims) in {"tczyx"[i:j] + "yx" for i in range(4) for j in range(i, 4)} | {
        "tzyx"
    }
    back = planes_of(image)
    assert back.dtype == planes.dtype
    np.testing.assert_array_equal(back, planes)
