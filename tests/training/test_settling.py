"""The last part of a training, in which batch norms keep their averages."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from bridge.errors import RecipeError
from bridge.jobs.train import find_recipe
from bridge.training.fit import train
from bridge.training.recipe import Recipe, load_recipe


def recipe_of(**changes: object) -> Recipe:
    small: dict[str, object] = {
        "network.arguments.width": 8,
        "data.validation_patches": 4,
        "fit.steps": 8,
        "fit.steps_per_epoch": 4,
        "fit.batch": 2,
        "fit.average": 0,
        "fit.device": "cpu",
    }
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return load_recipe(find_recipe("localizer"), small | named)


def averages(run_dir: Path, name: str) -> list[torch.Tensor]:
    state = torch.load(run_dir / "checkpoints" / name, weights_only=True)["state_dict"]
    return [value for key, value in state.items() if "running" in key]


def rates(run_dir: Path) -> list[float]:
    lines = (run_dir / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("learning_rate")
    return [float(line.split(",")[column]) for line in lines[1:]]


def test_norms_keep_their_averages_while_the_weights_go_on(tmp_path: Path) -> None:
    short = train(recipe_of(fit__steps=4, fit__settle_share=0), tmp_path / "short")
    long = train(recipe_of(fit__settle_share=0.5), tmp_path / "long")
    before, after = averages(short.run_dir, "last.ckpt"), averages(long.run_dir, "last.ckpt")
    assert len(before) == len([m for m in long.task.modules() if isinstance(m, nn.BatchNorm2d)]) * 2
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    weights = [run.task.get_parameter("network.head.weight") for run in (short, long)]
    assert not torch.equal(*weights)


def test_the_rate_falls_to_0_twice(tmp_path: Path) -> None:
    run = train(recipe_of(fit__steps_per_epoch=1, fit__settle_share=0.5), tmp_path / "run")
    found = rates(run.run_dir)
    highest = run.task.recipe.fit.learning_rate
    assert found[3] == pytest.approx(0.3 * highest)  # the settling's first, set after step 4
    assert found[:3] == sorted(found[:3], reverse=True)
    assert found[3:] == sorted(found[3:], reverse=True)
    assert found[-1] == pytest.approx(0, abs=1e-12)


def test_settling_needs_a_schedule_that_ends() -> None:
    with pytest.raises(RecipeError, match="one-cycle"):
        recipe_of(fit__settle_share=0.2, fit__schedule="constant")
