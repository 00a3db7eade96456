"""Preprocessing as plain arithmetic gives bit for bit what bioimageio.core's operators give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bioimageio.core.axis import AxisId
from bioimageio.core.common import MemberId
from bioimageio.core.proc_ops import get_proc
from bioimageio.core.sample import Sample
from bioimageio.core.tensor import Tensor

from bridge.errors import ImageError
from bridge.runtime.geometry import read_geometry
from bridge.runtime.processing import Pipeline
from bridge.zoo.package import open_package

from .packages import FIXED, TO_FLOAT, Case, In, build

TO_BYTES = {"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}
LINEAR = {"id": "scale_linear", "kwargs": {"gain": 2.0, "offset": -1.0}}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize(
    "ops", [(TO_FLOAT, FIXED, TO_FLOAT), (FIXED, TO_FLOAT), (TO_BYTES, TO_FLOAT, LINEAR, TO_FLOAT)]
)
def test_the_numbers_are_those_of_the_library(tmp_path: Path, dtype: str, ops: tuple) -> None:
    case = Case("ops", inputs=(In(ops=ops),), formats=("pytorch_state_dict",))
    package = open_package(build(case, tmp_path / "package"))
    pipeline = Pipeline(package, read_geometry(package.description))
    array = np.random.default_rng(1).uniform(0, 255, (1, 1, 17, 19)).astype(dtype)
    found = pipeline.preprocess("input", array, {})

    described = package.description.inputs[0]
    axes = tuple(AxisId(str(axis.id)) for axis in described.axes)
    sample = Sample(members={MemberId("input"): Tensor(array, dims=axes)}, stat={}, id=None)
    for operation in described.preprocessing:
        get_proc(operation, described)(sample)
    expected = np.asarray(sample.members[MemberId("input")].data.data)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_values_that_would_wrap_are_refused(tmp_path: Path) -> None:
    case = Case("wrap", inputs=(In(ops=(TO_BYTES, TO_FLOAT)),), formats=("pytorch_state_dict",))
    package = open_package(build(case, tmp_path / "package"))
    pipeline = Pipeline(package, read_geometry(package.description))
    with pytest.raises(ImageError, match="values from 0 to 300"):
        pipeline.preprocess("input", np.array([[[[0, 300]]]], np.uint16), {})
