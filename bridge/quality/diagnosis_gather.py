"""Gathering what a diagnosis goes by: a package, run once on an image and watched.

The pass is made on one plane of the image, on at most ``MOST_PX`` pixels each way from its middle;
the package's preprocessing is that of the whole plane. The network is taken from the state dict,
else from TorchScript, else from ONNX: the first that can be opened without code that nobody agreed
to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError, InputError, PackageError, TrustError
from bridge.quality.consistency import compare_with_widefield
from bridge.quality.diagnosis_evidence import Evidence, fineness, likeness
from bridge.quality.diagnosis_probe import (
    Image,
    Seen,
    WeightsLook,
    look_at_weights,
    watch_onnx,
    watch_torch,
)
from bridge.runtime.examples import Examples
from bridge.runtime.geometry import Geometry, TensorGeometry, read_geometry
from bridge.runtime.noise import given_inputs, with_noise
from bridge.runtime.processing import Pipeline
from bridge.runtime.windows import TensorSource
from bridge.zoo.description import pixel_size_nm
from bridge.zoo.package import Package

MOST_PX: Final = 768
_CONSISTENCY_PX: Final = 256

_Format = Literal["pytorch_state_dict", "torchscript", "onnx"]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Evidence, and what was done to get it.

    Attributes
    ----------
    evidence : Evidence
    blurred : ndarray or None, (y, x)
        The output, blurred and scaled to look like the input.
    weights_format : str
        Which weights were run; empty where none could be.
    notes : tuple of str
        What wasn't looked at, and why.
    """

    evidence: Evidence
    blurred: Image | None
    weights_format: str
    notes: tuple[str, ...]


def gather(
    package: Package,
    images: Mapping[str, xr.DataArray],
    *,
    trust: bool = False,
    saved: NDArray[Any] | None = None,
    result: str = "",
) -> Gathered:
    """Run a package once on an image, and keep what tells why its output is as it is.

    Parameters
    ----------
    package : Package
        An opened package.
    images : mapping
        Image (axes y, x, or more, of which the first plane is taken) by the input's name.
    trust : bool
        Whether the package's own architecture code may run.
    saved : ndarray, (y, x), optional
        What a program saved of the output, of the whole image.
    result : str
        The output to judge; empty takes the fused one (``xm3``), else the first.

    Returns
    -------
    Gathered

    Raises
    ------
    ImageError
        An image is missing, or the package isn't one of planes.
    InputError
        There is no output of that name.
    TrustError, PackageError
        The only weights need code that nobody agreed to, or there are none that can be run.
    """
    geometry = read_geometry(package.description)
    index = _pick_output(geometry, result)
    pipeline = Pipeline(package, geometry, trusted=trust)
    names = given_inputs(package.description)
    notes: list[str] = []
    planes = {name: _plane(images, name, geometry, notes) for name in names}
    first = planes[names[0]]
    n_bad = sum(int((~np.isfinite(plane.values)).sum()) for plane in planes.values())
    planes = {name: _filled(plane) for name, plane in planes.items()}
    boxes = _boxes(planes, geometry, notes)
    shown = with_noise(
        {name: plane.isel(boxes[name]) for name, plane in planes.items()},
        package.description,
        geometry,
    )
    ready = [
        _prepare(pipeline, tensor, planes.get(tensor.name, shown[tensor.name]), shown[tensor.name])
        for tensor in geometry.inputs
    ]
    examples = Examples(package, geometry, pipeline)
    lead = next(i for i, t in enumerate(geometry.inputs) if t.name == names[0])
    evidence = Evidence(
        image=_grey(shown[names[0]].values),
        ready=_item(ready[lead], geometry.inputs[lead]),
        typical=_item(examples.contents[names[0]], geometry.inputs[lead])
        if names[0] in examples.raw
        else None,
        index=index,
        n_bad_input=n_bad,
        pixel_size_nm=_pixel_size_nm(first),
        made_for_nm=_made_for_nm(package, lead),
    )
    runner = _Runner(package, geometry, trust, notes)
    evidence = replace(evidence, weights=runner.look, weights_error=runner.error)
    if runner.run is None:
        return Gathered(evidence, None, "", tuple(notes))
    evidence = _run(package, evidence, runner, ready, examples, lead)
    assert evidence.seen is not None
    notes += evidence.seen.unseen
    evidence = replace(
        evidence,
        sparse=_sparse(geometry, ready, evidence.seen),
        saved=_saved(package, geometry, pipeline, evidence, saved, boxes[names[0]]),
    )
    consistency, blurred = _compare(evidence)
    return Gathered(
        replace(evidence, consistency=consistency), blurred, runner.format, tuple(notes)
    )


class _Runner:
    """A package's network, from the first weights that can be opened."""

    def __init__(self, package: Package, geometry: Geometry, trust: bool, notes: list[str]) -> None:
        from bridge.zoo import weights  # noqa: PLC0415 - imports torch

        self.look: WeightsLook | None = None
        self.error, self.format = "", ""
        self.run: Callable[[Sequence[NDArray[Any]]], Seen] | None = None
        refused: TrustError | None = None
        order: tuple[_Format, ...] = ("pytorch_state_dict", "torchscript", "onnx")
        for name in order:
            if name not in package.weights:
                continue
            try:
                if name == "onnx":
                    self._open_onnx(package, geometry)
                else:
                    network = weights.load_torch(package, name, trust=trust)
                    stored = weights.read_stored(package) if name == "pytorch_state_dict" else None
                    self.look = look_at_weights(network, stored)
                    self.run = partial(watch_torch, network)
            except TrustError as error:
                notes.append(f"Its state dict wasn't opened: {error}")
                refused = error
                continue
            except PackageError as error:
                notes.append(f"Its {name} weights can't be loaded: {error}")
                self.error = self.error or str(error)
                continue
            self.format = name
            return
        if refused is not None:
            raise refused
        if not self.error:
            found = "it has none of " + ", ".join(order)
            raise PackageError(package.source, found, "weights that can be run", "")

    def _open_onnx(self, package: Package, geometry: Geometry) -> None:
        from bridge.runtime.engine import free_sizes  # noqa: PLC0415
        from bridge.zoo.onnx_weights import read_onnx  # noqa: PLC0415

        source = read_onnx(package)
        model = free_sizes(
            source if isinstance(source, bytes) else str(source),
            [t.dims for t in geometry.inputs],
        )
        self.run = partial(watch_onnx, model)


def _run(
    package: Package,
    evidence: Evidence,
    runner: _Runner,
    ready: list[NDArray[Any]],
    examples: Examples,
    lead: int,
) -> Evidence:
    """Run on the image, on the test image, and where the range is odd on the image stretched."""
    assert runner.run is not None
    seen = runner.run(ready)
    output = _mean_plane(seen.outputs[evidence.index])
    evidence = replace(evidence, seen=seen, output=output)
    contents = list(examples.contents.values())
    if evidence.typical is not None:
        typical = runner.run(contents).outputs[evidence.index]
        evidence = replace(
            evidence,
            typical_output=_mean_plane(typical),
            typical_r=_stored_r(package, evidence),
            typical_fineness=fineness(evidence.typical.mean(axis=0)),
            fineness=fineness(evidence.image),
        )
    low, high = np.percentile(evidence.ready, (0.1, 99.9))
    goal = (0.0, 1.0) if evidence.typical is None else np.percentile(evidence.typical, (0.1, 99.9))
    scale = (goal[1] - goal[0]) / max(high - low, 1e-30)
    if 0.8 < scale < 1.25:
        return evidence
    stretched = list(ready)
    values = goal[0] + (np.clip(ready[lead], low, high) - low) * scale
    stretched[lead] = values.astype(np.float32)
    rescued = _mean_plane(runner.run(stretched).outputs[evidence.index])
    return replace(evidence, rescued_r=likeness(rescued, evidence.image))


def _stored_r(package: Package, evidence: Evidence) -> float:
    """Correlate the stored test output with the test image; NaN where there is none."""
    stored = package.description.outputs[evidence.index].test_tensor
    if stored is None or evidence.typical is None:
        return float("nan")
    try:
        made = np.load(package.file(stored), allow_pickle=False)
    except (PackageError, OSError, ValueError):
        return float("nan")
    if made.ndim < 2:
        return float("nan")
    return likeness(_mean_plane(made), evidence.typical.mean(axis=0))


def _pick_output(geometry: Geometry, result: str) -> int:
    names = [tensor.name for tensor in geometry.outputs]
    if result and result not in names:
        raise InputError(
            "result", f"there is no output '{result}'", f"one of {', '.join(names)}", ""
        )
    wanted = result or ("xm3" if "xm3" in names else names[0])
    return names.index(wanted)


def _plane(
    images: Mapping[str, xr.DataArray], name: str, geometry: Geometry, notes: list[str]
) -> xr.DataArray:
    """Give one plane for an input: y, x and channels where the input has them."""
    tensor = geometry.input(name)
    if set(tensor.tiled) != {"y", "x"}:
        raise ImageError(
            f"input '{name}'", f"it has the axes {', '.join(tensor.dims)}", "a network of planes"
        )
    if name not in images:
        given = ", ".join(images) or "none"
        raise ImageError("images", f"given: {given}", f"one for input '{name}' as well")
    image = images[name]
    over = [d for d in image.dims if d not in ("c", "y", "x")]
    if over:
        notes.append(f"Only the first plane along {', '.join(map(str, over))} was looked at.")
        image = image.isel(dict.fromkeys(over, 0))
    n_wanted = (tensor.n_channels or 1) if "c" in tensor.dims else 1
    if image.sizes.get("c", 1) not in (1, n_wanted):
        found = f"{image.sizes['c']} channels (an RGB image?)"
        remedy = "Save one channel, or the grey image."
        raise ImageError(str(image.attrs.get("source", name)), found, f"{n_wanted}", remedy)
    return image.load()


def _filled(plane: xr.DataArray) -> xr.DataArray:
    values = plane.values
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return plane
    usable = values[np.isfinite(values)]
    middle = float(np.median(usable)) if usable.size else 0.0
    return plane.copy(data=np.where(np.isfinite(values), values, middle))


def _boxes(
    planes: Mapping[str, xr.DataArray], geometry: Geometry, notes: list[str]
) -> dict[str, dict[str, slice]]:
    """Choose the part of each image that is run: its middle, of a size the network accepts."""
    windows: dict[str, dict[str, slice]] = {name: {} for name in planes}
    for dim in ("y", "x"):
        reference = geometry.references[dim]
        rule, n = geometry.rule(dim), int(planes[reference].sizes[dim])
        most = min(n, MOST_PX)
        size = rule.minimum + (
            max(most - rule.minimum, 0) // rule.step * rule.step if rule.step else 0
        )
        if size > n:
            raise ImageError(
                str(planes[reference].attrs.get("source", reference)),
                f"{n} pixels along {dim}",
                f"at least {size}",
                "Give a larger image.",
            )
        start = (n - size) // 2
        if size < n:
            notes.append(f"Along {dim}, pixels {start} to {start + size} of {n} were looked at.")
        for name in planes:
            affine = geometry.input(name).affines[dim]
            low, high = int(affine.ratio * start), affine.size(size)
            windows[name][dim] = slice(low, low + high)
    return windows


def _prepare(
    pipeline: Pipeline, tensor: TensorGeometry, whole: xr.DataArray, part: xr.DataArray
) -> NDArray[Any]:
    """Preprocess a part by the statistics of the whole plane."""
    n_channels = (tensor.n_channels or 1) if "c" in tensor.dims else 1
    if n_channels > 1 and "c" not in whole.dims:
        whole, part = (image.expand_dims(c=n_channels) for image in (whole, part))
    if "c" in whole.dims and "c" not in tensor.dims:
        whole, part = whole.isel(c=0), part.isel(c=0)
    source = {tensor.name: TensorSource(whole, tensor)}
    stat = {
        **pipeline.measure(source, [{}], of_all_items=True),
        **pipeline.measure(source, [{}], of_all_items=False),
    }
    dims = [d for d in tensor.dims if d != "b"]
    missing = [d for d in dims if d not in part.dims]
    values = part.expand_dims(missing).transpose(*dims).values
    if "b" in tensor.dims:
        values = np.expand_dims(values, tensor.dims.index("b"))
    return np.ascontiguousarray(pipeline.preprocess(tensor.name, values, stat))


def _item(array: NDArray[Any], tensor: TensorGeometry) -> Image:
    """Give a tensor's first item as (c, y, x)."""
    image = xr.DataArray(array, dims=tensor.dims)
    image = image.isel(b=0) if "b" in image.dims else image
    image = image if "c" in image.dims else image.expand_dims("c")
    return np.asarray(image.transpose("c", "y", "x").values, np.float32)


def _grey(values: NDArray[Any]) -> NDArray[Any]:
    return values if values.ndim == 2 else np.asarray(values.mean(axis=0))


def _mean_plane(output: NDArray[Any]) -> Image:
    """Give (y, x) of a network's output (b, c, y, x), NaN as 0."""
    plane = np.nan_to_num(output.reshape(-1, *output.shape[-2:]))
    return np.asarray(plane.mean(axis=0), np.float32)


def _sparse(geometry: Geometry, ready: list[NDArray[Any]], seen: Seen) -> Image | None:
    """Find the sparse image (MU-SRM) among inputs and outputs."""
    for tensor, array in zip(geometry.inputs, ready, strict=True):
        if "srm" in tensor.name.lower():
            return np.asarray(_item(array, tensor).mean(axis=0), np.float32)
    for tensor, made in zip(geometry.outputs, seen.outputs, strict=True):
        if "srm" in tensor.name.lower() and len(geometry.outputs) > 1:
            return _mean_plane(made)
    return None


def _saved(
    package: Package,
    geometry: Geometry,
    pipeline: Pipeline,
    evidence: Evidence,
    saved: NDArray[Any] | None,
    box: Mapping[str, slice],
) -> NDArray[Any] | None:
    """Cut the saved output to the part that was run; without one, take the package's own."""
    output, seen = evidence.output, evidence.seen
    assert output is not None
    assert seen is not None
    if saved is not None:
        factor = max(1, output.shape[0] // evidence.image.shape[0])
        rows, columns = (slice(box[d].start * factor, box[d].stop * factor) for d in ("y", "x"))
        return _grey(saved)[rows, columns]
    last = package.description.outputs[evidence.index].postprocessing
    integers = [op for op in last if str(getattr(op.kwargs, "dtype", "")).startswith(("u", "i"))]
    if not integers or pipeline.needs_whole_output:
        return None
    name = geometry.outputs[evidence.index].name
    made = pipeline.postprocess({name: seen.outputs[evidence.index]}, {})[name]
    return np.asarray(made.reshape(-1, *made.shape[-2:])[0])


def _pixel_size_nm(image: xr.DataArray) -> float:
    return float((image.attrs.get("pixel_size_nm") or {}).get("x", np.nan))


def _made_for_nm(package: Package, number: int) -> float:
    """Give the pixel size along x that an input's description states, in nm."""
    description = package.description
    found = pixel_size_nm(description, description.inputs[number], "x")
    return float("nan") if found is None else found


def _compare(evidence: Evidence) -> tuple[float, Image | None]:
    """Blur the output to the input's resolution; gives RSP, and the blurred output."""
    if evidence.output is None:
        return float("nan"), None
    factor = max(1, evidence.output.shape[0] // evidence.image.shape[0])
    n = min(_CONSISTENCY_PX, *evidence.image.shape, *(s // factor for s in evidence.output.shape))
    given = xr.DataArray(evidence.image[:n, :n].astype(np.float32), dims=("y", "x"))
    made = xr.DataArray(evidence.output[: n * factor, : n * factor], dims=("y", "x"))
    try:
        fit = compare_with_widefield(made, given)
    except ImageError:
        return float("nan"), None
    return fit.rsp, np.asarray(fit.blurred.values, np.float32)


def run_test_inputs(package: Package, *, trust: bool) -> list[NDArray[Any]]:
    """Run a package once on its own test inputs, with its last steps.

    Parameters
    ----------
    package : Package
        An opened package with test inputs.
    trust : bool
        Whether its own architecture code may run.

    Returns
    -------
    list of ndarray
        One for each output, as its test outputs should be.

    Raises
    ------
    PackageError
        None of its weights can be run.
    """
    geometry = read_geometry(package.description)
    pipeline = Pipeline(package, geometry, trusted=trust)
    runner = _Runner(package, geometry, trust, [])
    if runner.run is None:
        found = runner.error or "none of its weights can be run here"
        raise PackageError(package.source, found, "weights that can be run", "")
    contents = Examples(package, geometry, pipeline).contents
    seen = runner.run([contents[tensor.name] for tensor in geometry.inputs])
    names = [tensor.name for tensor in geometry.outputs]
    made = pipeline.postprocess(dict(zip(names, seen.outputs, strict=True)), {})
    return [made[name] for name in names]
