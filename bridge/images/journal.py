"""The journal beside an unfinished output: whose it is, and which steps are on disk.

One JSON object a line, in ``.NAME.part.journal``::

    {"key": "3f2a", "layout": {...}, "boot": "0c1d..."}   whose output, and of which form
    {"step": "tile 0"}                     written, though perhaps only to the system's cache
    {"synced": true}                       all steps above have reached the disk
    {"boot": "77aa..."}                    a later run continues

Steps after the last ``synced`` count only while the machine is the same boot: what was written
survives a killed process, but not a power cut. An open journal is locked, so that two runs never
write the same output.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.errors import OutputError

if sys.platform != "win32":
    import fcntl


class Journal:
    """An open and locked journal.

    Parameters
    ----------
    path : Path
        Where it is; created if missing.
    what : str
        The output, for errors.

    Raises
    ------
    OutputError
        Another process is writing this output.
    OSError
        The file cannot be created or written.
    """

    def __init__(self, path: Path, *, what: str) -> None:
        self.path = path
        self.header: dict[str, Any] = {}
        self.finished: frozenset[str] = frozenset()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _lock(self._file, what)
            self._load()
        except BaseException:
            os.close(self._file)
            raise

    def begin(self, *, key: str, layout: Mapping[str, Any]) -> None:
        """Forget all that is written here, and start a new output."""
        os.ftruncate(self._file, 0)
        self.finished = frozenset()
        self.header = {"key": key, "layout": dict(layout), "boot": _boot_id()}
        self._add(self.header)

    def go_on(self) -> None:
        """Continue an earlier run's output, whose steps are in ``finished``."""
        self._add({"boot": _boot_id()})

    def add_step(self, step: str) -> None:
        """Note that a step's pixels were written."""
        self._add({"step": step})

    def add_synced(self) -> None:
        """Note that all steps so far have reached the disk."""
        self._add({"synced": True})
        os.fsync(self._file)

    def close(self, *, remove: bool) -> None:
        """Unlock the journal, and remove it if it is no longer of use."""
        if remove:
            if sys.platform == "win32":  # an open file can't be removed there
                os.close(self._file)
                self.path.unlink(missing_ok=True)
                return
            self.path.unlink(missing_ok=True)
        os.close(self._file)

    def _add(self, record: Mapping[str, Any]) -> None:
        os.write(self._file, (json.dumps(record) + "\n").encode())

    def _load(self) -> None:
        finished: set[str] = set()
        unsure: set[str] = set()
        boot = ""
        for record in _records(self.path.read_bytes()):
            if "layout" in record:
                self.header = record
            if "boot" in record:
                unsure = unsure if _same_boot(boot) else set()
                finished |= unsure
                unsure = set()
                boot = str(record["boot"])
            if "step" in record:
                unsure.add(str(record["step"]))
            if record.get("synced"):
                finished |= unsure
                unsure = set()
        self.finished = frozenset(finished | unsure if _same_boot(boot) else finished)


def _records(text: bytes) -> list[dict[str, Any]]:
    """Give the whole lines; one that was cut off in the middle is left out."""
    records = []
    for line in text.split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def _same_boot(boot: str) -> bool:
    return boot != "" and boot == _boot_id()


def _boot_id() -> str:
    """Name the time since the machine was started; empty where it can't be known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _lock(file: int, what: str) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            what,
            "another run is writing it right now",
            "one run for each output",
            "Wait for the other run, or give another name.",
        ) from error
    except OSError:  # a network folder without locks: go on without
        return
