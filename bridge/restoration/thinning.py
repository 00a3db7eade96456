"""Undersampled images out of a finished rendering, where its localizations aren't at hand.

Each pixel of the rendering is taken for the number of localizations expected there, times a factor
such that they are k in all; a Poisson draw of it is rendered with a Gaussian::

    rendering ── x k / sum ──> expected counts ── Poisson ──> counts ── Gaussian ──> undersampled

An approximation. The rendering is blurred already, so what is drawn is spread twice: by the square
root of 2 where both Gaussians are equal. And it holds only where brightness counts localizations:
an 8-bit copy that was stretched or saturated draws too few where it is cut.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

_NEARLY_ONE = 1 + 1e-3
_STRETCHED_TO = 253


def thin_rendering(
    rendering: NDArray[np.float32], *, n: float, sigma_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw about ``n`` localizations from a rendering, and render them.

    Parameters
    ----------
    rendering : ndarray, axes (y, x)
        Values that count localizations, up to a factor; below 0 counts as 0. Some are above 0.
    n : float
        Localizations expected, > 0; their number in a draw is spread by its square root.
    sigma_px : float
        Standard deviation of the Gaussian, in pixels.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, axes (y, x), float32
        Localizations per pixel, blurred.
    """
    weights = rendering.clip(0).astype(np.float64)
    counts = rng.poisson(weights * (n / weights.sum())).astype(np.float32)
    thinned: NDArray[np.float32] = ndimage.gaussian_filter(counts, sigma_px, mode="reflect")
    return thinned


def count_localizations(rendering: xr.DataArray) -> float | None:
    """Give the localizations that a rendering shows, if its values count them.

    Parameters
    ----------
    rendering : DataArray, axes (y, x)
        ``attrs["dtype"]`` is what its file held.

    Returns
    -------
    float or None
        The sum of its values; None where they were scaled: to all of 8 bit, or to at most 1.
    """
    top = float(rendering.max())
    is_byte = str(rendering.attrs.get("dtype")) == "uint8"
    if top <= _NEARLY_ONE or (is_byte and top >= _STRETCHED_TO):
        return None
    return float(rendering.values.clip(0).sum(dtype=np.float64))


def scale_to_bright(rendering: NDArray[np.float32], percentile: float) -> NDArray[np.float32]:
    """Make the bright percentile of a rendering 1, and cut what is brighter, and below 0.

    Parameters
    ----------
    rendering : ndarray, axes (y, x)
        At least as bright as 0 somewhere.
    percentile : float
        Of all its pixels; its brightest where the percentile is 0.
    """
    bright = float(np.percentile(rendering, percentile))
    bright = bright if bright > 0 else float(rendering.max())
    cut: NDArray[np.float32] = (rendering / (bright or 1.0)).clip(0, 1).astype(np.float32)
    return cut
