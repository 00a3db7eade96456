"""Reading windows of an image as tensors: axis order, padding at the end, statistics' blocks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from bioimageio.spec.model import v0_5
from numpy.typing import NDArray

from bridge.errors import ImageError
from bridge.runtime.geometry import TensorGeometry

_BLOCK_PIXELS = 1 << 22


@dataclass(frozen=True)
class TensorSource:
    """An image that serves one input tensor.

    Attributes
    ----------
    image : DataArray
        Lazy or in memory; dims a subset of ``t c z y x``.
    tensor : TensorGeometry
        The input it serves.
    padding : str or float
        ``symmetric``, ``reflect``, ``edge``, or a constant to fill with.
    """

    image: xr.DataArray
    tensor: TensorGeometry
    padding: str | float = "symmetric"

    def read(self, item: Mapping[str, int], window: Mapping[str, slice]) -> NDArray[Any]:
        """Read one window of one batch item.

        Parameters
        ----------
        item : mapping
            Index per leftover dim, such as ``{"t": 3}``.
        window : mapping
            Slice per tiled dim, in this tensor's pixels; may reach past the image's end.

        Returns
        -------
        ndarray
            In the tensor's axis order, with a batch axis of 1 where it has one.

        Raises
        ------
        ImageError
            The window holds NaN or infinite values.
        """
        picks = {
            dim: _positions(self.image.sizes[dim], part, self.padding)
            for dim, part in window.items()
        }
        bounds = {dim: slice(int(p.min()), int(p.max()) + 1) for dim, p in picks.items()}
        block = self.image.isel(item, missing_dims="ignore").isel(bounds)
        pixels = block.values
        for dim, positions in picks.items():
            own = positions - bounds[dim].start
            if not np.array_equal(own, np.arange(bounds[dim].stop - bounds[dim].start)):
                pixels = np.take(pixels, own, axis=block.dims.index(dim))
        if not isinstance(self.padding, str):
            pixels = self._fill(pixels, block.dims, window)
        _check_finite(pixels, str(self.image.attrs.get("source", "image")), bounds)
        return self._as_tensor(pixels, [str(d) for d in block.dims])

    def blocks(
        self, items: list[Mapping[str, int]], group_dim: str | None
    ) -> Iterator[NDArray[Any]]:
        """Give all pixels of some batch items as (groups, values), in blocks of a few megapixels.

        Parameters
        ----------
        items : list of mapping
            Batch items.
        group_dim : str or None
            ``c`` for one group per channel, else all pixels are one group.
        """
        for item in items:
            image = self.image.isel(item, missing_dims="ignore")
            first = next((d for d in image.dims if d not in {group_dim, "x"}), None)
            length = image.sizes[first] if first is not None else 1
            rows = max(1, _BLOCK_PIXELS * length // max(1, image.size))
            for start in range(0, length, rows):
                part = image if first is None else image.isel({first: slice(start, start + rows)})
                pixels = part.values
                _check_finite(pixels, str(image.attrs.get("source", "image")), {})
                if group_dim in part.dims:
                    pixels = np.moveaxis(pixels, part.dims.index(group_dim), 0)
                    yield pixels.reshape(pixels.shape[0], -1)
                else:
                    yield pixels.reshape(1, -1)

    def _as_tensor(self, pixels: NDArray[Any], dims: list[str]) -> NDArray[Any]:
        for dim in self.tensor.dims:
            if dim not in dims:
                pixels, dims = pixels[None], [dim, *dims]
        return pixels.transpose([dims.index(d) for d in self.tensor.dims])

    def _fill(
        self, pixels: NDArray[Any], dims: tuple[Any, ...], window: Mapping[str, slice]
    ) -> NDArray[Any]:
        for dim, part in window.items():
            outside = part.stop - max(part.start, self.image.sizes[dim])
            if outside > 0:
                pixels = pixels.copy()
                index = [slice(None)] * pixels.ndim
                index[dims.index(dim)] = slice(pixels.shape[dims.index(dim)] - outside, None)
                pixels[tuple(index)] = self.padding
        return pixels


def padding_of(descriptor: v0_5.InputTensorDescr) -> str | float:
    """Give how an input is to be padded: a numpy mode's name, or the constant to fill with."""
    pad = descriptor.pad
    if pad is None:
        return "symmetric"
    return float(pad.value) if isinstance(pad, v0_5.ConstantPadding) else pad.mode


def _positions(size: int, part: slice, padding: str | float) -> NDArray[np.intp]:
    """Give the pixel to read for each position of a window that may reach past the image."""
    positions = np.arange(part.start, part.stop)
    if part.start >= 0 and part.stop <= size:
        return positions
    if padding == "symmetric":
        inside = positions % (2 * size)
        return np.where(inside < size, inside, 2 * size - 1 - inside)
    if padding == "reflect" and size > 1:
        inside = positions % (2 * size - 2)
        return np.where(inside < size, inside, 2 * size - 2 - inside)
    return np.clip(positions, 0, size - 1)


def _check_finite(pixels: NDArray[Any], source: str, bounds: Mapping[str, slice]) -> None:
    if pixels.dtype.kind != "f" or np.isfinite(pixels).all():
        return
    bad = int(pixels.size - np.isfinite(pixels).sum())
    where = ", ".join(f"{d} {b.start}..{b.stop - 1}" for d, b in bounds.items())
    raise ImageError(
        source,
        f"{bad} values are NaN or infinite" + (f" (in {where})" if where else ""),
        "finite values only",
        "Replace them first (Fiji: Process > Noise > Remove NaNs...).",
    )
