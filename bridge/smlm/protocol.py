"""The protocol that ThunderSTORM saves beside a table: camera, region and what was done after.

Source: zitmen/thunderstorm, results/MeasurementProtocol.java and ImportExportPlugIn.java.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """What of a protocol matters for a table.

    Parameters
    ----------
    path : Path
        The protocol.
    pixel_size_nm : float, optional
        Edge of a camera pixel, in nm, > 0.
    photons_per_adu : float, optional
        Photons per count above the base level: electrons per count, divided by the quantum
        efficiency and, where it is on, the EM gain.
    electrons_per_adu, quantum_efficiency : float, optional
        What ``photons_per_adu`` is made of.
    em_gain : float, optional
        Electron multiplication gain; ``None`` where it is off.
    offset_adu : float, optional
        Counts of a pixel that no photon reached.
    read_noise_e : float, optional
        Read noise, in electrons; only newer versions write it.
    region_px : (int, int, int, int), optional
        Top, left, height and width of the analysed region; ``None`` for the whole image.
    post_processing : tuple of str
        Steps done after the analysis.
    """

    path: Path
    pixel_size_nm: float | None = None
    photons_per_adu: float | None = None
    electrons_per_adu: float | None = None
    quantum_efficiency: float | None = None
    em_gain: float | None = None
    offset_adu: float | None = None
    read_noise_e: float | None = None
    region_px: tuple[int, int, int, int] | None = None
    post_processing: tuple[str, ...] = ()


def find_protocol(table_path: Path) -> tuple[Protocol | None, list[str]]:
    """Read the protocol beside a table.

    Parameters
    ----------
    table_path : Path
        The table; the protocol of ``results.csv`` is ``results-protocol.txt``.

    Returns
    -------
    (Protocol or None, list of str)
        The protocol, if there is one that can be read, and warnings.
    """
    path = table_path.with_name(f"{table_path.stem}-protocol.txt")
    if not path.is_file():
        return None, []
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig", errors="replace"))
    except (ValueError, OSError):
        return None, [f"{path.name} can't be read, so it was not used."]
    if not isinstance(content, dict):
        return None, [f"{path.name} is not a protocol of ThunderSTORM, so it was not used."]
    camera = _dict(content, "cameraSettings")
    steps = content.get("postProcessing") or []
    protocol = Protocol(
        path=path,
        pixel_size_nm=_positive(camera.get("pixelSize")),
        photons_per_adu=_photons_per_adu(camera),
        electrons_per_adu=_positive(camera.get("photons2ADU")),
        quantum_efficiency=_positive(camera.get("quantumEfficiency")),
        em_gain=_positive(camera.get("gain")) if camera.get("isEmGain") else None,
        offset_adu=_number(camera.get("offset")),
        read_noise_e=_positive(camera.get("readoutNoise")),
        region_px=_region(_dict(_dict(content, "imageInfo"), "roiBounds")),
        post_processing=tuple(_step_name(step) for step in steps),
    )
    return protocol, []


def _dict(content: dict[str, Any], key: str) -> dict[str, Any]:
    value = content.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _photons_per_adu(camera: dict[str, Any]) -> float | None:
    electrons = _positive(camera.get("photons2ADU"))
    if electrons is None:
        return None
    efficiency = _positive(camera.get("quantumEfficiency")) or 1.0
    gain = _positive(camera.get("gain")) if camera.get("isEmGain") else 1.0
    return None if gain is None else electrons / efficiency / gain


def _region(bounds: dict[str, Any]) -> tuple[int, int, int, int] | None:
    try:
        top, left, height, width = (int(bounds[key]) for key in ("y", "x", "height", "width"))
    except (KeyError, TypeError, ValueError):
        return None
    return top, left, height, width


def _step_name(step: Any) -> str:
    if isinstance(step, dict):
        return str(step.get("name") or step.get("options") or "a step without name")
    return str(step)
