"""Which input belongs to which target: by the words in their names, and by sub-folders.

Words are what stands between ``_ - .`` and blanks. A word that all inputs have and no target has,
such as ``wf``, says what the file is and not which field, and so the other way round::

    input/cell1_wf.tif   ->  cell1  <-  target/cell1_sted.tif
    input/actin/3.tif    ->  actin/3  <-  target/actin/3.tif        structure: actin
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import InputError
from bridge.images.read import IMAGE_ENDINGS

_BETWEEN = re.compile(r"[_\-\s.]+")


@dataclass(frozen=True)
class Match:
    """Files that show the same place."""

    name: str
    """The words they share; the field's name."""
    structure: str
    """Their sub-folder; empty where they lie right in the folder."""
    paths: tuple[Path, ...]
    """One file of each folder."""


@dataclass(frozen=True)
class Matches:
    """What was matched, and what was left alone."""

    found: tuple[Match, ...]
    alone: tuple[Path, ...]


def match_files(
    *folders: str | Path, endings: Sequence[tuple[str, ...] | None] | None = None
) -> Matches:
    """Match the images of two or more folders by name.

    Parameters
    ----------
    *folders : str or Path
        Folders, each with images right in it or in sub-folders of equal names; or single files.

    endings : sequence of (tuple of str or None), optional
        Endings of each folder's files, where they aren't images.

    Returns
    -------
    Matches
        In order of their names. Two single files match whatever they are called.

    Raises
    ------
    InputError
        A folder is missing or empty, the same one is given twice, nothing matches, or two files of
        a folder have the same words.
    """
    places = [Path(folder) for folder in folders]
    if len({place.resolve() for place in places}) < len(places):
        raise InputError(
            str(places[0]), "it is given as input and as target", "two different folders"
        )
    kinds = endings or (None,) * len(places)
    listed = [_list_files(p, e or IMAGE_ENDINGS) for p, e in zip(places, kinds, strict=True)]
    structures = sorted(set().union(*listed))
    found: list[Match] = []
    alone: list[Path] = []
    for structure in structures:
        files = [sides.get(structure, []) for sides in listed]
        matched, left = _match_names(structure, files)
        found += matched
        alone += left
    if not found:
        names = "; ".join(
            f"{place}: {', '.join([p.name for side in sides.values() for p in side][:3])}"
            for place, sides in zip(places, listed, strict=True)
        )
        raise InputError(
            " and ".join(map(str, places)),
            f"no file of one has a partner in the other ({names})",
            "equal names, or names that differ in one word such as _wf and _sted",
            "Rename the files.",
        )
    return Matches(tuple(found), tuple(alone))


def _list_files(place: Path, endings: tuple[str, ...]) -> dict[str, list[Path]]:
    """List files by their sub-folder."""
    if place.is_file():
        return {"": [place]}
    if not place.is_dir():
        raise InputError(str(place), "there is no such folder", "a folder of images")
    listed: dict[str, list[Path]] = {}
    inside = sorted(p for p in place.rglob("*") if p.suffix.lower() in endings and p.is_file())
    for path in inside:
        above = path.relative_to(place).parts
        if len(above) <= 2 and not any(name.startswith(".") for name in above):
            listed.setdefault(above[0] if len(above) == 2 else "", []).append(path)
    if not listed:
        raise InputError(
            str(place),
            "there is no such file in it, nor in its sub-folders",
            f"files ending in {', '.join(endings)}",
            "Check the folder.",
        )
    return listed


def _match_names(structure: str, files: Sequence[list[Path]]) -> tuple[list[Match], list[Path]]:
    if all(len(side) == 1 for side in files):
        words = [_words(side[0]) for side in files]
        shared = [word for word in words[0] if all(word in other for other in words[1:])]
        name = "_".join(shared) or files[0][0].stem
        return [Match(_safe(name), structure, tuple(side[0] for side in files))], []
    keyed = [
        _by_key(side, [f for other in files if other is not side for f in other]) for side in files
    ]
    shared_keys = [key for key in keyed[0] if all(key in other for other in keyed[1:])]
    found = [
        Match(_safe("_".join(key)), structure, tuple(side[key] for side in keyed))
        for key in shared_keys
    ]
    alone = [path for side in keyed for key, path in side.items() if key not in shared_keys]
    return found, alone


def _by_key(side: list[Path], others: list[Path]) -> dict[tuple[str, ...], Path]:
    """Give files by the words that say which field they show."""
    if not side:
        return {}
    words = {path: _words(path) for path in side}
    elsewhere = {word for path in others for word in _words(path)}
    kind = set.intersection(*(set(w) for w in words.values())) - elsewhere
    keyed: dict[tuple[str, ...], Path] = {}
    for path, mine in words.items():
        key = tuple(word for word in mine if word not in kind)
        if key in keyed:
            raise InputError(
                str(path), f"it has the same words as {keyed[key].name}", "a name of its own"
            )
        keyed[key] = path
    return keyed


def _words(path: Path) -> list[str]:
    return [word for word in _BETWEEN.split(path.stem.lower()) if word]


def _safe(name: str) -> str:
    return re.sub(r"[^\w\-]+", "_", name)
