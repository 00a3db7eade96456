"""What a comparison of localizers found, as a page, as tables for programs and as sentences."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue

from bridge import __version__
from bridge.errors import OutputError
from bridge.jobs.base import Result, Table
from bridge.jobs.status import finite
from bridge.quality.report import (
    FigureTable,
    Picture,
    Section,
    check_page,
    dash_blanks,
    draw_picture,
    write_page,
)
from bridge.smlm.contest import Contest
from bridge.smlm.contest_figures import (
    draw_bars,
    draw_densities,
    draw_efficiency,
    draw_lone,
    draw_uncertainties,
    draw_windows,
)
from bridge.smlm.scoring import ALPHA_LATERAL_PER_NM, efficiency
from bridge.smlm.table_out import new_file

_RULES = (
    "Detections and emitters of a frame are matched greedily, nearest first, within 250 nm; 450 nm "
    "at each edge don't count. By chance: the same detections in the wrong frames. The bound "
    "(Cramer-Rao) is the least error of an unbiased localizer: alone, of an emitter without "
    "neighbours; in the crowd, of the median emitter among neighbours whose places and photons are "
    "unknown too. A localizer can be below the latter where it is dense: it finds the easier "
    "emitters, and one detection in the middle of two is near to both."
)

_IN_SHELL = ("per µm²", "localizer", "Jaccard", "RMSE nm", "efficiency %", "errors / stated")


@dataclass(frozen=True)
class Places:
    """The files of a comparison."""

    page: Path
    csv: Path
    json: Path
    picture: Path

    @classmethod
    def of(cls, page: Path) -> Places:
        """Name them after the page."""
        return cls(page, *(page.with_suffix(ending) for ending in (".csv", ".json", ".png")))


def check_places(page: Path, *, overwrite: bool) -> None:
    """Refuse names that can't be written before long work begins.

    Raises
    ------
    OutputError
        The page doesn't end in .html, its folder is missing, or a file is there.
    """
    check_page(page, overwrite=overwrite)
    places = Places.of(page)
    for place in (places.csv, places.json, places.picture):
        if place.exists() and not overwrite:
            raise OutputError(
                str(place),
                "the output is there already",
                "a name that is free",
                "Give another name, or ask to overwrite.",
            )


def write_comparison(page: Path, contest: Contest, *, overwrite: bool) -> Places:
    """Write page, figures and the main picture.

    Parameters
    ----------
    page : Path
        The page, ending in ``.html``; the others have its name.
    contest : Contest
        What was measured.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    Places
        The files.

    Raises
    ------
    OutputError
        One can't be written.
    """
    places = Places.of(page)
    main = _main_picture(contest)
    rows = pd.DataFrame(list(list_rows(contest)))
    content = finite({"zoobridge": __version__, **figures(contest)})
    with new_file(places.csv, overwrite=overwrite) as part:
        rows.to_csv(part, index=False)
    with new_file(places.json, overwrite=overwrite) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    with new_file(places.picture, overwrite=overwrite) as part:
        part.write_bytes(main.png)
    write_page(
        page,
        "Localizers compared",
        list(contest_sections(contest, main)),
        lead=" ".join(say_result(contest)),
        overwrite=overwrite,
    )
    return places


def figures(contest: Contest) -> dict[str, Any]:
    """Give all figures by name."""
    standings = []
    for one in contest.standings:
        standings.append(
            {
                "name": one.name,
                "kind": one.kind,
                "densities": [asdict(score) for score in one.scores],
                "seconds_per_frame": one.seconds,
                "lone": [asdict(score) for score in one.lone],
                "false_per_empty_frame": one.false_per_frame,
                "notes": one.notes,
            }
        )
    return {
        "scene": contest.scene,
        "densities_per_um2": contest.densities,
        "n_frames": contest.n_frames,
        "bounds_in_the_crowd": [asdict(bound) for bound in contest.bounds],
        "bound_alone_per_axis_nm": contest.lone_bound_nm,
        "localizers": standings,
        "notes": contest.notes,
    }


def list_rows(contest: Contest) -> Iterator[dict[str, Any]]:
    """Give a row for each localizer and density."""
    for one in contest.standings:
        for number, (score, seconds) in enumerate(zip(one.scores, one.seconds, strict=True)):
            bound = contest.bounds[number].median_nm if contest.bounds else math.nan
            yield {
                "localizer": one.name,
                **asdict(score),
                "chance_efficiency": efficiency(
                    score.chance_jaccard, score.chance_rmse_nm, alpha_per_nm=ALPHA_LATERAL_PER_NM
                ),
                "bound_alone_nm": contest.lone_bound_nm * math.sqrt(2),
                "bound_in_the_crowd_nm": bound,
                "seconds_per_frame": seconds,
            }


def say_result(contest: Contest) -> list[str]:
    """Give the result in a few sentences: the middle density, best first."""
    number = int(np.argmin([abs(density - 1.0) for density in contest.densities]))
    order = sorted(contest.standings, key=lambda one: one.scores[number].jaccard, reverse=True)
    parts = [
        f"{one.name} {one.scores[number].jaccard:.3f} and {_nm(one.scores[number].rmse_nm)}"
        for one in order
    ]
    density = contest.densities[number]
    return [
        f"At {density:.3g} emitters per square micrometre and frame, Jaccard index and lateral "
        f"error are: {'; '.join(parts)}."
    ]


def summarise(contest: Contest, places: Places) -> Result:
    """Give what the job tells its user."""
    columns, rows = _score_rows(contest)
    chosen = [number for number, name in enumerate(columns) if name in _IN_SHELL]
    outputs: dict[str, JsonValue] = {
        "page": str(places.page),
        "csv": str(places.csv),
        "json": str(places.json),
        "picture": str(places.picture),
        "localizers": [one.name for one in contest.standings],
        "densities_per_um2": list(contest.densities),
        **{
            name: [
                [_number(getattr(score, name)) for score in one.scores] for one in contest.standings
            ]
            for name in ("jaccard", "rmse_nm")
        },
    }
    return Result(
        outputs=outputs,
        warnings=_notes(contest),
        report=str(places.page),
        summary=[*say_result(contest), f"Look at {places.page}."],
        tables=[
            Table(
                columns=[columns[number] for number in chosen],
                rows=[[row[number] for number in chosen] for row in rows],
            )
        ],
    )


def contest_sections(contest: Contest, main: Picture | None = None) -> Iterator[Section]:
    """Give the page's sections; ``main`` is the first picture, where it is drawn already."""
    notes = _notes(contest)
    columns, rows = _score_rows(contest)
    yield Section(
        "From sparse to dense" if len(contest.densities) > 1 else "The movie",
        [f"All localize {contest.scene}.", _RULES],
        notes=notes,
        pictures=[main or _main_picture(contest), *_more_pictures(contest)],
        tables=[FigureTable(columns, rows)],
    )
    if contest.window is not None:
        density = contest.window.density_per_um2
        caption = (
            f"A part of frame {contest.window.frame} at {density:.3g} emitters per square "
            f"micrometre: circles are its {len(contest.window.truth)} emitters, crosses are "
            "detections."
        )
        shown = draw_picture(draw_windows(contest, contest.window), caption)
        yield Section("To look at", pictures=[shown])
    if any(one.lone for one in contest.standings):
        yield _lone_section(contest)
    yield _speed_section(contest)


def _main_picture(contest: Contest) -> Picture:
    if len(contest.densities) > 1:
        caption = (
            "Jaccard index and lateral error over density, with chance and what theory allows."
        )
        return draw_picture(draw_densities(contest), caption)
    return draw_picture(draw_bars(contest), "Jaccard index and lateral error.")


def _more_pictures(contest: Contest) -> Iterator[Picture]:
    if len(contest.densities) < 2:
        return
    yield draw_picture(
        draw_efficiency(contest),
        "Efficiency of the SMLM challenge: 100 % is all found without error.",
    )
    if any(math.isfinite(s.robust_sd) for one in contest.standings for s in one.scores):
        yield draw_picture(
            draw_uncertainties(contest),
            "Errors over stated uncertainties; above 1 they are stated too small.",
        )


def _score_rows(contest: Contest) -> tuple[list[str], list[list[str]]]:
    columns = [
        "per µm²",
        "localizer",
        "Jaccard",
        "by chance",
        "RMSE nm",
        "efficiency %",
        "by chance %",
        "bias nm",
        "errors / stated",
        "bound alone nm",
        "bound in the crowd nm",
    ]
    listed = sorted(list_rows(contest), key=lambda row: row["density_per_um2"])
    rows = [
        [
            f"{row['density_per_um2']:.3g}",
            row["localizer"],
            f"{row['jaccard']:.3f}",
            f"{row['chance_jaccard']:.3f}",
            f"{row['rmse_nm']:.1f}",
            f"{100 * row['efficiency']:.0f}",
            f"{100 * row['chance_efficiency']:.0f}",
            f"{row['bias_nm']:+.1f}",
            f"{row['robust_sd']:.2f}",
            f"{row['bound_alone_nm']:.1f}",
            f"{row['bound_in_the_crowd_nm']:.1f}",
        ]
        for row in listed
    ]
    return columns, dash_blanks(rows)


def _lone_section(contest: Contest) -> Section:
    rows = [
        [
            f"{score.photons:g}",
            one.name,
            f"{100 * score.found:.1f}",
            f"{score.rmse_nm:.2f}",
            f"{score.bound_nm:.2f}",
            f"{score.rmse_nm / score.bound_nm:.2f}",
            f"{score.bias_nm:+.2f}",
            f"{score.photons_ratio:.2f}",
        ]
        for number in range(len(contest.standings[0].lone))
        for one in contest.standings
        for score in [one.lone[number]]
    ]
    headings = [
        "photons",
        "localizer",
        "found %",
        "RMSE along an axis nm",
        "bound nm",
        "ratio",
        "bias nm",
        "photons found / true",
    ]
    return Section(
        "Emitters without neighbours",
        [
            "Each in the middle of a small frame of its own, on the background of the scenes. "
            "The bound is that of Mortensen et al. 2010 for maximum likelihood."
        ],
        pictures=[draw_picture(draw_lone(contest), "Error along an axis over the bound.")],
        tables=[FigureTable(headings, dash_blanks(rows))],
    )


def _speed_section(contest: Contest) -> Section:
    rows = []
    for one in contest.standings:
        finite = [seconds for seconds in one.seconds if math.isfinite(seconds)]
        speeds = [f"{1000 * seconds:.1f}" for seconds in one.seconds]
        rows.append(
            [one.name, f"{one.false_per_frame:.3f}", *(speeds if finite else ["nan"] * len(speeds))]
        )
    heads = [f"ms per frame at {density:.3g}" for density in contest.densities]
    return Section(
        "False detections and time",
        [
            "False: detections in a frame of 64 x 64 pixels of background only. Time is that of "
            "this machine, whatever else it did; networks measure the movie first."
        ],
        tables=[FigureTable(["localizer", "false per empty frame", *heads], dash_blanks(rows))],
    )


def _notes(contest: Contest) -> list[str]:
    own = [f"{one.name}: {note}" for one in contest.standings for note in one.notes]
    return [*contest.notes, *own]


def _nm(value: float) -> str:
    return f"{value:.1f} nm" if math.isfinite(value) else "nothing found"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
