"""Opening a BioImage Model Zoo package: a verified folder and its description.

Nothing is fetched, nothing is executed, and no file outside the package's folder is read. What
only a URL leads to is said so in ``Weights.problem`` or ``Package.notes``.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from bioimageio.spec.common import FileDescr
from bioimageio.spec.model import v0_5

from bridge.errors import PackageError
from bridge.zoo import archive, files
from bridge.zoo.description import find_description, read_description
from bridge.zoo.files import Reference

WeightsFormat = Literal[
    "pytorch_state_dict",
    "torchscript",
    "onnx",
    "keras_hdf5",
    "keras_v3",
    "tensorflow_js",
    "tensorflow_saved_model_bundle",
]
RUNNABLE: Final = ("pytorch_state_dict", "torchscript", "onnx")


@dataclass(frozen=True)
class Weights:
    """One entry of a description's weights."""

    format: WeightsFormat
    """How the weights are stored."""
    path: Path | None
    """The file inside the package, its hash checked; None where it is not there."""
    url: str | None
    """Where the file could be downloaded, if it is only given by URL."""
    problem: str
    """A sentence why these weights cannot be used; empty if they can."""


@dataclass(frozen=True)
class Package:
    """A verified package."""

    root: Path
    """The folder that holds every file."""
    description: v0_5.ModelDescr
    """The description in format 0.5; older ones are converted."""
    sha256: str
    """One hash over names and contents of all files that the description uses."""
    source: str
    """What the user gave."""
    notes: tuple[str, ...]
    """Sentences worth a warning."""
    weights: Mapping[str, Weights]
    """The weights by format, in the order of preference."""
    hashes: Mapping[Path, str] = field(default_factory=dict, repr=False)
    """The SHA-256 of every file, as it was when the package was opened."""

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.description.name)

    def file(self, source: object) -> Path:
        """Give the verified local file of a part of the description.

        Parameters
        ----------
        source : FileDescr or its source
            For example ``package.description.inputs[0].test_tensor``.

        Raises
        ------
        PackageError
            It is only given by URL, is missing, was changed, or leads out of the package.
        """
        if isinstance(source, FileDescr):
            sha256 = None if source.sha256 is None else str(source.sha256)
            reference = Reference(self.source, str(source.source), sha256)
        else:
            reference = Reference(self.source, str(source), None)
        if reference.is_remote:
            raise PackageError(
                self.source,
                f"a file is only given by its URL {reference.source}, and nothing is downloaded",
                "a file inside the package",
                "Download it into the package's folder and name it in the description",
            )
        path = files.locate(self.root, reference)
        if path is None:
            raise PackageError(self.source, f"the file {reference.source!r} is missing")
        if path not in self.hashes:
            files.verify(path, reference)
        return path

    def read(self, path: Path) -> bytes:
        """Read a file that must still be what it was when the package was opened."""
        try:
            content = path.read_bytes()
        except OSError as error:
            raise PackageError(str(path), f"cannot be read ({error.strerror or error})") from error
        expected = self.hashes.get(path)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            found = "was changed after the package was opened"
            raise PackageError(str(path), found, remedy="Open the package again")
        return content

    def weights_file(self, format: WeightsFormat) -> Path:
        """Give the file of the weights of one format.

        Raises
        ------
        PackageError
            There are none, or they cannot be used, and why.
        """
        weights = self.weights.get(format)
        there = [w.format for w in self.weights.values() if not w.problem]
        others = f"one of its usable weights: {', '.join(there)}" if there else ""
        if weights is None:
            raise PackageError(self.source, f"has no {format} weights", others)
        if weights.problem or weights.path is None:
            found = f"its {format} weights cannot be used: {weights.problem}"
            remedy = (
                f"Download {weights.url} into the package's folder and name it in the description"
                if weights.url
                else "Get the whole package again"
            )
            raise PackageError(self.source, found, others, remedy)
        return weights.path


def open_package(source: str | Path) -> Package:
    """Open and verify a package.

    Parameters
    ----------
    source : str or Path
        A folder, a zip, a description's YAML file, or the name of an installed package.

    Returns
    -------
    Package
        With every file that is there checked against its hash. Missing weights and those given by
        URL are told in ``weights``, other missing files in ``notes``.

    Raises
    ------
    PackageError
        There is no such package, the description is invalid, a file leads out of the folder, or
        a hash does not match.
    """
    path = _find(source)
    root = path.parent.resolve()
    if not path.resolve().is_relative_to(root):
        raise PackageError(str(path), "is a link that leads out of the package's folder")
    description, notes = read_description(path)
    found: dict[str, Path | None] = {}
    hashes = {path.resolve(): files.sha256_of(path)}
    missing: list[str] = []
    for reference in files.references(description):
        if reference.is_remote:
            if reference.field.endswith("_tensor.source"):
                missing.append(f"{reference.field}: only given by URL {reference.source}.")
            continue
        local = found[reference.source] = files.locate(root, reference)
        if local is not None:
            hashes[local] = files.verify(local, reference)
        elif _is_worth_a_note(reference):
            missing.append(f"{reference.field}: the file {reference.source} is missing.")
    weights = _list_weights(description, found)
    left_out = [f"{w.format} weights: {w.problem}" for w in weights.values() if w.problem]
    return Package(
        root=root,
        description=description,
        sha256=_hash_all(root, hashes),
        source=str(source),
        notes=(*notes, *missing, *left_out),
        weights=weights,
        hashes=hashes,
    )


def _find(source: str | Path) -> Path:
    """Give the description file that ``source`` stands for."""
    text = str(source)
    if files.is_url(text):
        raise PackageError(
            text,
            "is a URL, and nothing is downloaded without being asked",
            "a folder, a zip or the name of an installed package",
            "Download the package and give its path",
        )
    try:
        path = Path(text).expanduser()
        is_dir, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError, RuntimeError):  # no name that a file could have
        path, is_dir, is_file = Path(), False, False
    if is_dir and text:
        return find_description(path)
    if is_file and path.suffix.lower() in (".yaml", ".yml"):
        return path
    if is_file:
        if not zipfile.is_zipfile(path) and path.suffix.lower() != ".zip":
            expected = "a folder, a zip, a YAML file or the name of an installed package"
            raise PackageError(text, "is no model package", expected)
        return find_description(archive.unpack(path))
    from bridge.zoo import catalog  # noqa: PLC0415 - the catalog opens packages itself

    return find_description(catalog.find(text))


def _is_worth_a_note(reference: Reference) -> bool:
    """Tell whether a missing file is noted; weights tell it in their own entry."""
    if reference.field.startswith("weights."):
        return reference.field.endswith("dependencies.source")
    return not reference.field.startswith("training_data.")  # rarely travels with a model


def _list_weights(
    description: v0_5.ModelDescr, found: Mapping[str, Path | None]
) -> dict[str, Weights]:
    listed: dict[str, Weights] = {}
    for name in get_args(WeightsFormat):
        entry = getattr(description.weights, name)
        if entry is None:
            continue
        source = str(entry.source)
        url = source if files.is_url(source) else None
        path = found.get(source)
        listed[name] = Weights(name, path, url, _problem(name, entry, found))
    return listed


def _problem(name: str, entry: v0_5.WeightsEntryDescrBase, found: Mapping[str, Path | None]) -> str:
    """Say why an entry of the weights cannot be used; empty if it can."""
    if name not in RUNNABLE:
        return "zoobridge does not run this format; it runs " + ", ".join(RUNNABLE) + "."
    parts = {"file": str(entry.source)}
    if isinstance(entry, v0_5.OnnxWeightsDescr) and entry.external_data is not None:
        parts["external data"] = str(entry.external_data.source)
    if isinstance(entry, v0_5.PytorchStateDictWeightsDescr) and isinstance(
        entry.architecture, v0_5.ArchitectureFromFileDescr
    ):
        parts["architecture file"] = str(entry.architecture.source)
    for part, source in parts.items():
        if files.is_url(source):
            return f"the {part} is only given by its URL {source}, and nothing is downloaded."
        if found.get(source) is None:
            return f"the {part} {source} is missing."
    return ""


def _hash_all(root: Path, hashes: Mapping[Path, str]) -> str:
    """Give one hash over the names and contents of all files, in a fixed order."""
    total = hashlib.sha256()
    for name, sha256 in sorted((p.relative_to(root).as_posix(), h) for p, h in hashes.items()):
        total.update(f"{len(name.encode())}:{name}:{sha256}\n".encode())
    return total.hexdigest()
