"""Checking a package before it is used or shared, without running its network.

Nothing is fetched: bioimageio.spec validates a copy of the description from which all that is only
on the web was taken out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from bioimageio.spec import InvalidDescr, ValidationContext
from bioimageio.spec.model import v0_5

from bridge.errors import PackageError
from bridge.zoo import files
from bridge.zoo.description import invalid_reasons, quiet
from bridge.zoo.finding import Finding, or_ok
from bridge.zoo.package import RUNNABLE, Package, open_package
from bridge.zoo.partners import check_partners
from bridge.zoo.sanity import check_completeness, check_geometry, check_processing

_TOLD_FIELDS = ("documentation", "inputs", "outputs", "weights", "name")
_NO_COVER = "zoobridge-no-cover.png"
_INVENTED_SHA256 = "0" * 64


def check_package(source: str | Path) -> list[Finding]:
    """Check a package; everything that can be said without running its network.

    Parameters
    ----------
    source : str or Path
        A folder, zip, description or name, as for ``open_package``.

    Returns
    -------
    list of Finding
        By area: package, format, files, weights, geometry, processing, completeness, and one area
        per partner program. A package that cannot be opened gives a single error.
    """
    try:
        package = open_package(source)
    except PackageError as error:
        return [Finding("error", "package", str(error))]
    return [
        Finding(
            "ok", "package", f"{package.name} can be opened (SHA-256 {package.sha256[:12]}...)"
        ),
        *check_format(package),
        *check_files(package),
        *check_weights(package),
        *check_geometry(package.description),
        *check_processing(package.description),
        *check_completeness(package.description),
        *check_partners(package.description),
    ]


def check_format(package: Package) -> list[Finding]:
    """Let bioimageio.spec validate the description and the test tensors, without the web."""
    known: dict[str, Any] = {}
    content = package.description.model_dump(mode="json", exclude_unset=True)
    content = _only_local(content, package, known)
    if not content.get("weights"):
        sentence = "No weights are in the package, so bioimageio.spec could not look at its files."
        return [Finding("warning", "format", sentence)]
    context = ValidationContext(
        root=package.root,
        file_name=package.description.file_name,
        perform_io_checks=True,
        log_warnings=False,
        known_files=known,
    )
    with quiet():
        checked = v0_5.ModelDescr.load(content, context=context)
    if isinstance(checked, InvalidDescr):
        return [
            Finding("error", "format", f"{reason}.") for reason in invalid_reasons(checked, limit=9)
        ]
    findings = []
    for detail in checked.validation_summary.details:
        for warning in detail.warnings:
            where = ".".join(map(str, warning.loc))
            # what is left out ("FAIR") is told by check_completeness
            if where.startswith(_TOLD_FIELDS) and "FAIR" not in warning.msg:
                text = re.sub(r"source=\S*\('(.*?)'\)( sha256='.*?')?", r"\1", warning.msg)
                findings.append(Finding("warning", "format", f"{where}: {' '.join(text.split())}"))
    return or_ok(findings, "format", "bioimageio.spec finds the description valid.")


def check_files(package: Package) -> list[Finding]:
    """Look for files that are missing, only on the web, or without a hash."""
    findings = []
    for reference in files.references(package.description):
        if reference.field.startswith("training_data."):
            continue
        where = f"{reference.field}: {reference.source}"
        if reference.is_remote:
            sentence = f"{where} is only on the web."
            findings.append(Finding("warning", "files", sentence))
        elif files.locate(package.root, reference) is None:
            findings.append(Finding("warning", "files", f"{where} is missing."))
        elif reference.sha256 is None:
            sentence = f"{where} has no sha256; nobody would notice a change."
            findings.append(Finding("warning", "files", sentence))
    return or_ok(findings, "files", "All files are there and match their hashes.")


def check_weights(package: Package) -> list[Finding]:
    """Say which weights can be used, and whether there are any that need no consent."""
    findings = []
    usable = [w.format for w in package.weights.values() if not w.problem]
    for weights in package.weights.values():
        if weights.problem:
            level: Literal["warning", "error"] = "warning" if usable else "error"
            findings.append(Finding(level, "weights", f"{weights.format}: {weights.problem}"))
        else:
            findings.append(Finding("ok", "weights", f"{weights.format} can be loaded."))
    if usable == ["pytorch_state_dict"]:
        sentence = "All users must agree to run its code; add torchscript or onnx weights."
        findings.append(Finding("warning", "weights", sentence))
    if not usable:
        sentence = f"zoobridge cannot run it; it needs one of {', '.join(RUNNABLE)} as a file."
        findings.append(Finding("error", "weights", sentence))
    return findings


def _only_local(
    content: Mapping[str, Any], package: Package, known: dict[str, Any]
) -> dict[str, Any]:
    """Copy a description without files that are not here and without names only the web knows.

    ``known`` gets the hashes of all files and all remaining addresses, which makes bioimageio.spec
    believe them.
    """
    kept: dict[str, Any] = {
        key: value
        for key, value in content.items()
        if key not in ("maintainers", "uploader", "training_data")
    }
    for key in ("authors", "packaged_by"):
        kept[key] = [_without(person, "github_user") for person in kept.get(key) or []]
    kept = _pruned(kept, package, known)
    weights = kept.get("weights") or {}
    for name, entry in list(weights.items()):
        before = content["weights"][name]
        if entry is None or any(
            before.get(part) and not entry.get(part) for part in ("architecture", "external_data")
        ):
            del weights[name]
    original = next((name for name, entry in weights.items() if not entry.get("parent")), None)
    original = original or next(iter(weights), None)
    for name, entry in weights.items():  # the parent may be one that was left out
        weights[name] = _without(_without(entry, "authors"), "parent")
        if name != original and entry.get("parent"):
            parent = entry["parent"]
            weights[name]["parent"] = parent if parent in weights else original
    if not kept.get("covers"):  # or bioimageio.spec would draw one into a temporary folder
        kept["covers"] = [{"source": _NO_COVER}]
        known[_NO_COVER] = _INVENTED_SHA256
    return kept


def _pruned(node: Any, package: Package, known: dict[str, Any]) -> Any:
    """Copy a value without mappings whose ``source`` is not a file of the package."""
    if isinstance(node, str) and files.is_url(node):
        known.update({node: None, node.rstrip("/"): None, f"{node.rstrip('/')}/": None})
        return node
    if isinstance(node, list):
        items = [_pruned(item, package, known) for item in node]
        return [
            item for item, old in zip(items, node, strict=True) if item is not None or old is None
        ]
    if not isinstance(node, Mapping):
        return node
    source = node.get("source")
    if isinstance(source, str):
        path = (package.root / source).resolve()
        if files.is_url(source) or path not in package.hashes:
            return None
        known[source] = package.hashes[path]
    copy = {key: _pruned(value, package, known) for key, value in node.items()}
    return {key: v for key, v in copy.items() if v is not None or node[key] is None}


def _without(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in node.items() if name != key}
