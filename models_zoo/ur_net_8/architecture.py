"""UR-Net-8 of X-Microscopy; needs torch only, and travels inside the package."""

from __future__ import annotations

import torch
from torch import Tensor, nn

MULTIPLES = (1, 2, 4, 8, 8, 8, 8, 8)
"""Channels of the levels 1, 2, ... as multiples of the width; below the eighth it stays at 8."""


class Norm(nn.Module):
    """Bring a layer's values to a common scale, then scale and shift each channel.

    Parameters
    ----------
    channels : int
        Channels of the layer.
    over : str
        What mean and variance are taken of. "sample": of each channel of each image, as batch norm
        does that keeps to the batch of one it is given [1]_; "pixel": of the channels of each
        pixel, so that no pixel depends on one far away; "none": of nothing, scale and shift only.

    Notes
    -----
    Where "sample" finds one pixel only, as in the deepest layer of a 256 px image, its variance
    is 0 and its output is the shift: no information passes. There are no running statistics: on
    one pixel their variance decays to 0, and an image through them comes out black.

    References
    ----------
    .. [1] kanshichao/X-Microscopy, where the norms of TensorFlow 1 are called without
       ``is_training``; torch's own batch and instance norms refuse one pixel in training.
    """

    def __init__(self, channels: int, over: str = "sample") -> None:
        super().__init__()
        if over not in ("sample", "pixel", "none"):
            raise ValueError(f"norm is {over!r}; expected sample, pixel or none")
        self.over = over
        self.eps = 1e-5
        self.dims = [1] if over == "pixel" else [2, 3]
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, values: Tensor) -> Tensor:
        """Give the values on the scale that was learned; (b, c, y, x) both."""
        if self.over != "none":
            values = values - values.mean(dim=self.dims, keepdim=True)  # (b, c, y, x)
            variance = values.square().mean(dim=self.dims, keepdim=True)  # (b, c|1, y|1, x|1)
            values = values * torch.rsqrt(variance + self.eps)  # (b, c, y, x)
        return values * self.weight[:, None, None] + self.bias[:, None, None]  # (b, c, y, x)


class Dropout(nn.Module):
    """Drop values while training, and in use as well where asked to, as the original does."""

    def __init__(self, share: float, at_inference: bool) -> None:
        super().__init__()
        self.share = share
        self.at_inference = at_inference

    def forward(self, values: Tensor) -> Tensor:
        """Give the values, a share of them 0 and the others enlarged; (b, c, y, x) both."""
        is_on = self.training or self.at_inference
        return nn.functional.dropout(values, self.share, training=is_on)  # (b, c, y, x)


class Down(nn.Module):
    """One step of an encoder: halve y and x; the first takes the image as it is."""

    def __init__(self, n_in: int, n_out: int, kernel: int, norm: str, is_first: bool) -> None:
        super().__init__()
        self.before = nn.Identity() if is_first else nn.ReLU()
        self.halve = nn.Conv2d(n_in, n_out, kernel, 2, padding=kernel // 2)
        self.norm = nn.Identity() if is_first else Norm(n_out, norm)

    def forward(self, values: Tensor) -> Tensor:
        """Give the features of the level below; (b, i, y, x) -> (b, o, y/2, x/2)."""
        return self.norm(self.halve(self.before(values)))  # (b, o, y/2, x/2)


class Up(nn.Module):
    """One step of the decoder: enlarge twofold, join the encoder's features, add to them."""

    def __init__(self, n_in: int, n_up: int, n_skip: int, norm: str, dropout: Dropout) -> None:
        super().__init__()
        self.enlarge = nn.ConvTranspose2d(n_in, n_up, 5, 2, padding=2, output_padding=1)
        self.enlarge_norm = Norm(n_up, norm)
        self.dropout = dropout
        self.join = nn.Conv2d(n_up + n_skip, n_skip, 3, padding=1)
        self.join_norm = Norm(n_skip, norm)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Give the skip with what was learned added; (b, c, y/2, x/2), (b, s, y, x) -> skip."""
        up = self.enlarge(nn.functional.relu(coarse))  # (b, u, y or y + 1, x or x + 1)
        up = _cut(up, skip)  # (b, u, y, x)
        up = self.dropout(self.enlarge_norm(up))  # (b, u, y, x)
        joined = nn.functional.leaky_relu(torch.cat([up, skip], dim=1), 0.2)  # (b, u + s, y, x)
        return skip + self.join_norm(self.join(joined))  # (b, s, y, x)


class UrNet8(nn.Module):
    """Turn a widefield image into a mimic of an undersampled STORM image of the same field.

    A residual U-Net of 8 levels [1]_: strided 5 x 5 convolutions down, transposed ones up, and
    each up step adds to the encoder's features. With the published width it has 81,586,138
    weights. Image and output are on the same grid: the widefield image is enlarged to the STORM
    image's pixels first. Sizes needn't divide: a level has ceil(y / 2) of the pixels above it.

    Parameters
    ----------
    width : int
        Channels of the first level; 64 as published, 16 trains on a CPU.
    depth : int
        Levels; 8 as published.
    norm : str
        "sample": statistics of the whole image, as published; a tile then isn't quite the whole
        image's part. "none", or "pixel", which learns more slowly: tiles that start at multiples of
        ``stride`` and keep ``reach_px`` around them give the whole image's values; take ``depth``
        4 or 5 then.
    channels : int
        3 as published: the grey image thrice in, three random STORM renderings of it out, which
        are averaged. 1: one rendering.
    last_gamma : float
        Where the last norm's scale starts; 0.1 is near the spread of a sparse target. The
        published 1.0 makes the network hide the surplus in a few very bright pixels.
    dropout : float
        Share of values dropped in the decoder below level 5, 0 <= share < 1.
    dropout_at_inference : bool
        Whether they are dropped in use as well, as published.

    References
    ----------
    .. [1] Xu, Kan, et al.: Deep learning enables stochastic optical reconstruction microscopy-like
       superresolution image reconstruction from conventional microscopy. iScience (2023);
       layers from kanshichao/X-Microscopy, UR-Net-8.
    """

    def __init__(
        self,
        width: int = 64,
        depth: int = 8,
        norm: str = "sample",
        channels: int = 3,
        last_gamma: float = 0.1,
        dropout: float = 0.5,
        dropout_at_inference: bool = False,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth is {depth}; expected at least 1")
        self.channels = channels
        self.stride = 1 if norm == "sample" else 2**depth
        self.is_local = norm != "sample"
        self.reach_px = 5 * (2**depth - 1)  # without a norm over the sample
        levels = [channels] + [width * MULTIPLES[min(n, 7)] for n in range(depth)]
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        for level in range(depth):
            self.down.append(Down(levels[level], levels[level + 1], 5, norm, level == 0))
        for level in range(depth - 1, -1, -1):
            n_up = levels[max(level, 1)]
            drop = Dropout(dropout if level >= 5 else 0.0, dropout_at_inference)
            self.up.append(Up(levels[level + 1], n_up, levels[level], norm, drop))
        self.positive = nn.ReLU()
        _start(self, norm)
        # The last one scales the three output channels: over a pixel's channels it would make
        # them unlike each other, so it has no statistics there.
        last = Norm(channels, norm if norm == "sample" else "none")
        nn.init.constant_(last.weight, last_gamma)
        self.up[-1].join_norm = last

    def forward(self, image: Tensor) -> Tensor:
        """Mimic a sparse STORM image.

        Parameters
        ----------
        image : Tensor, (b, channels or 1, y, x), float32
            The widefield image on the STORM grid, stretched to 0 .. 1; one channel is copied.

        Returns
        -------
        Tensor, (b, channels, y, x), float32
            The sparse image, >= 0, about 0 .. 1.
        """
        values = image.expand(-1, self.channels, -1, -1)  # (b, channels, y, x)
        skips = [values]
        for down in self.down:
            values = down(values)  # (b, c, y/2, x/2)
            skips.append(values)
        for step, up in enumerate(self.up):
            values = up(values, skips[len(skips) - 2 - step])  # (b, s, y, x)
        return self.positive(values)  # (b, channels, y, x)


def _cut(values: Tensor, like: Tensor) -> Tensor:
    """Cut the row and the column that an enlargement has too many; (b, c, y + 1, x + 1) -> y, x."""
    if not torch.jit.is_scripting():  # noqa: SIM102 - TorchScript leaves out all this if holds
        if torch.compiler.is_exporting():
            # In an ONNX graph a slice's size is a "least of both", which gets out of hand.
            rows = torch.arange(like.shape[2], device=values.device)
            columns = torch.arange(like.shape[3], device=values.device)
            return values.index_select(2, rows).index_select(3, columns)  # (b, c, y, x)
    return values[:, :, : like.shape[2], : like.shape[3]]  # (b, c, y, x)


def _start(network: nn.Module, norm: str) -> None:
    """Draw the weights as published, N(0, 0.02), cut at two sigma in convolutions.

    Without a norm over the sample nothing would lift so small weights: they start as He's then,
    with which a short training comes nearly as far as with the norm.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            if norm == "sample":
                nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
            else:
                nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.ConvTranspose2d):
            seen = module.weight[:, 0].numel() / 4  # a stride of 2: a quarter of the kernel
            nn.init.normal_(module.weight, std=0.02 if norm == "sample" else (2 / seen) ** 0.5)
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.bias is not None:
            nn.init.zeros_(module.bias)
