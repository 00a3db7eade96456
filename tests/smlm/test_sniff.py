"""A movie tells how its table must be read, and refuses a table of something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import erf

from bridge.errors import TableError
from bridge.images.read import open_image
from bridge.smlm.sniff import check_against_stack, compare_with_stack
from bridge.smlm.spot_correlation import choose_frames
from bridge.smlm.table import read_table

DATA = Path(__file__).parents[3] / "shared" / "data"
REAL = {
    "dense and simulated by ThunderSTORM": (
        "deep_storm_demo/positions_demo1.csv",
        "deep_storm_demo/ArtificialDataset_demo1.tif",
        100.0,
        0.9,
    ),
    "bacteria, 12 spots a frame": (
        "thunderstorm_exports/coli_with_frames/storm_table.csv",
        "thunderstorm_exports/coli_with_frames/flu.tif",
        80.0,
        0.5,
    ),
}


def draw(table: pd.DataFrame, n_frames: int, shape: tuple[int, int], seed: int) -> xr.DataArray:
    """Draw a movie of a table: Gaussians integrated over pixels, background 20, Poisson noise."""
    movie = np.full((n_frames, *shape), 20.0)
    edges = [np.arange(n + 1) for n in shape]
    for row in table.itertuples():
        parts = [
            np.diff(0.5 * erf((edge - place / 100) / (1.3 * np.sqrt(2))))
            for edge, place in zip(edges, (row.y_nm, row.x_nm), strict=True)
        ]
        movie[row.frame - 1] += row.photons * np.outer(*parts)
    noisy = np.random.default_rng(seed).poisson(movie).astype(np.uint16)
    return xr.DataArray(noisy, dims=("t", "y", "x"), attrs={"source": "movie.tif"})


def make_table(n: int, n_frames: int, shape: tuple[int, int], seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "frame": rng.integers(1, n_frames + 1, n),
            "x_nm": rng.uniform(0, 100 * shape[1], n),
            "y_nm": rng.uniform(0, 100 * shape[0], n),
            "photons": rng.uniform(300, 900, n),
        }
    )
    table.attrs["pixel_size_nm"] = 100.0
    return table


def changed(table: pd.DataFrame, **columns: object) -> pd.DataFrame:
    new = table.assign(**columns)
    new.attrs = dict(table.attrs)
    return new


SHAPE, N_FRAMES = (48, 70), 20


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return make_table(400, N_FRAMES, SHAPE, seed=1)


@pytest.fixture(scope="module")
def movie(table: pd.DataFrame) -> xr.DataArray:
    return draw(table, N_FRAMES, SHAPE, seed=2)


def test_a_right_table_passes(table, movie):
    found = check_against_stack(table, movie)
    assert found.correlation == pytest.approx(found.correlation_as_declared, abs=1e-3)
    assert found.correlation > 0.8
    assert found.offset_px == pytest.approx((0, 0), abs=0.03)
    assert (found.is_swapped, found.frame_shift, found.sentences) == (False, 0, ())


def test_only_frame_x_and_y_are_needed(table, movie):
    assert check_against_stack(changed(table)[["frame", "x_nm", "y_nm"]], movie, pixel_size_nm=100)


@pytest.mark.parametrize("shift", [-1, 1])
def test_frames_that_are_off_by_one_are_found(table, movie, shift):
    moved = changed(table, frame=table.frame - shift)
    moved = moved[moved.frame.between(1, N_FRAMES)]
    found = compare_with_stack(moved, movie)
    assert found.frame_shift == shift
    with pytest.raises(TableError, match="frame_base 0" if shift == 1 else "1 too high"):
        check_against_stack(moved, movie)


def test_exchanged_axes_are_found(table, movie):
    swapped = changed(table, x_nm=table.y_nm, y_nm=table.x_nm)
    assert compare_with_stack(swapped, movie).is_swapped
    with pytest.raises(TableError, match="swap_xy"):
        check_against_stack(swapped, movie)


@pytest.mark.parametrize(
    ("y_px", "x_px", "said"),
    [
        (0.5, 0.5, "pixel_origin centre"),
        (-0.5, -0.5, "pixel_origin corner"),
        (0, 0.5, "origin_x_nm 50, origin_y_nm 0"),
        (7, -4.5, "origin_x_nm -450, origin_y_nm 700"),
        (-12, 20, "origin_x_nm 2000, origin_y_nm -1200"),
    ],
)
def test_a_shift_is_found_to_a_fraction_of_a_pixel(table, movie, y_px, x_px, said):
    moved = changed(table, x_nm=table.x_nm - 100 * x_px, y_nm=table.y_nm - 100 * y_px)
    found = compare_with_stack(moved, movie)
    assert found.offset_px == pytest.approx((y_px, x_px), abs=0.1)
    assert found.correlation > 0.75
    with pytest.raises(TableError, match=said):
        check_against_stack(moved, movie)


def test_several_faults_are_found_at_once(table, movie):
    faulty = changed(table, x_nm=table.y_nm - 50, y_nm=table.x_nm - 50, frame=table.frame - 1)
    found = compare_with_stack(faulty[faulty.frame > 0], movie)
    assert (found.is_swapped, found.frame_shift) == (True, 1)
    assert found.offset_px == pytest.approx((0.5, 0.5), abs=0.1)
    assert len(found.sentences) == 3


@pytest.mark.parametrize("stated", [None, 102.0, 107.0, 160.0])
def test_the_pixel_size_is_searched_for(table, movie, stated):
    new = changed(table)
    new.attrs["pixel_size_nm"] = stated
    found = compare_with_stack(new, movie)
    assert found.pixel_size_nm == pytest.approx(100, rel=2e-3)
    said = "no pixel size is known" if stated is None else f"not {stated:g} nm"
    with pytest.raises(TableError, match=said) as error:
        check_against_stack(new, movie)
    assert "100" in str(error.value)


def test_emitters_that_stay_on_do_not_confuse_the_frames():
    first = make_table(40, 1, SHAPE, seed=3)
    table = pd.concat([changed(first, frame=k + 1) for k in range(12)], ignore_index=True)
    table.attrs["pixel_size_nm"] = 100.0
    found = check_against_stack(table, draw(table, 12, SHAPE, seed=4))
    assert (found.frame_shift, found.is_match) == (0, True)


def test_a_single_image_is_enough():
    table = make_table(60, 1, SHAPE, seed=5)
    movie = draw(table, 1, SHAPE, seed=6)
    assert check_against_stack(table, movie.isel(t=0)).correlation > 0.8


@pytest.mark.parametrize("seed", range(3))
def test_dim_spots_and_their_errors_are_enough(seed):
    table = make_table(300, 40, (96, 96), seed=20 + seed)
    movie = draw(changed(table, photons=table.photons / 4), 40, (96, 96), seed=30 + seed)
    errors = np.random.default_rng(seed).normal(0, 25, (2, len(table)))
    found = check_against_stack(
        changed(table, x_nm=table.x_nm + errors[0], y_nm=table.y_nm + errors[1]), movie
    )
    assert found.correlation < 0.4


@pytest.mark.parametrize("seed", range(4))
def test_a_table_of_something_else_is_refused_with_the_correlation(movie, seed):
    other = make_table(400, N_FRAMES, SHAPE, seed=10 + seed)
    with pytest.raises(TableError, match=r"doesn't match movie.tif: the correlation .* is -?0\.0"):
        check_against_stack(other, movie)


def test_an_empty_movie_matches_nothing(table, movie):
    with pytest.raises(TableError, match="doesn't match"):
        check_against_stack(table, xr.full_like(movie, 7))


def test_of_a_long_movie_a_part_is_read():
    present = np.arange(0, 100_000, 3)
    chosen = choose_frames(present, (256, 256))
    assert len(chosen) * 256 * 256 <= 2**23
    assert set(chosen) <= set(present.tolist())
    assert chosen[0] == 0
    assert chosen[-1] > 90_000


def test_frames_beyond_the_movie_are_refused(table, movie):
    with pytest.raises(TableError, match=r"run from 1 to 20, and the movie has 19: .* rows"):
        check_against_stack(table, movie.isel(t=slice(0, 19)))
    with pytest.raises(TableError, match="no row in the frames"):
        compare_with_stack(changed(table, frame=table.frame + 100), movie)


def test_rows_that_are_all_outside_are_refused(table, movie):
    with pytest.raises(TableError, match=r"all rows lie outside the image: x from 1000 to 10.. px"):
        check_against_stack(changed(table, x_nm=table.x_nm + 1e5), movie)


def test_two_pixel_sizes_are_refused(table, movie):
    calibrated = movie.assign_attrs(pixel_size_nm={"y": 65.0, "x": 65.0})
    with pytest.raises(TableError, match=r"100 nm, and those of movie\.tif are 65 nm"):
        check_against_stack(table, calibrated)


def test_a_movie_with_channels_is_refused(table, movie):
    with pytest.raises(TableError, match="one axis of frames"):
        check_against_stack(table, movie.expand_dims(c=2))


# ---------------------------------------------------------------- real movies


def real(name: str) -> tuple[Path, xr.DataArray, float, float]:
    table, movie, pixel_size, least = REAL[name]
    if not (DATA / movie).is_file():
        pytest.skip(f"needs ../shared/data/{movie}")
    image = open_image(DATA / movie)
    image.attrs["pixel_size_nm"] = {}
    return DATA / table, image, pixel_size, least


@pytest.mark.parametrize("name", REAL)
def test_real_pairs_fit(name):
    path, movie, pixel_size, least = real(name)
    found = check_against_stack(read_table(path, pixel_size_nm=pixel_size), movie)
    assert found.correlation > least


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"swap_xy": True}, "swap_xy"),
        ({"origin_x_nm": 40.0, "origin_y_nm": 40.0}, "corner"),
        ({"origin_x_nm": 800.0, "origin_y_nm": -1600.0}, "shifted by"),
    ],
)
def test_real_pairs_read_wrongly_are_refused(name, wrong, said):
    path, movie, pixel_size, _ = real(name)
    wrong = {k: v * pixel_size / 80 if v is not True else v for k, v in wrong.items()}
    with pytest.raises(TableError, match=said):
        check_against_stack(read_table(path, pixel_size_nm=pixel_size, **wrong), movie)


@pytest.mark.parametrize("name", REAL)
def test_the_pixel_size_of_real_pairs_is_found(name):
    path, movie, pixel_size, _ = real(name)
    found = compare_with_stack(read_table(path), movie)
    assert found.pixel_size_nm == pytest.approx(pixel_size, rel=1e-3)
