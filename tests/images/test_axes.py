"""Axes: what users type and what files say."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ImageError
from bridge.images.axes import DIMS, apply_axes, check_dims, guess_axes, parse_axes, sort_dims


@given(st.permutations(DIMS))
def test_any_order_of_letters_is_understood_and_sorted(letters):
    assert parse_axes("".join(letters).upper()) == tuple(letters)
    assert sort_dims(letters) == DIMS


@pytest.mark.parametrize(
    ("text", "found"),
    [("tyxs", "'s'"), ("tyyx", "'y' twice"), ("tx", "lack 'y'"), ("", "lack 'y'"), ("t,y", "','")],
)
def test_wrong_letters_are_named_with_what_is_expected(text, found):
    with pytest.raises(ImageError) as caught:
        parse_axes(text, what="cells.tif")
    assert found in str(caught.value)
    assert caught.value.what == "cells.tif"
    assert "'tyx'" in caught.value.remedy


@given(text=st.text(max_size=8))
def test_no_text_for_axes_brings_another_error_than_ours(text):
    with contextlib.suppress(ImageError):
        assert set(parse_axes(text)) <= set(DIMS)


def test_a_user_may_leave_out_axes_of_length_one():
    assert apply_axes("tyx", shape=(1, 5, 1, 4, 3), what="a") == (None, "t", None, "y", "x")
    assert apply_axes("tcyx", shape=(1, 5, 4, 3), what="a") == (None, "c", "y", "x")


def test_too_few_letters_for_a_file_are_refused_with_its_shape():
    with pytest.raises(ImageError, match="5 x 6 x 4 x 3"):
        apply_axes("tyx", shape=(5, 6, 4, 3), what="a")


def test_a_row_of_pixels_keeps_its_y():
    assert apply_axes("yx", shape=(1, 9), what="a") == ("y", "x")
    assert guess_axes("YX", shape=(1, 1), what="a") == (("y", "x"), [])


def test_samples_are_channels_and_one_unknown_axis_is_time():
    names, notes = guess_axes("QYXS", shape=(7, 4, 5, 3), what="a")
    assert names == ("t", "y", "x", "c")
    assert "7 planes" in notes[0]
    assert "axes=" in notes[0]


@pytest.mark.parametrize(
    ("letters", "shape"),
    [("QQYX", (2, 3, 4, 5)), ("QTYX", (2, 3, 4, 5)), ("CYXS", (2, 4, 5, 3)), ("TYZ", (2, 3, 4))],
)
def test_axes_that_cannot_be_told_apart_are_refused(letters, shape):
    with pytest.raises(ImageError, match="axes"):
        guess_axes(letters, shape=shape, what="a")


@pytest.mark.parametrize("dims", [("x", "y"), ("y",), ("t", "y", "x", "x"), ("time", "y", "x")])
def test_dims_of_an_output_must_be_ours_in_order(dims):
    with pytest.raises(ImageError):
        check_dims(dims, what="out.tif")
