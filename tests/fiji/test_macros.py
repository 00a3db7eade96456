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
from tests.smlm.localizer_package import write_localizer

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

TINY_LOCALIZER: Final = TINY.replace("data.patch_px=16", "package.test_share=0.01")
"""The same for a localizer, which is judged on few frames too."""

CAMERA: Final = {"pixelSize": 100.0, "photons2ADU": 1.0, "isEmGain": False, "offset": 100.0}
"""What ThunderSTORM's protocol says of a camera like the simulated one."""


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
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated movie of 40 frames; beside it its table, with a protocol."""
    path = tmp_path_factory.mktemp("sparse") / "sparse.tif"
    size = ["--frames", "40", "--width-px", "48", "--height-px", "48", "--density-per-um2", "0.3"]
    zoobridge("simulate", "--output", path, "--preset", "smlm-benchmark", *size)
    protocol = json.dumps({"cameraSettings": CAMERA}, indent=2)
    path.with_name("sparse.truth-protocol.txt").write_text(protocol)
    return path


@pytest.fixture(scope="module")
def localizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of coordinates, of random weights."""
    return write_localizer(tmp_path_factory.mktemp("packages") / "a localizer")


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
    imagej2: Groovy, groovy_fiji: Path, sparse: Path, tmp_path: Path
) -> None:
    table = sparse.with_suffix(".truth.csv")
    movies = f"sparse=[{sparse}] table=[{table}] dense=[{sparse}]"
    argument = f"{movies} folder=[{tmp_path}] anyway=true {TINY_LOCALIZER}"

    done = run(imagej2, groovy_fiji, "train_on_thunderstorm.ijm", argument)

    found = tmp_path / "sparse-localized.csv"
    assert done.value == str(found)
    header, *rows = found.read_text().splitlines()
    assert '"uncertainty_xy [nm]"' in header
    assert rows
    assert f"{tmp_path}/run/page.html" in done.log


def test_an_open_movie_is_localized_into_a_table(
    imagej2: Groovy, localizer: Path, sparse: Path, tmp_path: Path
) -> None:
    table = tmp_path / "the table.csv"

    done = imagej2.macro(f"""
        open("{sparse}");
        run("ZooBridge Localize", "model=[{localizer}] output=[{table}] anyway=true");
        return getTitle();
    """)

    assert done.value == "sparse.tif"
    header, *rows = table.read_text().splitlines()
    assert '"uncertainty_xy [nm]"' in header
    assert rows
    assert table.with_suffix(".png").is_file()


def test_an_open_movie_unlike_the_models_is_refused(
    imagej2: Groovy, localizer: Path, sparse: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    localize = f"model=[{localizer}] output=[{table}]"

    def brightened(more: str) -> Run:
        code = f"""
            open("{sparse}");
            run("Add...", "value=400 stack");
            run("ZooBridge Localize", "{localize} {more}");
            return "went on";
        """
        return imagej2.macro(code)

    refused = brightened("")
    assert refused.value == "[aborted]"
    assert "background" in refused.log
    assert not table.exists()

    gone_on = brightened("anyway=true")
    assert gone_on.value == "went on"
    assert "background" in gone_on.log  # as a warning
    assert table.is_file()


def test_a_movie_becomes_an_image_by_tables(
    imagej2: Groovy, groovy_fiji: Path, localizer: Path, sparse: Path, tmp_path: Path
) -> None:
    places = f"model=[{localizer}] input=[{sparse}] folder=[{tmp_path}]"
    loose = "keep=[uncertainty_xy_nm < 100000 and photons > 0] magnification=5 anyway=true"

    done = run(imagej2, groovy_fiji, "localize_link_render.ijm", f"{places} {loose}")

    assert done.value == "sparse-rendered.tif|sparse-rendered.tif 240 240 1"
    linked = (tmp_path / "sparse-linked.csv").read_text()
    assert '"detections"' in linked.splitlines()[0]


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
