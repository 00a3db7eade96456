"""Where in a field there is something to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_SMOOTH_PX = 2.0
_LEVEL = 0.1  # of the way from the dark end to the bright end
_ENDS = (5.0, 99.9)  # percentiles


def find_signal(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which pixels show something.

    Parameters
    ----------
    image : ndarray, axes (y, x)
        Usually the target.

    Returns
    -------
    ndarray, axes (y, x), bool
        Smoothed, it lies above a tenth of the way from its 5th to its 99.9th percentile. All False
        for a constant image.
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float64), _SMOOTH_PX)
    dark, bright = np.percentile(smooth, _ENDS)
    is_signal: NDArray[np.bool_] = smooth > dark + _LEVEL * (bright - dark)
    return is_signal if bright > dark else np.zeros(image.shape, bool)


def signal_share(image: NDArray[np.float32]) -> float:
    """Give the share of pixels that show something, 0 to 1."""
    return float(find_signal(image).mean())


def places_with_signal(
    target: NDArray[np.float32], patch_px: int, *, step_px: int = 1, least: float = 0.05
) -> NDArray[np.float64]:
    """Give how often to cut a patch at each place, so that few are empty.

    Parameters
    ----------
    target : ndarray, axes (Y, X)
        The field.
    patch_px : int
        Edge of a patch, in target pixels, at most the field's shorter edge.
    step_px : int
        Patches begin at multiples of this, in target pixels: the scale.
    least : float
        Weight of an empty patch, beside a weight of 1 for a full one; 0 < x <= 1.

    Returns
    -------
    ndarray, axes (places along Y, places along X)
        Probability of the patch whose first pixel is at ``index * step_px``; the sum is 1.
    """
    counts = np.pad(find_signal(target).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = patch_px
    inside = counts[n:, n:] - counts[:-n, n:] - counts[n:, :-n] + counts[:-n, :-n]
    weights = np.maximum(inside[::step_px, ::step_px] / n**2, least)
    spread: NDArray[np.float64] = weights / weights.sum()
    return spread
