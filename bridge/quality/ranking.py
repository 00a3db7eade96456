"""Means, intervals and ranks over fields: how sure it is that one model is better than another.

Fields are drawn anew with replacement, within each structure, the same draw for all models and
figures (paired bootstrap); ranks are those of each draw. The table that goes in is long: one row
for each field, model and figure, with the columns ``field structure model figure value``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.quality.image_figures import FIGURES, Figure

ALL: Final = "all"
"""The row over all structures."""

_LEVEL: Final = 0.95


def draw_fields(
    structures: Sequence[str], *, n_draws: int = 1000, seed: int = 0
) -> NDArray[np.int64]:
    """Draw fields with replacement, as many of each structure as there are.

    Parameters
    ----------
    structures : sequence of str
        Structure of each field.
    n_draws : int
        Number of draws.
    seed : int
        Seed.

    Returns
    -------
    ndarray, (n_draws, fields)
        Numbers of fields; position by position of the same structure as the field there.
    """
    rng = np.random.default_rng(seed)
    kinds = np.asarray(structures)
    drawn = np.empty((n_draws, len(kinds)), np.int64)
    for kind in dict.fromkeys(structures):
        places = np.flatnonzero(kinds == kind)
        drawn[:, places] = rng.choice(places, (n_draws, len(places)))
    return drawn


def summarise(
    rows: pd.DataFrame, *, rivals: Sequence[str] = (), n_draws: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Give mean, interval and rank of each model and figure, per structure and over all fields.

    Parameters
    ----------
    rows : DataFrame
        Columns ``field structure model figure value``; each model has every field.
    rivals : sequence of str
        Those among whom ``first_share`` is counted, baselines left out; empty takes all.
    n_draws : int
        Draws of the bootstrap.
    seed : int
        Seed of the draws.

    Returns
    -------
    DataFrame
        Columns ``structure`` (``all`` over all), ``figure``, ``model``, ``mean``, ``low``, ``high``
        (95 % of the draws), ``n_fields``, ``rank``, ``rank_low``, ``rank_high``, ``first_share``
        (of the draws, in which it is the best of the rivals; NaN for others). A model with a field
        where the figure is no number has no mean and the last rank; figures that nobody has are
        left out.
    """
    parts = []
    fields = rows.drop_duplicates("field")[["field", "structure"]]
    groups = {ALL: fields}
    if fields["structure"].nunique() > 1:
        groups |= {str(name): part for name, part in fields.groupby("structure", sort=False)}
    models = list(dict.fromkeys(rows["model"]))
    for name, group in groups.items():
        drawn = draw_fields(list(group["structure"]), n_draws=n_draws, seed=seed)
        inside = rows[rows["field"].isin(group["field"])]
        for figure in FIGURES:
            values = (
                inside[inside["figure"] == figure.name]
                .pivot(index="field", columns="model", values="value")
                .reindex(index=group["field"], columns=models)
                .to_numpy(np.float64)
            )
            if not np.isnan(values).all():
                part = _summarise_figure(values, drawn, figure, models, rivals or models)
                parts.append(part.assign(structure=name))
    columns = ["structure", "figure", "model", "mean", "low", "high", "n_fields"]
    columns += ["rank", "rank_low", "rank_high", "first_share"]
    return pd.concat(parts, ignore_index=True)[columns]


def compare_two(
    rows: pd.DataFrame,
    figure: Figure,
    first: str,
    second: str,
    *,
    n_draws: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Give the paired difference of two models, first less second.

    Parameters
    ----------
    rows : DataFrame
        Columns ``field structure model figure value``.
    figure : Figure
        Which figure.
    first, second : str
        The models.
    n_draws : int
        Draws of the bootstrap.
    seed : int
        Seed of the draws.

    Returns
    -------
    (float, float, float)
        Mean difference over the fields, and the ends of its 95 % interval.
    """
    table = rows[rows["figure"] == figure.name].pivot(
        index="field", columns="model", values="value"
    )
    structures = rows.drop_duplicates("field").set_index("field")["structure"]
    difference = (table[first] - table[second]).to_numpy(np.float64)
    drawn = draw_fields(list(structures.loc[table.index]), n_draws=n_draws, seed=seed)
    low, high = _interval(difference[drawn].mean(axis=1))
    return float(difference.mean()), low, high


def _summarise_figure(
    values: NDArray[np.float64],
    drawn: NDArray[np.int64],
    figure: Figure,
    models: list[str],
    rivals: Sequence[str],
) -> pd.DataFrame:
    """Summarise one figure of one group of fields; values are (fields, models)."""
    merits = np.vectorize(figure.merit, otypes=[np.float64])(values)
    with np.errstate(invalid="ignore"):
        means = values[drawn].mean(axis=1)  # (draws, models)
        drawn_merits = merits[drawn].mean(axis=1)
        ranks = _rank(drawn_merits)
        plain = values.mean(axis=0)
        rank = _rank(merits.mean(axis=0)[None])[0]
    is_rival = np.isin(models, list(rivals))
    best = np.where(is_rival, drawn_merits, -np.inf).max(axis=1, keepdims=True)
    first_share = np.where(is_rival, (drawn_merits == best).mean(axis=0), math.nan)
    intervals = [_interval(means[:, number]) for number in range(len(models))]
    spans = np.quantile(ranks, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0, method="nearest")
    return pd.DataFrame(
        {
            "figure": figure.name,
            "model": models,
            "mean": plain,
            "low": [low for low, _ in intervals],
            "high": [high for _, high in intervals],
            "n_fields": len(values),
            "rank": rank if figure.is_ranked else math.nan,
            "rank_low": spans[0] if figure.is_ranked else math.nan,
            "rank_high": spans[1] if figure.is_ranked else math.nan,
            "first_share": first_share if figure.is_ranked else math.nan,
        }
    )


def _rank(merits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give ranks from 1 for the highest merit in each row; equal merits share the better rank."""
    higher = merits[:, None, :] > merits[:, :, None]  # (draws, model, other)
    ranks: NDArray[np.float64] = 1.0 + higher.sum(axis=2)
    return ranks


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    if not np.isfinite(values).all():
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
