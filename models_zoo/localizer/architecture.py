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

_LEAST_SIGMA_PX = 0.01
_LEAST_SIGMA_Z_NM = 1.0
_Z_SCALE_NM = 500.0
_MEDIAN_PHOTONS = 1000.0
_MEDIAN_BACKGROUND = 15.0
_LOGIT_LIMIT = 10.0
_RARE = -4.5  # log odds of a pixel with an emitter, before anything is learned


def _convolve(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(n_out, momentum=0.05),
        nn.ReLU(inplace=True),
    )


class Localizer(nn.Module):
    """Say for each camera pixel whether an emitter is in it, where, how bright, and how sure.

    The idea and the loss are DECODE's [1]_; the network is a U-Net of its own. The features of a
    frame are computed once, however many frames around it are looked at. No layer looks at the
    whole image, so tiles that start at a multiple of ``stride`` give the image's own values.

    Parameters
    ----------
    width : int
        Channels of the first convolutions, >= 1; the inner ones have 2 and 3 times as many.
    frames : int
        Frames looked at, odd: the middle one is localized, its neighbours are context.
    has_z : bool
        Whether the third dimension is estimated, from a point spread function that tells it.

    References
    ----------
    .. [1] Speiser et al.: Deep learning enables fast and dense single-molecule localization with
       high accuracy. Nature Methods 18, 1082 (2021), doi 10.1038/s41592-021-01236-x.
    """

    def __init__(self, width: int = 32, frames: int = 1, has_z: bool = False) -> None:
        super().__init__()
        self.width = width
        self.frames = frames
        self.has_z = has_z
        self.stride = 4
        self.features = nn.Sequential(_convolve(1, width), _convolve(width, width))
        self.context = _convolve(frames * width, width) if frames > 1 else nn.Identity()
        self.middle = nn.Sequential(_convolve(width, 2 * width), _convolve(2 * width, 2 * width))
        self.coarse = nn.Sequential(
            _convolve(2 * width, 3 * width), _convolve(3 * width, 3 * width)
        )
        self.merge_middle = nn.Sequential(
            _convolve(5 * width, 2 * width), _convolve(2 * width, 2 * width)
        )
        self.merge_fine = nn.Sequential(
            _convolve(3 * width, 2 * width), _convolve(2 * width, 2 * width)
        )
        self.head = nn.Conv2d(2 * width, 10 if has_z else 8, 1)
        self.pool = nn.MaxPool2d(2)
        self.enlarge = nn.Upsample(scale_factor=2.0, mode="nearest")
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
        fine = self.features(frames.reshape(b * n, 1, y, x))  # (b n, w, y, x)
        fine = self.context(fine.reshape(b, n * self.width, y, x))  # (b, w, y, x)
        middle = self.middle(self.pool(fine))  # (b, 2w, y/2, x/2)
        coarse = self.coarse(self.pool(middle))  # (b, 3w, y/4, x/4)
        middle = torch.cat([self.enlarge(coarse), middle], dim=1)  # (b, 5w, y/2, x/2)
        middle = self.merge_middle(middle)  # (b, 2w, y/2, x/2)
        fine = torch.cat([self.enlarge(middle), fine], dim=1)  # (b, 3w, y, x)
        raw = self.head(self.merge_fine(fine)).float()  # (b, 8 or 10, y, x)
        return self._in_units(raw)  # (b, 8 or 10, y, x)

    def _in_units(self, raw: Tensor) -> Tensor:
        probability = raw[:, 0:1].clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT).sigmoid()  # (b, 1, y, x)
        place_px = raw[:, 1:3].tanh()  # (b, 2, y, x)
        photons = _MEDIAN_PHOTONS * raw[:, 3:4].clamp(-5.0, 5.0).exp()  # (b, 1, y, x)
        background = _MEDIAN_BACKGROUND * raw[:, 4:5].clamp(-5.0, 5.0).exp()  # (b, 1, y, x)
        sigma_px = _LEAST_SIGMA_PX + nn.functional.softplus(raw[:, 5:7] - 1.0)  # (b, 2, y, x)
        relative = _LEAST_SIGMA_PX + nn.functional.softplus(raw[:, 7:8] - 1.0)  # (b, 1, y, x)
        parts = [probability, place_px, photons, background, sigma_px, relative * photons]
        if self.has_z:
            z_nm = _Z_SCALE_NM * raw[:, 8:9]  # (b, 1, y, x)
            spread = nn.functional.softplus(raw[:, 9:10] - 1.0)  # (b, 1, y, x)
            parts += [z_nm, _LEAST_SIGMA_Z_NM + _Z_SCALE_NM * spread]
        return torch.cat(parts, dim=1)  # (b, 8 or 10, y, x)
