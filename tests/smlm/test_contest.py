"""Contests whose outcome is known beforehand: one contender is told the truth, with some noise."""

from __future__ import annotations

import math
from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import Cancelled
from bridge.progress import silent
from bridge.smlm import contest_figures
from bridge.smlm.contenders import (
    Contender,
    fit_contender,
    has_picasso,
    picasso_contender,
    run_picasso,
)
from bridge.smlm.contest import hold_contest, judge_movie
from bridge.smlm.crlb import precision_bound
from bridge.smlm.density_sweep import Bench, Scene, score_lone_emitters, simulate_scenes
from bridge.smlm.patches import PatchConditions

BENCH = Bench.within(PatchConditions.presets()["localizer"])
NOISE_NM = 10.0


def with_noise(truth: pd.DataFrame, *, share: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Give a share of the emitters with errors of 10 nm along each axis, honestly stated."""
    found = truth.sample(frac=share, random_state=seed).sort_index()
    found[["x_nm", "y_nm"]] += np.random.default_rng(seed).normal(0, NOISE_NM, (len(found), 2))
    return found.assign(uncertainty_xy_nm=NOISE_NM)


def told(scenes: list[Scene]) -> Contender:
    """Give a contender that recognises the scenes; of other frames it says nothing."""

    def localize(frames, progress=silent):
        for scene in scenes:
            if np.array_equal(scene.frames, frames):
                return with_noise(scene.truth)
        return scenes[0].truth.iloc[:0].assign(uncertainty_xy_nm=0.0)

    return Contender("told", "network", localize)


@pytest.fixture(scope="module")
def contest():
    scenes = list(simulate_scenes(BENCH, (0.5, 3.0), share=0.05))
    contenders = [told(scenes), fit_contender(BENCH.camera)]
    steps: list[tuple[int, int]] = []
    held = hold_contest(
        contenders,
        BENCH,
        (0.5, 3.0),
        lone_photons=(1000.0,),
        share=0.05,
        progress=lambda done, total, note="": steps.append((done, total)),
    )
    return held, steps


def test_a_contender_that_knows_the_truth_scores_as_its_noise_says(contest):
    one = contest[0].standings[0]
    for score in one.scores:
        assert score.jaccard > 0.97
        assert score.rmse_nm == pytest.approx(NOISE_NM * math.sqrt(2), rel=0.06)
        assert score.robust_sd == pytest.approx(1.0, abs=0.08)
        assert score.chance_jaccard < 0.3
    assert one.false_per_frame == 0
    assert one.lone[0].found == 0


def test_the_fit_is_at_the_bound_alone_and_lost_in_the_crowd(contest):
    fit = contest[0].standings[1]
    assert fit.lone[0].rmse_nm == pytest.approx(fit.lone[0].bound_nm, rel=0.2)
    assert fit.lone[0].found > 0.98
    assert fit.scores[0].jaccard > 0.75 > 0.55 > fit.scores[1].jaccard
    assert fit.false_per_frame < 0.3


def test_theory_stands_beside_it(contest):
    held = contest[0]
    alone = precision_bound(
        1000, 10, sigma_nm=130, pixel_size_nm=100, read_noise_photons=BENCH.noise_photons
    )
    assert held.lone_bound_nm == pytest.approx(float(alone), rel=0.02)
    assert held.bounds[0].median_nm >= math.sqrt(2) * held.lone_bound_nm
    assert [bound.density_per_um2 for bound in held.bounds] == [0.5, 3.0]
    assert held.bounds[0].median_nm < held.bounds[1].median_nm


def test_the_window_holds_what_lies_in_it(contest):
    held = contest[0]
    window = held.window
    assert window.density_per_um2 == 3.0
    low, high = np.array(window.corner_nm), np.array(window.corner_nm) + window.edge_nm
    for part in (window.truth, held.standings[0].in_window):
        places = part[["x_nm", "y_nm"]].to_numpy()
        assert len(places) > 10
        assert (places >= low).all()
        assert (places < high).all()
        assert set(part["frame"]) == {window.frame}


def test_progress_goes_forward_to_its_end(contest):
    done = [step[0] for step in contest[1]]
    assert done == sorted(done)
    assert contest[1][-1][0] == contest[1][-1][1]


def test_a_contest_can_be_stopped_within_a_contender():
    def stop(done: int, total: int, note: str = "") -> None:
        if done > 0:
            raise Cancelled

    with pytest.raises(Cancelled):
        hold_contest([fit_contender(BENCH.camera)], BENCH, (0.5,), share=0.02, progress=stop)


def test_tables_of_others_join_where_the_movie_is_given():
    scene = next(simulate_scenes(BENCH, (1.0,), share=0.05))
    frames, height_nm = scene.frames[:, :96], 9600
    scene = replace(scene, frames=frames, truth=scene.truth[scene.truth["y_nm"] < height_nm])
    tables = [("all", with_noise(scene.truth)), ("half", with_noise(scene.truth, share=0.5))]
    held = judge_movie(
        [fit_contender(BENCH.camera)], tables, scene, name="movie", pixel_size_nm=100.0
    )
    fit, everything, half = held.standings
    assert [fit.kind, everything.kind, half.kind] == ["fit", "table", "table"]
    assert everything.scores[0].jaccard > 0.97
    assert half.scores[0].jaccard == pytest.approx(0.5, abs=0.05)
    assert fit.scores[0].jaccard > half.scores[0].jaccard
    assert math.isnan(half.seconds[0])
    assert held.lone_bound_nm == pytest.approx(float(BENCH.bound_nm()), rel=0.15)


def test_other_seeds_are_other_scenes_of_the_same_kind():
    first, second = (
        next(simulate_scenes(replace(BENCH, seed=seed), (0.5,), share=0.05)) for seed in (0, 1)
    )
    assert first.frames.shape == second.frames.shape
    assert (first.frames != second.frames).any()


@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.085, 0.145])), min_size=1, max_size=6)
)
def test_labels_do_not_touch_and_stay_where_there_is_room(wanted):
    heights, room = (np.array(values) for values in zip(*wanted, strict=True))
    order, placed = contest_figures._spread(heights, room)
    assert (np.diff(heights[order]) >= 0).all()
    least = (room[order][1:] + room[order][:-1]) / 2
    assert (np.diff(placed) >= least - 1e-9).all()
    if (np.diff(heights[order]) >= least).all():
        np.testing.assert_allclose(placed, heights[order], atol=1e-9)


def test_networks_and_others_are_told_apart_by_colour_and_marker(contest):
    styles = contest_figures.choose_styles(contest[0].standings * 2)
    assert len({style.marker for style in styles}) == 4
    assert len({style.colour for style in styles}) == 4


@pytest.mark.skipif(not has_picasso(), reason="picassosr is not installed")
def test_picasso_is_read_with_the_right_origin_and_chooses_by_the_truth():
    def localize(frames):
        return run_picasso(frames, camera=BENCH.camera, net_gradient=600)

    look = dict(matplotlib.rcParams)
    lone = score_lone_emitters(BENCH, localize, photons=1000, n=200)
    assert dict(matplotlib.rcParams) == look, "importing Picasso leaves figures as they were"
    assert abs(lone.bias_nm) < 1.5
    assert lone.rmse_nm < 1.4 * lone.bound_nm
    assert lone.photons_ratio == pytest.approx(1, abs=0.1)
    scene = next(simulate_scenes(BENCH, (0.5,), share=0.05))
    picasso = picasso_contender(BENCH.camera)
    picasso.settle(scene.frames, scene.truth)
    assert len(picasso.localize(scene.frames)) > 0.6 * len(scene.truth)
    assert "net gradient" in picasso.notes[0]
