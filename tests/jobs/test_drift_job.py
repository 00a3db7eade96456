"""The job ``drift`` as a shell user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bridge.cli import main
from bridge.smlm.table import read_table, write_table


def ring(n: int, drift_nm: float, **columns) -> pd.DataFrame:
    """Localizations on three rings; they drift evenly to the right."""
    rng = np.random.default_rng(0)
    angle, number = rng.uniform(0, 2 * np.pi, n), rng.integers(0, 3, n)
    frame = np.sort(rng.integers(1, 1001, n))
    radius = np.array([400.0, 700.0, 900.0])[number]
    x = 1500 + 300 * number + radius * np.cos(angle) + drift_nm * frame / 1000
    y = 1500 + radius * np.sin(angle)
    rows = pd.DataFrame(
        {"frame": frame, "x_nm": x + rng.normal(0, 8, n), "y_nm": y + rng.normal(0, 8, n)}
    )
    return rows.assign(photons=800.0, **columns)


@pytest.fixture
def drift(capsys, tmp_path):
    def run(table: pd.DataFrame, *words: str, output: str = "still.csv"):
        path = write_table(table, tmp_path / "table.csv", overwrite=True)
        exit_code = main(
            ["drift", "--table", str(path), "--output", str(tmp_path / output), *words]
        )
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_table_drift_picture_and_report_are_left(drift, tmp_path):
    exit_code, status = drift(ring(6000, 300.0))
    assert exit_code == 0
    outputs = status["outputs"]
    assert outputs["drift_x_nm"] == pytest.approx(300, abs=10)
    assert outputs["drift_y_nm"] < 10
    assert outputs["sharpness_ratio"] > 1.3
    still = read_table(tmp_path / "still.csv")
    expected = ring(6000, 0.0)
    away = still["x_nm"] - expected["x_nm"]
    assert away.std() < 5
    assert abs(away.mean()) < 10
    course = pd.read_csv(outputs["drift"])
    assert list(course) == ["frame", "dx_nm", "dy_nm"]
    np.testing.assert_array_equal(course["frame"], np.arange(1, 1001))
    moved = read_table(tmp_path / "table.csv")["x_nm"] - still["x_nm"]
    np.testing.assert_allclose(moved, course["dx_nm"][still["frame"] - 1], atol=1e-3)
    with Image.open(outputs["picture"]) as picture:
        pixels = np.asarray(picture.convert("L"), float)
    third = pixels.shape[1] // 3
    assert all(pixels[:, k * third : (k + 1) * third].std() > 15 for k in range(3))
    report = json.loads((tmp_path / "still.report.json").read_text("utf-8"))
    assert report["drift_x_nm"] == outputs["drift_x_nm"]
    assert "was subtracted" in report["history"][-1]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "table.csv",
        "still.csv",
        "still.report.json",
        "still.drift.csv",
        "still.drift.png",
    }


def test_what_is_doubtful_is_said(drift):
    _, status = drift(ring(6000, 300.0, z_nm=5.0), "--max-drift-nm", "350")
    assert any("along z" in warning for warning in status["warnings"])
    assert any("close to the largest" in warning for warning in status["warnings"])


@pytest.mark.parametrize(
    ("table", "found"),
    [(ring(0, 0.0), "no rows"), (ring(300, 0.0), "300 localizations")],
)
def test_what_is_too_short_is_a_sentence_and_leaves_no_file(drift, tmp_path, table, found):
    exit_code, status = drift(table)
    assert exit_code == 2
    assert found in str(status["error"]) or "0 localizations" in str(status["error"])
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["table.csv"]


@pytest.mark.parametrize("name", ["still.drift.csv", "still.drift.png"])
def test_files_beside_the_table_are_kept_unless_asked(drift, tmp_path, name):
    Path(tmp_path / name).write_text("precious")
    exit_code, status = drift(ring(3000, 100.0))
    assert (exit_code, status["error"]["kind"]) == (2, "OutputError")
    assert (tmp_path / name).read_text() == "precious"
    assert not (tmp_path / "still.csv").exists()
