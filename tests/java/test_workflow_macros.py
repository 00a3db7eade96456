"""The macros of several steps, in plain ImageJ with its windows, and the real ``zoobridge``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import planted_networks as planted
import pytest
import xarray as xr
from imagej_process import ABORTED, ImageJ, MacroRun

from bridge.images.read import open_image
from bridge.images.write import write_image
from tests.smlm.localizer_package import write_localizer

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

TINY_LOCALIZER: Final = TINY.replace("data.patch_px=16", "package.test_share=0.01")
"""The same for a localizer, which is judged on few frames too."""

PROTOCOL: Final = {
    "version": "ThunderSTORM (dev-2016-09-10-b1)",
    "cameraSettings": {
        "pixelSize": 100.0,
        "photons2ADU": 1.0,
        "quantumEfficiency": 1.0,
        "isEmGain": False,
        "offset": 100.0,
        "readoutNoise": 1.5,
    },
    "postProcessing": [],
}
"""What ThunderSTORM writes beside a table of the movies simulated here."""


def part(macro: Path, mark: str) -> str:
    return macro.read_text("ascii").partition(mark)[2]


def run(imagej: ImageJ, macro: str, argument: str) -> MacroRun:
    """Run a macro as a user's macro does, by its name."""
    return imagej.run_macro(f'return runMacro("{macro}", getArgument());', argument)


def simulated(path: Path, n_frames: int, density_per_um2: float) -> Path:
    """Simulate a movie; its truth lies beside it, as a table of ThunderSTORM with its protocol."""
    zoobridge = Path(sys.executable).with_name("zoobridge")
    words = [zoobridge, "simulate", "--output", path, "--preset", "smlm-benchmark"]
    size = ["--frames", str(n_frames), "--width-px", "48", "--height-px", "48"]
    density = ["--density-per-um2", str(density_per_um2)]
    subprocess.run([*map(str, words), *size, *density], check=True, capture_output=True)
    protocol = path.with_name(f"{path.stem}.truth-protocol.txt")
    protocol.write_text(json.dumps(PROTOCOL, indent=2))  # in lines, as ThunderSTORM's
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
    assert len(jobs) >= 5
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


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A movie of which a table and its protocol are beside it."""
    return simulated(tmp_path_factory.mktemp("my movies") / "a b.tif", 40, 0.3)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("dense") / "dense [1].tif", 3, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "heading"),
    [
        ("localizer", ["uncertainty_xy [nm]", "uncertainty_x [nm]", "uncertainty_y [nm]"]),
        ("deep-storm", ["x [nm]", "y [nm]"]),
    ],
)
def test_training_on_a_given_table_and_localizing_by_the_program(
    recipe: str, heading: list[str], imagej: ImageJ, sparse: Path, dense: Path, tmp_path: Path
) -> None:
    tiny = TINY_LOCALIZER + " anyway=true" if recipe == "localizer" else TINY
    table = sparse.with_name("a b.truth.csv")
    movies = f"sparse=[{sparse}] table=[{table}] dense=[{dense}]"

    done = run(
        imagej,
        "train_on_thunderstorm.ijm",
        f"{movies} folder=[{tmp_path}/out] recipe={recipe} {tiny}",
    )

    found = tmp_path / "out" / "dense__1_-localized.csv"
    assert not done.dialogs
    assert done.returned == str(found)
    header, first, *_ = found.read_text().splitlines()
    assert {f'"{name}"' for name in heading} <= set(header.split(","))
    # ThunderSTORM takes 1.5e-3 for 1.5, and drops rows with nan or another number of cells
    assert len(first.split(",")) == len(header.split(","))
    assert all(re.fullmatch(r"-?\d+(\.\d+)?|NaN|Infinity", cell) for cell in first.split(","))
    assert "no ThunderSTORM here" in done.log
    has_page = f"{tmp_path}/out/run/page.html" in done.log
    assert has_page == (recipe == "localizer")


@pytest.mark.slow
def test_the_camera_of_the_protocol_is_what_the_network_learns(
    imagej: ImageJ, sparse: Path, dense: Path, tmp_path: Path
) -> None:
    """Where the camera contradicts movie and table, training says so before it begins."""
    table = tmp_path / "exported.csv"
    table.write_bytes(sparse.with_name("a b.truth.csv").read_bytes())
    camera = PROTOCOL["cameraSettings"]
    wrong = {**PROTOCOL, "cameraSettings": {**camera, "photons2ADU": 9.0}}
    (tmp_path / "exported-protocol.txt").write_text(json.dumps(wrong, indent=2))
    movies = f"sparse=[{sparse}] table=[{table}] dense=[{dense}]"

    done = run(imagej, "train_on_thunderstorm.ijm", f"{movies} folder=[{tmp_path}/out] {TINY}")

    (dialog,) = done.dialogs
    assert "9 photons per count" in dialog
    assert done.returned == ABORTED


def test_a_table_without_protocol_needs_a_pixel_size(imagej: ImageJ, tmp_path: Path) -> None:
    for name in ("movie.tif", "table.csv"):
        (tmp_path / name).write_text("never read")
    movie = tmp_path / "movie.tif"
    argument = f"sparse=[{movie}] dense=[{movie}] table=[{tmp_path}/table.csv] folder=[{tmp_path}]"

    done = run(imagej, "train_on_thunderstorm.ijm", argument)

    (dialog,) = done.dialogs
    assert "Give pixel_size_nm" in dialog
    assert done.returned == ABORTED


def test_a_table_that_is_there_is_not_written_over(imagej: ImageJ, tmp_path: Path) -> None:
    (tmp_path / "movie.tif").write_text("never read")
    (tmp_path / "movie-localized.csv").write_text("somebody's")
    movie = f"[{tmp_path}/movie.tif]"

    done = run(
        imagej,
        "train_on_thunderstorm.ijm",
        f"sparse={movie} dense={movie} table=[/t.csv] folder=[{tmp_path}]",
    )

    (dialog,) = done.dialogs
    assert "movie-localized.csv is there already" in dialog
    assert (tmp_path / "movie-localized.csv").read_text() == "somebody's"


@pytest.fixture(scope="module")
def localizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of coordinates, of random weights."""
    return write_localizer(tmp_path_factory.mktemp("packages") / "a localizer")


@pytest.mark.slow
def test_a_movie_becomes_an_image_by_the_program(
    imagej: ImageJ, localizer: Path, sparse: Path, tmp_path: Path
) -> None:
    places = f"model=[{localizer}] input=[{sparse}] folder=[{tmp_path}/out]"
    loose = "keep=[uncertainty_xy_nm < 100000 and photons > 0] magnification=5 anyway=true"

    done = run(imagej, "localize_link_render.ijm", f"{places} {loose}")

    assert not done.dialogs
    assert done.returned == "a_b-rendered.tif"
    (picture,) = done.pictures
    assert picture.dimensions == (240, 240, 1, 1, 1)
    steps = ("localized", "linked", "kept")
    tables = [(tmp_path / "out" / f"a_b-{step}.csv").read_text().splitlines() for step in steps]
    assert len(tables[0]) > len(tables[1]) >= len(tables[2]) > 1
    assert '"detections"' in tables[1][0]
    assert 0 < picture.means[0] * 240 * 240 <= (len(tables[2]) - 1) * 1.001  # each spot is 1


@pytest.mark.slow
def test_a_movie_unlike_the_models_is_refused_by_the_macro_too(
    imagej: ImageJ, localizer: Path, sparse: Path, tmp_path: Path
) -> None:
    places = f"model=[{localizer}] input=[{sparse}] folder=[{tmp_path}]"

    done = run(imagej, "localize_link_render.ijm", f"{places} pixel_size_nm=160")

    (dialog,) = done.dialogs
    assert "trained for 100 nm" in dialog
    assert done.returned == ABORTED
    assert not list(tmp_path.glob("*.csv"))


@pytest.mark.slow
def test_centrioles_are_restored_found_and_verified(imagej: ImageJ, tmp_path: Path) -> None:
    zoobridge = Path(sys.executable).with_name("zoobridge")
    words = ["pairs", "--simulate", "widefield-confocal", "--fields", "3", "--output"]
    subprocess.run([zoobridge, *words, tmp_path / "pairs"], check=True, capture_output=True)
    image = sorted((tmp_path / "pairs" / "input").glob("*.tif"))[0]
    small = (
        "steps=4 change=[network.arguments.width=4;network.arguments.depth=2;data.fields=4;"
        "data.simulation.edge_px=128;data.patch_px=32;data.validation_patches=4;"
        "fit.steps_per_epoch=2;fit.batch=2]"
    )
    folder = tmp_path / "out"
    done = run(imagej, "centrioles.ijm", f"input=[{image}] folder=[{folder}] {small}")

    assert (folder / f"{image.stem}-confocal.tif").is_file(), done
    assert (folder / f"{image.stem}-centrioles.csv").is_file()
    assert (folder / f"{image.stem}-verified.html").is_file()


@pytest.mark.slow
def test_networks_are_trained_and_compared_on_one_page(imagej: ImageJ, tmp_path: Path) -> None:
    folder = tmp_path / "my comparison"
    done = run(imagej, "compare_restorations.ijm", f"folder=[{folder}] fields=8 steps=4")

    page = folder / "compared" / "page.html"
    assert done.returned == str(page), done
    assert not done.dialogs
    assert page.stat().st_size > 10_000
    rows = (folder / "compared" / "summary.csv").read_text().splitlines()
    names = ("EDSR (confocal to STED)", "SRGAN (confocal to STED)", "Richardson-Lucy", "all black")
    assert all(any(name in row for row in rows) for name in names)


@pytest.mark.slow
def test_a_widefield_image_is_enlarged_explained_and_turned_into_storm(
    imagej: ImageJ, tmp_path: Path
) -> None:
    model = planted.write(tmp_path / "chain", "x_microscopy").root
    pixels = np.rint(255 * planted.draw_field(1001).wf).astype(np.float32)
    coarse = xr.DataArray(pixels[::2, ::2], dims=("y", "x"))
    coarse.attrs["pixel_size_nm"] = {"y": 64.0, "x": 64.0}
    image, folder = tmp_path / "cell.tif", tmp_path / "out"
    write_image(image, coarse)

    places = f"input=[{image}] folder=[{folder}] model=[{model}] model_pixel_nm=32 trust=true"
    done = run(imagej, "x_microscopy.ijm", places)

    assert done.returned == "cell-x-xm3.tif", done
    (picture,) = done.pictures
    assert picture.dimensions == (64, 64, 1, 1, 1)
    assert picture.means[0] > 0.01
    assert (folder / "cell-explained" / "page.html").is_file()
    assert open_image(folder / "cell-enlarged.tif").attrs["pixel_size_nm"]["x"] == 32
    assert {path.name for path in folder.glob("cell-x-*.tif")} == {
        f"cell-x-{name}.tif" for name in ("mu_srm", "xm1", "xm2", "xm3")
    }
