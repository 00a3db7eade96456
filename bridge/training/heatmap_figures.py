"""What a trained network is worth, measured on emitters that it never saw.

The truth is the sum of all emitters, blurred by one fine pixel. ``r`` is the correlation with it,
NMSE the squared error after the best scale over the truth's square, both without 4 camera pixels
at each edge; mass is the emitters that the outputs add up to, over the true number. The sum of the
camera frames is measured in the same way: what there is without the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from bridge.quality.metrics import normalised_square_error, pearson
from bridge.smlm.blinking import EachFrame, LogNormalPhotons
from bridge.smlm.labels import MovieLabels, Window
from bridge.smlm.patches import PatchConditions
from bridge.smlm.psf import IntegratedGaussian
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.structures import Empty, Filaments
from bridge.training.sources import Field
from bridge.training.tasks.heatmap import HeatmapTask

Image = NDArray[np.float64]
Predict = Callable[[NDArray[np.generic]], NDArray[np.float32]]

_EDGE_PX: Final = 4
_FIRST_SEED: Final = 1000
_EDGE_OF_MOVIE_PX: Final = 48
_N_EMPTY: Final = 200
_FRAMES_AT_A_TIME: Final = 16
_MOST_FRAMES: Final = 1000
_PHOTONS: Final = 1000.0
_BACKGROUND: Final = 10.0
_HALF: Final = 0.25
_SEPARATION_PX: Final = 3


@dataclass(frozen=True)
class Score:
    """How well a movie's summed outputs agree with its emitters."""

    correlation: float
    """Of the summed outputs."""
    nmse: float
    """Of the summed outputs."""
    mass: float
    """Emitters in the outputs over the true number."""
    frames_correlation: float
    """Of the summed camera frames."""
    frames_nmse: float
    """Of the summed camera frames."""


@dataclass(frozen=True)
class Figures:
    """What was measured of a network."""

    scores: Mapping[str, Score]
    """By movie."""
    haze_per_frame: float | None
    """Emitters that an empty frame of 64 x 64 pixels adds up to."""
    false_per_frame: float | None
    """Spots in such a frame that hold a quarter of an emitter or more."""

    def flat(self) -> dict[str, float]:
        """Give all figures by one name each."""
        found = {
            f"{movie}: {name}": round(float(value), 4)
            for movie, score in self.scores.items()
            for name, value in vars(score).items()
        }
        more = {"haze_per_frame": self.haze_per_frame, "false_per_frame": self.false_per_frame}
        return found | {k: round(v, 4) for k, v in more.items() if v is not None}

    def sentences(self) -> list[str]:
        """Tell a line for each movie."""
        return [
            f"{movie}: r {score.correlation:.3f} (sum of frames {score.frames_correlation:.3f}), "
            f"NMSE {score.nmse:.3f} ({score.frames_nmse:.3f}), mass {score.mass:.2f}."
            for movie, score in self.scores.items()
        ]

    def card(self) -> str:
        """Tell them as a part of a package's card."""
        lines = [
            "The truth is the sum of all emitters, blurred by one fine pixel. r is the correlation "
            "with it, NMSE the squared error after the best scale over the truth's square, both "
            "without 4 camera pixels at each edge; mass is the emitters the outputs add up to, "
            "over the true number. In brackets: the sum of the camera frames. None of it was "
            "trained on; the filaments (48 x 48 pixels, 1000 photons, background 10) are "
            "simulated.",
            "",
            "| movie | r | NMSE | mass |",
            "|---|---|---|---|",
        ]
        for movie, score in self.scores.items():
            lines.append(
                f"| {movie} | {score.correlation:.3f} ({score.frames_correlation:.3f}) | "
                f"{score.nmse:.3f} ({score.frames_nmse:.3f}) | {score.mass:.2f} |"
            )
        if self.haze_per_frame is not None:
            lines += [
                "",
                f"A frame of 64 x 64 pixels without emitters adds up to {self.haze_per_frame:.3f} "
                f"emitters, and shows {self.false_per_frame:.3f} spots.",
            ]
        return "\n".join(lines)


def measure(
    task: HeatmapTask, *, conditions: PatchConditions | None, fields: list[Field]
) -> Figures:
    """Measure a network on simulated filaments, on empty frames, and on movies' kept parts.

    Parameters
    ----------
    task : HeatmapTask
        With its best weights, on the CPU.
    conditions : PatchConditions or None
        What it was trained on; the movies have the same camera and the middle width.
    fields : list of Field
        Parts of movies that were kept for validation; their first 1000 frames count.

    Returns
    -------
    Figures
        Of the network.
    """
    upscaling, amount = task.part.upscaling, task.part.amount

    def predict(frames: NDArray[np.generic]) -> NDArray[np.float32]:
        return predict_frames(task, frames)

    scores: dict[str, Score] = {}
    haze = false = None
    if conditions is not None:
        for name, settings in filament_movies(conditions).items():
            frames, labels = _film(settings)
            scores[name] = score_movie(frames, labels, predict, upscaling=upscaling, amount=amount)
        haze, false = measure_empty(
            conditions, predict, upscaling=upscaling, amount=amount, n_frames=_N_EMPTY
        )
    for number, field in enumerate(fields, start=1):
        kept = field.read(0, min(field.n_frames, _MOST_FRAMES))  # the whole may not fit in memory
        window = (field.rows_px[0], field.columns_px[0])
        scores[f"kept part of movie {number}"] = score_movie(
            kept, field.labels, predict, upscaling=upscaling, amount=amount, corner_px=window
        )
    return Figures(MappingProxyType(scores), haze, false)


def filament_movies(conditions: PatchConditions) -> dict[str, Simulation]:
    """Give the movies of filaments that networks are measured on, by name.

    Filaments of another generator than the lines in training patches; 1000 photons a frame,
    background 10, every frame on its own.
    """
    low, high = conditions.psf.draw_sigma_nm(1, 64, generator=torch.Generator()).aminmax()
    sigma_nm = (float(low) + float(high)) / 2
    movies = {}
    for density, n_frames in ((6.0, 150), (1.5, 300)):
        for seed in range(_FIRST_SEED, _FIRST_SEED + 2):
            movies[f"filaments, {density:g} per um2, seed {seed}"] = Simulation(
                width_px=_EDGE_OF_MOVIE_PX,
                height_px=_EDGE_OF_MOVIE_PX,
                n_frames=n_frames,
                density_per_um2=density,
                photons=LogNormalPhotons(median=_PHOTONS, spread=0.3),
                background_photons=_BACKGROUND,
                psf=IntegratedGaussian(sigma_nm=(sigma_nm, sigma_nm)),
                camera=conditions.camera,
                structure=Filaments(),
                blinking=EachFrame(),
                seed=seed,
            )
    return movies


def predict_frames(task: HeatmapTask, frames: NDArray[np.generic]) -> NDArray[np.float32]:
    """Predict frames (t, y, x) in camera counts; gives emitters (t, Y, X), never below 0."""
    outputs = []
    with torch.inference_mode():
        for first in range(0, len(frames), _FRAMES_AT_A_TIME):
            part = frames[first : first + _FRAMES_AT_A_TIME, None].astype(np.float32)
            outputs.append(task(torch.from_numpy(part)).clamp(min=0)[:, 0].numpy())
    return np.concatenate(outputs)


def score_movie(
    frames: NDArray[np.generic],
    labels: MovieLabels,
    predict: Predict,
    *,
    upscaling: int,
    amount: float,
    corner_px: tuple[int, int] = (0, 0),
) -> Score:
    """Score the summed outputs of a movie, and the sum of its frames.

    Parameters
    ----------
    frames : ndarray, (t, y, x)
        Camera counts; y and x may be cropped to what the network takes.
    labels : MovieLabels
        The true emitters, from the corner of the whole movie.
    predict : callable
        Frames (t, y, x) to emitters (t, Y, X).
    upscaling : int
        Fine pixels per camera pixel.
    amount : float
        Sum of the output for one emitter.
    corner_px : (int, int)
        Where the frames' first pixel lies in the movie (y, x).

    Returns
    -------
    Score
        Of both.
    """
    height, width = (edge // 8 * 8 for edge in frames.shape[1:])
    frames = frames[:, :height, :width]
    summed = np.zeros((height * upscaling, width * upscaling))
    truth = np.zeros_like(summed)
    for first in range(0, len(frames), _FRAMES_AT_A_TIME):
        summed += predict(frames[first : first + _FRAMES_AT_A_TIME]).sum(axis=0, dtype=np.float64)
    for frame in range(1, len(frames) + 1):
        window = Window(frame, *corner_px, height, width)
        truth += labels.count(window, upscaling=upscaling)
    camera = frames.astype(np.float64).sum(axis=0)
    camera = (camera - camera.min()).repeat(upscaling, axis=0).repeat(upscaling, axis=1)
    edge = _EDGE_PX * upscaling
    inner = (slice(edge, -edge), slice(edge, -edge))
    blurred = gaussian_filter(truth, 1.0)[inner]
    true_number = float(truth[inner].sum())
    return Score(
        correlation=pearson(summed[inner], blurred),
        nmse=normalised_square_error(summed[inner], blurred),
        mass=float(summed[inner].sum()) / amount / true_number if true_number else float("nan"),
        frames_correlation=pearson(camera[inner], blurred),
        frames_nmse=normalised_square_error(camera[inner], blurred),
    )


def measure_empty(
    conditions: PatchConditions,
    predict: Predict,
    *,
    upscaling: int,
    amount: float,
    n_frames: int,
) -> tuple[float, float]:
    """Run frames of 64 x 64 pixels without an emitter.

    Returns
    -------
    (float, float)
        Emitters that a frame's output adds up to, and spots per frame in which 3 x 3 fine pixels
        hold a quarter of an emitter or more; both on average.
    """
    settings = Simulation(
        width_px=64,
        height_px=64,
        n_frames=n_frames,
        background_photons=_BACKGROUND,
        camera=conditions.camera,
        structure=Empty(),
        seed=_FIRST_SEED,
    )
    haze, n_spots = 0.0, 0
    for block in simulate_movie(settings).blocks:
        for output in _one_by_one(predict(block)):
            haze += float(output.sum()) / amount
            held = gaussian_filter(output, 1.0) * 2 * np.pi  # about the sum over a spot
            is_peak = (held == maximum_filter(held, _SEPARATION_PX)) & (held >= _HALF * amount)
            n_spots += int(is_peak.sum())
    return haze / n_frames, n_spots / n_frames


def _one_by_one(outputs: NDArray[np.float32]) -> Iterator[Image]:
    for output in outputs:
        yield output.astype(np.float64)


def _film(settings: Simulation) -> tuple[NDArray[np.uint16], MovieLabels]:
    movie = simulate_movie(settings)
    pixel_size_nm = settings.camera.pixel_size_nm
    labels = MovieLabels.from_table(movie.truth, pixel_size_nm=pixel_size_nm)
    return np.concatenate(list(movie.blocks)), labels
