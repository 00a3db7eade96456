"""A residual U-Net for centrioles; needs torch only, and travels in a package."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Block(nn.Module):
    """Two convolutions and what went in; no normalisation, so that dim spots stay dim."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.past = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        added = self.second(torch.relu(self.first(features)))  # (b, n_out, y, x)
        return torch.relu(self.past(features) + added)  # (b, n_out, y, x)


class CentrioleUnet(nn.Module):
    r"""Restore small bright structures from a coarser, blurred image.

    The idea is PSSR's [1]_: learn from good images that were made worse. Its network has 34
    layers, trained on photographs before; two spots a cell need less. This is a plain U-Net that
    sees the raw image, halves it ``depth`` times, doubles it by pixel shuffle, and adds what it
    found to the image enlarged linearly. The last layer starts from zero: training starts from
    that enlarged image. ::

        image --> head -> block ---------------------> block --> shuffle --> last --+--> restored
           \                \-> block ------> block -/                             /
            \                     \-> block -/                                    /
             \---------------------- enlarged linearly --------------------------/

    No layer looks at the whole image, so tiles that start at a multiple of ``stride`` give the
    image's own values.

    Parameters
    ----------
    scale : int
        Target pixels for each input pixel along an edge, >= 1.
    width : int
        Channels at the input's resolution; doubled where the image is halved.
    depth : int
        How often the image is halved.
    channels, outputs : int
        Channels of the image and of the restored image. Where they differ, the mean over the
        channels is what is added.

    References
    ----------
    .. [1] Fang et al.: Deep learning-based point-scanning super-resolution imaging. Nature
       Methods 18, 406 (2021), doi 10.1038/s41592-021-01080-z.
    """

    def __init__(
        self, scale: int = 2, width: int = 32, depth: int = 3, channels: int = 1, outputs: int = 1
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.outputs = outputs
        self.stride = 2**depth
        widths = [width * 2**level for level in range(depth + 1)]
        self.head = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList([_Block(n, n) for n in widths[:-1]])
        self.coarser = nn.ModuleList(
            [nn.Conv2d(n, 2 * n, 3, stride=2, padding=1) for n in widths[:-1]]
        )
        self.middle = _Block(widths[-1], widths[-1])
        self.finer = nn.ModuleList(
            [
                nn.Sequential(nn.Conv2d(2 * n, 4 * n, 1), nn.PixelShuffle(2))
                for n in reversed(widths[:-1])
            ]
        )
        self.up = nn.ModuleList([_Block(2 * n, n) for n in reversed(widths[:-1])])
        self.enlarge = nn.Sequential(
            nn.Conv2d(width, scale**2 * width, 3, padding=1), nn.PixelShuffle(scale), nn.ReLU()
        )
        self.last = nn.Conv2d(width, outputs, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.get_parameter("bias"))

    def forward(self, image: Tensor) -> Tensor:
        """Restore an image.

        Parameters
        ----------
        image : Tensor, (b, channels, y, x), float32
            Values about 0 to 1, scaled by a fixed number; y and x are multiples of ``stride``.

        Returns
        -------
        Tensor, (b, outputs, scale y, scale x), float32
            The restored image, on the scale of the targets it was trained with.
        """
        features = self.head(image)  # (b, w, y, x)
        kept: list[Tensor] = []
        for block, coarser in zip(self.down, self.coarser):  # noqa: B905
            features = block(features)  # (b, w 2^level, y/2^level, x/2^level)
            kept.append(features)
            features = coarser(features)  # (b, w 2^(level+1), ...)
        features = self.middle(features)  # (b, w 2^depth, y/2^depth, x/2^depth)
        for finer, block in zip(self.finer, self.up):  # noqa: B905
            features = torch.cat([finer(features), kept.pop()], dim=1)  # (b, 2 w 2^level, ...)
            features = block(features)  # (b, w 2^level, y/2^level, x/2^level)
        found = self.last(self.enlarge(features)).float()  # (b, outputs, s y, s x)
        if self.channels != self.outputs:
            image = image.mean(dim=1, keepdim=True)  # (b, 1, y, x)
        if self.scale > 1:
            image = nn.functional.interpolate(
                image, scale_factor=float(self.scale), mode="bilinear", align_corners=False
            )  # (b, outputs, s y, s x)
        return image + found  # (b, outputs, s y, s x)
