"""The job ``predict``: a model package run on image files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from bridge.jobs.base import ImageJob, OnImage, OpenImage, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    import xarray as xr

    from bridge.jobs.given_back import GivenBack
    from bridge.runtime.files import FileResult
    from bridge.runtime.predict import Outcome, Predictor, Settings
    from bridge.runtime.ready import ReadyModels


class Predict(ImageJob):
    """Run a model package on images of any size.

    The images are cut into tiles that fit the memory, such that the result is the same as if each
    had been run in one piece.
    """

    label: ClassVar[str] = "ZooBridge Predict"
    command: ClassVar[tuple[str, ...]] = ("predict",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".tif"})

    model: str
    """Folder, zip, rdf.yaml or installed name of a BioImage Model Zoo package."""
    input: list[str]
    """Images: files or folders (TIFF, OME-Zarr, PNG, .npy); NAME=FILE for several inputs."""
    output: Path
    """File (.tif or .zarr) or folder for the result."""
    sum: bool = False
    """Add up the outputs of all frames of a movie, and write one image."""
    tile: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Longest tile edge in input pixels; 0 chooses one that fits the memory."""
    halo: Annotated[int, Field(ge=-1, le=100_000)] = -1
    """Input pixels read around each tile; -1 takes what the network needs."""
    batch: Annotated[int, Field(ge=0, le=4096)] = 0
    """Tiles run at once; 0 chooses."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1 or mps."""
    engine: Literal["auto", "openvino", "onnxruntime", "torch", "torchscript"] = "auto"
    """Who computes; auto takes the fastest that the package and this machine have."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic; the shorter ones are faster and less exact."""
    axes: str = ""
    """Axes of the image files, such as tyx, where they don't say or say it wrong."""
    channel: Annotated[int, Field(ge=0)] = 0
    """Channel to use, from 1; 0 uses all."""
    each_colour: bool = False
    """Run each channel by its own pass, and merge the results into one composite."""
    trust: bool = False
    """Let the package run code of its own (remembered for this content)."""
    overwrite: bool = False
    """Replace a result that is there."""
    resume: bool = False
    """Continue an interrupted run; a sum always starts afresh."""
    consistency: bool = True
    """Check that the result, blurred again, gives the input back: figures and a picture beside."""
    report: str = ""
    """File for the report; empty puts it beside the result."""
    cluster: str = ""
    """Address of a dask scheduler that gets the images; empty computes here."""

    def run(self, progress: Progress) -> Result:
        """Open the package, run it on every image, and write results and report."""
        import time

        from bridge.runtime.files import (
            FileOptions,
            make_orders,
            predict_file,
            predict_many,
            predict_on_cluster,
            write_report,
        )
        from bridge.runtime.predict import Predictor
        from bridge.zoo.package import open_package

        started = time.time()
        package = open_package(self.model)
        settings = self._settings()
        predictor = Predictor(package, settings)
        names = predictor.input_names
        orders = make_orders(self.input, self.output, names, package.name)
        options = FileOptions(axes=self.axes, overwrite=self.overwrite, resume=self.resume)
        if self.cluster:
            results = predict_on_cluster(self.cluster, package, settings, orders, options, progress)
        elif len(orders) == 1:
            results = [predict_file(predictor, orders[0], options, progress)]
        else:
            results = predict_many(predictor, orders, options, progress)
        results = self._check(predictor, results)
        report = write_report(self._report_path(results), results, started=started)
        return _summarise(results, str(report), time.time() - started, package.name)

    def run_on(
        self, opened: OpenImage, models: ReadyModels, progress: Progress, *, keep: bool
    ) -> OnImage:
        """Run the package on an open image."""
        import time

        from bridge.errors import InputError
        from bridge.jobs.titles import result_title
        from bridge.runtime.files import FileOptions, Order, predict_to_file, write_report

        started = time.time()
        predictor = models.predictor(self.model, self._settings())
        names = predictor.input_names
        if len(names) > 1:
            raise InputError(
                self.model,
                f"needs {len(names)} images, and one is open",
                "input with " + ";".join(f"{name}=FILE" for name in names),
                "Save the images, and give their files.",
            )
        images = {names[0]: opened.image}
        if keep:
            order = Order({names[0]: Path(opened.title)}, self.output)
            options = FileOptions(overwrite=self.overwrite)
            written = [predict_to_file(predictor, images, order, options, progress)]
            written = self._check(predictor, written, images)
            report = write_report(self._report_path(written), written, started=started)
            seconds = time.time() - started
            return OnImage(_summarise(written, str(report), seconds, predictor.package.name))
        outputs, outcome = predictor.run_in_memory(images, progress)
        is_one = len(outputs) == 1
        checked = self._check_open(predictor, images, outputs)
        found = {
            result_title(opened.title, self.model, "" if is_one else name): image
            for name, image in outputs.items()
        }
        return OnImage(self._describe(outcome, checked, list(found), opened.title), found)

    def _check(
        self,
        predictor: Predictor,
        results: list[FileResult],
        images: Mapping[str, xr.DataArray] | None = None,
    ) -> list[FileResult]:
        """Compare what was written with its input, where that is wanted."""
        from bridge.jobs.given_back import check_file, switched_off

        if not self.consistency:
            return [switched_off(result) for result in results]
        return [check_file(predictor, result, axes=self.axes, images=images) for result in results]

    def _check_open(
        self,
        predictor: Predictor,
        images: Mapping[str, xr.DataArray],
        outputs: Mapping[str, xr.DataArray],
    ) -> GivenBack | None:
        """Compare images in memory; a picture is drawn only beside a report that is asked for."""
        from bridge.jobs.given_back import check_given_back, picture_beside, save_pictures

        if not self.consistency:
            return None
        found = check_given_back(predictor, images, outputs)
        if not self.report:
            return found
        beside = picture_beside(Path(self.report))
        paths = dict.fromkeys(outputs, beside)
        if len(outputs) > 1:
            paths = {name: beside.with_name(f"{name}-{beside.name}") for name in outputs}
        return save_pictures(found, paths)

    def _describe(
        self, outcome: Outcome, checked: GivenBack | None, titles: list[str], title: str
    ) -> Result:
        run = outcome.report
        figures = [checked.summary] if checked is not None and checked.summary else []
        return Result(
            outputs={"images": list(titles)},
            warnings=[*outcome.warnings, *(checked.warnings if checked is not None else [])],
            summary=[
                f"{run['package']['name']} ran on {title}: {run['tiles']['count']} tiles, "
                f"{run['engine']['name']} on {run['engine']['device']}, {run['seconds']:.1f} s.",
                *figures,
            ],
        )

    def _settings(self) -> Settings:
        from bridge.runtime.predict import Settings

        return Settings(
            tile=self.tile,
            halo=None if self.halo < 0 else self.halo,
            batch=self.batch,
            device=self.device,
            engine=self.engine,
            precision=self.precision,
            channel=self.channel,
            each_colour=self.each_colour,
            trust=self.trust,
            sum=self.sum,
        )

    def _report_path(self, results: list[FileResult]) -> Path:
        if self.report:
            return Path(self.report)
        if len(results) == 1 and results[0].outputs:
            first = Path(next(iter(results[0].outputs.values())))
            return first.with_name(f"{first.stem}.report.json")
        folder = results[0].order.output.parent
        return folder / "zoobridge.report.json"


def _summarise(results: list[FileResult], report: str, seconds: float, model: str) -> Result:
    from bridge.errors import RunError

    done = [r for r in results if r.error is None]
    failed = [r for r in results if r.error is not None]
    outputs: dict[str, JsonValue] = {}
    if len(results) == 1:
        outputs = dict(results[0].outputs)
    else:
        for result in done:
            for name, path in result.outputs.items():
                paths: Any = outputs.setdefault(name, [])
                paths.append(path)
    warnings = list(dict.fromkeys(w for r in results for w in r.warnings))
    warnings += [f"{_first_input(r)} failed: {r.error}" for r in failed]
    error = None
    if failed:
        error = RunError(
            f"{len(failed)} of {len(results)} images",
            f"failed; the first: {failed[0].error}",
            "",
            f"The report says why for each: {report}",
        )
    if len(results) == 1 and done:
        run = done[0].report
        tiles, engine = run["tiles"], run["engine"]
        made = next(iter(run["output"].values()))
        n_summed, n_colours = made.get("n_frames_summed"), made.get("n_colours")
        frames = f"{n_summed} frames summed, " if n_summed else ""
        frames += f"{n_colours} colours, each by itself, " if n_colours else ""
        summary = [
            f"{model} ran on {_first_input(done[0])}: {frames}{tiles['count']} tiles, "
            f"{engine['name']} on {engine['device']}, {seconds:.1f} s.",
            *(f"Written: {path}" for path in done[0].outputs.values()),
            *_checked(done),
        ]
    else:
        summary = [
            f"{model} ran on {len(done)} of {len(results)} images in {seconds:.1f} s.",
            *_lowest(done),
        ]
    return Result(outputs=outputs, warnings=warnings, report=report, summary=summary, error=error)


def _checked(results: list[FileResult]) -> list[str]:
    """Give the sentence on the check of each result that was checked."""
    found = [result.report.get("consistency", {}).get("summary", "") for result in results]
    return [sentence for sentence in found if sentence]


def _lowest(results: list[FileResult]) -> list[str]:
    """Name the result that agrees least with its input."""
    found = [
        (output["rsp"], _first_input(result))
        for result in results
        for output in result.report.get("consistency", {}).get("outputs", {}).values()
        if output["checked"]
    ]
    if not found:
        return []
    rsp, name = min(found)
    return [f"Blurred again, {name} agrees least with its input: RSP {rsp:.3f}."]


def _first_input(result: FileResult) -> str:
    return str(next(iter(result.order.inputs.values())))
