"""Where batches come from: exact repetition, no leak, labels on their spots, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from bridge.errors import ImageError, RecipeError, TableError
from bridge.smlm.labels import MovieLabels
from bridge.smlm.table import write_table
from bridge.training.recipe import Recipe, make_recipe
from bridge.training.sources import Field, MixedSource, MovieSource, SimulatedSource, open_movies

CPU = torch.device("cpu")
PIXEL_NM = 100.0
DEMO = Path(__file__).parents[3] / "shared" / "data" / "deep_storm_demo"


def film(
    n_frames: int, *, height: int = 48, width: int = 64, per_frame: int = 1, seed: int = 0
) -> tuple[np.ndarray, pd.DataFrame]:
    """Film bright spots of 150 nm, point-sampled, not by the package's own simulator."""
    rng = np.random.default_rng(seed)
    n = n_frames * per_frame
    table = pd.DataFrame(
        {
            "id": np.arange(1, n + 1),
            "frame": np.repeat(np.arange(1, n_frames + 1), per_frame),
            "x_nm": rng.uniform(6, width - 6, n) * PIXEL_NM,
            "y_nm": rng.uniform(6, height - 6, n) * PIXEL_NM,
            "sigma_nm": np.full(n, 150.0),
            "photons": np.full(n, 5000.0),
        }
    )
    y, x = np.mgrid[:height, :width] + 0.5  # pixel centres, from the outer corner
    frames = np.full((n_frames, height, width), 100.0)
    for row in table.itertuples():
        distance2 = (x - row.x_nm / PIXEL_NM) ** 2 + (y - row.y_nm / PIXEL_NM) ** 2
        frames[row.frame - 1] += 5000 / (2 * np.pi * 1.5**2) * np.exp(-distance2 / (2 * 1.5**2))
    return rng.poisson(frames).astype(np.uint16), table


def save(folder: Path, frames: np.ndarray, table: pd.DataFrame, *, name: str = "movie") -> dict:
    tifffile.imwrite(
        folder / f"{name}.tif", frames, metadata={"axes": "TYX"}, photometric="minisblack"
    )
    write_table(table, folder / f"{name}.csv")
    paths = {"stack": str(folder / f"{name}.tif"), "table": str(folder / f"{name}.csv")}
    return {**paths, "pixel_size_nm": PIXEL_NM}


def recipe_of(*movies: dict, **data: Any) -> Recipe:
    content = {
        "name": "Sources",
        "network": {"callable": "Net"},
        "data": {"preset": None, "patch_px": 16, "movies": list(movies)} | data,
        "fit": {"steps": 10},
        "package": {"description": "For tests."},
    }
    return make_recipe(content, folder=Path("/"), source="recipe")


@pytest.fixture
def movie(tmp_path: Path) -> dict:
    return save(tmp_path, *film(12, per_frame=4))


def batches(source: Any, n: int = 4, steps: int = 20) -> Any:
    for step in range(steps):
        yield source.batch(n, [1, step], CPU)


def source_of(frames: np.ndarray, table: pd.DataFrame, **options: Any) -> MovieSource:
    labels = MovieLabels.from_table(table, pixel_size_nm=PIXEL_NM)
    places = table[["frame", "y_nm", "x_nm"]].to_numpy() / [1, PIXEL_NM, PIXEL_NM]
    n_frames, height, width = frames.shape
    field = Field(frames, labels, (0, height), (0, width), n_frames, PIXEL_NM, places)
    settings = {"patch_px": 24, "upscaling": 8, "least_emitters": 1, "turn": True} | options
    return MovieSource([field], **settings)


# A batch follows from its key


@pytest.mark.parametrize("kind", ["simulated", "movie", "both"])
def test_the_same_key_gives_the_same_batch_and_another_key_another(kind, movie):
    preset = None if kind == "movie" else "deep-storm"
    recipe = recipe_of(*([] if kind == "simulated" else [movie]), preset=preset)
    sources = [open_movies(recipe, stride=1).training for _ in range(2)]
    sources[0].batch(3, [9, 9], CPU)  # nothing is remembered
    first, again = (source.batch(5, [1, 7], CPU) for source in sources)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)
    assert first.frames.shape == (5, 1, 16, 16)
    assert first.emitters.shape == (5, 1, 128, 128)
    assert first.frames.dtype == first.emitters.dtype == torch.float32
    for key in ([1, 8], [2, 7]):
        assert not torch.equal(sources[0].batch(5, key, CPU).frames, first.frames)


@pytest.mark.parametrize(
    ("share", "n", "n_movies"), [(0.5, 8, 4), (0.0, 4, 0), (1.0, 4, 4), (0.05, 4, 1), (0.95, 4, 3)]
)
def test_a_share_of_every_batch_comes_from_movies(share, n, n_movies):
    class Constant:
        def __init__(self, value: float) -> None:
            self.value = value

        def batch(self, n: int, key: Any, device: torch.device) -> Any:
            return torch.full((n, 1, 2, 2), self.value), torch.zeros(n, 1, 16, 16)

    mixed = MixedSource(Constant(0.0), Constant(1.0), movies_share=share)  # type: ignore[arg-type]
    assert float(mixed.batch(n, [1], CPU).frames[:, 0, 0, 0].sum()) == n_movies


# Nothing leaks from the judged part to the learned part


def test_learned_and_judged_parts_never_share_a_pixel(tmp_path):
    frames, table = film(10, per_frame=6)
    # A second copy whose pixels say where they are, under the same table.
    places = np.broadcast_to(np.arange(48 * 64).reshape(48, 64), frames.shape).astype(np.uint16)
    sources = open_movies(recipe_of(save(tmp_path, frames, table), patch_px=12), stride=1)
    seen: list[set[int]] = []
    for source in (sources.training, sources.validation):
        assert isinstance(source, MovieSource)
        field = source.fields[0]
        told = Field(places, *[getattr(field, n) for n in list(field.__dataclass_fields__)[1:]])
        turned = MovieSource(
            [told], patch_px=12, upscaling=8, least_emitters=1, turn=source is sources.training
        )
        pixels = {int(v) for b in batches(turned, 8, 60) for v in b.frames.unique()}
        seen.append(pixels)
    assert not seen[0] & seen[1]
    columns = [{value % 64 for value in pixels} for pixels in seen]
    assert columns == [set(range(3, 32)), set(range(32, 61))]  # all of both, without the rim
    rows = [{value // 64 for value in pixels} for pixels in seen]
    assert rows == [set(range(3, 45))] * 2


# Labels lie on the spots


def test_labels_match_the_spots_in_every_orientation():
    frames, table = film(60, per_frame=1, seed=3)
    offsets, orientations = [], set()
    # A gradient tells how a patch was turned.
    ramp = (np.arange(48)[:, None] * 30 + np.arange(64) * 50).astype(np.uint16)
    for source_frames in (frames, frames + ramp):
        for batch in batches(source_of(source_frames, table), 8, 25):
            for frame, emitters in zip(batch.frames[:, 0], batch.emitters[:, 0], strict=True):
                assert emitters.sum() == 1
                if source_frames is not frames:
                    y, x = (float(frame.mean(d).diff().mean()) for d in (1, 0))
                    orientations.add((y > 0, x > 0, abs(y) > abs(x)))
                    continue
                light = (frame - 100).clamp(min=40) - 40
                places = [(torch.arange(24) + 0.5) @ light.sum(d) / light.sum() for d in (1, 0)]
                row, column = (int(v) for v in emitters.nonzero()[0])
                if min(*places) < 6 or max(*places) > 18:
                    continue  # cut off by the patch's edge
                offsets.append(
                    [float(places[0]) - (row + 0.5) / 8, float(places[1]) - (column + 0.5) / 8]
                )
    assert len(offsets) > 40
    assert np.abs(offsets).max() < 0.3
    assert np.abs(np.mean(offsets, axis=0)).max() < 0.03  # half a fine pixel would be 0.06
    assert len(orientations) == 8


def test_validation_patches_are_as_they_were_filmed():
    frames, table = film(5, per_frame=3)
    for batch in batches(source_of(frames, table, turn=False), 4, 5):
        for patch in batch.frames[:, 0].numpy():
            found = [
                (t, y, x)
                for t, y, x in np.argwhere(frames[:, :25, :41] == patch[0, 0])
                if np.array_equal(frames[t, y : y + 24, x : x + 24], patch)
            ]
            assert len(found) == 1


def test_simulated_labels_count_the_emitters_inside(movie):
    recipe = recipe_of(preset="deep-storm")
    assert recipe.conditions is not None
    source = SimulatedSource(recipe.conditions, upscaling=8)
    total = sum(float(b.emitters.sum()) for b in batches(source, 64, 8))
    low, high = recipe.conditions.density_per_um2
    assert 0 < total / 512 / 1.6**2 < high
    assert low == 0


def test_a_sparse_movie_s_rare_emitters_are_found():
    """One localization in 4,000 frames: drawing places alone would almost never meet it."""
    frames = np.full((4000, 30, 30), 100, np.uint16)
    table = pd.DataFrame({"frame": [1234], "x_nm": [2950.0], "y_nm": [50.0]})
    source = source_of(frames, table, patch_px=16)
    for batch in batches(source, 4, 10):
        assert (batch.emitters.sum(dim=(1, 2, 3)) == 1).all()


# What is refused


def refused(recipe: Recipe, kind: type[Exception], *parts: str) -> None:
    with pytest.raises(kind) as caught:
        open_movies(recipe, stride=1)
    error: Any = caught.value
    for part in parts:
        assert part in str(error)
    assert error.what
    assert error.found
    assert error.expected or error.remedy
    assert "\n" not in str(error)


def test_patches_with_too_few_emitters_everywhere_are_refused(movie):
    refused(
        recipe_of(movie, least_emitters=500),
        RecipeError,
        "patches of 16 px holds 500 emitters",
        "least_emitters",
    )


def test_a_movie_without_a_localization_in_the_learned_part_is_refused(tmp_path):
    frames, table = film(12, per_frame=4)
    paths = save(tmp_path, frames, table[table.x_nm > 3300])
    refused(recipe_of(paths), RecipeError, "none of")


def test_frames_beyond_the_stack_are_refused(tmp_path):
    frames, table = film(12, per_frame=4)
    refused(recipe_of(save(tmp_path, frames[:8], table)), TableError, "from 1 to 12", "has 8")


def test_a_table_of_another_movie_is_refused_with_the_correlation(tmp_path):
    frames, _ = film(12, per_frame=4, seed=1)
    _, table = film(12, per_frame=4, seed=2)
    refused(recipe_of(save(tmp_path, frames, table)), TableError, "match", "correlation")


def test_all_rows_outside_the_image_are_refused(tmp_path):
    frames, table = film(12, per_frame=4)
    table["x_nm"] += 1e5
    refused(recipe_of(save(tmp_path, frames, table)), TableError, "outside the image")


def test_an_empty_table_is_refused(tmp_path):
    frames, table = film(4)
    paths = save(tmp_path, frames, table)
    Path(paths["table"]).write_text('"frame","x [nm]","y [nm]"\n')
    refused(recipe_of(paths), TableError)


def test_contradictory_pixel_sizes_are_refused(tmp_path, movie):
    other = save(tmp_path, *film(12, per_frame=4), name="other")
    refused(
        recipe_of(other, preset="deep-storm", simulation={"camera": {"pixel_size_nm": 160}}),
        RecipeError,
        "100 nm and 160 nm",
        "data.simulation.camera.pixel_size_nm",
    )


def test_the_stack_s_pixel_size_against_the_given_one_is_refused(tmp_path):
    frames, table = film(12, per_frame=4)
    paths = save(tmp_path, frames, table)
    tifffile.imwrite(
        paths["stack"],
        frames,
        imagej=True,
        resolution=(10.0, 10.0),
        metadata={"unit": "um", "axes": "TYX"},
    )
    open_movies(recipe_of(paths), stride=1)
    refused(recipe_of(paths | {"pixel_size_nm": 120.0}), TableError, "120 nm", "100 nm")


def test_an_unknown_pixel_size_is_refused(movie):
    refused(recipe_of(movie | {"pixel_size_nm": None}), TableError, "pixel_size_nm")


def test_a_rounded_resolution_is_no_contradiction(movie):
    recipe = recipe_of(movie | {"pixel_size_nm": 100.0001}, preset="deep-storm")
    assert open_movies(recipe, stride=1).pixel_size_nm == pytest.approx(100, rel=1e-4)


def test_a_patch_larger_than_a_part_of_the_field_is_refused(movie):
    refused(recipe_of(movie, patch_px=32), RecipeError, "29 px", "32 px", "data.patch_px")


def test_a_patch_that_is_no_multiple_of_the_stride_is_refused(movie):
    with pytest.raises(RecipeError, match="multiple of 4"):
        open_movies(recipe_of(movie, patch_px=18), stride=4)


def test_a_movie_of_two_channels_is_refused(tmp_path, movie):
    frames = np.zeros((6, 2, 32, 32), np.uint16)
    tifffile.imwrite(movie["stack"], frames, imagej=True, metadata={"axes": "TCYX"})
    refused(recipe_of(movie), ImageError, "t c y x", "t y x")


def test_a_missing_movie_or_table_is_refused(movie):
    refused(recipe_of(movie | {"stack": "/nowhere/a.tif"}), ImageError, "a.tif")
    refused(recipe_of(movie | {"table": "/nowhere/a.csv"}), TableError, "a.csv")


# Real data


@pytest.mark.skipif(not DEMO.is_dir(), reason="no ../shared/data with Deep-STORM's demo")
def test_the_notebook_s_demo_gives_labels_on_its_spots():
    paths = {
        "stack": str(DEMO / "ArtificialDataset_demo1.tif"),
        "table": str(DEMO / "positions_demo1.csv"),
        "pixel_size_nm": 100.0,
    }
    sources = open_movies(recipe_of(paths), stride=1)
    light: dict[tuple[int, int], float] = {}
    for batch in batches(sources.training, 8, 20):
        fine = torch.nn.functional.interpolate(batch.frames, scale_factor=8.0)
        fine = fine - fine.mean(dim=(2, 3), keepdim=True)
        spots = torch.nn.functional.avg_pool2d(batch.emitters, 17, stride=1, padding=8)
        for move in ((0, 0), (8, 0), (-8, 0), (0, 8), (0, -8)):
            moved = spots.roll(move, (2, 3))
            inner = (moved * fine)[..., 16:-16, 16:-16]
            light[move] = light.get(move, 0.0) + float(inner.sum())
    assert max(light, key=light.__getitem__) == (0, 0)
    assert sources.pixel_size_nm == 100
