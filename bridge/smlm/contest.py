"""Localizers side by side: the same frames for all, scored by the same rules, theory beside them.

Either simulated scenes from sparse to dense (:mod:`bridge.smlm.density_sweep`), or one movie whose
emitters are known. Nothing here reads a file or draws.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.progress import Progress, silent
from bridge.smlm.contenders import Contender, Kind
from bridge.smlm.crlb import CrowdBound, crowd_bound
from bridge.smlm.density_sweep import (
    Bench,
    DensityScore,
    LoneScore,
    Scene,
    count_false,
    score_lone_emitters,
    score_scene,
    simulate_scenes,
)

LONE_PHOTONS: Final = (200.0, 500.0, 1000.0, 2000.0, 5000.0)
"""Brightnesses of lone emitters."""

_LONE: Final = 1000
_LEAST_LONE: Final = 100
_EMPTY_FRAMES: Final = 100
_LEAST_EMPTY_FRAMES: Final = 20
_WINDOW_NM: Final = 3200.0
_WINDOW_DENSITY: Final = 3.0
_WARM_UP: Final = 2
_HARDLY_ANY: Final = 0.01  # emitters per square micrometre
_PARTS: Final = 100  # of a step, for progress


@dataclass
class Standing:
    """How one contender did."""

    name: str
    kind: Kind
    scores: list[DensityScore] = field(default_factory=list)
    """One for each density."""
    seconds: list[float] = field(default_factory=list)
    """Per frame, one for each density; NaN for a table that was given."""
    lone: list[LoneScore] = field(default_factory=list)
    """Lone emitters, by photons."""
    false_per_frame: float = math.nan
    """Detections in frames of 64 x 64 pixels that show background only."""
    in_window: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What it found in the window."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what is to be known."""


@dataclass(frozen=True)
class Window:
    """A part of one frame, to look at."""

    image: NDArray[np.generic]
    """(y, x), camera counts of the whole frame."""
    frame: int
    """Number of the frame, from 1."""
    density_per_um2: float
    """Of its scene."""
    pixel_size_nm: float
    corner_nm: tuple[float, float]
    """x and y of its upper left corner."""
    edge_nm: float
    """Its width and height."""
    truth: pd.DataFrame
    """Emitters in it."""

    def cut(self, table: pd.DataFrame) -> pd.DataFrame:
        """Give the rows of a table that lie in the window."""
        is_here = (table["frame"] == self.frame).to_numpy()
        for name, low in zip(("x_nm", "y_nm"), self.corner_nm, strict=True):
            is_here = (
                is_here & ((table[name] >= low) & (table[name] < low + self.edge_nm)).to_numpy()
            )
        return table[is_here]


@dataclass
class Contest:
    """All that was measured."""

    scene: str
    """What was localized, as part of a sentence."""
    densities: list[float]
    n_frames: list[int]
    n_emitters: list[int]
    standings: list[Standing]
    bounds: list[CrowdBound]
    """Among neighbours, one for each density; none where the emitters' width isn't known."""
    lone_bound_nm: float
    """Along one axis, without neighbours; NaN where it isn't known."""
    window: Window | None = None
    notes: list[str] = field(default_factory=list)
    """Sentences on what is to be known of the whole."""


def hold_contest(
    contenders: Sequence[Contender],
    bench: Bench,
    densities: Sequence[float],
    *,
    lone_photons: Sequence[float] = LONE_PHOTONS,
    share: float = 1.0,
    progress: Progress = silent,
) -> Contest:
    """Let all localize the same simulated scenes.

    Parameters
    ----------
    contenders : sequence of Contender
        Who takes part.
    bench : Bench
        What the scenes have in common.
    densities : sequence of float
        Emitters per square micrometre and frame, > 0.
    lone_photons : sequence of float
        Brightnesses of lone emitters.
    share : float
        Part of the usual number of frames and emitters, for a quick look.
    progress : Progress
        Told of every part.

    Returns
    -------
    Contest
    """
    steps = _Steps(len(contenders) * (len(densities) + len(lone_photons) + 1), progress)
    standings = [Standing(one.name, one.kind, notes=one.notes) for one in contenders]
    contest = Contest(
        scene=(
            f"simulated frames of 128 x 128 pixels of {bench.camera.pixel_size_nm:g} nm, spots "
            f"{bench.sigma_nm:.0f} nm wide (standard deviation), {bench.photons:g} photons each on "
            f"a background of {bench.background_photons:g} per pixel"
        ),
        densities=list(densities),
        n_frames=[],
        n_emitters=[],
        standings=standings,
        bounds=[_bound_crowd(bench, density) for density in densities if bench.sigma_nm > 0],
        lone_bound_nm=_alone(bench),
    )
    shown = min(densities, key=lambda density: abs(density - _WINDOW_DENSITY))
    for number, scene in enumerate(simulate_scenes(bench, densities, share=share)):
        contest.n_frames.append(len(scene.frames))
        contest.n_emitters.append(len(scene.truth))
        window = None
        if scene.density_per_um2 == shown:
            window = contest.window = _open_window(scene, bench.camera.pixel_size_nm)
        for one, standing in zip(contenders, standings, strict=True):
            told = steps.next(f"{one.name} at {scene.density_per_um2:g} per um2")
            if number == 0:
                _prepare(one, scene)
            _run(one, standing, scene, window, bench.camera.pixel_size_nm, told)
    for one, standing in zip(contenders, standings, strict=True):
        _test_alone(one, standing, bench, lone_photons, share, steps)
    steps.finish()
    return contest


def judge_movie(
    contenders: Sequence[Contender],
    tables: Sequence[tuple[str, pd.DataFrame]],
    scene: Scene,
    *,
    name: str,
    pixel_size_nm: float,
    progress: Progress = silent,
) -> Contest:
    """Let all localize one movie, and judge tables that others made of it.

    Parameters
    ----------
    contenders : sequence of Contender
        Who takes part.
    tables : sequence of (str, DataFrame)
        Localizations that were found before, with the finder's name.
    scene : Scene
        The movie and its truth.
    name : str
        The movie's name.
    pixel_size_nm : float
        Edge of a camera pixel.
    progress : Progress
        Told of every part.

    Returns
    -------
    Contest
        Of one density; bounds where the truth has widths, photons and background.
    """
    steps = _Steps(len(contenders) + len(tables), progress)
    standings = [Standing(one.name, one.kind, notes=one.notes) for one in contenders]
    window = _open_window(scene, pixel_size_nm)
    for one, standing in zip(contenders, standings, strict=True):
        told = steps.next(one.name)
        _prepare(one, scene)
        _run(one, standing, scene, window, pixel_size_nm, told)
    for title, table in tables:
        steps.next(title)
        score = score_scene(scene, table, pixel_size_nm=pixel_size_nm)
        standing = Standing(title, "table", [score], [math.nan], in_window=window.cut(table))
        standings.append(standing)
    steps.finish()
    bounds = _bound_movie(scene, pixel_size_nm)
    lone = _bound_movie(scene, pixel_size_nm, density_per_um2=_HARDLY_ANY)
    return Contest(
        scene=f"{name}, {len(scene.frames):,} frames with {len(scene.truth):,} known emitters",
        densities=[scene.density_per_um2],
        n_frames=[len(scene.frames)],
        n_emitters=[len(scene.truth)],
        standings=standings,
        bounds=bounds,
        lone_bound_nm=lone[0].median_nm / math.sqrt(2) if lone else math.nan,
        window=window,
    )


def _prepare(one: Contender, scene: Scene) -> None:
    """Let one load and compile what it needs, which is no part of its speed, and choose."""
    one.localize(scene.frames[:_WARM_UP], silent)
    if one.settle is not None:
        one.settle(scene.frames, scene.truth)


def _run(
    one: Contender,
    standing: Standing,
    scene: Scene,
    window: Window | None,
    pixel_size_nm: float,
    progress: Progress,
) -> None:
    started = time.perf_counter()
    found = one.localize(scene.frames, progress)
    standing.seconds.append((time.perf_counter() - started) / len(scene.frames))
    standing.scores.append(score_scene(scene, found, pixel_size_nm=pixel_size_nm))
    if window is not None:
        standing.in_window = window.cut(found)


def _test_alone(
    one: Contender,
    standing: Standing,
    bench: Bench,
    lone_photons: Sequence[float],
    share: float,
    steps: _Steps,
) -> None:
    """Show one lone emitters, and frames without any."""
    for photons in lone_photons:
        told = steps.next(f"{one.name}, lone emitters of {photons:g} photons")
        score = score_lone_emitters(
            bench,
            partial(one.localize, progress=told),
            photons=photons,
            n=max(round(share * _LONE), _LEAST_LONE),
            context=one.context,
        )
        standing.lone.append(score)
    told = steps.next(f"{one.name}, empty frames")
    standing.false_per_frame = count_false(
        bench,
        partial(one.localize, progress=told),
        background_photons=bench.background_photons,
        n_frames=max(round(share * _EMPTY_FRAMES), _LEAST_EMPTY_FRAMES),
    )


def _bound_crowd(bench: Bench, density_per_um2: float) -> CrowdBound:
    return crowd_bound(
        density_per_um2,
        bench.photons,
        bench.background_photons,
        sigma_nm=bench.sigma_nm,
        pixel_size_nm=bench.camera.pixel_size_nm,
        read_noise_photons=bench.noise_photons,
        excess_noise=bench.camera.excess_factor(),
    )


def _alone(bench: Bench) -> float:
    """Give the bound along an axis without neighbours, made as that of the crowd is."""
    if not bench.sigma_nm > 0:
        return math.nan
    return _bound_crowd(bench, _HARDLY_ANY).median_nm / math.sqrt(2)


def _bound_movie(
    scene: Scene, pixel_size_nm: float, density_per_um2: float | None = None
) -> list[CrowdBound]:
    """Give the bound of emitters like the movie's median ones, where the truth tells."""
    truth = scene.truth
    if not {"sigma_nm", "photons", "background"} <= set(truth):
        return []
    sigma, photons, background = truth[["sigma_nm", "photons", "background"]].median()
    if not (sigma > 0 and photons > 0 and background >= 0):
        return []
    density = density_per_um2 or scene.density_per_um2
    return [crowd_bound(density, photons, background, sigma_nm=sigma, pixel_size_nm=pixel_size_nm)]


def _open_window(scene: Scene, pixel_size_nm: float) -> Window:
    """Take the middle of the frame that has a typical number of emitters there."""
    height, width = (edge * pixel_size_nm for edge in scene.frames.shape[1:])
    edge = min(_WINDOW_NM, height, width)
    corner = ((width - edge) / 2, (height - edge) / 2)
    x, y = (scene.truth[name].to_numpy() for name in ("x_nm", "y_nm"))
    is_in = (np.abs(x - width / 2) < edge / 2) & (np.abs(y - height / 2) < edge / 2)
    counts = scene.truth["frame"][is_in].value_counts()
    typical = (counts - counts.median()).abs() if len(counts) else counts
    frame = int(typical.idxmin()) if len(typical) else 1
    image = scene.frames[frame - 1]
    nothing = scene.truth.iloc[:0]
    window = Window(image, frame, scene.density_per_um2, pixel_size_nm, corner, edge, nothing)
    return replace(window, truth=window.cut(scene.truth))


class _Steps:
    """Parts of the work that know how far the whole is."""

    def __init__(self, n_steps: int, progress: Progress) -> None:
        self._n_parts = n_steps * _PARTS
        self._progress = progress
        self._step = -1

    def next(self, note: str) -> Progress:
        """Begin the next step; gives whom to tell of its parts."""
        self._step += 1
        before = self._step * _PARTS
        self._progress(before, self._n_parts, note)

        words, furthest = note, before

        def tell(done: int, total: int, note: str = "") -> None:
            nonlocal furthest  # what is inside may count several times
            furthest = max(furthest, before + _PARTS * done // max(total, 1))
            self._progress(furthest, self._n_parts, words)

        return tell

    def finish(self) -> None:
        """Tell that all is done."""
        self._progress(self._n_parts, self._n_parts, "done")
