"""Peaks of heatmaps: where they are to a tenth of a pixel, and what counts as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.stats import norm
from skimage.morphology import local_maxima

from bridge.errors import InputError
from bridge.smlm.localize import Threshold, choose_radius, find_peaks, typical_height

WARM_UP_MS = 60_000  # numba compiles in the first example
FINE_NM = 12.5
GRID = {"upscaling": 8, "pixel_size_nm": 100.0}


def spots(
    y_px: NDArray[np.float64],
    x_px: NDArray[np.float64],
    *,
    shape: tuple[int, int],
    sigma_px: float = 1.0,
) -> NDArray[np.float32]:
    """Sum Gaussians integrated over pixels, each of sum 100; coordinates from the corner."""
    along_y = np.diff(norm.cdf((np.arange(shape[0] + 1)[:, None] - y_px) / sigma_px), axis=0)
    along_x = np.diff(norm.cdf((np.arange(shape[1] + 1)[:, None] - x_px) / sigma_px), axis=0)
    return (100 * along_y @ along_x.T).astype(np.float32)


@pytest.mark.parametrize("sigma_px", [0.7, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("haze", [0.0, 3.0])
def test_places_have_no_preference_within_a_pixel(sigma_px, haze):
    steps = (np.arange(21) / 20 + 7) % 1 + 0.001  # all over the pixel, its borders included
    y_px, x_px = (
        v.ravel() for v in np.meshgrid(20 + 25 * np.arange(21) + steps, 30.37 + 0 * steps)
    )
    frame = spots(y_px[:21], x_px[:21], shape=(560, 61), sigma_px=sigma_px) + haze
    found = find_peaks(frame, **GRID, threshold=haze + 1.0, radius=3)
    assert len(found) == 21
    errors_nm = np.stack([found["y_nm"] - FINE_NM * y_px[:21], found["x_nm"] - FINE_NM * 30.37])
    assert np.abs(errors_nm).max() < 0.5
    assert np.abs(errors_nm.mean(axis=1)).max() < 0.1


@pytest.mark.parametrize(("radius", "most_nm"), [(1, 1.25), (2, 0.5), (3, 0.5)])
def test_positions_of_separate_spots_are_found_without_bias(radius, most_nm):
    rng = np.random.default_rng(8)
    corner = 12.0 * np.stack(np.meshgrid(np.arange(30), np.arange(30), indexing="ij")).reshape(
        2, -1
    )
    y_px, x_px = corner + 6 + rng.random(corner.shape)
    found = find_peaks(spots(y_px, x_px, shape=(372, 372)), **GRID, threshold=1.0, radius=radius)
    found = found.sort_values(["y_nm", "x_nm"])
    order = np.lexsort((corner[1], corner[0]))
    by_cell = found.groupby([found["y_nm"] // (12 * FINE_NM), found["x_nm"] // (12 * FINE_NM)])
    assert by_cell.size().tolist() == [1] * 900
    places = by_cell.mean()
    for name, truth_px in (("y_nm", y_px), ("x_nm", x_px)):
        errors_nm = places[name].to_numpy() - FINE_NM * truth_px[order]
        assert abs(errors_nm.mean()) < 0.1
        assert np.abs(errors_nm).max() < most_nm


def test_the_origin_is_the_outer_corner_and_frames_count_from_one():
    stack = np.zeros((3, 16, 24), np.float32)
    stack[1, 5, 9] = stack[2, 0, 0] = stack[2, 15, 23] = 7
    found = find_peaks(stack, **GRID, threshold=1.0)
    assert found["frame"].tolist() == [2, 3, 3]
    assert found["x_nm"].tolist() == pytest.approx([9.5 * FINE_NM, 0.5 * FINE_NM, 23.5 * FINE_NM])
    assert found["y_nm"].tolist() == pytest.approx([5.5 * FINE_NM, 0.5 * FINE_NM, 15.5 * FINE_NM])
    assert found.attrs["pixel_size_nm"] == 100
    assert find_peaks(stack, **GRID, threshold=1.0, first_frame=11)["frame"].min() == 12


def test_spots_at_the_border_stay_in_the_frame_and_near():
    y_px, x_px = np.array([0.2, 10.0, 39.6, 20.0]), np.array([10.0, 0.4, 30.0, 39.9])
    found = find_peaks(spots(y_px, x_px, shape=(40, 40)), **GRID, threshold=1.0)
    found = found.sort_values("y_nm")[["y_nm", "x_nm"]].to_numpy() / FINE_NM
    truth = np.stack([y_px, x_px], axis=1)
    truth = truth[np.argsort(truth[:, 0])]
    assert np.abs(found - truth).max() < 1
    assert found.min() >= 0
    assert found.max() <= 40


@settings(deadline=WARM_UP_MS, max_examples=200)
@given(
    arrays(np.int16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))
)
def test_plateaus_are_one_peak_as_scikit_image_has_it(levels):
    assume(levels.min() < levels.max())
    found = find_peaks(levels, upscaling=1, pixel_size_nm=1.0, threshold=0.5, radius=1)
    maxima, n_maxima = label(local_maxima(levels, connectivity=2), np.ones((3, 3)))
    assert len(found) == n_maxima
    for n in range(1, n_maxima + 1):
        y, x = np.nonzero(maxima == n)
        inside = (
            (found["y_nm"] > y.min() - 1)
            & (found["y_nm"] < y.max() + 2)
            & (found["x_nm"] > x.min() - 1)
            & (found["x_nm"] < x.max() + 2)
        )
        assert inside.any()


@settings(deadline=WARM_UP_MS, max_examples=100)
@given(
    arrays(np.float32, (14, 17), elements=st.floats(0, 4, width=16)),
    st.integers(1, 4),
    st.floats(0, 3),
)
def test_every_peak_is_the_highest_within_the_radius(frame, radius, threshold):
    found = find_peaks(frame, upscaling=1, pixel_size_nm=1.0, threshold=threshold, radius=radius)
    high = {(y, x) for y, x in zip(*np.nonzero(frame > threshold), strict=True)}
    highest = {
        (y, x)
        for y, x in high
        if frame[y, x]
        >= frame[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1].max()
    }
    assert len(found) <= len(highest)
    unique = {p for p in highest if (frame == frame[p]).sum() == 1}
    assert len(found) >= len(unique)
    for y, x in unique:
        near = np.hypot(found["y_nm"] - y - 0.5, found["x_nm"] - x - 0.5)
        assert near.min() <= np.sqrt(2) + 1e-6, "its centre of gravity is at most 1 pixel off"


def test_a_saturated_disk_is_one_peak_in_its_middle():
    y, x = np.mgrid[:60, :60]
    frame = np.minimum(45.0, 60 - np.hypot(y - 29, x - 33))  # a cone, its top cut off
    found = find_peaks(frame, **GRID, threshold=5.0, radius=3)
    assert found[["y_nm", "x_nm"]].to_numpy() == pytest.approx(
        np.array([[29.5, 33.5]]) * FINE_NM, abs=0.1
    )


def test_a_terrace_beside_a_higher_place_is_no_peak():
    frame = np.zeros((9, 30), np.float32)
    frame[4, 2:22] = 5.0
    frame[4, 22:26] = 6.0
    found = find_peaks(frame, **GRID, threshold=1.0, radius=2)
    assert len(found) == 1
    assert 22 * FINE_NM <= found["x_nm"].item() <= 26 * FINE_NM


def test_further_outputs_are_read_at_the_peak():
    frame = np.zeros((12, 12), np.float32)
    photons = np.arange(144.0).reshape(12, 12)
    frame[3, 4] = frame[9, 8] = 2.0
    found = find_peaks(frame, **GRID, threshold=1.0, readings={"photons": photons})
    assert found["photons"].tolist() == [photons[3, 4], photons[9, 8]]
    assert list(found.columns) == ["frame", "x_nm", "y_nm", "photons"]


def test_an_automatic_threshold_follows_the_outputs_own_height():
    rng = np.random.default_rng(3)
    y_px, x_px = rng.uniform(5, 395, (2, 150))
    haze = rng.gamma(1.0, 0.002, (400, 400))
    sharp = spots(y_px, x_px, shape=(400, 400)) + haze
    for scale in (1.0, 0.05):
        found = find_peaks(scale * sharp, **GRID)
        assert 140 <= len(found) <= 150
        assert found.attrs["threshold"] == pytest.approx(scale * 3.2, rel=0.15)


def test_a_movie_without_emitters_stays_empty_where_the_sum_is_known():
    haze = np.random.default_rng(3).gamma(1.0, 0.02, (20, 200, 200))
    assert len(find_peaks(haze, **GRID)) > 0
    assert len(find_peaks(haze, **GRID, sum_per_emitter=100.0)) == 0
    assert len(find_peaks(np.zeros((2, 8, 8)), **GRID)) == 0


def test_the_typical_height_ignores_haze_and_outliers():
    heights = np.concatenate([np.full(10_000, 0.05), np.full(300, 8.0), [60.0]])
    assert typical_height(heights.astype(np.float32)) == 8.0
    assert typical_height(np.zeros(0, np.float32)) == 0


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("auto", Threshold()),
        ("20%", Threshold("relative", 0.2)),
        (" 12.5 % ", Threshold("relative", 0.125)),
        ("2.5", Threshold("absolute", 2.5)),
        ("0", Threshold("absolute", 0.0)),
    ],
)
def test_a_threshold_is_read_as_typed(text, threshold):
    assert Threshold.parse(text) == threshold


@pytest.mark.parametrize("text", ["", "high", "-1", "0%", "nan", "inf", "1e999", "%"])
def test_a_threshold_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="auto"):
        Threshold.parse(text, what="--threshold")


def test_a_relative_threshold_is_a_share_of_the_typical_peak():
    heights = np.array([1, 1, 10, 10, 10], np.float32)
    assert Threshold("relative", 0.5).settle(heights, sum_per_emitter=1e6) == 5
    assert Threshold("absolute", 0.5).settle(heights) == 0.5
    assert Threshold().settle(heights, sum_per_emitter=1e6) == 1e4


def test_the_window_is_about_sixty_nanometres():
    assert [choose_radius(nm) for nm in (5.0, 12.5, 20.0, 25.0, 50.0, 100.0)] == [5, 5, 3, 2, 1, 1]


@pytest.mark.parametrize("wrong", [{"upscaling": 0}, {"pixel_size_nm": -1.0}, {"radius": -1}])
def test_numbers_that_cannot_be_are_a_mistake_of_the_caller(wrong):
    with pytest.raises(ValueError, match="above 0"):
        find_peaks(np.zeros((4, 4)), **{**GRID, **wrong})


def test_a_heatmap_with_channels_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="4 axes"):
        find_peaks(np.zeros((1, 1, 4, 4)), **GRID)
