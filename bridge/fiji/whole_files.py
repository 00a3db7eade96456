"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bridge.errors import OutputError


def part_of(path: Path) -> Path:
    """Name what a file is called while it is being written."""
    return path.with_name(f".{path.name}.part")


def write_whole(path: Path, content: bytes) -> bool:
    """Write a file, unless it holds that already; its folder is made.

    Parameters
    ----------
    path : Path
        The file.
    content : bytes
        What it shall hold.

    Returns
    -------
    bool
        False where nothing had to be done.

    Raises
    ------
    OutputError
        The file can't be written; what was there before is as it was.
    """
    part = part_of(path)
    try:
        if path.is_file() and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        remedy = "Close programs that use it, and see that you may write there."
        raise OutputError(
            str(path), f"can't be written: {error.strerror}", remedy=remedy
        ) from error
    return True
