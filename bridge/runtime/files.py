"""Image files in, image files and reports out: one image, many in parallel, or over a cluster.

Output names: what was asked for, or ``NAME-MODEL.tif`` inside a folder; a model with several
outputs adds ``-OUTPUT`` to each. The report lies beside the first output, as ``NAME.report.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge import __version__
from bridge.errors import Cancelled, InputError, OutputError, RunError, ZooBridgeError
from bridge.images.read import find_images, open_image
from bridge.images.write import ImageWriter
from bridge.progress import Progress, silent
from bridge.runtime.device import n_cores
from bridge.runtime.execute import Sink
from bridge.runtime.predict import OutputSpec, Predictor, Settings
from bridge.zoo.package import Package, open_package

ENDINGS = (".tif", ".tiff", ".zarr")


@dataclass(frozen=True)
class Order:
    """One run over files: what to read and what to write.

    Attributes
    ----------
    inputs : dict of Path
        Per input name of the model.
    output : Path
        The file to write; with several outputs, the pattern of their names.
    """

    inputs: Mapping[str, Path]
    output: Path


@dataclass(frozen=True)
class FileOptions:
    """How files are read and written.

    Attributes
    ----------
    axes : str
        The axes of the input files, where they don't say; "" believes the files.
    overwrite : bool
        Replace outputs that are there.
    resume : bool
        Continue an interrupted run.
    """

    axes: str = ""
    overwrite: bool = False
    resume: bool = False


@dataclass(frozen=True)
class FileResult:
    """What came of one order.

    Attributes
    ----------
    outputs : dict
        Output name to path.
    report : dict
        What was done.
    warnings : list of str
        What to look at.
    error : ZooBridgeError or None
        Why it failed.
    """

    order: Order
    outputs: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: ZooBridgeError | None = None


class _FileSink:
    """An :class:`ImageWriter` that casts to its type and notes the finished steps."""

    def __init__(self, writer: ImageWriter, dtype: np.dtype[Any]) -> None:
        self._writer = writer
        self._dtype = dtype

    def __enter__(self) -> Self:
        self._writer.__enter__()
        self.finished = self._writer.finished
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.__exit__(kind, error, trace)

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        self._writer.write(region, np.ascontiguousarray(pixels, dtype=self._dtype))

    def mark(self, step: str) -> None:
        self._writer.mark(step)


def predict_file(
    predictor: Predictor, order: Order, options: FileOptions, progress: Progress = silent
) -> FileResult:
    """Run a package on one image file (one per input) and write its outputs.

    Raises
    ------
    ZooBridgeError
        Anything that went wrong; no output of the final name is left then.
    """
    if options.resume and predictor.settings.sum:
        raise InputError(
            "--resume",
            "a sum can't be continued: it is only written when the last frame is in it",
            "--sum or --resume, not both",
            "Start without --resume; or write the stack of frames, which can be resumed.",
        )
    names = [t.name for t in predictor.geometry.outputs]
    for path in output_paths(order.output, names).values():
        for source in order.inputs.values():
            if path.resolve() == Path(source).resolve():
                raise OutputError(
                    str(path),
                    "the output is the input file itself",
                    "another name",
                    "Give another --output.",
                )
    images = {n: open_image(p, axes=options.axes or None) for n, p in order.inputs.items()}
    identity = " ".join(_identity(Path(p)) for p in order.inputs.values())
    return predict_to_file(predictor, images, order, options, progress, identity=identity)


def predict_to_file(
    predictor: Predictor,
    images: Mapping[str, xr.DataArray],
    order: Order,
    options: FileOptions,
    progress: Progress = silent,
    *,
    identity: str = "",
) -> FileResult:
    """Run a package on opened images and write its outputs.

    Parameters
    ----------
    predictor : Predictor
        The package.
    images : mapping
        Per input name.
    order : Order
        Where the outputs go; its inputs name the images in the report.
    options : FileOptions
        How to write.
    progress : Progress
        Told after every batch of tiles.
    identity : str
        Names the content of the images; without it an interrupted run can't be continued.

    Raises
    ------
    ZooBridgeError
        Anything that went wrong; no output of the final name is left then.
    """
    paths = output_paths(order.output, [t.name for t in predictor.geometry.outputs])
    can_resume = bool(identity) and not predictor.settings.sum

    def sink(spec: OutputSpec) -> AbstractContextManager[Sink]:
        key = hashlib.sha256(f"{__version__} {identity} {spec.fingerprint}".encode()).hexdigest()
        writer = ImageWriter(
            paths[spec.name],
            dims=spec.dims,
            shape=spec.shape,
            dtype=spec.dtype,
            pixel_size_nm=spec.attrs.get("pixel_size_nm"),
            channel_names=spec.attrs.get("channel_names"),
            frame_interval_s=spec.attrs.get("frame_interval_s"),
            overwrite=options.overwrite,
            key=key if can_resume else "",
            resume=options.resume,
        )
        return _FileSink(writer, spec.dtype)

    outcome = predictor.run(images, sink, progress)
    outputs = {n: str(p) for n, p in paths.items()}
    report = {**outcome.report, "outputs": outputs, "warnings": outcome.warnings}
    return FileResult(order, outputs, report, outcome.warnings)


def predict_many(
    predictor: Predictor,
    orders: Sequence[Order],
    options: FileOptions,
    progress: Progress = silent,
) -> list[FileResult]:
    """Run a package on many image files, in parallel around one copy of its weights.

    On a CPU as many images as there are cores run side by side with one thread each (measured
    faster than one image on all cores); on a GPU one after the other.

    Returns
    -------
    list of FileResult
        In the order of ``orders``; a failed one has its ``error``, and the others go on.

    Raises
    ------
    Cancelled
        ``progress`` said so.
    """
    n_workers = min(n_cores(), len(orders)) if predictor.device.is_cpu else 1
    if n_workers > 1 and predictor.settings.threads == 0:
        predictor = Predictor(predictor.package, replace(predictor.settings, threads=1))
    results: dict[int, FileResult] = {}
    stop = threading.Event()

    def check(done: int, total: int, note: str = "") -> None:
        if stop.is_set():
            raise Cancelled

    def one(number: int) -> FileResult:
        try:
            return predict_file(predictor, orders[number], options, check)
        except Cancelled:
            raise
        except ZooBridgeError as error:
            return FileResult(orders[number], error=error)

    progress(0, len(orders), "images")
    with ThreadPoolExecutor(n_workers, "image") as pool:
        futures = {pool.submit(one, i): i for i in range(len(orders))}
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                results[futures[future]] = future.result()
                progress(count, len(orders), "images")
        except BaseException:
            stop.set()
            for future in futures:
                future.cancel()
            raise
    return [results[i] for i in range(len(orders))]


_predictors: dict[tuple[str, Settings], Predictor] = {}
"""On a cluster's worker: the loaded packages, one per package and settings."""


def _predict_on_worker(
    source: str, settings: Settings, order: Order, options: FileOptions
) -> FileResult:
    """Run one order on a cluster's worker; the package is loaded once per worker."""
    key = (source, settings)
    try:
        if key not in _predictors:
            _predictors[key] = Predictor(open_package(source), settings)
        return predict_file(_predictors[key], order, replace(options, overwrite=True))
    except ZooBridgeError as error:
        return FileResult(order, error=error)


def predict_on_cluster(
    address: str,
    package: Package,
    settings: Settings,
    orders: Sequence[Order],
    options: FileOptions,
    progress: Progress = silent,
) -> list[FileResult]:
    """Run a package on many image files over an existing ``dask.distributed`` scheduler.

    Every worker must see the package and the images under the same paths.

    Parameters
    ----------
    address : str
        Of the scheduler, such as ``tcp://node1:8786``.
    package, settings
        What runs and how; every worker opens the package itself.
    orders, options
        Which files, and how they are read and written.
    progress : Progress
        Told after every image.

    Returns
    -------
    list of FileResult
        As :func:`predict_many`; work of a worker that died is done again by another.

    Raises
    ------
    InputError
        dask.distributed is not installed, or nobody answers at the address.
    """
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
        from distributed import as_completed as completed_futures  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "--cluster", "dask.distributed is not installed", "", "pip install 'zoobridge[cluster]'"
        ) from error
    names = [str(output.id) for output in package.description.outputs]
    for order in orders:
        for path in output_paths(order.output, names).values():
            if path.exists() and not options.overwrite:
                raise OutputError(
                    str(path), "the output is there already", "", "Ask to --overwrite."
                )
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"--cluster {address}", f"nobody answers: {error}", "a running dask scheduler", ""
        ) from error
    results: dict[str, FileResult] = {}
    with client:
        futures = {}
        for number, order in enumerate(orders):
            future = client.submit(
                _predict_on_worker,
                str(package.root),
                settings,
                order,
                options,
                pure=False,
                retries=3,
                key=f"zoobridge-{number}-{os.getpid()}",
            )
            futures[future.key] = (number, future)
        progress(0, len(orders), "images")
        try:
            pending = completed_futures([f for _, f in futures.values()], loop=client.loop)
            for count, future in enumerate(pending, start=1):
                order = orders[futures[future.key][0]]
                results[future.key] = (
                    future.result()
                    if future.status == "finished"
                    else FileResult(
                        order,
                        error=RunError(
                            str(order.output), f"its worker failed: {future.exception()}"
                        ),
                    )
                )
                progress(count, len(orders), "images")
        except BaseException:
            client.cancel([f for _, f in futures.values()])
            raise
    return [results[key] for key in futures]


def make_orders(
    inputs: Sequence[str], output: Path, input_names: Sequence[str], model_name: str
) -> list[Order]:
    """Turn what a user gave into orders.

    Parameters
    ----------
    inputs : sequence of str
        Files and folders; for a model with several inputs ``NAME=FILE`` each.
    output : Path
        A file (one image), or a folder.
    input_names : sequence of str
        The model's inputs.
    model_name : str
        For names inside a folder.

    Raises
    ------
    InputError
        Names are missing or unknown, or many images should go into one file.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", model_name.lower()).strip("-")
    if len(input_names) > 1:
        named = [_split_name(text, input_names) for text in inputs]
        given = [name for name, _ in named]
        if sorted(given) != sorted(input_names):
            raise InputError(
                "--input",
                f"images for {', '.join(given) or 'no input'}",
                f"one for each of the model's inputs: {', '.join(input_names)}",
                "Give them as --input NAME=FILE.",
            )
        paths = {name: Path(path) for name, path in named}
        return [Order(paths, _target(output, paths[input_names[0]], slug, is_folder=None))]
    name = input_names[0]
    prefix = f"{name}="
    found = find_images([t.removeprefix(prefix) if not Path(t).exists() else t for t in inputs])
    is_folder = True if len(found) > 1 or any(_is_folder_of_images(t) for t in inputs) else None
    if is_folder and output.suffix.lower() in ENDINGS and not output.is_dir():
        raise OutputError(
            str(output),
            f"one file for {len(found)} images",
            "a folder",
            "Give the name of a folder as --output.",
        )
    orders = [Order({name: p}, _target(output, p, slug, is_folder=is_folder)) for p in found]
    targets = [o.output for o in orders]
    for target in targets:
        if targets.count(target) > 1:
            raise OutputError(
                str(target),
                "two of the images would be written to it",
                "",
                "Give them different names.",
            )
    return orders


def _is_folder_of_images(text: str) -> bool:
    path = Path(text)
    return path.is_dir() and find_images([path]) != [path]


def _split_name(text: str, names: Sequence[str]) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or name not in names:
        raise InputError(
            "--input", f"'{text}'", f"NAME=FILE with NAME one of {', '.join(names)}", ""
        )
    return name, path


def _target(output: Path, image: Path, slug: str, *, is_folder: bool | None) -> Path:
    if is_folder is None:
        is_folder = output.is_dir() and output.suffix.lower() != ".zarr"
        is_folder = is_folder or output.suffix.lower() not in ENDINGS
    if not is_folder:
        return output
    if output.suffix and not output.is_dir() and output.suffix.lower() not in ENDINGS:
        raise OutputError(
            str(output), f"the ending '{output.suffix}'", ".tif, .tiff or .zarr, or a folder", ""
        )
    return output / f"{_stem(image)}-{slug}.tif"


def _stem(path: Path) -> str:
    name = path.name
    for ending in (".ome.tiff", ".ome.tif", ".ome.zarr"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return path.stem


def output_paths(output: Path, names: Sequence[str]) -> dict[str, Path]:
    """Give the file of each output: the one asked for, or one with the output's name each."""
    if len(names) == 1:
        return {names[0]: output}
    stem, suffix = _stem(output), output.name[len(_stem(output)) :]
    return {
        n: output.with_name(f"{stem}-{re.sub(r'[^A-Za-z0-9_.-]+', '_', n)}{suffix}") for n in names
    }


def _identity(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"


def write_report(path: Path, results: Sequence[FileResult], *, started: float) -> Path:
    """Write what was done as JSON: one run as it is, many as a list.

    Parameters
    ----------
    path : Path
        Where; replaced if there.
    results : sequence of FileResult
        What came of each order.
    started : float
        ``time.time()`` when the work began.

    Raises
    ------
    OutputError
        It can't be written.
    """
    runs = [
        {
            "inputs": {n: str(p) for n, p in r.order.inputs.items()},
            **(r.report if r.error is None else {"error": r.error.as_dict()}),
        }
        for r in results
    ]
    content = {
        "zoobridge": __version__,
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 3),
        "runs": runs,
    }
    try:
        part = path.with_name(f".{path.name}.part")
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
        part.replace(path)
    except OSError as error:
        raise OutputError(str(path), f"the report can't be written: {error.strerror}") from error
    return path
