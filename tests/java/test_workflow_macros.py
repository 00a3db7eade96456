"""The macros of several steps, in plain ImageJ with its windows, and the real ``zoobridge``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from imagej_process import ABORTED, ImageJ, MacroRun

MACROS: Final = Path(__file__).parents[2] / "macros"
ALL: Final = sorted(MACROS.glob("*.ijm"))
MENU_MARK: Final = "// ---- The rest is the same in every macro that needs the menu"
JOBS_MARK: Final = "// ---- Jobs, by the menu or by the program"
OF_THE_MENU: Final = [macro for macro in ALL if MENU_MARK in macro.read_text("ascii")]

TINY: Final = (
    "minutes=1 steps=6 threshold=0.0001 change=[network.arguments.width=4;data.patch_px=16;"
    "data.validation_patches=4;fit.steps_per_epoch=3;fit.batch=2]"
)
"""A training of seconds, and a threshold that its blind network passes."""


def part(macro: Path, mark: str) -> str:
    return macro.read_text("ascii").partition(mark)[2]


def run(imagej: ImageJ, macro: str, argument: str) -> MacroRun:
    """Run a macro as a user's macro does, by its name."""
    return imagej.run_macro(f'return runMacro("{macro}", getArgument());', argument)


def simulated(path: Path, n_frames: int) -> Path:
    """Simulate a movie; its truth lies beside it."""
    zoobridge = Path(sys.executable).with_name("zoobridge")
    words = [zoobridge, "simulate", "--output", path, "--preset", "filaments"]
    size = ["--frames", str(n_frames), "--width-px", "48", "--height-px", "48"]
    subprocess.run([*map(str, words), *size], check=True, capture_output=True)
    return path


@pytest.mark.parametrize("macro", ALL, ids=lambda path: path.name)
def test_a_macro_opens_with_five_lines_that_say_what_to_change(macro: Path) -> None:
    lines = macro.read_text("ascii").splitlines()
    opening = [line for line in lines[: lines.index("")] if line.startswith("// ")]

    assert len(opening) in (5, 6)
    assert opening[0].startswith("// ZooBridge: ")
    assert any("Change `" in line for line in opening)
    assert any("runMacro(" in line for line in opening)
    assert max(map(len, lines)) <= 120


def test_the_shared_parts_are_the_same() -> None:
    jobs = [part(macro, JOBS_MARK) for macro in ALL if JOBS_MARK in macro.read_text("ascii")]

    assert len(OF_THE_MENU) == 4
    assert len({part(macro, MENU_MARK) for macro in OF_THE_MENU}) == 1
    assert len(jobs) == 2
    assert len(set(jobs)) == 1


@pytest.mark.parametrize("macro", OF_THE_MENU, ids=lambda path: path.name)
def test_a_macro_of_the_menu_says_in_plain_imagej_how_to_get_it(
    imagej: ImageJ, macro: Path
) -> None:
    done = run(imagej, macro.name, "")

    (dialog,) = done.dialogs
    assert "zoobridge fiji install" in dialog
    assert done.returned == ABORTED


def test_without_thunderstorm_and_table_the_macro_says_what_is_missing(imagej: ImageJ) -> None:
    done = run(imagej, "train_on_thunderstorm.ijm", "sparse=[/a.tif] dense=[/b.tif]")

    (dialog,) = done.dialogs
    assert "no ThunderSTORM" in dialog
    assert done.returned == ABORTED


def test_a_missing_movie_and_a_used_folder_are_named(imagej: ImageJ, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    here = f"table=[/t.csv] dense=[/b.tif] folder=[{tmp_path}]"

    missing = run(imagej, "train_on_thunderstorm.ijm", f"sparse=[/no such movie.tif] {here}")
    used = run(imagej, "simulate_train_evaluate.ijm", f"folder=[{tmp_path}]")

    assert "/no such movie.tif" in missing.dialogs[0]
    assert "holds a run already" in used.dialogs[0]
    assert missing.returned == used.returned == ABORTED


def test_a_job_that_fails_stops_the_macro_with_its_reason(imagej: ImageJ, tmp_path: Path) -> None:
    folder = tmp_path / "new"

    done = run(imagej, "simulate_train_evaluate.ijm", f"folder=[{folder}] preset=nonsense")

    (dialog,) = done.dialogs
    assert "preset: 'nonsense'" in dialog
    assert "filaments" in dialog
    assert done.returned == ABORTED


@pytest.mark.slow
def test_simulation_training_and_judgement_by_the_program(imagej: ImageJ, tmp_path: Path) -> None:
    folder = tmp_path / "my flow"
    size = "frames=20 width_px=48 height_px=48 density=2"

    done = run(imagej, "simulate_train_evaluate.ijm", f"folder=[{folder}] {size} {TINY}")

    assert not done.dialogs
    assert done.returned == f"{folder}/report.html"
    assert "jaccard" in done.log
    assert (folder / "report.html").stat().st_size > 1000
    assert (folder / "run" / "package" / "rdf.yaml").is_file()
    assert len((folder / "found.csv").read_text().splitlines()) > 1


@pytest.mark.slow
def test_training_on_a_given_table_and_localizing_by_the_program(
    imagej: ImageJ, tmp_path: Path
) -> None:
    sparse, dense = simulated(tmp_path / "a b.tif", 20), simulated(tmp_path / "dense [1].tif", 3)
    folder = tmp_path / "out"
    table = sparse.with_suffix(".truth.csv")

    done = run(
        imagej,
        "train_on_thunderstorm.ijm",
        f"sparse=[{sparse}] table=[{table}] dense=[{dense}] folder=[{folder}] {TINY}",
    )

    assert not done.dialogs
    assert done.returned == f"{folder}/dense__1_.csv"
    heading = (folder / "dense__1_.csv").read_text().splitlines()[0]
    assert "x [nm]" in heading
    assert "no ThunderSTORM here" in done.log
