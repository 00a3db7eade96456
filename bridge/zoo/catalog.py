"""Packages with a name: those that ship with zoobridge and those that were installed.

An installed package is a folder ``<data>/packages/<name>``, a verified copy of what was given.
"""

from __future__ import annotations

import difflib
import re
import shutil
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bridge.errors import PackageError
from bridge.zoo import files, places
from bridge.zoo.description import find_description, read_content
from bridge.zoo.package import Package, open_package

MAX_NAME = 128  # as long as the format lets a model's name be


@dataclass(frozen=True)
class Entry:
    """One package that can be asked for by name."""

    name: str
    """The name to ask for: lower-case letters, digits and hyphens."""
    path: Path
    """The package's folder."""
    kind: Literal["embedded", "installed"]
    """Whether it ships with zoobridge or was added by the user."""
    title: str
    """The model's own name."""
    description: str
    """The first line of its description, or why it cannot be read."""


def installed() -> list[Entry]:
    """List all packages by name, those that ship with zoobridge first."""
    return [
        _entry(folder, kind)
        for kind, parent in _places().items()
        for folder in sorted(parent.iterdir() if parent.is_dir() else ())
        if folder.is_dir() and _is_name(folder.name)
    ]


def find(name: str) -> Path:
    """Give the folder of a package.

    Raises
    ------
    PackageError
        No package has this name.
    """
    wanted = _slug(name)
    for parent in _places().values():
        if wanted and (parent / wanted).is_dir():
            return parent / wanted
    known = sorted(
        folder.name
        for parent in _places().values()
        for folder in (parent.iterdir() if parent.is_dir() else ())
        if folder.is_dir() and _is_name(folder.name)
    )
    close = difflib.get_close_matches(wanted, known, n=3)
    remedy = f"Did you mean {' or '.join(close)}? " if close else ""
    remedy += f"Installed are: {', '.join(known)}" if known else "No package is installed"
    raise PackageError(
        name[:MAX_NAME] or "model",
        "there is no such file, folder or installed package",
        "a folder, a zip, a YAML file or the name of an installed package",
        remedy,
    )


def add(path: str | Path, *, name: str | None = None, overwrite: bool = False) -> Entry:
    """Install a package: verify it and copy what its description uses.

    Parameters
    ----------
    path : str or Path
        A folder, a zip or a description's YAML file.
    name : str, optional
        The name to give it; by default made from the model's name.
    overwrite : bool
        Whether it may replace an installed package of that name.

    Raises
    ------
    PackageError
        It cannot be opened, or the name is taken.
    """
    package = open_package(path)
    slug = _slug(package.name if name is None else name)
    if not slug:
        raise PackageError("name", f"{name!r} holds no letter or digit", "a name such as my-model")
    target = _places()["installed"] / slug
    if (_places()["embedded"] / slug).is_dir():
        found = f"{slug} is the name of a package that ships with zoobridge"
        raise PackageError("name", found, remedy="Give another name")
    if target.exists() and not overwrite:
        remedy = "Give another name, or overwrite=true to replace it"
        raise PackageError("name", f"a package {slug} is installed already", remedy=remedy)
    try:
        _copy_into_place(package, target)
    except OSError as error:
        found = f"cannot be written ({error.strerror or error})"
        raise PackageError(str(target), found, remedy="Make room there") from error
    return _entry(target, "installed")


def remove(name: str) -> None:
    """Remove an installed package.

    Raises
    ------
    PackageError
        No package has this name, or it ships with zoobridge.
    """
    folder = find(name)
    if folder.parent == _places()["embedded"]:
        raise PackageError(name, "ships with zoobridge and cannot be removed")
    try:
        workplace = Path(tempfile.mkdtemp(prefix=".removing-", dir=folder.parent))
        folder.rename(workplace / "old")  # gone in one step, even if deleting is interrupted
    except OSError as error:
        raise PackageError(str(folder), f"cannot be removed ({error.strerror or error})") from error
    shutil.rmtree(workplace, ignore_errors=True)


def _places() -> dict[Literal["embedded", "installed"], Path]:
    return {"embedded": places.embedded_dir(), "installed": places.data_dir() / "packages"}


def _entry(folder: Path, kind: Literal["embedded", "installed"]) -> Entry:
    try:
        content = read_content(find_description(folder))
    except PackageError as error:
        return Entry(folder.name, folder, kind, folder.name, str(error))
    lines = str(content.get("description") or "").strip().splitlines()
    title = str(content.get("name", folder.name))
    return Entry(folder.name, folder, kind, title, lines[0] if lines else "")


def _copy_into_place(package: Package, target: Path) -> None:
    """Copy the package beside ``target``, open the copy, and rename it when it is right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=".adding-", dir=target.parent))
    try:
        copy = workplace / "new"
        names = {str(package.description.file_name)}
        for reference in files.references(package.description):
            if not reference.is_remote and files.locate(package.root, reference) is not None:
                names.add(reference.source)
        for name in sorted(names):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package.root / name, copy / name)
        open_package(copy)
        if target.exists():
            target.rename(workplace / "old")
        copy.rename(target)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _slug(name: str) -> str:
    """Give lower-case letters, digits and hyphens; other characters become hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_NAME].strip("-")


def _is_name(name: str) -> bool:
    return _slug(name) == name
