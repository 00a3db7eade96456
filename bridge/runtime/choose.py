"""Choose what runs a package here: the engine that is fastest, and how far the network sees.

Both are measured on the package's own test tensors and remembered per package content and machine.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bridge.errors import DeviceError, NetworkError, PackageError, TrustError, ZooBridgeError
from bridge.runtime.device import Device
from bridge.runtime.engine import (
    WEIGHTS_OF,
    Engine,
    Network,
    Precision,
    load_network,
    usable_engines,
)
from bridge.runtime.geometry import Geometry, SizeRule
from bridge.runtime.locality import Measured, Prober
from bridge.runtime.memory import peak_rise, release
from bridge.runtime.plan import Locality, common_rule
from bridge.runtime.remember import recall, remember
from bridge.zoo import trust as consent
from bridge.zoo.package import Package

_TIMED_PIXELS = 512 * 512
"""Of the largest tensor: a network that enlarges eight times works on 64 times its input's."""
ASSUMED_BYTES_PER_PIXEL = 2000.0
_GROWTH = {"onnxruntime": 1.35}
"""How much more than its first run an engine takes in the long run: its arena grows by doubling."""
_AGREEMENT = 1e-3
_QUICK_ORDER: tuple[Engine, ...] = ("onnxruntime", "torchscript", "torch", "openvino")


@dataclass
class Choice:
    """A loaded network and why it was chosen.

    Attributes
    ----------
    network : Network
        Ready to run.
    reason : str
        One sentence for the report.
    seconds : dict
        Seconds per megapixel of each engine that was timed.
    warnings : list of str
        Engines that disagreed or could not be loaded.
    """

    network: Network
    reason: str
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def choose_network(
    package: Package,
    geometry: Geometry,
    contents: Mapping[str, NDArray[Any]],
    *,
    engine: Engine | Literal["auto"],
    device: Device,
    precision: Precision,
    trust: bool,
    is_small: bool,
) -> Choice:
    """Load the engine that was asked for, or the fastest.

    Parameters
    ----------
    package, geometry
        What is to be run.
    contents : mapping
        Preprocessed test input per input name.
    engine : str
        An engine, or ``auto``.
    device : Device
        Where to run.
    precision : str
        Arithmetic.
    trust : bool
        Whether the package's own code may run.
    is_small : bool
        True where timing the engines would take longer than the work itself.

    Raises
    ------
    DeviceError
        The engine that was asked for cannot be used, and why.
    TrustError
        Only the package's own code could run it, and nobody agreed to that.
    PackageError
        No weights can be used here.
    """
    problems = usable_engines(package, device, precision)
    if engine != "auto":
        if engine not in problems:
            raise DeviceError(
                f"engine {engine}", f"is not used on {device.name}", f"{', '.join(problems)}"
            )
        if problems[engine]:
            raise DeviceError(f"engine {engine}", problems[engine], "", "Use --engine auto.")
        network = load_network(package, engine, device, precision=precision, trust=trust)
        return Choice(network, "it was asked for")
    usable = [e for e, problem in problems.items() if not problem]
    if not usable:
        raise PackageError(
            package.source,
            "none of its weights can be used here: "
            + "; ".join(f"{WEIGHTS_OF[e]} ({e}): {p}" for e, p in problems.items()),
            "pytorch_state_dict, torchscript or onnx weights inside the package",
            "",
        )
    agreed = trust or consent.is_trusted(package.sha256) or consent.is_embedded(package.root)
    allowed = [e for e in usable if e != "torch" or agreed] or usable
    known = recall(package.sha256).get(_machine(device, precision), {})
    if known.get("engine") in allowed and set(allowed) <= set(known.get("among", [])):
        network = load_network(package, known["engine"], device, precision=precision, trust=trust)
        return Choice(network, "it was the fastest here before", known.get("seconds", {}))
    if is_small or len(allowed) == 1:
        order = [e for e in _QUICK_ORDER if e in allowed] if device.is_cpu else allowed
        return _first_that_loads(package, order, device, precision, trust)
    return _fastest(package, geometry, contents, allowed, device, precision, trust)


def _first_that_loads(
    package: Package, order: list[Engine], device: Device, precision: Precision, trust: bool
) -> Choice:
    warnings = []
    for engine in order[:-1]:
        try:
            network = load_network(package, engine, device, precision=precision, trust=trust)
        except TrustError:
            raise
        except PackageError as error:
            warnings.append(f"Engine {engine} was left out: {error}")
        else:
            return Choice(network, "the work is too small to time the others", warnings=warnings)
    network = load_network(package, order[-1], device, precision=precision, trust=trust)
    reason = "it is the only one that can be used" if len(order) == 1 else "the others failed"
    return Choice(network, reason, warnings=warnings)


def _fastest(
    package: Package,
    geometry: Geometry,
    contents: Mapping[str, NDArray[Any]],
    engines: list[Engine],
    device: Device,
    precision: Precision,
    trust: bool,
) -> Choice:
    """Time every engine on one tile, check that they agree, keep the fastest."""
    arrays = timing_arrays(geometry, contents, _TIMED_PIXELS)
    megapixels = _n_pixels(geometry, arrays) / 1e6
    seconds: dict[str, float] = {}
    warnings: list[str] = []
    reference: list[NDArray[Any]] | None = None
    best: Network | None = None
    failure: ZooBridgeError | None = None
    for engine in sorted(engines, key=lambda e: _is_derived(package, e)):
        try:
            network = load_network(package, engine, device, precision=precision, trust=trust)
            outputs = _first_run(package, network, arrays, geometry)
            start = time.perf_counter()
            network(arrays)
            elapsed = (time.perf_counter() - start) / megapixels
        except (PackageError, NetworkError) as error:
            failure = error
            warnings.append(f"Engine {engine} was left out: {error}")
            continue
        if reference is None:
            reference = outputs
        elif precision == "float32" and not _agree(reference, outputs):
            warnings.append(f"Engine {engine} was left out: its output differs from the others'.")
            continue
        seconds[engine] = round(elapsed, 4)
        if best is None or elapsed < seconds[best.engine]:
            best = network
        del network
        release()
    if best is None:
        assert failure is not None
        raise failure
    remember(
        package.sha256,
        **{
            _machine(device, precision): {
                "engine": best.engine,
                "among": list(engines),
                "seconds": seconds,
            }
        },
    )
    return Choice(best, "it was the fastest on one tile", seconds, warnings)


def _is_derived(package: Package, engine: Engine) -> bool:
    """Tell whether an engine's weights were made from others, which decide where they disagree."""
    entry = getattr(package.description.weights, WEIGHTS_OF[engine])
    return entry is not None and entry.parent is not None


def timing_arrays(
    geometry: Geometry, contents: Mapping[str, NDArray[Any]], n_pixels: int
) -> list[NDArray[Any]]:
    """Give inputs, made of the test tensors continued by mirroring, for ``n_pixels`` pixels or so.

    ``n_pixels`` are those of the largest tensor, be it an input or an output.
    """
    edge = (n_pixels / enlargement(geometry)) ** (1 / max(1, len(geometry.tiled)))
    arrays = []
    sizes = {}
    for dim in geometry.tiled:
        rule = common_rule(geometry, dim)
        extra = max(0, round((edge - rule.minimum) / rule.step)) * rule.step if rule.step else 0
        sizes[dim] = rule.minimum + extra
    for tensor in geometry.inputs:
        array = contents[tensor.name]
        for axis, dim in enumerate(tensor.dims):
            if dim in tensor.tiled:
                n = array.shape[axis]
                positions = np.arange(tensor.affines[dim].size(sizes[dim])) % (2 * n)
                array = np.take(
                    array, np.where(positions < n, positions, 2 * n - 1 - positions), axis=axis
                )
        arrays.append(np.ascontiguousarray(array))
    return arrays


def enlargement(geometry: Geometry) -> float:
    """Give how many pixels the largest tensor has per pixel of the reference input, >= 1."""
    tensors = (*geometry.inputs, *geometry.outputs)
    return max(1.0, *(float(math.prod(a.ratio for a in t.affines.values())) for t in tensors))


def _agree(a: list[NDArray[Any]], b: list[NDArray[Any]]) -> bool:
    return len(a) == len(b) and all(
        x.shape == y.shape
        and np.abs(x.astype(np.float64) - y).max() <= _AGREEMENT * (float(x.std()) or 1.0)
        for x, y in zip(a, b, strict=True)
    )


def measure_dim(
    package: Package,
    network: Network,
    geometry: Geometry,
    contents: Mapping[str, NDArray[Any]],
    dim: str,
) -> Measured:
    """Measure (or recall) the network's reach, stride and sizes along one dim."""
    known = recall(package.sha256).get(f"locality {dim}")
    if known:
        return Measured(Locality(**known["locality"]), SizeRule(**known["rule"]))
    measured = Prober(network, geometry, contents).measure(dim)
    remember(package.sha256, **{f"locality {dim}": asdict(measured)})
    return measured


def bytes_per_pixel(
    package: Package, network: Network, geometry: Geometry, contents: Mapping[str, NDArray[Any]]
) -> float:
    """Measure (or recall) the memory that a forward pass takes per pixel of the first input."""
    known = recall(package.sha256).get(_memory_key(network))
    if known is None:
        _first_run(package, network, timing_arrays(geometry, contents, _TIMED_PIXELS), geometry)
        assumed = ASSUMED_BYTES_PER_PIXEL * enlargement(geometry)
        known = recall(package.sha256).get(_memory_key(network), assumed)
    return float(known)


def _first_run(
    package: Package, network: Network, arrays: list[NDArray[Any]], geometry: Geometry
) -> list[NDArray[Any]]:
    """Run a network that has not run yet, and remember the memory it took.

    Only the first run tells: engines keep what they once allocated.
    """
    outputs: list[NDArray[Any]] = []
    rise = peak_rise(lambda: outputs.extend(network(arrays)))
    if rise is not None:
        floor = sum(a.nbytes for a in (*arrays, *outputs))
        found = max(rise, floor) / _n_pixels(geometry, arrays) * _GROWTH.get(network.engine, 1.0)
        remember(package.sha256, **{_memory_key(network): round(found, 1)})
    return outputs


def _n_pixels(geometry: Geometry, arrays: list[NDArray[Any]]) -> int:
    tensor = geometry.inputs[0]
    shape = zip(tensor.dims, arrays[0].shape, strict=True)
    return math.prod(n for d, n in shape if d in tensor.tiled)


def _memory_key(network: Network) -> str:
    return f"memory, {network.engine}, {_machine(network.device, network.precision)}"


def _machine(device: Device, precision: str) -> str:
    return f"{platform.node()} {device.name} {device.threads} threads {precision}"
