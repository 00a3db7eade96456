"""X-Microscopy: UR-Net-8 and X-Net as one network; needs torch only, travels in the package.

Everything but the last class is that of ``ur_net_8`` and ``x_net``, word for word (a test holds
them together), because a package's architecture is one file.
"""

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


class Gate(nn.Module):
    """Let through what the level below finds worth it, pixel by pixel and channel by channel.

    The additive attention gate of Attention U-Net (Oktay et al., arXiv 1804.03999), with a map
    per channel.
    """

    def __init__(self, n_coarse: int, n_skip: int, kernel: int, norm: str) -> None:
        super().__init__()
        self.signal = nn.Conv2d(n_coarse, n_skip, 1)
        self.signal_norm = Norm(n_skip, norm)
        self.signal_mix = nn.Conv2d(n_skip, n_skip, 1)
        self.halve = nn.Conv2d(n_skip, n_skip, 2, 2)
        self.mix = nn.Conv2d(n_skip, n_skip, 1)
        half = kernel // 2
        self.enlarge = nn.ConvTranspose2d(n_skip, n_skip, kernel, 2, padding=half, output_padding=1)
        self.out = nn.Conv2d(n_skip, n_skip, 1)
        self.out_norm = Norm(n_skip, norm)

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        """Give the skip, gated; (b, c, y/2, x/2), (b, s, y, x) -> (b, s, y, x)."""
        signal = nn.functional.relu(self.signal_norm(self.signal(coarse)))  # (b, s, y/2, x/2)
        signal = self.signal_mix(signal)  # (b, s, y/2, x/2)
        # One more row and column: they are used where y or x is odd, and cut where it isn't.
        halved = self.halve(nn.functional.pad(skip, [0, 1, 0, 1]))  # (b, s, y/2, x/2)
        mixed = self.mix(nn.functional.relu(signal + halved))  # (b, s, y/2, x/2)
        gate = self.enlarge(nn.functional.relu(mixed))  # (b, s, y or y + 1, x or x + 1)
        gate = _cut(gate, skip).sigmoid()  # (b, s, y, x)
        return self.out_norm(self.out(skip * gate))  # (b, s, y, x)


class GatedUp(nn.Module):
    """One step of a decoder: enlarge twofold, join both encoders' features and the gated own."""

    def __init__(
        self,
        n_in: int,
        n_up: int,
        n_skip: int,
        n_out: int,
        kernel: int,
        norm: str,
        dropout: Dropout,
    ) -> None:
        super().__init__()
        half = kernel // 2
        self.enlarge = nn.ConvTranspose2d(n_in, n_up, kernel, 2, padding=half, output_padding=1)
        self.enlarge_norm = Norm(n_up, norm)
        self.dropout = dropout
        self.gate = Gate(n_in, n_skip, kernel, norm)
        self.join = nn.Conv2d(n_up + 3 * n_skip, n_out, 3, padding=1)
        self.join_norm = Norm(n_out, norm)

    def forward(self, coarse: Tensor, skip_a: Tensor, skip_b: Tensor, own: Tensor) -> Tensor:
        """Give what was learned of a level; (b, c, y/2, x/2), 3 x (b, s, y, x) -> (b, o, y, x)."""
        up = self.enlarge(nn.functional.relu(coarse))  # (b, u, y or y + 1, x or x + 1)
        up = _cut(up, own)  # (b, u, y, x)
        up = self.dropout(self.enlarge_norm(up))  # (b, u, y, x)
        gated = self.gate(coarse, own)  # (b, s, y, x)
        joined = torch.cat([up, skip_a, skip_b, gated], dim=1)  # (b, u + 3 s, y, x)
        joined = nn.functional.leaky_relu(joined, 0.2)  # (b, u + 3 s, y, x)
        return self.join_norm(self.join(joined))  # (b, o, y, x)


class Decoder(nn.Module):
    """The steps up of one branch, to an image of its own."""

    def __init__(self, levels: list[int], width: int, norm: str, share: float, at_inference: bool):
        super().__init__()
        self.up = nn.ModuleList()
        depth, channels = len(levels) - 1, levels[0]
        for level in range(depth - 1, -1, -1):
            drop = Dropout(share if level >= 5 or level == 2 else 0.0, at_inference)
            n_in = 2 * levels[depth] if level == depth - 1 else levels[level + 1]
            n_out = width if level == 0 else levels[level]
            n_up, kernel = levels[max(level, 1)], 5 if level < 2 else 3
            self.up.append(GatedUp(n_in, n_up, levels[level], n_out, kernel, norm, drop))
        self.last = nn.Conv2d(width, channels, 1)
        self.last_norm = Norm(channels, norm if norm == "sample" else "none")
        self.positive = nn.ReLU()

    def forward(
        self, bottom: Tensor, skips_a: list[Tensor], skips_b: list[Tensor], own: list[Tensor]
    ) -> Tensor:
        """Give the branch's image; the skips from the image down to the last but one level."""
        values = bottom  # (b, 2 d, y/2^depth, x/2^depth)
        for step, up in enumerate(self.up):
            level = len(own) - 1 - step
            learned = up(values, skips_a[level], skips_b[level], own[level])  # (b, o, y, x)
            values = learned if level == 0 else own[level] + learned  # (b, o, y, x)
        values = self.last(nn.functional.leaky_relu(values, 0.2))  # (b, channels, y, x)
        return self.positive(own[0] + self.last_norm(values))  # (b, channels, y, x)


class Fusion(nn.Module):
    """Make one image of the two branches' images, each weighed by a map."""

    def __init__(self, channels: int, width: int, norm: str) -> None:
        super().__init__()
        last = norm if norm == "sample" else "none"
        self.mask_1 = nn.Conv2d(3 * channels, channels, 1)
        self.mask_2 = nn.Conv2d(3 * channels, channels, 1)
        self.weighed_1 = nn.Conv2d(channels, channels, 1)
        self.weighed_2 = nn.Conv2d(channels, channels, 1)
        self.weighed_1_norm = Norm(channels, last)
        self.weighed_2_norm = Norm(channels, last)
        self.join = nn.Conv2d(4 * channels, width, 3, padding=1)
        self.join_norm = Norm(width, norm)
        self.last = nn.Conv2d(width, channels, 1)
        self.last_norm = Norm(channels, last)
        self.positive = nn.ReLU()

    def forward(self, xm1: Tensor, xm2: Tensor) -> Tensor:
        """Give the fused image; all (b, channels, y, x)."""
        both = nn.functional.relu(torch.cat([xm1, xm2, xm1 + xm2], dim=1))  # (b, 3 c, y, x)
        weighed_1 = self.weighed_1(self.mask_1(both).sigmoid() * xm1)  # (b, c, y, x)
        weighed_2 = self.weighed_2(self.mask_2(both).sigmoid() * xm2)  # (b, c, y, x)
        weighed_1 = self.weighed_1_norm(weighed_1)  # (b, c, y, x)
        weighed_2 = self.weighed_2_norm(weighed_2)  # (b, c, y, x)
        joined = torch.cat([xm1, weighed_1, xm2, weighed_2], dim=1)  # (b, 4 c, y, x)
        joined = self.join_norm(self.join(nn.functional.relu(joined)))  # (b, w, y, x)
        fused = self.last_norm(self.last(nn.functional.relu(joined)))  # (b, c, y, x)
        return self.positive(fused)  # (b, c, y, x)


class XNet(nn.Module):
    """Make a dense STORM image of a widefield image and its mimic of a sparse one.

    Two encoders, a bottleneck that both share, a decoder for each, and a fusion of the two
    images [1]_. With the published width it has 42,703,351 weights. Images and outputs are on the
    same grid. Sizes needn't divide: a level has ceil(y / 2) of the pixels above it.

    Parameters
    ----------
    width : int
        Channels of the first level; 32 as published, 8 trains on a CPU.
    depth : int
        Levels; 8 as published.
    norm : str
        "sample": statistics of the whole image, as published; a tile then isn't quite the whole
        image's part, and the third image is never black, not even where it is wrong. "none", or
        "pixel", which learns more slowly: tiles that start at multiples of ``stride`` and keep
        ``reach_px`` around them give the whole image's values; take ``depth`` 4 or 5 then.
    channels : int
        3 as published: three random STORM renderings of the same structure, which are averaged.
    fusion_norm : str, optional
        The same for the fusion alone; as ``norm`` if left away, as published. "sample" forces one
        mean and one spread on every third image: what is too much of it goes into few pixels of 2
        to 5, in training as in use. "none" doesn't; such a third image can be black.
    last_gamma : float
        Where the scales of the three last norms start; 0.1 is near the spread of a STORM image,
        published is 1.0. A fusion without statistics starts at 1.
    dropout : float
        Share of values dropped in the decoders below level 5 and at level 2, 0 <= share < 1.
    dropout_at_inference : bool
        Whether they are dropped in use as well, as published.

    References
    ----------
    .. [1] Xu, Kan, et al.: Deep learning enables stochastic optical reconstruction microscopy-like
       superresolution image reconstruction from conventional microscopy. iScience (2023);
       layers from kanshichao/X-Microscopy, X-Net.
    """

    def __init__(
        self,
        width: int = 32,
        depth: int = 8,
        norm: str = "sample",
        channels: int = 3,
        fusion_norm: str | None = None,
        last_gamma: float = 0.1,
        dropout: float = 0.5,
        dropout_at_inference: bool = False,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth is {depth}; expected at least 1")
        self.channels = channels
        fused_over = norm if fusion_norm is None else fusion_norm
        self.stride = 1 if norm == "sample" else 2**depth
        self.is_local = "sample" not in (norm, fused_over)
        # Without a norm over the sample: kernels of 5 in two levels, of 3 below; the fusion's.
        self.reach_px = sum((5 if level < 2 else 3) * 2**level for level in range(depth)) + 1
        levels = [channels] + [width * MULTIPLES[min(n, 7)] for n in range(depth)]
        self.down_a = nn.ModuleList()
        self.down_b = nn.ModuleList()
        for down in (self.down_a, self.down_b):
            for level in range(depth):
                kernel = 5 if level < 2 else 3
                down.append(Down(levels[level], levels[level + 1], kernel, norm, level == 0))
        self.decoder_a = Decoder(levels, width, norm, dropout, dropout_at_inference)
        self.decoder_b = Decoder(levels, width, norm, dropout, dropout_at_inference)
        self.fusion = Fusion(channels, width, fused_over)
        _start(self, norm)
        for last in (self.decoder_a, self.decoder_b, self.fusion):
            nn.init.constant_(last.last_norm.weight, last_gamma)
        if fused_over != norm:
            _start(self.fusion, fused_over)
            nn.init.constant_(self.fusion.last_norm.weight, 1.0)

    def forward(self, wf: Tensor, mu_srm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Make the dense STORM images.

        Parameters
        ----------
        wf : Tensor, (b, channels or 1, y, x), float32
            The widefield image on the STORM grid, stretched to 0 .. 1; one channel is copied.
        mu_srm : Tensor, (b, channels or 1, y, x), float32
            UR-Net-8's mimic of the sparse STORM image, 0 .. 1.

        Returns
        -------
        tuple of 3 Tensor, (b, channels, y, x), float32
            XM1 from the widefield branch, XM2 from the sparse branch, XM3 fused; all >= 0.
        """
        a = wf.expand(-1, self.channels, -1, -1)  # (b, channels, y, x)
        b = mu_srm.expand(-1, self.channels, -1, -1)  # (b, channels, y, x)
        skips_a, skips_b = [a], [b]
        for down in self.down_a:
            a = down(a)  # (b, c, y/2, x/2)
            skips_a.append(a)
        for down in self.down_b:
            b = down(b)  # (b, c, y/2, x/2)
            skips_b.append(b)
        bottom = torch.cat([a, b], dim=1)  # (b, 2 d, y/2^depth, x/2^depth)
        skips_a, skips_b = skips_a[:-1], skips_b[:-1]
        xm1 = self.decoder_a(bottom, skips_a, skips_b, skips_a)  # (b, channels, y, x)
        xm2 = self.decoder_b(bottom, skips_a, skips_b, skips_b)  # (b, channels, y, x)
        return xm1, xm2, self.fusion(xm1, xm2)  # (b, channels, y, x), 3 times


class XMicroscopy(nn.Module):
    """Make sparse and dense STORM-like images of one grey widefield image.

    UR-Net-8, then X-Net, as one network of one input [1]_, so that programs that run networks of
    one input run the whole chain. The grey image is copied to all channels, X-Net is given
    UR-Net-8's image cut to 0 .. 1 (as the original's 8-bit file between both is), and each image
    comes out as the mean of its channels. Weights trained apart go in by their names, behind
    ``ur_net_8.`` and ``x_net.``.

    Parameters
    ----------
    ur_width, x_width : int
        Channels of the first level of each; 64 and 32 as published.
    ur_depth, x_depth : int
        Levels; 8 as published.
    norm : str
        "sample" as published, "pixel" or "none"; see ``UrNet8``.
    x_fusion_norm : str, optional
        The same for X-Net's fusion alone; see ``XNet``.
    channels : int
        Of both networks inside; 3 as published.
    last_gamma : float
        Where the scales of the last norms start.
    dropout_at_inference : bool
        Whether values are dropped in use as well, as published.

    References
    ----------
    .. [1] Xu, Kan, et al.: Deep learning enables stochastic optical reconstruction microscopy-like
       superresolution image reconstruction from conventional microscopy. iScience (2023).
    """

    def __init__(
        self,
        ur_width: int = 64,
        x_width: int = 32,
        ur_depth: int = 8,
        x_depth: int = 8,
        norm: str = "sample",
        x_fusion_norm: str | None = None,
        channels: int = 3,
        last_gamma: float = 0.1,
        dropout_at_inference: bool = False,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.ur_net_8 = UrNet8(
            width=ur_width,
            depth=ur_depth,
            norm=norm,
            channels=channels,
            last_gamma=last_gamma,
            dropout_at_inference=dropout_at_inference,
        )
        self.x_net = XNet(
            width=x_width,
            depth=x_depth,
            norm=norm,
            channels=channels,
            fusion_norm=x_fusion_norm,
            last_gamma=last_gamma,
            dropout_at_inference=dropout_at_inference,
        )
        self.stride = max(self.ur_net_8.stride, self.x_net.stride)
        self.is_local = self.ur_net_8.is_local and self.x_net.is_local
        self.reach_px = self.ur_net_8.reach_px + self.x_net.reach_px  # without a norm over all

    def forward(self, wf: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Make the four images.

        Parameters
        ----------
        wf : Tensor, (b, 1, y, x), float32
            The widefield image on the STORM grid, stretched to 0 .. 1.

        Returns
        -------
        tuple of 4 Tensor, (b, 1, y, x), float32
            MU-SRM, the mimic of a sparse STORM image; XM1 from the widefield branch, XM2 from the
            sparse branch, XM3 fused.
        """
        grey = wf.expand(-1, self.channels, -1, -1)  # (b, c, y, x)
        mu_srm = self.ur_net_8(grey).clamp(0.0, 1.0)  # (b, c, y, x)
        xm1, xm2, xm3 = self.x_net(grey, mu_srm)  # (b, c, y, x), 3 times
        return (
            mu_srm.mean(dim=1, keepdim=True),  # (b, 1, y, x)
            xm1.mean(dim=1, keepdim=True),  # (b, 1, y, x)
            xm2.mean(dim=1, keepdim=True),  # (b, 1, y, x)
            xm3.mean(dim=1, keepdim=True),  # (b, 1, y, x)
        )


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
