"""Make two images of one place a pair: grids, values, blocks.

The target's grid must be the input's, divided by a whole scale. The scale comes from the pixel
sizes, or from the numbers of pixels where those aren't known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from skimage.transform import resize

from bridge.errors import ImageError

_NEAR = 0.01  # how far a scale may be from a whole number
_SATURATED = 1e-3
_GAPS = 0.1
_HALF = 0.5
_MANY = 20  # pixels per grey level, from which empty levels mean something


@dataclass(frozen=True)
class Grids:
    """How an input's pixels and a target's fit together."""

    ratio: float
    """Input pixel over target pixel, as found."""
    scale: int
    """The whole number that is used."""
    came_from: str
    """pixel sizes, or numbers of pixels."""

    @property
    def is_whole(self) -> bool:
        """Whether the target's grid can be used as it is."""
        return abs(self.ratio - self.scale) <= _NEAR * self.scale


def find_grids(image: xr.DataArray, target: xr.DataArray, *, what: str) -> Grids:
    """Find the scale of a pair.

    Parameters
    ----------
    image, target : DataArray, axes (y, x)
        ``attrs["pixel_size_nm"]`` maps y and x to nm, where known.
    what : str
        The pair, for errors.

    Returns
    -------
    Grids
        The scale found, and the whole number next to it, at least 1.

    Raises
    ------
    ImageError
        Sizes are unknown and the numbers of pixels have another ratio along y than along x.
    """
    coarse_nm, fine_nm = pixel_size_of(image), pixel_size_of(target)
    if coarse_nm and fine_nm:
        ratio, came_from = coarse_nm / fine_nm, "pixel sizes"
    else:
        along = [target.sizes[dim] / image.sizes[dim] for dim in "yx"]
        if abs(along[0] / along[1] - 1) > 2 * _NEAR:
            raise ImageError(
                what,
                f"the target has {along[0]:.3g} times the input's rows and {along[1]:.3g} times "
                "its columns",
                "images of the same field",
                "Cut both to the same field, or store their pixel sizes in the files.",
            )
        ratio, came_from = float(np.mean(along)), "numbers of pixels"
    return Grids(ratio, max(1, round(ratio)), came_from)


def fit_grids(
    image: xr.DataArray, target: xr.DataArray, grids: Grids, *, resample: bool, what: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut a pair to a common size, the target on the input's grid divided by the scale.

    Parameters
    ----------
    image, target : DataArray, axes (y, x)
        The pair.
    grids : Grids
        Its scale.
    resample : bool
        Resample a target whose scale isn't whole, to the next whole one (cubic splines).
    what : str
        The pair, for errors.

    Returns
    -------
    input, target : ndarray, axes (y, x), (Y, X), float32
        The target has exactly ``scale`` times as many pixels; both begin at the same corner.

    Raises
    ------
    ImageError
        The scale isn't whole and resampling wasn't asked for.
    """
    sharp = target.values.astype(np.float32)
    if not grids.is_whole:
        if not resample:
            raise ImageError(
                what,
                f"the scale, by {grids.came_from}, is {grids.ratio:.4g} "
                f"({_size(image)} and {_size(target)})",
                "a whole number of target pixels per input pixel",
                f"Ask to resample the target to a scale of {grids.scale}, or give images of the "
                "same field and of fitting pixels.",
            )
        shape = [round(n * grids.scale / grids.ratio) for n in sharp.shape]
        sharp = resize(  # type: ignore[no-untyped-call]
            sharp, shape, order=3, preserve_range=True, anti_aliasing=True
        ).astype(np.float32)
    scale = grids.scale
    rows, columns = (
        min(small, large // scale) for small, large in zip(image.shape, sharp.shape, strict=True)
    )
    return (
        image.values[:rows, :columns].astype(np.float32),
        sharp[: rows * scale, : columns * scale],
    )


def examine_values(image: xr.DataArray, *, what: str) -> list[str]:
    """Look for signs that an image's values were changed, or cut off.

    Parameters
    ----------
    image : DataArray, axes (y, x)
        ``attrs["dtype"]`` is what its file held.
    what : str
        Its name, for sentences.

    Returns
    -------
    list of str
        What is doubtful, a sentence each.

    Raises
    ------
    ImageError
        The image is constant.
    """
    values = image.values
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise ImageError(
            what, f"every pixel is {low:g}", "an image with something in it", "Leave it out."
        )
    dtype = np.dtype(image.attrs.get("dtype", values.dtype))
    found = []
    top_share = float((values == high).mean())
    if top_share > _SATURATED:
        found.append(f"{what}: {100 * top_share:.2g} % of its pixels are at its top, {high:g}.")
    if dtype.kind not in "iu":
        return found
    if dtype == np.uint8 and low <= 2 and high >= 253:
        found.append(
            f"{what}: 8 bit, filled from {low:g} to {high:g}; it looks stretched, so that "
            "brightness means something else in every image."
        )
    elif dtype.itemsize > 1:
        n_levels, span = len(np.unique(values)), high - low + 1
        empty = 1 - n_levels / span
        if n_levels <= 256 and empty > _HALF and values.size > _MANY * n_levels:
            found.append(
                f"{what}: {dtype} with {n_levels} grey levels between {low:g} and {high:g}; it "
                "looks like an 8-bit image that was stretched."
            )
        elif empty > _GAPS and values.size > _MANY * span:
            found.append(
                f"{what}: {100 * empty:.0f} % of the grey levels between {low:g} and {high:g} "
                "never occur; it looks stretched."
            )
    return found


def compare_depths(dtypes: dict[str, set[str]]) -> list[str]:
    """Say where 8-bit and deeper files are mixed.

    Parameters
    ----------
    dtypes : dict of str to set of str
        Types of the files, of ``input`` and of ``target``.

    Returns
    -------
    list of str
        A sentence for each mixture.
    """
    found = [
        f"The {side} files are of mixed types ({', '.join(sorted(types))}); an 8-bit copy has "
        "other values than its 16-bit original."
        for side, types in dtypes.items()
        if "uint8" in types and len(types) > 1
    ]
    if len({frozenset(types) for types in dtypes.values()}) > 1 and any(
        types == {"uint8"} for types in dtypes.values()
    ):
        told = ", ".join(f"{side}: {'/'.join(sorted(t))}" for side, t in dtypes.items())
        found.append(f"One side is 8 bit and the other isn't ({told}).")
    return found


def plan_blocks(shape: tuple[int, int], *, block_px: int, gap_px: int) -> list[tuple[slice, slice]]:
    """Plan blocks of a large field, with a gap between all of them.

    ::

        +----+  +----+        as many as fit with at least block_px, then
        |    |  |    |        made larger until they fill the field
        +----+  +----+

    Parameters
    ----------
    shape : (int, int)
        The field's rows and columns, in input pixels.
    block_px : int
        Least edge of a block.
    gap_px : int
        Between two blocks; what is in it belongs to none.

    Returns
    -------
    list of (slice, slice)
        Rows and columns of each block, in input pixels; one block where no two fit.
    """
    along: list[list[slice]] = []
    for size in shape:
        n = max(1, (size + gap_px) // (block_px + gap_px))
        edge = (size - (n - 1) * gap_px) // n
        along.append([slice(i * (edge + gap_px), i * (edge + gap_px) + edge) for i in range(n)])
    return [(rows, columns) for rows in along[0] for columns in along[1]]


def cut_block(
    image: NDArray[np.float32],
    target: NDArray[np.float32],
    block: tuple[slice, slice],
    *,
    scale: int,
    offset: tuple[int, int] = (0, 0),
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut a block out of both images.

    Parameters
    ----------
    image, target : ndarray, axes (y, x), (Y, X)
        The pair.
    block : (slice, slice)
        Rows and columns, in input pixels.
    scale : int
        Target pixels per input pixel.
    offset : (int, int)
        How far the target is off along y and x, in whole target pixels: what is at the input's
        ``y`` is at the target's ``scale * y - offset``.

    Returns
    -------
    input, target : ndarray, float32
        The block, of fitting sizes; smaller where the target ends.
    """
    small, large = [], []
    for part, off, size in zip(block, offset, target.shape, strict=True):
        first = max(part.start, -(-off // scale))
        last = min(part.stop, (size + off) // scale)
        small.append(slice(first, max(first, last)))
        large.append(slice(first * scale - off, max(first, last) * scale - off))
    return image[tuple(small)], target[tuple(large)]


def same_grids(found: dict[str, Grids]) -> Grids:
    """Give the scale that all pairs have.

    Parameters
    ----------
    found : dict of str to Grids
        Of each pair, by name.

    Returns
    -------
    Grids
        The first one's.

    Raises
    ------
    ImageError
        Two pairs have different scales.
    """
    name, first = next(iter(found.items()))
    for other, grids in found.items():
        if grids.scale != first.scale:
            raise ImageError(
                other,
                f"its scale is {grids.scale}, that of {name} is {first.scale}",
                "one scale for all pairs",
                "Make a folder of pairs for each.",
            )
    return first


def pixel_size_of(image: xr.DataArray) -> float | None:
    """Give the edge of a pixel in nm, if the file says it."""
    sizes: dict[str, Any] = image.attrs.get("pixel_size_nm") or {}
    return float(sizes["x"]) if sizes.get("x") else None


def _size(image: xr.DataArray) -> str:
    size = pixel_size_of(image)
    pixels = f"{image.sizes['y']} x {image.sizes['x']} pixels"
    return pixels if size is None else f"{pixels} of {size:.4g} nm"
