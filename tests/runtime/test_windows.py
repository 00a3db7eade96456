"""Reading windows against ``np.pad`` on the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xarray as xr
from bioimageio.spec.model import v0_5
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import ImageError
from bridge.runtime.geometry import Affine, SizeRule, TensorGeometry
from bridge.runtime.windows import TensorSource, padding_of


def source(image: xr.DataArray, dims: str, padding: str | float = "symmetric") -> TensorSource:
    tiled = [d for d in dims if d in "tzyx"]
    tensor = TensorGeometry(
        name="input",
        dims=tuple(dims),
        axis_ids=tuple(dims),
        n_channels=None,
        batch_size=None,
        rules=dict.fromkeys(tiled, SizeRule(1, 1)),
        affines=dict.fromkeys(tiled, Affine(Fraction(1))),
        halo={},
    )
    return TensorSource(image, tensor, padding)


def picture(sizes: Mapping[str, int], dtype: str = "float32") -> xr.DataArray:
    values = np.arange(np.prod(list(sizes.values()))).reshape(list(sizes.values()))
    return xr.DataArray(values.astype(dtype), dims=list(sizes))


@settings(deadline=None, max_examples=100, derandomize=True, database=None)
@given(
    size=st.integers(1, 20),
    more=st.integers(0, 50),
    start=st.integers(0, 60),
    length=st.integers(1, 60),
    padding=st.sampled_from(["symmetric", "reflect", "edge", 7.0]),
)
def test_windows_past_the_end_are_what_numpy_pads(
    size: int, more: int, start: int, length: int, padding: str | float
) -> None:
    image = picture({"y": 2, "x": size})
    stop = min(start + length, size + more)
    start = min(start, stop - 1)
    window = {"y": slice(0, 2), "x": slice(start, stop)}
    found = source(image, "bcyx", padding).read({}, window)
    widths = [(0, 0), (0, more)]
    if isinstance(padding, str):
        padded = np.pad(image.values, widths, padding)  # type: ignore[call-overload]
    else:
        padded = np.pad(image.values, widths, "constant", constant_values=padding)
    np.testing.assert_array_equal(found[0, 0], padded[:, start:stop])


@pytest.mark.parametrize("dims", ["bcyx", "byxc", "cyx", "xyc", "bcxy", "yx"])
def test_windows_come_in_the_tensors_axis_order(dims: str) -> None:
    image = picture({"t": 3, "c": 2, "y": 5, "x": 7})
    image = image if "c" in dims else image.isel(c=1)
    window = {"y": slice(1, 4), "x": slice(2, 6)}
    found = source(image, dims).read({"t": 2}, window)
    expected = image.isel(t=2, y=slice(1, 4), x=slice(2, 6))
    expected = expected.expand_dims([d for d in dims if d not in expected.dims])
    np.testing.assert_array_equal(found, expected.transpose(*dims).values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_with_their_place(bad: float) -> None:
    image = picture({"y": 8, "x": 9}).copy()
    image[3, 4] = bad
    image.attrs["source"] = "cells.tif"
    window = {"y": slice(2, 6), "x": slice(0, 9)}
    with pytest.raises(ImageError, match=r"cells.tif: 1 values are NaN or infinite \(in y 2..5"):
        source(image, "bcyx").read({}, window)


@pytest.mark.parametrize("group_dim", ["c", None])
@pytest.mark.parametrize(
    "sizes",
    [
        {"t": 3, "c": 2, "z": 4, "y": 5, "x": 7},
        {"y": 5, "x": 7},
        {"c": 2, "y": 5, "x": 7},
        {"x": 4},
    ],
)
def test_blocks_give_every_pixel_once_per_group(
    sizes: dict[str, int], group_dim: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.runtime.windows._BLOCK_PIXELS", 40)
    image = picture(sizes)
    items: list[Any] = [{"t": t} for t in range(sizes["t"])] if "t" in sizes else [{}]
    blocks = list(source(image, "bczyx").blocks(items, group_dim))
    found = np.concatenate(blocks, axis=1)
    expected = image.values.reshape(1, -1)
    if group_dim in image.dims:
        expected = image.transpose("c", ...).values.reshape(sizes["c"], -1)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(expected, axis=1))
    assert len(blocks) > 1 or image.size <= 40


def test_a_description_says_how_to_pad() -> None:
    def padded(pad: object) -> str | float:
        return padding_of(v0_5.InputTensorDescr.model_construct(pad=pad))

    assert padded(None) == "symmetric"
    assert padded(v0_5.ConstantPadding(value=3)) == 3.0
    for kind in (v0_5.EdgePadding, v0_5.ReflectPadding, v0_5.SymmetricPadding):
        assert padded(kind()) == kind().mode
