"""The job ``localize`` as a shell user runs it, on the embedded demo."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

import models_zoo
from bridge.cli import main
from bridge.images.read import open_image
from bridge.images.write import write_image
from bridge.smlm.patches import simulate_patches
from bridge.smlm.table import read_table
from tests.smlm.localizer_package import TRAINED_ON, write_localizer

Run = Callable[..., tuple[int, dict[str, Any]]]
DEMO = Path(models_zoo.__path__[0]) / "deep_storm" / "demo"


@pytest.fixture
def localize(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Give a function that runs ``zoobridge localize``: exit code and status."""

    def run(
        movie: Path, *words: str, model: str = "deep-storm", output: str = "table.csv"
    ) -> tuple[int, dict[str, Any]]:
        fixed = ["--model", model, "--input", str(movie), "--output", str(tmp_path / output)]
        exit_code = main(["localize", *fixed, *words])
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Write six frames of a part of the demo."""
    frames = open_image(DEMO / "movie.tif").isel(t=slice(0, 6), y=slice(0, 48), x=slice(0, 64))
    write_image(tmp_path / "movie.tif", frames.load())
    return tmp_path / "movie.tif"


def jaccard(table: pd.DataFrame, truth: pd.DataFrame, tolerance_nm: float = 250) -> float:
    """Match frame by frame, as many pairs as there are within the tolerance."""
    n_pairs = 0
    for frame, expected in truth.groupby("frame"):
        found = table[table["frame"] == frame]
        distances = cdist(found[["x_nm", "y_nm"]], expected[["x_nm", "y_nm"]])
        cost = np.where(distances <= tolerance_nm, distances, 1e6)
        n_pairs += int((cost[linear_sum_assignment(cost)] < 1e6).sum())
    return n_pairs / (len(table) + len(truth) - n_pairs)


def test_the_table_has_the_emitters_of_the_movie_and_its_report(localize, movie, tmp_path):
    exit_code, status = localize(movie)
    assert exit_code == 0
    header = (tmp_path / "table.csv").read_text().splitlines()[0]
    assert header == '"id","frame","x [nm]","y [nm]"'
    table = read_table(tmp_path / "table.csv")
    truth = read_table(DEMO / "truth.csv")
    inside = (truth["frame"] <= 6) & (truth["x_nm"] < 6_400) & (truth["y_nm"] < 4_800)
    index = jaccard(table, truth[inside])
    assert index > 0.45  # a third of the truth is dimmer than any network sees: blinking
    n_pairs = index / (1 + index) * (len(table) + inside.sum())
    assert n_pairs / len(table) > 0.9
    outputs = status["outputs"]
    assert outputs["n_localizations"] == len(table)
    assert (outputs["n_frames"], outputs["pixel_size_nm"], outputs["upscaling"]) == (6, 100.0, 8)
    report = json.loads(Path(status["report"]).read_text("utf-8"))
    assert report["threshold"] == outputs["threshold"]
    assert report["run"]["engine"]["name"]
    assert "movie.tif" in report["history"][0]
    names = {path.name for path in tmp_path.iterdir()} - {"home"}
    assert names == {"movie.tif", "table.csv", "table.png", "table.report.json"}


def test_a_higher_threshold_lists_fewer(localize, movie):
    counts = [
        localize(movie, "--threshold", text, "--overwrite")[1]["outputs"]["n_localizations"]
        for text in ("1", "auto", "60%", "1e6")
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[2] > counts[3] == 0


def test_the_pixel_size_scales_the_table_and_may_be_said(localize, movie, tmp_path):
    frames = open_image(movie).load()
    np.save(tmp_path / "bare.npy", frames.values)
    exit_code, status = localize(tmp_path / "bare.npy", "--axes", "tyx")
    assert (exit_code, status["error"]["kind"]) == (2, "ImageError")
    assert "the model was made for 100" in status["error"]["found"]
    assert "--pixel-size-nm" in status["error"]["remedy"]
    words = ("--axes", "tyx", "--threshold", "2", "--overwrite")
    tables = []
    for size in ("100", "80"):
        assert localize(tmp_path / "bare.npy", *words, "--pixel-size-nm", size)[0] == 0
        tables.append(read_table(tmp_path / "table.csv"))
    np.testing.assert_allclose(tables[1]["x_nm"], 0.8 * tables[0]["x_nm"], atol=2e-5)


def test_picasso_gets_its_own_table(localize, movie, tmp_path):
    assert localize(movie, output="locs.hdf5")[0] == 0
    assert localize(movie)[0] == 0
    ours, theirs = read_table(tmp_path / "table.csv"), read_table(tmp_path / "locs.hdf5")
    np.testing.assert_allclose(theirs["x_nm"], ours["x_nm"], atol=0.01)
    assert theirs["frame"].tolist() == ours["frame"].tolist()


@pytest.mark.parametrize(
    ("values", "kind", "found"),
    [
        ({"threshold": "much"}, "InputError", "'much'"),
        ({"output": "table.xlsx"}, "OutputError", "'.xlsx'"),
        ({"output": "no/such/folder/table.csv"}, "OutputError", "is missing"),
        ({"model": "no-such-model"}, "PackageError", ""),
        ({"input": "no-such-movie.tif"}, "ImageError", "no such file"),
    ],
)
def test_what_cannot_be_done_is_said_at_once(capsys, movie, tmp_path, values, kind, found):
    fixed = {"model": "deep-storm", "input": str(movie), "output": str(tmp_path / "table.csv")}
    words = [word for name, value in (fixed | values).items() for word in (f"--{name}", value)]
    exit_code = main(["localize", *words])
    error = json.loads(capsys.readouterr().out.splitlines()[-1])["error"]
    assert (exit_code, error["kind"]) == (2, kind)
    assert found in error["found"]


def test_a_table_that_is_there_is_kept_unless_asked(localize, movie, tmp_path):
    (tmp_path / "table.csv").write_text("precious")
    exit_code, status = localize(movie)
    assert (exit_code, status["error"]["kind"]) == (2, "OutputError")
    assert (tmp_path / "table.csv").read_text() == "precious"


def test_a_model_of_images_is_refused_with_the_reason(localize, movie, write_package, tmp_path):
    exit_code, status = localize(movie, model=str(write_package(tmp_path / "toy")))
    assert (exit_code, status["error"]["kind"]) == (2, "PackageError")
    assert "no upscaling is declared" in status["error"]["found"]
    assert "zoobridge predict" in status["error"]["remedy"]


def test_a_movie_unlike_the_model_s_is_warned_of(localize, tmp_path):
    dark = xr.DataArray(np.zeros((3, 48, 48), np.uint16), dims=("t", "y", "x"))
    dark.attrs["pixel_size_nm"] = {"y": 100.0, "x": 100.0}
    write_image(tmp_path / "dark.tif", dark)
    exit_code, status = localize(tmp_path / "dark.tif")
    assert exit_code == 0
    assert any("from 0 to 0" in warning for warning in status["warnings"])


# -- models that give coordinates -----------------------------------------------------------------


@pytest.fixture(scope="module")
def localizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write a small package of coordinates, of random weights."""
    return str(write_localizer(tmp_path_factory.mktemp("packages") / "localizer"))


@pytest.fixture
def spots(tmp_path: Path) -> Path:
    """Write eight frames as the package's camera would see them."""
    conditions = TRAINED_ON.model_copy(
        update={"size_px": 64, "density_per_um2": (1.0, 1.0), "empty_share": 0.0}
    )
    patches = simulate_patches(conditions, 8, generator=torch.Generator().manual_seed(2))
    frames = patches.frames[:, 0].numpy().astype(np.uint16)
    movie = xr.DataArray(frames, dims=("t", "y", "x"))
    movie.attrs["pixel_size_nm"] = {"y": 100.0, "x": 100.0}
    write_image(tmp_path / "spots.tif", movie)
    return tmp_path / "spots.tif"


def test_a_localizers_table_has_uncertainties_and_its_report_the_movie(
    localize, localizer, spots, tmp_path
):
    exit_code, status = localize(spots, model=localizer)
    assert exit_code == 0, status
    header = (tmp_path / "table.csv").read_text().splitlines()[0].split(",")
    assert header == [
        f'"{name}"'
        for name in (
            *("id", "frame", "x [nm]", "y [nm]", "intensity [photon]", "offset [photon]"),
            *("uncertainty_xy [nm]", "uncertainty_x [nm]", "uncertainty_y [nm]"),
            *("uncertainty_intensity [photon]", "probability"),
        )
    ]
    table = read_table(tmp_path / "table.csv")
    report = json.loads(Path(status["report"]).read_text("utf-8"))
    assert report["figures"]["median_photons"] == pytest.approx(table["photons"].median(), rel=1e-6)
    assert sum(report["figures"]["subpixel_x"]) == len(table)
    assert report["movie_facts"]["n_frames"] == 8
    assert status["outputs"]["kind"] == "localizer"
    assert open_image(status["outputs"]["picture"]).sizes["y"] > 100


def test_a_movie_unlike_a_localizers_is_refused_with_the_figures(
    localize, localizer, spots, tmp_path
):
    frames = open_image(spots).load()
    bright = frames.copy(data=(frames.values + 400).astype(np.uint16))
    write_image(tmp_path / "bright.tif", bright)
    exit_code, status = localize(tmp_path / "bright.tif", model=localizer)
    assert (exit_code, status["error"]["kind"]) == (2, "ImageError")
    assert "background" in status["error"]["found"].lower()
    assert "--anyway" in status["error"]["remedy"]
    assert not (tmp_path / "table.csv").exists()
    exit_code, status = localize(tmp_path / "bright.tif", "--anyway", model=localizer)
    assert exit_code == 0
    assert any("background" in warning.lower() for warning in status["warnings"])
    words = ("--overwrite", "--camera-offset-adu", "500")
    exit_code, status = localize(tmp_path / "bright.tif", *words, model=localizer)
    assert exit_code == 0, status["error"]


def test_the_camera_of_a_protocol_beside_the_movie_is_taken(localize, localizer, spots, tmp_path):
    camera = {"pixelSize": 100.0, "photons2ADU": 0.5, "quantumEfficiency": 1.0, "offset": 300.0}
    frames = open_image(spots).load()
    other = frames.copy(data=((frames.values - 100.0) * 2 + 300).astype(np.uint16))
    write_image(tmp_path / "other.tif", other)
    text = json.dumps({"cameraSettings": {**camera, "isEmGain": False}})
    (tmp_path / "other-protocol.txt").write_text(text)
    exit_code, status = localize(tmp_path / "other.tif", model=localizer)
    assert exit_code == 0, status["error"]
    assert any("other-protocol.txt: offset 300, 0.5" in w for w in status["warnings"])
    found = read_table(tmp_path / "table.csv")
    localize(spots, "--overwrite", model=localizer)
    expected = read_table(tmp_path / "table.csv")
    np.testing.assert_allclose(found["photons"], expected["photons"], rtol=1e-4)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(localizer, tmp_path):
    """Kill the process itself behind its first block of 500 frames, and start another."""
    rng = np.random.default_rng(1)
    np.save(tmp_path / "long.npy", rng.poisson(15.0, (1_200, 64, 64)).astype(np.uint16) + 100)
    words = ["--model", localizer, "--input", str(tmp_path / "long.npy"), "--axes", "tyx"]
    words += ["--pixel-size-nm", "100", "--anyway", "--engine", "onnxruntime", "--resume"]
    command = [sys.executable, "-m", "bridge", "localize", *words, "--output"]
    subprocess.run([*command, "whole.csv"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)

    journal = tmp_path / ".killed.csv.part.journal"
    with subprocess.Popen(
        [*command, "killed.csv"], cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            if journal.exists() and '"done' in journal.read_text():
                process.kill()
    assert process.returncode < 0
    assert journal.exists()
    assert not (tmp_path / "killed.csv").exists()

    last = subprocess.run([*command, "killed.csv"], cwd=tmp_path, check=True, capture_output=True)
    warnings = json.loads(last.stdout.splitlines()[-1])["warnings"]
    assert any("An interrupted run had done" in warning for warning in warnings)
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
