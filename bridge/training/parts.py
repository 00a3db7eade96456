"""The parts of a recipe: network, data, task, fit and package, each with its checked values.

Data and task come in kinds, told apart by their ``kind``. :mod:`bridge.training.recipe` puts the
parts together and reads them from a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag, model_validator

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Share100 = Annotated[float, Field(ge=0, le=100)]


class Part(BaseModel):
    """What all parts share: unknown keys are refused, and nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class NetworkPart(Part):
    """The network."""

    architecture: Path = Path("architecture.py")
    """Python file that needs torch only; it travels in the package."""
    callable: str
    """Class in that file."""
    arguments: dict[str, JsonValue] = {}
    """What the class is called with."""


class MoviePart(Part):
    """A movie and the localizations in it."""

    stack: Path
    """TIFF of camera frames."""
    table: Path
    """Localizations in these frames, as ThunderSTORM exports them."""
    pixel_size_nm: _Positive | None = None
    """Edge of a camera pixel; none takes it from the table's protocol or the stack."""
    rim_px: Annotated[int, Field(ge=0, le=64)] = 3
    """Pixels at the movie's edges that the localizer left out; they are not learned from."""


class SmlmData(Part):
    """Movies of blinking emitters, simulated or real."""

    kind: Literal["smlm"] = "smlm"
    """Movies with their localizations."""
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


class PairsData(Part):
    """Pairs of images of the same fields: what is had, and what is wanted of it."""

    kind: Literal["pairs"]
    """Pairs of images."""
    folder: Path | None = None
    """Folder of pairs, as ``zoobridge pairs`` makes it; none simulates them."""
    preset: str = "confocal-sted"
    """Conditions of the simulation to start from."""
    simulation: dict[str, JsonValue] = {}
    """Conditions that differ from the preset's."""
    fields: Annotated[int, Field(ge=2, le=100_000)] = 160
    """Fields that are simulated to learn from; noise, place and orientation are drawn afresh."""
    patch_px: Annotated[int, Field(ge=8, le=1024)] = 64
    """Edge of a training patch, in input pixels."""
    validation_patches: Annotated[int, Field(ge=2, le=4096)] = 32
    """Patches that every epoch is judged by."""


class DegradedData(Part):
    """Sharp images, and what a worse microscope would have shown of them."""

    kind: Literal["degraded"]
    """Images that are degraded by the kernel between two PSFs."""
    folder: Path | None = None
    """Folder of sharp (confocal) images; none simulates centrioles."""
    preset: str = "widefield-confocal"
    """Conditions of the simulation to start from."""
    simulation: dict[str, JsonValue] = {}
    """Conditions that differ from the preset's."""
    fields: Annotated[int, Field(ge=3, le=100_000)] = 60
    """Fields that are simulated to learn from."""
    widefield_fwhm_nm: _Positive = 320.0
    """Width of the PSF that is mimicked, in nm."""
    confocal_fwhm_nm: _Positive = 200.0
    """Width of the sharp images' PSF, in nm."""
    degradation: dict[str, JsonValue] = {}
    """What is added beside the blur: photons, background, read_noise, spots_per_px ..."""
    radius_nm: _NotNegative = 250.0
    """Radius of the structures that patches are cut around; 0 cuts them anywhere."""
    patch_px: Annotated[int, Field(ge=8, le=1024)] = 48
    """Edge of a training patch, in pixels of the degraded image."""
    validation_patches: Annotated[int, Field(ge=2, le=4096)] = 32
    """Patches that every epoch is judged by."""


class StormData(Part):
    """Widefield images and STORM images of the same fields, on one grid."""

    kind: Literal["storm"]
    """Widefield images with sparse and dense STORM images."""
    folder: Path | None = None
    """Folder as ``zoobridge pairs --kind xmicroscopy`` makes it; none simulates microtubules."""
    simulation: dict[str, JsonValue] = {}
    """Conditions that differ from the simulation's own."""
    fields: Annotated[int, Field(ge=2, le=10_000)] = 40
    """Fields that are simulated to learn from; renderings, noise and place are drawn afresh."""
    floor: _NotNegative | None = None
    """What a widefield image's range is at least taken for when it is stretched, in its own units,
    so that noise without a structure isn't stretched to full contrast; none takes a quarter of the
    training images' median range."""
    patch_px: Annotated[int, Field(ge=16, le=2048)] = 256
    """Edge of a training patch."""
    validation_patches: Annotated[int, Field(ge=2, le=4096)] = 8
    """Patches that every epoch is judged by."""


DataPart = Annotated[
    Annotated[SmlmData, Tag("smlm")]
    | Annotated[PairsData, Tag("pairs")]
    | Annotated[DegradedData, Tag("degraded")]
    | Annotated[StormData, Tag("storm")],
    Discriminator(
        lambda part: kind_of(part, "smlm"),
        custom_error_type="kind",
        custom_error_message="kind is smlm, pairs, degraded or storm",
    ),
]
"""What a network learns from; told apart by its ``kind``."""


class HeatmapPart(Part):
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


class LocalizationPart(Part):
    """The output says for each camera pixel whether an emitter is in it, where, and how sure."""

    kind: Literal["localization"]
    """A list of emitters from each frame, with uncertainties."""
    upscaling: ClassVar[int] = 1


class RegressionPart(Part):
    """The output is the wanted image, as near to it as the loss says."""

    kind: Literal["regression"] = "regression"
    """An image from an image."""
    upscaling: Annotated[int, Field(ge=1, le=16)] = 1
    """Target pixels per input pixel and direction."""
    scaling: Literal["fixed", "stretch"] = "fixed"
    """How values become about 0 to 1: by two numbers that hold for all images, or by each whole
    image's own percentiles."""
    stretch_percent: tuple[_Share100, _Share100] = (1.0, 99.8)
    """The percentiles that become 0 and 1: of all training images together, or of each image."""
    l1: _NotNegative = 1.0
    """Weight of the mean absolute error."""
    l2: _NotNegative = 0.0
    """Weight of the mean squared error."""
    ms_ssim: _NotNegative = 0.0
    """Weight of 1 - multi-scale SSIM."""
    finish_share: _Share = 0.4
    """Last part of the training, with 0.84 (1 - MS-SSIM) + 0.16 L1 instead."""

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not self.l1 + self.l2 + self.ms_ssim:
            raise ValueError("give a weight to l1, l2 or ms_ssim")
        low, high = self.stretch_percent
        if not low < high:
            raise ValueError("stretch_percent gives the lower percentile first")
        return self


class AdversarialPart(RegressionPart):
    """The output is judged by a second network as well, which learns to tell it from targets."""

    kind: Literal["adversarial"]  # type: ignore[assignment]
    """An image from an image, of which a second network believes that it is a target."""
    discriminator: NetworkPart
    """That second network; it sees input and image."""
    start: Path | None = None
    """Package or run whose weights the network starts with; none starts with a warm-up."""
    warm_up_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """First part of the training, without the second network."""
    adversarial: _NotNegative = 1e-2
    """Weight of the second network's judgement; it rises over a tenth of the steps."""
    gan: Literal["hinge", "bce"] = "hinge"
    """How verdicts are judged: hinge loss, or cross-entropy of their sigmoid."""
    discriminator_every: Annotated[int, Field(ge=1, le=1000)] = 1
    """The second network learns in every so manyth step."""
    perceptual: _NotNegative = 0.0
    """Weight of the distance of VGG19's features; needs ``vgg_weights``."""
    vgg_weights: Path | None = None
    """torchvision's file of VGG19's weights; nothing is ever downloaded."""
    discriminator_learning_rate: _Positive = 2e-4
    """Learning rate of the second network."""

    @model_validator(mode="after")
    def _check_perceptual(self) -> Self:
        if self.perceptual and self.vgg_weights is None:
            raise ValueError("perceptual needs vgg_weights, torchvision's file of VGG19's weights")
        return self


class UrNetPart(AdversarialPart):
    """The output is a mimic of a sparse STORM image, made of a widefield image on its grid.

    The loss is the published one divided by ``lambda_``, which leaves Adam's steps as they are:
    L1 + (1 - MS-SSIM) + adversarial / lambda_ * judgement.
    """

    kind: Literal["ur_net"]  # type: ignore[assignment]
    """A mimic of a sparse STORM image from a widefield image."""
    upscaling: Literal[1] = 1
    """Both images are on one grid."""
    scaling: Literal["stretch"] = "stretch"
    """Each whole widefield image is stretched by its own percentiles."""
    stretch_percent: tuple[_Share100, _Share100] = (0.1, 99.9)
    """The percentiles of a widefield image that become 0 and about 1."""
    ms_ssim: _NotNegative = 1.0
    """Weight of 1 - multi-scale SSIM."""
    finish_share: _Share = 0.0
    """Last part of the training, with 0.84 (1 - MS-SSIM) + 0.16 L1 instead."""
    adversarial: _NotNegative = 0.0
    """Weight of the second network's judgement beside ``lambda_``: 1 as published, 0 leaves it
    out, which takes a third less time and gives the same figures."""
    lambda_: _Positive = 5000.0
    """Weight of L1 and 1 - MS-SSIM beside the judgement."""
    gan: Literal["hinge", "bce"] = "bce"
    """How verdicts are judged."""


class XNetPart(UrNetPart):
    """The outputs are dense STORM images, of a widefield image and UR-Net-8's mimic together."""

    kind: Literal["xnet"]  # type: ignore[assignment]
    """Three dense STORM images from a widefield image and a mimic of a sparse one."""
    start_ur: Path | None = None
    """Run or package of the trained UR-Net-8 that makes the mimics."""
    lambda_: _Positive = 1000.0
    """Weight of L1 and 1 - MS-SSIM beside the judgement."""


class ChainPart(Part):
    """UR-Net-8 is trained, then X-Net behind it, and both become one network."""

    kind: Literal["xmicroscopy"]
    """MU-SRM, XM1, XM2 and XM3 from a widefield image."""
    upscaling: Literal[1] = 1
    """All images are on one grid."""
    stretch_percent: tuple[_Share100, _Share100] = (0.1, 99.9)
    """The percentiles of a widefield image that become 0 and about 1."""
    ur_net_8: Path
    """Recipe of the first network."""
    x_net: Path
    """Recipe of the second one."""
    adversarial: _NotNegative = 0.0
    """Weight of both discriminators' judgement: 1 as published."""


class DiffusionPart(Part):
    """The output is drawn from all images that the input could be of: mean and spread of a few."""

    kind: Literal["diffusion"]
    """A distribution of images from an image."""
    upscaling: Annotated[int, Field(ge=1, le=16)] = 1
    """Target pixels per input pixel and direction."""
    scaling: Literal["fixed", "stretch"] = "fixed"
    """As of a regression."""
    stretch_percent: tuple[_Share100, _Share100] = (1.0, 99.8)
    """As of a regression."""


def kind_of(part: object, default: str = "heatmap") -> str:
    """Give the kind of a part; the default where it isn't said."""
    if isinstance(part, Mapping):
        return str(part.get("kind", default))
    return str(getattr(part, "kind", default))


TaskPart = Annotated[
    Annotated[HeatmapPart, Tag("heatmap")]
    | Annotated[LocalizationPart, Tag("localization")]
    | Annotated[RegressionPart, Tag("regression")]
    | Annotated[AdversarialPart, Tag("adversarial")]
    | Annotated[DiffusionPart, Tag("diffusion")]
    | Annotated[UrNetPart, Tag("ur_net")]
    | Annotated[XNetPart, Tag("xnet")]
    | Annotated[ChainPart, Tag("xmicroscopy")],
    Discriminator(
        kind_of,
        custom_error_type="kind",
        custom_error_message=(
            "kind is heatmap, localization, regression, adversarial, diffusion, ur_net, xnet or "
            "xmicroscopy"
        ),
    ),
]
"""What a network's output means; told apart by its ``kind``."""


class FitPart(Part):
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
    """AdamW (beta 2 is 0.99) or Adam (beta 2 is 0.999)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the earlier gradients in a step (beta 1)."""
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


class PackagePart(Part):
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
