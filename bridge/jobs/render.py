"""The job ``render``: a super-resolution image from a table of localizations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_SAME_PIXEL = 1e-3  # two pixel sizes that differ by less, relatively, are the same
_PICTURE_PX = 512
_BYTES_PER_PIXEL = 12  # counts, floats, and a copy while they are smoothed


@dataclass(frozen=True)
class _Field:
    """What is drawn: ``height_px`` x ``width_px`` camera pixels from the corner; who said so."""

    height_px: int
    width_px: int
    pixel_size_nm: float
    source: str


class Render(Job):
    """Draw a super-resolution image from a table of localizations.

    A localization falls into the pixel that ThunderSTORM would choose. Beside the image, whose
    pixel is the camera's over the magnification, it leaves a picture (PNG).
    """

    label: ClassVar[str] = "ZooBridge Render"
    command: ClassVar[tuple[str, ...]] = ("render",)
    shown: ClassVar[Mapping[str, str]] = MappingProxyType({"output": ".tif"})

    table: Path
    """Localizations: a table of ThunderSTORM, Picasso, DECODE and others."""
    output: Path
    """Image to write (.tif or .zarr); the picture gets its name, with .png."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a camera pixel in nm; 0 takes what the table's files or the image say."""
    magnification: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """Output pixels along the edge of a camera pixel."""
    method: Literal["histogram", "ash", "gaussian"] = "histogram"
    """Counts, counts smoothed by a triangle (averaged shifted histogram), or a spot for each."""
    sigma_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Width of the spots (gaussian) in nm; 0 takes each localization's uncertainty."""
    shifts: Annotated[int, Field(ge=1, le=100)] = 2
    """Width of the triangle (ash) in output pixels."""
    width_px: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Width of the field in camera pixels; 0 takes the image's or the table's."""
    height_px: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Height of the field in camera pixels; 0 takes the image's or the table's."""
    like: str = ""
    """Image or movie that the table was made from, to take the field and pixel size from."""
    overwrite: bool = False
    """Replace an image that is there."""

    def run(self, progress: Progress) -> Result:
        """Read the table, settle the field, draw, and write image and picture."""
        from bridge.errors import OutputError
        from bridge.images.read import open_image
        from bridge.images.write import write_image
        from bridge.smlm.table import read_table
        from bridge.smlm.table_out import new_file

        picture = self.output.with_suffix(".png")
        for path in (self.output, picture):
            if path.exists() and not self.overwrite:
                found = "the output is there already"
                raise OutputError(str(path), found, "a name that is free", "Ask to --overwrite.")
        field_image = open_image(self.like) if self.like else None
        progress(0, 3, "reading the table")
        table = read_table(
            self.table,
            pixel_size_nm=_one_pixel_size(self.pixel_size_nm, field_image, self.like),
            columns=["uncertainty_xy_nm"] if self.method == "gaussian" else [],
        )
        field = self._settle_field(table, field_image)
        progress(1, 3, "drawing")
        image = self._draw(table, field)
        n_drawn = len(table) - image.attrs["outside"] - image.attrs.get("without_uncertainty", 0)
        if image.attrs["outside"] == len(table):
            raise _all_outside(table, field)
        progress(2, 3, "writing")
        write_image(self.output, image, overwrite=self.overwrite)
        with new_file(picture, overwrite=self.overwrite) as part:
            _save_picture(part, image, f"{self.table.name}: {n_drawn:,} localizations")
        return self._summarise(table, field, image, picture, n_drawn)

    def _settle_field(self, table: pd.DataFrame, image: xr.DataArray | None) -> _Field:
        from bridge.errors import TableError

        pixel_size_nm = table.attrs["pixel_size_nm"]
        if pixel_size_nm is None:
            raise TableError(
                str(self.table),
                "no pixel size is known: neither the table nor a protocol or image says it",
                "the camera's, as the magnification counts from it",
                "Give it with --pixel-size-nm, or an image that says it with --like.",
            )
        if not len(table):
            raise TableError(str(self.table), "it has no rows", "localizations", "")
        names = {"height_px": "y", "width_px": "x"}
        if image is not None:
            sizes = {name: int(image.sizes[axis]) for name, axis in names.items()}
            source = f"the image {Path(self.like).name}"
        else:
            ends = {name: float(table[f"{axis}_nm"].max()) for name, axis in names.items()}
            sizes = {n: max(0, math.floor(end / pixel_size_nm)) + 1 for n, end in ends.items()}
            source = "the table's extent"
        given = {name: getattr(self, name) for name in names if getattr(self, name)}
        if given:
            source = "the options" if len(given) == len(names) else f"the options and {source}"
        field = _Field(**(sizes | given), pixel_size_nm=pixel_size_nm, source=source)
        _check_memory(field, self.magnification)
        return field

    def _draw(self, table: pd.DataFrame, field: _Field) -> xr.DataArray:
        from bridge.errors import InputError
        from bridge.smlm import render

        if self.sigma_nm and self.method != "gaussian":
            found = f"{self.sigma_nm:g} nm, and the method is {self.method}"
            raise InputError("--sigma-nm", found, "the method gaussian", "Leave it out.")
        shape = _output_shape(field, self.magnification)
        pixel_size_nm = field.pixel_size_nm / self.magnification
        if self.method == "ash":
            return render.render_ash(
                table, pixel_size_nm=pixel_size_nm, shape=shape, shifts=self.shifts
            )
        if self.method == "gaussian":
            return render.render_gaussian(
                table, pixel_size_nm=pixel_size_nm, shape=shape, sigma_nm=self.sigma_nm or None
            )
        counts = render.render_histogram(table, pixel_size_nm=pixel_size_nm, shape=shape)
        return counts.astype("float32", keep_attrs=True)

    def _summarise(
        self,
        table: pd.DataFrame,
        field: _Field,
        image: xr.DataArray,
        picture: Path,
        n_drawn: int,
    ) -> Result:
        n_y, n_x = image.shape
        size_nm = image.attrs["pixel_size_nm"]["x"]
        n_outside = image.attrs["outside"]
        n_unsized = image.attrs.get("without_uncertainty", 0)
        warnings = list(table.attrs["warnings"])
        if n_outside:
            warnings.append(f"{n_outside:,} of {len(table):,} localizations lie outside the image.")
        if n_unsized:
            warnings.append(
                f"{n_unsized:,} localizations without a finite uncertainty above 0 were left out."
            )
        outputs: dict[str, JsonValue] = {
            "image": str(self.output),
            "picture": str(picture),
            "n_localizations": len(table),
            "n_drawn": n_drawn,
            "n_outside": n_outside,
            "camera_pixel_size_nm": field.pixel_size_nm,
            "pixel_size_nm": size_nm,
            "width": n_x,
            "height": n_y,
            "field_from": field.source,
            "history": [*table.attrs["history"], f"Drawn as {self.method} by zoobridge render."],
        }
        summary = [
            f"{n_drawn:,} localizations drawn on {n_y} x {n_x} pixels of {size_nm:g} nm: "
            f"{field.height_px} x {field.width_px} camera pixels of {field.pixel_size_nm:g} nm, "
            f"from {field.source}.",
            f"Written: {self.output}",
            f"Look at {picture}",
        ]
        return Result(outputs=outputs, warnings=warnings, summary=summary)


def _one_pixel_size(given_nm: float, image: xr.DataArray | None, like: str) -> float | None:
    """Bring the option and the image together; where they differ, refuse."""
    from bridge.errors import ImageError

    sizes = [] if image is None else [image.attrs["pixel_size_nm"].get(d) for d in ("y", "x")]
    stated = [given_nm or None, *sizes]
    known = [size for size in stated if size]
    if known and max(known) > min(known) * (1 + _SAME_PIXEL):
        said = " x ".join(f"{size:g}" for size in sizes if size)
        raise ImageError(
            like,
            f"its pixels are {said} nm"
            + (f", and --pixel-size-nm is {given_nm:g}" if given_nm else ""),
            "one size of square pixels",
            "Find out which is right, and correct or leave out the other.",
        )
    return known[0] if known else None


def _output_shape(field: _Field, magnification: float) -> tuple[int, int]:
    """Give the output's size (y, x); what is left of a pixel at the far edge is not drawn."""
    n_y, n_x = (
        max(1, math.floor(size * magnification + 1e-6))
        for size in (field.height_px, field.width_px)
    )
    return n_y, n_x


def _check_memory(field: _Field, magnification: float) -> None:
    from bridge.errors import InputError
    from bridge.runtime.memory import available_bytes

    n_y, n_x = _output_shape(field, magnification)
    needed = n_y * n_x * _BYTES_PER_PIXEL
    if needed > available_bytes():
        raise InputError(
            "the field",
            f"{field.height_px} x {field.width_px} camera pixels from {field.source}, so "
            f"{n_y} x {n_x} to draw, which take {needed / 2**30:.1f} GiB",
            f"at most the {available_bytes() / 2**30:.1f} GiB of memory that are free",
            "Give --width-px and --height-px, or a smaller --magnification.",
        )


def _all_outside(table: pd.DataFrame, field: _Field) -> Exception:
    from bridge.errors import TableError

    spans = " and ".join(
        f"{axis} from {table[f'{axis}_nm'].min():.1f} to {table[f'{axis}_nm'].max():.1f} nm"
        for axis in ("x", "y")
    )
    height_nm = field.height_px * field.pixel_size_nm
    width_nm = field.width_px * field.pixel_size_nm
    return TableError(
        str(table.attrs["source"]),
        f"all {len(table):,} localizations lie outside the image; they have {spans}",
        f"x from 0 to {width_nm:g} nm and y from 0 to {height_nm:g} nm ({field.source})",
        "Check the pixel size, and that table and image belong together.",
    )


def _save_picture(path: Path, image: xr.DataArray, title: str) -> None:
    """Draw the image as bright as its typical pixel asks; a large one is summed up first."""
    import numpy as np

    from bridge.images.preview import save_picture

    step = max(1, min(image.shape) // _PICTURE_PX)
    shown = image.coarsen(y=step, x=step, boundary="trim").sum() if step > 1 else image
    size_nm = image.attrs["pixel_size_nm"]["x"] * step
    shown.attrs["pixel_size_nm"] = {"y": size_nm, "x": size_nm}
    bright = shown.values[shown.values > 0]
    top = float(np.percentile(bright, 99)) if bright.size else 1.0
    save_picture(path, [(title, shown)], ranges=[(0.0, top)], colours="hot")
