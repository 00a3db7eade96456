"""The Appose face: jobs as JSON, images through shared memory, in one warm process.

A host (Fiji's Groovy client, ``bridge/fiji/ZooBridge.groovy``) runs tasks with the script::

    from bridge.worker import perform
    perform(task, request, pixels)      # perform(task, request) without an image

``request`` is JSON::

    {"command": "predict", "values": {"model": "deep-storm"}, "options": null,
     "image": {"title": "cells.tif", "pixel_size_nm": {"y": 100, "x": 100}, "frame_interval_s": 0}}

``values``, ``options`` as in :class:`bridge.jobs.desk.Request`; ``image`` is null without one.
``pixels`` is an NDArray (t, z, c, y, x), ImageJ's order of planes, uint8, uint16 or float32.

The task's outputs: ``answer``, JSON again::

    {"ok": true, "error": "", "status": {the JSON status}, "lines": ["..."],
     "images": [{"title": "cells-deep-storm", "key": "image_0", "pixel_size_nm": {...},
                 "frame_interval_s": 0.0, "display": [0.0, 9.5]}],
     "files": ["/tmp/.../a.csv"], "temporary": ["/tmp/..."]}

and ``image_0`` and so on, NDArrays as ``pixels``. The host shows them, unlinks them by closing
them, and deletes the ``temporary`` folders. A job that fails is a completed task with ``ok`` false;
a task that fails is a bug. Cancelling the task stops the job at its next step.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import Cancelled
from bridge.jobs.desk import Answer, Desk, Request
from bridge.progress import Throttled

AXES: Final = ("t", "z", "c", "y", "x")
_ORDER: Final = ("t", "c", "z", "y", "x")


class Task(Protocol):
    """What is used of an Appose task."""

    cancel_requested: bool
    outputs: dict[str, Any]

    def update(
        self,
        message: str | None = None,
        current: int | None = None,
        maximum: int | None = None,
        info: dict[str, Any] | None = None,
    ) -> None:
        """Tell the host how far the work has come."""


def perform(task: Task, request: str, pixels: Any = None) -> None:
    """Do a request, and put the answer and its images into the task's outputs.

    Parameters
    ----------
    task : Task
        The Appose task.
    request : str
        JSON, see the module.
    pixels : NDArray, optional
        The open image, (t, z, c, y, x), in shared memory.
    """
    said = json.loads(request)
    about = said.get("image")
    image = None
    if about is not None and pixels is not None:
        image = image_of(
            pixels.ndarray(), about.get("pixel_size_nm") or {}, about.get("frame_interval_s") or 0.0
        )
    answer = _desk().perform(request_of(said, image), _TaskProgress(task))
    del image
    _put(task, answer)


def image_of(
    pixels: NDArray[Any], pixel_size_nm: Mapping[str, float], frame_interval_s: float
) -> xr.DataArray:
    """Give ImageJ's planes as an image, without copying them.

    Parameters
    ----------
    pixels : ndarray, (t, z, c, y, x)
        All planes.
    pixel_size_nm : mapping
        Edge of a pixel along z, y, x where known.
    frame_interval_s : float
        Time from frame to frame; 0 where unknown.

    Returns
    -------
    DataArray
        Dims a subset of t c z y x; axes of one plane are left out.
    """
    image = xr.DataArray(pixels, dims=AXES).transpose(*_ORDER)
    image = image.squeeze([dim for dim in ("t", "c", "z") if image.sizes[dim] == 1], drop=True)
    image.attrs["pixel_size_nm"] = {
        dim: float(nm) for dim, nm in pixel_size_nm.items() if dim in image.dims and nm > 0
    }
    if frame_interval_s > 0:
        image.attrs["frame_interval_s"] = float(frame_interval_s)
    return image


def planes_of(image: xr.DataArray) -> NDArray[Any]:
    """Give an image as ImageJ's planes.

    Parameters
    ----------
    image : DataArray
        Dims a subset of t c z y x.

    Returns
    -------
    ndarray, (t, z, c, y, x)
        uint8, uint16 or float32; other types become float32, booleans 0 and 255.
    """
    missing = [dim for dim in AXES if dim not in image.dims]
    planes = image.expand_dims(missing).transpose(*AXES).values
    if planes.dtype == np.bool_:
        return planes.astype(np.uint8) * np.uint8(255)
    dtype = planes.dtype.name if planes.dtype.name in ("uint8", "uint16") else "float32"
    return planes.astype(dtype, copy=False)  # also to this machine's byte order


@functools.cache
def _desk() -> Desk:
    """Give the one desk of this process, which keeps models between tasks."""
    return Desk()


class _TaskProgress:
    """Progress for a task, and its wish to stop."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._tell = Throttled(self._update)

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if self._task.cancel_requested:
            raise Cancelled
        self._tell(done, total, note)

    def _update(self, done: int, total: int, note: str = "") -> None:
        self._task.update(message=note or "running", current=done, maximum=total)


def _put(task: Task, answer: Answer) -> None:
    from appose import NDArray as SharedArray  # type: ignore[import-untyped]  # noqa: PLC0415

    places = []
    for number, shown in enumerate(answer.images):
        planes = planes_of(shown.image)
        shared = SharedArray(planes.dtype.name, list(planes.shape))
        shared.ndarray()[...] = planes
        key = f"image_{number}"
        task.outputs[key] = shared
        places.append({"key": key})
    task.outputs["answer"] = answer_text(answer, places)


def request_of(said: Mapping[str, Any], image: xr.DataArray | None) -> Request:
    """Give the request that JSON says, see the module.

    Parameters
    ----------
    said : mapping
        The JSON's content.
    image : DataArray or None
        The open image.
    """
    about = said.get("image")
    return Request(
        command=tuple(said["command"].split()),
        values=said.get("values") or {},
        options=said.get("options"),
        image=image,
        title=about["title"] if about else "",
    )


def answer_text(
    answer: Answer, places: Sequence[Mapping[str, str]], temporary: Sequence[Path] = ()
) -> str:
    """Write an answer as JSON, see the module.

    Parameters
    ----------
    answer : Answer
        What came of a request.
    places : sequence of mapping
        Where the pixels of each image are, ``{"key": "image_0"}``.
    temporary : sequence of Path
        More folders for the host to delete.
    """
    images = [
        {
            "title": shown.title,
            "pixel_size_nm": dict(shown.image.attrs.get("pixel_size_nm", {})),
            "frame_interval_s": float(shown.image.attrs.get("frame_interval_s", 0.0)),
            "display": list(shown.display),
            **place,
        }
        for shown, place in zip(answer.images, places, strict=True)
    ]
    return json.dumps(
        {
            "ok": answer.is_ok,
            "error": answer.error,
            "status": json.loads(answer.status),
            "lines": answer.lines,
            "images": images,
            "files": [str(path) for path in answer.files],
            "temporary": [str(path) for path in (*answer.temporary, *temporary)],
        }
    )
