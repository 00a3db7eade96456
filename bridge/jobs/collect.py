"""What ``bridge`` logs as a warning while a job runs, collected for its result."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect what ``bridge`` logs as a warning, and keep libraries' chatter down.

    Yields
    ------
    list of str
        Filled while the block runs; each text once.
    """
    os.environ.setdefault("LOGURU_LEVEL", "WARNING")  # bioimageio logs every step otherwise
    collector, nowhere = _Collector(), logging.NullHandler()
    logger, chatter = logging.getLogger("bridge"), logging.getLogger("tifffile")
    logger.addHandler(collector)
    chatter.addHandler(nowhere)  # what it logs of a damaged file, our error says in a sentence
    try:
        yield collector.texts
    finally:
        chatter.removeHandler(nowhere)
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
