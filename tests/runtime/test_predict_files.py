"""Files in, files and reports out: names, calibration, interruptions, batches and clusters."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from bridge.errors import Cancelled, ImageError, InputError, OutputError, VerdictError
from bridge.runtime.files import (
    FileOptions,
    Order,
    make_orders,
    output_paths,
    predict_file,
    predict_many,
    predict_on_cluster,
    write_report,
)
from bridge.runtime.predict import Predictor, predict_arrays
from bridge.zoo.package import Package, open_package

from .cases import BY_NAME
from .comparing import quick
from .conftest import Shelf
from .packages import Case, build, faulty

NEW = FileOptions()
SCRIPT = quick(engine="torchscript", tile=40)


def save(path: Path, case: Case, sizes: dict[str, int] | None = None, seed: int = 1) -> Path:
    """Write an ImageJ TIFF of 100 nm pixels (500 nm along z)."""
    image = case.images(sizes, seed=seed)[case.inputs[0].name]
    tifffile.imwrite(
        path,
        image.values.astype(np.float32),
        imagej=True,
        resolution=(10.0, 10.0),
        metadata={"axes": "".join(map(str, image.dims)).upper(), "unit": "um", "spacing": 0.5},
    )
    return path


def image_of(path: Path) -> np.ndarray:
    return tifffile.imread(path)


def names_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_a_file_becomes_the_same_as_the_array(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["upscaling_2"]
    path = save(tmp_path / "cells.tif", case)
    order = Order({"input": path}, tmp_path / "out.tif")
    result = predict_file(Predictor(shelf(case), SCRIPT), order, NEW)
    found, _ = predict_arrays(shelf(case), case.images(), SCRIPT)
    np.testing.assert_array_equal(image_of(tmp_path / "out.tif"), found["output"].values)
    assert result.outputs == {"output": str(tmp_path / "out.tif")}
    assert names_in(tmp_path) == {"cells.tif", "out.tif"}


def test_the_pixel_size_written_is_that_of_the_input_divided_by_the_upscaling(
    shelf: Shelf, tmp_path: Path
) -> None:
    case = BY_NAME["upscaling_8"]
    path = save(tmp_path / "cells.tif", case, {"z": 2, "y": 30, "x": 25})
    order = Order({"input": path}, tmp_path / "out.tif")
    predict_file(Predictor(shelf(case), SCRIPT), order, NEW)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.is_imagej
        assert file.imagej_metadata["unit"] in ("micron", "um", "µm", "\\u00B5m")
        numerator, denominator = file.pages[0].tags["XResolution"].value
        assert denominator / numerator == pytest.approx(0.0125, rel=1e-4)
        assert file.imagej_metadata["spacing"] == pytest.approx(0.5)
        assert file.series[0].shape == (2, 240, 200)


def test_several_outputs_get_their_names(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["two_inputs_two_outputs"]
    inputs = {n: save(tmp_path / f"{n}.tif", case, seed=i) for i, n in enumerate("ab")}
    result = predict_file(Predictor(shelf(case), SCRIPT), Order(inputs, tmp_path / "out.tif"), NEW)
    assert result.outputs == {n: str(tmp_path / f"out-{n}.tif") for n in "pq"}
    assert {"out-p.tif", "out-q.tif"} < names_in(tmp_path)
    assert output_paths(Path("a/b.ome.tif"), ["x y", "z"]) == {
        "x y": Path("a/b-x_y.ome.tif"),
        "z": Path("a/b-z.ome.tif"),
    }


def test_the_input_file_is_never_the_output(shelf: Shelf, tmp_path: Path) -> None:
    path = save(tmp_path / "cells.tif", BY_NAME["same_size"])
    before = path.read_bytes()
    for options in (NEW, FileOptions(overwrite=True)):
        with pytest.raises(OutputError, match="the input file itself"):
            predict_file(
                Predictor(shelf(BY_NAME["same_size"]), SCRIPT),
                Order({"input": path}, path),
                options,
            )
    assert path.read_bytes() == before


def test_an_output_that_is_there_is_replaced_only_on_request(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["same_size"]
    order = Order({"input": save(tmp_path / "cells.tif", case)}, tmp_path / "out.tif")
    order.output.write_bytes(b"precious")
    predictor = Predictor(shelf(case), SCRIPT)
    with pytest.raises(OutputError, match=r"out\.tif"):
        predict_file(predictor, order, NEW)
    assert order.output.read_bytes() == b"precious"
    predict_file(predictor, order, FileOptions(overwrite=True))
    assert image_of(order.output).shape == (61, 83)
    assert names_in(tmp_path) == {"cells.tif", "out.tif"}


def test_a_failed_run_leaves_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "cells.tif", BY_NAME["same_size"])
    package = open_package(faulty("black", tmp_path / "p"))
    for output in ("out.tif", "out.zarr"):
        with pytest.raises(VerdictError):
            predict_file(
                Predictor(package, quick(engine="torch", tile=40)),
                Order({"input": path}, tmp_path / output),
                NEW,
            )
    assert names_in(tmp_path) == {"cells.tif", "p"}


def test_a_missing_input_is_named(shelf: Shelf, tmp_path: Path) -> None:
    order = Order({"input": tmp_path / "no.tif"}, tmp_path / "out.tif")
    with pytest.raises(ImageError, match=r"no\.tif: there is no such file"):
        predict_file(Predictor(shelf(BY_NAME["same_size"]), SCRIPT), order, NEW)


class Stop:
    """Progress that notes every call, and cancels once `done` tiles are finished."""

    def __init__(self, at: int = 10**9) -> None:
        self.at = at
        self.calls: list[int] = []

    def __call__(self, done: int, total: int, note: str = "") -> None:
        self.calls.append(done)
        if done >= self.at:
            raise Cancelled


@pytest.fixture
def counting(tmp_path: Path) -> tuple[Package, Path]:
    """Give a package whose network writes one byte to a file per tile it runs."""
    log = tmp_path / "tiles.log"
    case = Case("counting", "Counting", {"log": str(log)}, formats=("pytorch_state_dict",), batch=1)
    return open_package(build(case, tmp_path / "counting")), log


COUNTED = quick(engine="torch", tile=24)


def run_counted(predictor: Predictor, log: Path, order: Order, options: FileOptions) -> int:
    """Run an order; gives how many tiles of the plan the network ran on."""
    predictor.run(BY_NAME["same_size"].images(), _nowhere)  # measures the network first
    log.write_bytes(b"")
    predict_file(predictor, order, options)
    return len(log.read_bytes())


def _nowhere(spec: Any) -> Any:
    from bridge.runtime.blocks import ArraySink  # noqa: PLC0415

    return ArraySink(spec.name, spec.dims, spec.shape, spec.dtype, spec.attrs)


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
def test_a_cancelled_run_is_resumed_with_the_missing_tiles_only(
    ending: str, counting: tuple[Package, Path], tmp_path: Path
) -> None:
    package, log = counting
    inputs = {"input": save(tmp_path / "cells.tif", BY_NAME["same_size"])}
    straight = Order(inputs, tmp_path / f"straight{ending}")
    resumed = Order(inputs, tmp_path / f"resumed{ending}")
    predictor = Predictor(package, COUNTED)
    total = run_counted(predictor, log, straight, NEW)
    with pytest.raises(Cancelled):
        predict_file(predictor, resumed, NEW, Stop(at=6))
    assert not resumed.output.exists()
    missing = run_counted(predictor, log, resumed, FileOptions(resume=True))
    assert 0 < missing <= total - 4
    if ending == ".tif":
        np.testing.assert_array_equal(image_of(resumed.output), image_of(straight.output))
    assert not [n for n in names_in(tmp_path) if ".part" in n]


def test_an_unfinished_output_of_another_image_or_tile_is_not_continued(
    counting: tuple[Package, Path], tmp_path: Path
) -> None:
    package, log = counting
    path = save(tmp_path / "cells.tif", BY_NAME["same_size"])
    order = Order({"input": path}, tmp_path / "out.tif")
    predictor = Predictor(package, COUNTED)
    total = run_counted(predictor, log, Order({"input": path}, tmp_path / "other.tif"), NEW)
    with pytest.raises(Cancelled):
        predict_file(predictor, order, NEW, Stop(at=6))
    another_tile = Predictor(package, quick(engine="torch", tile=30))
    with pytest.raises(OutputError, match="belongs to another run or other settings"):
        predict_file(another_tile, order, FileOptions(resume=True))
    save(path, BY_NAME["same_size"], seed=9)
    with pytest.raises(OutputError, match="belongs to another run or other settings"):
        predict_file(predictor, order, FileOptions(resume=True))
    assert run_counted(predictor, log, order, NEW) == total


KILLED = """
import sys
from pathlib import Path
from bridge.runtime.files import FileOptions, Order, predict_file
from bridge.runtime.predict import Predictor, Settings
from bridge.zoo.package import open_package

def progress(done, total, note=""):
    if done >= 6:
        print("ready", flush=True)
        sys.stdin.read()  # until the test kills this process

package, image, output = sys.argv[1:]
settings = Settings(engine="torch", tile=24, trust=True, threads=1)
order = Order({"input": Path(image)}, Path(output))
predict_file(Predictor(open_package(package), settings), order, FileOptions(), progress)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_killed_run_leaves_no_file_of_the_final_name_and_resumes(
    counting: tuple[Package, Path], tmp_path: Path
) -> None:
    package, log = counting
    path = save(tmp_path / "cells.tif", BY_NAME["same_size"])
    order = Order({"input": path}, tmp_path / "out.tif")
    command = [sys.executable, "-c", KILLED, str(package.root), str(path), str(order.output)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert not order.output.exists()
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not order.output.exists()
    assert [n for n in names_in(tmp_path) if ".part" in n]
    predictor = Predictor(package, COUNTED)
    straight = Order(order.inputs, tmp_path / "straight.tif")
    total = run_counted(predictor, log, straight, NEW)
    missing = run_counted(predictor, log, order, FileOptions(resume=True))
    assert 0 < missing <= total - 4
    np.testing.assert_array_equal(image_of(order.output), image_of(straight.output))
    assert not [n for n in names_in(tmp_path) if ".part" in n]


def five_orders(tmp_path: Path, case: Case) -> list[Order]:
    """Give four images of different size, and in their middle one that cannot be read."""
    paths = [
        save(tmp_path / f"{i}.tif", case, {"y": 50 + 7 * i, "x": 60 - 3 * i}, seed=i)
        for i in range(5)
    ]
    paths[2].write_bytes(b"no image")
    return [Order({"input": p}, tmp_path / "out" / f"{p.stem}.tif") for p in paths]


def test_a_failing_image_does_not_stop_the_rest_of_a_batch(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["upscaling_2"]
    orders = five_orders(tmp_path, case)
    stop = Stop()
    results = predict_many(Predictor(shelf(case), SCRIPT), orders, NEW, stop)
    assert [r.order for r in results] == orders
    assert [r.error is None for r in results] == [True, True, False, True, True]
    assert isinstance(results[2].error, ImageError)
    assert names_in(tmp_path / "out") == {"0.tif", "1.tif", "3.tif", "4.tif"}
    assert stop.calls == [0, 1, 2, 3, 4, 5]


def test_a_batch_gives_what_one_by_one_gives(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["upscaling_2"]
    orders = five_orders(tmp_path, case)
    predict_many(Predictor(shelf(case), SCRIPT), orders, NEW)
    predictor = Predictor(shelf(case), SCRIPT)
    for order in (*orders[:2], *orders[3:]):
        alone = Order(order.inputs, tmp_path / "alone.tif")
        predict_file(predictor, alone, FileOptions(overwrite=True))
        np.testing.assert_array_equal(image_of(alone.output), image_of(order.output))


def test_a_cancelled_batch_stops(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["upscaling_2"]
    with pytest.raises(Cancelled):
        predict_many(Predictor(shelf(case), SCRIPT), five_orders(tmp_path, case), NEW, Stop(at=1))


def test_the_report_says_what_was_done(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["upscaling_2"]
    orders = five_orders(tmp_path, case)
    started = time.time()
    results = predict_many(Predictor(shelf(case), SCRIPT), orders, NEW)
    path = write_report(tmp_path / "report.json", results, started=started)
    content = json.loads(path.read_text("utf-8"))
    assert len(content["runs"]) == 5
    failed, done = content["runs"][2], content["runs"][3]
    assert set(failed["error"]) >= {"what", "found", "expected", "remedy"}
    assert done["inputs"] == {"input": str(tmp_path / "3.tif")}
    assert done["outputs"] == {"output": str(tmp_path / "out" / "3.tif")}
    assert done["package"]["sha256"] == shelf(case).sha256
    assert done["engine"]["name"] == "torchscript"
    assert done["tiles"]["count"] > 1
    assert done["input"]["input"]["sizes"] == {"y": 71, "x": 51}
    assert done["output"]["output"]["sizes"] == {"y": 142, "x": 102}
    image = image_of(tmp_path / "out" / "3.tif")
    assert done["output"]["output"]["min"] == pytest.approx(float(image.min()))
    assert done["output"]["output"]["mean"] == pytest.approx(float(image.mean()), rel=1e-4)
    assert done["settings"]["tile"] == 40
    assert 0 < done["seconds"] <= content["seconds"] + 0.01
    assert names_in(tmp_path) >= {"report.json"}


def test_orders_name_outputs_after_image_and_model(tmp_path: Path) -> None:
    case = BY_NAME["same_size"]
    for name in ("b10.tif", "b2.tif", "notes.txt"):
        save(tmp_path / name, case) if name.endswith("tif") else (tmp_path / name).touch()
    out = tmp_path / "out"
    orders = make_orders([str(tmp_path)], out, ["input"], "My Model (2D)")
    assert [o.output.name for o in orders] == ["b2-my-model-2d.tif", "b10-my-model-2d.tif"]
    one = make_orders([str(tmp_path / "b2.tif")], tmp_path / "r.tif", ["input"], "m")
    assert one == [Order({"input": tmp_path / "b2.tif"}, tmp_path / "r.tif")]
    with pytest.raises(OutputError, match="one file for 2 images"):
        make_orders([str(tmp_path)], tmp_path / "r.tif", ["input"], "m")
    with pytest.raises(OutputError, match=r"ending '\.png'"):
        make_orders([str(tmp_path / "b2.tif")], tmp_path / "r.png", ["input"], "m")
    (tmp_path / "sub").mkdir()
    save(tmp_path / "sub" / "b2.tif", case)
    with pytest.raises(OutputError, match="two of the images would be written to it"):
        make_orders(
            [str(tmp_path / "b2.tif"), str(tmp_path / "sub" / "b2.tif")], out, ["input"], "m"
        )


def test_orders_of_a_model_with_two_inputs_name_both(tmp_path: Path) -> None:
    given = [f"fine={tmp_path / 'f.tif'}", f"wide={tmp_path / 'w.tif'}"]
    (order,) = make_orders(given, tmp_path / "r.tif", ["wide", "fine"], "m")
    assert order.inputs == {"wide": tmp_path / "w.tif", "fine": tmp_path / "f.tif"}
    for wrong in (given[:1], [*given[:1], "w.tif"], [*given, "other=x.tif"]):
        with pytest.raises(InputError, match=r"--input"):
            make_orders(wrong, tmp_path / "r.tif", ["wide", "fine"], "m")


@contextmanager
def cluster() -> Iterator[str]:
    """Run a scheduler and two worker processes on this machine."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as local:
        yield local.scheduler_address


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9 here")
def test_a_cluster_finishes_the_work_of_a_worker_killed_midway(tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    case = Case(
        "deadly", "Deadly", {"marker": str(marker)}, formats=("pytorch_state_dict",), batch=1
    )
    marker.touch()  # keeps this process alive while the package is made
    package = open_package(build(case, tmp_path / "deadly"))
    orders = five_orders(tmp_path, case)
    settings = quick(engine="torch", tile=40)
    marker.unlink()
    with cluster() as address:
        stop = Stop()
        results = predict_on_cluster(address, package, settings, orders, NEW, stop)
        errors = [r.error for r in results]
        assert [e is None for e in errors] == [True, True, False, True, True], errors
        assert marker.exists()
        assert stop.calls == [0, 1, 2, 3, 4, 5]
        assert isinstance(results[2].error, ImageError)
        with pytest.raises(OutputError, match="there already"):
            predict_on_cluster(address, package, settings, orders, NEW)
    predictor = Predictor(package, settings)
    for order in (*orders[:2], *orders[3:]):
        alone = Order(order.inputs, tmp_path / "alone.tif")
        predict_file(predictor, alone, FileOptions(overwrite=True))
        np.testing.assert_array_equal(image_of(alone.output), image_of(order.output))
    assert not [n for n in names_in(tmp_path / "out") if ".part" in n]


def test_a_cluster_keeps_every_output_that_is_there(shelf: Shelf, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    case = BY_NAME["two_inputs_two_outputs"]
    inputs = {n: save(tmp_path / f"{n}.tif", case, seed=i) for i, n in enumerate("ab")}
    (tmp_path / "out-q.tif").write_bytes(b"precious")
    order = Order(inputs, tmp_path / "out.tif")
    with pytest.raises(OutputError, match=r"out-q\.tif: the output is there already"):
        predict_on_cluster("tcp://127.0.0.1:1", shelf(case), SCRIPT, [order], NEW)


def test_a_cluster_that_nobody_answers_from_is_an_error(shelf: Shelf, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    order = Order({"input": tmp_path / "a.tif"}, tmp_path / "out.tif")
    with pytest.raises(InputError, match=r"--cluster nonsense"):
        predict_on_cluster("nonsense://x", shelf(BY_NAME["same_size"]), SCRIPT, [order], NEW)
