"""A heatmap model on movies: streamed equals whole, empty stays empty, others are refused."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import norm

from bridge.errors import ImageError, PackageError
from bridge.runtime.geometry import read_geometry
from bridge.runtime.predict import OutputSpec, Predictor, Settings, predict_arrays
from bridge.smlm.frame_reading import FrameSink
from bridge.smlm.heatmap_model import Heatmap, heatmap_reading, read_heatmap
from bridge.smlm.localize import Threshold, find_peaks
from bridge.smlm.localize_movie import localize_movie
from bridge.zoo.package import Package, open_package

PIXEL_NM = 100.0


@pytest.fixture(scope="module")
def deep_storm() -> Package:
    return open_package("deep-storm")


@pytest.fixture(scope="module")
def predictor(deep_storm: Package) -> Predictor:
    return Predictor(deep_storm, Settings(engine="onnxruntime", threads=1))


def movie_of(
    places_px: NDArray[np.float64], *, n: int = 48, photons: float = 2_000, seed: int = 1
) -> xr.DataArray:
    """Simulate frames (t, y, x) with emitters at places (t, n, [y, x]) from the corner."""
    rng = np.random.default_rng(seed)
    edges = np.arange(n + 1)
    frames = np.full((len(places_px), n, n), 10.0)
    for frame, places in zip(frames, places_px, strict=True):
        along = norm.cdf((edges[:, None, None] - places[None]) / 1.3)  # edge, emitter, axis
        shares = np.diff(along, axis=0)
        frame += photons * shares[:, :, 0] @ shares[:, :, 1].T
    counts = rng.poisson(frames) + rng.normal(0, 1.5, frames.shape) + 100
    return xr.DataArray(counts.round().clip(0).astype(np.uint16), dims=("t", "y", "x"))


def test_lone_emitters_are_found_where_they_are(predictor):
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid([12.0, 36.0], [12.0, 36.0], indexing="ij"), axis=-1).reshape(4, 2)
    places = grid + rng.uniform(-4, 4, (40, 4, 2))
    found = localize_movie(predictor, movie_of(places), pixel_size_nm=PIXEL_NM)
    table = found.table
    assert found.n_frames == 40
    assert list(table.columns) == ["frame", "x_nm", "y_nm"]
    assert table.attrs["pixel_size_nm"] == PIXEL_NM
    errors = []
    for frame, truth in enumerate(places, start=1):
        rows = table[table["frame"] == frame]
        assert 4 <= len(rows) <= 5
        for place in truth * PIXEL_NM:
            off = rows[["y_nm", "x_nm"]].to_numpy() - place
            errors.append(off[np.hypot(*off.T).argmin()])
    assert np.sqrt(np.mean(np.square(errors))) < 12
    assert np.abs(np.mean(errors, axis=0)).max() < 3


def test_frames_without_emitters_stay_empty(predictor):
    empty = movie_of(np.zeros((100, 0, 2)), n=64)
    found = localize_movie(predictor, empty, pixel_size_nm=PIXEL_NM)
    assert len(found.table) == 0
    assert found.warnings == ["No emitter was found."]
    assert list(found.table.columns) == ["frame", "x_nm", "y_nm"]


@pytest.mark.parametrize(("n_frames", "tile"), [(5, 0), (40, 0), (3, 60)])
def test_streamed_in_tiles_equals_the_peaks_of_the_whole_output(deep_storm, n_frames, tile):
    n = 96 if tile else 48
    places = np.random.default_rng(n_frames).uniform(2, n - 2, (n_frames, n // 4, 2))
    movie = movie_of(places, n=n)
    settings = Settings(tile=tile, engine="onnxruntime", threads=1)
    found = localize_movie(Predictor(deep_storm, settings), movie, pixel_size_nm=PIXEL_NM)
    outputs, _ = predict_arrays(deep_storm, {"frames": movie}, settings)
    expected = find_peaks(
        outputs["emitters"], upscaling=8, pixel_size_nm=PIXEL_NM, threshold=found.threshold
    )
    assert len(expected) > n_frames * n / 8
    pd.testing.assert_frame_equal(found.table, expected, atol=1e-3)


def test_an_absolute_threshold_needs_no_sample(predictor):
    movie = movie_of(np.full((2, 1, 2), 24.3))
    found = localize_movie(
        predictor, movie, pixel_size_nm=PIXEL_NM, threshold=Threshold("absolute", 1e6)
    )
    assert (found.typical, found.threshold, len(found.table)) == (None, 1e6, 0)


def test_slices_are_taken_as_frames_and_one_frame_is_a_movie(predictor):
    movie = movie_of(np.full((2, 1, 2), 24.3))
    slices = localize_movie(predictor, movie.rename(t="z"), pixel_size_nm=PIXEL_NM)
    assert set(slices.table["frame"]) == {1, 2}
    assert "taken as frames" in slices.warnings[0]
    single = localize_movie(predictor, movie.isel(t=0), pixel_size_nm=PIXEL_NM)
    assert set(single.table["frame"]) == {1}


def test_frames_of_several_slices_are_refused(predictor):
    movie = movie_of(np.zeros((4, 0, 2))).values.reshape(2, 2, 48, 48)
    stack = xr.DataArray(movie, dims=("t", "z", "y", "x"))
    with pytest.raises(ImageError, match="2 slices"):
        localize_movie(predictor, stack, pixel_size_nm=PIXEL_NM)


def sink_of(dims: str, shape: tuple[int, ...], readings: tuple[str, ...] = ()) -> FrameSink:
    spec = OutputSpec("output", tuple(dims), shape, np.dtype(np.float32), {}, "")
    heatmap = Heatmap(1, None, readings, ())
    reading = heatmap_reading(heatmap, threshold=1.0, radius=2, pixel_size_nm=PIXEL_NM)
    return FrameSink(spec, reading)


def test_memory_does_not_grow_with_the_number_of_frames():
    frame = np.zeros((1, 128, 128), np.float32)
    frame[0, 60, 70] = 9.0

    def peak_bytes(n_frames: int) -> int:
        tracemalloc.start()
        sink = sink_of("tyx", (n_frames, 128, 128))
        for number in range(n_frames):
            sink.write(
                {"t": slice(number, number + 1), "y": slice(0, 128), "x": slice(0, 128)}, frame
            )
        assert sink.rows()[:, 0].tolist() == list(range(1, n_frames + 1))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(5)
    assert peak_bytes(400) - peak_bytes(20) < 380 * 4_096  # a frame has 65,536


def test_further_channels_become_columns():
    sink = sink_of("tcyx", (1, 3, 8, 8), ("", "photons", "probability"))
    pixels = np.zeros((1, 3, 8, 8), np.float32)
    pixels[0, :, 2, 5] = (4.0, 1_234.0, 0.75)
    whole = {"t": slice(0, 1), "c": slice(0, 3), "x": slice(0, 8)}
    for top in (0, 4):
        rows = slice(top, top + 4)
        sink.write({**whole, "y": rows}, pixels[:, :, rows])
    assert sink.rows().tolist() == [[1.0, 550.0, 250.0, 1_234.0, 0.75]]


def test_heatmaps_need_no_torch():
    code = "import sys, bridge.smlm.localize_movie; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_embedded_model_is_a_heatmap(deep_storm):
    heatmap = read_heatmap(deep_storm, read_geometry(deep_storm.description))
    assert (heatmap.upscaling, heatmap.sum_per_emitter, heatmap.notes) == (8, 100.0, ())


def changed(package: Package, **fields: Any) -> Package:
    return replace(package, description=package.description.model_copy(update=fields))


def test_a_model_that_says_nothing_of_emitters_is_doubted(deep_storm, write_toy, tmp_path):
    silent = open_package(write_toy(tmp_path / "toy")).description
    package = changed(deep_storm, config=silent.config, tags=["denoising"])
    heatmap = read_heatmap(package, read_geometry(package.description))
    assert heatmap.sum_per_emitter is None
    assert "any bright spot" in heatmap.notes[0]


@pytest.fixture
def write_toy(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Give ``toy_packages.write_package``: a convolution of the input's own size."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "zoo"))
    import toy_packages  # noqa: PLC0415 - found only now

    write: Callable[..., Path] = toy_packages.write_package
    return write


def test_a_model_without_upscaling_is_refused_with_the_reason(write_toy, tmp_path):
    package = open_package(write_toy(tmp_path / "toy"))
    with pytest.raises(PackageError, match="no upscaling is declared"):
        read_heatmap(package, read_geometry(package.description))


def test_a_map_of_the_cameras_own_grid_that_says_so_is_taken(write_toy, tmp_path):
    def declare(content: dict[str, Any]) -> None:
        content["config"] = {"zoobridge": {"upscaling": 1, "sum_per_emitter": 1.0}}

    package = open_package(write_toy(tmp_path / "toy", declare))
    heatmap = read_heatmap(package, read_geometry(package.description))
    assert (heatmap.upscaling, heatmap.sum_per_emitter) == (1, 1.0)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda g: replace(g, outputs=(*g.outputs, *g.outputs)), "1 inputs and 2 outputs"),
        (
            lambda g: replace(g, outputs=(replace(g.outputs[0], dims=("b", "c", "x")),)),
            "the axes b c y x become b c x",
        ),
    ],
)
def test_other_shapes_are_refused_with_the_reason(deep_storm, change, found):
    with pytest.raises(PackageError, match=found):
        read_heatmap(deep_storm, change(read_geometry(deep_storm.description)))
