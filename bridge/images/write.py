"""Images out: written window by window as they are computed, whole or not at all, and resumable.

Pixels go to ``.NAME.part`` beside the output, and ``.NAME.part.journal`` notes what is there; the
end of the ``with`` block renames. A run that was stopped leaves nothing, unless it has a key:
then the same key continues where it stopped. The image is never held in memory.
"""

from __future__ import annotations

import contextlib
import errno
import math
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import xarray as xr
from numpy.typing import DTypeLike, NDArray

from bridge.errors import Cancelled, ImageError, OutputError
from bridge.images.axes import SPATIAL, check_dims
from bridge.images.journal import Journal
from bridge.images.tiff_out import ImageForm, TiffOutput
from bridge.images.zarr_in import is_zarr
from bridge.images.zarr_out import ZarrOutput

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SYNC_BYTES = 256 * 2**20
_STREAM_BYTES = 32 * 2**20
_BLOCK_PX = 512


class _Output(Protocol):
    def write(self, window: Mapping[str, slice], pixels: NDArray[Any]) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class ImageWriter:
    """Write an image in windows, in any order, from any thread; use it in a ``with`` block.

    ``.tif`` and ``.tiff`` become an ImageJ TIFF where ImageJ can read it (uint8, uint16, float32;
    also above 4 GB), an OME-BigTIFF else; ``.zarr`` becomes OME-Zarr 0.5. Pixels that are never
    written are 0.

    Parameters
    ----------
    path : str or Path
        The output; its ending says the format. One missing folder above it is made.
    dims : tuple of str
        Axes, some of t c z y x in this order, with y and x.
    shape : tuple of int
        Length of each axis, in pixels, each > 0.
    dtype : dtype
        Type of the values; what is written must have it.
    pixel_size_nm : mapping of str to float, optional
        Edge of a pixel along z, y, x, in nm, each > 0; those of axes not in ``dims`` are left out.
    channel_names : sequence of str, optional
        A name for each channel.
    frame_interval_s : float, optional
        Time from frame to frame, in s.
    overwrite : bool
        Replace an output that is there; it stays until the new one is complete.
    key : str
        Names the work, for example a hash of its settings; with one, an unfinished output is kept.
    resume : bool
        Continue what an interrupted run with the same key left; without a leftover, start.

    Attributes
    ----------
    finished : frozenset of str
        Steps marked in the interrupted run; known inside the ``with`` block.

    Raises
    ------
    OutputError
        The output is there already, can't be written, needs more space than there is, or an
        unfinished one belongs to other work; entering and writing raise it too.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        dims: tuple[str, ...],
        shape: tuple[int, ...],
        dtype: DTypeLike,
        pixel_size_nm: Mapping[str, float] | None = None,
        channel_names: Sequence[str] | None = None,
        frame_interval_s: float | None = None,
        overwrite: bool = False,
        key: str = "",
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.finished: frozenset[str] = frozenset()
        self._form = _check_form(
            str(path), dims, shape, dtype, pixel_size_nm, channel_names, frame_interval_s
        )
        self._overwrite = overwrite
        self._key = key
        self._resume = resume
        self._part = self.path.with_name(f".{self.path.name}.part")
        self._kind = _kind(self.path)
        self._counting = threading.Lock()
        self._unsynced_bytes = 0
        self._journal: Journal | None = None
        self._output: _Output | None = None
        with self._sentences():
            self._check_place()

    def __enter__(self) -> Self:
        with self._sentences():
            self.path.parent.mkdir(exist_ok=True)
            name = self._part.with_name(self._part.name + ".journal")
            self._journal = Journal(name, what=str(self.path))
            try:
                self._output = self._open_leftover(self._journal)
            except BaseException:
                self._journal.close(remove=False)
                raise
            if self._output is None:
                try:
                    self._output = self._start(self._journal)
                except BaseException:
                    _remove(self._part)
                    self._journal.close(remove=True)
                    raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        output, journal = self._opened()
        is_whole = False
        try:
            if error is None:
                with self._sentences():
                    output.sync()
                    output.close()
                    self._rename()
                is_whole = True
        finally:
            output.close()
            was_stopped = isinstance(error, (Cancelled, KeyboardInterrupt))
            is_kept = not is_whole and bool(self._key) and was_stopped
            if not is_whole and not is_kept:
                _remove(self._part)
            journal.close(remove=not is_kept)
            self._output = self._journal = None

    def write(self, region: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Write a window; safe from several threads, for windows that don't overlap.

        Parameters
        ----------
        region : mapping of str to slice
            Start and stop along axes of the image; an axis left out is written whole.
        pixels : ndarray
            Values of the window, with the writer's axes in order and its dtype.

        Raises
        ------
        ValueError
            The window leaves the image, or the pixels don't fit it.
        OutputError
            The disk is full, or writing failed.
        """
        output, _ = self._opened()
        window = _check_window(self._form, region, pixels)
        with self._sentences():
            output.write(window, pixels)
        with self._counting:
            self._unsynced_bytes += pixels.nbytes

    def mark(self, step: str) -> None:
        """Note that a step's pixels are written, so that a later run can leave it out.

        Killing the process after this loses nothing; against a power cut the disk is synced every
        256 MiB.

        Parameters
        ----------
        step : str
            Any name; found again in ``finished``.
        """
        output, journal = self._opened()
        if not self._key:
            return
        with self._counting, self._sentences():
            journal.add_step(step)
            if self._unsynced_bytes >= _SYNC_BYTES:
                output.sync()
                journal.add_synced()
                self._unsynced_bytes = 0

    def _opened(self) -> tuple[_Output, Journal]:
        if self._output is None or self._journal is None:
            raise RuntimeError("an ImageWriter works inside its 'with' block only")
        return self._output, self._journal

    def _check_place(self) -> None:
        parent = self.path.absolute().parent
        if not parent.is_dir() and not parent.parent.is_dir():
            raise OutputError(
                str(self.path), f"the folder '{parent.parent}' is missing", "", "Create it first."
            )
        if not self.path.exists():
            return
        if not self._overwrite:
            raise OutputError(
                str(self.path),
                "the output is there already",
                "a name that is free",
                "Give another name, or ask to overwrite.",
            )
        if self.path.is_dir() and not (self._kind is ZarrOutput and is_zarr(self.path)):
            raise OutputError(
                str(self.path), "this is a folder", "a file", "Give another name for the output."
            )

    def _start(self, journal: Journal) -> _Output:
        _remove(self._part)
        output, layout = self._kind.create(self._part, self._form)
        journal.begin(key=self._key, layout=layout | _describe(self._form))
        return output

    def _open_leftover(self, journal: Journal) -> _Output | None:
        can_resume = self._resume and self._key and journal.header
        if not can_resume or not self._part.exists():
            return None
        layout = dict(journal.header["layout"])
        form = {name: layout.pop(name, None) for name in _describe(self._form)}
        if journal.header["key"] != self._key or form != _describe(self._form):
            raise OutputError(
                str(self._part),
                "the unfinished output belongs to another run or other settings",
                "one that this run began",
                "Start without resuming to replace it, or repeat the settings that began it.",
            )
        output: _Output = self._kind(self._part, form=self._form, **layout)
        self.finished = journal.finished
        journal.go_on()
        return output

    def _rename(self) -> None:
        if self.path.exists() and not self._overwrite:
            raise OutputError(
                str(self.path), "something else wrote this file meanwhile", "", "Rename it."
            )
        if not self.path.is_dir() and not (self._part.is_dir() and self.path.exists()):
            self._part.replace(self.path)
            return
        old = self.path.with_name(f".{self.path.name}.old")
        _remove(old)
        self.path.replace(old)
        try:
            self._part.replace(self.path)
        except BaseException:
            old.replace(self.path)
            raise
        _remove(old)

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn the system's errors into what a user can act on."""
        try:
            yield
        except PermissionError as error:
            raise OutputError(
                str(self.path), "you may not write here", "", "Choose another folder."
            ) from error
        except OSError as error:
            if error.errno not in _FULL:
                reason = error.strerror or str(error)
                raise OutputError(
                    str(self.path), f"writing failed: {reason}", "", "Choose another folder."
                ) from error
            free = shutil.disk_usage(self.path.absolute().parent).free
            raise OutputError(
                str(self.path),
                f"the disk is full or a limit is reached: {free:,} bytes are free",
                f"{self._form.n_bytes:,} bytes for the pixels",
                "Free some space, or choose another disk.",
            ) from error


def write_image(path: str | Path, image: xr.DataArray, *, overwrite: bool = False) -> None:
    """Write an image, part by part; a lazy one is never held whole.

    Parameters
    ----------
    path : str or Path
        The output; ``.tif``, ``.tiff`` or ``.zarr``.
    image : DataArray, axes some of (t, c, z, y, x), in this order
        What to write; ``pixel_size_nm``, ``channel_names`` and ``frame_interval_s`` of its
        ``attrs`` go with it.
    overwrite : bool
        Replace an output that is there.

    Raises
    ------
    OutputError
        See ``ImageWriter``.
    """
    with ImageWriter(
        path,
        dims=tuple(map(str, image.dims)),
        shape=image.shape,
        dtype=image.dtype,
        pixel_size_nm=image.attrs.get("pixel_size_nm"),
        channel_names=image.attrs.get("channel_names"),
        frame_interval_s=image.attrs.get("frame_interval_s"),
        overwrite=overwrite,
    ) as writer:
        for region in _parts(image):
            writer.write(region, image.isel(region).values)


def _parts(image: xr.DataArray) -> Iterator[dict[str, slice]]:
    """Cut an image into runs of rows of one plane, about 32 MiB each, on borders of blocks."""
    sizes = {str(dim): size for dim, size in image.sizes.items()}
    row_bytes = sizes["x"] * image.dtype.itemsize
    rows = max(1, _STREAM_BYTES // row_bytes // _BLOCK_PX) * _BLOCK_PX
    stacked = [dim for dim in sizes if dim not in "yx"]
    for index in np.ndindex(*(sizes[dim] for dim in stacked)):
        plane = {dim: slice(i, i + 1) for dim, i in zip(stacked, index, strict=True)}
        for top in range(0, sizes["y"], rows):
            yield plane | {"y": slice(top, min(top + rows, sizes["y"])), "x": slice(0, sizes["x"])}


def _kind(path: Path) -> type[TiffOutput] | type[ZarrOutput]:
    ending = path.suffix.lower()
    if ending in (".tif", ".tiff"):
        return TiffOutput
    if ending == ".zarr":
        return ZarrOutput
    raise OutputError(
        str(path),
        f"images ending in '{ending}' aren't written",
        "a name ending in .tif, .tiff or .zarr",
        "Change the ending.",
    )


def _check_form(
    what: str,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    pixel_size_nm: Mapping[str, float] | None,
    channel_names: Sequence[str] | None,
    frame_interval_s: float | None,
) -> ImageForm:
    try:
        names = check_dims(dims, what=what)
    except ImageError as error:
        raise OutputError(what, error.found, error.expected, error.remedy) from error
    if len(shape) != len(names) or any(size < 1 for size in shape):
        raise OutputError(what, f"the shape is {shape}", f"{len(names)} lengths, each at least 1")
    pixel_sizes = {dim: float(size) for dim, size in (pixel_size_nm or {}).items() if dim in names}
    for dim, size in pixel_sizes.items():
        if dim not in SPATIAL or not math.isfinite(size) or size <= 0:
            raise OutputError(what, f"the pixel size along {dim} is {size} nm", "a size above 0")
    labels = tuple(channel_names or ()) if "c" in names else ()
    if labels and len(labels) != shape[names.index("c")]:
        raise OutputError(
            what, f"there are {len(labels)} channel names", f"{shape[names.index('c')]} of them"
        )
    return ImageForm(
        dims=names,
        shape=tuple(int(size) for size in shape),
        dtype=np.dtype(dtype).newbyteorder("="),
        pixel_size_nm=pixel_sizes,
        channel_names=labels,
        frame_interval_s=frame_interval_s if "t" in names else None,
    )


def _check_window(
    form: ImageForm, region: Mapping[str, slice], pixels: NDArray[Any]
) -> dict[str, slice]:
    unknown = set(region) - set(form.dims)
    if unknown:
        raise ValueError(f"the image has no axis {sorted(unknown)}")
    window = {}
    for dim, size in zip(form.dims, form.shape, strict=True):
        part = region.get(dim, slice(None))
        start = 0 if part.start is None else int(part.start)
        stop = size if part.stop is None else int(part.stop)
        if not 0 <= start < stop <= size or part.step not in (None, 1):
            raise ValueError(f"{part} is no part of axis {dim}, which has {size} pixels")
        window[dim] = slice(start, stop)
    expected = tuple(part.stop - part.start for part in window.values())
    if pixels.shape != expected or pixels.dtype.newbyteorder("=") != form.dtype:
        raise ValueError(
            f"pixels are {pixels.shape} {pixels.dtype}, and the window is {expected} {form.dtype}"
        )
    return window


def _describe(form: ImageForm) -> dict[str, Any]:
    """Say what an output is in JSON's words, to know it again."""
    return {
        "dims": list(form.dims),
        "shape": list(form.shape),
        "dtype": form.dtype.name,
        "pixel_size_nm": dict(form.pixel_size_nm),
        "channel_names": list(form.channel_names),
        "frame_interval_s": form.frame_interval_s,
    }


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
