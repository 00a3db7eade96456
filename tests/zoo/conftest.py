from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

ZOO_PACKAGES = Path(__file__).parents[3] / "shared" / "data" / "zoo_packages"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep data and cache of every test to itself."""
    home = tmp_path / "home"
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that as much as tries to reach another machine."""
    tries: list[object] = []

    def refuse(*args: object, **_: object) -> NoReturn:
        tries.append(args)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    yield
    assert not tries


@pytest.fixture
def zoo_packages() -> Path:
    if not ZOO_PACKAGES.is_dir():
        pytest.skip(f"the zoo's example packages are not at {ZOO_PACKAGES}")
    return ZOO_PACKAGES
