"""Packages of networks that turn an image into a better one of the same field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.errors import TrainingError
from bridge.images.preview import save_picture
from bridge.training.batches import ImagePairs, Sources, tell_pixels
from bridge.training.degraded_sources import open_degraded
from bridge.training.kind import (
    BLEND_PX,
    About,
    Arrays,
    CardWords,
    Figures,
    Input,
    Kind,
    Output,
    stretch,
)
from bridge.training.networks import build_network, is_local, stride_of
from bridge.training.pair_sources import KeptField, PairSources, open_pair_sources
from bridge.training.parts import AdversarialPart, DiffusionPart, RegressionPart
from bridge.training.recipe import Recipe
from bridge.training.restoration_figures import measure
from bridge.training.tasks.adversarial import AdversarialTask
from bridge.training.tasks.base import Scaling, TrainingTask
from bridge.training.tasks.diffusion import DiffusionTask
from bridge.training.tasks.restoration import RegressionTask

_TAGS: Final = (
    "super-resolution",
    "image-restoration",
    "fluorescence-light-microscopy",
    "2d",
    "pytorch",
)
_SCALING_PATCHES: Final = 128
_SCALING_KEY: Final = 1_000_033
_LEAST_RANGE: Final = 1e-9
_REACH_SEED: Final = 11
_REACH_LIMIT: Final = 3e-6
_FURTHEST_PX: Final = 256
_NOISE_SEED: Final = 1


class RegressionKind(Kind):
    """Networks with one image in and one image out."""

    task: ClassVar[type[TrainingTask]] = RegressionTask
    most_measured: ClassVar[int] = 100
    """Kept fields that a finished network is measured on, at most."""

    def open_sources(self, recipe: Recipe, *, stride: int) -> Sources:
        """Open a folder of pairs, or of sharp images to degrade, or simulate them."""
        if recipe.data.kind == "degraded":
            return open_degraded(recipe, stride=stride)
        return open_pair_sources(recipe, stride=stride)

    def measure_scaling(self, recipe: Recipe, sources: Sources) -> Scaling:
        """Take two percentiles of the training patches for 0 and 1, of inputs and of targets."""
        part = part_of(recipe)
        if part.scaling == "stretch":
            return Scaling(0.0, 1.0)
        key = [recipe.fit.seed, _SCALING_KEY]
        batch = sources.training.batch(_SCALING_PATCHES, key, torch.device("cpu"))
        assert isinstance(batch, ImagePairs)
        found: list[float] = []
        for name, images in (("inputs", batch.frames), ("targets", batch.targets)):
            values = images.numpy()
            if not np.isfinite(values).all():
                text = f"the {name} hold values that are no numbers"
                raise TrainingError("data", text, "finite values", "Repair the images first.")
            low, high = np.percentile(values, part.stretch_percent)
            if high - low < _LEAST_RANGE:
                text = f"the {name} are constant: {low:g}"
                raise TrainingError("data", text, "images with something in them")
            found += [float(f"{low:.3g}"), float(f"{high - low:.3g}")]
        return Scaling(*found)

    def probes(self, recipe: Recipe, edge_px: int) -> tuple[Tensor, ...]:
        """Give an empty patch."""
        return (torch.zeros(1, 1, edge_px, edge_px),)

    def expected_shapes(self, recipe: Recipe, edge_px: int) -> tuple[tuple[int, ...], ...]:
        """Give one image."""
        fine_px = edge_px * part_of(recipe).upscaling
        return ((1, fine_px, fine_px),)

    def measure(self, task: TrainingTask, sources: Sources) -> Figures:
        """Measure on fields that were kept."""
        part = part_of(task.recipe)

        def restore(image: NDArray[np.float32]) -> NDArray[np.float32]:
            inputs = self.with_noise(task.recipe, image[None, None])
            restored: NDArray[np.float32] = self.predict(task, inputs)[0][0, 0]
            return restored

        fields = pairs_of(sources).test[: self.most_measured]
        if part.scaling == "stretch":
            fields = [_stretched(field, part.stretch_percent) for field in fields]
        return measure(fields, restore, scale=part.upscaling)

    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say that the output is an image."""
        return About(
            (self.image_input(recipe),),
            (self.image_output(recipe, scaling, "restored", "The restored image."),),
            "fluorescence microscopy",
            _TAGS,
            is_local=is_local(build_network(recipe.network)),
        )

    def image_input(self, recipe: Recipe) -> Input:
        """Say what the image is, and how it is scaled."""
        part = part_of(recipe)
        return Input(
            "image",
            "The image as the microscope gave it.",
            ("intensity",),
            "float32",
            part.scaling,
            part.stretch_percent,
        )

    def image_output(
        self, recipe: Recipe, scaling: Scaling, name: str, words: str, *, is_spread: bool = False
    ) -> Output:
        """Say what an output image is, and how it gets the target's units."""
        units = "the target's units"
        if part_of(recipe).scaling == "stretch":
            units = "units of the target's own range: about 0 to 1"
        offset = 0.0 if is_spread else scaling.target_mean
        text = f"{words} In {units}."
        return Output(name, text, ("intensity",), (None, None), scaling.target_std, offset)

    def card_words(self, recipe: Recipe, sources: Sources) -> CardWords:
        """Say how the image is to be read."""
        part, opened = part_of(recipe), pairs_of(sources)
        scaling = {
            "fixed": "Values are scaled by two numbers that hold for every image: give images as "
            "they come from the microscope that the training data come from.",
            "stretch": "Each whole image is stretched by its own percentiles "
            f"{part.stretch_percent[0]:g} and {part.stretch_percent[1]:g}, never tile by tile.",
        }[part.scaling]
        return CardWords(
            "from left to right: input, output, target",
            (
                f"Input: images of {tell_pixels(opened)}. {scaling}",
                f"Output: {part.upscaling} pixel(s) per input pixel and direction.",
                *self.tiles(recipe),
                *self.use(recipe),
            ),
            (
                "It can invent structure that the input doesn't hold: compare the output, blurred, "
                "with the input, as `zoobridge compare` does.",
                "The brightest spots come out too dark: don't measure single bright puncta.",
                "Structures, widths of the PSF or exposures that it never saw.",
                *self.failures(recipe),
            ),
            _tell_data(opened, recipe),
        )

    def tiles(self, recipe: Recipe) -> tuple[str, ...]:
        """Say where tiles aren't exact."""
        if is_local(build_network(recipe.network)):
            return ()
        return (
            "Each pixel depends on the whole image: run images whole where memory allows, else in "
            f"tiles of {recipe.data.patch_px} pixels or more, which are blended.",
        )

    def use(self, recipe: Recipe) -> tuple[str, ...]:
        """Say what else is to be known of the output."""
        return ()

    def failures(self, recipe: Recipe) -> tuple[str, ...]:
        """Say how else it fails."""
        return ()

    def trained_on(self, recipe: Recipe, sources: Sources) -> dict[str, Any]:
        """Name the conditions, or the number of fields."""
        opened = pairs_of(sources)
        if opened.conditions is not None:
            return opened.conditions.model_dump(mode="json")
        if opened.folder is None:
            return {"images": "sharp ones of the user's own, degraded"}
        return {"fields": len(opened.folder.fields), "scale": opened.folder.scale}

    def examples(self, recipe: Recipe, sources: Sources, least_px: int) -> Arrays:
        """Give a kept field, mirrored outwards where it is too small."""
        image = pairs_of(sources).test[0].input
        stride = stride_of(build_network(recipe.network))
        wanted = [-(-max(edge, least_px + 16) // stride) * stride for edge in image.shape]
        edges = [(0, n - edge) for n, edge in zip(wanted, image.shape, strict=True)]
        return self.with_noise(recipe, np.pad(image, edges, mode="symmetric")[None, None])

    def with_noise(self, recipe: Recipe, images: NDArray[np.generic]) -> Arrays:
        """Give the inputs that belong to images (t, 1, y, x)."""
        return [images]

    def draw_cover(
        self, path: Path, task: TrainingTask, inputs: Arrays, outputs: list[NDArray[np.float32]]
    ) -> None:
        """Draw input and output, and the spread where there is one."""
        pictures = [("Input", np.asarray(inputs[0][0, 0], np.float32))]
        pictures += [
            (output.name.capitalize(), image[0, 0])
            for output, image in zip(
                self.about(task.recipe, task.scaling).outputs, outputs, strict=True
            )
        ]
        save_picture(path, pictures, colours="hot")

    def thin_out(self, recipe: Recipe, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Round to three digits: the file is half."""
        return outputs.astype(np.float16).astype(np.float32)

    def measure_radius_px(self, task: TrainingTask) -> int:
        """Measure with the trained weights how far a change is seen at all.

        What changes less than some millionths of the output's spread is rounding; a norm over
        channels, and a sampler's many steps, have no reach that could be told from layers alone.
        """
        recipe, network = task.recipe, task.network.cpu().eval()
        if not is_local(network):
            return BLEND_PX
        stride, scale = stride_of(network), part_of(recipe).upscaling
        edge = 2 * _FURTHEST_PX
        rng = np.random.default_rng(_REACH_SEED)
        image = rng.random((1, 1, 8 * stride, edge), np.float32)
        other = image.copy()
        other[..., : edge // 2] = rng.random(other[..., : edge // 2].shape, np.float32)
        with torch.inference_mode():
            found = [
                network(*(torch.from_numpy(np.asarray(array, np.float32)) for array in inputs))
                for inputs in (self.with_noise(recipe, one) for one in (image, other))
            ]
        pairs = [one if isinstance(one, tuple) else (one,) for one in found]
        radius = 0
        for before, after in zip(*pairs, strict=True):
            changed = (before - after).abs().amax(dim=(0, 1, 2)) > _REACH_LIMIT * before.std()
            furthest = int(changed.nonzero().max()) // scale if changed.any() else 0
            radius = max(radius, furthest - edge // 2 + 1)
        return max(radius, 0)


class AdversarialKind(RegressionKind):
    """Networks that a second one judged."""

    task: ClassVar[type[TrainingTask]] = AdversarialTask

    def failures(self, recipe: Recipe) -> tuple[str, ...]:
        """Say that sharpness is no information."""
        part = recipe.task
        assert isinstance(part, AdversarialPart)
        said = "Perceptual features of VGG19 took part in the loss."
        if not part.perceptual:
            said = "The loss was L1, MS-SSIM and adversarial; no perceptual (VGG) features."
        return (
            "Its texture is as rough as that of targets, noise and all; that is no information. "
            "Trust what a regression shows as well. " + said,
        )


class DiffusionKind(RegressionKind):
    """Networks that draw images: image and noise in, mean and spread of the samples out."""

    task: ClassVar[type[TrainingTask]] = DiffusionTask
    most_measured: ClassVar[int] = 8  # each takes steps x samples passes

    def probes(self, recipe: Recipe, edge_px: int) -> tuple[Tensor, ...]:
        """Give an empty patch, and noise."""
        image = np.zeros((1, 1, edge_px, edge_px), np.float32)
        return tuple(
            torch.from_numpy(np.asarray(a, np.float32)) for a in self.with_noise(recipe, image)
        )

    def expected_shapes(self, recipe: Recipe, edge_px: int) -> tuple[tuple[int, ...], ...]:
        """Give mean and spread."""
        return 2 * super().expected_shapes(recipe, edge_px)

    def about(self, recipe: Recipe, scaling: Scaling) -> About:
        """Say that there is noise in, and a spread out."""
        n_samples = _n_samples(recipe)
        noise = Input(
            "noise",
            "Normal noise of mean 0 and variance 1; zoobridge draws it where it isn't given.",
            tuple(f"sample_{number}" for number in range(1, n_samples + 1)),
            "float32",
            "none",
            upscaling=part_of(recipe).upscaling,
        )
        restored = self.image_output(recipe, scaling, "restored", f"Mean of {n_samples} samples.")
        spread = self.image_output(
            recipe,
            scaling,
            "spread",
            "Standard deviation of the samples: where it is large, the image isn't certain.",
            is_spread=True,
        )
        return About(
            (self.image_input(recipe), noise),
            (restored, spread),
            "fluorescence microscopy",
            _TAGS,
            {"noise": {"input": noise.name, "seed": _NOISE_SEED}},
            is_local=is_local(build_network(recipe.network)),
        )

    def use(self, recipe: Recipe) -> tuple[str, ...]:
        """Say what noise and spread are."""
        return (
            f"A second input, noise, makes {_n_samples(recipe)} samples. zoobridge draws it for "
            "the whole image from a fixed seed, so that tiles fit together and runs can be "
            "repeated; other programs have to give it.",
            "A second output, spread, is the standard deviation of the samples. It goes with the "
            "error, but is smaller: don't take it for an uncertainty in the target's units.",
        )

    def with_noise(self, recipe: Recipe, images: NDArray[np.generic]) -> Arrays:
        """Draw noise for each image."""
        scale = part_of(recipe).upscaling
        shape = (len(images), _n_samples(recipe), *(edge * scale for edge in images.shape[-2:]))
        rng = np.random.default_rng(_NOISE_SEED)
        return [images, rng.standard_normal(shape, np.float32)]


def _n_samples(recipe: Recipe) -> int:
    network: Any = build_network(recipe.network)
    return int(network.samples * network.outputs)


def part_of(recipe: Recipe) -> RegressionPart | DiffusionPart:
    """Give the recipe's task, one that makes images."""
    assert isinstance(recipe.task, RegressionPart | DiffusionPart)
    return recipe.task


def pairs_of(sources: Sources) -> PairSources:
    """Take sources for those of pairs, which they are."""
    assert isinstance(sources, PairSources)
    return sources


def _stretched(field: KeptField, percent: tuple[float, float]) -> KeptField:
    """Put the right answer into the units that the output has."""
    truth = None if field.truth is None else stretch(field.truth, percent)
    return KeptField(field.structure, field.input, stretch(field.target, percent), truth)


def _tell_data(sources: PairSources, recipe: Recipe) -> str:
    said = list(sources.notes)
    if sources.conditions is not None:
        facts = sources.conditions
        said.append(
            f"Target pixels {facts.pixel_size_nm:g} nm, {facts.scale} per input pixel and "
            f"direction; FWHM {facts.input_fwhm_nm:g} nm (input) and {facts.target_fwhm_nm:g} nm "
            f"(target); {facts.input_photons[0]:g} to {facts.input_photons[1]:g} photons at the "
            f"input's brightest pixel, {facts.target_photons[0]:g} to {facts.target_photons[1]:g} "
            f"in bright places of the target; background {facts.input_background[0]:.0%} to "
            f"{facts.input_background[1]:.0%} of the input's peak."
        )
    return "\n\n".join(said)
