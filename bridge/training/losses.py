"""The loss of networks whose output is an image of emitters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bridge.images.blur import FWHM_PER_SIGMA
from bridge.training.parts import HeatmapPart


class HeatmapLoss(nn.Module):
    """Compare output and label after the same blur, and ask for few bright pixels.

    With a blur of sigma 1 and ``sparsity`` 0.5 this is the loss of Deep-STORM [1]_: there the
    label is blurred by a kernel of sum 1 and the output by one of sum 2, so that an emitter is 50
    in the output and 100 in the label; half of its penalty makes up for it. With a kernel of peak
    1 and no sparsity it is that of DSIR [2]_.

    Parameters
    ----------
    task : HeatmapPart
        Blur, its norm, the weight of the penalty.

    References
    ----------
    .. [1] Nehme, Weiss, Michaeli, Shechtman: Optica 5, 458 (2018), doi 10.1364/OPTICA.5.000458.
    .. [2] DSIR: leaxp/Deep-Learning-Super-Resolution-Image-Reconstruction-DSIR on GitHub.
    """

    kernels: Tensor

    def __init__(self, task: HeatmapPart) -> None:
        super().__init__()
        self._task = task
        widths = (task.kernel_fwhm_px, task.finetune_kernel_fwhm_px)
        kernels = torch.stack([_kernel(task, fwhm_px) for fwhm_px in widths])
        self.register_buffer("kernels", kernels[:, None, None], persistent=False)  # (2, 1, 1, k, k)

    def forward(self, predicted: Tensor, emitters: Tensor, done: float) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        predicted : Tensor, (b, 1, Y, X)
            The network's output; ``amount`` per emitter.
        emitters : Tensor, (b, 1, Y, X)
            Emitters per fine pixel.
        done : float
            Share of the training that is done, 0 to 1.

        Returns
        -------
        Tensor, ()
            Mean over pixels and patches.
        """
        task = self._task
        is_last = task.finetune_share > 0 and done >= 1 - task.finetune_share
        kernel = self.kernels[int(is_last)]  # (1, 1, k, k)
        difference = predicted.float() - task.amount * emitters  # (b, 1, Y, X)
        blurred = nn.functional.conv2d(difference, kernel, padding=task.kernel_px // 2)
        return blurred.square().mean() + task.sparsity * predicted.float().abs().mean()


def _kernel(task: HeatmapPart, fwhm_px: float) -> Tensor:
    """Give a square Gaussian window (k, k)."""
    sigma_px = fwhm_px / FWHM_PER_SIGMA
    place = torch.arange(task.kernel_px) - task.kernel_px // 2  # (k,)
    profile = torch.exp(-(place.double() ** 2) / (2 * sigma_px**2))  # (k,)
    kernel = profile[:, None] * profile
    return (kernel / kernel.sum() if task.kernel_norm == "sum" else kernel).float()
