"""A picture beside a table: frames with what was found in them, and their sum beside the rows.

::

    +-------+ +-------+ +-------+ +-------+
    |  o    | | o   o | |       | |       |    circles: two camera pixels around each localization
    |    o  | |   o   | |       | |       |
    +-------+ +-------+ +-------+ +-------+
     frame 10  frame 90   sum of   all rows
                          frames
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bridge.images.preview import Marks, save_picture
from bridge.smlm.movie_blocks import MovieFrames
from bridge.smlm.render import render_histogram
from bridge.smlm.row_store import RowStore

_SHOWN_FRAMES: Final = 2
_SUMMED_FRAMES: Final = 100
_SHOWN_PX: Final = 128
_CIRCLE_PX: Final = 2.0
_RENDERED_PX: Final = 512
_PERCENTILES: Final = (0.1, 99.9)


def save_localizations(
    path: Path,
    source: MovieFrames,
    store: RowStore,
    *,
    pixel_size_nm: float,
    offset_px: tuple[int, int] = (0, 0),
) -> None:
    """Draw frames of a movie with their localizations, the sum of frames, and all rows.

    Of a large frame its middle is shown, 128 pixels wide. All frames have the same contrast.

    Parameters
    ----------
    path : Path
        The PNG; replaced if it is there.
    source : MovieFrames
        The movie.
    store : RowStore
        Its rows.
    pixel_size_nm : float
        Edge of a camera pixel, in nm, > 0.
    offset_px : (int, int)
        x and y that were added to the coordinates, in pixels.

    Raises
    ------
    OutputError
        It can't be written.
    """
    attrs = {"pixel_size_nm": dict.fromkeys("yx", pixel_size_nm)}

    def panel(pixels: NDArray[np.float32]) -> xr.DataArray:
        return xr.DataArray(pixels, dims=("y", "x"), attrs=attrs)

    numbers = np.unique(
        np.linspace(0, source.n_frames - 1, _SHOWN_FRAMES + 2).round().astype(int)[1:-1]
    )
    frames = {int(number): _frame(source, int(number)) for number in numbers}
    middle = _middle(next(iter(frames.values())).shape)
    low, high = np.percentile([frame[middle] for frame in frames.values()], _PERCENTILES)
    panels, ranges = [], []
    marks: list[Marks | None] = []
    for number, frame in frames.items():
        rows = _rows_of_frame(store, number + 1)
        x_px = rows["x_nm"].to_numpy() / pixel_size_nm - offset_px[0] - middle[1].start
        y_px = rows["y_nm"].to_numpy() / pixel_size_nm - offset_px[1] - middle[0].start
        panels.append((f"Frame {number + 1}: {len(rows)} found", panel(frame[middle])))
        ranges.append((float(low), float(high)))
        marks.append(Marks(x_px, y_px, _CIRCLE_PX))
    summed = np.unique(np.linspace(0, source.n_frames - 1, _SUMMED_FRAMES).round().astype(int))
    total = np.sum([_frame(source, int(number)) for number in summed], axis=0)
    rendered, lit = _render(store, total.shape, pixel_size_nm, offset_px)
    panels += [
        (f"Sum of {len(summed)} frames", panel(total)),
        (f"{store.n_rows:,} localizations", rendered),
    ]
    limits = [*ranges, None, (0.0, lit)]
    save_picture(path, panels, ranges=limits, marks=[*marks, None, None])


def _frame(source: MovieFrames, number: int) -> NDArray[np.float32]:
    frame = source.read(number, number + 1)[0]
    plane: NDArray[np.float32] = frame.reshape(-1, *frame.shape[-2:])[0].astype(np.float32)
    return plane


def _middle(shape: tuple[int, ...]) -> tuple[slice, slice]:
    starts = [max(0, (edge - _SHOWN_PX) // 2) for edge in shape]
    y, x = (slice(s, min(edge, s + _SHOWN_PX)) for s, edge in zip(starts, shape, strict=True))
    return y, x


def _rows_of_frame(store: RowStore, number: int) -> pd.DataFrame:
    """Find the rows of one frame by halving, as they are in the order of frames."""
    first, stop = (_search(store, wanted) for wanted in (number, number + 1))
    return store.table(first, stop)


def _search(store: RowStore, number: int) -> int:
    """Give the first row whose frame is ``number`` or later."""
    low, high = 0, store.n_rows
    while low < high:
        middle = (low + high) // 2
        if int(store.table(middle, middle + 1)["frame"].iloc[0]) < number:
            low = middle + 1
        else:
            high = middle
    return low


def _render(
    store: RowStore, shape: tuple[int, ...], pixel_size_nm: float, offset_px: tuple[int, int]
) -> tuple[xr.DataArray, float]:
    """Count all rows on a finer grid; gives the image, and the value to be shown white."""
    finer = min(8, max(1, _RENDERED_PX // max(shape)))
    image = None
    for table in store.chunks():
        part = render_histogram(
            table,
            pixel_size_nm=pixel_size_nm / finer,
            shape=(shape[0] * finer, shape[1] * finer),
            origin_nm=(offset_px[1] * pixel_size_nm, offset_px[0] * pixel_size_nm),
        ).astype(np.float32)
        image = part if image is None else image + part.values
    assert image is not None
    lit = image.values[image.values > 0]
    return image, float(np.quantile(lit, 0.99)) if len(lit) else 1.0
