"""Lay a target over its input: how far it is off, how much sharper it is, how well both agree.

Everything is measured on the input's grid, where the target is binned to and blurred until it
resembles the input most. Light from out of focus, which only a widefield input has, is taken off
both first (minus a wide Gaussian). Places: a shift of +1 along y moves the target one *input* pixel
down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, optimize
from scipy.signal import windows
from skimage.registration import phase_cross_correlation

from bridge.images.blur import bin_pixels, blur

_UPSAMPLING = 100  # 0.01 px
_ROUNDS = 6
_HAZE_PX = 8.0  # what is wider than this, in input pixels, is no detail
_BLUR_PX = (0.3, 6.0)  # range of the relative blur, in input pixels
_START_BLUR_PX = 1.5
_LEAST_PX = 16  # of a field that is left after moving


@dataclass(frozen=True)
class Registration:
    """How a target lies on its input.

    Attributes
    ----------
    shift_y_px, shift_x_px : float
        What moves the target onto the input, in input pixels.
    blur_px : float
        Gaussian (standard deviation, input pixels) that makes the target most like the input.
    correlation : float
        Pearson's, of the moved, blurred target and the input.
    detail_correlation : float
        The same without what is wider than a few pixels: haze, and the shape of the cell.
    """

    shift_y_px: float
    shift_x_px: float
    blur_px: float
    correlation: float
    detail_correlation: float

    @property
    def shift(self) -> tuple[float, float]:
        """Both shifts (y, x), in input pixels."""
        return self.shift_y_px, self.shift_x_px


def register(
    image: NDArray[np.float32], target: NDArray[np.float32], *, scale: int
) -> Registration:
    """Find how a target lies on its input.

    Parameters
    ----------
    image : ndarray, axes (y, x)
        The input.
    target : ndarray, axes (Y, X)
        Exactly ``scale`` times as many pixels each way.
    scale : int
        Target pixels per input pixel.

    Returns
    -------
    Registration
        Shift, blur and agreement.
    """
    small = bin_pixels(target, scale)
    shift, blur_px = np.zeros(2), _START_BLUR_PX
    for _ in range(2):
        shift = _find_shift(image, blur(small, blur_px), shift)
        blur_px = _find_blur(image, small, shift)
    shift = _find_shift(image, blur(small, blur_px), shift)
    return _agree(image, small, shift, blur_px)


def agreement(image: NDArray[np.float32], target: NDArray[np.float32], *, scale: int) -> float:
    """Give the best agreement of details at any shift, without refining it: a quick look.

    Parameters
    ----------
    image, target : ndarray, axes (y, x), (Y, X)
        As for ``register``.
    scale : int
        Target pixels per input pixel.

    Returns
    -------
    float
        Highest Pearson correlation of details over all cyclic shifts.
    """
    given = _details(image)
    wanted = _details(blur(bin_pixels(target, scale), _START_BLUR_PX))
    power = math.sqrt(float((given**2).sum() * (wanted**2).sum()))
    if not power:
        return 0.0
    together = fft.irfft2(fft.rfft2(given) * np.conj(fft.rfft2(wanted)), s=given.shape)
    return float(together.max()) / power


def chance_agreement(
    image: NDArray[np.float32],
    target: NDArray[np.float32],
    others: list[NDArray[np.float32]],
    *,
    scale: int,
) -> float:
    """Give the agreement that chance gives: the input with targets that aren't its own.

    Parameters
    ----------
    image, target : ndarray, axes (y, x), (Y, X)
        A pair.
    others : list of ndarray, axes (Y, X)
        Targets of other fields; those of another shape are left out.
    scale : int
        Target pixels per input pixel.

    Returns
    -------
    float
        The highest over the other targets and over this one turned and mirrored, each at its best
        shift.
    """
    turned = [target[::-1], target[:, ::-1], target[::-1, ::-1]]
    wrong = turned + [other for other in others if other.shape == target.shape]
    return max(agreement(image, np.ascontiguousarray(one), scale=scale) for one in wrong)


def move(
    image: NDArray[np.float32],
    target: NDArray[np.float32],
    shift: tuple[float, float],
    *,
    scale: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Move a target onto its input, and cut both to the part they share.

    Parameters
    ----------
    image, target : ndarray, axes (y, x), (Y, X)
        As for ``register``.
    shift : (float, float)
        Along y and x, in input pixels.
    scale : int
        Target pixels per input pixel.

    Returns
    -------
    input, target : ndarray, float32
        The common part, in whole input pixels. The target is interpolated by cubic splines and
        kept within its own least and greatest value; a shift below a twentieth of a target pixel
        leaves its pixels untouched.
    """
    in_target = np.array(shift) * scale
    if np.abs(in_target).max() >= 0.05:
        moved = ndimage.shift(target.astype(np.float64), in_target, order=3, mode="reflect")
        target = moved.clip(target.min(), target.max()).astype(np.float32)
    else:
        shift = (0.0, 0.0)
    keep_small, keep_large = [], []
    for step, size in zip(shift, image.shape, strict=True):
        first, last = math.ceil(max(step, 0)), size - math.ceil(max(-step, 0))
        keep_small.append(slice(first, last))
        keep_large.append(slice(first * scale, last * scale))
    return image[tuple(keep_small)], target[tuple(keep_large)]


def _find_shift(
    image: NDArray[np.float32], seen: NDArray[np.float32], start: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Correlate details; repeated with the target moved, since the window stays where it is."""
    window = np.outer(*(windows.tukey(n, 0.3) for n in image.shape))
    given, wanted = _details(image) * window, _details(seen)
    shift = start.copy()
    for _ in range(_ROUNDS):
        moved = ndimage.shift(wanted, shift, order=3, mode="constant") * window
        step = phase_cross_correlation(  # type: ignore[no-untyped-call]
            given, moved, upsample_factor=_UPSAMPLING, normalization=None
        )[0]
        shift += step
        if np.abs(step).max() < 2 / _UPSAMPLING:
            break
    return shift


def _find_blur(
    image: NDArray[np.float32], small: NDArray[np.float32], shift: NDArray[np.float64]
) -> float:
    """Find the blur at which details agree most; cosine waves agree as the pixels do."""
    if _is_far(image, shift):
        return _START_BLUR_PX
    given, moved = move(image, small, (float(shift[0]), float(shift[1])), scale=1)
    squares = [(np.arange(n) / (2 * n)) ** 2 for n in given.shape]
    frequency2 = squares[0][:, None] + squares[1]  # (cycles per pixel) squared
    without_haze = 1 - np.exp(-2 * np.pi**2 * _HAZE_PX**2 * frequency2)
    waves = fft.dctn(given, norm="ortho") * without_haze
    waves_seen = fft.dctn(moved, norm="ortho") * without_haze

    def disagreement(blur_px: float) -> float:
        seen = waves_seen * np.exp(-2 * np.pi**2 * blur_px**2 * frequency2)
        power = math.sqrt(float((seen**2).sum()))
        return -float((waves * seen).sum()) / power if power else 0.0

    found = optimize.minimize_scalar(
        disagreement, bounds=_BLUR_PX, method="bounded", options={"xatol": 0.03}
    )
    return float(found.x)


def _agree(
    image: NDArray[np.float32],
    small: NDArray[np.float32],
    shift: NDArray[np.float64],
    blur_px: float,
) -> Registration:
    y, x = float(shift[0]), float(shift[1])
    if _is_far(image, shift):
        return Registration(y, x, blur_px, 0.0, 0.0)
    given, moved = move(image, small, (y, x), scale=1)
    seen = blur(moved, blur_px)
    return Registration(
        y, x, blur_px, _pearson(given, seen), _pearson(_details(given), _details(seen))
    )


def _is_far(image: NDArray[np.float32], shift: NDArray[np.float64]) -> bool:
    """Tell whether hardly anything of the field would be left."""
    return bool(min(n - abs(s) for n, s in zip(image.shape, shift, strict=True)) < _LEAST_PX)


def _details(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take off what is wide."""
    details: NDArray[np.float32] = image - blur(image, _HAZE_PX)
    return details


def _pearson(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    a, b = one - one.mean(dtype=np.float64), other - other.mean(dtype=np.float64)
    power = math.sqrt(float((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / power if power else 0.0
