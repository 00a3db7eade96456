"""The network of the localizer packages; needs torch only, and travels inside the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn

OUTPUTS = (
    "probability",
    "x_px",
    "y_px",
    "photons",
    "background",
    "sigma_x_px",
    "sigma_y_px",
    "sigma_photons",
)
"""Channels of the output, in this order; a network with a third dimension adds z_nm, sigma_z_nm."""

_RARE = -4.5  # log odds of a pixel with an emitter, before anything is learned


def _convolve(n_in: int, n_out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(n_out, momentum=0.05),
        nn.ReLU(inplace=True),
    )


class Localizer(nn.Module):
    r"""Say for each camera pixel whether an emitter is in it, where, how bright, and how sure.

    The idea and the loss are DECODE's [1]_; the network is a U-Net of its own, most of which works
    at half the resolution, as LiteLoc's [2]_ does, for speed. The first features of a frame are
    computed once, however many frames around it are looked at. No layer looks at the whole image,
    so tiles that start at a multiple of ``stride`` give the image's own values. ::

        frames -> features ----------------------------------> fine -> head    (y, x)
                        \-> middle -----------> merge --> up --/              (y/2, x/2)
                                  \-> coarse --/                             (y/4, x/4)

    Parameters
    ----------
    width : int
        Channels at half the resolution, a multiple of 8; 3/8 of them at full resolution, 3/2 at
        a quarter.
    frames : int
        Frames looked at, odd: the middle one is localized, its neighbours are context.
    has_z : bool
        Whether the third dimension is estimated, from a point spread function that tells it.

    References
    ----------
    .. [1] Speiser et al.: Deep learning enables fast and dense single-molecule localization with
       high accuracy. Nature Methods 18, 1082 (2021), doi 10.1038/s41592-021-01236-x.
    .. [2] Fei et al.: Nature Communications (2025), doi 10.1038/s41467-025-62662-5.
    """

    def __init__(self, width: int = 64, frames: int = 1, has_z: bool = False) -> None:
        super().__init__()
        thin, wide = 3 * width // 8, 3 * width // 2
        self.thin = thin
        self.frames = frames
        self.has_z = has_z
        self.stride = 4
        # Attributes, because TorchScript knows no globals.
        self.least_sigma_px, self.least_sigma_z_nm, self.z_scale_nm = 0.01, 1.0, 500.0
        self.median_photons, self.median_background, self.logit_limit = 1000.0, 15.0, 10.0
        self.features = _convolve(1, thin)
        self.context = _convolve(frames * thin, thin) if frames > 1 else nn.Identity()
        self.middle = nn.Sequential(_convolve(thin, width, stride=2), _convolve(width, width))
        self.pool = nn.MaxPool2d(2)
        self.coarse = nn.Sequential(_convolve(width, wide), _convolve(wide, wide))
        self.enlarge = nn.Upsample(scale_factor=2.0, mode="nearest")
        self.merge = nn.Sequential(_convolve(width + wide, width), _convolve(width, width))
        self.up = nn.Sequential(nn.Conv2d(width, 2 * width, 1, bias=False), nn.PixelShuffle(2))
        self.fine = nn.Sequential(
            _convolve(thin + width // 2, width // 2), _convolve(width // 2, width // 2)
        )
        self.head = nn.Conv2d(width // 2, 10 if has_z else 8, 1)
        bias = self.head.get_parameter("bias")
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            bias.zero_()
            bias[0] = _RARE

    def forward(self, frames: Tensor) -> Tensor:
        """Localize the emitters of the middle frame.

        Parameters
        ----------
        frames : Tensor, (b, frames, y, x), float32
            Consecutive camera frames, normalised by fixed numbers; y and x are multiples of
            ``stride``.

        Returns
        -------
        Tensor, (b, 8 or 10, y, x), float32
            ``OUTPUTS``: the probability that an emitter is in the pixel, 0 to 1; its place from
            the pixel's middle, in pixels, -1 to 1; its photons; background photons in the pixel;
            standard deviations of place and photons, > 0.
        """
        b, n, y, x = frames.shape
        thin = self.features(frames.reshape(b * n, 1, y, x))  # (b n, t, y, x)
        thin = self.context(thin.reshape(b, n * self.thin, y, x))  # (b, t, y, x)
        middle = self.middle(thin)  # (b, w, y/2, x/2)
        coarse = self.coarse(self.pool(middle))  # (b, 3w/2, y/4, x/4)
        middle = self.merge(torch.cat([self.enlarge(coarse), middle], dim=1))  # (b, w, y/2, x/2)
        fine = self.fine(torch.cat([self.up(middle), thin], dim=1))  # (b, w/2, y, x)
        return self._in_units(self.head(fine).float())  # (b, 8 or 10, y, x)

    def _in_units(self, raw: Tensor) -> Tensor:
        limit = self.logit_limit
        probability = raw[:, 0:1].clamp(-limit, limit).sigmoid()  # (b, 1, y, x)
        place_px = raw[:, 1:3].tanh()  # (b, 2, y, x)
        photons = self.median_photons * raw[:, 3:4].clamp(-5.0, 5.0).exp()  # (b, 1, y, x)
        background = self.median_background * raw[:, 4:5].clamp(-5.0, 5.0).exp()  # (b, 1, y, x)
        sigma_px = self.least_sigma_px + nn.functional.softplus(raw[:, 5:7] - 1.0)  # (b, 2, y, x)
        relative = self.least_sigma_px + nn.functional.softplus(raw[:, 7:8] - 1.0)  # (b, 1, y, x)
        parts = [probability, place_px, photons, background, sigma_px, relative * photons]
        if self.has_z:
            z_nm = self.z_scale_nm * raw[:, 8:9]  # (b, 1, y, x)
            spread = nn.functional.softplus(raw[:, 9:10] - 1.0)  # (b, 1, y, x)
            parts += [z_nm, self.least_sigma_z_nm + self.z_scale_nm * spread]
        return torch.cat(parts, dim=1)  # (b, 8 or 10, y, x)
