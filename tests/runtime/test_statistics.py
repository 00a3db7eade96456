"""Streamed statistics against numpy's on the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bridge.runtime.statistics import moments, quantiles

TYPES = ["uint8", "uint16", "int32", "float16", "float32", "float64", "int8", "uint32", "bool"]


def in_blocks(values: NDArray[Any], n_blocks: int) -> Callable[[], Iterator[NDArray[Any]]]:
    return lambda: (
        iter(np.array_split(values, n_blocks, axis=1)) if n_blocks > 1 else iter([values])
    )


@st.composite
def images(draw: st.DrawFn) -> tuple[NDArray[Any], int]:
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 60)))
    elements: dict[str, Any] = {}
    if dtype.kind == "f":
        largest = 1000 if dtype.itemsize == 2 else 1e6
        width = dtype.itemsize * 8
        elements = {"elements": st.floats(-largest, largest, width=width)}  # type: ignore[arg-type]
    values = draw(hnp.arrays(dtype, shape, **elements))
    return values, draw(st.integers(1, min(5, shape[1])))


@settings(deadline=None, max_examples=120, derandomize=True, database=None)
@given(images())
def test_mean_and_standard_deviation_are_numpys(image: tuple[NDArray[Any], int]) -> None:
    values, n_blocks = image
    found = moments(in_blocks(values, n_blocks))
    exact = values.astype(np.float64)
    scale = np.abs(exact).max() + 1e-30
    np.testing.assert_allclose(found.mean, exact.mean(axis=1), rtol=1e-12, atol=1e-12 * scale)
    np.testing.assert_allclose(found.std, exact.std(axis=1), rtol=1e-9, atol=1e-9 * scale)


@settings(deadline=None, max_examples=120, derandomize=True, database=None)
@given(images(), st.floats(0, 1), st.sampled_from(["linear", "inverted_cdf"]))
def test_quantiles_are_numpys(image: tuple[NDArray[Any], int], q: float, method: str) -> None:
    values, n_blocks = image
    wanted = [(q, method), (0.0, method), (1.0, method)]
    found = quantiles(in_blocks(values, n_blocks), wanted)
    exact = values.astype(np.float64)
    for key in wanted:
        expected = np.quantile(exact, key[0], axis=1, method=method)  # type: ignore[call-overload]
        np.testing.assert_allclose(found[key], expected, rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize("dtype", [">u2", ">i4", ">f4", ">f8"])
def test_values_in_foreign_byte_order_are_ordered_right(dtype: str) -> None:
    values = np.random.default_rng(0).normal(100, 60, (2, 999)).clip(0).astype(dtype)
    found = quantiles(in_blocks(values, 4), [(0.3, "linear")])
    expected = np.quantile(values.astype(np.float64), 0.3, axis=1)
    np.testing.assert_allclose(found[0.3, "linear"], expected, rtol=1e-12)


def test_many_values_near_a_large_mean_keep_their_spread() -> None:
    values = (1e8 + np.random.default_rng(1).normal(0, 1, (1, 200_000))).astype(np.float64)
    found = moments(in_blocks(values, 7))
    np.testing.assert_allclose(found.std, values.std(axis=1), rtol=1e-6)


def test_negative_and_positive_zero_are_one_value() -> None:
    values = np.array([[-0.0, 0.0, -1.0, 1.0]], np.float32)
    found = quantiles(in_blocks(values, 2), [(0.5, "linear"), (0.25, "inverted_cdf")])
    assert found[0.5, "linear"] == 0
    assert found[0.25, "inverted_cdf"] == -1
