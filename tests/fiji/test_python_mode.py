"""The commands in process, as Fiji's Python mode runs them, in real ImageJ 1.54p headless."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import plain_imagej
import pytest
import tifffile
from java_child import JavaChild
from plain_imagej import MOVIE, Ran

PREDICT = 'run("ZooBridge Predict", "model=deep-storm tile=64");'
AFTER = 'print("went on");'


def do(plain: JavaChild, folder: Path, code: str, argument: str = "") -> Ran:
    ran = plain.call(plain_imagej.run_code, code=code, argument=argument, folder=folder)
    assert isinstance(ran, Ran)
    return ran


def assert_stopped(ran: Ran, reason: str) -> None:
    """Check that a macro gave the reason in the log, and stopped there."""
    assert re.search(reason, ran.failure), ran.failure
    assert re.search(reason, ran.log), ran.log
    assert "went on" not in ran.log
    assert "Traceback" not in ran.log


def test_the_active_image_gives_a_calibrated_image_eight_times_as_large(
    plain: JavaChild, tmp_path: Path
) -> None:
    ran = do(plain, tmp_path, MOVIE + PREDICT + "return getTitle();")

    assert not ran.failure
    assert list(ran.images) == ["cells.tif", "cells-deep-storm"]
    assert ran.returned == ran.active == "cells-deep-storm"
    result = ran.images["cells-deep-storm"]
    assert result["dimensions"] == (8 * 48, 8 * 40, 1, 1, 1)
    assert result["bits"] == 32
    assert result["voxel"][:2] == pytest.approx((0.0125, 0.0125))
    assert result["unit"] == ran.images["cells.tif"]["unit"]
    assert "ran on cells.tif" in ran.log


def test_only_the_selection_is_predicted_and_the_overlay_follows(
    plain: JavaChild, tmp_path: Path
) -> None:
    code = "makeRectangle(2, 3, 4, 5); Overlay.addSelection; makeRectangle(1, 1, 32, 24);"

    ran = do(plain, tmp_path, MOVIE + code + PREDICT)

    result = ran.images["cells-deep-storm"]
    assert result["dimensions"][:2] == (8 * 32, 8 * 24)
    assert result["overlay"] == [(8.0, 16.0, 32.0, 40.0)]
    assert ran.images["cells.tif"]["overlay"] == [(2.0, 3.0, 4.0, 5.0)]


def test_an_open_image_is_found_by_its_title(plain: JavaChild, tmp_path: Path) -> None:
    title = r"my cell [1] é \\ x.tif"
    code = f'rename("{title}"); newImage("other", "8-bit black", 9, 9, 1);'
    call = f'run("ZooBridge Predict", "input=[{title}] model=deep-storm");'

    ran = do(plain, tmp_path, MOVIE + code + call)

    assert not ran.failure
    assert ran.active == r"my cell [1] é \ x-deep-storm"


@pytest.mark.parametrize("name", ["two words", "[in] brackets", "back\\slash", "zellkörper µ"])
def test_paths_reach_the_job_as_they_were_written(
    plain: JavaChild, tmp_path: Path, name: str
) -> None:
    source, result = tmp_path / f"{name}.tif", tmp_path / f"{name} out.tif"
    tifffile.imwrite(source, np.arange(48 * 40, dtype=np.uint16).reshape(40, 48))
    spelt = [str(path).replace("\\", "\\\\") for path in (source, result)]
    call = f'run("ZooBridge Predict", "model=deep-storm input=[{spelt[0]}] output=[{spelt[1]}]");'

    ran = do(plain, tmp_path, call)

    assert not ran.failure
    assert tifffile.imread(result).shape == (320, 384)
    assert ran.images == {}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("modell=deep-storm", r"no key 'modell'.*Did you mean model\?"),
        ("model=deep-storm fast", "'fast' belongs to no key"),
        ("model=deep-storm engine=magic", "engine: 'magic'. Expected one of auto, openvino"),
        ("model=deep-storm tile=2.7", "tile: '2.7'. Expected a whole number"),
        ("model=deep-storm tile=many", "tile: 'many'. Expected a whole number"),
        ("model=deep-storm tile=-5", "tile: '-5'. Expected a whole number, 0 <= x"),
        ("model=dep-storm", "dep-storm: .*Did you mean deep-storm"),
        ("model=[deep-storm", "no closing ]"),
        ("model=deep-storm input=nothing.tif", "nothing.tif"),
    ],
)
def test_wrong_options_stop_the_macro_with_the_reason(
    plain: JavaChild, tmp_path: Path, options: str, reason: str
) -> None:
    ran = do(plain, tmp_path, f'{MOVIE} run("ZooBridge Predict", "{options}"); {AFTER}')

    assert_stopped(ran, reason)


def test_without_an_image_the_macro_stops(plain: JavaChild, tmp_path: Path) -> None:
    assert_stopped(do(plain, tmp_path, PREDICT + AFTER), "no image is open")


def test_after_its_image_was_closed_the_macro_stops(plain: JavaChild, tmp_path: Path) -> None:
    call = 'run("ZooBridge Predict", "model=deep-storm input=cells.tif");'

    assert_stopped(do(plain, tmp_path, MOVIE + "close();" + call + AFTER), r"cells\.tif")


def test_a_selection_outside_the_image_stops_the_macro(plain: JavaChild, tmp_path: Path) -> None:
    ran = do(plain, tmp_path, MOVIE + "makeRectangle(100, 100, 5, 5);" + PREDICT + AFTER)

    assert_stopped(ran, "selection of 5 x 5 pixels .* holds no pixel")


def test_escape_stops_the_work_and_the_macro(plain: JavaChild, tmp_path: Path) -> None:
    ran = plain.call(plain_imagej.press_escape_while, code=MOVIE + PREDICT + AFTER, folder=tmp_path)

    assert_stopped(ran, "stopped on request")
    assert list(ran.images) in ([], ["cells.tif"])


def test_a_bug_is_told_with_its_log_file(plain: JavaChild, tmp_path: Path) -> None:
    log = plain.call(plain_imagej.run_with_a_bug, folder=tmp_path)

    path = re.search(r"LookupError: no text here.*log file (.+\.log)", log)
    assert path, log
    assert "no text here" in Path(path[1]).read_text(encoding="utf-8")
    assert "Traceback" not in log


def test_a_host_without_standard_output_is_no_matter(plain: JavaChild, tmp_path: Path) -> None:
    ran = plain.call(plain_imagej.run_without_stdout, folder=tmp_path)

    assert not ran.failure
    assert "cells-deep-storm" in ran.images


def test_without_a_macro_the_result_is_open_all_the_same(plain: JavaChild) -> None:
    assert plain.call(plain_imagej.predict_outside_a_macro) == ["a-deep-storm"]


def test_a_second_run_adds_little_to_the_job(plain: JavaChild) -> None:
    times = plain.call(plain_imagej.seconds_of_runs, number=6)

    assert min(all_s - own_s for all_s, own_s in times[1:]) < 0.2


def test_macro_functions_return_titles_paths_and_counts(plain: JavaChild, tmp_path: Path) -> None:
    table = tmp_path / "a table.csv"
    table.write_text('"frame","x [nm]","y [nm]"\n1,100,200\n1,150,250\n', encoding="utf-8")
    code = f"""{MOVIE}
    run("ZooBridge Macro Extensions");
    status = "";
    title = Ext.zooPredict("model=deep-storm tile=64", status);
    print("status:" + status);
    number = Ext.zooModels("", status);
    path = Ext.zooConvert("input=[{table}] output=[{tmp_path}/b.csv]", status);
    return title + ";" + number + ";" + path;
    """

    ran = do(plain, tmp_path, code)

    assert not ran.failure
    title, number, path = ran.returned.split(";")
    assert title in ran.images
    assert int(number) >= 1
    assert Path(path).is_file()
    said = re.search(r"status:(\{.*\})", ran.log)
    assert said
    assert json.loads(said[1])["outputs"] == {"images": ["cells-deep-storm"]}


def test_a_macro_function_that_fails_lets_the_macro_decide(
    plain: JavaChild, tmp_path: Path
) -> None:
    code = """
    run("ZooBridge Macro Extensions");
    status = "before";
    title = Ext.zooPredict("modell=deep-storm", status);
    if (title == "") return "none: " + status;
    """

    ran = do(plain, tmp_path, code)

    assert not ran.failure
    answer = json.loads(ran.returned.removeprefix("none: "))
    assert answer["ok"] is False
    assert answer["error"]["found"] == "there is no key 'modell'"
