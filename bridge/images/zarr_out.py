"""OME-Zarr out, version 0.5: a folder with one resolution, in blocks of up to 512 x 512 pixels."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from bridge.errors import OutputError
from bridge.images.tiff_out import ImageForm

_BLOCK_PX = 512
_TYPES = ("time", "channel", "space", "space", "space")


class ZarrOutput:
    """An unfinished OME-Zarr folder; writing is safe from threads.

    Parameters
    ----------
    path : Path
        The temporary folder.
    form : ImageForm
        What it will be.
    """

    def __init__(self, path: Path, *, form: ImageForm) -> None:
        array = zarr.open_group(str(path), mode="r+")["0"]
        if not isinstance(array, zarr.Array):
            raise OSError(f"{path} holds no array")
        self._array = array
        self._form = form
        self._sharing_blocks = threading.Lock()

    @classmethod
    def create(cls, path: Path, form: ImageForm) -> tuple[ZarrOutput, dict[str, Any]]:
        """Write the metadata.

        Parameters
        ----------
        path : Path
            The temporary folder, emptied if it exists.
        form : ImageForm
            What it will be.

        Returns
        -------
        output : ZarrOutput
            Ready to be written to.
        layout : dict
            What ``ZarrOutput`` needs to open the folder again: nothing.

        Raises
        ------
        OutputError
            Zarr has no such type of values.
        OSError
            There is not enough space, or no permission.
        """
        if form.dtype.kind not in "iuf":
            raise OutputError(path.name, f"OME-Zarr holds no {form.dtype.name} pixels", "numbers")
        if path.exists():
            shutil.rmtree(path)
        group = zarr.open_group(str(path), mode="w-", zarr_format=3, attributes=_metadata(form))
        blocks = {"y": _BLOCK_PX, "x": _BLOCK_PX}
        group.create_array(
            "0",
            shape=form.shape,
            dtype=form.dtype,
            chunks=tuple(min(form.sizes[dim], blocks.get(dim, 1)) for dim in form.dims),
            dimension_names=form.dims,
        )
        return cls(path, form=form), {}

    def write(self, window: Mapping[str, slice], pixels: NDArray[Any]) -> None:
        """Write a window.

        Parameters
        ----------
        window : mapping of str to slice
            Start and stop along each axis of the image.
        pixels : ndarray
            The values, along the image's axes.
        """
        corner = [window[dim].start for dim in self._form.dims]
        for block in self._blocks(window):  # one by one: after an error none is still on its way
            place = tuple(block[dim] for dim in self._form.dims)
            inside = tuple(
                slice(part.start - start, part.stop - start)
                for part, start in zip(place, corner, strict=True)
            )
            if self._is_whole(block):
                self._array[place] = pixels[inside]
                continue
            with self._sharing_blocks:  # the block is read, changed and written back
                self._array[place] = pixels[inside]

    def sync(self) -> None:
        """Do nothing: each block is a file, renamed when whole."""

    def close(self) -> None:
        """Let go of the folder."""

    def _blocks(self, window: Mapping[str, slice]) -> Iterator[dict[str, slice]]:
        """Cut a window at the borders of blocks."""
        cuts = []
        for dim in self._form.dims:
            part, edge = window[dim], _BLOCK_PX if dim in "yx" else 1
            first = part.start // edge * edge
            cuts.append(
                [
                    slice(max(start, part.start), min(start + edge, part.stop))
                    for start in range(first, part.stop, edge)
                ]
            )
        for cut in itertools.product(*cuts):
            yield dict(zip(self._form.dims, cut, strict=True))

    def _is_whole(self, block: Mapping[str, slice]) -> bool:
        return all(
            block[dim].start % _BLOCK_PX == 0
            and (block[dim].stop % _BLOCK_PX == 0 or block[dim].stop == self._form.sizes[dim])
            for dim in ("y", "x")
        )


def _metadata(form: ImageForm) -> dict[str, Any]:
    axes: list[dict[str, str]] = []
    scale: list[float] = []
    for dim in form.dims:
        axis = {"name": dim, "type": dict(zip("tczyx", _TYPES, strict=True))[dim]}
        step = 1.0
        if dim in form.pixel_size_nm:
            step = form.pixel_size_nm[dim]
            axis["unit"] = "nanometer"
        if dim == "t" and form.frame_interval_s is not None:
            step = form.frame_interval_s
            axis["unit"] = "second"
        axes.append(axis)
        scale.append(float(step))
    steps = [{"type": "scale", "scale": scale}]
    multiscale = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    ome: dict[str, Any] = {"version": "0.5", "multiscales": [multiscale]}
    if form.channel_names:
        ome["omero"] = {"channels": [_channel(name, form.dtype) for name in form.channel_names]}
    return {"ome": ome}


def _channel(name: str, dtype: np.dtype[Any]) -> dict[str, Any]:
    top = 1.0 if dtype.kind == "f" else float(np.iinfo(dtype).max)
    window = {"min": 0.0, "max": top, "start": 0.0, "end": top}
    return {"label": name, "color": "FFFFFF", "window": window}
