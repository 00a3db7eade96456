"""The job ``localize``: a list of emitters from a movie, by a model of coordinates or heatmaps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from bridge.jobs.base import ImageJob, OnImage, OpenImage, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    import xarray as xr

    from bridge.runtime.predict import Predictor
    from bridge.runtime.ready import ReadyModels
    from bridge.smlm.camera import Scaling
    from bridge.smlm.localize_movie import LocalizedFile
    from bridge.smlm.protocol import Protocol
    from bridge.zoo.package import Package

_SHOWN = (
    "density_per_um2",
    "median_photons",
    "median_uncertainty_nm",
    "subpixel_unevenness",
    "nena_nm",
)
"""Figures that are in the status besides the report."""


class Localize(ImageJob):
    """Localize the emitters of a movie with a model of coordinates or of heatmaps.

    A localizer gives each emitter's place, photons and background with an uncertainty for each,
    and is compared with the movie first; of a heatmap model each peak becomes a row. The table is
    for ThunderSTORM (.csv) or Picasso (.hdf5); a picture and a report are beside it. A movie of
    any length runs in a fixed amount of memory, and a stopped run goes on with --resume.
    """

    label: ClassVar[str] = "ZooBridge Localize"
    command: ClassVar[tuple[str, ...]] = ("localize",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".csv"})

    model: str
    """Folder, zip, rdf.yaml or installed name of a package, such as deep-storm."""
    input: Path
    """Movie of raw camera frames (TIFF, OME-Zarr, .npy)."""
    output: Path
    """Table to write (.csv or .hdf5)."""
    threshold: str = "auto"
    """Least probability (auto: 0.5); for heatmaps auto, a share (20%) or a height (2.5)."""
    radius_px: Annotated[int, Field(ge=0, le=100)] = 0
    """Heatmaps: pixels around a peak that belong to it; 0 takes about 60 nm, 1 to 5."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a camera pixel in nm; 0 takes what the movie says."""
    camera_offset_adu: Annotated[float, Field(ge=-1, le=65535)] = -1.0
    """Counts of a dark pixel of the movie's camera; -1 takes the one that a localizer expects."""
    photons_per_adu: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Photons that one count of the movie's camera stands for; 0 takes what a localizer expects."""
    offset_x_px: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Column of the whole field at which the movie starts, added to x, in camera pixels."""
    offset_y_px: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Row of the whole field at which the movie starts, added to y, in camera pixels."""
    anyway: bool = False
    """Go on where the movie contradicts what a localizer was trained on."""
    tile: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Longest tile edge in camera pixels; 0 chooses one that fits the memory."""
    batch: Annotated[int, Field(ge=0, le=4096)] = 0
    """Tiles run at once; 0 chooses."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1 or mps."""
    engine: Literal["auto", "openvino", "onnxruntime", "torch", "torchscript"] = "auto"
    """Who computes; auto takes the fastest that the package and this machine have."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic; the shorter ones are faster and less exact."""
    axes: str = ""
    """Axes of the movie, such as tyx, where the file doesn't say or says it wrong."""
    channel: Annotated[int, Field(ge=0)] = 0
    """Channel to use, from 1; 0 uses all."""
    trust: bool = False
    """Let the package run code of its own (remembered for this content)."""
    overwrite: bool = False
    """Replace a table that is there."""
    resume: bool = False
    """Continue an interrupted run."""

    def run(self, progress: Progress) -> Result:
        """Open the package, run it on the movie, and write table, picture and report."""
        from bridge.images.read import open_image
        from bridge.runtime.ready import ReadyModels

        def movie() -> xr.DataArray:
            return open_image(self.input, axes=self.axes or None)

        return self._localize(movie, ReadyModels(), progress)

    def run_on(
        self, opened: OpenImage, models: ReadyModels, progress: Progress, *, keep: bool
    ) -> OnImage:
        """Localize in an open movie; the table is a file in any case."""
        return OnImage(self._localize(lambda: opened.image, models, progress))

    def _localize(
        self, open_movie: Callable[[], xr.DataArray], models: ReadyModels, progress: Progress
    ) -> Result:
        import time

        from bridge.runtime.predict import Settings
        from bridge.smlm.localize import Threshold
        from bridge.smlm.localize_movie import localize_to_file
        from bridge.smlm.localize_plan import Wanted, check_model
        from bridge.smlm.table_stream import check_place

        started = time.time()
        threshold = Threshold.parse(self.threshold, what="--threshold")
        check_place(self.output, overwrite=self.overwrite)
        settings = Settings(
            tile=self.tile,
            batch=self.batch,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            trust=self.trust,
        )
        predictor = models.predictor(self.model, settings)
        check_model(predictor)  # what can't be done is said before the movie is opened
        movie = open_movie()
        protocol, notes = self._protocol()
        found = localize_to_file(
            predictor,
            open_movie,
            self.output,
            wanted=Wanted(
                self._pixel_size_nm(movie, predictor.package),
                threshold,
                self.radius_px,
                self._camera(predictor, protocol, notes),
                (self.offset_x_px, self.offset_y_px),
                self.anyway,
            ),
            channel=self.channel,
            overwrite=self.overwrite,
            resume=self.resume,
            progress=progress,
        )
        seconds = time.time() - started
        warnings = [*notes, *found.warnings]
        report = self._write_report(found, warnings, started, seconds)
        return self._summarise(found, predictor.package.name, warnings, str(report), seconds)

    def _protocol(self) -> tuple[Protocol | None, list[str]]:
        """Read the protocol that ThunderSTORM keeps beside what it exports, if it is there."""
        from bridge.smlm.protocol import find_protocol

        return find_protocol(self.input)

    def _camera(
        self, predictor: Predictor, protocol: Protocol | None, notes: list[str]
    ) -> Scaling | None:
        """Give the movie's camera where it is known; what isn't given is the model's."""
        from bridge.smlm.localize_plan import trained_camera

        offset_adu, photons_per_adu = self.camera_offset_adu, self.photons_per_adu
        trained = trained_camera(predictor)
        if trained is None:
            return None
        if protocol is not None and offset_adu < 0 and not photons_per_adu:
            known_offset, known_gain = protocol.offset_adu, protocol.photons_per_adu
            if known_offset is not None and known_gain is not None:
                notes.append(
                    f"The camera is that of {protocol.path.name}: offset {known_offset:g}, "
                    f"{known_gain:g} photons per count."
                )
                offset_adu, photons_per_adu = known_offset, known_gain
        given = {"offset_adu": offset_adu} if offset_adu >= 0 else {}
        given |= {"photons_per_adu": photons_per_adu} if photons_per_adu else {}
        return trained._replace(**given) if given else None

    def _pixel_size_nm(self, movie: xr.DataArray, package: Package) -> float:
        from bridge.errors import ImageError
        from bridge.zoo.description import pixel_size_nm

        sizes = [movie.attrs["pixel_size_nm"].get(dim) for dim in ("y", "x")]
        if self.pixel_size_nm:
            return self.pixel_size_nm
        if None in sizes or abs(sizes[0] - sizes[1]) > 1e-3 * sizes[0]:
            said = " x ".join("?" if size is None else f"{size:g}" for size in sizes)
            known = pixel_size_nm(package.description, package.description.inputs[0], "x")
            made_for = f"; the model was made for {known:g}" if known else ""
            raise ImageError(
                str(self.input),
                f"its pixels (y x x) are {said} nm{made_for}",
                "one known size of square pixels",
                "Give the camera's with --pixel-size-nm.",
            )
        return float(sizes[0])

    def _write_report(
        self, found: LocalizedFile, warnings: list[str], started: float, seconds: float
    ) -> Path:
        import json
        from dataclasses import asdict
        from datetime import UTC, datetime

        from bridge import __version__
        from bridge.smlm.table_out import new_file

        content = {
            "zoobridge": __version__,
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "movie": str(self.input),
            "table": str(self.output),
            **_outputs(found),
            "figures": _finite(asdict(found.figures)),
            "movie_facts": _finite(found.facts),
            "history": found.history,
            "warnings": warnings,
            "run": found.outcome.report,
        }
        path = self.output.with_name(f"{self.output.stem}.report.json")
        with new_file(path, overwrite=True) as part:
            part.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
        return path

    def _summarise(
        self, found: LocalizedFile, model: str, warnings: list[str], report: str, seconds: float
    ) -> Result:
        from dataclasses import asdict

        figures = _finite(asdict(found.figures))
        outputs: dict[str, JsonValue] = {
            "table": str(self.output),
            "picture": str(found.picture),
            **_outputs(found),
            **{name: figures[name] for name in _SHOWN if figures.get(name) is not None},
        }
        summary = [
            f"{model} found {found.n_localizations:,} emitters in {found.n_frames:,} frames in "
            f"{seconds:.1f} s: {_rule(found)}.",
            *_medians(found),
            f"Written: {self.output}; look at {found.picture}",
        ]
        return Result(outputs=outputs, warnings=warnings, report=report, summary=summary)


def _rule(found: LocalizedFile) -> str:
    if found.kind == "localizer":
        return f"those more likely than {found.threshold:.3g}"
    typical = f", the typical one being {found.typical:.3g}" if found.typical else ""
    return f"peaks above {found.threshold:.3g}{typical}"


def _medians(found: LocalizedFile) -> list[str]:
    """Say what the table shows by itself, where it does."""
    import math

    figures = found.figures
    said = []
    if not math.isnan(figures.median_uncertainty_nm):
        said.append(
            f"Medians: {figures.median_photons:,.0f} photons, uncertainty "
            f"{figures.median_uncertainty_nm:.1f} nm per axis."
        )
    if not math.isnan(figures.nena_nm):
        said.append(f"Precision by emitters found again (NeNA): {figures.nena_nm:.1f} nm.")
    return said


def _outputs(found: LocalizedFile) -> dict[str, JsonValue]:
    return {
        "kind": found.kind,
        "n_localizations": found.n_localizations,
        "n_frames": found.n_frames,
        "pixel_size_nm": found.pixel_size_nm,
        "threshold": found.threshold,
        "typical_peak": found.typical,
        **found.model,
    }


def _finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give values that JSON knows: None for what isn't finite."""
    import math

    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }
