"""``predict`` says of every restored image whether, blurred again, it gives its input back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import xarray as xr
from bioimageio.spec.utils import write_yaml
from PIL import Image
from scipy import ndimage

from bridge.images.read import find_images, open_image
from bridge.images.write import write_image
from bridge.jobs.base import OpenImage, Result
from bridge.jobs.predict import Predict
from bridge.progress import silent
from bridge.quality.consistency import (
    compare_with_input,
    compare_with_widefield,
    fit_sigma_px,
)
from bridge.quality.invented import find_invented, measure_noise, noise_ceiling
from bridge.runtime.ready import ReadyModels

EDGE = 96
SIGMA_PX = 2.0
IDENTITY = np.zeros((1, 1, 3, 3), np.float32)
IDENTITY[0, 0, 1, 1] = 1
LINE = np.zeros((EDGE, EDGE), np.float32)
LINE[12:84, 70] = 1
LINE = ndimage.gaussian_filter(LINE, 0.8)
Node = dict[str, Any]
Write = Callable[..., Path]


def draw(seed: int, *, photons: float = 100) -> tuple[np.ndarray, np.ndarray]:
    """Give spots left of column 60, sharp; and as a microscope sees them, with Poisson noise."""
    rng = np.random.default_rng(seed)
    sharp = (rng.random((EDGE, EDGE)) > 0.985) * rng.uniform(0.5, 1, (EDGE, EDGE))
    sharp[:, 56:] = 0
    seen = ndimage.gaussian_filter(sharp, SIGMA_PX, mode="mirror")
    seen *= photons / seen.max()
    return sharp.astype(np.float32), rng.poisson(seen + 10).astype(np.float32)


def plane(pixels: np.ndarray, nm: float | None = 50.0) -> xr.DataArray:
    attrs = {"pixel_size_nm": {"y": nm, "x": nm}} if nm else {}
    return xr.DataArray(np.asarray(pixels, np.float32), dims=("y", "x"), attrs=attrs)


@pytest.fixture
def write_network(write_package: Write) -> Write:
    """Give ``write(folder, {output: array or nodes}, **description)``: packages of given answers.

    An array (y, x) is added to the image, or takes its place; an empty one leaves the image alone.
    """
    import toy_packages as toy  # noqa: PLC0415 - found by the fixture

    def write(
        folder: Path,
        outputs: dict[str, np.ndarray],
        *,
        keeps_image: bool = True,
        scale: int = 1,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> Path:
        write_package(folder)
        weights = [onnx.numpy_helper.from_array(IDENTITY * keeps_image, "kernel")]
        nodes = [onnx.helper.make_node("Conv", ["input", "kernel"], ["same"], pads=[1, 1, 1, 1])]
        last = "same"
        if scale > 1:
            wide = np.ones((1, 1, scale, scale), np.float32)
            weights.append(onnx.numpy_helper.from_array(wide, "wide"))
            up = {"strides": [scale, scale]}
            nodes.append(onnx.helper.make_node("ConvTranspose", ["same", "wide"], ["up"], **up))
            last = "up"
        made = []
        for name, added in outputs.items():
            more = np.asarray(added, np.float32).reshape(1, -1, *np.shape(added)[-2:])
            weights.append(onnx.numpy_helper.from_array(more, f"added_{name}"))
            nodes.append(onnx.helper.make_node("Add", [last, f"added_{name}"], [name]))
            shape = ["b", more.shape[1], "v", "u"]
            made.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
        given = onnx.helper.make_tensor_value_info(
            "input", onnx.TensorProto.FLOAT, ["b", 1, "y", "x"]
        )
        graph = onnx.helper.make_graph(nodes, "net", [given], made, weights)
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8
        )
        (folder / "net.onnx").write_bytes(model.SerializeToString())
        image = draw(0)[1][None, None]
        np.save(folder / "test_input.npy", image)
        content = toy.describe(folder)
        content["weights"] = {"onnx": {**toy.described(folder / "net.onnx"), "opset_version": 18}}
        content["inputs"][0]["axes"][2:] = [toy.space(a, size=EDGE) for a in "yx"]
        template = content["outputs"][0]
        content["outputs"] = []
        for name, added in outputs.items():
            base = np.kron(image * keeps_image, np.ones((scale, scale), np.float32))
            np.save(folder / f"{name}.npy", (base + np.asarray(added)).astype(np.float32))
            n_channels = np.asarray(added).reshape(-1, *np.shape(added)[-2:]).shape[0]
            channels = [f"rendering_{n}" for n in range(n_channels)]
            axes = [*template["axes"][:1], {"type": "channel", "channel_names": channels}]
            axes += [
                toy.space(
                    a,
                    scale=1 / scale,
                    size={"tensor_id": "input", "axis_id": a, "offset": 0},
                )
                for a in "yx"
            ]
            content["outputs"].append(
                template
                | {"id": name, "axes": axes, "test_tensor": toy.described(folder / f"{name}.npy")}
            )
        if change is not None:
            change(content)
        write_yaml(content, folder / "rdf.yaml")
        return folder

    return write


def predict(model: Path, image: Path, **options: Any) -> tuple[Result, dict[str, Any]]:
    """Run the job; give its result and what its report says of consistency."""
    output = options.pop("output", image.with_name("out.tif"))
    result = Predict(model=str(model), input=[str(image)], output=output, **options).run(silent)
    assert result.error is None
    runs = json.loads(Path(str(result.report)).read_text("utf-8"))["runs"]
    return result, runs[0]["consistency"]


def save(path: Path, pixels: np.ndarray, dims: tuple[str, ...] = ("y", "x")) -> Path:
    attrs = {"pixel_size_nm": {"y": 50.0, "x": 50.0}}
    write_image(path, xr.DataArray(np.asarray(pixels, np.float32), dims=dims, attrs=attrs))
    return path


# -- the figures -------------------------------------------------------------------------------


def test_the_fast_fit_finds_the_blur_and_the_figures_of_the_slow_one() -> None:
    sharp, seen = draw(1, photons=1000)
    sigma_px = fit_sigma_px(plane(sharp), plane(seen))
    assert sigma_px == pytest.approx(SIGMA_PX, rel=0.02)
    fast = compare_with_input(plane(sharp), plane(seen), sigma_px=sigma_px)
    slow = compare_with_widefield(plane(sharp), plane(seen))
    assert fast.rsp == pytest.approx(slow.rsp, abs=1e-4)
    assert fast.rse == pytest.approx(slow.rse, rel=1e-3)
    # there a point becomes a Gaussian over a pixel's area, which widens it by a twelfth
    assert sigma_px**2 == pytest.approx((slow.sigma_nm / 50) ** 2 + 1 / 12, rel=0.01)


def test_an_inverted_image_correlates_negatively() -> None:
    sharp, seen = draw(1, photons=1000)
    found = compare_with_input(plane(-sharp), plane(seen), sigma_px=SIGMA_PX)
    assert found.rsp < -0.9


@pytest.mark.parametrize("photons", [30, 100, 300])
def test_the_ceiling_is_the_rsp_of_the_truth(photons: float) -> None:
    sharp, seen = draw(2, photons=photons)
    truth = compare_with_input(plane(sharp), plane(seen), sigma_px=SIGMA_PX)
    assert noise_ceiling(plane(seen), measure_noise(plane(seen))) == pytest.approx(
        truth.rsp, abs=0.03
    )


def invented(image: np.ndarray, seen: np.ndarray) -> list[Any]:
    sigma_px = fit_sigma_px(plane(image), plane(seen))
    found = compare_with_input(plane(image), plane(seen), sigma_px=sigma_px)
    return list(
        find_invented(found, plane(seen), noise=measure_noise(plane(seen)), sigma_px=sigma_px)
    )


@pytest.mark.parametrize("photons", [20, 100, 1000])
def test_a_planted_filament_is_found_and_noise_is_not(photons: float) -> None:
    for seed in range(8):
        sharp, seen = draw(seed, photons=photons)
        restored = ndimage.gaussian_filter(sharp, 0.8)
        assert invented(restored, seen) == []
        places = invented(restored + 0.3 * LINE, seen)
        assert places, (seed, photons)
        assert abs(places[0].x_px - 70.5) < 3
        assert 15 < places[0].y_px < 81
        assert places[0].share > 0.65


# -- the report --------------------------------------------------------------------------------


def test_the_report_has_the_figures_and_a_picture_lies_beside(
    tmp_path: Path, write_network: Write
) -> None:
    model = write_network(tmp_path / "net", {"restored": np.zeros((EDGE, EDGE))})
    seen = draw(3)[1]
    result, found = predict(model, save(tmp_path / "seen.tif", seen))
    expected = compare_with_widefield(plane(seen), plane(seen))
    assert found["checked"] is True
    assert found["outputs"]["restored"]["rsp"] == pytest.approx(expected.rsp, abs=1e-3)
    assert found["outputs"]["restored"]["planes"][0]["invented"] == []
    assert found["outputs"]["restored"]["planes"][0]["sigma_nm"] <= 0.3 * 50
    assert "the input 'input'" in found["how"]
    assert "the whole plane" in found["how"]
    assert result.warnings == []
    picture = Path(found["outputs"]["restored"]["picture"])
    assert picture == tmp_path / "out.consistency.png"
    with Image.open(picture) as drawn:
        pixels = np.asarray(drawn.convert("L"), np.float64)
    left, middle, right = (pixels[10:500, at : at + 490] for at in (10, 530, 1050))
    assert np.corrcoef(left.ravel(), middle.ravel())[0, 1] > 0.99
    assert right.mean() < 0.1 * left.mean(), "nothing differs"
    assert any("RSP 1.000" in line and str(picture) in line for line in result.summary)
    assert find_images([tmp_path]) == [tmp_path / "out.tif", tmp_path / "seen.tif"]


def test_invented_structure_is_warned_of(tmp_path: Path, write_network: Write) -> None:
    model = write_network(tmp_path / "net", {"restored": 60 * LINE})
    result, found = predict(model, save(tmp_path / "seen.tif", draw(4)[1]))
    (warning,) = [w for w in result.warnings if "doesn't have" in w]
    assert "'restored' shows structure that its input doesn't have" in warning
    place = found["outputs"]["restored"]["planes"][0]["invented"][0]
    assert abs(place["x_px"] - 70.5) < 3
    report = json.loads(Path(str(result.report)).read_text("utf-8"))["runs"][0]
    assert warning in report["warnings"]


def test_a_result_of_another_field_is_warned_of(tmp_path: Path, write_network: Write) -> None:
    other = 10 * draw(77)[0].T
    model = write_network(tmp_path / "net", {"restored": other}, keeps_image=False)
    result, found = predict(model, save(tmp_path / "seen.tif", draw(5)[1]))
    assert found["outputs"]["restored"]["rsp"] < 0.5
    assert any("doesn't give the input back" in w for w in result.warnings)


def test_a_result_that_agrees_only_when_all_is_blurred_away_is_warned_of(
    tmp_path: Path, write_network: Write
) -> None:
    ramp = np.linspace(1, 2, EDGE)[None].repeat(EDGE, axis=0)
    grain = np.random.default_rng(3).normal(size=(EDGE, EDGE))
    model = write_network(tmp_path / "net", {"restored": ramp + grain}, keeps_image=False)
    seen = np.random.default_rng(4).poisson(1000 * ramp)
    result, found = predict(model, save(tmp_path / "seen.tif", seen))
    assert found["outputs"]["restored"]["planes"][0]["sigma_px"] > 9.9
    assert any("only coarse light agrees" in w for w in result.warnings)


def test_an_upscaled_result_is_compared_on_the_inputs_pixels(
    tmp_path: Path, write_network: Write
) -> None:
    model = write_network(tmp_path / "net", {"restored": np.zeros((2 * EDGE, 2 * EDGE))}, scale=2)
    seen = draw(6)[1]
    result, found = predict(model, save(tmp_path / "seen.tif", seen))
    made = open_image(tmp_path / "out.tif").load()
    assert made.shape == (2 * EDGE, 2 * EDGE)
    expected = compare_with_widefield(made, plane(seen))
    assert found["outputs"]["restored"]["rsp"] == pytest.approx(expected.rsp, abs=2e-3)
    assert result.warnings == []


def test_each_output_is_compared_and_of_renderings_their_mean(
    tmp_path: Path, write_network: Write
) -> None:
    renderings = np.zeros((3, EDGE, EDGE), np.float32)
    renderings[0], renderings[1] = 40 * LINE, -40 * LINE  # their mean is the image
    outputs = {"mean_of": renderings, "bad": 60 * LINE, "spread": np.zeros((EDGE, EDGE))}
    model = write_network(tmp_path / "net", outputs)
    result, found = predict(model, save(tmp_path / "seen.tif", draw(7)[1]))
    assert [*found["outputs"]] == ["mean_of", "bad", "spread"]
    assert found["outputs"]["mean_of"]["rsp"] == pytest.approx(1, abs=1e-3)
    assert len(found["outputs"]["mean_of"]["planes"]) == 1
    assert found["outputs"]["bad"]["rsp"] < 0.99
    assert found["outputs"]["spread"]["checked"] is False
    assert "isn't an image" in found["outputs"]["spread"]["why"]
    assert (tmp_path / "out-bad.consistency.png").exists()
    assert not (tmp_path / "out-spread.consistency.png").exists()
    assert len([w for w in result.warnings if "doesn't have" in w]) == 1


def test_of_a_movie_first_middle_and_last_frame_count(tmp_path: Path, write_network: Write) -> None:
    model = write_network(tmp_path / "net", {"restored": np.zeros((EDGE, EDGE))})
    movie = np.stack([draw(seed)[1] for seed in range(6)])
    movie[3] = 5  # nothing in it
    path = save(tmp_path / "movie.tif", movie, ("t", "y", "x"))
    _, found = predict(model, path)
    assert [one["t"] for one in found["outputs"]["restored"]["planes"]] == [1, 6]
    assert "t 1, 6 of 6" in found["how"]
    movie[3] = movie[2]
    path = save(tmp_path / "full.tif", movie, ("t", "y", "x"))
    _, found = predict(model, path, output=tmp_path / "stack.zarr")
    assert [one["t"] for one in found["outputs"]["restored"]["planes"]] == [1, 4, 6]
    assert Path(found["outputs"]["restored"]["picture"]).name == "stack.consistency.png"


def test_of_a_large_plane_the_middle_counts(tmp_path: Path, write_convolution: Write) -> None:
    model = write_convolution(tmp_path / "net", "Same as before", IDENTITY[0, 0])
    rng = np.random.default_rng(0)
    seen = ndimage.gaussian_filter(rng.random((1100, 1200)), 2)
    _, found = predict(model, save(tmp_path / "seen.tif", seen))
    assert "the middle 1024 x 1024 of 1100 x 1200 pixels" in found["how"]


# -- where it doesn't apply --------------------------------------------------------------------


def labels(content: dict[str, Any]) -> None:
    content["tags"] = ["nuclei", "instance-segmentation"]


def places(content: dict[str, Any]) -> None:
    content["config"] = {"zoobridge": {"task": "localization"}}


def probabilities(content: dict[str, Any]) -> None:
    content["outputs"][0]["postprocessing"] = [{"id": "sigmoid"}]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (labels, "by its tags"),
        (places, "gives places, not an image"),
        (probabilities, "its values are probabilities"),
    ],
)
def test_what_restores_nothing_is_not_checked(
    tmp_path: Path, write_network: Write, change: Any, why: str
) -> None:
    model = write_network(
        tmp_path / "net", {"restored": np.zeros((EDGE, EDGE)) - 30}, change=change
    )
    result, found = predict(model, save(tmp_path / "seen.tif", draw(8)[1]))
    assert found["checked"] is False
    assert found["why"].startswith("Not checked: ")
    assert why in found["why"]
    assert not list(tmp_path.glob("*.png"))
    assert not any("Blurred" in line for line in result.summary)


def test_a_sum_and_whoever_does_not_want_it_are_not_checked(
    tmp_path: Path, write_network: Write
) -> None:
    model = write_network(tmp_path / "net", {"restored": np.zeros((EDGE, EDGE))})
    movie = np.stack([draw(seed)[1] for seed in range(3)])
    path = save(tmp_path / "movie.tif", movie, ("t", "y", "x"))
    _, found = predict(model, path, sum=True)
    assert found == {
        "checked": False,
        "why": "Not checked: the outputs of all frames were added up.",
    }
    _, found = predict(model, path, consistency=False, overwrite=True)
    assert found == {"checked": False, "why": "Not checked: it was switched off."}
    assert not list(tmp_path.glob("*.png"))


def test_a_place_for_the_picture_that_is_taken_fails_nothing(
    tmp_path: Path, write_network: Write
) -> None:
    model = write_network(tmp_path / "net", {"restored": np.zeros((EDGE, EDGE))})
    (tmp_path / "out.consistency.png").mkdir()
    _, found = predict(model, save(tmp_path / "seen.tif", draw(9)[1]))
    assert found["checked"] is True
    assert "this is a folder" in found["outputs"]["restored"]["no_picture"]


def test_several_images_name_the_worst(tmp_path: Path, write_network: Write) -> None:
    model = write_network(tmp_path / "net", {"restored": 60 * LINE})
    (tmp_path / "in").mkdir()
    for number in range(2):
        save(tmp_path / "in" / f"{number}.tif", draw(number)[1])
    job = Predict(model=str(model), input=[str(tmp_path / "in")], output=tmp_path / "made")
    result = job.run(silent)
    assert any("agrees least with its input" in line for line in result.summary)
    assert len(list((tmp_path / "made").glob("*.consistency.png"))) == 2


# -- open images -------------------------------------------------------------------------------


@pytest.mark.parametrize("report", ["", "report.json"])
def test_an_open_image_gets_a_sentence_and_no_picture_unless_asked(
    tmp_path: Path, write_network: Write, report: str
) -> None:
    model = write_network(tmp_path / "net", {"restored": 60 * LINE})
    place = str(tmp_path / report) if report else ""
    job = Predict(model=str(model), input=["x"], output=tmp_path / "no.tif", report=place)
    opened = OpenImage(plane(draw(10)[1]), "cells.tif")
    models = ReadyModels()
    made = job.run_on(opened, models, silent, keep=False)
    kept = job.run_on(opened, models, silent, keep=True)
    assert any("RSP 0." in line for line in made.result.summary)
    assert any("doesn't have" in line for line in made.result.warnings)
    assert (tmp_path / "report.consistency.png").exists() == bool(report)
    found = json.loads(Path(str(kept.result.report)).read_text("utf-8"))["runs"][0]["consistency"]
    assert found["checked"] is True
    assert (tmp_path / "no.consistency.png").exists()
