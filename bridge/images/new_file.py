"""Small files out: under a temporary name beside their place, renamed when they are whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bridge.errors import OutputError


@contextlib.contextmanager
def new_file(place: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary name to write to, which becomes the file's when the block ends well.

    Parameters
    ----------
    place : Path
        The file.
    overwrite : bool
        Replace a file that is there.

    Yields
    ------
    Path
        Where to write.

    Raises
    ------
    OutputError
        The file is there already or can't be written.
    """
    if place.is_dir():
        raise OutputError(str(place), "this is a folder", "a file", "Give another name.")
    if place.exists() and not overwrite:
        raise OutputError(
            str(place),
            "the output is there already",
            "a name that is free",
            "Give another name, or ask to overwrite.",
        )
    part = place.with_name(f".{place.name}.part")
    try:
        place.parent.mkdir(exist_ok=True)
        yield part
        part.replace(place)
    except FileNotFoundError as error:
        raise OutputError(
            str(place), f"the folder '{place.parent}' is missing", "", "Create it first."
        ) from error
    except PermissionError as error:
        raise OutputError(
            str(place), "you may not write here", "", "Choose another folder."
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(
            str(place), f"writing failed: {reason}", "", "Choose another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
