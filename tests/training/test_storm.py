"""UR-Net-8 and X-Net: what they learn from, how they are judged, trained one behind the other."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from skimage.metrics import peak_signal_noise_ratio

from bridge.errors import Cancelled, OutputError, RecipeError, TrainingError
from bridge.jobs.train import find_recipe
from bridge.restoration.storm_fields import (
    StormConditions,
    draw_storm_field,
    expose_widefield,
    render_counts,
)
from bridge.restoration.storm_folder import StormSettings, new_storm
from bridge.runtime.predict import Settings, predict_arrays
from bridge.training.chain import reopen_chain, split_recipe, train_chain
from bridge.training.fit import reopen, train
from bridge.training.image_losses import MultiScaleSsim
from bridge.training.kind import stretch
from bridge.training.kinds import KINDS
from bridge.training.monitor import refuse_dead_output
from bridge.training.package import make_package
from bridge.training.recipe import Recipe, load_recipe
from bridge.training.storm_figures import compare, equal_localizations, fit_affine, measure
from bridge.training.storm_sources import StormPatches, open_storm_sources, scale_rendering
from bridge.training.tasks.storm import UrNetTask, XNetTask, affine_psnr, correlate
from bridge.zoo.package import open_package

TINY_FIELD = {"edge_px": 64, "filaments": [2, 3], "filament_px": [40, 60], "full_per_px": 20}
SMALL: dict[str, object] = {
    "network.arguments": {"width": 2, "depth": 3},
    "data.simulation": TINY_FIELD,
    "data.fields": 2,
    "data.patch_px": 32,
    "data.validation_patches": 2,
    "task.discriminator.arguments.width": 2,
    "fit.steps": 2,
    "fit.steps_per_epoch": 1,
    "fit.device": "cpu",
    "package.smallest_px": 64,
}
"""So few weights, steps and pixels that a training takes a second or two."""


def small(name: str, **changes: object) -> Recipe:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return load_recipe(find_recipe(name), SMALL | named)


@pytest.fixture(scope="module")
def field():
    return draw_storm_field(StormConditions(edge_px=128), np.random.default_rng(4))


@pytest.fixture(scope="module")
def ur_run(tmp_path_factory):
    return train(small("ur-net-8"), tmp_path_factory.mktemp("ur") / "run")


# What is simulated


def test_k_localizations_of_all_are_rendered(field):
    rng = np.random.default_rng(1)
    few, every = field.count(100, rng), field.count(len(field.places))
    assert (few.sum(), every.sum()) == (100, len(field.places))
    assert (few <= every).all()


def test_a_rendering_s_bright_percentile_is_one_of_the_whole_field(field):
    counts = field.count(len(field.places))
    image = render_counts(counts, field.conditions)
    share_cut = (image == 1).mean()
    assert share_cut == pytest.approx(1 - field.conditions.bright_percentile / 100, abs=2e-4)


def test_the_widefield_image_is_a_wide_gaussian_of_the_same_localizations():
    conditions = StormConditions(edge_px=65, widefield_sigma_px=6)
    drawn = draw_storm_field(conditions, np.random.default_rng(0))
    centre = dataclasses.replace(drawn, places=np.full(50, 32 * 65 + 32, np.int32))
    distance = np.arange(65) - 32.0
    expected = np.exp(-(distance**2) / (2 * 6**2))
    np.testing.assert_allclose(centre.blur()[32], expected, atol=2e-3)


# Batches


def test_a_batch_is_a_pure_function_of_its_key():
    device = torch.device("cpu")
    one, other = (
        open_storm_sources(small("ur-net-8"), stride=1, is_dense=False).training for _ in range(2)
    )
    first = one.batch(2, [1, 7], device)
    again, different = other.batch(2, [1, 7], device), other.batch(2, [1, 8], device)
    assert torch.equal(first.frames, again.frames)
    assert torch.equal(first.targets, again.targets)
    assert not torch.equal(first.frames, different.frames)
    assert first.frames.shape == (2, 1, 32, 32)
    assert first.targets.shape == (2, 3, 32, 32)
    assert 0 <= first.targets.min() < first.targets.max() <= 1


def test_three_channels_are_three_draws_and_dense_ones_are_more_alike(field):
    rng = np.random.default_rng(3)

    def likeness(n: int) -> float:
        one, other = field.render(n, rng), field.render(n, rng)
        return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    sparse, dense = likeness(field.n_undersampled), likeness(field.n_dense)
    assert 0.3 < sparse < dense < 0.999


class Ramp:
    """A field whose widefield image is a ramp, and whose renderings are the same ramp."""

    def widefield(self, rng: np.random.Generator) -> np.ndarray:
        return np.arange(64 * 64, dtype=np.float32).reshape(64, 64)

    def targets(self, rng: np.random.Generator) -> np.ndarray:
        return np.stack([self.widefield(rng)] * 3)


def test_images_are_stretched_as_a_whole_never_by_patch():
    patches = StormPatches([Ramp()], patch_px=16, percent=(0, 100), floor=0.0)
    batch = patches.batch(20, [0, 1], torch.device("cpu"))
    torch.testing.assert_close(batch.frames, batch.targets[:, :1] / (64 * 64 - 1))
    spans = batch.frames.amax(dim=(1, 2, 3)) - batch.frames.amin(dim=(1, 2, 3))
    assert spans.max() < 0.3  # a patch that is stretched on its own spans 1


def test_noise_alone_isn_t_stretched_to_full_contrast_and_a_field_is():
    noise = np.random.default_rng(0).poisson(12, (64, 64)).astype(np.float32)
    percent, floor = (0.1, 99.9), 100.0
    assert np.ptp(stretch(noise, percent, floor)) < 0.4
    bright = 20 * noise
    low, high = np.percentile(bright, percent)
    np.testing.assert_allclose(
        stretch(bright, percent, floor), (bright - low) / (high - low), atol=1e-5
    )


# A folder of fields


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("storm") / "fields"
    rng = np.random.default_rng(8)
    settings = StormSettings(pixel_size_nm=20, bright_percentile=99.7)
    parts = ("training", "training", "validation", "test")
    with new_storm(place, settings) as writer:
        for number, part in enumerate(parts):
            drawn = draw_storm_field(StormConditions.model_validate(TINY_FIELD), rng)
            writer.add(
                f"field{number}",
                part,
                widefield=expose_widefield(drawn.blur(), drawn.conditions, rng),
                sparse=[drawn.render(drawn.n_undersampled, rng) for _ in range(4)],
                full=drawn.render_full(),
            )
    return place


def test_a_folder_gives_three_of_a_field_s_draws(folder):
    recipe = small("ur-net-8", data__folder=str(folder), data__patch_px=64)
    sources = open_storm_sources(recipe, stride=1, is_dense=False)
    assert sources.pixel_size_nm == 20
    assert [field.name for field in sources.test] == ["field3"]
    batch = sources.training.batch(6, [1, 1], torch.device("cpu"))
    means = batch.targets.mean(dim=(2, 3))
    assert (means.diff(dim=1).abs() > 1e-6).all()  # no draw twice
    assert batch.targets.max() == 1
    truth = sources.test[0].truth
    assert compare(sources.test[0].sparse.mean(axis=0), truth)["correlation"] > 0.7


@pytest.mark.parametrize(
    ("said", "told"), [(None, "pixels as large as those"), (20.0, "20 nm pixels")]
)
def test_a_card_makes_up_no_pixel_size(folder, tmp_path, said, told):
    place = shutil.copytree(folder, tmp_path / "fields")
    settings = yaml.safe_load((place / "storm.yaml").read_text()) | {"pixel_size_nm": said}
    (place / "storm.yaml").write_text(yaml.safe_dump(settings))
    recipe = small("ur-net-8", data__folder=str(place), data__patch_px=64)
    sources = open_storm_sources(recipe, stride=1, is_dense=False)
    assert sources.pixel_size_nm == said
    assert told in KINDS[recipe.task.kind].card_words(recipe, sources).use[0]


def test_a_folder_without_dense_renderings_is_refused_for_x_net(folder):
    recipe = small("ur-net-8", data__folder=str(folder), data__patch_px=64)
    with pytest.raises(RecipeError, match="has no dense renderings"):
        open_storm_sources(recipe, stride=1, is_dense=True)


def test_a_patch_larger_than_a_field_is_refused(folder):
    recipe = small("ur-net-8", data__folder=str(folder), data__patch_px=128)
    with pytest.raises(RecipeError, match="128 px"):
        open_storm_sources(recipe, stride=1, is_dense=False)


def test_8_bit_renderings_are_divided_by_255_others_by_their_bright_end():
    pixels = np.random.default_rng(0).integers(0, 200, (50, 50))
    stored = xr.DataArray(pixels.astype(np.float32), dims=("y", "x"), attrs={"dtype": "uint8"})
    np.testing.assert_allclose(scale_rendering(stored, None), pixels / 255, rtol=1e-6)
    counted = stored.assign_attrs(dtype="float32")
    bright = np.percentile(pixels, 99.7)
    np.testing.assert_allclose(
        scale_rendering(counted, None), np.minimum(pixels / bright, 1), rtol=1e-5
    )
    np.testing.assert_allclose(scale_rendering(counted / 300, 99.7), pixels / 300, rtol=1e-5)


# How likeness is measured


def test_affine_psnr_is_that_of_a_least_squares_line():
    rng = np.random.default_rng(2)
    truth = rng.random((2, 40, 30)).astype(np.float32)
    image = (3 * truth + rng.normal(0, 0.4, truth.shape) - 7).astype(np.float32)
    r = correlate(torch.from_numpy(image), torch.from_numpy(truth))
    found = affine_psnr(r, torch.from_numpy(truth))
    for i in range(2):
        assert float(r[i]) == pytest.approx(np.corrcoef(image[i].ravel(), truth[i].ravel())[0, 1])
        line = np.polyfit(image[i].ravel(), truth[i].ravel(), 1)
        fitted = np.polyval(line, image[i].astype(np.float64))
        np.testing.assert_allclose(fit_affine(image[i], truth[i]), fitted, atol=1e-5)
        expected = peak_signal_noise_ratio(truth[i].astype(np.float64), fitted, data_range=1)
        assert float(found[i]) == pytest.approx(expected, abs=1e-4)


def test_black_has_no_correlation_and_the_truth_has_all():
    truth = np.random.default_rng(0).random((32, 32)).astype(np.float32)
    black = compare(np.zeros_like(truth), truth)
    assert black["correlation"] == 0
    assert black["psnr_db"] == pytest.approx(-10 * np.log10(truth.var()), abs=1e-3)
    assert compare(5 * truth + 1, truth)["correlation"] == pytest.approx(1)


def test_a_rendering_of_k_is_worth_k_localizations(field):
    rng = np.random.default_rng(6)
    truth = field.render_full()
    for n in (1000, 8000):
        r = [compare(field.render(n, rng), truth)["correlation"] for _ in range(4)]
        found = equal_localizations([float(np.mean(r))], field, rng)
        assert found[0] == pytest.approx(n, rel=0.15)


def test_figures_stand_beside_black_widefield_and_sparse_images():
    sources = open_storm_sources(small("ur-net-8"), stride=1, is_dense=False)
    fields = sources.test[:2]
    truths = {id(field.widefield): field.truth for field in fields}
    found = measure(fields, lambda image: {"XM3": truths[id(image)]})
    assert list(found.rows) == [
        "all black",
        "widefield",
        "one real sparse STORM",
        "mean of three real sparse",
        "XM3",
    ]
    r = {name: row["correlation"] for name, row in found.rows.items()}
    assert r["all black"] < r["widefield"] < r["mean of three real sparse"] < r["XM3"]
    every = np.mean([len(f.drawn.places) / f.drawn.n_undersampled for f in fields])
    assert found.localizations["XM3"] == pytest.approx(every, rel=0.01)
    assert "| XM3 |" in found.card()
    assert "widefield" in found.sentences()[0]


def test_an_output_less_like_the_target_than_the_widefield_image_ends_a_training():
    row = {"val_loss": 0.1, "val_spread": 0.1, "val_mass": 1.0}
    poor = [
        {"epoch": i, "val_correlation": 0.3, "val_above_input_db": -2.0, **row} for i in range(5)
    ]
    refuse_dead_output(poor[:4])
    with pytest.raises(TrainingError, match="less like the target than the widefield"):
        refuse_dead_output(poor)
    refuse_dead_output([*poor[:4], {**poor[4], "val_above_input_db": 0.5}])
    refuse_dead_output([*poor[:4], {**poor[4], "val_correlation": 0.6}])


# Training


def test_the_loss_is_the_published_one_over_lambda(ur_run):
    task = ur_run.task
    assert isinstance(task, UrNetTask)
    batch = task.training_batch(0)
    with torch.no_grad():
        image = task.network(batch.frames)
        distance = (image - batch.targets).abs().mean()
        unlike = 1 - MultiScaleSsim()(image, batch.targets).mean()
        loss = task.loss_of(batch, 0.5)
    published = 5000 * distance + 5000 * unlike
    assert float(loss) == pytest.approx(float(published) / 5000, rel=1e-5)


def test_ur_net_8_alone_trains_from_its_recipe(ur_run):
    figures = ur_run.history[-1]
    assert ur_run.is_complete
    assert np.isfinite(figures["val_loss"])
    assert figures["val_loss"] == pytest.approx(1 - figures["val_correlation"])
    assert ur_run.task.scaling.floor > 0
    assert [column.title for column in ur_run.task.columns(1)] == ["Widefield", "MU-SRM", "Target"]
    assert (ur_run.run_dir / "panel.png").is_file()


def test_the_discriminator_learns_in_every_so_manyth_step_only(tmp_path, monkeypatch):
    taught = []
    teach = UrNetTask._teach

    def noted(self, condition, images, targets):
        taught.append(self.global_step)
        teach(self, condition, images, targets)

    monkeypatch.setattr(UrNetTask, "_teach", noted)
    changes = {"fit.steps": 5, "fit.steps_per_epoch": 5, "task.discriminator_every": 2}
    recipe = small("ur-net-8", **changes, task__adversarial=1)
    run = train(recipe, tmp_path / "run")
    assert taught == [2, 4]  # in step 0 the judgement's weight is still 0
    assert run.task.judgement_weight == 1 / 5000
    assert 0 <= run.history[-1]["val_discriminator"] <= 1


def test_x_net_learns_behind_a_ur_net_8_that_stays_as_it_is(ur_run, tmp_path):
    recipe = small("x-net", task__start_ur=str(ur_run.run_dir), task__adversarial=1)
    run = train(recipe, tmp_path / "run")
    task = run.task
    assert isinstance(task, XNetTask)
    for name, weight in ur_run.task.network.state_dict().items():
        assert torch.equal(task.ur_net_8.state_dict()[name], weight), name
    assert task.scaling.floor == ur_run.task.scaling.floor
    titles = ["Widefield", "MU-SRM", "XM1", "XM2", "XM3", "Target"]
    assert [column.title for column in task.columns(1)] == titles
    figures = run.history[-1]
    assert figures["val_correlation"] == figures["val_xm3_correlation"]
    inputs, _ = task.scaled(task.validation_batch(0))
    assert inputs.shape == (2, 4, 32, 32)
    with torch.no_grad():
        mimic = ur_run.task.network(inputs[:, :1]).clamp(0, 1)
    torch.testing.assert_close(inputs[:, 1:], mimic)
    assert reopen(run.run_dir).task.scaling == task.scaling


def test_x_net_needs_a_ur_net_8(tmp_path, ur_run):
    with pytest.raises(RecipeError, match=r"task\.start_ur: is missing"):
        train(small("x-net"), tmp_path / "run")
    with pytest.raises(RecipeError, match="doesn't say how it stretches"):
        train(small("x-net", task__start_ur=str(tmp_path)), tmp_path / "run")
    other = small("x-net", task__start_ur=str(ur_run.run_dir), data__floor=1.0)
    with pytest.raises(RecipeError, match="UR-Net-8 was trained with"):
        train(other, tmp_path / "run")


# The chain


CHAIN: dict[str, object] = {
    **{key: value for key, value in SMALL.items() if not key.startswith("task")},
    "network.arguments": {"ur_width": 2, "ur_depth": 3, "x_width": 2, "x_depth": 2},
    "fit.steps": 9,
    "fit.steps_per_epoch": 2,
}


def test_the_chain_s_recipe_says_how_both_are_trained(tmp_path):
    changes = {**CHAIN, "fit.learning_rate": 2e-3}
    first, second = split_recipe(load_recipe(find_recipe("xmicroscopy"), changes), tmp_path)
    ur = first()
    assert ur.network.arguments == {"width": 2, "depth": 3}
    assert (ur.fit.steps, ur.fit.learning_rate, ur.fit.momentum) == (5, 2e-3, 0.5)
    x = second()
    assert x.network.arguments == {"width": 2, "depth": 2}
    assert x.fit.steps == 4
    assert x.task.start_ur == tmp_path / "ur-net-8"
    plain = split_recipe(load_recipe(find_recipe("xmicroscopy")), tmp_path)[0]()
    assert plain.fit.learning_rate == 1e-3  # its own recipe's


def test_a_chain_is_trained_stopped_and_taken_up_again(tmp_path):
    recipe = load_recipe(find_recipe("xmicroscopy"), CHAIN)

    def stop(done: int, total: int, note: str = "") -> None:
        if note.startswith("X-Net") and done == 3:
            raise Cancelled("training")

    run_dir = tmp_path / "run"
    with pytest.raises(Cancelled):
        train_chain(recipe, run_dir, progress=stop)
    with pytest.raises(OutputError, match="holds a training already"):
        train_chain(recipe, run_dir)
    started = json.loads((run_dir / "ur-net-8" / "run.json").read_text())["started"]
    chain = train_chain(recipe, run_dir, resume=True)
    assert json.loads((run_dir / "ur-net-8" / "run.json").read_text())["started"] == started
    assert chain.whole.is_complete
    assert json.loads((run_dir / "run.json").read_text())["steps"] == {"ur_net_8": 5, "x_net": 4}
    image = torch.rand(1, 1, 48, 40)
    with torch.no_grad():
        made = chain.whole.task.network(image)
        mimic = chain.ur_net_8.task.network(image).clamp(0, 1)
        apart = (mimic, *chain.x_net.task.network(image, mimic))
    for one, other in zip(made, apart, strict=True):
        torch.testing.assert_close(one, other.mean(dim=1, keepdim=True))
    again = reopen_chain(run_dir).whole.task.network.state_dict()
    for name, weight in chain.whole.task.network.state_dict().items():
        assert torch.equal(again[name], weight), name


# Packages


@pytest.mark.slow
def test_the_tileable_chain_s_package_has_one_input_and_four_outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "home"))
    arguments = {"ur_width": 4, "ur_depth": 2, "x_width": 4, "x_depth": 2, "norm": "none"}
    changes = {**CHAIN, "network.arguments": arguments, "fit.learning_rate": 1e-5}
    chain = train_chain(load_recipe(find_recipe("xmicroscopy"), changes), tmp_path / "run")
    packaged = make_package(chain.whole, tmp_path / "package")
    assert packaged.is_local
    assert packaged.tiled_differs <= 5e-5
    assert not any(note.startswith(("deepImageJ:", "BiaPy:")) for note in packaged.notes)
    package = open_package(packaged.folder)
    assert [str(told.id) for told in package.description.outputs] == ["mu_srm", "xm1", "xm2", "xm3"]
    assert [str(told.id) for told in package.description.inputs] == ["widefield"]
    noise = np.random.default_rng(0).poisson(12, (160, 144)).astype(np.float32)
    image = xr.DataArray(noise, dims=("y", "x"))
    settings = Settings(engine="onnxruntime", device="cpu")
    images, _ = predict_arrays(package, {"widefield": image}, settings)
    ready = stretch(noise, (0.1, 99.9), chain.whole.task.scaling.floor)
    with torch.no_grad():
        expected = chain.whole.task.network(torch.from_numpy(ready)[None, None])
    for name, wanted in zip(("mu_srm", "xm1", "xm2", "xm3"), expected, strict=True):
        found = np.asarray(images[name]).squeeze()
        np.testing.assert_allclose(found, wanted[0, 0].numpy(), atol=1e-4)


@pytest.mark.slow
def test_published_norms_are_packaged_and_their_seam_is_told(ur_run, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "home"))
    packaged = make_package(ur_run, tmp_path / "package")
    assert not packaged.is_local
    assert packaged.tiled_differs > 5e-5
    card = (packaged.folder / "README.md").read_text()
    assert "tiles are blended, and aren't exact" in card
    assert "| all black |" in card
