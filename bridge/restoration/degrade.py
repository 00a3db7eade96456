"""From a sharp image to a worse microscope's: blur, coarser pixels, haze and noise, in this order.

::

    sharp --+--> blur --> binning --> photons --> + background --> Poisson --> + read noise, offset
    spots --'   sigma_px   factor                                            (only with photons)

Works on planes (y, x) in memory; :mod:`bridge.jobs.degrade` reads and writes the files.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.images.blur import bin_pixels, blur

_NotNegative = Annotated[float, Field(ge=0)]
_Range = tuple[_NotNegative, _NotNegative]


class Degradation(BaseModel):
    """What happens to an image; spots and noise are off unless asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    sigma_px: Annotated[float, Field(ge=0, le=1000)]
    """Standard deviation of the blur, in pixels of the sharp image."""
    factor: Annotated[int, Field(ge=1, le=64)] = 1
    """Sharp pixels along the edge of a degraded one."""
    binning: Literal["mean", "sum"] = "mean"
    """How pixels are joined: mean keeps grey values, sum keeps the light."""
    sigma_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of the blur's own width from image to image, as a share of it."""
    photons: _Range | None = None
    """Photons in the brightest pixel of the degraded image, least and most, log-uniform; None adds
    no noise."""
    background: _Range = (0.0, 0.0)
    """Even light from elsewhere, as a share of the brightest pixel; least and most, uniform."""
    read_noise: _NotNegative = 0.0
    """Standard deviation of the camera's noise, in photons."""
    offset: float = 0.0
    """What the camera adds to every pixel, in photons."""
    spots_per_px: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Density of soft background spots in the sharp image; the published recipe has 0.01."""
    spot_height: _NotNegative = 0.5
    """Height of a spot, as a share of the sharp image's peak."""
    spot_height_sd: _NotNegative = 0.01
    """Its standard deviation."""
    spot_sigma_px: Annotated[float, Field(gt=0, le=100)] = 3.0
    """Standard deviation of a spot's profile, in pixels of the sharp image."""
    spot_sigma_sd_px: _NotNegative = 1.0
    """Its own standard deviation."""
    spot_radius_px: Annotated[int, Field(ge=1, le=100)] = 5
    """Beyond this distance along y or x a spot ends, in pixels of the sharp image."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("photons", "background"):
            low, high = getattr(self, name) or (0.0, 0.0)
            if low > high:
                raise ValueError(f"{name}: the least ({low:g}) is above the most ({high:g})")
        if self.photons is not None and not self.photons[0] > 0:
            raise ValueError("photons must be above 0; leave them out for no noise")
        if self.photons is None and (self.read_noise or self.offset or any(self.background)):
            raise ValueError("read_noise, offset and background count photons: give photons too")
        return self

    def clean(self, image: NDArray[np.floating]) -> NDArray[np.float32]:
        """Blur and bin, and nothing else.

        Parameters
        ----------
        image : ndarray, axes (..., y, x)
            Sharp planes.

        Returns
        -------
        ndarray, axes (..., y / factor, x / factor), float32
            Rows and columns at the far edges that make no whole pixel are left out.
        """
        return self._blurred(image, self.sigma_px)

    def apply(
        self,
        image: NDArray[np.floating],
        rng: np.random.Generator,
        *,
        peaks: tuple[float, float] | None = None,
    ) -> NDArray[np.float32]:
        """Degrade a plane, with spots and noise if they are asked for.

        Parameters
        ----------
        image : ndarray, axes (y, x)
            The sharp plane; 0 is no light.
        rng : numpy.random.Generator
            Source of randomness.
        peaks : (float, float), optional
            Brightest values of the sharp image and of ``clean`` of it, where the plane is a part
            of an image; left out, those of the plane.

        Returns
        -------
        ndarray, axes (y / factor, x / factor), float32
            Photons, where ``photons`` are set; otherwise in the plane's own units.
        """
        sharp = np.asarray(image, np.float32)
        sharp_peak = float(sharp.max()) if peaks is None else peaks[0]
        sigma_px = self.sigma_px
        if self.sigma_jitter:
            sigma_px *= max(0.0, 1 + self.sigma_jitter * float(rng.standard_normal()))
        peak = peaks[1] if peaks else float(self.clean(sharp).max()) if self.photons else 1.0
        if self.spots_per_px:
            sharp = sharp + self.draw_spots(sharp.shape, rng) * np.float32(sharp_peak)
        degraded = self._blurred(sharp, sigma_px)
        if self.photons is None:
            return degraded
        low, high = self.photons
        photons = math.exp(rng.uniform(math.log(low), math.log(high)))
        light = np.maximum(degraded.astype(np.float64), 0) / (peak if peak > 0 else 1.0)
        light = (light + rng.uniform(*self.background)) * photons
        counts = rng.poisson(light) + rng.normal(0, self.read_noise, light.shape) + self.offset
        return np.asarray(counts, np.float32)

    def draw_spots(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw background spots, of heights around ``spot_height``, on an empty plane (y, x)."""
        n_y, n_x = shape
        number = rng.poisson(self.spots_per_px * n_y * n_x)
        y, x = rng.uniform(0, n_y, number), rng.uniform(0, n_x, number)
        height = np.maximum(rng.normal(self.spot_height, self.spot_height_sd, number), 0)
        sigma = np.maximum(rng.normal(self.spot_sigma_px, self.spot_sigma_sd_px, number), 0.5)
        reach = np.arange(-self.spot_radius_px, self.spot_radius_px + 1)
        rows = np.floor(y).astype(int)[:, None] + reach  # (n, w)
        columns = np.floor(x).astype(int)[:, None] + reach  # (n, w)
        across = np.exp(-((columns + 0.5 - x[:, None]) ** 2) / (2 * sigma[:, None] ** 2))
        down = np.exp(-((rows + 0.5 - y[:, None]) ** 2) / (2 * sigma[:, None] ** 2))
        down *= height[:, None]
        spots = down[:, :, None] * across[:, None, :]  # (n, w, w)
        is_in = ((rows >= 0) & (rows < n_y))[:, :, None] & ((columns >= 0) & (columns < n_x))[
            :, None
        ]
        place = (rows[:, :, None] * n_x + columns[:, None, :])[is_in]
        plane = np.bincount(place, spots[is_in], minlength=n_y * n_x).reshape(n_y, n_x)
        return plane.astype(np.float32)

    def _blurred(self, image: NDArray[np.floating], sigma_px: float) -> NDArray[np.float32]:
        blurred = blur(np.asarray(image), sigma_px).astype(np.float32)
        return bin_pixels(blurred, self.factor, by_sum=self.binning == "sum")
