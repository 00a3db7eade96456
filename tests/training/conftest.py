from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bridge.jobs.train import find_recipe
from bridge.training.recipe import Recipe, load_recipe

SMALL: dict[str, object] = {
    "network.arguments.width": 4,
    "data.patch_px": 16,
    "data.validation_patches": 4,
    "fit.steps": 12,
    "fit.steps_per_epoch": 3,
    "fit.batch": 2,
    "fit.device": "cpu",
}
"""The light network with so few weights and patches that a training takes seconds."""


def small_recipe(**changes: object) -> Recipe:
    """Give the shipped deep-storm recipe, made small; ``fit__batch=3`` changes ``fit.batch``."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    small = {
        key: value for key, value in SMALL.items() if key != "fit.steps" or _is_in_steps(named)
    }
    return load_recipe(find_recipe("deep-storm"), small | named)


def _is_in_steps(changes: dict[str, object]) -> bool:
    return "fit.minutes" not in changes


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", name="small_recipe")
def give_small_recipe() -> Callable[..., Recipe]:
    return small_recipe


@pytest.fixture
def network_file(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """Write an architecture whose output is an expression of ``x``, (b, 1, Y, X) and learned."""

    def write(expression: str) -> dict[str, Any]:
        path = tmp_path / "architecture.py"
        path.write_text(
            "import torch\n"
            "class Net(torch.nn.Module):\n"
            "    def __init__(self):\n"
            "        super().__init__()\n"
            "        self.conv = torch.nn.Conv2d(1, 64, 3, padding=1)\n"
            "    def forward(self, frames):\n"
            "        x = torch.nn.functional.pixel_shuffle(self.conv(frames), 8)\n"
            f"        return {expression}\n"
        )
        return {
            "network__architecture": str(path),
            "network__callable": "Net",
            "network__arguments": {},
        }

    return write
