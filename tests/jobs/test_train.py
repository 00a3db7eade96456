"""``zoobridge train`` and ``zoobridge package`` from the shell's words to the JSON status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.errors import InputError
from bridge.jobs.train import Train

SMALL = [
    *("--steps", "6"),
    *("--device", "cpu"),
    "--change",
    *("network.arguments.width=4", "data.patch_px=16", "data.validation_patches=4"),
    *("fit.steps_per_epoch=3", "fit.batch=2"),
]


def run(capsys: pytest.CaptureFixture[str], *words: str) -> dict:
    main(list(words))
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure on few empty frames; the figures stay real."""
    monkeypatch.setattr("bridge.training.heatmap_figures._N_EMPTY", 4)


@pytest.mark.slow
def test_a_training_ends_with_a_package_that_can_be_made_again(tmp_path, capsys, few_frames):
    folder = tmp_path / "run"
    status = run(capsys, "train", "deep-storm", "--output", str(folder), *SMALL)
    assert status["ok"] is True, status
    outputs = status["outputs"]
    assert Path(outputs["package"], "rdf.yaml").is_file()
    assert Path(outputs["panel"]).is_file()
    assert Path(outputs["curves"]).is_file()
    assert any("correlation" in name for name in outputs["figures"])

    refused = run(capsys, "package", str(folder))
    assert "is there already" in refused["error"]["found"]
    again = run(capsys, "package", str(folder), "--output", str(tmp_path / "again"))
    assert again["ok"] is True
    assert again["outputs"]["figures"] == outputs["figures"]


@pytest.mark.parametrize(
    ("words", "what", "found"),
    [
        (["--change", "fit.batch"], "--change", "KEY=VALUE"),
        (["--change", "fit.bacth=4"], "fit.bacth", "batch"),
        (["--stack", "movie.tif"], "--table", "Give both"),
        (["--table", "t.csv"], "--stack", "Give both"),
        (["--stack", "movie.tif", "--table", "t.csv"], "movie.tif", ""),
        (["--like", "missing.csv"], "missing.csv", ""),
        (["--steps", "-4"], "--steps", "whole number"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    tmp_path, monkeypatch, capsys, words, what, found
):
    monkeypatch.chdir(tmp_path)
    status = run(capsys, "train", "deep-storm", "--output", "run", *words)
    assert status["ok"] is False
    error = status["error"]
    assert what in error["what"] + error["found"]
    assert found in " ".join(error.values())
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_refused(capsys):
    assert "dsir" in run(capsys, "train", "deep-strom")["error"]["expected"]


def test_a_pixel_size_goes_to_the_movie_or_else_to_the_simulation():
    movie = Train(stack="a.tif", table="a.csv", pixel_size_nm=122.0)._changes("heatmap")
    assert movie["data.movies"][0]["pixel_size_nm"] == 122.0
    assert "data.simulation.camera.pixel_size_nm" not in movie
    simulated = Train(like="a.csv", pixel_size_nm=122.0)._changes("heatmap")
    assert simulated["data.simulation.camera.pixel_size_nm"] == 122.0


def test_a_localizer_is_made_like_table_and_movie_and_takes_the_camera_by_name():
    job = Train(stack="a.tif", table="a.csv", camera_offset_adu=90.0, em_gain=100.0)
    changes = job._changes("localization")
    assert Path(changes["data.like"]).name == "a.csv"
    assert Path(changes["data.like_stack"]).name == "a.tif"
    assert "data.movies" not in changes
    assert changes["data.simulation.camera.offset_adu"] == 90
    assert changes["data.simulation.camera.kind"] == "emccd"
    with pytest.raises(InputError, match="a movie alone"):
        Train(stack="a.tif")._changes("localization")
