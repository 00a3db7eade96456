"""One request through files: ``python -m bridge.fiji.by_file REQUEST.json``.

For a Fiji that has no Appose. The request and the answer are those of :mod:`bridge.worker`, with
files in place of shared memory: ``image`` has a ``path``, and so has each of the answer's
``images``. Every line on standard output is JSON::

    {"progress": [3, 12, "tiles"]}
    {"ok": true, "error": "", "status": {...}, "images": [{"title": "cells-deep-storm",
     "path": "/tmp/zoobridge-ab/image_0.tif", ...}], ...}

the answer last. SIGTERM stops the work at its next step.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bridge.images.read import open_image
from bridge.images.write import write_image
from bridge.jobs.desk import Answer, Desk, Request
from bridge.jobs.streams import guarded_stdout
from bridge.progress import Cancellable

_LEAST_INTERVAL_S: Final = 0.2


def main(request_path: Path) -> int:
    """Do a request, and print the answer.

    Parameters
    ----------
    request_path : Path
        JSON, see the module.

    Returns
    -------
    int
        The exit code: 0, also for a job that failed, as the answer says so.
    """
    said = json.loads(request_path.read_text(encoding="utf-8"))
    with guarded_stdout(for_good=False) as answer:
        progress = Cancellable(_Lines(answer))
        signal.signal(signal.SIGTERM, lambda *_: progress.cancel())
        done = Desk().perform(_request(said), progress)
        answer(json.dumps(_told(done)))
    return 0


def _request(said: dict[str, Any]) -> Request:
    about = said.get("image")
    return Request(
        command=tuple(said["command"].split()),
        values=said.get("values") or {},
        options=said.get("options"),
        image=open_image(about["path"]).load() if about else None,
        title=about["title"] if about else "",
    )


def _told(done: Answer) -> dict[str, Any]:
    """Write an answer's images into a folder, and the answer as JSON takes it."""
    temporary = list(done.temporary)
    images = []
    if done.images:
        folder = Path(tempfile.mkdtemp(prefix="zoobridge-"))
        temporary.append(folder)
    for number, shown in enumerate(done.images):
        path = folder / f"image_{number}.tif"
        write_image(path, shown.image)
        images.append(
            {
                "title": shown.title,
                "path": str(path),
                "pixel_size_nm": dict(shown.image.attrs.get("pixel_size_nm", {})),
                "frame_interval_s": float(shown.image.attrs.get("frame_interval_s", 0.0)),
                "display": list(shown.display),
            }
        )
    return {
        "ok": done.is_ok,
        "error": done.error,
        "status": json.loads(done.status),
        "lines": done.lines,
        "images": images,
        "files": [str(path) for path in done.files],
        "temporary": [str(path) for path in temporary],
    }


class _Lines:
    """Progress as lines of JSON, not more than an eye can see."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._told = 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self._told >= _LEAST_INTERVAL_S:
            self._told = now
            self._write(json.dumps({"progress": [done, total, note or "running"]}))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
