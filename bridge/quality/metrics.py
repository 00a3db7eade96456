"""How alike two images are, pixel by pixel: well-known figures, each with what it forgives.

============================  ======  ======  =====================================
figure                        scale   offset  best
============================  ======  ======  =====================================
``normalised_square_error``   free    counts  0
``normalised_rmse``           counts  counts  0
``pearson``                   free    free    1
``peak_signal_to_noise``      counts  counts  as high as possible, in dB
``range_invariant_psnr``      free    free    as high as possible, in dB
``flux_ratio``                counts  counts  1
============================  ======  ======  =====================================

All take an image and the truth as arrays of equal shape. Figures that need to know what a large
difference is take a ``data_range``, which has no default: one range for all images and models that
are compared. Likeness of structure is in :mod:`bridge.quality.structure`, of sharpness in
:mod:`bridge.quality.sharpness`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bridge.errors import ImageError


def scale_to(image: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Multiply an image by the factor that brings it nearest to the truth.

    Parameters
    ----------
    image, truth : array_like
        Of equal shape.

    Returns
    -------
    ndarray, the image's shape
        The image times the factor of least squared error; zeros stay zeros.
    """
    given, wanted = pair(image, truth)
    power = float((given**2).sum())
    return given * (float((given * wanted).sum()) / power if power else 0.0)


def normalised_square_error(image: ArrayLike, truth: ArrayLike) -> float:
    """Give the squared error after the best scale factor, over the truth's square (NMSE).

    Parameters
    ----------
    image, truth : array_like
        Of equal shape.

    Returns
    -------
    float
        0 (equal but for a factor) to 1 (nothing in common).
    """
    _, wanted = pair(image, truth)
    total = float((wanted**2).sum())
    return float(((scale_to(image, truth) - wanted) ** 2).sum()) / total if total else np.nan


def pearson(image: ArrayLike, truth: ArrayLike) -> float:
    """Give Pearson's correlation, -1 to 1; NaN where one is constant.

    Parameters
    ----------
    image, truth : array_like
        Of equal shape.

    Returns
    -------
    float
        The correlation.
    """
    given, wanted = pair(image, truth)
    if given.min() == given.max() or wanted.min() == wanted.max():
        return np.nan
    return float(np.corrcoef(given.ravel(), wanted.ravel())[0, 1])


def peak_signal_to_noise(image: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    """Give the data range over the root mean square error, in dB (PSNR).

    Parameters
    ----------
    image, truth : array_like
        Of equal shape, in the same units.
    data_range : float
        Largest value minus smallest that images of this kind have, > 0.

    Returns
    -------
    float
        In dB; infinite for equal images.

    Raises
    ------
    ImageError
        The shapes differ, a value isn't finite, or there is no range.
    """
    given, wanted = pair(image, truth)
    mean_square = float(((given - wanted) ** 2).mean())
    reach = check_range(data_range)
    return 10 * math.log10(reach**2 / mean_square) if mean_square else math.inf


def range_invariant_psnr(image: ArrayLike, truth: ArrayLike) -> float:
    """Give the PSNR after the best scale and offset (Weigert et al., Nature Methods 15, 1090).

    Its range is that of the truth, which scale and offset don't change.

    Parameters
    ----------
    image, truth : array_like
        Of equal shape.

    Returns
    -------
    float
        In dB; NaN where the truth is constant.
    """
    given, wanted = pair(image, truth)
    centred = given - given.mean()
    power = float((centred**2).sum())
    scale = float((centred * wanted).sum()) / power if power else 0.0
    reach = float(np.ptp(wanted))
    if not reach:
        return math.nan
    return peak_signal_to_noise(scale * centred + wanted.mean(), wanted, data_range=reach)


def normalised_rmse(image: ArrayLike, truth: ArrayLike) -> float:
    """Give the root mean square error over the truth's root mean square (NRMSE).

    Parameters
    ----------
    image, truth : array_like
        Of equal shape, in the same units; the order matters.

    Returns
    -------
    float
        0 for equal images, 1 for a black one; NaN where the truth is black.
    """
    given, wanted = pair(image, truth)
    total = float((wanted**2).sum())
    return math.sqrt(float(((given - wanted) ** 2).sum()) / total) if total else math.nan


def flux_ratio(image: ArrayLike, truth: ArrayLike) -> float:
    """Give the image's sum over the truth's.

    Parameters
    ----------
    image, truth : array_like
        Of equal shape, in the same units, both without an offset.

    Returns
    -------
    float
        1 where the whole brightness is kept; NaN where the truth's sum is 0.
    """
    given, wanted = pair(image, truth)
    total = float(wanted.sum())
    return float(given.sum()) / total if total else math.nan


def check_range(data_range: float) -> float:
    """Refuse a data range that is none.

    Parameters
    ----------
    data_range : float
        Largest value minus smallest that images of this kind have.

    Returns
    -------
    float
        The same.

    Raises
    ------
    ImageError
        It isn't a number above 0.
    """
    if not (math.isfinite(data_range) and data_range > 0):
        raise ImageError(
            "data range",
            f"it is {data_range:g}",
            "what images of this kind span, > 0",
            "Give one range for all that is compared.",
        )
    return float(data_range)


def pair(image: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give both as float64, checked.

    Parameters
    ----------
    image, truth : array_like
        An image and what it should be.

    Returns
    -------
    (ndarray, ndarray)
        Image and truth.

    Raises
    ------
    ImageError
        The shapes differ, or a value isn't finite.
    """
    given, wanted = np.asarray(image, np.float64), np.asarray(truth, np.float64)
    if given.shape != wanted.shape or not given.size:
        raise ImageError(
            "image",
            f"it has {given.shape} pixels, the truth {wanted.shape}",
            "equal shapes",
            "Render both on the same grid.",
        )
    if not (np.isfinite(given).all() and np.isfinite(wanted).all()):
        raise ImageError("image", "some pixels aren't finite", "numbers only")
    return given, wanted
