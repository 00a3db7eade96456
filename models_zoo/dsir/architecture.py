"""DSIR's autoencoder; needs torch only, and travels inside the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DsirAutoencoder(nn.Module):
    """Estimate where the emitters of camera frames are, on a grid ``upscaling`` times finer.

    The convolutional autoencoder of DSIR [1]_ with its first step, a bilinear enlargement, inside.

    The original uses one batch norm in two places and another one in four. Their running means mix
    those layers: in evaluation mode every pixel of the published weights comes out 0. With
    ``published=True`` the layers, their names and the input (each frame to mean 0 and standard
    deviation 1) are the original's, and each sample is normalised by its own statistics, which is
    what the original does in effect; such a network can't be tiled exactly. Otherwise every layer
    has a norm of its own, and the output depends on nothing far away.

    Parameters
    ----------
    upscaling : int
        Fine pixels per camera pixel and direction; a multiple of 8, for three poolings.
    published : bool
        Whether the published weights are to be loaded.

    References
    ----------
    .. [1] leaxp/Deep-Learning-Super-Resolution-Image-Reconstruction-DSIR on GitHub:
       conv_autoencoder.py, data_load.py, load_model.py.
    """

    def __init__(self, upscaling: int = 8, published: bool = False) -> None:
        super().__init__()
        self.upscaling = upscaling
        self.published = published
        self.stride = 1
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 8, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)
        self.convt1 = nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.convt2 = nn.ConvTranspose2d(8, 16, 2, stride=2)
        self.convt3 = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.conv4 = nn.Conv2d(8, 1, 3, padding=1)
        self.bn4 = nn.BatchNorm2d(1)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.Upsample(
            scale_factor=float(upscaling), mode="bilinear", align_corners=False
        )
        # The published network uses bn2, bn2, bn1 and bn2 again in these four places.
        self.bn3 = nn.Identity() if published else nn.BatchNorm2d(8)
        self.bnt1 = nn.Identity() if published else nn.BatchNorm2d(8)
        self.bnt2 = nn.Identity() if published else nn.BatchNorm2d(16)
        self.bnt3 = nn.Identity() if published else nn.BatchNorm2d(8)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)
                if module.bias is not None:
                    nn.init.normal_(module.bias)

    def forward(self, frames: Tensor) -> Tensor:
        """Estimate the emitters of each frame on its own.

        Parameters
        ----------
        frames : Tensor, (b, 1, y, x), float32
            Camera frames, normalised by fixed numbers; any scale with the published weights.

        Returns
        -------
        Tensor, (b, 1, y * upscaling, x * upscaling), float32
            Emitters per fine pixel, >= 0.
        """
        x = self.enlarge(frames)  # (b, 1, Y, X)
        if self.published:
            return self._forward_published(x)  # (b, 1, Y, X)
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))  # (b, 16, Y/2, X/2)
        x = self.pool(torch.relu(self.bn2(self.conv2(x))))  # (b, 8, Y/4, X/4)
        x = self.pool(torch.relu(self.bn3(self.conv3(x))))  # (b, 8, Y/8, X/8)
        x = torch.relu(self.bnt1(self.convt1(x)))  # (b, 8, Y/4, X/4)
        x = torch.relu(self.bnt2(self.convt2(x)))  # (b, 16, Y/2, X/2)
        x = torch.relu(self.bnt3(self.convt3(x)))  # (b, 8, Y, X)
        x = self.bn4(self.conv4(x))  # (b, 1, Y, X)
        # While it learns, values below 0 keep a tenth: an output that is all 0 learns nothing.
        return nn.functional.leaky_relu(x, 0.1 if self.training else 0.0)  # (b, 1, Y, X)

    def _forward_published(self, x: Tensor) -> Tensor:
        """Run the published layers on enlarged frames (b, 1, Y, X)."""
        mean = x.mean(dim=(1, 2, 3), keepdim=True)  # (b, 1, 1, 1)
        std = x.std(dim=(1, 2, 3), keepdim=True, unbiased=False)  # (b, 1, 1, 1)
        x = (x - mean) / (std + 1e-6)  # (b, 1, Y, X)
        one = (self.bn1.weight, self.bn1.bias)
        two = (self.bn2.weight, self.bn2.bias)
        x = self.pool(_norm_relu(self.conv1(x), one[0], one[1]))  # (b, 16, Y/2, X/2)
        x = self.pool(_norm_relu(self.conv2(x), two[0], two[1]))  # (b, 8, Y/4, X/4)
        x = self.pool(_norm_relu(self.conv3(x), two[0], two[1]))  # (b, 8, Y/8, X/8)
        x = _norm_relu(self.convt1(x), two[0], two[1])  # (b, 8, Y/4, X/4)
        x = _norm_relu(self.convt2(x), one[0], one[1])  # (b, 16, Y/2, X/2)
        x = _norm_relu(self.convt3(x), two[0], two[1])  # (b, 8, Y, X)
        return _norm_relu(self.conv4(x), self.bn4.weight, self.bn4.bias)  # (b, 1, Y, X)


def _norm_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Normalise each sample by its own statistics, as a batch norm does in a batch of one."""
    return torch.relu(nn.functional.instance_norm(x, weight=weight, bias=bias))  # (b, c, y, x)
