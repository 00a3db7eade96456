r"""Draw what is in a field: fluorophores of filaments, actin, nuclei, points, before any PSF.

::

    filaments   actin       nuclei       points      centrioles (centrioles.py)
     \  __/     \/\/ \    .-::-.       . .  .       o=   cell, haze, specks
    ---\/---    /\/\/\    (::..:)    .   . :

Arrays are (Y, X), in fluorophores per pixel up to a factor; origin at the outer corner of the top
left pixel. Sizes are in nm, so a finer grid shows the same things in more pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bridge.errors import InputError
from bridge.restoration.centrioles import draw_centrioles

Structure = Literal["filaments", "actin", "nuclei", "points", "centrioles"]
STRUCTURES: tuple[Structure, ...] = get_args(Structure)

_STEP_PX = 0.5  # between the points of a line
_UM2 = 1e6  # nm^2 in a square micrometre


def draw_object(
    structure: str, *, edge_px: int, pixel_size_nm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw the fluorophores of one field.

    Parameters
    ----------
    structure : str
        One of ``STRUCTURES``.
    edge_px : int
        Rows and columns, > 0.
    pixel_size_nm : float
        Edge of a pixel, in nm, > 0.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray, axes (Y, X), float32
        Fluorophores per pixel up to a factor, >= 0.

    Raises
    ------
    InputError
        The structure isn't known.
    """
    if structure not in _DRAWN:
        raise InputError("structure", f"'{structure}'", f"one of {', '.join(STRUCTURES)}")
    return _DRAWN[structure](edge_px, pixel_size_nm, rng)


def _filaments(edge_px: int, pixel_size_nm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Long, smoothly bent lines, as microtubules have them; each of its own brightness."""
    area_um2 = (edge_px * pixel_size_nm) ** 2 / _UM2
    image = np.zeros((edge_px, edge_px), np.float32)
    for _ in range(max(2, rng.poisson(0.18 * area_um2))):
        line = bent_line(edge_px, pixel_size_nm, rng, length_nm=9_000, bend_nm=6_000)
        image += _deposit(*line, edge_px) * rng.lognormal(0, 0.7)
    return image


def _actin(edge_px: int, pixel_size_nm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Give a net: many short, nearly straight fibres, most along one direction, some in bundles."""
    area_um2 = (edge_px * pixel_size_nm) ** 2 / _UM2
    image = np.zeros((edge_px, edge_px), np.float32)
    main = rng.uniform(0, math.pi)
    for _ in range(max(4, rng.poisson(0.9 * area_um2))):
        heading = main + rng.normal(0, 0.35) + (math.pi / 2 if rng.random() < 0.35 else 0.0)
        length_nm = rng.uniform(1_500, 5_000)
        line = bent_line(
            edge_px, pixel_size_nm, rng, length_nm=length_nm, bend_nm=30_000, heading=heading
        )
        image += _deposit(*line, edge_px) * rng.lognormal(0, 1.1)
    return image


def _nuclei(edge_px: int, pixel_size_nm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Give ellipses filled with grainy chromatin: noise of two grain sizes, few dense parts."""
    rows, columns = np.mgrid[:edge_px, :edge_px].astype(np.float32) + 0.5
    inside = np.zeros((edge_px, edge_px), bool)
    n_nuclei = max(1, rng.poisson((edge_px * pixel_size_nm) ** 2 / _UM2 / 55))
    for _ in range(n_nuclei):
        centre = rng.uniform(0.2 * edge_px, 0.8 * edge_px, 2)
        axes = rng.uniform(1_800, 3_000, 2) / pixel_size_nm
        angle = rng.uniform(0, math.pi)
        dy, dx = rows - centre[0], columns - centre[1]
        along = dx * math.cos(angle) + dy * math.sin(angle)
        across = dy * math.cos(angle) - dx * math.sin(angle)
        inside |= (along / axes[0]) ** 2 + (across / axes[1]) ** 2 < 1
    grain = _noise(edge_px, 60 / pixel_size_nm, rng) + 0.15 * _noise(
        edge_px, 350 / pixel_size_nm, rng
    )
    image: NDArray[np.float32] = ((0.04 + 1 / (1 + np.exp(5 - 3 * grain))) * inside).astype(
        np.float32
    )
    return image


def _points(edge_px: int, pixel_size_nm: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Give puncta, some of them in clusters, a few times brighter than others."""
    area_um2 = (edge_px * pixel_size_nm) ** 2 / _UM2
    n_single, n_clusters = rng.poisson(5.5 * area_um2), rng.poisson(0.0 * area_um2)
    places = [rng.uniform(0, edge_px, (n_single, 2))]
    for _ in range(n_clusters):
        spread_px = rng.uniform(150, 500) / pixel_size_nm
        centre = rng.uniform(0, edge_px, 2)
        places.append(centre + rng.normal(0, spread_px, (rng.integers(4, 20), 2)))
    rows, columns = np.concatenate(places).T
    return _deposit(rows, columns, edge_px, rng.uniform(0, 1, len(rows)) ** 4)


def bent_line(
    edge_px: int,
    pixel_size_nm: float,
    rng: np.random.Generator,
    *,
    length_nm: float,
    bend_nm: float,
    heading: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Walk from a place anywhere in the field, to both sides; give rows and columns.

    ``bend_nm`` is the persistence length: the heading's variance after it is 2.
    """
    n_steps = max(2, round(length_nm / pixel_size_nm / _STEP_PX))
    turn = math.sqrt(2 * _STEP_PX * pixel_size_nm / bend_nm)
    start = rng.uniform(0, 2 * math.pi) if heading is None else heading
    angles = start + np.cumsum(rng.normal(0, turn, n_steps))
    rows, columns = np.cumsum(np.sin(angles)) * _STEP_PX, np.cumsum(np.cos(angles)) * _STEP_PX
    middle = n_steps // 2
    rows += rng.uniform(0, edge_px) - rows[middle]
    columns += rng.uniform(0, edge_px) - columns[middle]
    return rows, columns


def _deposit(
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
    edge_px: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float32]:
    """Add points to a grid, each shared by its four nearest pixels (bilinear)."""
    tops, lefts = np.floor(rows - 0.5).astype(int), np.floor(columns - 0.5).astype(int)
    down, right = rows - 0.5 - tops, columns - 0.5 - lefts
    image = np.zeros((edge_px, edge_px), np.float32)
    strength = np.ones_like(rows) if weights is None else weights
    for dy, share_y in ((0, 1 - down), (1, down)):
        for dx, share_x in ((0, 1 - right), (1, right)):
            y, x = tops + dy, lefts + dx
            is_in = (y >= 0) & (y < edge_px) & (x >= 0) & (x < edge_px)
            np.add.at(image, (y[is_in], x[is_in]), (strength * share_y * share_x)[is_in])
    return image


def _noise(edge_px: int, sigma_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Give smooth noise of variance 1."""
    noise = ndimage.gaussian_filter(rng.standard_normal((edge_px, edge_px)), sigma_px, mode="wrap")
    smooth: NDArray[np.float32] = (noise / noise.std()).astype(np.float32)
    return smooth


def _centrioles(
    edge_px: int, pixel_size_nm: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    return draw_centrioles(edge_px=edge_px, pixel_size_nm=pixel_size_nm, rng=rng)[0]


_DRAWN: dict[str, Callable[[int, float, np.random.Generator], NDArray[np.float32]]] = {
    "filaments": _filaments,
    "actin": _actin,
    "nuclei": _nuclei,
    "points": _points,
    "centrioles": _centrioles,
}
