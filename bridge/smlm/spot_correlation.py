"""How well spots, drawn frame by frame, agree with a movie: for every shift of them at once.

The spots of a frame are drawn as Gaussians on camera pixels; from both movie and drawing the slow
part over space is taken, and, where there are enough frames, the mean over time, so that blinking
is compared and not the sample's outline. A product of Fourier transforms then gives Pearson's
correlation for each shift, in whole pixels, between -half and +half of the canvas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft, ndimage

from bridge.errors import TableError

_MAX_PIXELS = 2**23  # of all frames compared, so that a look takes seconds
_MAX_FRAMES = 160
_BLOCK = 8
_MARGIN_PX = 16
_SMOOTH_PX = 8.0
_FRAMES_FOR_MEAN = 8

Spectra = Mapping[int, NDArray[np.complex64]]


@dataclass(frozen=True)
class Spots:
    """Localizations in camera pixels.

    Parameters
    ----------
    frame : ndarray, axis (spot,), int
        Frame of each, from 0.
    y_px, x_px : ndarray, axis (spot,)
        Where it is, from the outer corner of the first pixel.
    weight : ndarray, axis (spot,)
        How bright it is, > 0.
    sigma_px : float
        Width of a spot, > 0.
    """

    frame: NDArray[np.int64]
    y_px: NDArray[np.float64]
    x_px: NDArray[np.float64]
    weight: NDArray[np.float64]
    sigma_px: float

    def swapped(self) -> Spots:
        """Give the same spots with x and y exchanged."""
        return Spots(self.frame, self.x_px, self.y_px, self.weight, self.sigma_px)

    def moved(self, y_px: float, x_px: float) -> Spots:
        """Give the same spots elsewhere."""
        return Spots(self.frame, self.y_px + y_px, self.x_px + x_px, self.weight, self.sigma_px)

    def in_frame(self, frame: int) -> Spots:
        """Give the spots of one frame."""
        at = self.frame == frame
        return Spots(self.frame[at], self.y_px[at], self.x_px[at], self.weight[at], self.sigma_px)


@dataclass(frozen=True)
class CorrelationMap:
    """Correlation for each shift of the spots.

    Parameters
    ----------
    values : ndarray, axes (y, x)
        Pearson's correlation; index 0 is no shift, negative shifts are at the end.
    """

    values: NDArray[np.float64]

    @property
    def unshifted(self) -> float:
        """Correlation of the spots where they are."""
        return float(self.values[0, 0])

    @property
    def peak(self) -> float:
        """Highest correlation."""
        return float(self.values.max())

    def peak_at(self) -> tuple[float, float]:
        """Give the shift (y, x) of the peak, in pixels, to a fraction of one."""
        size = self.values.shape
        at = np.unravel_index(int(self.values.argmax()), size)
        whole = [int(k) if k < n / 2 else int(k) - n for k, n in zip(at, size, strict=True)]
        return (
            whole[0] + _vertex(self.values[np.arange(-1, 2) + whole[0], at[1]]),
            whole[1] + _vertex(self.values[at[0], np.arange(-1, 2) + whole[1]]),
        )

    def runner_up(self, radius_px: int) -> float:
        """Give the highest correlation further from the peak than a radius, in pixels."""
        size = self.values.shape
        at = np.unravel_index(int(self.values.argmax()), size)
        near = [np.arange(-radius_px, radius_px + 1) + k for k in at]
        rest = self.values.copy()
        rest[np.ix_(near[0] % size[0], near[1] % size[1])] = -1.0
        return float(rest.max())


def _vertex(three: NDArray[np.float64]) -> float:
    """Give the place of a Gaussian's peak through three neighbouring values, -0.5 <= x <= 0.5."""
    low, mid, high = np.log(np.maximum(three, 1e-6))
    bend = low - 2 * mid + high
    return 0.0 if bend >= 0 else float(np.clip((low - high) / (2 * bend), -0.5, 0.5))


def frames_of(stack: xr.DataArray) -> xr.DataArray:
    """Give a movie with the axes (t, y, x), whatever its file calls the axis of frames.

    Parameters
    ----------
    stack : DataArray
        An image (y, x), or one with a single axis besides.

    Returns
    -------
    DataArray, axes (t, y, x)
        The same pixels.

    Raises
    ------
    TableError
        There is more than one such axis.
    """
    others = [str(dim) for dim in stack.dims if dim not in ("y", "x")]
    if not others:
        return stack.expand_dims("t")
    if len(others) > 1:
        sizes = " x ".join(f"{stack.sizes[dim]} ({dim})" for dim in others)
        raise TableError(
            str(stack.attrs.get("source", "the stack")),
            f"it has {sizes} images",
            "one axis of frames",
            "Take one channel and slice of it.",
        )
    return stack.rename({others[0]: "t"}) if others[0] != "t" else stack


def choose_frames(present: NDArray[np.int64], shape: tuple[int, int]) -> list[int]:
    """Choose frames to look at: all, or blocks of neighbours spread over the movie.

    Parameters
    ----------
    present : ndarray, axis (frame,), int
        Frames that have spots, sorted, from 0.
    shape : (int, int)
        Size of a frame (y, x), in pixels.

    Returns
    -------
    list of int
        Some of them, sorted.
    """
    most = int(np.clip(_MAX_PIXELS // (shape[0] * shape[1]), 4, _MAX_FRAMES))
    if len(present) <= most:
        return [int(k) for k in present]
    n_blocks = max(1, most // _BLOCK)
    starts = np.linspace(0, len(present) - most // n_blocks, n_blocks).astype(int)
    chosen = {int(present[s + k]) for s in starts for k in range(most // n_blocks)}
    return sorted(chosen)


def _edge(n_px: int, reach_px: float) -> int:
    """Give a canvas's edge that holds image and spots, of a length that transforms fast."""
    held = int(min(max(n_px, reach_px), 2 * n_px)) + _MARGIN_PX
    return int(fft.next_fast_len(held, real=True))


class MovieSpectra:
    """The Fourier transforms of some of a movie's frames, made once for all hypotheses.

    Parameters
    ----------
    movie : DataArray, axes (t, y, x)
        The movie; only the frames asked for are read.
    frames : sequence of int
        Frames to compare, from 0.
    shifts : sequence of int
        Frame shifts that will be asked for.
    reach_px : (float, float)
        How far spots reach (y, x); the canvas holds them, up to twice the image.
    """

    def __init__(
        self,
        movie: xr.DataArray,
        frames: Sequence[int],
        shifts: Sequence[int],
        reach_px: tuple[float, float],
    ) -> None:
        self.frames = list(frames)
        n_frames, *size = (movie.sizes[dim] for dim in ("t", "y", "x"))
        self.canvas = (_edge(size[0], reach_px[0]), _edge(size[1], reach_px[1]))
        wanted = sorted({f + s for f in frames for s in shifts if 0 <= f + s < n_frames})
        self.images: dict[int, NDArray[np.float32]] = {}
        self._spectra: dict[int, NDArray[np.complex64]] = {}
        for k in wanted:
            image = movie.isel(t=k).values.astype(np.float32)
            image = image - ndimage.gaussian_filter(image, _SMOOTH_PX, mode="nearest")
            self.images[k] = image
            self._spectra[k] = fft.rfft2(image, self.canvas).astype(np.complex64)

    def draw(self, spots: Spots) -> Spectra:
        """Give the Fourier transforms of the drawn spots of the chosen frames."""
        transfer = self._transfer(spots.sigma_px)
        return {k: self._spectrum(spots.in_frame(k)) * transfer for k in self.frames}

    def _transfer(self, sigma_px: float) -> NDArray[np.float32]:
        fy = fft.fftfreq(self.canvas[0])[:, None]
        fx = fft.rfftfreq(self.canvas[1])[None, :]
        squared = -2 * np.pi**2 * (fy**2 + fx**2)
        spot, slow = np.exp(squared * sigma_px**2), np.exp(squared * _SMOOTH_PX**2)
        transfer: NDArray[np.float32] = (spot * (1 - slow)).astype(np.float32)
        return transfer

    def _spectrum(self, spots: Spots) -> NDArray[np.complex64]:
        """Draw spots as points shared among four pixels, which keeps their centre."""
        n_y, n_x = self.canvas
        image = np.zeros(n_y * n_x)
        y, x = spots.y_px - 0.5, spots.x_px - 0.5
        top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
        for row, part_y in ((top, 1 - (y - top)), (top + 1, y - top)):
            for column, part_x in ((left, 1 - (x - left)), (left + 1, x - left)):
                is_in = (row >= 0) & (row < n_y) & (column >= 0) & (column < n_x)
                place = row[is_in] * n_x + column[is_in]
                share = (spots.weight * part_y * part_x)[is_in]
                image += np.bincount(place, share, minlength=n_y * n_x)
        spectrum: NDArray[np.complex64] = fft.rfft2(image.reshape(n_y, n_x)).astype(np.complex64)
        return spectrum

    def correlate(self, drawn: Spectra, shift: int, *, is_mean_kept: bool) -> CorrelationMap | None:
        """Correlate drawn spots with the movie's frames ``shift`` later.

        Parameters
        ----------
        drawn : mapping of int to ndarray
            What ``draw`` gave.
        shift : int
            Frames that the spots are moved by, one of those announced.
        is_mean_kept : bool
            Whether the mean over time stays in.

        Returns
        -------
        CorrelationMap or None
            ``None`` where no frame, or too few for a mean over time, is left.
        """
        pairs = [
            (drawn[k], self._spectra[k + shift]) for k in self.frames if k + shift in self._spectra
        ]
        n = len(pairs)
        if n < (1 if is_mean_kept else _FRAMES_FOR_MEAN):
            return None
        cross = np.zeros_like(pairs[0][0], np.complex128)
        sums = [cross.copy(), cross.copy()]
        powers = [np.zeros(cross.shape), np.zeros(cross.shape)]
        for pair in pairs:
            cross += np.conj(pair[0]) * pair[1]
            for total, power, spectrum in zip(sums, powers, pair, strict=True):
                total += spectrum
                power += np.abs(spectrum) ** 2
        if not is_mean_kept:
            cross -= np.conj(sums[0]) * sums[1] / n
            powers = [p - np.abs(t) ** 2 / n for p, t in zip(powers, sums, strict=True)]
        energy = [self._energy(power) for power in powers]
        if min(energy) <= 0:
            return None
        values = fft.irfft2(cross, self.canvas) / np.sqrt(energy[0] * energy[1])
        return CorrelationMap(values)

    def _energy(self, power: NDArray[np.float64]) -> float:
        """Sum the squares of an image whose half spectrum's squares are given (Parseval)."""
        twice = 2 * power.sum() - power[:, 0].sum()
        if self.canvas[1] % 2 == 0:
            twice -= power[:, -1].sum()
        return float(twice) / (self.canvas[0] * self.canvas[1])
