"""What a valid description can still get wrong: sizes, halos, casts, and things left out.

Pure functions over a description; nothing is run.
"""

from __future__ import annotations

from bioimageio.spec.model import v0_5

from bridge.zoo.finding import Finding, or_ok

_NORMALISING = frozenset(
    {
        "zero_mean_unit_variance",
        "fixed_zero_mean_unit_variance",
        "scale_range",
        "scale_linear",
        "sigmoid",
        "softmax",
    }
)


def check_geometry(description: v0_5.ModelDescr) -> list[Finding]:
    """Look at sizes, halos, offsets and channel axes of all tensors."""
    said: list[str] = []
    for tensor in description.inputs:
        fixed = [
            str(axis.id)
            for axis in tensor.axes
            if axis.type == "space" and isinstance(axis.size, int)
        ]
        if fixed:
            said.append(
                f"Input {tensor.id} has one size only ({', '.join(fixed)}); images of other sizes "
                "run in tiles of this size."
            )
    for output in description.outputs:
        if not any(axis.type == "channel" for axis in output.axes):
            said.append(
                f"Output {output.id} has no channel axis; bioimageio.core drops it from tiled runs."
            )
        said += _output_sizes(output)
    said += _uncovered_inputs(description)
    findings = [Finding("warning", "geometry", sentence) for sentence in said]
    return or_ok(findings, "geometry", "Sizes, halos and axes allow tiling.")


def check_processing(description: v0_5.ModelDescr) -> list[Finding]:
    """Look for preprocessing whose result is cast to whole numbers before the network."""
    findings = []
    for tensor in description.inputs:
        steps = tensor.preprocessing
        last = steps[-1] if steps else None
        is_scaled = any(step.id in _NORMALISING for step in steps)
        if (
            is_scaled
            and isinstance(last, v0_5.EnsureDtypeDescr)
            and "float" not in last.kwargs.dtype
        ):
            findings.append(
                Finding(
                    "error",
                    "processing",
                    f"Preprocessing of {tensor.id} ends with a cast to {last.kwargs.dtype}, which "
                    "destroys the normalised values; end it with ensure_dtype float32.",
                )
            )
    return or_ok(findings, "processing", "Normalised values reach the network as they are.")


def check_completeness(description: v0_5.ModelDescr) -> list[Finding]:
    """Look for what the zoo asks for and a user needs, and is not there."""
    needs = {
        "license": "Others may not use a model without one; give an SPDX name such as MIT.",
        "cite": "Say which paper or record to cite.",
        "documentation": "A README.md with a section '# Validation' is asked for.",
        "covers": "A picture (2:1 or 1:1, below 500 kB) shows what the model does.",
        "tags": "Tags such as super-resolution and the kind of microscopy make it found.",
        "authors": "Name who made it.",
        "description": "Say in a sentence what it is for.",
        "version": "A version tells later changes apart.",
    }
    findings = [
        Finding("warning", "completeness", f"{field} is missing. {why}")
        for field, why in needs.items()
        if not getattr(description, field)
    ]
    if not description.maintainers and not any(a.github_user for a in description.authors):
        sentence = "maintainers is missing. Name one with a GitHub account."
        findings.append(Finding("warning", "completeness", sentence))
    tensors: list[v0_5.InputTensorDescr | v0_5.OutputTensorDescr] = [
        *description.inputs,
        *description.outputs,
    ]
    for tensor in tensors:
        if tensor.test_tensor is None:
            sentence = f"{tensor.id} has no test_tensor; the model cannot be tested."
            findings.append(Finding("error", "completeness", sentence))
        if tensor.sample_tensor is None:
            sentence = f"{tensor.id} has no sample_tensor that a human can look at."
            findings.append(Finding("warning", "completeness", sentence))
    return or_ok(findings, "completeness", "Everything that the zoo asks for is there.")


def _output_sizes(output: v0_5.OutputTensorDescr) -> list[str]:
    shifted: list[str] = []
    bare: list[str] = []
    for axis in output.axes:
        if axis.type == "space" and isinstance(axis.size, v0_5.SizeReference):
            if axis.size.offset != 0:
                shifted.append(str(axis.id))
            if not isinstance(axis, v0_5.WithHalo):
                bare.append(str(axis.id))
    said = []
    if shifted:
        said.append(
            f"Output {output.id} has an offset ({', '.join(shifted)}); bioimageio.core cannot run "
            "it in tiles."
        )
    if bare:
        said.append(
            f"Output {output.id} has no halo ({', '.join(bare)}); programs that trust the "
            "description will show seams between tiles if the network looks at neighbours."
        )
    return said


def _uncovered_inputs(description: v0_5.ModelDescr) -> list[str]:
    """Say which inputs get no halo although others do."""
    covered = {
        axis.size.tensor_id
        for output in description.outputs
        for axis in output.axes
        if isinstance(axis, v0_5.WithHalo)
    }
    names = {tensor.id for tensor in description.inputs}
    if not covered or names <= covered:
        return []
    rest = ", ".join(sorted(str(name) for name in names - covered))
    return [
        f"No output with a halo refers to input {rest}; bioimageio.core gives it no halo, and "
        "running in tiles fails there."
    ]
