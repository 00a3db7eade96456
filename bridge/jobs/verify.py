"""The job ``verify``: whether a restored image can be believed, where no truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from bridge.quality.consistency import Consistency
    from bridge.runtime.predict import Predictor


class Verify(Job):
    """Check a restored image without a truth: does it give its input back, and where is it unsure.

    The image is restored turned and mirrored in all eight ways, by each model; the mean is the
    result, the spread shows where it is unsure. The mean, blurred again, is compared with the input
    (RSP, RSE and a map of the error): structure that isn't in the input shows.
    """

    label: ClassVar[str] = "ZooBridge Verify"
    command: ClassVar[tuple[str, ...]] = ("verify",)

    model: list[str]
    """Packages that restore: folders, zips or installed names; several make an ensemble."""
    input: Path
    """The image before; of a stack the first plane."""
    output: Path
    """Page (.html) to write; the mean and the spread lie beside it."""
    input_fwhm_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Width of the input's PSF in nm; with the target's the blur is known, else it is fitted."""
    target_fwhm_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Width of the PSF that the models' outputs have, in nm."""
    turn: bool = True
    """Whether each model restores all eight orientations; off it restores the image once."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1 or mps."""
    axes: str = ""
    """Axes of the image file, such as tyx, where it doesn't say or says it wrong."""
    trust: bool = False
    """Let packages run code of their own (remembered for this content)."""
    overwrite: bool = False
    """Replace files that are there."""

    def run(self, progress: Progress) -> Result:
        """Restore, compare, and draw."""
        import numpy as np

        from bridge.images.write import write_image
        from bridge.jobs.verify_page import write_verification
        from bridge.quality.report import check_page
        from bridge.runtime.predict import Predictor, Settings
        from bridge.zoo.package import open_package

        check_page(self.output, overwrite=self.overwrite)
        plane = self._open()
        settings = Settings(device=self.device, trust=self.trust)
        results: list[NDArray[np.float32]] = []
        for number, model in enumerate(self.model):
            predictor = Predictor(open_package(model), settings)
            progress(number, len(self.model), predictor.package.name)
            results += self._restore(predictor, plane, model)
        stack = np.stack(results)
        mean, spread = (
            _like(plane, values) for values in (stack.mean(axis=0), stack.std(axis=0, ddof=0))
        )
        consistency = self._compare(mean, plane)
        files = {"mean": mean, "spread": spread} if len(results) > 1 else {"mean": mean}
        outputs = {}
        for name, image in files.items():
            path = self.output.with_name(f"{self.output.stem}.{name}.tif")
            write_image(path, image, overwrite=self.overwrite)
            outputs[name] = str(path)
        warnings = _judge(consistency, mean)
        write_verification(
            self.output,
            source=plane,
            mean=mean,
            spread=spread if len(results) > 1 else None,
            consistency=consistency,
            n_results=len(results),
            warnings=warnings,
            overwrite=self.overwrite,
        )
        progress(len(self.model), len(self.model), "done")
        figures = {
            "rsp": consistency.rsp,
            "rse": consistency.rse,
            "sigma_nm": consistency.sigma_nm,
            "spread": float(spread.mean()),
        }
        summary = [
            f"Blurred again, the result agrees with the input: RSP {consistency.rsp:.3f} (1 is "
            f"best; noise keeps it below), RSE {consistency.rse:.3g} of the input's units.",
            f"{len(results)} results; mean spread {figures['spread']:.3g}. Look at {self.output}.",
        ]
        return Result(
            outputs={"page": str(self.output), **outputs, "figures": dict(figures)},
            warnings=warnings,
            summary=summary,
        )

    def _open(self) -> xr.DataArray:
        from bridge.images.read import open_image

        image = open_image(self.input, axes=self.axes or None)
        others = {dim: 0 for dim in image.dims if dim not in ("y", "x")}
        plane: xr.DataArray = image.isel(others).astype("float32").load()
        sizes = image.attrs.get("pixel_size_nm") or {}
        plane.attrs["pixel_size_nm"] = {dim: sizes[dim] for dim in "yx" if dim in sizes}
        return plane

    def _restore(
        self, predictor: Predictor, plane: xr.DataArray, model: str
    ) -> list[NDArray[np.float32]]:
        import numpy as np
        import xarray as xr

        from bridge.errors import InputError
        from bridge.quality.orientations import restore_orientations

        names = predictor.input_names
        if len(names) != 1:
            raise InputError(model, f"needs {len(names)} images", "a model of one image")

        def restore(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
            image = xr.DataArray(pixels, dims=("y", "x"), attrs=plane.attrs)
            outputs, _ = predictor.run_in_memory({names[0]: image})
            made = next(iter(outputs.values()))
            return np.asarray(made.isel({d: 0 for d in made.dims if d not in ("y", "x")}))

        pixels = plane.values
        return restore_orientations(pixels, restore) if self.turn else [restore(pixels)]

    def _compare(self, mean: xr.DataArray, plane: xr.DataArray) -> Consistency:
        from bridge.errors import InputError
        from bridge.quality.consistency import (
            compare_with_input,
            compare_with_widefield,
            relative_sigma_nm,
        )

        if not (self.input_fwhm_nm or self.target_fwhm_nm):
            return compare_with_widefield(mean, plane)
        known = mean.attrs.get("pixel_size_nm", {}).get("x")
        if not known:
            found = "the image has no pixel size, and the PSFs' widths are in nm"
            raise InputError(str(self.input), found, "a pixel size", "Leave the widths out.")
        sigma_nm = relative_sigma_nm(self.input_fwhm_nm, self.target_fwhm_nm)
        return compare_with_input(mean, plane, sigma_px=sigma_nm / known)


def _like(plane: xr.DataArray, values: NDArray[np.float32]) -> xr.DataArray:
    """Make an image of the same field, on its own pixels."""
    import xarray as xr

    sizes = plane.attrs["pixel_size_nm"]
    scale = values.shape[0] / plane.shape[0]
    attrs = {"pixel_size_nm": {dim: size / scale for dim, size in sizes.items()}}
    return xr.DataArray(values.astype("float32"), dims=("y", "x"), attrs=attrs)


def _judge(consistency: Consistency, mean: xr.DataArray) -> list[str]:
    """Say what is doubtful about a restored image."""
    import math

    from bridge.quality.consistency import LEAST_RSP, low_agreement

    if not math.isfinite(consistency.rsp):
        return ["The result is constant: `zoobridge explain` says why."]
    return [low_agreement(consistency.rsp)] if consistency.rsp < LEAST_RSP else []
