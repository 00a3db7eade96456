"""Outputs that are no image are errors that name the likely cause."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import VerdictError
from bridge.runtime.verdict import Tally, flaw, judge, range_warning

RANDOM = np.random.default_rng(0).normal(100, 20, 5000)


def tally(values: object) -> Tally:
    found = Tally()
    found.add(np.asarray(values))
    return found


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RANDOM, ""),
        (np.zeros(50), "black"),
        (np.full(50, 1e-15), "black"),
        (np.full(50, 7.0), "constant"),
        (7 + 1e-9 * RANDOM[:50], "constant"),
        (np.full(50, np.nan), "NaN"),
        (np.r_[np.nan, RANDOM], "NaN in part"),
        (np.r_[np.inf, RANDOM], "NaN in part"),
        (np.r_[RANDOM[:40] - 200, np.full(9960, 255.0)], "saturated"),
        (np.r_[RANDOM[:400] - 200, np.full(9600, 255.0)], ""),
        (np.r_[np.zeros(9990), np.ones(10)], ""),
        (np.array([3.0]), ""),
        (np.array([True, False]), ""),
        (np.zeros(9, np.uint8), "black"),
    ],
)
def test_flaws_are_told_apart(values: np.ndarray, kind: str) -> None:
    assert flaw(tally(values)) == kind


def test_a_constant_input_is_named_as_the_cause() -> None:
    with pytest.raises(VerdictError, match=r"every value is 3.*the input itself is constant"):
        judge("the output", tally(np.full(9, 3.0)), tally(np.full(9, 5.0)), tally(RANDOM))


def test_a_range_far_from_the_test_image_is_named_as_the_cause() -> None:
    with pytest.raises(VerdictError, match=r"black.*far from what the model was made for.*0 to 1 "):
        judge("the output", tally(np.zeros(9)), tally([0.0, 1.0, 0.5]), tally(RANDOM))


def test_the_model_is_suspected_where_the_input_is_like_its_test_image() -> None:
    with pytest.raises(VerdictError, match="zoobridge models check"):
        judge("the output", tally(np.zeros(9)), tally(RANDOM + 1), tally(RANDOM))


def test_without_a_test_image_normalisation_and_weights_are_named() -> None:
    with pytest.raises(VerdictError, match="No test image comes with the package"):
        judge("the output", tally(np.zeros(9)), tally(RANDOM), None)


def test_the_share_of_values_that_are_nan_is_told() -> None:
    with pytest.raises(VerdictError, match="2 of 4 values are NaN or infinite"):
        judge("the output", tally([np.nan, np.inf, 1, 2]), tally(RANDOM), None)


def test_a_faint_output_of_an_odd_image_is_an_error_unless_it_is_a_single_pixel() -> None:
    odd, made_for = tally([0.0, 1.0, 0.5]), tally(RANDOM)
    with pytest.raises(VerdictError, match=r"nearly black: values from 0 to 0\.001"):
        judge("the output", tally([0.0, 1e-3]), odd, made_for, tally(RANDOM))
    judge("the output", tally([0.0, 1e-3]), made_for, made_for, tally(RANDOM))
    judge("the output", tally([1e-3]), odd, made_for, tally(RANDOM))


def test_an_image_as_any_other_raises_nothing_and_warns_of_nothing() -> None:
    judge("the output", tally(RANDOM), tally(RANDOM), tally(RANDOM))
    assert range_warning(tally(RANDOM), tally(RANDOM)) == ""


def test_an_input_of_another_range_is_warned_of() -> None:
    assert "check that it is the kind of image" in range_warning(tally([0.0, 1.0]), tally(RANDOM))


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_infinity=False), min_size=1, max_size=9),
        min_size=1,
        max_size=6,
    )
)
def test_tallies_of_blocks_add_up_to_the_tally_of_all(blocks: list[list[float]]) -> None:
    parts = Tally()
    for block in blocks:
        own = tally(block)
        parts.merge(Tally.from_list(json.loads(json.dumps(own.as_list()))))
    everything = tally([value for block in blocks for value in block])
    assert parts.as_list()[:2] == everything.as_list()[:2]
    assert parts.as_list()[3:] == everything.as_list()[3:]
    np.testing.assert_allclose(parts.total, everything.total, rtol=1e-9, atol=1e-3)
