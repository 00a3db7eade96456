"""The loss of networks that list emitters with their uncertainties."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bridge.smlm.patches import Emitters

_REACH_PX = 2  # an emitter may be told by pixels up to this far from its own
_LEAST = 1e-6
_BACKGROUND_WEIGHT = 0.3


class LocalizationLoss(nn.Module):
    """Ask for the right number, the right places with honest uncertainties, and the right pixels.

    Three parts, added and divided by the number of emitters in the batch:

    - count: the sum of probabilities is a Poisson-binomial number, taken as normal [1]_;
    - places: each emitter is drawn from a Gaussian mixture over the pixels around it, weighted by
      their probabilities, in x, y, photons (and z) [1]_. Pixels more than two away from an emitter
      hold none of its mixture, and are left out;
    - pixels: cross-entropy of probability and the pixel that holds the emitter.

    The background's logarithm is compared by its squared error.

    Parameters
    ----------
    has_z : bool
        Whether the network estimates the third dimension.

    References
    ----------
    .. [1] Speiser et al., Nature Methods 18, 1082 (2021), doi 10.1038/s41592-021-01236-x.
    """

    def __init__(self, *, has_z: bool = False) -> None:
        super().__init__()
        self._has_z = has_z

    def forward(self, predicted: Tensor, emitters: Emitters, background: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        predicted : Tensor, (b, 8 or 10, y, x)
            The network's output, in units.
        emitters : Emitters
            The truth; those outside the patch count for nothing.
        background : Tensor, (b, 1, y, x)
            True background, in photons per pixel.

        Returns
        -------
        Tensor, ()
            The loss for each emitter.
        """
        probability = predicted[:, 0]  # (b, y, x)
        is_real = emitters.is_labelled  # (b, n)
        n_real = is_real.sum().clamp(min=1)  # ()
        count = self._count(probability, is_real.sum(dim=1))
        pixels = self._pixels(probability, emitters)
        places = self._places(predicted, emitters)
        levels = ((predicted[:, 4:5] / background.clamp(min=0.1)).log() ** 2).mean()
        loss: Tensor = (count + pixels + places) / n_real + _BACKGROUND_WEIGHT * levels
        return loss

    @staticmethod
    def _count(probability: Tensor, number: Tensor) -> Tensor:
        mean = probability.sum(dim=(1, 2))  # (b,)
        variance = (probability * (1 - probability)).sum(dim=(1, 2)) + 1e-2  # (b,)
        return (((number - mean) ** 2 / variance + variance.log()) / 2).sum()

    @staticmethod
    def _pixels(probability: Tensor, emitters: Emitters) -> Tensor:
        height, width = probability.shape[-2:]
        column, row = (
            place.floor().long().clamp(0, edge - 1)
            for place, edge in ((emitters.x_px, width), (emitters.y_px, height))
        )  # (b, n) each
        target = torch.zeros_like(probability).flatten(1)  # (b, y x)
        target.scatter_reduce_(
            1, row * width + column, emitters.is_labelled.to(target.dtype), "amax"
        )
        return nn.functional.binary_cross_entropy(probability.flatten(1), target, reduction="sum")

    def _places(self, predicted: Tensor, emitters: Emitters) -> Tensor:
        height, width = predicted.shape[-2:]
        patch, index = emitters.is_labelled.nonzero(as_tuple=True)  # (m,) each
        if not len(patch):
            return predicted.sum() * 0.0
        x_px, y_px = emitters.x_px[patch, index], emitters.y_px[patch, index]  # (m,) each
        steps = torch.arange(-_REACH_PX, _REACH_PX + 1, device=predicted.device)  # (5,)
        rows = y_px.floor().long()[:, None, None] + steps[None, :, None]  # (m, 5, 1)
        columns = x_px.floor().long()[:, None, None] + steps[None, None, :]  # (m, 1, 5)
        is_inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (m, 5, 5)
        rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
        near = predicted[patch[:, None, None], :, rows, columns]  # (m, 5, 5, c)
        offsets = [
            (columns + 0.5 + near[..., 1] - x_px[:, None, None]) / near[..., 5],
            (rows + 0.5 + near[..., 2] - y_px[:, None, None]) / near[..., 6],
            (near[..., 3] - emitters.photons[patch, index][:, None, None]) / near[..., 7],
        ]  # (m, 5, 5) each
        scales = [near[..., 5], near[..., 6], near[..., 7]]
        if self._has_z:
            offsets.append(
                (near[..., 8] - emitters.z_nm[patch, index][:, None, None]) / near[..., 9]
            )
            scales.append(near[..., 9])
        likelihood = sum(
            -(offset**2) / 2 - scale.log() - math.log(2 * math.pi) / 2
            for offset, scale in zip(offsets, scales, strict=True)
        )  # (m, 5, 5)
        total = predicted[:, 0].sum(dim=(1, 2)).clamp(min=_LEAST)[patch]  # (m,)
        share = near[..., 0].clamp(min=_LEAST).log() - total.log()[:, None, None]  # (m, 5, 5)
        mixture = torch.where(is_inside, share + likelihood, -torch.inf)  # (m, 5, 5)
        return -torch.logsumexp(mixture.flatten(1), dim=1).sum()
