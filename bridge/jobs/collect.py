"""What ``bridge`` logs as a warning while a job runs, collected for its result."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect what ``bridge`` logs as a warning, and keep a library's chatter down.

    Yields
    ------
    list of str
        Filled while the block runs; each text once.
    """
    os.environ.setdefault("LOGURU_LEVEL", "WARNING")  # bioimageio logs every step otherwise
    collector = _Collector()
    logger = logging.getLogger("bridge")
    logger.addHandler(collector)
    try:
        yield collector.texts
    finally:
        logger.removeHandler(collector)


class _Collector(logging.Handler):
    """Keep the warnings of a run, each once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record's text."""
        text = record.getMessage()
        if text not in self.texts:
            self.texts.append(text)
