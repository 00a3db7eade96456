"""Making the network that a state dict belongs to, from a file of the package or from a library.

This is the one place that executes a package's Python, and only after consent.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import types
from collections.abc import Callable, Mapping
from typing import Final

import torch
from bioimageio.spec.model import v0_5

from bridge.errors import PackageError
from bridge.zoo import trust as consent
from bridge.zoo.package import Package

KNOWN_LIBRARIES: Final = ("torch", "torchvision", "monai", "bioimageio", "models_zoo")


def build_network(
    package: Package,
    architecture: v0_5.ArchitectureFromFileDescr | v0_5.ArchitectureFromLibraryDescr,
    *,
    trust: bool,
) -> torch.nn.Module:
    """Make the network of a state dict by calling its architecture.

    Parameters
    ----------
    package : Package
        Where the architecture's file lies.
    architecture : ArchitectureFromFileDescr or ArchitectureFromLibraryDescr
        What the description says of it.
    trust : bool
        Whether the user agrees to run its code.

    Raises
    ------
    TrustError
        It is code that nobody agreed to run.
    PackageError
        It cannot be imported, fails, or gives no network.
    """
    kwargs = dict(architecture.kwargs)
    if isinstance(architecture, v0_5.ArchitectureFromFileDescr):
        make, what = _from_file(package, architecture, trust=trust)
    else:
        make, what = _from_library(package, architecture, kwargs, trust=trust)
    try:
        network = make(**kwargs)
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        found = f"{what} fails with {type(error).__name__}: {first_line(error)}"
        remedy = f"Check its kwargs: {', '.join(kwargs) or 'none given'}"
        raise PackageError(package.source, found, "a network", remedy) from error
    if not isinstance(network, torch.nn.Module):
        found = f"{what} gives a {type(network).__name__}"
        raise PackageError(package.source, found, "a torch.nn.Module")
    return network


def _from_file(
    package: Package, architecture: v0_5.ArchitectureFromFileDescr, *, trust: bool
) -> tuple[Callable[..., object], str]:
    """Run the architecture's file in a module of its own and give the callable."""
    path = package.file(architecture)
    name = str(architecture.callable)
    what = f"its architecture file {path.name} ({name})"
    consent.require(package.sha256, what, source=package.source, trust=trust, root=package.root)
    content = package.read(path)
    module = types.ModuleType(f"zoobridge_architecture_{hashlib.sha256(content).hexdigest()}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and torch.jit look the module up
    try:
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
    except ImportError as error:
        del sys.modules[module.__name__]
        found = f"{what} needs {_missing_library(error)}, which is not installed"
        remedy = "Install it, or use the package's TorchScript or ONNX weights"
        raise PackageError(package.source, found, remedy=remedy) from error
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        del sys.modules[module.__name__]
        found = f"{what} fails with {type(error).__name__}: {first_line(error)}"
        raise PackageError(package.source, found, "Python that defines a network") from error
    return _callable_of(package, module, name, where=path.name), what


def _from_library(
    package: Package,
    architecture: v0_5.ArchitectureFromLibraryDescr,
    kwargs: Mapping[str, object],
    *,
    trust: bool,
) -> tuple[Callable[..., object], str]:
    """Import the architecture from an installed library.

    Network classes of well-known libraries need no consent. Their functions do (``torch.hub.load``
    would fetch and run code), and so do arguments that make a class download weights.
    """
    where, name = architecture.import_from, str(architecture.callable)
    what = f"{name} of the Python library {where}"
    is_known = where.partition(".")[0] in KNOWN_LIBRARIES
    fetches = any(re.search("pretrain|weights", key) and kwargs[key] for key in kwargs)
    if not is_known or fetches:
        consent.require(package.sha256, what, source=package.source, trust=trust, root=package.root)
    try:
        module = importlib.import_module(where)
    except ImportError as error:
        found = f"its architecture {what} needs {_missing_library(error)}, which is not installed"
        remedy = "Install it, or use the package's TorchScript or ONNX weights"
        raise PackageError(package.source, found, remedy=remedy) from error
    except (Exception, SystemExit) as error:  # foreign code may raise anything
        found = f"importing {where} fails with {type(error).__name__}: {first_line(error)}"
        raise PackageError(package.source, found) from error
    make = _callable_of(package, module, name, where=where)
    if not (isinstance(make, type) and issubclass(make, torch.nn.Module)):
        consent.require(package.sha256, what, source=package.source, trust=trust, root=package.root)
    return make, what


def _callable_of(
    package: Package, module: types.ModuleType, name: str, *, where: str
) -> Callable[..., object]:
    make: Callable[..., object] | None = getattr(module, name, None)
    if make is None or not callable(make):
        found = f"{where} defines no {name} that can be called"
        raise PackageError(package.source, found, "the architecture that the description names")
    return make


def _missing_library(error: ImportError) -> str:
    return (error.name or "").partition(".")[0] or first_line(error)


def first_line(error: BaseException, *, limit: int = 160) -> str:
    """Give the first line of a foreign error, shortened."""
    text = " ".join(str(error).split("\n")[0].split()) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."
