"""Where patches of widefield and STORM images come from: simulated fields, or a folder.

Fields are split as a whole. Every image is scaled once, as a whole: the widefield image by two of
its percentiles with a floor under their difference, a rendering by its own bright percentile. A
patch is never scaled on its own: tiles that are stretched apart have seams five times as strong.
The three channels of a target are three random renderings of the same structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import RecipeError
from bridge.restoration.split import PARTS
from bridge.restoration.storm_fields import (
    StormConditions,
    StormField,
    draw_storm_field,
    expose_widefield,
)
from bridge.restoration.storm_folder import StormImages, open_storm
from bridge.training.batches import ImagePairs, Sources, seed_of
from bridge.training.kind import stretch
from bridge.training.recipe import Recipe

CHANNELS: Final = 3
"""Renderings in a target, as published."""
_TEST_FIELDS: Final = 8
_VALIDATION_FIELDS: Final = 8
_TEST_SEED: Final = 4_000_037
_VALIDATION_SEED: Final = 3_000_017
_DENSE_SEED: Final = 2_000_003
_FLOOR_SHARE: Final = 0.25
_BRIGHT_PERCENTILE: Final = 99.7


class Field(Protocol):
    """A place on the slide, seen by both microscopes."""

    def widefield(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Give the widefield image (y, x), in its own units."""

    def targets(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Give three renderings (c, y, x), 0 .. 1."""


@dataclass(frozen=True)
class TestField:
    """A field that a finished network is measured on, and that it never saw."""

    name: str
    """Of the field."""
    widefield: NDArray[np.float32]
    """(y, x), in its own units."""
    sparse: NDArray[np.float32]
    """Three undersampled renderings (c, y, x), 0 .. 1."""
    truth: NDArray[np.float32]
    """Rendering of all localizations (y, x), 0 .. 1."""
    drawn: StormField | None = None
    """Its localizations; of simulations only."""


@dataclass(frozen=True)
class StormSources(Sources):
    """What UR-Net-8 or X-Net learns from."""

    test: list[TestField]
    """What it is measured on."""
    floor: float
    """What each widefield image's range is at least taken for, in its own units."""
    conditions: StormConditions | None
    """What is simulated."""
    trained_on: dict[str, object]
    """The same in plain values."""


class SimulatedField:
    """A simulated field, whose noise and renderings are drawn afresh each time.

    Parameters
    ----------
    drawn : StormField
        Its localizations.
    is_dense : bool
        Whether its targets are dense renderings (W-SRM) or undersampled ones (U-SRM).
    """

    def __init__(self, drawn: StormField, *, is_dense: bool) -> None:
        self.drawn = drawn
        self._clean = drawn.blur()
        self._n_shown = drawn.n_dense if is_dense else drawn.n_undersampled

    def widefield(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Expose the widefield image."""
        return expose_widefield(self._clean, self.drawn.conditions, rng)

    def targets(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Render three draws of the localizations."""
        return np.stack([self.drawn.render(self._n_shown, rng) for _ in range(CHANNELS)])


class FolderField:
    """A field of a folder; three of its renderings are drawn each time.

    Parameters
    ----------
    images : StormImages
        Its files.
    is_dense : bool
        Whether its targets are dense renderings.
    bright_percentile : float, optional
        Percentile of each rendering that is 1 already.

    Raises
    ------
    RecipeError
        It has no dense rendering, and these are wanted.
    """

    def __init__(
        self, images: StormImages, *, is_dense: bool, bright_percentile: float | None
    ) -> None:
        draws = images.dense() if is_dense else images.sparse()
        if not draws:
            found = f"the field {images.name} has no dense renderings (w_srm)"
            remedy = "Make them with `zoobridge pairs --kind xmicroscopy`, from its table."
            raise RecipeError("data.folder", found, "at least one for each field", remedy)
        self._widefield = np.asarray(images.widefield(), np.float32)
        self._draws = [scale_rendering(draw, bright_percentile) for draw in draws]

    def widefield(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Give the widefield image."""
        return self._widefield

    def targets(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw three renderings; the same one several times only where there are fewer."""
        n_draws = len(self._draws)
        chosen = rng.choice(n_draws, CHANNELS, replace=n_draws < CHANNELS)
        return np.stack([self._draws[int(i)] for i in chosen])


class StormPatches:
    """Patches of fields, turned and mirrored at random.

    Parameters
    ----------
    fields : sequence of Field
        All for one use.
    patch_px : int
        Edge of a patch.
    percent : (float, float)
        Percentiles of a whole widefield image that become 0 and about 1.
    floor : float
        What their difference is at least taken for.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        *,
        patch_px: int,
        percent: tuple[float, float],
        floor: float,
    ) -> None:
        self._fields = fields
        self._patch_px, self._percent, self._floor = patch_px, percent, floor

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> ImagePairs:
        """Draw ``n`` patches."""
        rng = np.random.default_rng(seed_of(key))
        cut = [
            self._cut(self._fields[int(i)], rng) for i in rng.integers(len(self._fields), size=n)
        ]
        frames, targets = (
            torch.from_numpy(np.stack(images)).to(device) for images in zip(*cut, strict=True)
        )
        return ImagePairs(frames, targets)

    def _cut(
        self, field: Field, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cut the same place out of the images of a field; (1, y, x) and (3, y, x)."""
        image = stretch(field.widefield(rng), self._percent, self._floor)
        stacked = np.concatenate([image[None], field.targets(rng)])
        top, left = (int(rng.integers(n - self._patch_px + 1)) for n in image.shape)
        patch = stacked[:, top : top + self._patch_px, left : left + self._patch_px]
        patch = np.rot90(patch, int(rng.integers(4)), axes=(1, 2))
        patch = patch[:, :, ::-1] if rng.integers(2) else patch
        return np.ascontiguousarray(patch[:1]), np.ascontiguousarray(patch[1:])


def open_storm_sources(recipe: Recipe, *, stride: int, is_dense: bool) -> StormSources:
    """Open what UR-Net-8 or X-Net learns from.

    Parameters
    ----------
    recipe : Recipe
        With absolute paths.
    stride : int
        Patches are a multiple of this many pixels.
    is_dense : bool
        Whether targets are dense renderings, as X-Net's are, or undersampled ones.

    Returns
    -------
    StormSources
        Ready to give batches.

    Raises
    ------
    RecipeError
        A patch doesn't fit the fields or the network.
    """
    data = recipe.storm
    if data.patch_px % stride:
        found = f"{data.patch_px} px"
        raise RecipeError("data.patch_px", found, f"a multiple of {stride}, as the network needs")
    if data.folder is not None:
        return _open_folder(recipe, data.folder, is_dense=is_dense)
    return _simulate(recipe, is_dense=is_dense)


def _open_folder(recipe: Recipe, place: Path, *, is_dense: bool) -> StormSources:
    folder, data = open_storm(place), recipe.storm
    bright = folder.settings.bright_percentile
    fields: dict[str, list[FolderField]] = {}
    for part in PARTS:
        fields[part] = [
            FolderField(images, is_dense=is_dense, bright_percentile=bright)
            for images in folder.of(part)
        ]
    if not fields["training"] or not fields["validation"]:
        found = f"of {len(folder.fields)} field(s) none is left to learn from or to judge by"
        raise RecipeError("data.folder", found, "at least two fields, better ten")
    rng = np.random.default_rng(0)
    edges = [min(one.widefield(rng).shape) for found in fields.values() for one in found]
    if data.patch_px > min(edges):
        raise RecipeError(
            "data.patch_px", f"{data.patch_px} px", f"at most a field, {min(edges)} px"
        )
    kept = folder.of("test") or folder.of("validation")
    test = [_test_field(images, bright) for images in kept]
    counts = ", ".join(f"{len(found)} for {part}" for part, found in fields.items())
    notes = [f"Widefield and STORM images, split by field: {counts}."]
    floor = _floor_of(recipe, fields["training"])
    learned, judged = (
        StormPatches(fields[part], patch_px=data.patch_px, percent=percent_of(recipe), floor=floor)
        for part in ("training", "validation")
    )
    size_nm = folder.settings.pixel_size_nm
    known = {"fields": len(folder.fields), **folder.settings.model_dump(mode="json")}
    known.pop("source")  # it may name places
    return StormSources(learned, judged, size_nm, notes, [], test, floor, None, known)


def _test_field(images: StormImages, bright_percentile: float | None) -> TestField:
    """Read a field for the figures; without a full rendering the others' mean is the truth."""
    sparse = [scale_rendering(draw, bright_percentile) for draw in images.sparse()]
    others = [scale_rendering(draw, bright_percentile) for draw in images.dense()] or sparse
    full = images.full()
    truth = np.mean(others, axis=0) if full is None else scale_rendering(full, bright_percentile)
    shown = [sparse[number % len(sparse)] for number in range(CHANNELS)]
    widefield = np.asarray(images.widefield(), np.float32)
    return TestField(images.name, widefield, np.stack(shown), truth.astype(np.float32))


def scale_rendering(image: xr.DataArray, bright_percentile: float | None) -> NDArray[np.float32]:
    """Bring a rendering (y, x) to 0 .. 1, as a whole.

    One whose bright percentile is 1 already stays as it is; 8-bit ones are divided by 255, as in
    the original; others by their own percentile 99.7, and cut at 1.
    """
    pixels = np.asarray(image, np.float32)
    if bright_percentile is None:
        is_8_bit = str(image.attrs.get("dtype")) == "uint8"
        bright = 255.0 if is_8_bit else float(np.percentile(pixels, _BRIGHT_PERCENTILE))
        pixels = pixels / (bright or float(pixels.max()) or 1.0)
    scaled: NDArray[np.float32] = np.clip(pixels, 0, 1).astype(np.float32)
    return scaled


def _simulate(recipe: Recipe, *, is_dense: bool) -> StormSources:
    data, conditions = recipe.storm, recipe.storm_conditions
    if data.patch_px > conditions.edge_px:
        found = f"{data.patch_px} px"
        raise RecipeError("data.patch_px", found, f"at most a field, {conditions.edge_px} px")
    # X-Net gets other fields than UR-Net-8, whose images of those it learned are too good.
    seeds = (recipe.fit.seed + _DENSE_SEED * is_dense, _VALIDATION_SEED)
    counts = (data.fields, min(_VALIDATION_FIELDS, data.validation_patches))
    training, validation = (
        [
            SimulatedField(drawn, is_dense=is_dense)
            for drawn in _draw_fields(conditions, n_fields, seed=seed)
        ]
        for seed, n_fields in zip(seeds, counts, strict=True)
    )
    test = []
    for number, drawn in enumerate(_draw_fields(conditions, _TEST_FIELDS, seed=_TEST_SEED)):
        field, rng = (
            SimulatedField(drawn, is_dense=False),
            np.random.default_rng([_TEST_SEED, number]),
        )
        name = f"simulated {number + 1}"
        images = (field.widefield(rng), field.targets(rng), drawn.render_full())
        test.append(TestField(name, *images, drawn))
    notes = [
        f"{data.fields} simulated fields of microtubules, {conditions.edge_px} x "
        f"{conditions.edge_px} pixels of {conditions.pixel_size_nm:g} nm; noise and localizations "
        "are drawn afresh for each patch."
    ]
    percent = percent_of(recipe)
    floor = _floor_of(recipe, training)
    learned, judged = (
        StormPatches(fields, patch_px=data.patch_px, percent=percent, floor=floor)
        for fields in (training, validation)
    )
    return StormSources(
        learned,
        judged,
        conditions.pixel_size_nm,
        notes,
        [],
        test,
        floor,
        conditions,
        conditions.model_dump(mode="json"),
    )


def _draw_fields(conditions: StormConditions, n_fields: int, *, seed: int) -> list[StormField]:
    """Draw fields, each from a seed of its own."""
    return [draw_storm_field(conditions, np.random.default_rng([seed, i])) for i in range(n_fields)]


def percent_of(recipe: Recipe) -> tuple[float, float]:
    """Give the percentiles of a widefield image that become 0 and about 1."""
    return recipe.task.stretch_percent  # type: ignore[union-attr]


def _floor_of(recipe: Recipe, fields: Sequence[Field]) -> float:
    """Give the recipe's floor, or a quarter of the median range, to three digits."""
    if recipe.storm.floor is not None:
        return recipe.storm.floor
    rng = np.random.default_rng(0)
    ranges = [np.ptp(np.percentile(field.widefield(rng), percent_of(recipe))) for field in fields]
    return float(f"{_FLOOR_SHARE * float(np.median(ranges)):.3g}")
