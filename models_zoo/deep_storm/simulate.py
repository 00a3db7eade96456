"""Simulated camera patches with known emitters, made afresh for every training step.

It knows only what the deep-storm network is trained on: one frame at a time, a Gaussian point
spread function integrated over square pixels, and a camera of ``OFFSET_ADU`` counts offset, one
count per photoelectron, shot noise and read noise. Movies whose emitters blink are in ``movie``.

Coordinates are in camera pixels from the outer corner of the top left pixel: the centre of that
pixel is at (0.5, 0.5), and an emitter belongs to the fine pixel ``floor(upscaling * coordinate)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

PIXEL_SIZE_NM = 100.0
UPSCALING = 8
OFFSET_ADU = 100.0
MARGIN_PX = 4.0
"""Emitters this far outside a patch still shine into it; they are drawn, and not labelled."""

Range = tuple[float, float]


@dataclass(frozen=True)
class Conditions:
    """What the patches are drawn from; each range is (lowest, highest).

    Parameters
    ----------
    density_per_um2 : (float, float)
        Emitters per square micrometre and frame, averaged over a patch.
    photons : (float, float)
        Mean photoelectrons of a patch's emitters in a frame; each one varies around it by 35 %.
    background : (float, float)
        Photoelectrons per pixel, averaged over a patch; within it they vary smoothly by half.
    sigma_nm : (float, float)
        Standard deviation of the point spread function, the same in a whole patch.
    read_noise : (float, float)
        Standard deviation of the camera's read noise, in photoelectrons.
    empty, lines : float
        Share of patches without emitters, and with emitters on curved lines; the others have them
        anywhere.
    """

    density_per_um2: Range = (0.0, 9.0)
    photons: Range = (400.0, 5000.0)
    background: Range = (2.0, 80.0)
    sigma_nm: Range = (100.0, 160.0)
    read_noise: Range = (0.5, 2.5)
    empty: float = 0.1
    lines: float = 0.5


class Emitters(NamedTuple):
    """Emitters of a batch of patches; a row is filled up with emitters of 0 photons.

    All three are tensors (b, n): ``x_px`` and ``y_px`` in camera pixels from the corner, and
    ``photons`` in photoelectrons.
    """

    x_px: Tensor
    y_px: Tensor
    photons: Tensor


class Patches(NamedTuple):
    """A training batch: ``frames`` (b, 1, y, x) in camera counts, ``emitters`` (b, 1, Y, X)."""

    frames: Tensor
    emitters: Tensor


def expose_mean(emitters: Emitters, sigma_px: Tensor, *, shape: tuple[int, int]) -> Tensor:
    """Compute the photoelectrons that each pixel gets from the emitters on average.

    The Gaussian is integrated over the pixel (Smith et al., Nature Methods 7, 373 (2010)).

    Parameters
    ----------
    emitters : Emitters
        Where they are, and how bright.
    sigma_px : Tensor, (b,)
        Standard deviation of the point spread function, in pixels.
    shape : (int, int)
        Size of the patches (y, x), in pixels.

    Returns
    -------
    Tensor, (b, y, x), float32
        Expected photoelectrons.
    """
    width = math.sqrt(2) * sigma_px[:, None, None]  # (b, 1, 1)

    def share(centre_px: Tensor, size: int) -> Tensor:
        edges = torch.arange(size + 1, device=centre_px.device)  # (size + 1,)
        steps = torch.erf((edges - centre_px[:, :, None]) / width)  # (b, n, size + 1)
        return steps.diff(dim=2) / 2  # (b, n, size)

    rows = share(emitters.y_px, shape[0]) * emitters.photons[:, :, None]  # (b, n, y)
    return torch.bmm(rows.transpose(1, 2), share(emitters.x_px, shape[1]))  # (b, y, x)


def read_out(mean: Tensor, read_noise: Tensor, *, generator: torch.Generator) -> Tensor:
    """Turn expected photoelectrons into whole camera counts, with shot and read noise.

    Parameters
    ----------
    mean : Tensor, (b, y, x), float32
        Expected photoelectrons, background included, >= 0.
    read_noise : Tensor, (b,)
        Standard deviation of the read noise, in photoelectrons.
    generator : torch.Generator
        Source of the noise.

    Returns
    -------
    Tensor, (b, y, x), float32
        Counts 0 to 65535, without fractions.
    """
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)  # (b, y, x)
    signal = torch.poisson(mean, generator=generator) + noise * read_noise[:, None, None]
    return (signal + OFFSET_ADU).round().clamp(0, 65535)


def count_emitters(emitters: Emitters, *, shape: tuple[int, int]) -> Tensor:
    """Count emitters per fine pixel; two in one pixel are 2, and those outside are left out.

    Parameters
    ----------
    emitters : Emitters
        Those with photons are counted.
    shape : (int, int)
        Size of the patches (y, x), in camera pixels.

    Returns
    -------
    Tensor, (b, 1, y * UPSCALING, x * UPSCALING), float32
        Emitters per fine pixel.
    """
    height, width = shape[0] * UPSCALING, shape[1] * UPSCALING
    row = (emitters.y_px * UPSCALING).floor().long()  # (b, n)
    column = (emitters.x_px * UPSCALING).floor().long()  # (b, n)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    inside &= emitters.photons > 0  # (b, n)
    patch = torch.arange(len(row), device=row.device)[:, None].expand_as(row)  # (b, n)
    place = ((patch * height + row) * width + column)[inside]
    counts = torch.bincount(place, minlength=len(row) * height * width)
    return counts.float().view(len(row), 1, height, width)  # (b, 1, Y, X)


def simulate_patches(
    n_patches: int,
    *,
    size_px: int,
    generator: torch.Generator,
    conditions: Conditions | None = None,
) -> Patches:
    """Simulate square camera patches and count their emitters.

    Parameters
    ----------
    n_patches : int
        How many, >= 1.
    size_px : int
        Edge of a patch in camera pixels, >= 4.
    generator : torch.Generator
        Source of all randomness; patches are made on its device.
    conditions : Conditions, optional
        Ranges to draw from; by default those of the shipped network.

    Returns
    -------
    Patches
        Camera counts, and emitters per fine pixel.
    """
    ranges = conditions or Conditions()
    device = generator.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator, device=device)

    def log_uniform(limits: Range, *shape: int) -> Tensor:
        return uniform(math.log(limits[0]), math.log(limits[1]), *shape).exp()

    drawn_um2 = ((size_px + 2 * MARGIN_PX) * PIXEL_SIZE_NM / 1000) ** 2
    low, high = ranges.density_per_um2
    # The power draws sparse patches more often: there the network can learn to be sharp.
    density = low + (high - low) * uniform(0, 1, n_patches) ** 1.5  # (b,)
    kind = uniform(0, 1, n_patches)  # (b,)
    density[kind < ranges.empty] = 0
    on_lines = (kind >= ranges.empty) & (kind < ranges.empty + ranges.lines)  # (b,)
    number = torch.poisson(density * drawn_um2, generator=generator)  # (b,)
    n = max(int(number.max()), 1)

    x_px, y_px = uniform(-MARGIN_PX, size_px + MARGIN_PX, 2, n_patches, n)  # (b, n) each
    line_x_px, line_y_px = _place_on_lines(n_patches, n, size_px=size_px, generator=generator)
    x_px = torch.where(on_lines[:, None], line_x_px, x_px)  # (b, n)
    y_px = torch.where(on_lines[:, None], line_y_px, y_px)  # (b, n)

    spread = torch.randn((n_patches, n), generator=generator, device=device)  # (b, n)
    photons = log_uniform(ranges.photons, n_patches, 1) * (0.35 * spread).exp()  # (b, n)
    is_drawn = torch.arange(n, device=device) < number[:, None]  # (b, n)
    for centre_px in (x_px, y_px):
        is_drawn &= (centre_px > -MARGIN_PX) & (centre_px < size_px + MARGIN_PX)
    emitters = Emitters(x_px, y_px, photons * is_drawn)

    coarse = uniform(0.5, 1.5, n_patches, 1, 3, 3)  # (b, 1, 3, 3)
    field = torch.nn.functional.interpolate(
        coarse, size=(size_px, size_px), mode="bilinear", align_corners=True
    )[:, 0]  # (b, y, x)
    background = log_uniform(ranges.background, n_patches, 1, 1) * field  # (b, y, x)
    sigma_px = uniform(*ranges.sigma_nm, n_patches) / PIXEL_SIZE_NM  # (b,)
    shape = (size_px, size_px)
    mean = background + expose_mean(emitters, sigma_px, shape=shape)  # (b, y, x)
    frames = read_out(mean, uniform(*ranges.read_noise, n_patches), generator=generator)
    return Patches(frames[:, None], count_emitters(emitters, shape=shape))


def _place_on_lines(
    n_patches: int, n: int, *, size_px: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Place emitters on one to five parabolas per patch, about 10 nm beside them."""
    device = generator.device
    most = 5

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    n_lines = 1 + (most * draw(n_patches, 1)).floor()  # (b, 1)
    line = (n_lines * draw(n_patches, n)).floor().long()  # (b, n)
    middle_x, middle_y = size_px * draw(2, n_patches, most)  # (b, 5) each
    angle = (2 * math.pi * draw(n_patches, most)).gather(1, line)  # (b, n)
    bend = ((draw(n_patches, most) - 0.5) / 15).gather(1, line)  # (b, n), 1 / pixel
    along = (draw(n_patches, n) - 0.5) * 1.5 * size_px  # (b, n), pixels
    beside = torch.randn((n_patches, n), generator=generator, device=device)  # (b, n)
    beside = bend * along**2 + beside * 10 / PIXEL_SIZE_NM  # (b, n), pixels
    x_px = middle_x.gather(1, line) + along * angle.cos() - beside * angle.sin()
    y_px = middle_y.gather(1, line) + along * angle.sin() + beside * angle.cos()
    return x_px, y_px
