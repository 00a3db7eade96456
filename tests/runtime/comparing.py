"""Running a package in a test, and comparing what comes out with what should."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from bridge.runtime.blocks import ArraySink
from bridge.runtime.predict import OutputSpec, Settings

TOLERANCE = 5e-5


def quick(**more: object) -> Settings:
    return Settings(**{"trust": True, "threads": 1, **more})  # type: ignore[arg-type]


def difference(found: xr.DataArray, expected: xr.DataArray) -> float:
    """Give the largest difference, in standard deviations of the expected image."""
    assert found.dims == expected.dims
    assert found.shape == expected.shape
    a, b = found.values.astype(np.float64), expected.values.astype(np.float64)
    if found.dtype.kind in "bui":  # a value right at a step may fall to either side
        wrong = np.abs(a - b)
        assert wrong.max() <= 1
        return 0.0 if (wrong > 0).mean() < 1e-3 else math.inf
    return float(np.abs(a - b).max() / (b.std() if b.size > 1 else 1.0))


def worst(found: Mapping[str, xr.DataArray], expected: Mapping[str, xr.DataArray]) -> float:
    assert set(found) == set(expected)
    return max(difference(found[name], expected[name]) for name in expected)


def keep(found: dict[str, xr.DataArray]) -> Callable[..., object]:
    def sink(spec: OutputSpec) -> ArraySink:
        made = ArraySink(spec.name, spec.dims, spec.shape, spec.dtype, spec.attrs)
        found[spec.name] = made.image
        return made

    return sink
