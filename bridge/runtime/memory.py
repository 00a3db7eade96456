"""Memory: how much is free, and how much a piece of work takes at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MEMINFO = Path("/proc/meminfo")
_ASSUMED_FREE_BYTES = 4 << 30


def available_bytes() -> int:
    """Give the memory that can be used without swapping; a modest guess where nobody tells."""
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return _ASSUMED_FREE_BYTES


def peaks(works: Sequence[Callable[[], object]]) -> list[int] | None:
    """Run pieces of work one after the other and give how far each took the process's memory.

    Returns
    -------
    list of int or None
        Per piece of work the largest rise above where memory stood before the first, in bytes;
        None where the system doesn't tell (only Linux does).
    """
    gc.collect()
    before = _status("VmRSS:")
    found = []
    for work in works:
        is_reset = _reset_peak()
        work()
        if not is_reset:
            before = 0
        found.append(max(0, _status("VmHWM:") - before))
    return found if before else None


def release() -> None:
    """Give freed memory back to the system, as far as the C library lets us (glibc only)."""
    gc.collect()
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> bool:
    try:
        _CLEAR.write_text("5")  # resets the high-water mark (man proc_pid_clear_refs)
    except OSError:
        return False
    return True


def _status(key: str) -> int:
    if not _STATUS.exists():
        return 0
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0
