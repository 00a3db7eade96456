"""Networks that tell restored images from targets while a generator learns; torch only.

They are no part of a package: after the training they are not needed.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Judge each patch of an image, given what it was restored from.

    PatchGAN [1]_ with spectral norms [2]_ in place of batch norms: each layer's largest gain is
    1, so that the judge cannot run away from the generator. With two steps a patch is 26 pixels
    wide.

    Parameters
    ----------
    channels : int
        Channels of what is judged: the candidate's, and those of the image it was made from.
    width : int
        Channels of the first layer, doubled by each step.
    steps : int
        Layers that halve the image.

    References
    ----------
    .. [1] Isola et al.: Image-to-image translation with conditional adversarial networks.
       CVPR (2017), arXiv 1611.07004.
    .. [2] Miyato et al.: Spectral normalization for generative adversarial networks.
       ICLR (2018), arXiv 1802.05957.
    """

    def __init__(self, channels: int = 2, width: int = 32, steps: int = 2) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n = channels
        for step in range(steps):
            wide = width * 2**step
            halve = nn.Conv2d(n, wide, 4, stride=2, padding=1)
            layers += [spectral_norm(halve), nn.LeakyReLU(0.2)]
            n = wide
        layers += [spectral_norm(nn.Conv2d(n, n, 3, padding=1)), nn.LeakyReLU(0.2)]
        layers += [spectral_norm(nn.Conv2d(n, 1, 3, padding=1))]
        self.layers = nn.Sequential(*layers)

    def forward(self, judged: Tensor) -> Tensor:
        """Judge patches.

        Parameters
        ----------
        judged : Tensor, (b, channels, y, x), float32
            A target or a restored image, and the image it belongs to on the same pixels.

        Returns
        -------
        Tensor, (b, 1, y / 2^steps, x / 2^steps), float32
            Above 0 where it looks like a target: no sigmoid was taken.
        """
        return self.layers(judged).float()


class SrganDiscriminator(nn.Module):
    """Judge an image of one size: the discriminator of SRGAN [1]_, as published.

    Parameters
    ----------
    channels : int
        Channels of what is judged; 3 in the paper.
    edge_px : int
        Edge of what is judged, in pixels, a multiple of 16; 96 in the paper.

    References
    ----------
    .. [1] Ledig et al.: Photo-realistic single image super-resolution using a generative
       adversarial network. CVPR (2017), arXiv 1609.04802.
    """

    def __init__(self, channels: int = 1, edge_px: int = 96) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, 64, 3, padding=1), nn.LeakyReLU(0.2)]
        n = 64
        for wide, stride in ((64, 2), (128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)):
            convolution = nn.Conv2d(n, wide, 3, stride=stride, padding=1)
            layers += [convolution, nn.BatchNorm2d(wide), nn.LeakyReLU(0.2)]
            n = wide
        self.layers = nn.Sequential(*layers)
        self.judge = nn.Sequential(
            nn.Flatten(),
            nn.Linear(512 * (edge_px // 16) ** 2, 1024),
            nn.LeakyReLU(0.2),
            nn.Linear(1024, 1),
        )

    def forward(self, judged: Tensor) -> Tensor:
        """Judge images.

        Parameters
        ----------
        judged : Tensor, (b, channels, edge_px, edge_px), float32
            Targets or restored images.

        Returns
        -------
        Tensor, (b, 1), float32
            Above 0 where it looks like a target; the sigmoid of the paper belongs to the loss.
        """
        features = self.layers(judged)  # (b, 512, edge / 16, edge / 16)
        return self.judge(features).float()  # (b, 1)
