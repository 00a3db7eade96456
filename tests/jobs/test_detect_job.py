"""The job ``detect`` as a shell user runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from bridge.cli import main
from bridge.images.write import write_image
from bridge.restoration.coordinates import read_places


def spots_image(path: Path, places: list[tuple[float, float]], *, seed: int = 0) -> Path:
    """Write Gaussian spots of sigma 2 at places (x, y) from the corner, with noise; 65 nm."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:96, :128] + 0.5
    plane = rng.normal(100, 1, (96, 128))
    for x, y in places:
        plane += 8 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)
    attrs = {"pixel_size_nm": {"y": 65.0, "x": 65.0}}
    write_image(path, xr.DataArray(plane.astype(np.float32), dims=("y", "x"), attrs=attrs))
    return path


PLACES = [(20.3, 30.7), (60.0, 50.5), (100.8, 20.1), (90.2, 80.4)]


@pytest.fixture
def detect(capsys):
    def run(*words: object):
        exit_code = main(["detect", *map(str, words)])
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_table_and_picture_are_left(detect, tmp_path):
    source = spots_image(tmp_path / "cell.tif", PLACES)
    exit_code, status = detect(
        "--input", source, "--output", tmp_path / "found.csv", "--radius-nm", 184
    )
    assert exit_code == 0
    assert status["outputs"]["n_found"] == 4
    assert status["outputs"]["radius_px"] == pytest.approx(184 / 65)
    table = pd.read_csv(tmp_path / "found.csv")
    found = table.sort_values("x_px")
    np.testing.assert_allclose(found[["x_px", "y_px"]], sorted(PLACES), atol=0.5)
    np.testing.assert_allclose(found["x_nm"], found["x_px"] * 65, atol=0.1)
    assert table["image"].tolist() == ["cell"] * 4
    assert table["score"].is_monotonic_decreasing
    with Image.open(status["outputs"]["picture"]) as picture:
        red, _, blue = np.moveaxis(np.asarray(picture, int), -1, 0)
    assert (red - blue > 100).sum() > 200  # the circles


def test_the_truth_tells_precision_and_recall(detect, tmp_path):
    source = spots_image(tmp_path / "cell.tif", PLACES)
    (tmp_path / "truth.csv").write_text(
        "x_px,y_px\n20,31\n60,50\n100,20\n10,85\n93.1,80.4\n", "utf-8"
    )
    exit_code, status = detect(
        *("--input", source, "--output", tmp_path / "found.csv", "--radius-px", 2.83),
        *("--truth", tmp_path / "truth.csv"),
    )
    outputs = status["outputs"]
    assert exit_code == 0
    assert (outputs["n_truth"], outputs["n_right"], outputs["n_wrong"]) == (5, 3, 1)
    assert outputs["precision"] == pytest.approx(3 / 4)
    assert outputs["recall"] == pytest.approx(3 / 5)
    assert outputs["f1"] == pytest.approx(6 / 9)


def test_topazs_file_is_written_and_is_a_truth_too(detect, tmp_path):
    spots_image(tmp_path / "a.tif", PLACES[:2])
    spots_image(tmp_path / "b.tif", PLACES[2:], seed=1)
    words = ("--input", tmp_path / "a.tif", "--input", tmp_path / "b.tif", "--radius-px", 2.8)
    _, status = detect(*words, "--output", tmp_path / "found.txt")
    assert status["outputs"]["n_images"] == 2
    table = pd.read_csv(tmp_path / "found.txt", sep="\t")
    assert list(table) == ["image_name", "x_coord", "y_coord", "score"]
    assert table["image_name"].tolist() == ["a", "a", "b", "b"]
    _, status = detect(
        *words, "--output", tmp_path / "again.csv", "--truth", tmp_path / "found.txt"
    )
    assert status["outputs"]["f1"] == 1


def test_no_detections_are_a_warning_and_an_empty_table(detect, tmp_path):
    source = spots_image(tmp_path / "empty.tif", [])
    exit_code, status = detect(
        "--input", source, "--output", tmp_path / "none.csv", "--radius-px", 2.8
    )
    assert exit_code == 0
    assert status["outputs"]["n_found"] == 0
    (warning,) = status["warnings"]
    assert "best score is" in warning
    assert "threshold" in warning
    assert len((tmp_path / "none.csv").read_text().splitlines()) == 1
    assert len(read_places(tmp_path / "none.csv")) == 0


def test_no_detections_have_no_precision(detect, tmp_path):
    source = spots_image(tmp_path / "empty.tif", [])
    (tmp_path / "truth.csv").write_text("x_px,y_px\n20,31\n", "utf-8")
    _, status = detect(
        *("--input", source, "--output", tmp_path / "none.csv", "--radius-px", 2.8),
        *("--truth", tmp_path / "truth.csv"),
    )
    assert status["outputs"]["precision"] is None
    assert status["outputs"]["recall"] == 0


def stack(tmp_path: Path) -> Path:
    planes = []
    for places in ([PLACES[0]], [], [PLACES[1], PLACES[2]]):
        path = spots_image(tmp_path / "plane.tif", places, seed=len(planes))
        from bridge.images.read import open_image  # noqa: PLC0415

        planes.append(open_image(path).load())
        path.unlink()
    write_image(tmp_path / "stack.tif", xr.concat(planes, "z").assign_attrs(planes[0].attrs))
    return tmp_path / "stack.tif"


def test_slices_are_looked_at_one_by_one_or_projected(detect, tmp_path):
    words = ("--input", stack(tmp_path), "--radius-px", 2.8)
    detect(*words, "--output", tmp_path / "each.csv")
    assert sorted(pd.read_csv(tmp_path / "each.csv")["z"]) == [1, 3, 3]
    detect(*words, "--output", tmp_path / "flat.csv", "--slices", "projection")
    assert pd.read_csv(tmp_path / "flat.csv")["z"].tolist() == [1, 1, 1]
    (tmp_path / "truth.csv").write_text("x_px,y_px\n20.3,30.7\n60,50.5\n100.8,20.1\n", "utf-8")
    truth = ("--truth", tmp_path / "truth.csv")
    _, status = detect(*words, *truth, "--output", tmp_path / "x.csv")
    assert status["error"]["remedy"] == "Use --slices projection."
    _, status = detect(*words, *truth, "--output", tmp_path / "x.csv", "--slices", "projection")
    assert status["outputs"]["f1"] == 1
    _, status = detect(*words, "--truth", tmp_path / "each.csv", "--output", tmp_path / "y.csv")
    assert status["outputs"]["f1"] == 1


def test_a_channel_can_be_chosen(detect, tmp_path):
    from bridge.images.read import open_image  # noqa: PLC0415

    planes = [
        open_image(spots_image(tmp_path / f"{k}.tif", places, seed=k)).load()
        for k, places in enumerate(([], PLACES))
    ]
    write_image(tmp_path / "two.tif", xr.concat(planes, "c").assign_attrs(planes[0].attrs))
    words = ("--input", tmp_path / "two.tif", "--radius-px", 2.8)
    _, status = detect(*words, "--output", tmp_path / "c2.csv", "--channel", 2)
    assert status["outputs"]["n_found"] == 4
    assert pd.read_csv(tmp_path / "c2.csv")["c"].tolist() == [2] * 4
    _, status = detect(*words, "--output", tmp_path / "c3.csv", "--channel", 3)
    assert "it has 2" in status["error"]["found"]


def test_topaz_is_asked_where_it_is_installed(detect, tmp_path, monkeypatch):
    # A script that records its arguments stands for the command line only; it detects nothing.
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "topaz"
    script.write_text(
        f"#!{sys.executable}\nimport json, pathlib, sys\n"
        f"pathlib.Path({str(tmp_path / 'arguments.json')!r}).write_text(json.dumps(sys.argv))\n"
        "print('image_name\\tx_coord\\ty_coord\\tscore')\n"
        "print(pathlib.Path(sys.argv[-1]).stem + '\\t19\\t30\\t1.5')\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (tmp_path / "model.sav").write_bytes(b"")
    words = ("--input", spots_image(tmp_path / "cell.tif", PLACES), "--radius-px", 2.8)
    exit_code, _ = detect(
        *words,
        *("--output", tmp_path / "t.csv", "--method", "topaz", "--model", tmp_path / "model.sav"),
    )
    assert exit_code == 0
    row = pd.read_csv(tmp_path / "t.csv").iloc[0]
    assert (row["image"], row["x_px"], row["y_px"]) == ("cell", 19.5, 30.5)
    assert row["x_nm"] == pytest.approx(19.5 * 65)
    assert json.loads((tmp_path / "arguments.json").read_text())[1] == "extract"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), "no radius is given"),
        (("--radius-px", 3, "--radius-nm", 3), "both given"),
        (("--radius-nm", 20), "pixels"),
        (("--radius-px", 3, "--method", "topaz"), "needs a model"),
        (("--radius-px", 3, "--model", "m.sav"), "log has no model"),
        (("--radius-px", 3, "--truth", "none.csv"), "no such file"),
    ],
)
def test_requests_that_mean_nothing_are_sentences_and_leave_no_file(detect, tmp_path, words, found):
    source = spots_image(tmp_path / "cell.tif", PLACES)
    exit_code, status = detect("--input", source, "--output", tmp_path / "f.csv", *words)
    assert exit_code == 2
    assert found in status["error"]["found"]
    assert status["error"]["remedy"]
    assert not (tmp_path / "f.csv").exists()


def test_the_truth_of_another_image_is_refused(detect, tmp_path):
    source = spots_image(tmp_path / "cell.tif", PLACES)
    (tmp_path / "t.txt").write_text("image_name\tx_coord\ty_coord\nother\t1\t2\n")
    _, status = detect(
        *("--input", source, "--output", tmp_path / "f.csv", "--radius-px", 3),
        *("--truth", tmp_path / "t.txt"),
    )
    assert "it is of the images other" in status["error"]["found"]
