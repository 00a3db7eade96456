"""What a folder with Fiji or ImageJ is: where its parts lie, which jars it has, how it starts.

Recognised are, each by its jars rather than by its name::

    Fiji.app/ or Fiji/   jars/scijava-common-2.x.jar  plugins/  scripts/  macros/
                         fiji, fiji-linux-x64, fiji-windows-x64.exe, ImageJ-linux64, ...
                         config/jaunch/fiji.cfg       launch-mode=PYTHON, python-dir=python/linux64
                         Fiji.app/Contents/MacOS/     the newer program of macOS, inside the folder
    Fiji.app/            Contents/MacOS/ImageJ-macosx the older one: the bundle is the folder
    ImageJ/              ij.jar, or ImageJ.app/Contents/Java/ij.jar

A user may name the folder, the one around it, its program or its bundle. Nothing here starts Java.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.errors import InputError

KEY_JARS: Final = ("ij", "scijava-common", "imagej-legacy", "appose")
"""The jars whose versions decide what works."""

_NAMES: Final = ("Fiji.app", "Fiji", "ImageJ", "ImageJ.app")
_IMAGEJ_JARS: Final = ("ij.jar", "ImageJ.app/Contents/Java/ij.jar", "Contents/Java/ij.jar")
_PROGRAMS: Final = (
    "fiji-*",
    "fiji",
    "Fiji.app/Contents/MacOS/*",
    "Contents/MacOS/*",
    "ImageJ-*",
    "ImageJ.app",
    "ImageJ.exe",
    "ImageJ",
)
_CONFIG: Final = "config/jaunch/fiji.cfg"
_PYTHONS: Final = ("bin/python", "python.exe", "Scripts/python.exe")
_EXPECTED: Final = "the folder of Fiji (with jars/scijava-common-...jar) or of ImageJ (with ij.jar)"


@dataclass(frozen=True)
class FijiFolder:
    """A folder with Fiji, ImageJ2 or plain ImageJ."""

    root: Path
    """The folder that has jars and plugins."""
    has_scijava: bool
    """Whether scripts become commands; not so in plain ImageJ."""
    program: str
    """What starts it, inside the folder; empty where nothing was found."""
    is_python_mode: bool
    """Whether it is set to start inside Python."""
    python_dir: Path | None
    """The environment of its Python mode, where one is set or there."""

    @property
    def name(self) -> str:
        """What it is, in words."""
        if not self.has_scijava:
            return "plain ImageJ"
        return "Fiji in Python mode" if self.is_python_mode else "Fiji"

    def jar_version(self, artifact: str) -> str | None:
        """Give the version in a jar's name, ``?`` where it has none; None where there is no jar."""
        versions = self.jar_versions(artifact)
        return versions[-1] if versions else None

    def jar_versions(self, artifact: str) -> list[str]:
        """Give the versions of all jars of an artifact; more than one is an accident."""
        pattern = re.compile(re.escape(artifact) + r"(?:-(\d.*))?\.jar")
        found = [pattern.fullmatch(path.name) for path in self._jars()]
        return sorted(match[1] or "?" for match in found if match)

    def _jars(self) -> Iterator[Path]:
        for folder in ("jars", "plugins"):
            for depth in ("*.jar", "*/*.jar"):
                yield from (self.root / folder).glob(depth)
        for name in _IMAGEJ_JARS:
            yield from self.root.glob(name)


def recognise(path: Path) -> FijiFolder:
    """Find out what a folder is.

    Parameters
    ----------
    path : Path
        Folder of Fiji or ImageJ, the folder around it, its program or its bundle.

    Returns
    -------
    FijiFolder
        What it is.

    Raises
    ------
    InputError
        It is none of these, or its jars lie elsewhere.
    """
    try:
        path.stat()
    except OSError as error:
        found = f"can't be looked into: {error.strerror}"
        raise InputError(str(path), found, _EXPECTED, "Check the path.") from error
    for candidate in _candidates(path.absolute()):
        if any((candidate / "jars").glob("scijava-common*.jar")):
            _refuse_linked_jars(candidate)
            return _describe(candidate, has_scijava=True)
        if any((candidate / name).is_file() for name in _IMAGEJ_JARS):
            return _describe(candidate, has_scijava=False)
    remedy = "Give the folder in which Fiji or ImageJ was unpacked."
    raise InputError(str(path), "neither Fiji nor ImageJ is in it", _EXPECTED, remedy)


def python_in(environment: Path) -> Path | None:
    """Find the Python of an environment's folder.

    Parameters
    ----------
    environment : Path
        Folder of a conda, pixi or virtual environment.

    Returns
    -------
    Path or None
        The program.
    """
    return next((environment / p for p in _PYTHONS if (environment / p).is_file()), None)


def _candidates(path: Path) -> Iterator[Path]:
    """Give the folders to look at: this one, those inside with a known name, those around."""
    folder = path if path.is_dir() else path.parent
    yield folder
    for name in _NAMES:
        yield folder / name
    if any(part.endswith(".app") for part in folder.parts[-3:]):  # in the bundle, or its Contents
        yield from folder.parents[:3]


def _refuse_linked_jars(root: Path) -> None:
    real = (root / "jars").resolve().parent
    if real != root.resolve():
        raise InputError(
            str(root / "jars"),
            f"is a link to {real / 'jars'}, and Fiji looks for its scripts beside the real one",
            "a folder",
            f"Give {real}.",
        )


def _describe(root: Path, *, has_scijava: bool) -> FijiFolder:
    programs = [path for name in _PROGRAMS for path in sorted(root.glob(name)) if path != root]
    settings = _settings(root / _CONFIG) if has_scijava else {}
    environment = settings.get("python-dir", "")
    python_dir = root / environment if environment else None
    if python_dir is None:
        inside = [path for path in sorted((root / "python").glob("*")) if python_in(path)]
        python_dir = inside[0] if inside else None
    return FijiFolder(
        root=root,
        has_scijava=has_scijava,
        program=programs[0].relative_to(root).as_posix() if programs else "",
        is_python_mode=settings.get("launch-mode", "").upper() == "PYTHON",
        python_dir=python_dir,
    )


def _settings(path: Path) -> dict[str, str]:
    """Read ``key=value`` lines; none where there is no file."""
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}
