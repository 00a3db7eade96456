"""Patches of sharp images and of what a worse microscope would have shown of them.

There are no measured pairs: the kernel between two PSFs makes one image of the other. A whole
image is degraded anew for each patch, with noise of its own, stretched by its own percentiles, as
images will be when the network is used, and then cut around a detected structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from bridge.errors import RecipeError
from bridge.images.read import open_image
from bridge.restoration.around import corners_around
from bridge.restoration.degrade import Degradation
from bridge.restoration.detect import find_spots
from bridge.restoration.exposure import CleanPair, PairConditions, expose
from bridge.restoration.kernel import given_width, kernel_between
from bridge.training.batches import ImagePairs, seed_of
from bridge.training.kind import stretch
from bridge.training.pair_sources import (
    KeptField,
    PairSources,
    cut_at,
    draw_fields,
    simulated_test,
    stack,
)
from bridge.training.recipe import Recipe

_TEST_FIELDS: Final = 16
_IMAGE_SUFFIXES: Final = {".tif", ".tiff", ".png"}
_ANYWHERE_SHARE: Final = 0.2
_LEAST_SIZE: Final = 0.85  # as of the job `detect`: specks are left out
_EXPOSURE_SEED: Final = 5_000_011


@dataclass(frozen=True)
class SharpImage:
    """An image that is degraded, and what was found in it."""

    pixels: NDArray[np.float32]
    """(Y, X), multiples of the factor."""
    places: pd.DataFrame
    """Detections, ``x_px`` and ``y_px`` from the outer corner."""


class DegradedPairs:
    """Patches around detections, in degraded images and in the sharp ones.

    Parameters
    ----------
    images : sequence of SharpImage
        All for one use.
    degradation : Degradation
        Blur, coarser pixels, noise.
    patch_px : int
        Edge of a patch, in pixels of the degraded image.
    percent : (float, float)
        Percentiles of each whole image that become 0 and 1.
    turn : bool
        Whether patches are turned and mirrored at random.
    """

    def __init__(
        self,
        images: Sequence[SharpImage],
        degradation: Degradation,
        *,
        patch_px: int,
        percent: tuple[float, float],
        turn: bool,
    ) -> None:
        self._images = list(images)
        self.degradation = degradation
        self.patch_px = patch_px
        self._percent = percent
        self._turn = turn
        least_px = min(min(image.pixels.shape) for image in images) // degradation.factor
        if patch_px > least_px:
            raise RecipeError("data.patch_px", f"{patch_px} px", f"at most an image, {least_px} px")
        self._targets = [stretch(image.pixels, percent) for image in images]

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> ImagePairs:
        """Degrade ``n`` images, and cut a patch out of each."""
        rng = np.random.default_rng(seed_of(key))
        cut = [self._cut(int(number), rng) for number in rng.integers(len(self._images), size=n)]
        inputs, targets = (stack(images).to(device) for images in zip(*cut, strict=True))
        return ImagePairs(inputs, targets)

    def _cut(
        self, number: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        image, target = self._images[number], self._targets[number]
        factor = self.degradation.factor
        degraded = stretch(self.degradation.apply(image.pixels, rng), self._percent)
        if len(image.places) and rng.random() > _ANYWHERE_SHARE:
            corners = corners_around(
                image.places,
                shape=(target.shape[0], target.shape[1]),
                patch_px=self.patch_px * factor,
                n_patches=1,
                rng=rng,
                step_px=factor,
            )
            top, left = (int(place) // factor for place in corners[0])
        else:
            top, left = (int(rng.integers(n - self.patch_px + 1)) for n in degraded.shape)
        turn = rng if self._turn else None
        return cut_at(degraded, target, (top, left), self.patch_px, factor, turn)


def open_degraded(recipe: Recipe, *, stride: int) -> PairSources:
    """Open the sharp images that a recipe learns from, and find the structures in them.

    Parameters
    ----------
    recipe : Recipe
        With absolute paths; its task stretches images.
    stride : int
        Patches are a multiple of this many pixels of the degraded image.

    Returns
    -------
    PairSources
        Ready to give batches. Tests are simulated widefield images where nothing else is known;
        of real images, kept ones that were degraded.

    Raises
    ------
    RecipeError
        The PSFs are impossible, no image is there, or a patch doesn't fit.
    """
    data = recipe.degraded
    if data.patch_px % stride:
        found = f"{data.patch_px} px"
        raise RecipeError("data.patch_px", found, f"a multiple of {stride}, as the network needs")
    images, size_nm = _read(data.folder) if data.folder else _simulate(recipe)
    kernel = kernel_between(
        given_width(data.widefield_fwhm_nm),
        given_width(data.confocal_fwhm_nm),
        pixel_size_nm=size_nm,
    )
    degradation = make_degradation(recipe, kernel.sigma_px)
    sharp = [
        find_structures(image, radius_px=data.radius_nm / size_nm, factor=degradation.factor)
        for image in images
    ]
    parts = split_images(sharp)
    training, validation = (
        DegradedPairs(
            chosen,
            degradation,
            patch_px=data.patch_px,
            percent=recipe.task.stretch_percent,  # type: ignore[union-attr]
            turn=name == "training",
        )
        for name, chosen in parts.items()
        if name != "test"
    )
    conditions = None if data.folder else recipe.degraded_conditions
    if conditions is not None:
        test = simulated_test(conditions, _TEST_FIELDS, percent=None)
    else:
        rng = np.random.default_rng(recipe.fit.seed)
        test = [
            KeptField("kept images", degradation.apply(one.pixels, rng), one.pixels, None)
            for one in parts["test"]
        ]
    n_found = sum(len(one.places) for one in sharp)
    notes = [
        f"{len(sharp)} sharp images of {size_nm:g} nm pixels with {n_found} detections; degraded "
        f"by a Gaussian of sigma {kernel.sigma_nm:.0f} nm ({kernel.sigma_px:.2f} pixels): "
        f"sigma^2 = sigma_widefield^2 - sigma_confocal^2.",
        "Split by image: " + ", ".join(f"{len(v)} for {k}" for k, v in parts.items()) + ".",
    ]
    warnings = list(kernel.warnings)
    if not n_found and data.radius_nm:
        warnings.append(
            f"No structure of {data.radius_nm:g} nm radius was found: patches are cut anywhere."
        )
    input_nm = size_nm * degradation.factor
    return PairSources(training, validation, input_nm, notes, warnings, test, conditions, None)


def make_degradation(recipe: Recipe, sigma_px: float) -> Degradation:
    """Put kernel, scale and the recipe's noise together."""
    changes = {"factor": recipe.task.upscaling, **recipe.degraded.degradation}
    try:
        made = Degradation.model_validate({**changes, "sigma_px": sigma_px})
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in detail["loc"])
        raise RecipeError(f"data.degradation.{key}", detail["msg"]) from error
    if made.factor != recipe.task.upscaling:
        found = f"{made.factor}, and task.upscaling is {recipe.task.upscaling}"
        raise RecipeError("data.degradation.factor", found, "the same", "Leave it out.")
    return made


def find_structures(pixels: NDArray[np.float32], *, radius_px: float, factor: int) -> SharpImage:
    """Cut an image to whole coarse pixels, and find the structures in it."""
    height, width = (n - n % factor for n in pixels.shape)
    cut = np.ascontiguousarray(pixels[:height, :width], np.float32)
    if not radius_px:
        return SharpImage(cut, pd.DataFrame({"x_px": [], "y_px": []}))
    spots = find_spots(cut, radius_px=max(radius_px, 1.0), least_size=_LEAST_SIZE)
    return SharpImage(cut, spots)


def split_images(images: Sequence[SharpImage]) -> dict[str, list[SharpImage]]:
    """Keep every tenth image for validation and every tenth for tests; one each at least."""
    parts: dict[str, list[SharpImage]] = {"training": [], "validation": [], "test": []}
    for number, image in enumerate(images):
        part = {1: "validation", 2: "test"}.get(number % 10, "training")
        parts[part].append(image)
    return parts


def _simulate(recipe: Recipe) -> tuple[list[NDArray[np.float32]], float]:
    """Take noisy confocal images of simulated cells."""
    conditions: PairConditions = recipe.degraded_conditions
    pairs: list[CleanPair] = draw_fields(conditions, recipe.degraded.fields, seed=recipe.fit.seed)
    images = []
    for number, pair in enumerate(pairs):
        generator = torch.Generator().manual_seed(_EXPOSURE_SEED + number)
        noisy = expose(stack([pair.input]), stack([pair.target]), conditions, generator=generator)
        images.append(noisy[1][0, 0].numpy())
    return images, conditions.pixel_size_nm


def _read(folder: Path) -> tuple[list[NDArray[np.float32]], float]:
    """Read every plane of every image in a folder."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)
    planes: list[NDArray[np.float32]] = []
    sizes: set[float] = set()
    for path in paths:
        image = open_image(path)
        known = image.attrs.get("pixel_size_nm", {})
        if "x" not in known:
            expected = "a pixel size in the file: the kernel is given in nm"
            raise RecipeError(f"data.folder: {path}", "has no pixel size", expected)
        sizes.add(round(float(known["x"]), 3))
        pixels = np.asarray(image, np.float32)
        planes += list(pixels.reshape(-1, *pixels.shape[-2:]))
    if len(planes) < 3:
        found = f"holds {len(planes)} planes in {len(paths)} images"
        expected = "three images or more (TIFF, PNG): to learn from, to judge by, to test"
        raise RecipeError(f"data.folder: {folder}", found, expected)
    if len(sizes) > 1:
        found = "holds pixels of " + " and ".join(f"{size:g} nm" for size in sorted(sizes))
        raise RecipeError(f"data.folder: {folder}", found, "one pixel size")
    return planes, sizes.pop()
