"""Deep-STORM's network in its original layout; needs torch only, and travels inside the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvNormRelu(nn.Module):
    """A 3x3 convolution without bias, batch norm and ReLU.

    Parameters
    ----------
    n_in, n_out : int
        Channels, >= 1.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        # Keras' defaults, which the original uses: eps 1e-3, and a momentum of 0.99 kept.
        self.norm = nn.BatchNorm2d(n_out, eps=1e-3, momentum=0.01)
        nn.init.orthogonal_(self.conv.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three to a tensor (b, c, y, x)."""
        return nn.functional.relu(self.norm(self.conv(x)))  # (b, n_out, y, x)


class DeepStorm(nn.Module):
    """Estimate where the emitters of camera frames are, on a grid ``upscaling`` times finer.

    The network of Deep-STORM [1]_, weight for weight (1 366 208 of them; the layers bear the
    original's names), with its first step inside: every camera pixel becomes ``upscaling`` x
    ``upscaling`` equal ones. An encoder and a decoder without skip connections follow. No layer
    looks at the whole image.

    Parameters
    ----------
    upscaling : int
        Fine pixels per camera pixel and direction; a multiple of 8, for three poolings.

    References
    ----------
    .. [1] Nehme, Weiss, Michaeli, Shechtman: Deep-STORM: super-resolution single-molecule
       microscopy by deep learning. Optica 5, 458 (2018), doi 10.1364/OPTICA.5.000458; layers as in
       EliasNehme/Deep-STORM, CNN_Model.py.
    """

    def __init__(self, upscaling: int = 8) -> None:
        super().__init__()
        self.upscaling = upscaling
        self.stride = 1
        self.F1 = ConvNormRelu(1, 32)
        self.F2 = ConvNormRelu(32, 64)
        self.F3 = ConvNormRelu(64, 128)
        self.F4 = ConvNormRelu(128, 512)
        self.F5 = ConvNormRelu(512, 128)
        self.F6 = ConvNormRelu(128, 64)
        self.F7 = ConvNormRelu(64, 32)
        self.Prediction = nn.Conv2d(32, 1, 1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.enlarge_frame = nn.Upsample(scale_factor=float(upscaling), mode="nearest")
        nn.init.orthogonal_(self.Prediction.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """Estimate the emitters of each frame on its own.

        Parameters
        ----------
        frames : Tensor, (b, 1, y, x), float32
            Camera frames, normalised by fixed numbers.

        Returns
        -------
        Tensor, (b, 1, y * upscaling, x * upscaling), float32
            Emitters per fine pixel, in percent. In training mode values below 0 are kept, as in
            the original's loss; in use they are 0, as in its tests.
        """
        x = self.F1(self.enlarge_frame(frames))  # (b, 32, Y, X)
        x = self.F2(self.pool(x))  # (b, 64, Y/2, X/2)
        x = self.F3(self.pool(x))  # (b, 128, Y/4, X/4)
        x = self.F4(self.pool(x))  # (b, 512, Y/8, X/8)
        x = self.F5(self.enlarge(x))  # (b, 128, Y/4, X/4)
        x = self.F6(self.enlarge(x))  # (b, 64, Y/2, X/2)
        x = self.F7(self.enlarge(x))  # (b, 32, Y, X)
        emitters = self.Prediction(x)  # (b, 1, Y, X)
        return emitters if self.training else torch.relu(emitters)  # (b, 1, Y, X)
