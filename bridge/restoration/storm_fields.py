"""Simulated microtubules for X-Microscopy: one set of localizations, seen sparse, dense, blurred.

::

    localizations ── k of them ──> Gaussian of 1 px ──> U-SRM (few), W-SRM (many), F-SRM (all)
          └───────── all of them ─> Gaussian of 6 px ──> photons, background ──> widefield counts

All images of a field are on one grid. A rendering is divided by its own bright percentile, taken
over the whole field, and cut to 0 .. 1, as 8-bit STORM images are. Origin: outer corner of the top
left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import ndimage

from bridge.errors import InputError
from bridge.restoration.fields import bent_line

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_PERSISTENCE_NM = 20_000.0


class StormConditions(BaseModel):
    """How simulated fields of microtubules are made."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    edge_px: Annotated[int, Field(ge=32, le=4096)] = 320
    """Edge of a field, in pixels of the STORM grid, which is the widefield image's as well."""
    pixel_size_nm: _Positive = 20.0
    """Edge of a pixel, in nm."""
    filaments: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (14, 25)
    """Filaments in a field, least and most."""
    filament_px: tuple[_Positive, _Positive] = (80.0, 320.0)
    """Length of a filament, least and most, in pixels; its middle is anywhere in the field."""
    brightness_spread: Annotated[float, Field(ge=0, le=2)] = 0.5
    """Standard deviation of the logarithm of filaments' brightness."""
    undersampled_per_px: _Positive = 0.9
    """Localizations per pixel of filament in an undersampled image (U-SRM)."""
    dense_per_px: _Positive = 12.0
    """Localizations per pixel of filament in a dense image (W-SRM)."""
    full_per_px: _Positive = 60.0
    """Localizations per pixel of filament that there are (F-SRM)."""
    spread_px: _Positive = 0.5
    """Standard deviation of localizations across a filament: its width and their precision."""
    background_share: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of localizations that are anywhere."""
    render_sigma_px: _Positive = 1.0
    """Gaussian that each localization is rendered as."""
    bright_percentile: Annotated[float, Field(gt=50, le=100)] = 99.7
    """Percentile of a whole rendering that becomes 1; brighter pixels are cut."""
    widefield_sigma_px: _Positive = 6.0
    """Gaussian of the widefield microscope."""
    photons: tuple[_Positive, _Positive] = (150.0, 500.0)
    """Photons at the widefield image's brightest pixel, least and most; log-uniform."""
    background_photons: Annotated[float, Field(ge=0)] = 12.0
    """Photons of a dark pixel of the widefield image."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.undersampled_per_px < self.dense_per_px <= self.full_per_px:
            raise ValueError("undersampled_per_px < dense_per_px <= full_per_px doesn't hold")
        for name in ("filaments", "filament_px", "photons"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the least ({low:g}) is above the most ({high:g})")
        return self


@dataclass(frozen=True)
class StormField:
    """One field: where its localizations are, and how many of them each image shows."""

    conditions: StormConditions
    """What it was drawn with."""
    places: NDArray[np.int32]
    """Pixel of each localization, row times columns plus column."""
    n_undersampled: int
    """Localizations in an undersampled image."""
    n_dense: int
    """Localizations in a dense image."""

    def count(self, n: int, rng: np.random.Generator | None = None) -> NDArray[np.float32]:
        """Count ``n`` random ones of the localizations per pixel (y, x); all without ``rng``.

        Raises
        ------
        InputError
            There are fewer.
        """
        if n > len(self.places):
            remedy = "Ask for fewer, or simulate more with full_per_px."
            found = f"{n} localizations of a field that has {len(self.places)}"
            raise InputError("localizations", found, f"at most {len(self.places)}", remedy)
        places, edge = self.places, self.conditions.edge_px
        if rng is not None:
            places = places[rng.choice(len(places), n, replace=False, shuffle=False)]
        counts = np.bincount(places, minlength=edge * edge).reshape(edge, edge)
        return counts.astype(np.float32)

    def render(self, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Render ``n`` random ones of the localizations, 0 .. 1 (y, x)."""
        return render_counts(self.count(n, rng), self.conditions)

    def render_full(self) -> NDArray[np.float32]:
        """Render all localizations, 0 .. 1 (y, x)."""
        return render_counts(self.count(len(self.places)), self.conditions)

    def blur(self) -> NDArray[np.float32]:
        """Give the widefield image without noise or background; its peak is 1 (y, x)."""
        sigma = self.conditions.widefield_sigma_px
        blurred = ndimage.gaussian_filter(self.count(len(self.places)), sigma, mode="reflect")
        clean: NDArray[np.float32] = blurred / blurred.max()
        return clean


def draw_storm_field(conditions: StormConditions, rng: np.random.Generator) -> StormField:
    """Draw a field of microtubules.

    Parameters
    ----------
    conditions : StormConditions
        What is in it.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    StormField
        With at least one localization.
    """
    edge = conditions.edge_px
    low, high = conditions.filaments
    lines: list[NDArray[np.float64]] = []
    while not any(map(len, lines)):
        lines = [_draw_line(conditions, rng) for _ in range(rng.integers(low, high + 1))]
    points = np.concatenate(lines)
    length_px = len(points) / 2  # a point each half pixel
    n_all = max(round(length_px * conditions.full_per_px), 1)
    brightness = rng.lognormal(0, conditions.brightness_spread, len(lines))
    weights = np.repeat(brightness, [len(line) for line in lines])
    on_lines = points[rng.choice(len(points), n_all, p=weights / weights.sum())]
    places = on_lines + rng.normal(0, conditions.spread_px, on_lines.shape)
    is_stray = rng.random(n_all) < conditions.background_share
    places[is_stray] = rng.uniform(0, edge, (int(is_stray.sum()), 2))
    pixels = np.clip(np.floor(places), 0, edge - 1).astype(np.int32)
    counts = [
        min(max(round(length_px * per_px), 1), n_all)
        for per_px in (conditions.undersampled_per_px, conditions.dense_per_px)
    ]
    return StormField(conditions, pixels[:, 0] * np.int32(edge) + pixels[:, 1], *counts)


def _draw_line(conditions: StormConditions, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a filament; gives its points in the field (n, 2), a point each half pixel."""
    edge, size_nm = conditions.edge_px, conditions.pixel_size_nm
    length_nm = float(rng.uniform(*conditions.filament_px)) * size_nm
    line = bent_line(edge, size_nm, rng, length_nm=length_nm, bend_nm=_PERSISTENCE_NM)
    points = np.stack(line, axis=1)
    inside: NDArray[np.float64] = points[((points >= 0) & (points < edge)).all(axis=1)]
    return inside


def render_counts(counts: NDArray[np.float32], conditions: StormConditions) -> NDArray[np.float32]:
    """Render localizations per pixel (y, x) as Gaussians; the bright percentile becomes 1."""
    image = ndimage.gaussian_filter(counts, conditions.render_sigma_px, mode="reflect")
    bright = float(np.percentile(image, conditions.bright_percentile)) or float(image.max())
    cut: NDArray[np.float32] = np.clip(image / (bright or 1.0), 0, 1).astype(np.float32)
    return cut


def expose_widefield(
    clean: NDArray[np.float32], conditions: StormConditions, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Give a clean widefield image (y, x), peak 1, as photons with noise and background."""
    low, high = np.log(conditions.photons)
    photons = np.exp(rng.uniform(low, high))
    expected = clean * photons + conditions.background_photons
    exposed: NDArray[np.float32] = rng.poisson(expected).astype(np.float32)
    return exposed
