"""Training patches hold what their conditions say."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tifffile
import torch
from pydantic import ValidationError

from bridge.smlm.camera import Ccd, Emccd, Scmos
from bridge.smlm.patches import (
    PatchConditions,
    draw_emitters,
    simulate_patches,
    smooth_field,
)
from bridge.smlm.psf import Astigmatic, IntegratedGaussian

PLAIN = PatchConditions(
    size_px=40,
    camera=Ccd(offset_adu=100.0, read_noise_e=1.5),
    psf=IntegratedGaussian(sigma_nm=(130.0, 130.0)),
    density_per_um2=(1.0, 1.0),
    photons=(1000.0, 1000.0),
    photons_spread=0.0,
    background_photons=(10.0, 10.0),
    background_variation=0.0,
    empty_share=0.0,
    lines_share=0.0,
)


def change(**changes) -> PatchConditions:
    return PatchConditions.model_validate(dict(PLAIN) | changes)


def simulate(conditions=PLAIN, n=64, seed=0):
    return simulate_patches(conditions, n, generator=torch.Generator().manual_seed(seed))


def test_shapes_are_those_of_a_training_batch():
    frames, emitters, _ = simulate(n=5)
    assert frames.shape == (5, 1, 40, 40)
    assert frames.dtype == torch.float32
    shapes = {tuple(values.shape) for values in emitters[:-1]}
    assert len(shapes) == 1
    n = shapes.pop()[1]
    assert emitters.photons_by_frame.shape == (5, 1, n)
    assert torch.equal(emitters.photons_by_frame[:, 0], emitters.photons)
    assert emitters.is_labelled.dtype == torch.bool


def test_empty_patches_have_the_mean_and_variance_of_the_facts():
    frames, emitters, _ = simulate(change(empty_share=1.0), n=200)
    counts = frames.double() - 100
    assert not emitters.is_labelled.any()
    assert float(counts.mean()) == pytest.approx(10, abs=0.03)
    assert float(counts.var()) == pytest.approx(10 + 1.5**2 + 1 / 12, rel=0.02)


@pytest.mark.parametrize("density", [0.1, 1.0, 3.0])
def test_labelled_emitters_have_the_density_asked_for(density):
    emitters = simulate(change(density_per_um2=(density, density)), n=400)[1]
    number = emitters.is_labelled.sum(1).double()
    expected = density * 4.0**2
    assert float(number.mean()) == pytest.approx(expected, abs=5 * (expected / 400) ** 0.5)
    assert float(number.var()) == pytest.approx(expected, rel=0.3)  # Poisson


def test_a_labelled_emitter_is_where_the_light_is():
    # few emitters, no noise to speak of: the light's centre is the emitters' centre
    conditions = change(
        density_per_um2=(0.06, 0.06), photons=(1e5, 1e5), background_photons=(0.01, 0.01)
    )
    frames, emitters, _ = simulate(conditions, n=300)
    x, y = emitters.x_px, emitters.y_px
    alone = (emitters.photons > 0).sum(1) == 1
    index = (emitters.photons > 0).double().argmax(1)
    x, y = (values.gather(1, index[:, None])[:, 0] for values in (x, y))
    inner = alone & (x > 8) & (x < 32) & (y > 8) & (y < 32)
    assert inner.sum() > 20
    light = frames[inner, 0].double() - 100
    place = torch.arange(40) + 0.5
    total = light.sum((1, 2))
    assert torch.allclose((light.sum(1) * place).sum(1) / total, x[inner].double(), atol=0.05)
    assert torch.allclose((light.sum(2) * place).sum(1) / total, y[inner].double(), atol=0.05)
    assert torch.allclose(total, torch.full_like(total, 1e5), rtol=0.02)


def test_emitters_in_the_margin_shine_and_are_not_labelled():
    emitters = simulate(change(margin_px=6.0), n=100)[1]
    inside = (emitters.x_px >= 0) & (emitters.x_px < 40)
    inside &= (emitters.y_px >= 0) & (emitters.y_px < 40)
    shines = emitters.photons > 0
    assert torch.equal(emitters.is_labelled, inside & shines)
    outside = shines & ~inside
    share = float(outside.sum() / shines.sum())
    assert share == pytest.approx(1 - 40**2 / 52**2, abs=0.03)
    assert float(emitters.x_px[shines].min()) >= -6
    assert float(emitters.x_px[shines].max()) < 46


def test_light_from_the_margin_keeps_the_rim_as_bright_as_the_middle():
    mean = simulate(change(density_per_um2=(3.0, 3.0)), n=1500)[0].double().mean((0, 1))
    rim = torch.cat([mean[0], mean[-1], mean[:, 0], mean[:, -1]]).mean()
    assert float(rim) == pytest.approx(float(mean[10:30, 10:30].mean()), rel=0.01)


def test_shares_of_empty_and_of_lined_patches():
    conditions = change(
        size_px=26, density_per_um2=(9.0, 9.0), empty_share=0.2, lines_share=0.3, margin_px=0.0
    )
    emitters = simulate(conditions, n=1000)[1]
    assert float((emitters.photons.sum(1) == 0).double().mean()) == pytest.approx(0.2, abs=0.05)
    # Emitters on lines have near neighbours: about 10 nm beside the line, not anywhere.
    nearest = []
    for x, y, lit in zip(emitters.x_px, emitters.y_px, emitters.is_labelled, strict=True):
        points = torch.stack([x[lit], y[lit]], 1)
        if len(points) > 20:
            distance = torch.cdist(points, points) + 1e3 * torch.eye(len(points))
            nearest.append(float(distance.min(1).values.median()) * len(points) ** 0.5)
    expected_uniform = 0.47 * 26  # median nearest distance of n uniform points, times root n
    lined = np.mean(np.array(nearest) < 0.6 * expected_uniform)
    assert lined == pytest.approx(0.3 / 0.8, abs=0.12)


def test_width_and_photons_belong_to_a_patch_or_to_each_emitter():
    wide = change(
        psf=IntegratedGaussian(sigma_nm=(100.0, 160.0)), photons=(500.0, 5000.0),
        density_per_um2=(3.0, 3.0),
    )  # fmt: skip
    emitters = simulate(wide)[1]
    assert (emitters.sigma_nm.std(1) == 0).all()
    assert float(emitters.sigma_nm[:, 0].std()) == pytest.approx(60 / 12**0.5, rel=0.2)
    logarithm = emitters.photons.max(1).values.log()
    assert float(logarithm.std()) == pytest.approx(np.log(10) / 12**0.5, rel=0.2)
    each = simulate(change(**(dict(wide) | {"drawn_per": "emitter"})))[1]
    lit = each.photons > 0
    assert float(each.photons[lit].mean()) == pytest.approx(2750, rel=0.03)
    assert float(each.photons[lit].min()) >= 500
    assert float(each.sigma_nm[lit].std()) == pytest.approx(60 / 12**0.5, rel=0.05)


def test_emitters_spread_around_their_patches_photons():
    emitters = simulate(change(photons_spread=0.35, density_per_um2=(6.0, 6.0)))[1]
    logarithm = (emitters.photons[emitters.photons > 0] / 1000).log()
    assert float(logarithm.mean()) == pytest.approx(0, abs=0.02)
    assert float(logarithm.std()) == pytest.approx(0.35, rel=0.03)


def test_read_noise_may_be_drawn_for_each_patch():
    conditions = change(read_noise_e=(5.0, 20.0), empty_share=1.0, background_photons=(1e-6, 1e-6))
    spread = simulate(conditions, n=200)[0].std((1, 2, 3))
    assert 5 < float(spread.min()) < 6.5
    assert 18 < float(spread.max()) < 21


def test_the_background_varies_smoothly_within_its_limits():
    field = smooth_field((50, 30, 40), 0.4, generator=torch.Generator().manual_seed(0))
    assert field.shape == (50, 30, 40)
    assert float(field.min()) >= 0.6
    assert float(field.max()) <= 1.4
    assert float(field.diff(dim=1).abs().max()) <= 0.8 / 14
    assert (smooth_field((2, 9, 9), 0.0, generator=torch.Generator().manual_seed(0)) == 1).all()


def test_heights_fill_the_range_of_an_astigmatic_spot():
    emitters = simulate(change(psf=Astigmatic(heights_nm=(-250.0, 400.0))))[1]
    assert float(emitters.z_nm.min()) == pytest.approx(-250, abs=10)
    assert float(emitters.z_nm.max()) == pytest.approx(400, abs=10)
    assert not simulate()[1].z_nm.any()


def test_patches_come_from_all_over_a_mapped_chip(tmp_path):
    offset = np.arange(60 * 60, dtype=np.float32).reshape(60, 60)
    tifffile.imwrite(tmp_path / "offset.tif", offset)
    camera = Scmos(offset_adu=tmp_path / "offset.tif", electrons_per_adu=1.0, read_noise_e=0.0)
    dark = change(camera=camera, empty_share=1.0, background_photons=(1e-9, 1e-9))
    corners = {divmod(int(v), 60) for v in simulate(dark, n=300)[0][:, 0, 0, 0]}
    assert max(max(corner) for corner in corners) == 20
    assert min(min(corner) for corner in corners) == 0
    assert len(corners) > 150


def test_an_emccd_serves_as_well():
    frames, _, _ = simulate(change(camera=Emccd(), empty_share=1.0), n=100)
    camera = Emccd()
    light = torch.full((1, 1, 1), 10.0)
    assert float(frames.mean()) == pytest.approx(float(camera.mean_counts(light)), rel=0.01)
    assert float(frames.double().var()) == pytest.approx(
        float(camera.count_variance(light)), rel=0.04
    )


def test_the_same_seed_gives_the_same_patches():
    deep_storm = PatchConditions.presets()["deep-storm"]
    first, again = simulate(deep_storm, seed=3), simulate(deep_storm, seed=3)
    assert torch.equal(first.frames, again.frames)
    for one, other in zip(first.emitters, again.emitters, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first.frames[:, :, 0], simulate(deep_storm, seed=4).frames[:, :, 0])


def test_the_dsir_preset_is_as_published():
    dsir = PatchConditions.presets()["dsir"]
    frames, emitters, _ = simulate(dsir, n=500)
    assert frames.shape[2:] == (26, 26)
    assert float(emitters.is_labelled.sum(1).double().mean()) == pytest.approx(2 * 2.6**2, rel=0.05)
    lit = emitters.photons > 0
    assert float(emitters.photons[lit].min()) >= 80
    assert float(emitters.photons[lit].max()) <= 2050
    fwhm_nm = emitters.sigma_nm[lit] * 2 * (2 * np.log(2)) ** 0.5
    assert (float(fwhm_nm.min()), float(fwhm_nm.max())) == pytest.approx((200, 300), abs=0.5)


def test_sixteen_patches_take_less_than_a_training_step():
    conditions = PatchConditions.presets()["deep-storm"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        generator = torch.Generator().manual_seed(0)
        simulate_patches(conditions, 16, generator=generator)
        seconds = []
        for _ in range(20):
            started = time.process_time()
            simulate_patches(conditions, 16, generator=generator)
            seconds.append(time.process_time() - started)
    finally:
        torch.set_num_threads(threads)
    assert min(seconds) < 0.015


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"photons": (5.0, 1.0)}, "lower one"),
        ({"empty_share": 0.6, "lines_share": 0.6}, "more than 1"),
        ({"photon": (1.0, 5.0)}, "Extra inputs"),
        ({"background_photons": (0.0, 5.0)}, "greater than 0"),
    ],
)
def test_conditions_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        PatchConditions.model_validate(changes)


def test_conditions_survive_json():
    for conditions in PatchConditions.presets().values():
        assert PatchConditions.model_validate_json(conditions.model_dump_json()) == conditions


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_patches_are_made_on_the_gpu_with_the_same_statistics():
    conditions = PatchConditions.presets()["deep-storm"]
    first, again = (
        simulate_patches(conditions, 500, generator=torch.Generator("cuda").manual_seed(1))
        for _ in range(2)
    )
    assert first.frames.is_cuda
    assert torch.equal(first.frames, again.frames)
    number = draw_emitters(conditions, 500, generator=torch.Generator().manual_seed(1))
    assert float(first.emitters.is_labelled.sum(1).double().mean()) == pytest.approx(
        float(number.is_labelled.sum(1).double().mean()), rel=0.15
    )


# Several frames


def several(on_frames: float, **changes) -> PatchConditions:
    return change(
        frames=3, on_frames=(on_frames, on_frames), density_power=1.0, margin_px=0.0, **changes
    )


@pytest.mark.parametrize("on_frames", [0.5, 2.0, 10.0])
def test_emitters_shine_for_exponential_times_through_consecutive_frames(on_frames):
    emitters = draw_emitters(several(on_frames), 400, generator=torch.Generator().manual_seed(1))
    lit = emitters.photons_by_frame / 1000  # (b, t, n)
    shines = (lit > 0).double().sum(dim=(0, 2)) / (400 * 16)  # patches of 16 square micrometres
    # The density counts all that touch a frame; its light is m of m + 1 of that.
    assert shines.numpy() == pytest.approx(1.0, rel=0.04)
    light = lit.double().sum(dim=(0, 2)) / (400 * 16)
    assert light.numpy() == pytest.approx(on_frames / (on_frames + 1), rel=0.05)
    # Of those that touch the middle frame, m / (m + 1) touch the next one, too.
    both = ((lit[:, 1] > 0) & (lit[:, 2] > 0)).sum() / (lit[:, 1] > 0).sum()
    assert float(both) == pytest.approx(on_frames / (on_frames + 1), rel=0.04)


def test_who_shines_for_a_moment_of_the_middle_frame_is_drawn_and_not_labelled():
    emitters = draw_emitters(
        several(1.0, least_lit=0.3), 100, generator=torch.Generator().manual_seed(2)
    )
    lit = emitters.photons / 1000
    assert torch.equal(emitters.is_labelled, lit >= 0.3)
    assert bool(((lit > 0) & (lit < 0.3)).any())


def test_frames_of_a_patch_show_the_photons_of_their_own_frame():
    conditions = several(2.0, density_per_um2=(0.2, 0.2))
    frames, emitters, background = simulate(conditions, n=200)
    assert frames.shape == (200, 3, 40, 40)
    photons = (frames - 100 - background).sum(dim=(2, 3)).double()  # (b, t)
    expected = emitters.photons_by_frame.sum(dim=2).double()
    # Light falls out of the patch at its edges; what is left follows the emitters.
    both = torch.stack([photons.flatten(), expected.flatten()])
    assert float(torch.corrcoef(both)[0, 1]) > 0.97


def test_an_even_number_of_frames_is_refused():
    with pytest.raises(ValidationError, match="odd"):
        change(frames=2)
