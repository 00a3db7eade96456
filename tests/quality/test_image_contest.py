"""The contest: same fields and figures for all, intervals, ranks, alarms."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter
from scipy.stats import bootstrap

from bridge.errors import NetworkError
from bridge.quality.baselines import Calibration
from bridge.quality.image_contest import (
    Contestant,
    ImageContest,
    Restored,
    TestField,
    baselines,
    choose_range,
    hold_image_contest,
)
from bridge.quality.image_figures import FIGURES, Figure, Ruler
from bridge.quality.ranking import ALL, compare_two, draw_fields, summarise
from tests.quality.conftest import plane

SIGMA_PX = 1.5
RULER = Ruler(1.0, sigma_px=SIGMA_PX, band_per_px=(0.1, 0.25), pixel_size_nm=40.0)


def make_fields(n_each: int = 3) -> list[TestField]:
    fields = []
    for structure, blur in (("coarse", 2.5), ("fine", 1.2)):
        for number in range(n_each):
            rng = np.random.default_rng([len(fields), number])
            truth = gaussian_filter(rng.normal(size=(64, 64)), blur).clip(0)
            truth /= truth.max()
            seen = gaussian_filter(truth, SIGMA_PX) + rng.normal(0, 0.01, truth.shape)
            target = truth + rng.normal(0, 0.05, truth.shape)
            images = (plane(a.astype(np.float32), 40.0) for a in (seen, target, truth))
            fields.append(TestField(f"{structure}{number}", structure, *images))
    return fields


def with_noise(amount: float, factor: float = 1.0):
    """Give a restorer that knows the truth, and adds noise."""

    def restore(one: TestField) -> Restored:
        assert one.truth is not None
        rng = np.random.default_rng(zlib.crc32(one.name.encode()))
        noise = rng.normal(0, amount, one.truth.shape)
        return Restored((factor * one.truth.values + noise).astype(np.float32))

    return restore


@pytest.fixture(scope="module")
def contest() -> ImageContest:
    """Three models of known order, and the baselines."""
    models = [
        Contestant("good", "model", with_noise(0.01), 12),
        Contestant("bad", "model", with_noise(0.1)),
        Contestant("dim", "model", with_noise(0.01, factor=0.7)),
    ]
    always = baselines(Calibration(SIGMA_PX), has_truth=True)
    return hold_image_contest([*always, *models], make_fields(), RULER, shown=["fine0"])


def test_every_contestant_has_every_figure_of_every_field_once(contest):
    names = ["input", "input - background", "Richardson-Lucy", "all black", "noisy target"]
    assert [one.name for one in contest.standings] == [*names, "good", "bad", "dim"]
    assert len(contest.rows) == 8 * 6 * len(FIGURES)
    assert not contest.rows.duplicated(["field", "model", "figure"]).any()
    assert set(contest.rows["figure"]) == {figure.name for figure in FIGURES}
    assert set(contest.pictures) == {("fine0", one.name) for one in contest.standings}
    assert contest.has_truth
    assert contest.standings[5].n_parameters == 12
    assert contest.standings[5].seconds_per_megapixel > 0


def test_the_noisy_target_and_the_ceiling_are_what_they_must_be(contest):
    rows = contest.rows.pivot(index=["field", "model"], columns="figure", values="value")
    noisy = rows.xs("noisy target", level="model")
    assert noisy["psnr_db"].mean() == pytest.approx(20 * math.log10(1 / 0.05), abs=0.1)
    good = rows.xs("good", level="model")
    assert good["rsp_below_ceiling"].abs().max() < 2e-3
    assert rows.xs("all black", level="model")["nrmse"].to_numpy() == pytest.approx(1)
    assert rows["spread_correlation"].isna().all(), "nobody states an uncertainty"
    assert rows["perceptual"].isna().all(), "no distance was given to measure with"


def test_alarms_name_what_is_wrong(contest):
    alarms = {one.name: " ".join(one.alarms) for one in contest.standings}
    assert alarms["good"] == ""
    assert "coarse: the flux is 0.70 times the true one" in alarms["dim"]
    assert alarms["all black"] == "", "baselines raise none"

    def smear(one: TestField) -> Restored:
        """Give structure that isn't in the input."""
        return Restored(np.ascontiguousarray(one.truth.values[:, ::-1]))

    broken = {
        "black": lambda one: Restored(np.zeros(one.target.shape, np.float32)),
        "NaN": lambda one: Restored(np.full(one.target.shape, np.nan, np.float32)),
        "flat": lambda one: Restored(np.full(one.target.shape, 0.3, np.float32)),
        "made up": smear,
    }
    fields = make_fields(1)
    held = hold_image_contest(
        [Contestant(name, "model", restore) for name, restore in broken.items()], fields, RULER
    )
    alarms = {one.name: " ".join(one.alarms) for one in held.standings}
    assert "2 of 2 images are black" in alarms["black"]
    assert "2 of 2 images are NaN" in alarms["NaN"]
    assert "2 of 2 images are constant" in alarms["flat"]
    assert "hallucination risk" in alarms["made up"]
    assert [one.is_dead for one in held.standings] == [True, True, True, False]


def test_one_data_range_serves_all():
    """A model that is right but for a constant factor isn't saved by a range of its own."""
    fields = make_fields(1)
    models = [
        Contestant("right", "model", with_noise(0)),
        Contestant("half", "model", with_noise(0, factor=0.5)),
    ]
    held = hold_image_contest(models, fields, RULER)
    values = held.rows[held.rows["figure"] == "psnr_db"].set_index(["model", "field"])["value"]
    for one in fields:
        mean_square = float(((0.5 * one.wanted.values) ** 2).mean())
        expected = -10 * math.log10(mean_square)
        assert values["half", one.name] == pytest.approx(expected, abs=1e-5)
    assert np.isinf(values["right"]).all()
    black, span = choose_range(fields)
    ends = [np.percentile(one.wanted, (0.2, 99.8)) for one in fields]
    assert span == pytest.approx(np.median([high - low for low, high in ends]))
    assert black == pytest.approx(np.median([low for low, _ in ends]))


def test_a_dark_level_is_no_light():
    """With an offset on image and truth, figures are those without, once black is said."""
    fields = make_fields(1)
    plain = hold_image_contest([Contestant("m", "model", with_noise(0.05))], fields, RULER)
    lifted = [
        TestField(one.name, one.structure, one.input, one.target + 100, one.truth + 100)
        for one in fields
    ]

    def restore(one: TestField) -> Restored:
        same = TestField(one.name, one.structure, one.input, one.target, one.truth - 100)
        return Restored(with_noise(0.05)(same).image + 100)

    ruler = Ruler(1.0, 100.0, SIGMA_PX, (0.1, 0.25), 40.0)
    shifted = hold_image_contest([Contestant("m", "model", restore)], lifted, ruler)
    first, second = (held.rows.set_index(["field", "figure"])["value"] for held in (plain, shifted))
    pd.testing.assert_series_equal(first, second, rtol=2e-3, atol=2e-3)


def test_an_image_of_another_size_is_refused():
    wrong = Contestant("wrong", "model", lambda one: Restored(np.zeros((32, 32), np.float32)))
    with pytest.raises(NetworkError, match="of the folder's scale"):
        hold_image_contest([wrong], make_fields(1), RULER)


def test_the_stated_uncertainty_is_judged_by_the_error():
    """Where the spread is the error itself, they correlate fully."""

    def restore(one: TestField) -> Restored:
        image = with_noise(0.05)(one).image
        return Restored(image, np.abs(image - one.truth.values))

    held = hold_image_contest([Contestant("m", "model", restore)], make_fields(1), RULER)
    values = held.rows[held.rows["figure"] == "spread_correlation"]["value"]
    assert values.to_numpy() == pytest.approx(1, abs=1e-4)


def long_table(values: dict[str, list[float]], structures: list[str], figure: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"field": f"f{n}", "structure": s, "model": m, "figure": figure, "value": column[n]}
            for m, column in values.items()
            for n, s in enumerate(structures)
        ]
    )


def test_intervals_are_those_of_scipys_bootstrap():
    rng = np.random.default_rng(0)
    values = rng.normal(30, 2, 25)
    rows = long_table({"m": list(values)}, ["s"] * 25, "psnr_db")
    found = summarise(rows, n_draws=9000).iloc[0]
    expected = bootstrap(
        (values,), np.mean, n_resamples=9000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found["mean"] == pytest.approx(values.mean())
    assert found["low"] == pytest.approx(expected.low, abs=0.05)
    assert found["high"] == pytest.approx(expected.high, abs=0.05)


def test_the_draws_keep_the_structures_and_are_paired():
    structures = ["a", "b", "a", "b", "b"]
    drawn = draw_fields(structures, n_draws=500, seed=1)
    assert {structures[i] for i in drawn[:, 0]} == {"a"}
    assert {structures[i] for i in drawn[:, 1]} == {"b"}
    base = np.arange(5.0) * 10  # fields differ far more than the models
    rows = long_table({"x": list(base + 0.1), "y": list(base)}, structures, "psnr_db")
    figure = next(one for one in FIGURES if one.name == "psnr_db")
    assert compare_two(rows, figure, "x", "y") == pytest.approx((0.1, 0.1, 0.1))
    summary = summarise(rows)
    every = summary[summary["structure"] == ALL].set_index("model")
    assert every.loc["x", ["rank", "rank_low", "rank_high", "first_share"]].tolist() == [1, 1, 1, 1]
    assert every.loc["x", "high"] - every.loc["x", "low"] > 10, "the mean itself is uncertain"


def test_ranks_of_what_cannot_be_told_apart_overlap():
    rng = np.random.default_rng(2)
    values = {name: list(rng.normal(1, 0.2, 30)) for name in "abc"} | {"late": [5.0] * 30}
    summary = summarise(long_table(values, ["s"] * 30, "nrmse")).set_index("model")
    assert summary.loc["late", ["rank", "rank_low", "rank_high"]].tolist() == [4, 4, 4]
    assert (summary.loc[list("abc"), "rank_low"] == 1).sum() >= 2
    assert summary["first_share"].sum() == pytest.approx(1)
    among = summarise(long_table(values, ["s"] * 30, "nrmse"), rivals=["c", "late"]).set_index(
        "model"
    )
    assert among.loc[["c", "late"], "first_share"].tolist() == [1, 0]
    assert among.loc[["a", "b"], "first_share"].isna().all()


def test_what_is_no_number_is_last_and_near_is_good_for_ratios():
    rows = long_table(
        {"over": [1.3, 1.3], "right": [1.05, 0.95], "none": [math.nan, 1.0]},
        ["s", "s"],
        "flux_ratio",
    )
    summary = summarise(rows).set_index("model")
    assert summary["rank"].to_dict() == {"over": 2, "right": 1, "none": 3}
    assert math.isnan(summary.loc["none", "mean"])
    assert Figure("x", "x", "near", ideal=1.0).merit(0.8) == pytest.approx(-0.2)
    assert Figure("x", "x", "low").merit(math.nan) == -math.inf


def test_summaries_have_each_structure_and_all(contest):
    summary = summarise(contest.rows, n_draws=200)
    assert set(summary["structure"]) == {ALL, "coarse", "fine"}
    ssim = summary[(summary["figure"] == "ssim") & (summary["structure"] == ALL)].set_index("model")
    assert ssim.loc["good", "rank"] == 1
    assert ssim.loc["good", "rank"] < ssim.loc["bad", "rank"]
    coarse = contest.rows[
        (contest.rows["structure"] == "coarse") & (contest.rows["figure"] == "ssim")
    ]
    means = coarse.groupby("model")["value"].mean()
    found = summary[(summary["figure"] == "ssim") & (summary["structure"] == "coarse")]
    assert found.set_index("model")["mean"].to_dict() == pytest.approx(means.to_dict())
    assert (found["n_fields"] == 3).all()
    unknown = xr.DataArray(summary["figure"].unique())
    assert "spread_correlation" not in unknown, "what nobody has is left out"
