"""Recipes: what is read, what is refused, and which sentence a user gets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RecipeError
from bridge.jobs.train import SHIPPED, find_recipe
from bridge.training.describe import package_words
from bridge.training.kinds import check_network
from bridge.training.networks import build_network, stride_of
from bridge.training.parts import NetworkPart
from bridge.training.recipe import load_recipe, make_recipe

ARCHITECTURE = """
import torch
class Net(torch.nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 64, 3, padding=1)
    def forward(self, frames):
        return torch.nn.functional.pixel_shuffle(self.conv(frames), 8)
"""


def content(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "name": "Small network",
        "network": {"callable": "Net"},
        "fit": {"steps": 10},
        "package": {"description": "For tests."},
    }
    for key, value in changes.items():
        part, _, last = key.partition("__")
        if last:
            base.setdefault(part, {})[last] = value
        else:
            base[part] = value
    return base


def refusal(**changes: Any) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        make_recipe(content(**changes), folder=Path(), source="my.yaml")
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)
    return caught.value


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    (tmp_path / "architecture.py").write_text(ARCHITECTURE)
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(content()))
    return path


@pytest.mark.parametrize(
    ("changes", "wrong", "meant"),
    [
        ({"fit__learning_rat": 1e-3}, "fit.learning_rat", "fit.learning_rate"),
        ({"fit__step": 5}, "fit.step", "fit.steps"),
        ({"data__patchpx": 16}, "data.patchpx", "data.patch_px"),
        ({"task__learning_rate": 1e-3}, "task.learning_rate", "fit.learning_rate"),
        ({"steps": 5}, "steps", "fit.steps"),
        ({"netwrok": {}}, "netwrok", "network"),
        (
            {"data__movies": [{"stack": "a.tif", "tabel": "a.csv"}]},
            "data.movies.0.tabel",
            "data.movies.table",
        ),
        (
            {"data__simulation": {"densty_per_um2": [1, 2]}},
            "data.simulation.densty_per_um2",
            "density_per_um2",
        ),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest(changes, wrong, meant):
    said = str(refusal(**changes))
    assert f"{wrong} is not known" in said
    assert f"Did you mean {meant}?" in said


def test_a_misspelt_part_explains_the_missing_one():
    wrong = content()
    wrong["fitt"] = wrong.pop("fit")
    with pytest.raises(RecipeError, match=r"fitt is not known.*Did you mean fit\?"):
        make_recipe(wrong, folder=Path(), source="my.yaml")


def test_a_key_like_none_is_answered_with_those_known_there():
    said = str(refusal(fit__zzzzzz=1))
    assert "fit.zzzzzz is not known" in said
    assert "fit.steps, fit.minutes" in said


@pytest.mark.parametrize(
    ("changes", "what", "found"),
    [
        ({"fit__batch": "many"}, "fit.batch", "'many'"),
        ({"fit__batch": 0}, "fit.batch", "greater than or equal to 1"),
        ({"fit__batch": 2.5}, "fit.batch", "2.5"),
        ({"fit__learning_rate": math.nan}, "fit.learning_rate", "finite"),
        ({"fit__optimizer": "sgd"}, "fit.optimizer", "'adamw' or 'adam'"),
        ({"task__kernel_px": 6}, "my.yaml", "odd"),
        ({"task__amount": -1}, "task.amount", "greater than 0"),
        ({"data__validation_share": 1.0}, "data.validation_share", "less than 1"),
        ({"data__preset": "deepstorm"}, "my.yaml", "deep-storm"),
        ({"data__preset": None}, "my.yaml", "neither a preset"),
        ({"network": {"architecture": "a.py"}}, "network.callable", "required"),
        ({"data__simulation": {"photons": [5, 1]}}, "my.yaml", "photons: the first number"),
        ({"data__simulation": {"empty_share": "x"}}, "my.yaml", "data.simulation.empty_share"),
        ({"data__simulation": 5}, "data.simulation", "dictionary"),
        ({"fit": {}}, "fit", "give steps or minutes"),
        ({"fit": {"steps": 5, "minutes": 1}}, "fit", "not both"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_key(changes, what, found):
    error = refusal(**changes)
    assert what in error.what
    assert found in error.found


@pytest.mark.parametrize("key", ["simulation", "like"])
def test_a_simulation_that_would_not_be_used_is_refused(key):
    value = {"photons": [100, 200]} if key == "simulation" else "table.csv"
    movies = [{"stack": "a.tif", "table": "a.csv"}]
    said = refusal(data__preset=None, data__movies=movies, **{f"data__{key}": value})
    assert "need a data.preset" in said.found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("name: [unclosed", "is no YAML"),
        ("- a list", "holds a list"),
        ("", "holds a NoneType"),
        ("\x00", "is no YAML"),
    ],
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path, text, found):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=found):
        load_recipe(path)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="can't be read: No such file"):
        load_recipe(tmp_path / "nothing.yaml")
    (tmp_path / "picture.yaml").write_bytes(b"\x89PNG\xff\xfe\x00\x81")
    with pytest.raises(RecipeError, match="is no YAML"):
        load_recipe(tmp_path / "picture.yaml")


def test_changes_replace_nested_values_and_leave_the_others(recipe_path):
    changes = {
        "fit.batch": "3",
        "network.arguments.width": "6",
        "data.simulation.camera.pixel_size_nm": "120",
        "task.kernel_norm": "peak",
        "package.tags": "[a, b]",
    }
    recipe = load_recipe(recipe_path, changes)
    assert recipe.fit.batch == 3
    assert recipe.fit.steps == 10
    assert recipe.network.arguments == {"width": 6}
    assert recipe.task.kernel_norm == "peak"
    assert recipe.package.tags == ["a", "b"]
    conditions = recipe.conditions
    assert conditions is not None
    before = load_recipe(recipe_path).conditions
    assert before is not None
    assert conditions.camera == before.camera.model_copy(update={"pixel_size_nm": 120.0})


def test_a_camera_of_another_kind_replaces_the_preset_s():
    camera = {"kind": "emccd", "pixel_size_nm": 160}
    recipe = make_recipe(content(data__simulation={"camera": camera}), folder=Path(), source="x")
    assert recipe.conditions is not None
    assert recipe.conditions.camera.kind == "emccd"
    assert recipe.conditions.camera.pixel_size_nm == 160


def test_the_length_asked_for_replaces_the_recipe_s(recipe_path):
    assert load_recipe(recipe_path, {"fit.minutes": "2"}).fit.steps is None
    recipe_path.write_text(yaml.safe_dump(content(fit={"minutes": 5})))
    fit = load_recipe(recipe_path, {"fit.steps": 7}).fit
    assert (fit.steps, fit.minutes) == (7, None)
    with pytest.raises(RecipeError, match="not both"):
        load_recipe(recipe_path, {"fit.steps": 7, "fit.minutes": 2})


def test_a_change_below_a_value_is_refused(recipe_path):
    with pytest.raises(RecipeError, match="name is a value, and holds no keys"):
        load_recipe(recipe_path, {"name.first": "x"})


@given(st.floats(1e-9, 1.0))
def test_numbers_are_read_however_they_are_written(value):
    text = f"{value:e}"  # YAML 1.1 takes 1e-3 for a text
    expected = float(text)
    for mantissa_dot in (text, text.replace(".000000", "")):
        recipe = make_recipe(
            content(fit__learning_rate=yaml.safe_load(mantissa_dot)), folder=Path(), source="x"
        )
        assert recipe.fit.learning_rate == expected


def test_a_number_without_a_point_is_a_number_in_file_and_change(recipe_path):
    assert load_recipe(recipe_path, {"fit.learning_rate": "1e-3"}).fit.learning_rate == 1e-3
    assert load_recipe(recipe_path, {"network.arguments.x": "1e-3"}).network.arguments["x"] == 1e-3
    recipe_path.write_text(
        recipe_path.read_text().replace("steps: 10", "steps: 10\n  clip_norm: 1e1")
    )
    assert load_recipe(recipe_path).fit.clip_norm == 10.0


def test_paths_start_at_the_recipe_s_folder(recipe_path):
    movies = [{"stack": "a.tif", "table": "/elsewhere/a.csv"}]
    recipe_path.write_text(yaml.safe_dump(content(data={"movies": movies, "like": "b.csv"})))
    recipe = load_recipe(recipe_path)
    folder = recipe_path.parent.resolve()
    assert recipe.data.movies[0].stack == folder / "a.tif"
    assert recipe.data.movies[0].table == Path("/elsewhere/a.csv")
    assert recipe.data.like == folder / "b.csv"
    assert recipe.network.architecture == folder / "architecture.py"


def test_a_recipe_is_the_same_after_writing_and_reading(recipe_path):
    recipe = load_recipe(recipe_path)
    text = yaml.safe_dump(recipe.model_dump(mode="json"))
    assert make_recipe(yaml.safe_load(text), folder=Path("/nowhere"), source="x") == recipe


# The networks that recipes name


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_loads_and_its_network_fits(name):
    recipe = load_recipe(find_recipe(name))
    network = build_network(recipe.network)
    assert recipe.data.patch_px % stride_of(network) == 0
    check_network(network, recipe)
    assert network.training
    assert package_words(recipe)["name"] == recipe.name


def test_dsir_s_recipe_has_its_published_settings():
    recipe = load_recipe(find_recipe("dsir"))
    conditions = recipe.conditions
    assert conditions is not None
    low, high = conditions.psf.sigma_nm
    assert [low * 2.3548, high * 2.3548] == pytest.approx([200, 300], rel=1e-4)
    assert conditions.photons == (80, 2050)
    assert conditions.density_per_um2 == (2, 2)
    assert conditions.background_photons == (20, 20)
    assert conditions.camera.scaling().offset_adu == 100
    assert (conditions.size_px, conditions.camera.pixel_size_nm) == (26, 100)
    fit, task = recipe.fit, recipe.task
    assert (fit.learning_rate, fit.batch, fit.seed) == (1e-4, 32, 99)
    assert (task.kernel_px, task.kernel_fwhm_px, task.finetune_kernel_fwhm_px) == (5, 3, 1)
    # 100 epochs of 3,500 frames before the fine-tuning.
    before = fit.steps * (1 - task.finetune_share)
    assert before == pytest.approx(100 * 3500 / 32, rel=0.02)


def test_an_unknown_recipe_is_refused_with_the_known_ones():
    with pytest.raises(RecipeError, match="deep-storm, deep-storm-original, dsir"):
        find_recipe("deepstorm")


@pytest.mark.parametrize(
    ("source", "part", "found"),
    [
        (None, {}, "is missing"),
        (ARCHITECTURE, {"callable": "Nett"}, "no attribute 'Nett'"),
        (ARCHITECTURE, {"arguments": {"widht": 4}}, "widht"),
        ("import nothing_like_this", {}, "ModuleNotFoundError"),
        ("class Net(:", {}, "SyntaxError"),
        ("def Net(): return 5", {}, "gives a int"),
    ],
)
def test_a_network_that_cannot_be_made_is_refused(tmp_path, source, part, found):
    path = tmp_path / "architecture.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(RecipeError) as caught:
        build_network(NetworkPart(architecture=path, **({"callable": "Net"} | part)))
    assert found in str(caught.value)


def test_a_network_of_another_size_than_its_labels_is_refused(recipe_path):
    recipe = load_recipe(recipe_path, {"task.upscaling": 4})
    network = build_network(recipe.network)
    with pytest.raises(RecipeError, match=r"Expected \(2, 1, 128, 128\)"):
        check_network(network, recipe)
