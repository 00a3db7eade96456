"""Every cause of a black picture, planted in trained networks, is the one that is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import planted_networks as planted
import pytest
import torch
import xarray as xr

from bridge.errors import ImageError, VerdictError
from bridge.quality.diagnosis import Diagnosis, diagnose
from bridge.quality.diagnosis_gather import Gathered, gather
from bridge.quality.diagnosis_probe import watch_onnx
from bridge.runtime.predict import Predictor, Settings
from bridge.zoo.package import Package

NAMES = ("ur_net_8", "x_net", "port")
FIELD = planted.draw_field(1001)
Images = dict[str, xr.DataArray]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "home"))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    root = tmp_path_factory.mktemp("healthy")
    return {name: planted.write(root / name, name) for name in (*NAMES, "x_microscopy")}


def image(pixels: np.ndarray) -> xr.DataArray:
    return xr.DataArray(pixels, dims=("y", "x"), attrs={"pixel_size_nm": {"y": 32.0, "x": 32.0}})


def images_for(name: str, wf: np.ndarray | None = None) -> Images:
    """Give the stretched 8-bit widefield image, and what UR-Net-8 makes of it for X-Net."""
    wf = np.rint(255 * FIELD.wf).astype(np.float32) if wf is None else wf
    images = {"wf": image(wf)}
    if name == "x_net":
        good = torch.from_numpy(FIELD.wf)[None, None].repeat(1, 3, 1, 1)
        with torch.no_grad():
            mu_srm = planted.trained("ur_net_8")(good).clamp(0, 1)
        images["mu_srm"] = image(255 * mu_srm.mean(1)[0].numpy())
    return images


def lower(key: str, by: float) -> Callable[[planted.State], None]:
    def change(state: planted.State) -> None:
        state[key] = state[key] - by

    return change


def examine(package: Package, images: Images, **options: object) -> tuple[Diagnosis, Gathered]:
    gathered = gather(package, images, trust=True, **options)  # type: ignore[arg-type]
    return diagnose(gathered.evidence), gathered


def named(diagnosis: Diagnosis) -> tuple[int, str]:
    assert diagnosis.culprit is not None
    return diagnosis.culprit.number, diagnosis.culprit.blame


# Nothing planted


@pytest.mark.parametrize("name", [*NAMES, "x_microscopy"])
def test_a_trained_network_on_a_good_image_is_healthy(healthy, name):
    diagnosis, gathered = examine(healthy[name], images_for(name))
    assert diagnosis.culprit is None, diagnosis.sentence
    assert "Nothing is wrong" in diagnosis.sentence
    assert [row.number for row in diagnosis.rows] == list(range(1, 17))
    assert {row.status for row in diagnosis.rows} <= {"good", "note", "unseen"}
    assert gathered.weights_format == "pytorch_state_dict"
    assert gathered.evidence.consistency > 0.8
    before = gathered.evidence.before
    assert before is not None
    made = np.maximum(before, 0).mean(axis=(0, 1))
    np.testing.assert_allclose(made, gathered.evidence.output, atol=1e-6)


def test_a_sparse_image_that_only_looks_black_is_no_fault(healthy):
    """Row 11: a right answer is mostly black."""
    diagnosis, gathered = examine(healthy["ur_net_8"], images_for("ur_net_8"))
    row = diagnosis.rows[10]
    if row.status != "note":  # dense fields aren't dark: let it be one with fewer filaments
        evidence = gathered.evidence
        evidence.output[:48] = 0
        row = diagnose(evidence).rows[10]
    assert row.status == "note"
    assert "99.8th percentile" in row.remedy


# The image


def wrapped() -> np.ndarray:
    return ((FIELD.wf * 1500 + 40).astype(np.uint16) % 256).astype(np.uint8)


def hot() -> np.ndarray:
    spoiled = 255 * FIELD.wf
    spoiled[10, 20] = 16 * 255
    return (spoiled / 16).astype(np.float32)


def holey() -> np.ndarray:
    pixels = 255 * FIELD.wf
    pixels[5, 7] = np.nan
    return pixels


INPUT_FAULTS: dict[str, tuple[int, Callable[[], np.ndarray]]] = {
    "one NaN pixel": (1, holey),
    "divided by 255 twice": (4, lambda: FIELD.wf),
    "dim and divided twice": (4, lambda: 0.3 * FIELD.wf + 0.05),
    "very dim": (4, lambda: 13 * FIELD.wf),
    "not divided": (5, lambda: 255 * 255 * FIELD.wf),
    "wrapped": (6, wrapped),
    "hot pixel": (7, hot),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", INPUT_FAULTS)
def test_what_is_wrong_with_the_image_is_named(healthy, name, fault):
    number, make = INPUT_FAULTS[fault]
    diagnosis, gathered = examine(healthy[name], images_for(name, make()))
    if fault == "very dim" and diagnosis.culprit is None:
        # X-Net runs on its sparse image alone: its output is as good.
        assert diagnosis.rows[12].figures["r"] > 0.5
        assert diagnosis.rows[3].status == "doubtful"
        return
    assert named(diagnosis) == (number, "input"), diagnosis.sentence
    assert "It is the input" in diagnosis.sentence
    assert np.isfinite(gathered.evidence.ready).all()


def test_x_net_is_refused_a_black_sparse_image(healthy):
    images = images_for("x_net")
    images["mu_srm"] = images["mu_srm"] * 0
    diagnosis, gathered = examine(healthy["x_net"], images)
    assert named(diagnosis) == (12, "input")
    assert gathered.evidence.output.max() > 0.3  # it doesn't look black


def predict(package: Package, images: Images) -> dict[str, xr.DataArray]:
    n_channels = 3 if "mu_srm" in images else 1
    given = {name: one.expand_dims(c=n_channels) for name, one in images.items()}
    outputs, _ = Predictor(package, Settings(trust=True, device="cpu")).run_in_memory(given)
    return outputs


@pytest.mark.parametrize(
    ("name", "image_name", "change"),
    [
        ("x_net", "mu_srm", None),
        ("x_microscopy", "mu_srm", lower("ur_net_8.up.5.join_norm.bias", 0.5)),
    ],
)
def test_a_package_s_black_sparse_image_is_refused(tmp_path, name, image_name, change):
    least = {image_name: 10.0 if name == "x_net" else 10 / 255}
    good = planted.write(tmp_path / "good", name, least_bright=least)
    images = images_for(name)
    assert max(one.values.max() for one in predict(good, images).values()) > 0.3
    spoilt = planted.write(tmp_path / "bad", name, change=change, least_bright=least)
    if name == "x_net":
        images[image_name] = images[image_name] * 0.01
    with pytest.raises(VerdictError, match=r"'mu_srm'.*: black: 0\.\d\d%"):
        predict(spoilt, images)


def test_the_chain_tells_a_black_sparse_image_made_on_the_way(tmp_path):
    package = planted.write(
        tmp_path / "p", "x_microscopy", change=lower("ur_net_8.up.5.join_norm.bias", 2.0)
    )
    diagnosis, _ = examine(package, images_for("x_microscopy"))
    assert named(diagnosis) == (12, "input")


# The package


LAST_SHIFT = {
    "ur_net_8": "up.5.join_norm.bias",
    "x_net": "fusion.last_norm.bias",
    "port": "last.bias",
}


@pytest.mark.parametrize("name", NAMES)
def test_running_statistics_that_decayed_are_named(tmp_path, name):
    if name == "ur_net_8":
        package = planted.write(tmp_path / "p", name, planted.decayed(name), prefix="BatchNormed")
    else:
        key = {"port": "layers.4", "x_net": "decoder_a.up.1.gate.out_norm"}[name]

        def decay(state: planted.State) -> None:
            state[f"{key}.running_var"][:] = 2.5e-22

        prefix = "BatchNormed" if name == "x_net" else ""
        network = planted.build(name, prefix)
        network.load_state_dict(planted.trained(name).state_dict(), strict=False)
        package = planted.write(tmp_path / "p", name, network, change=decay, prefix=prefix)
    diagnosis, _ = examine(package, images_for(name))
    assert named(diagnosis) == (2, "code"), diagnosis.sentence
    assert diagnosis.rows[1].figures["least_running_variance"] < 1e-8


def test_batch_norms_of_a_failed_port_spoil_the_picture(tmp_path, healthy):
    """The mechanism itself: same weights, averages of a bottom of one pixel."""
    package = planted.write(
        tmp_path / "p", "ur_net_8", planted.decayed("ur_net_8"), prefix="BatchNormed"
    )
    right, wrong = (
        examine(one, images_for("ur_net_8"))[0].rows[12].figures["r"]
        for one in (healthy["ur_net_8"], package)
    )
    assert not wrong > right - 0.1


@pytest.mark.parametrize("name", NAMES)
def test_a_network_whose_weights_were_not_loaded_is_named(tmp_path, name):
    untrained = planted.build(name)
    if name == "port":  # torch starts biases at random; others start them at 0
        for module in untrained.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.zeros_(module.bias)
    package = planted.write(tmp_path / "p", name, untrained)
    diagnosis, _ = examine(package, images_for(name))
    assert named(diagnosis) == (3, "code"), diagnosis.sentence


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strict", [True, False])
def test_missing_tensors_are_named(tmp_path, name, strict):
    def drop(state: planted.State) -> None:
        for key in list(state)[-6:]:
            del state[key]

    package = planted.write(tmp_path / "p", name, change=drop, strict=strict)
    diagnosis, gathered = examine(package, images_for(name))
    assert named(diagnosis) == (3, "code")
    assert bool(gathered.weights_format) is not strict


@pytest.mark.parametrize("name", NAMES)
def test_an_offset_below_the_last_relu_is_named(tmp_path, name):
    package = planted.write(tmp_path / "p", name, change=lower(LAST_SHIFT[name], 3.0))
    diagnosis, _ = examine(package, images_for(name))
    assert named(diagnosis) == (8, "model"), diagnosis.sentence
    assert diagnosis.rows[7].figures["before_max"] <= 0


@pytest.mark.parametrize("name", NAMES)
def test_a_cast_of_floats_to_integers_is_named(healthy, name):
    diagnosis, gathered = examine(healthy[name], images_for(name))
    assert diagnosis.culprit is None
    saved = gathered.evidence.output.astype(np.uint8)
    diagnosis, _ = examine(healthy[name], images_for(name), saved=saved)
    assert named(diagnosis) == (9, "code")


@pytest.mark.parametrize("name", NAMES)
def test_a_cast_without_limits_is_named(healthy, name):
    _, gathered = examine(healthy[name], images_for(name))
    output = gathered.evidence.output
    light = np.rint(output * 255 / np.percentile(output, 99.5))
    right, saved = np.clip(light, 0, 255).astype(np.uint8), light.astype(np.uint16).astype(np.uint8)
    assert examine(healthy[name], images_for(name), saved=right)[0].culprit is None
    diagnosis, _ = examine(healthy[name], images_for(name), saved=saved)
    assert named(diagnosis) == (9, "code")


@pytest.mark.parametrize("name", NAMES)
def test_a_pixel_that_owns_the_range_is_named(tmp_path, name):
    package = planted.write(tmp_path / "p", name, prefix="Outlying")
    diagnosis, _ = examine(package, images_for(name))
    assert named(diagnosis) == (10, "model"), diagnosis.sentence


@pytest.mark.parametrize("name", NAMES)
def test_an_output_that_shows_something_else_is_named(tmp_path, name):
    package = planted.write(tmp_path / "p", name, prefix="Mirrored")
    diagnosis, _ = examine(package, images_for(name))
    assert named(diagnosis) == (13, "model"), diagnosis.sentence


def test_weights_that_are_no_numbers_are_the_model_s(tmp_path):
    def spoil(state: planted.State) -> None:
        state["down.2.halve.weight"][0, 0, 0, 0] = np.nan

    package = planted.write(tmp_path / "p", "ur_net_8", change=spoil)
    diagnosis, _ = examine(package, images_for("ur_net_8"))
    assert named(diagnosis) == (1, "model")


# Foreign formats, and what else is looked at


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_without_consent_shows_the_same(tmp_path, healthy):
    def decay(state: planted.State) -> None:
        state["layers.4.running_var"][:] = 2.5e-22

    formats = ("pytorch_state_dict", "torchscript")
    package = planted.write(tmp_path / "p", "port", change=decay, formats=formats)
    gathered = gather(package, images_for("port"))
    assert gathered.weights_format == "torchscript"
    assert any("your consent" in note for note in gathered.notes)
    diagnosis = diagnose(gathered.evidence)
    assert named(diagnosis) == (2, "code")
    assert diagnosis.rows[7].status != "unseen"
    assert diagnosis.rows[15].status != "unseen"


def test_a_wrong_pixel_size_is_named_where_the_output_is_poor(tmp_path):
    package = planted.write(tmp_path / "p", "ur_net_8", prefix="Mirrored")
    images = images_for("ur_net_8")
    images["wf"].attrs["pixel_size_nm"] = {"y": 108.0, "x": 108.0}
    diagnosis, _ = examine(package, images)
    assert named(diagnosis)[0] in (13, 14)
    assert diagnosis.rows[13].status == "doubtful"
    assert "32 nm" in diagnosis.rows[13].found


def test_a_layer_that_lets_nothing_through_is_found(tmp_path):
    package = planted.write(tmp_path / "p", "ur_net_8", change=lower("down.1.norm.bias", 100.0))
    diagnosis, _ = examine(package, images_for("ur_net_8"))
    assert diagnosis.rows[15].status == "note"
    assert "after down.1.halve" in diagnosis.rows[15].found


def test_colours_for_a_grey_network_are_refused(healthy):
    colours = xr.DataArray(np.zeros((4, 64, 64), np.uint8), dims=("c", "y", "x"))
    with pytest.raises(ImageError, match="RGB"):
        gather(healthy["ur_net_8"], {"wf": colours}, trust=True)
    with pytest.raises(ImageError, match="mu_srm"):
        gather(healthy["x_net"], {"wf": image(FIELD.wf)}, trust=True)


def test_an_onnx_graph_shows_what_its_last_relu_is_given():
    weights = np.random.default_rng(0).normal(size=(2, 1, 3, 3)).astype(np.float32)
    ones, tiny = np.ones(2, np.float32), np.array([1.0, 2.5e-22], np.float32)
    values = {"w": weights, "scale": ones, "shift": 0 * ones, "mean": 0 * ones, "var": tiny}
    nodes = [
        onnx.helper.make_node(
            "BatchNormalization", ["conv", "scale", "shift", "mean", "var"], ["n"]
        ),
        onnx.helper.make_node("Relu", ["n"], ["output"]),
    ]
    conv = onnx.helper.make_node("Conv", ["input", "w"], ["conv"], pads=[1, 1, 1, 1])
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["b", c, "y", "x"])
        for name, c in (("input", 1), ("output", 2))
    ]
    stored = [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]
    graph = onnx.helper.make_graph([conv, *nodes], "toy", ends[:1], ends[1:], stored)
    opset = [onnx.helper.make_opsetid("", 18)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    image = np.random.default_rng(1).random((1, 1, 8, 9), dtype=np.float32)
    seen = watch_onnx(model.SerializeToString(), [image])
    convolved = torch.nn.functional.conv2d(
        torch.from_numpy(image), torch.from_numpy(weights), padding=1
    ).numpy()
    expected = convolved / np.sqrt(tiny + 1e-5)[:, None, None]
    assert seen.before[0] is not None
    np.testing.assert_allclose(seen.before[0], expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(seen.outputs[0], np.maximum(expected, 0), rtol=1e-4, atol=1e-3)
    assert [found.name for found in seen.norms] == ["var"]
    assert seen.norms[0].least_variance < 1e-8
    assert seen.unseen
