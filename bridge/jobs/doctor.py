"""What works on this machine, step by step, each step really tried."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from bridge.errors import RunError
from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress


class Doctor(Job):
    """Say what works here, and what to do about what doesn't."""

    label: ClassVar[str] = "ZooBridge Doctor"
    command: ClassVar[tuple[str, ...]] = ("doctor",)

    def run(self, progress: Progress) -> Result:
        """Try every part; a required part that fails makes the job fail."""
        from bridge.jobs.examination import STEPS, examine

        findings = []
        for number, step in enumerate(STEPS):
            progress(number, len(STEPS), step.name)
            findings += examine(step)
        progress(len(STEPS), len(STEPS), "done")
        rows = [[f.level, f.part, f"{f.found}. {f.remedy}".strip()] for f in findings]
        listed: list[JsonValue] = [
            {"level": f.level, "part": f.part, "found": f.found, "remedy": f.remedy}
            for f in findings
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
            summary=[] if error else ["All that zoobridge needs works here."],
            error=error,
        )
