"""DFCAN, super-resolution with Fourier channel attention; needs torch only, for packages too."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class _Attention(nn.Module):
    """Weigh each channel by what its power spectrum looks like."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.exponent = 0.8
        self.published_edge_px = 128.0
        few = max(width // 16, 4)  # of fewer, one dead channel would end all attention
        self.look = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())
        self.weigh = nn.Sequential(
            nn.Conv2d(width, few, 1),
            nn.ReLU(),
            nn.Conv2d(few, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        waves = torch.view_as_real(torch.fft.fft2(features.float(), norm="ortho"))  # (b,w,y,x,2)
        power = self.published_edge_px**2 * waves.square().sum(dim=-1)  # (b, w, y, x)
        spectrum = (power + 1e-8) ** (self.exponent / 2)  # (b, w, y, x)
        y, x = spectrum.shape[2], spectrum.shape[3]
        spectrum = torch.cat([spectrum[:, :, (y + 1) // 2 :], spectrum[:, :, : (y + 1) // 2]], 2)
        spectrum = torch.cat([spectrum[..., (x + 1) // 2 :], spectrum[..., : (x + 1) // 2]], 3)
        seen = self.look(spectrum).mean(dim=[2, 3], keepdim=True)  # (b, w, 1, 1)
        return features * self.weigh(seen)  # (b, w, y, x)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GELU(),
            _Attention(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)  # (b, w, y, x)


class _Group(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_Block(width) for _ in range(blocks)))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.blocks(features)  # (b, w, y, x)


class Dfcan(nn.Module):
    r"""Restore an image by regression, channels weighed by their spectra.

    DFCAN [1]_. ::

        image --> head --> groups of blocks --> enlarge --> last --+--> restored
           \                                                      /
            \------------- only where the scale is 1 ------------/

    The layers are those published. Three things differ. The published network ends in a sigmoid,
    which ends at 1: it was fed images stretched between their least and greatest value; here no
    sigmoid is taken unless ``has_sigmoid`` asks for it. Spectra are scaled to those of 128 x 128
    pixels, the published size, instead of being resampled to it: any size may be used. And where
    input and target have the same pixels (scale 1) the last layer starts from zero and the image
    itself is added.

    **Tiles.** A spectrum is that of the whole tile, so that every pixel depends on all others:
    tiles are never exactly the whole image's values, whatever their overlap. Use tiles of the
    size trained with.

    Parameters
    ----------
    scale : int
        Target pixels for each input pixel along an edge, >= 1; the paper's are 2 and 3.
    width, groups, blocks : int
        Channels, groups and blocks of each group; the paper's are 64, 4 and 4.
    has_sigmoid : bool
        Whether the output is kept between 0 and 1 as published; not at scale 1.
    channels, outputs : int
        Channels of the image and of the restored image. Where they differ, the mean over the
        channels is what is added at scale 1.

    References
    ----------
    .. [1] Qiao et al.: Evaluation and development of deep neural networks for image
       super-resolution in optical microscopy. Nature Methods 18, 194 (2021),
       doi 10.1038/s41592-020-01048-5.
    """

    def __init__(
        self,
        scale: int = 1,
        width: int = 64,
        groups: int = 4,
        blocks: int = 4,
        has_sigmoid: bool = False,
        channels: int = 1,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.has_sigmoid = has_sigmoid and scale > 1
        self.channels = channels
        self.outputs = outputs
        self.stride = 1
        self.is_local = False
        self.head = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.GELU())
        self.groups = nn.Sequential(*(_Group(width, blocks) for _ in range(groups)))
        self.enlarge = nn.Sequential(
            nn.Conv2d(width, scale**2 * width, 3, padding=1), nn.GELU(), nn.PixelShuffle(scale)
        )
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
        features = self.groups(self.head(image))  # (b, w, y, x)
        restored = self.last(self.enlarge(features)).float()  # (b, outputs, s y, s x)
        if self.has_sigmoid:
            return restored.sigmoid()
        if self.scale > 1:
            return restored
        if self.channels != self.outputs:
            image = image.mean(dim=1, keepdim=True)  # (b, 1, y, x)
        return restored + image  # (b, outputs, y, x)
