from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bioimageio.core import Sample, Tensor
from bioimageio.core.proc_setup import setup_pre_and_postprocessing
from bioimageio.spec import InvalidDescr, ValidationContext
from bioimageio.spec.model import v0_4, v0_5
from toy_packages import write_package_04

from bridge.errors import PackageError
from bridge.zoo.description import read_content
from bridge.zoo.package import open_package
from bridge.zoo.weights import load_torch


def test_a_description_of_format_04_becomes_05_with_a_note(tmp_path: Path) -> None:
    package = open_package(write_package_04(tmp_path))
    assert isinstance(package.description, v0_5.ModelDescr)
    assert package.notes == ("The description has format 0.4.10 and was converted to format 0.5.",)


def test_an_architecture_from_a_file_survives_the_conversion(tmp_path: Path) -> None:
    package = open_package(write_package_04(tmp_path))
    entry = package.description.weights.pytorch_state_dict
    assert entry is not None
    assert isinstance(entry.architecture, v0_5.ArchitectureFromFileDescr)
    assert entry.architecture.kwargs == {"width": 1}
    assert entry.architecture.sha256 is not None
    network = load_torch(package, "pytorch_state_dict", trust=True)
    image = torch.from_numpy(np.load(tmp_path / "test_input.npy"))
    with torch.no_grad():
        found = network(image).numpy()
    np.testing.assert_allclose(found, np.load(tmp_path / "test_output.npy"), atol=1e-6)


@pytest.mark.parametrize("name", ["weights.pt", "script.pt", "net.onnx", "net.py"])
def test_hashes_of_format_04_are_checked_although_conversion_drops_them(
    tmp_path: Path, name: str
) -> None:
    folder = write_package_04(tmp_path)
    (folder / name).write_bytes(b"changed")
    with pytest.raises(PackageError, match="its SHA-256 is"):
        open_package(folder)


def test_fixed_sizes_with_a_halo_are_converted(tmp_path: Path) -> None:
    def fix(content: dict[str, Any]) -> None:
        content["inputs"][0]["shape"] = [1, 1, 16, 16]
        content["outputs"][0]["shape"] = [1, 1, 32, 16]
        content["outputs"][0]["halo"] = [0, 0, 2, 1]

    output = open_package(write_package_04(tmp_path, fix)).description.outputs[0]
    y, x = output.axes[2:]
    assert isinstance(y, v0_5.SpaceOutputAxisWithHalo)
    assert isinstance(x, v0_5.SpaceOutputAxisWithHalo)
    assert (y.scale, y.halo, x.scale, x.halo) == (0.5, 2, 1.0, 1)
    sizes = open_package(tmp_path).description.get_output_tensor_sizes(
        {v0_5.TensorId("input"): {v0_5.AxisId("y"): 16, v0_5.AxisId("x"): 16}}
    )
    assert dict(sizes[v0_5.TensorId("output")]) == {"batch": 1, "channel": 1, "y": 32, "x": 16}


PERCENTILE = {
    "name": "scale_range",
    "kwargs": {"mode": "per_sample", "axes": "yx", "min_percentile": 5, "max_percentile": 95},
}
SIGMOID = {"name": "sigmoid"}
FIXED = {
    "name": "zero_mean_unit_variance",
    "kwargs": {"mode": "fixed", "mean": 3.0, "std": 2.0, "axes": "cyx"},
}
SCALE = {"name": "scale_linear", "kwargs": {"axes": "cyx", "gain": 25.0, "offset": 0.0}}
BINARIZE = {"name": "binarize", "kwargs": {"threshold": 0.5}}
REFERENCE = {
    "name": "scale_range",
    "kwargs": {"mode": "per_sample", "axes": "yx", "reference_tensor": "input"},
}


@pytest.mark.parametrize("data_type", ["float32", "uint8", "uint16"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], []),
        ([PERCENTILE], [SIGMOID]),
        ([FIXED], [BINARIZE]),
        ([], [REFERENCE]),
        ([PERCENTILE, SIGMOID], [SIGMOID, BINARIZE]),
    ],
)
def test_processing_of_format_04_gives_what_bioimageio_core_gives(
    tmp_path: Path, data_type: str, before: list[Any], after: list[Any]
) -> None:
    def process(content: dict[str, Any]) -> None:
        content["inputs"][0].update(data_type=data_type, preprocessing=before)
        content["outputs"][0].update(
            data_type="float32" if after else data_type, postprocessing=after
        )

    folder = write_package_04(tmp_path, process)
    with ValidationContext(root=folder, perform_io_checks=False):
        old = v0_4.ModelDescr.load(read_content(folder / "rdf.yaml"))
    assert not isinstance(old, InvalidDescr)
    raw = np.random.default_rng(0).uniform(0, 9, (1, 1, 8, 8)).astype(data_type)
    expected = processed(old, raw)
    found = processed(open_package(folder).description, raw)
    for name in ("input", "output"):
        assert found[name].dtype == expected[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_whole_number_outputs_of_format_04_are_cast_after_postprocessing(tmp_path: Path) -> None:
    def process(content: dict[str, Any]) -> None:
        content["outputs"][0].update(data_type="uint8", postprocessing=[SCALE])

    description = open_package(write_package_04(tmp_path, process)).description
    raw = np.full((1, 1, 2, 2), 0.15, np.float32)
    # the network doubles: 0.3; scaled: 7.5; whole: 7 (cast before scaling, it would be 0)
    output = processed(description, raw)["output"]
    assert output.dtype == np.float32
    np.testing.assert_array_equal(output, np.full((1, 1, 2, 2), 7.0))


def processed(model: Any, raw: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Run core's operators, with a network that doubles its input."""
    dims = ("batch", "channel", "y", "x")
    sample = Sample(members={"input": Tensor(raw, dims=dims)}, stat={}, id="one")
    setup = setup_pre_and_postprocessing(model, [])
    for step in setup.pre:
        step(sample)
    before = np.asarray(sample.members["input"].data)
    sample.members["output"] = Tensor((before * 2).astype(np.float32), dims=dims)
    for step in setup.post:
        step(sample)
    return {"input": before, "output": np.asarray(sample.members["output"].data)}


@pytest.mark.parametrize(
    "name",
    [
        "v0_4_0.bioimageio.yaml",
        "v0_4_9.bioimageio.yaml",
        "expand_output_shape_v0_4.bioimageio.yaml",
    ],
)
def test_real_descriptions_of_format_04_open(zoo_packages: Path, name: str) -> None:
    package = open_package(zoo_packages / "unet2d_nuclei_broad" / name)
    entry = package.description.weights.pytorch_state_dict
    assert entry is not None
    assert isinstance(entry.architecture, v0_5.ArchitectureFromFileDescr)
    assert str(entry.architecture.callable) == "UNet2d"
    assert entry.architecture.kwargs == {"input_channels": 1, "output_channels": 1}
    assert entry.sha256 is not None
    steps = [step.id for step in package.description.inputs[0].preprocessing]
    assert steps == ["ensure_dtype", "zero_mean_unit_variance", "ensure_dtype"]
