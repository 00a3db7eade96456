"""zoobridge: super-resolution microscopy networks from BioImage Model Zoo packages, on any image.

::

    import bridge

    prediction = bridge.predict("deep-storm", "movie.tif")
    prediction.image       # xarray.DataArray, dims (t, y, x), with its pixel_size_nm
    prediction.report      # what was done: engine, tiles, ranges, seconds

Names are loaded on first use; importing this imports neither torch nor Java.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.api import Prediction, predict
    from bridge.errors import ZooBridgeError
    from bridge.images.read import open_image
    from bridge.images.write import write_image
    from bridge.zoo.package import Package, open_package

__version__ = "0.1.0"

_HOMES = {
    "Package": "bridge.zoo.package",
    "Prediction": "bridge.api",
    "ZooBridgeError": "bridge.errors",
    "open_image": "bridge.images.read",
    "open_package": "bridge.zoo.package",
    "predict": "bridge.api",
    "write_image": "bridge.images.write",
}

__all__ = [
    "Package",
    "Prediction",
    "ZooBridgeError",
    "__version__",
    "open_image",
    "open_package",
    "predict",
    "write_image",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bridge' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
