"""What a trained package says about itself: its description in format 0.5 of the Model Zoo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from bioimageio.spec.common import HttpUrl
from bioimageio.spec.generic.v0_3 import Author, CiteEntry
from bioimageio.spec.model import v0_5
from torch import nn

from bridge.training.kind import Output
from bridge.training.networks import stride_of
from bridge.training.recipe import Recipe
from bridge.training.tasks.base import Scaling
from bridge.training.weights import FILES, OPSET

INPUT: Final = "frames"
_TAGS: Final = (
    "super-resolution",
    "single-molecule-localization-microscopy",
    "smlm",
    "storm",
    "palm",
    "fluorescence-light-microscopy",
    "2d",
    "pytorch",
)


@dataclass(frozen=True)
class Facts:
    """What is known of a trained network beside its recipe."""

    scaling: Scaling
    """Of its input."""
    pixel_size_nm: float
    """Edge of a camera pixel."""
    radius_px: int
    """Receptive radius, in camera pixels."""
    trained_on: Mapping[str, Any]
    """Conditions of its training data, for ``config.zoobridge``."""
    training: Mapping[str, Any]
    """Provenance: steps, seconds, versions."""
    figures: Mapping[str, float]
    """What was measured on data that it never saw."""


def describe(
    recipe: Recipe, network: nn.Module, facts: Facts, output: Output, folder: Path
) -> v0_5.ModelDescr:
    """Describe the package whose files lie in a folder.

    Parameters
    ----------
    recipe : Recipe
        What was trained.
    network : Module
        The network in the weight files.
    facts : Facts
        What is known of it.
    output : Output
        What its output is.
    folder : Path
        Weights, architecture, card, cover, test and sample tensors.

    Returns
    -------
    ModelDescr
        Checked against the files.
    """
    package = recipe.package
    return v0_5.ModelDescr(
        name=recipe.name,
        version=v0_5.Version(package.version),
        description=package.description,
        authors=[Author(name=name) for name in package.authors],
        license=v0_5.LicenseId(package.license),
        cite=[_cite(text, doi) for text, doi in package.cite.items()],
        documentation=_file(folder, "README.md"),
        covers=[_file(folder, "cover.png")],
        tags=[*_TAGS, *(tag for tag in package.tags if tag not in _TAGS)],
        inputs=[_describe_input(recipe, network, facts, folder)],
        outputs=[_describe_output(recipe, network, facts, output, folder)],
        weights=_describe_weights(recipe, folder),
        config=v0_5.Config(
            bioimageio=v0_5.BioimageioConfig(
                modality="single-molecule localization microscopy",
                task="super-resolution",
                architecture_type=recipe.network.callable,
                model_parameter_count=sum(p.numel() for p in network.parameters()),
            ),
            **{"zoobridge": _config(recipe, facts, output)},  # type: ignore[arg-type]
        ),
    )


def halo_px(recipe: Recipe, network: nn.Module, facts: Facts) -> int:
    """Give the halo in output pixels: the receptive radius, rounded up to the stride."""
    stride = stride_of(network)
    return max(-(-facts.radius_px // stride) * stride, stride) * recipe.task.upscaling


def smallest_px(recipe: Recipe, network: nn.Module, facts: Facts) -> int:
    """Give the smallest input's edge, which leaves something behind its halo."""
    stride = stride_of(network)
    needed = 2 * halo_px(recipe, network, facts) // recipe.task.upscaling + stride
    return -(-max(needed, recipe.package.smallest_px) // stride) * stride


def _cite(text: str, doi: str) -> CiteEntry:
    if doi.startswith(("http://", "https://")):
        return CiteEntry(text=text, url=HttpUrl(doi))
    return CiteEntry(text=text, doi=v0_5.Doi(doi))


def _file(folder: Path, name: str) -> v0_5.FileDescr:
    return v0_5.FileDescr(source=(folder / name).absolute())


def _describe_input(
    recipe: Recipe, network: nn.Module, facts: Facts, folder: Path
) -> v0_5.InputTensorDescr:
    size = v0_5.ParameterizedSize(min=smallest_px(recipe, network, facts), step=stride_of(network))
    # Without the casts the specification appends one back to uint16 behind the subtraction.
    to_float = v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))
    scaling = v0_5.FixedZeroMeanUnitVarianceDescr(
        kwargs=v0_5.FixedZeroMeanUnitVarianceKwargs(mean=facts.scaling.mean, std=facts.scaling.std)
    )
    # Explicit axis ids: deepImageJ refuses a space axis without one.
    y, x = (
        v0_5.SpaceInputAxis(
            id=v0_5.AxisId(name), size=size, unit="nanometer", scale=facts.pixel_size_nm
        )
        for name in "yx"
    )
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId(INPUT),
        description="Raw camera frames, in counts; frames of a movie go along the batch.",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(n) for n in _channels(recipe)]),
            y,
            x,
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="uint16"),
        preprocessing=[to_float, scaling, to_float],
        test_tensor=_file(folder, "test_input.npy"),
        sample_tensor=_file(folder, "sample_input.tif"),
    )


def _describe_output(
    recipe: Recipe, network: nn.Module, facts: Facts, output: Output, folder: Path
) -> v0_5.OutputTensorDescr:
    y, x = (
        v0_5.SpaceOutputAxisWithHalo(
            id=v0_5.AxisId(name),
            halo=halo_px(recipe, network, facts),
            unit="nanometer",
            scale=facts.pixel_size_nm / recipe.task.upscaling,
            size=v0_5.SizeReference(tensor_id=v0_5.TensorId(INPUT), axis_id=v0_5.AxisId(name)),
        )
        for name in "yx"
    )
    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId(output.name),
        description=output.description,
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(n) for n in output.channel_names]),
            y,
            x,
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=output.limits),
        test_tensor=_file(folder, "test_output.npy"),
        sample_tensor=_file(folder, "sample_output.tif"),
    )


def _describe_weights(recipe: Recipe, folder: Path) -> v0_5.WeightsDescr:
    paths = {name: (folder / file_name).absolute() for name, file_name in FILES.items()}
    torch_version = v0_5.Version(torch.__version__.split("+")[0])
    architecture = v0_5.ArchitectureFromFileDescr(
        source=(folder / "architecture.py").absolute(),
        callable=v0_5.Identifier(recipe.network.callable),
        kwargs=_plain(recipe.network.arguments),
    )
    return v0_5.WeightsDescr(
        pytorch_state_dict=v0_5.PytorchStateDictWeightsDescr(
            source=paths["pytorch_state_dict"],
            pytorch_version=torch_version,
            architecture=architecture,
        ),
        torchscript=v0_5.TorchscriptWeightsDescr(
            source=paths["torchscript"],
            pytorch_version=torch_version,
            parent="pytorch_state_dict",
        ),
        onnx=v0_5.OnnxWeightsDescr(
            source=paths["onnx"], opset_version=OPSET, parent="pytorch_state_dict"
        ),
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values)


def _channels(recipe: Recipe) -> list[str]:
    """Name the frames that are looked at: the middle one, and those before and behind it."""
    n_side = (recipe.conditions.frames if recipe.conditions else 1) // 2
    names = {0: INPUT}
    for step in range(1, n_side + 1):
        names |= {-step: f"frames_before_{step}", step: f"frames_after_{step}"}
    return [names[step] for step in range(-n_side, n_side + 1)]


def _config(recipe: Recipe, facts: Facts, output: Output) -> dict[str, Any]:
    """Say what zoobridge needs to know, and where the weights come from."""
    return {
        "task": recipe.task.kind,
        "upscaling": recipe.task.upscaling,
        **output.config,
        "receptive_radius_px": facts.radius_px,
        "pixel_size_nm": facts.pixel_size_nm,
        "trained_on": dict(facts.trained_on),
        "training": dict(facts.training),
        "measured": dict(facts.figures),
    }
