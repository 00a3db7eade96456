"""Training patches with known emitters, made afresh for every step on any device.

::

    +-----------------------+
    |  margin: emitters     |   Emitters outside a patch still shine into it. They are drawn, and
    |  +-----------------+  |   not labelled: a network that learns from patches must know them.
    |  |      patch      |  |
    |  +-----------------+  |   x, y in camera pixels from the patch's outer top left corner
    +-----------------------+

Every patch draws its own conditions, so that one network serves a range of movies. Movies, whose
conditions stay the same, are in :mod:`bridge.smlm.simulate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from bridge.smlm.camera import Camera, Ccd
from bridge.smlm.psf import IntegratedGaussian, Psf, Range

_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]

_MOST_LINES = 5


class PatchConditions(BaseModel):
    """What training patches are drawn from; each range is (lowest, highest).

    The defaults are those of the shipped deep-storm package.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    size_px: Annotated[int, Field(ge=4, le=1024)] = 26
    """Edge of a patch, in camera pixels."""
    camera: Camera = Ccd(read_noise_e=1.5)
    """The camera; its pixel size is that of the patches."""
    psf: Psf = IntegratedGaussian(sigma_nm=(100.0, 160.0))
    """Point spread function."""
    density_per_um2: tuple[_NotNegative, _NotNegative] = (0.0, 9.0)
    """Emitters per square micrometre and frame, averaged over a patch."""
    density_power: Annotated[float, Field(ge=1, le=4)] = 1.5
    """Above 1, sparse patches are drawn more often: there a network can learn to be sharp."""
    photons: tuple[_Positive, _Positive] = (400.0, 5000.0)
    """Photons of an emitter in a frame."""
    photons_spread: Annotated[float, Field(ge=0, le=2)] = 0.35
    """Relative spread (log-normal) of the emitters around their patch's median photons."""
    background_photons: tuple[_Positive, _Positive] = (2.0, 80.0)
    """Photons per pixel that come from elsewhere, averaged over a patch; log-uniform."""
    background_variation: _Share = 0.5
    """Within a patch the background varies smoothly by up to this part of its mean."""
    read_noise_e: tuple[_NotNegative, _NotNegative] | None = None
    """Read noise drawn for each patch, in electrons; none leaves the camera's own."""
    drawn_per: Literal["patch", "emitter"] = "patch"
    """patch: width and mean photons belong to a patch, photons log-uniform; emitter: each emitter
    draws both uniformly from the ranges, as in ThunderSTORM's generator."""
    empty_share: _Share = 0.1
    """Share of patches without emitters."""
    lines_share: _Share = 0.5
    """Share of patches whose emitters lie on curved lines; those of the others lie anywhere."""
    lines_width_nm: _NotNegative = 10.0
    """Standard deviation of the distance from a line's middle, in nm."""
    margin_px: Annotated[float, Field(ge=0, le=64)] = 4.0
    """Width of the margin around a patch in which emitters are drawn and not labelled."""
    frames: Annotated[int, Field(ge=1, le=9)] = 1
    """Consecutive frames of a patch; the middle one is labelled. Odd."""
    on_frames: tuple[_Positive, _Positive] = (1.0, 4.0)
    """Mean time that emitters shine, in frames (exponential), where there are several frames."""
    least_lit: _Share = 0.2
    """Emitters that shine for less of the middle frame are drawn and not labelled."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.frames % 2 == 0:
            raise ValueError("frames is an odd number: the middle one is labelled")
        for name in (
            "density_per_um2",
            "photons",
            "background_photons",
            "on_frames",
            "read_noise_e",
        ):
            limits = getattr(self, name)
            if limits is not None and limits[0] > limits[1]:
                raise ValueError(f"{name}: the first number is the lower one")
        if self.empty_share + self.lines_share > 1:
            raise ValueError("empty_share and lines_share are more than 1 together")
        return self

    @classmethod
    def presets(cls) -> Mapping[str, PatchConditions]:
        """Give ready-made conditions by name.

        Returns
        -------
        mapping of str to PatchConditions
            ``deep-storm``: what the shipped package is trained on. ``dsir``: the settings that
            DSIR's authors published for ThunderSTORM's generator. ``localizer``: what the shipped
            localizer-2d is trained on.
        """
        dsir = cls(
            camera=Ccd(electrons_per_adu=3.6, read_noise_e=0.0),
            psf=IntegratedGaussian.from_fwhm(200.0, 300.0),
            density_per_um2=(2.0, 2.0),
            photons=(80.0, 2050.0),
            background_photons=(20.0, 20.0),
            background_variation=0.0,
            drawn_per="emitter",
            empty_share=0.0,
            lines_share=0.0,
            margin_px=0.0,
        )
        localizer = cls(
            size_px=40,
            psf=IntegratedGaussian(sigma_nm=(105.0, 155.0)),
            density_per_um2=(0.0, 7.0),
            photons=(200.0, 6000.0),
            background_photons=(2.0, 100.0),
            empty_share=0.05,
            lines_share=0.0,
            read_noise_e=(0.5, 2.5),
        )
        return MappingProxyType(
            {"deep-storm": cls(read_noise_e=(0.5, 2.5)), "dsir": dsir, "localizer": localizer}
        )


class Emitters(NamedTuple):
    """Emitters of a batch of patches; a row is filled up with emitters of 0 photons.

    All are tensors (b, n) on one device, float32 but for ``is_labelled``.
    """

    x_px: Tensor
    """Column, in camera pixels from the patch's outer corner."""
    y_px: Tensor
    """Row, in camera pixels from the patch's outer corner."""
    z_nm: Tensor
    """Height above the focal plane; 0 for flat point spread functions."""
    photons: Tensor
    """Expected photons in the middle frame."""
    is_labelled: Tensor
    """bool: shines (photons > 0) and lies inside the patch."""
    sigma_nm: Tensor
    """Width of the spot; 0 where the point spread function has its own."""
    photons_by_frame: Tensor
    """(b, t, n) expected photons in each frame of the patch."""


class Patches(NamedTuple):
    """A training batch."""

    frames: Tensor
    """(b, t, y, x) camera counts of consecutive frames, float32, without fractions."""
    emitters: Emitters
    """What is in the middle one."""
    background: Tensor
    """(b, 1, y, x) expected photons per pixel from elsewhere."""


def simulate_patches(
    conditions: PatchConditions, n_patches: int, *, generator: torch.Generator
) -> Patches:
    """Simulate square camera patches and say where their emitters are.

    Parameters
    ----------
    conditions : PatchConditions
        What to draw from.
    n_patches : int
        How many, >= 1.
    generator : torch.Generator
        Source of all randomness; the patches are made on its device. The same state gives the same
        patches on the same kind of device.

    Returns
    -------
    Patches
        Camera counts and emitters.

    Raises
    ------
    ImageError
        A map of the camera's chip cannot be read or is smaller than a patch.
    """
    size_px, camera = conditions.size_px, conditions.camera
    emitters = draw_emitters(conditions, n_patches, generator=generator)
    level = (n_patches, 1, 1, 1)
    draw = _Draw(generator)
    background = draw.log_uniform(conditions.background_photons, *level)  # (b, 1, 1, 1)
    shape = (n_patches, size_px, size_px)
    field = smooth_field(shape, conditions.background_variation, generator=generator)
    background = background * field[:, None]  # (b, 1, y, x)
    read_noise_e = None
    if conditions.read_noise_e is not None:
        read_noise_e = draw.uniform(conditions.read_noise_e, n_patches)  # (b,)
    corner_px = None
    chip = camera.map_shape()
    if chip is not None:
        free = torch.tensor([max(edge - size_px, 0) for edge in chip], device=generator.device)
        corner_px = (draw.uniform((0, 1), n_patches, 2) * (free + 1)).floor()  # (b, 2)
    frames = []
    for photons in emitters.photons_by_frame.unbind(1):  # (b, n) each
        mean = conditions.psf.render(
            emitters.x_px,
            emitters.y_px,
            emitters.z_nm,
            photons,
            emitters.sigma_nm,
            pixel_size_nm=camera.pixel_size_nm,
            shape=(size_px, size_px),
        )  # (b, y, x)
        counts = camera.expose(
            mean + background[:, 0],
            generator=generator,
            read_noise_e=read_noise_e,
            corner_px=corner_px,
        )  # (b, y, x)
        frames.append(counts)
    return Patches(torch.stack(frames, dim=1), emitters, background)


def draw_emitters(
    conditions: PatchConditions, n_patches: int, *, generator: torch.Generator
) -> Emitters:
    """Draw the emitters of patches, those in the margin among them.

    Parameters
    ----------
    conditions : PatchConditions
        What to draw from.
    n_patches : int
        How many patches, >= 1.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Emitters
        On the generator's device.
    """
    draw = _Draw(generator)
    size_px, margin_px = conditions.size_px, conditions.margin_px
    drawn_um2 = ((size_px + 2 * margin_px) * conditions.camera.pixel_size_nm / 1000) ** 2
    low, high = conditions.density_per_um2
    density = low + (high - low) * draw.uniform((0, 1), n_patches) ** conditions.density_power
    kind = draw.uniform((0, 1), n_patches)  # (b,)
    is_empty = kind < conditions.empty_share  # (b,)
    is_lines = ~is_empty & (kind < conditions.empty_share + conditions.lines_share)  # (b,)
    expected = density * drawn_um2 * ~is_empty  # (b,)
    on_frames = torch.ones_like(expected)  # (b,)
    if conditions.frames > 1:
        on_frames = draw.log_uniform(conditions.on_frames, n_patches)  # (b,)
        # ``density`` is that of a frame, and more emitters touch several.
        expected = expected * (on_frames + conditions.frames) / (on_frames + 1)  # (b,)
    number = torch.poisson(expected, generator=generator)  # (b,)
    n = max(int(number.max()), 1)

    limits = (-margin_px, size_px + margin_px)
    x_px, y_px = draw.uniform(limits, 2, n_patches, n)  # (b, n) each
    if conditions.lines_share > 0:
        line_x_px, line_y_px = _place_on_lines(conditions, n_patches, n, draw=draw)
        x_px = torch.where(is_lines[:, None], line_x_px, x_px)  # (b, n)
        y_px = torch.where(is_lines[:, None], line_y_px, y_px)  # (b, n)
    z_nm = draw.uniform(conditions.psf.z_range_nm(), n_patches, n)  # (b, n)
    if conditions.drawn_per == "emitter":
        photons = draw.uniform(conditions.photons, n_patches, n)  # (b, n)
        sigma_nm = conditions.psf.draw_sigma_nm(n_patches, n, generator=generator)  # (b, n)
    else:
        mean = draw.log_uniform(conditions.photons, n_patches, 1)  # (b, 1)
        photons = mean * draw.relative_log_normal(conditions.photons_spread, n_patches, n)
        sigma_nm = conditions.psf.draw_sigma_nm(n_patches, 1, generator=generator).expand(-1, n)
    is_inside, is_drawn = [
        (x_px >= -edge) & (x_px < size_px + edge) & (y_px >= -edge) & (y_px < size_px + edge)
        for edge in (0.0, margin_px)
    ]  # (b, n) each
    is_drawn &= torch.arange(n, device=generator.device) < number[:, None]  # (b, n)
    lit = _draw_lit(conditions, on_frames, n, draw=draw)  # (b, t, n)
    middle = lit[:, conditions.frames // 2]  # (b, n)
    is_labelled = is_inside & is_drawn & (middle >= conditions.least_lit)  # (b, n)
    by_frame = lit * (photons * is_drawn)[:, None]  # (b, t, n)
    return Emitters(
        x_px, y_px, z_nm, by_frame[:, conditions.frames // 2], is_labelled, sigma_nm, by_frame
    )


def smooth_field(
    shape: tuple[int, int, int], variation: float, *, generator: torch.Generator
) -> Tensor:
    """Draw smooth fields around 1: random corners and middles, with straight lines between.

    Parameters
    ----------
    shape : (int, int, int)
        Number and size of the fields (b, y, x).
    variation : float
        Values are within ``1 - variation`` and ``1 + variation``; 0 <= x <= 1.
    generator : torch.Generator
        Source of randomness.

    Returns
    -------
    Tensor, (b, y, x)
        The fields.
    """
    if variation == 0:
        return torch.ones(shape, device=generator.device)  # exactly, which no interpolation is
    coarse = _Draw(generator).uniform((1 - variation, 1 + variation), shape[0], 1, 3, 3)
    return torch.nn.functional.interpolate(
        coarse, size=shape[1:], mode="bilinear", align_corners=True
    )[:, 0]  # (b, y, x)


class _Draw:
    """Random tensors from one generator, on its device."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def uniform(self, limits: Range, *shape: int) -> Tensor:
        share = torch.rand(shape, generator=self._generator, device=self._generator.device)
        return limits[0] + (limits[1] - limits[0]) * share

    def log_uniform(self, limits: Range, *shape: int) -> Tensor:
        return self.uniform((math.log(limits[0]), math.log(limits[1])), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, device=self._generator.device)

    def relative_log_normal(self, spread: float, *shape: int) -> Tensor:
        """Draw factors whose logarithm has the standard deviation ``spread`` around 0."""
        return (spread * self.normal(*shape)).exp()


def _draw_lit(conditions: PatchConditions, on_frames: Tensor, n: int, *, draw: _Draw) -> Tensor:
    """Draw which part of each frame emitters shine for; gives (b, t, n), 0 to 1.

    All of them touch one of the frames at least. With exponential on-times of mean ``m``, ``m`` of
    ``m + t`` shine already when the first frame begins, and for the mean time from there.
    """
    n_frames = conditions.frames
    if n_frames == 1:
        return torch.ones(len(on_frames), 1, n, device=on_frames.device)
    mean = on_frames[:, None]  # (b, 1)
    shape = (len(on_frames), n)
    is_on_before = draw.uniform((0, 1), *shape) < mean / (mean + n_frames)  # (b, n)
    start = draw.uniform((0, n_frames), *shape) * ~is_on_before  # (b, n)
    end = start - mean * (1 - draw.uniform((0, 1), *shape)).log()  # (b, n)
    frame = torch.arange(n_frames, device=on_frames.device)[:, None]  # (t, 1)
    until = torch.minimum(end[:, None], frame + 1.0)  # (b, t, n)
    return (until - torch.maximum(start[:, None], frame)).clamp(min=0)  # (b, t, n)


def _place_on_lines(
    conditions: PatchConditions, n_patches: int, n: int, *, draw: _Draw
) -> tuple[Tensor, Tensor]:
    """Place emitters on one to five parabolas per patch; gives x and y in pixels, (b, n) each."""
    size_px = conditions.size_px
    width_px = conditions.lines_width_nm / conditions.camera.pixel_size_nm
    unit = (0.0, 1.0)
    n_lines = 1 + (_MOST_LINES * draw.uniform(unit, n_patches, 1)).floor()  # (b, 1)
    line = (n_lines * draw.uniform(unit, n_patches, n)).floor().long()  # (b, n)
    middle_x, middle_y = size_px * draw.uniform(unit, 2, n_patches, _MOST_LINES)  # (b, 5) each
    angle = (2 * math.pi * draw.uniform(unit, n_patches, _MOST_LINES)).gather(1, line)  # (b, n)
    bend = draw.uniform((-1 / 30, 1 / 30), n_patches, _MOST_LINES).gather(1, line)  # 1 / pixel
    along = draw.uniform((-0.75 * size_px, 0.75 * size_px), n_patches, n)  # (b, n), pixels
    beside = bend * along**2 + width_px * draw.normal(n_patches, n)  # (b, n), pixels
    x_px = middle_x.gather(1, line) + along * angle.cos() - beside * angle.sin()
    y_px = middle_y.gather(1, line) + along * angle.sin() + beside * angle.cos()
    return x_px, y_px
