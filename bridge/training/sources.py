"""Where batches come from: a simulation, movies with their localizations, or both.

A batch is a pure function of its key, a few whole numbers such as (seed, step). Nothing has to be
stored to take up a training exactly, and nothing is kept in memory but the movies themselves.

A movie's field is split by columns: the left part teaches, the right part judges.

::

    +-rim-----------------------------+
    | |  learned from  |  judged by | |     no patch reaches over the line, in no frame
    +---------------------------------+
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bridge.errors import ImageError, RecipeError, TableError
from bridge.images.read import open_image
from bridge.smlm.labels import MovieLabels, Window, count_emitters
from bridge.smlm.patches import PatchConditions, Patches, simulate_patches
from bridge.smlm.sniff import check_against_stack
from bridge.smlm.table import read_table
from bridge.training.batches import LabelledFrames, Source, Sources, seed_of
from bridge.training.likeness import take_likeness
from bridge.training.parts import MoviePart, SmlmData
from bridge.training.recipe import Recipe

Use = Literal["training", "validation"]

_IN_MEMORY_BYTES: Final = 512 << 20
_TRIES: Final = 200
_SAME_PIXEL: Final = 5e-3  # relative; a TIFF's resolution is a rounded fraction


class EmitterSource:
    """Patches of a simulation with a list of their emitters, made on the device that asks.

    Parameters
    ----------
    conditions : PatchConditions
        What is drawn.
    """

    def __init__(self, conditions: PatchConditions) -> None:
        self.conditions = conditions

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> Patches:
        """Simulate ``n`` patches."""
        generator = torch.Generator(device).manual_seed(seed_of(key))
        return simulate_patches(self.conditions, n, generator=generator)


class SimulatedSource:
    """Patches of a simulation with an image of their emitters.

    Parameters
    ----------
    conditions : PatchConditions
        What is drawn.
    upscaling : int
        Fine pixels per camera pixel.
    """

    def __init__(self, conditions: PatchConditions, *, upscaling: int) -> None:
        self.conditions = conditions
        self._upscaling = upscaling

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> LabelledFrames:
        """Simulate ``n`` patches."""
        frames, emitters, _ = EmitterSource(self.conditions).batch(n, key, device)
        edge_px = self.conditions.size_px
        counts = count_emitters(
            emitters.x_px,
            emitters.y_px,
            emitters.is_labelled,
            shape=(edge_px, edge_px),
            upscaling=self._upscaling,
        )
        return LabelledFrames(frames, counts)


@dataclass(frozen=True)
class Field:
    """One movie's part for one use."""

    frames: NDArray[np.generic] | object
    """(t, y, x) camera counts; in memory where they are small, else read window by window."""
    labels: MovieLabels
    """Its localizations."""
    rows_px: tuple[int, int]
    """First row and the one behind the last."""
    columns_px: tuple[int, int]
    """First column and the one behind the last."""
    n_frames: int
    """Length of the movie."""
    pixel_size_nm: float
    """Edge of a camera pixel."""
    places: NDArray[np.float64]
    """(n, 3): frame from 1, y and x in camera pixels from the movie's corner, of the localizations
    in this part."""

    def read(self, first: int, end: int) -> NDArray[np.generic]:
        """Read frames ``first`` to ``end`` - 1, counted from 0, of this part: (t, y, x)."""
        rows, columns = (slice(*limits) for limits in (self.rows_px, self.columns_px))
        return np.asarray(self.frames[first:end, rows, columns])  # type: ignore[index]


class MovieSource:
    """Patches of real movies: any frame, any place of their part of the field, any orientation.

    Parameters
    ----------
    fields : sequence of Field
        Parts of movies, all for one use.
    patch_px : int
        Edge of a patch, in camera pixels.
    upscaling : int
        Fine pixels per camera pixel.
    least_emitters : int
        Patches with fewer are passed over.
    turn : bool
        Whether patches are turned and mirrored at random.

    Raises
    ------
    RecipeError
        No patch can be had.
    """

    def __init__(
        self,
        fields: Sequence[Field],
        *,
        patch_px: int,
        upscaling: int,
        least_emitters: int,
        turn: bool,
    ) -> None:
        self.fields = list(fields)
        self._patch_px = patch_px
        self._upscaling = upscaling
        self._least_emitters = least_emitters
        self._turn = turn
        self._draw(np.random.default_rng(0))

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> LabelledFrames:
        """Cut ``n`` patches."""
        rng = np.random.default_rng(seed_of(key))
        frames, counts = zip(*(self._cut(rng) for _ in range(n)), strict=True)
        return LabelledFrames(
            torch.from_numpy(np.stack(frames)[:, None]).to(device),
            torch.from_numpy(np.stack(counts)[:, None]).to(device),
        )

    def _cut(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        field, window = self._draw(rng)
        rows = slice(window.top_px, window.top_px + window.height_px)
        columns = slice(window.left_px, window.left_px + window.width_px)
        pixels = np.asarray(field.frames[window.frame - 1, rows, columns])  # type: ignore[index]
        images = [
            pixels.astype(np.float32),
            field.labels.count(window, upscaling=self._upscaling),
        ]
        if self._turn:
            quarter, mirror = int(rng.integers(4)), bool(rng.integers(2))
            images = [np.rot90(image, quarter) for image in images]
            images = [image[:, ::-1] if mirror else image for image in images]
        return np.ascontiguousarray(images[0]), np.ascontiguousarray(images[1])

    def _draw(self, rng: np.random.Generator) -> tuple[Field, Window]:
        """Draw places until one holds enough emitters; in sparse movies, places of emitters."""
        for number in range(2 * _TRIES):
            field = self.fields[int(rng.integers(len(self.fields)))]
            frame, y_px, x_px = 1 + int(rng.integers(field.n_frames)), None, None
            if number >= _TRIES and len(field.places):
                place = field.places[int(rng.integers(len(field.places)))]
                frame, y_px, x_px = int(place[0]), float(place[1]), float(place[2])
            top = self._place(rng, field.rows_px, y_px)
            left = self._place(rng, field.columns_px, x_px)
            window = Window(frame, top, left, self._patch_px, self._patch_px)
            if len(field.labels.rows(window)[0]) >= self._least_emitters:
                return field, window
        raise RecipeError(
            "data.movies",
            f"none of {2 * _TRIES} patches of {self._patch_px} px holds {self._least_emitters} "
            "emitters or more",
            "movies whose localizations lie in their field",
            "Lower data.least_emitters, or check that stack and table belong together.",
        )

    def _place(
        self, rng: np.random.Generator, limits_px: tuple[int, int], around_px: float | None
    ) -> int:
        """Draw a patch's first row or column: anywhere, or such that it holds a place."""
        edge = self._patch_px
        lowest, highest = limits_px[0], limits_px[1] - edge
        if around_px is not None:
            lowest = max(lowest, int(around_px) - edge + 1)
            highest = min(highest, int(around_px))
        return int(rng.integers(lowest, highest + 1))


class MixedSource:
    """A share of each batch from movies, the rest simulated.

    Parameters
    ----------
    simulated : SimulatedSource
        The simulation.
    movies : MovieSource
        The movies.
    movies_share : float
        Share of a batch from movies, 0 to 1.
    """

    def __init__(
        self, simulated: SimulatedSource, movies: MovieSource, *, movies_share: float
    ) -> None:
        self._parts: tuple[SimulatedSource | MovieSource, ...] = (simulated, movies)
        self._share = movies_share

    def batch(self, n: int, key: Sequence[int], device: torch.device) -> LabelledFrames:
        """Give some of both."""
        n_movies = round(self._share * n)
        if n > 1 and 0 < self._share < 1:
            n_movies = min(max(n_movies, 1), n - 1)  # a small share of a small batch isn't none
        parts = [
            source.batch(number, [*key, place], device)
            for place, (source, number) in enumerate(
                zip(self._parts, (n - n_movies, n_movies), strict=True)
            )
            if number
        ]
        return LabelledFrames(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@dataclass(frozen=True)
class MovieSources(Sources):
    """What a recipe learns from: a simulation, movies, or both."""

    pixel_size_nm: float
    """Edge of a camera pixel."""
    conditions: PatchConditions | None
    """What is simulated."""
    fields: list[Field]
    """The validation parts of the movies."""


def open_movies(recipe: Recipe, *, stride: int) -> MovieSources:
    """Open the movies and the simulation that a recipe learns from.

    Parameters
    ----------
    recipe : Recipe
        With absolute paths.
    stride : int
        Patches are a multiple of this many camera pixels.

    Returns
    -------
    MovieSources
        Ready to give batches.

    Raises
    ------
    RecipeError
        A patch doesn't fit the movies or the network, or pixel sizes contradict each other.
    ImageError, TableError
        A movie or table cannot be read, or they don't belong together.
    """
    data, upscaling = recipe.movies, recipe.task.upscaling
    if data.patch_px % stride:
        found = f"{data.patch_px} px"
        raise RecipeError("data.patch_px", found, f"a multiple of {stride}, as the network needs")
    conditions = recipe.conditions
    notes: list[str] = []
    doubts: list[str] = []
    fields: dict[Use, list[Field]] = {"training": [], "validation": []}
    for movie in data.movies:
        opened = _Movie(movie)
        notes += opened.notes
        doubts += opened.warnings
        for use in fields:
            fields[use].append(opened.field(use, data))
    sizes = [field.pixel_size_nm for field in fields["training"]]
    if conditions is not None and data.like is not None:
        camera = data.simulation.get("camera")
        declared: dict[str, Any] = camera if isinstance(camera, dict) else {}
        likeness = take_likeness(
            data.like,
            data.like_stack,
            conditions,
            pixel_size_nm=sizes[0] if sizes else declared.get("pixel_size_nm"),
            is_camera_set=bool(set(declared) - {"pixel_size_nm"}),
        )
        conditions = likeness.settings
        notes += likeness.notes
        doubts += likeness.warnings
    sizes += [conditions.camera.pixel_size_nm] if conditions is not None else []
    if max(sizes) > (1 + _SAME_PIXEL) * min(sizes):
        found = "pixels of " + " and ".join(f"{size:g} nm" for size in sorted(set(sizes)))
        remedy = "Set data.simulation.camera.pixel_size_nm to that of the movies."
        raise RecipeError("data", found, "one pixel size in movies and simulation", remedy)
    training: Source | None = None
    validation: Source | None = None
    if conditions is not None and recipe.task.kind == "localization":
        training = validation = EmitterSource(conditions)
    elif conditions is not None:
        training = validation = SimulatedSource(conditions, upscaling=upscaling)
    if data.movies:
        learned, judged = (
            MovieSource(
                fields[use],
                patch_px=data.patch_px,
                upscaling=upscaling,
                least_emitters=data.least_emitters,
                turn=use == "training",
            )
            for use in fields
        )
        training = learned
        if isinstance(validation, SimulatedSource):
            training = MixedSource(validation, learned, movies_share=data.movies_share)
        validation = judged
    if training is None or validation is None:
        raise RecipeError("data", "is empty", "a preset to simulate, or movies")
    return MovieSources(
        training, validation, float(sizes[0]), notes, doubts, conditions, fields["validation"]
    )


class _Movie:
    """A movie and its table, checked against each other."""

    def __init__(self, part: MoviePart) -> None:
        image = open_image(part.stack)
        stack = str(part.stack)
        if image.dims != ("t", "y", "x"):
            if set(image.dims) == {"z", "y", "x"}:
                image = image.rename(z="t")
            else:
                found = f"has the axes {' '.join(map(str, image.dims))}"
                raise ImageError(stack, found, "a movie of one channel: t y x")
        table = read_table(part.table, pixel_size_nm=part.pixel_size_nm)
        known = part.pixel_size_nm or table.attrs.get("pixel_size_nm") or _pixel_size_nm(image)
        if known is None:
            raise TableError(
                str(part.table),
                "the size of a camera pixel is not known",
                "it in the table's -protocol.txt or in the stack",
                "Give pixel_size_nm.",
            )
        self.pixel_size_nm = float(known)
        table.attrs["pixel_size_nm"] = self.pixel_size_nm
        sniffed = check_against_stack(table, image)
        self.notes = sniffed.sentences
        self.warnings = list(table.attrs.get("warnings", []))
        self._part = part
        self._labels = MovieLabels.from_table(table, pixel_size_nm=self.pixel_size_nm)
        nm = table[["frame", "y_nm", "x_nm"]].to_numpy(np.float64)
        self._places = nm / [1.0, self.pixel_size_nm, self.pixel_size_nm]
        self._frames = image.values if image.nbytes <= _IN_MEMORY_BYTES else image
        self._sizes = image.sizes

    def field(self, use: Use, data: SmlmData) -> Field:
        """Give the part of the field that is learned from, or judged by."""
        height, width = self._sizes["y"], self._sizes["x"]
        rim = self._part.rim_px
        line = rim + round((width - 2 * rim) * (1 - data.validation_share))
        columns = (rim, line) if use == "training" else (line, width - rim)
        rows = (rim, height - rim)
        _, y_px, x_px = self._places.T
        is_inside = (y_px >= rows[0]) & (y_px < rows[1])
        is_inside &= (x_px >= columns[0]) & (x_px < columns[1])
        field = Field(
            self._frames,
            self._labels,
            rows,
            columns,
            self._sizes["t"],
            self.pixel_size_nm,
            self._places[is_inside],
        )
        room = min(field.rows_px[1] - rim, columns[1] - columns[0])
        if room < data.patch_px:
            found = f"the part of {self._part.stack.name} for {use} is {room} px wide or high"
            expected = f"{data.patch_px} px or more, for one patch"
            remedy = "Lower data.patch_px or rim_px, or move data.validation_share."
            raise RecipeError("data.patch_px", found, expected, remedy)
        return field


def _pixel_size_nm(image: object) -> float | None:
    sizes = getattr(image, "attrs", {}).get("pixel_size_nm") or {}
    found = sizes.get("x")
    return None if found is None else float(found)
