"""The shell's words, read into a job's values.

Written here rather than with ``argparse`` or pydantic-settings because every word must arrive as it
was given: those split lists at commas, read ``[a].tif`` as JSON, take ``-1e-3`` for an option, or
let ``--overwrite`` swallow the word after it. The rules:

- ``--tile 512``, ``--tile=512``; underscores do as well as dashes;
- a list takes every word up to the next that starts with ``--``, and may be given again;
- ``--overwrite``, ``--no-overwrite``, ``--overwrite true``, ``--overwrite=false``;
- other words fill the job's positional fields; after a lone ``--`` all words do.

Reading stays in words: types and ranges are checked by :func:`bridge.jobs.options.make_job`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from bridge.errors import InputError
from bridge.jobs.base import Job
from bridge.jobs.options import Option, fields_of, make_job

J = TypeVar("J", bound=Job)


def job_from_words(job: type[J], words: Sequence[str]) -> J:
    """Build a job from the words behind its command.

    Parameters
    ----------
    job : type of Job
        The job.
    words : sequence of str
        Options, their values and positional values.

    Returns
    -------
    Job
        The job, checked.

    Raises
    ------
    InputError
        A word is not known, or a value is missing or wrong.
    """
    return make_job(job, _Reader(job, words).values(), spell=lambda name: _spell(job, name))


def flag_of(name: str) -> str:
    """Give a field's shell word: ``pixel_size_nm`` is ``--pixel-size-nm``."""
    return "--" + name.replace("_", "-")


def nearest(word: str, known: Iterable[str]) -> str:
    """Ask ``Did you mean ...?`` if a known word is near, otherwise say nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else ""


def _spell(job: type[Job], name: str) -> str:
    return name.upper() if name in job.positional else flag_of(name)


class _Reader:
    """One pass over the words; what was read so far, and what comes next."""

    def __init__(self, job: type[Job], words: Sequence[str]) -> None:
        self._what = "zoobridge " + " ".join(job.command)
        self._options = {option.flag: option for option in fields_of(job)}
        self._free = [self._options[flag_of(name)] for name in job.positional]
        self._words = list(words)
        self._read: dict[str, str | list[str]] = {}

    def values(self) -> dict[str, str | list[str]]:
        """Read all words; gives texts by field name."""
        while self._words:
            word = self._words.pop(0)
            if word == "--":
                while self._words:
                    self._read_free(self._words.pop(0))
            elif word.startswith("--"):
                self._read_option(word)
            else:
                self._read_free(word)
        return self._read

    def _read_free(self, word: str) -> None:
        """Give a word without option to the next positional field."""
        while self._free and not self._free[0].is_list and self._free[0].name in self._read:
            self._free.pop(0)
        if not self._free:
            raise InputError(
                self._what,
                f"{word!r} belongs to no option",
                remedy=f"Values follow their option, as in --option {word}; "
                f"see {self._what} --help.",
            )
        self._store(self._free[0], [word])

    def _read_option(self, word: str) -> None:
        """Read an option and the words that belong to it."""
        name, has_value, value = word.partition("=")
        flag = name.replace("_", "-")
        negated = self._options.get(flag.replace("--no-", "--", 1))
        if flag in self._options:
            option = self._options[flag]
            self._store(option, [value] if has_value else self._following(option))
        elif negated is not None and negated.type is bool and not has_value:
            self._store(negated, ["false"])
        else:
            raise InputError(
                self._what,
                f"there is no option {name}",
                remedy=nearest(flag, self._options) or f"See {self._what} --help.",
            )

    def _following(self, option: Option) -> list[str]:
        """Take the words that belong to an option."""
        if option.type is bool:
            is_given = bool(self._words) and self._words[0].lower() in ("true", "false")
            return [self._words.pop(0) if is_given else "true"]
        taken: list[str] = []
        while self._words and not self._words[0].startswith("--"):
            taken.append(self._words.pop(0))
            if not option.is_list:
                break
        if not taken:
            raise InputError(
                option.flag,
                "no value follows",
                option.expected(),
                f"A value that starts with -- is given as {option.flag}=VALUE.",
            )
        return taken

    def _store(self, option: Option, words: list[str]) -> None:
        if option.is_list:
            before = self._read.get(option.name, [])
            self._read[option.name] = [*before, *words]
        elif option.name in self._read:
            raise InputError(
                option.flag,
                f"was given twice, {self._read[option.name]!r} and {words[0]!r}",
                "one value",
                "Leave one out.",
            )
        else:
            self._read[option.name] = words[0]
