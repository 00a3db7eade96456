"""Small real packages for tests: a 3 x 3 convolution as state dict, TorchScript and ONNX."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from bioimageio.spec.utils import write_yaml

ARCHITECTURE = """
import torch


class Toy(torch.nn.Module):
    def __init__(self, width: int = 1) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, width, 3, padding=1)

    def forward(self, x):
        return self.conv(x)  # b, c, y, x
"""


def make_network() -> torch.nn.Module:
    space: dict[str, Any] = {"__name__": "toy"}
    exec(ARCHITECTURE, space)
    torch.manual_seed(0)
    network = space["Toy"](width=1)
    assert isinstance(network, torch.nn.Module)
    return network.eval()


@cache
def _files() -> dict[str, bytes]:
    network = make_network()
    image = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16) / 256
    files = {name: io.BytesIO() for name in ("weights.pt", "script.pt", "in", "out")}
    torch.save(network.state_dict(), files["weights.pt"])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch calls TorchScript outdated
        torch.jit.save(torch.jit.trace(network, torch.from_numpy(image)), files["script.pt"])
        np.save(files["out"], network(torch.from_numpy(image)).numpy())
    np.save(files["in"], image)
    return {
        "net.py": ARCHITECTURE.encode(),
        "README.md": b"# Toy\n\n# Validation\nNone.\n",
        "net.onnx": make_onnx(network).SerializeToString(),
        "weights.pt": files["weights.pt"].getvalue(),
        "script.pt": files["script.pt"].getvalue(),
        "test_input.npy": files["in"].getvalue(),
        "test_output.npy": files["out"].getvalue(),
    }


def write_package(
    folder: Path, change: Callable[[dict[str, Any]], None] | None = None, *, name: str = "rdf.yaml"
) -> Path:
    """Write a valid package of format 0.5; ``change`` may edit its description."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, content_bytes in _files().items():
        (folder / file).write_bytes(content_bytes)
    content = describe(folder)
    if change is not None:
        change(content)
    write_yaml(content, folder / name)
    return folder


def make_onnx(network: torch.nn.Module) -> onnx.ModelProto:
    tensors = [
        onnx.numpy_helper.from_array(value.numpy(), name)
        for name, value in network.state_dict().items()
    ]
    node = onnx.helper.make_node(
        "Conv", ["input", "conv.weight", "conv.bias"], ["output"], pads=[1, 1, 1, 1]
    )
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["b", 1, "y", "x"])
        for name in ("input", "output")
    ]
    graph = onnx.helper.make_graph([node], "toy", ends[:1], ends[1:], tensors)
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def described(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": sha256(path)}


def space(axis: str, **size: Any) -> dict[str, Any]:
    return {"type": "space", "id": axis, **size}


def describe(folder: Path) -> dict[str, Any]:
    grows = {"size": {"min": 16, "step": 1}}
    batch = {"type": "batch"}
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": "Toy model",
        "description": "A convolution.",
        "version": "0.1.0",
        "authors": [{"name": "A B", "github_user": "nobody-knows-me"}],
        "license": "MIT",
        "tags": ["denoising"],
        "cite": [{"text": "none", "url": "https://doi.org/10.1234/none"}],
        "documentation": described(folder / "README.md"),
        "inputs": [
            {
                "id": "input",
                "axes": [batch, {"type": "channel", "channel_names": ["raw"]}]
                + [space(a, **grows) for a in "yx"],
                "data": {"type": "float32"},
                "test_tensor": described(folder / "test_input.npy"),
            }
        ],
        "outputs": [
            {
                "id": "output",
                "axes": [batch, {"type": "channel", "channel_names": ["out"]}]
                + [
                    space(a, halo=1, size={"tensor_id": "input", "axis_id": a, "offset": 0})
                    for a in "yx"
                ],
                "data": {"type": "float32"},
                "test_tensor": described(folder / "test_output.npy"),
            }
        ],
        "weights": {
            "pytorch_state_dict": {
                **described(folder / "weights.pt"),
                "pytorch_version": "2.0.0",
                "architecture": {
                    **described(folder / "net.py"),
                    "callable": "Toy",
                    "kwargs": {"width": 1},
                },
            },
            "torchscript": {
                **described(folder / "script.pt"),
                "pytorch_version": "2.0.0",
                "parent": "pytorch_state_dict",
            },
            "onnx": {
                **described(folder / "net.onnx"),
                "opset_version": 18,
                "parent": "pytorch_state_dict",
            },
        },
    }


def write_package_04(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Path:
    """Write the same package with a description of format 0.4."""
    write_package(folder)
    new = describe(folder)
    weights = {name: dict(entry) for name, entry in new["weights"].items()}
    architecture = weights["pytorch_state_dict"].pop("architecture")
    weights["pytorch_state_dict"].update(
        architecture=f"{architecture['source']}:{architecture['callable']}",
        architecture_sha256=architecture["sha256"],
        kwargs=architecture["kwargs"],
    )
    content: dict[str, Any] = {
        **{key: new[key] for key in ("type", "name", "description", "authors", "license", "tags")},
        "format_version": "0.4.10",
        "timestamp": "2020-01-01T00:00:00",
        "cite": new["cite"],
        "documentation": "README.md",
        "inputs": [
            {
                "name": "input",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"min": [1, 1, 16, 16], "step": [0, 0, 1, 1]},
            }
        ],
        "outputs": [
            {
                "name": "output",
                "axes": "bcyx",
                "data_type": "float32",
                "halo": [0, 0, 1, 1],
                "shape": {
                    "reference_tensor": "input",
                    "scale": [1, 0, 1, 1],
                    "offset": [0, 0.5, 0, 0],
                },
            }
        ],
        "test_inputs": ["test_input.npy"],
        "test_outputs": ["test_output.npy"],
        "weights": weights,
    }
    if change is not None:
        change(content)
    write_yaml(content, folder / "rdf.yaml")
    return folder
