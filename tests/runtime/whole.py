"""The independent answer: the plain network run once on the whole image, normalised by numpy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit, softmax

from .packages import IDS, TILED, Case, In, Out

Arrays = dict[str, NDArray[Any]]
DIMS = {name: dim for dim, name in IDS.items()}


def run(case: Case, images: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    """Give each output as an image (dims in the order t c z y x)."""
    own = {d for t in case.inputs for d in t.axes}
    sizes = {str(d): n for i in images.values() for d, n in i.sizes.items()}
    left_over = [d for d in "tz" if d in sizes and d not in own]
    items = [
        dict(zip(left_over, index, strict=True))
        for index in itertools.product(*(range(sizes[d]) for d in left_over))
    ]
    network = case.network(for_whole=True)
    raw: list[Arrays] = []
    for item in items:
        arrays = prepare(case, {n: i.isel(item) for n, i in images.items()}, images)
        with torch.no_grad():
            found = network(*(torch.from_numpy(a) for a in arrays))
        found = found if isinstance(found, tuple) else (found,)
        raw.append(
            {
                t.name: _cropped(case, t, f.numpy(), images)
                for t, f in zip(case.outputs, found, strict=True)
            }
        )
    answer = {}
    for tensor in case.outputs:
        parts = []
        for item, arrays in zip(items, raw, strict=True):
            array = arrays[tensor.name]
            for op in tensor.ops:
                array = _postprocess(op, array, tensor, arrays, raw, case, item, images)
            if "b" in tensor.axes:
                array = array.squeeze(tensor.axes.index("b"))
            dims = [d for d in tensor.axes if d != "b"]
            parts.append(xr.DataArray(array, dims=dims))
        image = parts[0]
        if left_over:
            stacked = np.stack([p.values for p in parts])
            stacked = stacked.reshape([sizes[d] for d in left_over] + list(parts[0].shape))
            image = xr.DataArray(stacked, dims=[*left_over, *parts[0].dims])
        if image.sizes.get("c") == 1:
            image = image.isel(c=0)
        answer[tensor.name] = image.transpose(*(d for d in "tczyx" if d in image.dims))
    return answer


def prepare(
    case: Case,
    images: Mapping[str, xr.DataArray],
    all_images: Mapping[str, xr.DataArray] | None = None,
) -> list[NDArray[np.float32]]:
    """Pad one item of each input to a size that the network takes, and normalise it.

    Statistics are those of the unpadded images.
    """
    valid = valid_sizes(case, {str(d): n for d, n in images[case.inputs[0].name].sizes.items()})
    arrays = []
    for tensor in case.inputs:
        array = as_tensor(images[tensor.name], tensor.axes)
        widths = []
        for size, dim in zip(array.shape, tensor.axes, strict=True):
            wanted = size
            if dim in TILED:
                wanted = int(valid[dim] * tensor.ratio_of(dim)) + case.in_offset(tensor, dim)
            widths.append((0, max(0, wanted - size)))
        if tensor.pad is None:
            array = np.pad(array, widths, mode="symmetric")
        else:
            array = np.pad(array, widths, mode="constant", constant_values=tensor.pad["value"])
        whole = (all_images or images)[tensor.name]
        for op in tensor.ops:
            array = _preprocess(op, array, tensor, images[tensor.name], whole)
        arrays.append(np.ascontiguousarray(array, dtype=np.float32))
    return arrays


def valid_sizes(case: Case, sizes: Mapping[str, int]) -> dict[str, int]:
    """Give the smallest sizes of the first input, not below ``sizes``, that all inputs accept."""
    return {
        d: next(n for n in itertools.count(sizes[d]) if _is_valid(case, d, n))
        for d in TILED
        if d in case.inputs[0].axes
    }


def _is_valid(case: Case, dim: str, n: int) -> bool:
    for tensor in case.inputs:
        if dim not in tensor.axes:
            continue
        exact = n * tensor.ratio_of(dim)
        if exact.denominator != 1:
            return False
        size = tensor.size(dim)
        mine = int(exact) + case.in_offset(tensor, dim)
        if isinstance(size, tuple) and not isinstance(size[0], str):
            minimum, step = size
            if mine < minimum or (mine - minimum) % step:
                return False
        elif isinstance(size, int) and mine < size:
            return False
    return not any((n * t.ratio_of(dim)).denominator != 1 for t in case.outputs if dim in t.axes)


def as_tensor(image: xr.DataArray, axes: str) -> NDArray[Any]:
    """Give an image in a tensor's axis order, with axes of length 1 where it lacks one."""
    missing = [d for d in axes if d not in image.dims]
    extra = [d for d in image.dims if d not in axes]
    image = image.isel(dict.fromkeys(extra, 0))
    return np.ascontiguousarray(image.expand_dims(missing).transpose(*axes).values)


def _cropped(
    case: Case, tensor: Out, array: NDArray[Any], images: Mapping[str, xr.DataArray]
) -> NDArray[Any]:
    reference = images[case.inputs[0].name].sizes
    for axis, dim in enumerate(tensor.axes):
        if dim in TILED:
            size = math.floor(Fraction(reference[dim]) * tensor.ratio_of(dim)) + tensor.offset_of(
                dim
            )
            array = np.take(array, np.arange(size), axis=axis)
    return array


def _statistics_of(
    op: Mapping[str, Any], item: xr.DataArray, whole: xr.DataArray
) -> tuple[NDArray[Any], tuple[int, ...], list[str]]:
    """Give the pixels that an operator's statistics are of, which axes to reduce, and all dims."""
    axes = op.get("kwargs", {}).get("axes")
    image = whole if axes is None or "batch" in axes else item
    dims = [str(d) for d in image.dims]
    return np.asarray(image.values, dtype=np.float64), _reduced_axes(axes, dims), dims


def _reduced_axes(axes: list[str] | None, dims: list[str]) -> tuple[int, ...]:
    if axes is None or "channel" in axes:
        return tuple(range(len(dims)))
    return tuple(i for i, d in enumerate(dims) if d != "c")


def _shaped(values: NDArray[Any], dims: list[str], tensor_axes: str) -> NDArray[Any]:
    """Bring statistics (kept dims) into the tensor's axis order."""
    if values.size == 1:
        return values.reshape([1] * len(tensor_axes))
    return values.reshape([-1 if d == "c" else 1 for d in tensor_axes])


def _preprocess(
    op: Mapping[str, Any],
    array: NDArray[Any],
    tensor: In,
    item: xr.DataArray,
    whole: xr.DataArray,
) -> NDArray[Any]:
    kwargs = op.get("kwargs", {})
    match op["id"]:
        case "ensure_dtype":
            return array.astype(kwargs["dtype"])
        case "fixed_zero_mean_unit_variance":
            shape = [-1 if IDS[d] == kwargs.get("axis") else 1 for d in tensor.axes]
            mean, std = (
                np.reshape(kwargs[k], shape if "axis" in kwargs else ()) for k in ("mean", "std")
            )
            return (array - mean) / (std + 1e-6)
        case "scale_linear":
            shape = [-1 if IDS[d] == kwargs.get("axis") else 1 for d in tensor.axes]
            gain, offset = (
                np.reshape(kwargs[k], shape if "axis" in kwargs else ()) for k in ("gain", "offset")
            )
            return array * gain + offset
        case "zero_mean_unit_variance":
            pixels, axes, dims = _statistics_of(op, item, whole)
            mean = _shaped(pixels.mean(axis=axes), dims, tensor.axes)
            std = _shaped(pixels.std(axis=axes), dims, tensor.axes)
            return (array - mean) / (std + kwargs.get("eps", 1e-6))
        case "scale_range":
            pixels, axes, dims = _statistics_of(op, item, whole)
            low = _shaped(
                np.quantile(pixels, kwargs["min_percentile"] / 100, axis=axes), dims, tensor.axes
            )
            high = _shaped(
                np.quantile(pixels, kwargs["max_percentile"] / 100, axis=axes), dims, tensor.axes
            )
            return (array - low) / (high - low + kwargs.get("eps", 1e-6))
        case "clip":
            pixels, axes, _ = _statistics_of(op, item, whole)
            low, high = kwargs.get("min"), kwargs.get("max")
            if "min_percentile" in kwargs:
                low = np.quantile(pixels, kwargs["min_percentile"] / 100, method="inverted_cdf")
            if "max_percentile" in kwargs:
                high = np.quantile(pixels, kwargs["max_percentile"] / 100, method="inverted_cdf")
            return np.clip(array, low, high)
    raise AssertionError(op["id"])


def _postprocess(
    op: Mapping[str, Any],
    array: NDArray[Any],
    tensor: Out,
    arrays: Arrays,
    raw: list[Arrays],
    case: Case,
    item: Mapping[str, int],
    images: Mapping[str, xr.DataArray],
) -> NDArray[Any]:
    kwargs = op.get("kwargs", {})
    match op["id"]:
        case "sigmoid":
            return expit(array)
        case "softmax":
            return softmax(array, axis=tensor.axes.index(DIMS[kwargs["axis"]]))
        case "binarize":
            return array > kwargs["threshold"]
        case "scale_linear":
            return array * kwargs["gain"] + kwargs["offset"]
        case "clip":
            return np.clip(array, kwargs.get("min"), kwargs.get("max"))
        case "ensure_dtype":
            return array.astype(kwargs["dtype"])
        case "zero_mean_unit_variance":
            pixels = arrays[tensor.name]
            if "batch" in (kwargs.get("axes") or ["batch"]):
                pixels = np.stack([a[tensor.name] for a in raw])
            return (array - pixels.mean(dtype=np.float64)) / (
                pixels.std(dtype=np.float64) + kwargs.get("eps", 1e-6)
            )
        case "scale_mean_variance":
            mine = arrays[tensor.name].astype(np.float64)
            other = images[kwargs["reference_tensor"]].isel(item).values.astype(np.float64)
            eps = kwargs.get("eps", 1e-6)
            return (array - mine.mean()) / (mine.std() + eps) * (other.std() + eps) + other.mean()
    raise AssertionError(op["id"])
