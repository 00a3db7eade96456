"""``zoobridge simulate`` as a user asks for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from bridge.errors import Cancelled, InputError, OutputError, TableError
from bridge.images.read import open_image
from bridge.jobs.simulate import Simulate
from bridge.jobs.words import job_from_words
from bridge.progress import silent
from bridge.smlm.movie_files import read_settings
from bridge.smlm.table import read_table

SMALL = ["--frames", "12", "--width-px", "40", "--height-px", "30", "--device", "cpu"]


def simulate(path: Path, *words: str, progress=silent):
    return job_from_words(Simulate, ["--output", str(path), *SMALL, *words]).run(progress)


def test_a_movie_its_truth_its_settings_and_a_picture(tmp_path):
    result = simulate(tmp_path / "movie.tif", "--density-per-um2", "2", "--pixel-size-nm", "120")
    assert result.outputs["n_frames"] == 12
    movie = open_image(result.outputs["image"])
    assert dict(movie.sizes) == {"t": 12, "y": 30, "x": 40}
    assert movie.dtype == np.uint16
    assert movie.attrs["pixel_size_nm"] == pytest.approx({"y": 120, "x": 120})
    truth = read_table(result.outputs["truth"], pixel_size_nm=120.0)
    assert len(truth) == result.outputs["n_emitters"]
    assert truth["frame"].between(1, 12).all()
    heading = Path(str(result.outputs["truth"])).read_text().splitlines()[0]
    assert heading == (
        '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]",'
        '"offset [photon]","bkgstd [photon]"'
    )
    with Image.open(str(result.outputs["picture"])) as picture:
        assert picture.width > 2 * picture.height
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "home") == [
        "movie.png", "movie.settings.json", "movie.tif", "movie.truth.csv",
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        simulate(tmp_path / f"{name}.tif", "--seed", "7")
    simulate(tmp_path / "c.tif", "--seed", "8")
    for end in (".tif", ".truth.csv", ".settings.json", ".png"):
        first = (tmp_path / f"a{end}").read_bytes()
        assert first == (tmp_path / f"b{end}").read_bytes()
        assert first != (tmp_path / f"c{end}").read_bytes()


def test_its_settings_repeat_a_movie_and_can_be_changed(tmp_path):
    first = simulate(tmp_path / "a.tif", "--preset", "challenge", "--structure", "pores")
    settings = str(first.outputs["settings"])
    words = ["--output", str(tmp_path / "b.tif"), "--settings", settings, "--device", "cpu"]
    job_from_words(Simulate, words).run(silent)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    words = ["--output", str(tmp_path / "c.tif"), "--settings", settings, "--em-gain", "50"]
    job_from_words(Simulate, words).run(silent)
    changed = read_settings(tmp_path / "c.settings.json")
    assert changed.camera.em_gain == 50
    assert changed.structure == read_settings(settings).structure


def test_every_option_reaches_the_settings(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", np.eye(8, dtype=np.uint8))
    simulate(
        tmp_path / "m.tif",
        *("--preset", "thunderstorm", "--photons-min", "80", "--photons-max", "2050"),
        *("--fwhm-min-nm", "210", "--fwhm-max-nm", "290", "--background-photons", "21"),
        *("--background-variation", "0.2", "--background-image", str(tmp_path / "mask.tif")),
        *("--mask", str(tmp_path / "mask.tif"), "--on-time", "3", "--bleach-time", "500"),
        *("--camera", "emccd", "--quantum-efficiency", "0.8", "--offset-adu", "99"),
        *("--electrons-per-adu", "5", "--read-noise-e", "6", "--em-gain", "70"),
        *("--drift-nm", "40", "--drift-angle-deg", "30", "--seed", "3"),
    )
    made = json.loads((tmp_path / "m.settings.json").read_text())
    assert made["photons"] == {"kind": "uniform", "low": 80, "high": 2050}
    assert np.array(made["psf"]["sigma_nm"]) * 2.35482 == pytest.approx([210, 290], rel=1e-5)
    assert made["camera"] | {"spurious_charge_e": 0, "bit_depth": 0} == {
        "kind": "emccd", "pixel_size_nm": 80, "quantum_efficiency": 0.8, "offset_adu": 99,
        "electrons_per_adu": 5, "read_noise_e": 6, "em_gain": 70, "spurious_charge_e": 0,
        "bit_depth": 0,
    }  # fmt: skip
    assert made["structure"]["kind"] == "mask"
    assert made["blinking"]["on_frames"] == 3
    assert made["blinking"]["bleach_frames"] == 500
    assert (made["drift_nm"], made["drift_angle_deg"], made["seed"]) == (40, 30, 3)
    assert made["background_variation"] == 0.2


def test_heights_of_a_computed_spot(tmp_path):
    simulate(tmp_path / "v.tif", "--psf", "vectorial", "--z-min-nm", "-200", "--z-max-nm", "100")
    truth = read_table(tmp_path / "v.truth.csv", pixel_size_nm=100.0)
    assert truth["z_nm"].between(-200, 100).all()


def test_a_movie_like_a_table(tmp_path):
    job_from_words(
        Simulate,
        [
            *("--output", str(tmp_path / "a.tif"), "--preset", "smlm-benchmark"),
            *("--frames", "100", "--photons-min", "400", "--photons-max", "400"),
            *("--background-photons", "33", "--device", "cpu"),
        ],
    ).run(silent)
    result = simulate(
        tmp_path / "b.tif", "--like", str(tmp_path / "a.truth.csv"), "--pixel-size-nm", "100"
    )
    made = read_settings(tmp_path / "b.settings.json")
    assert made.photons.median == pytest.approx(400)
    assert made.background_photons == pytest.approx(33)
    assert made.density_per_um2 == pytest.approx(1.0, rel=0.05)
    assert any("Background 33" in line for line in result.summary)


def test_a_table_of_a_few_rows_is_refused(tmp_path):
    simulate(tmp_path / "a.tif", "--density-per-um2", "0.05", "--preset", "smlm-benchmark")
    with pytest.raises(TableError, match="at least 40"):
        simulate(
            tmp_path / "b.tif", "--like", str(tmp_path / "a.truth.csv"), "--pixel-size-nm", "100"
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--photons-min", "5"], "only one was given"),
        (["--photons-min", "5", "--photons-max", "2"], "5 is above 2"),
        (["--fwhm-min-nm", "400", "--fwhm-max-nm", "300"], "least is above the greatest"),
        (["--psf", "astigmatic", "--fwhm-min-nm", "400"], "has its own width"),
        (["--z-min-nm", "0"], "doesn't take heights"),
        (["--structure", "mask"], "a mask needs an image"),
        (["--structure", "pores", "--mask", "m.tif"], "it has no image"),
        (["--em-gain", "30"], "multiplies nothing"),
        (["--on-time", "0", "--bleach-time", "30"], "can't bleach"),
        (["--mask", "nowhere.tif"], "no such file"),
        (["--settings", "nowhere.json"], "can't be read"),
        (["--device", "cuda:77"], "cuda"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, words, message):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=message):
        job_from_words(Simulate, ["--output", str(tmp_path / "m.tif"), *words]).run(silent)
    assert sorted(tmp_path.iterdir()) == before


def test_settings_with_a_misspelt_key_are_refused(tmp_path):
    (tmp_path / "s.json").write_text('{"n_frame": 3}')
    with pytest.raises(InputError, match=r"s\.json: n_frame: Extra inputs"):
        read_settings(tmp_path / "s.json")


def test_nothing_is_replaced_unless_asked(tmp_path):
    simulate(tmp_path / "m.tif")
    (tmp_path / "m.tif").unlink()
    with pytest.raises(OutputError, match=r"m\.truth\.csv: the output is there already"):
        simulate(tmp_path / "m.tif")
    assert not (tmp_path / "m.tif").exists()
    simulate(tmp_path / "m.tif", "--overwrite")
    assert (tmp_path / "m.tif").exists()


def test_a_stopped_run_leaves_nothing(tmp_path):
    def stop(done, total, note=""):
        raise Cancelled

    before = sorted(tmp_path.iterdir())
    with pytest.raises(Cancelled):
        simulate(tmp_path / "m.tif", progress=stop)
    assert sorted(tmp_path.iterdir()) == before
