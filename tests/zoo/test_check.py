from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_packages import described, write_package

from bridge.zoo.check import check_package
from bridge.zoo.package import open_package
from bridge.zoo.partners import check_biapy, check_deepimagej, check_ilastik, check_qupath
from bridge.zoo.sanity import check_completeness, check_geometry, check_processing

Change = Callable[[dict[str, Any]], None]


def sentences(findings: list[Any], level: str) -> str:
    return "\n".join(f"{f.area}: {f.sentence}" for f in findings if f.level == level)


def model(folder: Path, change: Change | None = None) -> Any:
    return open_package(write_package(folder, change)).description


def test_a_good_package_has_no_errors_and_is_good_for_partners(tmp_path: Path) -> None:
    findings = check_package(write_package(tmp_path))
    assert sentences(findings, "error") == ""
    areas = {f.area for f in findings if f.level == "ok"}
    assert {"package", "format", "files", "weights", "geometry", "processing"} <= areas
    assert {"deepImageJ", "ilastik", "BiaPy", "QuPath"} <= areas


def test_a_package_that_cannot_be_opened_gives_one_error(tmp_path: Path) -> None:
    (finding,) = check_package(tmp_path)
    assert (finding.level, finding.area) == ("error", "package")


def test_a_test_tensor_of_another_shape_is_an_error(tmp_path: Path) -> None:
    folder = write_package(tmp_path)

    def shrink(content: dict[str, Any]) -> None:
        np.save(folder / "test_output.npy", np.ones((1, 1, 9, 9), np.float32))
        content["outputs"][0]["test_tensor"] = described(folder / "test_output.npy")

    assert "format: " in sentences(check_package(write_package(folder, shrink)), "error")


def test_missing_and_unhashed_and_remote_files_are_told(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["covers"] = [{"source": "https://example.invalid/cover.png"}]
        del content["documentation"]["sha256"]
        content["weights"]["torchscript"]["source"] = "https://example.invalid/script.pt"

    folder = write_package(tmp_path, change)
    (folder / "net.onnx").unlink()
    findings = check_package(folder)
    warnings = sentences(findings, "warning")
    assert "README.md has no sha256" in warnings
    assert "cover.png is only on the web" in warnings
    assert "net.onnx is missing" in warnings
    assert "agree to run its code" in warnings
    assert sentences(findings, "error") == ""


def test_a_package_without_usable_weights_is_an_error(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        url = "https://example.invalid/script.pt"
        content["weights"] = {"torchscript": {"source": url, "pytorch_version": "2.0.0"}}

    errors = sentences(check_package(write_package(tmp_path, change)), "error")
    assert "zoobridge cannot run it" in errors


def scaled(content: dict[str, Any], scale_in: float, scale_out: float) -> None:
    for tensor, scale in ((content["inputs"][0], scale_in), (content["outputs"][0], scale_out)):
        for axis in tensor["axes"][2:]:
            axis["scale"] = scale
            axis["halo"] = 8
    for axis in content["inputs"][0]["axes"][2:]:
        axis["size"]["min"] = 32
        del axis["halo"]


@pytest.mark.parametrize(
    ("scale_in", "scale_out", "is_right"),
    [(1, 1, True), (64, 8, True), (1, 0.5, False), (100, 100, False), (100, 50, False)],
)
def test_deepimagej_reads_axis_scales_as_multipliers(
    tmp_path: Path, scale_in: float, scale_out: float, is_right: bool
) -> None:
    found = check_deepimagej(model(tmp_path, lambda c: scaled(c, scale_in, scale_out)))
    assert ("times its input" not in sentences(found, "warning")) == is_right


def test_deepimagej_counts_offsets_twice(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for axis in content["outputs"][0]["axes"][2:]:
            axis["size"]["offset"] = -2

    said = sentences(check_deepimagej(model(tmp_path, change)), "warning")
    assert "counts the offset of axis y of output twice" in said
    assert "times its input" not in said


def test_deepimagej_rules_on_weights_operators_and_axes(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["weights"]["torchscript"]["pytorch_version"] = "2.5.1"
        content["weights"]["onnx"]["opset_version"] = 20
        content["outputs"][0]["postprocessing"] = [{"id": "softmax", "kwargs": {"axis": "channel"}}]
        del content["inputs"][0]["axes"][3]["id"]

    said = sentences(check_deepimagej(model(tmp_path, change)), "warning")
    for part in ("PyTorch 2.0.0", "opsets up to 18", "does not know softmax", "input has no id"):
        assert part in said


def second_input(content: dict[str, Any]) -> None:
    content["inputs"].append({**content["inputs"][0], "id": "second"})


def test_rules_on_the_number_of_inputs(tmp_path: Path) -> None:
    description = model(tmp_path, second_input)
    for rule in (check_deepimagej, check_ilastik, check_biapy):
        assert "input" in sentences(rule(description), "warning")
    assert "refers to input second" in sentences(check_geometry(description), "warning")


def test_biapy_rules(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["tags"] = ["microscopy"]
        content["weights"]["pytorch_state_dict"]["architecture"]["kwargs"] = {}
        content["inputs"][0]["preprocessing"] = [
            {"id": "zero_mean_unit_variance"},
            {"id": "sigmoid"},
        ]

    said = sentences(check_biapy(model(tmp_path, change)), "warning")
    for part in ("kwargs", "sigmoid", "one step", "tags"):
        assert part in said


def test_qupath_rules(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["weights"]["torchscript"]
        content["inputs"][0]["preprocessing"] = [{"id": "zero_mean_unit_variance"}]

    said = sentences(check_qupath(model(tmp_path, change)), "warning")
    assert "torchscript" in said
    assert "per tile" in said


def test_a_cast_to_whole_numbers_after_normalising_is_an_error(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["inputs"][0]["data"] = {"type": "uint16"}
        content["inputs"][0]["preprocessing"] = [{"id": "zero_mean_unit_variance"}]

    assert "cast to uint16" in sentences(check_processing(model(tmp_path, change)), "error")


def test_geometry_that_others_cannot_tile_is_told(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        output = content["outputs"][0]
        output["axes"].pop(1)
        for axis in output["axes"][1:]:
            del axis["halo"]
            axis["size"]["offset"] = -2
        content["inputs"][0]["axes"][2]["size"] = 16

    said = sentences(check_geometry(model(tmp_path, change)), "warning")
    for part in ("no channel axis", "has an offset (y, x)", "no halo (y, x)", "one size only (y)"):
        assert part in said


def test_what_the_zoo_asks_for_is_told_when_missing(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for key in ("license", "cite", "documentation", "tags", "authors", "version"):
            content.pop(key)
        del content["inputs"][0]["test_tensor"]

    findings = check_completeness(model(tmp_path, change))
    said = sentences(findings, "warning")
    for key in ("license", "cite", "documentation", "covers", "tags", "authors", "maintainers"):
        assert f"{key} is missing" in said
    assert "input has no test_tensor" in sentences(findings, "error")


@pytest.mark.parametrize("name", ["unet2d_multi_tensor", "unet2d_nuclei_broad"])
def test_real_packages_have_no_errors(zoo_packages: Path, name: str) -> None:
    assert sentences(check_package(zoo_packages / name), "error") == ""


def test_a_real_description_of_format_04_is_checked(zoo_packages: Path) -> None:
    findings = check_package(zoo_packages / "unet2d_nuclei_broad" / "v0_4_9.bioimageio.yaml")
    assert sentences(findings, "error") == ""
    assert "files.ilastik.org" in sentences(findings, "warning")
