"""Training networks that restore images: by regression, with an adversary, by diffusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from bridge.errors import Cancelled, RecipeError, TrainingError
from bridge.jobs.train import find_recipe
from bridge.quality.structure import multiscale_ssim
from bridge.restoration.degrade import Degradation
from bridge.restoration.pair_folder import PairSettings, new_pairs
from bridge.training.degraded_sources import DegradedPairs, SharpImage
from bridge.training.fit import Run, reopen, train
from bridge.training.image_losses import MultiScaleSsim, count_scales
from bridge.training.kind import stretch
from bridge.training.package import make_package
from bridge.training.pair_sources import FolderPairs, KeptField, PairSources, SimulatedPairs
from bridge.training.recipe import Recipe, load_recipe
from bridge.training.restoration_figures import measure
from bridge.training.tasks.adversarial import load_start

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "data.fields": 4,
    "data.patch_px": 32,
    "data.validation_patches": 4,
    "fit.steps": 6,
    "fit.steps_per_epoch": 3,
    "fit.batch": 2,
    "network.arguments.width": 8,
}
PAIRS: dict[str, Any] = {"data.simulation.edge_px": 64, "data.simulation.structures": ["points"]}
OWN: dict[str, dict[str, Any]] = {
    "edsr": {**PAIRS, "network.arguments.blocks": 1},
    "srgan": {
        **PAIRS,
        "network.arguments.blocks": 1,
        "task.warm_up_share": 0.0,
        "task.discriminator.arguments.width": 4,
    },
    "sr3": {**PAIRS, "network.arguments.samples": 2, "network.arguments.steps": 2},
    "dfcan": {**PAIRS, "network.arguments.groups": 1, "network.arguments.blocks": 1},
    "centriole-unet": {"data.simulation.edge_px": 128, "network.arguments.depth": 2},
}


def small_recipe(name: str, **more: Any) -> Recipe:
    changes = {key.replace("__", "."): value for key, value in more.items()}
    return load_recipe(find_recipe(name), {**SMALL, **OWN[name], **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Give a short training of each kind."""
    folder = tmp_path_factory.mktemp("restoration")
    return {name: train(small_recipe(name), folder / name) for name in OWN}


# Losses


def test_ms_ssim_is_that_of_the_figures():
    rng = np.random.default_rng(1)
    truth = ndimage.gaussian_filter(rng.random((192, 192)), 2)
    truth = ((truth - truth.min()) / np.ptp(truth)).astype(np.float32)
    for noise in (0.02, 0.2):
        image = (truth + rng.normal(0, noise, truth.shape)).astype(np.float32)
        tensors = (torch.from_numpy(one)[None, None] for one in (image, truth))
        found = float(MultiScaleSsim()(*tensors))
        # The figures' windows also reach over the edges, mirrored.
        assert found == pytest.approx(multiscale_ssim(image, truth, data_range=1.0), abs=0.02)


def test_ms_ssim_of_equal_images_is_1_and_takes_fewer_scales_on_small_ones():
    image = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(1))
    assert MultiScaleSsim()(image, image).tolist() == pytest.approx([1, 1], abs=1e-5)
    assert [count_scales(n) for n in (8, 11, 32, 64, 176, 4096)] == [1, 1, 2, 3, 5, 5]


# Batches


@pytest.mark.parametrize("name", ["edsr", "centriole-unet"])
def test_the_same_key_gives_the_same_batch_and_another_one_another(name, runs):
    source = runs[name].sources.training
    first, again, other = (source.batch(3, key, CPU) for key in ([1, 2], [1, 2], [1, 3]))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.frames, other.frames)


def test_patches_of_a_folder_are_places_of_its_fields(tmp_path):
    rng = np.random.default_rng(3)
    image = rng.random((40, 50)).astype(np.float32)
    target = np.kron(image, np.ones((2, 2), np.float32))
    settings = PairSettings(input_pixel_size_nm=100, target_pixel_size_nm=50, scale=2, source="t")
    with new_pairs(tmp_path / "pairs", settings) as writer:
        writer.add("a", "noise", "training", input=image, target=target)
    from bridge.restoration.pair_folder import open_pairs  # noqa: PLC0415

    fields = open_pairs(tmp_path / "pairs").fields
    source = FolderPairs(fields, scale=2, patch_px=16, percent=None, turn=True)
    batch = source.batch(8, [1], CPU)
    assert batch.frames.shape == (8, 1, 16, 16)
    for patch, wanted in zip(batch.frames.numpy(), batch.targets.numpy(), strict=True):
        assert np.array_equal(wanted[0], np.kron(patch[0], np.ones((2, 2))))
        assert np.isin(patch, image).all()
    with pytest.raises(RecipeError, match="at most a field, 40 px"):
        FolderPairs(fields, scale=2, patch_px=48, percent=None, turn=True)


def test_degraded_patches_hold_a_detection_and_fit_their_targets():
    image = np.zeros((128, 128), np.float32)
    places = np.array([[30.5, 40.5], [90.5, 100.5], [60.5, 20.5]])
    for y, x in places:
        image[int(y), int(x)] = 100
    image = ndimage.gaussian_filter(image, 1.5)
    table = pd.DataFrame({"y_px": places[:, 0], "x_px": places[:, 1]})
    source = DegradedPairs(
        [SharpImage(image, table)],
        Degradation(sigma_px=1.5, factor=2),
        patch_px=16,
        percent=(0.0, 100.0),
        turn=False,
    )
    batch = source.batch(40, [5], CPU)
    full = batch.targets.amax(dim=(1, 2, 3)) > 0.9
    assert float(full.float().mean()) > 0.7, "four in five are cut around a detection"
    for given, wanted in zip(batch.frames[full], batch.targets[full], strict=True):
        coarse = torch.nn.functional.avg_pool2d(wanted[None], 2)[0]
        assert np.corrcoef(given.ravel(), coarse.ravel())[0, 1] > 0.8


def test_a_stretched_image_spans_0_to_1():
    image = np.arange(1000, dtype=np.float32).reshape(25, 40) * 7 + 300
    low, high = np.percentile(stretch(image, (1.0, 99.0)), [1, 99])
    assert (low, high) == (pytest.approx(0, abs=1e-6), pytest.approx(1, abs=1e-6))


# Recipes


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("srgan", {"task.perceptual": 1.0}, "perceptual needs vgg_weights"),
        ("edsr", {"task.upscaling": 2}, "data are pairs of scale 1"),
        ("edsr", {"data.kind": "smlm"}, "not known|needs data of the kind"),
        ("edsr", {"data.preset": "confocal"}, "none of confocal-sted"),
        ("edsr", {"task.l1": 0}, "give a weight to l1, l2 or ms_ssim"),
        ("edsr", {"data.simulation.target_fwhm_nm": 300}, "would be the blurred one"),
        ("centriole-unet", {"task.scaling": "fixed"}, "need task.scaling: stretch"),
        ("centriole-unet", {"data.confocal_fwhm_nm": 330}, "would be the blurred one"),
    ],
)
def test_what_contradicts_itself_is_refused(name, changes, said):
    with pytest.raises(RecipeError, match=said):
        load_recipe(find_recipe(name), changes)


def test_a_constant_folder_is_refused(tmp_path):
    settings = PairSettings(input_pixel_size_nm=40, target_pixel_size_nm=40, source="t")
    with new_pairs(tmp_path / "pairs", settings) as writer:
        for part in ("training", "validation", "test"):
            flat = np.full((64, 64), 7, np.float32)
            writer.add(part, "", part, input=flat, target=flat)
    recipe = small_recipe("edsr", data__folder=str(tmp_path / "pairs"))
    with pytest.raises(TrainingError, match="the inputs are constant: 7"):
        train(recipe, tmp_path / "run")


# Trainings


def test_an_adversarial_training_resumes_with_the_same_weights(runs, tmp_path):
    whole = runs["srgan"]

    def stop(done: int, total: int, note: str = "") -> None:
        if done == 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        train(whole.task.recipe, tmp_path / "run", progress=stop)
    again = train(whole.task.recipe, tmp_path / "run", resume=True)
    expected, found = whole.task.state_dict(), again.task.state_dict()
    assert any(name.startswith("discriminator.") for name in expected)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_training_may_start_from_another_ones_weights(runs, tmp_path):
    edsr = runs["edsr"]
    recipe = small_recipe("srgan", task__start=str(edsr.run_dir), fit__learning_rate=1e-12)
    started = train(recipe, tmp_path / "run")
    for name, weights in edsr.task.network.state_dict().items():
        assert torch.allclose(weights, started.task.network.state_dict()[name], atol=1e-6)
    with pytest.raises(RecipeError, match="weights of another network"):
        load_start(runs["sr3"].task.network, edsr.run_dir)
    with pytest.raises(RecipeError, match="holds no weights"):
        load_start(edsr.task.network, tmp_path)


def test_a_discriminator_that_has_won_is_told(runs):
    figures = {"val_mass": 1.0, "val_discriminator": 0.99}
    assert "it has won" in runs["srgan"].task.doubts(figures)[0]
    assert not runs["srgan"].task.doubts({"val_mass": 1.0, "val_discriminator": 0.8})


def test_wrong_grey_levels_are_told_though_the_loss_is_low(runs):
    assert "2.00 times as bright" in runs["sr3"].task.doubts({"val_mass": 2.0})[0]
    assert not runs["edsr"].task.doubts({"val_mass": 0.95})


def test_samples_are_the_same_each_time(runs):
    task = runs["sr3"].task
    inputs, _ = task.scaled(task.validation_batch(0))
    with torch.inference_mode():
        assert torch.equal(task.restore(inputs), task.restore(inputs))


# Packages


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_each_kinds_package_passes_its_tests(name, runs):
    packaged = make_package(reopen(runs[name].run_dir), runs[name].run_dir / "package")
    assert packaged.formats_differ < 1e-4
    assert packaged.is_local == (name != "dfcan")
    assert packaged.tiled_differs < (5e-5 if packaged.is_local else 0.1)
    assert "On fields it never saw" in packaged.figures.sentences()[0]
    is_enlarged = load_recipe(find_recipe(name)).task.upscaling > 1
    for told in ("deepImageJ", "BiaPy"):
        is_taken = not any(note.startswith(f"{told}:") for note in packaged.notes)
        is_other = name == "sr3" or (told == "deepImageJ" and is_enlarged)  # noise is an input
        assert is_taken != is_other, packaged.notes
    card = (packaged.folder / "README.md").read_text("utf-8")
    assert "It can invent structure" in card
    assert ("no perceptual (VGG) features" in card) == (name == "srgan")


def test_figures_are_those_of_the_truth():
    rng = np.random.default_rng(2)
    truth = ndimage.gaussian_filter(rng.random((64, 64)), 1).astype(np.float32)
    fields = [KeptField(kind, truth * 0.5, truth, truth) for kind in ("a", "b")]
    figures = measure(fields, lambda image: image * 2, scale=1)
    assert figures.network["all"]["ssim"] == pytest.approx(1)
    assert figures.network["a"]["flux_ratio"] == pytest.approx(1)
    assert figures.untouched["b"]["flux_ratio"] == pytest.approx(0.5)


def test_simulated_fields_that_judge_are_none_that_teach(runs):
    sources = runs["edsr"].sources
    assert isinstance(sources, PairSources)
    assert isinstance(sources.training, SimulatedPairs)
    taught = [pair.target for pair in sources.training._fields]
    for field in sources.test:
        assert field.truth is not None
        assert not any(np.array_equal(field.truth, one) for one in taught)


def test_an_unreadable_start_is_told(runs, tmp_path: Path):
    recipe = small_recipe("srgan", task__start=str(tmp_path / "nothing"))
    with pytest.raises(RecipeError, match="holds no weights"):
        train(recipe, tmp_path / "run")
