"""A movie through a package of coordinates: the same rows as the network's output, read by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from numpy.typing import NDArray

from bridge.errors import Cancelled, ImageError, InputError, OutputError, PackageError
from bridge.images.read import open_image
from bridge.progress import silent
from bridge.runtime.predict import Predictor, Settings
from bridge.smlm import movie_blocks
from bridge.smlm.camera import Ccd, Emccd, Scaling
from bridge.smlm.localize import Threshold
from bridge.smlm.localize_movie import LocalizedFile, localize_movie, localize_to_file
from bridge.smlm.localize_plan import Wanted
from bridge.smlm.localizer_model import LocalizerModel, match_counts
from bridge.smlm.localizer_plan import LocalizerPlan
from bridge.smlm.patches import PatchConditions
from bridge.smlm.table import read_table
from bridge.zoo.package import open_package
from models_zoo.localizer.architecture import OUTPUTS

from .localizer_package import HALO_PX, SCALING, TRAINED_ON, random_network, write_localizer

PIXEL_NM = 100.0
MEASURING = "measuring the movie"
ONE_THREAD = Settings(engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_localizer(tmp_path_factory.mktemp("localizer") / "one")


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(open_package(str(folder)), ONE_THREAD)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = write_localizer(tmp_path_factory.mktemp("localizer") / "three", frames=3, has_z=True)
    return Predictor(open_package(str(folder)), ONE_THREAD)


def movie_of(n_frames: int, height: int, width: int, *, seed: int = 1) -> xr.DataArray:
    """Give frames of spots of a pixel on noise, which a random network answers in many ways."""
    rng = np.random.default_rng(seed)
    frames = rng.poisson(15.0, (n_frames, height, width)) + 100
    frames += 150 * (rng.random(frames.shape) > 0.98)
    return xr.DataArray(frames.astype(np.uint16), dims=("t", "y", "x"))


def rows_by_hand(output: NDArray[np.float32], frame: int, names: list[str]) -> list[dict[str, Any]]:
    """Apply the rule pixel by pixel in plain Python: 3 x 3 maximum > 0.1, cross > 0.5."""
    channel = {name: output[i].astype(np.float64) for i, name in enumerate(names)}
    p = np.pad(channel["probability"], 1, constant_values=0.0)
    found = []
    for y in range(output.shape[1]):
        for x in range(output.shape[2]):
            here = p[y + 1, x + 1]
            cross = here + p[y, x + 1] + p[y + 2, x + 1] + p[y + 1, x] + p[y + 1, x + 2]
            if here <= 0.1 or here < p[y : y + 3, x : x + 3].max() or cross <= 0.5:
                continue
            if here in [*p[y, x : x + 3], p[y + 1, x]]:
                continue  # of equal neighbours the first one counts
            sx, sy = (channel[f"sigma_{a}_px"][y, x] * PIXEL_NM for a in "xy")
            row = {
                "frame": frame,
                "x_nm": (x + 0.5 + channel["x_px"][y, x]) * PIXEL_NM,
                "y_nm": (y + 0.5 + channel["y_px"][y, x]) * PIXEL_NM,
                "photons": channel["photons"][y, x],
                "background": channel["background"][y, x],
                "uncertainty_xy_nm": np.sqrt((sx**2 + sy**2) / 2),
                "uncertainty_x_nm": sx,
                "uncertainty_y_nm": sy,
                "uncertainty_photons": channel["sigma_photons"][y, x],
                "probability": min(cross, 1.0),
            }
            if "z_nm" in channel:
                row["z_nm"] = channel["z_nm"][y, x]
                row["uncertainty_z_nm"] = channel["sigma_z_nm"][y, x]
            found.append(row)
    return found


def table_by_hand(
    movie: xr.DataArray, network: torch.nn.Module, names: list[str], *, n_side: int = 0
) -> pd.DataFrame:
    """Run torch on whole frames, each with its neighbours, and read its output by hand."""
    counts = movie.values.astype(np.float32)
    ready = torch.from_numpy((counts - SCALING["mean"]) / np.float32(SCALING["std"]))
    rows = []
    for number in range(len(counts)):
        around = [min(max(number + s, 0), len(counts) - 1) for s in range(-n_side, n_side + 1)]
        with torch.inference_mode():
            output = network(ready[around][None])[0].numpy()
        rows += rows_by_hand(output, number + 1, names)
    return pd.DataFrame(rows)


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(expected) > 20
    assert set(found.columns) == set(expected.columns)
    pd.testing.assert_frame_equal(found, expected[found.columns], rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("tile", [0, 96])
def test_rows_are_those_of_the_whole_output_read_by_hand(folder, tile):
    movie = movie_of(3, 128, 160)
    settings = Settings(engine="onnxruntime", threads=1, tile=tile)
    predictor = Predictor(open_package(str(folder)), settings)
    found = localize_movie(predictor, movie, pixel_size_nm=100, anyway=True)
    assert_same(found.table, table_by_hand(movie, random_network(), list(OUTPUTS)))
    assert found.kind == "localizer"
    assert found.table["probability"].between(0.5, 1.0).all()
    assert (found.outcome.report["tiles"]["count"] > 3) == bool(tile)


def test_each_frame_has_its_neighbours_over_the_blocks_borders(three, monkeypatch):
    monkeypatch.setattr(movie_blocks, "MOST_FRAMES", 3)
    movie = movie_of(7, 64, 68)
    found = localize_movie(three, movie, pixel_size_nm=100, anyway=True)
    names = [*OUTPUTS, "z_nm", "sigma_z_nm"]
    network = random_network(frames=3, has_z=True)
    assert_same(found.table, table_by_hand(movie, network, names, n_side=1))
    assert found.table["frame"].max() == 7


def test_a_single_frame_stands_for_its_neighbours_and_says_so(three):
    movie = movie_of(1, 64, 64)
    found = localize_movie(three, movie.isel(t=0), pixel_size_nm=100, anyway=True)
    names = [*OUTPUTS, "z_nm", "sigma_z_nm"]
    network = random_network(frames=3, has_z=True)
    assert_same(found.table, table_by_hand(movie, network, names, n_side=1))
    assert any("one frame" in warning for warning in found.warnings)


@pytest.mark.parametrize("shape", [(61, 75), (127, 127), (65, 130)])
def test_odd_sizes_are_whole_and_the_same_away_from_the_new_border(predictor, shape):
    large = movie_of(2, 160, 160)
    height, width = shape
    part = localize_movie(
        predictor, large.isel(y=slice(0, height), x=slice(0, width)), pixel_size_nm=100, anyway=True
    ).table
    whole = localize_movie(predictor, large, pixel_size_nm=100, anyway=True).table

    def inner(table: pd.DataFrame) -> pd.DataFrame:
        is_inner = (table["x_nm"] < (width - HALO_PX) * 100) & (
            table["y_nm"] < (height - HALO_PX) * 100
        )
        return table[is_inner].reset_index(drop=True)

    assert len(inner(whole)) > 20
    pd.testing.assert_frame_equal(inner(part), inner(whole), rtol=1e-3, atol=2e-2)
    last = part[(part["x_nm"] > (width - 4) * 100) | (part["y_nm"] > (height - 4) * 100)]
    assert len(last) > 0  # up to the edge, nothing is cropped


def test_the_threshold_is_a_probability(predictor):
    movie = movie_of(2, 64, 64)

    def count(threshold: Threshold | None) -> int:
        return localize_movie(
            predictor, movie, pixel_size_nm=100, threshold=threshold, anyway=True
        ).n_localizations

    assert count(Threshold("absolute", 0.99)) <= count(None) <= count(Threshold("absolute", 0.05))
    assert count(Threshold("relative", 0.5)) == count(None)
    with pytest.raises(InputError, match="between 0 and 1"):
        count(Threshold("absolute", 2.5))


def test_other_counts_of_the_same_light_give_the_same_rows(predictor):
    movie = movie_of(2, 64, 64)
    # 2 photons to a count above 400, where the model knows 1 photon to a count above 100
    other = movie.copy(data=(movie.values.astype(np.float32) - 100) / 2 + 400)
    found = localize_movie(
        predictor, other, pixel_size_nm=100, camera=Scaling(400.0, 2.0), anyway=True
    )
    expected = localize_movie(predictor, movie, pixel_size_nm=100, anyway=True)
    pd.testing.assert_frame_equal(found.table, expected.table, rtol=1e-4, atol=1e-3)
    assert "offset 400, 2 photons per count" in found.history[0]
    assert "counts" not in expected.history[0]


@pytest.mark.parametrize(
    "trained", [Ccd(quantum_efficiency=0.8), Emccd(em_gain=200.0, spurious_charge_e=0.01)]
)
def test_the_movies_camera_has_the_scaling_that_was_given(trained):
    conditions = PatchConditions(camera=trained)
    model = LocalizerModel("m", 1, OUTPUTS, 100.0, conditions)
    given = Scaling(250.0, 0.7)
    camera = LocalizerPlan(Wanted(100.0, camera=given), model).camera()
    assert camera is not None
    assert camera.scaling() == pytest.approx(given)
    counts = np.array([250.0, 260.0])
    matched = match_counts(counts, given, trained.scaling())
    photons = (matched - trained.scaling().offset_adu) * trained.scaling().photons_per_adu
    np.testing.assert_allclose(photons, [0.0, 7.0], atol=1e-3)


def test_pixels_of_another_size_are_refused_with_both_sizes(predictor):
    movie = movie_of(2, 64, 64)
    localize_movie(predictor, movie, pixel_size_nm=101, anyway=True)
    with pytest.raises(ImageError, match=r"107 nm.*trained for 100 nm.*--anyway"):
        localize_movie(predictor, movie, pixel_size_nm=107)
    found = localize_movie(predictor, movie, pixel_size_nm=107, anyway=True)
    assert any("107 nm" in warning for warning in found.warnings)


def test_colours_are_refused_with_what_to_do(predictor):
    frames = movie_of(6, 64, 64).values.reshape(2, 3, 64, 64)
    movie = xr.DataArray(frames, dims=("t", "c", "y", "x"))
    with pytest.raises(ImageError, match=r"3 channels \(an RGB image\?\).*--channel"):
        localize_movie(predictor, movie, pixel_size_nm=100)


def test_values_that_are_no_numbers_are_refused(predictor):
    movie = movie_of(3, 64, 64).astype(np.float32)
    movie[1, 5, 6] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        localize_movie(predictor, movie, pixel_size_nm=100, anyway=True)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"outputs": list(OUTPUTS[:-1])}, "no sigma_photons"),
        ({"frames": 3}, "1 channels in"),
        ({"pixel_size_nm": -1.0}, "pixel_size_nm is -1.0"),
    ],
)
def test_a_package_that_contradicts_itself_is_refused(tmp_path, config, found):
    folder = write_localizer(tmp_path / "p", config=config)
    with pytest.raises(PackageError, match=found):
        localize_movie(
            Predictor(open_package(str(folder)), ONE_THREAD), movie_of(1, 64, 64), pixel_size_nm=100
        )


# -- files --------------------------------------------------------------------------------------


def to_file(
    predictor: Predictor,
    movie: xr.DataArray,
    path: Path,
    *,
    progress: Callable[..., None] = silent,
    resume: bool = False,
    wanted: Wanted | None = None,
) -> LocalizedFile:
    wanted = wanted or Wanted(PIXEL_NM, anyway=True)
    return localize_to_file(
        predictor, lambda: movie, path, wanted=wanted, resume=resume, progress=progress
    )


class StopAfter:
    """Progress that stops the work once so many frames are done."""

    def __init__(self, n_frames: int) -> None:
        self._n_frames = n_frames

    def __call__(self, done: int, total: int, note: str = "") -> None:
        if done >= self._n_frames and note != MEASURING:
            raise Cancelled


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movie_blocks, "MOST_FRAMES", 4)


@pytest.mark.parametrize("ending", [".csv", ".hdf5"])
@pytest.mark.usefixtures("short_blocks")
def test_a_stopped_run_goes_on_to_the_same_bytes(predictor, tmp_path, ending):
    movie = movie_of(11, 64, 64)
    undisturbed = tmp_path / f"a{ending}"
    to_file(predictor, movie, undisturbed)
    path = tmp_path / f"b{ending}"
    with pytest.raises(Cancelled, match="8 frames are kept, and --resume"):
        to_file(predictor, movie, path, progress=StopAfter(9))
    assert not path.exists()
    left = {p.name for p in tmp_path.iterdir() if p.name.startswith(".")}
    assert left == {f".b{ending}.part.rows", f".b{ending}.part.journal"}
    with (tmp_path / f".b{ending}.part.rows").open("ab") as rows:
        rows.write(b"half a row")  # as a kill in the middle of a block would leave it
    seen: list[int] = []
    found = to_file(
        predictor,
        movie,
        path,
        resume=True,
        progress=lambda done, total, note="": None if note == MEASURING else seen.append(done),
    )
    assert min(seen) == 8
    assert path.read_bytes() == undisturbed.read_bytes()
    assert found.outcome.report["tiles"]["count"] == 11
    assert any("had done 8 frames" in warning for warning in found.warnings)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.usefixtures("short_blocks")
def test_what_is_left_of_other_work_is_refused_and_kept(predictor, tmp_path):
    movie = movie_of(9, 64, 64)
    path = tmp_path / "t.csv"
    with pytest.raises(Cancelled):
        to_file(predictor, movie, path, progress=StopAfter(5))
    before = (tmp_path / ".t.csv.part.rows").read_bytes()
    changed = movie.copy()
    changed[8, 3, 3] += 1
    for other, wanted in (
        (changed, None),
        (movie, Wanted(PIXEL_NM, offset_px=(1, 0), anyway=True)),
    ):
        with pytest.raises(OutputError, match="another movie, model or other settings"):
            to_file(predictor, other, path, wanted=wanted, resume=True)
    assert (tmp_path / ".t.csv.part.rows").read_bytes() == before
    to_file(predictor, movie, path, resume=True)
    assert path.exists()


@pytest.mark.usefixtures("short_blocks")
def test_the_file_has_the_rows_of_the_table_in_memory(predictor, tmp_path):
    movie = movie_of(9, 64, 64)
    in_memory = localize_movie(predictor, movie, pixel_size_nm=PIXEL_NM, anyway=True)
    found = to_file(predictor, movie, tmp_path / "t.csv")
    table = read_table(tmp_path / "t.csv")
    assert table["id"].tolist() == list(range(1, len(table) + 1))
    pd.testing.assert_frame_equal(table.drop(columns="id"), in_memory.table, atol=1e-5, rtol=0)
    assert found.n_localizations == len(table)
    assert found.picture is not None
    assert open_image(found.picture).sizes["x"] > 400


def test_the_corner_of_the_movie_is_added(predictor, tmp_path):
    movie = movie_of(2, 64, 64)
    to_file(predictor, movie, tmp_path / "here.csv")
    wanted = Wanted(PIXEL_NM, offset_px=(30, 200), anyway=True)
    found = to_file(predictor, movie, tmp_path / "there.csv", wanted=wanted)
    here, there = (read_table(tmp_path / f"{name}.csv") for name in ("here", "there"))
    np.testing.assert_allclose(there["x_nm"] - here["x_nm"], 3_000, atol=1e-4)
    np.testing.assert_allclose(there["y_nm"] - here["y_nm"], 20_000, atol=1e-4)
    assert "x 30, y 200 pixels" in found.history[0]


@pytest.mark.usefixtures("short_blocks")
def test_a_file_that_grows_keeps_the_frames_that_it_had(predictor, tmp_path):
    movie = movie_of(24, 64, 64)
    path = tmp_path / "growing.npy"
    np.save(path, movie.values[:16])
    expected = localize_movie(
        predictor, movie.isel(t=slice(0, 16)), pixel_size_nm=PIXEL_NM, anyway=True
    ).table
    grown: list[int] = []

    def grow(done: int, total: int, note: str = "") -> None:
        if done >= 4 and not grown:
            np.save(path, movie.values)
            grown.append(done)

    found = localize_to_file(
        predictor,
        lambda: open_image(path, axes="tyx"),
        tmp_path / "t.csv",
        wanted=Wanted(PIXEL_NM, anyway=True),
        progress=grow,
    )
    assert grown
    assert found.n_frames == 16
    assert any("grew" in w and "16 frames" in w and "now it has 24" in w for w in found.warnings)
    table = read_table(tmp_path / "t.csv").drop(columns="id")
    pd.testing.assert_frame_equal(table, expected, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("short_blocks")
def test_a_file_that_becomes_another_movie_is_refused(predictor, tmp_path):
    path = tmp_path / "changed.npy"
    np.save(path, movie_of(16, 64, 64).values)

    def change(done: int, total: int, note: str = "") -> None:
        if done == 4 and note != MEASURING:
            np.save(path, movie_of(20, 64, 64, seed=2).values)

    with pytest.raises(ImageError, match="changed after it was opened"):
        localize_to_file(
            predictor,
            lambda: open_image(path, axes="tyx"),
            tmp_path / "t.csv",
            wanted=Wanted(PIXEL_NM, anyway=True),
            progress=change,
        )


def test_density_beyond_the_training_is_warned_of_with_the_figure(tmp_path):
    sparse = TRAINED_ON.model_copy(update={"density_per_um2": (0.0, 0.1)})
    folder = write_localizer(tmp_path / "sparse", trained_on=sparse)
    found = localize_movie(
        Predictor(open_package(str(folder)), ONE_THREAD),
        movie_of(3, 64, 64),
        pixel_size_nm=100,
        anyway=True,
    )
    density = found.n_localizations / 3 / 6.4**2
    assert found.figures.density_per_um2 == pytest.approx(density)
    assert any("trained up to 0.1" in warning for warning in found.warnings)
