"""Folders out: filled under a temporary name beside their place, renamed when they are whole."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bridge.errors import OutputError


def check_folder(place: Path, *, marker: str, overwrite: bool) -> None:
    """Refuse a folder's name before long work begins.

    Parameters
    ----------
    place : Path
        The folder to be.
    marker : str
        File that such a folder holds; only a folder with it is ever replaced.
    overwrite : bool
        Whether one that is there may be replaced.

    Raises
    ------
    OutputError
        The folder is there and may not be replaced, or the one above it is missing.
    """
    if not place.absolute().parent.is_dir():
        raise OutputError(
            str(place), f"the folder '{place.parent}' is missing", "", "Create it first."
        )
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    if not overwrite:
        raise OutputError(
            str(place),
            "the output is there already",
            "a name that is free",
            "Give another name, or ask to overwrite.",
        )
    if not (place / marker).is_file():
        raise OutputError(
            str(place),
            f"there is no {marker} in it, so it holds other things than would be written",
            "a folder that zoobridge wrote, or a name that is free",
            "Give another name.",
        )


@contextlib.contextmanager
def new_folder(place: Path, *, marker: str, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder to fill, which becomes the folder when the block ends well.

    Parameters
    ----------
    place : Path
        The folder to be.
    marker : str
        File that such a folder holds; only a folder with it is ever replaced.
    overwrite : bool
        Replace one that is there.

    Yields
    ------
    Path
        The temporary folder, beside ``place``.

    Raises
    ------
    OutputError
        See ``check_folder``; or writing failed.
    """
    check_folder(place, marker=marker, overwrite=overwrite)
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.absolute().parent))
    except OSError as error:
        raise _failed(place, error) from error
    try:
        part.chmod(0o755)  # mkdtemp's is for its owner only
        yield part
        check_folder(place, marker=marker, overwrite=overwrite)
        _swap(part, place)
    except OSError as error:
        raise _failed(place, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _swap(part: Path, place: Path) -> None:
    """Put the new folder in its place, the old one back if that fails."""
    if not place.exists():
        part.replace(place)
        return
    old = part.with_name(part.name + ".old")
    place.replace(old)
    try:
        part.replace(place)
    except BaseException:
        old.replace(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _failed(place: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(str(place), f"writing failed: {reason}", "", "Choose another place.")
