"""What the tests of the restoration networks share: exports, and how far a network sees."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from bridge.training.weights import FILES, write_weights


def count(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give layers that start from zero some weights, so that the network does something."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in network.parameters():
            if weights.ndim == 4 and not weights.any():
                spread = (weights[0].numel()) ** -0.5
                weights.copy_(spread * torch.randn(weights.shape, generator=generator))
    return network.eval()


def written_differences(
    network: nn.Module, folder: Path, inputs: list[list[Tensor]], n_outputs: int = 1
) -> list[float]:
    """Write TorchScript and ONNX; greatest difference from the network for each set of inputs."""
    names = [f"input_{number}" for number in range(len(inputs[0]))]
    write_weights(
        network,
        folder,
        examples=[tensor.numpy() for tensor in inputs[0]],
        input_names=names,
        output_names=[f"output_{number}" for number in range(n_outputs)],
        stride=network.stride,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        scripted = torch.jit.load(str(folder / FILES["torchscript"]))
    session = onnxruntime.InferenceSession(str(folder / FILES["onnx"]))
    found = []
    for tensors in inputs:
        with torch.no_grad():
            wanted, script = network(*tensors), scripted(*tensors)
        if n_outputs == 1:
            wanted, script = (wanted,), (script,)
        feed = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        for whole, one, other in zip(wanted, script, session.run(None, feed), strict=True):
            assert one.shape == whole.shape == other.shape
            found.append(float(np.abs(other - whole.numpy()).max()))
            found.append(float((one - whole).abs().max()))
    return found


def reach_px(network: Callable[[Tensor], Tensor], *, edge_px: int) -> int:
    """Farthest input pixel, along x, that the middle output pixel at scale 1 depends on."""
    image = torch.rand(1, 1, edge_px, edge_px, generator=torch.Generator().manual_seed(3))
    image.requires_grad_(True)
    middle = edge_px // 2
    network(image)[0, 0, middle, middle].backward()
    seen = torch.nonzero(image.grad[0, 0].abs().sum(dim=0)).flatten()
    return int((seen - middle).abs().max())
