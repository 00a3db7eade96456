"""Evaluation against worked values, the challenge's rules, and figures known by construction."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from bridge.errors import TableError
from bridge.smlm.evaluate import Evaluation, evaluate
from bridge.smlm.scoring import efficiency, photon_threshold

SIDE_NM = 6400.0
FIELD = (SIDE_NM, SIDE_NM)


def scatter(density_per_um2: float, *, n_frames: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    counts = rng.poisson(density_per_um2 * (SIDE_NM / 1000) ** 2, n_frames)
    x, y = rng.uniform(0, SIDE_NM, (2, counts.sum()))
    frames = np.repeat(np.arange(1, n_frames + 1), counts)
    return pd.DataFrame({"frame": frames, "x_nm": x, "y_nm": y})


def moved(truth: pd.DataFrame, sigma_nm: float, *, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    dx, dy = rng.normal(0, sigma_nm, (2, len(truth)))
    return truth.assign(x_nm=truth["x_nm"] + dx, y_nm=truth["y_nm"] + dy)


def judge(table: pd.DataFrame, truth: pd.DataFrame, **settings) -> Evaluation:
    return evaluate(table, truth, **{"field_nm": FIELD, **settings})


@pytest.fixture(scope="module")
def sparse() -> pd.DataFrame:
    return scatter(0.1, n_frames=3000, seed=1)


@pytest.mark.parametrize(
    ("jaccard", "rmse_nm", "alpha", "percent"),
    [
        (1, 0, 0.01, 100),
        (0.8, 0, 0.01, 80),
        (1, 30, 0.01, 70),
        (0.8, 30, 0.01, 63.944),
        (0.8, 60, 0.005, 63.944),
        (0.5, 100, 0.01, -11.803),
    ],
)
def test_efficiency_has_its_worked_values(jaccard, rmse_nm, alpha, percent):
    assert 100 * efficiency(jaccard, rmse_nm, alpha_per_nm=alpha) == pytest.approx(
        percent, abs=5e-4
    )


def test_dim_emitters_and_their_detections_do_not_count():
    truth = pd.DataFrame(
        {"frame": 1, "x_nm": [1000.0, 3000], "y_nm": 3000.0, "photons": [100.0, 1000]}
    )
    result = judge(truth.drop(columns="photons"), truth, photon_quantile=0.75)
    assert result.photon_threshold == 1000  # Matlab's quantile of two values at 0.75 is the larger
    result = judge(truth.drop(columns="photons"), truth, photon_quantile=0.5)
    assert result.photon_threshold == 550
    assert (result.tp, result.fp, result.fn, result.jaccard) == (1, 0, 0, 1)
    assert (result.n_emitters, result.n_dim) == (2, 1)
    missing_the_dim_one = judge(truth.iloc[1:], truth, photon_quantile=0.5)
    assert (missing_the_dim_one.tp, missing_the_dim_one.fp, missing_the_dim_one.fn) == (1, 0, 0)
    finding_only_it = judge(truth.iloc[:1], truth, photon_quantile=0.5)
    assert (finding_only_it.tp, finding_only_it.fp, finding_only_it.fn) == (0, 0, 1)


def test_the_photon_threshold_is_matlabs_quantile_rounded_down():
    photons = pd.DataFrame({"photons": [1.0, 2, 3, 4, 5, 6]})
    assert photon_threshold(photons, 0.25) == 2  # Matlab: quantile(1:6, 0.25) = 2
    assert photon_threshold(photons * 100.3, 0.3) == 230  # quantile = 2.3 of the values
    assert photon_threshold(photons, 0.0) == 0


def test_the_border_is_left_out_of_both_tables():
    truth = pd.DataFrame({"frame": 1, "x_nm": [450.0, 450.1, 5949.9, 5950], "y_nm": 3200.0})
    result = judge(truth, truth)
    assert (result.tp, result.n_emitters, result.n_detections) == (2, 2, 2)
    assert judge(truth, truth, border_nm=0).tp == 4
    assert result.pairs["detection"].tolist() == [1, 2]


def test_errors_are_those_that_were_put_in(sparse):
    table = moved(sparse, 12.0)
    table["x_nm"] += 4.0
    result = judge(table, sparse)
    assert result.jaccard > 0.99
    dx, dy = result.pairs["dx_nm"], result.pairs["dy_nm"]
    assert result.bias_x_nm == pytest.approx(4.0, abs=0.5)
    assert result.bias_y_nm == pytest.approx(0.0, abs=0.5)
    assert result.rmse_x_nm == pytest.approx(np.hypot(12, 4), rel=0.03)
    assert result.rmse_y_nm == pytest.approx(12, rel=0.03)
    assert result.rmse_lateral_nm == pytest.approx(np.hypot(result.rmse_x_nm, result.rmse_y_nm))
    assert result.rmse_per_axis_nm == pytest.approx(result.rmse_lateral_nm / 2**0.5)
    assert result.mean_abs_y_nm == pytest.approx(12 * np.sqrt(2 / np.pi), rel=0.03)
    assert result.mean_distance_lateral_nm == pytest.approx(np.hypot(dx, dy).mean())
    assert result.efficiency == pytest.approx(
        1 - np.hypot(1 - result.jaccard, result.rmse_lateral_nm / 100)
    )
    assert np.isnan(result.rmse_axial_nm)
    assert np.isnan(result.efficiency_volume)


def test_three_dimensions_are_used_where_both_tables_have_them(sparse):
    rng = np.random.default_rng(2)
    truth = sparse.assign(z_nm=rng.uniform(-500, 500, len(sparse)))
    table = moved(truth, 10.0)
    table["z_nm"] += rng.normal(7.0, 40.0, len(table))
    result = judge(table, truth)
    assert result.is_3d
    assert result.bias_z_nm == pytest.approx(7, abs=2)
    assert result.rmse_axial_nm == pytest.approx(np.hypot(40, 7), rel=0.03)
    assert result.rmse_volume_nm == pytest.approx(
        np.hypot(result.rmse_lateral_nm, result.rmse_axial_nm)
    )
    assert result.efficiency_volume == pytest.approx(
        (result.efficiency + result.efficiency_axial) / 2
    )
    assert not judge(table.assign(z_nm=0.0), truth).is_3d


@pytest.mark.parametrize(
    ("density", "jaccard", "rmse_nm"), [(0.1, 0.019, 159), (1.0, 0.083, 170), (3.0, 0.221, 160)]
)
def test_random_detections_reach_chance_level_and_it_says_so(density, jaccard, rmse_nm):
    n_frames = int(400 / density**0.5)
    truth = scatter(density, n_frames=n_frames, seed=1)
    chance = judge(scatter(density, n_frames=n_frames, seed=2), truth)
    assert chance.jaccard == pytest.approx(jaccard, abs=0.01)
    if density >= 1:
        assert chance.rmse_lateral_nm == pytest.approx(rmse_nm, rel=0.05)
    perfect = judge(truth, truth)
    assert perfect.jaccard == 1
    assert perfect.chance_jaccard == pytest.approx(jaccard, abs=0.01)
    assert any("hardly above chance" in note for note in chance.warnings)


def test_chance_in_a_single_frame_comes_from_a_shift():
    truth = scatter(3.0, n_frames=1, seed=1)
    assert judge(truth, truth).chance_jaccard == pytest.approx(0.22, abs=0.1)


def test_honest_uncertainties_have_a_spread_of_one_and_false_pairs_move_the_robust_one_less(sparse):
    sigma = np.random.default_rng(4).uniform(5, 30, len(sparse))
    table = moved(sparse, 1.0)
    table["x_nm"] = sparse["x_nm"] + (table["x_nm"] - sparse["x_nm"]) * sigma
    table["y_nm"] = sparse["y_nm"] + (table["y_nm"] - sparse["y_nm"]) * sigma
    table["uncertainty_xy_nm"] = sigma
    honest = judge(table, sparse).spread_lateral
    assert (honest.sd, honest.robust_sd) == (
        pytest.approx(1, abs=0.03),
        pytest.approx(1, abs=0.05),
    )
    overconfident = judge(table.assign(uncertainty_xy_nm=sigma / 2), sparse).spread_lateral
    assert overconfident.sd == pytest.approx(2, rel=0.03)
    table.loc[table.index[::20], "x_nm"] += 200
    spoilt = judge(table, sparse).spread_lateral
    assert spoilt.sd > 2
    assert spoilt.robust_sd < 1.15


def test_errors_at_the_bound_are_one_times_the_bound(sparse):
    truth = sparse.assign(photons=1000.0, background=10.0, sigma_nm=130.0)
    result = judge(moved(truth, 5.7096), truth, pixel_size_nm=100)
    assert result.bound_nm == pytest.approx(5.7096, abs=1e-3)
    assert result.times_bound == pytest.approx(1, abs=0.03)
    assert np.isnan(judge(truth, truth).times_bound), "without a pixel size there is no bound"


def test_pixel_locking_shows_and_honest_places_are_flat(sparse):
    flat = judge(sparse, sparse, pixel_size_nm=100)
    assert flat.subpixel.p_value > 0.001
    assert flat.subpixel.unevenness < 0.03
    x = sparse["x_nm"] - 15 * np.sin(2 * np.pi * sparse["x_nm"] / 100)
    locked = judge(sparse.assign(x_nm=x), sparse, pixel_size_nm=100)
    assert locked.subpixel.p_value < 1e-6
    assert locked.subpixel.unevenness > 0.3
    assert locked.subpixel.x.sum() == locked.n_detections
    assert locked.subpixel_truth.p_value > 0.001


def test_photons_are_compared_pair_by_pair(sparse):
    truth = sparse.assign(photons=np.linspace(500, 5000, len(sparse)))
    table = truth.assign(photons=0.9 * truth["photons"]).sample(frac=1, random_state=1)
    assert judge(table, truth).photons_ratio == pytest.approx(0.9)


def test_the_usual_mistakes_are_named():
    truth = scatter(1.0, n_frames=100, seed=1)
    table = moved(truth, 10.0)
    swapped = table.rename(columns={"x_nm": "y_nm", "y_nm": "x_nm"})
    assert any("with x and y swapped" in note for note in judge(swapped, truth).warnings)
    late = judge(table.assign(frame=table["frame"] + 1), truth)
    assert any("frames counted down by one" in note for note in late.warnings)
    shifted = judge(table.assign(x_nm=table["x_nm"] + 50), truth)
    assert any("displaced along x by +5" in note for note in shifted.warnings)
    assert judge(table, truth).warnings == ()


def test_nothing_found_gives_nan_where_there_is_nothing_to_divide():
    truth = pd.DataFrame({"frame": [1, 2], "x_nm": 3000.0, "y_nm": 3000.0})
    off = judge(truth.assign(x_nm=5000.0), truth)
    assert (off.tp, off.fp, off.fn, off.jaccard, off.precision, off.recall) == (0, 2, 2, 0, 0, 0)
    assert np.isnan(off.f1)
    assert np.isnan(off.rmse_lateral_nm)
    assert np.isnan(off.efficiency)
    outside = judge(truth.assign(x_nm=100.0), truth)
    assert np.isnan(outside.precision)
    assert outside.recall == 0


def test_the_figures_are_plain_numbers(sparse):
    figures = judge(sparse, sparse, pixel_size_nm=100).as_dict()
    assert set(map(type, figures.values())) <= {int, float, bool, str}
    json.dumps(figures)
    assert {"jaccard", "rmse_lateral_nm", "efficiency", "z_score_sd_lateral"} <= set(figures)


def test_an_evaluation_cannot_be_changed(sparse):
    with pytest.raises(dataclasses.FrozenInstanceError):
        judge(sparse, sparse).tp = 3


def test_rows_in_any_order_and_with_any_index_give_the_same_figures(sparse):
    table = moved(sparse, 20.0)
    expected = judge(table, sparse).as_dict()
    mixed = judge(table.sample(frac=1, random_state=3), sparse.sample(frac=1, random_state=4))
    for name, value in mixed.as_dict().items():
        assert value == pytest.approx(expected[name], nan_ok=True), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "the table is empty"),
        (lambda t: t.drop(columns="x_nm"), "there is no column 'x_nm'"),
        (lambda t: t.assign(y_nm=np.nan), "aren't finite"),
        (lambda t: t.assign(frame=t["frame"] + 10_000), "have none in common"),
    ],
)
def test_bad_tables_are_refused_in_a_sentence(sparse, change, message):
    with pytest.raises(TableError, match=message):
        judge(change(sparse), sparse)
    if "common" not in message:
        with pytest.raises(TableError, match=message):
            judge(sparse, change(sparse))


def test_a_quantile_without_true_photons_is_refused(sparse):
    with pytest.raises(TableError, match="has no photons"):
        judge(sparse, sparse, photon_quantile=0.25)
    with pytest.raises(TableError, match="photons of the emitters aren't known"):
        judge(sparse, sparse.assign(photons=np.nan), photon_quantile=0.25)


def test_a_border_that_leaves_nothing_is_refused(sparse):
    with pytest.raises(TableError, match="smaller border_nm"):
        judge(sparse, sparse, border_nm=3300)
    with pytest.raises(ValueError, match="photon_quantile"):
        judge(sparse, sparse, photon_quantile=1.0)
