"""Each colour run by itself: bit for bit what it is alone, and one composite of them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import xarray as xr

import bridge
from bridge.errors import Cancelled, ImageError, InputError
from bridge.jobs.base import OpenImage
from bridge.jobs.predict import Predict
from bridge.progress import silent
from bridge.runtime.files import FileOptions, Order, predict_file, predict_many
from bridge.runtime.predict import Predictor, predict_arrays
from bridge.runtime.ready import ReadyModels

from .cases import BY_NAME, op
from .comparing import quick
from .conftest import Shelf
from .packages import TO_FLOAT, Case, Out

SCRIPT = {"engine": "torchscript", "batch": 1}
RENDERINGS = Case(
    "three_renderings", "Offset", {"n_out": 3, "gain": 4.0}, outputs=(Out(channels=3),)
)
OF_ALL_OUTPUTS = Case(
    "normalised_by_all_outputs",
    outputs=(Out(ops=(op("zero_mean_unit_variance"), TO_FLOAT)),),
)


def coloured(case: Case, sizes: dict[str, int], n_colours: int) -> dict[str, xr.DataArray]:
    """Give images whose colours differ in content, brightness and contrast."""
    first, *others = (case.images(sizes, seed=10 * n) for n in range(1, n_colours + 1))
    found = {}
    for name in first:
        images = [first[name], *((n + 2) * one[name] - 90 for n, one in enumerate(others))]
        stack = xr.concat(images, "c")
        found[name] = stack.transpose(*(d for d in "tczyx" if d in stack.dims))
    return found


@pytest.mark.parametrize(
    ("case", "sizes"),
    [
        (BY_NAME["same_size"], {"y": 61, "x": 83}),
        (BY_NAME["upscaling_2"], {"y": 31, "x": 43}),
        (BY_NAME["upscaling_2"], {"t": 3, "z": 2, "y": 21, "x": 33}),
        (BY_NAME["percentiles"], {"y": 61, "x": 83}),
        (BY_NAME["dataset_percentiles_over_time"], {"t": 3, "y": 40, "x": 51}),
        (BY_NAME["output_normalised_over_time"], {"t": 3, "y": 40, "x": 51}),
        (OF_ALL_OUTPUTS, {"t": 2, "y": 40, "x": 51}),
        (BY_NAME["input_without_channel_axis"], {"y": 50, "x": 60}),
        (BY_NAME["global_mean"], {"y": 70, "x": 80}),
        (BY_NAME["two_sizes"], {"t": 2, "y": 40, "x": 50}),
        (BY_NAME["two_inputs_two_outputs"], {"y": 40, "x": 50}),
    ],
    ids=lambda value: value.name if isinstance(value, Case) else "".join(value),
)
@pytest.mark.parametrize("tile", [0, 48])
def test_every_colour_is_bit_for_bit_what_it_is_alone(
    case: Case, sizes: dict[str, int], tile: int, shelf: Shelf
) -> None:
    images = coloured(case, sizes, 3)
    found, outcome = predict_arrays(
        shelf(case), images, quick(tile=tile, each_colour=True, **SCRIPT)
    )
    for number in range(3):
        alone, one = predict_arrays(
            shelf(case), images, quick(tile=tile, channel=number + 1, **SCRIPT)
        )
        for name, image in found.items():
            assert image.dims == tuple(d for d in "tczyx" if d in (*alone[name].dims, "c"))
            np.testing.assert_array_equal(image.isel(c=number).values, alone[name].values)
    assert outcome.report["tiles"]["count"] == 3 * one.report["tiles"]["count"]
    for name, report in outcome.report["output"].items():
        assert report["sizes"] == dict(found[name].sizes)
        assert report["n_colours"] == 3


def test_a_batch_may_hold_tiles_of_several_colours(shelf: Shelf) -> None:
    case = BY_NAME["percentiles"]
    images = coloured(case, {"t": 2, "y": 40, "x": 61}, 2)
    whole, _ = predict_arrays(shelf(case), images, quick(each_colour=True, **SCRIPT))
    settings = quick(each_colour=True, tile=32, batch=5, engine="torchscript")
    found, _ = predict_arrays(shelf(case), images, settings)
    limit = 5e-5 * float(whole["output"].std())
    np.testing.assert_allclose(found["output"], whole["output"], rtol=0, atol=limit)


def test_renderings_of_a_colour_stay_together_and_have_both_names(shelf: Shelf) -> None:
    images = coloured(RENDERINGS, {"t": 2, "y": 40, "x": 50}, 2)
    package = shelf(RENDERINGS)
    found, _ = predict_arrays(package, images, quick(each_colour=True, **SCRIPT))
    for number in range(2):
        alone, _ = predict_arrays(package, images, quick(channel=number + 1, **SCRIPT))
        own = found["output"].isel(c=slice(3 * number, 3 * number + 3))
        np.testing.assert_array_equal(own.values, alone["output"].values)
    assert found["output"].dims == ("t", "c", "y", "x")
    assert found["output"].attrs["channel_names"] == [
        f"colour {colour}: output{rendering}" for colour in (1, 2) for rendering in range(3)
    ]
    images["input"].attrs["channel_names"] = ["actin", "DNA"]
    named, _ = predict_arrays(package, images, quick(each_colour=True, **SCRIPT))
    assert named["output"].attrs["channel_names"][2:4] == ["actin: output2", "DNA: output0"]


def test_the_frames_of_each_colour_are_summed(shelf: Shelf) -> None:
    case = BY_NAME["global_mean"]
    images = coloured(case, {"t": 3, "z": 2, "y": 60, "x": 70}, 2)
    settings = quick(sum=True, tile=48, each_colour=True, **SCRIPT)
    found, outcome = predict_arrays(shelf(case), images, settings)
    assert found["output"].dims == ("c", "z", "y", "x")
    assert outcome.report["output"]["output"]["n_frames_summed"] == 3
    for number in range(2):
        own = quick(sum=True, tile=48, channel=number + 1, **SCRIPT)
        alone, _ = predict_arrays(shelf(case), images, own)
        np.testing.assert_array_equal(found["output"].isel(c=number).values, alone["output"].values)


@pytest.mark.parametrize("ending", [".tif", ".zarr"])
def test_the_file_is_a_composite_with_the_images_names_and_pixel_size(
    ending: str, shelf: Shelf, tmp_path: Path
) -> None:
    case = BY_NAME["upscaling_2"]
    image = coloured(case, {"t": 2, "y": 30, "x": 40}, 3)["input"]
    image.attrs = {
        "pixel_size_nm": {"y": 100.0, "x": 100.0},
        "channel_names": ["DAPI", "tubulin", "actin"],
    }
    bridge.write_image(tmp_path / "cells.tif", image.astype(np.float32))
    result = Predict(
        model=str(shelf(case).root),
        input=[str(tmp_path / "cells.tif")],
        output=tmp_path / f"out{ending}",
        each_colour=True,
        engine="torchscript",
        trust=True,
    ).run(silent)
    written = bridge.open_image(tmp_path / f"out{ending}").load()
    assert dict(written.sizes) == {"t": 2, "c": 3, "y": 60, "x": 80}
    assert written.attrs["channel_names"] == ["DAPI", "tubulin", "actin"]
    assert written.attrs["pixel_size_nm"] == pytest.approx({"y": 50.0, "x": 50.0})
    assert "3 colours, each by itself, 6 tiles" in result.summary[0]
    if ending == ".tif":
        with tifffile.TiffFile(tmp_path / "out.tif") as file:
            assert file.imagej_metadata["mode"] == "composite"
            assert file.imagej_metadata["channels"] == 3


def test_an_open_image_gives_an_open_composite(shelf: Shelf) -> None:
    case = BY_NAME["upscaling_2"]
    image = coloured(case, {"t": 2, "y": 30, "x": 40}, 2)["input"]
    image.attrs = {"channel_names": ["DAPI", "actin"], "pixel_size_nm": {"y": 100.0, "x": 100.0}}
    job = Predict(
        model=str(shelf(case).root),
        input=["open"],
        output=Path("none"),
        each_colour=True,
        trust=True,
    )
    found = job.run_on(OpenImage(image, "cells"), ReadyModels(), silent, keep=False)
    (composite,) = found.images.values()
    assert dict(composite.sizes) == {"t": 2, "c": 2, "y": 60, "x": 80}
    assert composite.attrs["channel_names"] == ["DAPI", "actin"]


def test_rgb_is_run_as_three_colours_and_a_grey_image_as_it_is(
    shelf: Shelf, tmp_path: Path
) -> None:
    case = BY_NAME["percentiles"]
    pixels = np.random.default_rng(3).integers(0, 200, (40, 50, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", pixels, photometric="rgb")
    tifffile.imwrite(tmp_path / "grey.tif", pixels[..., 1])
    predictor = Predictor(shelf(case), quick(each_colour=True, **SCRIPT))
    orders = [
        Order({"input": tmp_path / f"{name}.tif"}, tmp_path / f"{name}-out.tif")
        for name in ("rgb", "grey")
    ]
    for result in predict_many(predictor, orders, FileOptions()):
        assert result.error is None
    rgb = bridge.open_image(tmp_path / "rgb-out.tif").load()
    grey = bridge.open_image(tmp_path / "grey-out.tif").load()
    assert rgb.attrs["channel_names"] == ["red", "green", "blue"]
    assert grey.dims == ("y", "x")
    np.testing.assert_array_equal(rgb.isel(c=1).values, grey.values)


def test_an_interrupted_composite_is_resumed(shelf: Shelf, tmp_path: Path) -> None:
    case = BY_NAME["percentiles"]
    image = coloured(case, {"t": 2, "y": 60, "x": 70}, 3)["input"]
    image[:, 1] = np.where(np.arange(70) > 35, 50.0, 100.0)  # a colour unlike the others
    bridge.write_image(tmp_path / "cells.tif", image.astype(np.float32))
    predictor = Predictor(shelf(case), quick(each_colour=True, tile=40, **SCRIPT))

    def stop(done: int, total: int, note: str = "") -> None:
        if done > total // 2:
            raise Cancelled

    order = Order({"input": tmp_path / "cells.tif"}, tmp_path / "out.tif")
    with pytest.raises(Cancelled):
        predict_file(predictor, order, FileOptions(), stop)
    ran: list[int] = []
    result = predict_file(
        predictor, order, FileOptions(resume=True), lambda done, *_: ran.append(done)
    )
    assert ran[0] > 0
    whole = Order(order.inputs, tmp_path / "whole.tif")
    expected = predict_file(predictor, whole, FileOptions())
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert result.report["output"] == expected.report["output"]


@pytest.mark.parametrize("tile", [0, 48])
def test_a_colour_that_comes_out_empty_is_named(tile: int, shelf: Shelf) -> None:
    case = BY_NAME["global_mean"]
    images = coloured(case, {"y": 90, "x": 90}, 3)
    images["input"].values[1] = 100  # what the network's normalisation takes to 0
    found, outcome = predict_arrays(
        shelf(case), images, quick(each_colour=True, tile=tile, **SCRIPT)
    )
    assert np.ptp(found["output"].isel(c=1).values) < 1e-6 < np.ptp(found["output"].values)
    warned = [text for text in outcome.warnings if text.startswith("Colour ")]
    assert len(warned) == 1
    assert warned[0].startswith("Colour 2 of the output 'output' is constant: its values lie")


def test_each_colour_and_one_channel_exclude_each_other(shelf: Shelf) -> None:
    with pytest.raises(InputError, match=r"--channel 2: --each-colour is given too.*Leave out"):
        Predictor(shelf(BY_NAME["same_size"]), quick(each_colour=True, channel=2))


def test_refusals_name_the_option_where_it_helps(shelf: Shelf) -> None:
    case = BY_NAME["same_size"]
    images = coloured(case, {"y": 30, "x": 30}, 2)
    with pytest.raises(ImageError, match=r"2 channels\. .*1 channel.*--each-colour"):
        predict_arrays(shelf(case), images, quick(**SCRIPT))
    pair = BY_NAME["two_channels_in_three_out"]
    with pytest.raises(ImageError, match=r"2 colours, each run by itself.*Leave --each-colour out"):
        predict_arrays(shelf(pair), pair.images(), quick(each_colour=True, **SCRIPT))
    two = BY_NAME["two_inputs_two_outputs"]
    given = coloured(two, {"y": 30, "x": 30}, 3)
    given["b"] = given["b"].isel(c=slice(2))
    with pytest.raises(ImageError, match=r"'b': 2 along colour.*3, as in the other input"):
        predict_arrays(shelf(two), given, quick(each_colour=True, **SCRIPT))
