"""The job ``degrade``: what a widefield microscope would make of confocal images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from bridge.restoration.degrade import Degradation
    from bridge.restoration.kernel import Kernel, PsfWidth

_SAME_PIXEL = 1e-3  # sizes along y and x that differ by less, relatively, are the same


class Degrade(Job):
    """Blur confocal images to widefield ones, by the difference of two PSFs.

    The Gaussian that is missing between both PSFs has the variance of the wider one less that of
    the narrower. Widths come from the optics, are given, or are measured on images of beads. Then
    pixels are joined, and background and noise added, where asked for.
    """

    label: ClassVar[str] = "ZooBridge Degrade"
    command: ClassVar[tuple[str, ...]] = ("degrade",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".tif"})

    input: list[str]
    """Images to degrade: files or folders."""
    output: Path
    """File (.tif or .zarr), or a folder in which each keeps its name; a picture lies beside it."""
    numerical_aperture: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Of the objective, for PSFs of theory; 0 where widths are given or measured."""
    emission_nm: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Wavelength of the emitted light in nm, for PSFs of theory."""
    widefield_fwhm_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Full width at half maximum of the widefield PSF in nm, if it is known."""
    confocal_fwhm_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Full width at half maximum of the confocal PSF in nm, if it is known."""
    widefield_beads: str = ""
    """Widefield image of beads, to measure the PSF on."""
    confocal_beads: str = ""
    """Confocal image of the same kind of beads."""
    beads_pixel_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a pixel of both images of beads in nm; 0 takes what they say."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a pixel of the images in nm; 0 takes what they say."""
    factor: Annotated[int, Field(ge=1, le=64)] = 1
    """Pixels along the edge of a degraded one; joined after the blur."""
    binning: Literal["mean", "sum"] = "mean"
    """How pixels are joined: mean keeps grey values, sum keeps the light."""
    dark: float = 0.0
    """Grey value of the images where there is no light; it is subtracted first."""
    photons: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    """Photons in the brightest pixel of each image's result; 0 adds no noise."""
    background: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Even light added before the noise, as a share of the brightest pixel."""
    read_noise: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Standard deviation of the camera's noise, in photons."""
    offset: float = 0.0
    """What the camera adds to every pixel, in photons."""
    spots_per_px: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Soft background spots per pixel, half as high as the peak; 0.01 was published."""
    sigma_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Standard deviation of the kernel's width from image to image, as a share of it."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of noise, spots and jitter."""
    axes: str = ""
    """Axes of the image files, such as tyx, where they don't say or say it wrong."""
    overwrite: bool = False
    """Replace results that are there."""

    def run(self, progress: Progress) -> Result:
        """Find the kernel, degrade every image, and write report and picture."""
        import time

        from bridge.images.read import find_images

        started = time.time()
        sources = find_images(self.input)
        targets = self._targets(sources)
        warnings: list[str] = []
        progress(0, len(sources), "PSFs")
        widefield, confocal = self._widths(warnings)
        done: list[dict[str, JsonValue]] = []
        for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
            progress(number, len(sources), source.name)
            done.append(self._degrade(number, source, target, (widefield, confocal), warnings))
        self._save_picture(sources[0], targets[0])
        warnings = list(dict.fromkeys(warnings))
        report = self._write_report(started, widefield, confocal, done, warnings)
        progress(len(sources), len(sources), "done")
        first = done[0]
        outputs: dict[str, JsonValue] = {
            **first,
            "images": [one["image"] for one in done],
            "picture": str(self._beside(".png")),
            "widefield_fwhm_nm": widefield.fwhm_nm,
            "confocal_fwhm_nm": confocal.fwhm_nm,
        }
        summary = [
            f"Widefield FWHM {widefield.fwhm_nm:.4g} nm, confocal {confocal.fwhm_nm:.4g} nm: the "
            f"kernel's sigma is {first['sigma_nm']:.4g} nm, {first['sigma_px']:.3g} pixels of "
            f"{first['sharp_pixel_size_nm']:g} nm.",
            f"{len(done)} image(s) degraded; pixels of {first['pixel_size_nm']:g} nm.",
            f"Written: {self.output}",
            f"Look at {outputs['picture']}",
        ]
        return Result(outputs=outputs, warnings=warnings, report=report, summary=summary)

    def _widths(self, warnings: list[str]) -> tuple[PsfWidth, PsfWidth]:
        """Settle the two PSFs, each from the one thing that says its width."""
        from bridge.errors import InputError
        from bridge.restoration.kernel import confocal_width, given_width, widefield_width

        optics = {"numerical_aperture": self.numerical_aperture, "emission_nm": self.emission_nm}
        n_optics = sum(value > 0 for value in optics.values())
        said = {
            "widefield": (self.widefield_fwhm_nm, self.widefield_beads),
            "confocal": (self.confocal_fwhm_nm, self.confocal_beads),
        }
        what = "zoobridge degrade"
        if n_optics == 1:
            raise InputError(
                what,
                "numerical aperture and wavelength are needed together, and one is missing",
                "both, or neither",
                "Give --numerical-aperture and --emission-nm.",
            )
        if n_optics and all(fwhm or beads for fwhm, beads in said.values()):
            raise InputError(
                what,
                "both PSFs are given or measured, and the optics are given too",
                "one source for each PSF",
                "Leave out --numerical-aperture and --emission-nm.",
            )
        widths = []
        for name, (fwhm_nm, beads) in said.items():
            if fwhm_nm and beads:
                raise InputError(
                    what, f"the {name} PSF has a FWHM and beads", "one of them", "Leave one out."
                )
            if fwhm_nm:
                widths.append(given_width(fwhm_nm))
            elif beads:
                widths.append(self._measure(beads, warnings))
            elif n_optics:
                theory = widefield_width if name == "widefield" else confocal_width
                widths.append(theory(**optics))
            else:
                raise InputError(
                    what,
                    f"nothing says how wide the {name} PSF is",
                    f"--{name}-fwhm-nm, --{name}-beads, or the optics",
                    "Give one, the same way for both PSFs.",
                )
        return widths[0], widths[1]

    def _measure(self, path: str, warnings: list[str]) -> PsfWidth:
        from bridge.images.read import open_image
        from bridge.restoration.beads import measure_beads

        found = measure_beads(open_image(path), pixel_size_nm=self.beads_pixel_nm or None)
        warnings.extend(found.warnings)
        return found.width

    def _degrade(
        self,
        number: int,
        source: Path,
        target: Path,
        widths: tuple[PsfWidth, PsfWidth],
        warnings: list[str],
    ) -> dict[str, JsonValue]:
        """Degrade one image, plane by plane, and say what was done."""
        import numpy as np

        from bridge.images.blur import FWHM_PER_SIGMA
        from bridge.images.read import open_image
        from bridge.images.write import ImageWriter
        from bridge.restoration.kernel import kernel_between

        image = open_image(source, axes=self.axes or None)
        size_nm = self._pixel_size(image)
        kernel = kernel_between(*widths, pixel_size_nm=size_nm)
        warnings.extend(kernel.warnings)
        _check_size(image, self.factor, warnings)
        rng = np.random.default_rng([self.seed, number])
        degradation = self._degradation(kernel, rng)
        peaks = self._peaks(image, degradation) if self.photons or self.spots_per_px else None
        sizes = {d: n // self.factor if d in ("y", "x") else n for d, n in image.sizes.items()}
        coarse = {"y": size_nm * self.factor, "x": size_nm * self.factor}
        with ImageWriter(
            target,
            dims=tuple(map(str, image.dims)),
            shape=tuple(sizes.values()),
            dtype=np.float32,
            pixel_size_nm={**image.attrs["pixel_size_nm"], **coarse},
            channel_names=image.attrs.get("channel_names"),
            frame_interval_s=image.attrs.get("frame_interval_s"),
            overwrite=self.overwrite,
        ) as writer:
            for region, plane in self._planes(image):
                degraded = degradation.apply(plane, rng, peaks=peaks)
                lead = (1,) * (image.ndim - 2)
                writer.write(region, degraded.reshape(*lead, *degraded.shape))
        return {
            "image": str(target),
            "source": str(source),
            "sigma_nm": degradation.sigma_px * size_nm,
            "sigma_px": degradation.sigma_px,
            "sigma_error_nm": kernel.error_nm,
            "kernel_fwhm_nm": degradation.sigma_px * size_nm * FWHM_PER_SIGMA,
            "sharp_pixel_size_nm": size_nm,
            "pixel_size_nm": coarse["x"],
            "width": sizes["x"],
            "height": sizes["y"],
        }

    def _planes(self, image: xr.DataArray) -> Any:
        """Give each plane's place in the stack and its light."""
        import numpy as np

        stacked = [str(dim) for dim in image.dims if dim not in ("y", "x")]
        for index in np.ndindex(*(image.sizes[dim] for dim in stacked)):
            at = dict(zip(stacked, index, strict=True))
            plane = np.asarray(image.isel(at).values, np.float32) - np.float32(self.dark)
            _check_values(plane, image)
            yield {dim: slice(k, k + 1) for dim, k in at.items()}, plane

    def _degradation(self, kernel: Kernel, rng: np.random.Generator) -> Degradation:
        from bridge.errors import InputError
        from bridge.restoration.degrade import Degradation

        if not self.photons and (self.background or self.read_noise or self.offset):
            raise InputError(
                "zoobridge degrade",
                "background, read noise or offset are given, and no photons",
                "--photons, from which they count",
                "Give --photons, or leave the others out.",
            )
        jitter = 1 + self.sigma_jitter * float(rng.standard_normal()) if self.sigma_jitter else 1.0
        return Degradation(
            sigma_px=kernel.sigma_px * max(jitter, 0.0),
            factor=self.factor,
            binning=self.binning,
            photons=(self.photons, self.photons) if self.photons else None,
            background=(self.background, self.background),
            read_noise=self.read_noise,
            offset=self.offset,
            spots_per_px=self.spots_per_px,
        )

    def _peaks(self, image: xr.DataArray, degradation: Degradation) -> tuple[float, float]:
        """Give the brightest values of all planes, sharp and blurred."""
        from bridge.errors import ImageError

        sharp, clean = 0.0, 0.0
        for _, plane in self._planes(image):
            sharp = max(sharp, float(plane.max()))
            clean = max(clean, float(degradation.clean(plane).max()))
        if clean <= 0:
            raise ImageError(
                str(image.attrs["source"]),
                f"no value is above the dark one, {self.dark:g}",
                "light, to give photons to",
                "Check --dark.",
            )
        return sharp, clean

    def _pixel_size(self, image: xr.DataArray) -> float:
        from bridge.errors import ImageError

        what = str(image.attrs["source"])
        sizes = image.attrs["pixel_size_nm"]
        if self.pixel_size_nm:
            return self.pixel_size_nm
        if "y" not in sizes or "x" not in sizes:
            raise ImageError(
                what, "it doesn't say its pixel size", "the size in nm", "Give --pixel-size-nm."
            )
        if abs(sizes["y"] - sizes["x"]) > _SAME_PIXEL * sizes["x"]:
            raise ImageError(
                what,
                f"its pixels are {sizes['y']:g} x {sizes['x']:g} nm",
                "square pixels",
                "Find out which is right, and give --pixel-size-nm.",
            )
        return float(sizes["x"])

    def _targets(self, sources: list[Path]) -> list[Path]:
        """Give each image its file, and refuse now what could not be written later."""
        from bridge.errors import OutputError
        from bridge.jobs.titles import without_ending

        is_file = self.output.suffix.lower() in (".tif", ".tiff", ".zarr")
        if is_file and len(sources) > 1:
            found = f"this is one file, and there are {len(sources)} images"
            raise OutputError(str(self.output), found, "a folder", "Give the name of a folder.")
        targets = [
            self.output if is_file else self.output / f"{without_ending(path.name)}.tif"
            for path in sources
        ]
        for source, target in zip(sources, targets, strict=True):
            if targets.count(target) > 1:
                found = "more than one image would be written here"
                raise OutputError(str(target), found, "images with different names", "Rename one.")
            if target.absolute() == source.absolute():
                found = "this is the image that is read"
                raise OutputError(str(target), found, "another place", "Give a new folder.")
        for path in (*targets, self._beside(".png"), self._beside(".report.json")):
            if path.exists() and not self.overwrite:
                found = "the output is there already"
                raise OutputError(str(path), found, "a name that is free", "Ask to --overwrite.")
        return targets

    def _beside(self, ending: str) -> Path:
        """Name a file beside the result; beside a folder, so that the folder has only images."""
        from bridge.jobs.titles import without_ending

        return self.output.with_name(without_ending(self.output.name) + ending)

    def _save_picture(self, source: Path, target: Path) -> None:
        from bridge.images.new_file import new_file
        from bridge.images.preview import save_picture
        from bridge.images.read import open_image

        sharp, degraded = open_image(source, axes=self.axes or None), open_image(target)
        panels = [(f"{source.name}: as it is", sharp), ("degraded", degraded)]
        with new_file(self._beside(".png"), overwrite=self.overwrite) as part:
            save_picture(part, panels)

    def _write_report(
        self,
        started: float,
        widefield: PsfWidth,
        confocal: PsfWidth,
        done: list[dict[str, JsonValue]],
        warnings: list[str],
    ) -> str:
        import dataclasses
        import json
        import time
        from datetime import UTC, datetime

        from bridge import __version__
        from bridge.images.new_file import new_file

        content = {
            "zoobridge": __version__,
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - started, 3),
            "settings": self.model_dump(mode="json", exclude={"input", "output", "overwrite"}),
            "kernel": "Gaussian in the Fourier domain, mirrored edges; blur before binning",
            "widefield": {**dataclasses.asdict(widefield), "fwhm_nm": widefield.fwhm_nm},
            "confocal": {**dataclasses.asdict(confocal), "fwhm_nm": confocal.fwhm_nm},
            "images": done,
            "warnings": warnings,
        }
        path = self._beside(".report.json")
        with new_file(path, overwrite=self.overwrite) as part:
            part.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
        return str(path)


def _check_size(image: xr.DataArray, factor: int, warnings: list[str]) -> None:
    from bridge.errors import ImageError

    what = str(image.attrs["source"])
    n_y, n_x = image.sizes["y"], image.sizes["x"]
    if min(n_y, n_x) < factor:
        found = f"it has {n_y} x {n_x} pixels, and the factor is {factor}"
        raise ImageError(what, found, "at least one whole pixel of the result", "Lower --factor.")
    if n_y % factor or n_x % factor:
        warnings.append(
            f"{what}: {n_y % factor} rows and {n_x % factor} columns at the far edges make no "
            "whole pixel and are left out; crop the sharp image alike where both are compared."
        )


def _check_values(plane: np.ndarray[Any, Any], image: xr.DataArray) -> None:
    import numpy as np

    from bridge.errors import ImageError

    if not np.isfinite(plane).all():
        what = str(image.attrs["source"])
        raise ImageError(what, "some of its values aren't numbers", "finite values", "Mend them.")
