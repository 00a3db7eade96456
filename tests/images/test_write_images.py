"""Writing images: what is written in any order comes back equal, or nothing is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import ramp, real_file
from PIL import Image

from bridge.errors import OutputError
from bridge.images.axes import DIMS
from bridge.images.read import open_image
from bridge.images.write import ImageWriter, write_image

ENDINGS = [".tif", ".ome.zarr"]


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def windows(shape, steps):
    """Cut a shape into windows of at most ``steps`` along each axis."""
    for index in np.ndindex(*(-(-n // s) for n, s in zip(shape, steps, strict=True))):
        yield tuple(
            slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, steps, shape, strict=True)
        )


@st.composite
def images(draw):
    stacked = draw(st.lists(st.sampled_from("tcz"), unique=True))
    dims = tuple(dim for dim in DIMS if dim in stacked or dim in "yx")
    shape = tuple(draw(st.integers(1, 40 if dim in "yx" else 4)) for dim in dims)
    dtype = draw(st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]))
    sizes = st.floats(0.5, 5000).map(lambda nm: round(nm, 2))
    known = draw(st.sampled_from([(), ("y", "x"), ("x",), ("z", "y", "x")]))
    attrs = {"pixel_size_nm": {dim: draw(sizes) for dim in known if dim in dims}}
    if "t" in dims and draw(st.booleans()):
        attrs["frame_interval_s"] = draw(st.floats(1e-4, 100))
    if "c" in dims and draw(st.booleans()):
        attrs["channel_names"] = [f"channel {k}, µ" for k in range(shape[dims.index("c")])]
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    pixels = (rng.random(shape) * 250 - 50 * (dtype != "uint8")).astype(dtype)
    return xr.DataArray(pixels, dims=dims, attrs=attrs)


@pytest.mark.parametrize("ending", ENDINGS)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), image=images())
def test_windows_in_any_order_come_back_equal_with_their_calibration(ending, data, image):
    steps = [data.draw(st.integers(1, size)) for size in image.shape]
    steps = [max(step, -(-size // 4)) for step, size in zip(steps, image.shape, strict=True)]
    order = data.draw(st.permutations(list(windows(image.shape, steps))))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out{ending}"
        with ImageWriter(
            path, dims=image.dims, shape=image.shape, dtype=image.dtype, **image.attrs
        ) as writer:
            for window in order:
                writer.write(dict(zip(image.dims, window, strict=True)), image.values[window])
        assert names_in(Path(folder)) == [path.name]
        expected = image.squeeze([d for d in image.dims if d not in "yx" and image.sizes[d] == 1])
        with open_image(path) as back:
            assert back.dims == expected.dims
            assert back.dtype == expected.dtype
            np.testing.assert_array_equal(back.values, expected.values)
            sizes = {d: s for d, s in image.attrs["pixel_size_nm"].items() if d in back.dims}
            assert back.attrs["pixel_size_nm"] == pytest.approx(sizes, rel=1e-6)
            if "t" in back.dims:
                interval = image.attrs.get("frame_interval_s")
                assert back.attrs.get("frame_interval_s") == pytest.approx(interval)
            if "c" in back.dims:
                assert back.attrs.get("channel_names") == image.attrs.get("channel_names")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_types_that_imagej_knows_become_an_imagej_hyperstack(tmp_path, dtype):
    path = tmp_path / "a.tif"
    pixels = ramp((2, 3, 4, 6, 5), dtype)
    sizes = {"z": 250.0, "y": 12.5, "x": 12.5}
    attrs = {"pixel_size_nm": sizes, "channel_names": ["a", "b", "c"], "frame_interval_s": 0.05}
    write_image(path, xr.DataArray(pixels, dims=tuple("tczyx"), attrs=attrs))
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert not file.is_bigtiff
        assert len(file.pages) == 24
        described = file.imagej_metadata
        assert [described[k] for k in ("channels", "slices", "frames")] == [3, 4, 2]
        assert described["unit"] == "micron"
        assert described["spacing"] == 0.25
        assert described["Labels"][:4] == ["a", "b", "c", "a"]
        across, unit = file.pages[0].tags["XResolution"].value
        assert across / unit == 80.0  # pixels per micron
        np.testing.assert_array_equal(file.asarray(), pixels.transpose(0, 2, 1, 3, 4))


def test_other_types_become_ome_bigtiff(tmp_path):
    path = tmp_path / "a.tif"
    write_image(path, xr.DataArray(ramp((3, 6, 5), "float64"), dims=tuple("tyx")))
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.asarray(), ramp((3, 6, 5), "float64"))


def test_other_programs_read_what_is_written(tmp_path):
    pixels = ramp((6, 5), "uint8")
    write_image(tmp_path / "a.tif", xr.DataArray(pixels, dims=("y", "x")))
    with Image.open(tmp_path / "a.tif") as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    write_image(tmp_path / "a.zarr", xr.DataArray(pixels, dims=("y", "x")))
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    described = group.attrs["ome"]["multiscales"][0]
    assert group.attrs["ome"]["version"] == "0.5"
    assert [axis["name"] for axis in described["axes"]] == ["y", "x"]
    np.testing.assert_array_equal(group[described["datasets"][0]["path"]][...], pixels)


def test_a_stack_above_four_gigabytes_stays_readable_for_imagej(tmp_path):
    if shutil.disk_usage(tmp_path).free < 8e9:
        pytest.skip("needs 8 GB of free disk")
    path = tmp_path / "long.tif"
    shape = (1100, 1024, 1024)
    with ImageWriter(path, dims=tuple("tyx"), shape=shape, dtype="float32") as writer:
        for t in (0, 700, 1099):
            one = np.full((1, 2, 1024), t + 1, np.float32)
            writer.write({"t": slice(t, t + 1), "y": slice(1022, 1024)}, one)
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert not file.is_bigtiff
        assert file.imagej_metadata["frames"] == 1100
    image = open_image(path)
    assert image.shape == shape
    assert [float(image[t, 1023, 9]) for t in (0, 1, 700, 1099)] == [1, 0, 701, 1100]
    assert float(image[1099, 1021, 0]) == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_threads_may_write_at_once(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    pixels = ramp((700, 900), "float32")
    parts = list(windows(pixels.shape, (100, 130)))
    with (
        ImageWriter(path, dims=("y", "x"), shape=pixels.shape, dtype="float32") as writer,
        ThreadPoolExecutor(4) as threads,
    ):
        todo = [
            threads.submit(writer.write, dict(zip("yx", part, strict=True)), pixels[part])
            for part in parts
        ]
        for task in todo:
            task.result()
    np.testing.assert_array_equal(open_image(path).values, pixels)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_exception_leaves_nothing(tmp_path, ending):
    def stop_half_way():
        with ImageWriter(
            tmp_path / f"a{ending}", dims=("y", "x"), shape=(9, 9), dtype="uint8"
        ) as writer:
            writer.write({"y": slice(0, 3)}, np.ones((3, 9), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_output_that_is_there_is_kept_unless_asked(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    old, new = (xr.DataArray(np.full((4, 5), v, np.uint8), dims=("y", "x")) for v in (1, 2))
    write_image(path, old)
    with pytest.raises(OutputError, match="there already"):
        write_image(path, new)
    np.testing.assert_array_equal(open_image(path).values, old)
    write_image(path, new, overwrite=True)
    np.testing.assert_array_equal(open_image(path).values, new)
    assert names_in(tmp_path) == [path.name]


def test_the_old_output_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.tif"
    write_image(path, xr.DataArray(np.ones((4, 5), np.uint8), dims=("y", "x")))
    options = {"dims": ("y", "x"), "shape": (4, 5), "dtype": "uint8", "overwrite": True}
    with pytest.raises(ZeroDivisionError), ImageWriter(path, **options):
        raise ZeroDivisionError
    assert open_image(path).values.all()


def test_two_runs_cannot_write_the_same_output(tmp_path):
    options = {"dims": ("y", "x"), "shape": (4, 5), "dtype": "uint8"}
    with ImageWriter(tmp_path / "a.tif", **options) as first:
        first.write({}, np.ones((4, 5), np.uint8))
        with (
            pytest.raises(OutputError, match="another run"),
            ImageWriter(tmp_path / "a.tif", **options),
        ):
            pass
    assert open_image(tmp_path / "a.tif").values.all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "a.png"}, ".zarr"),
        ({"path": "gone/deeper/a.tif"}, "missing"),
        ({"path": "folder.tif", "overwrite": True}, "folder"),
        ({"path": "folder.zarr", "overwrite": True}, "folder"),
        ({"dims": ("x", "y")}, "in this order"),
        ({"dims": ("t", "y", "x")}, "3 lengths"),
        ({"shape": (0, 5)}, "at least 1"),
        ({"pixel_size_nm": {"x": 0.0}}, "above 0"),
        ({"dims": ("c", "y", "x"), "shape": (2, 4, 5), "channel_names": ["a"]}, "1 channel names"),
        ({"dtype": "complex64"}, "complex64"),
        ({"dtype": "int64"}, "int64"),
        ({"dtype": "bool", "path": "a.zarr"}, "bool"),
    ],
)
def test_outputs_that_cannot_be_are_refused_at_the_door(tmp_path, change, words):
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "folder.zarr").mkdir()
    options = {"path": "a.tif", "dims": ("y", "x"), "shape": (4, 5), "dtype": "uint8"} | change
    options["path"] = tmp_path / options["path"]
    with pytest.raises(OutputError) as caught, ImageWriter(**options):
        pass
    assert words in str(caught.value)
    assert names_in(tmp_path) == ["folder.tif", "folder.zarr"]


def test_one_missing_folder_is_made(tmp_path):
    write_image(tmp_path / "new" / "a.tif", xr.DataArray(ramp((4, 5)), dims=("y", "x")))
    assert open_image(tmp_path / "new" / "a.tif").shape == (4, 5)


@pytest.mark.parametrize(
    ("region", "pixels"),
    [
        ({"z": slice(0, 1)}, np.ones((4, 5), np.uint8)),
        ({"y": slice(2, 6)}, np.ones((4, 5), np.uint8)),
        ({"y": slice(0, 4, 2)}, np.ones((2, 5), np.uint8)),
        ({"y": slice(-2, 4)}, np.ones((2, 5), np.uint8)),
        ({}, np.ones((5, 4), np.uint8)),
        ({}, np.ones((4, 5), np.float32)),
    ],
)
def test_windows_that_do_not_fit_are_refused(tmp_path, region, pixels):
    with (
        pytest.raises(ValueError, match=r"axis|pixels"),
        ImageWriter(tmp_path / "a.tif", dims=("y", "x"), shape=(4, 5), dtype="uint8") as writer,
    ):
        writer.write(region, pixels)


def test_a_lazy_image_is_copied_with_all_it_says(tmp_path):
    movie = open_image(real_file("deep_storm_demo/ArtificialDataset_demo1.tif"), axes="tyx")
    for ending in ENDINGS:
        write_image(tmp_path / f"a{ending}", movie)
        back = open_image(tmp_path / f"a{ending}")
        xr.testing.assert_equal(back, movie)
        assert back.attrs["pixel_size_nm"] == {"y": 100.0, "x": 100.0}


def run_python(code, *words, before=()):
    return subprocess.run(
        [*before, sys.executable, "-c", code, *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ,
    )


_WRITE_40_MB = """
import sys
import numpy as np
from bridge.errors import OutputError
from bridge.images.write import ImageWriter
rng = np.random.default_rng(0)
try:
    with ImageWriter(sys.argv[1], dims=("y", "x"), shape=(3000, 3500), dtype="float32") as writer:
        for y in range(0, 3000, 500):
            writer.write({"y": slice(y, y + 500)}, rng.random((500, 3500), dtype=np.float32))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits as Unix has them")
def test_a_limit_on_file_sizes_is_told_with_the_bytes_needed(tmp_path):
    limited = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))\n"
    done = run_python(limited + _WRITE_40_MB, tmp_path / "a.tif")
    assert "42,000,000 bytes" in done.stdout, done.stderr
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, ending):
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root on Linux, to mount a small disk")
    small = tmp_path / "small"
    small.mkdir()
    mount = f'mount -t tmpfs -o size=8m tmpfs {small} && "$@" && ls -A {small}'
    before = ("unshare", "--mount", "sh", "-c", mount, "sh")
    done = run_python(_WRITE_40_MB, small / f"a{ending}", before=before)
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"may not mount: {done.stderr.strip()}")
    assert "disk is full" in done.stdout, done.stderr
    assert "42,000,000 bytes" in done.stdout
    assert done.stdout.split("another disk.")[1].strip() == ""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_writing_a_large_image_takes_little_memory(tmp_path):
    code = (
        "import sys, resource\n"
        "import numpy as np\n"
        "from bridge.images.write import ImageWriter\n"
        "rise = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "tile = np.ones((512, 512), np.float32)\n"
        "before = rise()\n"
        "form = {'dims': ('y', 'x'), 'shape': (8192, 8192), 'dtype': 'float32'}\n"
        "with ImageWriter(sys.argv[1], **form) as writer:\n"
        "    for y in range(0, 8192, 1024):\n"
        "        for x in range(0, 8192, 512):\n"
        "            writer.write({'y': slice(y, y + 512), 'x': slice(x, x + 512)}, tile)\n"
        "print(rise() - before)\n"
    )
    done = run_python(code, tmp_path / "a.tif")
    assert float(done.stdout) < 40, done.stderr  # MiB, of 256 MiB
