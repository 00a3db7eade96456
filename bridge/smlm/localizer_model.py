"""A model that gives coordinates: what its package says, how its output becomes rows.

Each pixel of the output says how likely an emitter is in it, and if so where, how bright, and how
sure that is. The rule that makes rows of it: a pixel is an emitter where its probability is the
highest of 3 x 3 and above 0.1, and the cross of five pixels around adds up to more than 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bridge.errors import InputError, PackageError
from bridge.runtime.geometry import Geometry
from bridge.smlm.camera import Scaling
from bridge.smlm.frame_reading import Reading
from bridge.smlm.localize import Threshold
from bridge.smlm.patches import PatchConditions
from bridge.smlm.peak_kernels import find_emitters
from bridge.zoo.description import own_config
from bridge.zoo.package import Package

LEAST_PROBABILITY: Final = 0.1
"""A lone pixel's probability below which nobody looks at it."""
LEAST_SUM: Final = 0.5
"""Probability in a cross of five pixels above which there is an emitter."""

_LATERAL: Final = ("probability", "x_px", "y_px", "photons", "background")
_SIGMAS: Final = ("sigma_x_px", "sigma_y_px", "sigma_photons")


@dataclass(frozen=True)
class LocalizerModel:
    """What a package says of its output.

    Attributes
    ----------
    name : str
        The package's name.
    frames : int
        Frames that it looks at for each, odd: the middle one is localized.
    outputs : tuple of str
        What each channel of its output is.
    pixel_size_nm : float
        Edge of the camera pixels that it was trained for.
    conditions : PatchConditions or None
        What it was trained on; None where the package doesn't say it.
    notes : tuple of str
        What is doubtful.
    """

    name: str
    frames: int
    outputs: tuple[str, ...]
    pixel_size_nm: float
    conditions: PatchConditions | None
    notes: tuple[str, ...] = ()

    @property
    def n_side(self) -> int:
        """Frames of context on either side."""
        return self.frames // 2


def read_localizer(package: Package, geometry: Geometry) -> LocalizerModel:
    """Check that a package gives coordinates as ``models_zoo/localizer`` does.

    Parameters
    ----------
    package : Package
        An opened package, of the task ``localization``.
    geometry : Geometry
        Its tensors.

    Returns
    -------
    LocalizerModel

    Raises
    ------
    PackageError
        What it says of itself doesn't fit together.
    """
    config = own_config(package.description)

    def refuse(found: str, expected: str) -> PackageError:
        return PackageError(
            package.name,
            f"it is no localizer, though it says so: {found}",
            expected,
            "Tell the package's authors, or train one with 'zoobridge train'.",
        )

    if len(geometry.inputs) != 1 or len(geometry.outputs) != 1:
        found = f"{len(geometry.inputs)} inputs and {len(geometry.outputs)} outputs"
        raise refuse(found, "one of each")
    source, target = geometry.inputs[0], geometry.outputs[0]
    outputs = tuple(str(name) for name in config.get("outputs", ()))
    missing = [name for name in (*_LATERAL, *_SIGMAS) if name not in outputs]
    if missing:
        raise refuse(f"config.zoobridge.outputs has no {', '.join(missing)}", "all of them")
    if target.n_channels not in (None, len(outputs)):
        raise refuse(f"{target.n_channels} channels, and {len(outputs)} names for them", "a pair")
    frames = config.get("frames", 1)
    if not isinstance(frames, int) or frames % 2 != 1 or source.n_channels not in (None, frames):
        found = f"{source.n_channels} channels in, and config.zoobridge.frames is {frames!r}"
        raise refuse(found, "an odd number of frames, one channel for each")
    same_grid = all(
        target.affines[dim].ratio == 1 and target.affines[dim].offset == 0 for dim in target.tiled
    )
    if set(source.tiled) != {"y", "x"} or set(target.tiled) != {"y", "x"} or not same_grid:
        raise refuse("its output isn't on the camera's pixels", "the grid of its input")
    size_nm = config.get("pixel_size_nm")
    if not isinstance(size_nm, int | float) or size_nm <= 0:
        raise refuse(f"config.zoobridge.pixel_size_nm is {size_nm!r}", "a size in nm")
    conditions, notes = _read_conditions(config.get("trained_on"))
    return LocalizerModel(package.name, frames, outputs, float(size_nm), conditions, notes)


def _read_conditions(said: Any) -> tuple[PatchConditions | None, tuple[str, ...]]:
    known = set(PatchConditions.model_fields)
    try:
        if not isinstance(said, dict) or not {"camera", "psf"} <= set(said):
            raise ValueError
        return PatchConditions.model_validate({k: v for k, v in said.items() if k in known}), ()
    except (ValidationError, ValueError):
        note = (
            "The package doesn't say what it was trained on (config.zoobridge.trained_on), so "
            "nobody can tell whether this movie is like it."
        )
        return None, (note,)


def least_sum(threshold: Threshold) -> float:
    """Give the probability that a threshold asks for: 0.5 for ``auto``, else its number.

    Raises
    ------
    InputError
        It isn't between 0 and 1.
    """
    if threshold.kind == "auto":
        return LEAST_SUM
    if not 0 < threshold.value < 1:
        raise InputError(
            "--threshold",
            f"{threshold.value:g}, and this model gives probabilities",
            "auto, or a number between 0 and 1",
            "auto (0.5) suits most movies.",
        )
    return threshold.value


def emitter_reading(
    model: LocalizerModel,
    *,
    threshold: float = LEAST_SUM,
    pixel_size_nm: float,
    offset_px: tuple[int, int] = (0, 0),
) -> Reading:
    """Say how a localizer's output becomes rows.

    Parameters
    ----------
    model : LocalizerModel
        What the package says.
    threshold : float
        Probability above which there is an emitter, 0 < threshold < 1.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    offset_px : (int, int)
        x and y of the movie's corner in the whole field, in camera pixels.

    Returns
    -------
    Reading
        Columns as ThunderSTORM orders them, with an uncertainty for each figure.
    """
    channel = {name: number for number, name in enumerate(model.outputs)}
    has_z = {"z_nm", "sigma_z_nm"} <= set(channel)
    columns = (
        *("x_nm", "y_nm", *(["z_nm"] if has_z else []), "photons", "background"),
        *("uncertainty_xy_nm", "uncertainty_x_nm", "uncertainty_y_nm"),
        *(["uncertainty_z_nm"] if has_z else []),
        *("uncertainty_photons", "probability"),
    )
    least = min(LEAST_PROBABILITY, threshold)

    def read(frame: NDArray[np.float32]) -> NDArray[np.float64]:
        probability = frame[channel["probability"]]
        rows, at, sums = find_emitters(probability, least, threshold)

        def pick(name: str) -> NDArray[np.float64]:
            picked: NDArray[np.float64] = frame[channel[name], rows, at].astype(np.float64)
            return picked

        sigma_x_nm, sigma_y_nm = (pick(f"sigma_{axis}_px") * pixel_size_nm for axis in "xy")
        found = {
            "x_nm": (at + 0.5 + pick("x_px") + offset_px[0]) * pixel_size_nm,
            "y_nm": (rows + 0.5 + pick("y_px") + offset_px[1]) * pixel_size_nm,
            "photons": pick("photons"),
            "background": pick("background"),
            "uncertainty_xy_nm": np.sqrt((sigma_x_nm**2 + sigma_y_nm**2) / 2),
            "uncertainty_x_nm": sigma_x_nm,
            "uncertainty_y_nm": sigma_y_nm,
            "uncertainty_photons": pick("sigma_photons"),
            "probability": sums,
        }
        if has_z:
            found |= {"z_nm": pick("z_nm"), "uncertainty_z_nm": pick("sigma_z_nm")}
        return np.column_stack([found[name] for name in columns])

    return Reading(columns, read)


def match_counts(
    counts: NDArray[Any], camera: Scaling, trained_for: Scaling
) -> NDArray[np.float32]:
    """Give the counts that the camera a model was trained for would show for the same light.

    Parameters
    ----------
    counts : ndarray
        Counts of ``camera``.
    camera : Scaling
        The movie's camera.
    trained_for : Scaling
        The model's camera.

    Returns
    -------
    ndarray, float32
        ``(counts - offset) * photons_per_adu``, as photons of both, turned back into counts.
    """
    ratio = np.float32(camera.photons_per_adu / trained_for.photons_per_adu)
    matched: NDArray[np.float32] = (counts.astype(np.float32) - np.float32(camera.offset_adu)) * (
        ratio
    ) + np.float32(trained_for.offset_adu)
    return matched
