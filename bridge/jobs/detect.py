"""The job ``detect``: small round structures, such as centrioles, in images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue

from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_MOST_PANELS = 3


class Detect(Job):
    """Find small round structures of one size, such as centrioles.

    The Laplacian of a Gaussian finds what stands out of the noise and is at least nearly as wide as
    the radius says; Topaz can be asked instead, where it is installed. With the true places, it is
    said how many were found, and how many found ones are true.
    """

    label: ClassVar[str] = "ZooBridge Detect"
    command: ClassVar[tuple[str, ...]] = ("detect",)

    input: list[str]
    """Images: files or folders."""
    output: Path
    """Table to write: .csv ours, .txt or .tsv Topaz's; a picture gets its name, with .png."""
    radius_nm: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    """Radius of the structures as they appear, in nm: 0.6 times their width at half height."""
    radius_px: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """The same in pixels, where nm are not given."""
    threshold: float | None = None
    """Least score, response over noise (method log); left out, noise gives 1 in 20 planes."""
    min_distance_px: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Of two nearer ones the better is kept, in pixels; 0 is one radius."""
    least_size: Annotated[float, Field(ge=0, le=1)] = 0.85
    """Structures smaller than this part of the radius are left out; 0 keeps all."""
    slices: Literal["each", "projection"] = "each"
    """Look into each slice of a stack, or at the brightest value along z."""
    channel: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Channel to look at, from 1; 0 looks at all."""
    method: Literal["log", "topaz"] = "log"
    """Laplacian of a Gaussian, or the command topaz with a model of yours."""
    model: str = ""
    """File of a trained Topaz model; Topaz runs the code in it, so only one that you trust."""
    truth: str = ""
    """Table of the true places, ours or Topaz's, to count right and wrong within one radius."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of a pixel in nm; 0 takes what the images say."""
    axes: str = ""
    """Axes of the image files, such as zyx, where they don't say or say it wrong."""
    overwrite: bool = False
    """Replace a table that is there."""

    def run(self, progress: Progress) -> Result:
        """Look into every image, compare with the truth, and write table and picture."""
        import pandas as pd

        from bridge.images.read import find_images
        from bridge.jobs.titles import without_ending
        from bridge.restoration.coordinates import write_places

        self._check()
        sources = find_images(self.input)
        images = {without_ending(path.name): self._open(path) for path in sources}
        _refuse_twice(sources, len(images))
        radii = {name: self._radius(image) for name, image in images.items()}
        tables = []
        for number, (name, image) in enumerate(images.items()):
            progress(number, len(images), name)
            tables.append(self._find(name, image, radii[name], progress))
        found = pd.concat(tables, ignore_index=True)
        figures: dict[str, JsonValue] = {"n_found": len(found), "n_images": len(images)}
        truth = None
        if self.truth:
            from bridge.jobs.places_truth import judge_places, read_truth

            truth = read_truth(
                self.truth, images, slices=self.slices, pixel_size_nm=self.pixel_size_nm
            )
            figures |= judge_places(found, truth, radii)
        write_places(found, self.output, overwrite=self.overwrite)
        picture = self._save_picture(images, found, truth, radii)
        progress(len(images), len(images), "done")
        warnings = [] if len(found) else [self._nothing(tables)]
        return self._say(figures, picture, warnings, radii)

    def _check(self) -> None:
        from bridge.errors import InputError, OutputError
        from bridge.restoration.coordinates import check_table_ending

        what = "zoobridge detect"
        if bool(self.radius_nm) == bool(self.radius_px):
            found = "radius_nm and radius_px are both given"
            raise InputError(
                what,
                found if self.radius_nm else "no radius is given",
                "one of both: how large the structures are",
                "Give --radius-nm, or --radius-px where no pixel size is known.",
            )
        if (self.method == "topaz") != bool(self.model):
            raise InputError(
                what,
                "the method topaz needs a model" if self.method == "topaz" else "log has no model",
                "--method topaz together with --model FILE",
                f"See {what} --help.",
            )
        check_table_ending(self.output)
        for path in (self.output, self.output.with_suffix(".png")):
            if path.exists() and not self.overwrite:
                found = "the output is there already"
                raise OutputError(str(path), found, "a name that is free", "Ask to --overwrite.")

    def _open(self, path: Path) -> xr.DataArray:
        from bridge.errors import ImageError
        from bridge.images.read import open_image

        image = open_image(path, axes=self.axes or None)
        if self.pixel_size_nm:
            sizes = {**image.attrs["pixel_size_nm"], "y": self.pixel_size_nm}
            image.attrs["pixel_size_nm"] = {**sizes, "x": self.pixel_size_nm}
        n_channels = image.sizes.get("c", 1)
        if self.channel > n_channels:
            found = f"channel {self.channel} is asked for, and it has {n_channels}"
            raise ImageError(str(path), found, "a channel that is there", "Give a lower --channel.")
        if self.channel and "c" in image.dims:
            return image.isel(c=self.channel - 1)
        return image

    def _radius(self, image: xr.DataArray) -> float:
        from bridge.errors import ImageError

        if self.radius_px:
            return self.radius_px
        sizes = image.attrs["pixel_size_nm"]
        if "x" not in sizes:
            raise ImageError(
                str(image.attrs["source"]),
                "it doesn't say its pixel size, and the radius is given in nm",
                "the pixel size in nm",
                "Give --pixel-size-nm, or the radius as --radius-px.",
            )
        return float(self.radius_nm / sizes["x"])

    def _find(
        self, name: str, image: xr.DataArray, radius_px: float, progress: Progress
    ) -> pd.DataFrame:
        from bridge.restoration.detect import find_places

        if self.method == "topaz":
            return self._ask_topaz(name, image, radius_px, progress)
        found = find_places(
            image,
            radius_px=radius_px,
            threshold=self.threshold,
            min_distance_px=self.min_distance_px or None,
            least_size=self.least_size,
            slices=self.slices,
            name=name,
        )
        return found.assign(c=self.channel) if self.channel else found

    def _ask_topaz(
        self, name: str, image: xr.DataArray, radius_px: float, progress: Progress
    ) -> pd.DataFrame:
        import numpy as np

        from bridge.restoration.coordinates import parse_plane_names, plane_name
        from bridge.restoration.detect import with_nm
        from bridge.restoration.topaz import find_with_topaz

        if self.slices == "projection" and "z" in image.dims:
            image = image.max("z", keep_attrs=True)
        stacked = [str(dim) for dim in image.dims if dim not in ("y", "x")]
        planes = {}
        for index in np.ndindex(*(image.sizes[dim] for dim in stacked)):
            at = dict(zip(stacked, index, strict=True))
            number = {dim: at.get(dim, 0) + 1 for dim in "tcz"}
            if self.channel:
                number["c"] = self.channel
            planes[plane_name(name, **number)] = image.isel(at).values
        found = find_with_topaz(
            planes,
            model_path=Path(self.model),
            radius_px=radius_px,
            threshold=self.threshold,
            progress=progress,
        )
        return with_nm(parse_plane_names(found), image)

    def _save_picture(
        self,
        images: dict[str, xr.DataArray],
        found: pd.DataFrame,
        truth: pd.DataFrame | None,
        radii: dict[str, float],
    ) -> Path:
        """Show the fullest plane of the first images with circles; with a truth, also its own."""
        from bridge.images.new_file import new_file
        from bridge.images.preview import Marks, save_picture

        panels, marks = [], []
        for name, image in list(images.items())[: 1 if truth is not None else _MOST_PANELS]:
            own = found[found["image"] == name]
            at = (
                dict(zip("tcz", own[["t", "c", "z"]].mode().iloc[0], strict=True))
                if len(own)
                else {}
            )
            shown = image
            if self.slices == "projection" and "z" in image.dims:
                shown = image.max("z", keep_attrs=True)
            picked = {d: int(at.get(d, 1)) - 1 for d in "tcz" if d in shown.dims}
            for table, title in ((found, f"{name}: found"), (truth, "truth")):
                if table is None:
                    continue
                here = table["image"] == name
                for axis in picked:
                    here &= table[axis] == picked[axis] + 1
                places = table.loc[here, ["x_px", "y_px"]].to_numpy(float)
                panels.append((f"{title} {len(places)}", shown.isel(picked)))
                marks.append(Marks(places[:, 0], places[:, 1], 1.5 * radii[name]))
        path = self.output.with_suffix(".png")
        with new_file(path, overwrite=self.overwrite) as part:
            save_picture(part, panels, marks=marks)
        return path

    def _nothing(self, tables: list[pd.DataFrame]) -> str:
        """Say what to change where nothing was found."""
        if self.method == "topaz":
            return (
                "Topaz found nothing. Give a lower --threshold (-6 takes nearly all), and check "
                "that the model was trained on images with pixels of this size."
            )
        best = max(table.attrs["best_score"] for table in tables)
        least = max(table.attrs["threshold"] for table in tables)
        size = f", --least-size below {self.least_size:g}" if self.least_size else ""
        return (
            f"Nothing was found: the best score is {best:.1f}, and the threshold {least:.1f}. Try "
            f"another radius{size}, or --threshold below {best:.1f}, and look at the picture; "
            "below 4 most of what is found is noise."
        )

    def _say(
        self,
        figures: dict[str, JsonValue],
        picture: Path,
        warnings: list[str],
        radii: dict[str, float],
    ) -> Result:
        n_found, n_images = figures["n_found"], figures["n_images"]
        summary = [f"{n_found} place(s) found in {n_images} image(s)."]
        tables = []
        if self.truth:
            names = ("precision", "recall", "f1")
            rows = [[name, f"{figures[name]:.3f}"] for name in names if figures[name] is not None]
            tables.append(Table(title="within one radius", columns=["figure", "value"], rows=rows))
            summary.append(
                f"{figures['n_right']} of {figures['n_truth']} true places were found, "
                f"{figures['n_wrong']} found ones are none, within one radius."
            )
        summary += [f"Written: {self.output}", f"Look at {picture}"]
        outputs: dict[str, JsonValue] = {
            "table": str(self.output),
            "picture": str(picture),
            "radius_px": next(iter(radii.values())),
            **figures,
        }
        return Result(outputs=outputs, warnings=warnings, summary=summary, tables=tables)


def _refuse_twice(sources: list[Path], n_names: int) -> None:
    from bridge.errors import ImageError

    if n_names < len(sources):
        raise ImageError(
            "input",
            "two images have the same name, which is what tells them apart in the table",
            "images with different names",
            "Rename one, or look into them one by one.",
        )
