"""Rows of localizations on disk while a movie is under way: as many as there are, none in memory.

A file of float64 rows, ``frame`` and the columns of the model, appended block by block. It belongs
to one run and one machine; what people get is written from it in the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_CHUNK_ROWS: Final = 1 << 17


class RowStore:
    """Rows in a file, in the order of their frames; use it in a ``with`` block.

    Parameters
    ----------
    path : Path
        The file; made if it is missing.
    columns : tuple of str
        Names of the columns behind ``frame``.
    n_rows : int
        Rows to keep of those that are there; what follows them is cut off.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], *, n_rows: int = 0) -> None:
        self.path = path
        self.columns = ("frame", *columns)
        self.n_rows = n_rows
        self._row_bytes = 8 * len(self.columns)

    def __enter__(self) -> Self:
        self._file = self.path.open("r+b" if self.path.exists() else "w+b")
        self._file.truncate(self.n_rows * self._row_bytes)
        self._file.seek(0, os.SEEK_END)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: NDArray[np.float64]) -> None:
        """Add rows, axes (row, column), and wait until they are on the disk."""
        self._file.write(np.ascontiguousarray(rows).tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.n_rows += len(rows)

    def chunks(self) -> Iterator[pd.DataFrame]:
        """Give all rows as tables of at most 131,072 rows; one empty table where there is none."""
        for start in range(0, max(1, self.n_rows), _CHUNK_ROWS):
            yield self.table(start, min(start + _CHUNK_ROWS, self.n_rows))

    def table(self, first: int, stop: int) -> pd.DataFrame:
        """Give the rows ``first`` to ``stop - 1``, counted from 0, as a table."""
        n_columns = len(self.columns)
        with self.path.open("rb") as file:
            file.seek(first * self._row_bytes)
            values = np.fromfile(file, np.float64, (stop - first) * n_columns)
        rows = values.reshape(-1, n_columns)
        found = {name: rows[:, i].copy() for i, name in enumerate(self.columns)}
        return pd.DataFrame(found | {"frame": rows[:, 0].astype(np.int64)})

    def sample(self, most: int) -> pd.DataFrame:
        """Give about as many rows as asked for, in runs spread over the whole file."""
        if self.n_rows <= most:
            return self.table(0, self.n_rows)
        n_runs = 16
        length = most // n_runs
        starts = np.linspace(0, self.n_rows - length, n_runs).astype(int)
        return pd.concat([self.table(s, s + length) for s in starts], ignore_index=True)
