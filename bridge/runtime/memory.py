"""Memory: how much is free, and how much a piece of work takes at its peak."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MEMINFO = Path("/proc/meminfo")
_ASSUMED_FREE_BYTES = 4 << 30
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


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
    gc.collect()
    before = _status("VmRSS:")
    is_reset = _reset_peak()
    work()
    return max(0, _status("VmHWM:") - before) if is_reset and before else None


def keep_freed() -> None:
    """Let the C library keep freed memory of this process for its next allocation (glibc only).

    Torch frees and allocates every activation anew; fetching the pages from the system each time
    cost a quarter of a forward pass where measured (``tests/benchmarks/speed.py``).
    """
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(_M_MMAP_MAX, 0)
            libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


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
