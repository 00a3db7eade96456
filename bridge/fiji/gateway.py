"""The way into a user's Fiji from Python: ImageJ2 started from its folder, with our commands in it.

::

    import bridge.fiji

    with bridge.fiji.session("/path/to/Fiji.app") as ij:
        ij.IJ.runMacro('run("ZooBridge Predict", "input=[/data/cells.tif] model=deep-storm");')

Nothing is downloaded: Java is the one of this machine or Fiji's own, and all jars are the folder's.
Java starts once in a process and with one Fiji; it runs on when the session ends.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from bridge.errors import InputError, RunError
from bridge.fiji.folder import recognise
from bridge.fiji.launchers import MENU_DIR, launchers

ENVIRONMENT: Final = "ZOOBRIDGE_FIJI"
"""Environment variable that names the Fiji folder to take."""

Mode = Literal["headless", "interactive"]

_LEAST_JAVA: Final = 11
_LONGEST_CAUSE: Final = 160
_SCRIPTS_PATH: Final = "scijava.scripts.path"


class FijiError(InputError):
    """The folder is no Fiji, or this process cannot start it."""


class JavaError(RunError):
    """Java, or ImageJ in it, doesn't start."""


@contextlib.contextmanager
def session(fiji_dir: str | Path | None = None, *, mode: Mode = "headless") -> Iterator[Any]:
    """Start a Fiji, or go on with the one that runs, and give pyimagej's way into it.

    Parameters
    ----------
    fiji_dir : str or Path, optional
        Fiji's folder; by default the one that ``ZOOBRIDGE_FIJI`` names.
    mode : {"headless", "interactive"}
        ``interactive`` can show windows, and needs a display.

    Yields
    ------
    ImageJ
        pyimagej's gateway, ``ij``. Images left open are closed at the end.

    Raises
    ------
    InputError
        The folder is no Fiji, or Java runs already with another one.
    JavaError
        Java or ImageJ doesn't start.
    """
    ij = _started(find_fiji(fiji_dir), mode)
    try:
        yield ij
    finally:
        close_images()


def find_fiji(fiji_dir: str | Path | None = None) -> Path:
    """Give the folder in which a Fiji keeps its jars.

    Parameters
    ----------
    fiji_dir : str or Path, optional
        Fiji's folder, the one around it, or its program; by default the one that
        ``ZOOBRIDGE_FIJI`` names.

    Returns
    -------
    Path
        Absolute, and with ``jars`` in it.

    Raises
    ------
    InputError
        There is no such folder, or it holds no ImageJ2.
    """
    given = str(fiji_dir or os.environ.get(ENVIRONMENT, ""))
    if not given:
        raise FijiError(
            "fiji",
            "no Fiji folder was given",
            "a folder such as Fiji.app",
            f"Give it, or set the environment variable {ENVIRONMENT}.",
        )
    folder = recognise(Path(given).expanduser())
    if not folder.has_scijava:
        raise FijiError(
            given,
            "this is a plain ImageJ, which has no ImageJ2 in it",
            "the folder of a Fiji",
            "Run its macros in ImageJ itself, or give the folder of a Fiji.",
        )
    if folder.jar_version("imagej-legacy") is None:
        raise FijiError(
            given,
            "its folder 'jars' holds no imagej-legacy, so it has no ImageJ 1.x",
            "a complete Fiji",
            "Let Fiji's updater complete it, or install Fiji anew.",
        )
    return folder.root


def close_images() -> None:
    """Close all images without asking."""
    import jpype  # noqa: PLC0415 - finding a Fiji needs no Java

    windows = jpype.JClass("ij.WindowManager")
    for number in list(windows.getIDList() or []):
        imp = windows.getImage(number)
        if imp is not None:
            imp.changes = False
            imp.close()


@functools.cache
def _gateways() -> dict[Path, Any]:
    """Give what runs in this process: at most one gateway, by the folder of its Fiji."""
    return {}


def _started(fiji_dir: Path, mode: Mode) -> Any:
    import scyjava  # noqa: PLC0415 - finding a Fiji needs no Java

    running = _gateways()
    if fiji_dir in running:
        return running[fiji_dir]
    if scyjava.jvm_started():
        other = next(iter(running), None)
        raise FijiError(
            str(fiji_dir),
            f"Java runs already, with {other or 'something else in it'}",
            "a Python in which no Java has been started",
            "Use one process for each Fiji.",
        )
    running[fiji_dir] = _start(fiji_dir, mode)
    return running[fiji_dir]


def _start(fiji_dir: Path, mode: Mode) -> Any:
    import imagej  # noqa: PLC0415 - takes a second
    import scyjava  # noqa: PLC0415

    _use_java_of(fiji_dir)
    scyjava.config.set_java_constraints(fetch="auto")
    has_imglyb = recognise(fiji_dir).jar_version("imglib2-imglyb") is not None
    if has_imglyb:  # importing imagej asks the network for it
        scyjava.config.endpoints.clear()
    if not has_launchers(fiji_dir):
        scyjava.config.add_option(f"-D{_SCRIPTS_PATH}={_written_launchers()}")
    try:
        return imagej.init(str(fiji_dir), mode=mode)
    except Exception as error:
        raise JavaError(
            str(fiji_dir),
            f"it doesn't start ({type(error).__name__}: {_short(error)})",
            f"Java {_LEAST_JAVA} or later and the complete jars of a Fiji",
            "Check 'java -version', the variable JAVA_HOME, and that this Fiji starts by itself."
            if has_imglyb
            else "The folder has no imglib2-imglyb jar; it is loaded once, from the network.",
        ) from error


def has_launchers(fiji_dir: Path) -> bool:
    """Tell whether our commands are installed in a Fiji."""
    return any((fiji_dir / "scripts" / MENU_DIR).glob("ZooBridge_*"))


def _use_java_of(fiji_dir: Path) -> None:
    """Let Fiji's own Java be found where the machine has none."""
    if os.environ.get("JAVA_HOME") or shutil.which("java"):
        return
    for java in sorted(fiji_dir.glob("java/**/bin/java*")):
        if java.stem == "java" and java.is_file():
            os.environ["JAVA_HOME"] = str(java.parent.parent)
            return


def _written_launchers() -> Path:
    """Write our commands into a folder that lasts as long as this process."""
    folder = Path(tempfile.mkdtemp(prefix="zoobridge-scripts-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name, text in launchers("python").items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return folder


def _short(error: BaseException) -> str:
    line = next(iter(str(error).splitlines()), "no message")
    return line if len(line) <= _LONGEST_CAUSE else f"{line[:_LONGEST_CAUSE]} ..."
