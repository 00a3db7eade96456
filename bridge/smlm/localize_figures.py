"""What a list of localizations shows by itself: how many, how sure, how dense, how even.

Read from the rows on disk: counts from all of them, medians and densities from runs of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.smlm.diagnostics import count_subpixel
from bridge.smlm.nena import measure_nena
from bridge.smlm.row_store import RowStore

if TYPE_CHECKING:
    from bridge.smlm.patches import PatchConditions

SAMPLE_ROWS: Final = 200_000
"""Rows that medians, densities and NeNA are taken from; all of a shorter table."""
_DENSE_QUANTILE: Final = 0.95
_DENSITY_TOLERANCE: Final = 1.1


@dataclass(frozen=True)
class Figures:
    """What rows show by themselves; NaN for what isn't in them.

    Attributes
    ----------
    density_per_um2 : float
        Emitters found per square micrometre and frame, over all frames.
    density_dense_per_um2 : float
        The same in the densest twentieth of the field's cells, each of a training patch's size.
    median_photons, median_background : float
        Medians over the rows.
    median_uncertainty_nm, median_uncertainty_photons : float
        Medians of the stated uncertainties.
    subpixel_x, subpixel_y : tuple of int
        Rows by their place within a camera pixel, in ten bins.
    subpixel_unevenness : float
        Relative deviation from a flat histogram that counting noise doesn't explain.
    subpixel_p : float
        Chance of a histogram less flat, if places were uniform.
    nena_nm, nena_error_nm : float
        Precision by emitters found again in the next frame, per axis.
    """

    density_per_um2: float
    density_dense_per_um2: float
    median_photons: float
    median_background: float
    median_uncertainty_nm: float
    median_uncertainty_photons: float
    subpixel_x: tuple[int, ...]
    subpixel_y: tuple[int, ...]
    subpixel_unevenness: float
    subpixel_p: float
    nena_nm: float
    nena_error_nm: float


def measure_rows(
    store: RowStore,
    *,
    pixel_size_nm: float,
    shape: tuple[int, int, int],
    offset_px: tuple[int, int] = (0, 0),
    cell_px: int = 0,
) -> Figures:
    """Measure what rows show by themselves.

    Parameters
    ----------
    store : RowStore
        The rows.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    shape : (int, int, int)
        Frames, and height and width of the movie in pixels.
    offset_px : (int, int)
        x and y that were added to the coordinates, in pixels.
    cell_px : int
        Edge of a cell for the density, in pixels; 0 takes the whole frame.

    Returns
    -------
    Figures
    """
    n_frames, height, width = shape
    sample = store.sample(SAMPLE_ROWS)
    area_um2 = height * width * (pixel_size_nm / 1000) ** 2
    even = count_subpixel(sample, pixel_size_nm=pixel_size_nm)
    nena = measure_nena(sample)

    def median(name: str) -> float:
        known = name in sample and len(sample)
        return float(sample[name].median()) if known else math.nan

    return Figures(
        density_per_um2=store.n_rows / n_frames / area_um2,
        density_dense_per_um2=_dense(sample, pixel_size_nm, (height, width), offset_px, cell_px),
        median_photons=median("photons"),
        median_background=median("background"),
        median_uncertainty_nm=median("uncertainty_xy_nm"),
        median_uncertainty_photons=median("uncertainty_photons"),
        subpixel_x=tuple(int(n) for n in even.x),
        subpixel_y=tuple(int(n) for n in even.y),
        subpixel_unevenness=even.unevenness,
        subpixel_p=even.p_value,
        nena_nm=nena.precision_nm,
        nena_error_nm=nena.error_nm,
    )


def density_warning(figures: Figures, conditions: PatchConditions) -> str:
    """Warn where emitters were found more densely than a model was trained for, else give ""."""
    most = conditions.density_per_um2[1]
    found = max(figures.density_per_um2, np.nan_to_num(figures.density_dense_per_um2))
    if found <= most * _DENSITY_TOLERANCE:
        return ""
    return (
        f"Emitters were found at {found:.3g} per square micrometre where they are densest "
        f"({figures.density_per_um2:.3g} on average), and the model was trained up to {most:g}: "
        "where it is so dense, emitters are missed or merged."
    )


def _dense(
    sample: pd.DataFrame,
    pixel_size_nm: float,
    shape: tuple[int, int],
    offset_px: tuple[int, int],
    cell_px: int,
) -> float:
    """Give the density that a twentieth of the cells exceed, over the frames of a sample."""
    if not len(sample):
        return math.nan
    counts: list[NDArray[np.int64]] = []
    cells = [max(1, edge // cell_px) if cell_px else 1 for edge in shape]
    edges_um = [edge * pixel_size_nm / 1000 / n for edge, n in zip(shape, cells, strict=True)]
    place = [
        ((sample[name] / pixel_size_nm - offset) * n / edge).astype(int).clip(0, n - 1)
        for name, offset, n, edge in zip(
            ("y_nm", "x_nm"), offset_px[::-1], cells, shape, strict=True
        )
    ]
    frame = pd.factorize(sample["frame"])[0]
    n_cells = cells[0] * cells[1]
    index = frame.astype(np.int64) * n_cells + place[0].to_numpy() * cells[1] + place[1].to_numpy()
    counts.append(np.bincount(index, minlength=(int(frame.max()) + 1) * n_cells))
    return float(np.quantile(counts[0], _DENSE_QUANTILE)) / (edges_um[0] * edges_um[1])
