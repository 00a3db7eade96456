"""Where single spots may be in a frame: peaks of a band-pass that stand out of the noise.

::

    counts --camera--> light --difference of Gaussians--> / its standard deviation --> peaks

The standard deviation is what the camera makes of the light around, times how much noisier than
that the frame really is: a wrong gain changes the figures, and not the spots that are found.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from bridge.smlm.camera import Camera
from bridge.smlm.peak_kernels import find_maxima

_INNER = 0.75  # width of the band-pass' inner Gaussian, over that of a spot
_OUTER = 1.6  # and of its outer one
_AROUND = 5.0  # half the width of the box that tells the light around, over that of a spot
_TRUNCATE = 3.0
_LEAST_LIGHT = 0.05
_LEAST_VARIANCE = 0.01
_CLIP = 3.0
_CLIPPED = 1.0136  # SD of a normal distribution over that of its part within 3


@dataclass(frozen=True, eq=False)
class Light:
    """Frames in a unit in which their shot noise is Poisson's: electrons over the excess noise.

    Parameters
    ----------
    values : ndarray, axes (t, y, x), float32
        The light; read noise makes some values negative.
    variance : ndarray, axes (y, x), float32
        Variance of read noise and rounding, in the square of that unit, > 0.
    per_photon : float
        Of that unit in one photon, > 0.
    dark : float
        Of that unit in a pixel that no photon reached, >= 0.
    """

    values: NDArray[np.float32]
    variance: NDArray[np.float32]
    per_photon: float
    dark: float

    def frame(self, number: int) -> Light:
        """Give one frame alone."""
        return dataclasses.replace(self, values=self.values[number : number + 1])

    def photons(self, light: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn the light of a pixel into photons."""
        return (light - self.dark) / self.per_photon


def light_from_counts(frames: NDArray[np.generic], camera: Camera) -> Light:
    """Undo offset and gain.

    Parameters
    ----------
    frames : ndarray, axes (t, y, x)
        Camera counts.
    camera : Camera
        The camera; with maps, the frames start at its chip's corner.

    Returns
    -------
    Light
        The same frames.

    Raises
    ------
    ImageError
        A map of the chip cannot be read, or is smaller than the frames.
    """
    counts = torch.from_numpy(np.ascontiguousarray(frames, dtype=np.float32))
    excess, efficiency = camera.excess_factor(), camera.quantum_efficiency
    per_photon, dark = efficiency / excess, camera.spurious_charge_e / excess
    # Without electrons only read noise and rounding are left.
    blank = torch.full_like(counts[:1], -camera.spurious_charge_e / efficiency)  # (1, y, x)
    slope = camera.to_photons(torch.ones_like(blank)) - camera.to_photons(torch.zeros_like(blank))
    variance = camera.count_variance(blank) * (slope * per_photon) ** 2  # (1, y, x)
    return Light(
        (camera.to_photons(counts) * per_photon + dark).numpy(),
        variance[0].clamp(min=_LEAST_VARIANCE).numpy(),
        per_photon,
        dark,
    )


def rough_part(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give what is left of noise, but not of anything smooth (Immerkaer, CVIU 64, 300 (1996)).

    Parameters
    ----------
    frame : ndarray, axes (y, x)
        At least 3 x 3 pixels.

    Returns
    -------
    ndarray, axes (y - 2, x - 2)
        Second differences along both axes; white noise keeps its variance.
    """
    down = frame[:-2] - 2 * frame[1:-1] + frame[2:]
    return np.asarray((down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]) / 6, np.float32)


def clipped_deviation(values: NDArray[np.floating]) -> float:
    """Give the standard deviation around 0 of what is left without outliers."""
    size = np.abs(values)
    limit = _CLIP * 1.4826 * float(np.median(size))
    inside = size[size <= limit] if limit > 0 else size
    return _CLIPPED * float(np.sqrt(np.mean(inside.astype(np.float64) ** 2)))


def find_spots(
    light: Light, *, sigma_px: float, threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find pixels in which there may be a spot's middle.

    Parameters
    ----------
    light : Light
        The frames.
    sigma_px : float
        Width of a spot, in pixels, > 0.
    threshold : float
        How often the noise's standard deviation a peak must be high, > 0.

    Returns
    -------
    (ndarray, ndarray, ndarray), each (n,)
        Frames from 0, rows and columns.
    """
    inner, outer = _INNER * sigma_px, _OUTER * sigma_px
    passed = _passed_deviation(inner, outer)
    box = 2 * round(_AROUND * sigma_px) + 1
    found: list[NDArray[np.int64]] = []
    for number, frame in enumerate(light.values):
        narrow, wide = _blur(frame, inner), _blur(frame, outer)
        around = ndimage.uniform_filter(frame, box)
        deviation = np.sqrt(np.maximum(around, _LEAST_LIGHT) + light.variance)
        height = np.asarray((narrow - wide) / deviation, np.float32)
        local = np.sqrt(np.maximum(wide, _LEAST_LIGHT) + light.variance)[1:-1, 1:-1]
        # A quarter of the pixels tells the noise well enough.
        ratio = clipped_deviation((rough_part(frame) / local)[::2, ::2])
        rows, columns = find_maxima(height, threshold * ratio * passed, 1)
        found.append(np.stack([np.full_like(rows, number), rows, columns]))
    if not found:
        return (np.empty(0, np.int64),) * 3
    frames, rows, columns = np.concatenate(found, axis=1)
    return frames, rows, columns


def _blur(frame: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(frame, sigma_px, truncate=_TRUNCATE), np.float32)


def _passed_deviation(inner: float, outer: float) -> float:
    """Give the band-pass' standard deviation for white noise whose own is 1."""
    edge = 2 * int(_TRUNCATE * outer + 1) + 1
    point = np.zeros((edge, edge), np.float32)
    point[edge // 2, edge // 2] = 1
    return float(np.sqrt(((_blur(point, inner) - _blur(point, outer)) ** 2).sum()))
