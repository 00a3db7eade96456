"""A trained network as files: state dict, TorchScript and single-file ONNX, compared."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
    examples: Sequence[NDArray[np.float32]],
    input_names: Sequence[str],
    output_names: Sequence[str],
    stride: int = 1,
) -> None:
    """Write a network in all three formats.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU.
    folder : Path
        Where the files of ``FILES`` go.
    examples : sequence of ndarray, (b, c, y, x), float32
        Inputs as the network gets them; batch, y and x stay free in the graph. Those of the
        others are whole multiples of the first one's.
    input_names, output_names : sequence of str
        Names in the ONNX graph.
    stride : int
        The first input's y and x are multiples of this.
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
    free = [torch.export.Dim(name) for name in ("rows", "columns")]
    batch = torch.export.Dim("batch")
    shapes = []
    for example in examples:
        step = stride * example.shape[2] // examples[0].shape[2]
        shapes.append({0: batch, 2: step * free[0], 3: step * free[1]})
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision, which we don't
    with warnings.catch_warnings():
        # Of two inputs, the sizes of one say those of the other: so it is meant.
        warnings.filterwarnings("ignore", "# The axis name", UserWarning)
        torch.onnx.export(
            network,
            # A batch of 1 would be frozen.
            tuple(torch.from_numpy(np.repeat(example[:1], 2, axis=0)) for example in examples),
            str(path),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_shapes=shapes,
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
    network: nn.Module, folder: Path, *, examples: Sequence[NDArray[np.float32]], limit: float
) -> float:
    """Run TorchScript and ONNX on an example, and compare with the network.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU.
    folder : Path
        With the files of ``FILES``.
    examples : sequence of ndarray, (b, c, y, x), float32
        Inputs as the network gets them.
    limit : float
        Greatest difference allowed, as part of each output's maximum.

    Returns
    -------
    float
        Greatest difference found, as part of the output's maximum.

    Raises
    ------
    NetworkError
        A format differs by more.
    """
    ready = [torch.from_numpy(example) for example in examples]
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        expected = _arrays(network(*ready))
        scripted = torch.jit.load(str(folder / FILES["torchscript"]))  # type: ignore[no-untyped-call]
        outputs = {"torchscript": _arrays(scripted(*ready))}
    session = onnxruntime.InferenceSession(
        folder / FILES["onnx"], providers=["CPUExecutionProvider"]
    )
    names = [told.name for told in session.get_inputs()]
    outputs["onnx"] = session.run(None, dict(zip(names, examples, strict=True)))
    differences = {
        name: max(
            float(abs(one - right).max()) / (float(abs(right).max()) or 1.0)
            for one, right in zip(found, expected, strict=True)
        )
        for name, found in outputs.items()
    }
    worst = max(differences, key=differences.__getitem__)
    if not differences[worst] <= limit:
        found = f"its {worst} weights differ by {differences[worst]:.2g} of the output's maximum"
        raise NetworkError("package", found, f"at most {limit:g}", "Report this architecture.")
    return differences[worst]


def _arrays(outputs: Tensor | Sequence[Tensor]) -> list[NDArray[np.float32]]:
    """Take what a network gave, one output or several, for several."""
    several = [outputs] if isinstance(outputs, Tensor) else outputs
    return [output.numpy() for output in several]
