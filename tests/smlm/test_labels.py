"""Labels: floor on the fine grid, every emitter counted, in any order, without memory."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import TableError
from bridge.smlm.labels import MovieLabels, Window, count_emitters


def table_of(rows: list[tuple[int, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["frame", "x_nm", "y_nm"])


def test_labels_lie_where_the_emitters_are_within_a_tenth_of_a_nanometre() -> None:
    rng = np.random.default_rng(5)
    x_px, y_px = rng.uniform(0, 64, (2, 100_000))
    window = Window(1, 0, 0, 64, 64)
    labels = MovieLabels(np.ones(100_000, dtype=np.int64), x_px, y_px)
    counts = labels.count(window, upscaling=8)
    centres_px = (np.arange(512) + 0.5) / 8
    offset_x = (counts.sum(0) @ centres_px) / counts.sum() - x_px.mean()
    offset_y = (counts.sum(1) @ centres_px) / counts.sum() - y_px.mean()
    assert abs(100 * offset_x) < 0.1
    assert abs(100 * offset_y) < 0.1


def test_two_emitters_in_one_fine_pixel_count_twice() -> None:
    labels = MovieLabels.from_table(table_of([(1, 501, 502), (1, 505, 508)]), pixel_size_nm=100)
    counts = labels.count(Window(1, 0, 0, 10, 10), upscaling=8)
    assert counts[40, 40] == 2
    assert counts.sum() == 2


def test_unsorted_tables_with_gaps_give_the_same_labels() -> None:
    rows = [(7, 150.0, 250.0), (2, 110.0, 120.0), (7, 390.0, 10.0), (2, 5.0, 6.0)]
    for order in (rows, rows[::-1], sorted(rows)):
        labels = MovieLabels.from_table(table_of(order), pixel_size_nm=100)
        assert labels.count(Window(2, 0, 0, 4, 4), upscaling=4).sum() == 2
        assert labels.count(Window(7, 0, 0, 4, 4), upscaling=4).sum() == 2
        assert labels.count(Window(3, 0, 0, 4, 4), upscaling=4).sum() == 0


@given(
    st.lists(st.tuples(st.floats(-3, 30), st.floats(-3, 30)), min_size=1, max_size=40),
    st.integers(0, 8),
    st.integers(0, 8),
    st.integers(1, 9),
)
def test_a_window_counts_what_the_whole_frame_has_there(
    places: list[tuple[float, float]], top: int, left: int, upscaling: int
) -> None:
    x_px, y_px = np.array(places, dtype=np.float32).T.astype(np.float64)
    labels = MovieLabels(np.full(len(places), 3), x_px, y_px)
    whole = labels.count(Window(3, 0, 0, 24, 24), upscaling=upscaling)
    part = labels.count(Window(3, top, left, 12, 10), upscaling=upscaling)
    rows = slice(top * upscaling, (top + 12) * upscaling)
    columns = slice(left * upscaling, (left + 10) * upscaling)
    brute = np.zeros((24 * upscaling, 24 * upscaling))
    for x, y in zip(x_px, y_px, strict=True):
        if 0 <= x < 24 and 0 <= y < 24:
            brute[int(np.floor(y * upscaling)), int(np.floor(x * upscaling))] += 1
    np.testing.assert_array_equal(whole, brute)
    np.testing.assert_array_equal(part, brute[rows, columns])


def test_patches_of_a_batch_are_counted_as_frames_are() -> None:
    rng = np.random.default_rng(2)
    x_px, y_px = rng.uniform(-2, 18, (2, 3, 50))
    is_labelled = rng.random((3, 50)) < 0.7
    counts = count_emitters(
        *(torch.from_numpy(v) for v in (x_px, y_px, is_labelled)), shape=(16, 12), upscaling=8
    )
    assert counts.shape == (3, 1, 128, 96)
    for k in range(3):
        chosen = is_labelled[k]
        labels = MovieLabels(
            np.ones(chosen.sum(), dtype=np.int64), x_px[k, chosen], y_px[k, chosen]
        )
        expected = labels.count(Window(1, 0, 0, 16, 12), upscaling=8)
        np.testing.assert_array_equal(counts[k, 0].numpy(), expected)


def test_five_hundred_patches_a_frame_cost_no_memory() -> None:
    rng = np.random.default_rng(0)
    labels = MovieLabels(np.repeat(np.arange(1, 21), 500), *rng.uniform(0, 512, (2, 10_000)))
    tracemalloc.start()
    for _ in range(500):
        top, left = rng.integers(0, 480, 2)
        labels.count(Window(3, int(top), int(left), 26, 26), upscaling=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20  # a single patch at a time; 500 of them would be 86 MB


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "no localizations"), ([(1, np.nan, 3.0)], "row 1 has a coordinate that is no number")],
)
def test_tables_that_teach_nothing_are_refused(
    rows: list[tuple[int, float, float]], said: str
) -> None:
    with pytest.raises(TableError, match=said):
        MovieLabels.from_table(table_of(rows), pixel_size_nm=100)


def test_a_table_without_frames_is_refused() -> None:
    with pytest.raises(TableError, match="has no frame"):
        MovieLabels.from_table(table_of([(1, 2, 3)]).drop(columns="frame"), pixel_size_nm=100)
