"""Whether a model and a movie go together, asked before any frame is run.

A localizer outside what it was trained on fails without a sign: no emitters, or hundreds that
aren't there. So the movie is measured first, and one that the model can't know is refused with the
figures, unless the user wants it anyway.
"""

from __future__ import annotations

from typing import Final

import xarray as xr

from bridge.errors import ImageError
from bridge.progress import Progress, silent
from bridge.runtime.predict import Predictor
from bridge.smlm.camera import Scaling
from bridge.smlm.contradictions import find_contradictions
from bridge.smlm.heatmap_model import read_heatmap
from bridge.smlm.localize_plan import HeatmapPlan, LocalizerPlan, Plan, Wanted
from bridge.smlm.localizer_model import is_localizer, least_sum, read_localizer
from bridge.smlm.measure import measure_movie

_PIXEL_TOLERANCE: Final = 0.02


def check_model(predictor: Predictor) -> None:
    """Refuse a model that gives neither heatmaps nor coordinates.

    Raises
    ------
    PackageError
        It says what the model gives instead.
    """
    if is_localizer(predictor.package):
        read_localizer(predictor.package, predictor.geometry)
    else:
        read_heatmap(predictor.package, predictor.geometry)


def trained_camera(predictor: Predictor) -> Scaling | None:
    """Give offset and gain of the camera that a localizer was trained for, where it says them."""
    if not is_localizer(predictor.package):
        return None
    conditions = read_localizer(predictor.package, predictor.geometry).conditions
    return None if conditions is None else conditions.camera.scaling()


def plan_movie(
    predictor: Predictor, movie: xr.DataArray, wanted: Wanted, progress: Progress = silent
) -> Plan:
    """Check that a package and a movie go together, and say what is to be done.

    Parameters
    ----------
    predictor : Predictor
        The package.
    movie : DataArray, axes (t, y, x) or (t, c, y, x)
        From :func:`bridge.smlm.movie_blocks.take_frames`.
    wanted : Wanted
        What the user asks for.
    progress : Progress
        Told while a localizer's movie is measured.

    Returns
    -------
    Plan

    Raises
    ------
    PackageError
        The model gives neither heatmaps nor coordinates.
    ImageError
        The movie isn't one that the model can know.
    InputError
        The threshold isn't one of this model.
    """
    package = predictor.package
    if not is_localizer(package):
        return HeatmapPlan(wanted, read_heatmap(package, predictor.geometry))
    plan = LocalizerPlan(wanted, read_localizer(package, predictor.geometry))
    least_sum(wanted.threshold)
    _check_form(plan, movie)
    _check_pixel_size(plan, movie)
    _check_range(plan, movie, progress)
    return plan


def _check_form(plan: LocalizerPlan, movie: xr.DataArray) -> None:
    what = str(movie.attrs.get("source") or "the movie")
    n_channels = movie.sizes.get("c", 1)
    if n_channels > 1:
        rgb = " (an RGB image?)" if n_channels in (3, 4) else ""
        raise ImageError(
            what,
            f"{n_channels} channels{rgb}",
            "frames of one channel",
            "Choose one with --channel 1, --channel 2 ...; if that axis is not colour, say what "
            "the axes are with --axes.",
        )
    if movie.dtype.kind not in "buif":
        raise ImageError(what, f"values of type {movie.dtype}", "numbers")
    if plan.n_side and movie.sizes["t"] == 1:
        plan.warnings.append(
            f"The movie has one frame, and the model looks at {plan.model.frames} in a row: the "
            "frame stands for its neighbours, so what blinking tells is missing."
        )
    if plan.wanted.radius:
        plan.warnings.append("radius_px is for models of heatmaps; this one gives coordinates.")
    if plan.wanted.camera is not None and plan.model.conditions is None:
        plan.warnings.append(
            "The package doesn't say which camera it was trained for, so the camera's offset and "
            "gain were not used."
        )


def _check_pixel_size(plan: LocalizerPlan, movie: xr.DataArray) -> None:
    given, trained = plan.wanted.pixel_size_nm, plan.model.pixel_size_nm
    if abs(given / trained - 1) <= _PIXEL_TOLERANCE:
        return
    found = f"its pixels are {given:g} nm, and the model was trained for {trained:g} nm"
    if not plan.wanted.anyway:
        raise ImageError(
            str(movie.attrs.get("source") or "the movie"),
            f"{found}: its spots are {trained / given:.3g} times as wide in pixels",
            f"{trained * (1 - _PIXEL_TOLERANCE):.4g} to {trained * (1 + _PIXEL_TOLERANCE):.4g} nm",
            "Take a model for these pixels, or train one; --anyway goes on.",
        )
    plan.warnings.append(f"Gone on anyway: {found}.")


def _check_range(plan: LocalizerPlan, movie: xr.DataArray, progress: Progress) -> None:
    """Measure the movie, and compare it with what the model was trained on."""
    conditions, camera = plan.model.conditions, plan.camera()
    if conditions is None or camera is None:
        return
    plane = movie.squeeze("c", drop=True) if "c" in movie.dims else movie
    facts = measure_movie(plane, camera=camera, progress=progress)
    plan.facts = facts.as_dict()
    found = find_contradictions(facts, conditions)
    serious = [c.sentence for c in found if c.is_serious]
    if serious and not plan.wanted.anyway:
        raise ImageError(
            str(movie.attrs.get("source") or "the movie"),
            " ".join(serious),
            f"a movie like those that {plan.model.name} was trained on",
            "Check the camera (--camera-offset-adu, --photons-per-adu), take a model for such "
            "movies, or train one; --anyway goes on.",
        )
    plan.warnings += [c.sentence for c in found]
