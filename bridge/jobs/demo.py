"""The job ``demo``: the embedded package on the embedded movie, with a picture to look at."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

MODEL = "deep-storm"
TILE = 64


class Demo(Job):
    """Run the embedded package on an embedded movie, and show what comes out.

    Leaves the super-resolved movie (TIFF), a picture (input | output | truth) and a report.
    """

    label: ClassVar[str] = "ZooBridge Demo"
    command: ClassVar[tuple[str, ...]] = ("demo",)

    output: Path = Path("zoobridge-demo")
    """Folder for the results; made if missing."""

    def run(self, progress: Progress) -> Result:
        """Predict tile by tile, sum up the frames, draw the picture, write the report."""
        import time
        from importlib import resources

        from bridge.errors import OutputError
        from bridge.images.preview import save_picture
        from bridge.images.read import open_image
        from bridge.runtime.files import FileOptions, Order, predict_file, write_report
        from bridge.runtime.predict import Predictor, Settings
        from bridge.zoo.package import open_package

        started = time.time()
        try:
            self.output.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(str(self.output), f"can't be made: {error.strerror}") from error
        predictor = Predictor(open_package(MODEL), Settings(tile=TILE))
        data = resources.files("models_zoo") / "deep_storm" / "demo"
        with resources.as_file(data) as folder:
            movie, truth = folder / "movie.tif", open_image(folder / "truth.tif").load()
            name = predictor.geometry.inputs[0].name
            order = Order({name: movie}, self.output / "output.tif")
            result = predict_file(predictor, order, FileOptions(overwrite=True), progress)
            frames = open_image(movie).load()
        stack = open_image(next(iter(result.outputs.values())))
        sums = [image.astype("float32").sum("t", keep_attrs=True) for image in (frames, stack)]
        super_resolved = sums[1].clip(min=0)
        picture = self.output / "picture.png"
        save_picture(
            picture,
            [
                (f"Input: {frames.sizes['t']} frames, summed", sums[0]),
                ("Output: Deep-STORM, summed", super_resolved),
                ("Truth", truth),
            ],
        )
        report = write_report(self.output / "report.json", [result], started=started)
        correlation = _correlation(super_resolved.values, truth.values)
        seconds = time.time() - started
        tiles = result.report["tiles"]["count"]
        return Result(
            outputs={**result.outputs, "picture": str(picture)},
            warnings=result.warnings,
            report=str(report),
            summary=[
                f"{predictor.package.name} turned {frames.sizes['t']} frames of "
                f"{frames.sizes['y']} x {frames.sizes['x']} pixels into {stack.sizes['y']} x "
                f"{stack.sizes['x']} in {tiles} tiles and {seconds:.1f} s; its sum correlates with "
                f"the truth at r = {correlation:.2f}.",
                f"Look at {picture} (input | output | truth), and open "
                f"{next(iter(result.outputs.values()))} in Fiji; {report} says how it was made.",
            ],
        )


def _correlation(a: object, b: object) -> float:
    import numpy as np

    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])  # type: ignore[call-overload]
