"""SQUIRREL's figures where PSF, scale and offset are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from bridge.errors import ImageError
from bridge.quality.consistency import compare_with_widefield

SIGMA_NM = 130.0


@pytest.fixture(scope="module")
def widefield(segments_image) -> xr.DataArray:
    """3 x the image blurred by 130 nm at 80 nm pixels, + 50, with photon noise."""
    blurred = gaussian_filter(segments_image.values, SIGMA_NM / 5)
    light = 3 * blurred.reshape(64, 16, 64, 16).sum((1, 3)) + 50
    noisy = np.random.default_rng(0).poisson(light)
    return xr.DataArray(
        noisy, dims=("y", "x"), attrs={"pixel_size_nm": {"y": 80.0, "x": 80.0}, "light": light}
    )


def test_psf_scale_and_offset_are_recovered_without_noise(segments_image, widefield):
    exact = widefield.copy(data=widefield.attrs["light"])
    result = compare_with_widefield(segments_image, exact)
    assert result.sigma_nm == pytest.approx(SIGMA_NM, rel=2e-3)
    assert result.alpha == pytest.approx(3 * 16**2, rel=2e-3)
    assert result.beta == pytest.approx(50, rel=2e-3)
    assert result.rsp > 0.9999
    assert result.rse < 0.01 * exact.values.std()


def test_a_good_image_is_told_from_one_with_a_quadrant_missing(segments_image, widefield):
    good = compare_with_widefield(segments_image, widefield)
    assert good.sigma_nm == pytest.approx(SIGMA_NM, rel=0.03)
    assert good.rsp == pytest.approx(0.965, abs=0.01)
    erased = segments_image.copy(deep=True)
    erased[:512, :512] = 0
    bad = compare_with_widefield(erased, widefield)
    assert good.rsp - bad.rsp > 0.1
    assert bad.rse > 1.8 * good.rse
    quadrants = bad.error_map.values.reshape(2, 32, 2, 32).mean((1, 3))
    assert quadrants.argmax() == 0, "the error map shows where"


def test_scale_and_offset_of_the_image_do_not_matter(segments_image, widefield):
    plain = compare_with_widefield(segments_image, widefield)
    changed = compare_with_widefield(segments_image * 0.01 + 4, widefield)
    assert changed.rsp == pytest.approx(plain.rsp, abs=1e-6)
    assert changed.rse == pytest.approx(plain.rse, rel=1e-5)
    assert plain.error_map.dims == ("y", "x")
    assert plain.error_map.attrs["pixel_size_nm"] == {"y": 80.0, "x": 80.0}
    assert np.sqrt((plain.error_map.astype(float) ** 2).mean()) == pytest.approx(plain.rse, 1e-5)


def test_pixels_need_no_whole_ratio(segments_image, widefield):
    coarser = segments_image.values[:1000, :1000]
    light = gaussian_filter(coarser, 26)
    edges = np.linspace(0, 1000, 61).round().astype(int)  # 60 pixels of 16 or 17
    sums = np.add.reduceat(np.add.reduceat(light, edges[:-1], 0), edges[:-1], 1)
    means = sums / np.outer(np.diff(edges), np.diff(edges))
    image = xr.DataArray(coarser, dims=("y", "x"))
    result = compare_with_widefield(image, xr.DataArray(means, dims=("y", "x")))
    assert result.sigma_nm * 1000 / 60 == pytest.approx(26, rel=0.02), "in widefield pixels"
    assert result.rsp > 0.999


def test_images_of_different_fields_are_refused(segments_image, widefield):
    with pytest.raises(ImageError, match="same field"):
        compare_with_widefield(segments_image[:, :512], widefield)
    with pytest.raises(ImageError, match="has more pixels"):
        compare_with_widefield(widefield, segments_image)
    with pytest.raises(ImageError, match="constant or not finite"):
        compare_with_widefield(segments_image * 0, widefield)
    with pytest.raises(ImageError, match="a plane"):
        compare_with_widefield(segments_image.expand_dims("t"), widefield)
