"""The job ``explain``: why a model's output is black or poor."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import JsonValue

from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    import xarray as xr

    from bridge.quality.diagnosis import Diagnosis
    from bridge.quality.diagnosis_gather import Gathered
    from bridge.zoo.package import Package


class Explain(Job):
    """Say why a model's output on an image is black or poor, and what to do.

    The image is run once, and the network is watched while it runs: values that are no numbers,
    norms and weights, the input's range, bit depth, pixel size and sharpness against the model's
    test image, what the last ReLU cuts off, how the output was saved, and whether it shows what the
    input shows. It ends in one sentence: the code, the model or the input.
    """

    label: ClassVar[str] = "ZooBridge Explain"
    command: ClassVar[tuple[str, ...]] = ("explain",)
    positional: ClassVar[tuple[str, ...]] = ("image",)

    image: str
    """Image that came out badly, as it was given to the model."""
    model: str
    """Folder, zip, rdf.yaml or installed name of the model's package."""
    second: str = ""
    """Second image, for a model of two inputs: X-Net's MU-SRM."""
    saved: str = ""
    """What was saved of the output, by any program; empty looks at the model's own."""
    result: str = ""
    """Output to judge, by its name; empty takes the fused or first one."""
    output: str = ""
    """Folder for page.html, report.json and summary.txt; empty writes none."""
    repair: bool = False
    """Write a repaired package into the folder, where running statistics of norms decayed."""
    trust: bool = False
    """Let the package run code of its own (remembered for this content)."""
    overwrite: bool = False
    """Replace files that are there."""

    def run(self, progress: Progress) -> Result:
        """Run the image once, watch, and say what was seen."""
        from bridge.images.read import open_image
        from bridge.quality.diagnosis import diagnose
        from bridge.quality.diagnosis_gather import gather
        from bridge.quality.report import check_page
        from bridge.zoo.package import open_package

        folder = self._check()
        if folder is not None:
            check_page(str(folder / "page.html"), overwrite=self.overwrite)
        progress(0, 3, "opening")
        package = open_package(self.model)
        images = self._read_images(package)
        saved = open_image(self.saved).values if self.saved else None
        progress(1, 3, "watching the network run")
        gathered = gather(package, images, trust=self.trust, saved=saved, result=self.result)
        diagnosis = diagnose(gathered.evidence)
        progress(2, 3, "writing")
        outputs = self._outputs(package, gathered, diagnosis)
        summary = [diagnosis.sentence]
        report = None
        if folder is not None:
            if self.repair:
                repaired = self._repair(package, folder)
                outputs["repaired"] = str(repaired)
                summary.append(f"The repaired package is {repaired}.")
            report = self._write(folder, outputs, gathered, diagnosis, summary)
            outputs["page"] = str(folder / "page.html")
            summary.append(f"Look at {folder / 'page.html'}.")
        progress(3, 3, "done")
        rows = [[str(r.number), r.cause, r.status, r.found] for r in diagnosis.rows]
        return Result(
            outputs=outputs,
            warnings=list(gathered.notes),
            report=report,
            summary=summary,
            tables=[Table(columns=["", "cause", "", "found"], rows=rows)],
        )

    def _check(self) -> Path | None:
        from bridge.errors import InputError, OutputError

        if self.repair and not self.output:
            found = "a repair was asked for, and no folder for it"
            raise InputError("output", found, "a folder", "Give --output FOLDER.")
        if not self.output:
            return None
        folder = Path(self.output)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            found = f"cannot be made: {error.strerror or error}"
            raise OutputError(str(folder), found, "a folder", "Choose another place.") from error
        return folder

    def _read_images(self, package: Package) -> dict[str, xr.DataArray]:
        from bridge.errors import InputError
        from bridge.images.read import open_image
        from bridge.runtime.noise import given_inputs

        names = given_inputs(package.description)
        paths = [self.image, *([self.second] if self.second else [])]
        if len(paths) != len(names):
            found = f"{len(paths)} image(s) given"
            expected = f"{len(names)}, for {', '.join(names)}"
            raise InputError(self.model, found, expected, "Give the second one as --second FILE.")
        return {name: open_image(path) for name, path in zip(names, paths, strict=True)}

    def _outputs(
        self, package: Package, gathered: Gathered, diagnosis: Diagnosis
    ) -> dict[str, JsonValue]:
        evidence, culprit = gathered.evidence, diagnosis.culprit
        outputs: dict[str, Any] = {
            "verdict": diagnosis.sentence,
            "is_healthy": culprit is None,
            "blame": culprit.blame if culprit is not None else "",
            "cause": culprit.cause if culprit is not None else "",
            "cause_number": culprit.number if culprit is not None else 0,
            "weights": gathered.weights_format,
            "package_sha256": package.sha256,
            "input_min": float(evidence.ready.min()),
            "input_max": float(evidence.ready.max()),
            "rows": [
                {
                    "number": row.number,
                    "cause": row.cause,
                    "status": row.status,
                    "found": row.found,
                    "remedy": row.remedy if row.status in ("bad", "doubtful", "note") else "",
                    **{name: _plain(value) for name, value in row.figures.items()},
                }
                for row in diagnosis.rows
            ],
        }
        if evidence.before is not None:
            before = evidence.before
            outputs["before_relu_min"] = float(before.min())
            outputs["before_relu_max"] = float(before.max())
            outputs["before_relu_cut_share"] = float((before <= 0).mean())
        return outputs

    def _repair(self, package: Package, folder: Path) -> Path:
        from bridge.jobs.norm_repair import write_repaired

        return write_repaired(
            package, folder / "repaired", trust=self.trust, overwrite=self.overwrite
        )

    def _write(
        self,
        folder: Path,
        outputs: dict[str, JsonValue],
        gathered: Gathered,
        diagnosis: Diagnosis,
        summary: list[str],
    ) -> str:
        from bridge.jobs.explain_page import write_explanation

        name = Path(self.image).name
        write_explanation(
            folder / "page.html", name, self.model, gathered, diagnosis, overwrite=self.overwrite
        )
        lines = [*summary, ""]
        lines += [f"{r.number:2d}  {r.status:8s}  {r.cause}: {r.found}" for r in diagnosis.rows]
        lines += ["", *gathered.notes]
        _write_text(folder / "summary.txt", "\n".join(lines).rstrip() + "\n")
        report = {"image": self.image, "model": self.model, **outputs, "notes": gathered.notes}
        _write_text(folder / "report.json", json.dumps(report, indent=1) + "\n")
        return str(folder / "report.json")


def _plain(value: float) -> float | None:
    """Give a number as JSON knows it."""
    return float(value) if math.isfinite(value) else None


def _write_text(path: Path, text: str) -> None:
    from bridge.errors import OutputError

    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        found = f"writing failed: {error.strerror or error}"
        raise OutputError(str(path), found, "", "Choose another folder.") from error
