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
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from bridge.errors import RecipeError
from bridge.smlm.patches import PatchConditions

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NetworkPart(_Part):
    """The network."""

    architecture: Path = Path("architecture.py")
    """Python file that needs torch only; it travels in the package."""
    callable: str
    """Class in that file."""
    arguments: dict[str, JsonValue] = {}
    """What the class is called with."""


class MoviePart(_Part):
    """A movie and the localizations in it."""

    stack: Path
    """TIFF of camera frames."""
    table: Path
    """Localizations in these frames, as ThunderSTORM exports them."""
    pixel_size_nm: _Positive | None = None
    """Edge of a camera pixel; none takes it from the table's protocol or the stack."""
    rim_px: Annotated[int, Field(ge=0, le=64)] = 3
    """Pixels at the movie's edges that the localizer left out; they are not learned from."""


class DataPart(_Part):
    """What the network learns from."""

    preset: str | None = "deep-storm"
    """Conditions of the simulation to start from; none simulates nothing."""
    simulation: dict[str, JsonValue] = {}
    """Conditions that differ from the preset's."""
    like: Path | None = None
    """Table of localizations whose density, photons, widths and background are simulated."""
    like_stack: Path | None = None
    """The movie of that table, of which background and camera are measured."""
    movies: list[MoviePart] = []
    """Real movies with their localizations."""
    movies_share: _Share = 0.5
    """Share of every batch that comes from movies, where there is a simulation as well."""
    patch_px: Annotated[int, Field(ge=8, le=512)] = 32
    """Edge of a training patch, in camera pixels."""
    least_emitters: Annotated[int, Field(ge=0, le=1000)] = 1
    """Patches of movies with fewer emitters are passed over."""
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Part of each movie's field that is kept for validation and never learned from."""
    validation_patches: Annotated[int, Field(ge=2, le=4096)] = 64
    """Patches that every epoch is judged by."""


class HeatmapPart(_Part):
    """The output is an image: emitters per fine pixel, times ``amount``."""

    kind: Literal["heatmap"] = "heatmap"
    """An image of emitters from each frame."""
    upscaling: Annotated[int, Field(ge=1, le=16)] = 8
    """Fine pixels per camera pixel and direction."""
    amount: _Positive = 100.0
    """Sum of the output for one emitter."""
    kernel_fwhm_px: _Positive = 2.3548
    """Blur under which output and label are compared, in fine pixels."""
    finetune_share: _Share = 0.0
    """Last part of the training, with another blur."""
    finetune_kernel_fwhm_px: _Positive = 1.0
    """Blur of that last part, in fine pixels."""
    kernel_px: Annotated[int, Field(ge=3, le=31)] = 7
    """Edge of the blurring window, in fine pixels; odd."""
    kernel_norm: Literal["sum", "peak"] = "sum"
    """Whether the blurring window's sum or its peak is 1."""
    sparsity: _NotNegative = 0.5
    """Weight of the mean absolute output in the loss."""

    @model_validator(mode="after")
    def _check_kernel(self) -> Self:
        if self.kernel_px % 2 == 0:
            raise ValueError("kernel_px must be odd")
        return self


class LocalizationPart(_Part):
    """The output says for each camera pixel whether an emitter is in it, where, and how sure."""

    kind: Literal["localization"]
    """A list of emitters from each frame, with uncertainties."""
    upscaling: ClassVar[int] = 1


def _kind_of(part: object) -> str:
    """Give the kind of a task; heatmap where it isn't said."""
    if isinstance(part, Mapping):
        return str(part.get("kind", "heatmap"))
    return str(getattr(part, "kind", "heatmap"))


TaskPart = Annotated[
    Annotated[HeatmapPart, Tag("heatmap")] | Annotated[LocalizationPart, Tag("localization")],
    Discriminator(
        _kind_of,
        custom_error_type="kind",
        custom_error_message="kind is heatmap or localization",
    ),
]
"""What a network's output means; told apart by its ``kind``."""


class FitPart(_Part):
    """How long and how the network is trained."""

    steps: Annotated[int, Field(ge=1)] | None = None
    """Length in steps; give this or minutes."""
    minutes: _Positive | None = None
    """Length in minutes on this machine; it becomes a number of steps when training starts."""
    steps_per_epoch: Annotated[int, Field(ge=1)] = 250
    """Steps between two validations, checkpoints and panels."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 8
    """Patches per step."""
    learning_rate: _Positive = 4e-3
    """Highest learning rate."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """AdamW (betas 0.9 and 0.99) or Adam with its own defaults."""
    weight_decay: _NotNegative = 0.01
    """Weight decay."""
    schedule: Literal["one-cycle", "constant"] = "one-cycle"
    """Rise over 5 % of the steps and fall to 0 as a cosine, or stay."""
    settle_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Last part of the steps, in which batch norms keep their averages, as they will in use."""
    clip_norm: _NotNegative = 5.0
    """Greatest norm of the gradient; 0 leaves it."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the running average of the weights; 0 uses the last ones."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better validation loss after which training stops; 0 never does."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Seed of weights and data."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    precision: Literal["32", "bf16"] = "32"
    """Arithmetic of the network."""

    @model_validator(mode="after")
    def _check_length(self) -> Self:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give steps or minutes, and not both")
        if self.settle_share and self.schedule != "one-cycle":
            raise ValueError("settle_share needs the schedule one-cycle")
        return self


class PackagePart(_Part):
    """What the package says of itself."""

    description: str
    """One or two sentences: what goes in, what comes out, for whom."""
    license: str = "BSD-3-Clause"
    """SPDX name."""
    authors: list[str] = ["The zoobridge developers"]
    """Names."""
    cite: dict[str, str] = {}
    """Citation to its DOI, or to a web address."""
    tags: list[str] = []
    """Tags beside those that every package of this task has."""
    version: str = "0.1.0"
    """Version of the package."""
    smallest_px: Annotated[int, Field(ge=8, le=1024)] = 48
    """Edge of the smallest input, in camera pixels."""
    test_share: Annotated[float, Field(gt=0, le=4)] = 0.5
    """Localizers: part of the usual number of test frames from which the figures are made."""


class Recipe(_Part):
    """Everything that makes a training what it is."""

    name: str
    """Name of the package."""
    network: NetworkPart
    """The network."""
    data: DataPart = DataPart()
    """What it learns from."""
    task: TaskPart = HeatmapPart()
    """What its output means."""
    fit: FitPart
    """How it is trained."""
    package: PackagePart
    """What its package says."""

    @property
    def conditions(self) -> PatchConditions | None:
        """What is simulated; none where the network learns from movies alone."""
        if self.data.preset is None:
            return None
        preset = PatchConditions.presets()[self.data.preset].model_dump()
        changed = _merge(preset, {**self.data.simulation, "size_px": self.data.patch_px})
        return PatchConditions.model_validate(changed)

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        known = PatchConditions.presets()
        if self.data.preset is not None and self.data.preset not in known:
            raise ValueError(f"data.preset {self.data.preset!r} is none of {', '.join(known)}")
        if self.data.preset is None and not self.data.movies:
            raise ValueError("data has neither a preset to simulate nor movies")
        if self.data.preset is None and (self.data.simulation or self.data.like is not None):
            raise ValueError("data.simulation and data.like need a data.preset to start from")
        if self.data.like_stack is not None and self.data.like is None:
            raise ValueError("data.like_stack needs data.like, the table of that movie")
        if self.task.kind == "localization" and (self.data.movies or self.data.preset is None):
            raise ValueError(
                "a localizer learns from a simulation, whose truth is exact: give data.like and "
                "data.like_stack instead of data.movies"
            )
        try:
            _ = self.conditions
        except ValidationError as error:
            raise ValueError(_tell(error, PatchConditions, front="data.simulation.")) from error
        return self


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
    return _kind_of(_read(path / "recipe.yaml" if path.is_dir() else path).get("task"))


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
    movies = [
        movie.model_copy(update={"stack": folder / movie.stack, "table": folder / movie.table})
        for movie in recipe.data.movies
    ]
    likes = {
        name: None if path is None else folder / path
        for name, path in (("like", recipe.data.like), ("like_stack", recipe.data.like_stack))
    }
    data = recipe.data.model_copy(update={"movies": movies, **likes})
    architecture = folder / recipe.network.architecture
    network = recipe.network.model_copy(update={"architecture": architecture})
    return recipe.model_copy(update={"data": data, "network": network})


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
    detail = _first(error)
    if detail["type"] == "extra_forbidden":
        key, remedy = _nearest(detail["loc"], Recipe)
        return RecipeError(source, f"{key} is not known", "only keys of a recipe", remedy)
    key = ".".join(str(part) for part in detail["loc"])
    found = _message(detail)
    return RecipeError(f"{source}: {key}" if key else source, found, remedy="Correct the recipe.")


def _tell(error: ValidationError, model: type[BaseModel], *, front: str) -> str:
    """Say the first complaint about a part that is checked on its own, in one sentence."""
    detail = _first(error)
    if detail["type"] == "extra_forbidden":
        key, remedy = _nearest(detail["loc"], model)
        return f"{front}{key} is not known. {remedy}"
    return f"{front}{'.'.join(str(part) for part in detail['loc'])}: {_message(detail)}"


def _first(error: ValidationError) -> ErrorDetails:
    """Prefer an unknown key: it explains why another one is missing."""
    details = error.errors(include_url=False)
    found = next((one for one in details if one["type"] == "extra_forbidden"), details[0])
    place = found["loc"]
    if place[:1] == ("task",) and place[1:2] in {("heatmap",), ("localization",)}:
        found["loc"] = (place[0], *place[2:])  # the kind is no key
    return found


def _message(detail: ErrorDetails) -> str:
    found = detail["msg"].removeprefix("Value error, ")
    if found[:1].isupper() and found[1:2].islower():
        found = found[:1].lower() + found[1:]
    value = detail["input"]
    is_short = isinstance(value, str | int | float | bool) and len(repr(value)) < 60
    return f"{value!r}: {found}" if is_short else found


def _nearest(place: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, str]:
    """Give an unknown key as it is written, and a remedy that names the nearest known one."""
    key = ".".join(str(part) for part in place)
    known = list(_keys(model))
    plain = ".".join(part for part in place if isinstance(part, str))  # without list positions
    parent = plain.rpartition(".")[0]
    beside = [name for name in known if name.rpartition(".")[0] == parent]
    near = difflib.get_close_matches(plain, beside, n=1, cutoff=0.6)
    # Another part's key has the same last word rather than the same beginning.
    last = plain.rpartition(".")[2]
    words = {name.rpartition(".")[2]: name for name in reversed(known)}
    near = near or [words[word] for word in difflib.get_close_matches(last, words, 1, 0.6)]
    return key, f"Did you mean {near[0]}?" if near else f"Known there: {', '.join(beside)}."


def _keys(model: type[BaseModel], front: str = "") -> Iterator[str]:
    """Give the dotted keys of a recipe; those of a list's members without their position."""
    for name, field in model.model_fields.items():
        yield front + name
        for part in _models_in(field.annotation):
            yield from _keys(part, f"{front}{name}.")


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Give the models that an annotation names, within lists, unions and ``Annotated``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models_in(part)
