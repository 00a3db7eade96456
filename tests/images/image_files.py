"""Image files for the tests: real ones where they are lent, and small ones of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import Image

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


def real_file(name: str) -> Path:
    """Give a file of real data, or skip the test."""
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f"needs real data that are not here: {path}")
    return path


def ramp(shape: tuple[int, ...], dtype: str = "uint16") -> NDArray[Any]:
    """Make pixels that all differ as far as their type allows."""
    return np.arange(np.prod(shape), dtype=np.int64).astype(dtype).reshape(shape)


def write_ome_zarr(
    path: Path, pixels: NDArray[Any], axes: list[dict[str, str]], scale: list[float], version: str
) -> None:
    """Write OME-Zarr by hand, as its specification shows it."""
    steps = [{"type": "scale", "scale": scale}]
    multiscale = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}]}
    if version == "0.4":
        group = zarr.open_group(str(path), mode="w", zarr_format=2)
        group.attrs["multiscales"] = [multiscale | {"version": "0.4"}]
    else:
        group = zarr.open_group(str(path), mode="w", zarr_format=3)
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    chunks = tuple(max(1, size // 2) for size in pixels.shape)
    array = group.create_array("s0", shape=pixels.shape, dtype=pixels.dtype, chunks=chunks)
    array[...] = pixels


def _tiff(**options: Any) -> Callable[[Path, NDArray[Any]], None]:
    return lambda path, pixels: tifffile.imwrite(path, pixels, **options)


def _zarr(path: Path, pixels: NDArray[Any]) -> None:
    axes = [{"name": "t", "type": "time"}]
    axes += [{"name": name, "type": "space"} for name in "yx"]
    write_ome_zarr(path, pixels, axes, [1.0, 1.0, 1.0], "0.5")


def _separate_pages(path: Path, pixels: NDArray[Any]) -> None:
    with tifffile.TiffWriter(path) as file:
        for page in pixels:
            file.write(page, metadata=None, contiguous=False)


def _png(path: Path, pixels: NDArray[Any]) -> None:
    Image.fromarray(pixels[0]).save(path)


#: how a movie (t, y, x) of uint16 is written: ending and writer
MOVIE_WRITERS: dict[str, tuple[str, Callable[[Path, NDArray[Any]], None]]] = {
    "ImageJ": (".tif", _tiff(imagej=True, metadata={"axes": "TYX"})),
    "ImageJ, one header": (".tif", _tiff(imagej=True, metadata={"axes": "TYX"}, truncate=True)),
    "OME": (".ome.tif", _tiff(ome=True, metadata={"axes": "TYX"})),
    "OME, zlib": (".ome.tif", _tiff(ome=True, metadata={"axes": "TYX"}, compression="zlib")),
    "OME, tiled": (".ome.tif", _tiff(ome=True, metadata={"axes": "TYX"}, tile=(32, 32))),
    "BigTIFF": (".btf", _tiff(bigtiff=True, metadata={"axes": "TYX"})),
    "big-endian": (".tif", _tiff(byteorder=">", metadata={"axes": "TYX"})),
    "pages without description": (".tif", _tiff(metadata=None)),
    "separate pages": (".tif", _separate_pages),
    "strips": (".tif", _tiff(rowsperstrip=7, compression="lzw", metadata={"axes": "TYX"})),
    "zstd, predictor": (
        ".tif",
        _tiff(compression="zstd", predictor=True, tile=(16, 48), metadata={"axes": "TYX"}),
    ),
    "jpeg2000": (".tif", _tiff(compression="jpeg2000", metadata={"axes": "TYX"})),
    "npy": (".npy", lambda path, pixels: np.save(path, pixels)),
    "npy, Fortran": (".npy", lambda path, pixels: np.save(path, np.asfortranarray(pixels))),
    "OME-Zarr": (".ome.zarr", _zarr),
}
