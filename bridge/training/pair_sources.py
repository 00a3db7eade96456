"""Where patches of image pairs come from: simulated fields, or a folder of pairs.

Fields are split as a whole: nothing of a field that judges is ever learned from. Simulated fields
are drawn once and kept clean; noise, place and orientation of a patch are drawn afresh each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.errors import RecipeError
from bridge.restoration.exposure import CleanPair, PairConditions, draw_clean_pair, expose
from bridge.restoration.pair_folder import PairField, PairFolder, open_pairs
from bridge.restoration.signal import places_with_signal
from bridge.training.batches import ImagePairs, Source, Sources, seed_of
from bridge.training.kind import stretch
from bridge.training.recipe import Recipe

_TEST_FIELDS: Final = 20
_VALIDATION_FIELDS: Final = 12
_TEST_SEED: Final = 4_000_037
_VALIDATION_SEED: Final = 3_000_017


@dataclass(frozen=True)
class KeptField:
    """A field that a finished network is measured on, and that it never saw."""

    structure: str
    """What is in it."""
    input: NDArray[np.float32]
    """(y, x), in its own units."""
    target: NDArray[np.float32]
    """(Y, X), with its noise."""
    truth: NDArray[np.float32] | None
    """(Y, X), without noise; of simulations only."""


@dataclass(frozen=True)
class PairSources(Sources):
    """What a network that turns images into images learns from."""

    test: list[KeptField]
    """What it is measured on."""
    conditions: PairConditions | None
    """What is simulated."""
    folder: PairFolder | None
    """Or where the pairs are."""


class SimulatedPairs:
    """Patches of simulated fields.

    Parameters
    ----------
    conditions : PairConditions
        Of the microscopes.
    n_fields : int
        Fields that are drawn, the structures in turn.
    patch_px : int
        Edge of a patch, in input pixels.
    seed : int
        Seed of the fields.

    Raises
    ------
    RecipeError
        A patch is larger than a field.
    """

    def __init__(
        self, conditions: PairConditions, n_fields: int, *, patch_px: int, seed: int
    ) -> None:
        least_px = conditions.edge_px // conditions.scale
        if patch_px > least_px:
            raise RecipeError("data.patch_px", f"{patch_px} px", f"at most a field, {least_px} px")
        self.conditions = conditions
        self.patch_px = patch_px
        self._fields = draw_fields(conditions, n_fields, seed=seed)

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> ImagePairs:
        """Cut ``n`` patches, and expose them."""
        seed = seed_of(key)
        rng = np.random.default_rng(seed)
        chosen = [self._fields[int(i)] for i in rng.integers(len(self._fields), size=n)]
        cut = [
            cut_pair(pair.input, pair.target, self.patch_px, self.conditions.scale, rng)
            for pair in chosen
        ]
        inputs, targets = (stack(images).to(device) for images in zip(*cut, strict=True))
        peaks = torch.tensor([float(pair.input.max()) for pair in chosen], device=device)
        generator = torch.Generator(device).manual_seed(seed)
        return ImagePairs(
            *expose(inputs, targets, self.conditions, generator=generator, peaks=peaks)
        )


def draw_fields(conditions: PairConditions, n_fields: int, *, seed: int) -> list[CleanPair]:
    """Draw clean fields, the structures in turn; each from a seed of its own."""
    kinds = conditions.structures
    return [
        draw_clean_pair(conditions, kinds[i % len(kinds)], np.random.default_rng([seed, i]))
        for i in range(n_fields)
    ]


class FolderPairs:
    """Patches of the pairs in a folder.

    Parameters
    ----------
    fields : sequence of PairField
        All for one use.
    scale : int
        Target pixels per input pixel.
    patch_px : int
        Edge of a patch, in input pixels.
    percent : (float, float), optional
        Percentiles of each image that become 0 and 1.
    turn : bool
        Whether patches are turned and mirrored at random.

    Raises
    ------
    RecipeError
        A patch is larger than a field, or there is no field.
    """

    def __init__(
        self,
        fields: Sequence[PairField],
        *,
        scale: int,
        patch_px: int,
        percent: tuple[float, float] | None,
        turn: bool,
    ) -> None:
        if not fields:
            raise RecipeError("data.folder", "no field is left to learn from or to judge by")
        self._images = [read_pair(field, percent) for field in fields]
        least_px = min(min(image.shape) for image, _ in self._images)
        if patch_px > least_px:
            raise RecipeError("data.patch_px", f"{patch_px} px", f"at most a field, {least_px} px")
        self._places = [
            places_with_signal(target, patch_px * scale, step_px=scale).ravel().cumsum()
            for _, target in self._images
        ]
        self._scale, self.patch_px, self._turn = scale, patch_px, turn

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> ImagePairs:
        """Cut ``n`` patches, the more often where there is signal."""
        rng = np.random.default_rng(seed_of(key))
        cut = []
        for number in rng.integers(len(self._images), size=n):
            image, target = self._images[int(number)]
            corner = self._corner(int(number), rng)
            turn = rng if self._turn else None
            cut.append(cut_at(image, target, corner, self.patch_px, self._scale, turn))
        inputs, targets = (stack(images).to(device) for images in zip(*cut, strict=True))
        return ImagePairs(inputs, targets)

    def _corner(self, number: int, rng: np.random.Generator) -> tuple[int, int]:
        """Draw a patch's top left corner, in input pixels."""
        weights = self._places[number]
        place = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
        n_columns = self._images[number][0].shape[1] - self.patch_px + 1
        top, left = divmod(min(place, len(weights) - 1), n_columns)
        return top, left


def read_pair(
    field: PairField, percent: tuple[float, float] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read a field's input and target, stretched by their own percentiles where these are given."""
    images = [np.asarray(image, np.float32) for image in (field.input(), field.target())]
    if percent is not None:
        images = [stretch(image, percent) for image in images]
    return images[0], images[1]


def stack(images: Sequence[NDArray[np.float32]]) -> Tensor:
    """Put images (y, x) into a batch (b, 1, y, x)."""
    return torch.from_numpy(np.stack(images)[:, None].copy())


def cut_pair(
    image: NDArray[np.float32],
    target: NDArray[np.float32],
    patch_px: int,
    scale: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut the same place out of an input and its target, anywhere, in any orientation."""
    top, left = (int(rng.integers(edge - patch_px + 1)) for edge in image.shape)
    return cut_at(image, target, (top, left), patch_px, scale, rng)


def cut_at(
    image: NDArray[np.float32],
    target: NDArray[np.float32],
    corner_px: tuple[int, int],
    patch_px: int,
    scale: int,
    turn: np.random.Generator | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut the same place out of an input and its target; turned and mirrored at random."""
    patches = []
    quarter, mirror = (int(turn.integers(4)), int(turn.integers(2))) if turn else (0, 0)
    for pixels, factor in ((image, 1), (target, scale)):
        rows, columns = (slice(c * factor, (c + patch_px) * factor) for c in corner_px)
        patch = np.rot90(pixels[rows, columns], quarter)
        patches.append(patch[:, ::-1] if mirror else patch)
    return patches[0], patches[1]


def open_pair_sources(recipe: Recipe, *, stride: int) -> PairSources:
    """Open what a network that turns images into images learns from.

    Parameters
    ----------
    recipe : Recipe
        With absolute paths.
    stride : int
        Patches are a multiple of this many input pixels.

    Returns
    -------
    PairSources
        Ready to give batches.

    Raises
    ------
    RecipeError
        A patch doesn't fit the fields or the network, or the folder has another scale.
    ImageError, InputError
        The folder or an image in it cannot be read.
    """
    data = recipe.pairs
    if data.patch_px % stride:
        found = f"{data.patch_px} px"
        raise RecipeError("data.patch_px", found, f"a multiple of {stride}, as the network needs")
    return _open_folder(recipe) if data.folder is not None else _simulate(recipe)


def _simulate(recipe: Recipe) -> PairSources:
    data, conditions, seed = recipe.pairs, recipe.pair_conditions, recipe.fit.seed
    training: Source = SimulatedPairs(conditions, data.fields, patch_px=data.patch_px, seed=seed)
    n_structures = len(conditions.structures)
    validation: Source = SimulatedPairs(
        conditions,
        max(_VALIDATION_FIELDS, n_structures),
        patch_px=data.patch_px,
        seed=_VALIDATION_SEED,
    )
    notes = [
        f"{data.fields} simulated fields of {conditions.edge_px} x {conditions.edge_px} target "
        f"pixels ({', '.join(conditions.structures)}); noise is drawn afresh for each patch."
    ]
    input_nm = conditions.pixel_size_nm * conditions.scale
    n_test = max(_TEST_FIELDS, n_structures)
    test = simulated_test(conditions, n_test, percent=None)
    return PairSources(training, validation, input_nm, notes, [], test, conditions, None)


def simulated_test(
    conditions: PairConditions, n_fields: int, *, percent: tuple[float, float] | None
) -> list[KeptField]:
    """Draw and expose fields that nothing learns from."""
    found = []
    for number, pair in enumerate(draw_fields(conditions, n_fields, seed=_TEST_SEED)):
        generator = torch.Generator().manual_seed(_TEST_SEED + number)
        noisy = expose(stack([pair.input]), stack([pair.target]), conditions, generator=generator)
        image, target = (tensor[0, 0].numpy() for tensor in noisy)
        found.append(KeptField(pair.structure, image, target, pair.target))
    return found


def _open_folder(recipe: Recipe) -> PairSources:
    data, task = recipe.pairs, recipe.task
    assert data.folder is not None
    folder = open_pairs(data.folder)
    if folder.scale != task.upscaling:
        raise RecipeError(
            "task.upscaling",
            f"{task.upscaling}, but {data.folder} holds {folder.scale} target pixels for each "
            "input pixel",
            str(folder.scale),
            "Give the network and the task the folder's scale.",
        )
    percent = getattr(task, "stretch_percent", None)
    if getattr(task, "scaling", "fixed") != "stretch":
        percent = None
    training, validation = (
        FolderPairs(
            folder.of(part),
            scale=folder.scale,
            patch_px=data.patch_px,
            percent=percent,
            turn=part == "training",
        )
        for part in ("training", "validation")
    )
    kept = folder.of("test") or folder.of("validation")
    test = [
        KeptField(
            field.structure,
            np.asarray(field.input(), np.float32),
            np.asarray(field.target(), np.float32),
            None if field.truth_path is None else np.asarray(field.truth(), np.float32),
        )
        for field in kept
    ]
    counts = {part: len(folder.of(part)) for part in ("training", "validation", "test")}
    notes = [
        "Pairs of images, split by field: "
        + ", ".join(f"{number} for {part}" for part, number in counts.items())
        + "."
    ]
    size_nm = folder.input_pixel_size_nm
    return PairSources(training, validation, size_nm, notes, [], test, None, folder)
