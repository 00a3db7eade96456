"""The job ``drift``: a table without the drift of its sample."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from bridge.smlm.drift import Drift as Course

_CONTRADICTING = 0.25


class Drift(Job):
    """Find the drift of a table of localizations, and subtract it.

    Redundant cross-correlation of segments of frames; needs a structure that localizations sample
    again and again, no markers. Beside the table it leaves the drift of every frame (.drift.csv)
    and a picture (.drift.png).
    """

    label: ClassVar[str] = "ZooBridge Drift"
    command: ClassVar[tuple[str, ...]] = ("drift",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".csv"})

    table: Path
    """Localizations: a table of ThunderSTORM, Picasso, DECODE and others."""
    output: Path
    """Table to write (.csv or .hdf5)."""
    segment_frames: Annotated[int, Field(ge=0)] = 0
    """Frames in a segment; 0 chooses, so that there are 10 to 30 segments, or fewer if needed."""
    max_drift_nm: Annotated[float, Field(gt=0, le=100_000)] = 1000.0
    """Largest drift between any two segments along an axis, in nm."""
    render_pixel_nm: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Edge of a pixel of the correlated images in nm; 0 takes 20, more for large fields."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a camera pixel in nm; 0 takes what the table's files say."""
    overwrite: bool = False
    """Replace files that are there."""

    def run(self, progress: Progress) -> Result:
        """Read, measure, subtract, and write table, drift and picture."""
        import time

        from bridge.jobs.table_files import check_places, open_table, write_with_report
        from bridge.smlm.drift import measure_drift, subtract_drift

        started = time.time()
        beside = [self.output.with_suffix(ending) for ending in (".drift.csv", ".drift.png")]
        check_places(self.table, self.output, *beside, overwrite=self.overwrite)
        progress(0, 1, "reading the table")
        table = open_table(self.table, pixel_size_nm=self.pixel_size_nm)
        drift = measure_drift(
            table,
            segment_frames=self.segment_frames or None,
            max_drift_nm=self.max_drift_nm,
            render_pixel_nm=self.render_pixel_nm or None,
            progress=progress,
        )
        corrected = subtract_drift(table, drift)
        figures = _figures(drift, table, corrected)
        doubts = list(_doubts(drift, corrected, figures, self.max_drift_nm))
        corrected.attrs["warnings"] = [*table.attrs["warnings"], *doubts]
        _write_course(beside[0], drift, overwrite=self.overwrite)
        _write_picture(beside[1], drift, table, corrected, overwrite=self.overwrite)
        report = write_with_report(
            corrected,
            self.table,
            self.output,
            started=started,
            settings=self.model_dump(
                mode="json", include={"segment_frames", "max_drift_nm", "render_pixel_nm"}
            ),
            figures=figures,
            overwrite=self.overwrite,
        )
        outputs: dict[str, JsonValue] = {
            "table": str(self.output),
            "drift": str(beside[0]),
            "picture": str(beside[1]),
            "n_rows": len(corrected),
            **figures,
            "history": corrected.attrs["history"],
        }
        summary = [*_say(drift, figures), f"Written: {self.output}", f"Look at {beside[1]}"]
        return Result(
            outputs=outputs, warnings=corrected.attrs["warnings"], report=report, summary=summary
        )


def _figures(
    drift: Course, before: pd.DataFrame, after: pd.DataFrame
) -> dict[str, float | int | None]:
    from bridge.smlm.drift_figures import sharpness

    sharp = [sharpness(table, pixel_size_nm=drift.render_pixel_nm) for table in (before, after)]
    across, down = drift.range_nm
    return {
        "drift_x_nm": across,
        "drift_y_nm": down,
        "n_segments": drift.n_segments,
        "n_segments_left_out": drift.n_segments - len(drift.knot_frame),
        "frames_per_segment": drift.segment_frames,
        "n_pairs": drift.n_pairs,
        "n_contradicting": drift.n_contradicting,
        "residual_nm": drift.residual_nm,
        "correlated_pixel_nm": drift.render_pixel_nm,
        "sharpness_ratio": sharp[1] / sharp[0],
    }


def _doubts(
    drift: Course,
    table: pd.DataFrame,
    figures: Mapping[str, float | int | None],
    max_drift_nm: float,
) -> list[str]:
    doubts = []
    n_lost = drift.n_segments - len(drift.knot_frame)
    if n_lost:
        doubts.append(
            f"{n_lost} of {drift.n_segments} segments don't fit the others and were left out; the "
            "drift of their frames is drawn through."
        )
    if drift.n_contradicting > _CONTRADICTING * drift.n_pairs:
        doubts.append(
            f"{drift.n_contradicting} of {drift.n_pairs} pairs of segments contradict the others "
            "and were left out; longer segments may agree better."
        )
    ratio = figures["sharpness_ratio"]
    if ratio is not None and ratio < 1:
        doubts.append(
            f"The table isn't sharper than before (ratio {ratio:.3f}): there was little drift, or "
            "it wasn't found."
        )
    if drift.residual_nm > 0.25 * drift.render_pixel_nm:
        doubts.append(
            f"Pairs of segments agree within {drift.residual_nm:.0f} nm only, so the drift is no "
            "better known than that: look at the picture, and try longer segments."
        )
    if max(drift.range_nm) > 0.8 * max_drift_nm:
        doubts.append(
            f"The drift comes close to the largest that was looked for, {max_drift_nm:g} nm: give "
            "a larger max_drift_nm and compare."
        )
    if "z_nm" in table:
        doubts.append("Drift along z was neither measured nor corrected.")
    return doubts


def _say(drift: Course, figures: Mapping[str, float | int | None]) -> list[str]:
    across, down = drift.range_nm
    return [
        f"The sample drifted over {across:.0f} nm in x and {down:.0f} nm in y, by "
        f"{drift.n_segments} segments of {drift.segment_frames:.0f} frames; of "
        f"{drift.n_pairs} pairs {drift.n_contradicting} contradict, the others agree within "
        f"{drift.residual_nm:.1f} nm.",
        f"Localizations gather {figures['sharpness_ratio']:.2f} times as densely as before (pixels "
        f"of {drift.render_pixel_nm:g} nm).",
    ]


def _write_course(path: Path, drift: Course, *, overwrite: bool) -> None:
    import pandas as pd

    from bridge.smlm.table_out import new_file

    course = pd.DataFrame({"frame": drift.frame, "dx_nm": drift.dx_nm, "dy_nm": drift.dy_nm})
    with new_file(path, overwrite=overwrite) as part:
        course.to_csv(part, index=False, float_format="%.4f", lineterminator="\n")


def _write_picture(
    path: Path, drift: Course, before: pd.DataFrame, after: pd.DataFrame, *, overwrite: bool
) -> None:
    from bridge.quality.report import draw_picture
    from bridge.smlm.drift_figures import draw_drift
    from bridge.smlm.table_out import new_file

    picture = draw_picture(
        draw_drift(drift, before, after), "Drift, and the table before and after"
    )
    with new_file(path, overwrite=overwrite) as part:
        part.write_bytes(picture.png)
