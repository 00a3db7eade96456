"""The steps of ``zoobridge fiji doctor``: each tries one link between this Python and a Fiji.

Like the steps of :mod:`bridge.jobs.examination`, of which the general ones are taken over, none
raises, and required parts fail. Nothing here starts Java: what only a running Fiji can show is
found by its command ``ZooBridge Doctor``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from bridge.errors import ZooBridgeError
from bridge.fiji.folder import FijiFolder, recognise
from bridge.fiji.install import MODULES, changed_files, stale_files
from bridge.fiji.manifest import Manifest, read_manifest
from bridge.fiji.pythons import check_python
from bridge.jobs.examination import STEPS, Finding, Step, installed_versions

_GENERAL: Final = ("Python", "libraries", "versions", "Java")
_PACKAGES: Final = ("appose", "pyimagej", "scyjava", "jpype1")
_JARS: Final = (
    "ij",
    "scijava-common",
    "imagej-legacy",
    "scripting-groovy",
    "groovy",
    "appose",
    "jna",
    "scripting-python",
    "jython-slim",
)
_OLDEST: Final = {
    "ij": ("1.53t", "Update ImageJ (Help > Update ImageJ...)."),
    "jna": ("5.0", "Delete it, then update Fiji (Help > Update...)."),
    "appose": ("0.9", "Update Fiji (Help > Update...)."),
}
"""Versions before these are known not to work: an old jna lacks what Appose calls."""

_WORKER: Final = "import appose.python_worker; appose.python_worker.main()"
_TASK: Final = "task.outputs['answer'] = 6 * 7"
_SHARED_MIB: Final = 16
_LEAST_FREE_MIB: Final = 256
_WORKER_LIMIT_S: Final = 120
_EDGE: Final = 64


def steps(path: Path | None) -> list[Step]:
    """List the steps, those about a Fiji only where one is named.

    Parameters
    ----------
    path : Path or None
        Folder of Fiji or ImageJ.

    Returns
    -------
    list of Step
        In the order of the report.
    """
    general = [step for step in STEPS if step.name in _GENERAL]
    python = sys.executable
    about_fiji: list[Step] = []
    if path is not None:
        about_fiji = [
            Step("Fiji", lambda: _folder(path)),
            Step("jars", lambda: _jars(recognise(path))),
            Step("installed", lambda: _installed(recognise(path))),
        ]
    return [
        *general,
        Step("packages for Fiji", _packages),
        *about_fiji,
        Step("Appose worker", lambda: _worker(python)),
        Step("shared memory", _shared_memory),
        Step("round trip", _round_trip),
    ]


def _packages() -> list[Finding]:
    found, missing = installed_versions(_PACKAGES)
    text = ", ".join(found + [f"no {name}" for name in missing])
    if "appose" in missing:
        remedy = f'"{sys.executable}" -m pip install appose'
        return [Finding("fail", "packages for Fiji", text, remedy)]
    return [Finding("ok", "packages for Fiji", text)]


# ---- A Fiji ----


def _folder(path: Path) -> list[Finding]:
    try:
        folder = recognise(path)
    except ZooBridgeError as error:
        return [_failure("Fiji", error)]
    program = f", started by {folder.program}" if folder.program else ""
    javas = ", ".join(_own_javas(folder.root)) or "no Java of its own"
    return [Finding("ok", "Fiji", f"{folder.name} in {folder.root}{program}, {javas}")]


def _own_javas(root: Path) -> list[str]:
    """Name the Java machines that come with Fiji, by the note that each has of its version."""
    notes = sorted({*root.glob("java/*/release"), *root.glob("java/*/*/release")})
    notes += sorted(root.glob("java/*/*/Contents/Home/release"))
    found = []
    for note in notes:
        version = re.search(r'JAVA_VERSION="([^"]*)"', note.read_text("utf-8", errors="replace"))
        found.append(f"Java {version[1] if version else '?'} in {note.parent.relative_to(root)}")
    return found


def _jars(folder: FijiFolder) -> list[Finding]:
    versions = {name: folder.jar_versions(name) for name in _JARS}
    text = ", ".join(f"{name} {' and '.join(found)}" for name, found in versions.items() if found)
    findings = [Finding("ok", "jars", text.replace(" ?", ".jar"))]
    for name, found in versions.items():
        if len(found) > 1:
            text = f"{name} is there in versions {' and '.join(found)}; which one is used is chance"
            findings.append(Finding("warn", "jars", text, "Delete the older one."))
        findings += [
            Finding("fail", "jars", f"{name} {version} is too old", _OLDEST[name][1])
            for version in found
            if name in _OLDEST and version != "?" and _is_before(version, _OLDEST[name][0])
        ]
    if folder.has_scijava and not versions["appose"]:
        text = "no appose: a process for each command, and images through files, which is slower"
        findings.append(Finding("warn", "jars", text, "Update Fiji (Help > Update...)."))
    return findings


def version_key(version: str) -> list[tuple[int, str]]:
    """Split a version so that versions compare: ``1.53t`` gives [(1, ""), (53, "t")].

    Parameters
    ----------
    version : str
        Numbers with dots between, perhaps with letters; what follows ``-`` doesn't count.

    Returns
    -------
    list of (int, str)
        Number and letters of each part.
    """
    parts = version.partition("-")[0].split(".")
    digits = ["".join(c for c in part if c.isdigit()) for part in parts]
    return [
        (int(number or 0), part.removeprefix(number))
        for number, part in zip(digits, parts, strict=True)
    ]


def _is_before(version: str, other: str) -> bool:
    return version_key(version) < version_key(other)


def _installed(folder: FijiFolder) -> list[Finding]:
    again = f"zoobridge fiji install {folder.root}"
    try:
        manifest = read_manifest(folder.root)
    except ZooBridgeError as error:
        return [_failure("installed", error)]
    if manifest is None:
        return [Finding("warn", "installed", "zoobridge is not in this Fiji", f"Run {again}.")]
    count = len(manifest.files)
    found = f"zoobridge {manifest.zoobridge}, {count} files, kind {manifest.kind}"
    findings = [Finding("ok", "installed", found)]
    changed = changed_files(folder.root, manifest)
    stale = [path for path in stale_files(folder, manifest) if path not in changed]
    if manifest.before:
        text = "an installation was interrupted"
        findings.append(Finding("fail", "installed", text, f"Run {again}."))
    if stale:
        text = f"missing, or of another zoobridge: {', '.join(stale)}"
        findings.append(Finding("fail", "installed", text, f"Run {again}."))
    if changed:
        findings.append(Finding("warn", "installed", f"changed by somebody: {', '.join(changed)}"))
    if manifest.kind == "python" and not folder.is_python_mode:
        text = "Python entries, and this Fiji does not start in Python mode"
        remedy = "Edit > Options > Python..., or install with --kind groovy."
        findings.append(Finding("warn", "installed", text, remedy))
    return [*findings, _its_python(manifest, again)]


def _its_python(manifest: Manifest, again: str) -> Finding:
    """Look at the Python that Fiji will use; this one is looked at by the other steps."""
    try:
        found = check_python(manifest.python, modules=MODULES)
    except ZooBridgeError as error:
        remedy = f"{error.remedy} Or choose another: {again} --python PATH."
        return Finding("fail", "its Python", f"{error.what}: {error.found}", remedy)
    text = f"{found.program}, version {found.version}, with zoobridge {found.zoobridge}"
    if found.program != Path(sys.executable).absolute():
        remedy = f'Look at that one, too: "{found.program}" -m bridge fiji doctor.'
        return Finding("warn", "its Python", f"{text}; not the one that runs this doctor", remedy)
    return Finding("ok", "its Python", text)


def _failure(part: str, error: ZooBridgeError) -> Finding:
    found = f"{error.what}: {error.found}"
    return Finding("fail", part, found, error.remedy)


# ---- What Appose stands on ----


def _worker(python: str) -> list[Finding]:
    """Start a worker as Fiji does, and let it compute."""
    started = time.monotonic()
    request = {"task": "doctor", "requestType": "EXECUTE", "script": _TASK, "inputs": {}}
    done = subprocess.run(
        [python, "-c", _WORKER],
        input=json.dumps(request) + "\n",
        capture_output=True,
        text=True,
        timeout=_WORKER_LIMIT_S,
    )
    answers = [_parsed(line) for line in done.stdout.splitlines()]
    is_right = any(
        answer.get("responseType") == "COMPLETION" and answer.get("outputs", {}).get("answer") == 42
        for answer in answers
    )
    if is_right:
        took = time.monotonic() - started
        return [Finding("ok", "Appose worker", f"started and computed in {took:.1f} s")]
    said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
    remedy = f'"{python}" -m pip install --upgrade appose'
    return [Finding("fail", "Appose worker", f"gave no answer, but said: {said[-1]}", remedy)]


def _parsed(line: str) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _shared_memory() -> list[Finding]:
    """Make a block of shared memory, write it, and read it through a second handle."""
    from appose import SharedMemory  # type: ignore[import-untyped]

    size = _SHARED_MIB << 20
    pattern = bytes(range(256)) * (size // 256)
    with SharedMemory(create=True, rsize=size) as block:
        block.buf[:size] = pattern
        other = SharedMemory(name=block.name, rsize=size)
        is_same = bytes(other.buf[:size]) == pattern
        other.close()
        block.close()
    if not is_same:
        return [Finding("fail", "shared memory", "what was read is not what was written")]
    found = f"{_SHARED_MIB} MiB written and read"
    place = Path("/dev/shm")
    if not place.is_dir():
        return [Finding("ok", "shared memory", found)]
    free_mib = shutil.disk_usage(place).free >> 20
    found += f", {free_mib} MiB free in {place}"
    if free_mib >= _LEAST_FREE_MIB:
        return [Finding("ok", "shared memory", found)]
    remedy = "Close other programs; a container needs a larger --shm-size."
    return [Finding("warn", "shared memory", found, remedy)]


class _Task:
    """What the worker needs of an Appose task, for the round trip in this process."""

    cancel_requested = False

    def __init__(self) -> None:
        self.outputs: dict[str, Any] = {}

    def update(self, *_: object, **__: object) -> None:
        """Take no note of progress."""


def _round_trip() -> list[Finding]:
    """Let the worker's function predict a small image that lies in shared memory."""
    import numpy as np
    from appose import NDArray

    from bridge.worker import perform

    pixels = np.random.default_rng(0).poisson(120, (1, 1, 1, _EDGE, _EDGE)).astype(np.uint16)
    task = _Task()
    about = {"title": "doctor.tif", "pixel_size_nm": {"y": 100.0, "x": 100.0}}
    request = json.dumps({"command": "predict", "values": {}, "options": None, "image": about})
    started = time.monotonic()
    with NDArray(pixels.dtype.name, list(pixels.shape)) as shared:
        shared.ndarray()[...] = pixels
        perform(task, request, shared)
    took = time.monotonic() - started
    answer = json.loads(task.outputs["answer"])
    images = [task.outputs[image["key"]] for image in answer["images"]]
    shapes = [" x ".join(str(n) for n in image.shape[-2:]) for image in images]
    are_finite = all(bool(np.isfinite(image.ndarray()).all()) for image in images)
    for image in images:
        image.shm.dispose()
    if not answer["ok"]:
        return [Finding("fail", "round trip", answer["error"])]
    if not shapes or not are_finite:
        return [Finding("fail", "round trip", "the result is missing, or holds NaN")]
    found = f"{_EDGE} x {_EDGE} pixels gave {', '.join(shapes)} with deep-storm in {took:.1f} s"
    return [Finding("ok", "round trip", found)]
