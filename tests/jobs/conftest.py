from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep data, cache and logs of every test to itself."""
    home = tmp_path / "home"
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(home))
    return home


@pytest.fixture
def write_package(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Give ``toy_packages.write_package(folder, change=None)``."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "zoo"))
    import toy_packages  # noqa: PLC0415 - found only now

    make_onnx = toy_packages.make_onnx

    def make_readable_onnx(network: Any) -> Any:
        model = make_onnx(network)
        model.ir_version = 10  # onnx writes the newest, which ONNX Runtime learns to read later
        return model

    monkeypatch.setattr(toy_packages, "make_onnx", make_readable_onnx)
    write: Callable[..., Path] = toy_packages.write_package
    return write
