"""Memory: how much is free, and how much a piece of work takes at its peak."""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable
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


def peak_rise(work: Callable[[], object]) -> int | None:
    """Run ``work`` and give how far the process's memory rose above where it stood.

    Returns
    -------
    int or None
        Bytes; None where the system doesn't tell (only Linux does).
    """
    if platform.system() != "Linux":
        work()
        return None
    gc.collect()
    try:
        _CLEAR.write_text("5")  # resets the high-water mark (man proc_pid_clear_refs)
    except OSError:
        work()
        return None
    before = _status("VmRSS:")
    work()
    return max(0, _status("VmHWM:") - before)


def _status(key: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0
