"""Loading a package's network in PyTorch: from its state dict or its TorchScript.

Weights are data: pickles with code are refused, and architecture code runs only after consent
(`bridge.zoo.trust`). Nothing is fetched.
"""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.parameter import is_lazy

from bridge.errors import PackageError
from bridge.zoo.architecture import build_network, first_line
from bridge.zoo.package import Package


def load_torch(
    package: Package, format: Literal["pytorch_state_dict", "torchscript"], *, trust: bool = False
) -> torch.nn.Module:
    """Load a package's network with PyTorch.

    Parameters
    ----------
    package : Package
        An opened package.
    format : {"pytorch_state_dict", "torchscript"}
        Which of its weights.
    trust : bool
        Whether the user agrees to run the package's architecture code.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, on the CPU, with float32 parameters.

    Raises
    ------
    TrustError
        The architecture is code that nobody agreed to run.
    PackageError
        The weights are missing, hold more than tensors, or do not fit the architecture.
    """
    path = package.weights_file(format)
    if format == "torchscript":
        network = _load_torchscript(package, path)
    else:
        network = _load_state_dict(package, path, trust=trust)
    return network.eval().float().cpu()


def read_stored(package: Package) -> dict[str, torch.Tensor]:
    """Read the tensors of a package's state dict as they are stored, by name.

    Raises
    ------
    PackageError
        There is no usable state dict, or it holds more than tensors.
    """
    return _read_state(package, package.weights_file("pytorch_state_dict"))


def count_parameters(package: Package) -> int | None:
    """Count what a network has learned, without running any of its code.

    Parameters
    ----------
    package : Package
        An opened package.

    Returns
    -------
    int or None
        Numbers in its state dict, running statistics of normalisation left out; None where it has
        no usable state dict.
    """
    try:
        state = _read_state(package, package.weights_file("pytorch_state_dict"))
    except PackageError:
        return None
    is_statistic = ("running_mean", "running_var", "num_batches_tracked", "_extra_state")
    return sum(
        value.numel()
        for name, value in state.items()
        if value.is_floating_point() and not name.endswith(is_statistic)
    )


def _load_torchscript(package: Package, path: Path) -> torch.nn.Module:
    what = f"{path.name} of {package.source}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls the format outdated; packages use it
            network = torch.jit.load(  # type: ignore[no-untyped-call]
                str(path), map_location="cpu"
            )
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise PackageError(
            what,
            f"is no TorchScript network that this PyTorch ({torch.__version__}) can load: "
            f"{first_line(error)}",
            "a whole file written by torch.jit.save",
        ) from error
    assert isinstance(network, torch.nn.Module)
    return network


def _load_state_dict(package: Package, path: Path, *, trust: bool) -> torch.nn.Module:
    entry = package.description.weights.pytorch_state_dict
    assert entry is not None  # _usable_file found it
    state = _read_state(package, path)
    network = build_network(package, entry.architecture, trust=trust)
    _check_fit(f"{path.name} of {package.source}", network, state, strict=entry.strict)
    try:
        network.load_state_dict(state, strict=entry.strict)
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        found = f"its tensors do not fit the architecture: {first_line(error)}"
        raise PackageError(f"{path.name} of {package.source}", found) from error
    return network


def _read_state(package: Package, path: Path) -> dict[str, torch.Tensor]:
    """Read tensors by name; no code in the file is ever executed."""
    what = f"{path.name} of {package.source}"
    expected = "a state dict: tensors by their names, and nothing else"
    state: Any
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|global|class|function)\s+`?([\w.]+\.[\w.]+)", str(error))
        found = "holds more than tensors" + (f", namely {named[1]}" if named else "")
        remedy = "It was not executed; save the network's state_dict() alone"
        raise PackageError(what, found, expected, remedy) from error
    except (RuntimeError, ValueError, EOFError, OSError, LookupError, TypeError) as error:
        found = "cannot be read as PyTorch weights"
        if _is_torchscript(path):
            found = "is a TorchScript network"
        raise PackageError(what, found, expected) from error
    except (
        AttributeError,
        AssertionError,
        MemoryError,
        OverflowError,
        zipfile.BadZipFile,
    ) as error:
        raise PackageError(what, "cannot be read as PyTorch weights", expected) from error
    if not isinstance(state, Mapping):
        raise PackageError(what, f"holds a {type(state).__name__}", expected)
    wrong = [str(key) for key, value in state.items() if not isinstance(value, torch.Tensor)]
    wrong = [key for key in wrong if not key.endswith("_extra_state")]
    if wrong:
        raise PackageError(
            what,
            f"holds more than tensors under {_some(wrong)}",
            expected,
            "Save the network's state_dict() alone, not a whole checkpoint",
        )
    return {str(key): value for key, value in state.items()}


def _check_fit(
    what: str, network: torch.nn.Module, state: Mapping[str, torch.Tensor], *, strict: bool
) -> None:
    """Compare names and shapes of the weights with those of the network."""
    own = {
        key: tuple(value.shape)
        for key, value in network.state_dict().items()
        if isinstance(value, torch.Tensor) and not is_lazy(value)
    }
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in network.state_dict()]
    reshaped = [
        f"{key} ({_shape(state[key].shape)} instead of {_shape(shape)})"
        for key, shape in own.items()
        if isinstance(state.get(key), torch.Tensor) and tuple(state[key].shape) != shape
    ]
    nothing_fits = len(own) > 0 and len(missing) == len(own)
    found = []
    if missing and (strict or nothing_fits):
        found.append(f"lacks {_some(missing)}")
    if unexpected and (strict or nothing_fits):
        found.append(f"has {_some(unexpected)}, unknown to the architecture")
    if reshaped:
        found.append(f"has other shapes: {_some(reshaped)}")
    if found:
        wrapped = bool(state) and all(key.startswith("module.") for key in state)
        remedy = "Save the inner network of DataParallel" if wrapped else "Check its kwargs"
        raise PackageError(what, "; ".join(found), "the tensors of its architecture", remedy)


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _shape(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "a single value"


def _some(names: list[str], *, limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
