"""The log of an unexpected error: everything a report of it needs, in one file."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from bridge import __version__
from bridge.errors import RunError


class UnexpectedError(RunError):
    """A mistake in zoobridge itself, or in something it calls; the log file has the trace."""


def unexpected(error: BaseException, words: Sequence[str]) -> UnexpectedError:
    """Write the trace to a log file, and give an error that says where it is.

    Parameters
    ----------
    error : BaseException
        What was raised.
    words : sequence of str
        The command's words.
    """
    log_path = write_crash_log(error, words)
    return UnexpectedError(
        "zoobridge",
        f"{type(error).__name__}: {error}",
        remedy=f"This is a bug; please report it with the log file {log_path}.",
    )


def write_crash_log(error: BaseException, words: Sequence[str]) -> Path:
    """Write an error's trace, the command and the versions into the user's log folder.

    Parameters
    ----------
    error : BaseException
        What was raised.
    words : sequence of str
        The command's words.

    Returns
    -------
    Path
        The new file; in the folder for temporary files where the log folder can't be written.
    """
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    text = "\n".join(
        [
            f"zoobridge {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"command: {['zoobridge', *words]!r}",
            f"folder: {Path.cwd()}",
            f"python: {sys.executable}",
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    home = os.environ.get("ZOOBRIDGE_HOME")
    log_dir = Path(home, "logs") if home else platformdirs.user_log_path("zoobridge", False)
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
        return _written(log_dir / name, text)
    except OSError:
        return _written(Path(tempfile.gettempdir()) / f"zoobridge-{name}", text)


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path
