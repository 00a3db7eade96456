"""A model run on a movie for a table of localizations: heatmaps or coordinates, memory or file.

Only one or two blocks of frames, one output frame and the rows of a block are in memory, never the
movie, its heatmaps or a long table::

    movie --block of frames--> network --tiles--> one output frame, whole --> rows --> disk
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import xarray as xr

from bridge import __version__
from bridge.progress import Progress, silent
from bridge.runtime.predict import Outcome, Predictor
from bridge.smlm.localize import Threshold
from bridge.smlm.localize_blocks import Done, Unfinished, name_work, run_blocks
from bridge.smlm.localize_figures import Figures, density_warning, measure_rows
from bridge.smlm.localize_picture import save_localizations
from bridge.smlm.localize_plan import Plan, Wanted, plan_movie
from bridge.smlm.movie_blocks import MovieFrames, take_frames
from bridge.smlm.movie_growth import GrowingMovie
from bridge.smlm.row_store import RowStore
from bridge.smlm.table_stream import check_place, write_rows

if TYPE_CHECKING:
    from bridge.smlm.camera import Scaling


@dataclass(frozen=True)
class LocalizedFile:
    """What came of a movie whose table is a file.

    Attributes
    ----------
    kind : {"heatmap", "localizer"}
        What the model gives.
    n_localizations, n_frames : int
        Rows of the table, and frames of the movie.
    pixel_size_nm : float
        Edge of a camera pixel.
    threshold : float
        What a peak of the heatmap, or an emitter's probability, had to exceed.
    typical : float or None
        The typical peak's height; None where it was not asked for.
    model : dict
        What else a report says of the model: its grid or its context.
    history : list of str
        What was done.
    figures : Figures
        What the table shows by itself.
    facts : dict
        What was measured of the movie before; empty for heatmaps.
    outcome : Outcome
        How the network ran.
    warnings : list of str
        What to look at.
    picture : Path or None
        The picture beside the table.
    """

    kind: Literal["heatmap", "localizer"]
    n_localizations: int
    n_frames: int
    pixel_size_nm: float
    threshold: float
    typical: float | None
    model: Mapping[str, Any]
    history: list[str]
    figures: Figures
    facts: Mapping[str, Any]
    outcome: Outcome
    warnings: list[str]
    picture: Path | None


@dataclass(frozen=True)
class Localized(LocalizedFile):
    """What came of a movie, its table in memory.

    Attributes
    ----------
    table : DataFrame
        Localizations, with ``attrs`` as :func:`bridge.smlm.table.read_table` gives them.
    """

    table: pd.DataFrame = field(default_factory=pd.DataFrame)


def localize_movie(
    predictor: Predictor,
    movie: xr.DataArray,
    *,
    pixel_size_nm: float,
    threshold: Threshold | None = None,
    radius: int = 0,
    camera: Scaling | None = None,
    anyway: bool = False,
    progress: Progress = silent,
) -> Localized:
    """Run a model on a movie and give the emitters of every frame as a table.

    Parameters
    ----------
    predictor : Predictor
        The package, ready to run: one that gives heatmaps, or coordinates with uncertainties.
    movie : DataArray, axes (t, y, x) or (y, x), or with the model's channels
        Camera frames; a lazy one is read block by block.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    threshold : Threshold, optional
        How high a peak, or how likely an emitter, must be; by default automatic.
    radius : int
        Half width of a peak's window, in fine pixels; 0: about 60 nm, 1 to 5. Heatmaps only.
    camera : Scaling, optional
        The movie's camera; by default the one that the model was trained for. Localizers only.
    anyway : bool
        Go on where the movie contradicts what the model was trained on.
    progress : Progress
        Told after every batch of tiles.

    Returns
    -------
    Localized

    Raises
    ------
    PackageError
        The model gives neither heatmaps nor coordinates.
    ImageError
        The movie doesn't fit the model, or has both slices and frames.
    VerdictError
        The model's output is black, constant, NaN or saturated.
    """
    if predictor.settings.channel:
        raise ValueError("choose the channel of the movie, not of the predictor's settings")
    frames, notes = take_frames(movie)
    wanted = Wanted(pixel_size_nm, threshold or Threshold(), radius, camera, anyway=anyway)
    plan = plan_movie(predictor, frames, wanted, progress)
    source, done = MovieFrames(frames), Done()
    settled = dict(plan.settle(predictor, frames, progress))
    with tempfile.TemporaryDirectory(prefix="zoobridge-") as folder:
        with RowStore(Path(folder) / "rows", plan.columns) as store:
            _run(predictor, source, plan, settled, store, done, progress=progress)
        found = _sum_up(predictor, source, plan, settled, store, done, notes)
        table = store.table(0, store.n_rows)
    table.attrs.update(
        pixel_size_nm=pixel_size_nm,
        source=_source(frames),
        history=found.history,
        warnings=found.warnings,
    )
    return Localized(**{**vars(found), "table": table})


def localize_to_file(
    predictor: Predictor,
    open_movie: Callable[[], xr.DataArray],
    path: Path,
    *,
    wanted: Wanted,
    channel: int = 0,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = silent,
) -> LocalizedFile:
    """Run a model on a movie of any length and write its table, and a picture beside it.

    Memory doesn't grow with the movie. A run that is stopped keeps what it has, and goes on when
    it is asked to resume; the table then has the same bytes as that of an undisturbed run.

    Parameters
    ----------
    predictor : Predictor
        The package, ready to run on all channels.
    open_movie : callable
        Opens the movie lazily; asked again where the file is written meanwhile.
    path : Path
        The table: ``.csv`` or ``.txt`` for ThunderSTORM, ``.hdf5`` or ``.h5`` for Picasso. The
        picture has its name and the ending ``.png``.
    wanted : Wanted
        What the user asks for.
    channel : int
        The channel of the movie, from 1; 0 for all.
    overwrite : bool
        Replace a table that is there.
    resume : bool
        Go on with what a stopped run left; without a leftover, start.
    progress : Progress
        Told after every batch of tiles.

    Returns
    -------
    LocalizedFile

    Raises
    ------
    PackageError
        The model gives neither heatmaps nor coordinates.
    ImageError
        The movie doesn't fit the model, or can't be read.
    OutputError
        The table can't be written, or what is left of a stopped run belongs to other work.
    VerdictError
        The model's output is black, constant, NaN or saturated.
    Cancelled
        ``progress`` said so; the message says what was kept.
    """
    check_place(path, overwrite=overwrite)

    growing = GrowingMovie(lambda: take_frames(open_movie(), channel=channel)[0])
    movie, notes = growing.movie, take_frames(open_movie(), channel=channel)[1]
    plan = plan_movie(predictor, movie, wanted, progress)
    source = MovieFrames(movie)
    key = name_work(
        zoobridge=__version__,
        package=predictor.package.sha256,
        settings=asdict(predictor.settings),
        wanted=asdict(wanted),
        channel=channel,
        movie=growing.fingerprint(),
    )
    unfinished = Unfinished(path, plan.columns, key=key, resume=resume)
    with unfinished.opened():
        if not unfinished.settled:
            unfinished.settle(plan.settle(predictor, movie, progress))
        settled, store, done = unfinished.settled, unfinished.store, unfinished.done
        n_before = done.n_frames
        _run(predictor, source, plan, settled, store, done, unfinished, progress=progress)
        if n_before:
            notes.append(f"An interrupted run had done {n_before:,} frames; this one went on.")
        notes.append(growing.note())
        picture = path.with_suffix(".png")
        found = _sum_up(predictor, source, plan, settled, store, done, notes, picture)
        x_px, y_px = wanted.offset_px
        write_rows(
            store,
            path,
            source=_source(movie),
            pixel_size_nm=wanted.pixel_size_nm,
            shape=(source.n_frames, movie.sizes["y"] + y_px, movie.sizes["x"] + x_px),
            overwrite=overwrite,
        )
    return found


def _run(
    predictor: Predictor,
    source: MovieFrames,
    plan: Plan,
    settled: Mapping[str, float | None],
    store: RowStore,
    done: Done,
    unfinished: Unfinished | None = None,
    *,
    progress: Progress,
) -> None:
    run_blocks(
        predictor,
        source,
        plan.reading(settled),
        store,
        done,
        n_side=plan.n_side,
        convert=plan.convert,
        note=unfinished.note if unfinished else lambda done: None,
        progress=progress,
    )


def _sum_up(
    predictor: Predictor,
    source: MovieFrames,
    plan: Plan,
    settled: Mapping[str, float | None],
    store: RowStore,
    done: Done,
    notes: list[str],
    picture: Path | None = None,
) -> LocalizedFile:
    """Judge, measure and describe what was found, and draw it."""
    flawed = done.judge(takes_empty=plan.kind == "localizer")
    sizes = source.movie.sizes
    shape = (source.n_frames, sizes["y"], sizes["x"])
    wanted = plan.wanted
    conditions = plan.conditions
    cell_px = conditions.size_px if conditions else 0
    figures = measure_rows(
        store,
        pixel_size_nm=wanted.pixel_size_nm,
        shape=shape,
        offset_px=wanted.offset_px,
        cell_px=cell_px,
    )
    warnings = [*notes, *plan.warnings, *flawed, *done.warnings]
    if conditions is not None:
        warnings.append(density_warning(figures, conditions))
    if not store.n_rows:
        warnings.append("No emitter was found.")
    if picture is not None:
        save_localizations(
            picture,
            source,
            store,
            pixel_size_nm=wanted.pixel_size_nm,
            offset_px=wanted.offset_px,
        )
    name = Path(_source(source.movie)).name
    sentence = (
        f"Localized in {source.n_frames} frames of {name} with the model "
        f"{predictor.package.name}: {plan.describe(settled)}"
    )
    if any(wanted.offset_px):
        x, y = wanted.offset_px
        sentence += f"; the movie's corner is at x {x}, y {y} pixels of the whole field"
    threshold = settled["threshold"]
    return LocalizedFile(
        kind=plan.kind,
        n_localizations=store.n_rows,
        n_frames=source.n_frames,
        pixel_size_nm=wanted.pixel_size_nm,
        threshold=threshold if threshold is not None else 0.0,
        typical=settled.get("typical"),
        model=plan.figures(),
        history=[sentence + "."],
        figures=figures,
        facts=plan.facts,
        outcome=Outcome(done.report, done.warnings),
        warnings=list(dict.fromkeys(warning for warning in warnings if warning)),
        picture=picture,
    )


def _source(movie: xr.DataArray) -> str:
    return str(movie.attrs.get("source") or "a movie")
