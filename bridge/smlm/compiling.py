"""Loops compiled to machine code: how this project asks numba for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function with numba when it is first called.

    It releases the interpreter's lock, so that ordinary threads run it side by side; numba's own
    threads end the process when two jobs meet in them, or after a fork. The machine code is kept
    for the next start where there is a folder for it.

    Parameters
    ----------
    function : callable
        Of arrays and numbers only.

    Returns
    -------
    callable
        The same, fast.
    """
    try:
        fast = njit(nogil=True, cache=True)(function)
    except RuntimeError:  # there is no folder to keep it in; it compiles anew at each start
        fast = njit(nogil=True)(function)
    return cast(F, fast)
