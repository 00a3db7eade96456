"""Which device and how many threads; a device that was asked for and is missing is an error."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from bridge.errors import DeviceError


@dataclass(frozen=True)
class Device:
    """Where a network runs.

    Attributes
    ----------
    name : str
        ``cpu``, ``cuda:0`` or ``mps``.
    threads : int
        Threads that one forward pass may use on the CPU.
    """

    name: str
    threads: int

    @property
    def is_cpu(self) -> bool:
        """Whether the network runs on the CPU."""
        return self.name == "cpu"


def n_cores() -> int:
    """Give the cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def find_device(name: str = "auto", *, threads: int = 0) -> Device:
    """Resolve a device's name.

    Parameters
    ----------
    name : str
        ``auto`` (CUDA, then Apple's MPS, then CPU), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    threads : int
        CPU threads, 0 for one per core.

    Returns
    -------
    Device

    Raises
    ------
    DeviceError
        The device is unknown or not available here.
    """
    threads = threads or n_cores()
    if name == "cpu":
        return Device("cpu", threads)
    if name == "auto":
        if not _may_have_gpu():
            return Device("cpu", threads)
        return Device(_first_gpu() or "cpu", threads)
    kind, _, number = name.partition(":")
    if kind not in {"cuda", "mps"} or (number and not number.isdigit()):
        raise DeviceError("device", f"'{name}'", "auto, cpu, cuda, cuda:0 ... or mps", "")
    _check_gpu(name, kind, int(number or 0))
    return Device(f"cuda:{number or 0}" if kind == "cuda" else "mps", threads)


def _may_have_gpu() -> bool:
    """Tell cheaply, without importing torch, whether a GPU could be here."""
    system = platform.system()
    if system == "Darwin":
        return platform.machine() == "arm64"
    if system == "Windows":
        return Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll").exists()
    devices = Path("/dev")
    return (
        any(devices.glob("nvidia[0-9]*"))
        or (devices / "dxg").exists()
        or (devices / "kfd").exists()
    )


def _first_gpu() -> str | None:
    import torch  # noqa: PLC0415 - slow to import, and only needed where a GPU may be

    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else None


def _check_gpu(name: str, kind: str, number: int) -> None:
    import torch  # noqa: PLC0415 - slow to import, and only needed for a GPU

    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceError("device", "'mps' was asked for and is not available", "", _REMEDY)
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if number >= count:
        raise DeviceError(
            "device",
            f"'{name}' was asked for, and this machine has "
            + (f"{count} CUDA devices" if count else "no usable CUDA device"),
            "",
            _REMEDY,
        )


_REMEDY = "Use --device auto or --device cpu; 'zoobridge doctor' shows what is here."
