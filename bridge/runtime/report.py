"""What a run did, as JSON values, and what of it a user should look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bridge.runtime import verdict
from bridge.runtime.choose import Choice
from bridge.runtime.colours import as_channels
from bridge.runtime.examples import Examples
from bridge.runtime.execute import Layout, Work
from bridge.runtime.geometry import COLOUR
from bridge.runtime.plan import TilePlan
from bridge.runtime.summing import FRAMES
from bridge.zoo.package import Package

_MUCH_PADDING = 1.5


def describe_run(
    package: Package,
    settings: Mapping[str, Any],
    choice: Choice,
    work: Work,
    reaches: Mapping[str, Any],
) -> dict[str, Any]:
    """Give package, engine and why, tiles, and the ranges of inputs and outputs.

    Parameters
    ----------
    package, settings, choice, work
        What ran, how, by whom, and what came of it.
    reaches : mapping
        The network's measured reach per dim, where it was needed.
    """
    description, plan = package.description, work.plan
    pixels = math.prod(a.length for a in plan.axes.values())
    return {
        "package": {
            "name": package.name,
            "version": str(description.version) if description.version else None,
            "source": package.source,
            "sha256": package.sha256,
        },
        "settings": dict(settings),
        "engine": {
            "name": choice.network.engine,
            "why": choice.reason,
            "seconds_per_megapixel": choice.seconds,
            "device": choice.network.device.name,
            "threads": choice.network.device.threads,
        },
        "input": {
            name: {
                "source": str(source.image.attrs.get("source", "")),
                "sizes": as_channels({str(d): int(n) for d, n in source.image.sizes.items()}),
                "pixel_size_nm": dict(source.image.attrs.get("pixel_size_nm", {})),
                **work.seen[name].as_dict(),
            }
            for name, source in work.sources.items()
        },
        "output": {
            name: {
                **_sizes(layout, is_sum=bool(settings["sum"])),
                **work.tallies[name].as_dict(),
            }
            for name, layout in work.layouts.items()
        },
        "tiles": {
            "count": len(plan) * len(work.items),
            "window": {d: a.window for d, a in plan.axes.items()},
            "per_dim": {d: len(a.starts) for d, a in plan.axes.items()},
            "batch": work.batch,
            "is_blended": plan.is_blended,
            "computed_share": plan.computed_pixels / max(1, pixels),
            "reach": dict(reaches),
        },
    }


def _sizes(layout: Layout, *, is_sum: bool) -> dict[str, Any]:
    sizes = dict(zip(layout.dims, layout.shape, strict=True))
    found: dict[str, Any] = {}
    if is_sum:
        found["n_frames_summed"] = sizes.pop(FRAMES)
    if COLOUR in sizes:
        found["n_colours"] = sizes[COLOUR]
    return {"sizes": as_channels(sizes), **found}


def gather_warnings(
    found: Sequence[str], package: Package, work: Work, examples: Examples
) -> list[str]:
    """Give all sentences worth a user's look, each once.

    Parameters
    ----------
    found : sequence of str
        Those that were met on the way.
    package, work, examples
        Where more of them come from.
    """
    warnings = [*package.notes, *found]
    for name, tally in work.seen.items():
        warnings.append(verdict.range_warning(tally, examples.typical.get(name)))
    for name, n in work.pipeline.clipped.items():
        warnings.append(
            f"{n} values of output '{name}' did not fit its integer type and were clipped."
        )
    for name, tally in work.tallies.items():
        kind = verdict.flaw(tally)
        if kind:
            warnings.append(f"The output '{name}' is {kind}: every value is {tally.low:g}.")
    for (name, number), tally in work.colour_tallies.items():
        kind = verdict.flaw(tally)
        if kind and not verdict.flaw(work.tallies[name]):
            warnings.append(
                f"Colour {number + 1} of the output '{name}' is {kind}: its values lie between "
                f"{tally.low:g} and {tally.high:g}. The others are not."
            )
    for source in work.sources.values():
        warnings += source.image.attrs.get("notes", [])
    warnings += _padding_notes(work.plan)
    return list(dict.fromkeys(w for w in warnings if w))


def _padding_notes(plan: TilePlan) -> list[str]:
    return [
        f"The image is small for this network along {dim}: {a.length} pixels were continued to "
        f"{a.padded} by mirroring."
        for dim, a in plan.axes.items()
        if a.padded > _MUCH_PADDING * a.length
    ]
