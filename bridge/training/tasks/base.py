"""What all trainings share: batches that follow from the step, the optimizer, the learning rate.

A task is a network with its loss and its judgement, as Lightning runs them. A step's batch follows
from the seed and the step's number: the data loaders only count.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bridge.errors import TrainingError
from bridge.training.batches import Batch, Source
from bridge.training.recipe import Recipe

VALIDATION_BATCH = 16
_WARM_UP_SHARE = 0.05
_SETTLING_RATE = 0.3
_VALIDATION_KEY = 1_000_003
"""Sets the keys of validation batches apart from those of training steps."""


class Scaling(NamedTuple):
    """How an image becomes the network's input: (value - mean) / std; and so its target."""

    mean: float
    """Value that the network sees as 0."""
    std: float
    """Difference that the network sees as 1."""
    target_mean: float = 0.0
    """Value of the target that the network calls 0."""
    target_std: float = 1.0
    """Difference of the target that the network calls 1."""
    floor: float = 0.0
    """What each image's range is at least taken for when it is stretched, in its own units."""


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


class Column(NamedTuple):
    """One column of the panel that is drawn after each epoch."""

    title: str
    """What it shows."""
    images: NDArray[np.float32]
    """(n, y, x); all columns have as many."""
    limits: tuple[float, float]
    """Black and white."""


class TrainingTask(lightning.LightningModule):
    """The network, its loss and its judgement, as Lightning runs them.

    Parameters
    ----------
    recipe : Recipe
        With ``fit.steps`` decided.
    network : Module
        Camera frames (b, t, y, x) to what the task makes of them.
    scaling : Scaling
        Of the network's input.
    training, validation : Source
        Where batches come from.
    """

    curves: ClassVar[Mapping[str, str]] = {}
    """Figures after each epoch that are drawn beside the loss, and what they are called."""
    result: ClassVar[Literal["best", "last"]] = "best"
    """Which weights count: those with the lowest validation loss, or those at the end."""

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
        self.recipe = recipe
        self.scaling = scaling
        self._sources = (training, validation)

    @abstractmethod
    def loss_of(self, batch: Batch, share_done: float) -> Tensor:
        """Compute the loss of a batch, ``share_done`` (0 to 1) of the training being over."""

    @abstractmethod
    def columns(self, n: int) -> list[Column]:
        """Show what the network makes of ``n`` patches of the first validation batch."""

    @abstractmethod
    def note(self, figures: Mapping[str, float]) -> str:
        """Tell the last epoch's figures in a few words."""

    def doubts(self, figures: Mapping[str, float]) -> list[str]:
        """Say what the last epoch's figures make doubtful, a sentence each."""
        return []

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
        """Run the network on camera counts (b, t, y, x)."""
        ready = (frames - self.scaling.mean) / self.scaling.std
        predicted: Tensor = self.network(ready.contiguous(memory_format=torch.channels_last))
        return predicted

    def training_batch(self, step: int) -> Batch:
        """Give the batch of a step."""
        fit = self.recipe.fit
        return self._sources[0].batch(fit.batch, [fit.seed, step], self.device)

    def validation_batch(self, index: int) -> Batch:
        """Give a batch that the network is judged by; the same in every epoch."""
        n_left = self.recipe.data.validation_patches - index * VALIDATION_BATCH
        key = [self.recipe.fit.seed, _VALIDATION_KEY, 2, index]
        return self._sources[1].batch(min(n_left, VALIDATION_BATCH), key, self.device)

    def train_dataloader(self) -> DataLoader[int]:
        """Count this epoch's steps.

        They follow from the steps that are done: a resumed Lightning counts one epoch too many.
        """
        first = self.trainer.global_step
        last = min(first + self.recipe.fit.steps_per_epoch, self.n_steps)
        return DataLoader(range(first, last), batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader[int]:
        """Count the validation batches."""
        n_batches = math.ceil(self.recipe.data.validation_patches / VALIDATION_BATCH)
        return DataLoader(range(n_batches), batch_size=None)  # type: ignore[arg-type]

    @property
    def n_settling(self) -> int:
        """Steps at the end in which batch norms keep their averages."""
        return round(self.n_steps * self.recipe.fit.settle_share)

    def training_step(self, step: int) -> Tensor:
        """Compute the loss of one batch; a loss that is no number ends the training."""
        if int(step) >= self.n_steps - self.n_settling:
            settle_norms(self.network)
        loss = self.loss_of(self.training_batch(int(step)), int(step) / self.n_steps)
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

    def configure_optimizers(self) -> Any:
        """Give the optimizer and the course of the learning rate."""
        fit = self.recipe.fit
        parameters = self.network.parameters()
        optimizer: torch.optim.Optimizer
        if fit.optimizer == "adamw":
            optimizer = torch.optim.AdamW(
                parameters,
                fit.learning_rate,
                betas=(fit.momentum, 0.99),
                weight_decay=fit.weight_decay,
            )
        else:
            optimizer = torch.optim.Adam(
                parameters,
                fit.learning_rate,
                betas=(fit.momentum, 0.999),
                weight_decay=fit.weight_decay,
            )
        if fit.schedule == "constant":
            return optimizer
        course = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": course, "interval": "step"},
        }

    def _rate(self, step: int) -> float:
        """Give the part of the highest learning rate: it rises first, then falls as a cosine.

        While the norms settle it falls once more, from a lower value.
        """
        n_first = self.n_steps - self.n_settling
        if step >= n_first and self.n_settling:
            return _SETTLING_RATE * _fall((step - n_first) / self.n_settling)
        return min((step + 1) / (_WARM_UP_SHARE * n_first), 1.0) * _fall(step / n_first)


def _fall(share: float) -> float:
    return (1 + math.cos(math.pi * min(share, 1.0))) / 2


def settle_norms(network: nn.Module) -> None:
    """Let batch norms use, and keep, their running averages while the rest learns.

    Patches differ in brightness by orders of magnitude, so that a batch's own mean and variance
    are seldom like the averages that are used later. A network that has only learned with the one
    reads brightness wrong with the other: 10 % too few photons.
    """
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
