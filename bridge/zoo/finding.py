"""What a check of a package found: one sentence with its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    level: Literal["error", "warning", "ok"]
    """``error``: it does not work as it should; ``warning``: somebody will trip over it."""
    area: str
    """What was looked at, such as ``weights`` or ``deepImageJ``."""
    sentence: str
    """What was found, and what to do."""


def or_ok(findings: list[Finding], area: str, sentence: str) -> list[Finding]:
    """Give ``findings``, or a single ``ok`` with ``sentence`` where there are none."""
    return findings or [Finding("ok", area, sentence)]
