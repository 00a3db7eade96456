"""What other programs of the BioImage Model Zoo will say to a model, from their published rules.

Pure functions over a description; nothing is run. The rules were read in the sources of JDLL
(July 2026) and in the zoo's own checks; a program may have changed since.
"""

from __future__ import annotations

from typing import Final

from bioimageio.spec.model import v0_5

from bridge.zoo.finding import Finding, or_ok

DEEPIMAGEJ_OPERATORS: Final = frozenset(
    {
        "binarize",
        "clip",
        "ensure_dtype",
        "fixed_zero_mean_unit_variance",
        "scale_linear",
        "scale_range",
        "sigmoid",
        "zero_mean_unit_variance",
    }
)
BIAPY_OPERATORS: Final = frozenset(
    {"zero_mean_unit_variance", "fixed_zero_mean_unit_variance", "scale_range", "scale_linear"}
)
BIAPY_TAGS: Final = frozenset(
    {
        "super-resolution",
        "denoising",
        "image-to-image",
        "image-restoration",
        "self-supervision",
        "semantic-segmentation",
        "instance-segmentation",
        "detection",
        "classification",
    }
)
MAX_OPSET: Final = 18
MAX_TORCH: Final = (2, 0, 0)


def check_partners(description: v0_5.ModelDescr) -> list[Finding]:
    """Apply the rules of deepImageJ, ilastik, BiaPy and QuPath."""
    return [
        *check_deepimagej(description),
        *check_ilastik(description),
        *check_biapy(description),
        *check_qupath(description),
    ]


def check_deepimagej(description: v0_5.ModelDescr) -> list[Finding]:
    """Apply the rules of deepImageJ 3, which reads packages with JDLL."""
    said: list[str] = []
    if description.file_name not in (None, "rdf.yaml"):
        said.append(f"It looks for rdf.yaml; this description is named {description.file_name}.")
    said += _java_weights(description.weights)
    operators = {step.id for tensor in description.inputs for step in tensor.preprocessing} | {
        step.id for tensor in description.outputs for step in tensor.postprocessing
    }
    unknown = sorted(operators - DEEPIMAGEJ_OPERATORS)
    if unknown:
        said.append(f"It does not know {', '.join(unknown)}; put that into the network.")
    if len(description.inputs) > 1:
        said.append(f"It takes one input; this model has {len(description.inputs)}.")
    tensors: list[v0_5.InputTensorDescr | v0_5.OutputTensorDescr] = [
        *description.inputs,
        *description.outputs,
    ]
    for tensor in tensors:
        for axis in tensor.axes:
            if axis.type == "space" and "id" not in axis.model_fields_set:
                said.append(
                    f"A space axis of {tensor.id} has no id, and reading it fails; write it."
                )
    said += _jdll_sizes(description)
    return _as_warnings("deepImageJ", said)


def check_ilastik(description: v0_5.ModelDescr) -> list[Finding]:
    """Apply the rule of ilastik: one image in, one image out."""
    n_inputs, n_outputs = len(description.inputs), len(description.outputs)
    said = []
    if (n_inputs, n_outputs) != (1, 1):
        said.append(
            f"It takes one input and one output; this model has {n_inputs} and {n_outputs}."
        )
    return _as_warnings("ilastik", said)


def check_biapy(description: v0_5.ModelDescr) -> list[Finding]:
    """Apply the rules of BiaPy."""
    said: list[str] = []
    entry = description.weights.pytorch_state_dict
    if entry is None:
        said.append("It needs pytorch_state_dict weights.")
    elif not entry.architecture.kwargs:
        said.append("It needs the architecture's kwargs in the description.")
    if len(description.inputs) != 1:
        said.append(f"It takes one input; this model has {len(description.inputs)}.")
    tensor = description.inputs[0]
    axes = "".join("b" if a.type == "batch" else str(a.id)[0] for a in tensor.axes)
    if axes not in ("bcyx", "bczyx"):
        said.append(f"It reads axes bcyx or bczyx; input {tensor.id} has {axes}.")
    steps = [step.id for step in tensor.preprocessing if step.id != "ensure_dtype"]
    strange = sorted(set(steps) - BIAPY_OPERATORS)
    if strange:
        said.append(f"It does not know the preprocessing {', '.join(strange)}.")
    if len(steps) > 1:
        said.append(f"It takes one step of preprocessing besides casts; here are {len(steps)}.")
    if not BIAPY_TAGS & {tag.lower() for tag in description.tags}:
        said.append("It finds the task in the tags; add one such as super-resolution or denoising.")
    return _as_warnings("BiaPy", said)


def check_qupath(description: v0_5.ModelDescr) -> list[Finding]:
    """Apply the rules of QuPath, which runs TorchScript tile by tile."""
    said: list[str] = []
    if description.weights.torchscript is None:
        said.append("It needs torchscript weights.")
    for tensor in description.inputs:
        for step in tensor.preprocessing:
            if step.id in ("zero_mean_unit_variance", "scale_range"):
                said.append(
                    f"It computes {step.id} of {tensor.id} per tile, not over the whole image; "
                    "fixed values do not have this fault."
                )
    return _as_warnings("QuPath", said)


def _java_weights(weights: v0_5.WeightsDescr) -> list[str]:
    """Say which weights deepImageJ's Java engines cannot run, if none of them can be."""
    said = []
    if weights.torchscript is not None:
        version = str(weights.torchscript.pytorch_version)
        numbers = tuple(int(part) for part in version.split("+")[0].split(".") if part.isdigit())
        if numbers <= MAX_TORCH:
            return []
        newest = ".".join(map(str, MAX_TORCH))
        said.append(
            f"Its TorchScript engine is PyTorch {newest}; these weights are from {version} "
            "and may not load."
        )
    if weights.onnx is not None:
        if weights.onnx.opset_version <= MAX_OPSET:
            return []
        said.append(
            f"Its ONNX engine knows opsets up to {MAX_OPSET}; "
            f"these weights have {weights.onnx.opset_version}."
        )
    if weights.tensorflow_saved_model_bundle is not None:
        return []
    return said or ["It has no Java engine for these weights; add torchscript or onnx."]


def _jdll_sizes(description: v0_5.ModelDescr) -> list[str]:
    """Compare output sizes after the format with those that JDLL computes.

    JDLL takes size = reference size * output scale + 2 * offset, where the format says
    size = reference size * reference scale / output scale + offset.
    """
    axes = {(t.id, a.id): a for t in description.inputs for a in t.axes}
    said = []
    for tensor in description.outputs:
        referenced = set()
        for axis in tensor.axes:
            size = getattr(axis, "size", None)
            if not isinstance(size, v0_5.SizeReference):
                continue
            referenced.add(size.tensor_id)
            reference = axes.get((size.tensor_id, size.axis_id))
            if reference is None or axis.type != "space" or reference.type != "space":
                continue
            right = reference.scale / axis.scale
            if size.offset != 0:
                said.append(f"It counts the offset of axis {axis.id} of {tensor.id} twice.")
            if abs(right - axis.scale) > 1e-6 * right:
                said.append(
                    f"It takes axis {axis.id} of {tensor.id} to be {axis.scale:g} times its input, "
                    f"and it is {right:g} times; only models whose input and output have "
                    "scale 1 are read right."
                )
        if len(referenced) > 1:
            said.append(f"The axes of {tensor.id} refer to {len(referenced)} inputs; it takes one.")
    return said


def _as_warnings(area: str, sentences: list[str]) -> list[Finding]:
    findings = [Finding("warning", area, sentence) for sentence in sentences]
    return or_ok(findings, area, "Nothing in its published rules speaks against this model.")
