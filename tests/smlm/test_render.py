"""Rendering against a renderer that loops over rows as ThunderSTORM's source does, and theory."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from bridge.errors import TableError
from bridge.smlm import render
from bridge.smlm.render import render_ash, render_gaussian, render_histogram

WARM_UP_MS = 60_000  # numba compiles in the first example


def table_of(x_nm: object, y_nm: object, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"x_nm": x_nm, "y_nm": y_nm, **columns}, dtype=np.float64)


class ThunderStorm:
    """``RenderingMethod`` and its children, point by point, in camera pixels as they have it."""

    def __init__(self, shape: tuple[int, int], magnification: float, camera_nm: float) -> None:
        self.camera_nm = camera_nm
        self.resolution = 1 / magnification
        self.image = np.zeros(shape)

    def pixel(self, x_nm: float, y_nm: float) -> tuple[int, int] | None:
        x, y = x_nm / self.camera_nm, y_nm / self.camera_nm
        x_max = self.image.shape[1] * self.resolution
        y_max = self.image.shape[0] * self.resolution
        if not (0 <= x < x_max and 0 <= y < y_max):
            return None
        return int(y / self.resolution), int(x / self.resolution)

    def add(self, v: int, u: int, value: float) -> None:
        if 0 <= v < self.image.shape[0] and 0 <= u < self.image.shape[1]:
            self.image[v, u] += value

    def draw_histogram(self, table: pd.DataFrame) -> NDArray[np.float64]:
        return self.draw_ash(table, 1)

    def draw_ash(self, table: pd.DataFrame, shifts: int) -> NDArray[np.float64]:
        for row in table.itertuples():
            place = self.pixel(row.x_nm, row.y_nm)
            for i in range(1 - shifts, shifts) if place else ():
                for j in range(1 - shifts, shifts):
                    weight = (shifts - abs(i)) * (shifts - abs(j))
                    self.add(place[0] + j, place[1] + i, weight)
        return self.image

    def draw_gaussian(self, table: pd.DataFrame, sigmas_nm: object) -> NDArray[np.float64]:
        """Draw Gaussians by erf; the sum of each whole window is made 1, as ours are."""
        for row, sigma_nm in zip(table.itertuples(), sigmas_nm, strict=True):
            place = self.pixel(row.x_nm, row.y_nm)
            if place is None:
                continue
            sigma = sigma_nm / self.camera_nm / self.resolution
            x = row.x_nm / self.camera_nm / self.resolution
            y = row.y_nm / self.camera_nm / self.resolution
            reach = math.ceil(3 * sigma)
            window = range(-reach, reach + 1)
            along_x = [self.integral(place[1] + i, x, sigma) for i in window]
            along_y = [self.integral(place[0] + j, y, sigma) for j in window]
            whole = sum(along_x) * sum(along_y)
            for j, share_y in zip(window, along_y, strict=True):
                for i, share_x in zip(window, along_x, strict=True):
                    self.add(place[0] + j, place[1] + i, share_x * share_y / whole)
        return self.image

    @staticmethod
    def integral(pixel: int, centre: float, sigma: float) -> float:
        scale = sigma * math.sqrt(2)
        return 0.5 * (math.erf((pixel + 1 - centre) / scale) - math.erf((pixel - centre) / scale))


# quarters of a nm with a camera pixel of 128 nm: every quotient is exact, so both floors agree
places_nm = st.integers(-400, 4_800).map(lambda quarter: quarter / 4)
rows = st.lists(st.tuples(places_nm, places_nm, st.integers(1, 600)), max_size=30)


def table_from(points: list[tuple[float, float, int]]) -> pd.DataFrame:
    x, y, sigma = zip(*points, strict=True) if points else ((), (), ())
    return table_of(x, y, uncertainty_xy_nm=[s / 4 for s in sigma])


@settings(deadline=WARM_UP_MS, max_examples=60)
@given(rows, st.sampled_from([1, 2, 4, 8]), st.integers(1, 70), st.integers(1, 70))
def test_a_histogram_is_that_of_thunderstorm(points, magnification, n_y, n_x):
    table = table_from(points)
    image = render_histogram(table, pixel_size_nm=128 / magnification, shape=(n_y, n_x))
    expected = ThunderStorm((n_y, n_x), magnification, 128).draw_histogram(table)
    np.testing.assert_array_equal(image.values, expected)
    assert image.values.sum() + image.attrs["outside"] == len(table)
    assert image.dtype == np.uint32
    assert image.dims == ("y", "x")


@settings(deadline=WARM_UP_MS, max_examples=60)
@given(rows, st.sampled_from([1, 2, 4, 8]), st.integers(1, 40), st.integers(1, 5))
def test_an_averaged_shifted_histogram_is_that_of_thunderstorm(points, magnification, n, shifts):
    table = table_from(points)
    image = render_ash(table, pixel_size_nm=128 / magnification, shape=(n, n + 3), shifts=shifts)
    expected = ThunderStorm((n, n + 3), magnification, 128).draw_ash(table, shifts)
    np.testing.assert_array_equal(image.values, expected)


@settings(deadline=WARM_UP_MS, max_examples=60)
@given(rows, st.sampled_from([1, 2, 4, 8]), st.integers(1, 150), st.integers(1, 150))
def test_gaussians_by_uncertainty_are_those_of_thunderstorm(points, magnification, n_y, n_x):
    table = table_from(points)
    image = render_gaussian(table, pixel_size_nm=128 / magnification, shape=(n_y, n_x))
    brute = ThunderStorm((n_y, n_x), magnification, 128)
    expected = brute.draw_gaussian(table, table["uncertainty_xy_nm"])
    np.testing.assert_allclose(image.values, expected, rtol=0, atol=2e-6 * max(1, len(table)))


def test_a_table_far_larger_than_a_band_is_drawn_the_same_by_any_number_of_threads(monkeypatch):
    rng = np.random.default_rng(4)
    n = 60_000
    table = table_of(*rng.uniform(0, 3_000, (2, n)), uncertainty_xy_nm=rng.uniform(2, 40, n))
    table.loc[::9_000, "uncertainty_xy_nm"] = 900  # some reach over many tiles
    drawn = []
    for points_per_band, n_threads in ((10**9, 1), (1_000, 3)):
        monkeypatch.setattr(render, "_POINTS_PER_BAND", points_per_band)
        monkeypatch.setattr(render, "n_cores", lambda n_threads=n_threads: n_threads)
        drawn.append(render_gaussian(table, pixel_size_nm=10, shape=(300, 280)).values)
    np.testing.assert_array_equal(drawn[0], drawn[1])
    part = table[:2_000]
    expected = ThunderStorm((300, 280), 10, 100).draw_gaussian(part, part["uncertainty_xy_nm"])
    found = render_gaussian(part, pixel_size_nm=10, shape=(300, 280))
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


@pytest.mark.parametrize("sigma_nm", [0.5, 3.0, 13.0, 77.0])
def test_one_gaussian_sums_to_one_and_has_its_own_mean_and_width(sigma_nm):
    table = table_of([2_003.7], [1_998.2])
    image = render_gaussian(table, pixel_size_nm=10, shape=(400, 400), sigma_nm=sigma_nm)
    assert image.values.sum(dtype=np.float64) == pytest.approx(1, abs=1e-6)
    along_x = image.values.sum(axis=0, dtype=np.float64)
    centres_nm = 10 * (np.arange(400) + 0.5)
    mean_nm = (along_x * centres_nm).sum()
    if sigma_nm > 5:  # else the pixel hides where inside it the point is
        assert mean_nm == pytest.approx(2_003.7, abs=0.01 * sigma_nm)
        exact = np.diff(norm.cdf((10 * np.arange(401) - 2_003.7) / sigma_nm))
        inside = along_x > 0
        np.testing.assert_allclose(along_x[inside], exact[inside] / exact[inside].sum(), atol=2e-6)
        assert exact[inside].sum() > 0.997, "cut before 3 sigma"


def test_one_width_for_all_needs_no_uncertainty_and_goes_before_it():
    table = table_of([55.0, 91.0], [45.0, 20.0], uncertainty_xy_nm=[1.0, 400.0])
    narrow = render_gaussian(table, pixel_size_nm=10, shape=(12, 14), sigma_nm=15.0)
    bare = render_gaussian(table[["x_nm", "y_nm"]], pixel_size_nm=10, shape=(12, 14), sigma_nm=15)
    np.testing.assert_array_equal(narrow.values, bare.values)


def test_the_origin_is_the_outer_corner_of_the_output():
    table = table_of([1_005.0, 1_019.9, 999.0], [505.0, 505.0, 505.0])
    image = render_histogram(table, pixel_size_nm=10, shape=(2, 3), origin_nm=(500.0, 1_000.0))
    np.testing.assert_array_equal(image.values, [[1, 1, 0], [0, 0, 0]])
    assert image.attrs["outside"] == 1
    assert image.attrs["pixel_size_nm"] == {"y": 10.0, "x": 10.0}


def test_borders_belong_to_the_pixel_that_they_begin():
    table = table_of([0.0, 10.0, 20.0, -1e-9, 9.999999], [0.0, 0.0, 0.0, 0.0, 0.0])
    image = render_histogram(table, pixel_size_nm=10, shape=(1, 2))
    np.testing.assert_array_equal(image.values, [[2, 1]])
    assert image.attrs["outside"] == 2


def test_rows_without_a_usable_uncertainty_are_left_out_and_counted():
    sigmas = [10.0, math.nan, math.inf, 0.0, -3.0, math.nan]
    table = table_of([50.0] * 5 + [-50.0], [50.0] * 6, uncertainty_xy_nm=sigmas)
    image = render_gaussian(table, pixel_size_nm=10, shape=(20, 20))
    assert image.values.sum() == pytest.approx(1, abs=1e-3)
    assert image.attrs["without_uncertainty"] == 4
    assert image.attrs["outside"] == 1


def test_a_huge_uncertainty_spreads_over_the_whole_image():
    table = table_of([50.0], [50.0], uncertainty_xy_nm=[1e12])
    image = render_gaussian(table, pixel_size_nm=10, shape=(20, 20))
    assert 0 <= image.values.max() < 1e-6


def test_no_rows_give_an_empty_image():
    for draw in (render_histogram, render_ash, render_gaussian):
        image = draw(table_of([], [], uncertainty_xy_nm=[]), pixel_size_nm=10, shape=(3, 4))
        assert image.shape == (3, 4)
        assert not image.values.any()


@pytest.mark.parametrize("draw", [render_histogram, render_ash, render_gaussian])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_coordinates_that_are_not_finite_are_refused(draw, bad):
    table = table_of([5.0, 5.0, bad], [5.0, 5.0, 5.0], uncertainty_xy_nm=[9.0, 9.0, 9.0])
    with pytest.raises(TableError, match=r"1 of 3 values of 'x_nm' .* row 3"):
        draw(table, pixel_size_nm=10, shape=(4, 4))


def test_a_missing_coordinate_is_named():
    with pytest.raises(TableError, match="no column 'y_nm' among x_nm"):
        render_histogram(pd.DataFrame({"x_nm": [1.0]}), pixel_size_nm=10, shape=(4, 4))


@pytest.mark.parametrize("columns", [{}, {"uncertainty_xy_nm": [math.nan, 0.0]}])
def test_gaussians_without_uncertainty_say_what_to_give(columns):
    with pytest.raises(TableError, match="--sigma-nm"):
        render_gaussian(table_of([5.0, 5.0], [5.0, 5.0], **columns), pixel_size_nm=9, shape=(4, 4))


@pytest.mark.parametrize("wrong", [{"pixel_size_nm": 0.0}, {"shape": (0, 4)}, {"sigma_nm": -1.0}])
def test_a_grid_that_cannot_be_is_a_mistake_of_the_caller(wrong):
    grid = {"pixel_size_nm": 10.0, "shape": (4, 4), "sigma_nm": 5.0, **wrong}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        render_gaussian(table_of([5.0], [5.0]), **grid)
