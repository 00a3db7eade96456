"""Where emitters may be in a field: the view, and ways to draw places from it.

Coordinates are x (along the columns), y (down the rows) and z in nm, from the outer corner of the
field's top left pixel; the margin around the field is filled as well, because emitters there still
shine into the field.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.images.read import open_image

Points = NDArray[np.float64]
"""(n, 3): x, y, z in nm."""


@dataclass(frozen=True)
class View:
    """The part of the sample that is filled with emitters.

    Parameters
    ----------
    width_nm, height_nm : float
        Size of the field along x and y, in nm, > 0.
    margin_nm : float
        Width of the margin around it, in nm, >= 0.
    z_range_nm : (float, float)
        Lowest and highest emitter; (0, 0) for a flat sample.
    """

    width_nm: float
    height_nm: float
    margin_nm: float = 0.0
    z_range_nm: tuple[float, float] = (0.0, 0.0)

    @property
    def area_um2(self) -> float:
        """Area of field and margin, in square micrometres."""
        lengths = (self.width_nm + 2 * self.margin_nm, self.height_nm + 2 * self.margin_nm)
        return lengths[0] * lengths[1] / 1e6

    def uniform(self, n: int, rng: np.random.Generator) -> Points:
        """Draw points anywhere in field, margin and height."""
        low = (-self.margin_nm, -self.margin_nm, self.z_range_nm[0])
        high = (
            self.width_nm + self.margin_nm,
            self.height_nm + self.margin_nm,
            self.z_range_nm[1],
        )
        points: Points = rng.uniform(low, high, (n, 3))
        return points

    def keep_inside(self, points: Points) -> Points:
        """Leave out the points beyond the margin, and bring the others' heights into range."""
        x_nm, y_nm, z_nm = points.T
        edge = self.margin_nm
        is_in = (x_nm >= -edge) & (x_nm < self.width_nm + edge)
        is_in &= (y_nm >= -edge) & (y_nm < self.height_nm + edge)
        kept: Points = points[is_in]
        kept[:, 2] = z_nm[is_in].clip(*self.z_range_nm)
        return kept


class Layout(ABC):
    """A structure in place; emitters are drawn from it."""

    share: float = 1.0
    """Emitters drawn, as a part of those that the density asks for."""

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Points:
        """Draw the places of ``n`` emitters."""


class Anywhere(Layout):
    """Every place in the view is as likely as any other."""

    def __init__(self, view: View) -> None:
        self._view = view

    def sample(self, n: int, rng: np.random.Generator) -> Points:
        """Draw the places of ``n`` emitters."""
        return self._view.uniform(n, rng)


class Nowhere(Layout):
    """No emitters at all."""

    share = 0.0

    def sample(self, n: int, rng: np.random.Generator) -> Points:
        """Give no places; ``n`` is 0 because ``share`` is."""
        return np.empty((0, 3))


class Labels(Layout):
    """Labels with places of their own; an emitter is any of them, again and again.

    Parameters
    ----------
    places : ndarray, (n, 3)
        The labels, in nm; without any, nothing shines.
    """

    def __init__(self, places: Points) -> None:
        self.places = places
        self.share = 1.0 if len(places) else 0.0

    def sample(self, n: int, rng: np.random.Generator) -> Points:
        """Draw the places of ``n`` emitters."""
        if n == 0:
            return np.empty((0, 3))
        return self.places[rng.integers(len(self.places), size=n)]


class Density(Layout):
    """Places drawn from an image as a density, spread over the field (not the margin).

    Parameters
    ----------
    weights : ndarray, (y, x)
        Density of each pixel of the image, 0 to 1.
    view : View
        What the image covers.
    """

    def __init__(self, weights: NDArray[np.float64], view: View) -> None:
        field_um2 = view.width_nm * view.height_nm / 1e6
        self.share = float(weights.mean()) * field_um2 / view.area_um2
        self._cumulative = weights.ravel().cumsum()
        self._shape = weights.shape
        self._view = view

    def sample(self, n: int, rng: np.random.Generator) -> Points:
        """Draw the places of ``n`` emitters, anywhere in the pixel that each falls on."""
        height, width = self._shape
        chosen = rng.uniform(0, self._cumulative[-1], n)
        pixel = self._cumulative.searchsorted(chosen, side="right")
        x = (pixel % width + rng.random(n)) * self._view.width_nm / width
        y = (pixel // width + rng.random(n)) * self._view.height_nm / height
        return np.column_stack([x, y, rng.uniform(*self._view.z_range_nm, n)])


def label_line(
    path: NDArray[np.float64],
    *,
    labels_per_um: float,
    radius_nm: float,
    view: View,
    rng: np.random.Generator,
) -> Points:
    """Put labels on the surface of a tube along a line.

    Parameters
    ----------
    path : ndarray, (n, 2)
        Points (x, y) along the tube's middle, in nm.
    labels_per_um : float
        Labels for each micrometre of its length, on average.
    radius_nm : float
        Radius of the tube, in nm.
    view : View
        Gives the range of heights, within which the tube rises and falls.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, (n, 3)
        Places of the labels, x, y, z in nm.
    """
    if len(path) < 2:
        return np.empty((0, 3))
    steps = np.diff(path, axis=0)
    lengths = np.hypot(*steps.T)
    ends = np.concatenate([[0.0], lengths.cumsum()])
    along = rng.uniform(0, ends[-1], rng.poisson(labels_per_um * ends[-1] / 1000))
    segment = (ends.searchsorted(along, side="right") - 1).clip(0, len(steps) - 1)
    direction = steps[segment] / lengths[segment, None].clip(min=1e-9)
    middle = path[segment] + direction * (along - ends[segment])[:, None]
    around = rng.uniform(0, 2 * np.pi, len(along))
    across = np.column_stack([-direction[:, 1], direction[:, 0]])
    low, high = view.z_range_nm
    wave = np.sin(2 * np.pi * (along / 4000 + rng.random()))
    z_nm = (low + high) / 2 + (high - low) / 3 * wave + radius_nm * np.sin(around)
    return np.column_stack([middle + radius_nm * np.cos(around)[:, None] * across, z_nm])


@functools.lru_cache(maxsize=8)
def read_mask(path: Path) -> NDArray[np.float64]:
    """Read an image as a density, scaled by its maximum.

    Parameters
    ----------
    path : Path
        Image, axes (y, x).

    Returns
    -------
    ndarray, (y, x)
        Values 0 to 1.

    Raises
    ------
    ImageError
        The image isn't 2D, holds negative values or no numbers, or is black.
    """
    image = open_image(path)
    if image.ndim != 2:
        axes = " ".join(map(str, image.dims))
        raise ImageError(str(path), f"the mask has the axes {axes}", "y and x", "Take one plane.")
    values = np.array(image.values, dtype=np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() == 0:
        raise ImageError(
            str(path),
            "the mask is black, or holds negative values or no numbers",
            "values of 0 or more, some above",
            "Choose another image.",
        )
    density: NDArray[np.float64] = values / values.max()
    return density
