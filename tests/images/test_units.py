"""Units as files spell them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from bridge.images.units import length_in_nm, time_in_s


@pytest.mark.parametrize(
    ("value", "unit", "nm"),
    [
        (0.1, "um", 100.0),
        (0.1, "µm", 100.0),
        (0.1, "\u03bcm", 100.0),
        (0.1, "\\u00B5m", 100.0),
        (0.1, "micron", 100.0),
        (108.3, "nm", 108.3),
        (1e-4, "mm", 100.0),
        (Fraction(1, 100_000), "cm", 100.0),
        (1, "Å", 0.1),
    ],
)
def test_lengths_become_nm_exactly(value, unit, nm):
    assert length_in_nm(value, unit) == nm


@pytest.mark.parametrize(
    ("value", "unit"), [(1, "pixel"), (1, ""), (0, "nm"), (-1, "nm"), (float("nan"), "nm")]
)
def test_what_is_no_length_stays_unknown(value, unit):
    assert length_in_nm(value, unit) is None


@pytest.mark.parametrize(("unit", "seconds"), [("ms", 0.05), ("s", 50.0), ("sec", 50.0)])
def test_times_become_seconds(unit, seconds):
    assert time_in_s(50.0, unit) == pytest.approx(seconds)
    assert time_in_s(50.0, "frames") is None
