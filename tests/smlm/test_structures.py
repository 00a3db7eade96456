"""Structures lie where their measures say, and masks weigh as ThunderSTORM's do."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.ndimage import binary_dilation, label
from scipy.spatial import cKDTree
from scipy.stats import chisquare

from bridge.errors import ImageError
from bridge.smlm.layout import Labels, View, label_line
from bridge.smlm.structures import (
    Clusters,
    Empty,
    Filaments,
    Mask,
    Network,
    Pores,
    Structure,
    Uniform,
)

VIEW = View(6400.0, 4800.0, margin_nm=400.0)
THICK = View(6400.0, 4800.0, margin_nm=400.0, z_range_nm=(-300.0, 500.0))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    "structure", [Uniform(), Filaments(), Network(), Clusters(), Pores()], ids=lambda s: s.kind
)
@pytest.mark.parametrize("view", [VIEW, THICK], ids=["flat", "thick"])
def test_emitters_stay_within_the_view_and_fill_its_margin(structure, view):
    places = structure.lay_out(view, rng()).sample(20_000, rng(1))
    assert places.shape == (20_000, 3)
    assert (places[:, :2] >= -400).all()
    assert (places[:, 0] < 6800).all()
    assert (places[:, 1] < 5200).all()
    is_margin = (places[:, 0] < 0) | (places[:, 0] >= 6400)
    assert is_margin.any()
    low, high = view.z_range_nm
    assert places[:, 2].min() >= low
    assert places[:, 2].max() <= high
    assert np.ptp(places[:, 2]) > 0.3 * (high - low) or low == high


@pytest.mark.parametrize(
    "structure", [Uniform(), Filaments(), Network(), Clusters(), Pores()], ids=lambda s: s.kind
)
def test_the_same_seed_lays_out_the_same(structure):
    first, again, other = (structure.lay_out(THICK, rng(s)).sample(50, rng(9)) for s in (5, 5, 6))
    assert np.array_equal(first, again)
    assert isinstance(structure, Uniform) or not np.array_equal(first, other)


def test_uniform_emitters_are_equally_many_everywhere():
    places = Uniform().lay_out(VIEW, rng()).sample(40_000, rng(1))
    counts, _, _ = np.histogram2d(
        places[:, 0], places[:, 1], bins=10, range=[[-400, 6800], [-400, 5200]]
    )
    assert chisquare(counts.ravel()).pvalue > 0.001


def test_empty_has_no_share():
    layout = Empty().lay_out(VIEW, rng())
    assert layout.share == 0
    assert layout.sample(0, rng()).shape == (0, 3)


def test_a_mask_weighs_its_pixels_by_its_maximum(tmp_path):
    mask = np.zeros((3, 4), np.uint8)
    mask[0, 1], mask[2, 3], mask[1, 0] = 200, 100, 50
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    view = View(800.0, 300.0)
    layout = Mask(path=tmp_path / "mask.tif").lay_out(view, rng())
    assert layout.share == pytest.approx((1 + 0.5 + 0.25) / 12)
    places = layout.sample(70_000, rng(1))
    column, row = (places[:, 0] // 200).astype(int), (places[:, 1] // 100).astype(int)
    assert np.bincount(row * 4 + column, minlength=12)[[1, 11, 4]] == pytest.approx(
        [40_000, 20_000, 10_000], rel=0.03
    )
    assert len(set(zip(row, column, strict=True))) == 3
    inside = places[(row == 0)]
    assert inside[:, 0].mean() == pytest.approx(300, abs=2)
    assert inside[:, 1].mean() == pytest.approx(50, abs=1)


def test_a_mask_leaves_the_margin_empty_and_counts_it(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", np.ones((5, 5), np.uint8))
    layout = Mask(path=tmp_path / "mask.tif").lay_out(VIEW, rng())
    assert layout.share * VIEW.area_um2 == pytest.approx(6.4 * 4.8)
    assert layout.sample(5000, rng())[:, 0].min() >= 0


@pytest.mark.parametrize("values", [np.zeros((4, 4)), np.full((4, 4), -1.0), np.ones((2, 5, 5))])
def test_a_mask_that_is_none_is_refused(tmp_path, values):
    tifffile.imwrite(tmp_path / "mask.tif", values.astype(np.float32))
    with pytest.raises(ImageError, match="the mask"):
        Mask(path=tmp_path / "mask.tif").lay_out(VIEW, rng())


@settings(max_examples=20, deadline=None)
@given(
    length=st.floats(500, 5000), angle=st.floats(0, 6.28), radius=st.floats(0, 100),
    seed=st.integers(0, 1000),
)  # fmt: skip
def test_labels_sit_on_a_tube_around_their_line(length, angle, radius, seed):
    along, across = (
        np.array([np.cos(angle), np.sin(angle)]),
        np.array([-np.sin(angle), np.cos(angle)]),
    )
    path = np.linspace(0, length, 40)[:, None] * along
    view = View(1e4, 1e4, z_range_nm=(0.0, 0.0))
    labels = label_line(path, labels_per_um=2000, radius_nm=radius, view=view, rng=rng(seed))
    expected = 2 * length
    assert abs(len(labels) - expected) < 6 * expected**0.5
    beside, on = labels[:, :2] @ across, labels[:, :2] @ along
    assert on.min() > -1e-6
    assert on.max() < length + 1e-6
    assert np.hypot(beside, labels[:, 2]) == pytest.approx(radius, abs=1e-6)
    assert beside.std() == pytest.approx(radius / 2**0.5, rel=0.15, abs=1e-6)


def test_a_filament_bends_over_micrometres_and_never_at_a_point():
    path = Filaments()._wander(View(20_000.0, 20_000.0), rng(3))
    headings = np.unwrap(np.arctan2(*np.diff(path, axis=0).T[::-1]))
    curvature = np.diff(headings) / 5
    assert np.hypot(*np.diff(path, axis=0).T) == pytest.approx(5, abs=1e-6)
    assert np.abs(curvature).max() < 5 / 4000
    paths = [Filaments()._wander(View(20_000.0, 20_000.0), rng(s)) for s in range(40)]
    bends = np.concatenate(
        [np.diff(np.unwrap(np.arctan2(*np.diff(p, axis=0).T[::-1]))) / 5 for p in paths]
    )
    assert bends.std() == pytest.approx(1 / 4000, rel=0.25)


def test_a_net_has_junctions_of_three_and_closed_meshes():
    net = Network(diameter_nm=0.0, missing_share=0.0, labels_per_um=2000.0)
    places = net.lay_out(View(8000.0, 8000.0), rng(2)).places[:, :2]
    image, _, _ = np.histogram2d(places[:, 1], places[:, 0], bins=200, range=[[0, 8000]] * 2)
    holes, _ = label(~binary_dilation(image > 0, iterations=1))
    sizes = np.bincount(holes.ravel())[1:]
    # 0.8 meshes per square micrometre over 64, those that the border cuts among them
    assert 40 < (sizes > 50).sum() < 110


def test_clusters_are_as_wide_and_as_full_as_asked():
    structure = Clusters(clusters_per_um2=0.02, radius_nm=40.0, labels_per_cluster=500.0)
    wide = View(40_000.0, 40_000.0)
    places = structure.lay_out(wide, rng(1)).places
    assert len(places) / 1600 == pytest.approx(0.02 * 500, rel=0.4)
    tree = cKDTree(places[:, :2])
    groups = [tree.query_ball_point(places[i, :2], 300.0) for i in range(0, len(places), 997)]
    spread = [places[g, :2].std(axis=0).mean() for g in groups if 400 < len(g) < 600]
    assert len(spread) > 5
    assert np.median(spread) == pytest.approx(40, rel=0.06)


def test_a_pore_has_two_rings_of_eight_pairs():
    structure = Pores(pores_per_um2=0.05, labelled_share=1.0, linkage_nm=0.0)
    view = View(10_000.0, 10_000.0, z_range_nm=(-100.0, 100.0))
    places = structure.lay_out(view, rng(4)).places
    whole = [
        g for g in (cKDTree(places[:, :2]).query_ball_point(p, 60.0 * 2) for p in places[:, :2])
        if len(g) == 32
    ]  # fmt: skip
    pore = places[whole[0]]
    away = pore[:, :2] - pore[:, :2].mean(axis=0)
    assert np.hypot(*away.T) == pytest.approx(55, abs=1e-6)
    for ring in (pore[:, 2] > np.median(pore[:, 2]), pore[:, 2] <= np.median(pore[:, 2])):
        angles = np.sort(np.arctan2(*away[ring].T))
        steps = np.diff(np.append(angles, angles[0] + 2 * np.pi))
        pair = 12 / 55
        assert np.sort(steps) == pytest.approx([pair] * 8 + [np.pi / 4 - pair] * 8, abs=1e-6)


def test_pores_do_not_overlap():
    structure = Pores(
        pores_per_um2=10.0, radius_nm=0.1, pair_nm=0.0, rings_nm=0.0, linkage_nm=0.0,
        labelled_share=1.0, rings_angle_deg=0.0,
    )  # fmt: skip
    places = structure.lay_out(VIEW, rng(1)).places
    middles = places.reshape(-1, 32, 3).mean(axis=1)[:, :2]
    assert len(middles) > 100
    assert cKDTree(middles).query(middles, k=2)[0][:, 1].min() > 139.5


def test_labels_shine_from_their_own_places_only():
    places = rng().random((7, 3))
    drawn = Labels(places).sample(1000, rng(1))
    assert {tuple(p) for p in drawn} == {tuple(p) for p in places}
    assert Labels(places[:0]).share == 0


def test_the_kind_tells_structures_apart():
    adapter = TypeAdapter(Structure)
    for structure in (Uniform(), Empty(), Pores(), Network(), Clusters(), Filaments()):
        assert adapter.validate_json(adapter.dump_json(structure)) == structure
