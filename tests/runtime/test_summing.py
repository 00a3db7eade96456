"""A movie's outputs added up while they are computed: the sum of the stack, and no stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import bridge
from bridge.errors import Cancelled, ImageError, InputError, OutputError, VerdictError
from bridge.runtime.blocks import ArraySink, ScratchSink
from bridge.runtime.files import FileOptions, Order, predict_file, predict_many
from bridge.runtime.memory import peak_rise
from bridge.runtime.predict import OutputSpec, Predictor, predict_arrays
from bridge.runtime.summing import FrameSum, spec_of_sum
from bridge.zoo.package import open_package

from . import whole
from .cases import BY_NAME
from .comparing import quick
from .conftest import Shelf
from .packages import Case, Out, build, faulty

MOVIE = BY_NAME["time_as_batch"]
OF_TWO_CHANNELS = BY_NAME["time_as_batch_of_two_channels"]
OF_PLANES = BY_NAME["time_and_depth_as_batch"]
SCRIPT = {"engine": "torchscript"}


def expected_sum(case: Case) -> dict[str, xr.DataArray]:
    """Give the sum of what the plain network makes of each whole frame, in float64."""
    answer = whole.run(case, case.images())
    return {name: image.astype(np.float64).sum("t") for name, image in answer.items()}


@pytest.mark.parametrize("tile", [0, 24])
@pytest.mark.parametrize("case", [MOVIE, OF_TWO_CHANNELS, OF_PLANES], ids=lambda c: c.name)
def test_the_sum_is_that_of_the_frames_tiled_and_whole(case: Case, tile: int, shelf: Shelf) -> None:
    found, outcome = predict_arrays(
        shelf(case), case.images(), quick(sum=True, tile=tile, **SCRIPT)
    )
    assert (outcome.report["tiles"]["count"] > case.image["t"] * case.image.get("z", 1)) == (
        tile > 0
    )
    for name, expected in expected_sum(case).items():
        assert found[name].dims == expected.dims
        assert found[name].dtype == np.float32
        assert expected.values.min() < 0 < expected.values.max(), "negative values count too"
        limit = 5e-5 * float(expected.std())
        np.testing.assert_allclose(found[name].values, expected.values, rtol=0, atol=limit)


@pytest.mark.parametrize(
    ("net", "post"),
    [
        ("GlobalMean", ()),
        ("Plain", ({"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}},)),
        ("Plain", ({"id": "zero_mean_unit_variance", "kwargs": {}},)),
    ],
    ids=["blended", "statistics of each output", "statistics of all outputs"],
)
def test_outputs_that_must_be_whole_first_are_summed_alike(
    net: str, post: tuple[dict[str, Any], ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case("whole", net, outputs=(Out(ops=post),), formats=("torchscript",))
    package = open_package(build(case, tmp_path / "whole"))
    images = case.images({"t": 4, "z": 2, "y": 90, "x": 60})
    stack, _ = predict_arrays(package, images, quick(tile=48, **SCRIPT))
    kept: list[tuple[int, ...]] = []
    enter = ScratchSink.__enter__

    def note(self: ScratchSink) -> ScratchSink:
        found = enter(self)
        kept.append(self.pixels.shape)
        return found

    monkeypatch.setattr(ScratchSink, "__enter__", note)
    found, _ = predict_arrays(package, images, quick(tile=48, sum=True, **SCRIPT))
    expected = stack["output"].values.astype(np.float64).sum(axis=0)
    limit = 1e-5 * float(np.abs(expected).max())
    np.testing.assert_allclose(found["output"].values, expected, rtol=0, atol=limit)
    needs_all = bool(post) and not post[0]["kwargs"]
    assert kept == ([(4, 2, 90, 60)] if needs_all else [(2, 90, 60)] * 4)


def test_the_sum_is_to_the_last_bit_that_of_the_stack_in_float64(shelf: Shelf) -> None:
    found, _ = predict_arrays(shelf(MOVIE), MOVIE.images(), quick(sum=True, batch=3, **SCRIPT))
    stack, _ = predict_arrays(shelf(MOVIE), MOVIE.images(), quick(batch=3, **SCRIPT))
    frames = stack["output"].values.astype(np.float64)
    expected = ((frames[0] + frames[1]) + frames[2]) + frames[3]
    np.testing.assert_array_equal(found["output"].values, expected.astype(np.float32))


def test_each_of_several_outputs_has_its_sum(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["two_inputs_two_outputs"]
    images = case.images({"t": 3, **case.image})
    stack, _ = predict_arrays(shelf(case), images, quick(**SCRIPT))
    paths = {name: tmp_path / f"{name}.tif" for name in images}
    for name, image in images.items():
        bridge.write_image(paths[name], image)
    order = Order(paths, tmp_path / "sum.tif")
    result = predict_file(Predictor(shelf(case), quick(sum=True, **SCRIPT)), order, FileOptions())
    assert result.outputs == {n: str(tmp_path / f"sum-{n}.tif") for n in stack}
    for name, path in result.outputs.items():
        expected = stack[name].values.astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(tifffile.imread(path), expected, rtol=1e-6, atol=1e-5)


def test_the_file_is_one_calibrated_image_and_the_report_counts_its_frames(
    shelf: Shelf, tmp_path: Path
) -> None:
    case = BY_NAME["upscaling_2"]
    movie = case.images({"t": 5, "y": 30, "x": 34})["input"]
    movie.attrs = {"pixel_size_nm": {"y": 100.0, "x": 100.0}, "frame_interval_s": 0.02}
    bridge.write_image(tmp_path / "movie.tif", movie)
    order = Order({"input": tmp_path / "movie.tif"}, tmp_path / "sum.tif")
    result = predict_file(Predictor(shelf(case), quick(sum=True, **SCRIPT)), order, FileOptions())
    image = bridge.open_image(tmp_path / "sum.tif").load()
    assert dict(image.sizes) == {"y": 60, "x": 68}
    assert image.attrs["pixel_size_nm"] == pytest.approx({"y": 50.0, "x": 50.0})
    report = result.report["output"]["output"]
    assert report["sizes"] == {"y": 60, "x": 68}
    assert report["n_frames_summed"] == 5
    assert report["max"] == pytest.approx(float(image.max()))
    assert report["mean"] == pytest.approx(float(image.mean()), rel=1e-5)
    assert {p.name for p in tmp_path.iterdir()} == {"movie.tif", "sum.tif"}
    json.dumps(result.report)


def test_the_python_face_sums(shelf: Shelf) -> None:
    image = MOVIE.images()["input"]
    prediction = bridge.predict(shelf(MOVIE), image, sum=True, **SCRIPT, trust=True, threads=1)
    assert prediction.image.dims == ("y", "x")
    assert "frame_interval_s" not in prediction.image.attrs


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("same_size", "no time axis.*Leave --sum out"),
        ("depth_as_batch", r"axes z y x, and no time axis.*--axes tyx"),
        ("own_time_axis", "takes its time axis whole"),
    ],
)
def test_an_image_without_frames_is_refused_before_anything_runs(
    name: str, message: str, shelf: Shelf
) -> None:
    case = BY_NAME[name]

    def no_sink(spec: OutputSpec) -> Any:
        raise AssertionError("nothing should be opened")

    with pytest.raises(ImageError, match=message):
        Predictor(shelf(case), quick(sum=True, **SCRIPT)).run(case.images(), no_sink)


def test_resuming_a_sum_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    order = Order({"input": tmp_path / "movie.tif"}, tmp_path / "sum.tif")
    predictor = Predictor(shelf(MOVIE), quick(sum=True, **SCRIPT))
    with pytest.raises(InputError, match="a sum can't be continued"):
        predict_file(predictor, order, FileOptions(resume=True))


def test_a_cancelled_sum_leaves_nothing(shelf: Shelf, tmp_path: Path) -> None:
    bridge.write_image(tmp_path / "movie.tif", MOVIE.images()["input"])
    order = Order({"input": tmp_path / "movie.tif"}, tmp_path / "sum.tif")

    def stop(done: int, total: int, note: str = "") -> None:
        if done >= 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        predict_file(Predictor(shelf(MOVIE), quick(sum=True, **SCRIPT)), order, FileOptions(), stop)
    assert {p.name for p in tmp_path.iterdir()} == {"movie.tif"}


def test_an_output_in_the_way_is_said_before_the_work(shelf: Shelf, tmp_path: Path) -> None:
    bridge.write_image(tmp_path / "movie.tif", MOVIE.images()["input"])
    (tmp_path / "sum.tif").write_bytes(b"precious")
    order = Order({"input": tmp_path / "movie.tif"}, tmp_path / "sum.tif")
    with pytest.raises(OutputError, match="there already"):
        predict_file(
            Predictor(shelf(MOVIE), quick(sum=True, **SCRIPT)), order, FileOptions(), _no_progress
        )
    assert (tmp_path / "sum.tif").read_bytes() == b"precious"


def _no_progress(done: int, total: int, note: str = "") -> None:
    raise AssertionError("nothing should run")


@pytest.mark.parametrize("kind", ["black", "constant"])
def test_a_sum_without_an_image_in_it_is_an_error(kind: str, tmp_path: Path) -> None:
    package = open_package(faulty(kind, tmp_path))
    with pytest.raises(VerdictError, match=kind):
        predict_arrays(package, MOVIE.images(), quick(sum=True, engine="torch"))


def test_masks_add_up_to_counts_though_some_are_empty(tmp_path: Path) -> None:
    case = Case(
        "mask",
        outputs=(Out(ops=({"id": "binarize", "kwargs": {"threshold": 0.1}},), dtype="uint8"),),
        formats=("torchscript",),
    )
    movie = case.images({"t": 3, **case.image})["input"]
    movie.values[1:] = movie.values.min()
    package = open_package(build(case, tmp_path / "mask"))
    found, outcome = predict_arrays(package, {"input": movie}, quick(sum=True, **SCRIPT))
    stack, _ = predict_arrays(package, {"input": movie}, quick(**SCRIPT))
    assert found["output"].dtype == np.float32
    np.testing.assert_array_equal(found["output"].values, stack["output"].values.sum(axis=0))
    assert outcome.report["output"]["output"]["max"] >= 1


def test_many_movies_have_a_sum_each(shelf: Shelf, tmp_path: Path) -> None:
    orders = []
    for seed in (1, 2):
        bridge.write_image(tmp_path / f"{seed}.tif", MOVIE.images(seed=seed)["input"])
        orders.append(Order({"input": tmp_path / f"{seed}.tif"}, tmp_path / f"sum-{seed}.tif"))
    predictor = Predictor(shelf(MOVIE), quick(sum=True, **SCRIPT))
    results = predict_many(predictor, orders, FileOptions())
    sums = [tifffile.imread(r.outputs["output"]) for r in results]
    assert sums[0].shape == sums[1].shape == (40, 61)
    assert not np.array_equal(*sums)


@settings(max_examples=30, deadline=None)
@given(
    n_frames=st.integers(1, 5),
    n_channels=st.integers(0, 3),
    edges=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    cuts=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    at_once=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_blocks_in_any_order_add_up(
    n_frames: int,
    n_channels: int,
    edges: tuple[int, int],
    cuts: tuple[int, int],
    at_once: int,
    seed: int,
) -> None:
    generator = np.random.default_rng(seed)
    dims = ("t", "c", "y", "x") if n_channels else ("t", "y", "x")
    shape = (n_frames, n_channels, *edges) if n_channels else (n_frames, *edges)
    movie = generator.normal(0, 1e3, shape).astype(np.float32)
    made: list[ArraySink] = []

    def sink(spec: OutputSpec) -> ArraySink:
        made.append(ArraySink(spec.name, spec.dims, spec.shape, spec.dtype, spec.attrs))
        return made[-1]

    blocks = []
    for start in range(0, n_frames, at_once):
        frames = slice(start, min(start + at_once, n_frames))
        for rows in (slice(0, min(cuts[0], edges[0])), slice(min(cuts[0], edges[0]), edges[0])):
            for columns in (
                slice(0, min(cuts[1], edges[1])),
                slice(min(cuts[1], edges[1]), edges[1]),
            ):
                blocks.append({"t": frames, "c": slice(0, n_channels), "y": rows, "x": columns})
    generator.shuffle(blocks)
    spec = OutputSpec("o", dims, shape, np.dtype(np.float32), {"frame_interval_s": 1.0}, "")
    with FrameSum(spec, sink) as total:
        for block in blocks:
            total.write(block, movie[tuple(block[d] for d in dims)])
        tally = total.finish()
    expected = movie.sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(made[0].image.values, expected, rtol=1e-6, atol=1e-9)
    assert made[0].image.dims == dims[1:]
    assert made[0].image.attrs == {}
    assert (tally.low, tally.high) == (made[0].image.values.min(), made[0].image.values.max())
    assert tally.count == expected.size


def test_small_values_are_not_lost_in_a_large_sum() -> None:
    """In float32, 1 added to 2**24 a hundred times is still 2**24."""
    spec = OutputSpec("o", ("t", "y", "x"), (101, 1, 2), np.dtype(np.float32), {}, "")
    made: list[ArraySink] = []

    def sink(spec: OutputSpec) -> ArraySink:
        made.append(ArraySink(spec.name, spec.dims, spec.shape, spec.dtype, spec.attrs))
        return made[-1]

    where = {"y": slice(0, 1), "x": slice(0, 2)}
    with FrameSum(spec, sink) as total:
        for frame in range(101):
            value = np.full((1, 1, 2), 2**24 if frame == 0 else 1, np.float32)
            total.write({"t": slice(frame, frame + 1), **where}, value)
        total.finish()
    np.testing.assert_array_equal(made[0].image.values, 2**24 + 100)
    assert spec_of_sum(spec).shape == (1, 2)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")
def test_memory_does_not_grow_with_the_number_of_frames(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["upscaling_8"]
    predictor = Predictor(shelf(case), quick(sum=True, **SCRIPT))
    rises = {}
    for n_frames in (20, 20, 200):
        path = tmp_path / f"{n_frames}-{len(rises)}.tif"
        movie = np.random.default_rng(1).normal(100, 15, (n_frames, 32, 32)).astype(np.float32)
        bridge.write_image(path, xr.DataArray(movie, dims=("t", "y", "x")))
        del movie
        order = Order({"input": path}, tmp_path / "sum.tif")
        options = FileOptions(overwrite=True)
        rises[n_frames] = peak_rise(lambda o=order, p=options: predict_file(predictor, o, p))
    stack_bytes = 200 * (32 * 8) ** 2 * 4
    assert rises[200] is not None
    assert rises[200] - rises[20] < stack_bytes / 10
    assert (tmp_path / "sum.tif").stat().st_size < 300_000
