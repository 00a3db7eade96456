r"""Draw cells with centrioles, and keep where each centriole is, so that detections can be scored.

A centriole is a hollow cylinder, 200 nm wide and 400-500 nm long, of nine lines of fluorophores;
seen from the end it is a ring, from the side a rod. They come in pairs at right angles::

       .-------------.
      /   .--.   '    \     haze in the cytoplasm, shadow of the nucleus,
     |   ( nuc)   o=   |    one to four centrioles beside it,
      \   '--'  .     /     autofluorescent specks anywhere
       '-------------'
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

_WIDTH_NM = 200.0
_LENGTH_NM = (400.0, 500.0)
_PAIR_NM = (350.0, 600.0)  # from centre to centre
_CELL_NM = 9_000.0  # edge of the square that a cell has to itself
_N_DOTS = 1_200  # fluorophores of a centriole


def draw_centrioles(
    *, edge_px: int, pixel_size_nm: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], pd.DataFrame]:
    """Draw a field of cells with one to four centrioles each.

    Parameters
    ----------
    edge_px : int
        Rows and columns, > 0.
    pixel_size_nm : float
        Edge of a pixel, in nm, > 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    object : ndarray, axes (Y, X), float32
        Fluorophores per pixel; a centriole has about 1 in all.
    places : DataFrame
        One row per centriole whose centre is in the field: ``cell`` (from 0), ``y_px`` and
        ``x_px`` (centre, from the outer corner of the top left pixel), ``y_nm``, ``x_nm``,
        ``strength`` (its share of fluorophores, about 1).
    """
    edge_nm = edge_px * pixel_size_nm
    image = np.zeros((edge_px, edge_px), np.float32)
    rows: list[dict[str, float]] = []
    side = max(1, round(edge_nm / _CELL_NM))
    pitch_nm = edge_nm / side
    for cell, (row, column) in enumerate(np.ndindex(side, side)):
        middle = (np.array([row, column]) + 0.5 + rng.uniform(-0.08, 0.08, 2)) * pitch_nm
        radius_nm = min(pitch_nm, _CELL_NM) * rng.uniform(0.38, 0.48)
        image += _cell(middle, radius_nm, edge_px, pixel_size_nm, rng)
        heading = rng.uniform(0, 2 * math.pi)
        beside = middle + 0.62 * radius_nm * np.array([math.sin(heading), math.cos(heading)])
        for centre, dots, strength in _group(beside, rng):
            image += _bin(dots, edge_px, pixel_size_nm) * np.float32(strength / _N_DOTS)
            rows.append({"cell": cell, "y_nm": centre[0], "x_nm": centre[1], "strength": strength})
    image += _specks(edge_px, pixel_size_nm, rng)
    places = pd.DataFrame(rows, columns=["cell", "y_nm", "x_nm", "strength"])
    places["y_px"], places["x_px"] = places.y_nm / pixel_size_nm, places.x_nm / pixel_size_nm
    is_in = places[["y_nm", "x_nm"]].ge(0).all(axis=1) & places[["y_nm", "x_nm"]].lt(edge_nm).all(
        axis=1
    )
    return image, places[is_in].reset_index(drop=True)


def _group(
    beside: NDArray[np.float64], rng: np.random.Generator
) -> list[tuple[NDArray[np.float64], NDArray[np.float64], float]]:
    """Give one to four centrioles, the second and fourth at right angles to the one before."""
    group = []
    n_centrioles = rng.choice([1, 2, 3, 4], p=[0.15, 0.55, 0.1, 0.2])
    for number in range(n_centrioles):
        if number % 2 == 0:
            turned = Rotation.random(rng=rng)
            away = rng.normal(0, 1, 2)
            far_nm = 0.0 if number == 0 else rng.uniform(900, 2_000)
            centre = beside + far_nm * away / np.linalg.norm(away)
        else:
            turned = turned * Rotation.from_euler("x", math.pi / 2)
            away = rng.normal(0, 1, 2)
            centre = centre + rng.uniform(*_PAIR_NM) * away / np.linalg.norm(away)
        group.append((centre, _cylinder(centre, turned, rng), float(rng.lognormal(0, 0.2))))
    return group


def _cylinder(
    centre: NDArray[np.float64], turned: Rotation, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Give fluorophores (n, 2: y, x in nm) of nine lines around an axis, seen from above."""
    angles = rng.integers(0, 9, _N_DOTS) * (2 * math.pi / 9)
    along = rng.uniform(-0.5, 0.5, _N_DOTS) * rng.uniform(*_LENGTH_NM)
    around = _WIDTH_NM / 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    solid = turned.apply(np.column_stack([around, along]))
    seen: NDArray[np.float64] = centre + solid[:, :2]
    return seen


def _bin(dots: NDArray[np.float64], edge_px: int, pixel_size_nm: float) -> NDArray[np.float32]:
    """Count dots (n, 2: y, x in nm) per pixel."""
    edges = np.arange(edge_px + 1) * pixel_size_nm
    counts: NDArray[np.float32] = np.histogram2d(dots[:, 0], dots[:, 1], (edges, edges))[0].astype(
        np.float32
    )
    return counts


def _cell(
    middle: NDArray[np.float64],
    radius_nm: float,
    edge_px: int,
    pixel_size_nm: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Give the haze of a cell, per pixel, with the nucleus's shadow."""
    rows, columns = (np.mgrid[:edge_px, :edge_px] + 0.5) * pixel_size_nm
    far = np.hypot(rows - middle[0], columns - middle[1])
    nucleus = middle + rng.normal(0, 0.05, 2) * radius_nm
    far_nucleus = np.hypot(rows - nucleus[0], (columns - nucleus[1]) * rng.uniform(0.8, 1.2))
    body = 1 / (1 + np.exp((far - radius_nm) / (0.04 * radius_nm)))
    shadow = 1 - 0.6 / (1 + np.exp((far_nucleus - 0.5 * radius_nm) / (0.04 * radius_nm)))
    uneven = ndimage.gaussian_filter(
        rng.standard_normal((edge_px, edge_px)), 400 / pixel_size_nm, mode="reflect"
    )
    uneven /= max(float(uneven.std()), 1e-12)
    per_um2 = rng.uniform(0.15, 0.6)  # a centriole is 1
    haze = per_um2 * (pixel_size_nm / 1_000) ** 2 * body * shadow * np.exp(0.15 * uneven)
    hazy: NDArray[np.float32] = haze.astype(np.float32)
    return hazy


def _specks(edge_px: int, pixel_size_nm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Give autofluorescent grains: single points and soft blobs, dimmer than most centrioles."""
    edge_nm = edge_px * pixel_size_nm
    image = np.zeros((edge_px, edge_px), np.float32)
    for _ in range(rng.poisson(0.03 * (edge_nm / 1_000) ** 2)):
        spread_nm = rng.choice([0.0, rng.uniform(200, 600)])
        dots = rng.uniform(0, edge_nm, 2) + rng.normal(0, 1, (200, 2)) * spread_nm
        image += _bin(dots, edge_px, pixel_size_nm) * np.float32(rng.uniform(0.1, 0.45) / 200)
    return image
