"""Statistics of a whole image, streamed block by block: mean, standard deviation, exact quantiles.

The image need not fit in memory. Means and variances are merged in float64 (Chan, Golub & LeVeque,
1983); quantiles are exact order statistics, found by histograms of 16 bits of the values' ordered
bit patterns per pass (one pass for 8 and 16 bit images, two for float32).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Blocks = Callable[[], Iterator[NDArray[Any]]]
"""Gives the image anew, as blocks of shape (groups, values)."""


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation per group.

    Attributes
    ----------
    mean, std : ndarray, float64, (groups,)
        Population statistics (divided by n).
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def moments(blocks: Blocks) -> Moments:
    """Compute mean and standard deviation per group in one pass.

    Parameters
    ----------
    blocks : callable
        Gives blocks of shape (groups, values).
    """
    count = 0
    mean: NDArray[np.float64] | None = None
    squares: NDArray[np.float64] | None = None
    for block in blocks():
        values = block.astype(np.float64)
        n = values.shape[1]
        block_mean = values.mean(axis=1)
        values -= block_mean[:, None]
        block_squares = np.einsum("gv,gv->g", values, values)
        if mean is None or squares is None:
            mean, squares, count = block_mean, block_squares, n
            continue
        delta = block_mean - mean
        total = count + n
        mean = mean + delta * (n / total)
        squares = squares + block_squares + delta**2 * (count * n / total)
        count = total
    if mean is None or squares is None:
        raise ValueError("no values to take statistics of")
    return Moments(mean, np.sqrt(squares / count))


@dataclass
class _Search:
    """One order statistic of one group on its way through the bit patterns."""

    group: int
    rank: int
    prefix: int = 0
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1 << 16, np.int64))


def quantiles(
    blocks: Blocks, wanted: Iterable[tuple[float, str]]
) -> dict[tuple[float, str], NDArray[np.float64]]:
    """Compute exact quantiles per group.

    Parameters
    ----------
    blocks : callable
        Gives blocks of shape (groups, values), always of one dtype.
    wanted : iterable of (q, method)
        ``0 <= q <= 1``; method ``linear`` or ``inverted_cdf``, as in ``numpy.quantile``.

    Returns
    -------
    dict
        Per (q, method) one float64 array of shape (groups,).
    """
    wanted = list(wanted)
    n_groups, count, dtype = _survey(blocks)
    positions = {w: _position(w[0], w[1], count) for w in wanted}
    ranks = sorted({r for low, high, _ in positions.values() for r in (low, high)})
    searches = [_Search(group, rank) for group in range(n_groups) for rank in ranks]
    n_bits = dtype.itemsize * 8
    for shift in range(max(n_bits - 16, 0), -1, -16):
        _count_bits(blocks, searches, shift, n_bits)
        for search in searches:
            below = np.cumsum(search.histogram)
            digit = int(np.searchsorted(below, search.rank, side="right"))
            search.rank -= int(below[digit - 1]) if digit else 0
            search.prefix = (search.prefix << 16) | digit
            search.histogram[:] = 0
    found = np.array([s.prefix for s in searches], dtype=np.uint64)
    values = _from_keys(found, dtype).reshape(n_groups, len(ranks))
    by_rank = dict(zip(ranks, values.T.astype(np.float64), strict=True))
    return {
        w: by_rank[low] + (by_rank[high] - by_rank[low]) * weight
        for w, (low, high, weight) in positions.items()
    }


def _survey(blocks: Blocks) -> tuple[int, int, np.dtype[Any]]:
    n_groups, count, dtype = 0, 0, np.dtype(np.float32)
    for block in blocks():
        n_groups, dtype = block.shape[0], block.dtype.newbyteorder("=")
        count += block.shape[1]
    return n_groups, count, dtype


def _position(q: float, method: str, count: int) -> tuple[int, int, float]:
    """Give the two ranks (from 0) that a quantile lies between, and the upper one's weight."""
    if method == "inverted_cdf":
        rank = max(0, math.ceil(q * count) - 1)
        return rank, rank, 0.0
    at = q * (count - 1)
    low = math.floor(at)
    return low, min(low + 1, count - 1), at - low


def _count_bits(blocks: Blocks, searches: list[_Search], shift: int, n_bits: int) -> None:
    """Add to each search's histogram the next 16 bits of the values that share its prefix."""
    prefixes = {(s.group, s.prefix): s for s in searches}
    for block in blocks():
        keys = _to_keys(block)
        for (group, prefix), search in prefixes.items():
            values = keys[group]
            if shift + 16 < n_bits:
                values = values[(values >> np.uint64(shift + 16)) == prefix]
            digits = ((values >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
            search.histogram += np.bincount(digits, minlength=1 << 16)
    for search in searches:
        search.histogram = prefixes[search.group, search.prefix].histogram.copy()


def _to_keys(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Map values to unsigned integers of the same order."""
    size = values.dtype.itemsize
    native = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    bits = native.view(f"u{size}").astype(np.uint64)
    if values.dtype.kind == "u" or values.dtype.kind == "b":
        return bits
    sign = np.uint64(1 << (size * 8 - 1))
    if values.dtype.kind == "i":
        return bits ^ sign
    everything = np.uint64((1 << (size * 8)) - 1)
    return np.where(bits & sign, bits ^ everything, bits | sign)


def _from_keys(keys: NDArray[np.uint64], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = dtype.itemsize
    sign = np.uint64(1 << (size * 8 - 1))
    if dtype.kind == "i":
        keys = keys ^ sign
    elif dtype.kind == "f":
        everything = np.uint64((1 << (size * 8)) - 1)
        keys = np.where(keys & sign, keys ^ sign, keys ^ everything)
    return keys.astype(f"u{size}").view(dtype)
