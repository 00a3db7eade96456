"""Tiny networks really trained, and packages of them in which a fault is planted.

UR-Net-8 (width 1/8, depth 6) and X-Net (width 1/8, depth 4) learn simulated filaments of 64 px, in
seconds; "port" is a plain convolutional network with batch norms, as others write them. The
packages take 8-bit images, stretched to 0 .. 255, and divide them by 255.
"""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from bioimageio.spec.utils import write_yaml
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import nn

import models_zoo
from bridge.zoo.package import Package, open_package

EDGE = 64
ZOO = Path(models_zoo.__file__).parent
State = dict[str, torch.Tensor]
Image = NDArray[np.float32]

PORT = '''
import torch
from torch import nn


class Port(nn.Module):
    """A plain network with batch norms and a functional ReLU at its end."""

    def __init__(self, width=8):
        super().__init__()
        layers = []
        for n_in, n_out in ((1, width), (width, width), (width, width)):
            layers += [nn.Conv2d(n_in, n_out, 5, padding=2), nn.BatchNorm2d(n_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, wf):
        return torch.relu(self.last(self.layers(wf)))
'''

VARIANTS = '''

class BatchNormed{name}({name}):
    """As the failed ports have it: batch norms with running statistics."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for name, module in list(self.named_modules()):
            if isinstance(module, Norm):
                parent, _, leaf = name.rpartition(".")
                norm = nn.BatchNorm2d(len(module.weight))
                setattr(self.get_submodule(parent), leaf, norm)


'''

FAULTS = '''

class Outlying{name}({name}):
    """One corner pixel holds the range."""

    def forward(self, *images):
        made = super().forward(*images)
        last = made[-1] if isinstance(made, tuple) else made
        corner = torch.zeros_like(last)
        corner[..., 0, 0] = 141.0
        last = torch.relu(last + corner)
        return (*made[:-1], last) if isinstance(made, tuple) else last


class Mirrored{name}({name}):
    """Draws what isn't there: the mirror image."""

    def forward(self, *images):
        return super().forward(*(image.flip(-1) for image in images))
'''


class Field(NamedTuple):
    """Filaments: widefield image, stretched to 0 .. 1; sparse and full STORM images."""

    wf: Image
    sparse: Image
    full: Image


def draw_field(seed: int, edge: int = EDGE) -> Field:
    """Draw filaments, localize them sparsely three times and densely, and blur the widefield."""
    rng = np.random.default_rng(seed)
    places = []
    for _ in range(5 * edge // 64):
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.03, 2 * edge))
        steps = 0.8 * np.stack([np.sin(heading), np.cos(heading)])
        places.append(rng.uniform(0, edge, (2, 1)) + np.cumsum(steps, axis=1) - steps[:, :1])
    along = np.concatenate(places, axis=1)

    def localize(per_step: float) -> Image:
        picked = np.repeat(along, rng.poisson(per_step, along.shape[1]), axis=1)
        picked = picked + rng.normal(0, 0.5, picked.shape)
        return np.histogram2d(*picked, bins=edge, range=[(0, edge)] * 2)[0].astype(np.float32)

    def render(counts: Image) -> Image:
        blurred = gaussian_filter(counts, 1.0)
        return np.clip(blurred / max(np.percentile(blurred, 99.7), 1e-6), 0, 1)

    light = gaussian_filter(localize(12.0), 4.0)
    light = rng.poisson(300 * light / light.max() + 12).astype(np.float32)
    wf = (light - light.min()) / (light.max() - light.min())
    sparse = np.stack([render(localize(0.9)) for _ in range(3)])
    return Field(wf.astype(np.float32), sparse, render(localize(20.0)))


@cache
def training_fields() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Give 60 fields as tensors: wf (n, 3, y, x), sparse (n, 3, y, x), full (n, 3, y, x)."""
    fields = [draw_field(seed) for seed in range(60)]
    wf, full = (
        torch.from_numpy(np.stack([getattr(f, name) for f in fields]))[:, None].repeat(1, 3, 1, 1)
        for name in ("wf", "full")
    )
    return wf, torch.from_numpy(np.stack([f.sparse for f in fields])), full


@cache
def _load(name: str, callable_name: str) -> Callable[..., nn.Module]:
    text, space = source_of(name), {"__name__": name}
    file = f"<planted {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)  # TorchScript
    exec(compile(text, file, "exec"), space)
    made: Any = space[callable_name]
    return made  # type: ignore[no-any-return]


def source_of(name: str) -> str:
    """Give an architecture file's text, with the classes that plant a fault behind it."""
    if name == "port":
        return PORT + FAULTS.format(name="Port")
    text = (ZOO / name / "architecture.py").read_text("utf-8")
    return text + (VARIANTS + FAULTS).format(name=CALLABLES[name])


CALLABLES = {
    "ur_net_8": "UrNet8",
    "x_net": "XNet",
    "x_microscopy": "XMicroscopy",
    "port": "Port",
}
KWARGS: dict[str, dict[str, int]] = {
    "ur_net_8": {"width": 8, "depth": 6},
    "x_net": {"width": 4, "depth": 4},
    "x_microscopy": {"ur_width": 8, "x_width": 4, "ur_depth": 6, "x_depth": 4},
    "port": {"width": 8},
}


def build(name: str, prefix: str = "") -> nn.Module:
    """Build a tiny network, or its variant."""
    torch.manual_seed(0)
    return _load(name, prefix + CALLABLES[name])(**KWARGS[name])


@cache
def trained(name: str) -> nn.Module:
    """Train a tiny network; once in a session."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _train(name)
    finally:
        torch.set_num_threads(before)


def _train(name: str) -> nn.Module:
    if name == "x_microscopy":
        chain = build(name)
        parts = {part: trained(part).state_dict() for part in ("ur_net_8", "x_net")}
        chain.load_state_dict({f"{p}.{k}": v for p, s in parts.items() for k, v in s.items()})
        return chain.eval()
    network = build(name).train()
    wf, sparse, full = training_fields()
    given, wanted = ([wf], sparse) if name == "ur_net_8" else ([wf[:, :1]], sparse.mean(1, True))
    if name == "x_net":
        with torch.no_grad():
            given, wanted = [wf, trained("ur_net_8")(wf).clamp(0, 1)], full
    steps = {"ur_net_8": 110, "x_net": 40, "port": 80}[name]
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        rows = torch.randint(len(wf), (2,), generator=generator)
        made = network(*(images[rows] for images in given))
        made = made if isinstance(made, tuple) else (made,)
        loss = sum(
            nn.functional.l1_loss(m, wanted[rows]) + 5 * nn.functional.mse_loss(m, wanted[rows])
            for m in made
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def decayed(name: str) -> nn.Module:
    """Give the trained network with batch norms whose averages come from 60 images, one by one.

    At 64 px the bottom is one pixel: its own variance is 0 on each, and the running one decays.
    """
    network = build(name, "BatchNormed").eval()
    network.load_state_dict(trained(name).state_dict(), strict=False)
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}

    def average(label: str, values: torch.Tensor) -> None:
        pixels = values.transpose(0, 1).flatten(1)
        norms[label].running_mean.lerp_(pixels.mean(1), 0.4)
        norms[label].running_var.lerp_(pixels.var(1, correction=0), 0.4)

    hooks = [
        module.register_forward_pre_hook(lambda _, given, label=label: average(label, given[0]))
        for label, module in trained(name).named_modules()
        if label in norms
    ]
    wf, _, _ = training_fields()
    with torch.no_grad():
        for number in range(60):
            image = wf[number % len(wf)][None]
            trained(name)(image)
    for hook in hooks:
        hook.remove()
    return network


def write(
    folder: Path,
    name: str,
    network: nn.Module | None = None,
    *,
    prefix: str = "",
    change: Callable[[State], None] | None = None,
    formats: tuple[str, ...] = ("pytorch_state_dict",),
    strict: bool = True,
    least_bright: dict[str, float] | None = None,
) -> Package:
    """Write a package of a tiny network, and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    network = network or trained(name)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    if change is not None:
        change(state)
    (folder / "architecture.py").write_text(source_of(name), "utf-8")
    (folder / "README.md").write_text("# Planted\n\n# Validation\nNone.\n", "utf-8")
    torch.save(state, folder / "weights.pt")
    names, images = _test_images(name)
    tensors = [torch.from_numpy(image) / 255 for image in images]
    with torch.no_grad():
        made = trained(name)(*tensors)
        made = made if isinstance(made, tuple) else (made,)
    outs = {1: ["mu_srm"], 3: ["xm1", "xm2", "xm3"], 4: ["mu_srm", "xm1", "xm2", "xm3"]}[len(made)]
    for label, image in zip(names, images, strict=True):
        np.save(folder / f"test_{label}.npy", image)
    for label, output in zip(outs, made, strict=True):
        np.save(folder / f"made_{label}.npy", output.numpy())
    weights: dict[str, Any] = {}
    if "pytorch_state_dict" in formats:
        weights["pytorch_state_dict"] = {
            **_file(folder / "weights.pt"),
            "pytorch_version": "2.0.0",
            "strict": strict,
            "architecture": {
                **_file(folder / "architecture.py"),
                "callable": prefix + CALLABLES[name],
                "kwargs": KWARGS[name],
            },
        }
    if len(formats) > 1 or "pytorch_state_dict" not in formats:
        own = build(name, prefix).eval()
        own.load_state_dict(state)
        _write_other(folder, own, tensors, weights, formats)
    description = _describe(folder, names, images, outs, made, weights)
    if least_bright:
        description["config"] = {"zoobridge": {"least_bright": least_bright}}
    write_yaml(description, folder / "rdf.yaml")
    return open_package(folder)


def _write_other(
    folder: Path,
    network: nn.Module,
    tensors: list[torch.Tensor],
    weights: dict[str, Any],
    formats: tuple[str, ...],
) -> None:
    if "torchscript" in formats:
        torch.jit.script(network).save(str(folder / "script.pt"))
        weights["torchscript"] = {**_file(folder / "script.pt"), "pytorch_version": "2.0.0"}
    if "onnx" in formats:
        torch.onnx.export(
            network,
            tuple(tensors),
            str(folder / "net.onnx"),
            dynamo=True,
            opset_version=18,
            external_data=False,
            verbose=False,
        )
        weights["onnx"] = {**_file(folder / "net.onnx"), "opset_version": 18}


def _test_images(name: str) -> tuple[list[str], list[Image]]:
    field = draw_field(1000)
    wf = 255 * field.wf[None, None]
    if name in ("port", "x_microscopy"):
        return ["wf"], [wf]
    wf = wf.repeat(3, axis=1)
    if name == "ur_net_8":
        return ["wf"], [wf]
    with torch.no_grad():
        mu_srm = trained("ur_net_8")(torch.from_numpy(wf) / 255).clamp(0, 1).numpy()
    return ["wf", "mu_srm"], [wf, 255 * mu_srm]


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _describe(
    folder: Path,
    names: list[str],
    images: list[Image],
    outs: list[str],
    made: tuple[torch.Tensor, ...],
    weights: dict[str, Any],
) -> dict[str, Any]:
    def axes(channels: int, label: str, size: Callable[[str], dict[str, Any]]) -> list[Any]:
        spaces = [
            {"type": "space", "id": a, "unit": "nanometer", "scale": 32.0, **size(a)} for a in "yx"
        ]
        channel_names = [f"{label}{n}" for n in range(channels)]
        return [{"type": "batch"}, {"type": "channel", "channel_names": channel_names}, *spaces]

    def like_first(a: str) -> dict[str, Any]:
        return {"size": {"tensor_id": names[0], "axis_id": a, "offset": 0}}

    scale = [
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        {"id": "scale_linear", "kwargs": {"gain": 1 / 255, "offset": 0.0}},
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
    ]
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": "Planted",
        "description": "A tiny network.",
        "version": "0.1.0",
        "authors": [{"name": "A B"}],
        "license": "MIT",
        "tags": ["denoising"],
        "cite": [{"text": "none", "url": "https://doi.org/10.1234/none"}],
        "documentation": _file(folder / "README.md"),
        "inputs": [
            {
                "id": label,
                "axes": axes(
                    image.shape[1],
                    label,
                    like_first if number else lambda _: {"size": {"min": EDGE, "step": 1}},
                ),
                "data": {"type": "float32"},
                "preprocessing": scale,
                "test_tensor": _file(folder / f"test_{label}.npy"),
            }
            for number, (label, image) in enumerate(zip(names, images, strict=True))
        ],
        "outputs": [
            {
                "id": label if label not in names else f"{label}_out",
                "axes": axes(output.shape[1], label, like_first),
                "data": {"type": "float32"},
                "test_tensor": _file(folder / f"made_{label}.npy"),
            }
            for label, output in zip(outs, made, strict=True)
        ],
        "weights": weights,
    }
