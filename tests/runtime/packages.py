"""Really valid BMZ 0.5 packages of tiny random networks, in every weight format zoobridge runs.

A :class:`Case` is a network of ``nets.py`` with its tensors' geometry; :func:`build` writes it as a
package, checked by ``bioimageio.spec`` with all its files.
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from bioimageio.spec import InvalidDescr, ValidationContext
from bioimageio.spec.model import v0_5
from bioimageio.spec.utils import read_yaml, write_yaml
from numpy.typing import NDArray

from bridge.zoo.description import invalid_reasons

from . import nets

NETS = Path(nets.__file__)
TILED = "tzyx"
IDS = {"b": "batch", "c": "channel", "t": "time", "z": "z", "y": "y", "x": "x"}
TO_FLOAT = {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}
FIXED = {"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 100.0, "std": 20.0}}
Ops = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class In:
    """An input tensor: ``sizes`` per dim (min, step), a fixed number or (tensor, offset)."""

    name: str = "input"
    axes: str = "bcyx"
    channels: int = 1
    sizes: Any = (16, 1)
    ratio: Any = 1
    dtype: str = "float32"
    ops: Ops = (TO_FLOAT, FIXED, TO_FLOAT)
    pad: Mapping[str, Any] | None = None

    def size(self, dim: str) -> Any:
        return self.sizes[dim] if isinstance(self.sizes, dict) else self.sizes

    def ratio_of(self, dim: str) -> Fraction:
        return Fraction(self.ratio.get(dim, 1) if isinstance(self.ratio, dict) else self.ratio)


@dataclass(frozen=True)
class Out:
    """An output tensor of ``ratio * n + offset`` pixels, n those of the first input."""

    name: str = "output"
    axes: str = "bcyx"
    channels: int = 1
    ratio: Any = 1
    offset: Any = 0
    halo: Any = 0
    dtype: str = "float32"
    ops: Ops = ()
    of: str = "input"
    """Whose size the description refers to."""

    def ratio_of(self, dim: str) -> Fraction:
        return Fraction(self.ratio.get(dim, 1) if isinstance(self.ratio, dict) else self.ratio)

    def offset_of(self, dim: str) -> int:
        return self.offset.get(dim, 0) if isinstance(self.offset, dict) else self.offset

    def halo_of(self, dim: str) -> int:
        return self.halo.get(dim, 0) if isinstance(self.halo, dict) else self.halo


@dataclass(frozen=True)
class Case:
    """A network, its tensors, and images to run it on (of the first input's dims)."""

    name: str
    net: str = "Plain"
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[In, ...] = (In(),)
    outputs: tuple[Out, ...] = (Out(),)
    image: Mapping[str, int] = field(default_factory=lambda: {"y": 61, "x": 83})
    dtype: str = "float32"
    tiles: tuple[int, ...] = (32, 50)
    batch: int = 3
    formats: tuple[str, ...] = ("pytorch_state_dict", "torchscript", "onnx")
    is_scripted: bool = False
    whole_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the network that answers for the whole image, where they differ."""

    def network(self, *, for_whole: bool = False) -> torch.nn.Module:
        torch.manual_seed(int(hashlib.sha256(self.net.encode()).hexdigest()[:6], 16))
        kwargs = {**self.kwargs, **(self.whole_kwargs if for_whole else {})}
        network = getattr(nets, self.net)(**kwargs)
        generator = torch.Generator().manual_seed(3)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.4, 1.6, generator=generator)
                module.weight.data.uniform_(0.6, 1.4, generator=generator)
                module.bias.data.normal_(0, 0.3, generator=generator)
        return network.eval().requires_grad_(False)

    def images(
        self, sizes: Mapping[str, int] | None = None, seed: int = 1
    ) -> dict[str, xr.DataArray]:
        """Give one image per input: spots on a background, so that whole and part differ."""
        sizes = dict(sizes or self.image)
        found = {}
        for number, tensor in enumerate(self.inputs):
            own = {
                d: int(n * tensor.ratio_of(d)) + self.in_offset(tensor, d)
                if d in tensor.axes
                else n
                for d, n in sizes.items()
                if d != "c"
            }
            if tensor.channels > 1:
                own["c"] = tensor.channels
            dims = [d for d in "tczyx" if d in own]
            shape = [own[d] for d in dims]
            generator = np.random.default_rng(seed + number)
            pixels = generator.normal(100, 15, shape) + 60 * (generator.random(shape) > 0.95)
            pixels += np.linspace(-20, 20, shape[-1])
            found[tensor.name] = xr.DataArray(as_type(pixels, self.dtype), dims=dims)
        return found

    @staticmethod
    def in_offset(tensor: In, dim: str) -> int:
        size = tensor.size(dim)
        return size[1] if isinstance(size, tuple) and isinstance(size[0], str) else 0


def as_type(pixels: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "bool":
        return pixels > 110
    if np.dtype(dtype).kind == "u":
        return np.clip(pixels, 0, np.iinfo(dtype).max).astype(dtype)
    return pixels.astype(dtype)


def build(case: Case, folder: Path) -> Path:
    """Write ``case`` as a package folder; raises where bioimageio.spec calls it invalid."""
    from . import whole  # noqa: PLC0415 - it needs the cases' types

    folder.mkdir(parents=True)
    shutil.copy(NETS, folder / "nets.py")
    (folder / "README.md").write_text("# A test package\n\n# Validation\nNone.\n")
    network = case.network()
    smallest = {d: 16 if d in "yx" else 1 for d in case.inputs[0].axes if d in TILED}
    images = case.images(whole.valid_sizes(case, smallest), seed=5)
    answer = whole.run(case, images)
    for tensor in case.inputs:
        array = whole.as_tensor(images[tensor.name], tensor.axes)
        np.save(folder / f"{tensor.name}.npy", array.astype(tensor.dtype))
    for tensor in case.outputs:
        array = whole.as_tensor(answer[tensor.name], tensor.axes).astype(tensor.dtype)
        np.save(folder / f"{tensor.name}.npy", array)
    prepared = whole.prepare(case, {n: i.astype(np.float32) for n, i in images.items()})
    _save_weights(case, network, tuple(torch.from_numpy(a) for a in prepared), folder)
    content = describe(case, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the spec warns of missing covers and the like
        context = ValidationContext(root=folder, file_name="rdf.yaml", log_warnings=False)
        description = v0_5.ModelDescr.load(content, context=context)
    assert not isinstance(description, InvalidDescr), invalid_reasons(description)
    write_yaml(content, folder / "rdf.yaml")
    return folder


def _save_weights(
    case: Case, network: torch.nn.Module, arrays: tuple[torch.Tensor, ...], folder: Path
) -> None:
    torch.save(network.state_dict(), folder / "weights.pt")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch calls TorchScript and its ONNX export outdated
        if "torchscript" in case.formats:
            script = (
                torch.jit.script(network) if case.is_scripted else torch.jit.trace(network, arrays)
            )
            script.save(str(folder / "script.pt"))
        if "onnx" in case.formats:
            torch.onnx.export(
                network,
                arrays,
                str(folder / "net.onnx"),
                dynamo=False,
                opset_version=17,
                input_names=[t.name for t in case.inputs],
                output_names=[t.name for t in case.outputs],
                dynamic_axes={
                    t.name: {i: f"{t.name}_{d}" for i, d in enumerate(t.axes) if d != "c"}
                    for t in (*case.inputs, *case.outputs)
                },
            )


def described(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def describe(case: Case, folder: Path) -> dict[str, Any]:
    """Give the description of a package whose files lie in ``folder``."""
    weights: dict[str, Any] = {}
    architecture = {
        **described(folder / "nets.py"),
        "callable": case.net,
        "kwargs": dict(case.kwargs),
    }
    files = {"pytorch_state_dict": "weights.pt", "torchscript": "script.pt", "onnx": "net.onnx"}
    parent = {"parent": "pytorch_state_dict"} if "pytorch_state_dict" in case.formats else {}
    for format_name in case.formats:
        weights[format_name] = described(folder / files[format_name])
        if format_name == "onnx":
            weights[format_name] |= {"opset_version": 17, **parent}
        else:
            weights[format_name]["pytorch_version"] = "2.5.0"
        if format_name == "torchscript":
            weights[format_name] |= parent
    if "pytorch_state_dict" in case.formats:
        weights["pytorch_state_dict"]["architecture"] = architecture
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": "Case " + case.name.replace("_", " ").replace("/", " "),
        "description": "A tiny network.",
        "version": "0.1.0",
        "authors": [{"name": "A B"}],
        "license": "MIT",
        "tags": ["super-resolution"],
        "cite": [{"text": "none", "url": "https://doi.org/10.1234/none"}],
        "documentation": described(folder / "README.md"),
        "inputs": [_describe_input(t, folder) for t in case.inputs],
        "outputs": [_describe_output(t, case, folder) for t in case.outputs],
        "weights": weights,
    }


def _describe_input(tensor: In, folder: Path) -> dict[str, Any]:
    axes = []
    for dim in tensor.axes:
        axis = _axis(dim, tensor.channels, tensor.name)
        if dim in TILED:
            size = tensor.size(dim)
            if isinstance(size, int):
                axis["size"] = size
            elif isinstance(size[0], str):
                axis["size"] = {"tensor_id": size[0], "axis_id": IDS[dim], "offset": size[1]}
            else:
                axis["size"] = {"min": size[0], "step": size[1]}
            axis["scale"] = float(1 / tensor.ratio_of(dim))
        axes.append(axis)
    found = {
        "id": tensor.name,
        "axes": axes,
        "data": {"type": tensor.dtype},
        "preprocessing": [dict(op) for op in tensor.ops],
        "test_tensor": described(folder / f"{tensor.name}.npy"),
    }
    if tensor.pad:
        found["pad"] = dict(tensor.pad)
    return found


def _describe_output(tensor: Out, case: Case, folder: Path) -> dict[str, Any]:
    axes = []
    inputs = {t.name: t for t in case.inputs}
    for dim in tensor.axes:
        axis = _axis(dim, tensor.channels, tensor.name)
        if dim in TILED:
            first = inputs.get(tensor.of, case.inputs[0])
            axis["size"] = {
                "tensor_id": first.name,
                "axis_id": IDS[dim],
                "offset": tensor.offset_of(dim),
            }
            axis["scale"] = float(1 / tensor.ratio_of(dim))
            if tensor.halo_of(dim):
                axis["halo"] = tensor.halo_of(dim)
        axes.append(axis)
    return {
        "id": tensor.name,
        "axes": axes,
        "data": {"type": tensor.dtype},
        "postprocessing": [dict(op) for op in tensor.ops],
        "test_tensor": described(folder / f"{tensor.name}.npy"),
    }


def _axis(dim: str, channels: int, name: str) -> dict[str, Any]:
    if dim == "b":
        return {"type": "batch"}
    if dim == "c":
        return {"type": "channel", "channel_names": [f"{name}{i}" for i in range(channels)]}
    return {"type": "time" if dim == "t" else "space", "id": IDS[dim]}


def build_04(case: Case, folder: Path, preprocessing: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Write a same-ratio case with a description of format 0.4 and an architecture file."""
    build(case, folder)
    new = describe(case, folder)
    weights = {name: dict(entry) for name, entry in new["weights"].items()}
    if "pytorch_state_dict" in weights:
        architecture = weights["pytorch_state_dict"].pop("architecture")
        weights["pytorch_state_dict"] |= {
            "architecture": f"{architecture['source']}:{architecture['callable']}",
            "architecture_sha256": architecture["sha256"],
            "kwargs": architecture["kwargs"],
        }
    first, last = case.inputs[0], case.outputs[0]
    minimum, step = first.sizes
    content = {
        **{key: new[key] for key in ("type", "name", "description", "authors", "license", "tags")},
        "format_version": "0.4.10",
        "timestamp": "2020-01-01T00:00:00",
        "cite": new["cite"],
        "documentation": "README.md",
        "inputs": [
            {
                "name": "input",
                "axes": "bcyx",
                "data_type": "float32",
                "shape": {"min": [1, first.channels, minimum, minimum], "step": [0, 0, step, step]},
                "preprocessing": [dict(p) for p in preprocessing],
            }
        ],
        "outputs": [
            {
                "name": "output",
                "axes": "bcyx",
                "data_type": "float32",
                "halo": [0, 0, last.halo, last.halo],
                "shape": {
                    "reference_tensor": "input",
                    "scale": [1, 0, *[float(last.ratio_of("y"))] * 2],
                    "offset": [0, last.channels / 2, *[last.offset_of("y") / 2] * 2],
                },
            }
        ],
        "test_inputs": ["input.npy"],
        "test_outputs": ["output.npy"],
        "weights": weights,
    }
    write_yaml(content, folder / "rdf.yaml")
    return folder


def faulty(kind: str, tmp_path: Path) -> Path:
    """Build a package that is right, then let its network do something else."""
    folder = build(Case("faulty", formats=("pytorch_state_dict",)), tmp_path / "faulty")
    text = (folder / "rdf.yaml").read_text()
    assert "callable: Plain" in text
    text = text.replace("callable: Plain", "callable: Faulty")
    text = text.replace("kwargs: {}", f"kwargs: {{kind: {kind}}}")
    (folder / "rdf.yaml").write_text(text)
    state = torch.load(folder / "weights.pt", weights_only=True)
    torch.save({f"inner.{k}": v for k, v in state.items()}, folder / "weights.pt")
    drop_hash(folder, "weights.pt")
    return folder


def drop_hash(folder: Path, name: str) -> None:
    content: Any = read_yaml((folder / "rdf.yaml").read_text())
    for entry in content["weights"].values():
        if entry["source"] == name:
            entry.pop("sha256")
    write_yaml(content, folder / "rdf.yaml")
