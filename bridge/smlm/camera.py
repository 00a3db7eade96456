"""Cameras: expected photons in, counts out, with each kind of sensor's own noise, and back again.

::

    photons --x quantum efficiency--> + spurious charge --Poisson--> electrons
            --EMCCD: Gamma(electrons, gain)--> + read noise --/ electrons per count--> + offset
            --round, clip--> counts

Mean and variance of the counts are known in closed form (:meth:`CameraBase.mean_counts`,
:meth:`CameraBase.count_variance`), and :func:`photons_from_counts` is the one way back. The EMCCD
model is that of Hirsch et al., PLoS ONE 8, e53671 (2013), without its serial register's spread.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from bridge.errors import ImageError
from bridge.images.read import open_image

Values = TypeVar("Values", float, Tensor, NDArray[np.float32], NDArray[np.float64])

_ROUNDING_VARIANCE = 1 / 12


class Scaling(NamedTuple):
    """The straight line from counts to photons: ``(counts - offset_adu) * photons_per_adu``."""

    offset_adu: float
    """Counts of a pixel that no photon reached."""
    photons_per_adu: float
    """Photons that one count stands for, > 0."""


def photons_from_counts(counts: Values, scaling: Scaling) -> Values:
    """Turn camera counts into photons by a fixed scaling, the same for every frame.

    Parameters
    ----------
    counts : float, Tensor or ndarray
        Camera counts.
    scaling : Scaling
        Offset and gain, such as ``camera.scaling()``.

    Returns
    -------
    float, Tensor or ndarray
        Photons, as ``counts`` in type and shape; noise makes some of them negative.
    """
    return (counts - scaling.offset_adu) * scaling.photons_per_adu


class Chip(NamedTuple):
    """What turns electrons into counts: numbers, or tensors (b, y, x) where the chip has maps."""

    offset_adu: Tensor | float
    electrons_per_adu: Tensor | float
    read_noise_e: Tensor | float


class CameraBase(BaseModel):
    """What all cameras have; use :class:`Ccd`, :class:`Emccd` or :class:`Scmos`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pixel_size_nm: Annotated[float, Field(gt=0, le=10_000)] = 100.0
    """Edge of a pixel in the sample, in nm."""
    quantum_efficiency: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the photons that become electrons; 1 where "photons" means detected ones."""
    spurious_charge_e: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Electrons per pixel and frame that come without light, on average."""
    bit_depth: Annotated[int, Field(ge=8, le=16)] = 16
    """Counts are clipped to 0 .. 2^bit_depth - 1."""

    def expose(
        self,
        mean_photons: Tensor,
        *,
        generator: torch.Generator,
        read_noise_e: Tensor | None = None,
        corner_px: Tensor | None = None,
    ) -> Tensor:
        """Take pictures of an expected light.

        Parameters
        ----------
        mean_photons : Tensor, (b, y, x), float32
            Expected photons per pixel, background included, >= 0.
        generator : torch.Generator
            Source of the noise, on the device of ``mean_photons``.
        read_noise_e : Tensor, (b,), optional
            Read noise of each picture instead of the camera's own, in electrons.
        corner_px : Tensor, (b, 2), optional
            Row and column on the chip of each picture's top left pixel; (0, 0) by default. It
            matters where the chip has maps.

        Returns
        -------
        Tensor, (b, y, x), float32
            Counts 0 to ``2**bit_depth - 1``, without fractions.

        Raises
        ------
        ImageError
            A map of the chip is missing, or smaller than the picture.
        """
        chip = self._chip(mean_photons, corner_px)
        noise_e = chip.read_noise_e if read_noise_e is None else read_noise_e[:, None, None]
        electrons = torch.poisson(self._mean_electrons(mean_photons), generator=generator)
        electrons = self._multiply(electrons, generator=generator)  # (b, y, x)
        noise = torch.randn(
            mean_photons.shape, generator=generator, device=mean_photons.device
        )  # (b, y, x)
        counts = (electrons + noise_e * noise) / chip.electrons_per_adu + chip.offset_adu
        # Halves go up, as in ImageJ's conversion to 16 bit, which ThunderSTORM's generator uses.
        return (counts + 0.5).floor().clamp(0, 2**self.bit_depth - 1)  # (b, y, x)

    def mean_counts(self, mean_photons: Tensor) -> Tensor:
        """Give the mean of the counts that ``expose`` makes, where it doesn't clip.

        Parameters
        ----------
        mean_photons : Tensor, (b, y, x)
            Expected photons per pixel.

        Returns
        -------
        Tensor, (b, y, x)
            ``em_gain * (QE * photons + spurious) / electrons_per_adu + offset``.
        """
        chip = self._chip(mean_photons, None)
        mean_e = self._em_gain() * self._mean_electrons(mean_photons)
        return mean_e / chip.electrons_per_adu + chip.offset_adu

    def count_variance(self, mean_photons: Tensor) -> Tensor:
        """Give the variance of the counts that ``expose`` makes, where it doesn't clip.

        Parameters
        ----------
        mean_photons : Tensor, (b, y, x)
            Expected photons per pixel.

        Returns
        -------
        Tensor, (b, y, x)
            ``(F * em_gain^2 * electrons + read_noise^2) / electrons_per_adu^2 + 1/12``, where the
            excess factor F is 2 with electron multiplication and 1 without; 1/12 is rounding. Exact
            where noise spreads over a count or more; without read noise, and few electrons to a
            count, mean and variance are up to a few hundredths off.
        """
        chip = self._chip(mean_photons, None)
        shot = self.excess_factor() * self._em_gain() ** 2 * self._mean_electrons(mean_photons)
        noise = chip.read_noise_e**2
        return (shot + noise) / chip.electrons_per_adu**2 + _ROUNDING_VARIANCE

    def to_photons(self, counts: Tensor) -> Tensor:
        """Estimate photons from counts, pixel by pixel: the inverse of ``mean_counts``.

        Parameters
        ----------
        counts : Tensor, (b, y, x)
            Camera counts.

        Returns
        -------
        Tensor, (b, y, x)
            Photons, on average the true ones where no count was clipped.
        """
        chip = self._chip(counts, None)
        electrons = (counts - chip.offset_adu) * chip.electrons_per_adu / self._em_gain()
        return (electrons - self.spurious_charge_e) / self.quantum_efficiency

    def scaling(self) -> Scaling:
        """Give offset and gain as two numbers, for consumers that know no maps (their means)."""
        chip = self._typical_chip()
        per_adu = float(chip.electrons_per_adu) / self._em_gain()
        dark_adu = float(chip.offset_adu) + self.spurious_charge_e / per_adu
        return Scaling(dark_adu, per_adu / self.quantum_efficiency)

    def excess_factor(self) -> float:
        """Give the factor by which multiplication raises the variance of the electrons."""
        return 1.0

    def map_shape(self) -> tuple[int, int] | None:
        """Give the size (y, x) of the chip's maps in pixels; None where one number says all."""
        return None

    def _em_gain(self) -> float:
        return 1.0

    def _multiply(self, electrons: Tensor, *, generator: torch.Generator) -> Tensor:
        return electrons

    def _mean_electrons(self, mean_photons: Tensor) -> Tensor:
        return mean_photons * self.quantum_efficiency + self.spurious_charge_e

    def _chip(self, like: Tensor, corner_px: Tensor | None) -> Chip:
        """Give what turns electrons into counts, for pictures of this shape and device."""
        return self._typical_chip()

    @abstractmethod
    def _typical_chip(self) -> Chip:
        """Give the same as single numbers."""


class Ccd(CameraBase):
    """A CCD, or any camera with one offset and one gain: shot noise and read noise."""

    kind: Literal["ccd"] = "ccd"
    """Kind of the camera."""
    offset_adu: Annotated[float, Field(ge=0, le=65535)] = 100.0
    """Counts of a dark pixel; ThunderSTORM's base level."""
    electrons_per_adu: Annotated[float, Field(gt=0, le=10_000)] = 1.0
    """Electrons that one count stands for; ThunderSTORM's "photons2ADU"."""
    read_noise_e: Annotated[float, Field(ge=0, le=10_000)] = 1.5
    """Standard deviation of the read noise, in electrons."""

    def _typical_chip(self) -> Chip:
        return Chip(self.offset_adu, self.electrons_per_adu, self.read_noise_e)


class Emccd(CameraBase):
    """An EMCCD: electrons are multiplied before they are read, at twice the shot noise variance."""

    kind: Literal["emccd"] = "emccd"
    """Kind of the camera."""
    offset_adu: Annotated[float, Field(ge=0, le=65535)] = 100.0
    """Counts of a dark pixel."""
    electrons_per_adu: Annotated[float, Field(gt=0, le=10_000)] = 45.0
    """Electrons, after multiplication, that one count stands for."""
    read_noise_e: Annotated[float, Field(ge=0, le=10_000)] = 74.4
    """Standard deviation of the read noise, in electrons after multiplication."""
    em_gain: Annotated[float, Field(gt=1, le=10_000)] = 300.0
    """Mean electrons that one electron becomes."""
    spurious_charge_e: Annotated[float, Field(ge=0, le=1000)] = 0.002
    """Electrons per pixel and frame that come without light (clock-induced), on average."""

    def excess_factor(self) -> float:
        """Give 2: the multiplication is random (Gamma), and doubles the shot noise's variance."""
        return 2.0

    def _em_gain(self) -> float:
        return self.em_gain

    def _multiply(self, electrons: Tensor, *, generator: torch.Generator) -> Tensor:
        # n electrons become Gamma(n, gain); torch.distributions takes no generator, this does.
        gamma = torch._standard_gamma(electrons.clamp(min=1), generator=generator)
        return torch.where(electrons > 0, self.em_gain * gamma, 0.0)

    def _typical_chip(self) -> Chip:
        return Chip(self.offset_adu, self.electrons_per_adu, self.read_noise_e)


class Scmos(CameraBase):
    """An sCMOS: each pixel may have an offset, gain and read noise of its own.

    A map is a TIFF, axes (y, x), in the unit of its field, as large as the chip or the part of it
    that was read out. All maps have the same size.
    """

    kind: Literal["scmos"] = "scmos"
    """Kind of the camera."""
    offset_adu: Annotated[float, Field(ge=0, le=65535)] | Path = 100.0
    """Counts of a dark pixel, or a map of them."""
    electrons_per_adu: Annotated[float, Field(gt=0, le=10_000)] | Path = 0.46
    """Electrons that one count stands for, or a map of them."""
    read_noise_e: Annotated[float, Field(ge=0, le=10_000)] | Path = 1.6
    """Standard deviation of the read noise in electrons, or a map of them."""

    def map_shape(self) -> tuple[int, int] | None:
        """Give the size (y, x) of the chip's maps in pixels; None where one number says all."""
        shapes = {path: _read_map(path).shape for path in self._fields() if isinstance(path, Path)}
        for path, shape in shapes.items():
            first, expected = next(iter(shapes.items()))
            if shape != expected:
                raise ImageError(
                    str(path),
                    f"the map has {shape[0]} x {shape[1]} pixels",
                    f"{expected[0]} x {expected[1]}, as {first} has",
                    "Crop the maps to the same part of the chip.",
                )
        return next(iter(shapes.values()), None)

    def _fields(self) -> tuple[float | Path, float | Path, float | Path]:
        return self.offset_adu, self.electrons_per_adu, self.read_noise_e

    def _typical_chip(self) -> Chip:
        means = [float(_read_map(f).mean()) if isinstance(f, Path) else f for f in self._fields()]
        return Chip(*means)

    def _chip(self, like: Tensor, corner_px: Tensor | None) -> Chip:
        shape = self.map_shape()
        if shape is None:
            return self._typical_chip()
        if shape[0] < like.shape[1] or shape[1] < like.shape[2]:
            path = next(field for field in self._fields() if isinstance(field, Path))
            raise ImageError(
                str(path),
                f"the map has {shape[0]} x {shape[1]} pixels",
                f"at least the picture's {like.shape[1]} x {like.shape[2]}",
                "Give a map of the whole chip, or a smaller field.",
            )
        corners = torch.zeros(1, 2) if corner_px is None else corner_px  # (b, 2)
        corners = corners.to(like.device, torch.long)
        row = corners[:, :1] + torch.arange(like.shape[1], device=like.device)  # (b, y)
        column = corners[:, 1:] + torch.arange(like.shape[2], device=like.device)  # (b, x)

        def cut(field: float | Path) -> Tensor | float:
            if not isinstance(field, Path):
                return field
            chip = torch.from_numpy(_read_map(field)).to(like.device)
            return chip[row[:, :, None], column[:, None, :]]  # (b, y, x)

        return Chip(*(cut(field) for field in self._fields()))


Camera = Annotated[Ccd | Emccd | Scmos, Field(discriminator="kind")]
"""Any camera, told apart by its ``kind``."""


@functools.lru_cache(maxsize=16)
def _read_map(path: Path) -> NDArray[np.float32]:
    image = open_image(path)
    if image.ndim != 2:
        raise ImageError(
            str(path), f"the map has the axes {' '.join(map(str, image.dims))}", "y and x"
        )
    values = np.array(image.values, dtype=np.float32)
    if not np.isfinite(values).all() or values.min() < 0:
        raise ImageError(
            str(path), "the map holds values that are negative or no numbers", "values of 0 or more"
        )
    return values
