"""All orientations of an image, there and back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bridge.quality.orientations import N_ORIENTATIONS, restore_orientations, turn, turn_back

RNG = np.random.default_rng(2)


@pytest.mark.parametrize("number", range(N_ORIENTATIONS))
def test_turning_back_gives_the_image(number):
    image = RNG.random((5, 8), np.float32)
    assert np.array_equal(turn_back(turn(image, number), number), image)


def test_all_eight_differ():
    image = RNG.random((6, 6), np.float32)
    assert len({turn(image, n).tobytes() for n in range(N_ORIENTATIONS)}) == N_ORIENTATIONS


def test_what_turns_with_the_image_has_no_spread():
    image = RNG.random((20, 31), np.float32)
    results = restore_orientations(image, lambda one: ndimage.gaussian_filter(one, 2.0))
    assert np.std(results, axis=0).max() < 1e-6


def test_what_prefers_a_direction_has_spread_where_it_matters():
    image = np.zeros((32, 32), np.float32)
    image[16, 16] = 1
    results = restore_orientations(image, lambda one: np.roll(one, 1, axis=1))
    spread = np.std(results, axis=0)
    assert set(zip(*np.nonzero(spread), strict=True)) == {(15, 16), (17, 16), (16, 15), (16, 17)}


def test_enlarging_is_turned_back_too():
    image = RNG.random((4, 6), np.float32)
    for result in restore_orientations(image, lambda one: np.kron(one, np.ones((2, 2), "f4"))):
        assert np.array_equal(result, np.kron(image, np.ones((2, 2))))
