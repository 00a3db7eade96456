"""What a trained package says about itself: its description in format 0.5 of the Model Zoo."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from bioimageio.spec.common import HttpUrl
from bioimageio.spec.generic.v0_3 import Author, CiteEntry
from bioimageio.spec.model import v0_5
from pydantic import TypeAdapter, ValidationError
from torch import nn

from bridge.errors import RecipeError
from bridge.training.kind import STRETCH_EPS, About, Input
from bridge.training.networks import stride_of
from bridge.training.recipe import Recipe
from bridge.training.tasks.base import Scaling
from bridge.training.weights import FILES, OPSET


@dataclass(frozen=True)
class Facts:
    """What is known of a trained network beside its recipe."""

    scaling: Scaling
    """Of its input."""
    pixel_size_nm: float | None
    """Edge of an input pixel; None where it isn't known."""
    radius_px: int
    """Receptive radius, in input pixels."""
    trained_on: Mapping[str, Any]
    """Conditions of its training data, for ``config.zoobridge``."""
    training: Mapping[str, Any]
    """Provenance: steps, seconds, versions."""
    figures: Mapping[str, float]
    """What was measured on data that it never saw."""


def describe(
    recipe: Recipe, network: nn.Module, facts: Facts, about: About, folder: Path
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
    about : About
        What its tensors are.
    folder : Path
        Weights, architecture, card, cover, test and sample tensors.

    Returns
    -------
    ModelDescr
        Checked against the files.
    """
    package = recipe.package
    return v0_5.ModelDescr(
        **package_words(recipe),
        documentation=_file(folder, "README.md"),
        covers=[_file(folder, "cover.png")],
        tags=[*about.tags, *(tag for tag in package.tags if tag not in about.tags)],
        inputs=[
            _describe_input(recipe, network, facts, about, number, folder)
            for number in range(len(about.inputs))
        ],
        outputs=[
            _describe_output(recipe, network, facts, about, number, folder)
            for number in range(len(about.outputs))
        ],
        weights=_describe_weights(recipe, folder),
        config=v0_5.Config(
            bioimageio=v0_5.BioimageioConfig(
                modality=about.modality,
                task="super-resolution",
                architecture_type=recipe.network.callable,
                model_parameter_count=sum(p.numel() for p in network.parameters()),
            ),
            **{"zoobridge": _config(recipe, facts, about)},  # type: ignore[arg-type]
        ),
    )


def package_words(recipe: Recipe) -> dict[str, Any]:
    """Give what a recipe says of its package, as the package's description takes it.

    Asked before a training too: what the Model Zoo's format refuses would else be told after hours.

    Returns
    -------
    dict
        Arguments of the description.

    Raises
    ------
    RecipeError
        The format refuses the name, the version, the licence, an author or a citation.
    """
    said = recipe.package
    makers: dict[str, tuple[Callable[[], object], str]] = {
        "name": (lambda: recipe.name, "5 to 128 letters, digits, spaces or _ + - ( )"),
        "version": (lambda: v0_5.Version(said.version), "a version such as 0.1.0"),
        "description": (lambda: said.description, "1,024 characters at most"),
        "authors": (lambda: [Author(name=name) for name in said.authors], "names without a /"),
        "license": (lambda: v0_5.LicenseId(said.license), "an SPDX name such as BSD-3-Clause"),
        "cite": (
            lambda: [_cite(*entry) for entry in said.cite.items()],
            "DOIs that begin with 10., or web addresses",
        ),
    }
    words: dict[str, Any] = {}
    for word, (make, expected) in makers.items():
        field = v0_5.ModelDescr.model_fields[word]
        try:
            words[word] = make()
            TypeAdapter(Annotated[field.annotation, field]).validate_python(words[word])
        except ValidationError as error:
            refused = repr(error.errors(include_url=False)[0]["input"])
            found = f"{textwrap.shorten(refused, 80)} isn't taken by the Model Zoo's format"
            key = word if word == "name" else f"package.{word}"
            raise RecipeError(key, found, expected, "Correct the recipe.") from error
    return words


def tensor_file(role: str, names: Sequence[str], number: int, ending: str) -> str:
    """Name the file of a tensor: ``test_input.npy`` of the first, ``test_noise.npy`` of others."""
    word = role.rpartition("_")[0] + "_" + names[number] if number else role
    return f"{word}.{ending}"


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
    recipe: Recipe, network: nn.Module, facts: Facts, about: About, number: int, folder: Path
) -> v0_5.InputTensorDescr:
    told = about.inputs[number]
    names = [one.name for one in about.inputs]
    scale = _space_scale(recipe, about, facts, told.upscaling)
    size: v0_5.ParameterizedSize | v0_5.SizeReference
    size = v0_5.ParameterizedSize(min=smallest_px(recipe, network, facts), step=stride_of(network))
    axes = []
    for name in "yx":
        if number:
            first = v0_5.TensorId(names[0])
            size = v0_5.SizeReference(tensor_id=first, axis_id=v0_5.AxisId(name))
        # Explicit axis ids: deepImageJ refuses a space axis without one.
        axes.append(v0_5.SpaceInputAxis(id=v0_5.AxisId(name), size=size, **scale))
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId(told.name),
        description=told.description,
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(n) for n in told.channel_names]),
            *axes,
        ],
        data=v0_5.IntervalOrRatioDataDescr(type=told.dtype),
        preprocessing=_scale(told, facts.scaling),
        test_tensor=_file(folder, tensor_file("test_input", names, number, "npy")),
        sample_tensor=_file(folder, tensor_file("sample_input", names, number, "tif")),
    )


def _space_scale(recipe: Recipe, about: About, facts: Facts, upscaling: int) -> dict[str, Any]:
    """Give scale and unit of an axis with so many pixels for each of the first input.

    deepImageJ takes an output's scale for the factor between input and output. Where all images
    are of one size it stays 1 then, and ``config.zoobridge`` tells the pixel size.
    """
    if recipe.task.upscaling == 1 and all(one.upscaling == 1 for one in about.inputs):
        return {"scale": 1.0}
    if facts.pixel_size_nm is None:
        return {"scale": 1 / upscaling}
    return {"scale": facts.pixel_size_nm / upscaling, "unit": "nanometer"}


def _scale(told: Input, scaling: Scaling) -> list[v0_5.PreprocessingDescr]:
    # Without the casts the specification appends one back to uint16 behind the subtraction.
    to_float = v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))
    if told.scaling == "none":
        return [to_float]
    if told.scaling == "fixed":
        kwargs = v0_5.FixedZeroMeanUnitVarianceKwargs(mean=scaling.mean, std=scaling.std)
        return [to_float, v0_5.FixedZeroMeanUnitVarianceDescr(kwargs=kwargs), to_float]
    low, high = told.stretch_percent
    stretched = v0_5.ScaleRangeDescr(
        kwargs=v0_5.ScaleRangeKwargs(
            axes=[v0_5.AxisId(name) for name in ("channel", "y", "x")],
            min_percentile=low,
            max_percentile=high,
            eps=STRETCH_EPS,
        )
    )
    return [to_float, stretched, to_float]


def _describe_output(
    recipe: Recipe, network: nn.Module, facts: Facts, about: About, number: int, folder: Path
) -> v0_5.OutputTensorDescr:
    told = about.outputs[number]
    names = [one.name for one in about.outputs]
    y, x = (
        v0_5.SpaceOutputAxisWithHalo(
            id=v0_5.AxisId(name),
            halo=halo_px(recipe, network, facts),
            **_space_scale(recipe, about, facts, recipe.task.upscaling),
            size=v0_5.SizeReference(
                tensor_id=v0_5.TensorId(about.inputs[0].name), axis_id=v0_5.AxisId(name)
            ),
        )
        for name in "yx"
    )
    post: list[v0_5.PostprocessingDescr] = []
    if (told.gain, told.offset) != (1.0, 0.0):
        kwargs = v0_5.ScaleLinearKwargs(gain=told.gain, offset=told.offset)
        post.append(v0_5.ScaleLinearDescr(kwargs=kwargs))
    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId(told.name),
        description=told.description,
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(n) for n in told.channel_names]),
            y,
            x,
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=told.limits),
        postprocessing=post,
        test_tensor=_file(folder, tensor_file("test_output", names, number, "npy")),
        sample_tensor=_file(folder, tensor_file("sample_output", names, number, "tif")),
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


def _config(recipe: Recipe, facts: Facts, about: About) -> dict[str, Any]:
    """Say what zoobridge needs to know, and where the weights come from."""
    return {
        "task": recipe.task.kind,
        "upscaling": recipe.task.upscaling,
        **about.config,
        "receptive_radius_px": facts.radius_px,
        "pixel_size_nm": facts.pixel_size_nm,
        "trained_on": dict(facts.trained_on),
        "training": dict(facts.training),
        "measured": dict(facts.figures),
    }
