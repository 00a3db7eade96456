"""Conditions taken from a user's own table and movie, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from bridge.errors import TableError
from bridge.smlm.blinking import Lifetimes, LogNormalPhotons
from bridge.smlm.camera import Ccd
from bridge.smlm.fit import fit_spots
from bridge.smlm.like import conditions_like
from bridge.smlm.patches import PatchConditions
from bridge.smlm.psf import IntegratedGaussian
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.table import write_table
from bridge.training.likeness import take_likeness

CAMERA = Ccd(pixel_size_nm=120.0, offset_adu=300.0, electrons_per_adu=2.0, read_noise_e=1.5)
PROTOCOL = {
    "version": "ThunderSTORM (dev-2016-09-10-b1)",
    "cameraSettings": {
        "pixelSize": 120.0,
        "photons2ADU": 2.0,
        "quantumEfficiency": 1.0,
        "isEmGain": False,
        "gain": 100.0,
        "readoutNoise": 0.0,
        "offset": 300.0,
    },
}
BASE = PatchConditions.presets()["localizer"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A movie, and what a fit of single spots finds in it."""
    folder = tmp_path_factory.mktemp("likeness")
    settings = Simulation(
        width_px=64,
        height_px=64,
        n_frames=150,
        density_per_um2=0.3,
        photons=LogNormalPhotons(median=2000.0, spread=0.3),
        background_photons=20.0,
        psf=IntegratedGaussian(sigma_nm=(150.0, 150.0)),
        camera=CAMERA,
        blinking=Lifetimes(on_frames=2.0),
        seed=4,
    )
    frames = np.concatenate(list(simulate_movie(settings).blocks))
    tifffile.imwrite(folder / "movie.tif", frames, imagej=True, metadata={"axes": "TYX"})
    table = fit_spots(frames, camera=CAMERA)
    table.attrs["pixel_size_nm"] = CAMERA.pixel_size_nm
    write_table(table, folder / "table.csv", format="thunderstorm")
    return folder / "table.csv", folder / "movie.tif"


def with_protocol(scene: tuple[Path, Path], folder: Path, **camera: float) -> tuple[Path, Path]:
    table = folder / "table.csv"
    table.write_bytes(scene[0].read_bytes())
    content = PROTOCOL | {"cameraSettings": dict(PROTOCOL["cameraSettings"]) | camera}
    (folder / "table-protocol.txt").write_text(json.dumps(content))
    return table, scene[1]


def test_the_protocol_names_the_camera_and_the_rest_is_measured(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    found = take_likeness(*with_protocol(scene, tmp_path), BASE).settings
    assert found.camera.scaling() == CAMERA.scaling()
    assert found.camera.pixel_size_nm == 120.0
    assert isinstance(found.psf, IntegratedGaussian)
    assert found.psf.sigma_nm[0] < 150 < found.psf.sigma_nm[1]
    assert found.photons[0] < 2000 < found.photons[1] * 1.1
    assert found.background_photons[0] < 15
    assert found.background_photons[1] > 40  # with a margin: beyond it a network is blind
    assert found.density_per_um2[0] == 0
    assert found.density_per_um2[1] >= 3


def test_the_recipes_own_camera_is_kept_where_it_was_set(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    base = BASE.model_copy(update={"camera": CAMERA})
    paths = with_protocol(scene, tmp_path, offset=290.0)
    found = take_likeness(*paths, base, is_camera_set=True)
    assert found.settings.camera.scaling() == CAMERA.scaling()


def test_a_camera_that_contradicts_the_table_is_refused_with_one_that_would_agree(
    scene: tuple[Path, Path], tmp_path: Path
) -> None:
    paths = with_protocol(scene, tmp_path, photons2ADU=0.5)
    with pytest.raises(TableError, match=r"electrons-per-adu of about (1\.[6-9]|2\.[0-4])"):
        take_likeness(*paths, BASE)


def test_an_offset_above_the_movie_is_refused(scene: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TableError, match="offset is 330 counts"):
        take_likeness(*with_protocol(scene, tmp_path, offset=330.0), BASE)


def test_a_table_of_another_movie_is_refused(scene: tuple[Path, Path], tmp_path: Path) -> None:
    table, movie = with_protocol(scene, tmp_path)
    frames = tifffile.imread(movie)
    other = np.ascontiguousarray(frames[:, ::-1])
    tifffile.imwrite(tmp_path / "other.tif", other, imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(TableError, match="doesn't match"):
        take_likeness(table, tmp_path / "other.tif", BASE)


def test_a_table_without_protocol_says_whose_camera_is_taken(scene: tuple[Path, Path]) -> None:
    base = BASE.model_copy(update={"camera": CAMERA})
    notes = " ".join(take_likeness(*scene, base).notes)
    assert "No protocol beside the table names the camera" in notes
    assert "offset 300 counts" in notes


@pytest.mark.parametrize("on_frames", [1.0, 4.0])
def test_the_time_that_emitters_shine_is_read_from_the_table(on_frames: float) -> None:
    settings = Simulation(
        n_frames=300, density_per_um2=0.3, blinking=Lifetimes(on_frames=on_frames), seed=1
    )
    truth = simulate_movie(settings).truth
    base = BASE.model_copy(update={"frames": 3})
    low, high = conditions_like(truth, base).settings.on_frames
    assert low < 0.8 * on_frames
    assert 1.2 * on_frames < high
    assert np.sqrt(low * high) == pytest.approx(on_frames, rel=0.15)
