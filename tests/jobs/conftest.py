from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bioimageio.spec.utils import write_yaml


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


@pytest.fixture
def write_convolution(write_package: Callable[..., Path]) -> Callable[..., Path]:
    """Give a function that writes a package of one 3 x 3 convolution."""
    import toy_packages as toy  # noqa: PLC0415 - found by the fixture

    def write(folder: Path, name: str, kernel: np.ndarray) -> Path:
        write_package(folder)
        network = toy.make_network()
        network.conv.weight.data = torch.tensor(kernel, dtype=torch.float32)[None, None]
        network.conv.bias.data.zero_()
        torch.save(network.state_dict(), folder / "weights.pt")
        (folder / "net.onnx").write_bytes(toy.make_onnx(network).SerializeToString())
        image = torch.from_numpy(np.load(folder / "test_input.npy"))
        np.save(folder / "test_output.npy", network(image).detach().numpy())
        content = toy.describe(folder)
        content["name"] = name
        del content["weights"]["torchscript"]
        write_yaml(content, folder / "rdf.yaml")
        return folder

    return write
