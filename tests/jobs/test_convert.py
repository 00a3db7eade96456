"""The job ``convert``, on files and from the shell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from bridge.errors import OutputError, TableError
from bridge.jobs.convert import Convert
from bridge.progress import silent
from bridge.smlm.summary import summarise
from bridge.smlm.table import read_table

TEXT = "frame,x [nm],y [nm],intensity [photon]\n1,100,200,500\n2,300,600,700\n4,900,1800,300\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.csv"
    path.write_text(TEXT)
    return path


def save_movie(path: Path, *, seed: int) -> pd.DataFrame:
    """Save a calibrated movie (20, 40, 50) of single bright pixels, and give their places."""
    rng = np.random.default_rng(seed)
    frame, y, x = (rng.integers(0, n, 200) for n in (20, 40, 50))
    movie = rng.poisson(20, (20, 40, 50)).astype(np.uint16)
    movie[frame, y, x] += 400
    tifffile.imwrite(
        path, movie, imagej=True, resolution=(10, 10), metadata={"unit": "um", "axes": "TYX"}
    )
    return pd.DataFrame({"frame": frame + 1, "x [nm]": 100 * x + 50.0, "y [nm]": 100 * y + 50.0})


def test_a_table_is_converted_and_counted(tmp_path, source):
    result = Convert(input=[str(source)], output=tmp_path / "b.csv").run(silent)
    assert (tmp_path / "b.csv").read_text().startswith('"id","frame","x [nm]","y [nm]",')
    assert result.outputs["n_rows"] == 3
    assert (result.outputs["first_frame"], result.outputs["last_frame"]) == (1, 4)
    assert result.outputs["columns"] == ["frame", "x_nm", "y_nm", "photons"]
    assert result.tables[0].rows[0][1:3] == ["3", "1..4"]
    assert "photons (median 500)" in result.tables[0].rows[0][3]


def test_settings_reach_the_reader(tmp_path):
    (tmp_path / "a.csv").write_text("frame,x [px],y [px],intensity [ADU]\n0,1,2,10\n")
    job = Convert(
        input=[str(tmp_path / "a.csv")],
        output=tmp_path / "b.csv",
        pixel_size_nm=100,
        photons_per_adu=2,
        frame_base="0",
        origin_x_nm=1000,
        origin_y_nm=2000,
        pixel_origin="centre",
        swap_xy=True,
    )
    job.run(silent)
    row = read_table(tmp_path / "b.csv").iloc[0]
    assert (row.frame, row.x_nm, row.y_nm, row.photons) == (1, 1250, 2150, 20)


def test_several_tables_go_into_a_folder(tmp_path, source):
    second = tmp_path / "c.csv"
    second.write_text(TEXT.replace("1,100", "0,100"))
    job = Convert(
        input=[str(source), str(second)],
        output=tmp_path / "out",
        format="picasso",
        pixel_size_nm=90,
    )
    result = job.run(silent)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a.hdf5", "a.yaml", "c.hdf5", "c.yaml",
    ]  # fmt: skip
    assert [entry["n_rows"] for entry in result.outputs["tables"]] == [3, 3]
    assert result.warnings[0].startswith("c.csv: There is a frame 0")


def test_several_tables_need_a_folder_and_names_of_their_own(tmp_path, source):
    with pytest.raises(OutputError, match="a folder"):
        Convert(input=[str(source)] * 2, output=tmp_path / "b.csv").run(silent)
    with pytest.raises(OutputError, match="more than one input"):
        Convert(input=[str(source)] * 2, output=tmp_path / "b").run(silent)


def test_a_table_that_is_there_is_kept(tmp_path, source):
    job = Convert(input=[str(source)], output=source)
    with pytest.raises(OutputError, match="already"):
        job.run(silent)
    assert source.read_text() == TEXT
    job.model_copy(update={"overwrite": True}).run(silent)
    assert read_table(source).photons.tolist() == [500, 700, 300]


def test_the_movie_gives_the_pixel_size_and_is_compared(tmp_path):
    save_movie(tmp_path / "m.tif", seed=1).to_csv(tmp_path / "a.csv", index=False)
    job = Convert(
        input=[str(tmp_path / "a.csv")],
        output=tmp_path / "b.hdf5",
        stack=str(tmp_path / "m.tif"),
    )
    result = job.run(silent)
    assert result.outputs["pixel_size_nm"] == pytest.approx(100)
    assert result.outputs["correlation"] > 0.3
    assert "fits" in result.summary[0]
    wrong = job.model_copy(update={"swap_xy": True, "output": tmp_path / "c.hdf5"})
    with pytest.raises(TableError, match="swap_xy"):
        wrong.run(silent)
    save_movie(tmp_path / "m.tif", seed=2)
    with pytest.raises(TableError, match=r"doesn't match .*m\.tif: the correlation"):
        job.model_copy(update={"output": tmp_path / "c.hdf5"}).run(silent)
    assert not list(tmp_path.glob("c.*"))


def test_the_shell_gives_one_status_and_an_exit_code(tmp_path, source):
    command = [sys.executable, "-m", "bridge", "convert", "--output", str(tmp_path / "b.csv")]
    done = subprocess.run(
        [*command, "--input", str(source)], capture_output=True, text=True, check=False
    )
    status = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, status["ok"]) == (0, True)
    assert status["outputs"]["n_frames"] == 3
    source.write_text("frame,x,y\n1,1,1\n")
    done = subprocess.run(
        [*command, "--input", str(source), "--overwrite"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    status = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, status["error"]["kind"]) == (2, "TableError")
    assert "Traceback" not in done.stderr


def test_a_summary_counts_what_is_there():
    table = pd.DataFrame(
        {"frame": [3, 3, 7, 7], "x_nm": [0.0, 2000, 0, 1000], "y_nm": [0.0, 4000, 0, 10]}
    )
    table["photons"] = [1.0, 3.0, np.inf, np.nan]
    found = summarise(table)
    assert (found.n_rows, found.n_frames, found.first_frame, found.last_frame) == (4, 2, 3, 7)
    assert found.field_um == (4, 2)
    assert found.density_per_um2 == pytest.approx(2 / 8)
    assert found.medians == {"photons": 2}
    assert np.isnan(summarise(table.iloc[:1]).density_per_um2)
    with pytest.raises(TableError, match="no rows"):
        summarise(table.iloc[:0])
    with pytest.raises(TableError, match="no column x_nm"):
        summarise(table[["frame", "y_nm"]])
