"""Pictures: sizes, contrast and scale bars."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from image_files import ramp, real_file
from PIL import Image

from bridge.errors import OutputError
from bridge.images.preview import fit_scale_bar, save_picture, thumbnail
from bridge.images.read import open_image


def pixels_of(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def image(pixels, size_nm=None):
    attrs = {} if size_nm is None else {"pixel_size_nm": {"y": size_nm, "x": size_nm}}
    return xr.DataArray(pixels, dims=("y", "x"), attrs=attrs)


@given(width_px=st.integers(1, 30_000), pixel_size_nm=st.floats(0.1, 1e5))
def test_scale_bars_are_round_and_neither_tiny_nor_too_long(width_px, pixel_size_nm):
    bar = fit_scale_bar(width_px=width_px, pixel_size_nm=pixel_size_nm)
    assert 0.0999 * width_px <= bar.length_px <= 0.2501 * width_px
    number, unit = bar.label.split()
    length_nm = float(number) * {"nm": 1, "um": 1000}[unit]
    assert length_nm == pytest.approx(bar.length_px * pixel_size_nm)
    assert f"{length_nm:e}"[:3] in ("1.0", "2.0", "5.0")


def test_panels_stand_side_by_side_at_equal_height(tmp_path):
    path = tmp_path / "a.png"
    save_picture(path, [("small", image(ramp((8, 8)))), ("large", image(ramp((700, 700))))])
    picture = pixels_of(path)
    assert picture.shape[1] == 2 * 512 + 3 * 8
    assert picture.shape[0] > 512


@pytest.mark.parametrize("shapes", [[(50, 900)], [(512, 512)] * 9, [(5000, 3)], [(1, 1)]])
def test_a_picture_is_never_wider_than_a_screen(tmp_path, shapes):
    path = tmp_path / "a.png"
    save_picture(path, [("a title that is long", image(np.ones(shape))) for shape in shapes])
    assert pixels_of(path).shape[1] <= 1600


def test_small_images_are_enlarged_without_new_greys(tmp_path):
    path = tmp_path / "a.png"
    save_picture(path, [("", image(np.array([[0, 1], [2, 3]])))], ranges=[(0, 3)])
    panel = pixels_of(path)[8 : 8 + 512, 8 : 8 + 512]
    assert sorted(np.unique(panel)) == [0, 85, 170, 255]
    np.testing.assert_array_equal(panel[100, 100], [0, 0, 0])
    np.testing.assert_array_equal(panel[400, 100], [170, 170, 170])


def test_a_known_pixel_size_draws_a_bar_of_the_right_length(tmp_path):
    save_picture(tmp_path / "a.png", [("", image(np.zeros((100, 100)), 100.0))])
    save_picture(tmp_path / "b.png", [("", image(np.zeros((100, 100))))])
    white = (pixels_of(tmp_path / "a.png")[8:520] == 255).all(axis=2)
    longest = max(
        len(run) for row in white for run in "".join(map(str, row.astype(int))).split("0")
    )
    assert longest == pytest.approx(20 * 5.12, abs=3)  # 2 um are 20 pixels, each 5.12 wide
    assert not (pixels_of(tmp_path / "b.png")[8:520, 8:520] == 255).any()


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0, np.nan, np.inf])
def test_constant_images_are_drawn(tmp_path, value):
    save_picture(tmp_path / "a.png", [("constant", image(np.full((9, 9), value)))])
    grey = thumbnail(image(np.full((9, 9), value)))
    assert len(np.unique(grey)) == 1


def test_few_bright_pixels_stay_visible():
    sparse = np.zeros((100, 100))
    sparse[50, 50] = 9
    assert thumbnail(image(sparse))[50, 50] == 255


def test_outliers_do_not_hide_the_rest():
    values = np.linspace(0, 1, 10_000).reshape(100, 100)
    values[0, 0] = 1e9
    grey = thumbnail(image(values))
    assert abs(int(grey[50, 50]) - 128) < 5


def test_not_a_number_is_black_among_numbers():
    values = ramp((10, 10), "float32")
    values[3, 3] = np.nan
    assert thumbnail(image(values))[3, 3] == 0


def test_a_thumbnail_of_a_stack_takes_one_plane(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp((4, 3, 600, 300)), imagej=True, metadata={"axes": "TZYX"})
    small = thumbnail(open_image(path), size_px=100)
    assert small.shape == (100, 50)
    assert small.dtype == np.uint8


def test_a_thumbnail_of_a_huge_sparse_file_is_quick(tmp_path):
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, shape=(10_000, 10_000), dtype="float32", imagej=True)
    assert thumbnail(open_image(path)).shape == (250, 250)


def test_hot_colours_run_from_black_to_white(tmp_path):
    path = tmp_path / "a.png"
    values = np.arange(256.0).reshape(1, 256)
    save_picture(path, [("", image(values))], ranges=[(0, 255)], colours="hot")
    row = pixels_of(path)[8, 8:-8].astype(int)
    np.testing.assert_array_equal(row[0], [0, 0, 0])
    np.testing.assert_array_equal(row[-1], [255, 255, 255])
    assert (np.diff(row.sum(axis=1)) >= 0).all()
    assert row[len(row) // 3][0] > 200
    assert row[len(row) // 3][2] == 0


def test_pictures_of_real_images_are_drawn(tmp_path):
    widefield = open_image(
        real_file("widefield_storm/endoplasmic_reticulum/widefield/ER_widefield.tif")
    )
    path = tmp_path / "a.png"
    save_picture(path, [("widefield", widefield), ("the same", widefield.values)])
    assert pixels_of(path).std() > 20


def test_a_picture_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OutputError, match="can't be written"):
        save_picture(tmp_path / "gone" / "a.png", [("", image(np.ones((3, 3))))])


def test_panels_and_ranges_must_fit():
    with pytest.raises(ValueError, match="at least one"):
        save_picture("a.png", [])
    with pytest.raises(ValueError, match=r"shorter|longer"):
        save_picture("a.png", [("", np.ones((3, 3)))], ranges=[None, None])
