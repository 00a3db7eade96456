"""The generator of SRGAN, for super-resolution; needs torch only, and travels in a package."""

from __future__ import annotations

from torch import Tensor, nn


def _norm(kind: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else nn.Identity()


class _Block(nn.Module):
    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            _norm(norm, width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            _norm(norm, width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)  # (b, w, y, x)


def _enlarge(width: int, scale: int) -> nn.Sequential:
    """Sub-pixel convolutions, one for each prime factor of the scale: 4 is 2 times 2."""
    layers: list[nn.Module] = []
    factor = 2
    while scale > 1:
        if scale % factor == 0:
            convolution = nn.Conv2d(width, factor**2 * width, 3, padding=1)
            layers += [convolution, nn.PixelShuffle(factor), nn.PReLU()]
            scale //= factor
        else:
            factor += 1
    return nn.Sequential(*layers)


class Srgan(nn.Module):
    r"""Restore an image so that it looks like a target.

    The generator of SRGAN [1]_. ::

        image --> head --+--> blocks --> after --+--> enlarge --> last --+--> restored
           \             \----------------------/                       /
            \-------------------- only where the scale is 1 -----------/

    The layers are those published, each PReLU with one number. What an adversary makes sharp is
    likely, not measured: compare with a regression before anything is counted in such images.
    Where input and target have the same pixels (scale 1, which the paper lacks) there is no
    enlarging, the last layer starts from zero and the image itself is added. An output pixel
    depends on ``2 blocks + 9`` input pixels to each side at scale 1.

    Parameters
    ----------
    scale : int
        Target pixels for each input pixel along an edge, >= 1; the paper's is 4.
    width, blocks : int
        Channels and residual blocks; the paper's are 64 and 16.
    norm : "batch" or "none"
        Batch norms, as published; or none, which keeps intensities, as later generators do
        (ESRGAN [2]_). With batch norms, fix their statistics before a training ends.
    channels, outputs : int
        Channels of the image and of the restored image. Where they differ, the mean over the
        channels is what is added at scale 1.

    References
    ----------
    .. [1] Ledig et al.: Photo-realistic single image super-resolution using a generative
       adversarial network. CVPR (2017), arXiv 1609.04802.
    .. [2] Wang et al.: ESRGAN. ECCV Workshops (2018), arXiv 1809.00219.
    """

    def __init__(
        self,
        scale: int = 1,
        width: int = 64,
        blocks: int = 16,
        norm: str = "batch",
        channels: int = 1,
        outputs: int = 1,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.outputs = outputs
        self.stride = 1
        self.head = nn.Sequential(nn.Conv2d(channels, width, 9, padding=4), nn.PReLU())
        self.blocks = nn.Sequential(*(_Block(width, norm) for _ in range(blocks)))
        self.after = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), _norm(norm, width))
        self.enlarge = _enlarge(width, scale)
        self.last = nn.Conv2d(width, outputs, 9, padding=4)
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
