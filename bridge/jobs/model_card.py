"""What a package says of itself, as JSON values for programs and as tables for people."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from bridge.jobs.base import Table
from bridge.zoo import trust
from bridge.zoo.package import Package

Scales = dict[tuple[str, str], float]


def model_card(package: Package) -> dict[str, JsonValue]:
    """Collect what a user wants to know before running a package.

    Parameters
    ----------
    package : Package
        The package.

    Returns
    -------
    dict
        Name, purpose, tensors with their axes, weights, licence, citations, trust and the
        package's own ``config.zoobridge``.
    """
    description = package.description
    config = description.config.model_dump(mode="json")
    tensors: list[Any] = [*description.inputs, *description.outputs]
    scales = {
        (str(tensor.id), str(axis.id)): float(getattr(axis, "scale", 1))
        for tensor in tensors
        for axis in tensor.axes
    }
    return {
        "name": package.name,
        "description": str(description.description or ""),
        "source": package.source,
        "folder": str(package.root),
        "format_version": str(description.format_version),
        "version": "" if description.version is None else str(description.version),
        "authors": [str(author.name) for author in description.authors],
        "license": "" if description.license is None else str(description.license),
        "cite": [_citation(entry) for entry in description.cite],
        "tags": [str(tag) for tag in description.tags],
        "inputs": [_tensor(tensor, scales) for tensor in description.inputs],
        "outputs": [_tensor(tensor, scales) for tensor in description.outputs],
        "weights": [
            {"format": weights.format, "usable": not weights.problem, "problem": weights.problem}
            for weights in package.weights.values()
        ],
        "trust": _trust(package),
        "sha256": package.sha256,
        "zoobridge": config.get("zoobridge"),
    }


def card_tables(card: dict[str, Any]) -> list[Table]:
    """Set a model card as tables.

    Parameters
    ----------
    card : dict
        From :func:`model_card`.

    Returns
    -------
    list of Table
        The model, its tensors and its weights.
    """
    facts = [
        ["what it does", card["description"]],
        ["licence", card["license"] or "none given"],
        ["authors", ", ".join(card["authors"])],
        *(["cite", text] for text in card["cite"]),
        ["trust", card["trust"]],
        ["folder", card["folder"]],
        ["format", card["format_version"]],
    ]
    facts += [[key, str(value)] for key, value in (card["zoobridge"] or {}).items()]
    tensors = [
        [
            f"{kind} {tensor['id']}",
            "\n".join(_axis_text(axis) for axis in tensor["axes"]),
            tensor["values"],
            tensor["processing"],
        ]
        for kind in ("input", "output")
        for tensor in card[f"{kind}s"]
    ]
    headings = ["tensor", "axes", "values", "processing"]
    weights = [[entry["format"], entry["problem"] or "usable"] for entry in card["weights"]]
    return [
        Table(title=card["name"], columns=["about", ""], rows=facts),
        Table(title="Inputs and outputs", columns=headings, rows=tensors),
        Table(title="Weights", columns=["format", "state"], rows=weights),
    ]


def _tensor(tensor: Any, scales: Scales) -> dict[str, JsonValue]:
    steps = getattr(tensor, "preprocessing", None) or getattr(tensor, "postprocessing", None) or []
    channels = [axis for axis in tensor.axes if axis.type == "channel"]
    names: list[JsonValue] = [str(name) for axis in channels for name in axis.channel_names]
    return {
        "id": str(tensor.id),
        "description": str(tensor.description or ""),
        "optional": bool(getattr(tensor, "optional", False)),
        "values": _values(tensor.data),
        "processing": ", ".join(_step(step) for step in steps if step.id != "ensure_dtype"),
        "channels": names,
        "axes": [_axis(axis, scales) for axis in tensor.axes],
    }


def _axis(axis: Any, scales: Scales) -> dict[str, JsonValue]:
    unit = getattr(axis, "unit", None)
    scale = f"{axis.scale:g}" if hasattr(axis, "scale") and axis.type in ("space", "time") else ""
    halo = getattr(axis, "halo", None)
    return {
        "id": str(axis.id),
        "type": str(axis.type),
        "size": _size(axis, scales),
        "scale": f"{scale} {unit}" if unit else scale,
        "halo": int(halo) if halo else 0,
    }


def _axis_text(axis: dict[str, Any]) -> str:
    """Say an axis in a line: ``y: 512, scale 0.1 micrometer, halo 32``."""
    scale = f", scale {axis['scale']}" if axis["scale"] not in ("", "1") else ""
    halo = f", halo {axis['halo']}" if axis["halo"] else ""
    return f"{axis['id']}: {axis['size']}{scale}{halo}"


def _size(axis: Any, scales: Scales) -> str:
    """Say which sizes an axis may have: ``512``, ``32, 48, ...``, ``8 x raw.y +1``."""
    size = axis.size
    if size is None:
        return "any"
    if hasattr(size, "step"):
        return f"{size.min}, {size.min + size.step}, ..." if size.step else str(size.min)
    if hasattr(size, "tensor_id"):
        offset = f" {size.offset:+d}" if size.offset else ""
        factor = scales[str(size.tensor_id), str(size.axis_id)] / float(getattr(axis, "scale", 1))
        times = "" if factor == 1 else f"{factor:g} x "
        return f"{times}{size.tensor_id}.{size.axis_id}{offset}"
    if hasattr(size, "min"):
        return f"{size.min} to {size.max or 'any'}, by content"
    return str(size)


def _values(data: Any) -> str:
    kinds = data if isinstance(data, list | tuple) else [data]
    return ", ".join(str(getattr(kind, "type", "")) for kind in kinds)


def _step(step: Any) -> str:
    settings = step.model_dump(mode="json").get("kwargs") or {}
    inner = ", ".join(f"{key}={_setting(value)}" for key, value in settings.items())
    return f"{step.id}({inner})" if inner else str(step.id)


def _setting(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)


def _citation(entry: Any) -> str:
    place = str(entry.doi or entry.url or "")
    return f"{entry.text} {place}".strip()


def _trust(package: Package) -> str:
    if trust.is_embedded(package.root):
        return "ships with zoobridge"
    if trust.is_trusted(package.sha256):
        return "you agreed that its own code may run"
    return "its own code runs only with your consent (--trust)"
