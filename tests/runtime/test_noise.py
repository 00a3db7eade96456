"""The noise of generative networks: a function of the place alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bridge.runtime.noise import NoiseSource

SHAPE = (2, 700, 530)


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    return NoiseSource(SHAPE, seed=3).read((slice(None), slice(None), slice(None)))


@given(
    corner=st.tuples(st.integers(0, 699), st.integers(0, 529)),
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    channel=st.integers(0, 1),
)
def test_any_window_is_a_part_of_the_same_field(whole, corner, size, channel):
    rows, columns = (slice(c, c + n) for c, n in zip(corner, size, strict=True))
    source = NoiseSource(SHAPE, seed=3)
    assert np.array_equal(source.read((channel, rows, columns)), whole[channel, rows, columns])
    assert np.array_equal(source.read((slice(0, 2), rows, columns)), whole[:, rows, columns])


def test_a_larger_image_has_the_same_noise_where_they_overlap(whole):
    larger = NoiseSource((3, 900, 900), seed=3).read((slice(None), slice(None), slice(None)))
    assert np.array_equal(larger[:2, :700, :530], whole)


def test_steps_are_read_too(whole):
    found = NoiseSource(SHAPE, seed=3).read((0, slice(5, 600, 7), slice(0, 530, 3)))
    assert np.array_equal(found, whole[0, 5:600:7, ::3])


def test_it_is_white_and_normal(whole):
    assert stats.kstest(whole[0, ::3, ::3].ravel(), "norm").pvalue > 1e-3
    n = whole[0].size
    for dy, dx in ((0, 1), (1, 0), (256, 0), (0, 256), (256, 256)):
        shifted = whole[0, dy:, dx:]
        product = (shifted * whole[0, : shifted.shape[0], : shifted.shape[1]]).mean()
        assert abs(product) < 5 / np.sqrt(n / 4)
    assert abs(np.corrcoef(whole[0].ravel(), whole[1].ravel())[0, 1]) < 5 / np.sqrt(n)


def test_another_seed_is_another_field(whole):
    other = NoiseSource(SHAPE, seed=4).read((slice(None), slice(None), slice(None)))
    assert abs(np.corrcoef(whole.ravel(), other.ravel())[0, 1]) < 0.01
