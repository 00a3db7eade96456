"""Drift that was put in comes out again, on filaments; what shows no drift is refused."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bridge.errors import Cancelled, TableError
from bridge.smlm.drift import measure_drift, subtract_drift
from bridge.smlm.layout import View
from bridge.smlm.structures import Filaments

SIDE_NM = 6000.0
N_FRAMES = 4000


def no_drift(frame):
    return np.zeros(len(frame)), np.zeros(len(frame))


def wandering(frame):
    """Some hundred nm along a line, and to and fro beside it."""
    t = frame / N_FRAMES
    return 400 * t + 60 * np.sin(3 * math.pi * t), -250 * t + 80 * np.cos(2 * math.pi * t)


def filaments(n: int, drift=no_drift, *, sigma_nm=12.0, seed=0) -> pd.DataFrame:
    """Localize the simulator's filaments, with errors of a known width."""
    rng = np.random.default_rng(seed)
    layout = Filaments().lay_out(View(SIDE_NM, SIDE_NM), rng)
    places = layout.sample(n, rng)[:, :2] + rng.normal(0, sigma_nm, (n, 2))
    frame = rng.integers(1, N_FRAMES + 1, n)
    dx, dy = drift(frame)
    return pd.DataFrame({"frame": frame, "x_nm": places[:, 0] + dx, "y_nm": places[:, 1] + dy})


def errors(found, drift) -> np.ndarray:
    """RMS along x and y; a constant doesn't count, as it moves the whole image."""
    away = np.stack([found.dx_nm, found.dy_nm]) - np.stack(drift(found.frame))
    return away.std(axis=1)


@pytest.mark.parametrize(("n", "at_most_nm"), [(5_000, 6.0), (20_000, 3.0)])
def test_a_known_drift_is_found(n, at_most_nm):
    found = measure_drift(filaments(n, wandering))
    assert (errors(found, wandering) < at_most_nm).all()
    assert found.range_nm == pytest.approx(
        [np.ptp(part) for part in wandering(found.frame)], abs=4 * at_most_nm
    )
    np.testing.assert_array_equal(found.frame, np.arange(found.frame[0], found.frame[-1] + 1))
    assert (found.dx_nm[0], found.dy_nm[0]) == (0, 0)
    assert found.residual_nm < 5


def test_the_table_is_as_if_it_had_not_drifted():
    table, still = filaments(20_000, wandering), filaments(20_000)
    table.attrs = {"history": ["Read."], "pixel_size_nm": 100.0}
    corrected = subtract_drift(table, measure_drift(table))
    for name in ("x_nm", "y_nm"):
        assert (corrected[name] - still[name]).std() < 3
        assert (table[name] - still[name]).std() > 60
    assert corrected.attrs["history"][0] == "Read."
    assert "was subtracted" in corrected.attrs["history"][1]
    assert table.attrs["history"] == ["Read."]


def test_where_there_is_no_drift_hardly_any_is_added():
    found = measure_drift(filaments(20_000))
    assert (errors(found, no_drift) < 1.5).all()
    assert max(found.range_nm) < 5


def test_segments_and_pixel_are_as_asked_for():
    found = measure_drift(
        filaments(8_000, wandering), segment_frames=500, render_pixel_nm=25.0, max_drift_nm=800
    )
    assert (len(found.knot_frame), found.n_pairs) == (8, 28)
    assert found.segment_frames == 500
    assert found.render_pixel_nm == 25
    assert (errors(found, wandering) < 12).all()


def test_one_segment_of_rubbish_is_left_out():
    table = filaments(20_000, wandering)
    rng = np.random.default_rng(1)
    is_bad = (table["frame"] > 2000) & (table["frame"] <= 2400)
    for name in ("x_nm", "y_nm"):  # as when the stage was bumped and came back
        table.loc[is_bad, name] = rng.uniform(0, SIDE_NM, int(is_bad.sum()))
    found = measure_drift(table, segment_frames=400)
    assert found.n_contradicting == 9
    assert (found.n_segments, len(found.knot_frame)) == (10, 9)
    good = (found.frame < 1900) | (found.frame > 2500)
    away = found.dx_nm - wandering(found.frame)[0]
    assert away[good].std() < 20


def test_a_jump_almost_as_large_as_allowed_is_found():
    jump = lambda frame: (np.where(frame > 2000, 900.0, 0.0), np.zeros(len(frame)))  # noqa: E731
    table = filaments(10_000, jump)
    found = measure_drift(table, segment_frames=500, max_drift_nm=1000)
    assert found.knot_nm[-1, 0] - found.knot_nm[0, 0] == pytest.approx(900, abs=15)


def test_localizations_without_structure_are_refused():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "frame": rng.integers(1, N_FRAMES + 1, 6000),
            "x_nm": rng.uniform(0, SIDE_NM, 6000),
            "y_nm": rng.uniform(0, SIDE_NM, 6000),
        }
    )
    with pytest.raises(TableError, match="agree on a drift") as refused:
        measure_drift(table)
    assert "structure" in str(refused.value)


@pytest.mark.parametrize(
    ("table", "settings", "message"),
    [
        (filaments(0), {}, "0 localizations in 0 frames"),
        (filaments(399), {}, "399 localizations"),
        (filaments(2000).assign(frame=7), {}, "in 1 frames"),
        (filaments(2000).assign(x_nm=math.nan), {}, "isn't finite"),
        (filaments(2000).drop(columns="frame"), {}, "no column frame"),
        (filaments(2000), {"segment_frames": 3000}, "make 2 of its"),
        (filaments(2000), {"segment_frames": 10}, "4 to 20 segments"),
        (filaments(2000), {"render_pixel_nm": 0.1}, "pixels of 0.1 nm"),
        (filaments(2000).assign(frame=[1] * 1000 + [1000] * 1000), {}, "localizations only"),
    ],
)
def test_tables_that_cannot_show_drift_are_refused(table, settings, message):
    with pytest.raises(TableError, match=message) as refused:
        measure_drift(table, **settings)
    assert refused.value.expected


def test_it_can_be_stopped_on_the_way():
    def stop(done, total, note):
        if done > 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        measure_drift(filaments(4000), progress=stop)
