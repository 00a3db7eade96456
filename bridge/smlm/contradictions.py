"""Where a measured movie contradicts its camera, or what a model was trained on; with the figures.

Serious is what makes a localizer fail without a word; the rest makes it worse, or is worth knowing.
Figures that are read too high in crowded movies aren't taken for serious there by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bridge.smlm.movie_facts import MovieFacts
from bridge.smlm.patches import PatchConditions

_BELOW_OFFSET = (1e-4, 1e-2)  # share of the pixels: said, and serious
_SATURATED = 1e-3
_BACKGROUND = (1.25, 2.0)  # times the limit, and photons more
_BACKGROUND_CROWDED = (1.6, 5.0)
_UNEVEN = 1.5
_WIDTH = 1.1
_PHOTONS = (1.1, 1.5)
_NOISE = (2.0, 3.0)
_DEVIATIONS = 2.33  # 99 % of a normal distribution
_PATCH_PX = 32  # edge of the patches in which spots are counted
_N_WIDTHS = 1001


@dataclass(frozen=True)
class Contradiction:
    """What doesn't fit."""

    is_serious: bool
    """Whether results are worth nothing, or may be."""
    sentence: str
    """What was measured and what was said or trained."""


def find_contradictions(facts: MovieFacts, conditions: PatchConditions) -> list[Contradiction]:
    """Compare a movie with its camera and with what a model was trained on.

    Parameters
    ----------
    facts : MovieFacts
        The movie, measured with the camera that it is going to be read with.
    conditions : PatchConditions
        What the model was trained on.

    Returns
    -------
    list of Contradiction
        The serious ones first; empty where all is well.
    """
    found = [
        *_about_counts(facts),
        *_about_frames(facts),
        *_about_noise(facts),
        *_about_background(facts, conditions),
        *_about_spots(facts, conditions),
        *_about_density(facts, conditions),
    ]
    return sorted(found, key=lambda contradiction: not contradiction.is_serious)


def _about_counts(facts: MovieFacts) -> Iterator[Contradiction]:
    said, serious = _BELOW_OFFSET
    if facts.share_below_offset > said:
        yield Contradiction(
            facts.share_below_offset > serious,
            f"The camera's offset is {facts.offset_adu:g} counts, and "
            f"{_percent(facts.share_below_offset)} of the movie's pixels are further below it than "
            f"read noise explains; the lowest is {facts.lowest_count:g}.",
        )
    if facts.saturated_share > 0:
        yield Contradiction(
            facts.saturated_share > _SATURATED,
            f"{_percent(facts.saturated_share)} of the pixels are saturated, at "
            f"{facts.highest_count:g} counts: spots there have too few photons and a wrong shape.",
        )
    if facts.n_not_finite:
        yield Contradiction(False, f"{facts.n_not_finite} pixels of the sample hold no number.")


def _about_frames(facts: MovieFacts) -> Iterator[Contradiction]:
    sample = f"{facts.n_sampled} frames looked at"
    if facts.n_constant == facts.n_sampled:
        yield Contradiction(True, f"All {sample} are constant: there is no picture in them.")
    elif facts.n_constant:
        yield Contradiction(
            False, f"{facts.n_constant} of the {sample} are constant, such as black."
        )
    if facts.n_repeated:
        yield Contradiction(
            False,
            f"{facts.n_repeated} of the {sample} are the same as the one before: frames were "
            "dropped, and their emitters count twice.",
        )
    if facts.n_frames == 1:
        yield Contradiction(
            False, "The movie has one frame only: nothing is known from its neighbours."
        )


def _about_noise(facts: MovieFacts) -> Iterator[Contradiction]:
    if facts.noise_ratio is None:
        return
    by_gain = facts.photons_per_adu_by_noise
    ratio = facts.noise_ratio if by_gain is None else facts.photons_per_adu / by_gain
    times = max(ratio, 1 / max(ratio, 1e-6))
    said, serious = _NOISE
    if times <= said:
        return
    by_noise = ""
    if by_gain is not None:
        by_noise = (
            f": by it one count is {by_gain:.3g} photons, and by the camera "
            f"{facts.photons_per_adu:.3g}"
        )
    yield Contradiction(
        times > serious,
        f"The variance of the noise is {facts.noise_ratio:.2g} times what the camera makes of the "
        f"light{by_noise}. Its offset ({facts.offset_adu:g} counts), gain or read noise is wrong, "
        "or the movie was processed.",
    )


def _about_background(facts: MovieFacts, conditions: PatchConditions) -> Iterator[Contradiction]:
    if facts.background_photons is None:
        return
    low, high = conditions.background_photons
    median, bright = facts.background_photons.median, facts.background_photons.high
    factor, more = _BACKGROUND_CROWDED if facts.is_crowded else _BACKGROUND
    trained = f"the model was trained on {low:.3g} to {high:.3g}"
    if median > factor * high + more:
        yield Contradiction(
            True,
            f"The background is {median:.3g} photons per pixel, and {trained}: it would find "
            "nothing, or spots that aren't there.",
        )
    elif median < low / factor - more:
        yield Contradiction(
            True, f"The background is {median:.3g} photons per pixel, and {trained}."
        )
    elif bright > _UNEVEN * (factor * high + more):
        yield Contradiction(
            False,
            f"The background reaches {bright:.3g} photons per pixel in places, and {trained}: "
            "don't trust what is found there.",
        )


def _about_spots(facts: MovieFacts, conditions: PatchConditions) -> Iterator[Contradiction]:
    if facts.sigma_nm is None or facts.photons is None:
        yield Contradiction(
            False,
            f"Only {facts.n_lone_spots} lone spots were found in {facts.n_sampled} frames: their "
            "width and photons can't be compared with what the model was trained on.",
        )
        return
    crowded = " (spots overlap, which makes this too high)" if facts.is_crowded else ""
    limits = _trained_width_nm(conditions)
    width = facts.sigma_nm.median
    if limits and not limits[0] / _WIDTH <= width <= limits[1] * _WIDTH:
        is_above = width > limits[1]
        yield Contradiction(
            not (is_above and facts.is_crowded),
            f"Spots are {width:.0f} nm wide (sigma){crowded if is_above else ''}, and the model "
            f"was trained on {limits[0]:.0f} to {limits[1]:.0f} nm.",
        )
    low, high = conditions.photons
    photons = facts.photons.median
    said, serious = _PHOTONS
    if not low / said <= photons <= high * said:
        is_above = photons > high
        yield Contradiction(
            photons > serious * high and not facts.is_crowded,
            f"Spots have {photons:.0f} photons{crowded if is_above else ''}, and the model was "
            f"trained on {low:.0f} to {high:.0f}.",
        )


def _trained_width_nm(conditions: PatchConditions) -> tuple[float, float] | None:
    """Give the range of widths of the model's spots; None where they aren't Gaussians."""
    low, high = conditions.psf.z_range_nm()
    generator = torch.Generator().manual_seed(0)
    sigma_nm = conditions.psf.draw_sigma_nm(1, _N_WIDTHS, generator=generator)[0]
    widths = conditions.psf.widths_nm(torch.linspace(low, high, _N_WIDTHS), sigma_nm)
    if widths is None:
        return None
    both = torch.cat(widths)
    return float(both.min()), float(both.max())


def _about_density(facts: MovieFacts, conditions: PatchConditions) -> Iterator[Contradiction]:
    measured, highest = facts.density_99_per_um2, conditions.density_per_um2[1]
    if measured is None or facts.density_per_um2 is None:
        return
    patch_um2 = (_PATCH_PX * conditions.camera.pixel_size_nm / 1000) ** 2
    by_chance = highest + _DEVIATIONS * (highest / patch_um2) ** 0.5
    if facts.density_per_um2 > highest or measured > by_chance:
        yield Contradiction(
            False,
            f"There are {facts.density_per_um2:.2g} spots per square micrometre and frame on "
            f"average, {measured:.2g} in the densest places, and more that overlap; the model was "
            f"trained on up to {highest:.2g}.",
        )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
