"""A table as another program wrote it: its cells by our columns, still in its own units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from bridge.smlm.columns import Heading, TableFormat


@dataclass(frozen=True)
class ForeignTable:
    """What a reader found in a file, before anything is converted.

    Parameters
    ----------
    table_format : str
        Whose table it is.
    headings : mapping of str to Heading
        What each of our columns is called there, and in which unit it is.
    cells : mapping of str to ndarray, axis (row,), float64
        Values by our columns, as they stand in the file; an empty cell is NaN.
    locate : callable
        Says where a row, from 0, stands in the file: ``line 17``.
    pixel_size_nm : float, optional
        Edge of a camera pixel in nm, where the file states it.
    notes : tuple of str
        Sentences on what was left out.
    warnings : tuple of str
        Sentences on what is doubtful.
    """

    table_format: TableFormat
    headings: Mapping[str, Heading]
    cells: Mapping[str, NDArray[Any]]
    locate: Callable[[int], str] = field(compare=False)
    pixel_size_nm: float | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
