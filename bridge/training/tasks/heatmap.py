"""Training a network that turns a camera frame into an image of its emitters."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bridge.errors import TrainingError
from bridge.training.losses import HeatmapLoss
from bridge.training.recipe import Recipe
from bridge.training.sources import Batch, Source

_VALIDATION_BATCH = 16
_WARM_UP_SHARE = 0.05
_VALIDATION_KEY = 1_000_003
"""Sets the keys of validation batches apart from those of training steps."""


class Scaling(NamedTuple):
    """How camera counts become the network's input: (counts - mean) / std, for every image."""

    mean: float
    """Counts that the network sees as 0."""
    std: float
    """Counts that the network sees as 1."""


def measure_scaling(source: Source, *, seed: int, n_patches: int = 128) -> Scaling:
    """Take mean and standard deviation of the counts in some training patches.

    Parameters
    ----------
    source : Source
        Where training patches come from.
    seed : int
        Seed of the patches.
    n_patches : int
        How many to look at.

    Returns
    -------
    Scaling
        Rounded to three digits, so that it can be told.

    Raises
    ------
    TrainingError
        All patches have the same value everywhere, or some hold NaN or infinity.
    """
    frames = source.batch(n_patches, [seed, _VALIDATION_KEY, 1], torch.device("cpu")).frames
    mean, std = float(frames.double().mean()), float(frames.double().std())
    if not math.isfinite(mean + std):
        n_bad = int((~torch.isfinite(frames)).any(dim=(1, 2, 3)).sum())
        found = f"{n_bad} of {n_patches} training patches hold values that are no numbers"
        raise TrainingError("data", found, "finite camera counts", "Repair the movie first.")
    if not std > 0:
        found = f"every pixel of {n_patches} training patches is {mean:g}"
        raise TrainingError("data", found, "frames with emitters in them")
    return Scaling(float(f"{mean:.3g}"), float(f"{std:.3g}"))


class HeatmapTask(lightning.LightningModule):
    """The network, its loss and its judgement, as Lightning runs them.

    A step's batch follows from the seed and the step's number: the data loaders only count.

    Parameters
    ----------
    recipe : Recipe
        With ``fit.steps`` decided.
    network : Module
        Camera frames (b, 1, y, x) to (b, 1, Y, X).
    scaling : Scaling
        Of the network's input.
    training, validation : Source
        Where batches come from.
    """

    def __init__(
        self,
        recipe: Recipe,
        network: nn.Module,
        scaling: Scaling,
        *,
        training: Source,
        validation: Source,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = HeatmapLoss(recipe.task)
        self.recipe = recipe
        self.scaling = scaling
        self._sources = (training, validation)
        self._sums: dict[str, float] = {}

    @property
    def n_steps(self) -> int:
        """Length of the training, in steps."""
        if self.recipe.fit.steps is None:
            raise TrainingError("fit.steps", "is not decided")
        return self.recipe.fit.steps

    def epoch_of(self, n_done: int) -> int:
        """Give the epoch, from 1, that a number of done steps lies in."""
        return max(math.ceil(n_done / self.recipe.fit.steps_per_epoch), 1)

    def forward(self, frames: Tensor) -> Tensor:
        """Predict emitters (b, 1, Y, X) from camera counts (b, 1, y, x)."""
        ready = (frames - self.scaling.mean) / self.scaling.std
        predicted: Tensor = self.network(ready.contiguous(memory_format=torch.channels_last))
        return predicted

    def training_batch(self, step: int) -> Batch:
        """Give the batch of a step."""
        fit = self.recipe.fit
        return self._sources[0].batch(fit.batch, [fit.seed, step], self.device)

    def validation_batch(self, index: int) -> Batch:
        """Give a batch that the network is judged by; the same in every epoch."""
        n_left = self.recipe.data.validation_patches - index * _VALIDATION_BATCH
        key = [self.recipe.fit.seed, _VALIDATION_KEY, 2, index]
        return self._sources[1].batch(min(n_left, _VALIDATION_BATCH), key, self.device)

    def train_dataloader(self) -> DataLoader[int]:
        """Count this epoch's steps.

        They follow from the steps that are done: a resumed Lightning counts one epoch too many.
        """
        first = self.trainer.global_step
        last = min(first + self.recipe.fit.steps_per_epoch, self.n_steps)
        return DataLoader(range(first, last), batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[int]:
        """Count the validation batches."""
        n_batches = math.ceil(self.recipe.data.validation_patches / _VALIDATION_BATCH)
        return DataLoader(range(n_batches), batch_size=None)  # type: ignore[arg-type]

    def training_step(self, step: int) -> Tensor:
        """Compute the loss of one batch; a loss that is no number ends the training."""
        frames, emitters = self.training_batch(int(step))
        loss: Tensor = self.loss(self(frames), emitters, int(step) / self.n_steps)
        if not torch.isfinite(loss):
            rate = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
            raise TrainingError(
                "training",
                f"the loss became {float(loss.detach())} at step {int(step)}, epoch "
                f"{self.epoch_of(int(step) + 1)}, learning rate {rate:.3g}",
                "a finite loss",
                "The last good state is kept in checkpoints/. Lower fit.learning_rate, and look "
                "for frames with values that are no numbers.",
            )
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=1)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start to add up."""
        self._sums = {}

    def validation_step(self, index: int) -> None:
        """Add up one batch's agreement with the truth."""
        frames, emitters = self.validation_batch(int(index))
        predicted = self(frames).float()
        amount = self.recipe.task.amount
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
        for name, value in agreement(self._sums, amount=self.recipe.task.amount).items():
            self.log(f"val_{name}", value, batch_size=1)

    def configure_optimizers(self) -> Any:
        """Give the optimizer and the course of the learning rate."""
        fit = self.recipe.fit
        parameters = self.network.parameters()
        optimizer: torch.optim.Optimizer
        if fit.optimizer == "adamw":
            optimizer = torch.optim.AdamW(
                parameters, fit.learning_rate, betas=(0.9, 0.99), weight_decay=fit.weight_decay
            )
        else:
            optimizer = torch.optim.Adam(
                parameters, fit.learning_rate, weight_decay=fit.weight_decay
            )
        if fit.schedule == "constant":
            return optimizer
        course = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": course, "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        """Give the part of the highest learning rate: it rises first, then falls as a cosine."""
        rise = min((step + 1) / (_WARM_UP_SHARE * self.n_steps), 1.0)
        return rise * (1 + math.cos(math.pi * min(step / self.n_steps, 1.0))) / 2


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
