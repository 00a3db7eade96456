"""The kinds of training there are; the only place where they are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge.training.heatmap_kind import HeatmapKind
from bridge.training.kind import Kind
from bridge.training.localization_kind import LocalizationKind

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {"heatmap": HeatmapKind(), "localization": LocalizationKind()}
)
"""By ``task.kind`` of a recipe."""
