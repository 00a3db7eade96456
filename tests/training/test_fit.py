"""Trainings that are stopped, killed, resumed, refused, and what they leave in their folder."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from bridge.errors import Cancelled, DeviceError, OutputError, RecipeError, TrainingError
from bridge.training import fit as fit_module
from bridge.training.batches import Batch, LabelledFrames
from bridge.training.fit import Run, read_run_recipe, reopen, train
from bridge.training.panels import save_panel


def checkpoint(run_dir: Path, name: str = "last") -> dict[str, Any]:
    path = run_dir / "checkpoints" / f"{name}.ckpt"
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def assert_same_training(run_dir: Path, whole: Run) -> None:
    """Compare weights, averages, optimizer and history bit for bit."""
    for name in ("last", "best"):
        one, other = checkpoint(run_dir, name), checkpoint(whole.run_dir, name)
        for part in ("state_dict", "current_model_state"):
            assert one[part].keys() == other[part].keys()
            for key, value in one[part].items():
                assert torch.equal(value, other[part][key]), (name, part, key)
        moments = [c["optimizer_states"][0]["state"] for c in (one, other)]
        for number, state in moments[0].items():
            for key, value in state.items():
                assert torch.equal(value, moments[1][number][key]), key
        assert one["lr_schedulers"] == other["lr_schedulers"]
    texts = [(folder / "metrics.csv").read_text() for folder in (run_dir, whole.run_dir)]
    assert texts[0] == texts[1]
    for path in (run_dir / "panels").iterdir():
        assert path.read_bytes() == (whole.run_dir / "panels" / path.name).read_bytes()


class StopAt:
    """Progress that ends the training at a step."""

    def __init__(self, step: int, error: BaseException) -> None:
        self.step, self.error = step, error

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if done == self.step:
            raise self.error


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_recipe) -> Run:
    """Train four epochs of three steps, without a stop."""
    return train(small_recipe(), tmp_path_factory.mktemp("whole") / "run")


# Stopped, killed, resumed


def test_a_training_killed_in_its_third_epoch_ends_with_the_same_weights(tmp_path, whole):
    code = """
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from bridge.training.fit import train
from bridge.training.recipe import make_recipe
import yaml
def kill(done, total, note=""):
    if done == 8:
        os.kill(os.getpid(), signal.SIGKILL)
recipe = make_recipe(yaml.safe_load(Path(sys.argv[1]).read_text()), folder=Path("/"), source="x")
train(recipe, Path(sys.argv[2]), progress=kill)
"""
    run_dir = tmp_path / "run"
    command = [sys.executable, "-c", code, str(whole.run_dir / "recipe.yaml"), str(run_dir)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command, timeout=120, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert checkpoint(run_dir)["global_step"] == 6  # two epochs of three steps
    with pytest.raises(Cancelled):  # and once more, in the fourth
        train(whole.task.recipe, run_dir, resume=True, progress=StopAt(11, Cancelled()))
    assert checkpoint(run_dir)["global_step"] == 9
    resumed = train(whole.task.recipe, run_dir, resume=True)
    assert resumed.is_complete
    assert_same_training(run_dir, whole)
    for key, value in resumed.task.state_dict().items():
        assert torch.equal(value, whole.task.state_dict()[key])


@pytest.mark.parametrize(
    "error", [Cancelled("stop"), KeyboardInterrupt()], ids=["cancel", "ctrl-c"]
)
def test_a_stopped_training_keeps_its_epochs_and_goes_on_exactly(tmp_path, whole, error):
    run_dir = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Cancelled):
        train(whole.task.recipe, run_dir, progress=StopAt(8, error))
    assert signal.getsignal(signal.SIGINT) is before
    note = json.loads((run_dir / "run.json").read_text())
    assert (note["steps_done"], note["is_complete"]) == (6, False)
    assert "stop" in note["stopped_by"]
    assert not reopen(run_dir).is_complete
    train(whole.task.recipe, run_dir, resume=True)
    assert_same_training(run_dir, whole)
    assert json.loads((run_dir / "run.json").read_text())["stopped_by"] is None


def test_a_training_stopped_in_its_first_epoch_starts_again(tmp_path, whole):
    run_dir = tmp_path / "run"
    with pytest.raises(Cancelled):
        train(whole.task.recipe, run_dir, progress=StopAt(2, Cancelled()))
    assert not (run_dir / "checkpoints" / "last.ckpt").exists()
    with pytest.raises(OutputError, match="holds no checkpoint"):
        reopen(run_dir)
    train(whole.task.recipe, run_dir, resume=True)
    assert_same_training(run_dir, whole)


def test_a_finished_training_is_resumed_without_a_step(whole):
    before = checkpoint(whole.run_dir)
    steps: list[int] = []
    again = train(
        whole.task.recipe, whole.run_dir, resume=True, progress=lambda done, *_: steps.append(done)
    )
    assert steps == []
    assert again.is_complete
    assert again.history == whole.history
    for key, value in checkpoint(whole.run_dir)["state_dict"].items():
        assert torch.equal(value, before["state_dict"][key])


def test_two_trainings_with_one_seed_are_the_same_and_with_another_not(
    tmp_path, whole, small_recipe
):
    other = train(small_recipe(fit__seed=2, fit__steps=3), tmp_path / "other")
    same = train(small_recipe(fit__steps=3, fit__schedule="constant"), tmp_path / "one")
    again = train(small_recipe(fit__steps=3, fit__schedule="constant"), tmp_path / "two")
    assert same.history == again.history
    assert other.history[0]["val_loss"] != whole.history[0]["val_loss"]


# Where it runs


def test_a_folder_with_another_training_is_refused(whole, small_recipe):
    with pytest.raises(OutputError, match=r"holds a training already.*--resume"):
        train(small_recipe(), whole.run_dir)


@pytest.mark.parametrize("name", ["recipe.yaml", "README.md"])
def test_files_of_the_user_are_never_replaced(tmp_path, small_recipe, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match="of no training"):
        train(small_recipe(), tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "mine")]


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path, small_recipe):
    with pytest.raises(OutputError, match="holds no training"):
        train(small_recipe(), tmp_path / "nothing", resume=True)
    with pytest.raises(OutputError, match="holds no training"):
        reopen(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, small_recipe):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be made"):
        train(small_recipe(), tmp_path / "file" / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_here_is_refused_from_the_start(tmp_path, whole, small_recipe):
    with pytest.raises(DeviceError, match="no CUDA GPU"):
        train(small_recipe(fit__device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("name", "two, three"),
        ("package.license", "my own"),
        ("package.version", "one"),
        ("package.authors", ["me/you"]),
        ("package.cite", {"A paper": "no DOI"}),
        ("package.description", "long " * 300),
    ],
)
def test_what_the_package_could_not_say_is_refused_from_the_start(
    key: str, said: object, tmp_path, small_recipe
):
    with pytest.raises(RecipeError, match=f"{key}: .* isn't taken by the Model Zoo's format"):
        train(small_recipe(**{key: said}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Its length


def test_minutes_become_steps(tmp_path, small_recipe):
    recipe = small_recipe(fit__minutes=1e-6, fit__learning_rate=3e-2, fit__batch=4)
    run = train(recipe, tmp_path / "run")
    recipe = read_run_recipe(run.run_dir)
    assert recipe.fit.minutes is None
    assert recipe.fit.steps == 20
    assert recipe == run.task.recipe
    assert len(run.history) == 7  # six epochs of three steps and one of two
    assert checkpoint(run.run_dir)["global_step"] == 20


def test_minutes_are_about_minutes(tmp_path, small_recipe):
    recipe = small_recipe(fit__minutes=600.0)
    with pytest.raises(Cancelled):
        train(recipe, tmp_path / "run", progress=StopAt(1, Cancelled()))
    steps = read_run_recipe(tmp_path / "run").fit.steps
    assert 600 * 60 / 2 < steps < 600 * 60 / 0.0005  # a step takes between 0.5 ms and 2 s


def test_it_stops_when_it_gets_no_better(tmp_path, network_file, small_recipe):
    network = network_file("x * 1e-12 + frames.mean() * 0 + x.detach()")  # learns nothing
    settings = {"fit__steps": 60, "fit__patience": 2, "fit__average": 0.0}
    settings |= {"fit__schedule": "constant", "fit__weight_decay": 0.0, "fit__optimizer": "adam"}
    run = train(small_recipe(**network, **settings, fit__learning_rate=1e-30), tmp_path / "run")
    assert run.is_complete
    assert len(run.history) == 3
    assert json.loads((run.run_dir / "run.json").read_text())["steps_done"] == 9


# It comes to nothing


def test_a_loss_that_is_no_number_says_where_and_keeps_the_last_good_state(
    tmp_path, whole, monkeypatch
):
    def open_broken(recipe: Any, *, stride: int) -> Any:
        sources = fit_module_open(recipe, stride=stride)
        return dataclasses.replace(sources, training=Broken(sources.training))

    class Broken:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def batch(self, n: int, key: Any, device: Any) -> Batch:
            batch = self.inner.batch(n, key, device)
            return batch._replace(frames=batch.frames * float("nan")) if key[1] == 7 else batch

    fit_module_open = fit_module.open_sources
    monkeypatch.setattr(fit_module, "open_sources", open_broken)
    with pytest.raises(TrainingError, match="became nan at step 7, epoch 3, learning rate"):
        train(whole.task.recipe, tmp_path / "run")
    state = checkpoint(tmp_path / "run")
    assert state["global_step"] == 6
    assert all(torch.isfinite(v).all() for v in state["state_dict"].values())
    note = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "step 7" in note["stopped_by"]
    assert len(reopen(tmp_path / "run").task.state_dict()) == len(state["state_dict"])


def test_a_learning_rate_far_too_high_never_leaves_a_broken_checkpoint(tmp_path, small_recipe):
    recipe = small_recipe(
        fit__learning_rate=1e30, fit__schedule="constant", fit__clip_norm=0, fit__steps_per_epoch=1
    )
    with pytest.raises(TrainingError, match=r"step|epoch"):
        train(recipe, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        state = torch.load(path, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_frames_that_hold_no_numbers_are_refused_before_it_starts(
    tmp_path, small_recipe, monkeypatch
):
    class Empty:
        def batch(self, n: int, key: Any, device: Any) -> Batch:
            frames = torch.ones(n, 1, 16, 16)
            frames[:3, 0, 2, 2] = float("nan")
            return LabelledFrames(frames, torch.zeros(n, 1, 128, 128))

    opened = fit_module.open_sources
    monkeypatch.setattr(
        fit_module,
        "open_sources",
        lambda *a, **k: dataclasses.replace(opened(*a, **k), training=Empty()),
    )
    with pytest.raises(TrainingError, match="3 of 128 training patches hold values"):
        train(small_recipe(), tmp_path / "run")


def test_a_constant_output_ends_the_training(tmp_path, network_file, small_recipe):
    network = network_file("x * 0 + self.conv.bias.mean()")
    with pytest.raises(TrainingError, match="after epoch 1 its output has one value everywhere"):
        train(small_recipe(**network), tmp_path / "run")
    assert (tmp_path / "run" / "panel.png").is_file()


def test_a_network_that_fails_on_its_patches_is_refused(tmp_path, network_file, small_recipe):
    network = network_file("x.view(-1)[:10]")
    with pytest.raises(RecipeError, match=r"task.upscaling"):
        train(small_recipe(**network), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# What it leaves


def test_the_folder_explains_itself(whole):
    run_dir = whole.run_dir
    with (run_dir / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [{k: float(v) for k, v in row.items()} for row in rows] == whole.history
    assert {"train_loss", "val_loss", "val_correlation", "val_nmse", "val_mass"} <= rows[0].keys()
    for name in ("curves.png", "panel.png", "panels/epoch_0004.png"):
        with Image.open(run_dir / name) as picture:
            picture.load()
            assert picture.width > 300
    assert len(list((run_dir / "panels").iterdir())) == 4
    note = json.loads((run_dir / "run.json").read_text())
    assert note["is_complete"]
    assert note["steps_done"] == 12
    assert note["scaling"]["std"] > 0
    assert note["versions"]["torch"] == torch.__version__
    assert yaml.safe_load((run_dir / "recipe.yaml").read_text())["fit"]["steps"] == 12
    assert any(p.name.startswith("events.out") for p in (run_dir / "tensorboard").iterdir())
    assert not list(run_dir.rglob("*.part"))
    said = (run_dir / "README.md").read_text()
    listed = {p.name for p in run_dir.iterdir()} - {"README.md", "checkpoints"}
    assert all(f"`{name}" in said for name in listed)
    assert "--resume" in said


def test_the_panel_shows_the_averaged_weights_that_were_judged(whole, tmp_path):
    task = reopen(whole.run_dir).task
    task.load_state_dict(checkpoint(whole.run_dir)["state_dict"])  # of the last epoch
    save_panel(tmp_path / "panel.png", task.eval())
    assert (tmp_path / "panel.png").read_bytes() == (whole.run_dir / "panel.png").read_bytes()
    task.load_state_dict(checkpoint(whole.run_dir)["current_model_state"])
    for weights in task.parameters():
        weights.data *= 1.5  # the last weights are too near to differ in 8 bits
    save_panel(tmp_path / "panel.png", task.eval())
    assert (tmp_path / "panel.png").read_bytes() != (whole.run_dir / "panel.png").read_bytes()


def test_the_best_weights_are_those_of_the_lowest_validation_loss(whole):
    losses = [row["val_loss"] for row in whole.history]
    best = losses.index(min(losses))
    assert checkpoint(whole.run_dir, "best")["global_step"] == 3 * (best + 1)


def test_the_average_follows_a_short_training(whole):
    """With a decay of 0.998 from the first step on, 12 steps would leave the first weights."""
    state = checkpoint(whole.run_dir)
    rate = lambda n: min(0.998, (1 + n) / (10 + n))  # noqa: E731
    assert int(state["averaging_state"]["n_averaged"]) == 12
    share_of_first = 1.0
    for n in range(1, 12):
        share_of_first *= rate(n)
    assert share_of_first < 0.001


def test_a_training_lowers_the_loss_on_patches_it_never_saw(whole, tmp_path, small_recipe):
    recipe = small_recipe(fit__steps=40, fit__steps_per_epoch=20, fit__learning_rate=2e-2)
    run = train(recipe, tmp_path / "run")
    losses = [row["val_loss"] for row in run.history]
    assert losses[-1] < 0.7 * whole.history[0]["val_loss"] or losses[-1] < losses[0]
