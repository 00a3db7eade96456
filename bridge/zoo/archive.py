"""Unpacking a package's zip into the cache, without ever writing outside of it.

Every member is judged before the first byte is written: names that lead out, links, devices,
encryption, duplicates and bombs are refused. What arrives is counted again while it is inflated.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tempfile
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from bridge.errors import PackageError
from bridge.zoo import places
from bridge.zoo.files import sha256_of

_DESCRIPTION_ENDINGS: Final = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
_CHUNK_BYTES: Final = 2**20


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to."""

    max_bytes: int = 20 * 2**30
    """All members together, inflated."""
    max_ratio: float = 1000.0
    """Inflated over packed size, judged once ``ratio_from_bytes`` are exceeded."""
    ratio_from_bytes: int = 100 * 10**6
    """Archives that inflate to no more than this may have any ratio."""
    max_members: int = 10_000
    """Files and folders."""


def unpack(path: Path, *, limits: Limits | None = None) -> Path:
    """Unpack a zip into the cache, once per content.

    Parameters
    ----------
    path : Path
        The zip.
    limits : Limits, optional
        How much it may unpack to.

    Returns
    -------
    Path
        The folder that holds the description; a single folder at the top of the zip is entered.

    Raises
    ------
    PackageError
        The zip is damaged, tries to leave its folder, is too large, or holds no description.
    """
    limits = limits or Limits()
    try:
        folder = places.cache_dir() / "packages" / sha256_of(path)
        with zipfile.ZipFile(path) as archive:
            members = check_members(str(path), archive.infolist(), limits=limits)
            inner = _content_folder(path, members)
            if not _is_complete(folder, members):
                _unpack_to(folder, archive, members, limits=limits)
        return folder / inner
    except zipfile.BadZipFile as error:
        raise _damaged(path, error) from error
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise _damaged(path, error) from error
    except NotImplementedError as error:
        found = f"uses a compression that is not supported ({error})"
        raise PackageError(str(path), found, remedy="Pack it again as a plain zip") from error
    except (RuntimeError, ValueError, OverflowError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        found = f"cannot be unpacked to {places.cache_dir()} ({error.strerror or error})"
        remedy = "Make room there, or set ZOOBRIDGE_HOME to another place"
        raise PackageError(str(path), found, remedy=remedy) from error


def check_members(
    what: str, members: list[zipfile.ZipInfo], *, limits: Limits
) -> dict[str, zipfile.ZipInfo]:
    """Judge all members of a zip; gives them by name, folders left out.

    Parameters
    ----------
    what : str
        The zip's name, for messages.
    members : list of ZipInfo
        As the zip declares them.
    limits : Limits
        How much they may unpack to.

    Raises
    ------
    PackageError
        One of them is unsafe, or they are too many or too large.
    """
    if len(members) > limits.max_members:
        expected = f"at most {limits.max_members}"
        raise PackageError(what, f"holds {len(members)} files and folders", expected)
    kept: dict[str, zipfile.ZipInfo] = {}
    seen: dict[str, bool] = {}  # comparable name -> is a folder
    for info in members:
        _check_name(what, info)
        _check_kind(what, info)
        key = _comparable(info.filename)
        if key in seen and not (seen[key] and info.is_dir()):
            raise PackageError(what, f"holds {info.filename!r} twice", "every name once")
        seen[key] = info.is_dir()
        if not info.is_dir():
            kept[info.filename] = info
    for key in seen:
        parent = key.rpartition("/")[0]
        while parent:
            if not seen.get(parent, True):
                raise PackageError(what, f"holds {parent!r} both as a file and as a folder")
            parent = parent.rpartition("/")[0]
    n_bytes = sum(info.file_size for info in kept.values())
    n_packed = sum(info.compress_size for info in kept.values())
    _check_size(what, n_bytes, n_packed, limits=limits)
    return kept


def _check_name(what: str, info: zipfile.ZipInfo) -> None:
    """Refuse names that are no plain relative path on every system."""
    name = info.orig_filename
    parts = name.removesuffix("/").split("/")
    if (
        any(character in name for character in "\\:")
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
        or any(part.strip(" .") == "" for part in parts)
    ):
        raise PackageError(
            what,
            f"holds a member named {name!r}, which could be written outside its folder",
            "plain names relative to the zip",
            "Do not use this archive unless you know where it comes from",
        )


def _check_kind(what: str, info: zipfile.ZipInfo) -> None:
    """Refuse links, devices and encrypted members."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        word = "a link" if kind == stat.S_IFLNK else "no ordinary file"
        expected = "files and folders only"
        raise PackageError(what, f"its member {info.filename!r} is {word}", expected)
    if (kind == stat.S_IFDIR) != info.is_dir() and kind != 0:
        raise PackageError(what, f"its member {info.filename!r} is a file and a folder at once")
    if info.flag_bits & 0x2041:
        found = f"its member {info.filename!r} is encrypted"
        raise PackageError(what, found, remedy="Pack it again without a password")


def _comparable(name: str) -> str:
    """Give a form in which names that one file system takes for the same are equal."""
    parts = unicodedata.normalize("NFC", name).casefold().removesuffix("/").split("/")
    return "/".join(part.rstrip(" .") for part in parts)


def _check_size(what: str, n_bytes: int, n_packed: int, *, limits: Limits) -> None:
    if n_bytes > limits.max_bytes:
        found = f"unpacks to {n_bytes / 2**30:.3g} GiB or more"
        expected = f"at most {limits.max_bytes / 2**30:.3g} GiB"
    elif n_bytes > limits.ratio_from_bytes and n_bytes > limits.max_ratio * max(n_packed, 1):
        found = f"unpacks to {n_bytes / max(n_packed, 1):.0f} times its size"
        expected = f"at most {limits.max_ratio:.0f} times"
    else:
        return
    raise PackageError(what, found, expected, "It is made to fill the disk; do not use it")


def _content_folder(path: Path, members: dict[str, zipfile.ZipInfo]) -> str:
    """Give the folder inside the zip that holds the description; empty for the top."""
    names = [name for name in members if not name.startswith("__MACOSX/")]
    described = {name.rpartition("/")[0] for name in names if name.endswith(_DESCRIPTION_ENDINGS)}
    tops = {name.split("/")[0] for name in names}
    if "" in described:
        return ""
    if len(tops) == 1 and tops <= described:
        return tops.pop()
    raise PackageError(
        str(path), "holds no description", "rdf.yaml at its top or in its only folder"
    )


def _is_complete(folder: Path, members: dict[str, zipfile.ZipInfo]) -> bool:
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == info.file_size
        for name, info in members.items()
    )


def _unpack_to(
    folder: Path,
    archive: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
    *,
    limits: Limits,
) -> None:
    """Unpack beside ``folder`` and rename when whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    workplace = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
    try:
        n_bytes = 0
        for name, info in members.items():
            target = workplace / "new" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as packed, target.open("xb") as stream:
                n_bytes = _copy(packed, stream, n_bytes, max_bytes=limits.max_bytes)
        if folder.exists():  # damaged, or it would have been used
            folder.rename(workplace / "old")
        try:
            (workplace / "new").rename(folder)
        except OSError:
            if not _is_complete(folder, members):  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(workplace, ignore_errors=True)


def _copy(packed: IO[bytes], stream: IO[bytes], n_bytes: int, *, max_bytes: int) -> int:
    """Copy one member; gives ``n_bytes`` plus what was written, and stops beyond ``max_bytes``."""
    while chunk := packed.read(_CHUNK_BYTES):
        n_bytes += len(chunk)
        if n_bytes > max_bytes:
            raise PackageError(
                str(getattr(packed, "name", "the zip")),
                f"unpacks to more than {max_bytes / 2**30:.3g} GiB",
                remedy="It is made to fill the disk; do not use it",
            )
        stream.write(chunk)
    return n_bytes


def _damaged(path: Path, error: Exception) -> PackageError:
    found = f"is damaged or no zip ({' '.join(str(error).split())[:120]})"
    return PackageError(str(path), found, "a whole zip", "Get the file again")
