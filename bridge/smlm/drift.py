"""Drift of the sample, found in the localizations themselves by redundant cross-correlation.

Wang et al. 2014, Optics Express 22:15982: the frames are cut into n segments, each is drawn as an
image, and every pair of images is correlated::

    segments   1    2    3    4          shift of each pair: r(i, j) = d(j) - d(i) + error
               +-r12+-r23+-r34+
               +---r13---+                n (n - 1) / 2 equations for n - 1 unknowns, by least
                    +---r24---+           squares; pairs that contradict the rest are left out
               +-----r14------+

The drift of every frame is a smooth cubic along the segments' middles, 0 at the first frame, and is
subtracted. It is done twice: the second time no segment is blurred by the drift within it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import CubicSpline, make_smoothing_spline
from scipy.optimize import least_squares

from bridge.errors import TableError
from bridge.progress import Progress, silent
from bridge.smlm.columns import REQUIRED
from bridge.smlm.render import render_histogram

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAST_SEGMENTS = 4
"""Segments below which there is too little redundancy to find out what is wrong."""

_MOST_SEGMENTS = 30
_ROWS_PER_SEGMENT = 1000
_FEWEST_TRIED_FIRST = 10
_LEAST_ROWS_PER_SEGMENT = 100
_FINEST_NM = 20.0
_MOST_PX = 2048  # longest edge of an image of the whole field, where the pixel is free to choose
_PEAK_RADIUS_PX = 4
_PASSES = 2
_CONTRADICTION_PX = 2.0
_GOOD_RESIDUAL_PX = 0.25  # above it, fewer segments are tried
_LEAST_SMOOTHED = 6


@dataclass(frozen=True, eq=False)
class Drift:
    """How the sample moved.

    Attributes
    ----------
    frame : ndarray of int64
        Every frame from the first to the last of the table.
    dx_nm, dy_nm : ndarray of float64, one for each frame
        Drift since the first frame, in nm.
    knot_frame, knot_nm : ndarray of float64, (n) and (n, 2)
        Mean frame of each segment that most others agree with, and its drift (x, y).
    n_segments : int
        Segments, those left out among them.
    n_pairs, n_contradicting : int
        Pairs of segments, and those left out since they contradict the others.
    residual_nm : float
        Root mean square by which the pairs that count differ from the drift, along one axis. It
        tells how well they agree; what is common to all pairs of a segment doesn't show in it.
    segment_frames : float
        Frames in a segment.
    render_pixel_nm : float
        Edge of a pixel of the images.
    """

    frame: Indices
    dx_nm: Floats
    dy_nm: Floats
    knot_frame: Floats
    knot_nm: Floats
    n_segments: int
    n_pairs: int
    n_contradicting: int
    residual_nm: float
    segment_frames: float
    render_pixel_nm: float

    @property
    def range_nm(self) -> tuple[float, float]:
        """Extent of the drift along x and y."""
        return float(np.ptp(self.dx_nm)), float(np.ptp(self.dy_nm))


@dataclass(frozen=True)
class _Grid:
    """The images of the segments: where they begin, how large they are, how far shifts may go."""

    pixel_nm: float
    origin_nm: tuple[float, float]
    shape: tuple[int, int]
    reach_px: int

    def padded(self) -> list[int]:
        """Give a size to which images can be shifted without coming in again on the other side."""
        return [
            fft.next_fast_len(n + self.reach_px + _PEAK_RADIUS_PX, real=True) for n in self.shape
        ]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Shifts of pairs of segments: (n) and (n), and (n, 2) in nm, x and y."""

    first: Indices
    second: Indices
    shift_nm: Floats


def measure_drift(
    table: pd.DataFrame,
    *,
    segment_frames: int | None = None,
    max_drift_nm: float = 1000.0,
    render_pixel_nm: float | None = None,
    progress: Progress = silent,
) -> Drift:
    """Find the drift of a table's structure.

    Parameters
    ----------
    table : DataFrame
        Localizations with finite ``frame``, ``x_nm`` and ``y_nm``.
    segment_frames : int, optional
        Frames in a segment, >= 1. By default as many as hold about 1000 localizations, but 10 to 30
        segments; half as many, and so on, where those agree badly.
    max_drift_nm : float
        Largest drift between any two segments, along one axis, in nm, > 0.
    render_pixel_nm : float, optional
        Edge of a pixel of the images that are correlated, in nm, > 0; by default 20, or more for
        a field over 41 um.
    progress : Progress
        Told of every pair.

    Returns
    -------
    Drift
        Of every frame.

    Raises
    ------
    TableError
        The table is too short for four segments of 100 localizations, or it shows no structure that
        comes back from segment to segment.
    """
    _check(table, max_drift_nm)
    grid = _lay_grid(table, max_drift_nm, render_pixel_nm)
    frames = table["frame"].to_numpy(np.int64)
    best: Drift | None = None
    first_error: TableError | None = None
    for n_segments in _choose_numbers(table, segment_frames):
        segment = _cut(frames, n_segments)
        try:
            found = _measure(table, segment, n_segments, grid, progress)
        except TableError as error:  # with fewer segments each holds more of the structure
            first_error = first_error or error
            continue
        if best is None or found.residual_nm < best.residual_nm:
            best = found
        if best.residual_nm <= _GOOD_RESIDUAL_PX * grid.pixel_nm:
            break
    if best is None:
        assert first_error is not None
        raise first_error
    return best


def subtract_drift(table: pd.DataFrame, drift: Drift) -> pd.DataFrame:
    """Undo a drift.

    Parameters
    ----------
    table : DataFrame
        Localizations of frames that ``drift`` knows.
    drift : Drift
        How the sample moved.

    Returns
    -------
    DataFrame
        A copy; the history in its ``attrs`` goes on.
    """
    place = table["frame"].to_numpy(np.int64) - drift.frame[0]
    corrected = table.assign(
        x_nm=table["x_nm"] - drift.dx_nm[place], y_nm=table["y_nm"] - drift.dy_nm[place]
    )
    across, down = drift.range_nm
    corrected.attrs = dict(table.attrs)
    corrected.attrs["history"] = [
        *table.attrs.get("history", []),
        f"Drift of {across:.1f} nm in x and {down:.1f} nm in y was subtracted, found by redundant "
        f"cross-correlation of {drift.n_segments} segments.",
    ]
    return corrected


def _check(table: pd.DataFrame, max_drift_nm: float) -> None:
    what = _name(table)
    missing = [name for name in REQUIRED if name not in table]
    if missing:
        raise TableError(what, f"it has no column {' and no '.join(missing)}", ", ".join(REQUIRED))
    if not np.isfinite(table[["x_nm", "y_nm"]].to_numpy(np.float64)).all():
        raise TableError(what, "a coordinate isn't finite", "numbers", "Remove these rows.")
    least = LEAST_SEGMENTS * _LEAST_ROWS_PER_SEGMENT
    n_frames = int(np.ptp(table["frame"])) + 1 if len(table) else 0
    if len(table) < least or n_frames < LEAST_SEGMENTS:
        raise TableError(
            what,
            f"it has {len(table):,} localizations in {n_frames:,} frames",
            f"at least {least} in {LEAST_SEGMENTS} frames, to see the same structure several times",
            "A table this short shows no drift.",
        )
    if not 0 < max_drift_nm < math.inf:
        raise ValueError("max_drift_nm must be finite and above 0")


def _name(table: pd.DataFrame) -> str:
    return str(table.attrs.get("source") or "the table")


def _choose_numbers(table: pd.DataFrame, segment_frames: int | None) -> list[int]:
    """Give numbers of segments to try, the finest first."""
    n_frames = int(np.ptp(table["frame"])) + 1
    most = min(n_frames, len(table) // _LEAST_ROWS_PER_SEGMENT)
    if segment_frames is not None:
        if segment_frames < 1:
            raise ValueError("segment_frames must be 1 or more")
        asked = math.ceil(n_frames / segment_frames)
        if not LEAST_SEGMENTS <= asked <= most:
            raise TableError(
                _name(table),
                f"segments of {segment_frames:,} frames make {asked:,} of its {n_frames:,} frames "
                f"and {len(table):,} localizations",
                f"{LEAST_SEGMENTS} to {most:,} segments of at least {_LEAST_ROWS_PER_SEGMENT}",
                "Give another segment_frames, or leave it out.",
            )
        return [asked]
    first = min(max(len(table) // _ROWS_PER_SEGMENT, _FEWEST_TRIED_FIRST), _MOST_SEGMENTS, most)
    numbers = [first]
    while numbers[-1] // 2 >= LEAST_SEGMENTS:
        numbers.append(numbers[-1] // 2)
    return numbers


def _cut(frames: Indices, n_segments: int) -> Indices:
    """Give each row its segment, all of about equally many frames."""
    first, n_frames = int(frames.min()), int(np.ptp(frames)) + 1
    return (frames - first) * n_segments // n_frames


def _lay_grid(table: pd.DataFrame, max_drift_nm: float, pixel_nm: float | None) -> _Grid:
    low = [float(table[name].min()) for name in ("y_nm", "x_nm")]
    spans = [float(np.ptp(table[name])) for name in ("y_nm", "x_nm")]
    pixel_nm = pixel_nm or max(_FINEST_NM, max(spans) / _MOST_PX)
    shape = [int(span / pixel_nm) + 1 for span in spans]
    reach_px = min(math.ceil(max_drift_nm / pixel_nm), max(shape))
    if max(shape) > 4 * _MOST_PX:
        raise TableError(
            _name(table),
            f"its field is {shape[1]} x {shape[0]} pixels of {pixel_nm:g} nm",
            f"at most {4 * _MOST_PX} along an axis",
            "Give a larger pixel to render (render_pixel_nm), or remove rows far outside.",
        )
    return _Grid(pixel_nm, (low[0], low[1]), (shape[0], shape[1]), reach_px)


def _measure(
    table: pd.DataFrame, segment: Indices, n_segments: int, grid: _Grid, progress: Progress
) -> Drift:
    """Measure, subtract, and measure what is left."""
    frames = table["frame"].to_numpy(np.int64)
    all_frames = np.arange(frames.min(), frames.max() + 1)
    size = np.bincount(segment, minlength=n_segments)
    if size.min() < _LEAST_ROWS_PER_SEGMENT // 2:
        poorest = int(np.argmin(size))
        raise TableError(
            _name(table),
            f"segment {poorest + 1} of {n_segments} has {size[poorest]} localizations only",
            f"at least {_LEAST_ROWS_PER_SEGMENT // 2} in each",
            "Give longer segments (segment_frames).",
        )
    knot_frame = np.bincount(segment, frames, n_segments) / size
    total = np.zeros((len(all_frames), 2))
    knot_place = np.clip(np.rint(knot_frame).astype(np.int64) - all_frames[0], 0, None)
    n_pairs = n_segments * (n_segments - 1) // 2
    reach = grid
    for turn in range(_PASSES):
        place = frames - all_frames[0]
        now = pd.DataFrame(
            {
                name: table[name].to_numpy() - total[place, i]
                for i, name in enumerate(("x_nm", "y_nm"))
            }
        )
        found = []
        for done, shift in enumerate(_correlate(now, segment, n_segments, reach)):
            progress(turn * n_pairs + done, _PASSES * n_pairs, f"segments of pass {turn + 1}")
            found.append(shift)
        first, second = np.array(list(combinations(range(n_segments), 2))).T
        pairs = _Pairs(first, second, np.array(found) * grid.pixel_nm)
        left, is_kept, is_used, residual_nm = _solve(
            pairs, n_segments, _CONTRADICTION_PX * grid.pixel_nm
        )
        if math.isnan(residual_nm) or is_kept.sum() < LEAST_SEGMENTS:
            raise _no_structure(table, n_segments, n_pairs, int(is_used.sum()))
        knots = total[knot_place] + left
        total += _interpolate(knot_frame[is_kept], left[is_kept], all_frames)
        # What is left after the first turn is small.
        reach = replace(grid, reach_px=min(grid.reach_px, 2 * _PEAK_RADIUS_PX))
    progress(_PASSES * n_pairs, _PASSES * n_pairs, "drift")
    return Drift(
        all_frames,
        total[:, 0] - total[0, 0],
        total[:, 1] - total[0, 1],
        knot_frame[is_kept],
        knots[is_kept] - total[0],
        n_segments,
        n_pairs,
        int((~is_used).sum()),
        residual_nm,
        len(all_frames) / n_segments,
        grid.pixel_nm,
    )


def _no_structure(table: pd.DataFrame, n_segments: int, n_pairs: int, n_used: int) -> TableError:
    return TableError(
        _name(table),
        f"only {n_used} of {n_pairs} pairs of its {n_segments} segments agree on a drift",
        "a structure that comes back from segment to segment",
        "Give longer segments (segment_frames), or a drift (max_drift_nm) that is as large as "
        "yours; localizations without any structure can't show it.",
    )


def _correlate(
    table: pd.DataFrame, segment: Indices, n_segments: int, grid: _Grid
) -> Iterator[tuple[float, float]]:
    """Give the shift (x, y) in pixels of each pair of segments, in the order of combinations."""
    padded = grid.padded()
    # Widened by a pixel, so that the peak is one where few localizations overlap exactly.
    window = _gauss_spectrum(padded)
    spectra = []
    for number in range(n_segments):
        image = render_histogram(
            table[segment == number],
            pixel_size_nm=grid.pixel_nm,
            shape=grid.shape,
            origin_nm=grid.origin_nm,
        )
        spectra.append(fft.rfft2(image.values.astype(np.float32), padded))
    rows, columns = (_window(n, grid.reach_px + _PEAK_RADIUS_PX) for n in padded)
    for first, second in combinations(range(n_segments), 2):
        product = spectra[second] * spectra[first].conj() * window
        near = fft.irfft2(product, padded)[np.ix_(rows, columns)]
        y, x = _find_peak(near)
        yield x - len(columns) // 2, y - len(rows) // 2


def _gauss_spectrum(padded: list[int]) -> NDArray[np.float32]:
    y, x = np.fft.fftfreq(padded[0])[:, None], np.fft.rfftfreq(padded[1])[None]
    spectrum: NDArray[np.float32] = np.exp(-2 * np.pi**2 * (y**2 + x**2)).astype(np.float32)
    return spectrum


def _window(n: int, reach: int) -> Indices:
    """Give the places of the shifts -reach .. reach in a correlation of length n."""
    reach = min(reach, (n - 1) // 2)
    return np.arange(-reach, reach + 1) % n


def _find_peak(near: NDArray[np.floating]) -> tuple[float, float]:
    """Find the highest place (y, x), between pixels by a Gaussian on a flat ground."""
    edge = _PEAK_RADIUS_PX
    inner = near[edge:-edge, edge:-edge]
    y, x = (int(i) + edge for i in np.unravel_index(int(np.argmax(inner)), inner.shape))
    patch = near[y - edge : y + edge + 1, x - edge : x + edge + 1].astype(np.float64)
    low, high = float(patch.min()), float(patch.max())
    if not high > low:
        return float(y), float(x)
    patch = (patch - low) / (high - low)
    fit = least_squares(_misfit, [0, 0, 1.5, 1, 0], _slopes, method="lm", args=(patch.ravel(),))
    shift_y, shift_x = float(fit.x[0]), float(fit.x[1])
    if max(abs(shift_y), abs(shift_x)) > 2:  # no peak but a slope: its highest pixel must do
        return float(y), float(x)
    return y + shift_y, x + shift_x


_AROUND = np.mgrid[-_PEAK_RADIUS_PX : _PEAK_RADIUS_PX + 1, -_PEAK_RADIUS_PX : _PEAK_RADIUS_PX + 1]
_AROUND = _AROUND.reshape(2, -1).astype(np.float64)


def _misfit(p: Floats, patch: Floats) -> Floats:
    """Subtract a patch from a Gaussian at p[0], p[1] of width p[2], height p[3], on p[4]."""
    dy, dx = _AROUND[0] - p[0], _AROUND[1] - p[1]
    misfit: Floats = p[3] * np.exp(-(dy**2 + dx**2) / (2 * p[2] ** 2)) + p[4] - patch
    return misfit


def _slopes(p: Floats, patch: Floats) -> Floats:
    dy, dx = _AROUND[0] - p[0], _AROUND[1] - p[1]
    squared, variance = dy**2 + dx**2, p[2] ** 2
    gauss = np.exp(-squared / (2 * variance))
    steep = p[3] * gauss / variance
    slopes = [steep * dy, steep * dx, steep * squared / p[2], gauss, np.ones_like(gauss)]
    return np.stack(slopes, axis=1)


def _solve(
    pairs: _Pairs, n_segments: int, limit_nm: float
) -> tuple[NDArray[np.floating], NDArray[np.bool_], NDArray[np.bool_], float]:
    """Solve for the drift of each segment (mean 0), leaving out pairs that contradict it.

    A segment that less than half of the others agree with is left out with all its pairs. Starts
    from what a majority says (least absolute residuals, reweighted), since least squares would be
    drawn to the very pairs that are to be found out.
    """
    n_pairs = len(pairs.first)
    system = np.zeros((n_pairs, n_segments))
    system[np.arange(n_pairs), pairs.second] = 1
    system[np.arange(n_pairs), pairs.first] = -1
    drift = np.linalg.lstsq(system, pairs.shift_nm)[0]
    for _ in range(30):
        apart = np.hypot(*(system @ drift - pairs.shift_nm).T)
        weight = 1 / np.sqrt(np.maximum(apart, 0.1 * limit_nm))
        drift = np.linalg.lstsq(system * weight[:, None], pairs.shift_nm * weight[:, None])[0]
    is_used = np.hypot(*(system @ drift - pairs.shift_nm).T) <= limit_nm
    ends = np.concatenate([pairs.first, pairs.second])
    agreeing = np.bincount(ends, np.tile(is_used, 2), n_segments)
    is_kept = agreeing >= (n_segments - 1) / 2
    is_used &= is_kept[pairs.first] & is_kept[pairs.second]
    if is_used.sum() < n_pairs / 2:
        return drift, is_kept, is_used, math.nan
    # Half of the pairs of each kept segment hold, so these hang together: nothing is undetermined.
    solved = np.linalg.lstsq(system[is_used], pairs.shift_nm[is_used])[0]
    residual = system[is_used] @ solved - pairs.shift_nm[is_used]
    freedom = max(1, int(is_used.sum()) - int(is_kept.sum()) + 1)
    return solved, is_kept, is_used, float(np.sqrt((residual**2).sum() / 2 / freedom))


def _interpolate(
    knot_frame: Floats, knots: NDArray[np.floating], frames: NDArray[np.number]
) -> NDArray[np.floating]:
    """Draw a cubic near the knots, as smooth as these let expect, straight on beyond them.

    How smooth is settled by generalised cross-validation: knots that scatter at random are
    averaged, knots along a curve are met.
    """
    # In units of segments, since the search for the smoothness begins at 1 whatever the unit is.
    unit = float(np.diff(knot_frame).mean())
    knot_frame, frames = knot_frame / unit, frames / unit
    inside = np.clip(frames, knot_frame[0], knot_frame[-1])
    beyond = frames - inside
    drawn = []
    for values in np.asarray(knots, np.float64).T:
        if len(knot_frame) < _LEAST_SMOOTHED:
            curve = CubicSpline(knot_frame, values, bc_type="natural")
            drawn.append(curve(inside) + beyond * curve(inside, 1))
        else:
            smooth = make_smoothing_spline(knot_frame, values)
            drawn.append(smooth(inside) + beyond * smooth(inside, 1))
    return np.stack(drawn, axis=1)
