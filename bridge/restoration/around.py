"""Places to cut patches from, such that each holds a detection, anywhere in it.

::

    +-------------------+
    | +----------+      |     the detection is equally likely to be at each place of its patch
    | |   x      |      |     (but for detections near the image's edges), so that a network
    | |          |      |     can't learn that structures are in the middle
    | +----------+      |
    +-------------------+
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.errors import InputError


def corners_around(
    places: pd.DataFrame,
    *,
    shape: tuple[int, int],
    patch_px: int,
    n_patches: int,
    rng: np.random.Generator,
    step_px: int = 1,
    margin_px: float = 0.0,
) -> NDArray[np.int64]:
    """Draw top left corners of patches that hold a detection each.

    Parameters
    ----------
    places : DataFrame
        Detections, ``x_px`` and ``y_px`` from the image's outer corner; those outside don't count.
    shape : (int, int)
        The image's size (y, x), in pixels.
    patch_px : int
        Edge of a patch, in pixels; at most the image's edges, and a multiple of ``step_px``.
    n_patches : int
        How many; detections take turns in random order.
    rng : numpy.random.Generator
        Source of randomness.
    step_px : int
        Corners are multiples of it: the scale of a pair whose input has coarser pixels.
    margin_px : float
        Distance of the detection from the patch's edges, in pixels, wherever the image's own edge
        leaves room.

    Returns
    -------
    ndarray, (n_patches, 2), int64
        Corners (y, x); patches lie inside the image.

    Raises
    ------
    InputError
        No detection lies in the image, or the patch is larger than the image, no multiple of the
        step, or too small for its margins.
    """
    _check(shape, patch_px, step_px, margin_px)
    points = places[["y_px", "x_px"]].to_numpy(np.float64)
    limits = np.array([n - n % step_px for n in shape])
    points = points[((points >= 0) & (points < limits)).all(axis=1)]
    if not len(points):
        raise InputError(
            "patches around detections",
            f"none of {len(places)} detections lies in the image",
            "at least one",
            "Detect with a lower threshold, or cut patches without detections.",
        )
    turns = [rng.permutation(len(points)) for _ in range(-(-n_patches // len(points)))]
    chosen = points[np.concatenate(turns)[:n_patches]] if turns else points[:0]
    last = (limits - patch_px) // step_px  # of the corners, in steps
    low = np.floor((chosen - patch_px + margin_px) / step_px).astype(np.int64) + 1
    high = np.floor((chosen - margin_px) / step_px).astype(np.int64)
    high = np.maximum(high, low)
    steps: NDArray[np.int64] = rng.integers(
        np.clip(low, 0, last), np.clip(high, 0, last), endpoint=True
    )
    return steps * np.int64(step_px)


def patches_around(
    image: NDArray[np.generic],
    places: pd.DataFrame,
    *,
    patch_px: int,
    n_patches: int,
    rng: np.random.Generator,
) -> NDArray[np.generic]:
    """Cut patches that hold a detection each.

    Parameters
    ----------
    image : ndarray, axes (y, x)
        The image.
    places, patch_px, n_patches, rng
        As of :func:`corners_around`.

    Returns
    -------
    ndarray, axes (n_patches, y, x)
        Copies.
    """
    n_y, n_x = image.shape
    corners = corners_around(
        places, shape=(n_y, n_x), patch_px=patch_px, n_patches=n_patches, rng=rng
    )
    if not n_patches:
        return np.empty((0, patch_px, patch_px), image.dtype)
    return np.stack([image[y : y + patch_px, x : x + patch_px] for y, x in corners])


def _check(shape: tuple[int, int], patch_px: int, step_px: int, margin_px: float) -> None:
    what = "patches around detections"
    if not 1 <= patch_px <= min(shape) or patch_px % step_px:
        raise InputError(
            what,
            f"patches of {patch_px} pixels from an image of {shape[0]} x {shape[1]}",
            f"at most {min(shape)} pixels" + (f", in steps of {step_px}" if step_px > 1 else ""),
            "Take smaller patches.",
        )
    if not 0 <= margin_px < patch_px / 2 - step_px:
        if margin_px == 0:
            return
        raise InputError(
            what,
            f"a margin of {margin_px:g} in patches of {patch_px} pixels",
            f"less than {patch_px / 2 - step_px:g} pixels",
            "Take a smaller margin or larger patches.",
        )
