"""Training a network that turns a camera frame into an image of its emitters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from bridge.training.batches import Batch, LabelledFrames
from bridge.training.losses import HeatmapLoss
from bridge.training.parts import HeatmapPart
from bridge.training.tasks.base import Column, TrainingTask


class HeatmapTask(TrainingTask):
    """A network that makes an image of emitters (b, 1, Y, X) from frames (b, 1, y, x).

    Parameters
    ----------
    recipe : Recipe
        With ``fit.steps`` decided; its task is a heatmap.
    network, scaling, training, validation
        As of :class:`TrainingTask`.
    """

    curves: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "val_correlation": "correlation with the truth",
            "val_nmse": "NMSE",
            "val_mass": "emitters found / true",
        }
    )

    def __init__(self, *arguments: Any, **sources: Any) -> None:
        super().__init__(*arguments, **sources)
        self.loss = HeatmapLoss(self.part)
        self._sums: dict[str, float] = {}

    @property
    def part(self) -> HeatmapPart:
        """The recipe's task."""
        assert isinstance(self.recipe.task, HeatmapPart)
        return self.recipe.task

    def loss_of(self, batch: Batch, share_done: float) -> Tensor:
        """Compare outputs and labels under a blur."""
        frames, emitters = _labelled(batch)
        loss: Tensor = self.loss(self(frames), emitters, share_done)
        return loss

    def note(self, figures: Mapping[str, float]) -> str:
        """Tell correlation and error."""
        return f"r {figures['val_correlation']:.3f}, NMSE {figures['val_nmse']:.3f}"

    def columns(self, n: int) -> list[Column]:
        """Show input, prediction, truth and their difference."""
        frames, emitters = _labelled(self.validation_batch(0))
        predicted = self(frames).float().clamp(min=0)
        kernel = self.loss.kernels[0] / self.loss.kernels[0].sum()
        wanted = nn.functional.conv2d(
            emitters * self.part.amount, kernel, padding=kernel.shape[-1] // 2
        )
        order = emitters.sum(dim=(1, 2, 3)).argsort(descending=True)[:n]  # the fullest ones
        counts, given, truth = (
            images[order, 0].float().cpu().numpy() for images in (frames, predicted, wanted)
        )
        top = float(np.percentile(truth, 99.5)) or 1.0
        return [
            Column("Input (counts)", counts, (float(counts.min()), float(counts.max()))),
            Column("Prediction", given, (0.0, top)),
            Column("Truth", truth, (0.0, top)),
            Column("Prediction - truth", given - truth, (-top, top)),
        ]

    def on_validation_epoch_start(self) -> None:
        """Start to add up."""
        self._sums = {}

    def validation_step(self, index: int) -> None:
        """Add up one batch's agreement with the truth."""
        frames, emitters = _labelled(self.validation_batch(int(index)))
        predicted = self(frames).float()
        amount = self.part.amount
        blur = self.loss.kernels[0] / self.loss.kernels[0].sum()  # (1, 1, k, k)
        margin = blur.shape[-1] // 2
        wanted, given = (
            nn.functional.conv2d(image, blur, padding=margin).double()
            for image in (emitters * amount, predicted.clamp(min=0))
        )
        # The output is blurred already where the network isn't certain: compare it as it is, too.
        sharp = predicted.clamp(min=0).double()
        sums = {
            "n": float(given.numel()),
            "loss": float(self.loss(predicted, emitters, 1.0)) * len(frames),  # as it ends
            "patches": float(len(frames)),
            "given": float(sharp.sum()),
            "wanted": float(wanted.sum()),
            "given2": float((sharp**2).sum()),
            "wanted2": float((wanted**2).sum()),
            "both": float((sharp * wanted).sum()),
            "spread": float(predicted.std()),
        }
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in sums.items()}

    def on_validation_epoch_end(self) -> None:
        """Log how well output and truth agree, over all validation patches."""
        for name, value in agreement(self._sums, amount=self.part.amount).items():
            self.log(f"val_{name}", value, batch_size=1)


def _labelled(batch: Batch) -> LabelledFrames:
    assert isinstance(batch, LabelledFrames)
    return batch


def agreement(sums: dict[str, float], *, amount: float) -> dict[str, float]:
    """Turn sums over pixels into figures.

    Parameters
    ----------
    sums : dict
        ``n``, ``given``, ``wanted``, their squares and product, ``loss``, ``patches``, ``spread``.
    amount : float
        Sum of the output for one emitter.

    Returns
    -------
    dict
        ``loss``: mean loss; ``correlation``: Pearson's; ``nmse``: squared error after the best
        scale, over the truth's square; ``mass``: emitters in the output over the true number;
        ``spread``: mean standard deviation of the outputs, in emitters.
    """
    n = max(sums["n"], 1.0)
    covariance = sums["both"] - sums["given"] * sums["wanted"] / n
    variances = [sums[f"{name}2"] - sums[name] ** 2 / n for name in ("given", "wanted")]
    norm = math.sqrt(max(variances[0], 0.0) * max(variances[1], 0.0))
    explained = sums["both"] ** 2 / sums["given2"] if sums["given2"] > 0 else 0.0
    return {
        "loss": sums["loss"] / max(sums["patches"], 1.0),
        "correlation": covariance / norm if norm > 0 else 0.0,
        "nmse": 1 - explained / sums["wanted2"] if sums["wanted2"] > 0 else math.nan,
        "mass": sums["given"] / sums["wanted"] if sums["wanted"] > 0 else math.nan,
        "spread": sums["spread"] / amount,
    }
