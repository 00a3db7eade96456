"""Restorations side by side: the same fields, the same figures, the same scaling for all.

What can't happen here: a figure without a data range or with another one for each model; LPIPS with
the wrong range; anything chosen on the fields that are judged (choices are made in
:mod:`bridge.quality.baselines`, on other fields); a model without the baselines beside it. Nothing
here reads a file, runs a package or draws.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import NetworkError
from bridge.progress import Progress, silent
from bridge.quality.baselines import Calibration, find_background, richardson_lucy, take_input
from bridge.quality.image_figures import Ruler, agree_with_input, measure
from bridge.quality.structure import micro_ssim
from bridge.runtime.verdict import Tally, flaw

RICHARDSON_LUCY: Final = "Richardson-Lucy"
NOISY_TARGET: Final = "noisy target"

MOST_FLUX_LOST: Final = 0.1
"""Flux ratios farther from 1 are an alarm."""

MOST_BELOW_CEILING: Final = 0.03
"""An RSP that is farther below what the true image has is an alarm."""


@dataclass(frozen=True)
class TestField:
    """A field that is judged.

    Attributes
    ----------
    name, structure : str
        Which, and what is in it.
    input : DataArray, axes (y, x)
        What is restored.
    target : DataArray, axes (Y, X)
        A whole number of times as many pixels.
    truth : DataArray or None
        The target without noise.
    """

    __test__ = False  # no test of pytest's

    name: str
    structure: str
    input: xr.DataArray
    target: xr.DataArray
    truth: xr.DataArray | None = None

    @property
    def wanted(self) -> xr.DataArray:
        """The truth, or the target where there is none."""
        return self.target if self.truth is None else self.truth

    @property
    def scale(self) -> int:
        """Target pixels per input pixel."""
        return self.target.shape[0] // self.input.shape[0]


class Restored(NamedTuple):
    """What a contestant made of a field."""

    image: NDArray[np.float32]
    """Axes (Y, X)."""
    spread: NDArray[np.float32] | None = None
    """Uncertainty that it states, axes (Y, X)."""


@dataclass(frozen=True)
class Contestant:
    """Someone who restores fields."""

    name: str
    kind: Literal["model", "baseline"]
    restore: Callable[[TestField], Restored]
    n_parameters: int | None = None
    note: str = ""
    """A sentence on what is to be known."""


@dataclass(frozen=True)
class Standing:
    """What is known of a contestant beside its figures."""

    name: str
    kind: Literal["model", "baseline"]
    n_parameters: int | None
    seconds_per_megapixel: float
    """Of the restored image; the first field's run, which loads and compiles, doesn't count."""
    alarms: tuple[str, ...]
    note: str
    is_dead: bool = False
    """Whether an image of it is black, constant, saturated or has pixels that are no numbers."""


@dataclass
class ImageContest:
    """All that was measured.

    Attributes
    ----------
    rows : DataFrame
        Columns ``field structure model figure value``.
    standings : list of Standing
        One for each contestant, in their order.
    ceilings : dict of str to float
        RSP that the true image has, by field.
    pictures : dict of (str, str) to ndarray
        Restored images by field and contestant, of the fields that are shown.
    has_truth : bool
        Whether figures are against noise-free images.
    """

    rows: pd.DataFrame
    standings: list[Standing]
    ceilings: dict[str, float]
    pictures: dict[tuple[str, str], NDArray[np.float32]] = field(default_factory=dict)
    has_truth: bool = False


def baselines(calibration: Calibration, *, has_truth: bool) -> list[Contestant]:
    """Give the contestants that are always there.

    Parameters
    ----------
    calibration : Calibration
        What was chosen on validation fields.
    has_truth : bool
        Whether targets are judged too, against the truth.

    Returns
    -------
    list of Contestant
        Input, input less its background, Richardson-Lucy, black, and the noisy target.
    """
    gain, sigma_px = calibration.gain, calibration.sigma_px

    def prepare(one: TestField) -> tuple[NDArray[np.float64], float]:
        pixels = np.asarray(one.input, np.float64) / gain
        background = find_background(
            pixels, sigma_px=sigma_px / one.scale, percentile=calibration.percentile
        )
        return pixels, background

    def take(one: TestField, *, less: bool) -> Restored:
        pixels, background = prepare(one)
        return Restored(take_input(pixels, scale=one.scale, background=less * background))

    def deconvolve(one: TestField) -> Restored:
        pixels, background = prepare(one)
        image = richardson_lucy(
            pixels,
            sigma_px=sigma_px,
            background=background,
            scale=one.scale,
            iterations=calibration.iterations,
        )
        return Restored(image)

    found = [
        Contestant("input", "baseline", lambda one: take(one, less=False)),
        Contestant("input - background", "baseline", lambda one: take(one, less=True)),
        Contestant(RICHARDSON_LUCY, "baseline", deconvolve),
        Contestant("all black", "baseline", lambda one: Restored(_black(one))),
    ]
    if has_truth:
        found.append(
            Contestant(
                NOISY_TARGET, "baseline", lambda one: Restored(np.asarray(one.target, np.float32))
            )
        )
    return found


def hold_image_contest(
    contestants: Sequence[Contestant],
    fields: Sequence[TestField],
    ruler: Ruler,
    *,
    shown: Sequence[str] = (),
    progress: Progress = silent,
) -> ImageContest:
    """Let all restore the same fields, and measure.

    Parameters
    ----------
    contestants : sequence of Contestant
        Who takes part, baselines among them.
    fields : sequence of TestField
        Test fields; nothing may have been learned from or chosen on them.
    ruler : Ruler
        What is measured with.
    shown : sequence of str
        Names of fields whose images are kept.
    progress : Progress
        Told of every field and contestant.

    Returns
    -------
    ImageContest

    Raises
    ------
    NetworkError
        A contestant gives an image of another size.
    """
    ceilings = _find_ceilings(fields, ruler)
    contest = ImageContest(
        pd.DataFrame(),
        [],
        ceilings,
        has_truth=all(one.truth is not None for one in fields),
    )
    rows: list[dict[str, object]] = []
    n_steps = len(contestants) * len(fields)
    for number, contestant in enumerate(contestants):
        if fields and contestant.kind == "model":
            progress(number * len(fields), n_steps, f"{contestant.name}: getting ready")
            _restore(contestant, fields[0])
        images, seconds = [], 0.0
        for step, one in enumerate(fields):
            progress(number * len(fields) + step, n_steps, f"{contestant.name}: {one.name}")
            started = time.perf_counter()
            made = _restore(contestant, one)
            seconds += time.perf_counter() - started
            images.append(made.image)
            found = measure(made.image, one.wanted, one.input, ruler, spread=made.spread)
            found["rsp_below_ceiling"] = ceilings.get(one.name, math.nan) - found["rsp"]
            rows += [_row(one, contestant.name, name, value) for name, value in found.items()]
            if one.name in shown:
                contest.pictures[one.name, contestant.name] = made.image
        rows += _measure_set(contestant.name, images, fields)
        contest.standings.append(_describe(contestant, images, seconds))
    contest.rows = pd.DataFrame(rows, columns=["field", "structure", "model", "figure", "value"])
    contest.standings = [_raise_alarms(one, contest.rows) for one in contest.standings]
    progress(n_steps, n_steps, "done")
    return contest


def choose_range(fields: Sequence[TestField]) -> tuple[float, float]:
    """Give one range for all fields where none is known: from dark to bright of the targets.

    Parameters
    ----------
    fields : sequence of TestField
        The fields.

    Returns
    -------
    (float, float)
        Black, and the span from there to white: medians over the fields of the 0.2nd percentile of
        truth or target, and of the 99.8th less that.
    """
    ends = np.array([np.percentile(one.wanted.values, (0.2, 99.8)) for one in fields])
    return float(np.median(ends[:, 0])), float(np.median(np.diff(ends, axis=1)))


def choose_shown(fields: Sequence[TestField]) -> list[str]:
    """Give the name of one field of each structure: its first."""
    first: dict[str, str] = {}
    for one in fields:
        first.setdefault(one.structure, one.name)
    return list(first.values())


def _restore(contestant: Contestant, one: TestField) -> Restored:
    made = contestant.restore(one)
    if made.image.shape != one.target.shape:
        raise NetworkError(
            contestant.name,
            f"it makes {made.image.shape} pixels of {one.input.shape}",
            f"{one.target.shape}, those of the target",
            "Give a model of the folder's scale.",
        )
    return made


def _find_ceilings(fields: Sequence[TestField], ruler: Ruler) -> dict[str, float]:
    """Give the RSP of the true images: what noise of the inputs allows."""
    if ruler.sigma_px is None:
        return {}
    return {
        one.name: agree_with_input(one.wanted, one.input, sigma_px=ruler.sigma_px).rsp
        for one in fields
    }


def _measure_set(
    name: str, images: Sequence[NDArray[np.float32]], fields: Sequence[TestField]
) -> list[dict[str, object]]:
    """Give MicroSSIM, whose scale is that of the whole set."""
    values = [math.nan] * len(fields)
    if all(np.isfinite(image).all() for image in images):
        values = micro_ssim(images, [one.wanted for one in fields])
    return [_row(one, name, "micro_ssim", value) for one, value in zip(fields, values, strict=True)]


def _row(one: TestField, model: str, figure: str, value: float) -> dict[str, object]:
    return {
        "field": one.name,
        "structure": one.structure,
        "model": model,
        "figure": figure,
        "value": float(value),
    }


def _describe(
    contestant: Contestant, images: Sequence[NDArray[np.float32]], seconds: float
) -> Standing:
    """Say how fast it was, and whether its images are images at all."""
    flaws: dict[str, int] = {}
    for image in images if contestant.kind == "model" else ():
        tally = Tally()
        tally.add(image)
        if found := flaw(tally):
            flaws[found] = flaws.get(found, 0) + 1
    alarms = [f"{n} of {len(images)} images are {found}" for found, n in flaws.items()]
    megapixels = sum(image.size for image in images) / 1e6
    return Standing(
        contestant.name,
        contestant.kind,
        contestant.n_parameters,
        seconds / megapixels if contestant.kind == "model" or seconds else math.nan,
        tuple(alarms),
        contestant.note,
        bool(flaws),
    )


def _raise_alarms(standing: Standing, rows: pd.DataFrame) -> Standing:
    """Add what a model's figures warn of, by structure."""
    if standing.kind != "model":
        return standing
    own = rows[rows["model"] == standing.name]
    alarms = list(standing.alarms)
    for structure, part in own.groupby("structure", sort=False):
        means = part.groupby("figure")["value"].mean()
        flux, below = means.get("flux_ratio", math.nan), means.get("rsp_below_ceiling", math.nan)
        if abs(flux - 1) > MOST_FLUX_LOST:
            alarms.append(f"{structure}: the flux is {flux:.2f} times the true one")
        if below > MOST_BELOW_CEILING:
            alarms.append(
                f"{structure}: hallucination risk, the correlation with the input is {below:.3f} "
                "below what the true image has"
            )
    return replace(standing, alarms=tuple(alarms))


def _black(one: TestField) -> NDArray[np.float32]:
    return np.zeros(one.target.shape, np.float32)
