"""Who localizes: networks, the classical fit and Picasso, all asked in the same way.

A contender turns camera frames into a table. Networks run as ``zoobridge localize`` runs them,
the fit is :mod:`bridge.smlm.fit`, and Picasso (Schnitzbauer et al., Nature Protocols 12, 1198
(2017); package ``picassosr``) is used where it is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

import matplotlib
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import VerdictError
from bridge.progress import Progress, silent
from bridge.runtime.predict import Predictor
from bridge.smlm.camera import Camera
from bridge.smlm.evaluate import evaluate
from bridge.smlm.fit import fit_spots
from bridge.smlm.frame_reading import is_localizer
from bridge.smlm.localize import Threshold
from bridge.smlm.localize_movie import localize_movie
from bridge.smlm.localizer_model import read_localizer
from bridge.smlm.patches import PatchConditions

NET_GRADIENTS: Final = (150.0, 300.0, 600.0, 1200.0, 2400.0)
"""Picasso's thresholds to choose from."""

_BOX_PX: Final = 7
_NO_ROWS: Final = ("frame", "x_nm", "y_nm")

Kind = Literal["network", "fit", "table"]


class Localize(Protocol):
    """Frames (t, y, x) of camera counts to localizations, frames from 1, outer corner at 0."""

    def __call__(self, frames: NDArray[np.generic], progress: Progress = silent) -> pd.DataFrame:
        """Localize, and tell ``progress``; it may raise ``Cancelled``."""


@dataclass
class Contender:
    """One that localizes."""

    name: str
    """For people."""
    kind: Kind
    """What it is."""
    localize: Localize
    """Does it."""
    context: int = 0
    """Frames on either side that it looks at."""
    settle: Callable[[NDArray[np.generic], pd.DataFrame], None] | None = None
    """Chooses its settings once, by frames and their truth, which is more than users have."""
    notes: list[str] = field(default_factory=list)
    """What is to be known of it, as sentences; filled while it runs."""

    def note(self, sentence: str) -> None:
        """Keep a sentence, once."""
        if sentence and sentence not in self.notes:
            self.notes.append(sentence)


def network_contender(
    predictor: Predictor, *, camera: Camera, threshold: Threshold | None = None
) -> Contender:
    """Let a package localize, whatever the frames are like.

    Parameters
    ----------
    predictor : Predictor
        A localizer, or a model of heatmaps.
    camera : Camera
        That of the frames.
    threshold : Threshold, optional
        How likely an emitter must be; by default automatic.

    Returns
    -------
    Contender
        What doesn't fit the model's training becomes a note instead of an error.
    """
    has_coordinates = is_localizer(predictor.package)
    context = 0
    if has_coordinates:
        context = read_localizer(predictor.package, predictor.geometry).n_side

    def localize(frames: NDArray[np.generic], progress: Progress = silent) -> pd.DataFrame:
        size_nm = camera.pixel_size_nm
        movie = xr.DataArray(
            frames, dims=("t", "y", "x"), attrs={"pixel_size_nm": {"y": size_nm, "x": size_nm}}
        )
        try:
            found = localize_movie(
                predictor,
                movie,
                pixel_size_nm=size_nm,
                threshold=threshold,
                camera=camera.scaling() if has_coordinates else None,
                anyway=True,
                progress=progress,
            )
        except VerdictError:  # black: nothing in any frame, which is right where they are empty
            contender.note("In some frames its output was black.")
            return pd.DataFrame({name: [] for name in _NO_ROWS})
        return found.table

    contender = Contender(predictor.package.name, "network", localize, context)
    return contender


def trained_on(predictor: Predictor) -> PatchConditions | None:
    """Give what a localizer says it was trained on; None for others."""
    if not is_localizer(predictor.package):
        return None
    return read_localizer(predictor.package, predictor.geometry).conditions


def fit_contender(camera: Camera) -> Contender:
    """Let the classical fit of single spots localize.

    Parameters
    ----------
    camera : Camera
        That of the frames.

    Returns
    -------
    Contender
    """

    def localize(frames: NDArray[np.generic], progress: Progress = silent) -> pd.DataFrame:
        return fit_spots(frames, camera=camera, progress=progress)

    return Contender("single-spot fit", "fit", localize)


def has_picasso() -> bool:
    """Tell whether ``picassosr`` is installed."""
    spec = importlib.util.find_spec("picasso")
    return spec is not None and importlib.util.find_spec("picasso.localize") is not None


def picasso_contender(camera: Camera) -> Contender:
    """Let Picasso localize, by least squares in boxes of 7 pixels.

    Parameters
    ----------
    camera : Camera
        That of the frames.

    Returns
    -------
    Contender
        It settles its least net gradient with the truth in hand.
    """
    gradient = NET_GRADIENTS[2]

    def localize(frames: NDArray[np.generic], progress: Progress = silent) -> pd.DataFrame:
        progress(0, 1, "Picasso")
        return run_picasso(frames, camera=camera, net_gradient=gradient)

    def settle(frames: NDArray[np.generic], truth: pd.DataFrame) -> None:
        nonlocal gradient
        gradient = choose_net_gradient(frames, truth, camera=camera)
        contender.note(
            f"It was given the least net gradient ({gradient:g}) that the truth shows to be "
            "best at the first density."
        )

    contender = Contender("Picasso", "fit", localize, settle=settle)
    return contender


def run_picasso(
    frames: NDArray[np.generic], *, camera: Camera, net_gradient: float
) -> pd.DataFrame:
    """Localize frames with Picasso.

    Parameters
    ----------
    frames : ndarray, axes (t, y, x)
        Camera counts.
    camera : Camera
        Gives offset, gain and pixel size.
    net_gradient : float
        What a spot has to exceed.

    Returns
    -------
    DataFrame
        In our columns; Picasso's places count from the middle of the first pixel.
    """
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with matplotlib.rc_context():  # Picasso changes how everybody's figures look
        localize = importlib.import_module("picasso.localize")  # heavy, no dependency of ours
    n, height, width = frames.shape
    scaling = camera.scaling()
    size_nm = camera.pixel_size_nm
    spots = localize.localize_frames(
        frames.astype(np.uint16),
        [{"Frames": n, "Height": height, "Width": width}],
        {"Min. Net Gradient": net_gradient, "Box Size": _BOX_PX},
        camera_info={
            "Baseline": scaling.offset_adu,
            "Sensitivity": scaling.photons_per_adu,
            "Gain": 1,
            "Qe": 1.0,
            "Pixelsize": size_nm,
        },
        threaded=False,
    )
    found = pd.DataFrame(
        {
            "frame": np.asarray(spots["frame"], np.int64) + 1,
            "x_nm": (np.asarray(spots["x"], np.float64) + 0.5) * size_nm,
            "y_nm": (np.asarray(spots["y"], np.float64) + 0.5) * size_nm,
            "photons": np.asarray(spots["photons"], np.float64),
            "background": np.asarray(spots["bg"], np.float64),
            "uncertainty_x_nm": np.asarray(spots["lpx"], np.float64) * size_nm,
            "uncertainty_y_nm": np.asarray(spots["lpy"], np.float64) * size_nm,
        }
    )
    return found[np.isfinite(found).all(axis=1)].reset_index(drop=True)


def choose_net_gradient(
    frames: NDArray[np.generic], truth: pd.DataFrame, *, camera: Camera
) -> float:
    """Give that of ``NET_GRADIENTS`` with which Picasso is most efficient, by the truth."""
    edges_nm = (frames.shape[2] * camera.pixel_size_nm, frames.shape[1] * camera.pixel_size_nm)
    best, efficiency = NET_GRADIENTS[2], -np.inf
    for gradient in NET_GRADIENTS:
        found = run_picasso(frames, camera=camera, net_gradient=gradient)
        if found.empty:
            continue
        result = evaluate(found, truth, field_nm=edges_nm)
        if result.efficiency > efficiency:
            best, efficiency = gradient, result.efficiency
    return best
