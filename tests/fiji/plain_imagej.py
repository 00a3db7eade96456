"""What the tests do inside real ImageJ without windows; called through ``JavaChild``.

In plain ImageJ, ``run("ZooBridge ...")`` reaches Python through a listener of ImageJ's commands, as
it has no SciJava scripts; options, threads and images are ImageJ's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jpype
import numpy as np
import psutil
import scyjava
import xarray as xr

from bridge.fiji.convert import from_imageplus, keep_overlay, selected_box, to_imageplus
from bridge.fiji.extensions import TITLE, register
from bridge.fiji.gateway import FijiError, close_images, session
from bridge.fiji.launchers import default_texts, function_names
from bridge.fiji.macro_run import open_titles, run_macro
from bridge.fiji.run import perform, run
from bridge.jobs.registry import JOBS, load_job

MOVIE: Final = """
newImage("cells.tif", "16-bit ramp", 48, 40, 1);
setVoxelSize(0.1, 0.1, 1, "um");
"""
"""Macro code that opens an image of 0.1 um pixels."""

SEEN: dict[str, Any] = {}
"""What tests keep in this process from one call to the next."""


def start(java_home: Path, jar: Path, home: Path, zoo_home: Path) -> None:
    """Start Java with ImageJ in it, and make the commands."""
    os.environ["ZOOBRIDGE_HOME"] = str(zoo_home)
    jvm = next(java_home.glob("**/libjvm.so"), None) or next(java_home.glob("**/jvm.dll"))
    jpype.startJVM(
        str(jvm),
        "-Djava.awt.headless=true",
        f"-Duser.home={home}",
        f"-Djava.util.prefs.userRoot={home}",
        f"-Dplugins.dir={home}",
        "--enable-native-access=ALL-UNNAMED",
        "-Xmx1g",
        classpath=[str(jar)],
    )
    with contextlib.suppress(jpype.JException):  # there is no menu bar without windows
        java("ij.IJ").run("Set up", "")
    listener = _commands()
    java("ij.Executer").addCommandListener(listener)
    SEEN["listener"] = listener


def java(name: str) -> Any:
    return jpype.JClass(name)


def _commands() -> Any:

    labels = {load_job(words).label: words for words in JOBS}

    @jpype.JImplements("ij.CommandListener")
    class Commands:
        @jpype.JOverride
        def commandExecuting(self, command: Any) -> Any:  # noqa: N802 - Java's name
            if str(command) == TITLE:
                register(function_names())
                return None
            words = labels.get(str(command))
            if words is None:
                return command
            scope = {
                k: java("java.lang.String")(v) for k, v in default_texts(load_job(words)).items()
            }
            run(" ".join(words), scope)
            return None

    return Commands()


def there_and_back(
    image: xr.DataArray, title: str, unit: str = ""
) -> tuple[xr.DataArray, dict[str, Any]]:
    """Give an image to ImageJ and take it back, and say what ImageJ made of it."""

    imp = to_imageplus(image, title=title, unit=unit)
    return from_imageplus(imp), describe(imp)


def describe(imp: Any) -> dict[str, Any]:
    calibration = imp.getCalibration()
    overlay = imp.getOverlay()
    return {
        "title": str(imp.getTitle()),
        "dimensions": tuple(int(n) for n in imp.getDimensions()),
        "bits": int(imp.getBitDepth()),
        "is_hyperstack": bool(imp.isHyperStack()),
        "unit": str(calibration.getUnit()),
        "voxel": (
            float(calibration.pixelWidth),
            float(calibration.pixelHeight),
            float(calibration.pixelDepth),
        ),
        "interval_s": float(calibration.frameInterval),
        "display_range": (float(imp.getDisplayRangeMin()), float(imp.getDisplayRangeMax())),
        "overlay": [
            tuple(float(getattr(roi.getFloatBounds(), n)) for n in ("x", "y", "width", "height"))
            for roi in (overlay.toArray() if overlay is not None else [])
        ],
    }


def take(code: str) -> xr.DataArray:
    """Run a macro that leaves an image, and take that out of ImageJ."""

    java("ij.IJ").runMacro(code, "")
    return from_imageplus(java("ij.WindowManager").getCurrentImage())


def take_closed() -> xr.DataArray:

    imp = to_imageplus(xr.DataArray(np.ones((3, 4), np.uint8), dims=("y", "x")), title="gone")
    imp.flush()  # what closing its window does
    return from_imageplus(imp)


def edit_virtual_stack() -> tuple[xr.DataArray, xr.DataArray]:
    """Add 7 to the plane on display of a stack that makes its planes anew each time."""

    stack = java("ij.VirtualStack")(6, 5, 3)  # its planes show a running number
    imp = java("ij.ImagePlus")("virtual", stack)
    imp.setSlice(2)
    before = from_imageplus(imp)
    imp.getProcessor().add(7)
    return before, from_imageplus(imp)


def take_with_false_colours() -> xr.DataArray:

    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    imp = to_imageplus(xr.DataArray(pixels, dims=("y", "x")), title="coloured")
    shades = jpype.JArray(jpype.JByte)(range(-128, 128))
    imp.getProcessor().setColorModel(
        java("java.awt.image.IndexColorModel")(8, 256, shades, shades, shades[::-1])
    )
    return from_imageplus(imp)


def carry_overlay(scale: int) -> list[tuple[float, ...]]:
    """Put a rectangle over an image, and a result of its selection beside it."""

    source = java("ij.IJ").createImage("a", "8-bit", 40, 30, 1)
    source.setOverlay(java("ij.gui.Overlay")(java("ij.gui.Roi")(6, 9, 3, 4)))
    source.setRoi(5, 7, 20, 10)
    width, height = (20 * scale, 10 * scale) if scale else (33, 11)
    result = java("ij.IJ").createImage("b", "32-bit", width, height, 1)
    keep_overlay(source, selected_box(source), result)
    assert describe(source)["overlay"] == [(6.0, 9.0, 3.0, 4.0)]
    return list(describe(result)["overlay"])


def memory_after(numbers: tuple[int, ...]) -> list[int]:
    """Give this process's memory in bytes after so many images there and back."""

    image = xr.DataArray(np.ones((1024, 1024), np.float32), dims=("y", "x"))
    sizes, done = [], 0
    for number in numbers:
        for _ in range(number - done):
            there_and_back(image, "a")
        done = number
        sizes.append(int(psutil.Process().memory_info().rss))
    return sizes


@dataclass(frozen=True)
class Ran:
    """What a macro did, and what is open at its end."""

    returned: str
    log: str
    failure: str
    images: dict[str, dict[str, Any]]
    """Open images by title."""
    active: str
    """Title of the active image."""


def run_code(code: str, argument: str, folder: Path) -> Ran:
    """Run macro code as ``zoobridge fiji macro`` does, with no image open before and after."""
    close_images()
    path = folder / "macro.ijm"
    path.write_text(code, encoding="utf-8")
    done = run_macro(path, argument)
    images = {title: describe(imp) for title, imp in open_titles().items()}
    active = java("ij.WindowManager").getCurrentImage()
    title = "" if active is None else str(active.getTitle())
    close_images()
    return Ran(done.returned, done.log, done.failure, images, title)


def press_escape_while(code: str, folder: Path) -> Ran:
    """Run macro code with a finger on Esc."""
    released = threading.Event()

    def press() -> None:
        while not released.wait(0.005):
            java("ij.IJ").setKeyDown(java("java.awt.event.KeyEvent").VK_ESCAPE)

    finger = threading.Thread(target=press)
    finger.start()
    try:
        return run_code(code, "", folder)
    finally:
        released.set()
        finger.join()


class Unreadable:
    """Something in a script's globals that cannot be read."""

    def __str__(self) -> str:
        raise LookupError("no text here")


def run_with_a_bug(folder: Path) -> str:
    """Run a job whose inputs cannot even be read; gives the log."""
    path = folder / "out.txt"
    with _java_output(path):
        assert run("predict", {"model": Unreadable()}) is None
    return path.read_text(encoding="utf-8")


@contextlib.contextmanager
def _java_output(path: Path) -> Iterator[None]:
    system = java("java.lang.System")
    before, stream = system.out, java("java.io.PrintStream")(str(path), "UTF-8")
    system.setOut(stream)
    try:
        yield
    finally:
        stream.close()
        system.setOut(before)


def run_without_stdout(folder: Path) -> Ran:
    """Run a job as ImageJ2 runs a script: with a standard output that cannot be written."""

    class Broken:
        def write(self, text: str) -> int:
            raise AttributeError("'NoneType' object has no attribute 'write'")

        flush = write

    with contextlib.redirect_stdout(Broken()):  # type: ignore[type-var]
        return run_code(MOVIE + 'run("ZooBridge Predict", "model=deep-storm");', "", folder)


def seconds_of_runs(number: int) -> list[tuple[float, float]]:
    """Time a command from the macro's line to its end; gives (all, the job's own) of each run."""
    times = []
    imp = java("ij.IJ").createImage("a", "16-bit ramp", 64, 64, 1)
    java("ij.WindowManager").setTempCurrentImage(imp)
    for _ in range(number):
        started = time.perf_counter()
        done = perform("predict", values={"model": "deep-storm"}, options=None)
        all_s = time.perf_counter() - started
        times.append((all_s, json.loads(done.answer.status)["seconds"]))
    java("ij.WindowManager").setTempCurrentImage(None)
    return times


def predict_outside_a_macro() -> list[str]:
    """Predict for a program that runs no macro; gives the open titles."""
    java("ij.macro.Interpreter").batchMode = False
    imp = java("ij.IJ").createImage("a", "16-bit ramp", 64, 64, 1)
    java("ij.WindowManager").setTempCurrentImage(imp)
    run("predict", {"model": "deep-storm"})
    titles = list(open_titles())
    close_images()
    return titles


# ---- In ImageJ2 or Fiji ----


def start_fiji(fiji_dir: Path, home: Path) -> None:
    """Start a Fiji as a Python user would."""
    os.environ["ZOOBRIDGE_HOME"] = str(home / "zoobridge")
    for name in ("user.home", "java.util.prefs.userRoot"):
        scyjava.config.add_option(f"-D{name}={home}")
    with session(fiji_dir) as ij:
        SEEN["ij"] = ij


def predict_unseen() -> list[str]:
    """Predict an image that has no window, beside one that has; gives the open titles."""
    ij = java("ij.IJ")
    ij.createImage("shown", "16-bit ramp", 48, 40, 1).show()
    ij.run(ij.createImage("unseen", "16-bit ramp", 48, 40, 1), "ZooBridge Predict", "tile=64")
    titles = list(open_titles())
    close_images()
    return titles


def sessions(first: Path, second: Path) -> tuple[str, str]:
    """Ask for the same Fiji again, and for another one."""
    with session(first) as ij:
        again = "the same" if ij is SEEN["ij"] else "another"
    (second / "jars").mkdir(parents=True)
    for name in ("scijava-common-2.99.2.jar", "imagej-legacy-1.2.1.jar"):
        (second / "jars" / name).touch()
    try:
        with session(second):
            return again, "started"
    except FijiError as error:
        return again, str(error)
