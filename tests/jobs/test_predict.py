"""The job ``predict`` on a movie: a stack, or with ``--sum`` one image."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from bridge import open_image, write_image
from bridge.errors import ImageError, InputError
from bridge.jobs.options import fields_of
from bridge.jobs.predict import Predict
from bridge.progress import silent

N_FRAMES = 3


@pytest.fixture
def movie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a part of the embedded movie."""
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "home"))
    with resources.as_file(resources.files("models_zoo") / "deep_storm/demo/movie.tif") as source:
        frames = open_image(source).isel(t=slice(N_FRAMES), y=slice(64), x=slice(56)).load()
    write_image(tmp_path / "movie.tif", frames)
    return tmp_path / "movie.tif"


def predict(movie: Path, output: str, **options: object) -> Predict:
    return Predict(model="deep-storm", input=[str(movie)], output=movie.parent / output, **options)


def test_sum_writes_one_image_the_sum_of_the_stack(movie: Path) -> None:
    predict(movie, "stack.tif").run(silent)
    result = predict(movie, "sum.tif", sum=True).run(silent)
    stack = open_image(movie.parent / "stack.tif").load()
    summed = open_image(movie.parent / "sum.tif").load()
    assert dict(stack.sizes) == {"t": N_FRAMES, "y": 512, "x": 448}
    assert dict(summed.sizes) == {"y": 512, "x": 448}
    assert summed.dtype == np.float32
    assert summed.attrs["pixel_size_nm"] == pytest.approx({"y": 12.5, "x": 12.5})
    expected = stack.values.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(summed.values, expected, rtol=1e-6, atol=1e-6)
    assert f"{N_FRAMES} frames summed" in result.summary[0]
    report = json.loads(Path(str(result.report)).read_text("utf-8"))
    assert report["runs"][0]["output"]["emitters"]["n_frames_summed"] == N_FRAMES


def test_a_sum_is_not_resumed_and_needs_a_movie(movie: Path) -> None:
    with pytest.raises(InputError, match="--resume: a sum can't be continued"):
        predict(movie, "sum.tif", sum=True, resume=True).run(silent)
    write_image(movie.with_name("frame.tif"), open_image(movie).isel(t=0).load())
    with pytest.raises(ImageError, match=r"frame\.tif: it has the axes y x, and no time axis"):
        predict(movie.with_name("frame.tif"), "sum.tif", sum=True).run(silent)
    assert not (movie.parent / "sum.tif").exists()


def test_sum_is_an_option_of_shell_and_macro_alike() -> None:
    option = next(o for o in fields_of(Predict) if o.name == "sum")
    assert option.flag == "--sum"
    assert option.type is bool
