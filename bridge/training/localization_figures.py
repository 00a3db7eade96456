"""What a trained localizer is worth, measured on scenes that it never saw, beside a classical fit.

The fit takes each spot for one emitter (:mod:`bridge.smlm.fit`), as localizers without a network
do. Both see the same frames; matches lie within 250 nm, without 450 nm at each edge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from bridge.progress import Progress, silent
from bridge.smlm.contenders import Contender, fit_contender
from bridge.smlm.contest import LONE_PHOTONS, Contest, hold_contest
from bridge.smlm.density_sweep import DENSITIES_PER_UM2, Bench, DensityScore, count_false
from bridge.smlm.patches import PatchConditions
from bridge.smlm.psf import IntegratedGaussian
from bridge.training.tasks.localization import LocalizationTask

_EMPTY_FRAMES: Final = 100
_LEAST_EMPTY_FRAMES: Final = 4
_FRAMES_AT_A_TIME: Final = 4
_ON_FRAMES: Final = 2.0
_RULES: Final = (
    "Matched within 250 nm, without 450 nm at each edge. In brackets: a maximum-likelihood fit of "
    "single emitters on the same frames. Chance is the Jaccard index of the same list in the wrong "
    "frames. The bound is what theory allows among neighbours (median, lateral). The last column "
    "is 1 where stated uncertainties are true."
)


@dataclass(frozen=True)
class Figures:
    """What was measured of a localizer."""

    contest: Contest
    """Network and, where spots are round, fit on the same frames."""
    false_per_frame: tuple[tuple[float, float], ...]
    """Background, and what the network finds in an empty frame of 64 x 64 pixels."""

    @property
    def scores(self) -> list[DensityScore]:
        """The network's, by density."""
        return self.contest.standings[0].scores

    def _fit(self, number: int) -> DensityScore | None:
        standings = self.contest.standings
        return standings[1].scores[number] if len(standings) > 1 else None

    def flat(self) -> dict[str, float]:
        """Give all figures by one name each."""
        found = {}
        names = ("jaccard", "rmse_nm", "rmse_z_nm", "bias_nm", "robust_sd", "chance_jaccard")
        for front, standing in zip(("", "fit, "), self.contest.standings, strict=False):
            for score in standing.scores:
                for name in names:
                    value = float(getattr(score, name))
                    found[f"{front}{score.density_per_um2:g} per um2: {name}"] = value
        for lone in self.contest.standings[0].lone:
            found[f"lone, {lone.photons:g} photons: rmse_nm"] = lone.rmse_nm
            found[f"lone, {lone.photons:g} photons: bound_nm"] = lone.bound_nm
        for background, number in self.false_per_frame:
            found[f"false per empty frame, background {background:g}"] = number
        return {name: round(value, 4) for name, value in found.items() if np.isfinite(value)}

    def sentences(self) -> list[str]:
        """Tell the figures, a line for each scene."""
        lines = []
        for number, score in enumerate(self.scores):
            line = (
                f"{score.density_per_um2:g} emitters per um2: Jaccard {score.jaccard:.3f}, RMSE "
                f"{score.rmse_nm:.1f} nm"
            )
            if np.isfinite(score.rmse_z_nm):
                line += f", along z {score.rmse_z_nm:.0f} nm"
            fit = self._fit(number)
            if fit is not None:
                line += f"; a fit of single emitters {fit.jaccard:.3f}, {fit.rmse_nm:.1f} nm"
            lines.append(line + ".")
        return lines

    def card(self) -> str:
        """Tell them as a part of a package's card."""
        scene = self.contest.scene
        parts = [
            f"{scene[0].upper()}{scene[1:]}; never trained on. {_RULES}",
            "",
            "| emitters per um2 | Jaccard | chance | lateral RMSE, nm | bound, nm | "
            "error / stated sigma |",
            "|---|---|---|---|---|---|",
        ]
        for number, score in enumerate(self.scores):
            fit = self._fit(number)
            beside = ("", "") if fit is None else (f" ({fit.jaccard:.3f})", f" ({fit.rmse_nm:.1f})")
            bounds = self.contest.bounds
            bound = f"{bounds[number].median_nm:.1f}" if bounds else ""
            parts.append(
                f"| {score.density_per_um2:g} | {score.jaccard:.3f}{beside[0]} | "
                f"{score.chance_jaccard:.3f} | {score.rmse_nm:.1f}{beside[1]} | {bound} | "
                f"{score.robust_sd:.2f} |"
            )
        depths = [
            f"{score.rmse_z_nm:.0f} nm at {score.density_per_um2:g} per um2"
            for score in self.scores
            if np.isfinite(score.rmse_z_nm)
        ]
        parts += ["", f"RMSE along z: {', '.join(depths)}."] if depths else []
        parts += [
            "",
            "Lone emitters, errors along one axis:",
            "",
            "| photons | found | RMSE, nm | bound, nm | bias, nm | photons found / true |",
            "|---|---|---|---|---|---|",
        ]
        for lone in self.contest.standings[0].lone:
            parts.append(
                f"| {lone.photons:g} | {lone.found:.3f} | {lone.rmse_nm:.2f} | "
                f"{lone.bound_nm:.2f} | {lone.bias_nm:.2f} | {lone.photons_ratio:.2f} |"
            )
        said = ", ".join(f"{n:g} at background {level:g}" for level, n in self.false_per_frame)
        parts += ["", f"Found in an empty frame of 64 x 64 pixels: {said}."]
        return "\n".join(parts)


def measure(task: LocalizationTask, conditions: PatchConditions) -> Figures:
    """Measure a localizer within the ranges that it was trained on.

    Parameters
    ----------
    task : LocalizationTask
        With its best weights, on the CPU.
    conditions : PatchConditions
        What it was trained on.

    Returns
    -------
    Figures
        Of network and fit.
    """
    share = task.recipe.package.test_share
    bench = Bench.within(conditions)
    network = task_contender(task, conditions)
    if network.context:
        bench = replace(bench, on_frames=_ON_FRAMES)
    contenders = [network]
    if isinstance(conditions.psf, IntegratedGaussian):
        contenders.append(fit_contender(bench.camera))
    highest, (low, high) = conditions.density_per_um2[1], conditions.photons
    contest = hold_contest(
        contenders,
        bench,
        [density for density in DENSITIES_PER_UM2 if density <= highest],
        lone_photons=[photons for photons in LONE_PHOTONS if low <= photons <= high],
        share=share,
    )
    n_empty = max(round(share * _EMPTY_FRAMES), _LEAST_EMPTY_FRAMES)
    dim, bright = conditions.background_photons
    levels = sorted({float(f"{level:.2g}") for level in (dim, bench.background_photons, bright)})
    false = tuple(
        (
            level,
            count_false(bench, network.localize, background_photons=level, n_frames=n_empty),
        )
        for level in levels
    )
    return Figures(contest, false)


def task_contender(task: LocalizationTask, conditions: PatchConditions) -> Contender:
    """Let a network that is no package yet localize.

    Parameters
    ----------
    task : LocalizationTask
        On the CPU.
    conditions : PatchConditions
        What it was trained on.

    Returns
    -------
    Contender
        Takes frames whose y and x are multiples of the network's stride; at the ends of a movie a
        frame stands for those that are missing.
    """
    n_side = conditions.frames // 2

    def localize(frames: NDArray[np.generic], progress: Progress = silent) -> pd.DataFrame:
        places = np.arange(len(frames))[:, None] + np.arange(-n_side, n_side + 1)
        places = places.clip(0, len(frames) - 1)  # (t, context)
        tables = []
        with torch.inference_mode():
            for first in range(0, len(frames), _FRAMES_AT_A_TIME):
                part = frames[places[first : first + _FRAMES_AT_A_TIME]].astype(np.float32)
                tables.append(
                    task.list_emitters(task(torch.from_numpy(part)), first_frame=first + 1)
                )
                progress(first + len(part), len(frames), "localizing")
        return pd.concat(tables, ignore_index=True)

    return Contender(task.recipe.name, "network", localize, n_side)
