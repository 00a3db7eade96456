"""Linking against closed forms, an independent loop, and emitters known by construction."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import Cancelled, TableError
from bridge.smlm.link import link_frames


def rows(frame, x_nm, y_nm=0.0, **columns) -> pd.DataFrame:
    return pd.DataFrame({"frame": frame, "x_nm": np.asarray(x_nm, float), "y_nm": y_nm, **columns})


def loop_over_frames(table: pd.DataFrame, distance_nm: float, gap: int) -> list[set[int]]:
    """Link as one would by hand: nearest pair first, frames next to each other first."""
    frame, x, y = (table[name].to_numpy() for name in ("frame", "x_nm", "y_nm"))
    follower: dict[int, int] = {}
    for step in range(1, gap + 2):
        near = sorted(
            (math.hypot(x[i] - x[j], y[i] - y[j]), i, j)
            for i in range(len(table))
            for j in range(len(table))
            if frame[j] - frame[i] == step
        )
        for distance, i, j in near:
            if distance <= distance_nm and i not in follower and j not in follower.values():
                follower[i] = j
    chains = []
    for start in set(range(len(table))) - set(follower.values()):
        chain = [start]
        while chain[-1] in follower:
            chain.append(follower[chain[-1]])
        chains.append(set(chain))
    return chains


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(2, 40),
    n_frames=st.integers(2, 8),
    side=st.floats(10, 400),
    distance=st.floats(1, 100),
    gap=st.integers(0, 3),
    seed=st.integers(0, 2**31),
)
def test_groups_are_those_of_a_loop_over_frames(n, n_frames, side, distance, gap, seed):
    rng = np.random.default_rng(seed)
    frame = rng.integers(1, n_frames + 1, n)
    frame[:2] = 1, 2
    table = rows(frame, rng.uniform(0, side, n), rng.uniform(0, side, n), photons=1.0)
    linked = link_frames(table, distance_nm=distance, gap_frames=gap)
    found = [set(np.flatnonzero(linked.group == g)) for g in range(len(linked.table))]
    expected = loop_over_frames(table, distance, gap)
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))
    assert linked.table["detections"].sum() == n
    np.testing.assert_array_equal(linked.table["detections"], [len(one) for one in found])
    np.testing.assert_allclose(linked.table["photons"], [len(one) for one in found])
    first = [int(table["frame"].iloc[sorted(one)].min()) for one in found]
    np.testing.assert_array_equal(linked.table["frame"], first)
    assert (np.diff(linked.table["frame"]) >= 0).all()


def test_repeated_measurements_give_sigma_over_root_n():
    rng = np.random.default_rng(1)
    n_emitters, n_times, sigma = 2000, 9, 10.0
    emitter = np.repeat(np.arange(n_emitters), n_times)
    frame = np.tile(np.arange(1, n_times + 1), n_emitters)
    x_true, y_true = emitter % 50 * 500.0, emitter // 50 * 500.0
    x, y = (true + rng.normal(0, sigma, len(frame)) for true in (x_true, y_true))
    table = rows(frame, x, y, uncertainty_xy_nm=sigma)
    linked = link_frames(table, gap_frames=1)
    assert linked.distance_nm == pytest.approx(4 * math.sqrt(2) * sigma)
    assert abs(linked.scatter_ratio - 1) < 0.02
    whole = linked.table[linked.table["detections"] == n_times]
    assert len(whole) > 0.99 * n_emitters
    np.testing.assert_allclose(whole["uncertainty_xy_nm"], sigma / 3)
    errors = np.concatenate([(whole[f"{a}_nm"] + 250) % 500 - 250 for a in "xy"])
    assert errors.std() == pytest.approx(sigma / 3, rel=0.05)


def test_weights_and_sums_of_one_group_are_those_of_the_formulas():
    table = rows(
        [3, 4],
        [0.0, 5.0],
        [0.0, 5.0],
        sigma_nm=[120.0, 140.0],
        photons=[100.0, 300.0],
        background=[10.0, 20.0],
        background_std=[3.0, 4.0],
        chi2=[1.0, 2.0],
        uncertainty_xy_nm=[3.0, 4.0],
        uncertainty_photons=[30.0, 40.0],
        probability=[0.7, 0.9],
        id=[7, 8],
    )
    (merged,) = link_frames(table, distance_nm=10).table.to_dict("records")
    place = 5 / 16 / (1 / 9 + 1 / 16)
    assert math.isnan(merged.pop("chi2"))
    assert merged == pytest.approx(
        {
            "frame": 3,
            "x_nm": place,
            "y_nm": place,
            "sigma_nm": 130,
            "photons": 400,
            "background": 15,
            "background_std": math.sqrt(12.5),
            "uncertainty_xy_nm": 12 / 5,
            "uncertainty_photons": 50,
            "probability": 0.9,
            "detections": 2,
        }
    )


def test_each_axis_has_its_own_weights():
    table = rows([1, 2], [0.0, 5.0], [0.0, 5.0], uncertainty_x_nm=[1.0, 2], uncertainty_y_nm=2.0)
    merged = link_frames(table).table
    assert merged["x_nm"].item() == pytest.approx(1)
    assert merged["y_nm"].item() == pytest.approx(2.5)
    assert merged["uncertainty_x_nm"].item() == pytest.approx(1 / math.sqrt(1.25))
    assert merged["uncertainty_y_nm"].item() == pytest.approx(math.sqrt(2))


def test_z_is_linked_and_weighted_by_its_own_uncertainty():
    given_z = {"uncertainty_xy_nm": 5.0, "uncertainty_z_nm": [20.0, 10.0, 20.0]}
    table = rows([1, 2, 2], [0.0, 1.0, -0.5], z_nm=[0.0, 30.0, 400.0], **given_z)
    linked = link_frames(table)
    assert list(linked.group) == [0, 0, 1], "the nearer in the plane is too far along z"
    assert linked.table["z_nm"].iloc[0] == pytest.approx(24)
    assert linked.table["uncertainty_z_nm"].iloc[0] == pytest.approx(20 / math.sqrt(5))
    flat = link_frames(table.drop(columns="uncertainty_z_nm"))
    assert list(flat.group) == [0, 1, 0]
    assert "z_nm" in flat.table.attrs["warnings"][0]


def test_two_emitters_60_nm_apart_stay_two():
    rng = np.random.default_rng(3)
    frame = np.repeat(np.arange(1, 501), 2)
    x = np.tile([0.0, 60.0], 500) + rng.normal(0, 5, 1000)
    linked = link_frames(rows(frame, x, rng.normal(0, 5, 1000), uncertainty_xy_nm=5.0))
    sides = np.tile([0, 1], 500)
    for group in range(len(linked.table)):
        assert len(set(sides[linked.group == group])) == 1
    assert len(linked.table) <= 4, "5 sigma happens, but rarely"


def test_a_bright_rows_small_uncertainty_keeps_its_links_short():
    table = rows([1, 2, 1, 2], [0.0, 30, 1000, 1030], uncertainty_xy_nm=[2.0, 2, 10, 10])
    assert list(link_frames(table).group) == [0, 2, 1, 1]


def test_rows_without_uncertainty_count_only_where_no_other_has_one():
    x, sigma = [0.0, 6.0, 100.0, 106.0], [math.nan, 3.0, math.nan, 0.0]
    merged = link_frames(rows([1, 2, 1, 2], x, uncertainty_xy_nm=sigma), distance_nm=20).table
    np.testing.assert_allclose(merged["x_nm"], [6, 103])
    np.testing.assert_allclose(merged["uncertainty_xy_nm"], [3, math.nan])


def test_without_uncertainties_the_means_are_plain_and_it_is_said():
    table = rows([1, 2, 3], [0.0, 3.0, 9.0])
    linked = link_frames(table, distance_nm=10)
    assert linked.table["x_nm"].item() == pytest.approx(4)
    assert math.isnan(linked.scatter_ratio)
    assert "plain means" in linked.table.attrs["warnings"][0]
    assert "plain means" in linked.table.attrs["history"][-1]
    with pytest.raises(TableError, match="no uncertainties"):
        link_frames(table)


def test_without_uncertainties_the_tables_own_precision_gives_the_distance():
    rng = np.random.default_rng(4)
    frame = np.repeat(np.arange(1, 1001, 2), 2) + np.tile([0, 1], 500)
    place = np.repeat(rng.uniform(0, 20_000, (500, 2)), 2, axis=0)
    x, y = (place + rng.normal(0, 8, place.shape)).T
    linked = link_frames(rows(frame, x, y))
    assert linked.distance_nm == pytest.approx(4 * math.sqrt(2) * 8, rel=0.1)
    assert "NeNA" in linked.distance_from


@pytest.mark.parametrize(("gap", "n_rows"), [(0, 3), (1, 2), (2, 1)])
def test_dark_frames_are_bridged_as_far_as_allowed(gap, n_rows):
    table = rows([1, 3, 6], [0.0, 1.0, 2.0])
    assert len(link_frames(table, distance_nm=10, gap_frames=gap).table) == n_rows


def test_rows_of_one_frame_never_link():
    assert len(link_frames(rows([1, 1, 2], [0.0, 1.0, 500.0]), distance_nm=10).table) == 3


def test_uncertainties_that_are_too_small_are_found_out():
    rng = np.random.default_rng(5)
    frame = np.tile(np.arange(1, 6), 1000)
    x = np.repeat(np.arange(1000) * 1000.0, 5) + rng.normal(0, 10, 5000)
    table = rows(frame, x, rng.normal(0, 10, 5000), uncertainty_xy_nm=5.0)
    assert link_frames(table, distance_nm=80).scatter_ratio == pytest.approx(2, rel=0.03)


def test_a_merged_table_is_linked_with_a_warning_and_keeps_count():
    table = rows([1, 2], [0.0, 1.0], detections=[3, 2])
    merged = link_frames(table, distance_nm=5).table
    assert merged["detections"].item() == 5
    assert any("merged before" in warning for warning in merged.attrs["warnings"])


def test_attributes_are_kept_and_the_history_goes_on():
    table = rows([1, 2], [0.0, 1.0])
    table.attrs = {"pixel_size_nm": 100.0, "source": "a.csv", "history": ["Read."], "warnings": []}
    merged = link_frames(table, distance_nm=5).table
    assert merged.attrs["pixel_size_nm"] == 100
    assert merged.attrs["history"][0] == "Read."
    assert "2 rows became 1" in merged.attrs["history"][1]
    assert table.attrs["history"] == ["Read."], "the input was changed"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows([], []), "no rows"),
        (rows([4, 4], [1.0, 2.0]), "all 2 rows are of frame 4"),
        (rows([1, 2], [1.0, math.nan]), "isn't finite"),
        (rows([1, 2], [1.0, 2.0]).drop(columns="x_nm"), "no column x_nm"),
    ],
)
def test_tables_that_cannot_be_linked_are_refused(table, message):
    with pytest.raises(TableError, match=message):
        link_frames(table, distance_nm=5)


def test_numbers_out_of_range_are_a_programming_error():
    for wrong in ({"distance_nm": 0.0}, {"distance_nm": math.inf}, {"gap_frames": -1}):
        with pytest.raises(ValueError, match="must be"):
            link_frames(rows([1, 2], [1.0, 2.0]), **wrong)


def test_it_can_be_stopped():
    def stop(done, total, note):
        raise Cancelled

    with pytest.raises(Cancelled):
        link_frames(rows([1, 2], [1.0, 2.0]), distance_nm=5, progress=stop)
