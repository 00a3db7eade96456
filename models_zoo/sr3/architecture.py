"""SR3, super-resolution by diffusion or flow matching; needs torch only, travels in a package."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class _PixelNorm(nn.Module):
    """Bring each pixel's features to mean 0 and variance 1; no pixel knows of another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        last = features.permute(0, 2, 3, 1)  # (b, y, x, w), no copy where memory is channels last
        last = nn.functional.layer_norm(last, [self.width], self.weight, self.bias)
        return last.permute(0, 3, 1, 2)  # (b, w, y, x)


def _norm(kind: str, width: int, groups: int) -> nn.Module:
    if kind == "pixel":
        return _PixelNorm(width)
    return nn.GroupNorm(groups, width) if kind == "group" else nn.Identity()


class _Attention(nn.Module):
    """Let each pixel look at every other one of the image."""

    def __init__(self, width: int, norm: str, groups: int) -> None:
        super().__init__()
        self.norm = _norm(norm, width, groups)
        self.ask = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.answer = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        b, w, y, x = features.shape
        asked = self.ask(self.norm(features)).flatten(2).transpose(1, 2)  # (b, y x, 3 w)
        query, key, value = asked[:, None].chunk(3, dim=3)  # 3 times (b, 1, y x, w), for ONNX
        found = nn.functional.scaled_dot_product_attention(query, key, value)  # (b, 1, y x, w)
        return features + self.answer(found.transpose(2, 3).reshape(b, w, y, x))  # (b, w, y, x)


class _Block(nn.Module):
    """Norm, Swish and convolution twice; the noise level is added between them."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        told: int,
        norm: str,
        groups: int,
        dropout: float,
        attention: bool = False,
        takes_skip: bool = False,
        is_kept: bool = False,
    ) -> None:
        super().__init__()
        self.takes_skip, self.is_kept = takes_skip, is_kept
        self.first_norm = _norm(norm, n_in, groups)
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.level = nn.Linear(told, n_out)
        self.second_norm = _norm(norm, n_out, groups)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.past = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()
        self.attention = _Attention(n_out, norm, groups) if attention else nn.Identity()

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        silu = nn.functional.silu
        added = self.first(silu(self.first_norm(features)))  # (b, w, y, x)
        added = added + self.level(told)[:, :, None, None]  # (b, w, y, x)
        added = self.second(self.dropout(silu(self.second_norm(added))))  # (b, w, y, x)
        return self.attention(added + self.past(features))  # (b, w, y, x)


class _Resize(nn.Module):
    """Halve by a convolution of stride 2, or double by repeating pixels."""

    def __init__(
        self, width: int, *, is_smaller: bool, is_kept: bool = False, has_convolution: bool = True
    ) -> None:
        super().__init__()
        self.takes_skip, self.is_kept = False, is_kept
        stride = 2 if is_smaller else 1
        convolution = nn.Conv2d(width, width, 3, stride=stride, padding=1)
        self.repeat = nn.Identity() if is_smaller else nn.Upsample(scale_factor=2.0, mode="nearest")
        self.convolve = convolution if has_convolution else nn.Identity()

    def forward(self, features: Tensor, told: Tensor) -> Tensor:
        return self.convolve(self.repeat(features))  # (b, w, y/2, x/2) or (b, w, 2 y, 2 x)


def _frequencies(count: int) -> Tensor:
    return torch.exp(-math.log(1e4) * torch.arange(count) / count)  # (count,)


def _build(
    width: int,
    multipliers: list[int],
    blocks: int,
    *,
    is_published: bool,
    has_attention: bool,
    attention_levels: list[int],
    shared: dict[str, Any],
) -> tuple[nn.ModuleList, nn.ModuleList, nn.ModuleList]:
    """Make the way down, the middle and the way up of the U-Net."""
    down, up = nn.ModuleList(), nn.ModuleList()
    last = len(multipliers) - 1
    n = width
    kept = [width] if is_published else []
    for level, multiplier in enumerate(multipliers):
        keeps = is_published or level < last
        looks = level in attention_levels
        for _ in range(blocks):
            wide = width * multiplier
            down.append(_Block(n, wide, attention=looks, is_kept=keeps, **shared))
            n = wide
            kept += [n] * keeps
        if level < last:
            down.append(_Resize(n, is_smaller=True, is_kept=is_published))
            kept += [n] * is_published
    middle = nn.ModuleList([_Block(n, n, attention=has_attention, **shared)])
    if is_published:
        middle.append(_Block(n, n, **shared))
    for level in reversed(range(last + 1)):
        more = blocks + 1 if is_published else blocks * (level < last)
        looks = level in attention_levels
        for _ in range(more):
            wide = width * multipliers[level]
            up.append(_Block(n + kept.pop(), wide, attention=looks, takes_skip=True, **shared))
            n = wide
        if level > 0:
            up.append(_Resize(n, is_smaller=False, has_convolution=is_published))
    return down, middle, up


class Sr3(nn.Module):
    r"""Draw samples of the image that may belong to a blurred, noisy one.

    SR3 [1]_, and flow matching [2]_ on the same U-Net. The sampler is inside: it starts from the
    ``noise`` it is given and walks to an image in ``steps`` steps, each of which asks the network
    once, and no more chance comes in (DDIM [3]_; for flow matching the same formula is Euler's
    rule). Inside, values are ``2 y - 1``. ::

        image, 2 y - 1 --+                         the network, e.g. with multipliers (1, 2, 4)
                         +--> head -> block ------------------------> block -> last
        noisy -----------+              \-> block ---------> block -/
        noise level --> every block         \-> block -> middle -/

    **Tiles.** With ``norm="pixel"`` or ``"none"`` and no attention, an output pixel depends on
    its surroundings alone. Tiles cut from one image *and one noise field*, whose corners are at
    multiples of ``stride``, then give the image's own values but for what little is seen beyond
    their rims. Group norms and attention look at the whole tile: seams stay, whatever the overlap.

    Parameters
    ----------
    scale : int
        Target pixels for each input pixel along an edge; the image is first enlarged linearly.
    width : int
        Channels at full resolution.
    multipliers : sequence of int
        Channels of each level in multiples of ``width``; each level has half the pixels of the
        one before.
    blocks : int
        Residual blocks of each level on the way down.
    norm : "pixel", "group" or "none"
        Each pixel by its own channels; groups of channels over the whole tile (published); none.
    groups : int
        Groups of the group norm, a divisor of ``width``; 32 as published.
    attention : bool
        Whether the middle has attention (published).
    attention_levels : sequence of int
        Levels with attention after each block, 0 the finest; published: the one of 16 pixels.
    layout : "slim" or "published"
        Published: on the way up one more block a level than on the way down, each with what was
        kept on the way down, and two in the middle. Slim: as many as on the way down, one in the
        middle, none beside it, no convolution after doubling: 0.4 of the weights.
    dropout : float
        Published: 0.2.
    residual : bool
        Whether the network adds to the best linear guess (from the image, the noisy image and
        the noise level) instead of telling everything itself. Not published; it has no weights.
    target : "x0", "v", "eps" or "flow"
        What the network tells: the image, the mixture of [4]_, the noise (published), the flow
        from image to noise. After short trainings "eps" has wrong grey levels.
    steps : int
        Steps of the sampler, evenly over time.
    samples : int
        Samples drawn of each image, as many as ``noise`` has channels.
    limits : (float, float)
        "x0" and "eps" are kept in this range of image values while sampling. Wide, as bright
        spots are above 1 and noise is below 0; it is needed since at the first step "eps" is
        divided by 0.0066, and one prediction far off would lead all others astray. "v" and
        "flow" are never divided, so that nothing is cut.

    References
    ----------
    .. [1] Saharia et al.: Image super-resolution via iterative refinement. IEEE TPAMI 45, 4713
       (2023), arXiv 2104.07636.
    .. [2] Lipman et al.: Flow matching for generative modeling. ICLR (2023), arXiv 2210.02747.
    .. [3] Song et al.: Denoising diffusion implicit models. ICLR (2021), arXiv 2010.02502.
    .. [4] Salimans, Ho: Progressive distillation. ICLR (2022), arXiv 2202.00512.
    """

    def __init__(
        self,
        scale: int = 1,
        width: int = 24,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 1,
        norm: str = "pixel",
        groups: int = 8,
        attention: bool = False,
        attention_levels: Sequence[int] = (),
        layout: str = "slim",
        dropout: float = 0.0,
        residual: bool = True,
        target: str = "x0",
        steps: int = 10,
        samples: int = 4,
        channels: int = 1,
        outputs: int = 1,
        limits: Sequence[float] = (-0.1, 1.3),
    ) -> None:
        super().__init__()
        self.scale, self.target, self.steps, self.samples = scale, target, steps, samples
        self.channels, self.outputs, self.residual = channels, outputs, residual
        halvings = 2 ** (len(multipliers) - 1)
        self.stride = halvings // math.gcd(halvings, scale)
        self.is_local = norm != "group" and not attention and not attention_levels
        self.least, self.most = 2.0 * limits[0] - 1.0, 2.0 * limits[1] - 1.0
        self.beta_start, self.beta_end = 2000 * 1e-6, 2000 * 1e-2  # 2000 steps, one unit of time
        self.level_scale = 100.0
        self.difference = 0.2
        times = torch.linspace(1, 0, steps + 1, dtype=torch.float64, device="cpu")
        signals, noises = self.noise_levels(times)
        # Without annotations, which TorchScript refuses here.
        self.signals, self.noises = signals.tolist(), noises.tolist()
        is_published = layout == "published"
        told = width if is_published else 4 * width
        self.register_buffer("frequencies", _frequencies(width // 2), persistent=False)
        self.tell = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, told)
        )
        self.head = nn.Conv2d(channels + outputs, width, 3, padding=1)
        self.keeps_head = is_published
        self.down, self.middle, self.up = _build(
            width,
            list(multipliers),
            blocks,
            is_published=is_published,
            has_attention=attention,
            attention_levels=list(attention_levels),
            shared={"told": told, "norm": norm, "groups": groups, "dropout": dropout},
        )
        n = width * multipliers[0]
        self.last_norm = _norm(norm, n, groups)
        self.last = nn.Conv2d(n, outputs, 3, padding=1)
        if residual:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.get_parameter("bias"))
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw samples, and give their mean and spread.

        Parameters
        ----------
        image : Tensor, (b, channels, y, x), float32
            Values about 0 to 1, scaled by a fixed number; y and x are multiples of ``stride``.
        noise : Tensor, (b, samples outputs, scale y, scale x), float32
            Normal noise of mean 0 and variance 1, independent in each pixel. Equal noise gives
            equal samples.

        Returns
        -------
        restored : Tensor, (b, outputs, scale y, scale x), float32
            Mean of the samples.
        spread : Tensor, (b, outputs, scale y, scale x), float32
            Standard deviation of the samples; 0 where there is one only.
        """
        drawn = self.draw(image, noise)  # (b, samples, outputs, Y, X)
        restored = drawn.mean(dim=1)  # (b, outputs, Y, X)
        apart = (drawn - restored[:, None]).square().sum(dim=1)  # (b, outputs, Y, X)
        return restored, (apart / max(self.samples - 1, 1)).sqrt()  # (b, outputs, Y, X)

    def draw(self, image: Tensor, noise: Tensor) -> Tensor:
        """Draw samples; ``forward`` says of what.

        Returns
        -------
        Tensor, (b, samples, outputs, scale y, scale x), float32
            The samples, as image values.
        """
        b, _, y, x = noise.shape
        image = self._enlarge(image)[:, None]  # (b, 1, channels, Y, X)
        image = image.expand(b, self.samples, self.channels, y, x).flatten(0, 1)  # (b s, ...)
        noisy = noise.reshape(b * self.samples, self.outputs, y, x)  # (b s, outputs, Y, X)
        for step in range(self.steps):
            signal, sigma = self.signals[step], self.noises[step]
            level = torch.full_like(noisy[:, 0, 0, 0], signal)  # (b s,)
            clean, chance = self._split(self._ask(image, noisy, level), noisy, signal, sigma)
            noisy = self.signals[step + 1] * clean + self.noises[step + 1] * chance
        return (0.5 * noisy + 0.5).reshape(b, self.samples, self.outputs, y, x)

    def predict(self, image: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """Say what the network was asked for, ``target``, at one noise level.

        Parameters
        ----------
        image : Tensor, (b, channels, y, x), float32
            As for ``forward``.
        noisy : Tensor, (b, outputs, scale y, scale x), float32
            A mixture of the target's ``2 y - 1`` and noise, as ``training_pair`` makes it.
        level : Tensor, (b,), float32
            Share of the signal in the mixture, 0 <= level <= 1: the first of ``noise_levels``.

        Returns
        -------
        Tensor, (b, outputs, scale y, scale x), float32
            To be compared with the second of ``training_pair``.
        """
        return self._ask(self._enlarge(image), noisy, level)

    @torch.jit.export
    def training_pair(self, target: Tensor, noise: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a target with noise, and say what the network is to answer.

        Parameters
        ----------
        target : Tensor, (b, outputs, Y, X), float32
            Values about 0 to 1.
        noise : Tensor, (b, outputs, Y, X), float32
            Normal noise of mean 0 and variance 1.
        time : Tensor, (b,), float32
            0 (no noise) to 1 (noise only); draw it evenly.

        Returns
        -------
        noisy, wanted : Tensor, (b, outputs, Y, X), float32
            What is handed to ``predict``, with the first of ``noise_levels(time)``, and what it
            should give.
        """
        signal, sigma = self.noise_levels(time)
        signal, sigma = signal[:, None, None, None], sigma[:, None, None, None]  # (b, 1, 1, 1)
        clean = 2.0 * target - 1.0  # (b, outputs, Y, X)
        return signal * clean + sigma * noise, self._target(clean, noise, signal, sigma)

    @torch.jit.export
    def noise_levels(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Give the shares of signal and noise at a time between 0 (an image) and 1 (noise).

        For "flow" they are ``1 - time`` and ``time``. Otherwise their squares add up to 1, and
        the variance that comes in grows linearly with time: SR3's 1e-6 to 1e-2 in 2000 steps,
        taken as continuous (within 2 % of the steps' product).
        """
        if self.target == "flow":
            return 1.0 - time, time
        lost = time * (self.beta_start + 0.5 * (self.beta_end - self.beta_start) * time)
        return torch.exp(-0.5 * lost), torch.sqrt(-torch.expm1(-lost))

    def _enlarge(self, image: Tensor) -> Tensor:
        image = 2.0 * image - 1.0  # (b, channels, y, x)
        if self.scale == 1:
            return image
        return nn.functional.interpolate(
            image, scale_factor=float(self.scale), mode="bilinear", align_corners=False
        )  # (b, channels, Y, X)

    def _ask(self, image: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        angle = self.level_scale * level[:, None] * self.frequencies[None]  # (b, w/2)
        told = self.tell(torch.cat([angle.sin(), angle.cos()], dim=1))  # (b, told)
        features = self.head(torch.cat([image, noisy], dim=1))  # (b, w, Y, X)
        kept = [features] if self.keeps_head else []
        for layer in self.down:
            features = layer(features, told)  # (b, w m, Y/2^level, X/2^level)
            if layer.is_kept:
                kept.append(features)
        for layer in self.middle:
            features = layer(features, told)  # (b, w m, Y/2^last, X/2^last)
        for layer in self.up:
            if layer.takes_skip:
                features = torch.cat([features, kept.pop()], dim=1)
            features = layer(features, told)  # (b, w m, Y/2^level, X/2^level)
        features = nn.functional.silu(self.last_norm(features))  # (b, w, Y, X)
        told_apart = self.last(features).float()  # (b, outputs, Y, X)
        return told_apart + self._guess(image, noisy, level) if self.residual else told_apart

    def _guess(self, image: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """Answer by the best linear guess, the target being the image give or take 0.2."""
        signal = level[:, None, None, None]  # (b, 1, 1, 1)
        if self.target == "flow":
            sigma = 1.0 - signal
        else:
            sigma = (1.0 - signal * signal).clamp(min=0.0).sqrt()
        if self.channels != self.outputs:
            image = image.mean(dim=1, keepdim=True)  # (b, 1, Y, X)
        variance = self.difference**2
        off = (noisy - signal * image) / (signal * signal * variance + sigma * sigma)
        clean = image + signal * variance * off  # (b, outputs, Y, X)
        return self._target(clean, sigma * off, signal, sigma)

    def _target(self, clean: Tensor, noise: Tensor, signal: Tensor, sigma: Tensor) -> Tensor:
        if self.target == "x0":
            return clean
        if self.target == "eps":
            return noise
        if self.target == "v":
            return signal * noise - sigma * clean
        return noise - clean

    def _split(
        self, said: Tensor, noisy: Tensor, signal: float, sigma: float
    ) -> tuple[Tensor, Tensor]:
        """Take the noisy image apart into the clean one and the noise, by what the network said."""
        if self.target == "v":
            return signal * noisy - sigma * said, sigma * noisy + signal * said
        if self.target == "flow":
            return noisy - sigma * said, noisy + signal * said
        clean = said if self.target == "x0" else (noisy - sigma * said) / signal
        clean = clean.clamp(self.least, self.most)  # (b, outputs, Y, X)
        return clean, (noisy - signal * clean) / sigma
