"""NeNA on blinking emitters whose precision is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bridge.errors import TableError
from bridge.smlm.blinking import Lifetimes, UniformPhotons
from bridge.smlm.layout import Anywhere, View
from bridge.smlm.nena import measure_nena
from bridge.smlm.table import read_table

SHARED = Path(__file__).parents[3] / "shared" / "data" / "thunderstorm_exports" / "coli"
SIDE_NM = 10_000.0


def blinking(sigma_nm: float, *, density: float, on_frames=3.0, seed=0, side_nm=SIDE_NM):
    """Emitters of the simulator's photophysics, each found with errors of a known width."""
    rng = np.random.default_rng(seed)
    shining = Lifetimes(on_frames=on_frames).shine(
        Anywhere(View(side_nm, side_nm, 0.0, (0.0, 0.0))),
        UniformPhotons(),
        n_frames=600,
        mean_active=density * (side_nm / 1000) ** 2,
        rng=rng,
    )
    places = shining.places[:, :2] + rng.normal(0, sigma_nm, (len(shining.frame), 2))
    return pd.DataFrame(
        {"frame": shining.frame + 1, "x_nm": places[:, 0], "y_nm": places[:, 1]}
    ).sample(frac=1, random_state=1)


@pytest.mark.parametrize("sigma_nm", [4.0, 10.0, 25.0])
@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
def test_the_precision_is_found_within_5_percent(sigma_nm, density):
    found = measure_nena(blinking(sigma_nm, density=density))
    assert found.precision_nm == pytest.approx(sigma_nm, rel=0.05)
    assert found.error_nm < 0.1 * sigma_nm
    assert found.same_share > 0.75
    assert found.counts.sum() == found.n_pairs > 500
    assert np.abs(found.fitted - found.counts).mean() < 4 * np.sqrt(found.counts.mean())


def test_the_figure_does_not_depend_on_uncertainties_or_row_order():
    table = blinking(10, density=0.1)
    other = table.sort_values("frame").assign(uncertainty_xy_nm=1.0)
    assert measure_nena(other).precision_nm == pytest.approx(measure_nena(table).precision_nm)


def test_unequal_precisions_give_a_figure_between_them():
    table = blinking(10, density=0.1)
    rng = np.random.default_rng(2)
    worse = rng.random(len(table)) < 0.5  # half with 10 nm, half with 20
    extra = rng.normal(0, math.sqrt(300), (len(table), 2)) * worse[:, None]
    mixed = table.assign(x_nm=table["x_nm"] + extra[:, 0], y_nm=table["y_nm"] + extra[:, 1])
    assert 11 < measure_nena(mixed).precision_nm < 19


@pytest.mark.parametrize(("spread", "low", "high"), [(0.3, 9.5, 12), (0.6, 7.5, 14)])
def test_unequal_rows_give_a_figure_near_their_median(spread, low, high):
    table = blinking(0, density=0.1)
    rng = np.random.default_rng(3)
    sigma = 10 * np.exp(rng.normal(0, spread, len(table)))
    away = rng.normal(0, 1, (2, len(table))) * sigma
    mixed = table.assign(x_nm=table["x_nm"] + away[0], y_nm=table["y_nm"] + away[1])
    assert low < measure_nena(mixed).precision_nm < high


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the tables of ThunderSTORM in shared/data")
def test_three_real_tables_of_one_microscope_agree():
    found = [measure_nena(read_table(SHARED / f"0{k}_storm.csv")) for k in (1, 2, 3)]
    figures = [one.precision_nm for one in found]
    assert np.ptp(figures) < 0.2 * np.mean(figures)
    # The most frequent distance of Rayleigh's density is sqrt(2) sigma.
    for one in found:
        smooth = np.convolve(one.counts, np.ones(9), "same")
        mode = one.edges_nm[np.argmax(smooth)] / math.sqrt(2)
        assert one.precision_nm == pytest.approx(mode, rel=0.3)


def test_a_long_table_is_measured_on_a_run_of_its_frames():
    table = blinking(10, density=4.0, side_nm=14_000)
    assert len(table) > 400_000
    found = measure_nena(table)
    assert found.precision_nm == pytest.approx(10, rel=0.05)
    assert found.n_pairs <= 400_000


@pytest.mark.parametrize("n", [300, 5_000, 50_000])
def test_emitters_that_never_shine_twice_have_no_precision(n):
    rng = np.random.default_rng(n)
    places = rng.uniform(0, 6400, (n, 2))
    table = pd.DataFrame({"x_nm": places[:, 0], "y_nm": places[:, 1]})
    table["frame"] = rng.integers(1, 1001, n)
    found = measure_nena(table)
    assert math.isnan(found.precision_nm)
    assert math.isnan(found.error_nm)


def test_tables_too_small_say_nothing():
    empty = pd.DataFrame({"frame": [], "x_nm": [], "y_nm": []})
    one_frame = pd.DataFrame({"frame": 1, "x_nm": np.arange(500.0), "y_nm": 0.0})
    for table in (empty, one_frame):
        found = measure_nena(table)
        assert math.isnan(found.precision_nm)
        assert (found.n_pairs, len(found.counts)) == (0, 0)


def test_two_places_only_are_no_trouble():
    """Distances of exactly 0, as of a list of true places."""
    frame = np.repeat(np.arange(1, 400), 2)
    table = pd.DataFrame({"frame": frame, "x_nm": np.tile([0.0, 50.0], 399), "y_nm": 0.0})
    found = measure_nena(table)
    assert not found.precision_nm > 1


def test_missing_columns_and_values_are_said():
    table = blinking(10, density=0.1)
    with pytest.raises(TableError, match="no column y_nm"):
        measure_nena(table.drop(columns="y_nm"))
    with pytest.raises(TableError, match="isn't finite"):
        measure_nena(table.assign(x_nm=math.nan))
