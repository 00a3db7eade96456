"""Losses between an image and its target: absolute, squared, multi-scale SSIM, VGG features.

Values are about 0 to 1, and 1 is the data range of SSIM.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn

from bridge.quality.structure import SCALE_WEIGHTS
from bridge.training.parts import RegressionPart

_WINDOW_PX: Final = 11
_SIGMA_PX: Final = 1.5
_C1, _C2 = 0.01**2, 0.03**2
_FINISH: Final = (0.84, 0.16)  # Zhao et al. 2017, of MS-SSIM and L1
_LEAST: Final = 1e-6


class MultiScaleSsim(nn.Module):
    """Structural similarity at several scales, of images whose data range is 1.

    Wang, Simoncelli & Bovik, "Multiscale structural similarity for image quality assessment",
    Asilomar 2003: weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333; Gaussian window of 11 pixels,
    sigma 1.5. Images too small for all five scales get fewer, and those weights add up to 1.
    """

    def __init__(self) -> None:
        super().__init__()
        places = torch.arange(_WINDOW_PX) - _WINDOW_PX // 2
        line = torch.exp(-(places**2) / (2 * _SIGMA_PX**2))
        self.window: Tensor
        self.register_buffer("window", line / line.sum(), persistent=False)

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Compare images (b, c, y, x); gives one number for each image, (b,)."""
        n_scales = count_scales(min(image.shape[-2:]))
        weights = image.new_tensor(SCALE_WEIGHTS[:n_scales])
        weights = weights / weights.sum()
        factors = []
        for scale in range(n_scales):
            if scale:
                image, target = (nn.functional.avg_pool2d(one, 2) for one in (image, target))
            whole, contrast = self._compare(image, target)  # (b,), (b,)
            last = scale == n_scales - 1
            factors.append((whole if last else contrast).clamp(min=_LEAST) ** weights[scale])
        return torch.stack(factors).prod(dim=0)

    def _blur(self, images: Tensor) -> Tensor:
        n_channels = images.shape[1]
        rows = self.window.to(images.dtype).view(1, 1, -1, 1).expand(n_channels, -1, -1, -1)
        blurred = nn.functional.conv2d(images, rows, groups=n_channels)
        return nn.functional.conv2d(blurred, rows.transpose(2, 3), groups=n_channels)

    def _compare(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        n_channels = image.shape[1]
        stacked = torch.cat([image, target, image**2, target**2, image * target], dim=1)
        mean, mean_t, square, square_t, product = torch.split(self._blur(stacked), n_channels, 1)
        covariance = product - mean * mean_t
        variances = square - mean**2 + square_t - mean_t**2
        contrast = (2 * covariance + _C2) / (variances + _C2)
        luminance = (2 * mean * mean_t + _C1) / (mean**2 + mean_t**2 + _C1)
        return (luminance * contrast).mean(dim=(1, 2, 3)), contrast.mean(dim=(1, 2, 3))


def count_scales(edge_px: int) -> int:
    """Give how many of the five scales leave a whole window in an image of this edge."""
    if edge_px < _WINDOW_PX:
        return 1
    return min(int(math.log2(edge_px / _WINDOW_PX)) + 1, len(SCALE_WEIGHTS))


class ImageLoss(nn.Module):
    """The weighted sum that a recipe asks for; its last part is 0.84 (1 - MS-SSIM) + 0.16 L1.

    Zhao, Gallo, Frosio & Kautz, "Loss functions for image restoration with neural networks",
    IEEE Trans. Comput. Imaging 3, 47 (2017). L1 against photon-limited targets learns the median,
    which is too dark; the last part brings the flux back.

    Parameters
    ----------
    part : RegressionPart
        Weights, and the share of the last part.
    """

    def __init__(self, part: RegressionPart) -> None:
        super().__init__()
        self.part = part
        self.ssim = MultiScaleSsim()

    def forward(self, image: Tensor, target: Tensor, share_done: float) -> Tensor:
        """Compare images (b, c, y, x); ``share_done``, 0 to 1, says which part it is."""
        part = self.part
        weights = (part.ms_ssim, part.l1, part.l2)
        if share_done >= 1 - part.finish_share:
            weights = (*_FINISH, 0.0)
        image, target = image.float(), target.float()
        total = image.new_zeros(())
        if weights[0]:
            total = total + weights[0] * (1 - self.ssim(image, target).mean())
        if weights[1]:
            total = total + weights[1] * (image - target).abs().mean()
        if weights[2]:
            total = total + weights[2] * ((image - target) ** 2).mean()
        return total
