"""Simulated movies hold what their settings and their truth say."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import tifffile
import torch
from pydantic import ValidationError
from scipy.stats import poisson

from bridge.errors import Cancelled
from bridge.images.blur import FWHM_PER_SIGMA
from bridge.smlm.blinking import Lifetimes, UniformPhotons
from bridge.smlm.camera import Ccd, Emccd
from bridge.smlm.psf import Astigmatic, Computed, IntegratedGaussian
from bridge.smlm.simulate import Simulation, block_frames, simulate_movie
from bridge.smlm.structures import Empty, Mask, Pores

SMALL = Simulation(
    width_px=48,
    height_px=32,
    n_frames=40,
    density_per_um2=1.0,
    photons=UniformPhotons(low=1000.0, high=1000.0),
)
PRESETS = sorted(Simulation.presets())


def change(base=SMALL, **changes) -> Simulation:
    return Simulation.model_validate(dict(base) | changes)


def film(settings):
    movie = simulate_movie(settings)
    return np.concatenate(list(movie.blocks)), movie.truth


def test_frames_and_truth_have_their_form():
    frames, truth = film(SMALL)
    assert frames.shape == (40, 32, 48)
    assert frames.dtype == np.uint16
    assert list(truth.columns) == [
        "id", "frame", "x_nm", "y_nm", "sigma_nm", "photons", "background", "background_std",
    ]  # fmt: skip
    assert truth["id"].tolist() == list(range(1, len(truth) + 1))
    assert truth["frame"].is_monotonic_increasing
    assert truth["frame"].min() >= 1
    assert truth["frame"].max() <= 40
    assert truth["x_nm"].between(0, 4800, inclusive="left").all()
    assert truth["y_nm"].between(0, 3200, inclusive="left").all()
    assert truth.attrs["pixel_size_nm"] == 100


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_the_density_that_it_says_and_survives_json(name):
    preset = Simulation.presets()[name]
    assert Simulation.model_validate_json(preset.model_dump_json()) == preset
    short = change(preset, n_frames=min(preset.n_frames, 150), seed=5)
    truth = simulate_movie(short).truth
    field_um2 = preset.width_px * preset.height_px * preset.camera.pixel_size_nm**2 / 1e6
    found = len(truth) / short.n_frames / field_um2
    expected = preset.density_per_um2
    # labels of one layout are more or fewer inside than in the margin
    loose = 0.15 if name == "filaments" else 0
    assert found == pytest.approx(expected, rel=0.05 + loose)


def test_counted_density_is_that_of_the_facts():
    for density in (0.1, 1.0, 3.0):
        settings = change(
            Simulation.presets()["smlm-benchmark"], density_per_um2=density, n_frames=60
        )
        n = len(simulate_movie(settings).truth)
        expected = density * 12.8**2 * 60
        assert n == pytest.approx(expected, abs=5 * expected**0.5)


def test_empty_frames_of_the_benchmark_have_mean_10_and_variance_12_33():
    settings = change(Simulation.presets()["smlm-benchmark"], structure=Empty(), n_frames=40)
    frames, truth = film(settings)
    assert len(truth) == 0
    assert frames.mean() - 100 == pytest.approx(10, abs=0.03)
    assert frames.var() == pytest.approx(12.33, abs=0.12)


def test_each_emitters_light_is_where_the_truth_says():
    settings = change(
        density_per_um2=0.05, photons=UniformPhotons(low=5e4, high=5e4), background_photons=0.0,
        margin_px=0.0, n_frames=200,
    )  # fmt: skip
    frames, truth = film(settings)
    alone = truth[~truth["frame"].duplicated(keep=False)]
    alone = alone[alone["x_nm"].between(800, 4000) & alone["y_nm"].between(800, 2400)]
    assert len(alone) > 5
    for row in alone.itertuples():
        light = frames[row.frame - 1].astype(float) - 100
        total = light.sum()
        assert total == pytest.approx(5e4, rel=0.02)
        x = (light.sum(0) * (np.arange(48) + 0.5)).sum() / total * 100
        y = (light.sum(1) * (np.arange(32) + 0.5)).sum() / total * 100
        assert (x, y) == pytest.approx((row.x_nm, row.y_nm), abs=6)


def test_thunderstorms_generator_applies_neither_quantum_efficiency_nor_read_noise():
    preset = Simulation.presets()["thunderstorm"]
    assert (preset.width_px, preset.height_px, preset.n_frames) == (256, 256, 1000)
    frames, _ = film(change(preset, structure=Empty(), n_frames=20))
    # Poisson(30) / 3.6 + 414, halves rounded up, and nothing else
    electrons = np.arange(120)
    exact = np.bincount(np.floor(electrons / 3.6 + 414.5).astype(int), poisson.pmf(electrons, 30))
    found = np.bincount(frames.ravel(), minlength=len(exact))
    assert len(found) == len(exact)
    common = exact > 1e-5
    expected = exact[common] * frames.size
    z = (found[common] - expected) / expected**0.5
    assert common.sum() > 10
    assert np.abs(z).max() < 5
    assert found[~common].sum() < 1e-3 * frames.size


def test_thunderstorms_emitters_have_its_ranges():
    preset = Simulation.presets()["thunderstorm"]
    truth = simulate_movie(preset).truth
    assert truth["photons"].between(700, 900).all()
    assert truth["photons"].mean() == pytest.approx(800, rel=0.01)
    fwhm_nm = truth["sigma_nm"] * FWHM_PER_SIGMA
    assert fwhm_nm.between(199.99, 350.01).all()
    assert fwhm_nm.mean() == pytest.approx(275, rel=0.01)
    number = truth.groupby("frame").size().reindex(range(1, 1001), fill_value=0)
    expected = 0.1 * 20.48**2
    assert number.mean() == pytest.approx(expected, rel=0.02)
    assert number.var() == pytest.approx(expected, rel=0.15)
    assert np.allclose(truth["background_std"], 30**0.5)


def test_dsirs_settings_are_as_published():
    preset = Simulation.presets()["dsir"]
    assert (preset.width_px, preset.height_px, preset.n_frames) == (26, 26, 3500)
    frames, truth = film(preset)
    assert preset.camera.offset_adu == 100
    assert preset.camera.pixel_size_nm == 100
    assert len(truth) / 3500 / 2.6**2 == pytest.approx(2.0, rel=0.02)
    assert truth["photons"].between(80, 2050).all()
    assert (truth["sigma_nm"] * FWHM_PER_SIGMA).between(199.99, 300.01).all()
    assert (truth["background"] == 20).all()
    assert 100 < np.median(frames) < 120


def test_electron_multiplication_comes_before_the_counts_are_made():
    base = change(structure=Empty(), background_photons=40.0)
    camera = Emccd(
        offset_adu=414.0, electrons_per_adu=3.6, em_gain=100.0, read_noise_e=0.0,
        spurious_charge_e=0.0,
    )  # fmt: skip
    frames, _ = film(change(base, camera=camera))
    assert frames.mean() == pytest.approx(414 + 100 * 40 / 3.6, rel=0.01)
    assert frames.var() == pytest.approx(2 * 100**2 * 40 / 3.6**2, rel=0.03)


def test_drift_is_in_the_truth_and_even_from_the_first_frame_to_the_last():
    still = simulate_movie(change(margin_px=30.0)).truth
    moved = simulate_movie(change(margin_px=30.0, drift_nm=390.0, drift_angle_deg=60.0)).truth
    paired = still.merge(moved, on=["frame", "photons", "sigma_nm"], suffixes=("", "_moved"))
    # photons are all alike: pair by order within frames that kept all their emitters
    first_frame = moved[moved["frame"] == 1]
    assert np.allclose(first_frame["x_nm"], still[still["frame"] == 1]["x_nm"])
    shift = 390.0 * (paired["frame"] - 1) / 39
    is_pair = np.isclose(paired["x_nm_moved"] - paired["x_nm"], shift * 0.5, atol=1e-6)
    is_pair &= np.isclose(paired["y_nm_moved"] - paired["y_nm"], shift * 0.75**0.5, atol=1e-6)
    assert is_pair.sum() > 0.85 * len(still)


def test_emitters_that_drift_away_are_gone_with_their_light():
    settings = change(
        margin_px=0.0, drift_nm=4800.0, background_photons=0.0, camera=Ccd(read_noise_e=0.0),
        n_frames=60, psf=IntegratedGaussian(sigma_nm=(60.0, 60.0)),
    )  # fmt: skip
    frames, truth = film(settings)
    number = truth.groupby("frame").size().reindex(range(1, 61), fill_value=0)
    assert number[:10].mean() > 5 * number[-10:].mean()
    assert (truth["x_nm"] < 4800).all()
    light = (frames.astype(float) - 100).sum()
    assert light == pytest.approx(1000 * len(truth), rel=0.05)


def test_a_mask_gives_density_where_it_is_bright(tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[:10] = 240
    mask[10:, :15] = 60
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    settings = change(structure=Mask(path=tmp_path / "mask.tif"), n_frames=2000)
    truth = simulate_movie(settings).truth
    top, left = truth["y_nm"] < 1600, truth["x_nm"] < 2400
    per_um2 = 2000 * 4.8 * 1.6
    assert top.sum() / per_um2 == pytest.approx(1.0, rel=0.05)
    assert (~top & left).sum() / (per_um2 / 2) == pytest.approx(0.25, rel=0.08)
    assert not (~top & ~left).any()


def test_the_background_follows_its_mask_and_the_truth_knows_it(tmp_path):
    mask = np.zeros((32, 48), np.uint8)
    mask[:, :24], mask[:, 24:] = 200, 100
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    settings = change(background_mask=tmp_path / "mask.tif", background_photons=40.0)
    frames, _ = film(change(settings, structure=Empty(), n_frames=200))
    assert frames[:, :, :24].mean() == pytest.approx(140, abs=0.3)
    assert frames[:, :, 24:].mean() == pytest.approx(120, abs=0.3)
    truth = simulate_movie(settings).truth
    assert (truth["background"] == np.where(truth["x_nm"] < 2400, 40.0, 20.0)).all()


def test_truth_of_spots_in_depth_has_heights_and_both_widths():
    truth = simulate_movie(change(psf=Astigmatic(), structure=Pores())).truth
    assert {"z_nm", "sigma1_nm", "sigma2_nm"} <= set(truth.columns)
    assert "sigma_nm" not in truth.columns
    assert truth["z_nm"].between(-300, 300).all()
    expected = 130 * np.sqrt(1 + ((truth["z_nm"] - 200) / 400) ** 2)
    assert np.allclose(truth["sigma1_nm"], expected)
    computed = simulate_movie(change(psf=Computed(heights_nm=(-200.0, 200.0)))).truth
    assert "z_nm" in computed.columns
    assert not any("sigma" in name for name in computed.columns)


def test_an_emitters_width_stays_while_it_shines():
    settings = change(
        psf=IntegratedGaussian(sigma_nm=(100.0, 160.0)), blinking=Lifetimes(on_frames=5.0)
    )
    truth = simulate_movie(settings).truth
    by_place = truth.groupby(["x_nm", "y_nm"])["sigma_nm"]
    assert by_place.nunique().max() == 1
    assert by_place.size().max() > 5


def test_the_same_seed_gives_the_same_movie_and_another_seed_another():
    settings = change(blinking=Lifetimes(), background_variation=0.5)
    (frames, truth), (again, same) = film(settings), film(settings)
    assert np.array_equal(frames, again)
    assert truth.equals(same)
    other, _ = film(change(settings, seed=1))
    assert not np.array_equal(frames, other)


def test_a_long_movie_is_computed_only_as_far_as_it_is_read():
    settings = change(n_frames=100_000, density_per_um2=0.01)
    told = []
    movie = simulate_movie(settings, progress=lambda done, total, note="": told.append(done))
    blocks = list(islice(movie.blocks, 2))
    assert [len(block) for block in blocks] == [block_frames(settings)] * 2
    assert max(told) <= 2 * block_frames(settings)


def test_a_large_frame_is_a_block_of_its_own():
    assert block_frames(change(width_px=4096, height_px=4096)) == 1
    assert block_frames(change(width_px=8, height_px=8)) == 64


def test_a_movie_can_be_stopped():
    def stop(done, total, note=""):
        raise Cancelled

    movie = simulate_movie(SMALL, progress=stop)
    with pytest.raises(Cancelled):
        list(movie.blocks)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValidationError, match="density"):
        change(density=1.0)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        change(n_frames=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_gpu_films_the_same_emitters():
    movie = simulate_movie(SMALL, device="cuda")
    again = simulate_movie(SMALL, device="cuda")
    assert movie.truth.equals(simulate_movie(SMALL).truth)
    frames, same = (np.concatenate(list(m.blocks)) for m in (movie, again))
    assert np.array_equal(frames, same)
    assert frames.mean() == pytest.approx(film(SMALL)[0].mean(), rel=0.01)
