"""The job ``localize``: a list of emitters from a movie, by a model that gives heatmaps."""

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

    from bridge.runtime.ready import ReadyModels
    from bridge.smlm.localize_movie import Localized

_ENDINGS = (".csv", ".txt", ".hdf5", ".h5")


class Localize(ImageJob):
    """Localize the emitters of a movie with a model that gives heatmaps.

    The model runs frame by frame; each peak of its output becomes a row of a table that
    ThunderSTORM opens (.csv) or Picasso (.hdf5). A report says how it was made.
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
    """How high a peak must be: auto, a share of the typical peak (20%), or a value (2.5)."""
    radius_px: Annotated[int, Field(ge=0, le=100)] = 0
    """Pixels of the heatmap around a peak that belong to it; 0 takes about 60 nm, 1 to 5."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a camera pixel in nm; 0 takes what the movie says."""
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

    def run(self, progress: Progress) -> Result:
        """Open the package, run it on the movie, and write table and report."""
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
        from bridge.smlm.localize_movie import localize_movie, read_heatmap
        from bridge.smlm.table import write_table

        started = time.time()
        threshold = Threshold.parse(self.threshold, what="--threshold")
        self._check_output()
        settings = Settings(
            tile=self.tile,
            batch=self.batch,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            channel=self.channel,
            trust=self.trust,
        )
        predictor = models.predictor(self.model, settings)
        package = predictor.package
        read_heatmap(package, predictor.geometry)  # what can't be done is said before the rest
        movie = open_movie()
        found = localize_movie(
            predictor,
            movie,
            pixel_size_nm=self._pixel_size_nm(movie, package.description.inputs[0]),
            threshold=threshold,
            radius=self.radius_px,
            progress=progress,
        )
        write_table(found.table, self.output, overwrite=self.overwrite)
        seconds = time.time() - started
        report = self._write_report(found, started, seconds)
        return self._summarise(found, package.name, str(report), seconds)

    def _check_output(self) -> None:
        """Refuse now what could not be written after a long run."""
        from bridge.errors import OutputError

        if self.output.suffix.lower() not in _ENDINGS:
            raise OutputError(
                str(self.output),
                f"tables ending in '{self.output.suffix}' aren't written",
                "a name ending in " + ", ".join(_ENDINGS),
                "Change the ending.",
            )
        if self.output.exists() and not self.overwrite:
            found = "the output is there already"
            raise OutputError(str(self.output), found, "a name that is free", "Ask to --overwrite.")
        if not self.output.absolute().parent.parent.is_dir():
            found = f"the folder '{self.output.parent}' is missing"
            raise OutputError(str(self.output), found, "", "Create it first.")

    def _pixel_size_nm(self, movie: xr.DataArray, described: Any) -> float:
        from bridge.errors import ImageError

        sizes = [movie.attrs["pixel_size_nm"].get(dim) for dim in ("y", "x")]
        if self.pixel_size_nm:
            return self.pixel_size_nm
        if None in sizes or abs(sizes[0] - sizes[1]) > 1e-3 * sizes[0]:
            said = " x ".join("?" if size is None else f"{size:g}" for size in sizes)
            scales = {a.scale for a in described.axes if a.type == "space" and a.unit}
            made_for = f"; the model was made for {scales.pop():g}" if len(scales) == 1 else ""
            raise ImageError(
                str(self.input),
                f"its pixels (y x x) are {said} nm{made_for}",
                "one known size of square pixels",
                "Give the camera's with --pixel-size-nm.",
            )
        return float(sizes[0])

    def _write_report(self, found: Localized, started: float, seconds: float) -> Path:
        import json
        from datetime import UTC, datetime

        from bridge import __version__
        from bridge.smlm.table_out import new_file

        content = {
            "zoobridge": __version__,
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "movie": str(self.input),
            "table": str(self.output),
            **_figures(found),
            "history": found.table.attrs["history"],
            "warnings": found.warnings,
            "run": found.outcome.report,
        }
        path = self.output.with_name(f"{self.output.stem}.report.json")
        with new_file(path, overwrite=True) as part:
            part.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
        return path

    def _summarise(self, found: Localized, model: str, report: str, seconds: float) -> Result:
        figures = _figures(found)
        outputs: dict[str, JsonValue] = {"table": str(self.output), **figures}
        columns = ", ".join(map(str, found.table.columns))
        summary = [
            f"{model} found {len(found.table):,} emitters in {found.n_frames:,} frames in "
            f"{seconds:.1f} s: peaks above {found.threshold:.3g}"
            + (f", the typical one being {found.typical:.3g}." if found.typical else "."),
            f"Written: {self.output} ({columns})",
        ]
        return Result(outputs=outputs, warnings=found.warnings, report=report, summary=summary)


def _figures(found: Localized) -> dict[str, JsonValue]:
    return {
        "n_localizations": len(found.table),
        "n_frames": found.n_frames,
        "pixel_size_nm": found.table.attrs["pixel_size_nm"],
        "upscaling": found.heatmap.upscaling,
        "threshold": found.threshold,
        "typical_peak": found.typical,
        "radius_px": found.radius,
    }
