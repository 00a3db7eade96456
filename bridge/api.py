"""The Python face: run a package on an image in memory or a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from bridge.images.read import open_image
from bridge.progress import Progress, silent
from bridge.runtime.predict import Settings, predict_arrays
from bridge.zoo.package import Package, open_package

Image = xr.DataArray | str | Path


@dataclass(frozen=True)
class Prediction:
    """What a package made of an image.

    Attributes
    ----------
    outputs : dict of DataArray
        Per output of the model; dims a subset of ``t c z y x``, ``attrs["pixel_size_nm"]`` where
        the input's is known.
    report : dict
        What was done: package, engine, tiles, ranges, seconds.
    warnings : list of str
        What to look at.
    """

    outputs: dict[str, xr.DataArray]
    report: dict[str, Any]
    warnings: list[str]

    @property
    def image(self) -> xr.DataArray:
        """The first output."""
        return next(iter(self.outputs.values()))


def predict(
    model: str | Path | Package,
    image: Image | Mapping[str, Image],
    *,
    axes: str = "",
    progress: Progress = silent,
    **settings: Any,
) -> Prediction:
    """Run a package on an image of any size; the result is in memory.

    Parameters
    ----------
    model : str, Path or Package
        Folder, zip, rdf.yaml or installed name; opened packages are taken as they are.
    image : DataArray, path, or a mapping of input name to one
        Dims a subset of ``t c z y x``; a mapping for models with several inputs.
    axes : str
        The axes of image files that don't say, such as ``"tyx"``.
    progress : Progress
        Told after every batch of tiles.
    **settings
        The fields of :class:`bridge.runtime.predict.Settings`: ``tile``, ``halo``, ``batch``,
        ``device``, ``engine``, ``precision``, ``channel``, ``trust``, ``threads``; ``sum=True``
        adds up the outputs of all frames of a movie, ``each_colour=True`` runs each channel by
        itself, into one composite.

    Returns
    -------
    Prediction

    Raises
    ------
    ZooBridgeError
        What is wrong, and what to do; see :mod:`bridge.errors`.
    """
    package = model if isinstance(model, Package) else open_package(model)
    names = [str(t.id) for t in package.description.inputs]
    images = image if isinstance(image, Mapping) else {names[0]: image}
    opened = {
        name: i if isinstance(i, xr.DataArray) else open_image(i, axes=axes or None)
        for name, i in images.items()
    }
    outputs, outcome = predict_arrays(package, opened, Settings(**settings), progress)
    return Prediction(outputs, outcome.report, outcome.warnings)
