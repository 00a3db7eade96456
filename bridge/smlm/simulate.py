"""Simulated movies with known emitters, streamed block by block, and presets of known programs.

::

    structure --layout--> blinking --> emitters of every frame --drift--> PSF + background
                                              |                               |
                                        truth table                 camera --> counts

All emitters are drawn first, on the processor; frames are then computed in blocks on any device,
and never held together. Coordinates: from the outer corner of the top left pixel, frames from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from bridge.progress import Progress, silent
from bridge.smlm.blinking import (
    Blinking,
    EachFrame,
    Lifetimes,
    LogNormalPhotons,
    NormalPhotons,
    Photons,
    UniformPhotons,
)
from bridge.smlm.camera import Camera, Ccd, Emccd
from bridge.smlm.layout import View, read_mask
from bridge.smlm.patches import smooth_field
from bridge.smlm.psf import Astigmatic, IntegratedGaussian, Psf
from bridge.smlm.structures import Filaments, Structure, Uniform

_BLOCK_PX = 1 << 20  # pixels of a block; a part of the seed's meaning, so it follows no machine
_MOST_BLOCK_FRAMES = 64


class Simulation(BaseModel):
    """What is in front of the camera, and how it is filmed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    width_px: Annotated[int, Field(ge=4, le=16_384)] = 128
    """Width of a frame, in camera pixels."""
    height_px: Annotated[int, Field(ge=4, le=16_384)] = 128
    """Height of a frame, in camera pixels."""
    n_frames: Annotated[int, Field(ge=1, le=10_000_000)] = 100
    """Length of the movie."""
    density_per_um2: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Emitters per square micrometre of the field and frame, on average; with a mask, where it is
    brightest."""
    photons: Photons = LogNormalPhotons()
    """Photons of an emitter in a frame in which it shines all the time."""
    background_photons: Annotated[float, Field(ge=0, le=1e6)] = 10.0
    """Photons per pixel and frame that come from elsewhere, on average."""
    background_variation: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The background varies smoothly over the field by up to this part of its mean."""
    background_mask: Path | None = None
    """Image (y, x) that the background is multiplied with, scaled by its maximum to 0 .. 1."""
    psf: Psf = IntegratedGaussian()
    """Point spread function."""
    camera: Camera = Ccd()
    """The camera; its pixel size is that of the movie."""
    structure: Structure = Uniform()
    """What the emitters sit on."""
    blinking: Blinking = EachFrame()
    """When they shine."""
    drift_nm: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Distance that the sample drifts evenly from the first to the last frame, in nm."""
    drift_angle_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0
    """Direction of the drift: 0 to the right, 90 down."""
    margin_px: Annotated[float, Field(ge=0, le=64)] = 4.0
    """Emitters this far outside shine into the field; the truth leaves them out."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """The same seed gives the same movie on the same kind of device."""

    @classmethod
    def presets(cls) -> Mapping[str, Simulation]:
        """Give ready-made settings by name.

        Returns
        -------
        mapping of str to Simulation
            ``thunderstorm``: the defaults of its "Generator of simulated data". ``dsir``: what
            DSIR's authors set there. ``deep-storm``: the simulator of the ZeroCostDL4Mic notebook.
            ``challenge``: the EMCCD and field of the 2016 challenge's astigmatic data.
            ``smlm-benchmark``: the movie on which this project compares localizers. ``filaments``:
            dense blinking filaments, what Deep-STORM is for.
        """
        return MappingProxyType({name: make() for name, make in _PRESETS.items()})

    def view(self) -> View:
        """Give the part of the sample that is filled with emitters."""
        pixel_nm = self.camera.pixel_size_nm
        return View(
            self.width_px * pixel_nm,
            self.height_px * pixel_nm,
            self.margin_px * pixel_nm,
            self.psf.z_range_nm(),
        )


class Movie(NamedTuple):
    """A movie that is computed while it is read."""

    truth: pd.DataFrame
    """A row for each emitter in each frame, with the columns of our tables; ``x_nm`` and ``y_nm``
    include the drift, as in ThunderSTORM's ground truth, ``background`` is that of the emitter's
    pixel and ``background_std`` its square root."""
    blocks: Iterator[NDArray[np.uint16]]
    """Counts (t, y, x), a run of frames at a time, in order; can be read once."""


def simulate_movie(
    settings: Simulation, *, device: str | torch.device = "cpu", progress: Progress = silent
) -> Movie:
    """Simulate a movie and say where its emitters are.

    Follows the order of ThunderSTORM's generator: drift, spots, background, Poisson noise, electron
    multiplication, electrons per count, offset, rounding.

    Parameters
    ----------
    settings : Simulation
        What to simulate.
    device : str or torch.device
        Where the frames are computed.
    progress : Progress
        Told of the frames done, while the blocks are read.

    Returns
    -------
    Movie
        Truth, and the frames as they are computed.

    Raises
    ------
    ImageError
        A mask, a map of the chip or a measured spot cannot be read.
    InputError
        The point spread function needs a library that is missing.
    """
    emitters = _draw_emitters(settings)
    light = _light_background(settings)
    truth = _tell_truth(settings, emitters, light)
    blocks = _film(settings, emitters, light, torch.device(device), progress)
    return Movie(truth, blocks)


def block_frames(settings: Simulation) -> int:
    """Give how many frames a block of the movie holds, at most."""
    fitting = _BLOCK_PX // (settings.width_px * settings.height_px)
    return min(max(fitting, 1), _MOST_BLOCK_FRAMES)


class _Emitters(NamedTuple):
    """Emitters in frames, those in the margin among them, sorted by frame."""

    frame: NDArray[np.int64]  # from 0
    x_px: NDArray[np.float64]
    y_px: NDArray[np.float64]
    z_nm: NDArray[np.float64]
    photons: NDArray[np.float64]
    sigma_nm: NDArray[np.float64]

    def within(self, margin_px: float, settings: Simulation) -> _Emitters:
        """Leave out those that are further than a margin outside the field."""
        width, height = settings.width_px + margin_px, settings.height_px + margin_px
        is_in = (self.x_px >= -margin_px) & (self.x_px < width)
        is_in &= (self.y_px >= -margin_px) & (self.y_px < height)
        return _Emitters(
            self.frame[is_in],
            self.x_px[is_in],
            self.y_px[is_in],
            self.z_nm[is_in],
            self.photons[is_in],
            self.sigma_nm[is_in],
        )


def _draw_emitters(settings: Simulation) -> _Emitters:
    rng = np.random.default_rng(settings.seed)
    view = settings.view()
    layout = settings.structure.lay_out(view, rng)
    shining = settings.blinking.shine(
        layout,
        settings.photons,
        n_frames=settings.n_frames,
        mean_active=settings.density_per_um2 * view.area_um2 * layout.share,
        rng=rng,
    )
    n_blinks = int(shining.blink.max(initial=-1)) + 1
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    sigma_nm = settings.psf.draw_sigma_nm(1, n_blinks, generator=generator)[0].double().numpy()
    passed = shining.frame / max(settings.n_frames - 1, 1)
    angle = np.deg2rad(settings.drift_angle_deg)
    pixel_nm = settings.camera.pixel_size_nm
    x_px = (shining.places[:, 0] + settings.drift_nm * passed * np.cos(angle)) / pixel_nm
    y_px = (shining.places[:, 1] + settings.drift_nm * passed * np.sin(angle)) / pixel_nm
    drawn = _Emitters(
        shining.frame,
        x_px,
        y_px,
        shining.places[:, 2],
        shining.photons,
        sigma_nm[shining.blink],
    )
    # As in ThunderSTORM, an emitter that has drifted away is gone, light and all.
    return drawn.within(settings.margin_px, settings)


def _light_background(settings: Simulation) -> Tensor:
    """Give the background's photons per pixel, (y, x) float32."""
    generator = torch.Generator().manual_seed(settings.seed)
    shape = (settings.height_px, settings.width_px)
    light = smooth_field((1, *shape), settings.background_variation, generator=generator)
    if settings.background_mask is not None:
        mask = torch.from_numpy(read_mask(settings.background_mask)).float()
        light = light * torch.nn.functional.interpolate(mask[None, None], size=shape)[0]
    return settings.background_photons * light[0]


def _tell_truth(settings: Simulation, emitters: _Emitters, light: Tensor) -> pd.DataFrame:
    inside = emitters.within(0.0, settings)
    pixel_nm = settings.camera.pixel_size_nm
    background = light.double().numpy()[inside.y_px.astype(int), inside.x_px.astype(int)]
    columns: dict[str, NDArray[np.int64] | NDArray[np.float64]] = {
        "id": np.arange(1, len(inside.frame) + 1),
        "frame": inside.frame + 1,
        "x_nm": inside.x_px * pixel_nm,
        "y_nm": inside.y_px * pixel_nm,
    }
    low, high = settings.psf.z_range_nm()
    if high > low:
        columns["z_nm"] = inside.z_nm
    widths = settings.psf.widths_nm(*map(torch.from_numpy, (inside.z_nm, inside.sigma_nm)))
    if widths is not None and high > low:
        columns["sigma1_nm"], columns["sigma2_nm"] = (width.numpy() for width in widths)
    elif widths is not None:
        columns["sigma_nm"] = widths[0].numpy()
    columns |= {
        "photons": inside.photons,
        "background": background,
        "background_std": np.sqrt(background),
    }
    truth = pd.DataFrame(columns)
    truth.attrs.update(
        pixel_size_nm=pixel_nm,
        source="simulation",
        history=[f"Simulated with seed {settings.seed}."],
        warnings=[],
    )
    return truth


def _film(
    settings: Simulation,
    emitters: _Emitters,
    light: Tensor,
    device: torch.device,
    progress: Progress,
) -> Iterator[NDArray[np.uint16]]:
    generator = torch.Generator(device).manual_seed(settings.seed)
    light = light.to(device)
    step = block_frames(settings)
    for first in range(0, settings.n_frames, step):
        n = min(step, settings.n_frames - first)
        spots = _pad(emitters, first, n, device)
        mean = settings.psf.render(
            *spots,
            pixel_size_nm=settings.camera.pixel_size_nm,
            shape=(settings.height_px, settings.width_px),
        )  # (t, y, x)
        counts = settings.camera.expose(mean + light, generator=generator)  # (t, y, x)
        yield counts.cpu().numpy().astype(np.uint16)
        progress(first + n, settings.n_frames, "simulating")


def _pad(emitters: _Emitters, first: int, n_frames: int, device: torch.device) -> list[Tensor]:
    """Give x, y, z, photons and sigma of a run of frames, each (t, n); unused places have 0."""
    ends = np.searchsorted(emitters.frame, np.arange(first, first + n_frames + 1))
    number = np.diff(ends)
    row = np.repeat(np.arange(n_frames), number)
    place = np.arange(len(row)) - np.repeat(ends[:-1] - ends[0], number)
    padded = []
    for values in emitters[1:]:
        table = np.zeros((n_frames, number.max(initial=0)), dtype=np.float32)
        table[row, place] = values[ends[0] : ends[-1]]
        padded.append(table)
    padded[-1][padded[3] == 0] = 1.0  # a width of 0 would be a division by 0
    return [torch.from_numpy(table).to(device) for table in padded]


def _thunderstorm() -> Simulation:
    """Give the generator's defaults; quantum efficiency and read noise aren't applied there."""
    return Simulation(
        width_px=256,
        height_px=256,
        n_frames=1000,
        density_per_um2=0.1,
        photons=UniformPhotons(low=700.0, high=900.0),
        background_photons=30.0,
        psf=IntegratedGaussian.from_fwhm(200.0, 350.0),
        camera=Ccd(pixel_size_nm=80.0, offset_adu=414.0, electrons_per_adu=3.6, read_noise_e=0.0),
        margin_px=0.0,
    )


def _dsir() -> Simulation:
    """Give DSIR's published settings; what they don't name is the generator's default."""
    return Simulation(
        width_px=26,
        height_px=26,
        n_frames=3500,
        density_per_um2=2.0,
        photons=UniformPhotons(low=80.0, high=2050.0),
        background_photons=20.0,
        psf=IntegratedGaussian.from_fwhm(200.0, 300.0),
        camera=Ccd(offset_adu=100.0, electrons_per_adu=3.6, read_noise_e=0.0),
        margin_px=0.0,
    )


def _deep_storm() -> Simulation:
    """Give the notebook's; its normal width (110 nm, 5) is uniform here, with the same spread."""
    return Simulation(
        width_px=64,
        height_px=64,
        n_frames=20,
        density_per_um2=6.0,
        photons=NormalPhotons(mean=2250.0, deviation=250.0),
        background_photons=0.0,
        psf=IntegratedGaussian(sigma_nm=(110.0 - 5.0 * 3**0.5, 110.0 + 5.0 * 3**0.5)),
        camera=Ccd(offset_adu=50.0, read_noise_e=4.5),
        margin_px=0.0,
        seed=1,
    )


def _challenge() -> Simulation:
    """Give the camera of DECODE's challenge settings, and its template's emitters."""
    return Simulation(
        width_px=64,
        height_px=64,
        n_frames=1000,
        density_per_um2=20 / 16,
        photons=NormalPhotons(mean=10_000.0, deviation=3000.0),
        background_photons=100.0,
        psf=Astigmatic(heights_nm=(-750.0, 750.0)),
        camera=Emccd(),
        blinking=Lifetimes(on_frames=2.0),
    )


def _smlm_benchmark() -> Simulation:
    return Simulation(
        n_frames=300,
        density_per_um2=1.0,
        photons=UniformPhotons(low=1000.0, high=1000.0),
        background_photons=10.0,
        psf=IntegratedGaussian(sigma_nm=(130.0, 130.0)),
        camera=Ccd(offset_adu=100.0, electrons_per_adu=1.0, read_noise_e=1.5),
        margin_px=0.0,
    )


def _filaments() -> Simulation:
    return Simulation(
        n_frames=500,
        density_per_um2=3.0,
        photons=LogNormalPhotons(median=1000.0, spread=0.3),
        background_photons=10.0,
        background_variation=0.3,
        structure=Filaments(),
        blinking=Lifetimes(on_frames=1.5),
    )


_PRESETS = MappingProxyType(
    {
        "thunderstorm": _thunderstorm,
        "dsir": _dsir,
        "deep-storm": _deep_storm,
        "challenge": _challenge,
        "smlm-benchmark": _smlm_benchmark,
        "filaments": _filaments,
    }
)
