"""What came of training a localizer, as a page to look at: figures, the movie, the ranges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from bridge.images.read import open_image
from bridge.jobs.comparison_page import contest_sections, say_result
from bridge.quality.report import FigureTable, Picture, Section, draw_picture, write_page
from bridge.runtime.predict import Predictor, Settings
from bridge.smlm.localize_movie import localize_movie
from bridge.smlm.movie_blocks import take_frames
from bridge.smlm.patches import PatchConditions
from bridge.smlm.table import read_table
from bridge.training.fit import Run
from bridge.training.localization_figures import Figures
from bridge.training.movie_kind import movies_of
from bridge.training.package import Packaged
from bridge.zoo.package import open_package

_SHOWN_FRAMES: Final = 3
_SHOWN_PX: Final = 100
_CONTEXT: Final = 2  # frames on either side of a shown one that are localized with it
_FOUND, _TABLE = "#00c8ff", "#ff8c00"


def write_training_page(path: Path, run: Run, packaged: Packaged) -> Path:
    """Write the page of a localizer's training.

    Parameters
    ----------
    path : Path
        The page, ending in ``.html``; replaced if it is there.
    run : Run
        The training.
    packaged : Packaged
        Its package, which localizes the movie that the training was to be like.

    Returns
    -------
    Path
        The page.
    """
    assert isinstance(packaged.figures, Figures)
    contest = packaged.figures.contest
    sections = [
        *_movie_sections(run, packaged.folder),
        *contest_sections(contest),
        _range_section(run),
        _course_section(run),
    ]
    lead = " ".join(say_result(contest))
    return write_page(path, run.task.recipe.name, sections, lead=lead, overwrite=True)


def _movie_sections(run: Run, package_dir: Path) -> Iterator[Section]:
    data = run.task.recipe.movies
    if data.like is None or data.like_stack is None:
        return
    movie, _ = take_frames(open_image(data.like_stack))
    size_nm = movies_of(run.sources).pixel_size_nm
    table = read_table(data.like, pixel_size_nm=size_nm)
    picture = _draw_movie(movie, table, package_dir, pixel_size_nm=size_nm)
    yield Section("Your movie", pictures=[picture])


def _draw_movie(
    movie: xr.DataArray, table: pd.DataFrame, package_dir: Path, *, pixel_size_nm: float
) -> Picture:
    """Draw frames of the movie with what the network finds, and with the table's rows."""
    predictor = Predictor(open_package(package_dir), Settings(device="cpu"))
    numbers = np.linspace(0, movie.sizes["t"] - 1, _SHOWN_FRAMES + 2).round().astype(int)[1:-1]
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    every = np.atleast_1d(figure.subplots(1, _SHOWN_FRAMES))
    for axes, number in zip(every, numbers, strict=True):
        first = max(int(number) - _CONTEXT, 0)
        part = movie.isel(t=slice(first, int(number) + _CONTEXT + 1)).load()
        found = localize_movie(predictor, part, pixel_size_nm=pixel_size_nm, anyway=True).table
        pixels = part.isel(t=int(number) - first).values
        top, left = ((edge - min(edge, _SHOWN_PX)) // 2 for edge in pixels.shape)
        shown = pixels[top : top + _SHOWN_PX, left : left + _SHOWN_PX]
        low, high = np.percentile(shown, (0.5, 99.8))
        height, width = shown.shape
        extent = (left, left + width, top + height, top)
        axes.imshow(shown, cmap="gray", vmin=low, vmax=high, extent=extent)
        for rows, frame, mark, colour, size in (
            (found, int(number) - first + 1, "o", _FOUND, 60),
            (table, int(number) + 1, "+", _TABLE, 40),
        ):
            here = rows[rows["frame"] == frame]
            style = {"facecolors": "none", "edgecolors": colour} if mark == "o" else {"c": colour}
            axes.scatter(
                here["x_nm"] / pixel_size_nm,
                here["y_nm"] / pixel_size_nm,
                s=size,
                marker=mark,
                linewidths=1.2,
                **style,
            )
        axes.set(
            title=f"frame {number + 1}", xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[]
        )
    caption = (
        "Frames of the movie: blue circles are what the network finds, orange crosses are the "
        f"rows of the table. {_SHOWN_PX} camera pixels wide at most."
    )
    return draw_picture(figure, caption)


def _range_section(run: Run) -> Section:
    conditions = movies_of(run.sources).conditions
    assert conditions is not None
    return Section(
        "What it was trained for",
        [
            "Movies beyond these ranges are refused by 'zoobridge localize', which measures each "
            "one first.",
            *run.sources.notes,
        ],
        tables=[FigureTable(["", "from", "to"], list(_ranges(conditions)))],
    )


def _ranges(conditions: PatchConditions) -> Iterator[list[str]]:
    sigma_nm = getattr(conditions.psf, "sigma_nm", None)
    ranges = [
        ("emitters per square micrometre and frame", conditions.density_per_um2),
        ("photons of an emitter in a frame", conditions.photons),
        ("background photons per pixel", conditions.background_photons),
        ("standard deviation of a spot, nm", sigma_nm),
        ("mean time that emitters shine, frames", conditions.on_frames),
    ]
    for name, limits in ranges:
        is_used = conditions.frames > 1 or not name.startswith("mean time")
        if isinstance(limits, tuple) and is_used:
            yield [name, *(f"{limit:.4g}" for limit in limits)]


def _course_section(run: Run) -> Section:
    pictures = [
        Picture((run.run_dir / name).read_bytes(), caption)
        for name, caption in (
            ("curves.png", "Loss, and agreement with the truth of patches that aren't learned."),
            ("panel.png", "Some of these patches: input, probability, found, truth."),
        )
        if (run.run_dir / name).is_file()
    ]
    return Section("How it was trained", pictures=pictures)
