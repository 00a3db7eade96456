"""Emitters shine as often, as long and as brightly as asked."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.smlm.blinking import (
    EachFrame,
    Lifetimes,
    LogNormalPhotons,
    NormalPhotons,
    UniformPhotons,
)
from bridge.smlm.layout import Anywhere, View

LAYOUT = Anywhere(View(10_000.0, 10_000.0))
STEADY = UniformPhotons(low=1000.0, high=1000.0)


def shine(blinking, *, n_frames=2000, mean_active=20.0, photons=STEADY, seed=0):
    return blinking.shine(
        LAYOUT,
        photons,
        n_frames=n_frames,
        mean_active=mean_active,
        rng=np.random.default_rng(seed),
    )


def test_independent_frames_have_a_poisson_number_of_emitters():
    rows = shine(EachFrame())
    number = np.bincount(rows.frame, minlength=2000)
    assert number.mean() == pytest.approx(20, abs=0.5)
    assert number.var() == pytest.approx(20, rel=0.15)
    assert len(np.unique(rows.blink)) == len(rows.blink)


@pytest.mark.parametrize("on_frames", [0.4, 2.0, 8.0])
def test_as_many_shine_as_asked_from_the_first_frame_to_the_last(on_frames):
    rows = shine(Lifetimes(on_frames=on_frames))
    number = np.bincount(rows.frame, minlength=2000)
    standard_error = np.sqrt(20 * (1 + 2 * on_frames) / 500)
    for part in (number[:500], number[-500:], number[750:1250]):
        assert part.mean() == pytest.approx(20, abs=5 * standard_error)


def test_light_adds_up_to_the_time_that_an_emitter_shines():
    rows = shine(Lifetimes(on_frames=3.0), n_frames=5000)
    light = np.bincount(rows.blink, rows.photons) / 1000
    first = np.full(len(light), 10**9)
    np.minimum.at(first, rows.blink, rows.frame)
    last = np.zeros(len(light), int)
    np.maximum.at(last, rows.blink, rows.frame)
    whole = (first > 0) & (last < 4999)
    assert light[whole].mean() == pytest.approx(3.0, rel=0.03)
    assert light[whole].std() == pytest.approx(3.0, rel=0.06)  # exponential
    inner = (rows.frame > first[rows.blink]) & (rows.frame < last[rows.blink])
    assert rows.photons[inner] == pytest.approx(1000)
    assert (rows.photons > 0).all()
    assert (rows.photons <= 1000 + 1e-6).all()
    # The part u of the first frame, of those that outlast it, is distributed as exp(-u / 3).
    start = rows.photons[(rows.frame == first[rows.blink]) & (last > first)[rows.blink]]
    rate = 1 / 3
    expected = (1 - (1 + rate) * np.exp(-rate)) / rate / (1 - np.exp(-rate))
    assert start.mean() == pytest.approx(1000 * expected, rel=0.02)


def test_frames_of_an_emitter_follow_each_other_at_one_place():
    rows = shine(Lifetimes(on_frames=5.0), n_frames=100)
    assert (np.diff(rows.frame) >= 0).all()
    for blink in range(50):
        mine = rows.blink == blink
        assert (np.diff(rows.frame[mine]) == 1).all()
        assert (np.ptp(rows.places[mine], axis=0) == 0).all()


def test_an_emitter_comes_back_at_its_own_place():
    rows = shine(Lifetimes(on_frames=1.0, blinks=4.0, off_frames=20.0), n_frames=4000)
    assert len(rows.frame) / 4000 == pytest.approx(20, rel=0.1)
    x_nm = rows.places[np.unique(rows.blink, return_index=True)[1], 0]
    _, n_blinks = np.unique(x_nm, return_counts=True)
    assert n_blinks.mean() == pytest.approx(4, rel=0.1)


def test_bleaching_leaves_37_percent_after_its_time():
    rows = shine(Lifetimes(on_frames=1.0, bleach_frames=1000.0), mean_active=60.0)
    number = np.bincount(rows.frame, minlength=2000)
    late = number[950:1050].mean()
    assert late == pytest.approx(60 * np.exp(-1), rel=0.12)


def test_photons_have_their_distributions():
    rng = np.random.default_rng(0)
    uniform = UniformPhotons(low=80.0, high=2050.0).draw(50_000, rng)
    assert (uniform.min(), uniform.max()) == pytest.approx((80, 2050), rel=0.01)
    assert uniform.mean() == pytest.approx(1065, rel=0.01)
    normal = NormalPhotons(mean=2250.0, deviation=250.0).draw(50_000, rng)
    assert (normal.mean(), normal.std()) == pytest.approx((2250, 250), rel=0.01)
    assert NormalPhotons(mean=1.0, deviation=100.0).draw(1000, rng).min() == 1
    log_normal = LogNormalPhotons(median=500.0, spread=0.5).draw(50_000, rng)
    assert np.median(log_normal) == pytest.approx(500, rel=0.01)
    assert np.log(log_normal).std() == pytest.approx(0.5, rel=0.02)
    with pytest.raises(ValueError, match="above high"):
        UniformPhotons(low=2.0, high=1.0)
