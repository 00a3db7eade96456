"""A package as one who restores fields: opened, run on an image, its outputs as arrays."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import ImageError, NetworkError
from bridge.quality.image_contest import Contestant, Restored, TestField
from bridge.runtime.predict import Predictor, Settings
from bridge.zoo.package import open_package
from bridge.zoo.weights import count_parameters

_SPREAD = "spread"


def open_contestant(model: str, settings: Settings, *, taken: Collection[str] = ()) -> Contestant:
    """Open a package for a contest.

    Parameters
    ----------
    model : str
        Folder, zip, rdf.yaml or installed name.
    settings : Settings
        How to run it.
    taken : collection of str
        Names that others have; a number tells namesakes apart.

    Returns
    -------
    Contestant
        Its first output is the restored image; an output named ``spread`` its uncertainty.

    Raises
    ------
    PackageError, ImageError
        It can't be opened, or needs more than one image.
    """
    package = open_package(model)
    predictor = Predictor(package, settings)
    names = predictor.input_names
    if len(names) != 1:
        raise ImageError(
            model, f"it needs {len(names)} images: {', '.join(names)}", "a model of one image"
        )

    def restore(one: TestField) -> Restored:
        outputs, _ = predictor.run_in_memory({names[0]: one.input}, takes_flawed=True)
        planes = {name: _plane(model, image) for name, image in outputs.items()}
        first = next(iter(planes))
        spread = planes.get(_SPREAD)
        return Restored(planes[first], None if first == _SPREAD else spread)

    return Contestant(_free_name(package.name, taken), "model", restore, count_parameters(package))


def _plane(model: str, image: xr.DataArray) -> NDArray[np.float32]:
    image = image.squeeze(drop=True)
    if image.dims != ("y", "x"):
        raise NetworkError(model, f"its output is {dict(image.sizes)}", "one plane, axes (y, x)")
    return np.asarray(image.values, np.float32)


def _free_name(name: str, taken: Collection[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free
