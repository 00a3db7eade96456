"""Why a network's output is black or poor: code, model or input, and what to do.

A *cause* can explain a poor output; a *symptom* (8, 10, 13) says that it is poor. An input that is
merely dim counts as the cause only where a second pass, with the input stretched, comes out better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bridge.quality.diagnosis_checks import CHECKS, LEAST_R, Row
from bridge.quality.diagnosis_evidence import Evidence

_SYMPTOMS: Final = (8, 10, 13)
_RESCUED_BY_STRETCH: Final = (4, 5, 7)


@dataclass(frozen=True)
class Diagnosis:
    """All rows, and which of them it is."""

    rows: tuple[Row, ...]
    """In the order of the causes."""
    culprit: Row | None
    """The cause; None where nothing is wrong."""

    @property
    def sentence(self) -> str:
        """Say in one sentence where it lies and what to do."""
        if self.culprit is None:
            shown = next(row for row in self.rows if row.number == 11)
            display = f" {shown.remedy}" if shown.status == "note" else ""
            doubts = [row for row in self.rows if row.status == "doubtful"]
            if not doubts:
                return f"Nothing is wrong with package, model or input.{display}"
            said = " ".join(f"{row.cause}: {row.found} {row.remedy}".strip() for row in doubts)
            return (
                f"Nothing is plainly wrong with package, model or input. Doubtful: {said}{display}"
            )
        where = {
            "code": "the code (package, weights or conversion)",
            "model": "the model itself",
            "input": "the input",
        }[self.culprit.blame]
        return (
            f"It is {where}: {self.culprit.cause}. {self.culprit.found} {self.culprit.remedy}"
        ).strip()


def diagnose(evidence: Evidence) -> Diagnosis:
    """Go through all causes in order, and name the one that explains the output.

    Parameters
    ----------
    evidence : Evidence
        What was gathered.

    Returns
    -------
    Diagnosis
    """
    rows = tuple(check(evidence) for check in CHECKS)
    poor = [row for row in rows if row.status == "bad"]
    if not poor:
        return Diagnosis(rows, None)
    causes = [row for row in poor if row.number not in _SYMPTOMS]
    if causes:
        return Diagnosis(rows, causes[0])
    symptom = poor[0]
    doubts = [row for row in rows if row.status == "doubtful"]
    # What a stretch heals comes first: a dim image also makes norms look odd.
    if _is_rescued(evidence, rows):
        doubts.sort(key=lambda row: row.number not in _RESCUED_BY_STRETCH)
    else:
        doubts = [row for row in doubts if row.number not in _RESCUED_BY_STRETCH]
    if symptom.number != 13:  # an empty output is no matter of pixel size or sharpness
        doubts = [row for row in doubts if row.number < 13]
    return Diagnosis(rows, doubts[0] if doubts else symptom)


def _is_rescued(evidence: Evidence, rows: Sequence[Row]) -> bool:
    r = next(row for row in rows if row.number == 13).figures.get("r", float("nan"))
    before = r if np.isfinite(r) else 0.0
    return evidence.rescued_r >= min(LEAST_R, before + 0.1) and evidence.rescued_r > before
