"""A folder of fields for X-Microscopy: widefield, undersampled and full super-resolution images.

::

    FOLDER/storm.yaml              kind: storm, pixel_size_nm, localizations, source, seed
    FOLDER/fields.csv              name, part, ... one row per field; any further columns
    FOLDER/wf/NAME.tif             widefield image, already on the grid of the STORM images
    FOLDER/u_srm/NAME_1.tif ...    rendering of k localizations; several random draws of them
    FOLDER/w_srm/NAME_1.tif ...    rendering of many localizations; may be missing
    FOLDER/srm/NAME.tif            rendering of all localizations; may be missing

All images of a field have the same size, axes (y, x). The original project's folders are read too,
one for each field or all in one, where the last number of a name counts the draws::

    [FIELD/]wf/1-1.tif      [FIELD/]U-SRM/1-1.tif ...      [FIELD/]W-SRM/1-1.tif ...
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge.errors import ImageError, InputError
from bridge.images.read import IMAGE_ENDINGS, open_image
from bridge.images.write import write_image
from bridge.restoration.new_folder import new_folder
from bridge.restoration.pair_folder import read_plane
from bridge.restoration.split import PARTS, Part, split_fields

SETTINGS = "storm.yaml"
TABLE = "fields.csv"

_NAMES = {"wf": "wf", "u_srm": "U-SRM", "w_srm": "W-SRM", "srm": "F-SRM"}
_NUMBER = re.compile(r"(.*?)[-_](\d+)")


class StormSettings(BaseModel):
    """What holds for all fields of a folder; the content of ``storm.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["storm"] = "storm"
    """Kind of the folder."""
    pixel_size_nm: Annotated[float, Field(gt=0)] | None = None
    """Edge of a pixel of every image, in nm."""
    localizations: Annotated[int, Field(ge=1)] | None = None
    """Localizations in an undersampled image; differs from field to field where it is None."""
    render_sigma_nm: Annotated[float, Field(gt=0)] | None = None
    """Gaussian that each localization is drawn as."""
    bright_percentile: Annotated[float, Field(gt=0, le=100)] | None = None
    """Percentile of each rendering that is 1; brighter pixels are cut."""
    source: str = ""
    """Where the fields come from."""
    seed: int | None = None
    """Seed of split, draws and simulation."""


@dataclass(frozen=True)
class StormImages:
    """The images of one field."""

    name: str
    part: Part
    widefield_path: Path
    sparse_paths: tuple[Path, ...]
    dense_paths: tuple[Path, ...] = ()
    full_path: Path | None = None

    def widefield(self) -> xr.DataArray:
        """Read the widefield image, axes (y, x), float32."""
        return read_plane(self.widefield_path)

    def sparse(self) -> list[xr.DataArray]:
        """Read all undersampled images, axes (y, x), float32."""
        return [read_plane(path) for path in self.sparse_paths]

    def dense(self) -> list[xr.DataArray]:
        """Read all densely sampled images; none where there are none."""
        return [read_plane(path) for path in self.dense_paths]

    def full(self) -> xr.DataArray | None:
        """Read the full image; None where there is none."""
        return None if self.full_path is None else read_plane(self.full_path)


@dataclass(frozen=True)
class StormFolder:
    """A folder of fields, found to be in order."""

    path: Path
    settings: StormSettings
    fields: tuple[StormImages, ...]

    def of(self, part: Part) -> tuple[StormImages, ...]:
        """Give the fields of one part: training, validation or test."""
        return tuple(field for field in self.fields if field.part == part)


def open_storm(folder: str | Path, *, seed: int = 0) -> StormFolder:
    """Open a folder of fields, and check that every one has its images, all of one size.

    Parameters
    ----------
    folder : str or Path
        Written by ``zoobridge pairs --kind xmicroscopy``, or laid out as the original project's.
    seed : int
        Of the split, where no ``fields.csv`` says it.

    Returns
    -------
    StormFolder
        Its fields; no pixels are read yet.

    Raises
    ------
    InputError
        A folder or image is missing, or sizes differ within a field.
    """
    place = Path(folder)
    settings = StormSettings()
    if (place / SETTINGS).is_file():
        settings = _read_settings(place / SETTINGS)
    groups = [place] if (place / "wf").is_dir() else _subfolders(place)
    found: dict[str, dict[str, list[Path]]] = {}
    for group in groups:
        prefix = "" if group == place else f"{group.name}_"
        for name, images in _group_files(group).items():
            found[prefix + name] = images
    if not found:
        raise InputError(
            str(place),
            "there is no folder 'wf' with images in it",
            "wf/ and u_srm/ (or wf/ and U-SRM/), images of the same fields",
            "Make one with 'zoobridge pairs --kind xmicroscopy'.",
        )
    parts = _read_parts(place / TABLE, found, seed=seed)
    return StormFolder(
        place, settings, tuple(_check_field(n, parts[n], found[n], place) for n in sorted(found))
    )


class StormWriter:
    """Fills a new folder of fields; see ``new_storm``."""

    def __init__(self, part: Path, settings: StormSettings) -> None:
        self.part = part
        """The temporary folder."""
        self.settings = settings
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        name: str,
        part: Part,
        *,
        widefield: NDArray[np.float32],
        sparse: Sequence[NDArray[np.float32]],
        dense: Sequence[NDArray[np.float32]] = (),
        full: NDArray[np.float32] | None = None,
        figures: Mapping[str, float | str] | None = None,
    ) -> None:
        """Write a field.

        Parameters
        ----------
        name : str
            Its name.
        part : str
            training, validation or test.
        widefield, full : ndarray, axes (y, x)
            One image each, on one grid.
        sparse, dense : sequence of ndarray, axes (y, x)
            Renderings of random draws.
        figures : mapping of str to (float or str), optional
            Further columns of ``fields.csv``.
        """
        self._write("wf", name, widefield)
        for kind, draws in (("u_srm", sparse), ("w_srm", dense)):
            for number, image in enumerate(draws, 1):
                self._write(kind, f"{name}_{number}", image)
        if full is not None:
            self._write("srm", name, full)
        self.rows.append({"name": name, "part": part, **(figures or {})})

    def finish(self) -> None:
        """Write settings and table."""
        content = self.settings.model_dump(mode="json", exclude_none=True)
        (self.part / SETTINGS).write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
        pd.DataFrame(self.rows).to_csv(self.part / TABLE, index=False, float_format="%.6g")

    def _write(self, kind: str, name: str, pixels: NDArray[np.float32]) -> None:
        (self.part / kind).mkdir(exist_ok=True)
        size = self.settings.pixel_size_nm
        attrs = {} if size is None else {"pixel_size_nm": dict.fromkeys("yx", size)}
        image = xr.DataArray(np.asarray(pixels, np.float32), dims=("y", "x"), attrs=attrs)
        write_image(self.part / kind / f"{name}.tif", image)


@contextlib.contextmanager
def new_storm(
    folder: str | Path, settings: StormSettings, *, overwrite: bool = False
) -> Iterator[StormWriter]:
    """Write a folder of fields, which appears when the block ends well, or not at all.

    Parameters
    ----------
    folder : str or Path
        The folder.
    settings : StormSettings
        What holds for all fields.
    overwrite : bool
        Replace a folder of fields that is there.

    Yields
    ------
    StormWriter
        Takes the fields.

    Raises
    ------
    OutputError
        The folder is there, or can't be written.
    """
    with new_folder(Path(folder), marker=SETTINGS, overwrite=overwrite) as part:
        writer = StormWriter(part, settings)
        yield writer
        writer.finish()


def _subfolders(place: Path) -> list[Path]:
    inside = sorted(place.iterdir()) if place.is_dir() else []
    return [group for group in inside if (group / "wf").is_dir()]


def _group_files(group: Path) -> dict[str, dict[str, list[Path]]]:
    """Give a folder's files by field and kind."""
    is_original = (group / "U-SRM").is_dir()
    found: dict[str, dict[str, list[Path]]] = {}
    for kind, original in _NAMES.items():
        folder = group / (original if is_original else kind)
        files = (
            [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_ENDINGS]
            if (folder.is_dir())
            else []
        )
        for path in sorted(files, key=_draw):
            counts = is_original or kind in ("u_srm", "w_srm")
            numbered = _NUMBER.fullmatch(path.stem) if counts else None
            name = numbered[1] if numbered else path.stem
            found.setdefault(name, {}).setdefault(kind, []).append(path)
    return found


def _draw(path: Path) -> tuple[str, int]:
    numbered = _NUMBER.fullmatch(path.stem)
    return (numbered[1], int(numbered[2])) if numbered else (path.stem, 0)


def _check_field(name: str, part: Part, images: dict[str, list[Path]], place: Path) -> StormImages:
    for kind in ("wf", "u_srm"):
        if kind not in images:
            others = ", ".join(f"{len(paths)} in {k}" for k, paths in images.items())
            raise InputError(
                str(place),
                f"field '{name}' has no image in {kind} (or {_NAMES[kind]}), but {others}",
                "a widefield image and undersampled ones for each field",
                "Add it, or remove the field's other images.",
            )
    sizes = {path: _shape(path) for paths in images.values() for path in paths}
    first = images["wf"][0]
    for path, size in sizes.items():
        if size != sizes[first]:
            ratio = size[0] / sizes[first][0]
            raise ImageError(
                str(path),
                f"it has {size} pixels (y, x), {first.name} has {sizes[first]}: {ratio:.4g} times",
                "the widefield image on the grid of the STORM images",
                "Let 'zoobridge pairs --kind xmicroscopy' resample it.",
            )
    full = images.get("srm", [None])[0]
    return StormImages(
        name, part, first, tuple(images["u_srm"]), tuple(images.get("w_srm", ())), full
    )


def _read_parts(path: Path, found: Mapping[str, object], *, seed: int) -> dict[str, Part]:
    if not path.is_file():
        return split_fields(dict.fromkeys(found, "storm"), seed=seed)
    table = pd.read_csv(path, dtype={"name": str, "part": str})
    if not {"name", "part"} <= set(table.columns) or not table["part"].isin(PARTS).all():
        raise InputError(
            str(path), "columns or parts are wrong", f"name, part ({', '.join(PARTS)})"
        )
    parts: dict[str, Part] = dict(zip(table["name"], table["part"], strict=True))
    odd = sorted(set(found) ^ set(parts))
    if odd:
        raise InputError(
            str(path),
            f"'{odd[0]}' is in the table or in the folders, not in both",
            "",
            "Correct it.",
        )
    return parts


def _read_settings(path: Path) -> StormSettings:
    try:
        return StormSettings.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        first = str(error).replace("\n", " ")[:200]
        raise InputError(
            str(path), first, "the keys of a folder of fields", "Correct it."
        ) from error


def _shape(path: Path) -> tuple[int, int]:
    image = open_image(path)
    try:
        return image.sizes["y"], image.sizes["x"]
    finally:
        image.close()
