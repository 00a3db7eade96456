"""What a movie is like, and whether a network was trained on such.

Outside its trained range a localizer fails without a word: a background twice as bright as any it
has seen leaves it blind, or makes it see hundreds of emitters where there are none. So every movie
is measured first, on a sample of its frames, by counting, fitting and comparing the noise; nothing
of it is a network's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.progress import Progress, silent
from bridge.smlm import fit_kernels as kernels
from bridge.smlm.camera import Camera
from bridge.smlm.contradictions import Contradiction, find_contradictions
from bridge.smlm.fit import (
    Fits,
    distance_to_next,
    estimate_width_px,
    fit_light,
    is_lone_spot,
)
from bridge.smlm.movie_facts import MovieFacts, Quantiles, describe
from bridge.smlm.movie_sample import (
    CountTally,
    choose_frames,
    measure_background,
    measure_noise,
    read_frames,
    share_below_offset,
    split_runs,
)
from bridge.smlm.spot_search import Light, light_from_counts

__all__ = [
    "LEAST_SPOTS",
    "Contradiction",
    "MovieFacts",
    "Quantiles",
    "describe",
    "find_contradictions",
    "measure_movie",
]

LEAST_SPOTS: Final = 30
"""With fewer lone spots than this, widths and photons aren't told."""

_MOST_SPOTS = 20_000
_PATCH_PX = 32
_AREA_QUANTILES = (0.01, 0.5, 0.99)
_SPOT_QUANTILES = (0.1, 0.5, 0.9)
_LEAST_SHOT = 0.4  # share of the light's own noise from which the gain can be told
_CROWDED_WITHIN = 5.0  # widths


def measure_movie(
    movie: xr.DataArray, *, camera: Camera, progress: Progress = silent
) -> MovieFacts:
    """Measure what a movie is like, from at most 100 frames spread over it.

    Parameters
    ----------
    movie : DataArray, axes (t, y, x)
        Camera counts; frames may lie along c or z instead, as some files have it. Lazy ones are
        read frame by frame.
    camera : Camera
        What the camera is said to be.
    progress : Progress
        Told of the frames looked at.

    Returns
    -------
    MovieFacts
        The figures.

    Raises
    ------
    ImageError
        The movie has other axes, no frames, or frames of fewer than 8 x 8 pixels; a map of the
        camera's chip doesn't fit.
    """
    movie = _as_frames(movie)
    chosen = choose_frames(movie.sizes["t"], movie.sizes["y"] * movie.sizes["x"])
    runs = split_runs(chosen)
    tally = CountTally(_ceilings(movie, camera))
    gathered = _Gathered(most_spots=_MOST_SPOTS // len(runs))
    done = 0
    for numbers in runs:
        frames = read_frames(movie, numbers)
        is_worth = np.array([tally.add(n, frame) for n, frame in zip(numbers, frames, strict=True)])
        if is_worth.any():
            kept = [n for n, is_kept in zip(numbers, is_worth, strict=True) if is_kept]
            gathered.add_run(kept, _mend(frames[is_worth]), camera)
        done += len(numbers)
        progress(done, len(chosen), "measuring the movie")
    return _conclude(movie, tally, gathered, camera=camera, n_sampled=len(chosen))


def _as_frames(movie: xr.DataArray) -> xr.DataArray:
    """Give the movie with axes t, y, x, whatever its file calls the axis of frames."""
    others = [str(dim) for dim in movie.dims if dim not in ("y", "x") and movie.sizes[dim] != 1]
    is_plane = {"y", "x"} <= set(movie.dims) and min(movie.sizes["y"], movie.sizes["x"]) >= 8
    if not is_plane or len(others) > 1 or 0 in movie.shape:
        raise ImageError(
            str(movie.attrs.get("source") or "movie"),
            "it has " + " x ".join(f"{size} {name}" for name, size in movie.sizes.items()),
            "frames of one channel and plane, of at least 8 x 8 pixels",
        )
    single = [dim for dim in movie.dims if dim not in ("y", "x", *others)]
    movie = movie.squeeze(single, drop=True)
    movie = movie.rename({others[0]: "t"}) if others else movie.expand_dims("t")
    return movie.transpose("t", "y", "x")


def _ceilings(movie: xr.DataArray, camera: Camera) -> tuple[float, ...]:
    """Give the counts above which neither file nor camera can go."""
    kind = movie.dtype
    of_file = (float(np.iinfo(kind).max),) if kind.kind in "ui" else ()
    return (*of_file, 2.0**camera.bit_depth - 1)


def _mend(frames: NDArray[np.generic]) -> NDArray[np.float32]:
    """Put each frame's median where it holds no number."""
    values = frames.astype(np.float32)
    for frame in values:
        is_bad = ~np.isfinite(frame)
        if is_bad.any():
            frame[is_bad] = np.median(frame[~is_bad])
    return values


@dataclass
class _Gathered:
    """What the runs of frames add up to."""

    most_spots: int
    """Spots to fit in a run, about."""
    noise: list[tuple[float, float]] = field(default_factory=list)
    below_offset: list[float] = field(default_factory=list)
    background: list[NDArray[np.float64]] = field(default_factory=list)
    widths_px: list[NDArray[np.float64]] = field(default_factory=list)
    photons: list[NDArray[np.float64]] = field(default_factory=list)
    patches: list[NDArray[np.float64]] = field(default_factory=list)
    is_crowded: list[NDArray[np.bool_]] = field(default_factory=list)

    def add_run(self, numbers: list[int], frames: NDArray[np.float32], camera: Camera) -> None:
        """Add a run of frames (t, y, x), none of them constant."""
        light = light_from_counts(frames, camera)
        self.below_offset += [share_below_offset(light)] * len(frames)
        noise = measure_noise(light, numbers)
        self.noise.append(noise)
        self.background.append(light.photons(measure_background(light, noise[0])))
        sigma_px = estimate_width_px(frames, camera=camera)
        fits = self._fit(light, sigma_px)
        is_sure = is_lone_spot(fits, sigma_px=sigma_px)
        is_lone = is_lone_spot(fits, sigma_px=sigma_px, width_error=np.inf)
        self.widths_px.append(fits.values[is_sure, kernels.SIGMA])
        self.photons.append(fits.values[is_lone, kernels.LIGHT] / light.per_photon)
        self.is_crowded.append(distance_to_next(fits) < _CROWDED_WITHIN * sigma_px)

    def _fit(self, light: Light, sigma_px: float) -> Fits:
        """Fit frame by frame until there are enough spots, and count them in patches."""
        parts: list[Fits] = []
        n_spots = 0
        for number in _spread(len(light.values)):
            fits = fit_light(light.frame(number), sigma_px=sigma_px)
            parts.append(Fits(fits.frame + number, fits.values))
            self.patches.append(_count_in_patches(fits, light.variance.shape))
            n_spots += len(fits.frame)
            if n_spots >= self.most_spots:
                break
        return Fits.join(parts)


def _spread(n: int) -> list[int]:
    """Give 0 .. n - 1 so that the first few of them are spread over all."""
    return sorted(range(n), key=lambda i: int(f"{i:032b}"[::-1], 2))


def _count_in_patches(fits: Fits, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Count spots in the whole patches of a frame; gives spots per pixel of each."""
    edges = []
    for size in shape:
        step = min(_PATCH_PX, size)
        edges.append(np.arange(size // step + 1) * step)
    y_px, x_px = fits.values[:, kernels.Y], fits.values[:, kernels.X]
    counted = np.histogram2d(y_px, x_px, bins=edges)[0]
    return np.asarray(counted.ravel() / (edges[0][1] * edges[1][1]), np.float64)


def _conclude(
    movie: xr.DataArray,
    tally: CountTally,
    gathered: _Gathered,
    *,
    camera: Camera,
    n_sampled: int,
) -> MovieFacts:
    widths_px, photons, density, is_crowded, background = (
        np.concatenate([part.ravel() for part in parts] or [np.empty(0)])
        for parts in (
            gathered.widths_px,
            gathered.photons,
            gathered.patches,
            gathered.is_crowded,
            gathered.background,
        )
    )
    density = density * (1000 / camera.pixel_size_nm) ** 2
    ratio, shot = np.median(gathered.noise, axis=0) if gathered.noise else (None, 0.0)
    scaling = camera.scaling()
    return MovieFacts(
        n_frames=movie.sizes["t"],
        n_sampled=n_sampled,
        lowest_count=tally.lowest,
        highest_count=tally.highest,
        offset_adu=scaling.offset_adu,
        share_below_offset=float(np.mean(gathered.below_offset or [0.0])),
        saturated_share=tally.saturated_share(),
        n_not_finite=tally.n_not_finite,
        n_constant=tally.n_constant,
        n_repeated=tally.n_repeated,
        background_photons=_quantiles(background, _AREA_QUANTILES, least=1),
        noise_ratio=None if ratio is None else float(ratio),
        photons_per_adu=scaling.photons_per_adu,
        photons_per_adu_by_noise=_gain_by_noise(scaling.photons_per_adu, ratio, shot),
        n_spots=len(is_crowded),
        n_lone_spots=len(widths_px),
        sigma_nm=_quantiles(widths_px * camera.pixel_size_nm, _SPOT_QUANTILES, least=LEAST_SPOTS),
        photons=_quantiles(photons, _SPOT_QUANTILES, least=LEAST_SPOTS),
        density_per_um2=float(density.mean()) if density.size else None,
        density_99_per_um2=float(np.quantile(density, 0.99)) if density.size else None,
        crowded_share=float(is_crowded.mean()) if is_crowded.size else 0.0,
    )


def _gain_by_noise(photons_per_adu: float, ratio: float | None, shot: float) -> float | None:
    """Give the photons of a count that make the light's noise what it is.

    Of the expected variance ``shot`` is the light's; in counts it is inversely proportional to the
    photons of a count.
    """
    if ratio is None or shot < _LEAST_SHOT or ratio <= 1.1 * (1 - shot):
        return None
    return float(photons_per_adu * shot / (ratio - (1 - shot)))


def _quantiles(
    values: NDArray[np.float64], at: tuple[float, float, float], *, least: int
) -> Quantiles | None:
    if len(values) < least:
        return None
    return Quantiles(*(float(value) for value in np.quantile(values, at)))
