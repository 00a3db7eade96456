"""Labels of super-resolution networks: emitters counted on a grid finer than the camera's.

::

    camera pixel   |       0       |       1       |     x from the outer corner (ThunderSTORM)
    fine pixel     | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |     fine = floor(upscaling * x_px), no round:
    emitter        |     *         |               |     x_px = 0.4 at 4x lies in fine pixel 1

Rounding would put the label half a fine pixel too far on average (6.2 nm at 100 nm and 8x). Two
emitters in one fine pixel count twice. Movies are labelled window by window: nothing is kept but
the table itself, sorted by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.errors import TableError


def count_emitters(
    x_px: Tensor, y_px: Tensor, is_labelled: Tensor, *, shape: tuple[int, int], upscaling: int
) -> Tensor:
    """Count the emitters of patches per fine pixel.

    Parameters
    ----------
    x_px, y_px : Tensor, (b, n)
        Camera pixels from the patch's outer top left corner.
    is_labelled : Tensor, (b, n), bool
        Which of them count; those outside the patch never do.
    shape : (int, int)
        Size of a patch (y, x), in camera pixels.
    upscaling : int
        Fine pixels per camera pixel and direction, >= 1.

    Returns
    -------
    Tensor, (b, 1, y * upscaling, x * upscaling), float32
        Emitters per fine pixel.
    """
    height, width = shape[0] * upscaling, shape[1] * upscaling
    row = (y_px * upscaling).floor().long()  # (b, n)
    column = (x_px * upscaling).floor().long()  # (b, n)
    inside = is_labelled & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    patch = torch.arange(len(row), device=row.device)[:, None].expand_as(row)  # (b, n)
    place = ((patch * height + row) * width + column)[inside]
    counts = torch.bincount(place, minlength=len(row) * height * width)
    return counts.float().view(len(row), 1, height, width)  # (b, 1, Y, X)


@dataclass(frozen=True)
class Window:
    """A part of one frame of a movie."""

    frame: int
    """Which frame, from 1."""
    top_px: int
    """First row, in camera pixels."""
    left_px: int
    """First column, in camera pixels."""
    height_px: int
    """Rows."""
    width_px: int
    """Columns."""


class MovieLabels:
    """A movie's localizations, ready to be counted window by window.

    Parameters
    ----------
    frame : ndarray, (n,), int
        Frames from 1, in any order; they need not follow each other.
    x_px, y_px : ndarray, (n,)
        Camera pixels from the outer corner of the frame's top left pixel.
    """

    def __init__(
        self, frame: NDArray[np.int64], x_px: NDArray[np.float64], y_px: NDArray[np.float64]
    ) -> None:
        order = np.argsort(frame, kind="stable")
        self._frame = frame[order]
        self._x_px = x_px[order]
        self._y_px = y_px[order]

    @classmethod
    def from_table(cls, table: pd.DataFrame, *, pixel_size_nm: float) -> Self:
        """Take a table of localizations.

        Parameters
        ----------
        table : DataFrame
            Needs ``frame``, ``x_nm`` and ``y_nm``, measured from the outer corner.
        pixel_size_nm : float
            Edge of a camera pixel, in nm, > 0.

        Raises
        ------
        TableError
            A column is missing, a place isn't finite, or the table is empty.
        """
        source = str(table.attrs.get("source") or "table")
        missing = [name for name in ("frame", "x_nm", "y_nm") if name not in table]
        if missing:
            raise TableError(source, f"has no {missing[0]}", "frame, x and y of every localization")
        if table.empty:
            raise TableError(source, "holds no localizations", "at least one to learn from")
        x_nm, y_nm = (table[name].to_numpy(np.float64) for name in ("x_nm", "y_nm"))
        broken = ~(np.isfinite(x_nm) & np.isfinite(y_nm))
        if broken.any():
            found = f"row {int(broken.argmax()) + 1} has a coordinate that is no number"
            raise TableError(source, found, "finite x and y", "Filter the table first.")
        frame = table["frame"].to_numpy(np.int64)
        return cls(frame, x_nm / pixel_size_nm, y_nm / pixel_size_nm)

    def __len__(self) -> int:
        return len(self._frame)

    def rows(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the emitters in a window: x and y in camera pixels from the window's corner."""
        first, end = np.searchsorted(self._frame, [window.frame, window.frame + 1])
        x_px = self._x_px[first:end] - window.left_px
        y_px = self._y_px[first:end] - window.top_px
        inside = (x_px >= 0) & (x_px < window.width_px) & (y_px >= 0) & (y_px < window.height_px)
        return x_px[inside], y_px[inside]

    def count(self, window: Window, *, upscaling: int) -> NDArray[np.float32]:
        """Count a window's emitters per fine pixel.

        Parameters
        ----------
        window : Window
            Where.
        upscaling : int
            Fine pixels per camera pixel and direction, >= 1.

        Returns
        -------
        ndarray, (height * upscaling, width * upscaling), float32
            Emitters per fine pixel.
        """
        x_px, y_px = self.rows(window)
        shape = (window.height_px * upscaling, window.width_px * upscaling)
        row = np.floor(y_px * upscaling).astype(np.int64)
        column = np.floor(x_px * upscaling).astype(np.int64)
        counts = np.bincount(row * shape[1] + column, minlength=shape[0] * shape[1])
        return counts.reshape(shape).astype(np.float32)
