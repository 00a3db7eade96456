"""Watching a training: progress, tables, curves, panels, and the alarm for a dead output."""

from __future__ import annotations

import csv
import math
import os
import shutil
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from bridge.errors import TrainingError
from bridge.progress import Progress
from bridge.training.panels import save_curves, save_panel
from bridge.training.tasks.base import TrainingTask

_LEAST_SPREAD = 1e-7
_LEAST_MASS = 0.01
_DEAD_EPOCHS = 5
_LEAST_CORRELATION = 0.5


class Reporter(Callback):
    """Tell progress after each step, and leave tables and pictures after each epoch.

    Parameters
    ----------
    run_dir : Path
        The run's folder.
    progress : Progress
        Told of every step; may raise ``Cancelled``.
    """

    def __init__(self, run_dir: Path, progress: Progress) -> None:
        self._run_dir = run_dir
        self._progress = progress
        self.history: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        """Give the history, for the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the history."""
        self.history = list(state_dict["history"])

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tell how far it is."""
        assert isinstance(pl_module, TrainingTask)
        last = self.history[-1] if self.history else {}
        note = f"epoch {pl_module.epoch_of(trainer.global_step)}"
        if last:
            note += f", {pl_module.note(last)}"
        self._progress(trainer.global_step, pl_module.n_steps, note)

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Draw the panel while the averaged weights, which were judged, are still in place.

        Holds because this callback stands before the one that averages.
        """
        assert isinstance(pl_module, TrainingTask)
        save_panel(self._run_dir / "panel.png", pl_module)
        panels = self._run_dir / "panels"
        panels.mkdir(exist_ok=True)
        name = f"epoch_{pl_module.epoch_of(trainer.global_step):04d}.png"
        shutil.copyfile(self._run_dir / "panel.png", panels / name)

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Take the figures up, before the checkpoint is written; a dead output stops it."""
        assert isinstance(pl_module, TrainingTask)
        figures = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("val_")
        }
        self.history.append({"epoch": pl_module.epoch_of(trainer.global_step), **figures})
        refuse_dead_output(self.history)

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write table and curves."""
        if not self.history or "train_loss" in self.history[-1]:
            return  # a resumed Lightning ends the last epoch a second time
        loss = trainer.callback_metrics.get("train_loss")
        self.history[-1]["train_loss"] = math.nan if loss is None else float(loss)
        self.history[-1]["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        _write_table(self._run_dir / "metrics.csv", self.history)
        assert isinstance(pl_module, TrainingTask)
        save_curves(self._run_dir / "curves.png", self.history, figures=pl_module.curves)


def _write_table(path: Path, history: list[dict[str, float]]) -> None:
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(history[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(history)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _refuse_unlike(history: list[dict[str, float]], remedy: str) -> None:
    """Stop where the output has stayed less like the target than the input itself is.

    Of tasks that tell ``val_correlation`` and ``val_above_input_db``. An output that is black has
    a high SSIM where targets are mostly black; it has no correlation.
    """
    recent = history[-_DEAD_EPOCHS:]
    if len(recent) < _DEAD_EPOCHS or "val_above_input_db" not in recent[-1]:
        return
    best = max(row["val_correlation"] for row in recent)
    if best < _LEAST_CORRELATION and max(row["val_above_input_db"] for row in recent) < 0:
        found = (
            f"for {_DEAD_EPOCHS} epochs its output has been less like the target than the "
            f"widefield image is, with r of {best:.2f} at most"
        )
        expected = f"r >= {_LEAST_CORRELATION:g}, and an affine PSNR above the widefield image's"
        raise TrainingError("training", found, expected, remedy)


def refuse_dead_output(history: list[dict[str, float]]) -> None:
    """Stop a training whose output is no number, is constant, or has stayed empty.

    Parameters
    ----------
    history : list of dict
        ``epoch``, ``val_loss``, ``val_spread`` and ``val_mass`` of each epoch, the last one last.

    Raises
    ------
    TrainingError
        It won't come to anything.
    """
    last = history[-1]
    remedy = "Lower fit.learning_rate, or take another fit.seed; the run's panels show the output."
    if not math.isfinite(last["val_loss"]):
        found = f"after epoch {last['epoch']:g} its validation loss is {last['val_loss']:g}"
        raise TrainingError("training", found, "a finite loss", remedy)
    if last["val_spread"] < _LEAST_SPREAD:
        found = f"after epoch {last['epoch']:g} its output has one value everywhere"
        raise TrainingError("training", found, "an image with something in it", remedy)
    _refuse_unlike(history, remedy)
    recent = [row["val_mass"] for row in history[-_DEAD_EPOCHS:]]
    if len(recent) == _DEAD_EPOCHS and max(recent) < _LEAST_MASS:
        found = (
            f"for {_DEAD_EPOCHS} epochs its output has held less than {_LEAST_MASS:.0%} of what is "
            "to be found"
        )
        raise TrainingError("training", found, "an image with something in it", remedy)
