"""The files that a description names: found inside the package's folder, and hashed.

Nothing here follows a URL, and no file outside the folder is ever opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from bioimageio.spec.common import FileDescr, HttpUrl, RelativeFilePath
from pydantic import BaseModel

from bridge.errors import PackageError


@dataclass(frozen=True)
class Reference:
    """One place of a description that names a file."""

    field: str
    """Where it is named, such as ``weights.onnx.source``."""
    source: str
    """The file as it is written there: a path inside the package or a URL."""
    sha256: str | None
    """The content's SHA-256 in hexadecimal digits, where the description tells it."""

    @property
    def is_remote(self) -> bool:
        """Whether the file is only given by a URL."""
        return is_url(self.source)


def is_url(source: str) -> bool:
    """Tell whether ``source`` is a web address."""
    return source.lower().startswith(("http://", "https://"))


def references(node: object, *, field: str = "") -> Iterator[Reference]:
    """Give every file that a parsed description names, however deep.

    Parameters
    ----------
    node : object
        A description or any part of it.
    field : str
        Where ``node`` stands in the description.
    """
    if isinstance(node, HttpUrl):
        return
    if isinstance(node, RelativeFilePath | Path):
        yield Reference(field, str(node), None)
    elif isinstance(node, BaseModel):
        if isinstance(node, FileDescr):
            sha256 = None if node.sha256 is None else str(node.sha256)
            yield Reference(f"{field}.source", str(node.source), sha256)
        for name in type(node).model_fields:
            if not (isinstance(node, FileDescr) and name in ("source", "sha256")):
                yield from references(getattr(node, name), field=f"{field}.{name}".strip("."))
    elif isinstance(node, Mapping):
        for key, value in node.items():
            yield from references(value, field=f"{field}.{key}")
    elif isinstance(node, Sequence) and not isinstance(node, str | bytes):
        for index, value in enumerate(node):
            yield from references(value, field=f"{field}.{index}")


def locate(root: Path, reference: Reference) -> Path | None:
    """Find the file inside the package's folder, or None where it is missing.

    Parameters
    ----------
    root : Path
        The package's folder, resolved.
    reference : Reference
        What to find; a local file.

    Raises
    ------
    PackageError
        The name leads out of the folder: an absolute path, ``..``, a ``file:`` URL or a link.
    """
    source = reference.source
    windows = PureWindowsPath(source)
    escapes = (
        "\\" in source
        or "\0" in source
        or "://" in source
        or source.lower().startswith("file:")
        or ".." in PurePosixPath(source).parts
        or PurePosixPath(source).is_absolute()
        or bool(windows.drive or windows.root)
    )
    if not escapes:
        try:
            path = (root / source).resolve()
        except (OSError, RuntimeError) as error:  # a link that leads to itself
            raise PackageError(reference.field, f"{source!r} cannot be followed") from error
        if path.is_relative_to(root):
            return path if path.is_file() else None
    raise PackageError(
        reference.field,
        f"{source!r} leads out of the package's folder",
        "the name of a file inside the folder",
        "Do not use this package unless you know where it comes from; copy the file into it",
    )


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file's content, in hexadecimal digits."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise PackageError(str(path), f"cannot be read ({error.strerror or error})") from error


def verify(path: Path, reference: Reference) -> str:
    """Hash a file and compare with what the description tells; give the hash.

    Raises
    ------
    PackageError
        The content is another one than described, or cannot be read.
    """
    found = sha256_of(path)
    if reference.sha256 is not None and found != reference.sha256.lower():
        raise PackageError(
            f"{path.name} ({reference.field})",
            f"its SHA-256 is {found}",
            f"{reference.sha256.lower()}, as the description says",
            "The file was changed or is incomplete; get the package again",
        )
    return found
