"""What a score alone hides: chance level, pixel-locking, dishonest uncertainties, mixed-up axes.

:func:`check_itself` is what a table shows of itself, without a truth.

Each function looks at tables or errors and gives numbers; none prints or plots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2 as chi2_distribution

from bridge.smlm.link import lateral_sigma
from bridge.smlm.nena import NenaResult, measure_nena

_CHANCE_SHIFT_NM = 1000.0


@dataclass(frozen=True, eq=False)
class SubpixelHistogram:
    """Where in their camera pixels the localizations lie; flat, unless a localizer locks to pixels.

    Attributes
    ----------
    x, y : ndarray of int64, one for each bin
        Localizations by fractional position, from 0 (left or upper edge) to 1.
    chi2 : float
        Sum over both axes of (count - mean)^2 / mean.
    p_value : float
        Chance of a larger ``chi2`` if positions were independent and uniform.
    unevenness : float
        Root mean square deviation from flat over the mean, without what counting noise explains;
        0: flat. Unlike ``chi2`` it doesn't grow with the number of localizations.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    chi2: float
    p_value: float
    unevenness: float


def count_subpixel(
    table: pd.DataFrame, *, pixel_size_nm: float, n_bins: int = 10
) -> SubpixelHistogram:
    """Count localizations by their position within the camera pixel, and test for flatness.

    Parameters
    ----------
    table : DataFrame
        Localizations with finite ``x_nm`` and ``y_nm``, from the image's top left corner.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    n_bins : int
        Bins across a pixel, >= 2.

    Returns
    -------
    SubpixelHistogram
        Counts and test; NaN for an empty table.
    """
    counts = []
    for name in ("x_nm", "y_nm"):
        fraction = (table[name].to_numpy(np.float64) / pixel_size_nm) % 1.0
        bins = np.minimum((fraction * n_bins).astype(np.int64), n_bins - 1)
        counts.append(np.bincount(bins, minlength=n_bins))
    if not len(table):
        return SubpixelHistogram(counts[0], counts[1], np.nan, np.nan, np.nan)
    mean = len(table) / n_bins
    chi2 = float(sum(((count - mean) ** 2 / mean).sum() for count in counts))
    freedom = 2 * (n_bins - 1)
    return SubpixelHistogram(
        counts[0],
        counts[1],
        chi2,
        float(chi2_distribution.sf(chi2, freedom)),
        float(np.sqrt(max(0.0, chi2 - freedom) / (2 * len(table)))),
    )


@dataclass(frozen=True, eq=False)
class SelfCheck:
    """What a table shows of itself.

    Attributes
    ----------
    nena : NenaResult or None
        Precision by emitters found again in the next frame; None for a merged table.
    stated_nm : float
        Median of the uncertainties that the table states, along one axis, in nm; NaN where none.
    subpixel : SubpixelHistogram or None
        Places within the camera pixel; None where no pixel size is known.
    """

    nena: NenaResult | None
    stated_nm: float
    subpixel: SubpixelHistogram | None

    def as_dict(self) -> dict[str, float | int]:
        """Give the figures by name, for a status or a report; without those not measured."""
        figures: dict[str, float | int] = {}
        if self.nena is not None:
            figures["nena_nm"] = self.nena.precision_nm
            figures["nena_error_nm"] = self.nena.error_nm
            figures["nena_pairs"] = self.nena.n_pairs
        figures["stated_uncertainty_nm"] = self.stated_nm
        if self.subpixel is not None:
            figures["subpixel_chi2"] = self.subpixel.chi2
            figures["subpixel_p_value"] = self.subpixel.p_value
            figures["subpixel_unevenness"] = self.subpixel.unevenness
        return figures


def check_itself(table: pd.DataFrame, *, pixel_size_nm: float | None) -> SelfCheck:
    """Measure what a table shows without a truth: its precision, and whether pixels show through.

    Parameters
    ----------
    table : DataFrame
        Localizations with finite ``frame``, ``x_nm`` and ``y_nm``.
    pixel_size_nm : float, optional
        Edge of a camera pixel, in nm, > 0; without it places in the pixel aren't counted.

    Returns
    -------
    SelfCheck
        NaN where the table is too short.
    """
    is_merged = "detections" in table and bool((table["detections"] > 1).any())
    sigma = lateral_sigma(table)
    return SelfCheck(
        None if is_merged else measure_nena(table),
        float("nan") if sigma is None else float(np.nanmedian(sigma)),
        count_subpixel(table, pixel_size_nm=pixel_size_nm) if pixel_size_nm else None,
    )


@dataclass(frozen=True)
class Spread:
    """Width of errors divided by their stated uncertainties; 1 is honest, above 1 overconfident.

    Attributes
    ----------
    sd : float
        Standard deviation about 0.
    robust_sd : float
        1.4826 times the median absolute value, which false pairs hardly move.
    """

    sd: float
    robust_sd: float


def spread_of(errors_nm: ArrayLike, uncertainties_nm: ArrayLike) -> Spread:
    """Compare errors with the uncertainties that a table states for them.

    Parameters
    ----------
    errors_nm, uncertainties_nm : array_like, one for each localization and axis
        In nm; entries whose uncertainty isn't above 0 are left out.

    Returns
    -------
    Spread
        NaN where nothing is left.
    """
    errors, stated = np.asarray(errors_nm, np.float64), np.asarray(uncertainties_nm, np.float64)
    is_stated = np.isfinite(stated) & (stated > 0)
    z = errors[is_stated] / stated[is_stated]
    if not len(z):
        return Spread(np.nan, np.nan)
    return Spread(float(np.sqrt(np.mean(z**2))), float(1.4826 * np.median(np.abs(z))))


def misplace(
    table: pd.DataFrame,
    frames: NDArray[np.int64],
    *,
    field_nm: tuple[float, float],
    border_nm: float,
    seed: int,
) -> pd.DataFrame:
    """Move all localizations where they can be right by chance only.

    With two frames or more, the frames change places, none stays; each keeps its localizations, so
    that density and structure remain. A single frame is shifted by 1 um along both axes, around
    the edges of the field.

    Parameters
    ----------
    table : DataFrame
        Localizations within the field.
    frames : ndarray
        The frames that take part.
    field_nm : (float, float)
        Width and height of the field, in nm.
    border_nm : float
        What is left out at each edge of it, in nm.
    seed : int
        Seed of the order.

    Returns
    -------
    DataFrame
        A copy with other frames or places.
    """
    if len(frames) > 1:
        circle = np.random.default_rng(seed).permutation(frames)
        order = np.argsort(circle)
        place = order[np.searchsorted(circle, table["frame"].to_numpy(), sorter=order)]
        return table.assign(frame=np.roll(circle, -1)[place])
    moved = {}
    for name, length in zip(("x_nm", "y_nm"), field_nm, strict=True):
        inner = length - 2 * border_nm
        moved[name] = (table[name] - border_nm + _CHANCE_SHIFT_NM * (seed + 1)) % inner + border_nm
    return table.assign(**moved)


def likely_mistakes(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Give variants of a table, each with one usual mistake undone.

    Parameters
    ----------
    table : DataFrame
        Localizations.

    Yields
    ------
    (str, DataFrame)
        What was done, as in "with x and y swapped", and the table it gives.
    """
    yield "with x and y swapped", table.rename(columns={"x_nm": "y_nm", "y_nm": "x_nm"})
    for step in (1, -1):
        yield (
            f"with frames counted {'up' if step > 0 else 'down'} by one",
            table.assign(frame=table["frame"] + step),
        )
