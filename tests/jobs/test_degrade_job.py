"""The job ``degrade`` as a shell user runs it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from PIL import Image
from scipy.special import erf

from bridge.cli import main
from bridge.images.read import find_images, open_image
from bridge.images.write import write_image
from bridge.restoration.beads import fit_bead, measure_beads

PIXEL = {"y": 65.0, "x": 65.0}


def beads(path: Path, sigma_nm: float, *, seed: int = 0, **attrs) -> Path:
    """Write an image of 16 beads, 160 x 160 pixels of 65 nm."""
    rng = np.random.default_rng(seed)
    edges = np.arange(161)
    image = np.full((160, 160), 20.0)
    for number in range(16):
        middle = (np.array(divmod(number, 4)) + 0.5) * 40 + rng.uniform(-2, 2, 2)
        share = [np.diff(erf((edges - m) / (math.sqrt(2) * sigma_nm / 65))) / 2 for m in middle]
        image += 20_000 * share[0][:, None] * share[1]
    pixels = rng.poisson(image).astype(np.uint16)
    attrs = {"pixel_size_nm": PIXEL} | attrs
    write_image(path, xr.DataArray(pixels, dims=("y", "x"), attrs=attrs))
    return path


@pytest.fixture
def degrade(capsys):
    def run(*words: object):
        exit_code = main(["degrade", *map(str, words)])
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_a_confocal_image_gets_the_widefield_width(degrade, tmp_path):
    confocal = beads(tmp_path / "confocal.tif", 90.0)
    wide = beads(tmp_path / "wide.tif", 150.0, seed=1)
    exit_code, status = degrade(
        *("--input", confocal, "--output", tmp_path / "degraded.tif"),
        *("--widefield-beads", wide, "--confocal-beads", confocal),
    )
    assert exit_code == 0
    outputs = status["outputs"]
    assert outputs["sigma_nm"] == pytest.approx(120, rel=0.01)  # 3, 4, 5
    assert outputs["sigma_px"] == pytest.approx(120 / 65, rel=0.01)
    assert outputs["widefield_fwhm_nm"] == pytest.approx(150 * 2.3548, rel=0.01)
    degraded = open_image(tmp_path / "degraded.tif")
    assert degraded.attrs["pixel_size_nm"] == PIXEL
    assert measure_beads(degraded).sigma_nm == pytest.approx(150, rel=0.01)
    report = json.loads((tmp_path / "degraded.report.json").read_text("utf-8"))
    assert report["widefield"]["source"] == "beads"
    assert report["images"][0]["sigma_nm"] == outputs["sigma_nm"]
    with Image.open(outputs["picture"]) as picture:
        assert np.asarray(picture.convert("L"), float).std() > 5
    assert status["warnings"] == []


def test_pixels_are_joined_after_the_blur_and_the_size_follows(degrade, tmp_path):
    source = beads(tmp_path / "confocal.tif", 130.0)
    fwhm = ("--widefield-fwhm-nm", 400, "--confocal-fwhm-nm", 306.13)
    _, status = degrade("--input", source, "--output", tmp_path / "d.tif", "--factor", 2, *fwhm)
    assert status["outputs"]["pixel_size_nm"] == 130
    coarse = open_image(tmp_path / "d.tif")
    assert coarse.attrs["pixel_size_nm"] == {"y": 130.0, "x": 130.0}
    assert coarse.shape == (80, 80)
    assert float(coarse.mean()) == pytest.approx(float(open_image(source).mean()), rel=1e-5)
    assert measure_beads(coarse).sigma_nm == pytest.approx(400 / 2.3548, rel=0.02)


def test_stacks_keep_their_axes_and_folders_their_names(degrade, tmp_path):
    folder = tmp_path / "confocal"
    folder.mkdir()
    rng = np.random.default_rng(0)
    stack = xr.DataArray(
        rng.random((2, 3, 21, 34), np.float32),
        dims=("t", "z", "y", "x"),
        attrs={"pixel_size_nm": {"z": 300.0, **PIXEL}},
    )
    write_image(folder / "a.tif", stack)
    write_image(folder / "b.tif", stack.isel(t=0))
    exit_code, status = degrade(
        *("--input", folder, "--output", tmp_path / "widefield", "--factor", 2),
        *("--widefield-fwhm-nm", 300, "--confocal-fwhm-nm", 180),
    )
    assert exit_code == 0
    assert [p.name for p in find_images([tmp_path / "widefield"])] == ["a.tif", "b.tif"]
    degraded = open_image(tmp_path / "widefield" / "a.tif")
    assert dict(degraded.sizes) == {"t": 2, "z": 3, "y": 10, "x": 17}
    assert degraded.attrs["pixel_size_nm"]["z"] == 300
    alone = open_image(tmp_path / "widefield" / "b.tif")
    np.testing.assert_array_equal(degraded.isel(t=0), alone)
    assert any("1 rows and 0 columns" in warning for warning in status["warnings"])
    assert (tmp_path / "widefield.png").is_file()


def test_noise_is_that_of_the_photons_and_repeats_with_its_seed(degrade, tmp_path):
    flat = xr.DataArray(
        np.full((200, 200), 300, np.uint16), dims=("y", "x"), attrs={"pixel_size_nm": PIXEL}
    )
    write_image(tmp_path / "flat.tif", flat)
    words = ("--input", tmp_path / "flat.tif", "--widefield-fwhm-nm", 300)
    words += ("--confocal-fwhm-nm", 180, "--dark", 100, "--photons", 40, "--background", 0.5)
    words += ("--read-noise", 3, "--offset", 100)
    images = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        degrade(*words, "--output", tmp_path / f"{name}.tif", "--seed", seed)
        images.append(open_image(tmp_path / f"{name}.tif").values)
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()
    assert images[0].mean() == pytest.approx(160, abs=0.3)
    assert images[0].var() == pytest.approx(69, rel=0.04)


def test_the_optics_say_both_psfs(degrade, tmp_path):
    source = beads(tmp_path / "confocal.tif", 90.0)
    _, status = degrade(
        *("--input", source, "--output", tmp_path / "d.tif"),
        *("--numerical-aperture", 1.2, "--emission-nm", 600, "--spots-per-px", 0.01),
    )
    assert status["outputs"]["sigma_nm"] == pytest.approx(0.225 * 600 / 1.2 / math.sqrt(2))
    window = open_image(tmp_path / "d.tif").values
    assert window.mean() > 1.5 * open_image(source).values.mean()  # the spots' light


def test_half_a_theory_is_warned_of(degrade, tmp_path):
    source = beads(tmp_path / "confocal.tif", 90.0)
    exit_code, status = degrade(
        *("--input", source, "--output", tmp_path / "d.tif", "--confocal-beads", source),
        *("--numerical-aperture", 0.8, "--emission-nm", 600),
    )
    assert exit_code == 0
    assert any("calculated from the optics" in warning for warning in status["warnings"])


FWHM = ("--widefield-fwhm-nm", 300, "--confocal-fwhm-nm", 180)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--widefield-fwhm-nm", 180, "--confocal-fwhm-nm", 300), "wrong way round"),
        (("--widefield-fwhm-nm", 180.2, "--confocal-fwhm-nm", 180), "sigma is"),
        (("--widefield-fwhm-nm", 300), "nothing says how wide the confocal PSF is"),
        (("--numerical-aperture", 1.4), "one is missing"),
        ((*FWHM, "--numerical-aperture", 1.4, "--emission-nm", 500), "optics are given too"),
        ((*FWHM, "--confocal-beads", "x.tif"), "a FWHM and beads"),
        ((*FWHM, "--read-noise", 2), "no photons"),
        ((*FWHM, "--photons", 20, "--dark", 1e6), "above the dark one"),
        ((*FWHM, "--factor", 64), "the factor is 64"),
    ],
)
def test_the_impossible_is_a_sentence_and_leaves_no_file(degrade, tmp_path, words, found):
    plane = xr.DataArray(
        np.random.default_rng(0).random((40, 40), np.float32),
        dims=("y", "x"),
        attrs={"pixel_size_nm": PIXEL},
    )
    write_image(tmp_path / "in.tif", plane)
    exit_code, status = degrade(
        "--input", tmp_path / "in.tif", "--output", tmp_path / "d.tif", *words
    )
    assert exit_code == 2
    assert found in f"{status['error']['found']} {status['error']['what']}"
    assert status["error"]["remedy"] or status["error"]["expected"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["in.tif"]


def test_images_without_a_pixel_size_are_refused_until_it_is_given(degrade, tmp_path):
    beads(tmp_path / "in.tif", 90.0, pixel_size_nm={})
    words = ("--input", tmp_path / "in.tif", "--output", tmp_path / "d.tif", *FWHM)
    assert degrade(*words)[1]["error"]["remedy"] == "Give --pixel-size-nm."
    exit_code, _ = degrade(*words, "--pixel-size-nm", 65)
    assert exit_code == 0
    window = open_image(tmp_path / "d.tif").values[:40, :40]
    assert fit_bead(window, sigma_px=2).sigma_px == pytest.approx(
        math.hypot(90 / 65, 240 / 2.3548 / 65), rel=0.02
    )


def test_inputs_and_outputs_are_not_overwritten_by_mistake(degrade, tmp_path):
    source = beads(tmp_path / "in.tif", 90.0)
    same = degrade("--input", source, "--output", source, *FWHM)[1]
    assert "image that is read" in same["error"]["found"]
    words = ("--input", source, "--output", tmp_path / "d.tif", *FWHM)
    assert degrade(*words)[0] == 0
    assert degrade(*words)[1]["error"]["found"] == "the output is there already"
    assert degrade(*words, "--overwrite")[0] == 0
