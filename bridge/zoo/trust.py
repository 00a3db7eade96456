"""Consent to run a package's own code, remembered per content and never per name.

Each consent is one file, ``<data>/trusted/<sha256 of the package>.json``, so that two processes
never overwrite each other. Packages that ship with zoobridge are trusted.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bridge.errors import PackageError, TrustError
from bridge.zoo import places

_log = logging.getLogger(__name__)


def require(
    package_sha256: str, what: str, *, source: str, trust: bool, root: Path | None = None
) -> None:
    """Go on only if the user agreed that code from this package may run.

    Parameters
    ----------
    package_sha256 : str
        ``Package.sha256``.
    what : str
        The code that would run, such as "its architecture file net.py (UNet)".
    source : str
        ``Package.source``, for messages.
    trust : bool
        Whether the user agrees now; the agreement is remembered for this content.
    root : Path, optional
        ``Package.root``; a folder that ships with zoobridge needs no consent.

    Raises
    ------
    TrustError
        Nobody has agreed.
    """
    if is_embedded(root):
        return
    if trust:
        _remember(package_sha256, what=what, source=source)
        return
    if is_trusted(package_sha256):
        return
    raise TrustError(
        source,
        f"this package would run code of its own: {what}",
        "your consent first",
        "If you know where the package comes from, agree with --trust (trust=true); "
        "or use its TorchScript or ONNX weights, which need no consent",
    )


def is_trusted(package_sha256: str) -> bool:
    """Tell whether somebody agreed to this exact content before."""
    return _consent_path(package_sha256).is_file()


def is_embedded(root: Path | None) -> bool:
    """Tell whether a package's folder is one that ships with zoobridge."""
    if root is None:
        return False
    shipped = places.embedded_dir().resolve()
    resolved = root.resolve()
    return resolved != shipped and resolved.is_relative_to(shipped)


def forget(package_sha256: str) -> bool:
    """Withdraw consent; tells whether there was one."""
    path = _consent_path(package_sha256)
    if not path.is_file():
        return False
    path.unlink(missing_ok=True)
    return True


def _consent_path(package_sha256: str) -> Path:
    if re.fullmatch(r"[0-9a-f]{64}", package_sha256) is None:
        expected = "64 hexadecimal digits"
        raise PackageError("package_sha256", f"{package_sha256!r} is no SHA-256", expected)
    return places.data_dir() / "trusted" / f"{package_sha256}.json"


def _remember(package_sha256: str, *, what: str, source: str) -> None:
    """Write the consent; where that fails it holds for this run only, and the log says so."""
    path = _consent_path(package_sha256)
    if path.is_file():
        return
    consent = {"what": what, "source": source, "when": datetime.now(UTC).isoformat()}
    name = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, suffix=".tmp", delete=False
        ) as stream:
            name = stream.name
            json.dump(consent, stream, indent=1)
        os.replace(name, path)  # noqa: PTH105 - names the two paths in the order they move
    except OSError as error:
        _log.warning("%s: the consent could not be remembered (%s).", path, error)
        if name is not None:
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)
