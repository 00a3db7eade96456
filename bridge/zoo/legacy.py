"""Descriptions of format 0.4: what bioimageio.spec's conversion to 0.5 loses, put back.

The conversion drops the weights' hashes, the reference tensor and dataset mode of percentiles,
and refuses outputs of fixed size with a halo. Processing does what bioimageio.core 0.11 does with
a 0.4 model (``proc_setup.py``): an input is cast to its data type, processed and cast to float32;
an output is processed and cast to float32. One thing is left out on purpose: core casts an output
to its data type *before* postprocessing, so that a sigmoid of whole numbers overflows; here that
cast comes after postprocessing, where the conversion puts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from bioimageio.spec.model import v0_4, v0_5


def prepare(old: v0_4.ModelDescr, content: dict[str, Any]) -> dict[str, Any]:
    """Give a copy of ``content`` that the conversion accepts and that means the same.

    Fixed sizes of an output with a halo are written relative to an input of fixed size.

    Parameters
    ----------
    old : v0_4.ModelDescr
        The validated description.
    content : dict
        The YAML that it was made from.
    """
    content = deepcopy(content)
    for output, raw in zip(old.outputs, content["outputs"], strict=True):
        if isinstance(output.shape, Sequence) and any(output.halo or ()):
            for tensor in old.inputs:
                shape = _relative_shape(tensor, output)
                if shape is not None:
                    raw["shape"] = shape
                    break
    return content


def _relative_shape(
    tensor: v0_4.InputTensorDescr, output: v0_4.OutputTensorDescr
) -> dict[str, Any] | None:
    """Give the output's fixed shape relative to the input, where both have the same axes."""
    if not isinstance(tensor.shape, Sequence) or not isinstance(output.shape, Sequence):
        return None
    if tensor.axes != output.axes:
        return None
    scale: list[float] = []
    offset: list[float] = []
    for axis, n_in, n_out in zip(tensor.axes, tensor.shape, output.shape, strict=True):
        is_relative = axis in "btxyz"
        scale.append(n_out / n_in if is_relative else 0.0)
        offset.append(0.0 if is_relative else n_out / 2)
    return {"reference_tensor": str(tensor.name), "scale": scale, "offset": offset}


def restore(old: v0_4.ModelDescr, new: v0_5.ModelDescr) -> None:
    """Put back into the converted description what the conversion dropped.

    Must run inside the ``ValidationContext`` of the package: assignments are validated.
    """
    for name, entry in old.weights:
        converted = getattr(new.weights, name, None)
        if entry is not None and converted is not None:
            converted.sha256 = entry.sha256
    for old_input, new_input in zip(old.inputs, new.inputs, strict=True):
        _restore_percentiles(old_input.preprocessing, new_input.preprocessing)
    for old_output, new_output in zip(old.outputs, new.outputs, strict=True):
        _restore_percentiles(old_output.postprocessing, new_output.postprocessing)
        last = new_output.postprocessing[-1]
        if not (isinstance(last, v0_5.EnsureDtypeDescr) and last.kwargs.dtype == "float32"):
            new_output.postprocessing.append(_cast("float32"))


def _restore_percentiles(old_steps: Sequence[object], new_steps: Sequence[object]) -> None:
    before = [step for step in old_steps if isinstance(step, v0_4.ScaleRangeDescr)]
    after = [step for step in new_steps if isinstance(step, v0_5.ScaleRangeDescr)]
    for old, new in zip(before, after, strict=True):
        if old.kwargs.reference_tensor is not None:
            new.kwargs.reference_tensor = v0_5.TensorId(str(old.kwargs.reference_tensor))
        if old.kwargs.mode == "per_dataset" and new.kwargs.axes is not None:
            new.kwargs.axes = [v0_5.AxisId("batch"), *new.kwargs.axes]


def _cast(dtype: Any) -> v0_5.EnsureDtypeDescr:
    return v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype=dtype))
