"""Opening images: every kind of file gives the same pixels, axes and sizes, window by window."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import MOVIE_WRITERS, ramp, real_file, write_ome_zarr
from PIL import Image

from bridge.errors import ImageError
from bridge.images.read import find_images, open_image

MOVIE = ramp((5, 70, 50))


@pytest.fixture(params=MOVIE_WRITERS)
def movie_path(request, tmp_path):
    ending, write = MOVIE_WRITERS[request.param]
    path = tmp_path / f"movie{ending}"
    write(path, MOVIE)
    return path


def test_every_format_gives_the_same_movie(movie_path):
    with open_image(movie_path) as image:
        assert image.dims == ("t", "y", "x")
        assert image.dtype == np.uint16
        assert image.dtype.isnative
        assert image.attrs["source"] == str(movie_path)
        assert image.attrs["pixel_size_nm"] == {}
        np.testing.assert_array_equal(image.values, MOVIE)


def test_opening_reads_no_pixels_and_windows_stay_lazy(movie_path):
    with open_image(movie_path) as image:
        assert not image.variable._in_memory
        window = image.isel(t=slice(1, 4), y=slice(3, 40), x=slice(5, 41))
        assert not window.variable._in_memory
        np.testing.assert_array_equal(window.values, MOVIE[1:4, 3:40, 5:41])


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_index_gives_what_numpy_gives(data, movie_path):
    key = {}
    for dim, size in zip("tyx", MOVIE.shape, strict=True):
        slices = st.slices(size).filter(  # xarray itself stumbles over empty reversed ones
            lambda part, size=size: len(range(size)[part]) or (part.step or 1) > 0
        )
        part = slices | st.integers(-size, size - 1)
        key[dim] = data.draw(part | st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
    with open_image(movie_path) as image:
        expected = xr.DataArray(MOVIE, dims=("t", "y", "x")).isel(key)
        np.testing.assert_array_equal(image.isel(key).values, expected.values)


def test_several_threads_may_read_at_once(movie_path):
    starts = [(t, y) for t in range(5) for y in range(0, 60, 10)] * 3
    with open_image(movie_path) as image, ThreadPoolExecutor(4) as threads:
        windows = threads.map(lambda s: image.isel(t=s[0], y=slice(s[1], s[1] + 10)).values, starts)
        for (t, y), window in zip(starts, windows, strict=True):
            np.testing.assert_array_equal(window, MOVIE[t, y : y + 10])


def test_copies_of_a_lazy_image_stay_lazy(movie_path):
    with open_image(movie_path) as image:
        copied = image.copy(deep=True).assign_attrs(source="copy").isel(y=slice(None, None, -2))
        assert not copied.variable._in_memory
        np.testing.assert_array_equal(copied.values, MOVIE[:, ::-2])


def test_windows_read_are_writable_copies(movie_path):
    with open_image(movie_path) as image:
        window = image.isel(t=0).values
        window[:] = 0
        np.testing.assert_array_equal(image.isel(t=0).values, MOVIE[0])


def test_an_imagej_hyperstack_comes_as_tczyx_with_its_calibration(tmp_path):
    path = tmp_path / "stack.tif"
    pixels = ramp((2, 4, 3, 20, 30))  # ImageJ's order: t z c y x
    tifffile.imwrite(
        path,
        pixels,
        imagej=True,
        resolution=(1 / 0.1083, 1 / 0.097),
        metadata={
            "axes": "TZCYX",
            "unit": "\\u00B5m",
            "spacing": 0.25,
            "finterval": 0.05,
            "Labels": ["DAPI", "GFP", "Cy5"] * 8,
        },
    )
    image = open_image(path)
    assert image.dims == ("t", "c", "z", "y", "x")
    np.testing.assert_array_equal(image.values, pixels.transpose(0, 2, 1, 3, 4))
    np.testing.assert_array_equal(image.isel(z=3, c=1).values, pixels[:, 3, 1])
    sizes = image.attrs["pixel_size_nm"]
    assert sizes == pytest.approx({"z": 250.0, "y": 97.0, "x": 108.3})
    assert image.attrs["frame_interval_s"] == 0.05
    assert image.attrs["channel_names"] == ["DAPI", "GFP", "Cy5"]
    assert image.attrs["notes"] == []


@pytest.mark.parametrize(
    ("unit", "per_unit", "nm"),
    [
        ("um", 10, 100.0),
        ("micron", 10, 100.0),
        ("nm", 0.01, 100.0),
        ("mm", 1e4, 100.0),
        ("cm", 1e5, 100.0),
        ("pixel", 1, None),
        ("inch", 72, None),
    ],
)
def test_imagej_units_become_nm_and_printing_sizes_do_not(tmp_path, unit, per_unit, nm):
    path = tmp_path / "a.tif"
    metadata = {"unit": unit}
    resolution = (per_unit, per_unit)
    tifffile.imwrite(path, ramp((8, 9)), imagej=True, resolution=resolution, metadata=metadata)
    sizes = open_image(path).attrs["pixel_size_nm"]
    assert sizes == ({} if nm is None else {"y": pytest.approx(nm), "x": pytest.approx(nm)})


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER"])
def test_a_printing_resolution_is_not_a_pixel_size(tmp_path, unit):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, ramp((8, 9)), resolution=(72, 72), resolutionunit=unit, metadata=None)
    assert open_image(path).attrs["pixel_size_nm"] == {}


def test_ome_metadata_give_sizes_names_and_interval(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 110.0,
        "PhysicalSizeYUnit": "nm",
        "PhysicalSizeZ": 0.0003,
        "PhysicalSizeZUnit": "mm",
        "TimeIncrement": 30.0,
        "TimeIncrementUnit": "ms",
        "Channel": {"Name": ["a", "µ"]},
    }
    pixels = ramp((2, 2, 3, 9, 8), "float32")
    tifffile.imwrite(path, pixels, ome=True, metadata=metadata)
    image = open_image(path)
    assert image.dims == ("t", "c", "z", "y", "x")
    np.testing.assert_array_equal(image.values, pixels)
    assert image.attrs["pixel_size_nm"] == {"z": 300.0, "y": 110.0, "x": 100.0}
    assert image.attrs["frame_interval_s"] == pytest.approx(0.03)
    assert image.attrs["channel_names"] == ["a", "µ"]


def test_a_colour_tiff_gives_channels_first(tmp_path):
    path = tmp_path / "rgb.tif"
    pixels = ramp((20, 30, 3), "uint8")
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=None)
    image = open_image(path)
    assert image.dims == ("c", "y", "x")
    assert image.attrs["channel_names"] == ["red", "green", "blue"]
    np.testing.assert_array_equal(image.values, pixels.transpose(2, 0, 1))
    np.testing.assert_array_equal(image.isel(c=1, y=slice(3, 5)).values, pixels[3:5, :, 1])


def test_pages_without_description_are_frames_and_the_note_says_so(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, MOVIE, metadata=None)
    assert "5 planes" in open_image(path).attrs["notes"][0]
    image = open_image(path, axes="ZYX")
    assert image.dims == ("z", "y", "x")
    assert image.attrs["notes"] == []


def test_axes_typed_by_the_user_go_before_the_files(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, ramp((6, 7, 2)))
    image = open_image(path, axes="yxc")
    assert image.dims == ("c", "y", "x")
    np.testing.assert_array_equal(image.values, np.moveaxis(ramp((6, 7, 2)), 2, 0))
    with pytest.raises(ImageError, match="6 x 7 x 2"):
        open_image(path, axes="yx")


def test_slices_that_may_be_frames_are_mentioned(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, MOVIE, imagej=True, metadata={"axes": "ZYX"})
    assert open_image(path).dims == ("z", "y", "x")
    assert "axes='tyx'" in open_image(path).attrs["notes"][0]
    assert open_image(path, axes="tyx").dims == ("t", "y", "x")


def test_of_a_pyramid_the_full_resolution_is_read(tmp_path):
    path = tmp_path / "pyramid.ome.tif"
    pixels = ramp((128, 128))
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(pixels, subifds=1, tile=(32, 32))
        file.write(pixels[::2, ::2], subfiletype=1, tile=(32, 32))
    image = open_image(path)
    np.testing.assert_array_equal(image.values, pixels)
    assert "2 resolutions" in image.attrs["notes"][0]


def test_of_several_images_the_first_is_read(tmp_path):
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(ramp((9, 8)), metadata=None)
        file.write(ramp((5, 4), "uint8"), metadata=None)
    image = open_image(path)
    assert image.shape == (9, 8)
    assert "2 images" in image.attrs["notes"][0]


def test_a_bilevel_tiff_and_a_truth_array_become_uint8(tmp_path):
    truth = ramp((16, 16), "uint8") % 3 == 0
    tifffile.imwrite(tmp_path / "a.tif", truth, photometric="minisblack", metadata=None)
    np.save(tmp_path / "a.npy", truth)
    for name in ("a.tif", "a.npy"):
        image = open_image(tmp_path / name)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image.values, truth)


def test_half_precision_becomes_float32(tmp_path):
    np.save(tmp_path / "a.npy", ramp((4, 5), "float16"))
    assert open_image(tmp_path / "a.npy").values.dtype == np.float32


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_of_both_versions_gives_axes_and_sizes(tmp_path, version):
    path = tmp_path / "a.zarr"
    axes = [
        {"name": "t", "type": "time", "unit": "millisecond"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "nanometer"},
        {"name": "x", "type": "space"},
    ]
    pixels = ramp((2, 1, 3, 9, 8), ">u2" if version == "0.4" else "uint16")
    write_ome_zarr(path, pixels, axes, [20.0, 1.0, 0.3, 110.0, 110.0], version)
    image = open_image(path)
    assert image.dims == ("t", "z", "y", "x")
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.values, pixels[:, 0])
    assert image.attrs["pixel_size_nm"] == {"z": 300.0, "y": 110.0}
    assert image.attrs["frame_interval_s"] == pytest.approx(0.02)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "1", "P"])
def test_pictures_are_read_as_grey_or_channels(tmp_path, mode):
    path = tmp_path / "a.png"
    grey = ramp((10, 12), "uint16" if mode == "I;16" else "uint8")
    picture = Image.fromarray(grey)
    if mode != "I;16":
        picture = picture.convert(mode)
    picture.save(path)
    image = open_image(path)
    assert image.dims == (("c", "y", "x") if mode in ("RGB", "P") else ("y", "x"))
    if mode in ("L", "I;16"):
        np.testing.assert_array_equal(image.values, grey)
    if mode == "RGB":
        np.testing.assert_array_equal(image.isel(c=2).values, grey)


def test_constant_alpha_is_dropped_and_varying_alpha_refused(tmp_path):
    rgba = np.dstack([ramp((10, 12), "uint8")] * 3 + [np.full((10, 12), 255, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert image.shape == (3, 10, 12)
    assert "transparency" in image.attrs["notes"][0]
    rgba[0, 0, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match="transparency that varies"):
        open_image(tmp_path / "b.png")


def test_folders_give_their_images_in_natural_order(tmp_path):
    for name in ("f10.tif", "f2.TIF", ".hidden.tif", "notes.txt", "f1.png", ".f2.tif.part"):
        (tmp_path / name).write_bytes(b"x")
    write_ome_zarr(
        tmp_path / "f3.zarr", ramp((4, 4)), [{"name": "y"}, {"name": "x"}], [1.0, 1.0], "0.5"
    )
    (tmp_path / "deeper").mkdir()
    names = [path.name for path in find_images([tmp_path, tmp_path / "f10.tif"])]
    assert names == ["f1.png", "f2.TIF", "f3.zarr", "f10.tif"]
    assert find_images([tmp_path / "f3.zarr"]) == [tmp_path / "f3.zarr"]


def test_nothing_to_find_is_an_error_that_names_the_place(tmp_path):
    with pytest.raises(ImageError, match="no image in it"):
        find_images([tmp_path])
    with pytest.raises(ImageError, match="no such file"):
        find_images([tmp_path / "gone"])
    with pytest.raises(ImageError, match="at least one image"):
        find_images([])


def test_real_movie_of_the_deep_storm_demo_is_read_with_its_pixel_size():
    path = real_file("deep_storm_demo/ArtificialDataset_demo1.tif")
    image = open_image(path, axes="tyx")
    assert image.sizes == {"t": 20, "y": 64, "x": 64}
    assert image.attrs["pixel_size_nm"] == {"y": 100.0, "x": 100.0}
    np.testing.assert_array_equal(image.values, tifffile.imread(path))


def test_real_widefield_and_storm_images_have_no_pixel_size_of_their_own():
    folder = real_file("widefield_storm/endoplasmic_reticulum")
    for path in (folder / "widefield/ER_widefield.tif", folder / "reference/ER_STORM.tif"):
        image = open_image(path)
        assert image.dims == ("y", "x")
        assert image.attrs["pixel_size_nm"] == {}
        np.testing.assert_array_equal(image.values, tifffile.imread(path))


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
@pytest.mark.parametrize("layout", ["in one piece", "tiled"])
def test_windows_of_a_large_file_take_little_memory(tmp_path, layout):
    path = tmp_path / "large.tif"
    edge = 20_000
    if layout == "in one piece":
        tifffile.imwrite(path, shape=(edge, edge), dtype="float32", imagej=True)
    else:
        tiles = iter([zlib.compress(bytes(512 * 512 * 4))] * (40 * 40))
        options = {"tile": (512, 512), "compression": "zlib", "metadata": None}
        tifffile.imwrite(path, tiles, shape=(edge, edge), dtype="float32", **options)
    code = (
        "import sys, resource\n"
        "from bridge.images.read import open_image\n"
        "rise = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "image = open_image(sys.argv[1])\n"
        "image.isel(y=slice(0, 64), x=slice(0, 64)).values\n"
        "before = rise()\n"
        "for k in range(8):\n"
        "    edges = slice(k * 2400, k * 2400 + 1024)\n"
        "    assert image.isel(y=edges, x=edges).values.shape == (1024, 1024)\n"
        "print(rise() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert float(done.stdout) < 150  # MiB, of 1526 MiB
