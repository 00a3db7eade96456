"""The job ``simulate``: a movie with known emitters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bridge.errors import InputError
from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.smlm.simulate import Simulation

_PLAIN = {
    "frames": "n_frames",
    "width_px": "width_px",
    "height_px": "height_px",
    "density_per_um2": "density_per_um2",
    "background_photons": "background_photons",
    "background_variation": "background_variation",
    "drift_nm": "drift_nm",
    "drift_angle_deg": "drift_angle_deg",
    "seed": "seed",
}
_CAMERA = (
    "pixel_size_nm",
    "quantum_efficiency",
    "offset_adu",
    "electrons_per_adu",
    "read_noise_e",
    "em_gain",
)


class Simulate(Job):
    """Simulate a movie of blinking emitters, and write where they are.

    Starts from a preset, from the settings of an earlier movie or from statistics of a table of
    localizations, in this order; what is given here goes before. Beside the movie it leaves the
    truth as a table that ThunderSTORM opens, all settings, and a picture.
    """

    label: ClassVar[str] = "ZooBridge Simulate"
    command: ClassVar[tuple[str, ...]] = ("simulate",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".tif"})

    output: Path
    """Movie to write (.tif or .zarr); the other files get its name."""
    preset: Literal[
        "filaments", "thunderstorm", "dsir", "deep-storm", "challenge", "smlm-benchmark"
    ] = "filaments"
    """Settings to start from."""
    settings: str = ""
    """Settings of an earlier movie (.settings.json) to start from instead."""
    like: str = ""
    """Table of localizations to take density, photons, width and background from."""
    frames: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Length of the movie."""
    width_px: Annotated[int, Field(ge=4, le=16_384)] | None = None
    """Width of a frame, in camera pixels."""
    height_px: Annotated[int, Field(ge=4, le=16_384)] | None = None
    """Height of a frame, in camera pixels."""
    density_per_um2: Annotated[float, Field(ge=0, le=1000)] | None = None
    """Emitters per square micrometre and frame."""
    photons_min: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Least photons of an emitter in a frame; uniform between least and most."""
    photons_max: Annotated[float, Field(gt=0, le=1e9)] | None = None
    """Most photons of an emitter in a frame."""
    background_photons: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Background photons per pixel and frame."""
    background_variation: Annotated[float, Field(ge=0, le=1)] | None = None
    """Part of the background by which it varies over the field."""
    background_image: str = ""
    """Image that shapes the background."""
    psf: Literal["preset", "integrated-gaussian", "astigmatic", "vectorial", "gibson-lanni"] = (
        "preset"
    )
    """Kind of the point spread function."""
    fwhm_min_nm: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Least full width at half maximum of a spot (integrated-gaussian), in nm."""
    fwhm_max_nm: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Greatest full width at half maximum of a spot, in nm."""
    z_min_nm: Annotated[float, Field(ge=-20_000, le=20_000)] | None = None
    """Lowest emitter, in nm, where the spot depends on it."""
    z_max_nm: Annotated[float, Field(ge=-20_000, le=20_000)] | None = None
    """Highest emitter, in nm."""
    structure: Literal[
        "preset", "uniform", "empty", "mask", "filaments", "network", "clusters", "pores"
    ] = "preset"
    """What the emitters sit on."""
    mask: str = ""
    """Image whose brightness is the density of emitters (structure mask)."""
    on_time: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Mean time that an emitter shines, in frames; 0 makes every frame independent."""
    bleach_time: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Time in which emitters fall to 37 %, in frames; 0: never."""
    camera: Literal["preset", "ccd", "emccd", "scmos"] = "preset"
    """Kind of the camera; another than the preset's starts from usual values."""
    pixel_size_nm: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Edge of a camera pixel in the sample, in nm."""
    quantum_efficiency: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of photons that become electrons."""
    offset_adu: Annotated[float, Field(ge=0, le=65535)] | None = None
    """Counts of a dark pixel."""
    electrons_per_adu: Annotated[float, Field(gt=0, le=10_000)] | None = None
    """Electrons for one count."""
    read_noise_e: Annotated[float, Field(ge=0, le=10_000)] | None = None
    """Standard deviation of the read noise, in electrons."""
    em_gain: Annotated[float, Field(gt=1, le=10_000)] | None = None
    """Electron multiplication (emccd)."""
    drift_nm: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Drift from the first to the last frame, in nm."""
    drift_angle_deg: Annotated[float, Field(ge=-360, le=360)] | None = None
    """Direction of the drift: 0 to the right, 90 down."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """The same seed gives the same movie on the same kind of device."""
    device: str = "auto"
    """Where to compute: auto (a CUDA GPU, else the processor), cpu, cuda or cuda:1."""
    overwrite: bool = False
    """Replace files that are there."""

    def run(self, progress: Progress) -> Result:
        """Put the settings together, simulate, and write the files."""
        import time

        from bridge.errors import DeviceError
        from bridge.runtime.device import find_device
        from bridge.smlm.movie_files import save_movie

        started = time.time()
        device = find_device(self.device).name
        if device == "mps":
            if self.device != "auto":
                raise DeviceError(
                    "device",
                    "mps can't draw the camera's noise",
                    "cpu or cuda",
                    "Give --device cpu.",
                )
            device = "cpu"
        settings, notes = self._settings()
        files = save_movie(
            settings, self.output, device=device, overwrite=self.overwrite, progress=progress
        )
        seconds = time.time() - started
        size = f"{settings.width_px} x {settings.height_px} pixels"
        return Result(
            outputs={
                "image": str(files.movie),
                "truth": str(files.truth),
                "settings": str(files.settings),
                "picture": str(files.picture),
                "n_frames": settings.n_frames,
                "n_emitters": files.n_emitters,
                "seed": settings.seed,
                "device": device,
            },
            summary=[
                *notes,
                f"{settings.n_frames} frames of {size} with {files.n_emitters} emitters in "
                f"{seconds:.1f} s on {device}.",
                f"Look at {files.picture} (first frame | sum | truth).",
            ],
        )

    def _settings(self) -> tuple[Simulation, list[str]]:
        """Give preset or earlier settings, made like the table, changed by what was given."""
        from bridge.smlm.movie_files import check_settings, read_settings
        from bridge.smlm.simulate import Simulation

        base = read_settings(self.settings) if self.settings else Simulation.presets()[self.preset]
        notes: list[str] = []
        if self.like:
            from bridge.smlm.like import conditions_like
            from bridge.smlm.table import read_table

            table = read_table(self.like, pixel_size_nm=self.pixel_size_nm)
            base, notes = conditions_like(table, base)
        content: dict[str, Any] = base.model_dump(mode="json")
        for mine, theirs in _PLAIN.items():
            if getattr(self, mine) is not None:
                content[theirs] = getattr(self, mine)
        if self.background_image:
            content["background_mask"] = self.background_image
        self._change_photons(content)
        self._change_psf(content)
        self._change_structure(content)
        self._change_blinking(content)
        self._change_camera(content)
        return check_settings(content, what="zoobridge simulate"), notes

    def _change_photons(self, content: dict[str, Any]) -> None:
        low, high = self.photons_min, self.photons_max
        if low is None and high is None:
            return
        before = content["photons"]
        if before["kind"] != "uniform" and (low is None or high is None):
            raise InputError(
                "--photons-min and --photons-max",
                "only one was given",
                "both, because the settings have no range to take the other from",
            )
        if low is not None and high is not None and low > high:
            raise InputError(
                "--photons-min and --photons-max",
                f"{low:g} is above {high:g}",
                "the lower one first",
            )
        content["photons"] = {
            "kind": "uniform",
            "low": before["low"] if low is None else low,
            "high": before["high"] if high is None else high,
        }

    def _change_psf(self, content: dict[str, Any]) -> None:
        from bridge.images.blur import FWHM_PER_SIGMA

        _choose(content, "psf", self.psf)
        kind, widths = content["psf"]["kind"], (self.fwhm_min_nm, self.fwhm_max_nm)
        heights = (self.z_min_nm, self.z_max_nm)
        if any(width is not None for width in widths):
            if kind != "integrated-gaussian":
                _refuse("--fwhm-min-nm and --fwhm-max-nm", f"a {kind} spot has its own width")
            given = [None if width is None else width / FWHM_PER_SIGMA for width in widths]
            content["psf"]["sigma_nm"] = _fill(given, content["psf"].get("sigma_nm"), "--fwhm")
        if any(height is not None for height in heights):
            if kind in ("integrated-gaussian", "measured"):
                _refuse("--z-min-nm and --z-max-nm", f"a {kind} spot doesn't take heights")
            content["psf"]["heights_nm"] = _fill(heights, content["psf"].get("heights_nm"), "--z")

    def _change_structure(self, content: dict[str, Any]) -> None:
        kind = "mask" if self.structure == "preset" and self.mask else self.structure
        if (kind == "mask") != bool(self.mask) and self.structure != "preset":
            _refuse(
                "--structure and --mask",
                "a mask needs an image"
                if kind == "mask"
                else f"the structure is {kind}, and it has no image",
            )
        _choose(content, "structure", kind)
        if self.mask:
            content["structure"]["path"] = self.mask

    def _change_blinking(self, content: dict[str, Any]) -> None:
        if self.on_time is not None:
            _choose(content, "blinking", "lifetimes" if self.on_time > 0 else "each-frame")
            if self.on_time > 0:
                content["blinking"]["on_frames"] = self.on_time
        if self.bleach_time is not None:
            if content["blinking"]["kind"] != "lifetimes":
                _refuse("--bleach-time", "emitters of independent frames can't bleach")
            content["blinking"]["bleach_frames"] = self.bleach_time

    def _change_camera(self, content: dict[str, Any]) -> None:
        pixel_size_nm = content["camera"]["pixel_size_nm"]
        _choose(content, "camera", self.camera)
        content["camera"].setdefault("pixel_size_nm", pixel_size_nm)
        for name in _CAMERA:
            value = getattr(self, name)
            if value is None:
                continue
            if name == "em_gain" and content["camera"]["kind"] != "emccd":
                _refuse("--em-gain", f"a {content['camera']['kind']} camera multiplies nothing")
            content["camera"][name] = value


def _choose(content: dict[str, Any], name: str, kind: str) -> None:
    """Take another kind with its usual values; the preset's own kind keeps the preset's."""
    if kind not in ("preset", content[name]["kind"]):
        content[name] = {"kind": kind}


def _fill(given: Any, before: Any, option: str) -> list[float]:
    """Complete a range by what was set before, and check its order."""
    what = f"{option}-min-nm and {option}-max-nm"
    if before is None and None in given:
        raise InputError(what, "only one was given", "both")
    low, high = (
        old if new is None else new for new, old in zip(given, before or given, strict=True)
    )
    if low > high:
        raise InputError(what, "the least is above the greatest", "the lower one first")
    return [low, high]


def _refuse(what: str, found: str) -> None:
    raise InputError(what, found, "options that fit each other", "Leave one out.")
