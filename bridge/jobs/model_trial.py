"""A package's network really run: its test outputs again, and tiles against the whole image.

What is tried is the runtime that a user gets, engine by engine; nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import xarray as xr
from bioimageio.spec.model import v0_5
from numpy.typing import NDArray

from bridge.errors import Cancelled, TrustError, ZooBridgeError
from bridge.progress import Progress
from bridge.runtime.device import find_device
from bridge.runtime.engine import WEIGHTS_OF, Engine, usable_engines
from bridge.runtime.geometry import Geometry, TensorGeometry, read_geometry
from bridge.runtime.plan import common_rule
from bridge.runtime.predict import Settings, predict_arrays
from bridge.zoo.finding import Finding
from bridge.zoo.package import Package

_SEAM: Final = 5e-5
"""Largest difference between tiled and whole, in standard deviations of the whole output."""
_TRIAL_PIXELS: Final = 320 * 320
_FREE_STEP: Final = 64


def try_package(package: Package, *, trust: bool, progress: Progress) -> list[Finding]:
    """Run a package on its test inputs with every engine, then once in tiles and as a whole.

    Parameters
    ----------
    package : Package
        The package.
    trust : bool
        Whether its own code may run.
    progress : Progress
        Told of every run.

    Returns
    -------
    list of Finding
        In the areas ``test outputs`` and ``tiles``.
    """
    try:
        geometry = read_geometry(package.description)
        inputs = _test_tensors(package, package.description.inputs, geometry.inputs)
        outputs = _test_tensors(package, package.description.outputs, geometry.outputs)
    except (ZooBridgeError, OSError, ValueError) as error:
        return [Finding("error", "test outputs", f"The network was not run: {error}")]
    findings: list[Finding] = []
    works: list[Engine] = []
    engines = usable_engines(package, find_device("cpu"), "float32")
    for engine in [engine for engine, problem in engines.items() if not problem]:
        settings = Settings(engine=engine, device="cpu", trust=trust)
        try:
            made = _predicted(package, geometry, inputs, settings, progress)[0]
        except Cancelled:
            raise
        except TrustError as error:
            findings.append(Finding("warning", "test outputs", f"{engine} was not run: {error}"))
        except ZooBridgeError as error:
            findings.append(Finding("error", "test outputs", f"{engine}: {error}"))
        else:
            works.append(engine)
            findings += [
                _compared(package, tensor, engine, outputs[tensor.name], made[tensor.name])
                for tensor in geometry.outputs
            ]
    if not works:
        return findings or [Finding("error", "test outputs", "No weights can be run here.")]
    return findings + _try_tiles(package, geometry, inputs, works, trust, progress)


def _test_tensors(
    package: Package,
    descriptions: Sequence[v0_5.InputTensorDescr | v0_5.OutputTensorDescr],
    tensors: Sequence[TensorGeometry],
) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    for description, tensor in zip(descriptions, tensors, strict=True):
        if description.test_tensor is None:
            raise ValueError(f"{tensor.name} has no test tensor.")
        array = np.load(package.file(description.test_tensor), allow_pickle=False)
        if array.ndim != len(tensor.dims):
            axes = " ".join(tensor.axis_ids)
            raise ValueError(f"{tensor.name}: a test tensor of shape {array.shape} for {axes}.")
        found[tensor.name] = array
    return found


def _as_image(array: NDArray[Any], tensor: TensorGeometry) -> xr.DataArray:
    """Make an image of a tensor: its batch becomes time, or is left out where it is one or none."""
    image = xr.DataArray(array, dims=tensor.dims)
    if "b" not in tensor.dims:
        return image
    if image.sizes["b"] == 1 or "t" in tensor.dims:
        return image.isel(b=0)
    return image.rename(b="t")


def _predicted(
    package: Package,
    geometry: Geometry,
    arrays: Mapping[str, NDArray[Any]],
    settings: Settings,
    progress: Progress,
) -> tuple[dict[str, xr.DataArray], dict[str, Any], list[str]]:
    """Run; gives the outputs, how many tiles there were along each dim, and the warnings."""
    images = {tensor.name: _as_image(arrays[tensor.name], tensor) for tensor in geometry.inputs}
    made, outcome = predict_arrays(package, images, settings, progress)
    return made, outcome.report["tiles"], outcome.warnings


def _compared(
    package: Package,
    tensor: TensorGeometry,
    engine: Engine,
    expected_array: NDArray[Any],
    made: xr.DataArray,
) -> Finding:
    """Hold an output against its test tensor, within the tolerance that the package declares."""
    area = "test outputs"
    expected = _as_image(expected_array, tensor)
    if expected.size != made.size:
        sizes = f"{dict(made.sizes)} instead of {dict(expected.sizes)}"
        return Finding("error", area, f"{engine}: {tensor.name} is of size {sizes}.")
    expected = expected.squeeze().transpose(*made.squeeze().dims)
    tolerance = _tolerance(package, tensor.name, WEIGHTS_OF[engine])
    a = made.squeeze().values.astype(np.float64)
    b = expected.values.astype(np.float64)
    allowed = tolerance.absolute_tolerance + tolerance.relative_tolerance * np.abs(b)
    per_million = float((~(np.abs(a - b) <= allowed)).mean()) * 1e6
    largest = float(np.abs(a - b).max(initial=0))
    if per_million <= tolerance.mismatched_elements_per_million:
        sentence = f"{engine} gives {tensor.name} again; largest difference {largest:.1e}."
        return Finding("ok", area, sentence)
    sentence = (
        f"{engine}: {per_million / 1e4:.3g} % of {tensor.name} differ from its test tensor by more "
        f"than {tolerance.absolute_tolerance:g} + {tolerance.relative_tolerance:g} of the value; "
        f"largest difference {largest:.2g}."
    )
    return Finding("error", area, sentence)


def _tolerance(package: Package, name: str, weights_format: str) -> v0_5.ReproducibilityTolerance:
    """Give the first tolerance that applies, as bioimageio.core takes it."""
    for entry in package.description.config.bioimageio.reproducibility_tolerance:
        is_format = not entry.weights_formats or weights_format in entry.weights_formats
        if is_format and (not entry.output_ids or name in map(str, entry.output_ids)):
            return entry
    return v0_5.ReproducibilityTolerance()


def _try_tiles(
    package: Package,
    geometry: Geometry,
    inputs: Mapping[str, NDArray[Any]],
    engines: Sequence[Engine],
    trust: bool,
    progress: Progress,
) -> list[Finding]:
    """Run the test image, made larger by mirroring, as a whole and in tiles.

    The first engine that can cut it decides; some formats take one size only.
    """
    if not geometry.tiled:
        return [Finding("ok", "tiles", "The model takes no images that could be cut.")]
    sizes, tile = _trial_sizes(geometry)
    arrays = {t.name: _mirrored(inputs[t.name], t, sizes) for t in geometry.inputs}
    for engine in engines:
        settings = Settings(engine=engine, device="cpu", trust=trust)
        in_parts = replace(settings, tile=tile)
        try:
            whole, in_whole, _ = _predicted(package, geometry, arrays, settings, progress)
            tiled, in_tiles, notes = _predicted(package, geometry, arrays, in_parts, progress)
        except Cancelled:
            raise
        except ZooBridgeError as error:
            return [Finding("error", "tiles", f"{engine}: {error}")]
        if _n_tiles(in_whole) == 1 < _n_tiles(in_tiles):
            said = [Finding("warning", "tiles", n) for n in notes if "halo" in n or "blended" in n]
            return [*said, _judged(tiled, whole, in_tiles)]
    shape = " x ".join(str(n) for n in sizes.values())
    sentence = f"{shape} pixels were not cut: the model takes one size only, or sees too far."
    return [Finding("ok", "tiles", sentence)]


def _trial_sizes(geometry: Geometry) -> tuple[dict[str, int], int]:
    """Choose an image that can be cut, in pixels of the reference input, and the edge of a tile.

    Where the description allows one size only, it is half as long again along its last dim: many
    networks accept that all the same.
    """
    rules = {dim: common_rule(geometry, dim) for dim in geometry.tiled}
    edge = round(_TRIAL_PIXELS ** (1 / len(rules)))
    sizes = {
        dim: rule.minimum + max(0, math.ceil((edge - rule.minimum) / (rule.step or 1))) * rule.step
        for dim, rule in rules.items()
    }
    last = list(rules)[-1]
    if rules[last].step == 0:
        sizes[last] += math.ceil(sizes[last] / 2 / _FREE_STEP) * _FREE_STEP
        return sizes, rules[last].minimum
    return sizes, max(sizes.values()) // 2


def _mirrored(
    array: NDArray[Any], tensor: TensorGeometry, sizes: Mapping[str, int]
) -> NDArray[Any]:
    """Continue a test input by mirroring, or cut it, to the sizes of the reference input."""
    for axis, dim in enumerate(tensor.dims):
        n = array.shape[axis]
        if dim == "b":
            array = array.take([0], axis)
        elif dim in tensor.tiled:
            place = np.arange(tensor.affines[dim].size(sizes[dim])) % (2 * n)
            array = array.take(np.where(place < n, place, 2 * n - 1 - place), axis)
    return array


def _n_tiles(tiles: Mapping[str, Any]) -> int:
    return math.prod(tiles["per_dim"].values())


def _judged(
    tiled: Mapping[str, xr.DataArray], whole: Mapping[str, xr.DataArray], tiles: Mapping[str, Any]
) -> Finding:
    window = " x ".join(str(n) for n in tiles["window"].values())
    worst = max(_difference(tiled[name], whole[name]) for name in whole)
    sentence = (
        f"Tiles of {window} against the whole image: largest difference {worst:.1e} of the "
        "output's standard deviation."
    )
    if worst <= _SEAM:
        return Finding("ok", "tiles", sentence)
    return Finding("warning" if tiles["is_blended"] else "error", "tiles", sentence)


def _difference(tiled: xr.DataArray, whole: xr.DataArray) -> float:
    """Give the largest difference, in standard deviations of the whole output."""
    spread = float(whole.values.std(dtype=np.float64))
    largest = float(np.abs(tiled.values.astype(np.float64) - whole.values).max(initial=0))
    return largest / spread if spread else (0.0 if largest == 0 else math.inf)
