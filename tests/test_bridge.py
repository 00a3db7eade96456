"""The package as Python sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bridge


def test_importing_bridge_loads_neither_torch_nor_java() -> None:
    code = (
        "import sys, bridge; "
        "print([m for m in ('torch', 'jpype', 'scyjava', 'imagej', 'bioimageio', 'xarray') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in bridge.__all__:
        assert getattr(bridge, name) is not None
    assert set(bridge.__all__) <= set(dir(bridge))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        bridge.nonsense  # noqa: B018


def test_predicting_an_array_and_a_file_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path))
    frame = np.random.default_rng(0).poisson(60, (50, 61)).astype(np.uint16) + 100
    image = xr.DataArray(frame, dims=("y", "x"), attrs={"pixel_size_nm": {"y": 100.0, "x": 100.0}})
    bridge.write_image(tmp_path / "frame.tif", image)
    of_array = bridge.predict("deep-storm", image).image
    of_file = bridge.predict("deep-storm", tmp_path / "frame.tif").image
    assert of_array.shape == (400, 488)
    assert of_array.attrs["pixel_size_nm"] == {"y": 12.5, "x": 12.5}
    np.testing.assert_array_equal(of_array.values, of_file.values)
