"""The job ``link`` as a shell user runs it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge.cli import main
from bridge.smlm.table import read_table, write_table

SHARED = Path(__file__).parents[3] / "shared" / "data" / "thunderstorm_exports" / "coli"


def blinking(**columns) -> pd.DataFrame:
    """400 emitters far apart, in four frames running each, with errors of 10 nm."""
    rng = np.random.default_rng(0)
    emitter = np.repeat(np.arange(400), 4)
    frame = rng.integers(1, 500, 400)[emitter] + np.tile(np.arange(4), 400)
    x, y = (emitter % 20 * 500 + 100, emitter // 20 * 500 + 100)
    rows = pd.DataFrame(
        {
            "frame": frame,
            "x_nm": x + rng.normal(0, 10, 1600),
            "y_nm": y + rng.normal(0, 10, 1600),
            "photons": 250.0,
        }
    )
    return rows.assign(**columns).sort_values("frame", ignore_index=True)


@pytest.fixture
def link(capsys, tmp_path):
    def run(table: pd.DataFrame | Path, *words: str, output: str = "linked.csv"):
        if isinstance(table, pd.DataFrame):
            table = write_table(table, tmp_path / "table.csv", overwrite=True)
        fixed = ["link", "--table", str(table), "--output", str(tmp_path / output)]
        exit_code = main([*fixed, *words])
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_emitters_become_one_row_each(link, tmp_path):
    exit_code, status = link(blinking(uncertainty_xy_nm=10.0))
    assert exit_code == 0
    assert status["warnings"] == []
    merged = read_table(tmp_path / "linked.csv")
    whole = merged[merged["detections"] == 4]
    assert len(whole) >= 395
    np.testing.assert_allclose(whole["photons"], 1000)
    np.testing.assert_allclose(whole["uncertainty_xy_nm"], 5, atol=1e-4)
    errors = [(whole[name] - 100 + 250) % 500 - 250 for name in ("x_nm", "y_nm")]
    assert np.std(errors) == pytest.approx(5, rel=0.1)
    outputs = status["outputs"]
    assert (outputs["n_before"], outputs["n_linked"]) == (1600, len(merged))
    assert outputs["largest_distance_nm"] == pytest.approx(40 * math.sqrt(2))
    assert outputs["scatter_over_uncertainty"] == pytest.approx(1, abs=0.1)
    report = json.loads((tmp_path / "linked.report.json").read_text("utf-8"))
    assert report["n_linked"] == len(merged)
    assert f"1,600 rows became {len(merged)}" in report["history"][-1]


def test_options_are_obeyed(link):
    table = blinking(uncertainty_xy_nm=10.0)
    _, status = link(table, "--distance-nm", "0.001", "--gap-frames", "0")
    assert status["outputs"]["n_linked"] == 1600
    assert "No two rows were linked" in status["warnings"][0]
    gone = table[table["frame"] % 2 == 0]
    _, with_gap = link(gone, "--overwrite")
    _, without = link(gone, "--gap-frames", "0", "--overwrite")
    assert without["outputs"]["n_linked"] == len(gone)
    assert with_gap["outputs"]["n_linked"] < 0.7 * len(gone)


def test_doubts_are_said(link, tmp_path):
    _, status = link(blinking(uncertainty_xy_nm=4.0), "--distance-nm", "80")
    assert re.search(r"2\.[456] times as far apart", status["warnings"][0])
    exit_code, status = link(blinking(), "--overwrite")
    assert exit_code == 0
    assert "NeNA" in status["outputs"]["distance_from"]
    assert "plain means" in status["warnings"][0]
    _, status = link(tmp_path / "linked.csv", "--distance-nm", "50", output="twice.csv")
    assert any("merged before" in warning for warning in status["warnings"])
    assert sum("Linked:" in line for line in status["outputs"]["history"]) == 2


def test_a_merged_table_goes_to_picasso_and_back(link, tmp_path):
    words = ("--pixel-size-nm", "100")
    exit_code, status = link(blinking(uncertainty_xy_nm=10.0), *words, output="linked.hdf5")
    assert exit_code == 0
    merged = read_table(tmp_path / "linked.hdf5")
    assert merged["detections"].sum() == 1600
    assert len(merged) == status["outputs"]["n_linked"]


@pytest.mark.parametrize(
    ("table", "found"),
    [
        (blinking().iloc[:0], "no rows"),
        (blinking(frame=3), "all 1,600 rows are of frame 3"),
        (blinking().iloc[:20], "no uncertainties"),
    ],
)
def test_what_cannot_be_linked_is_a_sentence(link, tmp_path, table, found):
    exit_code, status = link(table)
    assert exit_code == 2
    assert found in str(status["error"])
    assert not (tmp_path / "linked.csv").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the tables of ThunderSTORM in shared/data")
def test_a_real_table_keeps_its_photons(link, tmp_path):
    exit_code, status = link(SHARED / "03_storm.csv")
    assert exit_code == 0
    before, after = read_table(SHARED / "03_storm.csv"), read_table(tmp_path / "linked.csv")
    assert after["photons"].sum() == pytest.approx(before["photons"].sum(), rel=1e-6)
    assert after["detections"].sum() == len(before)
    assert len(after) < 0.7 * len(before)
    assert status["outputs"]["scatter_over_uncertainty"] > 1.4, "ThunderSTORM's are too small here"
