"""Point spread functions: where an emitter's photons land, pixel by pixel.

::

    (0, 0) +---+---+---+        x is the column, y the row downwards, both in pixels from the outer
           |   |   |   |        corner of the top left pixel: its centre is at (0.5, 0.5)
           +---+---+---+
           |   | * |   |        (x, y) = (1.5, 1.5); every pixel gets the integral over its area
           +---+---+---+

Gaussians whose width is drawn, Gaussians whose width follows z (astigmatism), stacks measured on
beads, and stacks that the library ``psfmodels`` computes; one method, :meth:`PsfBase.render`.
Light that falls outside the picture is lost, as in a microscope.
"""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from bridge.images.blur import FWHM_PER_SIGMA
from bridge.images.read import open_image
from bridge.smlm.psf_gaussian import render_gaussians
from bridge.smlm.psf_stack import SpotStack, compute_stack, measure_stack, render_stack

Range = tuple[float, float]
"""Lowest and highest value."""

_PositiveNm = Annotated[float, Field(gt=0, le=10_000)]
_HeightNm = Annotated[float, Field(ge=-20_000, le=20_000)]


class PsfBase(BaseModel):
    """What all point spread functions can do."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @abstractmethod
    def render(
        self,
        x_px: Tensor,
        y_px: Tensor,
        z_nm: Tensor,
        photons: Tensor,
        sigma_nm: Tensor,
        *,
        pixel_size_nm: float,
        shape: tuple[int, int],
    ) -> Tensor:
        """Compute the photons that each pixel gets on average.

        Parameters
        ----------
        x_px, y_px : Tensor, (b, n), float32
            Where the emitters are, in pixels from the outer corner; may lie outside.
        z_nm : Tensor, (b, n)
            How far above the focal plane; a flat point spread function doesn't look at it.
        photons : Tensor, (b, n)
            Photons that they send; 0 fills up rows.
        sigma_nm : Tensor, (b, n)
            Widths from ``draw_sigma_nm``; only :class:`IntegratedGaussian` looks at them.
        pixel_size_nm : float
            Edge of a camera pixel in the sample, in nm, > 0.
        shape : (int, int)
            Size of the pictures (y, x), in pixels.

        Returns
        -------
        Tensor, (b, y, x), float32
            Expected photons.
        """

    def z_range_nm(self) -> Range:
        """Give the heights that emitters may have; (0, 0) for a flat point spread function."""
        return 0.0, 0.0

    def draw_sigma_nm(self, n_rows: int, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw the width of spots, where it is free.

        Parameters
        ----------
        n_rows, n : int
            How many.
        generator : torch.Generator
            Source of randomness; the result is on its device.

        Returns
        -------
        Tensor, (n_rows, n)
            Standard deviations in nm; 0 where the point spread function has its own.
        """
        return torch.zeros(n_rows, n, device=generator.device)

    def widths_nm(self, z_nm: Tensor, sigma_nm: Tensor) -> tuple[Tensor, Tensor] | None:
        """Give the standard deviations of spots along x and y, in nm; None where it is no Gaussian.

        Parameters
        ----------
        z_nm, sigma_nm : Tensor, (b, n)
            As for ``render``.

        Returns
        -------
        (Tensor, Tensor) or None, each (b, n)
            For truth tables and labels.
        """
        return None


class IntegratedGaussian(PsfBase):
    """A Gaussian integrated over the pixels, its width drawn from a range; ThunderSTORM's first."""

    kind: Literal["integrated-gaussian"] = "integrated-gaussian"
    """Kind of the point spread function."""
    sigma_nm: tuple[_PositiveNm, _PositiveNm] = (130.0, 130.0)
    """Least and greatest standard deviation, in nm; uniform between."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.sigma_nm[0] > self.sigma_nm[1]:
            raise ValueError("sigma_nm: the first number is the lower one")
        return self

    @classmethod
    def from_fwhm(cls, low_nm: float, high_nm: float) -> Self:
        """Make one from the full width at half maximum, in nm, as ThunderSTORM asks for it."""
        return cls(sigma_nm=(low_nm / FWHM_PER_SIGMA, high_nm / FWHM_PER_SIGMA))

    def draw_sigma_nm(self, n_rows: int, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw standard deviations uniformly from the range, in nm."""
        low, high = self.sigma_nm
        share = torch.rand(n_rows, n, generator=generator, device=generator.device)
        return low + (high - low) * share  # (n_rows, n)

    def widths_nm(self, z_nm: Tensor, sigma_nm: Tensor) -> tuple[Tensor, Tensor]:
        """Give the drawn width along both axes."""
        return sigma_nm, sigma_nm

    def render(
        self,
        x_px: Tensor,
        y_px: Tensor,
        z_nm: Tensor,
        photons: Tensor,
        sigma_nm: Tensor,
        *,
        pixel_size_nm: float,
        shape: tuple[int, int],
    ) -> Tensor:
        """Compute the photons that each pixel gets on average."""
        sigma_px = sigma_nm / pixel_size_nm  # (b, n)
        return render_gaussians(x_px, y_px, photons, sigma_px, sigma_px, shape=shape)


class Defocus(BaseModel):
    """How wide a spot is along one axis at each height: DAOSTORM's curve, also ThunderSTORM's.

    ``sigma(z) = sigma_nm * sqrt(1 + u^2 + a u^3 + b u^4)`` with ``u = (z - focus_nm) / depth_nm``.
    In ThunderSTORM's calibration files ``sigma_nm`` is half of ``w0``, in camera pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    sigma_nm: _PositiveNm = 130.0
    """Standard deviation in focus, in nm."""
    focus_nm: _HeightNm = 0.0
    """Height of the focus, in nm; ``c``."""
    depth_nm: Annotated[float, Field(gt=0, le=100_000)] = 400.0
    """Distance from the focus at which the spot is sqrt(2) times as wide, in nm; ``d``."""
    a: float = 0.0
    """Third-order term."""
    b: float = 0.0
    """Fourth-order term."""

    def width_nm(self, z_nm: Tensor) -> Tensor:
        """Give the standard deviation at each height, in nm."""
        u = (z_nm - self.focus_nm) / self.depth_nm
        return self.sigma_nm * (1 + u**2 + self.a * u**3 + self.b * u**4).sqrt()


class Astigmatic(PsfBase):
    """A Gaussian behind a cylindrical lens: its widths along x and y say how high the emitter is.

    The lens's axes are those of the camera.
    """

    kind: Literal["astigmatic"] = "astigmatic"
    """Kind of the point spread function."""
    along_x: Defocus = Defocus(focus_nm=200.0)
    """Width along the columns' direction; ThunderSTORM's sigma1."""
    along_y: Defocus = Defocus(focus_nm=-200.0)
    """Width along the rows' direction; ThunderSTORM's sigma2."""
    heights_nm: tuple[_HeightNm, _HeightNm] = (-300.0, 300.0)
    """Lowest and highest emitter, in nm; ThunderSTORM's z range."""

    @model_validator(mode="after")
    def _check_curves(self) -> Self:
        low, high = self.heights_nm
        if low > high:
            raise ValueError("heights_nm: the first number is the lower one")
        z_nm = torch.linspace(low, high, 201)
        for name, curve in (("along_x", self.along_x), ("along_y", self.along_y)):
            width_nm = curve.width_nm(z_nm)
            if not bool((width_nm > 0).all()):  # NaN under the root as well
                raise ValueError(f"{name}: the width isn't above 0 at all of heights_nm")
        return self

    def z_range_nm(self) -> Range:
        """Give the heights that emitters may have."""
        return self.heights_nm

    def widths_nm(self, z_nm: Tensor, sigma_nm: Tensor) -> tuple[Tensor, Tensor]:
        """Give the widths along x and y at each height."""
        return self.along_x.width_nm(z_nm), self.along_y.width_nm(z_nm)

    def render(
        self,
        x_px: Tensor,
        y_px: Tensor,
        z_nm: Tensor,
        photons: Tensor,
        sigma_nm: Tensor,
        *,
        pixel_size_nm: float,
        shape: tuple[int, int],
    ) -> Tensor:
        """Compute the photons that each pixel gets on average."""
        along_x, along_y = (width / pixel_size_nm for width in self.widths_nm(z_nm, sigma_nm))
        return render_gaussians(x_px, y_px, photons, along_x, along_y, shape=shape)


class _StackPsf(PsfBase):
    """A point spread function that is a stack, made once for each pixel size and device."""

    radius_nm: Annotated[float, Field(ge=100, le=10_000)] = 1200.0
    """Spots are cut off this far from the emitter; "photons" are those within, in nm."""

    @abstractmethod
    def _make_stack(self, pixel_size_nm: float, radius_px: int) -> SpotStack:
        """Sample the spot on the processor."""

    def render(
        self,
        x_px: Tensor,
        y_px: Tensor,
        z_nm: Tensor,
        photons: Tensor,
        sigma_nm: Tensor,
        *,
        pixel_size_nm: float,
        shape: tuple[int, int],
    ) -> Tensor:
        """Compute the photons that each pixel gets on average."""
        stack = _remember_stack(self, pixel_size_nm, str(x_px.device))
        return render_stack(stack, x_px, y_px, z_nm, photons, shape=shape)


class Computed(_StackPsf):
    """The spot of an objective between coverslip and sample, computed by ``psfmodels``.

    Needs ``pip install 'zoobridge[psf]'``.
    """

    kind: Literal["vectorial", "gibson-lanni"] = "vectorial"
    """vectorial (Aguet et al. 2009) or scalar (Gibson and Lanni 1991)."""
    numerical_aperture: Annotated[float, Field(gt=0.1, le=1.7)] = 1.4
    """Of the objective."""
    wavelength_nm: Annotated[float, Field(ge=200, le=2000)] = 680.0
    """Of the emitted light."""
    sample_index: Annotated[float, Field(ge=1, le=2)] = 1.33
    """Refractive index around the emitters."""
    immersion_index: Annotated[float, Field(ge=1, le=2)] = 1.515
    """Refractive index of the immersion medium."""
    depth_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Distance from the coverslip to the emitters, in nm."""
    heights_nm: tuple[_HeightNm, _HeightNm] = (0.0, 0.0)
    """Lowest and highest emitter above the focal plane, in nm."""
    step_z_nm: Annotated[float, Field(gt=0, le=1000)] = 25.0
    """Distance of the planes that are computed; between them it is interpolated."""

    @model_validator(mode="after")
    def _check_optics(self) -> Self:
        if self.heights_nm[0] > self.heights_nm[1]:
            raise ValueError("heights_nm: the first number is the lower one")
        if self.numerical_aperture >= self.immersion_index:
            raise ValueError("numerical_aperture: it is below immersion_index")
        return self

    def z_range_nm(self) -> Range:
        """Give the heights that emitters may have."""
        return self.heights_nm

    def _make_stack(self, pixel_size_nm: float, radius_px: int) -> SpotStack:
        low, high = self.heights_nm
        n_planes = math.ceil((high - low) / self.step_z_nm) + 1
        values = compute_stack(
            model="vectorial" if self.kind == "vectorial" else "scalar",
            heights_nm=np.linspace(low, high, n_planes),
            pixel_size_nm=pixel_size_nm,
            radius_px=radius_px,
            optics={
                "NA": self.numerical_aperture,
                "wvl": self.wavelength_nm / 1000,
                "ns": self.sample_index,
                "ni": self.immersion_index,
                "ni0": self.immersion_index,
                "pz": self.depth_nm / 1000,
            },
        )
        step = (high - low) / max(n_planes - 1, 1) or 1.0
        return SpotStack(torch.from_numpy(values), low, step, radius_px)


class Measured(_StackPsf):
    """The spot as a bead showed it: a z-stack of one bead, its middle slice in focus."""

    kind: Literal["measured"] = "measured"
    """Kind of the point spread function."""
    path: Path
    """Stack of the bead, axes (z, y, x) or (y, x); from the lowest emitter to the highest."""
    step_z_nm: Annotated[float, Field(gt=0, le=1000)] = 50.0
    """Height from slice to slice, in nm."""
    stack_pixel_size_nm: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Edge of the stack's pixels, at most the camera's, in nm; 0 takes what the file states."""

    def z_range_nm(self) -> Range:
        """Give the heights that emitters may have."""
        reach = (dict(open_image(self.path).sizes).get("z", 1) - 1) * self.step_z_nm / 2
        return -reach, reach

    def _make_stack(self, pixel_size_nm: float, radius_px: int) -> SpotStack:
        values = measure_stack(
            self.path,
            stack_pixel_size_nm=self.stack_pixel_size_nm,
            pixel_size_nm=pixel_size_nm,
            radius_px=radius_px,
        )
        return SpotStack(torch.from_numpy(values), self.z_range_nm()[0], self.step_z_nm, radius_px)


Psf = Annotated[IntegratedGaussian | Astigmatic | Computed | Measured, Field(discriminator="kind")]
"""Any point spread function, told apart by its ``kind``."""


@functools.lru_cache(maxsize=16)
def _remember_stack(psf: _StackPsf, pixel_size_nm: float, device: str) -> SpotStack:
    radius_px = math.ceil(psf.radius_nm / pixel_size_nm) + 1
    stack = psf._make_stack(pixel_size_nm, radius_px)
    return stack._replace(values=stack.values.to(device))
