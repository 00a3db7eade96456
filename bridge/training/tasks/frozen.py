"""Networks that are done learning, for others to learn behind."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
import yaml
from torch import nn

from bridge.errors import RecipeError
from bridge.training.networks import build_network
from bridge.training.parts import NetworkPart
from bridge.training.tasks.adversarial import load_start
from bridge.training.weights import FILES


def load_frozen(path: Path) -> nn.Module:
    """Load a trained network that won't change any more.

    Parameters
    ----------
    path : Path
        A run's folder, or a package's; of a package the TorchScript weights are taken.

    Returns
    -------
    Module
        In evaluation mode, its weights frozen.

    Raises
    ------
    RecipeError
        The folder holds neither.
    """
    scripted = path / FILES["torchscript"]
    if (path / "recipe.yaml").is_file():
        network = build_network(network_of_run(path))
        load_start(network, path)
    elif scripted.is_file():
        with warnings.catch_warnings():
            # torch 2.15 calls TorchScript deprecated, but it needs no code of the package.
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
            network = torch.jit.load(str(scripted), map_location="cpu")  # type: ignore[no-untyped-call]
    else:
        remedy = "Name the folder of a training, or its package."
        raise RecipeError(str(path), "holds no trained network", "a run or package", remedy)
    return network.eval().requires_grad_(False)


def floor_of(path: Path) -> float:
    """Give the floor that a run's, or a package's, network stretches widefield images with.

    Raises
    ------
    RecipeError
        The folder doesn't say.
    """
    note, description = path / "run.json", path / "rdf.yaml"
    try:
        if note.is_file():
            return float(json.loads(note.read_text(encoding="utf-8"))["scaling"]["floor"])
        content = yaml.safe_load(description.read_text(encoding="utf-8"))
        return float(content["config"]["zoobridge"]["least_range"]["widefield"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        found = "doesn't say how it stretches widefield images"
        raise RecipeError(str(path), found, "a run or package of UR-Net-8") from error


def network_of_run(run_dir: Path) -> NetworkPart:
    """Give the network of a run, its architecture's path absolute."""
    content = yaml.safe_load((run_dir / "recipe.yaml").read_text(encoding="utf-8"))
    part = NetworkPart.model_validate(content["network"])
    return part.model_copy(update={"architecture": run_dir / part.architecture})
