"""Settings taken from a table give back what the table was made with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import TableError
from bridge.smlm.blinking import LogNormalPhotons
from bridge.smlm.camera import Ccd, Emccd
from bridge.smlm.like import conditions_like
from bridge.smlm.patches import PatchConditions
from bridge.smlm.psf import Astigmatic, IntegratedGaussian
from bridge.smlm.simulate import Simulation, simulate_movie


def table_of(**changes):
    """Give the truth of a movie as if it had been localized."""
    plain = {
        "width_px": 100, "height_px": 80, "n_frames": 300, "density_per_um2": 0.8,
        "photons": LogNormalPhotons(median=700.0, spread=0.4), "background_photons": 25.0,
        "psf": IntegratedGaussian(sigma_nm=(120.0, 180.0)), "camera": Ccd(pixel_size_nm=120.0),
    }  # fmt: skip
    return simulate_movie(Simulation.model_validate(plain | changes)).truth


def test_a_movie_is_like_the_one_that_the_table_came_from():
    like, notes = conditions_like(table_of(), Simulation())
    assert isinstance(like, Simulation)
    assert like.camera.pixel_size_nm == 120
    assert like.density_per_um2 == pytest.approx(0.8, rel=0.05)
    assert like.photons.median == pytest.approx(700, rel=0.02)
    assert like.photons.spread == pytest.approx(0.4, rel=0.03)
    assert like.background_photons == pytest.approx(25)
    assert like.psf.sigma_nm == pytest.approx((126, 174), rel=0.01)
    assert any("120 nm" in note for note in notes)


def test_patches_cover_nearly_all_of_the_table():
    table = table_of(background_variation=0.4)
    base = PatchConditions()
    like, _ = conditions_like(table, base)
    assert isinstance(like, PatchConditions)
    low, high = like.photons
    assert table["photons"].between(low, high).mean() == pytest.approx(0.8, abs=0.01)
    assert like.photons_spread == pytest.approx(0.4, rel=0.05)
    assert table["background"].between(*like.background_photons).all()
    assert like.background_photons[1] > 1.4 * table["background"].quantile(0.98)
    # Poisson counts of fields of 26 x 120 nm: 7.8 on average
    area_um2 = 3.12**2
    assert like.density_per_um2[0] * area_um2 == pytest.approx(2, abs=1.01)
    assert like.density_per_um2[1] * area_um2 == pytest.approx(15, abs=2.01)
    assert (like.size_px, like.lines_share, like.margin_px) == (26, base.lines_share, 4.0)


def test_a_spread_between_frames_is_not_one_within_them():
    table = table_of(photons=LogNormalPhotons(median=1000.0, spread=0.1), density_per_um2=2.0)
    factor = np.random.default_rng(0).uniform(0.3, 3, 301)
    table["photons"] *= factor[table["frame"]]
    like, _ = conditions_like(table, PatchConditions())
    assert like.photons_spread == pytest.approx(0.1, rel=0.1)
    assert like.photons[1] / like.photons[0] > 4


def test_what_a_table_does_not_say_is_kept_and_said():
    table = table_of()[["frame", "x_nm", "y_nm"]]
    table.attrs = {}
    base = PatchConditions(camera=Emccd())
    like, notes = conditions_like(table, base)
    kept = base.model_copy(update={"density_per_um2": like.density_per_um2})
    assert like == kept
    for word in ("pixel size", "photons", "sigma_nm", "background"):
        assert any(word in note and "kept" in note for note in notes)


def test_a_spot_that_is_no_plain_gaussian_is_kept():
    like, notes = conditions_like(table_of(), Simulation(psf=Astigmatic()))
    assert like.psf == Astigmatic()
    assert any("stays astigmatic" in note for note in notes)


def test_the_base_level_of_a_thunderstorm_truth_is_no_background():
    table = table_of()
    table["background"], table["background_std"] = 1490.4, 30**0.5
    like, notes = conditions_like(table, PatchConditions())
    assert like.background_photons == PatchConditions().background_photons
    assert any("same background" in note for note in notes)


def test_failed_fits_do_not_count():
    table = table_of()
    rows = np.random.default_rng(0).choice(len(table), len(table) // 20, replace=False)
    table.loc[rows, "sigma_nm"] = 5000.0
    table.loc[rows, "photons"] = np.nan
    table.loc[rows[::2], "background"] = -3.0
    like, _ = conditions_like(table, PatchConditions())
    assert like.psf.sigma_nm == pytest.approx((126, 177), rel=0.03)
    assert like.photons[1] < 2000
    assert like.background_photons[0] > 10


def test_frames_without_emitters_count_for_the_density():
    table = table_of()
    table["frame"] = table["frame"] * 10
    like, _ = conditions_like(table, Simulation())
    assert like.density_per_um2 == pytest.approx(0.08, rel=0.05)


def test_a_merged_table_is_warned_of():
    table = table_of().assign(detections=2)
    assert any("merged" in note for note in conditions_like(table, Simulation())[1])


@pytest.mark.parametrize("n_rows", [0, 39])
def test_too_few_rows_are_refused(n_rows):
    with pytest.raises(TableError, match=f"{n_rows} localizations. Expected at least 40"):
        conditions_like(table_of().head(n_rows), PatchConditions())


def test_a_table_without_coordinates_is_refused():
    with pytest.raises(TableError, match="column 'y_nm' is missing"):
        conditions_like(table_of().drop(columns="y_nm"), PatchConditions())


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(40, 300), scale=st.floats(1e-3, 1e5), seed=st.integers(0, 99),
    frames=st.integers(1, 400),
)  # fmt: skip
def test_any_table_gives_settings_or_a_table_error(n, scale, seed, frames):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"id": np.arange(n)})
    table["frame"] = rng.integers(1, frames + 1, n)
    for column in ("x_nm", "y_nm", "sigma_nm", "photons", "background", "background_std"):
        table[column] = rng.normal(1, 1, n) * scale
    for base in (PatchConditions(), Simulation()):
        try:
            like, _ = conditions_like(table, base)
        except TableError:
            continue
        assert type(like).model_validate_json(like.model_dump_json()) == like
