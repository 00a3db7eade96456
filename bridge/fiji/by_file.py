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
from pathlib import Path
from typing import Final

from bridge.images.read import open_image
from bridge.images.write import write_image
from bridge.jobs.desk import Answer, Desk
from bridge.jobs.streams import guarded_stdout
from bridge.progress import Cancellable, Throttled
from bridge.worker import answer_text, request_of

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

        def tell(done: int, total: int, note: str = "") -> None:
            answer(json.dumps({"progress": [done, total, note or "running"]}))

        progress = Cancellable(Throttled(tell, _LEAST_INTERVAL_S))
        signal.signal(signal.SIGTERM, lambda *_: progress.cancel())
        about = said.get("image")
        image = open_image(about["path"]).load() if about else None
        answer(_told(Desk().perform(request_of(said, image), progress)))
    return 0


def _told(done: Answer) -> str:
    """Write an answer's images into a folder, and give the answer as JSON."""
    if not done.images:
        return answer_text(done, [])
    folder = Path(tempfile.mkdtemp(prefix="zoobridge-"))
    places = []
    for number, shown in enumerate(done.images):
        path = folder / f"image_{number}.tif"
        write_image(path, shown.image)
        places.append({"path": str(path)})
    return answer_text(done, places, [folder])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
