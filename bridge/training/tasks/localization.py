"""Training a network that lists the emitters of a camera frame, with their uncertainties."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import Tensor

from bridge.smlm.diagnostics import spread_of
from bridge.smlm.localizer_model import LocalizerModel, emitter_reading
from bridge.smlm.matching import match_frames
from bridge.smlm.patches import Emitters, PatchConditions, Patches
from bridge.smlm.render import render_histogram
from bridge.training.batches import Batch
from bridge.training.localization_loss import LocalizationLoss
from bridge.training.sources import EmitterSource
from bridge.training.tasks.base import Column, TrainingTask

_OUTPUTS = (
    *("probability", "x_px", "y_px", "photons", "background"),
    *("sigma_x_px", "sigma_y_px", "sigma_photons"),
)
_DEPTH = ("z_nm", "sigma_z_nm")
_TOLERANCE_NM = 250.0
_MAGNIFICATION = 5
_SPOT = 5  # a single fine pixel would hardly be seen


class LocalizationTask(TrainingTask):
    """A network that gives ``OUTPUTS`` (b, c, y, x) of the localizer from frames (b, t, y, x).

    Parameters
    ----------
    recipe : Recipe
        With ``fit.steps`` decided; its task is a localization.
    network, scaling, training, validation
        As of :class:`TrainingTask`.
    """

    curves: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "val_jaccard": "Jaccard index",
            "val_rmse_px": "lateral RMSE, in pixels",
            "val_robust_sd": "error / stated sigma (robust)",
        }
    )

    # A few surprising emitters decide this loss: the lowest one is no sign of the best list.
    result: ClassVar[Literal["best", "last"]] = "last"

    def __init__(self, *arguments: Any, **sources: Any) -> None:
        super().__init__(*arguments, **sources)
        source = sources["training"]
        assert isinstance(source, EmitterSource)
        conditions = source.conditions  # those of a user's table may differ from the recipe's
        self.pixel_size_nm = conditions.camera.pixel_size_nm
        self.outputs = outputs_of(conditions)
        self.loss = LocalizationLoss(has_z=len(self.outputs) > len(_OUTPUTS))
        self._losses: list[float] = []
        self._found: list[pd.DataFrame] = []
        self._truth: list[pd.DataFrame] = []
        self._spread = self._expected = 0.0

    def loss_of(self, batch: Batch, share_done: float) -> Tensor:
        """Compare the list that a network gives with the emitters."""
        patches = _listed(batch)
        loss: Tensor = self.loss(self(patches.frames), patches.emitters, patches.background)
        return loss

    def note(self, figures: Mapping[str, float]) -> str:
        """Tell how many are found, and how well."""
        rmse_nm = figures["val_rmse_px"] * self.pixel_size_nm
        return f"Jaccard {figures['val_jaccard']:.3f}, RMSE {rmse_nm:.1f} nm"

    def columns(self, n: int) -> list[Column]:
        """Show input, probability, what is found and what is there."""
        patches = _listed(self.validation_batch(0))
        predicted = self(patches.frames).float()
        number = patches.emitters.is_labelled.sum(dim=1)
        order = number.argsort(descending=True)[:n]  # the fullest ones
        counts = patches.frames[order, patches.frames.shape[1] // 2].cpu().numpy()
        probability = predicted[order, 0].cpu().numpy()
        edge = counts.shape[-1]
        found = self.list_emitters(predicted[order])
        truth = true_emitters(
            Emitters(*(part[order] for part in patches.emitters)), pixel_size_nm=self.pixel_size_nm
        )
        drawn = [self._draw(table, len(order), edge) for table in (found, truth)]
        return [
            Column("Input (counts)", counts, (float(counts.min()), float(counts.max()))),
            Column("Probability", probability, (0.0, 1.0)),
            Column("Found", drawn[0], (0.0, 1.0)),
            Column("Truth", drawn[1], (0.0, 1.0)),
        ]

    def list_emitters(self, predicted: Tensor, *, first_frame: int = 1) -> pd.DataFrame:
        """List what a network has found, one frame for each output (b, c, y, x)."""
        model = LocalizerModel("", 1, self.outputs, self.pixel_size_nm, None)
        reading = emitter_reading(model, pixel_size_nm=self.pixel_size_nm)
        rows = [reading.read(output) for output in predicted.cpu().numpy()]
        frames = np.repeat(np.arange(len(rows)) + first_frame, [len(part) for part in rows])
        table = pd.DataFrame(np.concatenate(rows), columns=list(reading.columns))
        table.insert(0, "frame", frames)
        return table

    def _draw(self, table: pd.DataFrame, n_patches: int, edge_px: int) -> NDArray[np.float32]:
        shape = (edge_px * _MAGNIFICATION, edge_px * _MAGNIFICATION)
        images = [
            render_histogram(
                table[table["frame"] == frame],
                pixel_size_nm=self.pixel_size_nm / _MAGNIFICATION,
                shape=shape,
            ).values
            for frame in range(1, n_patches + 1)
        ]
        return np.stack([maximum_filter(image, _SPOT) for image in images]).astype(np.float32)

    def on_validation_epoch_start(self) -> None:
        """Start to collect."""
        self._losses, self._found, self._truth = [], [], []
        self._spread = self._expected = 0.0

    def validation_step(self, index: int) -> None:
        """Collect what one batch holds, and what is found in it."""
        patches = _listed(self.validation_batch(int(index)))
        predicted = self(patches.frames).float()
        loss = self.loss(predicted, patches.emitters, patches.background)
        first = 1 + len(self._losses)
        self._losses += [float(loss)] * len(patches.frames)
        self._spread = max(self._spread, float(predicted[:, 0].std()))
        self._expected += float(predicted[:, 0].sum())
        self._found.append(self.list_emitters(predicted, first_frame=first))
        self._truth.append(
            true_emitters(patches.emitters, pixel_size_nm=self.pixel_size_nm, first_frame=first)
        )

    def on_validation_epoch_end(self) -> None:
        """Log how well lists agree, over all validation patches."""
        truth = pd.concat(self._truth)
        figures = agreement(pd.concat(self._found), truth)
        self.log("val_loss", float(np.mean(self._losses)), batch_size=1)
        self.log("val_jaccard", figures["jaccard"], batch_size=1)
        self.log("val_rmse_px", figures["rmse_nm"] / self.pixel_size_nm, batch_size=1)
        self.log("val_robust_sd", figures["robust_sd"], batch_size=1)
        self.log("val_mass", self._expected / max(len(truth), 1), batch_size=1)
        self.log("val_spread", self._spread, batch_size=1)


def outputs_of(conditions: PatchConditions) -> tuple[str, ...]:
    """Give the channels of a localizer's output, by what it is trained on."""
    has_z = len(set(conditions.psf.z_range_nm())) > 1
    return (*_OUTPUTS, *(_DEPTH if has_z else ()))


def _listed(batch: Batch) -> Patches:
    assert isinstance(batch, Patches)
    return batch


def true_emitters(
    emitters: Emitters, *, pixel_size_nm: float, first_frame: int = 1
) -> pd.DataFrame:
    """List the labelled emitters of patches as a table.

    Parameters
    ----------
    emitters : Emitters
        Of a batch.
    pixel_size_nm : float
        Edge of a camera pixel.
    first_frame : int
        Frame of the first patch; the next ones follow.

    Returns
    -------
    DataFrame
        ``frame``, ``x_nm``, ``y_nm``, ``z_nm``, ``photons``.
    """
    patch, place = emitters.is_labelled.cpu().nonzero(as_tuple=True)

    def take(values: Tensor) -> NDArray[np.float64]:
        taken: NDArray[np.float64] = values.cpu()[patch, place].double().numpy()
        return taken

    return pd.DataFrame(
        {
            "frame": patch.numpy() + first_frame,
            "x_nm": take(emitters.x_px) * pixel_size_nm,
            "y_nm": take(emitters.y_px) * pixel_size_nm,
            "z_nm": take(emitters.z_nm),
            "photons": take(emitters.photons),
        }
    )


def agreement(found: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """Match what is found with what is there, within 250 nm.

    Parameters
    ----------
    found : DataFrame
        With ``uncertainty_x_nm`` and ``uncertainty_y_nm``.
    truth : DataFrame
        The emitters.

    Returns
    -------
    dict
        ``jaccard``; ``rmse_nm``: lateral; ``robust_sd`` of errors over stated uncertainties;
        ``found``: number found over the true one.
    """
    found, truth = found.reset_index(drop=True), truth.reset_index(drop=True)
    pairs = match_frames(found, truth, tolerance_nm=_TOLERANCE_NM)
    n_pairs = len(pairs.detection)
    errors = {
        axis: found[f"{axis}_nm"].to_numpy()[pairs.detection]
        - truth[f"{axis}_nm"].to_numpy()[pairs.truth]
        for axis in "xy"
    }
    stated = [found[f"uncertainty_{axis}_nm"].to_numpy()[pairs.detection] for axis in "xy"]
    squares = errors["x"] ** 2 + errors["y"] ** 2
    all_errors = np.concatenate([errors["x"], errors["y"]])
    return {
        "jaccard": n_pairs / max(len(found) + len(truth) - n_pairs, 1),
        "rmse_nm": math.sqrt(squares.mean()) if n_pairs else _TOLERANCE_NM,
        "robust_sd": spread_of(all_errors, np.concatenate(stated)).robust_sd if n_pairs else 0.0,
        "found": len(found) / max(len(truth), 1),
    }
