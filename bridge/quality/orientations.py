"""The eight orientations of an image: what a network does should turn with what it is shown.

Restoring all eight and turning the results back gives a better mean (Lim et al., CVPR Workshops
2017, "self-ensemble"), and a spread that shows where the network isn't sure. It is a lower bound
of the uncertainty: what the network gets wrong in every orientation doesn't show.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

N_ORIENTATIONS = 8


def turn(image: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """Bring an image (y, x) into one of the eight orientations, 0 to 7; 0 leaves it."""
    turned = np.rot90(image, number % 4)
    return np.ascontiguousarray(turned[:, ::-1] if number >= 4 else turned)


def turn_back(image: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """Undo :func:`turn`."""
    straight = image[:, ::-1] if number >= 4 else image
    return np.ascontiguousarray(np.rot90(straight, -(number % 4)))


def restore_orientations(
    image: NDArray[np.float32],
    restore: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> list[NDArray[np.float32]]:
    """Restore an image in all orientations, and turn the results back.

    Parameters
    ----------
    image : ndarray, axes (y, x)
        The image.
    restore : callable
        Turns an image (y, x) into one of a whole number of times as many pixels (Y, X).

    Returns
    -------
    list of ndarray, axes (Y, X)
        Eight results of the image as it stands.
    """
    return [turn_back(restore(turn(image, n)), n) for n in range(N_ORIENTATIONS)]
