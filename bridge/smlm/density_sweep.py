"""How well a localizer does from sparse to dense: the same simulated scenes for network and fit.

Scenes are those of the classical figures that everyone compares with: 128 x 128 pixels, all
emitters equally bright, a flat background, frames that know nothing of each other. None of them is
ever trained on: their seeds are their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from bridge.smlm.blinking import EachFrame, Lifetimes, UniformPhotons
from bridge.smlm.camera import Camera
from bridge.smlm.crlb import precision_bound
from bridge.smlm.evaluate import evaluate
from bridge.smlm.patches import PatchConditions
from bridge.smlm.psf import IntegratedGaussian, Psf
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.structures import Empty

Localize = Callable[[NDArray[np.generic]], pd.DataFrame]
"""Frames (t, y, x) of camera counts to localizations, frames from 1, origin at the outer corner."""

DENSITIES_PER_UM2: Final = (0.1, 0.5, 1.0, 3.0, 6.0)
_SEED: Final = 90_000
_EDGE_PX: Final = 128
_EMITTERS: Final = 4000  # about so many in each scene
_FRAMES: Final = (8, 80)
_LONE_EDGE_PX: Final = 32
_LONE_REACH_PX: Final = 2.0
_EMPTY_EDGE_PX: Final = 64
_BORDER_NM: Final = 450.0


@dataclass(frozen=True)
class Bench:
    """What the scenes have in common."""

    camera: Camera
    """The camera; its pixel size counts."""
    psf: Psf
    """Point spread function, of one width."""
    photons: float = 1000.0
    """Of each emitter in a frame."""
    background_photons: float = 10.0
    """Per pixel."""
    on_frames: float = 0.0
    """Mean time that emitters shine, in frames; 0: every frame on its own."""
    seed: int = 0
    """Other scenes of the same kind, >= 0."""

    @classmethod
    def within(cls, conditions: PatchConditions) -> Bench:
        """Give the usual scene, or the middle of what a network was trained on."""
        psf = conditions.psf
        if isinstance(psf, IntegratedGaussian):
            middle = (psf.sigma_nm[0] + psf.sigma_nm[1]) / 2
            psf = IntegratedGaussian(sigma_nm=(middle, middle))
        return cls(
            camera=conditions.camera,
            psf=psf,
            photons=_usual(1000.0, conditions.photons),
            background_photons=_usual(10.0, conditions.background_photons),
        )

    @property
    def sigma_nm(self) -> float:
        """Width of a spot in focus."""
        zero = torch.zeros(1, 1)
        sigma = self.psf.draw_sigma_nm(1, 1, generator=torch.Generator())
        widths = self.psf.widths_nm(zero, sigma)
        return math.nan if widths is None else float(widths[0])

    @property
    def noise_photons(self) -> float:
        """Standard deviation of a dark pixel, in photons."""
        dark = float(self.camera.count_variance(torch.zeros(1, 1, 1)).mean())  # counts squared
        return math.sqrt(dark) * self.camera.scaling().photons_per_adu

    def bound_nm(self, photons: float | None = None) -> float:
        """Give the least deviation along an axis for a lone emitter; NaN without a width."""
        return float(
            precision_bound(
                self.photons if photons is None else photons,
                self.background_photons,
                sigma_nm=self.sigma_nm,
                pixel_size_nm=self.camera.pixel_size_nm,
                read_noise_photons=self.noise_photons,
                excess_noise=self.camera.excess_factor(),
            )
        )


def _usual(value: float, limits: tuple[float, float]) -> float:
    """Give the usual value if it is well inside the limits, else their geometric middle."""
    low, high = limits
    is_inside = 1.2 * low <= value <= high / 1.2
    return value if is_inside else float(f"{math.sqrt(low * high):.2g}")


@dataclass(frozen=True)
class Scene:
    """Frames whose emitters are known."""

    density_per_um2: float
    """Emitters per square micrometre and frame."""
    frames: NDArray[np.uint16]
    """(t, y, x), camera counts."""
    truth: pd.DataFrame
    """The emitters."""


@dataclass(frozen=True)
class DensityScore:
    """How well a scene was localized; matched within 250 nm, without 450 nm at each edge."""

    density_per_um2: float
    """Of the scene."""
    n_emitters: int
    """True emitters."""
    jaccard: float
    """Found and true over all."""
    rmse_nm: float
    """Lateral."""
    efficiency: float
    """Of the SMLM challenge."""
    bias_nm: float
    """The greater of the mean errors along x and y."""
    robust_sd: float
    """Of errors over stated uncertainties; 1 is honest, NaN where none are stated."""
    chance_jaccard: float
    """Of the same list in the wrong frames."""
    rmse_z_nm: float = math.nan
    """Along z; NaN in two dimensions."""
    chance_rmse_nm: float = math.nan
    """Lateral, of those."""


def simulate_scenes(
    bench: Bench,
    densities: Sequence[float] = DENSITIES_PER_UM2,
    *,
    share: float = 1.0,
    n_frames: int | None = None,
) -> Iterator[Scene]:
    """Make the scenes, one for each density.

    Parameters
    ----------
    bench : Bench
        What they have in common.
    densities : sequence of float
        Emitters per square micrometre and frame, > 0.
    share : float
        Part of the usual number of frames, for a quick look.
    n_frames : int, optional
        Frames of each scene; by default 8 to 80, for about 4000 emitters.

    Yields
    ------
    Scene
    """
    area_um2 = (_EDGE_PX * bench.camera.pixel_size_nm / 1000) ** 2
    for number, density in enumerate(densities):
        wanted = math.ceil(_EMITTERS / (density * area_um2))
        usual = max(round(share * min(max(wanted, _FRAMES[0]), _FRAMES[1])), 2)
        blinking = Lifetimes(on_frames=bench.on_frames) if bench.on_frames else EachFrame()
        frames, truth = _film(
            bench,
            edge_px=_EDGE_PX,
            n_frames=n_frames or usual,
            density_per_um2=density,
            blinking=blinking,
            seed=_SEED + 1000 * bench.seed + number,
        )
        yield Scene(density, frames, truth)


def _film(
    bench: Bench, *, edge_px: int, n_frames: int, seed: int, **more: Any
) -> tuple[NDArray[np.uint16], pd.DataFrame]:
    settings = Simulation(
        width_px=edge_px,
        height_px=edge_px,
        n_frames=n_frames,
        photons=UniformPhotons(low=bench.photons, high=bench.photons),
        background_photons=bench.background_photons,
        psf=bench.psf,
        camera=bench.camera,
        seed=seed,
        **more,
    )
    movie = simulate_movie(settings)
    return np.concatenate(list(movie.blocks)), movie.truth


def score_scene(scene: Scene, found: pd.DataFrame, *, pixel_size_nm: float) -> DensityScore:
    """Score what was found in a scene.

    Parameters
    ----------
    scene : Scene
        Frames and truth.
    found : DataFrame
        Localizations; uncertainties are judged where they are stated.
    pixel_size_nm : float
        Edge of a camera pixel.

    Returns
    -------
    DensityScore
        All NaN but for a Jaccard index of 0 where nothing was found.
    """
    nothing = DensityScore(
        scene.density_per_um2, len(scene.truth), 0.0, math.nan, math.nan, math.nan, math.nan, 0.0
    )
    if found.empty:
        return nothing
    height_nm, width_nm = (edge * pixel_size_nm for edge in scene.frames.shape[-2:])
    result = evaluate(
        found,
        scene.truth,
        border_nm=_BORDER_NM,
        field_nm=(width_nm, height_nm),
        pixel_size_nm=pixel_size_nm,
    )
    return DensityScore(
        density_per_um2=scene.density_per_um2,
        n_emitters=result.n_emitters,
        jaccard=result.jaccard,
        rmse_nm=result.rmse_lateral_nm,
        efficiency=result.efficiency,
        bias_nm=max(result.bias_x_nm, result.bias_y_nm, key=abs),
        robust_sd=result.spread_lateral.robust_sd,
        chance_jaccard=result.chance_jaccard,
        rmse_z_nm=result.rmse_axial_nm if result.is_3d else math.nan,
        chance_rmse_nm=result.chance_rmse_lateral_nm,
    )


@dataclass(frozen=True)
class LoneScore:
    """How well lone emitters of one brightness are localized."""

    photons: float
    """Of each."""
    found: float
    """Share of them that were found."""
    rmse_nm: float
    """Along one axis."""
    bound_nm: float
    """The least that theory allows."""
    bias_nm: float
    """The greater of the mean errors along x and y."""
    photons_ratio: float
    """Median of found over true photons."""


def score_lone_emitters(
    bench: Bench, localize: Localize, *, photons: float, n: int = 1000, context: int = 0
) -> LoneScore:
    """Localize emitters that have no neighbour, each in the middle of a small frame.

    Parameters
    ----------
    bench : Bench
        Camera, point spread function and background.
    localize : callable
        Frames to localizations.
    photons : float
        Of each emitter, > 0.
    n : int
        How many.
    context : int
        Dark frames put before and after each, for localizers that look at neighbours.

    Returns
    -------
    LoneScore
        Of those found within 250 nm.
    """
    generator = torch.Generator().manual_seed(_SEED + 1000 * bench.seed + round(photons))
    middle = _LONE_EDGE_PX / 2
    place = middle + _LONE_REACH_PX * (
        2 * torch.rand(2, n, 1, generator=generator) - 1
    )  # (2, n, 1)
    mean = bench.psf.render(
        place[0],
        place[1],
        torch.zeros(n, 1),
        torch.full((n, 1), photons),
        bench.psf.draw_sigma_nm(n, 1, generator=generator),
        pixel_size_nm=bench.camera.pixel_size_nm,
        shape=(_LONE_EDGE_PX, _LONE_EDGE_PX),
    )  # (n, y, x)
    period = 1 + 2 * context
    light = torch.zeros(n * period, _LONE_EDGE_PX, _LONE_EDGE_PX)
    light[context::period] = mean
    frames = bench.camera.expose(light + bench.background_photons, generator=generator)
    pixel_nm = bench.camera.pixel_size_nm
    truth_nm = place[..., 0].double().numpy() * pixel_nm  # (2, n)
    found = localize(frames.numpy().astype(np.uint16))
    number = (found["frame"].to_numpy(np.int64) - 1 - context) // period
    is_shown = ((found["frame"].to_numpy(np.int64) - 1 - context) % period) == 0
    found, number = found[is_shown], number[is_shown]
    errors = found[["x_nm", "y_nm"]].to_numpy().T - truth_nm[:, number]  # (2, m)
    order = np.hypot(*errors).argsort()
    nearest = order[np.unique(number[order], return_index=True)[1]]
    nearest = nearest[np.hypot(*errors[:, nearest]) <= 250.0]
    kept = errors[:, nearest]
    if not kept.size:
        return LoneScore(photons, 0.0, math.nan, bench.bound_nm(photons), math.nan, math.nan)
    ratio = found["photons"].to_numpy()[nearest] / photons if "photons" in found else [math.nan]
    return LoneScore(
        photons=photons,
        found=kept.shape[1] / n,
        rmse_nm=float(np.sqrt((kept**2).mean())),
        bound_nm=bench.bound_nm(photons),
        bias_nm=float(max(kept.mean(axis=1), key=abs)),
        photons_ratio=float(np.median(ratio)),
    )


def count_false(
    bench: Bench, localize: Localize, *, background_photons: float, n_frames: int = 100
) -> float:
    """Count what is found in frames of 64 x 64 pixels that show background only, per frame."""
    frames, _ = _film(
        replace(bench, background_photons=background_photons),
        edge_px=_EMPTY_EDGE_PX,
        n_frames=n_frames,
        structure=Empty(),
        seed=_SEED + bench.seed,
    )
    return len(localize(frames)) / n_frames
