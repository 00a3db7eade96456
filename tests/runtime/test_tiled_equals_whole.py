"""Every case, tiled, against the plain network run once on the whole image (``whole.py``)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from bridge.runtime.predict import Settings, predict_arrays

from tests.runtime import whole
from tests.runtime.cases import EXACT
from tests.runtime.conftest import Shelf
from tests.runtime.packages import Case

TOLERANCE = 5e-5
ENGINES = {
    "pytorch_state_dict": ("torch",),
    "torchscript": ("torchscript",),
    "onnx": ("onnxruntime", "openvino"),
}


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(shared_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was measured about a network once need not be measured for every engine."""
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(shared_home))
    return shared_home


def difference(found: xr.DataArray, expected: xr.DataArray) -> float:
    """Give the largest difference, in standard deviations of the expected image."""
    assert found.dims == expected.dims
    assert found.shape == expected.shape
    a, b = found.values.astype(np.float64), expected.values.astype(np.float64)
    if found.dtype.kind in "bui":  # a value right at a step may fall to either side
        wrong = np.abs(a - b)
        assert wrong.max() <= 1
        return 0.0 if (wrong > 0).mean() < 1e-3 else math.inf
    return float(np.abs(a - b).max() / b.std())


CASES = [
    pytest.param(case, engine, id=f"{case.name}-{engine}")
    for case in EXACT
    for weights in case.formats
    for engine in ENGINES[weights]
]


@pytest.mark.parametrize(("case", "engine"), CASES)
def test_tiled_equals_whole(case: Case, engine: str, shelf: Shelf, record_property) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    package = shelf(case)
    images = case.images()
    expected = whole.run(case, images)
    worst = 0.0
    for tile, batch in zip(case.tiles, (1, case.batch), strict=False):
        settings = Settings(tile=tile, batch=batch, engine=engine, trust=True)
        found, outcome = predict_arrays(package, images, settings)
        assert outcome.report["engine"]["name"] == engine
        assert math.prod(outcome.report["tiles"]["per_dim"].values()) > 1
        assert set(found) == set(expected)
        assert not outcome.report["tiles"]["is_blended"]
        worst = max([worst, *(difference(found[n], expected[n]) for n in expected)])
    record_property("difference_in_std", worst)
    assert worst <= TOLERANCE
