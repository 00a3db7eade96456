"""Particles found by Topaz (Bepler et al., Nature Methods 16, 1153 (2019)), where it is installed.

Topaz is asked as a program of its own, ``topaz extract``, and answers with a coordinate file. Its
models are Python pickles, which may run any code when they are loaded: Topaz loads them, we never.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import InputError, RunError
from bridge.images.write import write_image
from bridge.progress import Progress, silent
from bridge.restoration.coordinates import read_places

_HEADING = "image_name\tx_coord\ty_coord"
_LOOK_S = 0.2  # between two looks at whether the user wants to stop
_SAID_LINES = 5


def find_with_topaz(
    planes: Mapping[str, NDArray[np.generic]],
    *,
    model_path: Path,
    radius_px: float,
    threshold: float | None = None,
    program: str = "topaz",
    progress: Progress = silent,
) -> pd.DataFrame:
    """Ask Topaz for particles.

    Parameters
    ----------
    planes : mapping of str to ndarray, axes (y, x)
        The planes by name; each is given to Topaz with mean 0 and standard deviation 1.
    model_path : Path
        File of a trained Topaz model, which Topaz will load: only one that you trust.
    radius_px : float
        Radius of a particle, in pixels; Topaz takes it to the nearest whole number.
    threshold : float, optional
        Least score, a log likelihood ratio; left out, Topaz's own.
    program : str
        Name or path of the command.
    progress : Progress
        Asked all the while whether to stop.

    Returns
    -------
    DataFrame
        As of :func:`bridge.restoration.coordinates.read_places`; ``image`` is the plane's name.

    Raises
    ------
    InputError
        Topaz isn't installed, or the model's file is missing.
    RunError
        Topaz failed, or left no coordinates.
    Cancelled
        ``progress`` said so; Topaz is stopped.
    """
    found = shutil.which(program)
    if found is None:
        raise InputError(
            "method topaz",
            f"the command '{program}' isn't installed",
            "Topaz (topaz-em, under the GPL, so it doesn't come with zoobridge)",
            "Install it, or use the method log, which needs no model.",
        )
    if not model_path.is_file():
        raise InputError(
            str(model_path),
            "there is no such file",
            "a model trained with Topaz",
            "Check the path.",
        )
    with tempfile.TemporaryDirectory(prefix="zoobridge-topaz-") as folder:
        paths = {}
        for number, (name, plane) in enumerate(planes.items()):
            path = Path(folder) / f"plane{number:06d}.tif"
            write_image(path, xr.DataArray(_standardise(plane), dims=("y", "x")))
            paths[path.stem] = name, path
        output = Path(folder) / "found.txt"
        command = extract_command(
            found,
            [path for _, path in paths.values()],
            model_path=model_path,
            radius_px=radius_px,
            threshold=threshold,
            output=output,
        )
        table = _read_answer(_run(command, Path(folder), progress), output)
    table["image"] = [paths[stem][0] for stem in table["image"]]
    return table


def extract_command(
    program: str,
    image_paths: list[Path],
    *,
    model_path: Path,
    radius_px: float,
    threshold: float | None,
    output: Path,
) -> list[str]:
    """Give the words of the command line."""
    words = [program, "extract", "--model", str(model_path.resolve())]
    words += ["--radius", str(max(1, round(radius_px)))]
    if threshold is not None:
        words += ["--threshold", f"{threshold:g}"]
    return [*words, "--output", str(output), *map(str, image_paths)]


def _standardise(plane: NDArray[np.generic]) -> NDArray[np.float32]:
    values = np.asarray(plane, np.float64)
    deviation = float(values.std()) or 1.0
    standard: NDArray[np.float32] = ((values - values.mean()) / deviation).astype(np.float32)
    return standard


def _run(command: list[str], folder: Path, progress: Progress) -> Path:
    """Run the command, looking now and then whether to stop; give the file of what it printed."""
    printed, complaints = folder / "printed", folder / "complaints"
    with printed.open("wb") as out, complaints.open("wb") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        try:
            while True:
                progress(0, 1, "Topaz")
                try:
                    exit_code = process.wait(_LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if exit_code:
        last = complaints.read_text("utf-8", "replace").strip().splitlines()[-_SAID_LINES:]
        raise RunError(
            "topaz",
            f"it ended with code {exit_code}: {' / '.join(last) or 'it said nothing'}",
            "an end without errors",
            "Try the same model with 'topaz extract' on one image.",
        )
    return printed


def _read_answer(printed: Path, output: Path) -> pd.DataFrame:
    """Read the coordinates; some versions print them although an output file is named."""
    if not output.is_file():
        lines = printed.read_text("utf-8", "replace").splitlines()
        starts = [k for k, line in enumerate(lines) if line.startswith(_HEADING)]
        if not starts:
            raise RunError(
                "topaz", "it left no coordinates", f"a table headed {_HEADING!r}", "Update Topaz."
            )
        output.write_text("\n".join(lines[starts[0] :]) + "\n", "utf-8")
    return read_places(output)
