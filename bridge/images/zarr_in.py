"""OME-Zarr in, versions 0.4 and 0.5: the full resolution of a folder's first multiscale image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import zarr

from bridge.errors import ImageError
from bridge.images.units import length_in_nm, time_in_s
from bridge.images.windows import FOREIGN_ERRORS, RawImage, ZarrSource, damaged

_MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
_KINDS = {"time": "T", "channel": "C"}


def is_zarr(path: Path) -> bool:
    """Whether a path is a folder with zarr's files in it."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def open_zarr(path: Path) -> RawImage:
    """Read the metadata of an OME-Zarr folder; its pixels stay there.

    Parameters
    ----------
    path : Path
        The folder.

    Returns
    -------
    RawImage
        Pixels along the array's axes, and what the metadata say of them.

    Raises
    ------
    ImageError
        It is no OME-Zarr image, or its metadata contradict each other.
    """
    try:
        group = zarr.open_group(str(path), mode="r")
        ome = _ome(group)
        if "multiscales" not in ome and "bioformats2raw.layout" in ome and "0" in group:
            group = zarr.open_group(str(path / "0"), mode="r")
            ome = _ome(group)
        if not ome.get("multiscales"):
            raise _no_image(path, group)
        return _open_multiscale(path, group, ome)
    except (ImageError, PermissionError):
        raise
    except FOREIGN_ERRORS as error:
        raise damaged(str(path), error) from error


def _ome(group: zarr.Group) -> dict[str, Any]:
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    return dict(ome) if isinstance(ome, Mapping) else {}


def _no_image(path: Path, group: zarr.Group) -> ImageError:
    inside = ", ".join(sorted(group.keys())[:5]) or "nothing"
    return ImageError(
        str(path),
        f"the zarr folder holds no OME-Zarr image (in it: {inside})",
        "'multiscales' metadata of OME-Zarr 0.4 or 0.5",
        "Give the folder of one image, such as plate.zarr/A/1/0.",
    )


def _open_multiscale(path: Path, group: zarr.Group, ome: Mapping[str, Any]) -> RawImage:
    multiscale = ome["multiscales"][0]
    dataset = multiscale["datasets"][0]
    place = PurePosixPath(str(dataset["path"]))
    if place.is_absolute() or ".." in place.parts:
        raise ImageError(str(path), f"the metadata point outside of the folder, to '{place}'")
    array = group[str(place)]
    if not isinstance(array, zarr.Array) or not math.prod(array.shape):
        raise ImageError(str(path), f"'{place}' holds no pixels", "an array")
    axes = multiscale.get("axes") or [{"name": name} for name in "tczyx"]
    axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in axes]
    if len(axes) != array.ndim:
        raise ImageError(
            str(path),
            f"the metadata name {len(axes)} axes, and the array has {array.ndim}",
            "one name for each axis",
        )
    image = RawImage(ZarrSource(array), "".join(_letter(axis) for axis in axes))
    _describe(image, axes, _scales(multiscale, dataset, array.ndim))
    labels = [c.get("label", "") for c in (ome.get("omero") or {}).get("channels", [])]
    n_channels = dict(zip(image.letters, array.shape, strict=True)).get("C", 1)
    if all(labels) and len(labels) == n_channels > 1:
        image.channel_names = [str(label) for label in labels]
    if len(multiscale["datasets"]) > 1:
        image.notes.append(
            f"The file holds {len(multiscale['datasets'])} resolutions; the full one is read."
        )
    if len(ome["multiscales"]) > 1:
        image.notes.append(f"The file holds {len(ome['multiscales'])} images; the first is read.")
    return image


def _letter(axis: Mapping[str, Any]) -> str:
    name = str(axis.get("name", "")).upper()
    if name in tuple("TCZYX"):
        return name
    return _KINDS.get(str(axis.get("type", "")), "Q")


def _scales(multiscale: Mapping[str, Any], dataset: Mapping[str, Any], ndim: int) -> list[float]:
    scales = [1.0] * ndim
    for holder in (dataset, multiscale):
        for change in holder.get("coordinateTransformations") or []:
            if change.get("type") == "scale":
                scales = [a * float(b) for a, b in zip(scales, change["scale"], strict=True)]
    return scales


def _describe(image: RawImage, axes: list[Mapping[str, Any]], scales: list[float]) -> None:
    for letter, axis, scale in zip(image.letters, axes, scales, strict=True):
        unit = str(axis.get("unit", ""))
        if letter == "T":
            image.frame_interval_s = time_in_s(scale, unit)
        size_nm = length_in_nm(scale, unit)
        if letter in "ZYX" and size_nm is not None:
            image.pixel_size_nm[letter.lower()] = size_nm
