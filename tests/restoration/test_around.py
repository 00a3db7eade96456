"""Patches around detections hold their detection, anywhere in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from bridge.errors import InputError
from bridge.restoration.around import corners_around, patches_around


def places_at(points) -> pd.DataFrame:
    return pd.DataFrame(np.asarray(points, float).reshape(-1, 2), columns=["y_px", "x_px"])


@given(data=st.data(), step_px=st.sampled_from([1, 2, 4]), seed=st.integers(0, 1000))
def test_every_patch_lies_inside_and_holds_a_detection(data, step_px, seed):
    patch_px = step_px * data.draw(st.integers(1, 8))
    n_y, n_x = (data.draw(st.integers(patch_px + step_px, 90)) for _ in range(2))
    inside = st.tuples(
        st.floats(0, n_y - n_y % step_px, exclude_max=True),
        st.floats(0, n_x - n_x % step_px, exclude_max=True),
    )
    points = np.array(data.draw(st.lists(inside, min_size=1, max_size=5)))
    n_patches = data.draw(st.integers(0, 12))
    corners = corners_around(
        places_at(points),
        shape=(n_y, n_x),
        patch_px=patch_px,
        n_patches=n_patches,
        rng=np.random.default_rng(seed),
        step_px=step_px,
    )
    assert corners.shape == (n_patches, 2)
    assert (corners % step_px == 0).all()
    assert (corners >= 0).all()
    assert (corners + patch_px <= (n_y, n_x)).all()
    for corner in corners:
        holds = (points >= corner) & (points < corner + patch_px)
        assert holds.all(axis=1).any()


def test_a_detection_is_as_often_at_every_place_of_its_patch():
    corners = corners_around(
        places_at([(100.5, 120.5)]),
        shape=(256, 256),
        patch_px=32,
        n_patches=4000,
        rng=np.random.default_rng(0),
    )
    within = (
        (100.5, 120.5) - corners + np.random.default_rng(1).uniform(-0.5, 0.5, (4000, 2))
    ) / 32
    for axis in (0, 1):
        assert kstest(within[:, axis], "uniform").pvalue > 0.01


def test_a_margin_keeps_detections_off_the_edges_where_there_is_room():
    options = {"shape": (100, 100), "patch_px": 20, "n_patches": 500, "margin_px": 6.0}
    middle = corners_around(places_at([(50, 50)]), rng=np.random.default_rng(0), **options)
    assert ((50 - middle >= 6) & (50 - middle <= 14)).all()
    corner = corners_around(places_at([(1, 1)]), rng=np.random.default_rng(0), **options)
    assert (corner == 0).all()


def test_detections_take_turns():
    points = [(20, 20), (20, 80), (80, 20), (80, 80)]
    corners = corners_around(
        places_at(points), shape=(100, 100), patch_px=16, n_patches=10, rng=np.random.default_rng(2)
    )
    nearest = np.argmin([np.hypot(*(corners + 8 - p).T) for p in points], axis=0)
    assert sorted(np.bincount(nearest)) == [2, 2, 3, 3]


def test_patches_are_cut_at_the_corners():
    image = np.arange(60 * 70).reshape(60, 70)
    options = {"patch_px": 12, "n_patches": 7}
    places = places_at([(30, 40), (5, 6)])
    patches = patches_around(image, places, rng=np.random.default_rng(0), **options)
    corners = corners_around(places, shape=(60, 70), rng=np.random.default_rng(0), **options)
    assert patches.shape == (7, 12, 12)
    np.testing.assert_array_equal(patches[:, 0, 0], image[corners[:, 0], corners[:, 1]])
    np.testing.assert_array_equal(patches[:, 11, 11], image[corners[:, 0] + 11, corners[:, 1] + 11])


@pytest.mark.parametrize(
    ("points", "options", "found"),
    [
        ([], {}, "none of 0"),
        ([(500, 5)], {}, "none of 1"),
        ([(5, 5)], {"patch_px": 101}, "101 pixels"),
        ([(5, 5)], {"patch_px": 15, "step_px": 2}, "15 pixels"),
        ([(5, 5)], {"margin_px": 16.0}, "margin"),
    ],
)
def test_what_cannot_be_cut_is_a_sentence(points, options, found):
    settings = {"shape": (100, 100), "patch_px": 32, "n_patches": 3, **options}
    with pytest.raises(InputError, match=found):
        corners_around(places_at(points), rng=np.random.default_rng(0), **settings)
