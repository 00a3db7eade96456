"""Why a network's output is black or poor: code, model or input, and what to do.

A *cause* can explain a poor output; a *symptom* (8, 10, 13) says that it is poor. An input that is
merely dim counts as the cause only where a second pass, with the input stretched, comes out better.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.quality.diagnosis_checks import BLACK_P99, CHECKS, LEAST_R, Row
from bridge.quality.diagnosis_evidence import Evidence, likeness

_LEAST_R_MU: Final = 0.4
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
            return f"Nothing is wrong with package, model or input.{display}"
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


def require_mu_srm(mu_srm: NDArray[Any], wf: NDArray[Any] | None = None) -> None:
    """Refuse a black MU-SRM before X-Net sees it; X-Net's own output wouldn't show it.

    Parameters
    ----------
    mu_srm : ndarray, (..., y, x)
        UR-Net-8's output: floats of 0 .. 1, or 8 bits.
    wf : ndarray, (..., y, x), optional
        The widefield image it was made of.

    Raises
    ------
    ImageError
        It is black (99th percentile below 10 of 255), or unlike its widefield image (r < 0.4).
    """
    top = 255.0 if mu_srm.dtype.kind in "ui" else 1.0
    values = np.asarray(mu_srm, np.float64).reshape(-1, *mu_srm.shape[-2:]).mean(axis=0) / top
    p99 = float(np.percentile(values, 99))
    remedy = "Run 'zoobridge explain' on UR-Net-8 and this widefield image."
    if not p99 >= BLACK_P99:
        found = f"is black: its 99th percentile is {255 * p99:.1f} of 255"
        expected = "at least 10; X-Net's output would be bright and wrong"
        raise ImageError("MU-SRM", found, expected, remedy)
    if wf is None:
        return
    r = likeness(values.astype(np.float32), wf.reshape(-1, *wf.shape[-2:]).mean(axis=0))
    if not r >= _LEAST_R_MU:
        found = f"doesn't show what its widefield image shows (r = {r:.2f})"
        raise ImageError("MU-SRM", found, f"r of at least {_LEAST_R_MU}", remedy)
