"""The network of the deep-storm package; needs torch only, and travels inside the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _convolve(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out, momentum=0.05),
        nn.ReLU(inplace=True),
    )


class DeepStormLight(nn.Module):
    """Estimate where the emitters of camera frames are, on a grid ``upscaling`` times finer.

    It does what Deep-STORM does [1]_ (frame in, image of emitters out, no list in between), but
    works on camera pixels: the original enlarges the frame 8 times first, and then convolves 64
    times as many pixels. Here a U-Net with two poolings ends in one channel per fine pixel, and a
    pixel shuffle [2]_ lays them out. No layer looks at the whole image, so tiles that start at a
    multiple of ``stride`` = 4 camera pixels give the image's own values.

    Parameters
    ----------
    width : int
        Channels of the first convolutions, >= 1; the inner ones have 2 and 3 times as many.
    upscaling : int
        Fine pixels per camera pixel and direction, >= 1.

    References
    ----------
    .. [1] Nehme, Weiss, Michaeli, Shechtman: Deep-STORM: super-resolution single-molecule
       microscopy by deep learning. Optica 5, 458 (2018), doi 10.1364/OPTICA.5.000458.
    .. [2] Shi et al.: Real-time single image and video super-resolution using an efficient
       sub-pixel convolutional neural network. CVPR 2016, arXiv 1609.05158.
    """

    def __init__(self, width: int = 32, upscaling: int = 8) -> None:
        super().__init__()
        self.width = width
        self.upscaling = upscaling
        self.stride = 4
        self.fine = nn.Sequential(_convolve(1, width), _convolve(width, width))
        self.middle = nn.Sequential(_convolve(width, 2 * width), _convolve(2 * width, 2 * width))
        self.coarse = _convolve(2 * width, 3 * width)
        self.merge_middle = nn.Sequential(
            _convolve(5 * width, 2 * width), _convolve(2 * width, 2 * width)
        )
        self.merge_fine = nn.Sequential(
            _convolve(3 * width, 2 * width), _convolve(2 * width, 2 * width)
        )
        self.head = nn.Conv2d(2 * width, upscaling**2, 1)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.shuffle = nn.PixelShuffle(upscaling)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.get_parameter("bias"))

    def forward(self, frames: Tensor) -> Tensor:
        """Estimate the emitters of each frame on its own.

        Parameters
        ----------
        frames : Tensor, (b, 1, y, x), float32
            Camera frames, normalised by fixed numbers; y and x are multiples of ``stride``.

        Returns
        -------
        Tensor, (b, 1, y * upscaling, x * upscaling), float32
            Emitters per fine pixel, in percent: the values of one emitter add up to about 100.
            None is below 0, unless the network is in training mode.
        """
        fine = self.fine(frames)  # (b, w, y, x)
        middle = self.middle(self.pool(fine))  # (b, 2w, y/2, x/2)
        coarse = self.coarse(self.pool(middle))  # (b, 3w, y/4, x/4)
        middle = torch.cat([self.enlarge(coarse), middle], dim=1)  # (b, 5w, y/2, x/2)
        middle = self.merge_middle(middle)  # (b, 2w, y/2, x/2)
        fine = torch.cat([self.enlarge(middle), fine], dim=1)  # (b, 3w, y, x)
        fine = self.merge_fine(fine)  # (b, 2w, y, x)
        emitters = self.shuffle(self.head(fine))  # (b, 1, 8y, 8x)
        # While it learns, values below 0 keep a tenth: pixels that are cut to 0 learn nothing.
        slope = 0.1 if self.training else 0.0
        return nn.functional.leaky_relu(emitters, slope)  # (b, 1, 8y, 8x)
