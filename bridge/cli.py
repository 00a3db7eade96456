"""The shell's face: ``zoobridge COMMAND [OPTIONS]``, built from the jobs.

People get a progress bar, tables and sentences on standard error. Programs get one JSON object as
the last line on standard output (:mod:`bridge.jobs.status`), whatever happens, and an exit code:
0 done, 1 it failed on the way, 2 the request cannot be right, 130 stopped by Ctrl-C or SIGTERM.
``--help`` and ``--version`` print their text instead. ``ZOOBRIDGE_DEBUG=1`` lets an unexpected
error through with its trace. Importing this loads no array or network library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final

from bridge import __version__
from bridge.errors import Cancelled, InputError, ZooBridgeError
from bridge.jobs import status
from bridge.jobs.base import Result
from bridge.jobs.collect import collected_warnings
from bridge.jobs.help import job_help, overview
from bridge.jobs.registry import JOBS, load_job
from bridge.jobs.streams import guarded_stdout
from bridge.jobs.words import job_from_words, nearest
from bridge.progress import Cancellable, Progress, TerminalProgress

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class _Ending:
    """What the process says last on standard output, and its exit code."""

    text: str
    exit_code: int


def main(argv: Sequence[str] | None = None, *, jobs: Mapping[tuple[str, ...], str] = JOBS) -> int:
    """Run a command, and print how it went.

    Parameters
    ----------
    argv : sequence of str, optional
        Words behind ``zoobridge``. Without them those of this process are taken, which is then
        expected to end: its standard output stays closed to everything but the answer.
    jobs : mapping
        Command words to ``module:Class``.

    Returns
    -------
    int
        The exit code.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    with guarded_stdout(for_good=argv is None) as answer:
        ending = _run(words, jobs)
        try:
            answer(ending.text)
        except OSError as error:  # a full disk behind "> file"; a reader gone away is none
            _tell(f"Error: standard output cannot be written ({error.strerror}).")
            return ending.exit_code or 1
    return ending.exit_code


def _run(words: list[str], jobs: Mapping[tuple[str, ...], str]) -> _Ending:
    """Do what the words ask for; every way it can end leads to an ending."""
    started = time.monotonic()
    command = _command(words, jobs)
    name = " ".join(command) or None
    with collected_warnings() as warnings:
        try:
            with _known_errors(words):
                information = _information(words, command, jobs)
                if information:
                    return _Ending(information, 0)
                result = _result(words, command, jobs)
        except ZooBridgeError as error:
            _tell(*(f"Warning: {text}" for text in warnings), f"Error: {error}")
            seconds = time.monotonic() - started
            text = status.failed(name, error.as_dict(), warnings=warnings, seconds=seconds)
            return _Ending(text, error.exit_code)
        warnings += [text for text in result.warnings if text not in warnings]
        _tell_result(result, warnings)
        seconds = time.monotonic() - started
        text = status.succeeded(name or "", result, warnings=warnings, seconds=seconds)
        return _Ending(text, result.error.exit_code if result.error else 0)


def _command(words: Sequence[str], jobs: Mapping[tuple[str, ...], str]) -> tuple[str, ...]:
    """Find the command, or the group of commands, that the words begin with."""
    longest = max(len(command) for command in jobs)
    for length in range(min(longest, len(words)), 0, -1):
        start = tuple(words[:length])
        if start in jobs:
            return start
    return ()


def _information(
    words: Sequence[str], command: tuple[str, ...], jobs: Mapping[tuple[str, ...], str]
) -> str:
    """Give the help or version that the words ask for, nothing if they ask for work."""
    options = list(words[: words.index("--")] if "--" in words else words)
    if "--help" in options or options[-1:] == ["-h"]:
        if command:
            return job_help(load_job(command, jobs))
        group = tuple(words[:1])
        return overview(jobs, group if any(known[:1] == group for known in jobs) else ())
    return f"zoobridge {__version__}" if options == ["--version"] else ""


def _result(
    words: Sequence[str], command: tuple[str, ...], jobs: Mapping[tuple[str, ...], str]
) -> Result:
    """Build the job that the words ask for, and run it."""
    if not command:
        raise _no_command(words, jobs)
    job = job_from_words(load_job(command, jobs), words[len(command) :])
    with _stoppable() as progress:
        return job.run(progress)


@contextlib.contextmanager
def _known_errors(words: Sequence[str]) -> Iterator[None]:
    """Let nothing through but ``ZooBridgeError``, unless debugging."""
    try:
        yield
    except ZooBridgeError:
        raise
    except KeyboardInterrupt:
        raise Cancelled from None
    except (Exception, SystemExit) as error:
        if os.environ.get("ZOOBRIDGE_DEBUG", "0") not in ("", "0"):
            raise
        from bridge.jobs.crash import unexpected  # noqa: PLC0415 - needed only here

        raise unexpected(error, words) from error


def _no_command(words: Sequence[str], jobs: Mapping[tuple[str, ...], str]) -> InputError:
    """Say that the words hold no command, and which was perhaps meant."""
    group = [known for known in jobs if known[:1] == tuple(words[:1]) and len(known) > 1]
    known = {" ".join(command) for command in group or jobs}
    if not words or (group and len(words) == 1):
        found, remedy = "no command was given", ""
    else:
        wanted = " ".join(words[: 2 if group else 1])
        found, remedy = f"there is no command {wanted!r}", nearest(wanted, known)
    call = " ".join(["zoobridge", *words[:1]] if group else ["zoobridge"])
    return InputError(
        "zoobridge", found, "one of " + ", ".join(sorted(known)), remedy or f"See {call} --help."
    )


@contextlib.contextmanager
def _stoppable() -> Iterator[Progress]:
    """Show progress, and let Ctrl-C and SIGTERM stop the work at its next step.

    The second signal stops it wherever it is. Only the main thread can do so; elsewhere signals
    keep their meaning.
    """
    with TerminalProgress() as bar:
        progress = Cancellable(bar)
        if threading.current_thread() is not threading.main_thread():
            yield progress
            return

        def stop(_number: int, _frame: FrameType | None) -> None:
            for number in _STOP_SIGNALS:
                signal.signal(number, signal.default_int_handler)
            progress.cancel()
            with contextlib.suppress(OSError):  # a stream may be in the midst of writing
                os.write(2, b"\nStopping at the next step; Ctrl-C again stops at once.\n")

        before = {number: signal.signal(number, stop) for number in _STOP_SIGNALS}
        try:
            yield progress
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _tell_result(result: Result, warnings: Sequence[str]) -> None:
    """Show people what a job gave."""
    if result.tables:
        from bridge.jobs.tables import as_text  # noqa: PLC0415 - loads rich

        _tell(*(as_text(table) for table in result.tables))
    _tell(*result.summary, *(f"Warning: {text}" for text in warnings))
    if result.error is not None:
        _tell(f"Error: {result.error}")


def _tell(*lines: str) -> None:
    """Print for people; that nobody reads it is no reason to fail."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        for line in lines:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()
