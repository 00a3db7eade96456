r"""The JSON status: how every job ends for a program that asked for it.

One line of ASCII (Java reads a process in the platform's own encoding, so other letters are
``\u`` escapes), the last on standard output::

    {"zoobridge":1,"ok":true,"job":"predict","outputs":{"images":["a.tif"]},"warnings":[],
     "seconds":1.2,"report":null}
    {"zoobridge":1,"ok":false,"job":"predict","error":{"kind":"ImageError","what":"a.tif",
     "found":"...","expected":"...","remedy":"..."},"warnings":[],"seconds":0.1}

A job that failed and has results all the same (see :class:`bridge.jobs.base.Result`) gives
``error`` together with ``outputs`` and ``report``. ``job`` is ``null`` where the command isn't
known. Numbers that JSON has no word for (NaN, infinity) are ``null``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from bridge.jobs.base import Result

VERSION: Final = 1
"""Version of the status line, its ``zoobridge`` value."""


def succeeded(job: str, result: Result, *, warnings: Sequence[str], seconds: float) -> str:
    """Write the status of a job that gave a result.

    Parameters
    ----------
    job : str
        Command words of the job.
    result : Result
        What it gave; with ``result.error`` set, the status is a failure with outputs.
    warnings : sequence of str
        All warnings, those of the result among them.
    seconds : float
        Time it took.

    Returns
    -------
    str
        One line of JSON.
    """
    status: dict[str, JsonValue] = {
        "zoobridge": VERSION,
        "ok": result.error is None,
        "job": job,
        "outputs": result.outputs,
        "warnings": list(warnings),
        "seconds": round(seconds, 3),
        "report": result.report,
    }
    if result.error is not None:
        status["error"] = dict(result.error.as_dict())
    return _line(status)


def failed(
    job: str | None, error: Mapping[str, str], *, warnings: Sequence[str], seconds: float
) -> str:
    """Write the status of a job that gave nothing.

    Parameters
    ----------
    job : str or None
        Command words of the job; ``None`` where the command isn't known.
    error : mapping
        ``kind``, ``what``, ``found``, ``expected`` and ``remedy``.
    warnings : sequence of str
        Warnings up to then.
    seconds : float
        Time it took.

    Returns
    -------
    str
        One line of JSON.
    """
    return _line(
        {
            "zoobridge": VERSION,
            "ok": False,
            "job": job,
            "error": dict(error),
            "warnings": list(warnings),
            "seconds": round(seconds, 3),
        }
    )


def _line(status: dict[str, JsonValue]) -> str:
    return json.dumps(finite(status), separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def finite(value: JsonValue) -> JsonValue:
    """Put ``None`` where a number is NaN or infinite, for which JSON has no word."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
