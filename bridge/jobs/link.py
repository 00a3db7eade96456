"""The job ``link``: emitters that shine for several frames become one row each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from bridge.smlm.link import Linked

_OVERCONFIDENT = 1.4
_MOST_SHOWN = 5


class Link(Job):
    """Merge the rows of emitters that shine for several frames.

    Rows at the same place in frames that follow each other become one, its place weighted by
    1 / uncertainty^2, with the uncertainty that this gives; photons are summed, the first frame
    stays, and a column says how many detections a row has.
    """

    label: ClassVar[str] = "ZooBridge Link"
    command: ClassVar[tuple[str, ...]] = ("link",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".csv"})

    table: Path
    """Localizations: a table of ThunderSTORM, Picasso, DECODE and others."""
    output: Path
    """Table to write (.csv or .hdf5)."""
    distance_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Largest distance in nm; 0 takes 4 times the combined uncertainty of two rows."""
    gap_frames: Annotated[int, Field(ge=0, le=1000)] = 1
    """Dark frames allowed between two detections of an emitter."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a camera pixel in nm; 0 takes what the table's files say."""
    overwrite: bool = False
    """Replace a table that is there."""

    def run(self, progress: Progress) -> Result:
        """Read, link, merge and write."""
        import time

        from bridge.jobs.table_files import check_places, open_table, write_with_report
        from bridge.smlm.link import link_frames

        started = time.time()
        check_places(self.table, self.output, overwrite=self.overwrite)
        progress(0, 1, "reading the table")
        table = open_table(self.table, pixel_size_nm=self.pixel_size_nm)
        linked = link_frames(
            table,
            distance_nm=self.distance_nm or None,
            gap_frames=self.gap_frames,
            progress=progress,
        )
        merged = linked.table
        merged.attrs["warnings"] = [*merged.attrs["warnings"], *_doubts(linked, len(table))]
        figures = _figures(linked, len(table))
        report = write_with_report(
            merged,
            self.table,
            self.output,
            started=started,
            settings={"distance_nm": self.distance_nm, "gap_frames": self.gap_frames},
            figures=figures,
            overwrite=self.overwrite,
        )
        outputs: dict[str, JsonValue] = {
            "table": str(self.output),
            **figures,
            "history": merged.attrs["history"],
        }
        return Result(
            outputs=outputs,
            warnings=merged.attrs["warnings"],
            report=report,
            summary=[*_say(linked, len(table)), f"Written: {self.output}"],
            tables=[_as_table(merged)],
        )


def _doubts(linked: Linked, n_rows: int) -> list[str]:
    doubts = []
    if len(linked.table) == n_rows:
        doubts.append("No two rows were linked: either no emitter shone on, or all are too far.")
    if linked.scatter_ratio > _OVERCONFIDENT:
        doubts.append(
            f"Linked rows lie {linked.scatter_ratio:.1f} times as far apart as their uncertainties "
            "say, so these are too small, and the merged ones as well; a larger distance_nm may "
            "link more."
        )
    return doubts


def _figures(linked: Linked, n_rows: int) -> dict[str, JsonValue]:
    merged = linked.table
    figures: dict[str, JsonValue] = {
        "n_before": n_rows,
        "n_linked": len(merged),
        "detections_mean": n_rows / len(merged),
        "detections_most": int(merged["detections"].max()),
        "largest_distance_nm": linked.distance_nm,
        "distance_from": linked.distance_from,
        "scatter_over_uncertainty": linked.scatter_ratio,
    }
    for name in ("photons", "uncertainty_xy_nm"):
        if name in merged:
            figures[f"{name}_median"] = float(merged[name].median())
    return figures


def _say(linked: Linked, n_rows: int) -> list[str]:
    said = [
        f"{n_rows:,} rows became {len(linked.table):,}: at most {linked.distance_nm:.3g} nm apart "
        f"({linked.distance_from}), at most {linked.gap_frames} dark frames between."
    ]
    if not math.isnan(linked.scatter_ratio):
        said.append(
            f"Linked rows lie {linked.scatter_ratio:.2f} times as far apart as their uncertainties "
            "say (1 where these are honest)."
        )
    return said


def _as_table(merged: pd.DataFrame) -> Table:
    """Count rows by their detections."""
    found = merged["detections"]
    names = [str(n) for n in range(1, _MOST_SHOWN)] + [f"{_MOST_SHOWN} or more"]
    counts = [int((found == n).sum()) for n in range(1, _MOST_SHOWN)]
    counts.append(int((found >= _MOST_SHOWN).sum()))
    rows = [[name, f"{count:,}"] for name, count in zip(names, counts, strict=True)]
    return Table(columns=["detections", "rows"], rows=rows)
