"""What a comparison of restorations found: a page, tables for programs, and sentences."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
from pydantic import JsonValue

from bridge import __version__
from bridge.errors import OutputError
from bridge.images.new_file import new_file
from bridge.jobs.base import Result, Table
from bridge.jobs.compare_pictures import draw_field, draw_ranks
from bridge.jobs.status import finite
from bridge.quality.baselines import Calibration
from bridge.quality.image_contest import (
    MOST_BELOW_CEILING,
    MOST_FLUX_LOST,
    ImageContest,
    Standing,
    TestField,
)
from bridge.quality.image_figures import FIGURES, PERCEPTUAL, Figure, Ruler
from bridge.quality.lpips import UNTRAINED
from bridge.quality.ranking import ALL
from bridge.quality.report import FigureTable, Section, dash_blanks, draw_picture, write_page

_BY_NAME: Final = {figure.name: figure for figure in FIGURES}
_RANKED_BY: Final = ("ssim", "psnr_db", PERCEPTUAL, "micro_ssim", "range_invariant_psnr_db")
_PER_STRUCTURE: Final = (
    "psnr_db",
    "ssim",
    PERCEPTUAL,
    "range_invariant_psnr_db",
    "flux_ratio",
    "band_power",
    "gradient_distance",
    "frc_half_nm",
    "rsp",
)
_IN_SHELL: Final = ("psnr_db", "ssim", PERCEPTUAL, "flux_ratio", "band_power", "rsp")
_FAMILIES: Final = ("edsr", "srgan", "sr3")
_PUBLISHED: Final = (
    "Published for five fields of another microscope (EDSR, SRGAN, SR3: SSIM 0.808, 0.603, 0.578; "
    "LPIPS 0.259, 0.052, 0.080): EDSR has the best SSIM, SRGAN the best LPIPS."
)
"""Xinwen-Liu-Wendy/DeepLearning-Fluorescence-Image-SuperResolution, its table of results."""
_DECIDED_SHARE: Final = 0.9
"""Share of the bootstrap's draws that a model is first in before its being first is believed."""


@dataclass(frozen=True)
class Places:
    """The files of a comparison."""

    page: Path
    rows: Path
    summary: Path
    json: Path

    @classmethod
    def of(cls, folder: Path) -> Places:
        """Name them in a folder."""
        names = ("page.html", "compare.csv", "summary.csv", "compare.json")
        return cls(*(folder / name for name in names))

    def check(self, *, overwrite: bool) -> None:
        """Refuse names that can't be written before long work begins, and make the folder.

        Raises
        ------
        OutputError
            The folder can't be made, or a file is there.
        """
        folder = self.page.parent
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            found = f"the folder can't be made: {error.strerror or error}"
            raise OutputError(str(folder), found, "", "Choose another place.") from error
        for place in (self.page, self.rows, self.summary, self.json):
            if place.exists() and not overwrite:
                raise OutputError(
                    str(place),
                    "the output is there already",
                    "a folder without a comparison",
                    "Give another folder, or ask to overwrite.",
                )


def write_image_contest(
    places: Places,
    contest: ImageContest,
    summary: pd.DataFrame,
    fields: Sequence[TestField],
    ruler: Ruler,
    *,
    notes: Sequence[str],
    overwrite: bool,
) -> None:
    """Write page and tables.

    Parameters
    ----------
    places : Places
        The files.
    contest : ImageContest
        What was measured.
    summary : DataFrame
        Means, intervals and ranks, from :func:`bridge.quality.ranking.summarise`.
    fields : sequence of TestField
        The fields.
    ruler : Ruler
        What was measured with.
    notes : sequence of str
        How it was measured, from :func:`say_ruler`.
    overwrite : bool
        Replace files that are there.

    Raises
    ------
    OutputError
        One can't be written.
    """
    content: dict[str, JsonValue] = {
        "zoobridge": __version__,
        "has_truth": contest.has_truth,
        "data_range": ruler.data_range,
        "black": ruler.black,
        "kernel_sigma_px": ruler.sigma_px,
        "perceptual_distance": ruler.lpips.name if ruler.lpips else None,
        "models": [_figures_of(one, summary) for one in contest.standings],
        "notes": list(notes),
    }
    with new_file(places.rows, overwrite=overwrite) as part:
        contest.rows.to_csv(part, index=False, float_format="%.7g")
    with new_file(places.summary, overwrite=overwrite) as part:
        summary.to_csv(part, index=False, float_format="%.7g")
    with new_file(places.json, overwrite=overwrite) as part:
        part.write_text(json.dumps(finite(content), indent=1, ensure_ascii=False), "utf-8")
    write_page(
        places.page,
        "Restorations compared",
        list(_sections(contest, summary, fields, ruler, notes)),
        lead=" ".join(say_result(contest, summary, ruler)),
        overwrite=overwrite,
    )


def say_ruler(
    ruler: Ruler,
    calibration: Calibration,
    *,
    has_truth: bool,
    is_range_given: bool,
    is_lpips_given: bool,
) -> list[str]:
    """Say in sentences what was measured, and with what.

    Parameters
    ----------
    ruler : Ruler
        What is measured with.
    calibration : Calibration
        What was chosen on validation fields.
    has_truth : bool
        Whether there are noise-free targets.
    is_range_given, is_lpips_given : bool
        Whether the user gave the data range, the weights.

    Returns
    -------
    list of str
    """
    said = [
        "Figures are against the noise-free truth."
        if has_truth
        else "There is no noise-free truth: the targets, with their noise, count as truth, which "
        "favours what is as noisy as they are."
    ]
    origin = "as asked for" if is_range_given else "median percentiles 0.2 and 99.8 of the targets"
    said.append(
        f"One data range for all: {ruler.data_range:.4g} above {ruler.black:.4g} ({origin})."
    )
    where = f"{calibration.n_fields} validation fields" if calibration.n_fields else "nothing"
    kernel = "fitted to them" if calibration.is_fitted else "of the two PSFs"
    said.append(
        f"Richardson-Lucy: {calibration.iterations} iterations, chosen on {where}; the kernel "
        f"(sigma {calibration.sigma_px:.2f} target pixels) is {kernel}; the background of an input "
        f"is percentile {calibration.percentile:g} of it, blurred; inputs are divided by "
        f"{calibration.gain:.4g}, the ratio of their units."
    )
    if not is_lpips_given:
        said.append(
            "LPIPS was not measured: give lpips_weights, torchvision's AlexNet as a file. In its "
            "place is 'untrained LPIPS', the same layers with random filters of a fixed seed; its "
            "numbers are its own, only their order counts."
        )
    if ruler.band_per_px is None:
        said.append("Band power was not measured: pairs.yaml doesn't say the widths of the PSFs.")
    if ruler.pixel_size_nm is None:
        said.append("Resolution was not measured: the pixel size isn't known.")
    return said


def say_result(contest: ImageContest, summary: pd.DataFrame, ruler: Ruler) -> list[str]:
    """Give the result in a few sentences."""
    n_fields = contest.rows["field"].nunique()
    models = {one.name for one in contest.standings if one.kind == "model"}
    alive = {one.name for one in contest.standings if one.kind == "model" and not one.is_dead}
    said = []
    for name in ("ssim", "psnr_db", PERCEPTUAL):
        part = summary[(summary["structure"] == ALL) & (summary["figure"] == name)]
        part = part[part["model"].isin(alive)].sort_values(["rank", "model"])
        if len(part):
            best = part.iloc[0]
            figure = _BY_NAME[name]
            said.append(
                f"{_heading(figure, ruler)}: {best['model']}, "
                f"{_span(best, figure)}, first in {best['first_share']:.0%} of the draws"
            )
    what = "1 model" if len(models) == 1 else f"Best of {len(models)} models"
    best = "; ".join(said) or "no model gives an image"
    sentences = [f"{what} on {n_fields} test fields. {best}."]
    order = say_order(summary, sorted(alive), ruler)
    return [*sentences, order] if order else sentences


def say_order(summary: pd.DataFrame, models: Sequence[str], ruler: Ruler) -> str:
    """Say whether the order is the published one; empty where EDSR and SRGAN aren't both there.

    Parameters
    ----------
    summary : DataFrame
        Means, intervals and ranks.
    models : sequence of str
        Names of the models; families are told by them.
    ruler : Ruler
        Names the perceptual distance.

    Returns
    -------
    str
        One or two sentences.
    """
    families = {family: name for family in _FAMILIES for name in models if family in name.lower()}
    if not {"edsr", "srgan"} <= families.keys():
        return ""
    whole = summary[summary["structure"] == ALL].set_index(["figure", "model"])
    every, firsts = whole["mean"], whole["first_share"]
    found = []
    for name, expected in (("ssim", "edsr"), (PERCEPTUAL, "srgan")):
        figure = _BY_NAME[name]
        merits = {
            family: figure.merit(float(every.get((name, model), math.nan)))
            for family, model in families.items()
        }
        best = max(merits, key=lambda family: merits[family])
        if math.isfinite(merits[best]):
            same = "as published" if best == expected else "unlike published"
            if float(firsts.get((name, families[best]), 0.0)) < _DECIDED_SHARE:
                same = f"but so closely that these fields don't decide it ({same})"
            found.append(f"{_heading(figure, ruler)} is best for {families[best]}, {same}")
    if not found:
        return ""
    said = f"{_PUBLISHED} Here {'; '.join(found)}."
    if ruler.lpips is None or ruler.lpips.name != UNTRAINED:
        return said
    power = {
        model: abs(float(every.get(("band_power", model), math.nan))) for model in families.values()
    }
    if not all(math.isfinite(value) for value in power.values()):
        return said
    nearest = min(power, key=lambda model: power[model])
    return (
        f"{said} The stand-in, unlike LPIPS, doesn't reward texture that is right on average; "
        f"band power does, and is nearest to the truth's for {nearest}."
    )


def summarise_job(
    contest: ImageContest, summary: pd.DataFrame, ruler: Ruler, places: Places
) -> Result:
    """Give what the job tells its user.

    Parameters
    ----------
    contest : ImageContest
        What was measured.
    summary : DataFrame
        Means, intervals and ranks.
    ruler : Ruler
        What was measured with.
    places : Places
        The files.

    Returns
    -------
    Result
    """
    outputs: dict[str, JsonValue] = {
        "page": str(places.page),
        "csv": str(places.rows),
        "summary": str(places.summary),
        "json": str(places.json),
        "models": [one.name for one in contest.standings if one.kind == "model"],
        "figures": {one.name: _means_of(one, summary) for one in contest.standings},
    }
    columns, rows = _mean_rows(contest.standings, summary, ALL, _IN_SHELL, ruler, spans=False)
    return Result(
        outputs=outputs,
        warnings=_alarms(contest),
        report=str(places.page),
        summary=[*say_result(contest, summary, ruler), f"Look at {places.page}."],
        tables=[Table(columns=columns, rows=rows)],
    )


def _sections(
    contest: ImageContest,
    summary: pd.DataFrame,
    fields: Sequence[TestField],
    ruler: Ruler,
    notes: Sequence[str],
) -> Iterator[Section]:
    yield Section(
        "Ranks",
        [
            "Rank over all test fields, and in brackets the ranks in 95 % of the draws: fields are "
            "drawn anew with replacement, the same for all. Where brackets overlap, the order "
            "isn't certain.",
            *notes,
        ],
        notes=_alarms(contest),
        pictures=[
            draw_picture(
                draw_ranks(contest.standings, summary, ruler, _RANKED_BY[:3]),
                "Means with their 95 % intervals; models blue, baselines grey.",
                is_wide=True,
            )
        ],
        tables=[_rank_table(contest, summary, ruler)],
    )
    names = {one.name: one for one in fields}
    pictures = []
    for shown in dict.fromkeys(name for name, _ in contest.pictures):
        one = names[shown]
        images = {who: image for (name, who), image in contest.pictures.items() if name == shown}
        caption = (
            f"{one.structure} ({one.name}): all from {ruler.black:.3g} (black) to "
            f"{ruler.black + ruler.data_range:.3g} (white); below each, its difference from the "
            f"{'truth' if one.truth is not None else 'target'}, blue too dark, red too bright, "
            f"white none, full at a quarter of that range."
        )
        pictures.append(
            draw_picture(draw_field(one, images, contest, ruler), caption, is_wide=True)
        )
    yield Section("To look at", pictures=pictures)
    every = tuple(figure.name for figure in FIGURES)
    columns, rows = _mean_rows(contest.standings, summary, ALL, every, ruler, spans=True)
    turned = [[columns[i], *(row[i] for row in rows)] for i in range(1, len(columns))]
    yield Section(
        "All figures",
        ["Means over all test fields, and half the width of their 95 % intervals."],
        tables=[FigureTable(["figure", *(row[0] for row in rows)], dash_blanks(turned))],
    )
    structures = [name for name in dict.fromkeys(summary["structure"]) if name != ALL]
    tables = []
    for name in structures:
        columns, rows = _mean_rows(
            contest.standings, summary, name, _PER_STRUCTURE, ruler, spans=False
        )
        count = contest.rows[contest.rows["structure"] == name]["field"].nunique()
        tables.append(FigureTable(columns, dash_blanks(rows), f"{name}, {count} fields"))
    if tables:
        yield Section("By structure", tables=tables)
    yield _cost_section(contest)
    yield _meaning_section()


def _rank_table(contest: ImageContest, summary: pd.DataFrame, ruler: Ruler) -> FigureTable:
    every = summary[summary["structure"] == ALL].set_index(["figure", "model"])
    present = [name for name in _RANKED_BY if name in set(summary["figure"])]
    order = sorted(
        contest.standings,
        key=lambda one: sum(float(every.loc[(name, one.name), "rank"]) for name in present),
    )
    rows = []
    for one in order:
        cells = [one.name]
        for name in present:
            row = every.loc[(name, one.name)]
            cells.append(
                f"{row['rank']:.0f} ({row['rank_low']:.0f}\N{EN DASH}{row['rank_high']:.0f})"
            )
        rows.append(cells)
    headings = [_heading(_BY_NAME[name], ruler) for name in present]
    return FigureTable(["", *headings], rows, "Ranks, in the order of their sum")


def _mean_rows(
    standings: Sequence[Standing],
    summary: pd.DataFrame,
    structure: str,
    names: Sequence[str],
    ruler: Ruler,
    *,
    spans: bool,
) -> tuple[list[str], list[list[str]]]:
    """Give headings and a row for each contestant, of the figures that somebody has."""
    part = summary[summary["structure"] == structure].set_index(["figure", "model"])
    present = [name for name in names if name in set(part.index.get_level_values(0))]
    rows = []
    for one in standings:
        cells = [one.name]
        for name in present:
            row, figure = part.loc[(name, one.name)], _BY_NAME[name]
            cells.append(_span(row, figure) if spans else _mean(row, figure))
        rows.append(cells)
    return ["", *(_heading(_BY_NAME[name], ruler) for name in present)], dash_blanks(rows)


def _cost_section(contest: ImageContest) -> Section:
    rows = [
        [
            one.name,
            f"{one.seconds_per_megapixel:.2f}" if one.kind == "model" else "nan",
            "nan" if one.n_parameters is None else f"{one.n_parameters:,}",
        ]
        for one in contest.standings
        if one.kind == "model"
    ]
    return Section(
        "Cost",
        ["Time is that of this machine, whatever else it did, without loading."],
        tables=[FigureTable(["", "s per megapixel", "parameters"], dash_blanks(rows))],
    )


def _meaning_section() -> Section:
    return Section(
        "What the figures mean",
        [
            "PSNR, SSIM and MS-SSIM compare pixel by pixel at one data range; range-invariant PSNR "
            "and MicroSSIM forgive scale and offset. LPIPS and GMSD look at structure and edges.",
            "Band power is the mean log10 of the power over the true one, at the detail that the "
            "target has and the input lacks: 0 is right, below is too smooth, above too rough. "
            "Gradient distance says the same of edges. Neither says that the detail is true.",
            "FRC is the length at which the image stops agreeing with the truth; decorrelation is "
            "what is finest in the image alone, and takes sharp noise for detail.",
            "RSP correlates the input with the image blurred back to it; noise of the input sets a "
            "ceiling, which is what the true image reaches. An image far below it shows what the "
            "input doesn't.",
            f"Alarms: an image that is black, constant or NaN; a flux more than "
            f"{MOST_FLUX_LOST:.0%} off; an RSP more than {MOST_BELOW_CEILING:g} below its ceiling.",
        ],
    )


def _figures_of(standing: Standing, summary: pd.DataFrame) -> dict[str, Any]:
    """Give everything on one contestant for programs."""
    own = summary[summary["model"] == standing.name]
    figures: dict[str, dict[str, dict[str, float | None]]] = {}
    for row in own.to_dict("records"):
        numbers = {
            name: _number(row[name])
            for name in ("mean", "low", "high", "rank", "rank_low", "rank_high")
        }
        figures.setdefault(str(row["structure"]), {})[str(row["figure"])] = numbers
    return {
        "name": standing.name,
        "kind": standing.kind,
        "parameters": standing.n_parameters,
        "seconds_per_megapixel": _number(standing.seconds_per_megapixel),
        "alarms": list(standing.alarms),
        "figures": figures,
    }


def _means_of(standing: Standing, summary: pd.DataFrame) -> dict[str, JsonValue]:
    """Give one contestant's means over all fields."""
    own = summary[(summary["model"] == standing.name) & (summary["structure"] == ALL)]
    return {str(row["figure"]): _number(row["mean"]) for row in own.to_dict("records")}


def _alarms(contest: ImageContest) -> list[str]:
    found = [f"{one.name}: {alarm}." for one in contest.standings for alarm in one.alarms]
    return found + [f"{one.name}: {one.note}" for one in contest.standings if one.note]


def _heading(figure: Figure, ruler: Ruler) -> str:
    if figure.name == PERCEPTUAL and ruler.lpips is not None:
        return ruler.lpips.name
    return figure.heading


def _span(row: Any, figure: Figure) -> str:
    """Give a mean and half the width of its interval."""
    half = (row["high"] - row["low"]) / 2
    if not math.isfinite(half):
        return _mean(row, figure)
    return f"{_mean(row, figure)} \N{PLUS-MINUS SIGN} {half:.{figure.digits}f}"


def _mean(row: Any, figure: Figure) -> str:
    mean = float(row["mean"])
    return f"{mean:.{figure.digits}f}" if math.isfinite(mean) else "nan"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
