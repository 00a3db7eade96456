"""Files that zoobridge writes, read by ImageJ's own Opener: planes, order, calibration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from imagej_process import ImageJ, Picture
from numpy.typing import DTypeLike

from bridge.images.write import write_image

SIZES = {"t": 3, "c": 2, "z": 4, "y": 24, "x": 40}


def written(
    folder: Path, dims: str, dtype: DTypeLike = "uint16", **attrs: Any
) -> tuple[Path, xr.DataArray]:
    """Write an image of random pixels whose planes all differ."""
    shape = [SIZES[dim] for dim in dims]
    high = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    pixels = (np.random.default_rng(7).random(shape) * high).astype(dtype)
    image = xr.DataArray(pixels, dims=list(dims), attrs=attrs)
    path = folder / f"{dims} image.tif"
    write_image(path, image)
    return path, image


def plane_means(image: xr.DataArray) -> list[float]:
    """Mean of every plane in the order of ImageJ's stacks: channels, then slices, then frames."""
    missing = [dim for dim in "tzc" if dim not in image.dims]
    ordered = image.expand_dims(missing).transpose("t", "z", "c", "y", "x")
    return [float(v) for v in ordered.values.reshape(-1, *ordered.shape[-2:]).mean((1, 2), float)]


def assert_same_planes(picture: Picture, image: xr.DataArray) -> None:
    assert picture.means == pytest.approx(plane_means(image), rel=1e-6)


@pytest.mark.parametrize("dims", ["yx", "zyx", "tyx", "cyx", "tzyx", "tcyx", "czyx", "tczyx"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_planes_are_where_imagej_looks_for_them(
    imagej: ImageJ, tmp_path: Path, dims: str, dtype: str
) -> None:
    path, image = written(tmp_path, dims, dtype)

    picture = imagej.open(path)

    n = {dim: SIZES[dim] if dim in dims else 1 for dim in SIZES}
    assert picture.dimensions == (n["x"], n["y"], n["c"], n["z"], n["t"])
    assert picture.bits == 8 * np.dtype(dtype).itemsize
    assert_same_planes(picture, image)


def test_an_image_of_several_dimensions_is_a_hyperstack(imagej: ImageJ, tmp_path: Path) -> None:
    path, _ = written(tmp_path, "tczyx")

    picture = imagej.open(path)

    assert picture.is_hyperstack
    assert picture.mode == "composite"


def test_the_pixel_size_arrives_in_microns(imagej: ImageJ, tmp_path: Path) -> None:
    sizes_nm = {"z": 250.0, "y": 108.3, "x": 12.5}
    path, _ = written(tmp_path, "tzyx", pixel_size_nm=sizes_nm, frame_interval_s=0.02)

    picture = imagej.open(path)

    assert picture.unit in {"micron", "\N{MICRO SIGN}m"}  # the same to ImageJ
    assert picture.voxel == pytest.approx((0.0125, 0.1083, 0.25), rel=1e-9)
    assert picture.interval_s == pytest.approx(0.02)


def test_an_unknown_pixel_size_stays_unknown(imagej: ImageJ, tmp_path: Path) -> None:
    path, _ = written(tmp_path, "yx")

    picture = imagej.open(path)

    assert picture.unit == "pixel"
    assert picture.voxel == (1.0, 1.0, 1.0)


def test_float_pixels_show_from_their_lowest_to_their_highest(
    imagej: ImageJ, tmp_path: Path
) -> None:
    path, image = written(tmp_path, "yx", "float32")

    low, high = imagej.open(path).display_range

    assert (low, high) == pytest.approx((float(image.min()), float(image.max())))
