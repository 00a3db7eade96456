"""Two microscopes look at one object: a blurred input and a sharp target, clean and with noise.

The target is the object times a Gaussian of ``target_fwhm_nm``, divided by its own bright end
(a percentile), so that 1 is bright. The input is the same object times a wider Gaussian, *on the
target's scale*, averaged over ``scale`` x ``scale`` pixels. Noise is Poisson's at an exposure
drawn for each field, and both are divided by their exposure again: no other scaling anywhere.

    input  = Poisson((x / peak + b) E_in) / E_in * peak       b: background, as a share of the peak
    target = Poisson(s E_target) / E_target
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import ndimage

from bridge.images.blur import FWHM_PER_SIGMA
from bridge.restoration.fields import Structure, draw_object

_Positive = Annotated[float, Field(gt=0)]


class PairConditions(BaseModel):
    """How simulated pairs are made; the defaults are a confocal and a STED microscope."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    edge_px: Annotated[int, Field(ge=16, le=8192)] = 256
    """Edge of a field, in pixels of the target; a multiple of ``scale``."""
    pixel_size_nm: _Positive = 40.0
    """Edge of a target pixel, in nm."""
    scale: Annotated[int, Field(ge=1, le=16)] = 1
    """Target pixels per input pixel, along each axis."""
    structures: Annotated[tuple[Structure, ...], Field(min_length=1)] = (
        "filaments",
        "actin",
        "nuclei",
        "points",
    )
    """What is in the fields, in turn."""
    input_fwhm_nm: _Positive = 280.0
    """Width of the input's PSF at half its height, in nm."""
    target_fwhm_nm: _Positive = 110.0
    """Width of the target's PSF, in nm."""
    input_photons: tuple[_Positive, _Positive] = (20.0, 200.0)
    """Photons at the input's own brightest pixel, least and most; log-uniform."""
    target_photons: tuple[_Positive, _Positive] = (30.0, 100.0)
    """Photons where the target is 1, least and most; log-uniform."""
    input_background: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (
        0.02,
        0.15,
    )
    """Even background of the input, as a share of its peak, least and most; uniform."""
    bright_percentile: Annotated[float, Field(gt=0, le=100)] = 99.8
    """Percentile of the clean target that is scaled to 1."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.edge_px % self.scale:
            raise ValueError(f"edge_px {self.edge_px} is no multiple of scale {self.scale}")
        if self.target_fwhm_nm >= self.input_fwhm_nm:
            raise ValueError(
                f"target_fwhm_nm {self.target_fwhm_nm:g} is not below input_fwhm_nm "
                f"{self.input_fwhm_nm:g}: the target would be the blurred one"
            )
        for name in ("input_photons", "target_photons", "input_background"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the least ({low:g}) is above the most ({high:g})")
        return self

    @classmethod
    def presets(cls) -> dict[str, PairConditions]:
        """Give ready conditions by name."""
        return {
            "confocal-sted": cls(),
            "widefield-confocal": cls(
                pixel_size_nm=80.0,
                scale=2,
                structures=("centrioles",),
                input_fwhm_nm=320.0,
                target_fwhm_nm=200.0,
                input_photons=(60.0, 400.0),
                target_photons=(40.0, 150.0),
                input_background=(0.05, 0.3),
                bright_percentile=99.95,
            ),
        }


class CleanPair(NamedTuple):
    """A pair without noise or background."""

    input: NDArray[np.float32]
    """Axes (y, x), on the target's scale."""
    target: NDArray[np.float32]
    """Axes (Y, X), ``scale`` times as many pixels each way; its bright end is 1."""
    structure: str
    """What is in it."""


def draw_clean_pair(
    conditions: PairConditions, structure: str, rng: np.random.Generator
) -> CleanPair:
    """Draw one field and show it to both microscopes.

    Parameters
    ----------
    conditions : PairConditions
        Sizes and PSFs.
    structure : str
        What is in the field.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    CleanPair
        Without noise and background.

    Raises
    ------
    InputError
        The structure isn't known.
    """
    margin_px = margin_of(conditions)
    drawn = draw_object(
        structure,
        edge_px=conditions.edge_px + 2 * margin_px,
        pixel_size_nm=conditions.pixel_size_nm,
        rng=rng,
    )
    return show_object(drawn, conditions, structure)


def margin_of(conditions: PairConditions) -> int:
    """Give how much larger an object is drawn on each side, in target pixels."""
    reach_px = 3 * conditions.input_fwhm_nm / FWHM_PER_SIGMA / conditions.pixel_size_nm
    return math.ceil(reach_px / conditions.scale) * conditions.scale


def show_object(
    drawn: NDArray[np.float32], conditions: PairConditions, structure: str
) -> CleanPair:
    """Blur an object as both microscopes do, and cut its margin off.

    Parameters
    ----------
    drawn : ndarray, axes (Y, X)
        The object, ``margin_of`` pixels larger on each side than the field.
    conditions : PairConditions
        Sizes and PSFs.
    structure : str
        What is in it.

    Returns
    -------
    CleanPair
        The field.
    """
    margin_px, edge_px, scale = margin_of(conditions), conditions.edge_px, conditions.scale
    spectrum = np.fft.rfft2(drawn.astype(np.float64))
    inner = slice(margin_px, margin_px + edge_px)

    def blurred(fwhm_nm: float) -> NDArray[np.float64]:
        sigma_px = fwhm_nm / FWHM_PER_SIGMA / conditions.pixel_size_nm
        passed = ndimage.fourier_gaussian(spectrum, sigma_px, n=drawn.shape[1])
        seen: NDArray[np.float64] = np.fft.irfft2(passed, s=drawn.shape)[inner, inner].clip(min=0)
        return seen

    target = blurred(conditions.target_fwhm_nm)
    bright = float(np.percentile(target, conditions.bright_percentile)) or 1.0
    shape = (edge_px // scale, scale, edge_px // scale, scale)
    seen = blurred(conditions.input_fwhm_nm).reshape(shape).mean(axis=(1, 3))
    return CleanPair(
        (seen / bright).astype(np.float32), (target / bright).astype(np.float32), structure
    )


def expose(
    inputs: torch.Tensor,
    targets: torch.Tensor,
    conditions: PairConditions,
    *,
    generator: torch.Generator,
    peaks: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Take noisy images of clean ones, each pair at an exposure of its own.

    Parameters
    ----------
    inputs : Tensor (b, 1, y, x)
        Clean inputs, >= 0.
    targets : Tensor (b, 1, Y, X)
        Clean targets, >= 0; 1 is bright.
    conditions : PairConditions
        Photons and background.
    generator : torch.Generator
        Source of randomness, on the tensors' device.
    peaks : Tensor (b,), optional
        Brightest value of each whole field, where the inputs are patches of it.

    Returns
    -------
    noisy inputs : Tensor (b, 1, y, x)
        With background, divided by their exposure.
    noisy targets : Tensor (b, 1, Y, X)
        Divided by their exposure.
    """
    n_pairs = len(inputs)

    def between(low: float, high: float) -> torch.Tensor:
        drawn = torch.rand(n_pairs, 1, 1, 1, generator=generator, device=inputs.device)  # (b,1,1,1)
        return low + (high - low) * drawn

    def log_between(low: float, high: float) -> torch.Tensor:
        return between(math.log(low), math.log(high)).exp()

    if peaks is None:
        peaks = inputs.amax(dim=(1, 2, 3))  # (b,)
    peak = peaks[:, None, None, None].clamp(min=1e-6)  # (b, 1, 1, 1)
    gain_in = log_between(*conditions.input_photons) / peak  # photons per unit, (b, 1, 1, 1)
    lit = inputs + between(*conditions.input_background) * peak  # (b, 1, y, x)
    gain_target = log_between(*conditions.target_photons)  # (b, 1, 1, 1)
    noisy_inputs = torch.poisson(lit * gain_in, generator=generator) / gain_in  # (b, 1, y, x)
    noisy_targets = torch.poisson(targets * gain_target, generator=generator) / gain_target
    return noisy_inputs, noisy_targets
