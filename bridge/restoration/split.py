"""Which fields train, which validate, which test: decided by a hash of their names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal, get_args

Part = Literal["training", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

_HELD_OUT = 0.15  # share of the fields for validation, and the same for the test


def split_fields(structures: Mapping[str, str], *, seed: int = 0) -> dict[str, Part]:
    """Deal fields to training, validation and test, 70 / 15 / 15 % of each structure.

    The same names and seed give the same parts, in whatever order they come.

    Parameters
    ----------
    structures : mapping of str to str
        What is in each field, by the field's name.
    seed : int
        Another one deals otherwise.

    Returns
    -------
    dict of str to str
        Part of each field, in the order given. From three fields on each part has at least one;
        one or two fields are for training only.
    """
    order = sorted(structures, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    parts: dict[str, Part] = {}
    for structure in sorted(set(structures.values())):
        names = [name for name in order if structures[name] == structure]
        n_held = round(_HELD_OUT * len(names))
        for rank, name in enumerate(names):
            parts[name] = (
                "test" if rank < n_held else "validation" if rank < 2 * n_held else "training"
            )
    if len(order) > 2:
        for part in ("test", "validation"):
            if part not in parts.values():
                parts[next(n for n in order if parts[n] == "training")] = part
    return {name: parts[name] for name in structures}
