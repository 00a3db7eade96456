"""How alike the structure of two images is: SSIM, its two kin, and the likeness of gradients.

=========================  ===============  ==========================================  ====
figure                     intensities      source                                      best
=========================  ===============  ==========================================  ====
``structural_similarity``  as they are      Wang et al. 2004, window of 7 x 7           1
``multiscale_ssim``        as they are      Wang et al. 2003, five scales               1
``micro_ssim``             scaled, a set    Ashesh et al. 2024 (arXiv 2408.08747)       1
``gradient_deviation``     as they are      Xue et al. 2014 (GMSD)                      0
=========================  ===============  ==========================================  ====
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import convolve1d, gaussian_filter, uniform_filter
from scipy.optimize import minimize_scalar
from skimage.metrics import structural_similarity as skimage_ssim

from bridge.errors import ImageError
from bridge.images.blur import bin_pixels
from bridge.quality.metrics import check_range, pair

_WINDOW_PX: Final = 7
_K1, _K2 = 0.01, 0.03
SCALE_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_GAUSSIAN_SIGMA_PX: Final = 1.5
_GAUSSIAN_REACH_PX: Final = 5
_BACKGROUND_PERCENTILE: Final = 3
_FACTORS: Final = np.geomspace(0.05, 20, 25)
_GMSD_CONSTANT: Final = 170 / 255**2

LEAST_MULTISCALE_PX: Final = 176
"""Images for ``multiscale_ssim`` are at least this high and wide: 11 pixels of the coarsest."""


def structural_similarity(image: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    """Give the mean structural similarity (SSIM) over windows of 7 x 7 pixels.

    Parameters
    ----------
    image, truth : array_like, axes (y, x)
        Of equal shape, in the same units, at least 7 pixels each way.
    data_range : float
        Largest value minus smallest that images of this kind have, > 0.

    Returns
    -------
    float
        1 for equal images.

    Raises
    ------
    ImageError
        The shapes differ or are too small, a value isn't finite, or there is no range.
    """
    given, wanted = pair(image, truth)
    _check_size(wanted, _WINDOW_PX)
    reach = check_range(data_range)
    return float(skimage_ssim(given, wanted, data_range=reach))  # type: ignore[no-untyped-call]


def multiscale_ssim(image: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    """Give the structural similarity over five scales (MS-SSIM).

    Gaussian windows of sigma 1.5 and 11 pixels, only where they lie inside the image; from scale to
    scale the images are averaged by 2 x 2. Negative terms count as 0.

    Parameters
    ----------
    image, truth : array_like, axes (y, x)
        Of equal shape, in the same units, at least 176 pixels each way.
    data_range : float
        Largest value minus smallest that images of this kind have, > 0.

    Returns
    -------
    float
        1 for equal images.

    Raises
    ------
    ImageError
        The shapes differ or are too small, a value isn't finite, or there is no range.
    """
    given, wanted = pair(image, truth)
    _check_size(wanted, LEAST_MULTISCALE_PX)
    reach = check_range(data_range)
    product = 1.0
    for scale, weight in enumerate(SCALE_WEIGHTS):
        moments = _measure_windows(wanted, given, reach, _gaussian, _GAUSSIAN_REACH_PX, 1.0)
        is_last = scale == len(SCALE_WEIGHTS) - 1
        likeness = moments.similarity() if is_last else moments.contrast()
        product *= max(float(likeness.mean()), 0.0) ** weight
        given, wanted = _halve(given), _halve(wanted)
    return product


def micro_ssim(images: Sequence[ArrayLike], truths: Sequence[ArrayLike]) -> list[float]:
    """Give the structural similarity after background and scale of a whole set are made equal.

    As MicroSSIM: from images and truths their own 3rd percentile over the set is taken, both are
    divided by the truths' largest value, and one factor for all images is found that gives the
    largest mean similarity. The data range of each is that of its truth.

    Parameters
    ----------
    images, truths : sequence of array_like, axes (y, x)
        As many of one as of the other, each two of equal shape, at least 7 pixels each way.

    Returns
    -------
    list of float
        For each image, 1 at best; NaN where all truths are constant.

    Raises
    ------
    ImageError
        Shapes differ or are too small, or a value isn't finite.
    """
    pairs = [pair(image, truth) for image, truth in zip(images, truths, strict=True)]
    offsets = [
        np.percentile(
            np.concatenate([both[side].ravel() for both in pairs]), _BACKGROUND_PERCENTILE
        )
        for side in (0, 1)
    ]
    largest = max(float(wanted.max()) for _, wanted in pairs) - float(offsets[1])
    if not largest > 0:
        return [float("nan")] * len(pairs)
    spreads = [sum(float(both[side].var()) for both in pairs) ** 0.5 for side in (0, 1)]
    unit = spreads[0] / spreads[1] or 1.0  # images may have units of their own
    windows = []
    for given, wanted in pairs:
        _check_size(wanted, _WINDOW_PX)
        first, second = (wanted - offsets[1]) / largest, (given - offsets[0]) / largest / unit
        n_pixels = _WINDOW_PX**2
        reach = float(np.ptp(first)) or 1.0
        windows.append(
            _measure_windows(
                first, second, reach, _uniform, _WINDOW_PX // 2, n_pixels / (n_pixels - 1)
            )
        )

    def loss(factor: float) -> float:
        return -float(np.mean([each.similarity(factor).mean() for each in windows]))

    best = int(np.argmin([loss(factor) for factor in _FACTORS]))
    bounds = _FACTORS[max(best - 1, 0)], _FACTORS[min(best + 1, len(_FACTORS) - 1)]
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return [float(each.similarity(float(found.x)).mean()) for each in windows]


def gradient_deviation(image: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
    """Give the spread of the likeness of gradients (GMSD): edges lost, blurred or made up.

    Gradients are Prewitt's, of images averaged by 2 x 2; their likeness is
    (2 a b + c) / (a^2 + b^2 + c) with c = 170 for a data range of 255.

    Parameters
    ----------
    image, truth : array_like, axes (y, x)
        Of equal shape, in the same units, at least 8 pixels each way.
    data_range : float
        Largest value minus smallest that images of this kind have, > 0.

    Returns
    -------
    float
        Standard deviation over the pixels; 0 for equal images.

    Raises
    ------
    ImageError
        The shapes differ or are too small, a value isn't finite, or there is no range.
    """
    given, wanted = pair(image, truth)
    _check_size(wanted, 8)
    constant = _GMSD_CONSTANT * check_range(data_range) ** 2
    first, second = (_prewitt(_halve(pixels)) for pixels in (given, wanted))
    return float(((2 * first * second + constant) / (first**2 + second**2 + constant)).std())


class _Windows(NamedTuple):
    """Means, variances and covariance of truth (x) and image (y) in windows, with SSIM's constants.

    Those of the image times a factor follow from them.
    """

    mean_x: NDArray[np.float64]
    mean_y: NDArray[np.float64]
    var_x: NDArray[np.float64]
    var_y: NDArray[np.float64]
    cov: NDArray[np.float64]
    c1: float
    c2: float

    def contrast(self, factor: float = 1.0) -> NDArray[np.float64]:
        """Give the product of contrast and structure in each window."""
        above = 2 * factor * self.cov + self.c2
        return above / (self.var_x + factor**2 * self.var_y + self.c2)

    def similarity(self, factor: float = 1.0) -> NDArray[np.float64]:
        """Give the structural similarity in each window."""
        above = 2 * factor * self.mean_x * self.mean_y + self.c1
        light = above / (self.mean_x**2 + factor**2 * self.mean_y**2 + self.c1)
        return light * self.contrast(factor)


def _measure_windows(
    truth: NDArray[np.float64],
    image: NDArray[np.float64],
    data_range: float,
    average: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    rim_px: int,
    norm: float,
) -> _Windows:
    """Measure windows that lie inside; ``norm`` makes variances of samples from those of pixels."""
    inner = (slice(rim_px, -rim_px), slice(rim_px, -rim_px))
    mean_x, mean_y = average(truth)[inner], average(image)[inner]
    return _Windows(
        mean_x,
        mean_y,
        norm * (average(truth**2)[inner] - mean_x**2),
        norm * (average(image**2)[inner] - mean_y**2),
        norm * (average(truth * image)[inner] - mean_x * mean_y),
        (_K1 * data_range) ** 2,
        (_K2 * data_range) ** 2,
    )


def _gaussian(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = gaussian_filter(
        pixels, _GAUSSIAN_SIGMA_PX, radius=_GAUSSIAN_REACH_PX
    )
    return smooth


def _uniform(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = uniform_filter(pixels, _WINDOW_PX)
    return smooth


def _halve(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average 2 x 2 pixels; an odd last row or column is left out."""
    return bin_pixels(pixels, 2)


def _prewitt(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the magnitude of Prewitt's gradient, means of three pixels; zeros beyond the edges."""
    parts = []
    for along in (0, 1):
        steep = convolve1d(pixels, [1.0, 0.0, -1.0], axis=along, mode="constant")
        parts.append(convolve1d(steep, np.full(3, 1 / 3), axis=1 - along, mode="constant"))
    steepness: NDArray[np.float64] = np.hypot(*parts)
    return steepness


def _check_size(pixels: NDArray[np.float64], least_px: int) -> None:
    if pixels.ndim != 2 or min(pixels.shape) < least_px:
        raise ImageError(
            "image", f"it has {pixels.shape} pixels", f"a plane of at least {least_px} each way"
        )
