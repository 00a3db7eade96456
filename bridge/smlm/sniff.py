"""Does a table belong to this movie? Its pixel size, frames, axes and origin, told by the pixels.

What a table's file doesn't say, or says wrong, shows in the movie: spots drawn from the table agree
with the pixels only if pixel size, first frame, axes and origin are right. Nothing is corrected
here; what is found is said, and :func:`check_against_stack` refuses a table that doesn't fit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

from bridge.errors import TableError
from bridge.images.read import open_image
from bridge.smlm.spot_correlation import (
    CorrelationMap,
    MovieSpectra,
    Spots,
    choose_frames,
    frames_of,
)

_SHIFTS = (-1, 0, 1)
_USUAL_SIGMA_PX = 1.3
_SIGMA_PX = (0.7, 2.5)  # widths drawn; wider ones, of out-of-focus spots, blur the comparison
_SAME_PIXEL = 5e-3  # relative
_CLEARLY = (1.1, 0.02)  # another reading is better only by this factor and this much more
_BETTER_SIZE = 0.003  # in correlation
_STANDS_OUT = 1.5  # times the best correlation at a wrong place
_SURE = 0.3  # a correlation that no wrong table reaches
_WEAK = 0.1  # below this, what stands out elsewhere than declared may be a few frames' chance
_ON_PLACE_PX = (0.3, 0.5)  # the second is divided by the root of the number of spots
_SEARCH_RANGE = 8.0  # times the pixel size at which all spots just lie inside
_SEARCH_STEP_PX = 0.4  # at the far end of the image
_SEARCH_SPOTS = 2000
_FINE_RANGE = 4e-3  # relative, around the best of the search


@dataclass(frozen=True)
class Sniffed:
    """What a movie says of a table.

    Parameters
    ----------
    pixel_size_nm : float or None
        Edge of a camera pixel with which the table fits best; ``None`` where none was found.
    frame_shift : int
        What must be added to the table's frames.
    is_swapped : bool
        Whether the table's x is the movie's y.
    offset_px : (float, float)
        What must be added to the table's (y, x), after exchanging them where they are swapped,
        in camera pixels.
    correlation : float
        Pearson's correlation of drawn spots and movie for this reading, -1 <= r <= 1.
    correlation_as_declared : float
        The same for the table as it stands.
    is_match : bool
        Whether the table, read in the best way, belongs to the movie.
    sentences : tuple of str
        What is wrong with the table as it stands; empty if nothing is.
    """

    pixel_size_nm: float | None
    frame_shift: int
    is_swapped: bool
    offset_px: tuple[float, float]
    correlation: float
    correlation_as_declared: float
    is_match: bool
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class _Reading:
    """One way to read a table, and how it agrees."""

    frame_shift: int
    is_swapped: bool
    is_mean_kept: bool
    found: CorrelationMap


def compare_with_stack(
    table: pd.DataFrame, stack: xr.DataArray | str | Path, *, pixel_size_nm: float | None = None
) -> Sniffed:
    """Find how a table must be read to fit its movie.

    Parameters
    ----------
    table : DataFrame
        Localizations, with ``frame``, ``x_nm`` and ``y_nm``; some of its frames must be in the
        movie. ``photons`` and ``sigma_nm`` are used where they are there.
    stack : DataArray or path
        The raw movie, (t, y, x); a few frames are read.
    pixel_size_nm : float, optional
        Edge of a camera pixel, in nm, > 0; by default the table's, else the movie's; where
        nothing says it, or it doesn't fit, it is searched for.

    Returns
    -------
    Sniffed
        The best reading among: frames one less or more, x and y exchanged, any shift.

    Raises
    ------
    TableError
        The table has no row in the movie's frames, or the movie has more axes than frames.
    ImageError
        The movie can't be opened.
    """
    movie = frames_of(stack if isinstance(stack, xr.DataArray) else open_image(stack))
    declared = pixel_size_nm or _declared_pixel_size(table, movie)
    if declared is None:
        return _look(table, movie, _search_pixel_size(table, movie), None)
    looked = _look(table, movie, declared, declared)
    if looked.is_match and not looked.sentences:
        return looked
    again = _look(table, movie, _search_pixel_size(table, movie), declared)
    # a pixel size that is a little wrong looks like a shift, only a worse one
    is_better = again.is_match and again.correlation > looked.correlation + _BETTER_SIZE
    if is_better or (again.is_match and not looked.is_match):
        return replace(again, correlation_as_declared=looked.correlation_as_declared)
    return looked


def check_against_stack(
    table: pd.DataFrame, stack: xr.DataArray | str | Path, *, pixel_size_nm: float | None = None
) -> Sniffed:
    """Refuse a table that doesn't fit its movie.

    Parameters
    ----------
    table : DataFrame
        Localizations.
    stack : DataArray or path
        The raw movie, (t, y, x).
    pixel_size_nm : float, optional
        Edge of a camera pixel, in nm, > 0; by default the table's, else the movie's.

    Returns
    -------
    Sniffed
        How well it fits.

    Raises
    ------
    TableError
        The pixel size is unknown or contradictory; frames lie beyond the movie; all rows lie
        outside the image; table and movie don't match, or only if the table is read otherwise:
        the message says how, and the correlations found.
    ImageError
        The movie can't be opened.
    """
    movie = frames_of(stack if isinstance(stack, xr.DataArray) else open_image(stack))
    what = str(table.attrs.get("source") or "the table")
    declared = pixel_size_nm or _declared_pixel_size(table, movie)
    _refuse_two_pixel_sizes(what, table, movie, pixel_size_nm)
    _refuse_frames_beyond(what, table, movie)
    if declared is not None:
        _refuse_all_outside(what, table, movie, declared)
    found = compare_with_stack(table, movie, pixel_size_nm=declared)
    where = str(movie.attrs.get("source") or "the stack")
    if not found.is_match:
        raise TableError(
            what,
            f"it doesn't match {where}: the correlation of its spots with the frames is "
            f"{found.correlation_as_declared:.2f}, and {found.correlation:.2f} at best, shifted "
            "or otherwise read, which chance gives too",
            "the table that was made from this movie",
            "Check that table and movie belong together, and the pixel size.",
        )
    if declared is None:
        raise TableError(
            what,
            "no pixel size is known",
            "the camera's pixel size in nm",
            f"{found.pixel_size_nm:.4g} nm fits {where}, with a correlation of "
            f"{found.correlation:.2f}: if that is right, give it (pixel_size_nm).",
        )
    if found.sentences:
        raise TableError(
            what,
            f"it fits {where} with a correlation of {found.correlation_as_declared:.2f} as it "
            f"stands and {found.correlation:.2f} if read otherwise. " + " ".join(found.sentences),
            "",
            "Read the table with the settings in brackets.",
        )
    return found


def _declared_pixel_size(table: pd.DataFrame, movie: xr.DataArray) -> float | None:
    size = table.attrs.get("pixel_size_nm") or _movie_pixel_size(movie)
    return float(size) if size else None


def _movie_pixel_size(movie: xr.DataArray) -> float | None:
    sizes = dict(movie.attrs.get("pixel_size_nm") or {})
    return sizes.get("x") or sizes.get("y")


def _refuse_two_pixel_sizes(
    what: str, table: pd.DataFrame, movie: xr.DataArray, given: float | None
) -> None:
    own = given or table.attrs.get("pixel_size_nm")
    other = _movie_pixel_size(movie)
    if own and other and not math.isclose(own, other, rel_tol=_SAME_PIXEL):
        raise TableError(
            what,
            f"its camera pixels are {own:g} nm, and those of "
            f"{movie.attrs.get('source') or 'the stack'} are {other:g} nm",
            "one pixel size",
            "Find out which is right, and correct the other.",
        )


def _refuse_frames_beyond(what: str, table: pd.DataFrame, movie: xr.DataArray) -> None:
    lowest, highest = int(table["frame"].min()), int(table["frame"].max())
    n_frames = movie.sizes["t"]
    if highest > n_frames:
        n_beyond = int((table["frame"] > n_frames).sum())
        raise TableError(
            what,
            f"its frames run from {lowest} to {highest}, and the movie has {n_frames}: "
            f"{n_beyond:,} rows lie beyond",
            f"frames from 1 to {n_frames}",
            "Its frames may be 1 too high: check frame_base."
            if highest == n_frames + 1
            else "Give the movie that was analysed.",
        )


def _refuse_all_outside(
    what: str, table: pd.DataFrame, movie: xr.DataArray, pixel_size_nm: float
) -> None:
    if _share_outside(table, movie, pixel_size_nm) == 1:
        x, y = table["x_nm"] / pixel_size_nm, table["y_nm"] / pixel_size_nm
        raise TableError(
            what,
            f"all rows lie outside the image: x from {x.min():.0f} to {x.max():.0f} px, y from "
            f"{y.min():.0f} to {y.max():.0f} px, with pixels of {pixel_size_nm:g} nm",
            f"x below {movie.sizes['x']} and y below {movie.sizes['y']} px",
            "Check the pixel size, and whether the table is of this movie.",
        )


def _share_outside(table: pd.DataFrame, movie: xr.DataArray, pixel_size_nm: float) -> float:
    is_inside = np.ones(len(table), bool)
    for axis in ("y", "x"):
        place = table[f"{axis}_nm"].to_numpy() / pixel_size_nm
        is_inside &= (place >= 0) & (place < movie.sizes[axis])
    return float(1 - is_inside.mean())


def _spots(table: pd.DataFrame, pixel_size_nm: float) -> Spots:
    weight = np.ones(len(table))
    if "photons" in table:
        photons = np.nan_to_num(table["photons"].to_numpy(np.float64), posinf=0, neginf=0)
        top = np.quantile(photons, 0.95)  # one wrong fit must not outshine the rest
        weight = np.clip(photons, 0.05 * top, top) if top > 0 else weight
    sigma = table["sigma_nm"].median() / pixel_size_nm if "sigma_nm" in table else math.nan
    sigma = float(np.clip(sigma, *_SIGMA_PX)) if math.isfinite(sigma) else _USUAL_SIGMA_PX
    return Spots(
        frame=table["frame"].to_numpy(np.int64) - 1,
        y_px=table["y_nm"].to_numpy(np.float64) / pixel_size_nm,
        x_px=table["x_nm"].to_numpy(np.float64) / pixel_size_nm,
        weight=weight,
        sigma_px=sigma,
    )


def _frames_to_look_at(table: pd.DataFrame, movie: xr.DataArray) -> list[int]:
    present = np.unique(table["frame"].to_numpy(np.int64)) - 1
    inside = present[(present >= 0) & (present < movie.sizes["t"])]
    if not len(inside):
        raise TableError(
            str(table.attrs.get("source") or "the table"),
            "it has no row in the frames of the movie",
            f"frames from 1 to {movie.sizes['t']}",
            "Give the movie that was analysed.",
        )
    return choose_frames(inside, (movie.sizes["y"], movie.sizes["x"]))


def _look(
    table: pd.DataFrame, movie: xr.DataArray, pixel_size_nm: float, declared: float | None
) -> Sniffed:
    """Compare all readings for one pixel size."""
    spots = _spots(table, pixel_size_nm)
    reach = float(max(spots.y_px.max(), spots.x_px.max()))
    spectra = MovieSpectra(movie, _frames_to_look_at(table, movie), _SHIFTS, (reach, reach))
    drawn = [spectra.draw(spots), spectra.draw(spots.swapped())]
    radius = math.ceil(4 * spots.sigma_px)
    looks = []
    for is_mean_kept in (False, True):
        readings = []
        for is_swapped in (False, True):
            for shift in _SHIFTS:
                found = spectra.correlate(drawn[is_swapped], shift, is_mean_kept=is_mean_kept)
                if found is not None:
                    readings.append(_Reading(shift, is_swapped, is_mean_kept, found))
        if readings:
            best = _best(readings)
            looks.append((best.found.peak / _chance(best, readings, radius), best, readings))
    if not looks:
        return _nothing(pixel_size_nm)
    prominence, best, readings = max(looks, key=lambda look: look[0])
    offset = best.found.peak_at()
    moved = (spots.swapped() if best.is_swapped else spots).moved(*offset)
    n_spots = int(np.isin(spots.frame, spectra.frames).sum())
    refined = spectra.correlate(
        spectra.draw(moved), best.frame_shift, is_mean_kept=best.is_mean_kept
    )
    return _conclude(
        best,
        readings,
        is_prominent=prominence >= _STANDS_OUT,
        correlation=max(best.found.peak, refined.unshifted if refined else -1.0),
        tolerance_px=_ON_PLACE_PX[0] + _ON_PLACE_PX[1] / math.sqrt(n_spots),
        pixel_size_nm=pixel_size_nm,
        declared=declared,
    )


def _best(readings: Sequence[_Reading]) -> _Reading:
    """Choose the best reading; what is declared stands unless another is clearly better."""
    top = max(readings, key=lambda r: r.found.peak)
    factor, more = _CLEARLY
    for reading in readings:
        is_plain = reading.frame_shift == 0 and not reading.is_swapped
        if is_plain and top.found.peak < factor * reading.found.peak + more:
            return reading
    return top


def _chance(best: _Reading, readings: Sequence[_Reading], radius_px: int) -> float:
    """Give the highest correlation where none should be: elsewhere, and with the other axes.

    Neighbouring frames don't count: emitters that stay on agree with them rightly.
    """
    others = [r.found.peak for r in readings if r.is_swapped != best.is_swapped]
    return max(1e-6, best.found.runner_up(radius_px), *others)


def _nothing(pixel_size_nm: float) -> Sniffed:
    return Sniffed(pixel_size_nm, 0, False, (0.0, 0.0), 0.0, 0.0, False, ())


def _conclude(
    best: _Reading,
    readings: Sequence[_Reading],
    *,
    is_prominent: bool,
    correlation: float,
    tolerance_px: float,
    pixel_size_nm: float,
    declared: float | None,
) -> Sniffed:
    plain = [r for r in readings if r.frame_shift == 0 and not r.is_swapped]
    as_declared = plain[0].found.unshifted if plain else 0.0
    offset = best.found.peak_at()
    is_on_place = best in plain and max(map(abs, offset)) < 1
    is_sure = is_on_place and (is_prominent or as_declared >= _SURE)
    is_match = is_sure or (is_prominent and correlation >= _WEAK)
    sentences = []
    if declared is None:
        sentences.append(f"Its pixel size is {pixel_size_nm:.4g} nm (pixel_size_nm).")
    elif not math.isclose(pixel_size_nm, declared, rel_tol=_SAME_PIXEL):
        sentences.append(f"The pixel size is {pixel_size_nm:.4g} nm, not {declared:g} nm.")
    sentences += _sentences(best, offset, pixel_size_nm, tolerance_px)
    return Sniffed(
        pixel_size_nm=pixel_size_nm if is_match or declared is None else declared,
        frame_shift=best.frame_shift,
        is_swapped=best.is_swapped,
        offset_px=offset,
        correlation=correlation,
        correlation_as_declared=as_declared,
        is_match=is_match,
        sentences=tuple(sentences) if is_match else (),
    )


def _sentences(
    best: _Reading, offset: tuple[float, float], pixel_size_nm: float, tolerance_px: float
) -> list[str]:
    """Say what is otherwise than declared, and which settings read the table so."""
    said = []
    if best.frame_shift == 1:
        said.append("The frames count from 0 (frame_base 0).")
    elif best.frame_shift == -1:
        said.append("The frames are 1 too high (frame_base 1, if 0 was given).")
    if best.is_swapped:
        said.append("x and y are exchanged (swap_xy).")
    if max(map(abs, offset)) <= tolerance_px:
        return said
    y, x = (round(2 * value) / 2 for value in offset)
    if (y, x) == (0.5, 0.5):
        said.append(
            "Everything is half a pixel too far up and left: coordinates count from the centre of "
            "the first pixel (pixel_origin centre)."
        )
    elif (y, x) == (-0.5, -0.5):
        said.append(
            "Everything is half a pixel too far down and right: coordinates count from the corner "
            "of the first pixel (pixel_origin corner)."
        )
    elif (y, x) != (0, 0):
        said.append(
            f"Everything is shifted by {-x:g} px in x and {-y:g} px in y "
            f"(origin_x_nm {x * pixel_size_nm:g}, origin_y_nm {y * pixel_size_nm:g})."
        )
    return said


def _search_pixel_size(table: pd.DataFrame, movie: xr.DataArray) -> float:
    """Find the pixel size at which the movie is brightest where the spots are.

    The origin is taken to be right; the smallest size is that at which all spots lie in the image.
    """
    frames = _frames_to_look_at(table, movie)[:16]
    chosen = table[table["frame"].isin([k + 1 for k in frames])]
    chosen = chosen.iloc[:: math.ceil(len(chosen) / _SEARCH_SPOTS)]
    spectra = MovieSpectra(movie, frames, (0, 1), (0, 0))
    images = {k: ndimage.gaussian_filter(image, 1.0) for k, image in spectra.images.items()}
    unit = _spots(chosen, 1.0)
    size = max(movie.sizes["y"], movie.sizes["x"])
    reach = [np.quantile(unit.y_px, 0.999), np.quantile(unit.x_px, 0.999)]
    lowest = 0.98 * max(max(reach), 1.0) / size
    n_steps = math.ceil(math.log(_SEARCH_RANGE) * size / _SEARCH_STEP_PX)
    sizes = lowest * np.exp(np.linspace(0, math.log(_SEARCH_RANGE), n_steps))
    best = (-math.inf, float(lowest), 0, False)
    for shift in (0, 1):
        for is_swapped in (False, True):
            spots = unit.swapped() if is_swapped else unit
            scores = _brightness(images, shift, spots, sizes)
            k = int(np.argmax(scores))
            best = max(best, (float(scores[k]), float(sizes[k]), shift, is_swapped))
    _, rough, shift, is_swapped = best
    fine = rough * (1 + np.linspace(-_FINE_RANGE, _FINE_RANGE, 17))
    found = []
    for s in fine:
        spots = _spots(chosen, float(s))
        drawn = spectra.draw(spots.swapped() if is_swapped else spots)
        look = spectra.correlate(drawn, shift, is_mean_kept=True)
        found.append(look.unshifted if look else 0.0)
    return float(fine[int(np.argmax(found))])


def _brightness(
    images: Mapping[int, NDArray[np.float32]],
    shift: int,
    spots: Spots,
    sizes_nm: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give, for each pixel size, the sum of the movie at spots whose places are in nm."""
    total = np.zeros(len(sizes_nm))
    for k, image in images.items():
        at = spots.frame + shift == k
        row = (spots.y_px[at] / sizes_nm[:, None]).astype(np.int64)
        column = (spots.x_px[at] / sizes_nm[:, None]).astype(np.int64)
        is_in = (row >= 0) & (row < image.shape[0]) & (column >= 0) & (column < image.shape[1])
        values = image[np.where(is_in, row, 0), np.where(is_in, column, 0)]
        total += np.sum(values, axis=1, where=is_in)
    return total
