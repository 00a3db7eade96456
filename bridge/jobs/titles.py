"""Titles of result images, the same in every face: ``NAME-MODEL`` or ``NAME-MODEL-OUTPUT``."""

from __future__ import annotations

import re

_ENDING = re.compile(r"(?:\.ome)?\.(?:tiff?|png|jpe?g|bmp|gif|zip|npy|zarr)$", re.IGNORECASE)


def without_ending(title: str) -> str:
    """Give an image's title without the ending of a file."""
    return _ENDING.sub("", title)


def result_title(title: str, model: str, output: str = "") -> str:
    """Name a result after the image and the model as the user wrote it.

    Parameters
    ----------
    title : str
        The image's title or file name.
    model : str
        Name or path of the model; of a path the last part that tells counts.
    output : str
        The output's name, where the model has several.

    Returns
    -------
    str
        For example ``cells-deep-storm``.
    """
    path = re.sub(r"/[^/]*\.ya?ml$", "", model.replace("\\", "/").rstrip("/"))
    parts = [without_ending(title), without_ending(path.rpartition("/")[2]), output]
    return "-".join(part for part in parts if part)
