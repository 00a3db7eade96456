"""Spots have the photons, centre and width that they were asked for."""

from __future__ import annotations

import sys

import numpy as np
import psfmodels
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.integrate import dblquad

from bridge.errors import ImageError, InputError
from bridge.smlm import psf_gaussian
from bridge.smlm.psf import (
    FWHM_PER_SIGMA,
    Astigmatic,
    Computed,
    Defocus,
    IntegratedGaussian,
    Measured,
    Psf,
)
from bridge.smlm.psf_gaussian import render_gaussians

SHAPE = (41, 47)


def draw(psf, x, y, *, z=0.0, photons=1000.0, sigma_nm=130.0, shape=SHAPE, pixel_size_nm=100.0):
    """Draw one spot, as float64 (y, x)."""
    values = (x, y, z, photons, sigma_nm)
    spot = (torch.tensor([[value]]) for value in values)
    return psf.render(*spot, pixel_size_nm=pixel_size_nm, shape=shape)[0].double().numpy()


def moments(image):
    """Give the sum, centre (x, y) and standard deviation (x, y) of a spot, in pixels."""
    total = image.sum()
    out = []
    for axis in (0, 1):
        profile = image.sum(axis=axis) / total
        place = np.arange(len(profile)) + 0.5
        centre = (profile * place).sum()
        out.append((centre, np.sqrt((profile * (place - centre) ** 2).sum())))
    (x, sx), (y, sy) = out
    return total, (x, y), (sx, sy)


@settings(max_examples=40, deadline=None)
@given(x=st.floats(18, 22), y=st.floats(18, 22), sigma_nm=st.floats(60, 250))
def test_a_gaussian_has_its_photons_centre_and_width(x, y, sigma_nm):
    total, centre, widths = moments(draw(IntegratedGaussian(), x, y, sigma_nm=sigma_nm))
    assert total == pytest.approx(1000, rel=1e-5)
    assert centre == pytest.approx((x, y), abs=1e-3)
    assert widths == pytest.approx([np.sqrt((sigma_nm / 100) ** 2 + 1 / 12)] * 2, abs=1e-3)


def test_the_spot_of_the_facts_is_1_3317_pixels_wide():
    assert moments(draw(IntegratedGaussian(), 20.3, 20.7))[2] == pytest.approx(
        (1.3317, 1.3317), abs=2e-4
    )


def test_a_pixel_gets_the_integral_over_its_area():
    image = draw(IntegratedGaussian(), 3.2, 2.9, photons=1.0, shape=(6, 7))

    def density(y, x):
        away = ((x - 3.2) ** 2 + (y - 2.9) ** 2) / 1.3**2
        return np.exp(-away / 2) / (2 * np.pi * 1.3**2)

    for row, column in [(0, 0), (2, 3), (5, 1), (3, 6)]:
        exact, _ = dblquad(density, column, column + 1, row, row + 1)
        assert image[row, column] == pytest.approx(exact, rel=1e-4, abs=1e-7)


def test_light_beyond_the_border_is_lost_and_an_emitter_outside_shines_in():
    gaussian = IntegratedGaussian()
    assert draw(gaussian, 0.0, 20.0).sum() == pytest.approx(500, rel=1e-4)
    assert draw(gaussian, -1.3, 20.0).sum() == pytest.approx(1000 * 0.158655, rel=1e-3)


def test_windows_give_what_matrices_give(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x, y, photons, sx, sy = torch.rand(5, 3, 50, generator=generator)
    spots = (x * 90 - 5, y * 70 - 5, photons * (photons > 0.3), 0.7 + sx, 0.7 + sy)
    dense = render_gaussians(*spots, shape=(60, 80))
    monkeypatch.setattr(psf_gaussian, "_SMALL_PX", 0)
    monkeypatch.setattr(psf_gaussian, "_MAX_VALUES", 1000)  # several rounds
    windows = render_gaussians(*spots, shape=(60, 80))
    assert torch.allclose(dense, windows, atol=2e-6)


@pytest.mark.parametrize("small_px", [0, 1 << 20])
def test_no_emitters_give_a_dark_picture(monkeypatch, small_px):
    monkeypatch.setattr(psf_gaussian, "_SMALL_PX", small_px)
    for n in (0, 2):
        nothing = torch.zeros(3, n)
        image = render_gaussians(nothing, nothing, nothing, nothing + 1, nothing + 1, shape=(5, 6))
        assert image.shape == (3, 5, 6)
        assert not image.any()


def test_widths_are_drawn_from_the_whole_range_of_fwhm():
    psf = IntegratedGaussian.from_fwhm(200.0, 350.0)
    sigma_nm = psf.draw_sigma_nm(100, 100, generator=torch.Generator().manual_seed(0))
    assert float(sigma_nm.min()) == pytest.approx(200 / FWHM_PER_SIGMA, abs=0.1)
    assert float(sigma_nm.max()) == pytest.approx(350 / FWHM_PER_SIGMA, abs=0.1)
    assert float(sigma_nm.mean()) == pytest.approx(275 / FWHM_PER_SIGMA, abs=1)
    with pytest.raises(ValidationError, match="lower one"):
        IntegratedGaussian.from_fwhm(300.0, 200.0)


@pytest.mark.parametrize("z", [-300.0, 0.0, 200.0])
def test_an_astigmatic_spot_follows_its_calibration(z):
    lens = Astigmatic(
        along_x=Defocus(sigma_nm=140.0, focus_nm=180.0, depth_nm=350.0, a=0.05, b=0.02),
        along_y=Defocus(sigma_nm=135.0, focus_nm=-160.0, depth_nm=420.0),
    )
    u = (z - 180) / 350
    expected_x = 140 * np.sqrt(1 + u**2 + 0.05 * u**3 + 0.02 * u**4)
    expected_y = 135 * np.sqrt(1 + ((z + 160) / 420) ** 2)
    total, centre, (sx, sy) = moments(draw(lens, 23.4, 20.6, z=z))
    assert total == pytest.approx(1000, rel=1e-5)
    assert centre == pytest.approx((23.4, 20.6), abs=1e-3)
    assert sx == pytest.approx(np.sqrt((expected_x / 100) ** 2 + 1 / 12), abs=1e-3)
    assert sy == pytest.approx(np.sqrt((expected_y / 100) ** 2 + 1 / 12), abs=1e-3)


def test_a_calibration_without_a_width_somewhere_is_refused():
    with pytest.raises(ValidationError, match="isn't above 0"):
        Astigmatic(along_x=Defocus(a=-3.0), heights_nm=(-500.0, 900.0))


@pytest.mark.parametrize("kind", ["vectorial", "gibson-lanni"])
@pytest.mark.parametrize(("x", "y", "z"), [(20.5, 20.5, 0.0), (20.31, 19.93, 333.0)])
def test_a_computed_spot_has_its_photons_and_centre(kind, x, y, z):
    psf = Computed(kind=kind, heights_nm=(-400.0, 400.0))
    total, centre, _ = moments(draw(psf, x, y, z=z))
    assert total == pytest.approx(1000, rel=1e-5)
    assert centre == pytest.approx((x, y), abs=1e-3)


def test_a_computed_spot_is_that_of_the_library_on_camera_pixels():
    psf = Computed(kind="vectorial", radius_nm=2000.0)
    ours = draw(psf, 20.5, 20.5, photons=1.0, shape=(41, 41))
    theirs = psfmodels.make_psf(
        [0.0], 41, dxy=0.1, NA=1.4, wvl=0.68, ns=1.33, ni=1.515, ni0=1.515, oversample_factor=9
    )[0]
    half = np.arange(41) - 20
    theirs = theirs / theirs[np.hypot(half[:, None], half) <= 20].sum()
    assert np.abs(ours - theirs)[15:26, 15:26].max() < 0.02 * theirs.max()


def test_a_spot_deep_in_water_is_sharpest_at_height_0():
    psf = Computed(depth_nm=2000.0, heights_nm=(-400.0, 400.0))
    peaks = [draw(psf, 20.5, 20.5, z=z).max() for z in (-300.0, 0.0, 300.0)]
    assert peaks[1] == max(peaks)


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psfmodels", None)
    with pytest.raises(InputError, match=r"pip install 'zoobridge\[psf\]'"):
        draw(Computed(wavelength_nm=601.0), 20.0, 20.0)


def write_bead(path, *, pixel_nm, sigma_nm=130.0, centre=(15.2, 16.7), edge=33):
    """Write a z-stack of a bead whose width grows away from the middle slice."""
    planes = [
        draw(
            IntegratedGaussian(), *centre, photons=50_000.0,
            sigma_nm=sigma_nm * (1 + abs(k) / 10), shape=(edge, edge), pixel_size_nm=pixel_nm,
        )
        for k in (-2, -1, 0, 1, 2)
    ]  # fmt: skip
    tifffile.imwrite(path, (np.stack(planes) + 100).astype(np.float32), metadata={"axes": "ZYX"})


@pytest.mark.parametrize("bead_pixel_nm", [100.0, 50.0])
def test_a_measured_spot_is_that_of_the_bead(tmp_path, bead_pixel_nm):
    path = tmp_path / "bead.tif"
    edge = round(3300 / bead_pixel_nm)
    write_bead(path, pixel_nm=bead_pixel_nm, centre=(edge / 2 - 0.3, edge / 2 + 0.4), edge=edge)
    psf = Measured(path=path, step_z_nm=100.0, stack_pixel_size_nm=bead_pixel_nm)
    assert psf.z_range_nm() == (-200.0, 200.0)
    for z, factor in ((0.0, 1.0), (200.0, 1.2)):
        total, centre, widths = moments(draw(psf, 20.2, 20.9, z=z))
        assert total == pytest.approx(1000, rel=1e-4)
        assert centre == pytest.approx((20.2, 20.9), abs=0.02)
        # the fine steps' interpolation adds at most 0.0052 px^2
        expected = np.sqrt((1.3 * factor) ** 2 + 1 / 12)
        assert widths == pytest.approx((expected, expected), rel=0.02)


def test_a_bead_of_unknown_or_too_large_pixels_is_refused(tmp_path):
    path = tmp_path / "bead.tif"
    write_bead(path, pixel_nm=100.0)
    with pytest.raises(ImageError, match="pixel size is not known"):
        draw(Measured(path=path), 20.0, 20.0)
    with pytest.raises(ImageError, match="200 nm wide"):
        draw(Measured(path=path, stack_pixel_size_nm=200.0), 20.0, 20.0)


def test_the_kind_tells_point_spread_functions_apart():
    adapter = TypeAdapter(Psf)
    for psf in (IntegratedGaussian(), Astigmatic(), Computed(kind="gibson-lanni")):
        assert adapter.validate_json(adapter.dump_json(psf)) == psf
    with pytest.raises(ValidationError):
        adapter.validate_python({"kind": "astigmatic", "sigma_nm": (1, 2)})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("psf", [IntegratedGaussian(), Computed()], ids=lambda p: p.kind)
@pytest.mark.parametrize("edge", [40, 300])
def test_the_gpu_draws_what_the_processor_draws(psf, edge):
    spots = torch.rand(5, 2, 30, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([edge, edge, 0.0, 1000.0, 100.0])[:, None, None]
    spots = spots * scale + torch.tensor([0.0, 0, 0, 1, 60])[:, None, None]
    images = [
        psf.render(*spots.to(device), pixel_size_nm=100.0, shape=(edge, edge)).cpu()
        for device in ("cpu", "cuda")
    ]
    assert torch.allclose(*images, atol=1e-2)
