"""A movie's frames run block by block into rows on disk; a stopped run goes on where it stopped.

::

    movie --block--> model's counts --> network, rows --append--> .NAME.part.rows
                                                |
                                                `--"block 7 is there"--> .NAME.part.journal

A block's rows reach the disk before the journal says so; what a killed run left behind the last
such line is cut off. So a run that goes on gives the bytes that an undisturbed one gives.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bridge.errors import Cancelled, OutputError, VerdictError
from bridge.images.journal import Journal
from bridge.progress import Progress
from bridge.runtime.predict import Outcome, Predictor
from bridge.smlm.frame_reading import Reading, read_frames
from bridge.smlm.movie_blocks import MovieFrames
from bridge.smlm.row_store import RowStore

Convert = Callable[[NDArray[Any]], NDArray[np.float32]]
_RANGES = ("input", "output")


@dataclass
class Done:
    """What is done of a movie, in JSON values.

    Attributes
    ----------
    n_frames : int
        Frames done.
    n_rows : int
        Rows found in them.
    report : dict
        How the network ran: engine, tiles, ranges over all blocks, seconds.
    warnings : list of str
        What to look at, each kind once.
    n_blocks : int
        Blocks run.
    flaws : list of (int, int, dict)
        First and last frame of blocks whose output was empty or NaN, and the verdict.
    """

    n_frames: int = 0
    n_rows: int = 0
    report: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    n_blocks: int = 0
    flaws: list[tuple[int, int, dict[str, str]]] = field(default_factory=list)

    def add(self, outcome: Outcome, n_frames: int, n_rows: int) -> None:
        """Take in one block."""
        first = self.n_frames + 1
        self.report = _pool(self.report, outcome.report, self.n_frames, n_frames)
        known = {_kind(warning) for warning in self.warnings}
        self.warnings += [w for w in outcome.warnings if _kind(w) not in known]
        self.n_frames += n_frames
        self.n_rows += n_rows
        self.n_blocks += 1
        if outcome.flaw is not None:
            self.flaws.append((first, self.n_frames, outcome.flaw.as_dict()))

    def judge(self, *, takes_empty: bool) -> list[str]:
        """Say which parts of the movie came out flawed.

        Parameters
        ----------
        takes_empty : bool
            Whether an output without anything in it may be right: no emitter is in the movie.

        Raises
        ------
        VerdictError
            The whole output is flawed.
        """
        faint = [flaw["found"].startswith("nearly black") for _, _, flaw in self.flaws]
        if self.n_blocks and len(self.flaws) == self.n_blocks and not (takes_empty and all(faint)):
            flaw = self.flaws[0][2]
            raise VerdictError(flaw["what"], flaw["found"], flaw["expected"], flaw["remedy"])
        if not self.flaws or (takes_empty and all(faint)):
            return []
        first, last, flaw = self.flaws[0]
        more = f", and {len(self.flaws) - 1} more blocks" if len(self.flaws) > 1 else ""
        return [f"In frames {first:,} to {last:,}{more} the model's output is {flaw['found']}."]


def _kind(warning: str) -> str:
    """Give a warning without its figures, to know its kind again."""
    return re.sub(r"[\d.,+-]+", "#", warning)


def _pool(
    before: Mapping[str, Any], block: Mapping[str, Any], n_before: int, n_block: int
) -> dict[str, Any]:
    """Give one report for all blocks: ranges over all, tiles and seconds added up."""
    found = json.loads(json.dumps(block))
    if not before:
        return dict(found)
    for part in _RANGES:
        for name, own in found[part].items():
            other = before[part][name]
            own["min"], own["max"] = min(own["min"], other["min"]), max(own["max"], other["max"])
            total = own["mean"] * n_block + other["mean"] * n_before
            own["mean"] = total / (n_block + n_before)
            own["not_finite"] += other["not_finite"]
            own["sizes"] |= {"t": n_block + n_before}
    found["tiles"]["count"] += before["tiles"]["count"]
    found["seconds"] = round(found["seconds"] + before["seconds"], 3)
    return dict(found)


def run_blocks(
    predictor: Predictor,
    movie: MovieFrames,
    reading: Reading,
    store: RowStore,
    done: Done,
    *,
    n_side: int = 0,
    convert: Convert | None = None,
    note: Callable[[Done], None] = lambda done: None,
    progress: Progress,
) -> None:
    """Run the frames of a movie that aren't done yet.

    Parameters
    ----------
    predictor : Predictor
        The package.
    movie : MovieFrames
        All frames.
    reading : Reading
        How its output becomes rows.
    store : RowStore
        Where rows go; has those of the frames done.
    done : Done
        What is done; brought up to date after every block.
    n_side : int
        Frames of context on either side.
    convert : callable, optional
        Turns the movie's counts into those that the model was trained for.
    note : callable
        Told after every block whose rows are on the disk.
    progress : Progress
        Told of the frames done, after every batch of tiles.
    """
    n_frames = movie.n_frames
    starts = range(done.n_frames, n_frames, movie.block_length())
    with contextlib.closing(movie.read_blocks(starts, n_side=n_side)) as blocks:
        for first, frames in blocks:
            n_block = frames.sizes["t"]
            ready = frames if convert is None else frames.copy(data=convert(frames.values))

            def tell(
                done: int, total: int, note: str = "", *, first: int = first, n: int = n_block
            ) -> None:
                progress(first + n * done // max(1, total), n_frames, note)

            rows, outcome = read_frames(predictor, ready, reading, tell)
            rows[:, 0] += first
            store.append(rows)
            done.add(outcome, n_block, len(rows))
            note(done)


def name_work(**parts: object) -> str:
    """Name a run by all that its table depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class Unfinished:
    """Rows beside an output that isn't there yet, and the journal of what is in them.

    Parameters
    ----------
    output : Path
        The table to come.
    columns : tuple of str
        Columns of its rows, without the frame.
    key : str
        Names the work.
    resume : bool
        Go on with what a stopped run of the same work left; without a leftover, start.

    Attributes
    ----------
    store : RowStore
        The rows.
    done : Done
        What is done already.
    settled : dict
        What an earlier run found out before its first block; empty at a start.
    """

    def __init__(self, output: Path, columns: tuple[str, ...], *, key: str, resume: bool) -> None:
        self._output = output
        self._columns = columns
        self._key = key
        self._resume = resume
        self.rows_path = output.with_name(f".{output.name}.part.rows")
        self.journal_path = output.with_name(f".{output.name}.part.journal")

    @contextlib.contextmanager
    def opened(self) -> Iterator[Unfinished]:
        """Open rows and journal; they are removed in the end, unless a run is to go on with them.

        Raises
        ------
        OutputError
            Another run is writing this output, or what is left belongs to other work.
        """
        with self._sentences():
            self._output.parent.mkdir(exist_ok=True)
            self._journal = Journal(self.journal_path, what=str(self._output))
        try:
            self.done, self.settled = self._load()
        except BaseException:
            self._journal.close(remove=False)
            raise
        is_left = False
        try:
            with (
                self._sentences(),
                RowStore(self.rows_path, self._columns, n_rows=self.done.n_rows) as self.store,
            ):
                yield self
        except Cancelled as stop:
            is_left = self.done.n_blocks > 0
            kept = f"; {self.done.n_frames:,} frames are kept, and --resume goes on from there"
            raise Cancelled(str(self._output), stop.found + kept * is_left) from stop
        except BaseException:
            is_left = self.done.n_blocks > 0
            raise
        finally:
            if not is_left:
                self.rows_path.unlink(missing_ok=True)
            self._journal.close(remove=not is_left)

    def settle(self, values: Mapping[str, Any]) -> None:
        """Note what was found out before the first block."""
        self.settled = dict(values)
        self._journal.add_step(json.dumps({"settled": self.settled}))
        self._journal.add_synced()

    def note(self, done: Done) -> None:
        """Note that a block's rows are on the disk."""
        self._journal.add_step(json.dumps({"done": asdict(done)}))
        self._journal.add_synced()

    @contextlib.contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn the system's errors into what a user can act on."""
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            remedy = "Free some space, or choose another folder."
            raise OutputError(str(self._output), f"writing failed: {reason}", "", remedy) from error

    def _load(self) -> tuple[Done, dict[str, Any]]:
        layout = {"columns": list(self._columns)}
        header = self._journal.header
        if not (self._resume and header and self.rows_path.exists()):
            self._journal.begin(key=self._key, layout=layout)
            return Done(), {}
        if header["key"] != self._key or header["layout"] != layout:
            raise OutputError(
                str(self.journal_path),
                "the unfinished table belongs to another movie, model or other settings",
                "one that this run began",
                "Start without --resume to replace it, or repeat the settings that began it.",
            )
        records = [json.loads(step) for step in self._journal.finished]
        self._journal.go_on()
        settled: dict[str, Any] = next((r["settled"] for r in records if "settled" in r), {})
        steps = [Done(**record["done"]) for record in records if "done" in record]
        done = max(steps, key=lambda step: step.n_frames, default=Done())
        if self.rows_path.stat().st_size < done.n_rows * 8 * (1 + len(self._columns)):
            raise OutputError(
                str(self.rows_path),
                "it is shorter than its journal says",
                "the rows of an unfinished table",
                "Start without --resume.",
            )
        return done, settled
