"""The job ``filter``: the rows of a table for which an expression is true."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.smlm.filter import Choice


class Filter(Job):
    """Keep the localizations of a table that fulfil a condition.

    The condition compares columns with numbers: uncertainty_xy_nm < 20 and photons > 300. Names are
    those of our tables or ThunderSTORM's (intensity); "and or not + - * /" and brackets may join
    them. A row without a value is never kept by a comparison of it.
    """

    label: ClassVar[str] = "ZooBridge Filter"
    command: ClassVar[tuple[str, ...]] = ("filter",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".csv"})

    table: Path
    """Localizations: a table of ThunderSTORM, Picasso, DECODE and others."""
    output: Path
    """Table to write (.csv or .hdf5)."""
    keep: str
    """Condition of the rows to keep, such as uncertainty_xy_nm < 20 and photons > 300."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a camera pixel in nm; 0 takes what the table's files say."""
    overwrite: bool = False
    """Replace a table that is there."""

    def run(self, progress: Progress) -> Result:
        """Read, choose and write."""
        import time

        from bridge.jobs.table_files import check_places, open_table, write_with_report
        from bridge.smlm.filter import choose_rows

        started = time.time()
        check_places(self.table, self.output, overwrite=self.overwrite)
        progress(0, 3, "reading the table")
        table = open_table(self.table, pixel_size_nm=self.pixel_size_nm)
        progress(1, 3, "choosing")
        choice = choose_rows(table, self.keep)
        figures = _figures(choice)
        if not choice.is_kept.any():
            return self._none_kept(choice, figures)
        kept = table[choice.is_kept].reset_index(drop=True)
        kept.attrs = dict(table.attrs)
        kept.attrs["history"] = [
            *table.attrs["history"],
            f"Filtered by {self.keep}: {len(kept):,} of {len(table):,} rows kept.",
        ]
        if len(kept) == len(table):
            doubt = f"The condition removed nothing: all {len(table):,} rows fulfil it."
            kept.attrs["warnings"] = [*table.attrs["warnings"], doubt]
        progress(2, 3, "writing")
        report = write_with_report(
            kept,
            self.table,
            self.output,
            started=started,
            settings={"keep": self.keep},
            figures=figures,
            overwrite=self.overwrite,
        )
        progress(3, 3, "done")
        outputs: dict[str, JsonValue] = {
            "table": str(self.output),
            **figures,
            "history": kept.attrs["history"],
        }
        summary = [
            f"{len(kept):,} of {len(table):,} rows kept ({len(kept) / len(table):.1%}).",
            f"Written: {self.output}",
        ]
        return Result(
            outputs=outputs,
            warnings=kept.attrs["warnings"],
            report=report,
            summary=summary,
            tables=[_as_table(choice)],
        )

    def _none_kept(self, choice: Choice, figures: dict[str, JsonValue]) -> Result:
        """Say what removed all, and write nothing."""
        from bridge.errors import TableError, VerdictError

        if not len(choice.is_kept):
            raise TableError(str(self.table), "it has no rows", "localizations", "")
        hardest = min(choice.parts, key=lambda part: part.n_kept)
        alone = [part.text for part in choice.parts if not part.n_kept]
        found = f"none of its {len(choice.is_kept):,} rows fulfils the condition"
        if alone:
            found += f", nor {' nor '.join(alone)} alone"
        elif len(choice.parts) > 1:
            found += f"; the part that fewest fulfil, {hardest.n_kept:,}, is {hardest.text}"
        error = VerdictError(
            str(self.table),
            found,
            "at least one row; nothing was written",
            "Loosen the condition, and check the units of the columns.",
        )
        return Result(outputs=figures, tables=[_as_table(choice)], error=error)


def _figures(choice: Choice) -> dict[str, JsonValue]:
    parts: list[JsonValue] = [
        {
            "part": part.text,
            "n_kept": part.n_kept,
            "n_removed": part.n_removed,
            "n_removed_only": part.n_removed_only,
        }
        for part in choice.parts
    ]
    return {
        "n_before": len(choice.is_kept),
        "n_kept": int(choice.is_kept.sum()),
        "columns": list(choice.columns),
        "parts": parts,
    }


def _as_table(choice: Choice) -> Table:
    rows = [
        [part.text, f"{part.n_kept:,}", f"{part.n_removed:,}", f"{part.n_removed_only:,}"]
        for part in choice.parts
    ]
    return Table(columns=["condition", "keeps", "removes", "removed by it alone"], rows=rows)
