"""Structure that a restored image shows and its input doesn't: places, not only a figure.

The restored image, blurred again and scaled, is compared with the input. What it has too much is
smoothed by the same blur, and counts as invented where all of these hold:

- it is far above the noise, that of the input (which grows with the light) and its own;
- the restored image shows something there: a good part of the input's range;
- about two thirds of what it shows there is not in the input, or more: a network that gives every
  emitter the same light shows a dim one twice too bright;
- the place is as large as two spots of the blur at least, so it isn't noise.

Light that is missing isn't looked for: a network that removes haze loses light rightly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from bridge.images.blur import blur
from bridge.quality.consistency import Consistency

_LEAST_NOISE: Final = 5.0  # standard deviations
_LEAST_SHARE_OF_RANGE: Final = 0.15
_LEAST_INVENTED: Final = 0.65  # of the light at a place
_LEAST_SPOTS: Final = 2.0  # area, in discs of radius sigma
_RANGE_PERCENT: Final = (0.1, 99.8)
_DARK_PERCENT: Final = 2.0
_N_LEVELS: Final = 20
_MOST_SAMPLES: Final = 1 << 18  # pixels that the noise is measured on
_LOWER_SHARE: Final = 0.9
_LOWER_MEAN: Final = 0.6235  # mean of the lower 90 % of a chi-squared variable of one degree
_MAD_TO_SD: Final = 1.4826


@dataclass(frozen=True)
class Invented:
    """A place where structure is shown that the input doesn't have.

    Attributes
    ----------
    y_px, x_px : float
        Its middle, in the input's pixels from the outer corner of the top left one.
    area_px : int
        Its area, in the input's pixels.
    share : float
        How much of the light that is shown there isn't in the input, 0.65 to 1 and more.
    """

    y_px: float
    x_px: float
    area_px: int
    share: float


def value_range(observed: xr.DataArray) -> float:
    """Give the range of an image's values, from percentile 0.1 to 99.8."""
    low, high = np.percentile(observed, _RANGE_PERCENT)
    return float(high - low)


class Noise(NamedTuple):
    """A pixel's variance as a line over its light."""

    base: float
    """Variance without light."""
    slope: float
    """Variance per unit of light, >= 0."""
    least: float
    """Smallest variance that was met."""

    def variance(self, light: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the variance at some light."""
        return np.asarray(np.maximum(self.base + self.slope * light, self.least), np.float64)


def measure_noise(observed: xr.DataArray) -> Noise:
    """Measure an image's noise by the differences of neighbours, at 20 levels of light.

    The filter of Immerkaer, Comput. Vis. Image Underst. 64, 300 (1996). Noise that neighbours
    share, as after resampling, is underestimated.

    Parameters
    ----------
    observed : DataArray, axes (y, x)
        The image, with noise that differs from pixel to pixel.
    """
    pixels = np.asarray(observed, np.float64)
    step = max(1, pixels.size // _MOST_SAMPLES)
    filtered = ndimage.convolve(pixels, np.outer([1, -2, 1], [1, -2, 1]) / 6.0, mode="mirror")
    squares = filtered.ravel()[::step] ** 2
    light = ndimage.uniform_filter(pixels, 3).ravel()[::step]
    levels, variances = [], []
    for part in np.array_split(np.argsort(light), _N_LEVELS):
        lower = np.sort(squares[part])[: max(1, int(_LOWER_SHARE * part.size))]
        levels.append(float(light[part].mean()))
        variances.append(float(lower.mean()) / _LOWER_MEAN)
    slope = max(0.0, float(np.polyfit(levels, variances, 1)[0])) if np.ptp(levels) else 0.0
    base = float(np.median(np.asarray(variances) - slope * np.asarray(levels)))
    return Noise(base, slope, min(variances))


def noise_ceiling(observed: xr.DataArray, noise: Noise) -> float:
    """Give the RSP that the noise of an image leaves to a perfect restoration, 0 to 1.

    Parameters
    ----------
    observed : DataArray, axes (y, x)
        The input.
    noise : Noise
        Its noise.
    """
    pixels = np.asarray(observed, np.float64)
    share = float(noise.variance(pixels).mean()) / max(float(pixels.var()), np.finfo(float).tiny)
    return float(np.sqrt(max(0.0, 1 - share)))


def find_invented(
    consistency: Consistency, observed: xr.DataArray, *, noise: Noise, sigma_px: float
) -> Sequence[Invented]:
    """Find the places where a restored image shows what its input doesn't.

    Parameters
    ----------
    consistency : Consistency
        Of the restored image with the input.
    observed : DataArray, axes (y, x)
        The input.
    noise : Noise
        The input's noise.
    sigma_px : float
        Standard deviation of the blur between both, in the input's pixels.

    Returns
    -------
    sequence of Invented
        The largest first; empty where nothing is doubtful.
    """
    width = max(sigma_px, 1.0)
    pixels = np.asarray(observed, np.float64)
    shown = blur(np.asarray(consistency.blurred, np.float64), width)
    smooth = blur(pixels, width)
    excess = shown - smooth
    lift = shown - np.percentile(shown, _DARK_PERCENT)
    own = _MAD_TO_SD * float(np.median(np.abs(excess - np.median(excess))))
    passed = 1 / (4 * np.pi * width**2)  # of white noise's variance, through the smoothing
    deviation = np.maximum(np.sqrt(noise.variance(smooth) * passed), own)
    is_invented = (
        (excess > _LEAST_NOISE * deviation)
        & (lift > _LEAST_SHARE_OF_RANGE * value_range(observed))
        & (excess > _LEAST_INVENTED * lift)
    )
    labels, n_places = ndimage.label(is_invented)
    if not n_places:
        return []
    numbers = np.arange(1, n_places + 1)
    areas = np.bincount(labels.ravel(), minlength=n_places + 1)[1:]
    large = numbers[areas >= _LEAST_SPOTS * np.pi * width**2]
    middles = ndimage.center_of_mass(is_invented, labels, large) if large.size else []
    shares = [float(excess[labels == n].sum() / lift[labels == n].sum()) for n in large]
    found = [
        Invented(float(y) + 0.5, float(x) + 0.5, int(areas[n - 1]), round(share, 3))
        for n, (y, x), share in zip(large, middles, shares, strict=True)
    ]
    return sorted(found, key=lambda place: -place.area_px)
