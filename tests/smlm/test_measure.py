"""A movie's figures are those it was made with, and each planted contradiction is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import xarray as xr

from bridge.errors import ImageError
from bridge.images.read import open_image
from bridge.smlm.blinking import UniformPhotons
from bridge.smlm.camera import Ccd, Emccd, Scmos
from bridge.smlm.measure import describe, find_contradictions, measure_movie
from bridge.smlm.movie_sample import MOST_FRAMES, choose_frames
from bridge.smlm.patches import PatchConditions
from bridge.smlm.psf import Astigmatic, Computed, IntegratedGaussian
from bridge.smlm.simulate import Simulation, simulate_movie

CCD = Ccd(read_noise_e=1.5)


def settings_of(*, photons=1000.0, sigma_nm=130.0, **changes) -> Simulation:
    base = Simulation.presets()["smlm-benchmark"]
    usual = {
        "n_frames": 24,
        "density_per_um2": 0.3,
        "photons": UniformPhotons(low=photons, high=photons),
        "psf": IntegratedGaussian(sigma_nm=(sigma_nm, sigma_nm)),
        "seed": 5,
    }
    return Simulation.model_validate(dict(base) | usual | changes)


def film(settings: Simulation) -> xr.DataArray:
    frames = np.concatenate(list(simulate_movie(settings).blocks))
    return xr.DataArray(frames, dims=("t", "y", "x"))


@pytest.fixture(scope="module")
def movie() -> xr.DataArray:
    return film(settings_of())


def conditions_of(**changes) -> PatchConditions:
    usual = {
        "camera": CCD,
        "psf": IntegratedGaussian(sigma_nm=(110.0, 150.0)),
        "density_per_um2": (0.0, 4.0),
        "photons": (300.0, 5000.0),
        "background_photons": (2.0, 60.0),
    }
    return PatchConditions(**(usual | changes))


def contradict(movie, *, camera=CCD, **changes):
    facts = measure_movie(movie, camera=camera)
    return find_contradictions(facts, conditions_of(camera=camera, **changes))


@pytest.mark.parametrize(
    "settings",
    [
        settings_of(background_photons=2.0),
        settings_of(background_photons=60.0),
        settings_of(background_photons=300.0, photons=3000.0),
        settings_of(camera=Emccd()),
        settings_of(camera=Emccd(), background_photons=100.0, photons=2000.0),
        settings_of(camera=Scmos(), background_photons=20.0),
        settings_of(camera=Ccd(quantum_efficiency=0.8, electrons_per_adu=3.6, offset_adu=414.0)),
        settings_of(sigma_nm=90.0),
        settings_of(sigma_nm=200.0),
        settings_of(sigma_nm=160.0, camera=Ccd(pixel_size_nm=65.0)),
        settings_of(photons=5000.0, background_photons=50.0),
        settings_of(density_per_um2=1.0),
    ],
)
def test_figures_are_those_of_the_simulation(settings):
    facts = measure_movie(film(settings), camera=settings.camera)
    assert facts.n_frames == facts.n_sampled == 24
    assert facts.background_photons.median == pytest.approx(settings.background_photons, rel=0.06)
    assert facts.background_photons.low > 0.9 * settings.background_photons - 0.3
    assert facts.background_photons.high < 1.1 * settings.background_photons + 0.3
    assert facts.sigma_nm.median == pytest.approx(settings.psf.sigma_nm[0], rel=0.05)
    assert facts.photons.median == pytest.approx(settings.photons.low, rel=0.05)
    assert facts.noise_ratio == pytest.approx(1, abs=0.15)
    assert facts.photons_per_adu_by_noise == pytest.approx(facts.photons_per_adu, rel=0.15)
    found = facts.density_per_um2 / settings.density_per_um2
    assert 0.7 < found < 0.85 if settings.density_per_um2 == 1 else 0.75 < found < 1
    assert facts.saturated_share == facts.share_below_offset == 0
    assert facts.n_constant == facts.n_repeated == facts.n_not_finite == 0
    trained = conditions_of(
        camera=settings.camera,
        background_photons=(2.0, 300.0),
        psf=IntegratedGaussian(sigma_nm=(90.0, 200.0)),
    )
    assert find_contradictions(facts, trained) == []


def test_uneven_background_shows_in_its_range():
    facts = measure_movie(film(settings_of(background_variation=0.5)), camera=CCD)
    light = settings_of(background_variation=0.5)
    truth = simulate_movie(light).truth["background"]
    low, _, high = facts.background_photons
    assert low == pytest.approx(truth.quantile(0.02), rel=0.15)
    assert high == pytest.approx(truth.quantile(0.98), rel=0.15)


@pytest.mark.parametrize(("name", "said"), [("dsir", 2.0), ("deep-storm", 6.0), ("filaments", 3.0)])
def test_dense_movies_are_said_to_be_crowded_and_are_not_refused(name, said):
    base = Simulation.presets()[name]
    settings = Simulation.model_validate(dict(base) | {"n_frames": 200 if name == "dsir" else 20})
    facts = measure_movie(film(settings), camera=settings.camera)
    assert facts.is_crowded
    assert facts.density_per_um2 < said
    assert "overlap" in describe(facts)
    trained = conditions_of(
        camera=settings.camera,
        psf=IntegratedGaussian(sigma_nm=(100.0, 160.0)),
        background_photons=(2.0, 60.0),
    )
    assert not any(c.is_serious for c in find_contradictions(facts, trained))


# what is planted: changes of the simulation, and the sentence that must come of it
PLANTED = [
    ({"background_photons": 100.0}, True, "background is 1"),
    ({"background_photons": 300.0, "photons": 3000.0}, True, "background is 30"),
    ({"background_photons": 0.1}, False, ""),
    ({"sigma_nm": 175.0}, True, "Spots are 17"),
    ({"sigma_nm": 90.0}, True, "Spots are 9"),
    ({"sigma_nm": 155.0}, False, ""),
    ({"photons": 10_000.0}, True, "photons, and the model was trained on 300 to 5000"),
    ({"photons": 6500.0}, False, "photons, and the model was trained on 300 to 5000"),
    ({"photons": 230.0}, False, "photons, and the model was trained on 300 to 5000"),
]


@pytest.mark.parametrize(("changes", "is_serious", "words"), PLANTED)
def test_what_is_beyond_the_training_is_found(changes, is_serious, words):
    found = contradict(film(settings_of(**changes)))
    assert [c.is_serious for c in found] == ([is_serious] if words else [])
    assert all(words in c.sentence for c in found)


def test_a_movie_denser_than_the_training_is_warned_of_with_its_density():
    (found,) = contradict(film(settings_of(density_per_um2=1.0)), density_per_um2=(0.0, 0.3))
    assert not found.is_serious
    assert "There are 0.8 spots" in found.sentence
    assert "up to 0.3" in found.sentence


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (Ccd(offset_adu=130.0), "offset is 130 counts"),
        (Ccd(offset_adu=0.0), "one count is 11"),
        (Ccd(electrons_per_adu=4.0), "one count is 0.8"),
        (Ccd(electrons_per_adu=0.2), "noise is 0.11 times"),
        (Emccd(), "by the camera 0.15"),
    ],
)
def test_a_wrong_camera_is_found(movie, camera, words):
    found = contradict(movie, camera=camera)
    assert found[0].is_serious
    assert any(words in c.sentence for c in found)


def test_a_gain_that_is_wrong_by_more_than_two_is_a_warning(movie):
    found = contradict(movie, camera=Ccd(electrons_per_adu=2.5, read_noise_e=1.5 * 2.5))
    about_noise = [c for c in found if "noise" in c.sentence]
    assert [c.is_serious for c in about_noise] == [False]


def test_saturation_is_found_at_the_camera_s_range_and_where_counts_pile_up(movie):
    twelve_bit = Ccd(bit_depth=12, offset_adu=3850.0)
    bright = film(settings_of(camera=twelve_bit))
    for camera in (twelve_bit, Ccd(offset_adu=3850.0)):  # told of its 12 bits, and not
        facts = measure_movie(bright, camera=camera)
        share = float((bright == 4095).mean())
        assert facts.saturated_share == pytest.approx(share)
    clipped = movie.clip(max=150)
    assert any("saturated, at 150" in c.sentence for c in contradict(clipped))
    eight_bit = (movie.clip(90, 345) - 90).astype(np.uint8).clip(max=255)
    piled = xr.where(eight_bit > 60, np.uint8(255), eight_bit)
    assert measure_movie(piled, camera=Ccd(offset_adu=10.0)).saturated_share > 0


def test_dropped_and_black_frames_are_counted(movie):
    broken = movie.copy()
    broken[5] = broken[4]
    broken[9:11] = 0
    broken[20] = 100
    facts = measure_movie(broken, camera=CCD)
    assert (facts.n_repeated, facts.n_constant) == (1, 3)
    assert facts.background_photons.median == pytest.approx(10, rel=0.05)
    sentences = [c.sentence for c in find_contradictions(facts, conditions_of())]
    assert any("1 of the 24 frames looked at are the same" in s for s in sentences)
    assert any("3 of the 24 frames looked at are constant" in s for s in sentences)


def test_a_movie_without_any_picture_is_serious():
    black = xr.DataArray(np.zeros((5, 32, 32), np.uint16), dims=("t", "y", "x"))
    facts = measure_movie(black, camera=CCD)
    assert facts.background_photons is None
    assert find_contradictions(facts, conditions_of())[0].is_serious
    assert "too few lone spots" in describe(facts)


def test_one_frame_and_too_few_spots_are_warned_of(movie):
    found = contradict(movie[:1])
    assert not any(c.is_serious for c in found)
    assert any("one frame only" in c.sentence for c in found)
    found = contradict(film(settings_of(density_per_um2=0.0)))
    assert ["lone spots were found" in c.sentence for c in found] == [True]


def test_pixels_without_a_number_are_counted_and_do_no_harm(movie):
    holes = movie.astype(np.float32)
    holes[:, 3, 4] = np.nan
    holes[2, 10:20, 10:20] = np.inf
    facts = measure_movie(holes, camera=CCD)
    assert facts.n_not_finite == 24 + 100
    assert facts.background_photons.median == pytest.approx(10, rel=0.05)
    assert facts.noise_ratio == pytest.approx(1, abs=0.1)
    found = find_contradictions(facts, conditions_of())
    assert [c.is_serious for c in found] == [False]


def test_widths_of_other_spots_than_gaussians_are_compared_where_they_have_one(movie):
    facts = measure_movie(movie, camera=CCD)
    astigmatic = Astigmatic(heights_nm=(-400.0, 400.0))
    for psf in (astigmatic, Computed()):
        assert find_contradictions(facts, conditions_of(psf=psf)) == []


def test_a_fixed_pattern_of_the_chip_is_not_taken_for_noise(movie):
    pattern = np.random.default_rng(1).normal(0, 5, movie.shape[1:]).round()
    facts = measure_movie((movie + pattern).astype(np.uint16), camera=CCD)
    assert facts.noise_ratio == pytest.approx(1, abs=0.1)


def test_frames_are_spread_in_pairs():
    assert choose_frames(7, 100) == list(range(7))
    chosen = choose_frames(100_000, 128 * 128)
    assert len(chosen) == MOST_FRAMES
    assert chosen[0] == 0
    assert chosen[-1] == 99_999
    assert all(b == a + 1 for a, b in zip(chosen[::2], chosen[1::2], strict=True))
    assert len(choose_frames(100_000, 4096 * 4096)) == 8


def test_a_long_movie_on_disk_is_only_sampled(tmp_path, movie):
    path = tmp_path / "long.tif"
    tifffile.imwrite(path, np.tile(movie.values[:20, :48, :48], (15, 1, 1)), imagej=True)
    seen = []
    lazy = open_image(path).squeeze(drop=True)
    facts = measure_movie(lazy, camera=CCD, progress=lambda *step: seen.append(step[:2]))
    assert (facts.n_frames, facts.n_sampled) == (300, 100)
    assert seen[-1] == (100, 100)
    assert facts.background_photons.median == pytest.approx(10, rel=0.05)


def test_figures_are_plain_json(movie):
    facts = measure_movie(movie, camera=CCD)
    read = json.loads(json.dumps(facts.as_dict()))
    assert read["sigma_nm"]["median"] == facts.sigma_nm.median
    assert read["n_spots"] == facts.n_spots
    assert f"Spots are {facts.sigma_nm.median:.0f} nm wide" in describe(facts)


def test_what_is_no_movie_is_refused():
    for shape, dims in [((2, 3, 9, 9), "tcyx"), ((0, 9, 9), "tyx"), ((2, 4, 9), "tyx")]:
        with pytest.raises(ImageError, match="frames of one channel"):
            measure_movie(xr.DataArray(np.zeros(shape), dims=list(dims)), camera=CCD)
