"""A package's own test inputs: typical content to time, probe and compare with."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import PackageError
from bridge.runtime.geometry import Geometry, TensorGeometry
from bridge.runtime.processing import Pipeline
from bridge.runtime.verdict import Tally
from bridge.runtime.windows import TensorSource
from bridge.zoo.package import Package


class Examples:
    """The test inputs of a package, read when they are first needed.

    Parameters
    ----------
    package, geometry, pipeline
        Whose inputs, how they lie, and how they are normalised.
    """

    def __init__(self, package: Package, geometry: Geometry, pipeline: Pipeline) -> None:
        self._package = package
        self._geometry = geometry
        self._pipeline = pipeline

    @cached_property
    def raw(self) -> dict[str, NDArray[Any]]:
        """Test tensors per input name, in their axis order, as far as they can be read."""
        found = {}
        for tensor, descriptor in zip(
            self._geometry.inputs, self._package.description.inputs, strict=True
        ):
            array = _read(self._package, descriptor.test_tensor)
            if array is not None and array.ndim == len(tensor.dims):
                found[tensor.name] = array
        return found

    @cached_property
    def typical(self) -> dict[str, Tally]:
        """Range of each test input: what the network was made for."""
        tallies = {}
        for name, array in self.raw.items():
            tallies[name] = Tally()
            tallies[name].add(array)
        return tallies

    @cached_property
    def typical_output(self) -> dict[str, Tally]:
        """Range of each test output: what the network makes of the test inputs."""
        tallies = {}
        for descriptor in self._package.description.outputs:
            array = _read(self._package, descriptor.test_tensor)
            if array is not None:
                tallies[str(descriptor.id)] = Tally()
                tallies[str(descriptor.id)].add(array)
        return tallies

    @cached_property
    def contents(self) -> dict[str, NDArray[Any]]:
        """One preprocessed input of batch size 1 per input name; noise where no test tensor is."""
        return {tensor.name: self._content(tensor) for tensor in self._geometry.inputs}

    def _content(self, tensor: TensorGeometry) -> NDArray[Any]:
        raw = self.raw.get(tensor.name)
        if raw is None:
            sizes = {"c": tensor.n_channels or 1, "b": 1}
            shape = [
                tensor.rules[d].minimum if d in tensor.tiled else sizes[d] for d in tensor.dims
            ]
            return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        if "b" in tensor.dims:
            raw = np.take(raw, [0], axis=tensor.dims.index("b"))
        image = xr.DataArray(raw, dims=tensor.dims)
        source = {
            tensor.name: TensorSource(image.isel(b=0) if "b" in tensor.dims else image, tensor)
        }
        stat = {
            **self._pipeline.measure(source, [{}], of_all_items=True),
            **self._pipeline.measure(source, [{}], of_all_items=False),
        }
        try:
            return self._pipeline.preprocess(tensor.name, raw, stat)
        except KeyError:  # normalised by another input's statistics
            return raw.astype(np.float32)


def _read(package: Package, descriptor: Any) -> NDArray[Any] | None:
    if descriptor is None:
        return None
    try:
        return np.asarray(np.load(package.file(descriptor), allow_pickle=False))
    except (PackageError, OSError, ValueError):
        return None
