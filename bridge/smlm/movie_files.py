"""A simulated movie as files: frames, truth, settings to repeat it, and a picture.

::

    movie.tif              frames, uint16, calibrated; written as they are computed
    movie.truth.csv        emitters, as ThunderSTORM writes its ground truth
    movie.settings.json    the whole simulation, seed included
    movie.png              first frame | sum | truth
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from pydantic import ValidationError

from bridge.errors import InputError, OutputError
from bridge.images.preview import save_picture
from bridge.images.write import ImageWriter
from bridge.progress import Progress, silent
from bridge.smlm.render import render_histogram
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.table import write_table
from bridge.smlm.table_out import new_file

_PICTURE_PX = 512  # of the truth's longer edge: a picture thins out what is larger


@dataclass(frozen=True)
class MovieFiles:
    """Where a movie's files are, and what is in it."""

    movie: Path
    """The frames."""
    truth: Path
    """The truth table."""
    settings: Path
    """The settings."""
    picture: Path
    """The picture."""
    n_emitters: int = 0
    """Rows of the truth."""

    @classmethod
    def beside(cls, movie: Path) -> MovieFiles:
        """Name the files that belong to a movie."""
        return cls(
            movie,
            movie.with_name(f"{movie.stem}.truth.csv"),
            movie.with_name(f"{movie.stem}.settings.json"),
            movie.with_name(f"{movie.stem}.png"),
        )


def save_movie(
    settings: Simulation,
    path: str | Path,
    *,
    device: str = "cpu",
    overwrite: bool = False,
    progress: Progress = silent,
) -> MovieFiles:
    """Simulate a movie into files; it is never held in memory.

    Parameters
    ----------
    settings : Simulation
        What to simulate. The same settings give the same bytes on the same kind of device.
    path : str or Path
        The movie, ``.tif``, ``.tiff`` or ``.zarr``; the other files get its name.
    device : str
        Where frames are computed, as torch calls it.
    overwrite : bool
        Replace files that are there.
    progress : Progress
        Told of the frames done.

    Returns
    -------
    MovieFiles
        What was written.

    Raises
    ------
    OutputError
        A file is there already, or can't be written.
    ImageError
        A mask, a map of the chip or a measured spot cannot be read.
    InputError
        The point spread function needs a library that is missing.
    """
    files = MovieFiles.beside(Path(path))
    for file in (files.movie, files.truth, files.settings, files.picture):
        if file.exists() and not overwrite:
            raise OutputError(
                str(file),
                "the output is there already",
                "a name that is free",
                "Give another name, or ask to overwrite.",
            )
    pixel_nm = settings.camera.pixel_size_nm
    calibration = {"y": pixel_nm, "x": pixel_nm}
    shape = (settings.height_px, settings.width_px)
    movie = simulate_movie(settings, device=device, progress=progress)
    total = np.zeros(shape)
    first = np.zeros(shape, dtype=np.uint16)
    done = 0
    with ImageWriter(
        files.movie,
        dims=("t", "y", "x"),
        shape=(settings.n_frames, *shape),
        dtype=np.uint16,
        pixel_size_nm=calibration,
        overwrite=overwrite,
    ) as writer:
        for block in movie.blocks:
            writer.write({"t": slice(done, done + len(block))}, block)
            first = block[0].copy() if done == 0 else first
            total += block.sum(axis=0, dtype=np.float64)
            done += len(block)
    write_table(movie.truth, files.truth, format="thunderstorm", overwrite=overwrite)
    with new_file(files.settings, overwrite=overwrite) as part:
        part.write_text(settings.model_dump_json(indent=2) + "\n", encoding="utf-8")
    magnification = min(8, max(1, _PICTURE_PX // max(shape)))
    truth = render_histogram(
        movie.truth,
        pixel_size_nm=pixel_nm / magnification,
        shape=(shape[0] * magnification, shape[1] * magnification),
    )
    lit = truth.values[truth.values > 0]
    attrs = {"pixel_size_nm": calibration}
    save_picture(
        files.picture,
        [
            ("First frame", xr.DataArray(first, dims=("y", "x"), attrs=attrs)),
            (f"Sum of {done} frames", xr.DataArray(total, dims=("y", "x"), attrs=attrs)),
            (f"Truth: {len(movie.truth)} emitters", truth.astype("float32")),
        ],
        ranges=[None, None, (0.0, float(np.quantile(lit, 0.95)) if len(lit) else 1.0)],
    )
    return MovieFiles(
        files.movie, files.truth, files.settings, files.picture, n_emitters=len(movie.truth)
    )


def read_settings(path: str | Path) -> Simulation:
    """Read the settings of a simulated movie.

    Parameters
    ----------
    path : str or Path
        The JSON that was written beside it.

    Returns
    -------
    Simulation
        The settings.

    Raises
    ------
    InputError
        The file is missing, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            str(path), f"can't be read as JSON: {error}", "the settings of a simulated movie"
        ) from error
    return check_settings(content, what=str(path))


def check_settings(content: Mapping[str, object], *, what: str) -> Simulation:
    """Turn plain values into settings.

    Parameters
    ----------
    content : mapping
        Fields of :class:`Simulation` and their values.
    what : str
        The file or request, for errors.

    Returns
    -------
    Simulation
        The settings.

    Raises
    ------
    InputError
        A field is unknown, or a value is wrong.
    """
    try:
        return Simulation.model_validate(content)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        raise InputError(
            what,
            f"{place}: {message}" if place else message,
            "settings that a simulation can have",
            f"{place} was {detail['input']!r}." if place else "",
        ) from error
