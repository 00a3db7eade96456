"""The room that knows Java: ImageJ's images, its macros, its menus, and the way into a Fiji.

Names are loaded on first use; importing this starts no Java.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.fiji.gateway import session

_HOMES = {"session": "bridge.fiji.gateway"}

__all__ = ["session"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'bridge.fiji' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
