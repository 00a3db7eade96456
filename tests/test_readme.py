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


def _prepare(folder: Path) -> None:
    """Put the files that the README's examples speak of where they look for them."""
    shutil.copy(ROOT / "models_zoo" / "deep_storm" / "demo" / "movie.tif", folder / "movie.tif")
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
    lines = [line for block in _blocks("bash") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("zoobridge ")]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command, comments=True)
        done = subprocess.run(
            [sys.executable, "-m", "bridge", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert '"ok":true' in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_the_readmes_links_lead_to_files(target: str) -> None:
    assert (ROOT / target).exists()
