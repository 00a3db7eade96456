from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bridge.zoo.package import Package, open_package

from . import packages
from .packages import Case

ZOO_PACKAGES = Path(__file__).parents[3] / "shared" / "data" / "zoo_packages"
torch.set_num_threads(1)  # the networks are tiny
Shelf = Callable[[Case], Package]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep data and cache of every test to itself."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Give a case's package, built once for all tests."""
    root = tmp_path_factory.mktemp("packages")

    def find(case: Case) -> Package:
        folder = root / case.name
        if not folder.exists():
            packages.build(case, folder)
        return open_package(folder)

    return find


@pytest.fixture
def zoo_packages() -> Path:
    if not ZOO_PACKAGES.is_dir():
        pytest.skip(f"the zoo's example packages are not at {ZOO_PACKAGES}")
    return ZOO_PACKAGES
