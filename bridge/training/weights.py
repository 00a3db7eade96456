"""A trained network as files: state dict, TorchScript and single-file ONNX, compared."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from bridge.errors import NetworkError

FILES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "pytorch_state_dict": "weights.pt",
        "torchscript": "weights_torchscript.pt",
        "onnx": "weights.onnx",
    }
)
"""File name by weight format."""
OPSET: Final = 18
"""Highest operator set that deepImageJ's ONNX Runtime takes."""
_IR_VERSION: Final = 8  # for the ONNX Runtime 1.13 in deepImageJ; not tried there


def write_weights(
    network: nn.Module,
    folder: Path,
    *,
    example: NDArray[np.float32],
    input_name: str,
    output_name: str,
    stride: int = 1,
) -> None:
    """Write a network in all three formats.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU.
    folder : Path
        Where the files of ``FILES`` go.
    example : ndarray, (b, c, y, x), float32
        An input as the network gets it; batch, y and x stay free in the graph.
    input_name, output_name : str
        Names in the ONNX graph.
    stride : int
        Its inputs' y and x are multiples of this.
    """
    torch.save(
        {name: value.contiguous() for name, value in network.state_dict().items()},
        folder / FILES["pytorch_state_dict"],
    )
    with warnings.catch_warnings():
        # torch 2.15 calls TorchScript deprecated, but it is what deepImageJ and QuPath read.
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        scripted = torch.jit.script(network)
        scripted.save(str(folder / FILES["torchscript"]))  # type: ignore[no-untyped-call]
    path = folder / FILES["onnx"]
    # With plain free sizes torch can't see that halving and doubling give the size back.
    rows, columns = (stride * torch.export.Dim(name) for name in ("rows", "columns"))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which we don't
    torch.onnx.export(
        network,
        (torch.from_numpy(np.repeat(example[:1], 2, axis=0)),),  # a batch of 1 would be frozen
        str(path),
        dynamo=True,
        external_data=False,
        opset_version=OPSET,
        input_names=[input_name],
        output_names=[output_name],
        dynamic_shapes=[{0: torch.export.Dim("batch"), 2: rows, 3: columns}],
        verbose=False,
    )
    graph = onnx.load(path)
    graph.ir_version = _IR_VERSION
    graph.doc_string = ""
    for tensor in (*graph.graph.input, *graph.graph.output):
        for axis, size in zip("bcyx", tensor.type.tensor_type.shape.dim, strict=True):
            if not size.HasField("dim_value"):
                size.dim_param = axis  # instead of "4*rows"
    graph.metadata_props.clear()
    for node in graph.graph.node:
        del node.metadata_props[:]  # the exporter's stack traces, with paths of this computer
        node.doc_string = ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def compare_weights(
    network: nn.Module, folder: Path, *, example: NDArray[np.float32], limit: float
) -> float:
    """Run TorchScript and ONNX on an example, and compare with the network.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU.
    folder : Path
        With the files of ``FILES``.
    example : ndarray, (b, c, y, x), float32
        An input as the network gets it.
    limit : float
        Greatest difference allowed, as part of the output's maximum.

    Returns
    -------
    float
        Greatest difference found, as part of the output's maximum.

    Raises
    ------
    NetworkError
        A format differs by more.
    """
    ready = torch.from_numpy(example)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        expected = network(ready).numpy()
        scripted = torch.jit.load(str(folder / FILES["torchscript"]))  # type: ignore[no-untyped-call]
        outputs = {"torchscript": scripted(ready).numpy()}
    session = onnxruntime.InferenceSession(
        folder / FILES["onnx"], providers=["CPUExecutionProvider"]
    )
    outputs["onnx"] = session.run(None, {session.get_inputs()[0].name: example})[0]
    scale = float(abs(expected).max()) or 1.0
    differences = {
        name: float(abs(output - expected).max()) / scale for name, output in outputs.items()
    }
    worst = max(differences, key=differences.__getitem__)
    if not differences[worst] <= limit:
        found = f"its {worst} weights differ by {differences[worst]:.2g} of the output's maximum"
        raise NetworkError("package", found, f"at most {limit:g}", "Report this architecture.")
    return differences[worst]
