"""How alike two images are: small, well-known figures, each with what it forgives.

=============================  =====  ======  =====================================
figure                         scale  offset  best
=============================  =====  ======  =====================================
``normalised_square_error``    free   counts  0
``pearson``                    free   free    1
``peak_signal_to_noise``       counts counts  as high as possible, in dB
``range_invariant_psnr``       free   free    as high as possible, in dB
``structural_similarity``      counts counts  1
=============================  =====  ======  =====================================

All take an image and the truth as arrays of equal shape; NaN where the truth is constant.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.metrics import structural_similarity as skimage_ssim

from bridge.errors import ImageError

_SSIM_WINDOW_PX = 7


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
    given, wanted = _pair(image, truth)
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
    _, wanted = _pair(image, truth)
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
    given, wanted = _pair(image, truth)
    if given.min() == given.max() or wanted.min() == wanted.max():
        return np.nan
    return float(np.corrcoef(given.ravel(), wanted.ravel())[0, 1])


def peak_signal_to_noise(image: ArrayLike, truth: ArrayLike) -> float:
    """Give the truth's range over the root mean square error, in dB (PSNR).

    Parameters
    ----------
    image, truth : array_like
        Of equal shape, in the same units.

    Returns
    -------
    float
        In dB; infinite for equal images.
    """
    given, wanted = _pair(image, truth)
    reach = float(np.ptp(wanted))
    mean_square = float(((given - wanted) ** 2).mean())
    if not reach:
        return np.nan
    return float(10 * np.log10(reach**2 / mean_square)) if mean_square else np.inf


def range_invariant_psnr(image: ArrayLike, truth: ArrayLike) -> float:
    """Give the PSNR after the best scale and offset (Weigert et al., Nature Methods 15, 1090).

    Parameters
    ----------
    image, truth : array_like
        Of equal shape.

    Returns
    -------
    float
        In dB.
    """
    given, wanted = _pair(image, truth)
    centred = given - given.mean()
    power = float((centred**2).sum())
    scale = float((centred * wanted).sum()) / power if power else 0.0
    return peak_signal_to_noise(scale * centred + wanted.mean(), wanted)


def structural_similarity(image: ArrayLike, truth: ArrayLike) -> float:
    """Give the mean structural similarity (Wang et al. 2004), window of 7, the truth's range.

    Parameters
    ----------
    image, truth : array_like, axes (y, x)
        Of equal shape, in the same units, at least 7 pixels each way.

    Returns
    -------
    float
        1 for equal images.
    """
    given, wanted = _pair(image, truth)
    if min(wanted.shape) < _SSIM_WINDOW_PX:
        raise ImageError(
            "image", f"it has {wanted.shape} pixels", f"at least {_SSIM_WINDOW_PX} each way"
        )
    reach = float(np.ptp(wanted))
    if not reach:
        return np.nan
    return float(skimage_ssim(given, wanted, data_range=reach))  # type: ignore[no-untyped-call]


FIGURES: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "nmse": normalised_square_error,
    "correlation": pearson,
    "psnr_db": peak_signal_to_noise,
    "range_invariant_psnr_db": range_invariant_psnr,
    "ssim": structural_similarity,
}
"""All figures, by the names they have in reports."""


def compare_images(image: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Give all figures.

    Parameters
    ----------
    image, truth : array_like, axes (y, x)
        Of equal shape, at least 7 pixels each way.

    Returns
    -------
    dict of str to float
        By the names in ``FIGURES``.

    Raises
    ------
    ImageError
        The shapes differ, or a value isn't finite.
    """
    return {name: figure(image, truth) for name, figure in FIGURES.items()}


def _pair(image: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
