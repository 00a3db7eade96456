"""Counts have the mean and variance that the closed form gives, for each camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from pydantic import TypeAdapter, ValidationError

from bridge.errors import ImageError
from bridge.smlm.camera import Camera, Ccd, Emccd, Scaling, Scmos, photons_from_counts

LIGHT = (0.0, 3.0, 40.0, 900.0)


def expose(camera, photons, *, n=200_000, seed=1):
    """Give ``n`` counts of an even light, as float64."""
    mean = torch.full((1, 1, n), photons)
    return camera.expose(mean, generator=torch.Generator().manual_seed(seed)).double().flatten()


def assert_like(counts, mean, variance):
    """Compare with a mean and variance, to five standard errors."""
    n = len(counts)
    assert float(counts.mean()) == pytest.approx(mean, abs=5 * (variance / n) ** 0.5)
    fourth = float(((counts - counts.mean()) ** 4).mean())
    spread = ((fourth - variance**2) / n) ** 0.5
    assert float(counts.var()) == pytest.approx(variance, abs=5 * spread)


def test_empty_frames_are_as_written_down_in_the_facts():
    camera = Ccd(offset_adu=100.0, electrons_per_adu=1.0, read_noise_e=1.5)
    counts = expose(camera, 10.0) - 100
    assert float(counts.mean()) == pytest.approx(10.0, abs=0.05)
    assert float(counts.var()) == pytest.approx(10 + 1.5**2 + 1 / 12, abs=0.2)


@pytest.mark.parametrize("photons", LIGHT)
def test_a_ccd_has_shot_read_and_rounding_noise(photons):
    camera = Ccd(
        offset_adu=400.0,
        electrons_per_adu=0.5,
        read_noise_e=4.0,
        quantum_efficiency=0.8,
        spurious_charge_e=0.3,
    )
    electrons = 0.8 * photons + 0.3
    counts = expose(camera, photons)
    assert_like(counts, 400 + electrons / 0.5, (electrons + 4.0**2) / 0.5**2 + 1 / 12)


@pytest.mark.parametrize("photons", LIGHT)
def test_an_emccd_doubles_the_shot_noise_variance(photons):
    camera = Emccd(
        offset_adu=300.0,
        electrons_per_adu=9.0,
        read_noise_e=50.0,
        em_gain=100.0,
        quantum_efficiency=0.9,
        spurious_charge_e=0.05,
    )
    electrons = 0.9 * photons + 0.05
    variance = (2 * 100.0**2 * electrons + 50.0**2) / 9.0**2 + 1 / 12
    assert_like(expose(camera, photons), 300 + 100 * electrons / 9.0, variance)
    assert camera.excess_factor() == 2


def test_an_emccd_makes_nothing_of_no_electron():
    camera = Emccd(read_noise_e=0.0, spurious_charge_e=0.0, offset_adu=50.0)
    assert (expose(camera, 0.0, n=1000) == 50).all()


@pytest.mark.parametrize("camera", [Ccd(), Emccd(), Scmos()], ids=lambda c: c.kind)
def test_mean_and_variance_are_the_ones_told(camera):
    mean = torch.tensor(LIGHT)[None, :, None]
    for photons, m, v in zip(
        LIGHT,
        camera.mean_counts(mean).flatten(),
        camera.count_variance(mean).flatten(),
        strict=True,
    ):
        assert_like(expose(camera, photons), float(m), float(v))


def write_maps(folder: Path, shape=(40, 50)) -> tuple[Scmos, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    maps = {
        "offset_adu": rng.uniform(90, 110, shape).astype(np.float32),
        "electrons_per_adu": rng.uniform(0.4, 0.6, shape).astype(np.float32),
        "read_noise_e": rng.uniform(1, 6, shape).astype(np.float32),
    }
    for name, values in maps.items():
        tifffile.imwrite(folder / f"{name}.tif", values)
    return Scmos(**{name: folder / f"{name}.tif" for name in maps}), maps


def test_each_pixel_of_an_scmos_has_its_own_offset_gain_and_noise(tmp_path):
    camera, maps = write_maps(tmp_path)
    light = torch.full((4000, 40, 50), 20.0)
    counts = camera.expose(light, generator=torch.Generator().manual_seed(0)).double().numpy()
    gain = maps["electrons_per_adu"]
    variance = (20 + maps["read_noise_e"] ** 2) / gain**2 + 1 / 12
    z = (counts.mean(0) - maps["offset_adu"] - 20 / gain) / np.sqrt(variance / 4000)
    assert abs(z.mean()) < 0.15
    assert z.std() == pytest.approx(1, abs=0.1)
    assert np.median(counts.var(0) / variance) == pytest.approx(1, abs=0.01)
    assert camera.map_shape() == (40, 50)
    back = camera.to_photons(torch.from_numpy(counts[:100]).float())
    assert float(back.mean()) == pytest.approx(20, abs=0.1)


def test_a_picture_from_the_middle_of_the_chip_has_its_maps(tmp_path):
    camera, maps = write_maps(tmp_path)
    corners = torch.tensor([[0, 0], [30, 40]])
    dark = camera.expose(
        torch.zeros(2, 10, 10),
        generator=torch.Generator().manual_seed(0),
        read_noise_e=torch.zeros(2),
        corner_px=corners,
    )
    assert np.array_equal(dark[0], maps["offset_adu"][:10, :10].round())
    assert np.array_equal(dark[1], maps["offset_adu"][30:, 40:].round())


def test_maps_that_do_not_fit_are_refused(tmp_path):
    camera, _ = write_maps(tmp_path)
    with pytest.raises(ImageError, match=r"40 x 50 pixels\. Expected at least the picture's 64"):
        camera.mean_counts(torch.zeros(1, 64, 64))
    tifffile.imwrite(tmp_path / "small.tif", np.ones((8, 8), np.float32))
    mixed = camera.model_copy(update={"read_noise_e": tmp_path / "small.tif"})
    with pytest.raises(ImageError, match=r"8 x 8 pixels. Expected 40 x 50"):
        mixed.map_shape()
    with pytest.raises(ImageError, match="nowhere"):
        Scmos(offset_adu=tmp_path / "nowhere.tif").map_shape()


@pytest.mark.parametrize(
    "camera",
    [
        Ccd(electrons_per_adu=3.6, quantum_efficiency=0.7),
        Emccd(spurious_charge_e=0.5, quantum_efficiency=0.9),
        Scmos(),
    ],
    ids=lambda c: c.kind,
)
def test_counts_go_back_to_photons(camera):
    light = torch.tensor([[[0.0, 7.0, 300.0]]])
    counts = camera.mean_counts(light)
    assert torch.allclose(camera.to_photons(counts), light, atol=2e-3)
    assert torch.allclose(photons_from_counts(counts, camera.scaling()), light, atol=2e-3)


def test_thunderstorms_rule_of_conversion():
    # facts: photons = ADU * photons2ADU / QE [/ gain], the base level removed
    scaling = Emccd(
        offset_adu=414, electrons_per_adu=3.6, em_gain=100, quantum_efficiency=0.5,
        spurious_charge_e=0,
    ).scaling()  # fmt: skip
    assert scaling == Scaling(414, pytest.approx(3.6 / 100 / 0.5))
    assert photons_from_counts(514.0, scaling) == pytest.approx(7.2)


def test_counts_are_whole_and_clipped_to_the_bit_depth():
    camera = Ccd(bit_depth=12, offset_adu=5.0, read_noise_e=30.0)
    counts = expose(camera, 4000.0, n=5000)
    assert counts.max() == 4095
    assert torch.equal(counts, counts.round())
    assert expose(camera, 0.0, n=5000).min() == 0


def test_the_same_seed_gives_the_same_counts():
    camera = Emccd()
    assert torch.equal(expose(camera, 30.0, n=999, seed=3), expose(camera, 30.0, n=999, seed=3))
    assert not torch.equal(expose(camera, 30.0, n=999, seed=3), expose(camera, 30.0, n=999, seed=4))


def test_the_kind_tells_cameras_apart_and_unknown_keys_are_refused():
    adapter = TypeAdapter(Camera)
    assert adapter.validate_python({"kind": "emccd", "em_gain": 10}) == Emccd(em_gain=10)
    assert adapter.validate_json(adapter.dump_json(Scmos())) == Scmos()
    with pytest.raises(ValidationError, match="em_gain"):
        adapter.validate_python({"kind": "ccd", "em_gain": 10})
