"""Simulated fields, exposed, with their truth and their part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from bridge.restoration.centrioles import draw_centrioles
from bridge.restoration.exposure import (
    CleanPair,
    PairConditions,
    draw_clean_pair,
    expose,
    margin_of,
    show_object,
)
from bridge.restoration.signal import signal_share
from bridge.restoration.split import Part, split_fields

_EXPOSURE_STREAM = 1


@dataclass(frozen=True)
class SimulatedField:
    """A field as both microscopes see it."""

    name: str
    structure: str
    part: Part
    input: NDArray[np.float32]
    target: NDArray[np.float32]
    truth: NDArray[np.float32]
    signal: float
    """Share of the truth that shows something."""
    places: pd.DataFrame | None = None
    """Where centrioles are, in target pixels from the outer corner of the top left one."""


def draw_fields(
    conditions: PairConditions, *, n_fields: int, seed: int
) -> Iterator[SimulatedField]:
    """Draw fields of all structures in turn, one after the other.

    Parameters
    ----------
    conditions : PairConditions
        How they are made.
    n_fields : int
        How many.
    seed : int
        The same gives the same fields; each field's randomness depends on its number alone.

    Yields
    ------
    SimulatedField
        Named ``STRUCTURE_NUMBER``.
    """
    kinds = [conditions.structures[i % len(conditions.structures)] for i in range(n_fields)]
    names = [f"{kind}_{i:04d}" for i, kind in enumerate(kinds)]
    parts = split_fields(dict(zip(names, kinds, strict=True)), seed=seed)
    for number, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        rng = np.random.default_rng([seed, number])
        generator = torch.Generator().manual_seed(
            int(np.random.default_rng([seed, number, _EXPOSURE_STREAM]).integers(2**62))
        )
        places = None
        if kind == "centrioles":
            pair, places = draw_centriole_pair(conditions, rng)
        else:
            pair = draw_clean_pair(conditions, kind, rng)
        inputs, targets = expose(
            torch.from_numpy(pair.input)[None, None],
            torch.from_numpy(pair.target)[None, None],
            conditions,
            generator=generator,
        )
        yield SimulatedField(
            name,
            kind,
            parts[name],
            inputs[0, 0].numpy(),
            targets[0, 0].numpy(),
            pair.target,
            signal_share(pair.target),
            places,
        )


def draw_centriole_pair(
    conditions: PairConditions, rng: np.random.Generator
) -> tuple[CleanPair, pd.DataFrame]:
    """Draw a field of cells with centrioles, and say where they are.

    Parameters
    ----------
    conditions : PairConditions
        How it is seen.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    pair : CleanPair
        Without noise and background.
    places : DataFrame
        As of ``draw_centrioles``, for those in the field: ``y_px`` and ``x_px`` in target pixels,
        from the outer corner of the field's top left one.
    """
    margin_px = margin_of(conditions)
    edge_px = conditions.edge_px
    drawn, places = draw_centrioles(
        edge_px=edge_px + 2 * margin_px, pixel_size_nm=conditions.pixel_size_nm, rng=rng
    )
    for dim in "yx":
        places[f"{dim}_px"] -= margin_px
        places[f"{dim}_nm"] -= margin_px * conditions.pixel_size_nm
    is_in = (places[["y_px", "x_px"]] >= 0).all(axis=1) & (places[["y_px", "x_px"]] < edge_px).all(
        axis=1
    )
    pair = show_object(drawn, conditions, "centrioles")
    return pair, places[is_in].reset_index(drop=True)
