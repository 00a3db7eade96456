"""Where tiles lie: arithmetic only, no network."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.errors import ImageError, PackageError
from bridge.runtime.geometry import Affine, Geometry, SizeRule, TensorGeometry
from bridge.runtime.plan import (
    Locality,
    TilePlan,
    axis_choices,
    common_rule,
    cut_unit,
    pad_to_valid,
    plan_tiles,
)

RATIOS = [Fraction(1), Fraction(2), Fraction(3), Fraction(8), Fraction(1, 2), Fraction(1, 4)]


def tensor(
    name: str, *, ratio: Fraction = Fraction(1), offset: int = 0, rule: SizeRule | None = None
) -> TensorGeometry:
    dims = ("b", "c", "y", "x")
    return TensorGeometry(
        name=name,
        dims=dims,
        axis_ids=("batch", "channel", "y", "x"),
        n_channels=1,
        batch_size=None,
        rules=dict.fromkeys("yx", rule) if rule else {},
        affines={d: Affine(ratio, offset) for d in "yx"},
        halo={},
    )


def geometry(
    rule: SizeRule, *, ratio: Fraction = Fraction(1), offset: int = 0, second: object = None
) -> Geometry:
    inputs = [tensor("input", rule=rule), *([second] if second else [])]
    output = tensor("output", ratio=ratio, offset=offset)
    return Geometry(tuple(inputs), (output,), {"y": "input", "x": "input"})  # type: ignore[arg-type]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Geometry, dict[str, int], dict[str, Locality], int]:
    ratio = draw(st.sampled_from(RATIOS))
    step = draw(st.sampled_from([1, 2, 3, 8, 16])) * ratio.denominator
    minimum = draw(st.integers(1, 40)) * ratio.denominator
    lead = draw(st.integers(0, 30))
    trail = draw(st.integers(0, 30))
    shrink = draw(st.integers(0, trail)) if draw(st.booleans()) else -draw(st.integers(0, lead))
    offset = -int(shrink * ratio)
    shape = geometry(SizeRule(minimum, step), ratio=ratio, offset=offset)
    stride = draw(st.sampled_from([1, 2, 4, 8]))
    locality = Locality(lead, trail, stride)
    sizes = {d: draw(st.integers(math.ceil(minimum / 8), 400)) for d in "yx"}
    longest = draw(st.integers(1, 300))
    assume(all(int(ratio * n) + offset > 0 for n in sizes.values()))
    return shape, sizes, dict.fromkeys("yx", locality), longest


@settings(deadline=None, max_examples=150, derandomize=True, database=None)
@given(layouts())
def test_windows_lie_inside_cuts_are_legal_and_cover_the_output_exactly_once(
    layout: tuple[Geometry, dict[str, int], dict[str, Locality], int],
) -> None:
    shape, sizes, localities, longest = layout
    plan = plan_tiles(shape, sizes, localities, most_pixels=10**9, longest=longest)
    rule = common_rule(shape, "y")
    stride = math.lcm(localities["y"].stride, cut_unit(shape, "y"))
    for dim, axis in plan.axes.items():
        assert axis.length == sizes[dim] <= axis.padded
        assert axis.window >= rule.minimum
        assert (axis.window - rule.minimum) % rule.step == 0
        assert (axis.padded - rule.minimum) % rule.step == 0
        assert axis.starts[0] == 0
        assert axis.starts[-1] + axis.window == axis.padded
        assert axis.cuts[0] == 0
        assert axis.cuts[-1] == axis.padded
        assert all(start % stride == 0 for start in axis.starts)
        for number in range(1, len(axis.starts)):
            cut = axis.cuts[number]
            assert cut % cut_unit(shape, dim) == 0
            assert cut >= axis.starts[number] + localities[dim].lead
            previous_end = axis.starts[number - 1] + axis.window
            assert cut <= previous_end - localities[dim].trail
    output = shape.outputs[0]
    covered = np.zeros([output.affines[d].size(sizes[d]) for d in "yx"], int)
    for tile in plan:
        kept = plan.kept(tile, output)
        whole = tuple(kept[d][0] for d in "yx")
        own = [kept[d][1] for d in "yx"]
        for dim, part in zip("yx", own, strict=True):
            assert 0 <= part.start <= part.stop <= output.affines[dim].size(plan.axes[dim].window)
        assert [p.stop - p.start for p in own] == [w.stop - w.start for w in whole]
        covered[whole] += 1
    assert (covered == 1).all()


@settings(deadline=None, max_examples=100, derandomize=True, database=None)
@given(layouts())
def test_a_memory_budget_is_kept_where_any_tiling_keeps_it(
    layout: tuple[Geometry, dict[str, int], dict[str, Locality], int],
) -> None:
    shape, sizes, localities, _ = layout
    smallest = plan_tiles(shape, sizes, localities, most_pixels=1)
    budget = 2 * smallest.window_pixels
    plan = plan_tiles(shape, sizes, localities, most_pixels=budget)
    assert plan.window_pixels <= budget
    roomy = plan_tiles(shape, sizes, localities, most_pixels=10**9)
    assert len(roomy) == 1
    assert roomy.computed_pixels <= plan.computed_pixels


@st.composite
def blends(draw: st.DrawFn) -> tuple[Geometry, dict[str, int], int]:
    ratio = draw(st.sampled_from(RATIOS))
    step = draw(st.sampled_from([1, 2, 8])) * ratio.denominator
    minimum = draw(st.integers(8, 40)) * ratio.denominator
    rule = SizeRule(minimum, draw(st.sampled_from([step, 0])))
    offset = draw(st.integers(-3, 4))
    sizes = {d: draw(st.integers(minimum, 300)) for d in "yx"}
    return geometry(rule, ratio=ratio, offset=offset), sizes, draw(st.integers(20, 150))


@settings(deadline=None, max_examples=150, derandomize=True, database=None)
@given(blends(), st.booleans())
def test_blend_weights_sum_to_one_everywhere(
    blend: tuple[Geometry, dict[str, int], int], only_y: bool
) -> None:
    shape, sizes, longest = blend
    endless = Locality(0, 0, 1, is_bounded=False)
    localities = {"y": endless, "x": Locality(2, 4, 1) if only_y else endless}
    plan = plan_tiles(shape, sizes, localities, most_pixels=10**9, longest=longest)
    output = shape.outputs[0]
    total = np.zeros([output.affines[d].size(sizes[d]) for d in "yx"])
    for tile in plan:
        kept = plan.kept(tile, output)
        weights = plan.blend_weights(tile, output)
        window = np.ones([output.affines[d].size(plan.axes[d].window) for d in "yx"])
        for axis, dim in enumerate("yx"):
            if dim in weights:
                assert (weights[dim] > 0).all()
                assert (weights[dim] <= 1).all()
                window *= weights[dim].reshape([-1 if a == axis else 1 for a in range(2)])
        total[tuple(kept[d][0] for d in "yx")] += window[tuple(kept[d][1] for d in "yx")]
    np.testing.assert_allclose(total, 1, atol=1e-5)


def test_neighbours_that_are_blended_overlap_by_a_quarter() -> None:
    endless = dict.fromkeys("yx", Locality(0, 0, 1, is_bounded=False))
    for rule in (SizeRule(16, 1), SizeRule(32, 0)):
        plan = plan_tiles(
            geometry(rule), {"y": 200, "x": 90}, endless, most_pixels=10**9, longest=50
        )
        assert plan.is_blended
        for axis in plan.axes.values():
            gaps = np.diff(axis.starts)
            assert (axis.window - gaps >= axis.window // 4).all()


def test_one_window_over_everything_is_not_blended() -> None:
    endless = dict.fromkeys("yx", Locality(0, 0, 1, is_bounded=False))
    plan = plan_tiles(geometry(SizeRule(16, 1)), {"y": 100, "x": 90}, endless, most_pixels=10**9)
    assert not plan.is_blended
    assert len(plan) == 1


def test_a_dim_with_an_exact_cut_is_not_blended_beside_one_without() -> None:
    localities = {"y": Locality(0, 0, 1, is_bounded=False), "x": Locality(0, 0, 1)}
    shape = geometry(SizeRule(16, 1))
    plan = plan_tiles(shape, {"y": 200, "x": 90}, localities, most_pixels=10**9, longest=50)
    assert plan.axes["y"].is_blended
    assert not plan.axes["x"].is_blended
    assert set(plan.blend_weights(next(iter(plan)), shape.outputs[0])) == {"y"}


@pytest.mark.parametrize(
    ("wide", "fine", "expected"),
    [
        (SizeRule(16, 3), SizeRule(40, 4), SizeRule(22, 6)),
        (SizeRule(32, 16), SizeRule(70, 4), SizeRule(None, 0)),
        (SizeRule(32, 16), SizeRule(64, 32), SizeRule(32, 16)),
        (SizeRule(8, 1), SizeRule(61, 1), SizeRule(31, 1)),
        (SizeRule(32, 0), SizeRule(64, 2), SizeRule(32, 0)),
    ],
)
def test_sizes_that_two_inputs_accept_are_found(
    wide: SizeRule, fine: SizeRule, expected: SizeRule
) -> None:
    shape = geometry(wide, second=tensor("fine", ratio=Fraction(2), rule=fine))
    if expected.minimum is None:
        with pytest.raises(PackageError, match="no size fits all of them"):
            common_rule(shape, "x")
        return
    assert common_rule(shape, "x") == expected


@settings(deadline=None, max_examples=200, derandomize=True, database=None)
@given(
    st.integers(1, 30),
    st.integers(1, 12),
    st.integers(1, 60),
    st.integers(1, 12),
    st.sampled_from([Fraction(1), Fraction(2), Fraction(3), Fraction(1, 2)]),
)
def test_common_sizes_are_those_that_counting_finds(
    min_a: int, step_a: int, min_b: int, step_b: int, ratio: Fraction
) -> None:
    second = tensor("b", ratio=ratio, rule=SizeRule(min_b, step_b))
    shape = geometry(SizeRule(min_a, step_a), second=second)
    a = set(range(min_a, 1000, step_a))
    b = {n / ratio for n in range(min_b, 3000, step_b)}
    both = sorted(int(n) for n in a & b if n < 900)
    if not both:
        with pytest.raises(PackageError):
            common_rule(shape, "x")
        return
    rule = common_rule(shape, "x")
    assert list(range(rule.minimum, both[-1] + 1, rule.step)) == both


def test_an_image_mostly_invented_is_refused() -> None:
    assert pad_to_valid(8, SizeRule(64, 16), 1, dim="y") == 64
    with pytest.raises(ImageError, match=r"along y: 7 pixels\. Expected at least 8"):
        pad_to_valid(7, SizeRule(64, 16), 1, dim="y")


def test_fewer_larger_windows_are_offered_first() -> None:
    choices = axis_choices(1000, dim="y", rule=SizeRule(32, 8), locality=Locality(10, 10, 8))
    counts = [len(c.starts) for c in choices]
    assert counts == sorted(set(counts))
    assert [c.window for c in choices] == sorted((c.window for c in choices), reverse=True)


def test_a_plan_is_plain_frozen_data() -> None:
    localities = dict.fromkeys("yx", Locality(3, 3))
    shape, sizes = geometry(SizeRule(8, 1)), {"y": 100, "x": 90}
    first, second = (
        plan_tiles(shape, sizes, localities, most_pixels=2000, longest=40) for _ in range(2)
    )
    assert first == second
    assert isinstance(first, TilePlan)
    assert [t.index for t in first] == sorted(t.index for t in first)
    with pytest.raises(AttributeError):
        first.axes = {}  # type: ignore[misc]
    assert replace(first.axes["y"], window=1) != first.axes["y"]
