"""What ``zoobridge fiji install`` put into a Fiji, written down there so that it can be undone.

``zoobridge/install.json`` in Fiji's folder::

    {"zoobridge": "0.1.0", "python": "/home/me/env/bin/python", "kind": "groovy",
     "files": {"scripts/Plugins/ZooBridge/ZooBridge_Predict.groovy": "<sha256>"},
     "folders": ["scripts/Plugins/ZooBridge", "zoobridge"], "before": {}}

``python`` is what the Groovy client starts. ``before`` is only there while an install is under way,
or after one that was interrupted: the hashes that the files had until then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Literal, get_args

from bridge.errors import OutputError

Kind = Literal["groovy", "python", "macros"]

PLACE: Final = "zoobridge/install.json"
"""Where it lies inside Fiji's folder."""


@dataclass(frozen=True)
class Manifest:
    """What is installed."""

    zoobridge: str
    """Version that installed it."""
    python: str
    """The Python that does the work."""
    kind: Kind
    """Which set of files."""
    files: dict[str, str]
    """SHA-256 by path, as last written."""
    folders: list[str] = field(default_factory=list)
    """Folders that were made for them, those above first."""
    before: dict[str, list[str]] = field(default_factory=dict)
    """Earlier hashes of files that may not have been written yet."""

    def text(self) -> bytes:
        """Give the file's content, the same for the same facts."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()

    def hashes(self, path: str) -> set[str]:
        """Give the hashes with which a file is as we wrote it."""
        return {*self.before.get(path, ()), *((self.files[path],) if path in self.files else ())}

    def is_ours(self, root: Path, path: str) -> bool:
        """Tell whether a file is there just as we wrote it."""
        file = root / path
        return file.is_file() and sha256(file.read_bytes()) in self.hashes(path)


def read_manifest(root: Path) -> Manifest | None:
    """Read what is installed in a folder.

    Parameters
    ----------
    root : Path
        Folder of Fiji or ImageJ.

    Returns
    -------
    Manifest or None
        None where nothing is installed.

    Raises
    ------
    OutputError
        The file is damaged.
    """
    path = root / PLACE
    try:
        found = Manifest(**json.loads(path.read_text("utf-8")))
        _check(found)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(
            str(path),
            f"does not tell what was installed ({error})",
            "the file that `zoobridge fiji install` wrote",
            "Delete the folders zoobridge and scripts/Plugins/ZooBridge there, then install again.",
        ) from error
    return found


def _check(manifest: Manifest) -> None:
    """Let no path lead out of Fiji's folder."""
    if manifest.kind not in get_args(Kind):
        raise ValueError(f"kind {manifest.kind!r}")
    if not (isinstance(manifest.files, dict) and isinstance(manifest.before, dict)):
        raise TypeError("no list of files")
    for name in [*manifest.files, *manifest.folders, *manifest.before]:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
            raise ValueError(f"path {name!r}")


def sha256(content: bytes) -> str:
    """Give a content's hash."""
    return hashlib.sha256(content).hexdigest()


def folders_of(paths: Iterable[str]) -> list[str]:
    """List all folders in which files lie, those above first."""
    found = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return sorted(found - {"."})
