"""Pictures of a training: curves over the epochs, and what the network makes of some patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bridge.images.preview import save_picture
from bridge.training.tasks.heatmap import HeatmapTask

_ROWS = 3
_GAP_PX = 1
_MARKED = 20


def save_curves(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Draw losses and agreement over the epochs.

    Parameters
    ----------
    path : Path
        The PNG; replaced if it is there.
    history : sequence of dict
        One for each epoch: ``epoch``, ``train_loss``, ``val_loss``, ``val_correlation``,
        ``val_nmse``, ``val_mass``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - slow to load
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    mark = ".-" if len(history) < _MARKED else "-"  # a single epoch is a point, and no line
    for name, label in (("train_loss", "training"), ("val_loss", "validation")):
        left.plot(epochs, [row.get(name, np.nan) for row in history], mark, label=label)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    for name, label in (
        ("val_correlation", "correlation with the truth"),
        ("val_nmse", "NMSE"),
        ("val_mass", "emitters found / true"),
    ):
        right.plot(epochs, [row.get(name, np.nan) for row in history], mark, label=label)
    right.set(xlabel="epoch", ylim=(0, 1.3))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    FigureCanvasAgg(figure)
    partial = path.with_name(path.name + ".part")
    figure.savefig(partial, format="png", dpi=110)
    partial.replace(path)


def save_panel(path: Path, task: HeatmapTask) -> None:
    """Draw input, prediction, truth and their difference for the first validation patches.

    Parameters
    ----------
    path : Path
        The PNG; replaced if it is there.
    task : HeatmapTask
        In whatever state; its batch norms are left as they are.
    """
    was_training = task.training
    task.eval()
    with torch.inference_mode():
        frames, emitters = task.validation_batch(0)
        predicted = task(frames).float().clamp(min=0)
        kernel = task.loss.kernels[0] / task.loss.kernels[0].sum()
        wanted = torch.nn.functional.conv2d(
            emitters * task.recipe.task.amount, kernel, padding=kernel.shape[-1] // 2
        )
    task.train(was_training)
    order = emitters.sum(dim=(1, 2, 3)).argsort(descending=True)[:_ROWS]  # the fullest ones
    columns = {
        name: _stack(images[order, 0].cpu().numpy())
        for name, images in (
            ("Input (counts)", frames),
            ("Prediction", predicted),
            ("Truth", wanted),
            ("Prediction - truth", predicted - wanted),
        )
    }
    top = float(np.percentile(columns["Truth"], 99.5)) or 1.0
    counts = columns["Input (counts)"]
    save_picture(
        path,
        list(columns.items()),
        ranges=[(float(counts.min()), float(counts.max())), (0, top), (0, top), (-top, top)],
    )


def _stack(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put images (n, y, x) below each other, with a line between."""
    line = np.full((_GAP_PX * max(images.shape[1] // 64, 1), images.shape[2]), images.max())
    parts: list[NDArray[np.float32]] = []
    for image in images:
        parts += [image, line]
    return np.concatenate(parts[:-1])
