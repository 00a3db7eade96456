"""Training a network that turns an image into a better one of the same field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from bridge.training.batches import Batch, ImagePairs
from bridge.training.image_losses import ImageLoss, MultiScaleSsim
from bridge.training.parts import RegressionPart
from bridge.training.tasks.base import Column, TrainingTask

_FLUX_LIMIT: Final = 0.15
_PSNR_RANGE: Final = 1.0


class RestorationTask(TrainingTask):
    """A network that makes images (b, 1, Y, X) from images (b, 1, y, x).

    Inside, values are about 0 to 1: see :class:`bridge.training.tasks.base.Scaling`.
    """

    curves: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"val_ms_ssim": "MS-SSIM", "val_mass": "flux / true flux", "val_psnr_40": "PSNR / 40 dB"}
    )

    def __init__(self, *arguments: Any, **sources: Any) -> None:
        super().__init__(*arguments, **sources)
        self.ssim = MultiScaleSsim()
        self._sums: dict[str, float] = {}

    def scaled(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give inputs and targets as the network knows them."""
        assert isinstance(batch, ImagePairs)
        inputs = (batch.frames - self.scaling.mean) / self.scaling.std
        targets = (batch.targets - self.scaling.target_mean) / self.scaling.target_std
        return inputs.contiguous(memory_format=torch.channels_last), targets

    def restore(self, inputs: Tensor) -> Tensor:
        """Run the network on scaled inputs (b, 1, y, x); gives (b, 1, Y, X)."""
        restored: Tensor = self.network(inputs)
        return restored

    def judged_loss(self, restored: Tensor, targets: Tensor) -> Tensor:
        """Give the loss that the best weights are chosen by."""
        likeness: Tensor = self.ssim(restored, targets).mean()
        return 0.84 * (1 - likeness) + 0.16 * (restored - targets).abs().mean()

    def note(self, figures: Mapping[str, float]) -> str:
        """Tell likeness."""
        return f"PSNR {figures['val_psnr']:.2f} dB, MS-SSIM {figures['val_ms_ssim']:.3f}"

    def columns(self, n: int) -> list[Column]:
        """Show input, output, target and their difference."""
        inputs, targets = self.scaled(self.validation_batch(0))
        restored = self.restore(inputs).float()
        enlarged = nn.functional.interpolate(inputs.float(), restored.shape[-2:])
        order = targets.sum(dim=(1, 2, 3)).argsort(descending=True)[:n]  # the fullest ones
        given, made, wanted = (
            images[order, 0].float().cpu().numpy() for images in (enlarged, restored, targets)
        )
        top = float(np.percentile(wanted, 99.8)) or 1.0
        return [
            Column("Input", given, (0.0, top)),
            Column("Output", made, (0.0, top)),
            Column("Target", wanted, (0.0, top)),
            Column("Output - target", made - wanted, (-top, top)),
        ]

    def on_validation_epoch_start(self) -> None:
        """Start to add up."""
        self._sums = {}

    def validation_step(self, index: int) -> None:
        """Add up one batch's agreement with the targets."""
        inputs, targets = self.scaled(self.validation_batch(int(index)))
        restored = self.restore(inputs).float()
        squares = ((restored - targets) ** 2).mean(dim=(1, 2, 3))  # (b,)
        sums = {
            "n": float(len(inputs)),
            "loss": float(self.judged_loss(restored, targets)) * len(inputs),
            "psnr": float((10 * (_PSNR_RANGE**2 / squares).log10()).sum()),
            "ms_ssim": float(self.ssim(restored, targets).sum()),
            "spread": float(restored.std()) * len(inputs),
            "given": float(restored.sum()),
            "wanted": float(targets.sum()),
        }
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in sums.items()}

    def on_validation_epoch_end(self) -> None:
        """Log the means, and say what is doubtful."""
        sums = self._sums
        means = {name: sums[name] / sums["n"] for name in ("loss", "psnr", "ms_ssim", "spread")}
        mass = sums["given"] / sums["wanted"] if sums["wanted"] > 0 else math.nan
        for name, value in {**means, "mass": mass, "psnr_40": means["psnr"] / 40}.items():
            self.log(f"val_{name}", value, batch_size=1)

    def doubts(self, figures: Mapping[str, float]) -> list[str]:
        """Say what is wrong with the grey levels."""
        mass = figures["val_mass"]
        if abs(mass - 1) <= _FLUX_LIMIT:
            return []
        return [
            f"The outputs are {mass:.2f} times as bright as the targets on the whole, though the "
            "loss may be low: grey levels can't be trusted. Train longer, or with another loss."
        ]


class RegressionTask(RestorationTask):
    """A network that is as near to the target as its loss says."""

    def __init__(self, *arguments: Any, **sources: Any) -> None:
        super().__init__(*arguments, **sources)
        self.loss = ImageLoss(self.part)

    @property
    def part(self) -> RegressionPart:
        """The recipe's task."""
        assert isinstance(self.recipe.task, RegressionPart)
        return self.recipe.task

    def loss_of(self, batch: Batch, share_done: float) -> Tensor:
        """Compare output and target."""
        inputs, targets = self.scaled(batch)
        loss: Tensor = self.loss(self.restore(inputs), targets, share_done)
        return loss
