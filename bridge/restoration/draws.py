"""Which renderings belong to which field, where a field has several of them.

The words of their names, as in ``match``: a word that all have and no field has says what they are;
a last number counts the draws of a field::

    field cell_3   <-   cell_3.tif     cell_3_1.tif, cell_3_2.tif     cell_3_usrm-1.tif
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bridge.errors import InputError
from bridge.images.read import IMAGE_ENDINGS

_BETWEEN = re.compile(r"[_\-\s.]+")


def match_draws(place: str | Path, names: Sequence[str]) -> dict[str, list[Path]]:
    """Give each field its renderings.

    Parameters
    ----------
    place : str or Path
        One rendering, or a folder of them, sub-folders and all.
    names : sequence of str
        Of the fields, not empty. A single one takes all renderings.

    Returns
    -------
    dict of str to list of Path
        Per field its files, in order of their numbers.

    Raises
    ------
    InputError
        There are none, one belongs to no field, or a field has none.
    """
    files = _list_files(Path(place))
    if len(names) == 1:
        return {names[0]: files}
    keys = {tuple(_words(name)): name for name in names}
    known = {word for key in keys for word in key}
    shared = set.intersection(*(set(_words(path.stem)) for path in files)) - known
    found: dict[str, list[Path]] = {name: [] for name in names}
    for path in files:
        words = tuple(word for word in _words(path.stem) if word not in shared)
        name = keys.get(words)
        if name is None and words and words[-1].isdigit():
            name = keys.get(words[:-1])
        if name is None:
            raise InputError(
                str(path),
                "its name is that of no field",
                f"the name of a field, such as {names[0]}, and a number where there are several",
                "Rename it, or take it away.",
            )
        found[name].append(path)
    without = [name for name, paths in found.items() if not paths]
    if without:
        raise InputError(
            str(place),
            f"there is none for {_tell(without)}: {len(files)} files for {len(names)} fields",
            "at least one for each field",
            "Add it, or take the field's other images away.",
        )
    return found


def require_partners(alone: Sequence[Path], n_found: int) -> None:
    """Raise InputError where files lack a partner: fields must be complete.

    Parameters
    ----------
    alone : sequence of Path
        Files without a partner.
    n_found : int
        Fields that have all their files.
    """
    if alone:
        names = [f"{path.parent.name}/{path.name}" for path in alone]
        raise InputError(
            "fields",
            f"{_tell(names)} without a partner of the same name, beside {n_found} complete "
            f"field{'' if n_found == 1 else 's'}",
            "for each field a widefield image, and its table or rendering",
            "Add what is missing, or take the lone files away.",
        )


def _list_files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    files = [
        path
        for path in (place.rglob("*") if place.is_dir() else [])
        if path.suffix.lower() in IMAGE_ENDINGS and not path.name.startswith(".")
    ]
    if not files:
        raise InputError(str(place), "there is no image", "a rendering, or a folder of them", "")
    return sorted(files, key=_order)


def _order(path: Path) -> list[tuple[int, str]]:
    """Sort 2 before 10."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in _words(path.stem)]


def _words(text: str) -> list[str]:
    return [word for word in _BETWEEN.split(text.lower()) if word]


def _tell(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
