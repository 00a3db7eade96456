"""The job ``evaluate``: tables and images against the truth, and against themselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.jobs.evaluation_page import Findings

_SHOWN = (
    "jaccard",
    "chance_jaccard",
    "precision",
    "recall",
    "f1",
    "rmse_lateral_nm",
    "rmse_per_axis_nm",
    "rmse_axial_nm",
    "bias_x_nm",
    "bias_y_nm",
    "bias_z_nm",
    "efficiency",
    "efficiency_volume",
    "times_bound",
    "photons_ratio",
    "z_score_robust_sd_lateral",
    "nena_nm",
    "stated_uncertainty_nm",
    "subpixel_chi2",
    "subpixel_unevenness",
    "frc_nm",
    "rsp",
    "rse",
    "nmse",
    "correlation",
    "ssim",
)
"""What people are shown of the figures; the status has them all."""


class Evaluate(Job):
    """Measure how good a table of localizations, or a super-resolved image, is.

    With a truth: Jaccard index, precision, recall, errors, efficiency and what chance would give,
    by the rules of the SMLM challenge. Without one: precision (NeNA), pixel-locking, resolution
    (Fourier ring correlation), and agreement of an image with the widefield image (SQUIRREL). The
    report is one HTML page.
    """

    label: ClassVar[str] = "ZooBridge Evaluate"
    command: ClassVar[tuple[str, ...]] = ("evaluate",)

    table: str = ""
    """Table of localizations to judge."""
    truth: str = ""
    """Table of the true emitters, one row for each frame in which one shines."""
    image: str = ""
    """Super-resolved image to judge; frames are averaged."""
    widefield: str = ""
    """Widefield image of the same field, or the movie itself, which is averaged."""
    reference: str = ""
    """True image, on the pixels of the judged one."""
    output: str = ""
    """Page to write (.html); empty writes none."""
    tolerance_nm: Annotated[float, Field(gt=0, le=100_000)] = 250.0
    """Largest lateral distance of detection and emitter, in nm."""
    tolerance_axial_nm: Annotated[float, Field(gt=0, le=100_000)] = 500.0
    """Largest distance along z, in nm, where both tables have z."""
    matching: Literal["greedy", "optimal", "stable"] = "greedy"
    """Greedy: SMLM challenge and DECODE; stable: ThunderSTORM; optimal: as many as possible."""
    border_nm: Annotated[float, Field(ge=0, le=1e9)] = 450.0
    """Width of the rim that is left out, in nm."""
    field_width_nm: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Width of the field in nm; left out, the images or the outermost emitter say it."""
    field_height_nm: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Height of the field, in nm."""
    photon_quantile: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the emitters, the dimmest, that doesn't count (challenge: 0.25)."""
    pixel_size_nm: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Edge of a camera pixel in nm; left out, the tables say it."""
    frc_pixel_nm: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Edge of a pixel for the ring correlation in nm; left out, 5 or what the field allows."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the chance level and of the halves for the ring correlation."""
    overwrite: bool = False
    """Replace a page that is there."""

    def run(self, progress: Progress) -> Result:
        """Read, measure, and write the page."""
        from bridge.jobs.evaluation_page import Findings, say_result, write_findings
        from bridge.quality.report import check_page

        self._check()
        if self.output:
            check_page(self.output, overwrite=self.overwrite)
        findings = Findings()
        progress(0, 4, "images")
        self._judge_image(findings)
        progress(1, 4, "tables")
        if self.table:
            self._judge_table(findings, progress)
        progress(3, 4, "page")
        report = None
        if self.output:
            report = str(write_findings(self.output, findings, overwrite=self.overwrite))
        progress(4, 4, "done")
        figures = findings.figures()
        outputs: dict[str, JsonValue] = {**figures}
        summary = say_result(findings)
        if report is not None:
            outputs["page"] = report
            summary.append(f"Look at {report}.")
        rows = [
            [name, f"{figures[name]:.4g}"]
            for name in _SHOWN
            if name in figures and not math.isnan(figures[name])
        ]
        shown = Table(columns=["figure", "value"], rows=rows)
        return Result(
            outputs=outputs,
            warnings=findings.warnings,
            report=report,
            summary=summary,
            tables=[shown],
        )

    def _check(self) -> None:
        """Refuse combinations that mean nothing."""
        from bridge.errors import InputError

        what = "zoobridge evaluate"
        remedy = f"See {what} --help."
        if not self.table and not self.image:
            raise InputError(what, "there is nothing to judge", "a table or an image", remedy)
        for name, needed in (("truth", "table"), ("widefield", "image"), ("reference", "image")):
            if getattr(self, name) and not getattr(self, needed):
                raise InputError(
                    what, f"there is a {name} and no {needed}", f"the {needed} to judge", remedy
                )
        if (self.field_width_nm is None) != (self.field_height_nm is None):
            raise InputError(what, "only one length of the field is given", "both or none", remedy)

    def _judge_image(self, findings: Findings) -> None:
        from bridge.jobs.evaluation_page import mean_plane
        from bridge.quality import metrics
        from bridge.quality.consistency import compare_with_widefield
        from bridge.quality.structure import structural_similarity

        if not self.image:
            return
        image = findings.image = mean_plane(self.image)
        if self.widefield:
            widefield = findings.widefield = mean_plane(self.widefield)
            findings.consistency = compare_with_widefield(image, widefield)
        if self.reference:
            reference = findings.reference = mean_plane(self.reference)
            scaled = metrics.scale_to(image, reference)  # an image may have units of its own
            reach = float(reference.max() - reference.min())
            findings.likeness = {
                "nmse": metrics.normalised_square_error(image, reference),
                "correlation": metrics.pearson(image, reference),
                "range_invariant_psnr_db": metrics.range_invariant_psnr(image, reference),
                "ssim": structural_similarity(scaled, reference, data_range=reach),
            }

    def _judge_table(self, findings: Findings, progress: Progress) -> None:
        from bridge.errors import TableError
        from bridge.jobs.evaluation_page import choose_frc_pixel
        from bridge.quality.resolution import measure_table
        from bridge.smlm.diagnostics import check_itself
        from bridge.smlm.evaluate import evaluate
        from bridge.smlm.table import read_table

        table = findings.table = read_table(self.table, pixel_size_nm=self.pixel_size_nm)
        findings.warnings += table.attrs.get("warnings", [])
        findings.itself = check_itself(table, pixel_size_nm=table.attrs["pixel_size_nm"])
        if self.truth:
            truth = findings.truth = read_table(self.truth, pixel_size_nm=self.pixel_size_nm)
            findings.warnings += truth.attrs.get("warnings", [])
            findings.evaluation = evaluate(
                table,
                truth,
                tolerance_nm=self.tolerance_nm,
                tolerance_axial_nm=self.tolerance_axial_nm,
                matching=self.matching,
                border_nm=self.border_nm,
                field_nm=self._field(findings),
                photon_quantile=self.photon_quantile,
                pixel_size_nm=self.pixel_size_nm,
                seed=self.seed,
            )
            findings.warnings += findings.evaluation.warnings
        progress(2, 4, "resolution")
        try:
            findings.resolution = measure_table(
                table, pixel_size_nm=self.frc_pixel_nm or choose_frc_pixel(table), seed=self.seed
            )
        except TableError as error:
            if self.frc_pixel_nm is not None or not self.truth:
                raise
            findings.warnings.append(f"No ring correlation was measured: {error}")

    def _field(self, findings: Findings) -> tuple[float, float] | None:
        """Give the size of the field as asked for, or as an image of it says."""
        if self.field_width_nm is not None and self.field_height_nm is not None:
            return self.field_width_nm, self.field_height_nm
        for image in (findings.widefield, findings.image):
            size = {} if image is None else image.attrs.get("pixel_size_nm") or {}
            if image is not None and {"y", "x"} <= set(size):
                return image.sizes["x"] * size["x"], image.sizes["y"] * size["y"]
        return None
