"""What every restoration is compared with: the input itself, Richardson-Lucy, black, the target.

A network that beats the input by 8 dB may still be worse than forty lines of algebra from 1972, so
these rows are always there. Nothing here learns; the little that is chosen, Richardson-Lucy's
iterations, how a background is read off an input, and the factor between the units of input and
target, is chosen on validation fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.images.blur import bin_pixels, blur, repeat_pixels
from bridge.progress import Progress, silent
from bridge.quality.consistency import compare_with_input, compare_with_widefield

ITERATIONS: Final = (3, 5, 10, 20, 30, 50, 75, 100)
"""Of Richardson-Lucy; what is tried on the validation fields."""

USUAL_ITERATIONS: Final = 50
"""What is taken where there are no validation fields."""

PERCENTILES: Final = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Of a blurred input, to be its background; what is tried on the validation fields."""

USUAL_PERCENTILE: Final = 5.0
"""What is taken where there are no validation fields."""

_TINY: Final = 1e-9


@dataclass(frozen=True)
class Example:
    """A field to choose on.

    Attributes
    ----------
    input : DataArray, axes (y, x)
        What is restored.
    wanted : DataArray, axes (Y, X)
        Its truth, or its target where there is no truth; a whole number of times as many pixels.
    """

    input: xr.DataArray
    wanted: xr.DataArray

    @property
    def scale(self) -> int:
        """Target pixels per input pixel."""
        return self.wanted.shape[0] // self.input.shape[0]


@dataclass(frozen=True)
class Calibration:
    """How inputs follow from targets, and what Richardson-Lucy needs to know.

    Attributes
    ----------
    sigma_px : float
        Kernel between target and input (standard deviation), in target pixels.
    gain : float
        Input units per target unit.
    iterations : int
        Of Richardson-Lucy.
    percentile : float
        Of a blurred input, to be its background.
    is_fitted : bool
        Whether the kernel was fitted, its width not being known.
    n_fields : int
        Validation fields that it was chosen on; 0 where there are none.
    """

    sigma_px: float
    gain: float = 1.0
    iterations: int = USUAL_ITERATIONS
    percentile: float = USUAL_PERCENTILE
    is_fitted: bool = False
    n_fields: int = 0


def calibrate(
    examples: Sequence[Example], *, sigma_px: float | None, progress: Progress = silent
) -> Calibration:
    """Choose kernel, gain and iterations on validation fields.

    Parameters
    ----------
    examples : sequence of Example
        Validation fields, never those that are judged; may be none where the kernel is known.
    sigma_px : float or None
        Kernel between target and input, in target pixels; None fits it (median over the fields).
    progress : Progress
        Told after each field.

    Returns
    -------
    Calibration
        Gain and kernel are medians over the fields; the percentile gives backgrounds nearest to
        what the target leaves unexplained, the iterations the least squared error.

    Raises
    ------
    ImageError
        The kernel isn't known, and there is no field to fit it on.
    """
    if sigma_px is None and not examples:
        raise ImageError(
            "validation fields",
            "there are none, and the widths of the PSFs aren't known",
            "one or the other",
            "Write input_fwhm_nm and target_fwhm_nm into pairs.yaml.",
        )
    is_fitted = sigma_px is None
    if sigma_px is None:
        sigma_px = float(np.median([_fit_sigma(example) for example in examples]))
    if not examples:
        return Calibration(sigma_px)
    fits = [compare_with_input(one.wanted, one.input, sigma_px=sigma_px) for one in examples]
    gain = float(np.median([fit.alpha for fit in fits]))
    if not gain > 0:
        gain = 1.0
    percentile = _choose_percentile(examples, [fit.beta for fit in fits], sigma_px)
    errors = np.zeros(len(ITERATIONS))
    for number, one in enumerate(examples):
        progress(number, len(examples), "Richardson-Lucy on the validation fields")
        pixels = np.asarray(one.input, np.float64) / gain
        background = find_background(pixels, sigma_px=sigma_px / one.scale, percentile=percentile)
        steps = _richardson_lucy(pixels, sigma_px=sigma_px, scale=one.scale, background=background)
        reached = (
            image
            for step, image in zip(range(1, ITERATIONS[-1] + 1), steps, strict=False)
            if step in ITERATIONS
        )
        wanted = np.asarray(one.wanted, np.float64)
        errors += [float(((image - wanted) ** 2).mean()) for image in reached]
    best = ITERATIONS[int(np.argmin(errors))]
    return Calibration(sigma_px, gain, best, percentile, is_fitted, len(examples))


def richardson_lucy(
    observed: NDArray[np.floating],
    *,
    sigma_px: float,
    background: float,
    scale: int = 1,
    iterations: int = USUAL_ITERATIONS,
) -> NDArray[np.float32]:
    """Deconvolve by the kernel between target and input (Richardson 1972, Lucy 1974).

    The forward model is ``bin(blur(object)) + background``; the start is flat. With the *relative*
    kernel the result is the object as the target's microscope shows it.

    Parameters
    ----------
    observed : ndarray, axes (y, x)
        The input.
    sigma_px : float
        Standard deviation of the kernel, in target pixels.
    background : float
        Even background of the input; :func:`find_background` estimates it.
    scale : int
        Target pixels per input pixel.
    iterations : int
        Number of updates, >= 1.

    Returns
    -------
    ndarray, axes (Y, X), float32
        Not negative.
    """
    pixels = np.asarray(observed, np.float64)
    steps = _richardson_lucy(pixels, sigma_px=sigma_px, scale=scale, background=background)
    for _, image in zip(range(iterations), steps, strict=False):
        found = image
    return found.astype(np.float32)


def find_background(
    observed: NDArray[np.floating], *, sigma_px: float, percentile: float = USUAL_PERCENTILE
) -> float:
    """Give the even background of an image: what is dark in it after a blur against the noise.

    Parameters
    ----------
    observed : ndarray, axes (y, x)
        The image.
    sigma_px : float
        Width of the blur, in its pixels; at least 2 are taken.
    percentile : float
        What counts as dark, 0 to 100.

    Returns
    -------
    float
        In the image's units; too large where no place is empty.
    """
    smooth = blur(np.asarray(observed, np.float64), max(sigma_px, 2.0))
    return float(np.percentile(smooth, percentile))


def take_input(
    observed: NDArray[np.floating], *, scale: int, background: float = 0.0
) -> NDArray[np.float32]:
    """Give the input on the target's pixels, each repeated.

    Parameters
    ----------
    observed : ndarray, axes (y, x)
        The input.
    scale : int
        Target pixels per input pixel.
    background : float
        Taken off first.

    Returns
    -------
    ndarray, axes (Y, X), float32
    """
    return repeat_pixels(np.asarray(observed - background, np.float32), scale)


def _richardson_lucy(
    observed: NDArray[np.float64],
    *,
    sigma_px: float,
    scale: int,
    background: float,
) -> Iterator[NDArray[np.float64]]:
    """Give the image after each update, for ever."""
    light = observed.clip(min=0)
    level = max(float(light.mean()) - background, _TINY)
    image = np.full([scale * n for n in observed.shape], level)
    least = _TINY * max(float(light.max()), _TINY)
    while True:
        expected = bin_pixels(blur(image, sigma_px), scale) + background
        ratio = light / expected.clip(min=least)
        image = (image * blur(repeat_pixels(ratio, scale), sigma_px)).clip(min=0)
        yield image


def _choose_percentile(
    examples: Sequence[Example], backgrounds: Sequence[float], sigma_px: float
) -> float:
    """Give the percentile whose backgrounds are nearest to the true ones."""
    errors = [
        np.mean(
            [
                abs(
                    find_background(
                        one.input.values, sigma_px=sigma_px / one.scale, percentile=percentile
                    )
                    - true
                )
                for one, true in zip(examples, backgrounds, strict=True)
            ]
        )
        for percentile in PERCENTILES
    ]
    return PERCENTILES[int(np.argmin(errors))]


def _fit_sigma(example: Example) -> float:
    """Fit the kernel of one field, in target pixels."""
    plain = [
        xr.DataArray(image.values, dims=("y", "x")) for image in (example.wanted, example.input)
    ]
    return compare_with_widefield(*plain).sigma_nm * example.scale  # in input pixels without a size
