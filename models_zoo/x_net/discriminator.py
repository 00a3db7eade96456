"""The discriminator that X-Net is trained against; no part of the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models_zoo.x_net.architecture import Norm

KERNEL = 3


class XDiscriminator(nn.Module):
    """Tell a real dense STORM image from X-Net's, of images of any size.

    Convolutions, then the maxima of the parts of a pyramid [1]_ of grids, so that every image
    gives as many features; layers from kanshichao/X-Microscopy, X-Net, where one judges all three
    images. With the published width it has 412,801 weights.

    Parameters
    ----------
    channels : int
        Of both inputs and the judged image together; 9 as published.
    width : int
        Channels of the first convolution; 32 as published.
    bins : tuple of int
        Edges of the pyramid's grids, in parts; a feature map is at least as large as the largest,
        y and x >= 8 * max(bins), or parts share pixels.

    References
    ----------
    .. [1] He et al.: Spatial pyramid pooling in deep convolutional networks for visual
       recognition. ECCV 2014, arXiv 1406.4729.
    """

    def __init__(
        self, channels: int = 9, width: int = 32, bins: tuple[int, ...] = (1, 2, 4, 8)
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, KERNEL, 2, KERNEL // 2), nn.ReLU()]
        for factor, stride in ((1, 2), (2, 2), (4, 1)):
            n_in, n_out = factor * width, 2 * factor * width
            layers.append(nn.Conv2d(n_in, n_out, KERNEL, stride, KERNEL // 2))
            layers += [Norm(n_out), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.bins = list(bins)
        self.judge = nn.Linear(8 * width * sum(n * n for n in bins), 1)

    def forward(self, condition: Tensor, judged: Tensor) -> Tensor:
        """Judge images, each beside what it was made of.

        Parameters
        ----------
        condition : Tensor, (b, c, y, x), float32
            What the network was given, widefield and sparse image as channels.
        judged : Tensor, (b, c, y, x), float32
            A real target or the network's output.

        Returns
        -------
        Tensor, (b, 1), float32
            Log odds that the judged image is real.
        """
        features = self.features(torch.cat([condition, judged], dim=1))  # (b, 8 w, y/8, x/8)
        maxima = [nn.functional.adaptive_max_pool2d(features, n).flatten(1) for n in self.bins]
        return self.judge(torch.cat(maxima, dim=1))  # (b, 1)
