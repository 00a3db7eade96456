"""A recipe: everything that makes a training what it is, as one YAML file.

::

    name: Deep-STORM light (8x)          network:  which architecture file, with which arguments
    network: {...}                       data:     what it learns from: a simulation, movies, both
    data: {...}                          task:     what its output means, and the loss
    task: {...}                          fit:      how long and how it is trained
    fit: {...}                           package:  what the package says of itself
    package: {...}

A key that isn't known is refused, and the nearest known one is named. Any value can be replaced:
``{"fit.steps": "500"}``. Paths are taken from the recipe's folder.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, get_args

import yaml
from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import ErrorDetails

from bridge.errors import RecipeError
from bridge.restoration.exposure import PairConditions
from bridge.restoration.storm_fields import StormConditions
from bridge.smlm.patches import PatchConditions
from bridge.training.parts import (
    AdversarialPart,
    ChainPart,
    DataPart,
    DegradedData,
    FitPart,
    HeatmapPart,
    NetworkPart,
    PackagePart,
    PairsData,
    Part,
    SmlmData,
    StormData,
    TaskPart,
    XNetPart,
    kind_of,
)

_DATA_OF = {
    "heatmap": ("smlm",),
    "localization": ("smlm",),
    "regression": ("pairs", "degraded"),
    "adversarial": ("pairs", "degraded"),
    "diffusion": ("pairs", "degraded"),
    "ur_net": ("storm",),
    "xnet": ("storm",),
    "xmicroscopy": ("storm",),
}
"""Kinds of data that each kind of task learns from."""
_KINDS = {*_DATA_OF, *(kind for kinds in _DATA_OF.values() for kind in kinds)}


class Recipe(Part):
    """Everything that makes a training what it is."""

    name: str
    """Name of the package."""
    network: NetworkPart
    """The network."""
    data: DataPart = SmlmData()
    """What it learns from."""
    task: TaskPart = HeatmapPart()
    """What its output means."""
    fit: FitPart
    """How it is trained."""
    package: PackagePart
    """What its package says."""

    @property
    def movies(self) -> SmlmData:
        """The data, of a task that learns from movies."""
        if not isinstance(self.data, SmlmData):
            raise RecipeError("data.kind", self.data.kind, "smlm", "Correct the recipe.")
        return self.data

    @property
    def pairs(self) -> PairsData:
        """The data, of a task that learns from pairs of images."""
        if not isinstance(self.data, PairsData):
            raise RecipeError("data.kind", self.data.kind, "pairs", "Correct the recipe.")
        return self.data

    @property
    def degraded(self) -> DegradedData:
        """The data, of a task that learns from images and what degrading makes of them."""
        if not isinstance(self.data, DegradedData):
            raise RecipeError("data.kind", self.data.kind, "degraded", "Correct the recipe.")
        return self.data

    @property
    def degraded_conditions(self) -> PairConditions:
        """Which sharp images are simulated; their PSFs are those that the data name."""
        data = self.degraded
        preset = PairConditions.presets()[data.preset].model_dump()
        widths = {
            "input_fwhm_nm": data.widefield_fwhm_nm,
            "target_fwhm_nm": data.confocal_fwhm_nm,
            "scale": self.task.upscaling,
        }
        return PairConditions.model_validate({**_merge(preset, data.simulation), **widths})

    @property
    def storm(self) -> StormData:
        """The data, of a task that learns from widefield and STORM images."""
        if not isinstance(self.data, StormData):
            raise RecipeError("data.kind", self.data.kind, "storm", "Correct the recipe.")
        return self.data

    @property
    def conditions(self) -> PatchConditions | None:
        """Which patches are simulated; none where the network learns from something else."""
        data = self.data
        if not isinstance(data, SmlmData) or data.preset is None:
            return None
        preset = PatchConditions.presets()[data.preset].model_dump()
        changed = _merge(preset, {**data.simulation, "size_px": data.patch_px})
        return PatchConditions.model_validate(changed)

    @property
    def pair_conditions(self) -> PairConditions:
        """Which pairs are simulated, where they don't come from a folder."""
        data = self.pairs
        preset = PairConditions.presets()[data.preset].model_dump()
        return PairConditions.model_validate(_merge(preset, data.simulation))

    @property
    def storm_conditions(self) -> StormConditions:
        """Which microtubules are simulated, where the images don't come from a folder."""
        return StormConditions.model_validate(self.storm.simulation)

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        expected = _DATA_OF[self.task.kind]
        if self.data.kind not in expected:
            raise ValueError(
                f"a task of the kind {self.task.kind} needs data of the kind "
                + " or ".join(expected)
            )
        model: type[BaseModel] = PatchConditions
        try:
            if isinstance(self.data, PairsData):
                model = PairConditions
                self._check_pairs(self.data)
            elif isinstance(self.data, DegradedData):
                model = PairConditions
                self._check_degraded(self.data)
            elif isinstance(self.data, StormData):
                model = StormConditions
                _ = self.storm_conditions
            else:
                self._check_movies(self.data)
        except ValidationError as error:
            raise ValueError(_tell(error, model, front="data.simulation.")) from error
        return self

    def _check_movies(self, data: SmlmData) -> None:
        known = PatchConditions.presets()
        if data.preset is not None and data.preset not in known:
            raise ValueError(f"data.preset {data.preset!r} is none of {', '.join(known)}")
        if data.preset is None and not data.movies:
            raise ValueError("data has neither a preset to simulate nor movies")
        if data.preset is None and (data.simulation or data.like is not None):
            raise ValueError("data.simulation and data.like need a data.preset to start from")
        if data.like_stack is not None and data.like is None:
            raise ValueError("data.like_stack needs data.like, the table of that movie")
        if self.task.kind == "localization" and (data.movies or data.preset is None):
            raise ValueError(
                "a localizer learns from a simulation, whose truth is exact: give data.like and "
                "data.like_stack instead of data.movies"
            )
        _ = self.conditions

    def _check_degraded(self, data: DegradedData) -> None:
        known = PairConditions.presets()
        if data.preset not in known:
            raise ValueError(f"data.preset {data.preset!r} is none of {', '.join(known)}")
        if getattr(self.task, "scaling", "") != "stretch":
            raise ValueError(
                "data of the kind degraded need task.scaling: stretch, as real widefield images "
                "have an exposure of their own"
            )
        _ = self.degraded_conditions

    def _check_pairs(self, data: PairsData) -> None:
        known = PairConditions.presets()
        if data.preset not in known:
            raise ValueError(f"data.preset {data.preset!r} is none of {', '.join(known)}")
        scale = self.pair_conditions.scale
        if data.folder is None and scale != self.task.upscaling:
            raise ValueError(
                f"data are pairs of scale {scale}, and task.upscaling is {self.task.upscaling}"
            )


def load_recipe(path: Path, changes: Mapping[str, object] | None = None) -> Recipe:
    """Read a recipe and replace values in it.

    Parameters
    ----------
    path : Path
        YAML file, or a folder with ``recipe.yaml``.
    changes : mapping, optional
        Values by dotted key, such as ``{"fit.steps": 500}``; texts are read as YAML.

    Returns
    -------
    Recipe
        Checked, its paths made absolute.

    Raises
    ------
    RecipeError
        The file cannot be read, a key isn't known or a value doesn't fit.
    """
    path = path / "recipe.yaml" if path.is_dir() else path
    content = _read(path)
    return make_recipe(_replace(content, changes or {}, path), folder=path.parent, source=str(path))


def read_kind(path: Path) -> str:
    """Read what kind of task a recipe has, before it is changed and checked.

    Parameters
    ----------
    path : Path
        YAML file, or a folder with ``recipe.yaml``.

    Returns
    -------
    str
        Such as ``heatmap``.

    Raises
    ------
    RecipeError
        The file cannot be read.
    """
    return kind_of(_read(path / "recipe.yaml" if path.is_dir() else path).get("task"))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        found = f"can't be read: {error.strerror}"
        raise RecipeError(str(path), found, "a recipe (YAML)", "Check the path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), f"is no YAML: {_line(error)}", "a recipe") from error
    if not isinstance(content, dict):
        raise RecipeError(str(path), f"holds a {type(content).__name__}", "keys with values")
    return content


def make_recipe(content: Mapping[str, Any], *, folder: Path, source: str) -> Recipe:
    """Check a recipe's content.

    Parameters
    ----------
    content : mapping
        What the YAML file holds.
    folder : Path
        Where its paths start.
    source : str
        The recipe's name in messages.

    Returns
    -------
    Recipe
        Its paths made absolute.

    Raises
    ------
    RecipeError
        A key isn't known or a value doesn't fit.
    """
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise _recipe_error(error, source) from error
    return _with_absolute_paths(recipe, folder.resolve())


def _with_absolute_paths(recipe: Recipe, folder: Path) -> Recipe:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else folder / path

    def network(part: NetworkPart) -> NetworkPart:
        return part.model_copy(update={"architecture": folder / part.architecture})

    changes: dict[str, Any] = {"network": network(recipe.network)}
    data, task = recipe.data, recipe.task
    if isinstance(data, PairsData | DegradedData | StormData):
        changes["data"] = data.model_copy(update={"folder": absolute(data.folder)})
    else:
        movies = [
            movie.model_copy(update={"stack": folder / movie.stack, "table": folder / movie.table})
            for movie in data.movies
        ]
        likes = {"like": absolute(data.like), "like_stack": absolute(data.like_stack)}
        changes["data"] = data.model_copy(update={"movies": movies, **likes})
    if isinstance(task, AdversarialPart):
        files = {"start": absolute(task.start), "vgg_weights": absolute(task.vgg_weights)}
        update: dict[str, Any] = {"discriminator": network(task.discriminator), **files}
        if isinstance(task, XNetPart):
            update["start_ur"] = absolute(task.start_ur)
        changes["task"] = task.model_copy(update=update)
    if isinstance(task, ChainPart):
        recipes = {"ur_net_8": folder / task.ur_net_8, "x_net": folder / task.x_net}
        changes["task"] = task.model_copy(update=recipes)
    return recipe.model_copy(update=changes)


def _replace(content: dict[str, Any], changes: Mapping[str, object], path: Path) -> dict[str, Any]:
    """Replace values by dotted key; an absent mapping on the way is made."""
    for key, value in changes.items():
        *front, last = key.split(".")
        place = content
        for part in front:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise RecipeError(f"{path}: {key}", f"{part} is a value, and holds no keys")
        place[last] = _read_value(value, key) if isinstance(value, str) else value
        other = {"fit.steps": "minutes", "fit.minutes": "steps"}.get(key)
        if other is not None and place[last] is not None and f"fit.{other}" not in changes:
            place.pop(other, None)  # the length asked for takes the recipe's own's place
    return content


def _read_value(text: str, key: str) -> object:
    try:
        value: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(key, f"{text!r} is no YAML value: {_line(error)}") from error
    try:
        return float(value) if isinstance(value, str) else value  # YAML 1.1 takes 1e-3 for a text
    except ValueError:
        return value


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Replace values, in mappings key by key; one of another ``kind`` is replaced as a whole."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            is_same_kind = value.get("kind", old.get("kind")) == old.get("kind")
            value = _merge(old, value) if is_same_kind else value
        merged[key] = value
    return merged


def _recipe_error(error: ValidationError, source: str) -> RecipeError:
    """Say the first complaint; an unknown key comes first, with the nearest known one."""
    detail, kind = _first(error)
    if detail["type"] == "extra_forbidden":
        key, remedy = _nearest(detail["loc"], Recipe, kind)
        return RecipeError(source, f"{key} is not known", "only keys of a recipe", remedy)
    key = ".".join(str(part) for part in detail["loc"])
    found = _message(detail)
    return RecipeError(f"{source}: {key}" if key else source, found, remedy="Correct the recipe.")


def _tell(error: ValidationError, model: type[BaseModel], *, front: str) -> str:
    """Say the first complaint about a part that is checked on its own, in one sentence."""
    detail, kind = _first(error)
    if detail["type"] == "extra_forbidden":
        key, remedy = _nearest(detail["loc"], model, kind)
        return f"{front}{key} is not known. {remedy}"
    return f"{front}{'.'.join(str(part) for part in detail['loc'])}: {_message(detail)}"


def _first(error: ValidationError) -> tuple[ErrorDetails, str]:
    """Prefer an unknown key: it explains why another one is missing. Gives its part's kind, too."""
    details = error.errors(include_url=False)
    found = next((one for one in details if one["type"] == "extra_forbidden"), details[0])
    place = found["loc"]
    if place[:1] in {("task",), ("data",)} and place[1:2] and place[1] in _KINDS:
        found["loc"] = (place[0], *place[2:])  # the kind is no key
        return found, str(place[1])
    return found, ""


def _message(detail: ErrorDetails) -> str:
    found = detail["msg"].removeprefix("Value error, ")
    if found[:1].isupper() and found[1:2].islower():
        found = found[:1].lower() + found[1:]
    value = detail["input"]
    is_short = isinstance(value, str | int | float | bool) and len(repr(value)) < 60
    return f"{value!r}: {found}" if is_short else found


def _nearest(place: tuple[int | str, ...], model: type[BaseModel], kind: str) -> tuple[str, str]:
    """Give an unknown key as it is written, and a remedy that names the nearest known one."""
    key = ".".join(str(part) for part in place)
    known = list(dict.fromkeys(_keys(model, kind)))
    plain = ".".join(part for part in place if isinstance(part, str))  # without list positions
    parent = plain.rpartition(".")[0]
    beside = [name for name in known if name.rpartition(".")[0] == parent]
    near = difflib.get_close_matches(plain, beside, n=1, cutoff=0.6)
    # Another part's key has the same last word rather than the same beginning.
    last = plain.rpartition(".")[2]
    words = {name.rpartition(".")[2]: name for name in reversed(known)}
    near = near or [words[word] for word in difflib.get_close_matches(last, words, 1, 0.6)]
    return key, f"Did you mean {near[0]}?" if near else f"Known there: {', '.join(beside)}."


def _keys(model: type[BaseModel], kind: str, front: str = "") -> Iterator[str]:
    """Give the dotted keys of a recipe; those of a list's members without their position.

    Of parts that come in kinds, only the named kind's, or every kind's where it isn't among them.
    """
    for name, field in model.model_fields.items():
        yield front + name
        parts = list(_models_in(field.annotation))
        parts = [part for part in parts if kind in _kinds_of(part)] or parts
        for part in parts:
            yield from _keys(part, kind, f"{front}{name}.")


def _kinds_of(model: type[BaseModel]) -> tuple[object, ...]:
    """Give the kind that a model is for, if any."""
    field = model.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Give the models that an annotation names, within lists, unions and ``Annotated``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models_in(part)
