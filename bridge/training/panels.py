"""Pictures of a training: curves over the epochs, and what the network makes of some patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bridge.images.preview import save_picture
from bridge.training.tasks.base import TrainingTask

_ROWS = 3
_GAP_PX = 1
_MARKED = 20


def save_curves(
    path: Path, history: Sequence[Mapping[str, float]], *, figures: Mapping[str, str]
) -> None:
    """Draw losses, and the task's own figures, over the epochs.

    Parameters
    ----------
    path : Path
        The PNG; replaced if it is there.
    history : sequence of dict
        One for each epoch: ``epoch``, ``train_loss``, ``val_loss`` and ``figures``.
    figures : mapping of str to str
        What is drawn beside the losses, and what it is called.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    mark = ".-" if len(history) < _MARKED else "-"  # a single epoch is a point, and no line
    for name, label in (("train_loss", "training"), ("val_loss", "validation")):
        left.plot(epochs, [row.get(name, np.nan) for row in history], mark, label=label)
    losses = [row.get(name, 1.0) for row in history for name in ("train_loss", "val_loss")]
    left.set(xlabel="epoch", ylabel="loss", yscale="log" if min(losses) > 0 else "linear")
    for name, label in figures.items():
        right.plot(epochs, [row.get(name, np.nan) for row in history], mark, label=label)
    right.set(xlabel="epoch", ylim=(0, 1.3))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    FigureCanvasAgg(figure)
    partial = path.with_name(path.name + ".part")
    figure.savefig(partial, format="png", dpi=110)
    partial.replace(path)


def save_panel(path: Path, task: TrainingTask) -> None:
    """Draw what the network makes of the fullest patches of the first validation batch.

    Parameters
    ----------
    path : Path
        The PNG; replaced if it is there.
    task : TrainingTask
        In whatever state; its batch norms are left as they are.
    """
    was_training = task.training
    task.eval()
    with torch.inference_mode():
        columns = task.columns(_ROWS)
    task.train(was_training)
    save_picture(
        path,
        [(column.title, _stack(column.images)) for column in columns],
        ranges=[column.limits for column in columns],
    )


def _stack(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put images (n, y, x) below each other, with a line between."""
    line = np.full((_GAP_PX * max(images.shape[1] // 64, 1), images.shape[2]), images.max())
    parts: list[NDArray[np.float32]] = []
    for image in images:
        parts += [image, line]
    return np.concatenate(parts[:-1])
