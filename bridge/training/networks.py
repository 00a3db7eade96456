"""Networks to train, made from the architecture file that a recipe names.

The file is run: a recipe is asked for by name or path, and its code is part of it. Packages of
others never come this way; see :mod:`bridge.zoo.architecture`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bridge.errors import RecipeError
from bridge.training.parts import NetworkPart


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


def is_local(network: nn.Module) -> bool:
    """Tell whether each output pixel depends on the input near it only; the network's word."""
    return bool(getattr(network, "is_local", True))


def check_shapes(
    network: nn.Module,
    probes: Sequence[Tensor],
    expected: Sequence[tuple[int, ...]],
) -> None:
    """Run empty patches, and refuse a network whose outputs have other sizes than are learned.

    Parameters
    ----------
    network : Module
        Put into training mode again.
    probes : sequence of Tensor, (1, c, y, x)
        Of the shapes of its inputs.
    expected : sequence of tuple
        Shapes (c, Y, X) of its outputs.

    Raises
    ------
    RecipeError
        The network fails on a patch, or its output doesn't fit.
    """
    twice = [torch.cat([probe, probe]) for probe in probes]
    told = " and ".join(str(tuple(probe.shape)) for probe in twice)
    try:
        with torch.no_grad():
            given = network.eval()(*twice)
    except RuntimeError as error:
        found = f"the network fails on {told}: {str(error).splitlines()[0]}"
        remedy = (
            f"Make data.patch_px a multiple of {stride_of(network)}, and data.simulation.frames "
            "what the network looks at."
        )
        raise RecipeError("data.patch_px", found, remedy=remedy) from error
    finally:
        network.train()
    outputs = given if isinstance(given, tuple) else (given,)
    shapes = [tuple(output.shape) for output in outputs]
    wanted = [(len(twice[0]), *shape) for shape in expected]
    if shapes != wanted:
        found = f"the network turns {told} into {' and '.join(map(str, shapes))}"
        has_channels = [shape[1:2] for shape in shapes] == [shape[1:2] for shape in wanted]
        is_image = all(len(shape) == len(wanted[0]) for shape in shapes)
        what = "network.arguments" if is_image and not has_channels else "task.upscaling"
        raise RecipeError(what, found, " and ".join(map(str, wanted)), "Make network and data fit.")
