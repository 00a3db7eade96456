"""The job ``compare-localizers`` as a shell user runs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from bridge.cli import main
from bridge.errors import InputError, OutputError
from bridge.jobs import compare_localizers
from bridge.jobs.compare_localizers import CompareLocalizers
from bridge.progress import silent
from bridge.smlm.patches import PatchConditions
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.table_out import write_table
from tests.smlm.localizer_package import write_localizer

Run = Callable[..., tuple[int, dict[str, Any]]]
CAMERA = PatchConditions.presets()["localizer"].camera


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a movie, its truth, what a good localizer found in it, and a package of noise."""
    folder = tmp_path_factory.mktemp("compare")
    settings = Simulation(width_px=72, height_px=56, n_frames=10, camera=CAMERA, seed=5)
    movie = simulate_movie(settings)
    pixels = np.concatenate(list(movie.blocks))
    paths = {name: folder / f"{name}.csv" for name in ("truth", "good")}
    paths["movie"] = folder / "movie.tif"
    size = {"spacing": 0.1, "unit": "um", "axes": "TYX"}
    tifffile.imwrite(paths["movie"], pixels, imagej=True, metadata=size, resolution=(10.0, 10.0))
    write_table(movie.truth, paths["truth"])
    good = movie.truth.sample(frac=0.9, random_state=0).sort_index()
    good[["x_nm", "y_nm"]] += np.random.default_rng(0).normal(0, 10, (len(good), 2))
    write_table(good, paths["good"])
    paths["model"] = write_localizer(folder / "noise")
    return paths


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Give a function that runs the job: exit code and outputs."""

    def run(*words: object) -> tuple[int, dict[str, Any]]:
        fixed = ["compare-localizers", "--output", str(tmp_path / "page.html"), "--picasso", "no"]
        exit_code = main([*fixed, *map(str, words)])
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])["outputs"]

    return run


def test_an_own_movie_with_the_table_of_another(compare: Run, files, tmp_path: Path):
    exit_code, outputs = compare(
        *("--input", files["movie"], "--truth", files["truth"], "--tables", files["good"]),
        *("--model", files["model"], "--pixel-size-nm", 100),
    )
    assert exit_code == 0
    assert outputs["localizers"] == ["A small localizer", "single-spot fit", "good"]
    (network,), (fit,), (good,) = outputs["jaccard"]
    assert good == pytest.approx(0.9, abs=0.03)
    assert good > fit > 0.6
    assert network < 0.5, "random weights know nothing"
    assert outputs["rmse_nm"][2][0] == pytest.approx(14.1, abs=1.5)
    said = json.loads((tmp_path / "page.json").read_text("utf-8"))
    assert said["localizers"][2]["seconds_per_frame"] == [None]
    assert said["localizers"][2]["densities"][0]["jaccard"] == good
    rows = pd.read_csv(tmp_path / "page.csv")
    assert rows["localizer"].tolist() == outputs["localizers"]
    assert rows["bound_alone_nm"].nunique() == 1
    assert (rows["bound_in_the_crowd_nm"] > rows["bound_alone_nm"]).all()
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<img") == 2
    assert "nan" not in page.split("<body>")[1].replace("data:image", "").split("base64")[0]
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width > 900


def test_simulated_scenes_with_lone_emitters_and_empty_frames(compare: Run, files, tmp_path: Path):
    exit_code, outputs = compare(
        *("--model", files["model"], "--share", 0.02, "--densities", 3, 0.5),
        *("--emitter-photons", 2000, "--background-photons", 5, "--sigma-nm", 120),
    )
    assert exit_code == 0, outputs
    assert outputs["densities_per_um2"] == [0.5, 3.0]
    said = json.loads((tmp_path / "page.json").read_text("utf-8"))
    assert "120 nm wide" in said["scene"]
    assert "2000 photons" in said["scene"]
    fit = said["localizers"][1]
    assert [score["photons"] for score in fit["lone"]] == [200, 500, 1000, 2000, 5000]
    assert fit["densities"][0]["jaccard"] > fit["densities"][1]["jaccard"]
    assert fit["false_per_empty_frame"] < 0.5
    assert len(said["bounds_in_the_crowd"]) == 2
    page = (tmp_path / "page.html").read_text("utf-8")
    for heading in ("From sparse to dense", "Emitters without neighbours", "False detections"):
        assert heading in page
    assert "per empty frame" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": "movie.tif"}, "without its truth"),
        ({"truth": "truth.csv"}, "without its movie"),
        ({"tables": ["found.csv"]}, "without the movie"),
        ({"densities": ["many"]}, "many"),
        ({"densities": ["0"]}, "0.01 <= x"),
    ],
)
def test_what_means_nothing_is_refused(tmp_path: Path, change: dict[str, Any], words: str):
    job = CompareLocalizers(model=["deep-storm"], output=tmp_path / "page.html", **change)
    with pytest.raises(InputError, match=words):
        job.run(silent)


def test_without_a_model_and_without_the_shipped_one_it_says_so(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(compare_localizers, "_DEFAULT_MODEL", "not-there")
    with pytest.raises(InputError, match="no model is given, and not-there is not installed"):
        CompareLocalizers(output=tmp_path / "page.html").run(silent)


def test_results_that_are_there_are_not_replaced(tmp_path: Path):
    (tmp_path / "page.csv").write_text("precious")
    with pytest.raises(OutputError, match=r"page\.csv"):
        CompareLocalizers(model=["deep-storm"], output=tmp_path / "page.html").run(silent)
    assert (tmp_path / "page.csv").read_text() == "precious"


def test_picasso_is_refused_where_it_is_asked_for_and_missing(tmp_path: Path, monkeypatch, files):
    monkeypatch.setattr("bridge.smlm.contenders.has_picasso", lambda: False)
    job = CompareLocalizers(
        model=[str(files["model"])], output=tmp_path / "page.html", picasso="yes"
    )
    with pytest.raises(InputError, match="pip install picassosr"):
        job.run(silent)
