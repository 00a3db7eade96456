"""Images into real ImageJ 1.54p and back, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import plain_imagej
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from java_child import JavaChild

SIZES = st.integers(1, 4)
UNITS = {"nm": 1.0, "micron": 1e3, "um": 1e3, "µm": 1e3, "mm": 1e6, "inch": 25.4e6}
slowly = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def images(
    draw: st.DrawFn, dtypes: tuple[str, ...] = ("uint8", "uint16", "float32")
) -> xr.DataArray:
    """Images of every shape; of floats, every bit pattern but NaNs, whose bits numpy may change."""
    shape = {dim: draw(SIZES) for dim in "tcz"} | {dim: draw(st.integers(1, 9)) for dim in "yx"}
    shape = {dim: size for dim, size in shape.items() if size > 1 or dim in "yx"}
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    seed = draw(st.integers(0, 2**32 - 1))
    n_bytes = math.prod(shape.values()) * dtype.itemsize
    raw = np.random.default_rng(seed).bytes(n_bytes)
    pixels = np.frombuffer(raw, dtype).reshape(tuple(shape.values())).copy()
    if dtype.kind == "f":
        pixels[np.isnan(pixels)] = np.inf
    sizes_nm = {dim: draw(st.floats(0.001, 1e6)) for dim in ("z", "y", "x") if dim in shape}
    attrs = {"pixel_size_nm": draw(st.sampled_from([{}, sizes_nm]))}
    if "t" in shape and draw(st.booleans()):
        attrs["frame_interval_s"] = draw(st.floats(1e-6, 1e4))
    if "c" in shape and draw(st.booleans()):
        attrs["channel_names"] = [f"dye {number} ü" for number in range(shape["c"])]
    return xr.DataArray(pixels, dims=tuple(shape), attrs=attrs)


@slowly
@given(image=images(), title=st.text("aZ9 é[]\\=.", min_size=1), unit=st.sampled_from([*UNITS]))
def test_images_come_back_as_they_went(
    plain: JavaChild, image: xr.DataArray, title: str, unit: str
) -> None:
    back, seen = plain.call(plain_imagej.there_and_back, image=image, title=title, unit=unit)

    sizes = {dim: image.sizes.get(dim, 1) for dim in "xyczt"}
    assert seen["dimensions"] == tuple(sizes.values())
    assert seen["title"] == title == back.attrs["source"]
    assert seen["bits"] == 8 * image.dtype.itemsize
    assert back.dims == image.dims
    assert back.dtype == image.dtype
    assert back.values.tobytes() == image.values.tobytes()
    expected_nm = image.attrs["pixel_size_nm"]
    assert back.attrs["pixel_size_nm"] == pytest.approx(expected_nm, rel=1e-12)
    assert back.attrs.get("channel_names") == image.attrs.get("channel_names")
    assert back.attrs.get("frame_interval_s") == image.attrs.get("frame_interval_s")
    if expected_nm:
        assert seen["unit"] == ("µm" if unit == "um" else unit) or seen["unit"] == unit
        assert seen["voxel"][0] == pytest.approx(expected_nm["x"] / UNITS[unit], rel=1e-12)


@slowly
@given(image=images(dtypes=("uint8",)))
def test_colours_come_back_as_they_went(plain: JavaChild, image: xr.DataArray) -> None:
    plane = image.isel(c=0) if "c" in image.dims else image
    colour = xr.concat([plane, plane + 1, 255 - plane], "c").astype(np.uint8)
    colour = colour.transpose(*[dim for dim in "tczyx" if dim in colour.dims])
    colour.attrs = {"channel_names": ["red", "green", "blue"]}

    back, seen = plain.call(plain_imagej.there_and_back, image=colour, title="rgb")

    assert seen["bits"] == 24
    assert seen["dimensions"][2] == 1
    xr.testing.assert_equal(back, colour)
    assert back.attrs["channel_names"] == ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("int8", "float32"), ("int16", "float32"), ("uint32", "float32"), ("float64", "float32"),
     ("float16", "float32"), (">u2", "uint16"), (">f4", "float32"), ("bool", "uint8")],
)  # fmt: skip
def test_types_that_imagej_lacks_become_the_next_wider(
    plain: JavaChild, dtype: str, expected: str
) -> None:
    pixels = (np.arange(20).reshape(4, 5) % 2 * 100).astype(dtype)

    back, _ = plain.call(
        plain_imagej.there_and_back, image=xr.DataArray(pixels, dims=("y", "x")), title="a"
    )

    assert back.dtype == expected
    factor = 255 if dtype == "bool" else 1
    np.testing.assert_array_equal(back, pixels.astype("float64") * factor)


def test_complex_pixels_are_refused(plain: JavaChild) -> None:
    with pytest.raises(RuntimeError, match=r"ImageError.*complex64"):
        plain.call(
            plain_imagej.there_and_back,
            image=xr.DataArray(np.zeros((2, 2), np.complex64), dims=("y", "x")),
            title="a",
        )


def test_views_that_are_not_contiguous_are_copied_in_their_order(plain: JavaChild) -> None:
    pixels = np.arange(24, dtype=np.uint16).reshape(4, 6)
    image = xr.DataArray(pixels[::-1, ::2], dims=("x", "y")).transpose("y", "x")

    back, _ = plain.call(plain_imagej.there_and_back, image=image, title="a")

    np.testing.assert_array_equal(back, image)


def test_planes_come_in_imagejs_order(plain: JavaChild) -> None:
    code = """newImage("h", "16-bit", 2, 2, 2, 3, 4);
    for (c=1; c<=2; c++) for (z=1; z<=3; z++) for (t=1; t<=4; t++) {
        Stack.setPosition(c, z, t); setPixel(1, 0, 100*t+10*c+z); } """

    image = plain.call(plain_imagej.take, code=code)

    assert image.dims == ("t", "c", "z", "y", "x")
    for t, c, z in np.ndindex(4, 2, 3):
        assert int(image[t, c, z, 0, 1]) == 100 * (t + 1) + 10 * (c + 1) + z + 1


def test_only_the_rectangle_around_a_selection_is_taken(plain: JavaChild) -> None:
    code = 'newImage("a", "16-bit ramp", 40, 30, 3); '
    whole = plain.call(plain_imagej.take, code=code)

    inside = plain.call(plain_imagej.take, code=code + "makeOval(5, 6, 7, 8);")
    across = plain.call(plain_imagej.take, code=code + "makeRectangle(-3, 25, 10, 10);")
    line = plain.call(plain_imagej.take, code=code + "makeLine(1, 2, 9, 9);")

    np.testing.assert_array_equal(inside, whole[:, 6:14, 5:12])
    np.testing.assert_array_equal(across, whole[:, 25:30, 0:7])
    np.testing.assert_array_equal(line, whole)


def test_a_selection_outside_the_image_is_refused(plain: JavaChild) -> None:
    code = 'newImage("a b", "8-bit ramp", 40, 30, 1); makeRectangle(50, 50, 4, 5);'
    with pytest.raises(
        RuntimeError, match=r"a b: the selection of 4 x 5 pixels at .50, 50. holds no"
    ):
        plain.call(plain_imagej.take, code=code)


def test_a_closed_image_is_refused(plain: JavaChild) -> None:
    with pytest.raises(RuntimeError, match=r"ImageError.*has been closed"):
        plain.call(plain_imagej.take_closed)


def test_the_plane_on_display_of_a_virtual_stack_is_taken_as_shown(plain: JavaChild) -> None:
    before, after = plain.call(plain_imagej.edit_virtual_stack)

    np.testing.assert_array_equal(after[1], before[1] + 7)
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])


def test_an_image_in_false_colours_gives_its_values(plain: JavaChild) -> None:
    values = plain.call(plain_imagej.take_with_false_colours)

    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, np.arange(12).reshape(3, 4))


def test_the_contrast_survives_and_can_be_set(plain: JavaChild) -> None:
    pixels = np.linspace(0, 50, 12, dtype=np.float32).reshape(3, 4)
    image = xr.DataArray(pixels, dims=("y", "x"), attrs={"display_range": (3.0, 17.5)})

    back, seen = plain.call(plain_imagej.there_and_back, image=image, title="a")

    assert seen["display_range"] == back.attrs["display_range"] == (3.0, 17.5)


def test_an_overlay_follows_to_a_larger_result_of_the_selection(plain: JavaChild) -> None:
    seen = plain.call(plain_imagej.carry_overlay, scale=8)

    assert seen == [(8.0, 16.0, 24.0, 32.0)]


def test_a_result_of_another_field_of_view_gets_no_overlay(plain: JavaChild) -> None:
    assert plain.call(plain_imagej.carry_overlay, scale=0) == []


def test_a_hundred_images_leave_no_memory_behind(plain: JavaChild) -> None:
    few, many = plain.call(plain_imagej.memory_after, numbers=(20, 100))

    assert many - few < 60e6, "a float image of 4 MB each"
