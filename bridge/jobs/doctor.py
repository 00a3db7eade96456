"""What works on this machine, step by step, each step really tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import JsonValue

from bridge.errors import RunError
from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.jobs.examination import Step


class Doctor(Job):
    """Say what works here, and what to do about what doesn't."""

    label: ClassVar[str] = "ZooBridge Doctor"
    command: ClassVar[tuple[str, ...]] = ("doctor",)

    def run(self, progress: Progress) -> Result:
        """Try every part; a required part that fails makes the job fail."""
        from bridge.jobs.examination import STEPS

        return examined(STEPS, progress, "All that zoobridge needs works here.")


def examined(steps: Sequence[Step], progress: Progress, all_well: str) -> Result:
    """Take steps one after the other, and tell what they found.

    Parameters
    ----------
    steps : sequence of Step
        The steps.
    progress : Progress
        Told of every step.
    all_well : str
        Sentence for when no required part failed.

    Returns
    -------
    Result
        A table for people, ``checks`` for programs, and an error where a required part failed.
    """
    from bridge.jobs.examination import examine

    findings = []
    for number, step in enumerate(steps):
        progress(number, len(steps), step.name)
        findings += examine(step)
    progress(len(steps), len(steps), "done")
    rows = [[f.level, f.part, f"{f.found}. {f.remedy}".strip()] for f in findings]
    listed: list[JsonValue] = [
        {"level": f.level, "part": f.part, "found": f.found, "remedy": f.remedy} for f in findings
    ]
    failures = [f for f in findings if f.level == "fail"]
    error = None
    if failures:
        first = failures[0]
        parts = ", ".join(f.part for f in failures)
        error = RunError(parts, first.found, "all required parts to work", first.remedy)
    return Result(
        outputs={"checks": listed},
        tables=[Table(columns=["state", "part", "found"], rows=rows)],
        summary=[] if error else [all_well],
        error=error,
    )
