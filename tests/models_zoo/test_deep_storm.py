"""The embedded package: valid, small, sharp, dark where nothing is, and its network's geometry."""

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import xarray as xr
from scipy.ndimage import gaussian_filter

from bridge.images.read import open_image
from bridge.quality.metrics import pearson
from bridge.runtime.predict import Settings, predict_arrays
from bridge.smlm.blinking import UniformPhotons
from bridge.smlm.camera import Ccd
from bridge.smlm.labels import MovieLabels, Window
from bridge.smlm.psf import IntegratedGaussian
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.structures import Empty
from bridge.smlm.table import read_table
from bridge.training.movie_kind import measure_radius_px
from bridge.training.recipe import load_recipe
from bridge.zoo.check import check_package
from bridge.zoo.package import open_package
from models_zoo.deep_storm.architecture import DeepStormLight

ZOO = Path(str(resources.files("models_zoo")))
PACKAGE_DIR = ZOO / "packages" / "deep-storm"
DEMO_DIR = ZOO / "deep_storm" / "demo"
PERCENT = 100.0


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def predict(frames: np.ndarray) -> np.ndarray:
    package = open_package(PACKAGE_DIR)
    settings = Settings(engine="onnxruntime", device="cpu")
    image = xr.DataArray(frames.astype(np.uint16), dims=("t", "y", "x"))
    outputs, _ = predict_arrays(package, {"frames": image}, settings)
    return outputs["emitters"].transpose("t", "y", "x").values


def simulate(**changes: object) -> Simulation:
    base = Simulation(
        width_px=64,
        height_px=64,
        photons=UniformPhotons(low=1000.0, high=1000.0),
        background_photons=10.0,
        psf=IntegratedGaussian(sigma_nm=(130.0, 130.0)),
        camera=Ccd(),
        seed=77,
    )
    return base.model_copy(update=changes)


def test_the_network_has_a_few_hundred_thousand_weights() -> None:
    assert sum(p.numel() for p in DeepStormLight().parameters()) == 346_528


@pytest.mark.parametrize("shape", [(48, 48), (52, 64), (4, 8)])
def test_the_output_is_upscaled_and_never_negative(shape: tuple[int, int]) -> None:
    network = DeepStormLight(width=4).eval()
    with torch.inference_mode():
        output = network(torch.randn(2, 1, *shape))
    assert output.shape == (2, 1, 8 * shape[0], 8 * shape[1])
    assert output.min() >= 0


def test_the_architecture_runs_alone_with_torch_only(tmp_path: Path) -> None:
    code = (PACKAGE_DIR / "architecture.py").read_text("utf-8")
    (tmp_path / "architecture.py").write_text(code)
    script = "import sys, architecture; assert not {'bridge', 'models_zoo'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


def test_the_package_says_what_its_recipe_says() -> None:
    recipe = load_recipe(ZOO / "deep_storm")
    description = open_package(PACKAGE_DIR).description
    assert description.name == recipe.name
    assert str(description.version) == recipe.package.version
    ours = recipe.network.architecture.read_bytes()
    assert (PACKAGE_DIR / "architecture.py").read_bytes() == ours
    config = description.config.model_dump()["zoobridge"]
    assert config["training"]["steps_done"] == recipe.fit.steps
    assert config["trained_on"]["photons"] == list(recipe.conditions.photons)
    assert config["receptive_radius_px"] == measure_radius_px(recipe)


def test_the_package_passes_its_check_and_is_small() -> None:
    findings = check_package(PACKAGE_DIR)
    assert not [finding for finding in findings if finding.level == "error"]
    assert sum(path.stat().st_size for path in PACKAGE_DIR.iterdir()) < 8e6


def test_the_demos_table_and_movie_belong_together() -> None:
    movie = open_image(DEMO_DIR / "movie.tif")
    assert movie.attrs["pixel_size_nm"]["x"] == pytest.approx(100, rel=1e-3)
    truth = tifffile.imread(DEMO_DIR / "truth.tif") / 100
    table = read_table(DEMO_DIR / "truth.csv")
    labels = MovieLabels.from_table(table, pixel_size_nm=100)
    counted = sum(
        labels.count(Window(frame, 0, 0, 96, 96), upscaling=8)
        for frame in range(1, movie.sizes["t"] + 1)
    )
    assert pearson(truth, gaussian_filter(counted, 1.0)) > 0.95  # rendered off the grid there


def test_the_demo_movie_becomes_much_sharper() -> None:
    frames = tifffile.imread(DEMO_DIR / "movie.tif")
    truth = tifffile.imread(DEMO_DIR / "truth.tif")
    found = predict(frames).sum(axis=0)
    widefield = frames.sum(axis=0).repeat(8, axis=0).repeat(8, axis=1)
    assert pearson(found, truth) > 0.75
    assert pearson(found, truth) > 1.8 * pearson(widefield, truth)


def test_empty_frames_stay_empty() -> None:
    empty = simulate(n_frames=50, structure=Empty())
    outputs = np.concatenate([predict(block) for block in simulate_movie(empty).blocks])
    assert outputs.sum() / PERCENT / 50 < 1  # emitters that a frame adds up to
    held = gaussian_filter(outputs, (0, 1, 1)) * 2 * np.pi
    assert (held.max(axis=(1, 2)) > PERCENT / 4).mean() < 0.01


def test_lone_emitters_are_found_where_they_are() -> None:
    sparse = simulate(n_frames=60, density_per_um2=0.05)
    movie = simulate_movie(sparse)
    outputs = np.concatenate([predict(block) for block in movie.blocks])
    errors_px, masses = [], []
    for frame, rows in movie.truth.groupby("frame"):
        if len(rows) != 1:
            continue
        x_px, y_px = rows["x_nm"].iloc[0] / 12.5, rows["y_nm"].iloc[0] / 12.5
        if not (40 < x_px < 472 and 40 < y_px < 472):
            continue
        top, left = int(y_px) - 20, int(x_px) - 20
        part = outputs[frame - 1, top : top + 41, left : left + 41]
        place = np.arange(41) + 0.5
        found_y = top + (part.sum(axis=1) @ place) / part.sum()
        found_x = left + (part.sum(axis=0) @ place) / part.sum()
        errors_px.append((found_x - x_px, found_y - y_px))
        masses.append(part.sum() / PERCENT)
    errors_nm = 12.5 * np.array(errors_px)
    assert len(errors_nm) >= 8
    assert abs(errors_nm.mean(axis=0)).max() < 8
    assert 0.6 < np.mean(masses) < 1.5
