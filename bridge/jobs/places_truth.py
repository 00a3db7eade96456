"""Detections against true places: precision, recall and F1 within one radius."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from pydantic import JsonValue

from bridge.errors import TableError
from bridge.jobs.titles import without_ending
from bridge.restoration.coordinates import read_places
from bridge.smlm.matching import match_frames


def read_truth(
    path: str,
    images: Mapping[str, xr.DataArray],
    *,
    slices: str = "each",
    pixel_size_nm: float = 0.0,
) -> pd.DataFrame:
    """Read the true places of images.

    Parameters
    ----------
    path : str
        Table, ours or Topaz's.
    images : mapping of str to DataArray
        The images by name without ending.
    slices : {"each", "projection"}
        With "projection", slices in the table don't count.
    pixel_size_nm : float
        For tables in nm; 0 takes what the first image says.

    Returns
    -------
    DataFrame
        As of :func:`bridge.restoration.coordinates.read_places`, with the images' names.

    Raises
    ------
    TableError
        It can't be read, no row is of these images, or it doesn't say in which planes.
    """
    first = next(iter(images.values()))
    size_nm = pixel_size_nm or first.attrs.get("pixel_size_nm", {}).get("x")
    truth = read_places(path, pixel_size_nm=size_nm)
    said = truth.attrs["said"]
    truth["image"] = [without_ending(str(name)) for name in truth["image"]]
    if not {"image", "image_name"} & set(said) and len(images) == 1:
        truth["image"] = next(iter(images))
    if not truth["image"].isin(list(images)).any():
        raise TableError(
            path,
            f"it is of the images {', '.join(sorted(set(truth['image']))[:3]) or 'none'}",
            f"places in {', '.join(list(images)[:3])}",
            "Check that it is the truth of these images, and that names are the same.",
        )
    if slices == "projection":
        truth["z"] = 1
    for axis in "tcz":
        is_stack = any(image.sizes.get(axis, 1) > 1 for image in images.values())
        is_flat = axis == "z" and slices == "projection"
        if is_stack and not is_flat and axis not in said and (truth[axis] == 1).all():
            remedy = "Use --slices projection." if axis == "z" else "Look at one plane."
            found = f"it doesn't say in which plane along {axis} a place is"
            raise TableError(path, found, f"a column {axis}, from 1", remedy)
    return truth


def judge_places(
    found: pd.DataFrame, truth: pd.DataFrame, radii: Mapping[str, float]
) -> dict[str, JsonValue]:
    """Count right and wrong ones: pairs within one radius, the nearest first.

    Parameters
    ----------
    found, truth : DataFrame
        Places, with ``image``, ``t``, ``c``, ``z``, ``x_px`` and ``y_px``.
    radii : mapping of str to float
        For each image the tolerance, in pixels.

    Returns
    -------
    dict
        ``precision``, ``recall`` and ``f1`` (None where there is nothing to count), ``n_truth``,
        ``n_right`` and ``n_wrong``.
    """
    n_right = n_truth = 0
    for name, radius_px in radii.items():
        sides = [table[table["image"] == name] for table in (found, truth)]
        planes = pd.concat([side[["t", "c", "z"]] for side in sides])
        frames = planes.groupby(["t", "c", "z"]).ngroup().to_numpy(np.int64) + 1
        n_found = len(sides[0])
        rows = [
            pd.DataFrame({"frame": frame, "x_nm": side["x_px"], "y_nm": side["y_px"]})
            for side, frame in zip(sides, (frames[:n_found], frames[n_found:]), strict=True)
        ]
        n_right += len(match_frames(rows[0], rows[1], tolerance_nm=radius_px).detection)
        n_truth += len(sides[1])
    n_wrong = len(found) - n_right
    either = len(found) + n_truth
    return {
        "precision": n_right / len(found) if len(found) else None,
        "recall": n_right / n_truth if n_truth else None,
        "f1": 2 * n_right / either if either else None,
        "n_truth": n_truth,
        "n_right": n_right,
        "n_wrong": n_wrong,
    }
