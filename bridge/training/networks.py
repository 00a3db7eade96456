"""Networks to train, made from the architecture file that a recipe names.

The file is run: a recipe is asked for by name or path, and its code is part of it. Packages of
others never come this way; see :mod:`bridge.zoo.architecture`.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import torch
from torch import nn

from bridge.errors import RecipeError
from bridge.training.recipe import NetworkPart, Recipe


def build_network(part: NetworkPart) -> nn.Module:
    """Make a recipe's network with new weights.

    Parameters
    ----------
    part : NetworkPart
        File, class and arguments.

    Returns
    -------
    Module
        In training mode.

    Raises
    ------
    RecipeError
        The file is missing or doesn't run, or has no such class, or it doesn't take the arguments.
    """
    path = part.architecture
    if not path.is_file():
        raise RecipeError(str(path), "is missing", "the network's architecture file")
    name = f"zoobridge_training_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(str(path), "is no Python file", "the network's architecture file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch.jit look the module up
    what = f"{path}: {part.callable}"
    try:
        spec.loader.exec_module(module)
        make: Any = getattr(module, part.callable)
        network = make(**part.arguments)
    except AttributeError as error:
        raise RecipeError(what, str(error), "a class of that file") from error
    except Exception as error:
        raise RecipeError(what, f"fails with {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise RecipeError(what, f"gives a {type(network).__name__}", "a torch.nn.Module")
    return network


def stride_of(network: nn.Module) -> int:
    """Give the step in camera pixels at which inputs may grow; the network's ``stride``, or 1."""
    return int(getattr(network, "stride", 1))


def check_shapes(network: nn.Module, recipe: Recipe) -> None:
    """Run an empty patch, and refuse a network whose output has another size than its labels.

    Raises
    ------
    RecipeError
        The network fails on a patch, or its output doesn't fit.
    """
    conditions, patch_px = recipe.conditions, recipe.data.patch_px
    n_frames = 1 if conditions is None else conditions.frames
    patch = torch.zeros(2, n_frames, patch_px, patch_px)
    try:
        with torch.no_grad():
            shape = tuple(network.eval()(patch).shape)
    except RuntimeError as error:
        found = f"the network fails on {tuple(patch.shape)}: {str(error).splitlines()[0]}"
        remedy = (
            f"Make data.patch_px a multiple of {stride_of(network)}, and data.simulation.frames "
            "what the network looks at."
        )
        raise RecipeError("data.patch_px", found, remedy=remedy) from error
    finally:
        network.train()
    fine_px = patch_px * recipe.task.upscaling
    n_channels, key = 1, "task.upscaling"
    if recipe.task.kind == "localization":
        key = "network.arguments"
        has_z = conditions is not None and len(set(conditions.psf.z_range_nm())) > 1
        n_channels = 10 if has_z else 8
    expected = (2, n_channels, fine_px, fine_px)
    if shape != expected:
        found = f"the network turns {tuple(patch.shape)} into {shape}"
        raise RecipeError(key, found, f"{expected}", "Make network and data fit.")
