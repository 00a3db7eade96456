"""The job ``filter`` as a shell user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge.cli import main
from bridge.smlm.table import read_table, write_table

SHARED = Path(__file__).parents[3] / "shared" / "data" / "thunderstorm_exports" / "coli"


@pytest.fixture
def table(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"frame": np.sort(rng.integers(1, 50, 200))})
    for name, low, high in (("x_nm", 0, 9000), ("y_nm", 0, 9000), ("photons", 100, 900)):
        rows[name] = rng.uniform(low, high, len(rows))
    rows["uncertainty_xy_nm"] = 200 / np.sqrt(rows["photons"])
    return write_table(rows, tmp_path / "table.csv")


@pytest.fixture
def filtered(capsys, tmp_path):
    def run(table: Path, keep: str, *words: str, output: str = "kept.csv"):
        fixed = ["filter", "--table", str(table), "--output", str(tmp_path / output)]
        exit_code = main([*fixed, "--keep", keep, *words])
        shown = capsys.readouterr()
        return exit_code, json.loads(shown.out.splitlines()[-1]), shown.out + shown.err

    return run


def test_rows_are_kept_counted_and_told(filtered, table, tmp_path):
    exit_code, status, shown = filtered(table, "photons > 300 and uncertainty_xy < 10")
    assert exit_code == 0
    before, kept = read_table(table), read_table(tmp_path / "kept.csv")
    expected = before[(before["photons"] > 300) & (before["uncertainty_xy_nm"] < 10)]
    pd.testing.assert_frame_equal(kept, expected.reset_index(drop=True), check_like=True)
    outputs = status["outputs"]
    assert (outputs["n_before"], outputs["n_kept"]) == (200, len(expected))
    assert outputs["parts"][0]["n_removed"] == (before["photons"] <= 300).sum()
    assert "removed by it alone" in shown
    report = json.loads(Path(status["report"]).read_text("utf-8"))
    assert report["settings"] == {"keep": "photons > 300 and uncertainty_xy < 10"}
    assert report["n_rows"] == len(expected)
    assert report["history"] == outputs["history"]
    assert "Read from table.csv" in report["history"][0]
    assert report["history"][1].startswith("Filtered by photons > 300")


def test_a_second_filter_tells_the_history_on(filtered, table, tmp_path):
    filtered(table, "photons > 300")
    _, status, _ = filtered(tmp_path / "kept.csv", "frame < 20", output="twice.csv")
    assert sum("Filtered by" in line for line in status["outputs"]["history"]) == 2
    changed = read_table(tmp_path / "kept.csv").iloc[1:]
    write_table(changed, tmp_path / "kept.csv", overwrite=True)  # and the report is an old one
    _, status, _ = filtered(tmp_path / "kept.csv", "frame < 20", output="third.csv")
    assert sum("Filtered by" in line for line in status["outputs"]["history"]) == 1


def test_nothing_kept_is_an_error_that_says_which_part_did_it(filtered, table, tmp_path):
    exit_code, status, _ = filtered(table, "photons > 5000 and frame > 3")
    assert exit_code == 1
    assert status["error"]["kind"] == "VerdictError"
    assert "none of its 200 rows" in status["error"]["found"]
    assert "photons > 5000 alone" in status["error"]["found"]
    assert status["outputs"]["parts"][0]["n_kept"] == 0
    assert not (tmp_path / "kept.csv").exists()
    _, status, _ = filtered(table, "photons > 600 and uncertainty_xy_nm > 12")
    assert "the part that fewest fulfil" in status["error"]["found"]


def test_everything_kept_is_a_warning(filtered, table):
    exit_code, status, _ = filtered(table, "photons > 0")
    assert exit_code == 0
    assert status["warnings"] == ["The condition removed nothing: all 200 rows fulfil it."]


def test_picassos_table_is_written_and_needs_a_pixel_size(filtered, table, tmp_path):
    words = ("photons > 300", "--pixel-size-nm", "100")
    exit_code, status, _ = filtered(table, *words, output="kept.hdf5")
    assert exit_code == 0
    assert len(read_table(tmp_path / "kept.hdf5")) == status["outputs"]["n_kept"]
    exit_code, status, _ = filtered(table, "photons > 300", output="other.hdf5")
    assert (exit_code, status["error"]["kind"]) == (2, "OutputError")


@pytest.mark.parametrize(
    ("keep", "output", "found"),
    [
        ("fotons > 3", "kept.csv", "'fotons' is no column"),
        ("__import__('os')", "kept.csv", "it is no comparison"),
        ("photons > 3", "kept.tif", "aren't written"),
        ("photons > 3", "table.csv", "this is the table that is read"),
        ("photons > 3", "no/such/kept.csv", "is missing"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_leaves_no_file(
    filtered, table, tmp_path, keep, output, found
):
    exit_code, status, _ = filtered(table, keep, output=output)
    assert exit_code == 2
    assert found in status["error"]["found"]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["table.csv"]


def test_a_table_that_is_there_is_kept_unless_asked(filtered, table, tmp_path):
    (tmp_path / "kept.csv").write_text("precious")
    exit_code, status, _ = filtered(table, "photons > 300")
    assert (exit_code, status["error"]["kind"]) == (2, "OutputError")
    assert (tmp_path / "kept.csv").read_text() == "precious"
    assert filtered(table, "photons > 300", "--overwrite")[0] == 0


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the tables of ThunderSTORM in shared/data")
def test_a_real_table_is_filtered_in_thunderstorms_words(filtered):
    exit_code, status, _ = filtered(SHARED / "01_storm.csv", "intensity > 300 & sigma [nm] < 250")
    raw = pd.read_csv(SHARED / "01_storm.csv")
    expected = (raw["intensity [photon]"] > 300) & (raw["sigma [nm]"] < 250)
    assert exit_code == 0
    assert status["outputs"]["n_kept"] == expected.sum() > 1000
