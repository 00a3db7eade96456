"""Put zoobridge into a Fiji or ImageJ folder, and take it out again.

What goes in, by the kind of the folder::

    groovy   scripts/Plugins/ZooBridge/*.groovy   menu entries   zoobridge/ZooBridge.groovy   client
             macros/ZooBridge/*.ijm
    python   scripts/Plugins/ZooBridge/*.py       menu entries   macros/ZooBridge/*.ijm
    macros   plugins/ZooBridge/*.ijm              for plain ImageJ, which has no scripts

and ``zoobridge/install.json`` (:mod:`bridge.fiji.manifest`), which is written before the first file
and completed after the last: an interrupted install can be repeated or undone. Never overwritten
are files of others, nor files of ours that somebody changed. Nothing here starts Java.
"""

from __future__ import annotations

import contextlib
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from bridge import __version__
from bridge.errors import InputError, OutputError
from bridge.fiji.folder import FijiFolder, python_in, recognise
from bridge.fiji.launchers import CLIENT, MENU_DIR, Language, launchers
from bridge.fiji.manifest import PLACE, Kind, Manifest, folders_of, read_manifest, sha256
from bridge.fiji.pythons import FoundPython, check_python, find_program
from bridge.fiji.whole_files import part_of, write_whole

MODULES: Final = ("bridge.worker", "appose")
"""What the Python must have that works for Fiji."""

_MODULES_INSIDE: Final = ("bridge.worker", "scyjava")
_COMMAND: Final = re.compile(
    rb'^(command = call\("ij\.Prefs\.get", "zoobridge\.command", )"zoobridge"(\);)', re.MULTILINE
)


@dataclass(frozen=True)
class Plan:
    """What an install will put where."""

    folder: FijiFolder
    kind: Kind
    python: FoundPython
    files: dict[str, bytes]
    """Content by path inside the folder."""
    notes: list[str]
    """Sentences about what is doubtful."""


@dataclass(frozen=True)
class Changes:
    """What was done to a folder."""

    written: list[str]
    """Files written, by path inside the folder."""
    removed: list[str]
    """Files removed."""
    kept: list[str]
    """Files of ours that somebody changed, left as they are."""


def plan_install(path: Path, *, kind: Kind | None = None, python: str = "") -> Plan:
    """Find out what a folder is, and what belongs into it.

    Parameters
    ----------
    path : Path
        Folder of Fiji or ImageJ.
    kind : {"groovy", "python", "macros"}, optional
        Which set; left out, the one that the folder can run.
    python : str
        Python that does the work; empty takes this one, or Fiji's own in its Python mode.

    Returns
    -------
    Plan
        Everything checked that can be checked without writing.

    Raises
    ------
    InputError
        The folder is none of the known kinds, or cannot run the set, or the Python can't work.
    """
    folder = recognise(path)
    chosen = kind or _kind_for(folder)
    if chosen != "macros" and not folder.has_scijava:
        raise InputError(
            str(folder.root),
            f"is plain ImageJ, which cannot run the {chosen} scripts",
            "kind macros or auto",
            "Leave the kind out.",
        )
    found = _python_for(folder, chosen, python)
    notes = _notes(folder, chosen)
    if chosen == "macros" and found.command is None:
        remedy = f'Install it again: "{found.program}" -m pip install --force-reinstall zoobridge.'
        raise InputError(str(found.program), "has no command zoobridge beside it", "", remedy)
    macros, complaint = _macros(found, only_with_command=chosen == "macros")
    files = {f"{_macro_dir(chosen)}/{name}": content for name, content in macros.items()}
    if chosen != "macros":
        files |= _scripts(chosen)
    return Plan(folder, chosen, found, files, notes + complaint)


def install(plan: Plan) -> Changes:
    """Bring a folder to what was planned; nothing is touched that is so already.

    Parameters
    ----------
    plan : Plan
        What belongs into the folder.

    Returns
    -------
    Changes
        What was done.

    Raises
    ------
    OutputError
        Files of others are in the way, or the folder can't be written.
    """
    root, old = plan.folder.root, read_manifest(plan.folder.root)
    _refuse_foreign(plan, old)
    kept = changed_files(root, old) if old else []
    files = {path: content for path, content in plan.files.items() if path not in kept}
    hashes = {path: sha256(content) for path, content in files.items()}
    if old is not None:
        hashes |= {path: old.files.get(path, "") for path in kept}
    goal = Manifest(
        zoobridge=__version__,
        python=str(plan.python.program),
        kind=plan.kind,
        files=hashes,
        folders=_made_folders(root, old, [*files, PLACE]),
    )
    late = [path for path, content in files.items() if not _holds(root / path, content)]
    surplus = sorted(set(old.files) | set(old.before) if old else set())
    surplus = [path for path in surplus if path not in hashes and (root / path).is_file()]
    if not late and not surplus and old == goal:
        return Changes([], [], kept)
    _refuse_read_only(root, [*late, *surplus, PLACE])
    before = {path: sorted(old.hashes(path)) for path in {*old.files, *old.before}} if old else {}
    write_whole(root / PLACE, replace(goal, before=before).text())
    for path in late:
        write_whole(root / path, files[path])
    _remove(root, surplus)
    needed = {*folders_of([*hashes, PLACE])}
    _remove_folders(root, [name for name in goal.folders if name not in needed])
    goal = replace(goal, folders=[name for name in goal.folders if (root / name).is_dir()])
    write_whole(root / PLACE, goal.text())
    return Changes(late, surplus, kept)


def uninstall(folder: FijiFolder, *, force: bool = False) -> Changes:
    """Take out all that install put in, and the folders it made.

    Parameters
    ----------
    folder : FijiFolder
        The folder.
    force : bool
        Remove files of ours that somebody changed, too.

    Returns
    -------
    Changes
        What was done; files that were changed are kept without ``force``.

    Raises
    ------
    InputError
        Nothing is installed there.
    OutputError
        The folder can't be written.
    """
    root, old = folder.root, read_manifest(folder.root)
    if old is None:
        raise InputError(str(root), "zoobridge is not installed in it", f"a file {PLACE}")
    kept = [] if force else changed_files(root, old)
    ours = sorted(path for path in {*old.files, *old.before} if path not in kept)
    removed = [path for path in ours if (root / path).is_file()]
    _refuse_read_only(root, [*removed, PLACE])
    _remove(root, ours)
    if kept:
        rest = {path: old.files.get(path, "") for path in kept}
        write_whole(root / PLACE, replace(old, files=rest, before={}).text())
    else:
        _remove(root, [PLACE])
    _remove_folders(root, old.folders)
    return Changes([], removed, kept)


def stale_files(folder: FijiFolder, manifest: Manifest) -> list[str]:
    """Name installed files that this zoobridge would write otherwise, or that are missing.

    Parameters
    ----------
    folder : FijiFolder
        The folder.
    manifest : Manifest
        What was installed there.

    Returns
    -------
    list of str
        Paths inside the folder. Macros are not compared, as they name their Python.
    """
    files = {} if manifest.kind == "macros" else _scripts(manifest.kind)
    wrong = {path for path, content in files.items() if not _holds(folder.root / path, content)}
    wrong |= {path for path in manifest.files if not (folder.root / path).is_file()}
    return sorted(wrong)


def changed_files(root: Path, manifest: Manifest) -> list[str]:
    """Name installed files that somebody changed since.

    Parameters
    ----------
    root : Path
        Folder of Fiji or ImageJ.
    manifest : Manifest
        What was installed there.

    Returns
    -------
    list of str
        Paths inside the folder.
    """
    paths = sorted({*manifest.files, *manifest.before})
    return [p for p in paths if (root / p).exists() and not manifest.is_ours(root, p)]


# ---- What belongs into a folder ----


def _kind_for(folder: FijiFolder) -> Kind:
    if not folder.has_scijava:
        return "macros"
    return "python" if folder.is_python_mode else "groovy"


def _python_for(folder: FijiFolder, kind: Kind, given: str) -> FoundPython:
    """Choose the Python; in its Python mode, Fiji runs in its own and no other."""
    if kind != "python" or folder.python_dir is None:
        modules = _MODULES_INSIDE if kind == "python" else MODULES
        return check_python(given or sys.executable, modules=modules)
    own = python_in(folder.python_dir)
    if own is None:
        raise InputError(
            str(folder.python_dir),
            "Fiji's Python mode names this folder, and no Python is in it",
            "an environment",
            "Set up Python in Fiji (Edit > Options > Python...), or use --kind groovy.",
        )
    if given and find_program(given) != own.absolute():
        raise InputError(
            "python",
            f"{given} was given, and this Fiji runs in {own}",
            "no other Python than Fiji's own",
            "Leave it out, or use --kind groovy.",
        )
    try:
        return check_python(str(own), modules=_MODULES_INSIDE)
    except InputError as error:
        raise _with_other_way(error) from error


def _with_other_way(error: InputError) -> InputError:
    """Name the other way out of a Fiji whose own Python has no zoobridge."""
    remedy = f"{error.remedy} Or let Fiji use another Python: --kind groovy."
    return InputError(error.what, error.found, error.expected, remedy)


def _notes(folder: FijiFolder, kind: Kind) -> list[str]:
    notes = []
    if kind == "groovy" and folder.jar_version("appose") is None:
        notes.append(
            "Appose is not among the jars. Without it the slower way is used: a process for each "
            "command, and images through files. A current Fiji has it (Help > Update...)."
        )
    if kind == "groovy" and folder.jar_version("scripting-groovy") is None:
        notes.append("scripting-groovy is not among the jars; without it nothing will appear.")
    if kind != "macros" and folder.jar_version("imagej-legacy") is None:
        notes.append("imagej-legacy is not among the jars; macros will not find the commands.")
    if kind == "python" and not folder.is_python_mode:
        notes.append(
            "This Fiji does not start in Python mode. Switch it on (Edit > Options > Python...), "
            "or start it from Python (pyimagej); else the menu entries only say so."
        )
    if kind == "groovy" and folder.is_python_mode:
        notes.append("This Fiji starts in Python mode; the Groovy entries work there, too.")
    return notes


def _scripts(kind: Language) -> dict[str, bytes]:
    """Give the menu entries, and what the Groovy ones share."""
    files = {f"scripts/{path}": text.encode() for path, text in launchers(kind).items()}
    if kind == "groovy":
        files[CLIENT] = Path(__file__).with_name("ZooBridge.groovy").read_bytes()
    return files


def _macro_dir(kind: Kind) -> str:
    return "plugins/ZooBridge" if kind == "macros" else "macros/ZooBridge"


def _macros(python: FoundPython, *, only_with_command: bool) -> tuple[dict[str, bytes], list[str]]:
    """Give the macros, with the shell command that this Python has, and complaints.

    ImageJ reads macros as Latin-1, and users may open them in editors that don't: a path with
    other letters than ASCII stays out of them.
    """
    command = "" if python.command is None else python.command.as_posix()
    complaints = []
    if command and not (command.isascii() and '"' not in command):
        complaints.append(
            f"The path {command} cannot be written into macros. Those that need it ask ImageJ: run "
            f'call("ij.Prefs.set", "zoobridge.command", "{command}"); there once.'
        )
        command = ""
    macros = {}
    for path in sorted(_macro_source().glob("*.ijm")):
        content = path.read_bytes()
        if only_with_command and not _COMMAND.search(content):
            continue
        if command:
            content = _COMMAND.sub(
                rb'\1"' + command.encode().replace(b"\\", b"/") + rb'"\2', content
            )
        macros[path.name] = content
    return macros, complaints


def _macro_source() -> Path:
    """Find the macros: in the repository, or where the wheel put them."""
    places = [Path(__file__).parents[2] / "macros"]
    for base in (sysconfig.get_path("data"), site.getuserbase()):
        places.append(Path(base) / "share" / "zoobridge" / "macros")
    found = next((place for place in places if any(place.glob("*.ijm"))), None)
    if found is None:
        remedy = "Install zoobridge again: pip install --force-reinstall zoobridge."
        raise InputError("macros", f"not in {places[1]}", "zoobridge's macros", remedy)
    return found


# ---- What is in the way ----


def _refuse_foreign(plan: Plan, old: Manifest | None) -> None:
    """Refuse files that have the name of one of ours and are not; two entries of one name, too."""
    root = plan.folder.root
    known = {*old.files, *old.before} if old else set()
    foreign = [
        path
        for path, content in plan.files.items()
        if path not in known and (root / path).exists() and not _holds(root / path, content)
    ]
    stems = {PurePosixPath(path).stem for path in plan.files if path.startswith("scripts/")}
    for file in sorted((root / "scripts" / MENU_DIR).glob("*")):
        path = file.relative_to(root).as_posix()
        is_in_the_way = file.stem in stems and path not in plan.files
        if is_in_the_way and (old is None or not old.is_ours(root, path)):
            foreign.append(path)
    if foreign:
        raise OutputError(
            str(root),
            f"not from this installation, and in the way: {', '.join(foreign)}",
            "none of them",
            "Move or delete them, then install again.",
        )


def _refuse_read_only(root: Path, paths: Iterable[str]) -> None:
    """Refuse before anything is written where some of it couldn't be."""
    for path in paths:
        folder = next(f for f in (root / path).parents if f.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(
                str(folder),
                "you may not write there",
                "a folder of yours",
                "Copy Fiji to a folder of yours, or ask who administers it to install zoobridge.",
            )


# ---- Files and folders ----


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _made_folders(root: Path, old: Manifest | None, paths: Iterable[str]) -> list[str]:
    """List the folders that were not there before us; one with our half-written file wasn't."""
    made = {name for name in folders_of(paths) if not (root / name).is_dir()}
    half = part_of(root / PLACE)
    if old is None and half.exists() and [*half.parent.iterdir()] == [half]:
        made.add(PurePosixPath(PLACE).parent.name)
    return sorted({*made, *(old.folders if old else ())})


def _remove(root: Path, paths: Iterable[str]) -> None:
    for path in paths:
        try:
            (root / path).unlink(missing_ok=True)
            part_of(root / path).unlink(missing_ok=True)
        except NotADirectoryError:
            continue
        except OSError as error:
            remedy = "Close Fiji and other programs that use it, then try again."
            raise OutputError(
                str(root / path), f"can't be removed: {error.strerror}", remedy=remedy
            ) from error


def _remove_folders(root: Path, names: Iterable[str]) -> None:
    """Remove folders, the deepest first; one that holds something else stays."""
    for name in sorted(names, key=len, reverse=True):
        with contextlib.suppress(OSError):
            (root / name).rmdir()
