"""Training UR-Net-8 and X-Net: from a widefield image to STORM images of the same field.

What they make is judged by its correlation with the target and by PSNR after gain and offset were
fitted, beside those of the widefield image itself. A black image has a higher raw PSNR and SSIM
than the widefield image, since most of a STORM image is black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bridge.errors import RecipeError, TrainingError
from bridge.training.batches import Batch, ImagePairs
from bridge.training.parts import UrNetPart, XNetPart
from bridge.training.tasks.adversarial import AdversarialTask
from bridge.training.tasks.base import Column, TrainingTask
from bridge.training.tasks.frozen import load_frozen

_LEAST: Final = 1e-12
_LEAST_CORRELATION: Final = 0.5


class UrNetTask(AdversarialTask):
    """A network that makes three sparse renderings (b, 3, y, x) of widefield images (b, 1, y, x).

    Loss: L1 + (1 - MS-SSIM), and the judgement of a discriminator, divided by lambda, if any.
    kanshichao/X-Microscopy, UR-Net-8.
    """

    result: ClassVar[Literal["best", "last"]] = "best"  # it is chosen by correlation
    names: ClassVar[tuple[str, ...]] = ("MU-SRM",)
    """What the network's images are called; the last one counts."""
    curves: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "val_correlation": "r with the target",
            "val_input_correlation": "r of the widefield",
            "val_ms_ssim": "MS-SSIM",
        }
    )

    @property
    def storm_part(self) -> UrNetPart:
        """The recipe's task."""
        assert isinstance(self.recipe.task, UrNetPart)
        return self.recipe.task

    @property
    def judgement_weight(self) -> float:
        """Weight of the discriminator beside L1 and MS-SSIM, which are not multiplied by lambda."""
        return self.storm_part.adversarial / self.storm_part.lambda_

    def condition_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Give the widefield image in as many channels as the target has."""
        return inputs.float().expand(-1, targets.shape[1], -1, -1)

    def judge(self, condition: Tensor, image: Tensor) -> Tensor:
        """Ask the discriminator, which joins the two itself."""
        assert self.discriminator is not None
        verdict: Tensor = self.discriminator(condition, image)
        return verdict

    def shown(self, inputs: Tensor) -> list[tuple[str, Tensor]]:
        """Give what the panels show of the inputs, each (b, 1, y, x)."""
        return [("Widefield", inputs)]

    def columns(self, n: int) -> list[Column]:
        """Show inputs, outputs and target, each the mean of its channels, from 0 to 1."""
        with torch.no_grad():
            inputs, targets = self.scaled(self.validation_batch(0))
            images = self.images_of(inputs)
        pictures = [*self.shown(inputs), *zip(self.names, images, strict=True), ("Target", targets)]
        columns = []
        for title, shown in pictures:
            grey = _merge(shown)[:n].cpu().numpy()
            columns.append(Column(title, grey, (0.0, float(np.percentile(grey, 99.8)) or 1.0)))
        return columns

    def note(self, figures: Mapping[str, float]) -> str:
        """Tell likeness."""
        return (
            f"r {figures['val_correlation']:.3f} (widefield {figures['val_input_correlation']:.3f})"
            f", {figures['val_affine_psnr']:.2f} dB after fitting gain and offset"
        )

    def validation_step(self, index: int) -> None:
        """Add up one batch's agreement with the targets."""
        inputs, targets = self.scaled(self.validation_batch(int(index)))
        images = [image.float() for image in self.images_of(inputs)]
        truth = _merge(targets)
        given = {"input": _merge(inputs[:, :1].float()), "": _merge(images[-1])}
        if len(images) > 1:
            given |= {
                name.lower(): _merge(image) for name, image in zip(self.names, images, strict=True)
            }
        sums = {
            "n": float(len(inputs)),
            "ms_ssim": float(self.ssim(images[-1], targets).sum()),
            "spread": float(images[-1].std()) * len(inputs),
            "given": float(images[-1].sum()),
            "wanted": float(targets.sum()),
        }
        for name, grey in given.items():
            front = f"{name}_" if name else ""
            correlation = correlate(grey, truth)  # (b,)
            sums[f"{front}correlation"] = float(correlation.sum())
            sums[f"{front}affine_psnr"] = float(affine_psnr(correlation, truth).sum())
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in sums.items()}

    def on_validation_epoch_end(self) -> None:
        """Log the means; the best weights are those whose image is most like the target."""
        sums = dict(self._sums)
        n, given, wanted = sums.pop("n"), sums.pop("given"), sums.pop("wanted")
        means = {name: value / n for name, value in sums.items()}
        means["loss"] = 1 - means["correlation"]
        means["above_input_db"] = means["affine_psnr"] - means["input_affine_psnr"]
        means["mass"] = given / wanted if wanted > 0 else 0.0
        if self.discriminator is not None:
            means["discriminator"] = float(self.rightness)
        for name, value in means.items():
            self.log(f"val_{name}", value, batch_size=1)

    def doubts(self, figures: Mapping[str, float]) -> list[str]:
        """Say where the output is no better than the widefield image."""
        said = []
        likeness, above = figures["val_correlation"], figures["val_above_input_db"]
        if likeness < _LEAST_CORRELATION or above <= 0:
            said.append(
                f"After fitting gain and offset the output is {above:+.1f} dB from the widefield "
                f"image, with r of {likeness:.2f}: it has learned too little. Train longer, or "
                "look at the panels."
            )
        return said + (self.collapse(figures) if self.discriminator is not None else [])


class XNetTask(UrNetTask):
    """A network that makes three dense images of a widefield image and a mimic of a sparse one.

    The mimic is made on the fly by a UR-Net-8 that stays as it is, and cut to 0 .. 1. The losses
    of the three images are added up and stepped at once. kanshichao/X-Microscopy, X-Net.
    """

    names: ClassVar[tuple[str, ...]] = ("XM1", "XM2", "XM3")

    def __init__(self, *arguments: Any, **sources: Any) -> None:
        super().__init__(*arguments, **sources)
        # In a list it is no part of the task: it isn't averaged, saved or switched to training.
        self._frozen = [load_frozen(start_ur_of(self.storm_part))]

    @property
    def ur_net_8(self) -> nn.Module:
        """The network that makes the mimics."""
        return self._frozen[0].to(self.device)

    def scaled(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give widefield image and mimic as channels (b, 4, y, x), and the targets (b, 3, y, x)."""
        assert isinstance(batch, ImagePairs)
        with torch.no_grad():
            mimic = self.ur_net_8(batch.frames).clamp(0, 1)
        return torch.cat([batch.frames, mimic], dim=1), batch.targets

    def images_of(self, inputs: Tensor) -> Sequence[Tensor]:
        """Give XM1, XM2 and XM3, each (b, 3, y, x)."""
        images: tuple[Tensor, Tensor, Tensor] = self.network(inputs[:, :1], inputs[:, 1:])
        return images

    def restore(self, inputs: Tensor) -> Tensor:
        """Give XM3."""
        return self.images_of(inputs)[-1]

    def condition_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Give the widefield image in as many channels as the mimic has, and the mimic."""
        grey = inputs[:, :1].expand(-1, targets.shape[1], -1, -1)
        return torch.cat([grey, inputs[:, 1:]], dim=1).float()

    def shown(self, inputs: Tensor) -> list[tuple[str, Tensor]]:
        """Give widefield image and mimic."""
        return [("Widefield", inputs[:, :1]), ("MU-SRM", inputs[:, 1:])]


class ChainTask(TrainingTask):
    """Both networks as one, which isn't trained itself."""

    def loss_of(self, batch: Batch, share_done: float) -> Tensor:
        """Refuse."""
        remedy = "Run `zoobridge train` with this recipe: it trains UR-Net-8, then X-Net."
        raise TrainingError("task.kind xmicroscopy", "is trained in two parts", remedy=remedy)

    def columns(self, n: int) -> list[Column]:
        """Show nothing: the parts' runs do."""
        return []

    def note(self, figures: Mapping[str, float]) -> str:
        """Tell nothing."""
        return ""


def start_ur_of(part: UrNetPart) -> Any:
    """Give the run or package of UR-Net-8 that an X-Net learns behind.

    Raises
    ------
    RecipeError
        None is named.
    """
    assert isinstance(part, XNetPart)
    if part.start_ur is None:
        remedy = (
            "Train one: zoobridge train ur-net-8 --output RUN; then give "
            "--change task.start_ur=RUN. Or train both in one go: zoobridge train xmicroscopy."
        )
        raise RecipeError("task.start_ur", "is missing", "a run or package of UR-Net-8", remedy)
    return part.start_ur


def _merge(images: Tensor) -> Tensor:
    """Give the mean of the channels, (b, c, y, x) -> (b, y, x)."""
    return images.float().mean(dim=1)


def correlate(images: Tensor, truths: Tensor) -> Tensor:
    """Give Pearson's r of each image (b, y, x) with its truth; 0 of a constant one, (b,)."""
    one, other = (values.double().flatten(1) for values in (images, truths))
    one, other = (values - values.mean(dim=1, keepdim=True) for values in (one, other))
    lengths = (one.square().sum(dim=1) * other.square().sum(dim=1)).sqrt()
    return (one * other).sum(dim=1) / lengths.clamp(min=_LEAST)


def affine_psnr(correlation: Tensor, truths: Tensor) -> Tensor:
    """Give PSNR (data range 1) after the best gain and offset, in dB, (b,).

    What least squares leave is var(truth) (1 - r^2).
    """
    variance = truths.double().flatten(1).var(dim=1, unbiased=False)
    return -10 * (variance * (1 - correlation.square())).clamp(min=_LEAST).log10()
