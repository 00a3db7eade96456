"""The job ``render`` as a shell user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import xarray as xr
from PIL import Image

from bridge.cli import main
from bridge.images.read import open_image
from bridge.images.write import write_image
from bridge.smlm.table import write_table

Run = Callable[..., tuple[int, dict[str, Any]]]
SHARED = Path(__file__).parents[3] / "shared" / "data" / "thunderstorm_exports" / "coli"


@pytest.fixture
def render(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Give a function that runs ``zoobridge render`` on a table: exit code and status."""

    def run(table: Path, *words: str, output: str = "image.tif") -> tuple[int, dict[str, Any]]:
        fixed = ["render", "--table", str(table), "--output", str(tmp_path / output)]
        exit_code = main([*fixed, *words])
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a table of 100 nm pixels for ThunderSTORM."""

    def to_file(x_nm: object, y_nm: object, **columns: object) -> Path:
        table = pd.DataFrame({"frame": 1, "x_nm": x_nm, "y_nm": y_nm, **columns})
        return write_table(table, tmp_path / "table.csv", overwrite=True)

    return to_file


def test_the_image_is_calibrated_and_has_its_picture(render, write, tmp_path):
    rng = np.random.default_rng(2)
    x_nm, y_nm = rng.uniform(0, 2_000, 500), rng.uniform(0, 1_200, 500)
    table = write(x_nm, y_nm)
    words = ("--pixel-size-nm", "100", "--magnification", "5")
    exit_code, status = render(table, *words, "--width-px", "20", "--height-px", "12")
    assert exit_code == 0
    image = open_image(status["outputs"]["image"])
    assert image.dtype == np.float32
    assert image.attrs["pixel_size_nm"] == pytest.approx({"y": 20, "x": 20})
    rows, columns = np.floor(y_nm / 20).astype(int), np.floor(x_nm / 20).astype(int)
    expected = np.zeros((60, 100))
    np.add.at(expected, (rows, columns), 1)
    np.testing.assert_array_equal(image.values, expected)
    with Image.open(status["outputs"]["picture"]) as picture:
        assert np.asarray(picture).std() > 5
    assert {p.name for p in tmp_path.iterdir()} == {"table.csv", "image.tif", "image.png"}


@pytest.mark.parametrize(("method", "each"), [("histogram", 1), ("ash", 16), ("gaussian", 1)])
def test_every_method_puts_the_same_weight_in_the_same_place(render, write, method, each):
    table = write([535.0, 535.0], [715.0, 715.0], uncertainty_xy_nm=[12.0, 20.0])
    words = ("--pixel-size-nm", "100", "--width-px", "15", "--height-px", "15")
    _, status = render(table, *words, "--method", method)
    image = tifffile.imread(status["outputs"]["image"])
    assert image.sum() == pytest.approx(2 * each, rel=1e-5)
    assert np.unravel_index(image.argmax(), image.shape) == (71, 53)


def test_the_field_is_the_tables_if_nothing_else_is_said(render, write):
    table = write([250.0, 1_999.9], [100.0, 731.0])
    _, status = render(table, "--pixel-size-nm", "100", "--magnification", "2")
    assert (status["outputs"]["height"], status["outputs"]["width"]) == (16, 40)
    assert status["outputs"]["field_from"] == "the table's extent"


def test_an_image_gives_the_field_and_the_pixel_size(render, write, tmp_path):
    frames = xr.DataArray(np.ones((3, 14, 22), np.uint16), dims=("t", "y", "x"))
    frames.attrs["pixel_size_nm"] = {"y": 80.0, "x": 80.0}
    write_image(tmp_path / "movie.tif", frames)
    table = write([250.0, 5_000.0], [100.0, 731.0])
    _, status = render(table, "--like", str(tmp_path / "movie.tif"), "--magnification", "4")
    assert (status["outputs"]["height"], status["outputs"]["width"]) == (56, 88)
    assert status["outputs"]["camera_pixel_size_nm"] == pytest.approx(80)
    assert status["outputs"]["n_outside"] == 1
    assert status["warnings"] == ["1 of 2 localizations lie outside the image."]
    exit_code, status = render(
        table, "--like", str(tmp_path / "movie.tif"), "--pixel-size-nm", "100", "--overwrite"
    )
    assert exit_code == 2
    assert "80 x 80 nm, and --pixel-size-nm is 100" in status["error"]["found"]


def test_the_protocol_of_thunderstorm_gives_the_pixel_size(render, write, tmp_path):
    table = write([250.0], [100.0])
    protocol = {"version": "ThunderSTORM", "cameraSettings": {"pixelSize": 160.0}}
    (tmp_path / "table-protocol.txt").write_text(json.dumps(protocol))
    _, status = render(table, "--magnification", "1")
    assert status["outputs"]["pixel_size_nm"] == 160
    exit_code, status = render(table, "--pixel-size-nm", "100", "--overwrite")
    assert (exit_code, status["error"]["kind"]) == (2, "TableError")


def test_an_output_that_is_there_is_kept_unless_asked(render, write, tmp_path):
    table = write([250.0], [100.0])
    (tmp_path / "image.png").write_bytes(b"precious")
    words = ("--pixel-size-nm", "100")
    exit_code, status = render(table, *words)
    assert (exit_code, status["error"]["kind"]) == (2, "OutputError")
    assert (tmp_path / "image.png").read_bytes() == b"precious"
    assert not (tmp_path / "image.tif").exists()
    assert render(table, *words, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("columns", "words", "found"),
    [
        ({}, ("--pixel-size-nm", "100", "--method", "gaussian"), "uncertainty_xy_nm"),
        ({}, (), "no pixel size is known"),
        ({}, ("--pixel-size-nm", "0.1", "--width-px", "9"), "all 2 localizations lie outside"),
        ({}, ("--pixel-size-nm", "0.0001"), "GiB"),
        ({}, ("--pixel-size-nm", "100", "--sigma-nm", "9"), "the method is histogram"),
    ],
)
def test_what_cannot_be_drawn_is_said_with_a_remedy(render, write, tmp_path, columns, words, found):
    exit_code, status = render(write([250.0, 900.0], [100.0, 100.0], **columns), *words)
    assert exit_code == 2
    assert found in status["error"]["found"]
    assert status["error"]["remedy"]
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_gaussians_without_uncertainty_name_the_option_that_helps(render, write):
    table = write([250.0, 900.0], [100.0, 100.0])
    words = ("--pixel-size-nm", "100", "--method", "gaussian")
    assert "--sigma-nm" in render(table, *words)[1]["error"]["remedy"]
    assert render(table, *words, "--sigma-nm", "20")[0] == 0


def test_rows_without_uncertainty_are_left_out_with_a_warning(render, write):
    table = write([250.0, 900.0], [100.0, 100.0], uncertainty_xy_nm=[9.0, np.nan])
    _, status = render(table, "--pixel-size-nm", "100", "--method", "gaussian")
    assert status["outputs"]["n_drawn"] == 1
    assert "1 localizations without a finite uncertainty" in status["warnings"][0]


@pytest.mark.parametrize("cell", ["NaN", "Infinity"])
def test_coordinates_that_are_no_numbers_are_refused_with_their_row(render, tmp_path, cell):
    table = tmp_path / "table.csv"
    table.write_text(f'"frame","x [nm]","y [nm]"\n1,100,200\n2,{cell},300\n')
    exit_code, status = render(table, "--pixel-size-nm", "100")
    assert (exit_code, status["error"]["kind"]) == (2, "TableError")
    assert "x [nm]" in status["error"]["found"]


@pytest.mark.parametrize("text", ["", '"frame","x [nm]","y [nm]"\n'])
def test_an_empty_table_is_refused(render, tmp_path, text):
    table = tmp_path / "table.csv"
    table.write_text(text)
    exit_code, status = render(table, "--pixel-size-nm", "100")
    assert (exit_code, status["error"]["kind"]) == (2, "TableError")


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data with tables of ThunderSTORM")
def test_a_real_table_of_thunderstorm_is_drawn_whole(render):
    words = ("--pixel-size-nm", "80", "--magnification", "4", "--method", "gaussian")
    exit_code, status = render(SHARED / "02_storm.csv", *words)
    assert exit_code == 0
    assert status["outputs"]["n_drawn"] == 28_757
    image = tifffile.imread(status["outputs"]["image"])
    assert image.sum() == pytest.approx(28_757, rel=0.01)
