"""Does a result give its input back? The check that ``predict`` makes of every restored image.

::

    input ──► network ──► result ──► blur, bin, scale ──► compare with the input: RSP, RSE, error

The blur is the Gaussian that fits best (:mod:`bridge.quality.consistency`), on the input's pixels.
First, middle and last plane are checked, of a large plane its middle; so it costs a fraction of a
second. It never fails a run: where an image can't be checked, the report says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bridge.errors import ImageError, OutputError, ZooBridgeError
from bridge.images.blur import bin_pixels
from bridge.images.new_file import new_file
from bridge.images.preview import Marks, save_picture
from bridge.images.read import BESIDE_RESULTS, open_image
from bridge.jobs.same_field import (
    Match,
    find_matches,
    scale_between,
    why_no_image,
    why_no_images,
)
from bridge.quality.consistency import (
    LEAST_RSP,
    Consistency,
    compare_with_input,
    fit_sigma_px,
    low_agreement,
)
from bridge.quality.invented import (
    Invented,
    find_invented,
    measure_noise,
    noise_ceiling,
    value_range,
)
from bridge.runtime.files import FileResult
from bridge.runtime.predict import Predictor

_MOST_INPUT_PX: Final = 1024
_MOST_OUTPUT_PX: Final = 2048
_LEAST_CEILING: Final = 0.5
_TOO_WIDE_PX: Final = 9.9
_ERROR_SHARE: Final = 0.5  # of the input's range is white in the map of the error
_FLAT_DIMS: Final = ("y", "x")


@dataclass(frozen=True, eq=False)
class Look:
    """One plane of an output, compared with the input.

    Attributes
    ----------
    label : dict
        Which plane and channel, from 1.
    observed : DataArray, axes (y, x)
        The input, or its middle.
    consistency : Consistency
        Figures, blurred result and error map.
    sigma_px : float
        The blur, in the input's pixels.
    ceiling : float
        The RSP that the input's noise leaves.
    invented : sequence of Invented
        Places with structure that the input doesn't have.
    corner : (int, int)
        First row and column that were looked at.
    """

    label: Mapping[str, int]
    observed: xr.DataArray
    consistency: Consistency
    sigma_px: float
    ceiling: float
    invented: Sequence[Invented]
    corner: tuple[int, int]

    @property
    def is_low(self) -> bool:
        """Whether it disagrees with its input by more than noise explains."""
        return self.consistency.rsp < LEAST_RSP * max(self.ceiling, _LEAST_CEILING)

    def as_dict(self) -> dict[str, Any]:
        """Give the figures for the report."""
        found = self.consistency
        has_size = "x" in (self.observed.attrs.get("pixel_size_nm") or {})
        return {
            **self.label,
            "rsp": round(found.rsp, 4),
            "rse": float(f"{found.rse:.4g}"),
            "rse_of_range": float(f"{found.rse / max(value_range(self.observed), 1e-30):.4g}"),
            "rsp_that_noise_leaves": round(self.ceiling, 4),
            "sigma_px": round(self.sigma_px, 3),
            "sigma_nm": round(found.sigma_nm, 2) if has_size else None,
            "invented": [
                {
                    "y_px": round(self.corner[0] + place.y_px, 1),
                    "x_px": round(self.corner[1] + place.x_px, 1),
                    "area_px": place.area_px,
                    "share": place.share,
                }
                for place in self.invented
            ],
        }


@dataclass(frozen=True, eq=False)
class GivenBack:
    """What the check of one run found.

    Attributes
    ----------
    report : dict
        JSON values.
    warnings : list of str
        What a user should look at.
    worst : dict of Look
        Per checked output the plane to look at.
    """

    report: dict[str, Any]
    warnings: list[str] = field(default_factory=list)
    worst: Mapping[str, Look] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The figures in a sentence; empty where nothing was checked."""
        return str(self.report.get("summary", ""))


def check_given_back(
    predictor: Predictor, images: Mapping[str, xr.DataArray], outputs: Mapping[str, xr.DataArray]
) -> GivenBack:
    """Compare the outputs of a run with its input.

    Parameters
    ----------
    predictor : Predictor
        What ran.
    images, outputs : mapping of DataArray
        What went in, by the model's names, and what came out; lazy ones are read in part.

    Returns
    -------
    GivenBack
        With the reason, where nothing could be checked.
    """
    reason = why_no_images(predictor)
    if reason:
        return _not_checked(reason)
    name = predictor.input_names[0]
    image = images[name]
    if predictor.settings.channel and "c" in image.dims:
        image = image.isel(c=predictor.settings.channel - 1)
    looks: dict[str, list[Look]] = {}
    said: dict[str, Any] = {}
    for output, made in outputs.items():
        try:
            looks[output] = _look_at(predictor, image, made, output)
            said[output] = _describe(looks[output])
        except ZooBridgeError as error:
            said[output] = {"checked": False, "why": f"{error.what}: {error.found}"}
    if not looks:
        return _not_checked("; ".join(dict.fromkeys(one["why"] for one in said.values())))
    worst = {output: min(found, key=_badness) for output, found in looks.items()}
    is_volume = set(predictor.geometry.tiled) != set(_FLAT_DIMS)
    how = (
        "Blurred again by the Gaussian that fits best, and scaled, each output is compared with "
        f"the input '{name}'. {_tell_part(image, next(iter(looks.values())))}"
    )
    if is_volume:
        how += " Light from other planes isn't modelled, so nothing is warned of."
    report = {"checked": True, "how": how, "summary": _summarise(worst), "outputs": said}
    warnings = [] if is_volume else _warn(looks)
    return GivenBack(report, warnings, worst)


def check_file(
    predictor: Predictor,
    result: FileResult,
    *,
    axes: str = "",
    images: Mapping[str, xr.DataArray] | None = None,
) -> FileResult:
    """Check what was written for one image; the report gets the figures, a picture lies beside it.

    Parameters
    ----------
    predictor : Predictor
        What ran.
    result : FileResult
        What came of it; a failed one is given back as it is.
    axes : str
        The axes of the input file, where it doesn't say.
    images : mapping of DataArray, optional
        What went in, where it was open; otherwise the files are opened.

    Returns
    -------
    FileResult
        With ``report["consistency"]`` and the warnings.
    """
    if result.error is not None:
        return result
    try:
        found = _check_written(predictor, result, axes, images)
    except ZooBridgeError as error:
        found = _not_checked(f"{error.what}: {error.found}")
    warnings = [*result.warnings, *found.warnings]
    report = {**result.report, "warnings": warnings, "consistency": found.report}
    return replace(result, report=report, warnings=warnings)


def _check_written(
    predictor: Predictor,
    result: FileResult,
    axes: str,
    images: Mapping[str, xr.DataArray] | None,
) -> GivenBack:
    reason = why_no_images(predictor)
    if reason:
        return _not_checked(reason)
    given = images or {
        name: open_image(path, axes=axes or None) for name, path in result.order.inputs.items()
    }
    outputs = {name: open_image(path) for name, path in result.outputs.items()}
    try:
        found = check_given_back(predictor, given, outputs)
    finally:
        for opened in (*outputs.values(), *(() if images else given.values())):
            opened.close()
    paths = {name: picture_beside(Path(path)) for name, path in result.outputs.items()}
    return save_pictures(found, paths)


def picture_beside(path: Path) -> Path:
    """Give the place of the picture for a result's file."""
    return path.with_name(f"{path.stem}{BESIDE_RESULTS}")


def save_pictures(found: GivenBack, paths: Mapping[str, Path]) -> GivenBack:
    """Draw input, blurred result and error of each checked output.

    Parameters
    ----------
    found : GivenBack
        What was found.
    paths : mapping of Path
        Where to, per output; replaced if there.

    Returns
    -------
    GivenBack
        Its report names the pictures, or says why there is none.
    """
    outputs = dict(found.report.get("outputs", {}))
    for name, look in found.worst.items():
        try:
            with new_file(paths[name], overwrite=True) as part:
                _draw(part, look)
            outputs[name] = {**outputs[name], "picture": str(paths[name])}
        except OutputError as error:
            outputs[name] = {**outputs[name], "no_picture": str(error)}
    if not found.worst:
        return found
    drawn = [str(one["picture"]) for one in outputs.values() if "picture" in one]
    summary = f"{found.summary} See {', '.join(drawn)}." if drawn else found.summary
    return replace(found, report={**found.report, "summary": summary, "outputs": outputs})


def _look_at(
    predictor: Predictor, image: xr.DataArray, output: xr.DataArray, name: str
) -> list[Look]:
    reason = why_no_image(predictor.package.description, name)
    scale = scale_between(image, output)
    if not reason and not scale:
        reason = "its size isn't a whole multiple of the input's"
    matches = [] if reason else find_matches(predictor, image, output, name)
    if not reason and not matches:
        reason = "its planes or channels don't belong to those of the input"
    if reason:
        raise ImageError(f"output '{name}'", reason)
    looks: list[Look] = []
    failed: list[ImageError] = []
    for match in matches:
        try:
            looks.append(_compare(image, output, match, scale=scale, name=name))
        except ImageError as error:  # a frame without anything in it is no reason to see no other
            failed.append(error)
    if not looks:
        raise failed[0]
    return looks


def _compare(
    image: xr.DataArray, output: xr.DataArray, match: Match, *, scale: int, name: str
) -> Look:
    most = max(1, min(_MOST_INPUT_PX, _MOST_OUTPUT_PX // scale))
    sizes = {dim: int(image.sizes[dim]) for dim in _FLAT_DIMS}
    windows = {
        dim: slice((n - min(n, most)) // 2, (n - min(n, most)) // 2 + min(n, most))
        for dim, n in sizes.items()
    }
    fine = {dim: slice(one.start * scale, one.stop * scale) for dim, one in windows.items()}
    known = image.attrs.get("pixel_size_nm") or {}
    attrs = {"pixel_size_nm": {dim: known[dim] for dim in _FLAT_DIMS if dim in known}}
    observed = _flat(image.isel({**match.of_input, **windows}))
    restored = _flat(output.isel({**match.of_output, **fine}))
    planes = [
        xr.DataArray(
            bin_pixels(plane.values, factor), dims=_FLAT_DIMS, attrs={**attrs, "source": of}
        )
        for plane, factor, of in (
            (restored, scale, f"output '{name}'"),
            (observed, 1, "the input"),
        )
    ]
    sigma_px = fit_sigma_px(*planes)
    consistency = compare_with_input(*planes, sigma_px=sigma_px)
    noise = measure_noise(planes[1])
    return Look(
        match.label,
        planes[1],
        consistency,
        sigma_px,
        noise_ceiling(planes[1], noise),
        find_invented(consistency, planes[1], noise=noise, sigma_px=sigma_px),
        (windows["y"].start, windows["x"].start),
    )


def _flat(window: xr.DataArray) -> xr.DataArray:
    pixels = window.astype(np.float32)
    others = [dim for dim in pixels.dims if dim not in _FLAT_DIMS]
    return (pixels.mean(others) if others else pixels).transpose(*_FLAT_DIMS).load()


def _badness(look: Look) -> float:
    return look.consistency.rsp - sum(place.area_px for place in look.invented)


def _describe(looks: Sequence[Look]) -> dict[str, Any]:
    planes = [look.as_dict() for look in looks]
    lowest = min(planes, key=lambda plane: float(plane["rsp"]))
    figures = {key: lowest[key] for key in ("rsp", "rse", "rse_of_range")}
    return {"checked": True, **figures, "planes": planes}


def _tell_part(image: xr.DataArray, looks: Sequence[Look]) -> str:
    """Say which planes, and which part of them, were looked at."""
    words = []
    dims = [dim for dim in looks[0].label if dim != "channel"]
    for dim in dims:
        numbers = sorted({look.label[dim] for look in looks})
        words.append(f"{dim} {', '.join(map(str, numbers))} of {image.sizes[dim]}")
    seen, whole = looks[0].observed.shape, (image.sizes["y"], image.sizes["x"])
    part = "the whole plane"
    if seen != whole:
        part = f"the middle {seen[0]} x {seen[1]} of {whole[0]} x {whole[1]} pixels"
    return f"Looked at: {'; '.join([*words, part])}."


def _warn(looks: Mapping[str, Sequence[Look]]) -> list[str]:
    warnings = []
    for name, found in looks.items():
        low = [look for look in found if look.is_low]
        if low:
            lowest = min(low, key=lambda look: look.consistency.rsp)
            warnings.append(
                f"Output '{name}'{_name_plane(lowest)}: {low_agreement(lowest.consistency.rsp)}"
            )
        wide = next(
            (look for look in found if look.sigma_px > _TOO_WIDE_PX and not look.is_low), None
        )
        if wide:
            warnings.append(
                f"Output '{name}'{_name_plane(wide)} agrees best with its input under a blur of "
                f"{wide.sigma_px:.1f} px, the widest that is tried: only coarse light agrees."
            )
        doubtful = [look for look in found if look.invented and not look.is_low]
        if doubtful:
            look = min(doubtful, key=_badness)
            place, n = look.as_dict()["invented"][0], len(look.invented)
            warnings.append(
                f"Output '{name}'{_name_plane(look)} shows structure that its input doesn't have, "
                f"at {n} place{'s' if n > 1 else ''}; the largest is at x {place['x_px']:g}, "
                f"y {place['y_px']:g} px of the input ({place['area_px']} pixels)."
            )
    return warnings


def _name_plane(look: Look) -> str:
    words = [f"{dim} {number}" for dim, number in look.label.items()]
    return f" ({', '.join(words)})" if words else ""


def _summarise(worst: Mapping[str, Look]) -> str:
    figures = [
        f"{f'{name}: ' if len(worst) > 1 else ''}RSP {look.consistency.rsp:.3f}, "
        f"RSE {look.consistency.rse:.3g}"
        for name, look in worst.items()
    ]
    return (
        f"Blurred again, compared with the input: {'; '.join(figures)} (RSP 1 is best, noise keeps "
        "it below; RSE in the input's units)."
    )


def _draw(path: Path, look: Look) -> None:
    found, observed = look.consistency, look.observed
    low, high = (float(value) for value in np.percentile(observed, (0.1, 99.8)))
    top = _ERROR_SHARE * (high - low) or 1.0
    marks = None
    if look.invented:
        radius = max(4.0, max(place.area_px for place in look.invented) ** 0.5)
        places = np.array([(place.x_px, place.y_px) for place in look.invented], np.float64)
        marks = Marks(places[:, 0], places[:, 1], radius)
    panels = [
        (f"Input{_name_plane(look)}", observed),
        (f"Result, blurred again: RSP {found.rsp:.3f}", found.blurred),
        (
            f"Error: RSE {found.rse:.3g}, white {top:.3g} = {_ERROR_SHARE:.0%} of range",
            found.error_map,
        ),
    ]
    ranges = [(low, high), (low, high), (0.0, top)]
    save_picture(path, panels, ranges=ranges, marks=[None, marks, marks], is_small=False)


def _not_checked(reason: str) -> GivenBack:
    return GivenBack({"checked": False, "why": f"Not checked: {reason}."})


def switched_off(result: FileResult) -> FileResult:
    """Say in the report that nobody asked for the check."""
    found = _not_checked("it was switched off")
    return replace(result, report={**result.report, "consistency": found.report})
