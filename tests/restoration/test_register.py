"""Known shifts, blurs and strangers: what registration finds on noisy images."""

import math

import numpy as np
import pytest
from scipy import ndimage

from bridge.images.blur import FWHM_PER_SIGMA
from bridge.restoration.exposure import PairConditions, draw_clean_pair
from bridge.restoration.register import agreement, chance_agreement, move, register


def noisy_pair(structure, shift, *, scale=1, seed=0, photons=60.0, haze=0.0, edge_px=256):
    """Give an input, and a target that needs ``shift`` (input pixels) to lie on it; both noisy."""
    rng = np.random.default_rng(seed)
    conditions = PairConditions(scale=scale, edge_px=edge_px)
    pair = draw_clean_pair(conditions, structure, rng)
    off = ndimage.fourier_shift(np.fft.fftn(pair.target), -np.array(shift) * scale)
    target = np.fft.ifftn(off).real.clip(0)
    peak = pair.input.max()
    cloud = ndimage.gaussian_filter(rng.random(pair.input.shape), 20)
    cloud = haze * (cloud - cloud.min()) / np.ptp(cloud)
    image = rng.poisson((pair.input / peak + 0.1 + cloud) * photons) / photons
    noisy_target = rng.poisson(target * 50) / 50
    return image.astype(np.float32), noisy_target.astype(np.float32)


@pytest.mark.parametrize(
    ("structure", "shift"),
    [("filaments", (-5.25, 3.8)), ("nuclei", (0.0, 0.0)), ("points", (0.37, -1.62))],
)
def test_known_shifts_are_recovered_on_noisy_images(structure, shift):
    image, target = noisy_pair(structure, shift)
    found = register(image, target, scale=1)
    assert found.shift == pytest.approx(shift, abs=0.05)


@pytest.mark.parametrize("scale", [2, 4])
def test_shifts_are_in_input_pixels_at_other_scales(scale):
    shift = (0.4, -1.3)
    image, target = noisy_pair("filaments", shift, scale=scale, photons=400)
    assert register(image, target, scale=scale).shift == pytest.approx(shift, abs=0.05)


def test_haze_does_not_pull_the_shift():
    image, target = noisy_pair("filaments", (1.3, 0.7), haze=2.0, photons=200)
    assert register(image, target, scale=1).shift == pytest.approx((1.3, 0.7), abs=0.05)


def test_the_blur_found_is_the_one_between_both_psfs():
    image, target = noisy_pair("filaments", (0.3, 0.2), photons=500)
    sigma_nm = math.sqrt(280**2 - 110**2) / FWHM_PER_SIGMA
    assert register(image, target, scale=1).blur_px == pytest.approx(sigma_nm / 40, rel=0.05)


def test_pairs_agree_and_strangers_do_not():
    images, targets = zip(
        *(noisy_pair("actin", (1, 2), seed=s, edge_px=128) for s in range(2)), strict=True
    )
    own = register(images[0], targets[0], scale=1).detail_correlation
    chance = chance_agreement(images[0], targets[0], list(targets[1:]), scale=1)
    stranger = register(images[0], targets[1], scale=1).detail_correlation
    assert own > 0.8
    assert chance < 0.5
    assert stranger < 0.5
    assert agreement(images[0], targets[0], scale=1) == pytest.approx(own, abs=0.1)


def test_the_common_part_of_a_moved_target():
    rows = np.arange(20.0, dtype=np.float32)[:, None] * np.ones(12, np.float32)
    image, target = move(rows, np.repeat(np.repeat(rows, 2, 0), 2, 1), (2.0, -1.5), scale=2)
    assert image.shape == (18, 10)
    assert target.shape == (36, 20)
    assert image[0, 0] == 2
    assert target[6, 0] == pytest.approx(3.0, abs=0.1)  # was row 2 of the target: 1, two px down


def test_a_tiny_shift_leaves_the_pixels_untouched():
    rng = np.random.default_rng(1)
    image, target = rng.random((8, 8), np.float32), rng.random((16, 16), np.float32)
    kept, moved = move(image, target, (0.02, -0.01), scale=2)
    assert kept is not None
    assert np.array_equal(kept, image)
    assert np.array_equal(moved, target)
