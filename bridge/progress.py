"""Progress and cancellation: one small protocol, and its adapter for the terminal.

Work that lasts takes ``progress`` and calls ``progress(done, total, note)``. A call may raise
:class:`bridge.errors.Cancelled`; the work then leaves nothing half-written and lets it pass.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Protocol, Self, TextIO

from bridge.errors import Cancelled


class Progress(Protocol):
    """Something that is told how far the work has come."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Tell that ``done`` of ``total`` steps are finished; raises ``Cancelled`` to stop."""


def silent(done: int, total: int, note: str = "") -> None:
    """Ignore all progress."""


class Cancellable:
    """Pass progress on, and stop the work at the next step once ``cancel`` was called.

    Parameters
    ----------
    inner : Progress
        Who is told of the steps.
    """

    def __init__(self, inner: Progress = silent) -> None:
        self._inner = inner
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work to stop; safe from any thread or signal handler."""
        self._event.set()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Pass the step on, or raise ``Cancelled``."""
        if self._event.is_set():
            raise Cancelled
        self._inner(done, total, note)


class Throttled:
    """Pass on no more steps than an eye can see; the last one always.

    Parameters
    ----------
    inner : Progress
        Who is told of the steps.
    interval_s : float
        Shortest time between two.
    """

    def __init__(self, inner: Progress, interval_s: float = 0.05) -> None:
        self._inner = inner
        self._interval_s = interval_s
        self._told = 0.0

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Pass the step on, if it is time."""
        now = time.monotonic()
        if done >= total or now - self._told >= self._interval_s:
            self._told = now
            self._inner(done, total, note)


class TerminalProgress:
    """A progress bar on standard error; plain lines where it is no terminal.

    Parameters
    ----------
    stream : TextIO, optional
        Where the bar is drawn; standard error by default.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console  # noqa: PLC0415 - not needed for --help
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        self._console = Console(file=stream or sys.stderr)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=1)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, total=total, description=note or "running")
