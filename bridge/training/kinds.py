"""The kinds of training there are; the only place where they are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from torch import nn

from bridge.training.batches import Sources
from bridge.training.heatmap_kind import HeatmapKind
from bridge.training.kind import Kind
from bridge.training.localization_kind import LocalizationKind
from bridge.training.networks import check_shapes
from bridge.training.recipe import Recipe
from bridge.training.restoration_kind import AdversarialKind, DiffusionKind, RegressionKind
from bridge.training.storm_kind import UrNetKind
from bridge.training.xnet_kind import ChainKind, XNetKind

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "heatmap": HeatmapKind(),
        "localization": LocalizationKind(),
        "regression": RegressionKind(),
        "adversarial": AdversarialKind(),
        "diffusion": DiffusionKind(),
        "ur_net": UrNetKind(),
        "xnet": XNetKind(),
        "xmicroscopy": ChainKind(),
    }
)
"""By ``task.kind`` of a recipe."""


def open_sources(recipe: Recipe, *, stride: int) -> Sources:
    """Open what a recipe learns from; patches are a multiple of ``stride`` pixels."""
    return KINDS[recipe.task.kind].open_sources(recipe, stride=stride)


def check_network(network: nn.Module, recipe: Recipe) -> None:
    """Refuse a network that doesn't turn a recipe's patches into what is learned from them.

    Raises
    ------
    RecipeError
        It fails on a patch, or its outputs have other sizes.
    """
    kind, edge_px = KINDS[recipe.task.kind], recipe.data.patch_px
    check_shapes(network, kind.probes(recipe, edge_px), kind.expected_shapes(recipe, edge_px))
