"""Models kept ready between runs: opened, checked, and with their network loaded."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final, NamedTuple

from bridge.runtime.predict import Predictor, Settings
from bridge.zoo.package import open_package

_MOST: Final = 3

Stamps = dict[Path, tuple[int, int]]


class _Ready(NamedTuple):
    predictor: Predictor
    stamps: Stamps


class ReadyModels:
    """The models used last, as long as their files stay as they are.

    Parameters
    ----------
    most : int
        How many are kept.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._ready: OrderedDict[tuple[str, Settings], _Ready] = OrderedDict()
        self._lock = threading.Lock()

    def predictor(self, model: str, settings: Settings) -> Predictor:
        """Give a package ready to run, opened now or kept from before.

        Parameters
        ----------
        model : str
            Folder, zip, rdf.yaml or installed name.
        settings : Settings
            How to run it.

        Raises
        ------
        PackageError
            It cannot be opened.
        DeviceError
            The device that was asked for is not here.
        """
        key = model, settings
        with self._lock:
            known = self._ready.get(key)
            if known is None or _stamps(known.stamps) != known.stamps:
                package = open_package(model)
                stamps = _stamps([*package.hashes, Path(model)])
                known = _Ready(Predictor(package, settings), stamps)
                self._ready[key] = known
            self._ready.move_to_end(key)
            while len(self._ready) > self._most:
                self._ready.popitem(last=False)
            return known.predictor


def _stamps(paths: list[Path] | Stamps) -> Stamps:
    """Give date and size of each file that is there."""
    stamps = {}
    for path in paths:
        try:
            status = path.stat()
        except (OSError, ValueError):
            stamps[path] = (0, 0)
            continue
        stamps[path] = (status.st_mtime_ns, status.st_size)
    return stamps
