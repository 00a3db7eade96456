"""EDSR, a regression network for super-resolution; needs torch only, and travels in a package."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Block(nn.Module):
    """Two convolutions and what went in; no normalisation: it would change intensities."""

    def __init__(self, width: int, residual_scale: float) -> None:
        super().__init__()
        self.residual_scale = residual_scale
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        added = self.second(torch.relu(self.first(features)))  # (b, w, y, x)
        return features + self.residual_scale * added  # (b, w, y, x)


def _enlarge(width: int, scale: int) -> nn.Sequential:
    """Sub-pixel convolutions, one for each prime factor of the scale: 4 is 2 times 2."""
    layers: list[nn.Module] = []
    factor = 2
    while scale > 1:
        if scale % factor == 0:
            layers += [nn.Conv2d(width, factor**2 * width, 3, padding=1), nn.PixelShuffle(factor)]
            scale //= factor
        else:
            factor += 1
    return nn.Sequential(*layers)


class Edsr(nn.Module):
    r"""Restore an image by regression, without normalisation layers.

    EDSR [1]_. ::

        image --> head --+--> blocks --> after --+--> enlarge --> last --+--> restored
           \             \----------------------/                       /
            \-------------------- only where the scale is 1 -----------/

    The layers are those published. Three things differ: no mean is subtracted (a microscope has
    no fixed one); the number of channels is free; and where input and target have the same
    pixels (scale 1, which the paper lacks) there is no enlarging, the last layer starts from
    zero and the image itself is added, so that training starts from "change nothing". No
    layer looks at the whole image: an output pixel depends on ``2 blocks + 3`` input pixels to
    each side (one or two more where it is enlarged).

    Parameters
    ----------
    scale : int
        Target pixels for each input pixel along an edge, >= 1.
    width : int
        Channels. The paper's baseline has 64, its large network 256.
    blocks : int
        Residual blocks. The paper's baseline has 16, its large network 32.
    residual_scale : float
        Factor of what each block adds; 0.1 in the paper's large network, for stability.
    channels, outputs : int
        Channels of the image and of the restored image. Where they differ, the mean over the
        channels is what is added at scale 1.

    References
    ----------
    .. [1] Lim et al.: Enhanced deep residual networks for single image super-resolution.
       CVPR Workshops (2017), arXiv 1707.02921.
    """

    def __init__(
        self,
        scale: int = 1,
        width: int = 64,
        blocks: int = 16,
        residual_scale: float = 1.0,
        channels: int = 1,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.outputs = outputs
        self.stride = 1
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = nn.Sequential(*(_Block(width, residual_scale) for _ in range(blocks)))
        self.after = nn.Conv2d(width, width, 3, padding=1)
        self.enlarge = _enlarge(width, scale)
        self.last = nn.Conv2d(width, outputs, 3, padding=1)
        if scale == 1:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.get_parameter("bias"))

    def forward(self, image: Tensor) -> Tensor:
        """Restore an image.

        Parameters
        ----------
        image : Tensor, (b, channels, y, x), float32
            Values about 0 to 1, scaled by a fixed number; any size.

        Returns
        -------
        Tensor, (b, outputs, scale y, scale x), float32
            The restored image, on the scale of the targets it was trained with.
        """
        head = self.head(image)  # (b, w, y, x)
        features = head + self.after(self.blocks(head))  # (b, w, y, x)
        restored = self.last(self.enlarge(features)).float()  # (b, outputs, s y, s x)
        if self.scale > 1:
            return restored
        if self.channels != self.outputs:
            image = image.mean(dim=1, keepdim=True)  # (b, 1, y, x)
        return restored + image  # (b, outputs, y, x)
