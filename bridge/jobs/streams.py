"""Standard output kept clean: while a job runs, whatever anyone prints goes to standard error.

Libraries, compiled code and a package's own network print as they like; the reader of a job's
standard output must get one answer as its last line. So file descriptor 1 itself is turned to
standard error, and the answer goes through a copy of the real one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from typing import TextIO

Answer = Callable[[str], None]


@contextlib.contextmanager
def guarded_stdout(*, for_good: bool) -> Iterator[Answer]:
    """Turn standard output to standard error, and give a function that writes the answer.

    Parameters
    ----------
    for_good : bool
        Leave it so afterwards, as a process should that ends with the answer: what C libraries
        have buffered, and threads and exit handlers still print, then can't follow it.

    Yields
    ------
    callable
        Takes the answer's text and writes it as a line to the real standard output. A reader who
        has gone away is no error.
    """
    real = sys.stdout
    _flush(real)
    saved_fd = _turn_descriptor()
    sys.stdout = sys.stderr
    try:
        yield lambda text: _write(text, real, saved_fd)
    finally:
        if not for_good:
            _flush(sys.stdout)
            sys.stdout = real
            if saved_fd is not None:
                _flush_c_libraries()
                os.dup2(saved_fd, 1)
        if saved_fd is not None:
            os.close(saved_fd)


def _turn_descriptor() -> int | None:
    """Point descriptor 1 to standard error; gives a copy of what it was, None if it was closed."""
    try:
        saved_fd = os.dup(1)
    except OSError:
        return None
    try:
        os.dup2(2, 1)
    except OSError:  # standard error is closed
        null_fd = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null_fd, 1)
        os.close(null_fd)
    return saved_fd


def _write(text: str, real: TextIO | None, saved_fd: int | None) -> None:
    if real is None:
        return
    with contextlib.suppress(BrokenPipeError):
        if saved_fd is None or not _is_descriptor_1(real):
            real.write(text + "\n")
            real.flush()
            return
        rest = (text + "\n").encode(real.encoding, "backslashreplace")
        while rest:
            rest = rest[os.write(saved_fd, rest) :]


def _is_descriptor_1(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 1
    except (OSError, ValueError):  # a stream in memory, or closed
        return False


def _flush(stream: TextIO | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()


def _flush_c_libraries() -> None:
    """Write out what C code has printed and not yet written."""
    ctypes.CDLL("ucrtbase" if os.name == "nt" else None).fflush(None)
