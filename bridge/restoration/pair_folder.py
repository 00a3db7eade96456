"""A folder of pairs: what ``zoobridge pairs`` writes, and what training and comparing read.

::

    FOLDER/pairs.yaml          kind: pairs, scale, pixel sizes, PSF widths, source, seed
    FOLDER/pairs.csv           name, structure, part, ... one row per field; any further columns
    FOLDER/input/NAME.tif      blurred image, axes (y, x)
    FOLDER/target/NAME.tif     sharp image of the same place, exactly scale times as many pixels
    FOLDER/truth/NAME.tif      the target without noise, where it is known (simulations)
    FOLDER/page.html           what was found, to look at

A field is one place on the slide, so one pair; its ``part`` is training, validation or test. A
folder made by hand may have ``input`` and ``target`` alone, with equal names: its fields are dealt
to the parts by their names, the scale is found from the sizes, pixel sizes from the files.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
from bridge.restoration.split import PARTS, Part, split_fields

SETTINGS = "pairs.yaml"
TABLE = "pairs.csv"

_Length = Annotated[float, Field(gt=0)] | None


class PairSettings(BaseModel):
    """What holds for all pairs of a folder; the content of ``pairs.yaml``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["pairs"] = "pairs"
    """Kind of the folder."""
    scale: Annotated[int, Field(ge=1, le=64)] = 1
    """Target pixels per input pixel, along each axis."""
    input_pixel_size_nm: _Length = None
    """Edge of an input pixel, in nm."""
    target_pixel_size_nm: _Length = None
    """Edge of a target pixel, in nm."""
    input_fwhm_nm: _Length = None
    """Width of the input's PSF, in nm, if known."""
    target_fwhm_nm: _Length = None
    """Width of the target's PSF, in nm, if known."""
    source: str = ""
    """Where the pairs come from."""
    seed: int | None = None
    """Seed of the split, and of the simulation."""
    conditions: dict[str, Any] | None = None
    """How they were simulated (``PairConditions``)."""


@dataclass(frozen=True)
class PairField:
    """One place on the slide, seen twice."""

    name: str
    structure: str
    part: Part
    input_path: Path
    target_path: Path
    truth_path: Path | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Further columns of ``pairs.csv``."""

    def input(self) -> xr.DataArray:
        """Read the input, axes (y, x), float32; ``attrs["pixel_size_nm"]`` maps y and x to nm."""
        return read_plane(self.input_path)

    def target(self) -> xr.DataArray:
        """Read the target, axes (y, x), float32."""
        return read_plane(self.target_path)

    def truth(self) -> xr.DataArray | None:
        """Read the target without noise, axes (y, x), float32; None where it isn't known."""
        return None if self.truth_path is None else read_plane(self.truth_path)


@dataclass(frozen=True)
class PairFolder:
    """A folder of pairs, found to be in order; pixels are read when a field is asked for them."""

    path: Path
    settings: PairSettings
    fields: tuple[PairField, ...]

    @property
    def scale(self) -> int:
        """Target pixels per input pixel."""
        return self.settings.scale

    @property
    def input_pixel_size_nm(self) -> float | None:
        """Edge of an input pixel, in nm."""
        return self.settings.input_pixel_size_nm

    @property
    def target_pixel_size_nm(self) -> float | None:
        """Edge of a target pixel, in nm."""
        return self.settings.target_pixel_size_nm

    @property
    def input_fwhm_nm(self) -> float | None:
        """Width of the input's PSF, in nm."""
        return self.settings.input_fwhm_nm

    @property
    def target_fwhm_nm(self) -> float | None:
        """Width of the target's PSF, in nm."""
        return self.settings.target_fwhm_nm

    @property
    def structures(self) -> tuple[str, ...]:
        """What is in the fields, each once, in their order."""
        return tuple(dict.fromkeys(field.structure for field in self.fields))

    def of(self, part: Part) -> tuple[PairField, ...]:
        """Give the fields of one part: training, validation or test."""
        return tuple(field for field in self.fields if field.part == part)


def open_pairs(folder: str | Path) -> PairFolder:
    """Open a folder of pairs, and check that every field has its images, of fitting sizes.

    Parameters
    ----------
    folder : str or Path
        Written by ``zoobridge pairs``, or made by hand with ``input`` and ``target``.

    Returns
    -------
    PairFolder
        Its fields; no pixels are read yet.

    Raises
    ------
    InputError
        The folder or one of its files is missing or damaged, or sizes don't fit the scale.
    """
    place = Path(folder)
    for name in ("input", "target"):
        if not (place / name).is_dir():
            raise InputError(
                str(place),
                f"there is no folder '{name}' in it" if place.is_dir() else "there is no folder",
                "a folder with input/ and target/, images of equal names",
                "Make one with 'zoobridge pairs'.",
            )
    has_table = (place / TABLE).is_file()
    settings = _read_settings(place / SETTINGS) if (place / SETTINGS).is_file() else None
    fields = _read_fields(place) if has_table else _find_fields(place)
    shapes = [(_shape(f.input_path), _shape(f.target_path)) for f in fields]
    if settings is None:
        settings = _guess_settings(fields[0], *shapes[0])
    for one, (small, large) in zip(fields, shapes, strict=True):
        wanted = tuple(settings.scale * n for n in small)
        if large != wanted:
            raise ImageError(
                str(one.target_path),
                f"it has {large} pixels (y, x), its input has {small}",
                f"{wanted}, {settings.scale} times as many each way",
                "Let 'zoobridge pairs' register and cut the images.",
            )
    return PairFolder(place, settings, fields)


class PairWriter:
    """Fills a new folder of pairs; see ``new_pairs``."""

    def __init__(self, part: Path, settings: PairSettings) -> None:
        self.part = part
        """The temporary folder, for further files such as the page."""
        self.settings = settings
        self.rows: list[dict[str, Any]] = []
        for name in ("input", "target"):
            (part / name).mkdir()

    def add(
        self,
        name: str,
        structure: str,
        part: Part,
        *,
        input: NDArray[np.float32],
        target: NDArray[np.float32],
        truth: NDArray[np.float32] | None = None,
        figures: Mapping[str, float | str] | None = None,
    ) -> None:
        """Write a field.

        Parameters
        ----------
        name : str
            Its name, which is the files' stem.
        structure : str
            What is in it.
        part : str
            training, validation or test.
        input, target, truth : ndarray, axes (y, x) or (Y, X)
            Its images.
        figures : mapping of str to (float or str), optional
            Further columns of ``pairs.csv``.
        """
        sizes = self.settings.input_pixel_size_nm, self.settings.target_pixel_size_nm
        self._write("input", name, input, sizes[0])
        self._write("target", name, target, sizes[1])
        if truth is not None:
            (self.part / "truth").mkdir(exist_ok=True)
            self._write("truth", name, truth, sizes[1])
        self.rows.append({"name": name, "structure": structure, "part": part, **(figures or {})})

    def finish(self) -> None:
        """Write settings and table."""
        content = self.settings.model_dump(mode="json", exclude_none=True)
        text = yaml.safe_dump(content, sort_keys=False)
        (self.part / SETTINGS).write_text(text, "utf-8")
        pd.DataFrame(self.rows).to_csv(self.part / TABLE, index=False, float_format="%.6g")

    def _write(
        self, kind: str, name: str, pixels: NDArray[np.float32], pixel_size_nm: float | None
    ) -> None:
        attrs = (
            {} if pixel_size_nm is None else {"pixel_size_nm": dict.fromkeys("yx", pixel_size_nm)}
        )
        image = xr.DataArray(np.asarray(pixels, np.float32), dims=("y", "x"), attrs=attrs)
        write_image(self.part / kind / f"{name}.tif", image)


@contextlib.contextmanager
def new_pairs(
    folder: str | Path, settings: PairSettings, *, overwrite: bool = False
) -> Iterator[PairWriter]:
    """Write a folder of pairs, which appears when the block ends well, or not at all.

    Parameters
    ----------
    folder : str or Path
        The folder.
    settings : PairSettings
        What holds for all pairs.
    overwrite : bool
        Replace a folder of pairs that is there.

    Yields
    ------
    PairWriter
        Takes the fields.

    Raises
    ------
    OutputError
        The folder is there, or can't be written.
    """
    with new_folder(Path(folder), marker=SETTINGS, overwrite=overwrite) as part:
        writer = PairWriter(part, settings)
        yield writer
        writer.finish()


def read_plane(path: Path) -> xr.DataArray:
    """Read an image of one plane.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    DataArray, axes (y, x), float32
        With the file's ``attrs``; ``attrs["dtype"]`` is what the file held.

    Raises
    ------
    ImageError
        It can't be read, has more than one plane, or pixels that are no numbers.
    """
    opened = open_image(path)
    if opened.dims != ("y", "x"):
        is_rgb = list(opened.attrs.get("channel_names") or [])[:3] == ["red", "green", "blue"]
        raise ImageError(
            str(path),
            f"its axes are {dict(opened.sizes)}" + (", it is an RGB image" if is_rgb else ""),
            "one plane, axes (y, x)",
            "Give one channel and one frame, as a grey image; average a movie first.",
        )
    stored = str(opened.dtype)
    image = opened.load().astype(np.float32)
    image.attrs = {**opened.attrs, "dtype": stored}
    n_bad = int((~np.isfinite(image.values)).sum())
    if n_bad:
        raise ImageError(
            str(path),
            f"{n_bad} of {image.size} pixels are no numbers (NaN or infinite)",
            "numbers only",
            "Cut or fill them where the image is made.",
        )
    return image


def _read_settings(path: Path) -> PairSettings:
    try:
        return PairSettings.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except yaml.YAMLError as error:
        raise InputError(str(path), f"it is no YAML: {error}", "", "Write it again.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "content"
        raise InputError(
            str(path), f"{key}: {first['msg']}", "the keys of a folder of pairs", "Correct it."
        ) from error


def _read_fields(place: Path) -> tuple[PairField, ...]:
    table = pd.read_csv(place / TABLE, dtype={"name": str, "structure": str, "part": str})
    missing = {"name", "structure", "part"} - set(table.columns)
    what = str(place / TABLE)
    if missing or table.empty:
        found = f"there is no column {sorted(missing)}" if missing else "there is no row"
        raise InputError(what, found, "name, structure, part, one row per field")
    fields = []
    for row in table.to_dict("records"):
        name, structure, part = row.pop("name"), row.pop("structure"), row.pop("part")
        if part not in PARTS:
            raise InputError(what, f"{name}: the part is '{part}'", f"one of {', '.join(PARTS)}")
        if Path(str(name)).name != name:
            raise InputError(what, f"'{name}' is no file's name", "a name without folders")
        paths = [place / kind / f"{name}.tif" for kind in ("input", "target", "truth")]
        for path in paths[:2]:
            if not path.is_file():
                raise InputError(what, f"{name}: {path} is missing", "a file for each row")
        truth = paths[2] if paths[2].is_file() else None
        fields.append(PairField(name, str(structure), part, paths[0], paths[1], truth, row))
    return tuple(fields)


def _find_fields(place: Path) -> tuple[PairField, ...]:
    """Match a hand-made folder's files by their stems."""
    found: dict[str, dict[str, Path]] = {}
    for kind in ("input", "target", "truth"):
        folder = place / kind
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        found[kind] = {
            f.stem: f for f in files if f.suffix.lower() in IMAGE_ENDINGS and f.name[0] != "."
        }
    inputs, targets = found["input"], found["target"]
    alone = sorted(inputs.keys() ^ targets.keys())
    if alone or not inputs:
        raise InputError(
            str(place),
            f"{len(inputs)} inputs, {len(targets)} targets"
            + (f"; without a partner: {', '.join(alone[:5])}" if alone else ""),
            "a target for each input, of the same name",
            "Rename them, or let 'zoobridge pairs' match them.",
        )
    parts = split_fields(dict.fromkeys(inputs, "pairs"))
    return tuple(
        PairField(name, "pairs", parts[name], inputs[name], targets[name], found["truth"].get(name))
        for name in inputs
    )


def _guess_settings(
    first: PairField, small: tuple[int, int], large: tuple[int, int]
) -> PairSettings:
    sizes = [_pixel_size(path) for path in (first.input_path, first.target_path)]
    return PairSettings(
        scale=max(1, round(large[0] / small[0])),
        input_pixel_size_nm=sizes[0],
        target_pixel_size_nm=sizes[1],
        source="a folder made by hand",
    )


def _shape(path: Path) -> tuple[int, int]:
    image = open_image(path)
    try:
        return image.sizes["y"], image.sizes["x"]
    finally:
        image.close()


def _pixel_size(path: Path) -> float | None:
    image = open_image(path)
    try:
        size: float | None = image.attrs["pixel_size_nm"].get("x")
        return size
    finally:
        image.close()
