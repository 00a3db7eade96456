"""Simulated movies of blinking emitters on filaments: the demo, and what figures are measured on.

Training never sees these filaments: there, emitters lie on parabolas or anywhere, and every frame
is on its own. Coordinates as in ``simulate``: from the outer corner of the top left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models_zoo.deep_storm.simulate import (
    OFFSET_ADU,
    PIXEL_SIZE_NM,
    UPSCALING,
    Emitters,
    expose_mean,
)

HEADINGS = ("id", "frame", "x [nm]", "y [nm]", "intensity [photon]")
"""The truth table's columns, as ThunderSTORM writes them."""


@dataclass(frozen=True)
class Scene:
    """What is in front of the camera.

    Parameters
    ----------
    n_frames : int
        Length of the movie, >= 1.
    shape : (int, int)
        Size of a frame (y, x), in pixels.
    n_filaments : int
        Filaments that cross the field, >= 1.
    density_per_um2 : float
        Emitters that shine in a frame on average, per square micrometre of the whole field, >= 0.
    on_frames : float
        Frames that an emitter shines for on average, >= 1.
    photons : float
        Mean photoelectrons of an emitter in a frame; emitters vary around it by 30 %.
    background : float
        Mean photoelectrons per pixel and frame beside the emitters.
    out_of_focus : float
        Share of the background that is the blurred image of the filaments, 0 to 1.
    sigma_nm : float
        Standard deviation of the point spread function.
    read_noise : float
        Standard deviation of the camera's read noise, in photoelectrons.
    """

    n_frames: int = 32
    shape: tuple[int, int] = (96, 96)
    n_filaments: int = 12
    density_per_um2: float = 1.5
    on_frames: float = 1.5
    photons: float = 1500.0
    background: float = 15.0
    out_of_focus: float = 0.5
    sigma_nm: float = 130.0
    read_noise: float = 1.6


class Movie(NamedTuple):
    """A movie and its truth.

    ``frames`` is (t, y, x) uint16 in camera counts; ``truth`` has a row for each emitter in each
    frame, with the columns of ``HEADINGS`` and frames from 1.
    """

    frames: NDArray[np.uint16]
    truth: NDArray[np.float64]


def draw_filament(
    rng: np.random.Generator, *, shape: tuple[int, int], step_px: float = 0.05
) -> NDArray[np.float64]:
    """Draw a smooth filament that enters the field at its edge and wanders until it leaves.

    Its direction follows an Ornstein-Uhlenbeck curvature, so that it bends like a microtubule:
    over micrometres, never at a point.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    shape : (int, int)
        Size of the field (y, x), in pixels.
    step_px : float
        Distance between the points given, in pixels, > 0.

    Returns
    -------
    ndarray, (n, 2)
        Points (y, x) inside the field, in pixels.
    """
    height, width = shape
    side, along = rng.integers(4), rng.random()
    starts = [(0, along), (1, along), (along, 0), (along, 1)]
    y, x = starts[side][0] * height, starts[side][1] * width
    inwards = [np.pi / 2, -np.pi / 2, 0, np.pi]
    heading, curvature = inwards[side] + rng.uniform(-1, 1), 0.0
    points = []
    for _ in range(int(3 * (height + width) / step_px)):
        # Correlated over 15 px, with a standard deviation of 1 / (40 px).
        memory = np.exp(-step_px / 15)
        curvature = memory * curvature + np.sqrt(1 - memory**2) * rng.normal(0, 1 / 40)
        heading += curvature * step_px
        y, x = y + step_px * np.sin(heading), x + step_px * np.cos(heading)
        if not (0 <= y < height and 0 <= x < width):
            break
        points.append((y, x))
    return np.array(points)


def simulate_movie(scene: Scene, *, seed: int) -> Movie:
    """Film emitters that blink at random places of filaments.

    Parameters
    ----------
    scene : Scene
        What is in front of the camera.
    seed : int
        The same seed gives the same movie.

    Returns
    -------
    Movie
        Frames, and where the emitters are.
    """
    rng = np.random.default_rng(seed)
    height, width = scene.shape
    paths = [draw_filament(rng, shape=scene.shape) for _ in range(scene.n_filaments)]
    points = np.concatenate(paths)

    field_um2 = height * width * (PIXEL_SIZE_NM / 1000) ** 2
    warm_up = int(10 * scene.on_frames)  # some shine already when the movie starts
    n_times = scene.n_frames + warm_up
    n_sites = rng.poisson(scene.density_per_um2 * field_um2 / scene.on_frames * n_times)
    # 8 nm beside the filament's axis: labels are not in its middle.
    sites = points[rng.integers(len(points), size=n_sites)]
    sites = sites + rng.normal(0, 8 / PIXEL_SIZE_NM, sites.shape)
    photons = scene.photons * np.exp(rng.normal(0, 0.3, n_sites))
    first = rng.integers(-warm_up, scene.n_frames, n_sites)
    last = first + rng.geometric(1 / scene.on_frames, n_sites) - 1

    background = _light_background(scene, points)
    frames = np.empty((scene.n_frames, height, width), dtype=np.uint16)
    rows = []
    for index in range(scene.n_frames):
        shines = (first <= index) & (index <= last)
        (y_px, x_px), bright = sites[shines].T, photons[shines]
        emitters = Emitters(*(torch.from_numpy(v[None]) for v in (x_px, y_px, bright)))
        sigma_px = torch.tensor([scene.sigma_nm / PIXEL_SIZE_NM], dtype=torch.float64)
        mean = background + expose_mean(emitters, sigma_px, shape=scene.shape)[0].numpy()
        signal = rng.poisson(mean) + rng.normal(0, scene.read_noise, mean.shape) + OFFSET_ADU
        frames[index] = np.clip(np.round(signal), 0, 65535)
        inside = (x_px >= 0) & (x_px < width) & (y_px >= 0) & (y_px < height)
        number = np.full(inside.sum(), index + 1)
        x_nm, y_nm = x_px[inside] * PIXEL_SIZE_NM, y_px[inside] * PIXEL_SIZE_NM
        rows.append(np.column_stack([number, x_nm, y_nm, bright[inside]]))
    table = np.concatenate(rows)
    return Movie(frames, np.column_stack([np.arange(1, len(table) + 1), table]))


def _light_background(scene: Scene, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur the filaments into a haze, and add it to an even background."""
    counts = np.zeros(scene.shape)
    np.add.at(counts, tuple(points.astype(int).T), 1)
    haze = gaussian_filter(counts, 6.0)
    haze /= haze.mean()
    level = scene.background * (1 - scene.out_of_focus + scene.out_of_focus * haze)
    return np.asarray(level, dtype=np.float64)


def count_truth(movie: Movie) -> NDArray[np.float64]:
    """Count a movie's emitters per fine pixel, in each frame.

    Returns
    -------
    ndarray, (t, Y, X)
        Emitters per fine pixel and frame.
    """
    n_frames, height, width = movie.frames.shape
    fine_nm = PIXEL_SIZE_NM / UPSCALING
    _, frame, x_nm, y_nm, _ = movie.truth.T
    place = np.column_stack([frame - 1, y_nm // fine_nm, x_nm // fine_nm]).astype(int)
    counts = np.zeros((n_frames, height * UPSCALING, width * UPSCALING))
    np.add.at(counts, tuple(place.T), 1)
    return counts


def write_truth(path: Path, movie: Movie) -> None:
    """Write the truth table as ThunderSTORM would export it."""
    heading = ",".join(f'"{name}"' for name in HEADINGS)
    formats = ["%d", "%d", "%.2f", "%.2f", "%.1f"]
    np.savetxt(path, movie.truth, fmt=formats, delimiter=",", header=heading, comments="")
