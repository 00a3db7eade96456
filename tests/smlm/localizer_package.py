"""Really valid localizer packages from ``models_zoo/localizer``, with weights that a test gives.

State dict and ONNX, fixed scaling, and what ``config.zoobridge`` of a localizer says.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bioimageio.spec import InvalidDescr, ValidationContext
from bioimageio.spec.model import v0_5
from bioimageio.spec.utils import write_yaml

from bridge.smlm.patches import PatchConditions
from bridge.zoo.description import invalid_reasons
from models_zoo.localizer import architecture
from tests.runtime.packages import described

SCALING = {"mean": 120.0, "std": 50.0}
LEAST_PX = 64
HALO_PX = 28
TRAINED_ON = PatchConditions(
    size_px=40,
    density_per_um2=(0.0, 7.0),
    photons=(200.0, 5000.0),
    background_photons=(2.0, 60.0),
    lines_share=0.0,
    read_noise_e=(0.5, 2.5),
)


def random_network(*, width: int = 8, frames: int = 1, has_z: bool = False) -> torch.nn.Module:
    """Give a network of random weights whose output varies enough to have maxima everywhere."""
    generator = torch.Generator().manual_seed(5)
    network = architecture.Localizer(width=width, frames=frames, has_z=has_z).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                spread = (2.0 / module.weight[0].numel()) ** 0.5
                module.weight.normal_(0, spread, generator=generator)
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.6, 1.4, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
        head = network.get_submodule("head")
        head.get_parameter("weight").mul_(0.2)  # else neighbours are equally certain
        head.get_parameter("bias").copy_(torch.linspace(-0.5, 0.5, head.out_channels))
    return network.requires_grad_(False)


def write_localizer(
    folder: Path,
    network: torch.nn.Module | None = None,
    *,
    width: int = 8,
    frames: int = 1,
    has_z: bool = False,
    trained_on: PatchConditions = TRAINED_ON,
    config: Mapping[str, Any] | None = None,
) -> Path:
    """Write a package; raises where bioimageio.spec calls it invalid."""
    network = network or random_network(width=width, frames=frames, has_z=has_z)
    folder.mkdir(parents=True)
    shutil.copy(Path(architecture.__file__), folder / "architecture.py")
    (folder / "README.md").write_text("# A test package\n\n# Validation\nNone.\n")
    counts = np.random.default_rng(3).poisson(20.0, (1, frames, LEAST_PX, LEAST_PX)) + 100
    counts[..., 8::12, 8::12] += 200
    counts = counts.astype(np.uint16)
    ready = (counts.astype(np.float32) - SCALING["mean"]) / np.float32(SCALING["std"])
    np.save(folder / "input.npy", counts)
    with torch.inference_mode():
        np.save(folder / "output.npy", network(torch.from_numpy(ready)).numpy())
    _save_weights(network, folder, torch.from_numpy(ready))
    names = [*architecture.OUTPUTS, *(["z_nm", "sigma_z_nm"] if has_z else [])]
    said = {
        "task": "localization",
        "frames": frames,
        "outputs": names,
        "receptive_radius_px": HALO_PX,
        "pixel_size_nm": trained_on.camera.pixel_size_nm,
        "trained_on": trained_on.model_dump(mode="json"),
        "measured": {},
        **(config or {}),
    }
    content = _describe(folder, names, said, width=width, frames=frames, has_z=has_z)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the spec warns of missing covers and the like
        context = ValidationContext(root=folder, file_name="rdf.yaml", log_warnings=False)
        description = v0_5.ModelDescr.load(content, context=context)
    assert not isinstance(description, InvalidDescr), invalid_reasons(description)
    write_yaml(content, folder / "rdf.yaml")
    return folder


def _save_weights(network: torch.nn.Module, folder: Path, example: torch.Tensor) -> None:
    torch.save(network.state_dict(), folder / "weights.pt")
    names = {"frames": example, "localizations": example}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch calls this ONNX export outdated
        torch.onnx.export(
            network,
            (example,),
            str(folder / "weights.onnx"),
            dynamo=False,
            opset_version=17,
            input_names=["frames"],
            output_names=["localizations"],
            dynamic_axes={name: {0: f"{name}_b", 2: f"{name}_y", 3: f"{name}_x"} for name in names},
        )


def _describe(
    folder: Path, names: list[str], said: Mapping[str, Any], **arguments: Any
) -> dict[str, Any]:
    to_float = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
    channels = [f"frame{number}" for number in range(arguments["frames"])]
    space = {"type": "space", "unit": "nanometer", "scale": 100.0}
    weights = {
        "pytorch_state_dict": {
            **described(folder / "weights.pt"),
            "pytorch_version": "2.5.0",
            "architecture": {
                **described(folder / "architecture.py"),
                "callable": "Localizer",
                "kwargs": arguments,
            },
        },
        "onnx": {
            **described(folder / "weights.onnx"),
            "opset_version": 17,
            "parent": "pytorch_state_dict",
        },
    }
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": "A small localizer",
        "description": "A localizer for tests.",
        "version": "0.1.0",
        "authors": [{"name": "A B"}],
        "license": "MIT",
        "cite": [{"text": "none", "url": "https://doi.org/10.1234/none"}],
        "tags": ["smlm"],
        "documentation": described(folder / "README.md"),
        "inputs": [
            {
                "id": "frames",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": channels},
                    {**space, "id": "y", "size": {"min": LEAST_PX, "step": 4}},
                    {**space, "id": "x", "size": {"min": LEAST_PX, "step": 4}},
                ],
                "data": {"type": "uint16"},
                "preprocessing": [
                    to_float,
                    {"id": "fixed_zero_mean_unit_variance", "kwargs": SCALING},
                    to_float,
                ],
                "test_tensor": described(folder / "input.npy"),
            }
        ],
        "outputs": [
            {
                "id": "localizations",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": names},
                    *(
                        {
                            **space,
                            "id": dim,
                            "halo": HALO_PX,
                            "size": {"tensor_id": "frames", "axis_id": dim},
                        }
                        for dim in "yx"
                    ),
                ],
                "data": {"type": "float32"},
                "test_tensor": described(folder / "output.npy"),
            }
        ],
        "weights": weights,
        "config": {"zoobridge": dict(said)},
    }
