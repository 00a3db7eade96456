"""The README's own commands, run as they are written."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _commands(language: str) -> list[list[str]]:
    lines = [line for block in _blocks(language) for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("zoobridge ")]


def _prepare(folder: Path) -> None:
    """Put the files that the README's examples speak of where they look for them."""
    demo = ROOT / "models_zoo" / "deep_storm" / "demo"
    shutil.copy(demo / "movie.tif", folder / "movie.tif")
    for name in ("table.csv", "thunderstorm.csv"):
        shutil.copy(demo / "truth.csv", folder / name)
    shutil.copy(folder / "movie.tif", folder / "dense.tif")
    movies = folder / "movies"
    movies.mkdir()
    for name in ("a.tif", "b.tif"):
        shutil.copy(folder / "movie.tif", movies / name)


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    _prepare(tmp_path)
    blocks = _blocks("python")
    assert blocks
    for block in blocks:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", block],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_readmes_zoobridge_commands_run(tmp_path: Path) -> None:
    _prepare(tmp_path)
    commands = _commands("bash")
    assert len(commands) >= 4
    for words in commands:
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stderr}"
        assert '"ok":true' in done.stdout.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("block", _blocks("shell"), ids=["localizer", "deep-storm"])
def test_the_readmes_trainings_run_and_their_packages_too(block: str, tmp_path: Path) -> None:
    _prepare(tmp_path)
    lines = [line for line in block.splitlines() if line.startswith("zoobridge ")]
    first, *_, last = [shlex.split(line, comments=True) for line in lines]
    assert first[1] == "train"
    assert last[1] in ("predict", "localize")
    if "--minutes" in first:
        place = first.index("--minutes")
        del first[place : place + 2]
    short = ["--steps", "4", "--change", "fit.steps_per_epoch=2", "network.arguments.width=8"]
    for words in (first + short, last):
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        # Four steps teach nothing: that the output is empty is found out, and is no crash.
        expected = (0,) if words[1] == "train" else (0, 1)
        assert done.returncode in expected, f"{' '.join(words)}\n{done.stderr}"
        assert '"zoobridge":1' in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_the_readmes_links_lead_to_files(target: str) -> None:
    assert (ROOT / target).exists()
