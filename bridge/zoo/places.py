"""Where zoobridge keeps things on this machine; never creates anything by itself.

``ZOOBRIDGE_HOME`` moves both places: data to its ``data`` folder, cache to its ``cache`` folder.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import platformdirs


def data_dir() -> Path:
    """Give the folder for what must last: installed packages and consent."""
    home = os.environ.get("ZOOBRIDGE_HOME")
    return Path(home, "data") if home else Path(platformdirs.user_data_dir("zoobridge", False))


def cache_dir() -> Path:
    """Give the folder for what can be made again: unpacked archives and measurements."""
    home = os.environ.get("ZOOBRIDGE_HOME")
    return Path(home, "cache") if home else Path(platformdirs.user_cache_dir("zoobridge", False))


def embedded_dir() -> Path:
    """Give the folder of the packages that ship with zoobridge; it need not exist."""
    return Path(str(resources.files("models_zoo"))) / "packages"
