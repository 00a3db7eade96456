"""The macros in a real ImageJ2 or Fiji: installed as a user does, with both sets of commands.

They run in a copy of the folder that ZOOBRIDGE_FIJI names, without windows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from groovy_process import Groovy, Run, start_imagej2

from bridge.fiji.gateway import ENVIRONMENT, find_fiji

pytestmark = [
    pytest.mark.fiji,
    pytest.mark.slow,
    pytest.mark.skipif(ENVIRONMENT not in os.environ, reason=f"{ENVIRONMENT} names no folder"),
]

SCALE: Final = 8
TINY: Final = (
    "steps=6 threshold=0.0001 change=[network.arguments.width=4;data.patch_px=16;"
    "data.validation_patches=4;fit.steps_per_epoch=3;fit.batch=2]"
)
"""A training of seconds, and a threshold that its blind network passes."""


def zoobridge(*words: str | Path, code: int = 0) -> dict[str, Any]:
    """Run the program; gives its status."""
    command = [str(Path(sys.executable).with_name("zoobridge")), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    status = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(status, dict)
    return status


def installed(folder: Path, kind: str) -> Path:
    """Copy the Fiji, and install our commands and macros."""
    shutil.copytree(find_fiji(), folder, copy_function=os.link, symlinks=True)
    zoobridge("fiji", "install", folder, "--kind", kind)
    return folder


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated movie of 20 frames; its truth lies beside it."""
    path = tmp_path_factory.mktemp("my movies") / "movie.tif"
    size = ["--frames", "20", "--width-px", "48", "--height-px", "48", "--density-per-um2", "2"]
    zoobridge("simulate", "--output", path, "--preset", "filaments", *size)
    return path


@pytest.fixture(scope="module")
def groovy_fiji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("groovy") / "Fiji.app", "groovy")


@pytest.fixture(scope="module")
def imagej2(groovy_fiji: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Groovy]:
    """ImageJ2 started by Java alone, with the Groovy commands."""
    env = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    groovy = start_imagej2(groovy_fiji, tmp_path_factory.mktemp("home"), env=env)
    yield groovy
    groovy.quit()


@pytest.fixture(scope="module")
def python_fiji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(tmp_path_factory.mktemp("python") / "Fiji.app", "python")


def run(imagej2: Groovy, folder: Path, name: str, argument: str) -> Run:
    """Run an installed macro from another one, which checks as the README says."""
    code = f"""
    title = runMacro("{folder}/macros/ZooBridge/{name}", "{argument}");
    if (title == "[aborted]") exit("failed");
    list = getList("image.titles");
    sizes = "";
    for (i = 0; i < list.length; i++) {{
        selectImage(list[i]);
        sizes = sizes + "|" + list[i] + " " + getWidth() + " " + getHeight() + " " + nSlices;
    }}
    return title + sizes;
    """
    return imagej2.macro(code)


def test_the_active_image_by_the_menu(imagej2: Groovy, groovy_fiji: Path, movie: Path) -> None:
    done = run(
        imagej2, groovy_fiji, "predict_with_menu.ijm", f"input=[{movie}] tile=64 more=[sum=true]"
    )

    assert done.value == "movie-deep-storm|movie.tif 48 48 20|movie-deep-storm 384 384 1"


def test_a_written_result_is_opened(
    imagej2: Groovy, groovy_fiji: Path, movie: Path, tmp_path: Path
) -> None:
    output = tmp_path / "the result.tif"

    done = run(imagej2, groovy_fiji, "predict_with_menu.ijm", f"input=[{movie}] output=[{output}]")

    assert done.value == "the result.tif|movie.tif 48 48 20|the result.tif 384 384 20"


def test_a_failing_command_is_seen_by_the_calling_macro(
    imagej2: Groovy, groovy_fiji: Path, movie: Path
) -> None:
    done = run(imagej2, groovy_fiji, "predict_with_menu.ijm", f"input=[{movie}] tile=many")

    assert done.value == "[aborted]"
    assert "tile: 'many'" in done.log
    assert "failed" in done.log


def test_a_movie_and_its_sum(imagej2: Groovy, groovy_fiji: Path, movie: Path) -> None:
    done = run(imagej2, groovy_fiji, "predict_timelapse.ijm", f"input=[{movie}]")

    assert done.value == (
        "movie-deep-storm-sum|movie.tif 48 48 20"
        "|movie-deep-storm-frames 384 384 20|movie-deep-storm-sum 384 384 1"
    )


def test_slices_are_taken_for_frames(imagej2: Groovy, groovy_fiji: Path) -> None:
    macro = groovy_fiji / "macros" / "ZooBridge" / "predict_timelapse.ijm"
    done = imagej2.macro(f"""
        newImage("depths", "16-bit ramp", 32, 32, 3);
        title = runMacro("{macro}", "wanted=sum");
        return title + " " + nSlices;
    """)

    assert done.value == "depths-deep-storm-sum 1"
    assert "3 slices of depths are its frames now" in done.log


def test_models_are_compared(imagej2: Groovy, groovy_fiji: Path, movie: Path) -> None:
    done = run(
        imagej2,
        groovy_fiji,
        "compare_models.ijm",
        f"input=[{movie}] models=[deep-storm;deep-storm]",
    )

    title, *images = done.value.split("|")
    assert title == "movie.tif-compared"
    width, height, depth = images[-1].removeprefix("movie.tif-compared ").split()
    assert (int(width) // 384, int(height) // 384, depth) == (3, 1, "1")
    rows = [line for line in done.log.splitlines() if line.startswith("movie-deep-storm\t")]
    assert len(rows) == 2
    assert all(row.endswith("\t1.0000") for row in rows)


def test_functions_return_titles_and_reasons(
    imagej2: Groovy, groovy_fiji: Path, movie: Path
) -> None:
    good = run(
        imagej2, groovy_fiji, "functions_with_results.ijm", f"input=[{movie}] more=[sum=true]"
    )
    bad = run(
        imagej2, groovy_fiji, "functions_with_results.ijm", f"input=[{movie}] models=[none;nothing]"
    )

    assert good.value.startswith("movie-deep-storm|")
    assert "my-model: there is no such file" in good.log
    assert bad.value == "[aborted]"
    assert "no model ran on this image" in bad.log


def test_a_network_is_trained_on_a_table(
    imagej2: Groovy, groovy_fiji: Path, movie: Path, tmp_path: Path
) -> None:
    table = movie.with_suffix(".truth.csv")
    argument = f"sparse=[{movie}] table=[{table}] dense=[{movie}] folder=[{tmp_path}] {TINY}"

    done = run(imagej2, groovy_fiji, "train_on_thunderstorm.ijm", argument)

    assert done.value == f"{tmp_path}/movie.csv"
    assert len((tmp_path / "movie.csv").read_text().splitlines()) > 1


def test_python_mode_predicts_and_keeps_the_image(
    python_fiji: Path, movie: Path, tmp_path: Path
) -> None:
    macro = python_fiji / "macros" / "ZooBridge" / "predict_timelapse.ijm"

    status = zoobridge(
        "fiji", "macro", macro, f"input=[{movie}]", "--fiji", python_fiji, "--output", tmp_path
    )

    assert status["outputs"]["returned"] == "movie-deep-storm-sum"
    assert (tmp_path / "movie-deep-storm-sum.tif").is_file()


def test_python_mode_simulates_trains_and_judges(python_fiji: Path, tmp_path: Path) -> None:
    macro = python_fiji / "macros" / "ZooBridge" / "simulate_train_evaluate.ijm"
    argument = f"folder=[{tmp_path}/my run] frames=20 width_px=48 height_px=48 density=2 {TINY}"

    status = zoobridge("fiji", "macro", macro, argument, "--fiji", python_fiji)

    assert status["outputs"]["returned"] == f"{tmp_path}/my run/report.html"
    assert "jaccard" in status["outputs"]["log"]
    assert (tmp_path / "my run" / "report.html").is_file()


def test_python_mode_fails_with_an_exit_code(python_fiji: Path, movie: Path) -> None:
    macro = python_fiji / "macros" / "ZooBridge" / "compare_models.ijm"

    status = zoobridge(
        "fiji",
        "macro",
        macro,
        f"input=[{movie}] models=[none;deep-storm]",
        "--fiji",
        python_fiji,
        code=1,
    )

    assert "no such file" in status["error"]["found"]
