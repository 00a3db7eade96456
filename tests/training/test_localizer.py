"""Training a localizer: it learns, is judged by what it lists, and becomes a package that lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from bridge.errors import RecipeError
from bridge.jobs.train import find_recipe
from bridge.runtime.predict import Predictor, Settings
from bridge.smlm.localize_movie import localize_movie
from bridge.smlm.patches import simulate_patches
from bridge.training.fit import Run, train
from bridge.training.kinds import KINDS
from bridge.training.localization_figures import task_contender
from bridge.training.movie_kind import measure_radius_px
from bridge.training.networks import build_network
from bridge.training.package import Packaged, make_package
from bridge.training.recipe import Recipe, load_recipe
from bridge.training.sources import EmitterSource
from bridge.training.tasks.base import Scaling
from bridge.training.tasks.localization import LocalizationTask, agreement, true_emitters
from bridge.zoo.package import open_package

# bioimageio leaves files open, and warnings are errors here
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)

SMALL: dict[str, object] = {
    "network.arguments.width": 16,
    "data.validation_patches": 16,
    "fit.device": "cpu",
    "fit.batch": 8,
    "package.test_share": 0.05,
}


def recipe_of(name: str, **changes: object) -> Recipe:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return load_recipe(find_recipe(name), SMALL | named)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = recipe_of(
        "localizer",
        fit__steps=240,
        fit__steps_per_epoch=120,
        data__simulation__photons=[3000, 6000],
        data__simulation__background_photons=[5, 10],
        data__simulation__density_per_um2=[0.0, 0.6],
        data__simulation__psf={"kind": "integrated-gaussian", "sigma_nm": [125, 135]},
    )
    return train(recipe, tmp_path_factory.mktemp("localizer") / "run")


@pytest.mark.slow
def test_it_finds_bright_lone_emitters_after_a_minute(run: Run) -> None:
    first, last = run.history[0], run.history[-1]
    assert last["val_loss"] < first["val_loss"] - 1
    assert last["val_jaccard"] > 0.5  # by chance it is under 0.05
    assert last["val_rmse_px"] < 0.9
    assert (run.run_dir / "panel.png").stat().st_size > 1000
    assert (run.run_dir / "curves.png").is_file()


@pytest.fixture(scope="module")
def packaged(run: Run) -> Packaged:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOBRIDGE_HOME", str(run.run_dir.parent / "home"))
        return make_package(run, run.run_dir / "package")


@pytest.mark.slow
def test_its_package_lists_what_the_network_lists(
    packaged: Packaged, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path))
    assert isinstance(run.task, LocalizationTask)
    conditions = run.sources.conditions
    assert conditions is not None
    bright = conditions.model_copy(update={"size_px": 96, "density_per_um2": (0.5, 0.5)})
    patches = simulate_patches(bright, 3, generator=torch.Generator().manual_seed(8))
    frames = patches.frames[:, 0].numpy().astype(np.uint16)
    expected = task_contender(run.task, conditions).localize(frames)
    predictor = Predictor(open_package(packaged.folder), Settings(device="cpu", tile=64))
    movie = xr.DataArray(
        frames, dims=("t", "y", "x"), attrs={"pixel_size_nm": {"y": 100.0, "x": 100.0}}
    )
    found = localize_movie(predictor, movie, pixel_size_nm=100.0, anyway=True).table
    assert len(expected) > 20
    assert len(found) == len(expected)
    for column in ("frame", "x_nm", "y_nm", "photons", "uncertainty_x_nm"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-3, atol=0.05)


@pytest.mark.slow
def test_its_package_says_what_it_was_trained_for_and_how_good_it_is(packaged: Packaged) -> None:
    config = open_package(packaged.folder).description.config.model_dump()["zoobridge"]
    assert config["task"] == "localization"
    assert config["frames"] == 1
    assert config["trained_on"]["photons"] == [3000, 6000]
    assert config["measured"] == packaged.figures.flat()
    card = (packaged.folder / "README.md").read_text()
    assert "| 0.5 |" in card
    assert "Lone emitters" in card
    assert packaged.tiled_differs < 5e-5


@pytest.mark.parametrize(
    ("name", "n_in", "n_out"), [("localizer-blinking", 3, 8), ("localizer-3d", 1, 10)]
)
def test_three_frames_and_three_dimensions_train(
    name: str, n_in: int, n_out: int, tmp_path: Path
) -> None:
    recipe = recipe_of(name, fit__steps=4, fit__steps_per_epoch=2, network__arguments__width=8)
    finished = train(recipe, tmp_path / "run")
    assert np.isfinite([row["val_loss"] for row in finished.history]).all()
    assert finished.history[-1]["val_loss"] < finished.history[0]["val_loss"]
    frames = torch.zeros(1, n_in, 48, 48)
    assert finished.task(frames).shape == (1, n_out, 48, 48)
    movie = np.random.default_rng(0).integers(90, 140, (3, 48, 48)).astype(np.uint16)
    inputs = KINDS["localization"].inputs_of(recipe, movie)
    assert inputs.shape == (3, n_in, 48, 48)
    assert np.array_equal(inputs[:, n_in // 2], movie)


@pytest.mark.parametrize("shift_nm", [0.0, 30.0])
def test_a_list_is_judged_by_its_places(shift_nm: float) -> None:
    conditions = recipe_of("localizer").conditions
    assert conditions is not None
    patches = simulate_patches(conditions, 8, generator=torch.Generator().manual_seed(3))
    truth = true_emitters(patches.emitters, pixel_size_nm=100.0)
    found = truth.assign(x_nm=truth["x_nm"] + shift_nm)
    found = found.assign(uncertainty_x_nm=20.0, uncertainty_y_nm=20.0).iloc[::2]
    figures = agreement(found, truth)
    assert figures["found"] == pytest.approx(0.5, abs=0.01)
    assert figures["jaccard"] == pytest.approx(0.5, abs=0.06)
    assert figures["rmse_nm"] == pytest.approx(shift_nm, abs=4)


def test_nothing_found_is_a_score_of_zero() -> None:
    columns = ["frame", "x_nm", "y_nm", "uncertainty_x_nm", "uncertainty_y_nm"]
    truth = pd.DataFrame({"frame": [1], "x_nm": [10.0], "y_nm": [10.0]})
    figures = agreement(pd.DataFrame({name: [] for name in columns}), truth)
    assert figures["jaccard"] == 0
    assert figures["found"] == 0


def test_a_localizer_refuses_movies_as_teachers() -> None:
    movie = {"stack": "a.tif", "table": "a.csv"}
    with pytest.raises(RecipeError, match=r"data\.like and data\.like_stack instead"):
        recipe_of("localizer", data__movies=[movie])


def test_the_radius_is_that_of_the_layers() -> None:
    for name in ("localizer", "localizer-blinking"):
        recipe = recipe_of(name)
        network = build_network(recipe.network).eval()
        radius = measure_radius_px(recipe)
        generator = torch.Generator().manual_seed(0)
        n_in = recipe.conditions.frames if recipe.conditions else 1
        frames = torch.randn(1, n_in, 96, 96, generator=generator)
        other = frames.clone()
        other[..., 48, 48] += 100
        with torch.inference_mode():
            changed = (network(frames) != network(other)).any(dim=1)[0].nonzero() - 48
        assert 8 < int(changed.abs().max()) <= radius < 30


@pytest.mark.parametrize("pixel_size_nm", [100.0, 160.0])
def test_places_are_in_nm_of_the_camera_that_was_simulated(pixel_size_nm: float) -> None:
    recipe = recipe_of("localizer", fit__steps=1)
    assert recipe.conditions is not None
    camera = recipe.conditions.camera.model_copy(update={"pixel_size_nm": pixel_size_nm})
    source = EmitterSource(recipe.conditions.model_copy(update={"camera": camera}))
    task = LocalizationTask(
        recipe,
        build_network(recipe.network),
        Scaling(100.0, 10.0),
        training=source,
        validation=source,
    )
    said = task.note({"val_jaccard": 0.5, "val_rmse_px": 0.1})
    assert said == f"Jaccard 0.500, RMSE {0.1 * pixel_size_nm:.1f} nm"
    output = torch.zeros(1, 8, 16, 16)
    output[0, 0, 5, 9] = 1.0
    output[0, 5:8] = 0.1
    found = task.list_emitters(output)
    assert found["x_nm"].tolist() == [9.5 * pixel_size_nm]
    assert found["y_nm"].tolist() == [5.5 * pixel_size_nm]
