"""Checking a restored image where no truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from bridge.errors import InputError, OutputError, VerdictError
from bridge.images.read import open_image
from bridge.images.write import write_image
from bridge.jobs.verify import Verify
from bridge.progress import silent

SAME = np.zeros((3, 3))
SAME[1, 1] = 1
ASKEW = np.zeros((3, 3))
ASKEW[1, 0] = 1  # moves everything by a pixel: another result in each orientation


@pytest.fixture
def sharp() -> np.ndarray:
    rng = np.random.default_rng(4)
    points = (rng.random((96, 96)) > 0.99) * rng.uniform(100, 300, (96, 96))
    return ndimage.gaussian_filter(points, 1.5).astype(np.float32)


@pytest.fixture
def image(tmp_path: Path, sharp: np.ndarray) -> Path:
    path = tmp_path / "seen.tif"
    attrs = {"pixel_size_nm": {"y": 50.0, "x": 50.0}}
    write_image(path, xr.DataArray(sharp, dims=("y", "x"), attrs=attrs))
    return path


def verify(tmp_path: Path, *models: Path, image: Path, **more: Any) -> Any:
    names = [str(model) for model in models]
    job = Verify(model=names, input=image, output=tmp_path / "page.html", **more)
    return job.run(silent)


def test_what_gives_its_input_back_agrees_and_has_no_spread(
    tmp_path, image, sharp, write_convolution: Callable[..., Path]
):
    result = verify(
        tmp_path, write_convolution(tmp_path / "a", "Same as before", SAME), image=image
    )
    figures = result.outputs["figures"]
    assert figures["rsp"] == pytest.approx(1, abs=1e-3)
    assert figures["spread"] == pytest.approx(0, abs=1e-4 * float(sharp.std()))
    assert not result.warnings
    mean = open_image(Path(result.outputs["mean"]))
    assert mean.attrs["pixel_size_nm"]["x"] == pytest.approx(50)
    assert Path(result.outputs["page"]).read_text("utf-8").count("data:image/png") == 2


def test_orientations_that_disagree_have_a_spread(tmp_path, image, write_convolution):
    model = write_convolution(tmp_path / "a", "Askew network", ASKEW)
    assert verify(tmp_path, model, image=image).outputs["figures"]["spread"] > 0.1
    once = verify(tmp_path, model, image=image, turn=False, overwrite=True)
    assert once.outputs["figures"]["spread"] == 0
    assert "spread" not in once.outputs


def test_models_that_disagree_have_a_spread(tmp_path, image, sharp, write_convolution):
    models = [
        write_convolution(tmp_path / name, f"Network {name}", factor * SAME)
        for name, factor in (("one", 1.0), ("two", 2.0))
    ]
    result = verify(tmp_path, *models, image=image, turn=False)
    spread = open_image(Path(result.outputs["spread"])).values
    relative = spread.std() / spread.mean() / (sharp.std() / sharp.mean())
    assert relative == pytest.approx(1, rel=0.2), "half of the difference, everywhere"


def test_invented_structure_is_found(tmp_path, sharp, write_convolution):
    other = tmp_path / "other.tif"
    noise = np.random.default_rng(5).normal(100, 10, sharp.shape).astype(np.float32)
    write_image(other, xr.DataArray(noise, dims=("y", "x")))
    model = write_convolution(tmp_path / "a", "Askew network", ASKEW)
    result = verify(tmp_path, model, image=other, turn=False)  # noise has no like beside it
    assert result.outputs["figures"]["rsp"] < 0.7
    assert "doesn't give the input back" in result.warnings[0]


def test_the_known_blur_is_taken(tmp_path, image, write_convolution):
    model = write_convolution(tmp_path / "a", "Same as before", SAME)
    known = verify(tmp_path, model, image=image, input_fwhm_nm=300, target_fwhm_nm=100)
    expected = np.sqrt(300**2 - 100**2) / (2 * np.sqrt(2 * np.log(2)))
    assert known.outputs["figures"]["sigma_nm"] == pytest.approx(expected, rel=1e-3)
    with pytest.raises(InputError, match="blurred more than the target"):
        verify(tmp_path, model, image=image, input_fwhm_nm=90, target_fwhm_nm=100, overwrite=True)


def test_a_black_result_is_an_error(tmp_path, image, write_convolution):
    with pytest.raises(VerdictError):
        verify(tmp_path, write_convolution(tmp_path / "a", "Dead network", 0 * SAME), image=image)
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_is_there_is_kept(tmp_path, image, write_convolution):
    (tmp_path / "page.html").write_text("mine")
    with pytest.raises(OutputError):
        verify(tmp_path, write_convolution(tmp_path / "a", "Same as before", SAME), image=image)
    assert (tmp_path / "page.html").read_text() == "mine"
