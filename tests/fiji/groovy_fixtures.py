"""Fixtures: real Java with the Groovy client in it, one process of each kind for all tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from groovy_process import CLIENT, LAUNCHERS, Groovy, environment, start_imagej, start_imagej2


@pytest.fixture(scope="session")
def zoo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoobridge home")


@pytest.fixture(scope="session")
def _headless(tmp_path_factory: pytest.TempPathFactory, zoo_home: Path) -> Iterator[Groovy]:
    home = tmp_path_factory.mktemp("java") / "imagej home"
    groovy = start_imagej(
        home, env=environment(ZOOBRIDGE_HOME=str(zoo_home)), python=sys.executable
    )
    yield groovy
    groovy.quit()


@pytest.fixture
def headless(_headless: Groovy) -> Groovy:
    """ImageJ without windows; its worker stays from test to test."""
    return _headless


@pytest.fixture(scope="session")
def without_appose(tmp_path_factory: pytest.TempPathFactory, zoo_home: Path) -> Iterator[Groovy]:
    """The same without Appose: a process for each request."""
    groovy = start_imagej(
        tmp_path_factory.mktemp("java") / "home",
        env=environment(ZOOBRIDGE_HOME=str(zoo_home)),
        python=sys.executable,
        with_appose=False,
    )
    yield groovy
    groovy.quit()


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """A virtual X display."""
    if shutil.which("Xvfb") is None:
        tell = pytest.fail if os.environ.get("CI") else pytest.skip
        tell("windows need Xvfb, which is not installed (Debian: xvfb)")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    with os.fdopen(reader) as numbers:
        number = numbers.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="session")
def windowed(
    tmp_path_factory: pytest.TempPathFactory, zoo_home: Path, display: str
) -> Iterator[Groovy]:
    """ImageJ with windows."""
    groovy = start_imagej(
        tmp_path_factory.mktemp("java") / "home",
        env=environment(ZOOBRIDGE_HOME=str(zoo_home), DISPLAY=display),
        python=sys.executable,
    )
    yield groovy
    groovy.quit()


@pytest.fixture(scope="session")
def imagej2(tmp_path_factory: pytest.TempPathFactory, zoo_home: Path) -> Iterator[Groovy]:
    """A copy of the ImageJ2 that ZOOBRIDGE_FIJI names, with our launchers, without windows."""
    named = os.environ.get("ZOOBRIDGE_FIJI")
    if not named:
        pytest.skip("ZOOBRIDGE_FIJI names no ImageJ2 or Fiji folder")
    fiji = tmp_path_factory.mktemp("fiji") / "ImageJ2"
    shutil.copytree(named, fiji)
    shutil.copytree(LAUNCHERS, fiji / "scripts" / "Plugins" / "ZooBridge", dirs_exist_ok=True)
    (fiji / "zoobridge").mkdir(exist_ok=True)
    shutil.copy(CLIENT, fiji / "zoobridge")
    (fiji / "zoobridge" / "install.json").write_text(json.dumps({"python": sys.executable}))
    home = tmp_path_factory.mktemp("imagej2 home")
    groovy = start_imagej2(fiji, home, env=environment(ZOOBRIDGE_HOME=str(zoo_home)))
    yield groovy
    groovy.quit()
