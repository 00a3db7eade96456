"""The ``models`` jobs, through the shell, on small real packages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bridge.cli import main


@pytest.fixture
def models(capsys):
    """Give a function that runs ``zoobridge models``: exit code, status, and what is shown."""

    def run(*words: str) -> tuple[int, dict, str]:
        exit_code = main(["models", *words])
        out, err = capsys.readouterr()
        return exit_code, json.loads(out.splitlines()[-1]), err

    return run


def test_what_is_added_is_listed_described_and_removed(models, write_package, tmp_path):
    folder = write_package(tmp_path / "a, [b] ü")
    exit_code, status, shown = models("add", str(folder), "--name", "my-toy")
    assert (exit_code, status["outputs"]["name"]) == (0, "my-toy")
    assert Path(status["outputs"]["path"]).is_dir()
    assert "Toy model is installed as my-toy." in shown

    exit_code, status, shown = models("list")
    entry = next(m for m in status["outputs"]["models"] if m["name"] == "my-toy")
    assert (entry["kind"], entry["title"]) == ("installed", "Toy model")
    assert entry["description"] == "A convolution."
    assert "my-toy" in shown

    assert models("info", "my-toy")[1]["outputs"]["name"] == "Toy model"
    assert models("remove", "my-toy")[0] == 0
    assert "my-toy" not in [m["name"] for m in models("list")[1]["outputs"]["models"]]


def test_a_taken_name_needs_overwrite(models, write_package, tmp_path):
    folder = str(write_package(tmp_path / "toy"))
    assert models("add", folder)[0] == 0
    exit_code, status, _ = models("add", folder)
    assert (exit_code, status["error"]["kind"]) == (2, "PackageError")
    assert models("add", folder, "--overwrite")[0] == 0


@pytest.mark.parametrize("words", [("info", "no-such"), ("remove", "no-such"), ("add", "no-such")])
def test_a_missing_package_is_said_so(models, words):
    exit_code, status, _ = models(*words)
    assert (exit_code, status["error"]["kind"]) == (2, "PackageError")


def test_the_packages_that_ship_are_listed_first(models):
    listed = models("list")[1]["outputs"]["models"]
    assert listed[0]["kind"] == "embedded"


def test_info_tells_axes_scales_steps_and_consent(models, write_package, tmp_path):
    def change(content):
        for tensor in (content["inputs"][0], content["outputs"][0]):
            tensor["axes"][2].update(scale=0.1, unit="micrometer")
        content["inputs"][0]["axes"][3]["size"] = 16
        content["inputs"][0]["preprocessing"] = [
            {"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": 1.0}}
        ]
        content["config"] = {"zoobridge": {"pixel_size_nm": 100}}

    folder = write_package(tmp_path / "toy", change)
    exit_code, status, shown = models("info", str(folder))
    assert exit_code == 0, shown
    card = status["outputs"]
    (given,) = card["inputs"]
    assert [axis["size"] for axis in given["axes"]] == ["any", "1", "16, 17, ...", "16"]
    assert given["axes"][2]["scale"] == "0.1 micrometer"
    assert given["processing"] == "scale_linear(gain=2.0, offset=1.0)"
    (made,) = card["outputs"]
    assert [axis["size"] for axis in made["axes"]] == ["any", "1", "input.y", "input.x"]
    assert made["axes"][2]["halo"] == 1
    assert [w["format"] for w in card["weights"]] == ["pytorch_state_dict", "torchscript", "onnx"]
    assert all(w["usable"] for w in card["weights"])
    assert card["zoobridge"] == {"pixel_size_nm": 100}
    assert "consent" in card["trust"]
    for part in ("A convolution.", "MIT", "y: 16, 17, ..., scale 0.1 micrometer", "pixel_size_nm"):
        assert part in shown


def test_info_tells_how_much_larger_an_output_is(models):
    card = models("info", "deep-storm")[1]["outputs"]
    assert card["outputs"][0]["axes"][2]["size"] == "8 x frames.y"
    assert card["trust"] == "ships with zoobridge"


def test_check_runs_every_engine_and_compares_tiles_with_the_whole(models, write_package, tmp_path):
    folder = write_package(tmp_path / "toy")
    exit_code, status, shown = models("check", str(folder), "--trust")
    findings = status["outputs"]["findings"]
    assert exit_code == 0, shown
    tried = [f["sentence"] for f in findings if f["area"] == "test outputs"]
    assert {sentence.split()[0] for sentence in tried} >= {"onnxruntime", "torch", "torchscript"}
    assert all("gives output again" in sentence for sentence in tried)
    (tiles,) = [f for f in findings if f["area"] == "tiles" and "whole" in f["sentence"]]
    assert tiles["level"] == "ok"
    assert "The package works." in shown


def test_check_does_not_run_the_packages_code_without_consent(models, write_package, tmp_path):
    folder = write_package(tmp_path / "toy")
    exit_code, status, _ = models("check", str(folder))
    sentences = [f["sentence"] for f in status["outputs"]["findings"]]
    assert exit_code == 0
    assert any(s.startswith("torch was not run") and "--trust" in s for s in sentences)


def test_check_finds_outputs_that_are_not_those_promised(models, write_package, tmp_path):
    folder = tmp_path / "toy"

    def change(content):
        wrong = np.load(folder / "test_output.npy") + 0.1
        np.save(folder / "wrong.npy", wrong)
        content["outputs"][0]["test_tensor"] = {"source": "wrong.npy"}

    write_package(folder, change)
    exit_code, status, shown = models("check", str(folder), "--trust")
    errors = [f for f in status["outputs"]["findings"] if f["level"] == "error"]
    assert exit_code == 2
    assert errors
    assert {f["area"] for f in errors} == {"test outputs"}
    assert "differ from its test tensor" in status["error"]["found"]
    assert "Error:" in shown


def test_check_can_leave_the_network_alone(models, write_package, tmp_path):
    folder = write_package(tmp_path / "toy")
    status = models("check", str(folder), "--no-execute")[1]
    assert not [f for f in status["outputs"]["findings"] if f["area"] == "test outputs"]


def test_check_of_what_is_no_package_is_a_single_error(models, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"no zip")
    exit_code, status, _ = models("check", str(tmp_path / "x.zip"))
    assert exit_code == 2
    assert [f["level"] for f in status["outputs"]["findings"]] == ["error"]
