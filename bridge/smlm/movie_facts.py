"""What a movie is like, as figures: for reports, and to compare with what a model has seen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

CROWDED = 0.4
"""Above this :attr:`MovieFacts.crowded_share` widths, photons and background are read too high."""


class Quantiles(NamedTuple):
    """Three quantiles of one figure, from low to high."""

    low: float
    """1 % of the background's areas, 10 % of the spots."""
    median: float
    """50 %."""
    high: float
    """99 % of the background's areas, 90 % of the spots."""


@dataclass(frozen=True)
class MovieFacts:
    """What a movie is like, from a sample of its frames."""

    n_frames: int
    """Length of the movie."""
    n_sampled: int
    """Frames that were looked at."""
    lowest_count: float
    """Lowest count of the sample."""
    highest_count: float
    """Highest count of the sample."""
    offset_adu: float
    """Counts of a pixel that no photon reached, as the camera says."""
    share_below_offset: float
    """Pixels further below the camera's offset than six times its read noise, 0 to 1."""
    saturated_share: float
    """Pixels at the top of the file's type or the camera's range, or piled up at the sample's
    highest count, 0 to 1."""
    n_not_finite: int
    """Pixels that hold no number."""
    n_constant: int
    """Frames of the sample without any difference between pixels, such as black ones."""
    n_repeated: int
    """Frames of the sample that are the same as the one before: the camera's were dropped."""
    background_photons: Quantiles | None
    """Photons per pixel that come from elsewhere: 1 %, median, 99 % over areas of 16 x 16 pixels
    and a run of frames; in crowded movies too high. None where all frames are constant."""
    noise_ratio: float | None
    """Variance of the dark half of the pixels over what the camera makes of their light; 1 where
    the camera is as it says."""
    photons_per_adu: float
    """Photons that one count stands for, as the camera says."""
    photons_per_adu_by_noise: float | None
    """The same by the noise, taking offset and read noise for right; None where read noise
    outweighs the light's own."""
    n_spots: int
    """Spots fitted in the sample."""
    n_lone_spots: int
    """Those of them that are surely of one emitter; widths and photons are theirs."""
    sigma_nm: Quantiles | None
    """Width of lone spots: 10 %, median, 90 %. None where there are fewer than 30."""
    photons: Quantiles | None
    """Photons of lone spots: 10 %, median, 90 %. None where there are fewer than 30."""
    density_per_um2: float | None
    """Spots found per square micrometre and frame, on average: fewer than there are emitters, as
    those that overlap are found as one (at 1 emitter a quarter is missing, at 3 half)."""
    density_99_per_um2: float | None
    """99 % of the density in patches of 32 x 32 pixels."""
    crowded_share: float
    """Spots that have another within five times their width, 0 to 1."""

    @property
    def is_crowded(self) -> bool:
        """Whether so many spots overlap that widths, photons and background are too high."""
        return self.crowded_share > CROWDED

    def as_dict(self) -> dict[str, Any]:
        """Give the figures for JSON, quantiles by name."""
        figures = dataclasses.asdict(self)
        for name, value in figures.items():
            if isinstance(value, Quantiles):
                figures[name] = value._asdict()
        return figures


def describe(facts: MovieFacts) -> str:
    """Say in two sentences what a movie is like.

    Parameters
    ----------
    facts : MovieFacts
        The figures.

    Returns
    -------
    str
        For a report or a log.
    """
    light = "no light could be measured"
    if facts.background_photons is not None:
        low, median, high = facts.background_photons
        light = f"background {median:.3g} photons per pixel ({low:.3g} to {high:.3g})"
    first = f"Measured on {facts.n_sampled} of {facts.n_frames} frames: {light}"
    if facts.noise_ratio is not None:
        first += f", noise {facts.noise_ratio:.2f} x the camera's"
    if facts.sigma_nm is None or facts.photons is None:
        return f"{first}. There are too few lone spots ({facts.n_lone_spots}) to measure them."
    crowded = "; spots overlap, so these figures are rough" if facts.is_crowded else ""
    return (
        f"{first}. Spots are {facts.sigma_nm.median:.0f} nm wide (sigma, {facts.sigma_nm.low:.0f} "
        f"to {facts.sigma_nm.high:.0f}) and have {facts.photons.median:.0f} photons "
        f"({facts.photons.low:.0f} to {facts.photons.high:.0f}), "
        f"{facts.density_per_um2:.2g} were found per square micrometre{crowded}."
    )
