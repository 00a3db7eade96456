"""The noise that a generative network starts from: one field for the whole image, drawn by place.

Each pixel's noise follows from the seed and its place alone. So tiles of any size see the same
field, a run can be repeated, and an image of any size costs no memory: windows are drawn as they
are read, in blocks that each have a key of their own.

A package asks for it with ``config.zoobridge.noise = {"input": NAME, "seed": NUMBER}``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import xarray as xr
from bioimageio.spec.model import v0_5
from numpy.typing import NDArray
from xarray.core import indexing

from bridge.images.windows import WindowedArray, WindowKey
from bridge.runtime.geometry import COLOUR, Geometry
from bridge.zoo.description import own_config

_BLOCK_PX: Final = 256


class NoiseSource:
    """Normal noise of mean 0 and variance 1, axes (c, y, x), read window by window.

    Parameters
    ----------
    shape : (int, int, int)
        Channels, height and width.
    seed : int
        Names the field.
    """

    def __init__(self, shape: tuple[int, int, int], *, seed: int) -> None:
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self._seed = seed

    def read(self, key: WindowKey) -> NDArray[Any]:
        """Draw a window."""
        spans = [
            range(*one.indices(n)) if isinstance(one, slice) else range(one, one + 1)
            for one, n in zip(key, self.shape, strict=True)
        ]
        window = np.empty([len(span) for span in spans], np.float32)
        blocks = [sorted({place // _BLOCK_PX for place in span}) for span in spans[1:]]
        for layer, channel in enumerate(spans[0]):
            for row, column in itertools.product(*blocks):
                block = self._draw(channel, row, column)
                places = [
                    np.flatnonzero(np.asarray(span) // _BLOCK_PX == number)
                    for span, number in zip(spans[1:], (row, column), strict=True)
                ]
                inner = [
                    np.asarray(span)[place] % _BLOCK_PX
                    for span, place in zip(spans[1:], places, strict=True)
                ]
                window[layer][np.ix_(*places)] = block[np.ix_(*inner)]
        dropped = tuple(0 if isinstance(one, int) else slice(None) for one in key)
        return window[dropped]

    def _draw(self, *place: int) -> NDArray[np.float32]:
        rng = np.random.default_rng([self._seed, *place])
        return rng.standard_normal((_BLOCK_PX, _BLOCK_PX), np.float32)


def noise_input(description: v0_5.ModelDescr) -> tuple[str, int] | None:
    """Give the name of the input that is noise, and its seed; none where there is no such input."""
    said = own_config(description).get("noise")
    if not isinstance(said, Mapping):
        return None
    name, seed = str(said.get("input")), said.get("seed", 0)
    names = [str(told.id) for told in description.inputs]
    is_sound = name in names[1:] and isinstance(seed, int) and seed >= 0
    return (name, seed) if is_sound else None


def given_inputs(description: v0_5.ModelDescr) -> list[str]:
    """Give the names of the inputs that a user has to give: all but the noise."""
    noise = noise_input(description)
    names = [str(told.id) for told in description.inputs]
    return [name for name in names if noise is None or name != noise[0]]


def with_noise(
    images: Mapping[str, xr.DataArray], description: v0_5.ModelDescr, geometry: Geometry
) -> dict[str, xr.DataArray]:
    """Add the noise that a package asks for, where it wasn't given.

    Parameters
    ----------
    images : mapping
        Per input name.
    description : ModelDescr
        Of the package.
    geometry : Geometry
        Its tensors.

    Returns
    -------
    dict
        The images, and a noise field as large as the first image, or as a multiple of it. Frames,
        colours and planes of one image share it.
    """
    noise = noise_input(description)
    first = images.get(str(description.inputs[0].id))
    if noise is None or noise[0] in images or first is None:
        return dict(images)
    name, seed = noise
    tensor = next(one for one in geometry.inputs if one.name == name)
    if not {"y", "x"} <= set(first.dims):
        return dict(images)  # binding says what is missing
    height, width = (tensor.affines[dim].size(int(first.sizes[dim])) for dim in "yx")
    shape = (tensor.n_channels or 1, int(height), int(width))
    source = NoiseSource(shape, seed=seed)
    lazy = WindowedArray(source, names=("c", "y", "x"), path="noise")
    field = xr.DataArray(indexing.LazilyIndexedArray(lazy), dims=lazy.dims)
    others = {dim: int(first.sizes[dim]) for dim in ("t", COLOUR, "z") if dim in first.dims}
    return {**images, name: field.expand_dims(others) if others else field}
