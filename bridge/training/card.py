"""A package's card: what it is for, what it was trained on, how well it does, how it fails.

A card that lies beside the recipe as ``CARD.md`` goes in front; the rest is written from the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bridge.smlm.patches import PatchConditions
from bridge.training.kind import CardWords, Figures
from bridge.training.recipe import Recipe
from bridge.training.sources import Sources


def write_card(
    path: Path,
    recipe: Recipe,
    *,
    sources: Sources,
    figures: Figures,
    words: CardWords,
    training: Mapping[str, Any],
    radius_px: int,
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
    sources : Sources
        What it learned from.
    figures : Figures
        What was measured.
    words : CardWords
        What is said of all packages of this kind.
    training : mapping
        Steps, seconds and machine.
    radius_px, smallest_px, stride : int
        Receptive radius, smallest input and its step, in camera pixels.
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
                "Coordinates start at the outer corner of the top left pixel, in frames and "
                "outputs alike: no half pixel to add.",
                f"Height and width are at least {smallest_px} camera pixels"
                + (f", and multiples of {stride}." if stride > 1 else "."),
                f"The output depends on nothing further than {radius_px} camera pixels away.",
            ]
        ),
        "## What it was trained on",
        _tell_data(recipe, sources),
        "# Validation",
        figures.card(),
        "## How it fails",
        _list(
            [
                "Outside the ranges it was trained on it still gives a result, and a worse one. "
                "Check offset, counts per electron, width of the spots and background first.",
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


def _tell_data(recipe: Recipe, sources: Sources) -> str:
    said = []
    if sources.conditions is not None:
        said.append(
            "Simulated patches, drawn afresh for each step: "
            f"{_percent(sources.conditions.lines_share)} with emitters on curved lines, "
            f"{_percent(sources.conditions.empty_share)} empty, the others with emitters anywhere."
        )
        said.append(_table_of(sources.conditions))
    if recipe.data.movies:
        said.append(
            f"{len(recipe.data.movies)} movies with their localizations; "
            f"{_percent(recipe.data.validation_share)} of each field was kept for validation."
        )
    return "\n\n".join([*said, *sources.notes])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table_of(conditions: PatchConditions) -> str:
    camera = conditions.camera
    rows = [
        ("emitters per square micrometre and frame", conditions.density_per_um2),
        ("photons of an emitter in a frame", conditions.photons),
        ("background photons per pixel", conditions.background_photons),
    ]
    sigma_nm = getattr(conditions.psf, "sigma_nm", None)
    if isinstance(sigma_nm, tuple):
        rows.append(("standard deviation of a spot, nm", sigma_nm))
    lines = [f"| {name} | {low:.4g} | {high:.4g} |" for name, (low, high) in rows]
    return "\n".join(
        [
            "| | from | to |",
            "|---|---|---|",
            *lines,
            f"| camera | | {camera.kind}, {camera.pixel_size_nm:g} nm pixels, offset "
            f"{camera.scaling().offset_adu:g} counts, {camera.scaling().photons_per_adu:.3g} "
            "photons per count |",
        ]
    )
