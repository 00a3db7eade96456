"""The width of a PSF from images of beads whose width is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from scipy.special import erf

from bridge.errors import ImageError
from bridge.restoration.beads import fit_bead, measure_beads
from bridge.restoration.kernel import kernel_between


def bead_image(
    sigma_px: float | tuple[float, float],
    *,
    n_beads: int = 25,
    edge: int = 256,
    photons: float = 8000.0,
    seed: int = 0,
    crowded: bool = False,
) -> xr.DataArray:
    """Beads at random sub-pixel places on a jittered grid, with shot noise; 65 nm pixels."""
    rng = np.random.default_rng(seed)
    sigma_y, sigma_x = (sigma_px, sigma_px) if isinstance(sigma_px, float) else sigma_px
    side = math.ceil(math.sqrt(n_beads))
    pitch = edge / side
    edges = np.arange(edge + 1)
    image = np.full((edge, edge), 12.0)
    places = []
    for number in range(n_beads):
        middle = (np.array(divmod(number, side)) + 0.5) * pitch + rng.uniform(-0.1, 0.1, 2) * pitch
        places.append(middle)
        if crowded and number % 3 == 0:
            places.append(middle + 2.5 * max(sigma_y, sigma_x))
    for y, x in places:
        share = [
            np.diff(erf((edges - m) / (math.sqrt(2) * s))) / 2
            for m, s in ((y, sigma_y), (x, sigma_x))
        ]
        image += photons * rng.lognormal(0, 0.2) * share[0][:, None] * share[1]
    return xr.DataArray(
        rng.poisson(image).astype(np.float32),
        dims=("y", "x"),
        attrs={"pixel_size_nm": {"y": 65.0, "x": 65.0}, "source": "beads.tif"},
    )


@pytest.mark.parametrize("sigma_px", [0.7, 1.3, 2.0, 4.0])
def test_the_width_is_found_whatever_it_is(sigma_px):
    light = 8000 * max(1.0, sigma_px**2 / 4)
    found = measure_beads(bead_image(sigma_px, photons=light))
    assert found.n_beads >= 20
    assert found.sigma_nm == pytest.approx(sigma_px * 65, rel=0.01)
    assert found.fwhm_nm == pytest.approx(sigma_px * 65 * 2.3548, rel=0.01)
    assert abs(found.sigma_nm - sigma_px * 65) < 4 * found.width.error_nm + 0.002 * found.sigma_nm
    assert found.warnings == ()


def test_the_spread_is_that_of_the_beads():
    few = measure_beads(bead_image(1.5, photons=1000))
    many = measure_beads(bead_image(1.5, photons=16000))
    assert few.spread_nm / many.spread_nm == pytest.approx(4, rel=0.5)


def test_crowded_beads_are_left_out():
    found = measure_beads(bead_image(1.5, crowded=True))
    assert found.n_beads <= 17
    assert found.n_left_out >= 8
    assert found.sigma_nm == pytest.approx(1.5 * 65, rel=0.01)


def test_aggregates_and_hot_pixels_do_not_count():
    image = bead_image(1.5)
    wide = bead_image(2.6, n_beads=4, photons=30000, seed=1)
    image[128:, 128:] = wide[128:, 128:]
    image[40, 200] = 4000
    found = measure_beads(image)
    assert found.sigma_nm == pytest.approx(1.5 * 65, rel=0.02)


def test_saturated_beads_are_left_out():
    image = bead_image(2.0)
    top = float(np.quantile(image, 0.9995))
    found = measure_beads(image.clip(max=round(top)))
    clean = measure_beads(image)
    assert found.n_left_out > clean.n_left_out
    assert found.sigma_nm == pytest.approx(130, rel=0.02)


def test_beads_that_are_not_round_are_measured_and_told():
    found = measure_beads(bead_image((1.5, 2.1)))
    assert found.sigma_y_nm == pytest.approx(1.5 * 65, rel=0.015)
    assert found.sigma_x_nm == pytest.approx(2.1 * 65, rel=0.015)
    assert "along one axis" in found.warnings[0]


def test_the_sharpest_slice_is_taken_and_frames_are_averaged():
    frames = [bead_image(1.5, seed=0)] * 2
    slices = [bead_image(s, seed=0) for s in (3.0, 2.0, 1.5, 2.0)]
    assert measure_beads(xr.concat(slices, "z")).sigma_nm == pytest.approx(97.5, rel=0.01)
    assert measure_beads(xr.concat(frames, "t")).sigma_nm == pytest.approx(97.5, rel=0.01)


def test_two_bead_images_give_the_kernel_between():
    narrow, wide = measure_beads(bead_image(1.2)), measure_beads(bead_image(2.0, seed=1))
    kernel = kernel_between(wide.width, narrow.width, pixel_size_nm=65.0)
    assert kernel.sigma_px == pytest.approx(1.6, rel=0.01)  # 3, 4, 5
    assert kernel.warnings == ()
    assert kernel.error_nm < 0.02 * kernel.sigma_nm


def test_a_pixel_integrated_fit_is_exact_and_a_sampled_one_is_not():
    edges = np.arange(22)
    share = np.diff(erf((edges - 10.3) / (math.sqrt(2) * 0.7))) / 2
    fit = fit_bead(500 * share[:, None] * share + 3, sigma_px=1.2)
    assert fit.sigma_px == pytest.approx(0.7, rel=1e-4)
    assert (fit.y_px, fit.x_px) == (pytest.approx(10.3, abs=1e-4),) * 2
    assert fit.explained == pytest.approx(1)


def test_an_image_without_beads_is_refused():
    noise = bead_image(1.5, n_beads=1, photons=0)
    with pytest.raises(ImageError, match="beads"):
        measure_beads(noise)
    with pytest.raises(ImageError, match="beads"):
        measure_beads(noise * 0)


def test_two_beads_are_too_few():
    with pytest.raises(ImageError, match="at least 3"):
        measure_beads(bead_image(1.5, n_beads=2, edge=96))


def test_few_beads_are_told():
    found = measure_beads(bead_image(1.5, n_beads=5))
    assert "only" in found.warnings[0]


def test_what_cannot_be_used_is_refused_with_a_remedy():
    image = bead_image(1.5)
    with pytest.raises(ImageError, match="pixel size"):
        measure_beads(image.drop_attrs())
    assert measure_beads(image.drop_attrs(), pixel_size_nm=130).sigma_nm == pytest.approx(
        195, rel=0.01
    )
    with pytest.raises(ImageError, match="square"):
        measure_beads(image.assign_attrs(pixel_size_nm={"y": 60.0, "x": 65.0}))
    with pytest.raises(ImageError, match="2 channels"):
        measure_beads(xr.concat([image, image], "c"))
