"""Two microscopes: widths, scale, noise and background against closed forms, and the facts."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from skimage.metrics import structural_similarity

from bridge.restoration.exposure import (
    FWHM_PER_SIGMA,
    PairConditions,
    draw_clean_pair,
    expose,
    margin_of,
    show_object,
)

torch.set_num_threads(1)


def width_of(image):
    """Give the standard deviation of a spot along y, in pixels, from its second moment."""
    rows = np.arange(image.shape[0])
    profile = image.astype(float).sum(axis=1)
    profile[profile < 1e-4 * profile.max()] = 0  # what band limits leave far away
    centre = (profile * rows).sum() / profile.sum()
    return np.sqrt((profile * (rows - centre) ** 2).sum() / profile.sum())


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_point_gets_both_widths_and_keeps_its_light(scale):
    conditions = PairConditions(edge_px=128, scale=scale)
    margin_px = margin_of(conditions)
    edge_px = 128 + 2 * margin_px
    point = np.zeros((edge_px, edge_px), np.float32)
    point[edge_px // 2, edge_px // 2] = 1
    pair = show_object(point, conditions, "points")
    assert pair.input.shape == (128 // scale, 128 // scale)
    assert width_of(pair.target) == pytest.approx(110 / FWHM_PER_SIGMA / 40, rel=0.01)
    pixel = (scale**2 - 1) / 12  # what joining pixels adds to the variance
    expected = np.sqrt((280 / FWHM_PER_SIGMA / 40) ** 2 + pixel) / scale
    assert width_of(pair.input) == pytest.approx(expected, rel=0.01)
    assert pair.input.sum() * scale**2 == pytest.approx(pair.target.sum(), rel=0.01)


def test_the_bright_end_of_the_target_is_one():
    pair = draw_clean_pair(PairConditions(), "filaments", np.random.default_rng(0))
    assert np.percentile(pair.target, 99.8) == pytest.approx(1, rel=1e-4)


def test_noise_is_poissons_at_the_exposure_drawn():
    """Even images: the mean is kept, the variance is signal over exposure."""
    conditions = PairConditions(
        input_photons=(50, 50), target_photons=(80, 80), input_background=(0.1, 0.1)
    )
    clean = torch.full((2, 1, 256, 256), 0.5)
    inputs, targets = expose(clean, clean, conditions, generator=torch.Generator().manual_seed(0))
    assert targets.mean().item() == pytest.approx(0.5, rel=0.005)
    assert targets.var().item() == pytest.approx(0.5 / 80, rel=0.02)
    assert inputs.mean().item() == pytest.approx(0.55, rel=0.005)  # its peak is 0.5
    assert inputs.var().item() == pytest.approx(0.55 * 0.5 / 50, rel=0.02)


def test_exposures_are_log_uniform_and_each_pairs_own():
    conditions = PairConditions(target_photons=(30, 100))
    clean = torch.ones(600, 1, 24, 24)
    _, targets = expose(clean, clean, conditions, generator=torch.Generator().manual_seed(1))
    photons = np.sort(1 / targets.var(dim=(1, 2, 3)).numpy())  # 6 % off each
    assert 24 < photons[0] < 40
    assert 85 < photons[-1] < 130
    assert np.log(photons).mean() == pytest.approx(np.log(np.sqrt(3000)), abs=0.05)


def test_the_same_generator_gives_the_same_noise():
    pair = draw_clean_pair(PairConditions(edge_px=64), "points", np.random.default_rng(0))
    images = [torch.from_numpy(i)[None, None] for i in (pair.input, pair.target)]
    one, same = (
        expose(*images, PairConditions(), generator=torch.Generator().manual_seed(5))
        for _ in range(2)
    )
    assert torch.equal(one[0], same[0])
    assert torch.equal(one[1], same[1])


def test_held_out_fields_are_as_hard_as_the_measured_ones():
    """Facts section B: the input as it is 20.31 dB and 0.193, the noisy target 29.8 and 0.928."""
    conditions, generator = PairConditions(), torch.Generator().manual_seed(9)
    figures = []
    for kind, structure in enumerate(conditions.structures):
        for number in range(3):
            pair = draw_clean_pair(
                conditions, structure, np.random.default_rng([123, kind, number])
            )
            images = [torch.from_numpy(i)[None, None].repeat(2, 1, 1, 1) for i in pair[:2]]
            for noisy in zip(*expose(*images, conditions, generator=generator), strict=True):
                for image in noisy:
                    error = np.mean((image[0].numpy() - pair.target) ** 2)
                    ssim = structural_similarity(image[0].numpy(), pair.target, data_range=1)
                    figures.append((-10 * np.log10(error), ssim))
    psnr, ssim = np.reshape(figures, (-1, 2, 2)).mean(axis=0).T
    assert psnr == pytest.approx((20.3, 30.5), abs=1.6)
    assert ssim == pytest.approx((0.193, 0.928), abs=0.05)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"input_fwhm_nm": 100}, "not below"),
        ({"edge_px": 100, "scale": 3}, "no multiple"),
        ({"input_photons": (20, 10)}, "above the most"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_wrong_conditions_are_refused(wrong, words):
    with pytest.raises(ValidationError, match=words):
        PairConditions(**wrong)


@pytest.mark.parametrize("name", PairConditions.presets())
def test_presets_draw(name):
    conditions = PairConditions.presets()[name].model_copy(update={"edge_px": 128})
    pair = draw_clean_pair(conditions, conditions.structures[0], np.random.default_rng(0))
    assert pair.target.shape == tuple(conditions.scale * n for n in pair.input.shape)
