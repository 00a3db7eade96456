"""What is drawn: seeded, in nm, of the density it should have; centrioles where they are said."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from bridge.errors import InputError
from bridge.restoration.centrioles import draw_centrioles
from bridge.restoration.fields import STRUCTURES, draw_object


@pytest.mark.parametrize("structure", STRUCTURES)
def test_fields_are_seeded_and_never_negative(structure):
    one, same, other = (
        draw_object(structure, edge_px=128, pixel_size_nm=60, rng=np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert one.shape == (128, 128)
    assert one.dtype == np.float32
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert one.min() >= 0 < one.max()


def test_a_structure_that_is_not_known_is_named():
    with pytest.raises(InputError, match=r"'sponge'.*filaments"):
        draw_object("sponge", edge_px=32, pixel_size_nm=40, rng=np.random.default_rng(0))


@pytest.mark.parametrize("structure", ["filaments", "actin"])
def test_lines_are_as_long_per_area_on_finer_pixels(structure):
    """A pixel half as wide holds a quarter of the area, and lines of twice the pixels."""
    lengths_um = []
    for pixel_size_nm in (80, 40):
        edge_px = 10_240 // pixel_size_nm
        images = [
            draw_object(
                structure,
                edge_px=edge_px,
                pixel_size_nm=pixel_size_nm,
                rng=np.random.default_rng([structure == "actin", seed]),
            )
            for seed in range(6)
        ]
        lit = np.mean([(image > 0.02).mean() for image in images])
        lengths_um.append(lit * 10.24**2 / (pixel_size_nm / 1000) / 2)  # a line lights about 2 px
    assert lengths_um[0] == pytest.approx(lengths_um[1], rel=0.3)


def test_centrioles_are_where_they_are_said():
    rng = np.random.default_rng(4)
    drawn, places = draw_centrioles(edge_px=400, pixel_size_nm=50, rng=rng)
    assert len(places) >= 4
    assert (places.y_nm / 50).tolist() == pytest.approx(places.y_px.tolist())
    for place in places.itertuples():
        rows, columns = (slice(max(0, int(p) - 3), int(p) + 4) for p in (place.y_px, place.x_px))
        inside = drawn[rows, columns].sum()
        assert inside > 0.7 * place.strength  # most of its fluorophores within 350 nm


def test_a_lone_centriole_lies_at_its_centre_of_mass():
    for seed in range(20):
        drawn, places = draw_centrioles(
            edge_px=180, pixel_size_nm=50, rng=np.random.default_rng(seed)
        )
        if len(places) == 1:
            break
    y, x = places.y_px[0], places.x_px[0]
    rows, columns = (slice(int(p) - 5, int(p) + 6) for p in (y, x))
    part = drawn[rows, columns] - np.median(drawn[rows, columns])
    centre = np.array(ndimage.center_of_mass(part.clip(0))) + (rows.start, columns.start) + 0.5
    assert centre == pytest.approx((y, x), abs=0.5)


def test_centrioles_come_one_to_four_a_cell_mostly_in_pairs():
    counts, gaps_nm = [], []
    for seed in range(15):
        _, places = draw_centrioles(
            edge_px=200, pixel_size_nm=100, rng=np.random.default_rng(100 + seed)
        )
        counts += places.groupby("cell").size().tolist()
        tree = cKDTree(places[["y_nm", "x_nm"]])
        gaps_nm += tree.query(places[["y_nm", "x_nm"]], k=2)[0][:, 1].tolist()
    assert set(counts) <= {1, 2, 3, 4}
    assert 0.4 < np.mean(np.array(counts) == 2) < 0.7
    assert 0.7 < np.mean((np.array(gaps_nm) > 340) & (np.array(gaps_nm) < 610)) < 0.95
