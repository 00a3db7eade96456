"""A package's card: what it is for, what it was trained on, how well it does, how it fails.

A card that lies beside the recipe as ``CARD.md`` goes in front; the rest is written from the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.training.kind import CardWords, Figures
from bridge.training.recipe import Recipe


def write_card(
    path: Path,
    recipe: Recipe,
    *,
    figures: Figures,
    words: CardWords,
    training: Mapping[str, Any],
    radius_px: int | None,
    smallest_px: int,
    stride: int,
) -> None:
    """Write ``README.md`` of a package.

    Parameters
    ----------
    path : Path
        The file.
    recipe : Recipe
        What was trained.
    figures : Figures
        What was measured.
    words : CardWords
        What is said of all packages of this kind.
    training : mapping
        Steps, seconds and machine.
    radius_px, smallest_px, stride : int
        Receptive radius, smallest input and its step, in input pixels; no radius where the output
        depends on the whole image.
    """
    front = recipe.network.architecture.parent / "CARD.md"
    own = front.read_text(encoding="utf-8").strip() + "\n" if front.is_file() else ""
    parts = [
        f"# {recipe.name}",
        recipe.package.description,
        f"![{words.cover}](cover.png)",
        own,
        "## Using it",
        _list(
            [
                *words.use,
                "Coordinates start at the outer corner of the top left pixel, in inputs and "
                "outputs alike: no half pixel to add.",
                f"Height and width are at least {smallest_px} input pixels"
                + (f", and multiples of {stride}." if stride > 1 else "."),
                "The output depends on the whole image: tiles are blended, and aren't exact."
                if radius_px is None
                else f"The output depends on nothing further than {radius_px} input pixels away.",
            ]
        ),
        "## What it was trained on",
        words.data,
        "# Validation",
        figures.card(),
        "## How it fails",
        _list(
            [
                "Outside the ranges it was trained on it still gives a result, and a worse one.",
                *words.failures,
            ]
        ),
        "## Making it again",
        f"`zoobridge train` with the recipe of these settings; this one ran "
        f"{training.get('steps_done', '?')} steps of {recipe.fit.batch} patches of "
        f"{recipe.data.patch_px} x {recipe.data.patch_px} pixels, with seed {recipe.fit.seed}, on "
        f"{training.get('machine', 'a machine')}.",
    ]
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


def _list(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
