"""The job ``convert``: tables of localizations of any program for ThunderSTORM and others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

_ENDINGS = {"auto": ".csv", "thunderstorm": ".csv", "picasso": ".hdf5", "decode": ".csv"}


class Convert(Job):
    """Convert tables of localizations, and check them against their movie.

    Reads what ThunderSTORM, Picasso, DECODE, SMAP, N-STORM, the SMLM challenge and the Deep-STORM
    notebook write. What a file does not say and is needed has to be given; nothing is guessed.
    """

    label: ClassVar[str] = "ZooBridge Convert"
    command: ClassVar[tuple[str, ...]] = ("convert",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".csv"})

    input: list[str]
    """Tables: CSV or other text, or HDF5."""
    output: Path
    """Table to write (.csv, .hdf5), or a folder for several."""
    format: Literal["auto", "thunderstorm", "picasso", "decode"] = "auto"
    """Whose table to write; auto goes by the ending, and is ThunderSTORM's in a folder."""
    read_as: Literal["auto", "thunderstorm", "picasso", "decode", "smap", "challenge", "nstorm"] = (
        "auto"
    )
    """Whose table the input is; auto tells by its content."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a camera pixel in nm; 0 takes what the files, or the movie, say."""
    photons_per_adu: Annotated[float, Field(ge=0)] = 0.0
    """Photons per camera count above the base level; 0 takes what the files say."""
    frame_base: Literal["auto", "0", "1"] = "auto"
    """Number of the first frame in the input; auto goes by its format."""
    origin_x_nm: float = 0.0
    """Left edge of the analysed region in the image, in nm; added to x."""
    origin_y_nm: float = 0.0
    """Upper edge of the analysed region in the image, in nm; added to y."""
    pixel_origin: Literal["auto", "corner", "centre"] = "auto"
    """Where coordinate 0 is in the first pixel; auto goes by the format."""
    swap_xy: bool = False
    """Exchange x and y."""
    stack: str = ""
    """Movie that the table was made from, to check that they fit; empty checks nothing."""
    overwrite: bool = False
    """Replace a table that is there."""

    def run(self, progress: Progress) -> Result:
        """Read, check and write every table."""
        from bridge.smlm.sniff import check_against_stack
        from bridge.smlm.summary import summarise
        from bridge.smlm.table import write_table

        pairs = _pair(self.input, self.output, self.format)
        rows: list[list[str]] = []
        done: list[dict[str, JsonValue]] = []
        warnings: list[str] = []
        summary: list[str] = []
        for number, (source, target) in enumerate(pairs):
            progress(number, len(pairs), source.name)
            table = self._read(source)
            about: dict[str, JsonValue] = {"table": str(target)}
            if self.stack:
                fit = check_against_stack(table, self.stack)
                about["correlation"] = round(fit.correlation, 4)
                summary.append(
                    f"{source.name} fits {self.stack}: correlation {fit.correlation:.2f}."
                )
            write_table(table, target, format=self.format, overwrite=self.overwrite)
            facts = summarise(table)
            about |= {
                "n_rows": facts.n_rows,
                "n_frames": facts.n_frames,
                "first_frame": facts.first_frame,
                "last_frame": facts.last_frame,
                "columns": list(table.columns),
                "pixel_size_nm": table.attrs["pixel_size_nm"],
                "history": list(table.attrs["history"]),
            }
            done.append(about)
            warnings += [f"{source.name}: {sentence}" for sentence in table.attrs["warnings"]]
            frames = f"{facts.first_frame}..{facts.last_frame}"
            rows.append([source.name, f"{facts.n_rows:,}", frames, _say(table)])
            summary += [f"{source.name}: {sentence}" for sentence in table.attrs["history"]]
            summary.append(f"Written: {target}")
        progress(len(pairs), len(pairs), "done")
        outputs: dict[str, JsonValue] = done[0] if len(done) == 1 else {"tables": [*done]}
        shown = Table(columns=["table", "rows", "frames", "columns"], rows=rows)
        return Result(outputs=outputs, warnings=warnings, summary=summary, tables=[shown])

    def _read(self, source: Path) -> pd.DataFrame:
        from bridge.smlm.table import read_table

        bases: dict[str, Literal["auto", 0, 1]] = {"auto": "auto", "0": 0, "1": 1}
        return read_table(
            source,
            pixel_size_nm=self.pixel_size_nm or self._movie_pixel_size(),
            photons_per_adu=self.photons_per_adu or None,
            frame_base=bases[self.frame_base],
            origin_x_nm=self.origin_x_nm,
            origin_y_nm=self.origin_y_nm,
            pixel_origin=self.pixel_origin,
            swap_xy=self.swap_xy,
            format=self.read_as,
        )

    def _movie_pixel_size(self) -> float | None:
        """Take the pixel size from the movie, if there is one that says it."""
        from bridge.images.read import open_image

        if not self.stack:
            return None
        size = open_image(self.stack).attrs["pixel_size_nm"].get("x")
        return float(size) if size else None


def _pair(inputs: list[str], output: Path, table_format: str) -> list[tuple[Path, Path]]:
    """Give each input the file it is converted to; several need a folder."""
    from bridge.errors import OutputError

    sources = [Path(path) for path in inputs]
    if len(sources) == 1 and not output.is_dir():
        return [(sources[0], output)]
    if output.suffix and not output.is_dir():
        raise OutputError(
            str(output),
            f"this is one file, and there are {len(sources)} tables",
            "a folder",
            "Give a folder, or convert them one by one.",
        )
    targets = [output / f"{source.stem}{_ENDINGS[table_format]}" for source in sources]
    for target in targets:
        if targets.count(target) > 1:
            raise OutputError(
                str(target),
                "more than one input would be written here",
                "inputs with different names",
                "Convert them into different folders.",
            )
    return list(zip(sources, targets, strict=True))


def _say(table: pd.DataFrame) -> str:
    """Name the columns, with the median of those that say how good the data are."""
    from bridge.smlm.summary import summarise

    medians = summarise(table).medians
    words = []
    for name in map(str, table.columns):
        value = medians.get(name, math.nan)
        words.append(name if math.isnan(value) else f"{name} (median {value:.4g})")
    return ", ".join(words)
