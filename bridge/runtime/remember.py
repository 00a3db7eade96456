"""What was measured about a package on this machine, kept between runs.

One small JSON file per package content in the cache folder. It only saves time: when it is missing,
unreadable or of another version, everything is measured again.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from bridge import __version__
from bridge.zoo.places import cache_dir


def recall(package_sha256: str) -> dict[str, Any]:
    """Give what is known about a package here; empty if nothing is."""
    try:
        found = json.loads(_path(package_sha256).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    is_ours = isinstance(found, dict) and found.get("zoobridge") == __version__
    return found if is_ours else {}


def remember(package_sha256: str, **facts: Any) -> None:
    """Add facts (JSON values) to what is known; a folder that can't be written is no error."""
    path = _path(package_sha256)
    known = {**recall(package_sha256), "zoobridge": __version__, **facts}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(known, file, indent=1)
        Path(name).replace(path)
    except OSError:
        return


def _path(package_sha256: str) -> Path:
    return cache_dir() / "measured" / f"{package_sha256}.json"
