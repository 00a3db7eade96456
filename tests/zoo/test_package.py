from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from bioimageio.spec.model import v0_5
from toy_packages import sha256, write_package

from bridge.errors import PackageError
from bridge.runtime.bind import bind
from bridge.runtime.geometry import read_geometry
from bridge.zoo.description import pixel_size_nm
from bridge.zoo.package import open_package

Change = Callable[[dict[str, Any]], None]


def test_opens_a_folder_a_yaml_file_and_a_string(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "toy")
    packages = [open_package(p) for p in (folder, folder / "rdf.yaml", str(folder))]
    assert {p.name for p in packages} == {"Toy model"}
    assert {p.root for p in packages} == {folder.resolve()}
    assert len({p.sha256 for p in packages}) == 1
    assert packages[2].source == str(folder)


def test_lists_the_weights_with_their_verified_files(tmp_path: Path) -> None:
    package = open_package(write_package(tmp_path))
    assert list(package.weights) == ["pytorch_state_dict", "torchscript", "onnx"]
    assert [w.problem for w in package.weights.values()] == ["", "", ""]
    assert package.weights["onnx"].path == tmp_path.resolve() / "net.onnx"
    assert package.notes == ()


def test_one_changed_byte_gives_another_package_hash(tmp_path: Path) -> None:
    def without_hash(content: dict[str, Any]) -> None:
        del content["documentation"]["sha256"]

    folder = write_package(tmp_path, without_hash)
    before = open_package(folder).sha256
    (folder / "unrelated.txt").write_text("not named by the description")
    assert open_package(folder).sha256 == before
    (folder / "README.md").write_text("# Toy!")
    assert open_package(folder).sha256 != before


def test_a_copy_elsewhere_has_the_same_package_hash(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "here")
    copy = shutil.copytree(folder, tmp_path / "there")
    assert open_package(folder).sha256 == open_package(copy).sha256


@pytest.mark.parametrize("name", ["weights.pt", "net.py", "test_input.npy", "README.md"])
def test_a_hash_that_does_not_match_is_refused_with_both_hashes(tmp_path: Path, name: str) -> None:
    folder = write_package(tmp_path)
    right = sha256(folder / name)
    (folder / name).write_bytes(b"changed")
    with pytest.raises(PackageError) as error:
        open_package(folder)
    assert right in str(error.value)
    assert sha256(folder / name) in str(error.value)
    assert name in error.value.what


ESCAPES = ["/etc/hostname", "../outside.md", "sub/../../outside.md", "file:///etc/hostname"]
ESCAPES += ["..\\outside.md", "C:\\outside.md", "C:outside.md"]


@pytest.mark.parametrize("source", ESCAPES)
def test_a_description_cannot_name_a_file_outside(tmp_path: Path, source: str) -> None:
    (tmp_path / "outside.md").write_text("secret")

    def name_it(content: dict[str, Any]) -> None:
        content["attachments"] = [{"source": source}]

    with pytest.raises(PackageError, match="out of the package's folder"):
        open_package(write_package(tmp_path / "toy", name_it))


def test_a_link_may_stay_inside_and_not_lead_out(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "toy")
    (folder / "weights.pt").rename(folder / "blob")
    (folder / "weights.pt").symlink_to("blob")
    assert open_package(folder).weights["pytorch_state_dict"].problem == ""
    (folder / "blob").rename(tmp_path / "blob")
    (folder / "weights.pt").unlink()
    (folder / "weights.pt").symlink_to(tmp_path / "blob")
    with pytest.raises(PackageError, match="out of the package's folder"):
        open_package(folder)


def test_a_linked_description_cannot_lead_out(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "toy")
    (folder / "rdf.yaml").rename(tmp_path / "rdf.yaml")
    (folder / "rdf.yaml").symlink_to(tmp_path / "rdf.yaml")
    with pytest.raises(PackageError, match="link that leads out"):
        open_package(folder)


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("README.md")
    try:
        package = open_package(folder)
    except PackageError as error:
        assert "cannot be followed" in str(error)  # noqa: PT017 - depends on Python's version
    else:
        assert "README.md is missing" in package.notes[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_instead_of_a_file_is_not_read(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    (folder / "README.md").unlink()
    os.mkfifo(folder / "README.md")
    assert "README.md is missing" in open_package(folder).notes[0]


def test_missing_files_are_problems_of_weights_and_notes_otherwise(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    for name in ("net.py", "net.onnx", "test_input.npy", "README.md"):
        (folder / name).unlink()
    package = open_package(folder)
    assert "architecture file net.py is missing" in package.weights["pytorch_state_dict"].problem
    assert "net.onnx is missing" in package.weights["onnx"].problem
    assert package.weights["onnx"].path is None
    assert package.weights["torchscript"].problem == ""
    notes = "\n".join(package.notes)
    assert "inputs.0.test_tensor.source: the file test_input.npy is missing." in notes
    assert "documentation.source: the file README.md is missing." in notes
    with pytest.raises(PackageError, match=r"test_input\.npy' is missing"):
        package.file(package.description.inputs[0].test_tensor)


def test_weights_given_by_url_open_without_a_fetch_and_name_the_url(tmp_path: Path) -> None:
    url = "https://example.invalid/weights.pt"

    def remote(content: dict[str, Any]) -> None:
        content["weights"] = {"torchscript": {"source": url, "pytorch_version": "2.0.0"}}
        content["covers"] = [{"source": "https://example.invalid/cover.png"}]
        content["git_repo"] = "https://example.invalid/repository"

    package = open_package(write_package(tmp_path, remote))
    weights = package.weights["torchscript"]
    assert (weights.path, weights.url) == (None, url)
    assert url in weights.problem
    with pytest.raises(PackageError, match=url):
        package.file(url)


def test_an_input_that_is_the_output_of_another_model_is_not_looked_up(tmp_path: Path) -> None:
    def link(content: dict[str, Any]) -> None:
        content["inputs"][0]["output_of"] = "affable-shark"

    package = open_package(write_package(tmp_path, link))
    assert package.description.inputs[0].output_of is None
    assert "output_of" in package.notes[0]


def test_other_weight_formats_are_listed_as_not_runnable(tmp_path: Path) -> None:
    def keras(content: dict[str, Any]) -> None:
        content["weights"]["keras_hdf5"] = {
            "source": "README.md",
            "tensorflow_version": "2.0.0",
            "parent": "onnx",
        }

    problem = open_package(write_package(tmp_path, keras)).weights["keras_hdf5"].problem
    assert "does not run this format" in problem


def test_prefers_rdf_yaml_and_lists_several_others(tmp_path: Path) -> None:
    folder = write_package(tmp_path, name="b.bioimageio.yaml")
    assert open_package(folder).name == "Toy model"
    shutil.copy(folder / "b.bioimageio.yaml", folder / "a.bioimageio.yaml")
    with pytest.raises(PackageError, match=r"a\.bioimageio\.yaml, b\.bioimageio\.yaml"):
        open_package(folder)
    shutil.copy(folder / "b.bioimageio.yaml", folder / "bioimageio.yaml")
    write_package(folder, lambda content: content.update(name="Preferred"), name="rdf.yaml")
    assert open_package(folder).name == "Preferred"


def set_to(key: str, value: object) -> Change:
    return lambda content: content.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_to("type", "dataset"), "describes a dataset"),
        (set_to("type", "notebook"), "describes a notebook"),
        (set_to("type", "collection"), "describes a collection"),
        (set_to("type", "poem"), "describes 'poem'"),
        (set_to("format_version", "0.6.0"), "newer than this program"),
        (set_to("format_version", "1.0.0"), "newer than this program"),
        (set_to("format_version", "0.3.6"), "no longer read"),
        (set_to("format_version", "new"), "format_version 'new'"),
        (set_to("format_version", [0, 5]), "format_version"),
        (set_to("format_version", None), "has no format_version"),
        (set_to("name", "x"), "name: Value should have at least 5 items"),
        (set_to("inputs", []), "inputs: Value should have at least 1 item"),
        (set_to("weights", {}), "weights"),
        (set_to("surprise", 1), "surprise: Extra inputs are not permitted"),
        (lambda content: content["inputs"][0].pop("axes"), "inputs.0.axes: Field required"),
    ],
)
def test_an_invalid_description_is_refused_with_its_field(
    tmp_path: Path, change: Change, message: str
) -> None:
    with pytest.raises(PackageError) as error:
        open_package(write_package(tmp_path, change))
    assert message in str(error.value)
    assert len(str(error.value)) < 1500


def test_a_later_patch_of_the_format_is_read_with_a_note(tmp_path: Path) -> None:
    package = open_package(write_package(tmp_path, set_to("format_version", "0.5.999")))
    assert "newer than" in package.notes[0]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"---\n...\n", "is empty"),
        (b"- a\n- b\n", "no mapping"),
        (b"just text", "no mapping"),
        (b"1: a\n", "no mapping"),
        (b"name: \xff\xfe\n", "not UTF-8"),
        (b"name: [1, 2\n", "is not YAML"),
        (b"name: a\nname: b\n", "is not YAML"),
        (b"a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
        (b"a: 2020-99-99\n", "is not YAML"),
        (b"a: " + b"[" * 3000, "nested too deep"),
        (b"a: " + b"[" * 150 + b"]" * 150, "nests them too deep"),
        (BOMB.encode(), "too many values"),
        (b"a: &a [*a]\n", "too"),
        (b"\x00", "is not YAML"),
    ],
)
def test_a_description_that_is_no_yaml_mapping_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "rdf.yaml").write_bytes(content)
    with pytest.raises(PackageError, match=message):
        open_package(tmp_path)


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="holds no description"):
        open_package(tmp_path)
    (tmp_path / "image.tif").write_bytes(b"II*\0")
    with pytest.raises(PackageError, match="is no model package"):
        open_package(tmp_path / "image.tif")
    with pytest.raises(PackageError, match="no such file, folder or installed package"):
        open_package(tmp_path / "nowhere")
    with pytest.raises(PackageError, match="nothing is downloaded"):
        open_package("https://example.invalid/model.zip")
    for strange in ("", "\0", "x" * 5000, "~nobody-has-this-name/x"):
        with pytest.raises(PackageError):
            open_package(strange)


def test_a_file_changed_after_opening_is_not_read(tmp_path: Path) -> None:
    package = open_package(write_package(tmp_path))
    path = package.file(package.description.documentation)
    assert package.read(path).startswith(b"# Toy")
    path.write_text("other")
    with pytest.raises(PackageError, match="changed after the package was opened"):
        package.read(path)


def test_the_description_resolves_files_against_the_package(tmp_path: Path) -> None:
    package = open_package(write_package(tmp_path))
    assert isinstance(package.description, v0_5.ModelDescr)
    tensor = package.description.inputs[0].test_tensor
    assert tensor is not None
    assert Path(str(tensor.source.absolute())) == tmp_path / "test_input.npy"


@pytest.mark.parametrize(
    ("scale", "unit", "said", "expected"),
    [
        (100.0, "nanometer", None, 100.0),
        (0.1, "micrometer", 40.0, 100.0),
        (1.0, None, 20.0, 20.0),  # deepImageJ would take a scale of 20 for an enlargement
        (1.0, None, None, None),
        (1.0, "inch", 20.0, None),  # no unit of microscopes
    ],
)
def test_the_pixel_size_is_the_axis_s_own_or_the_configuration_s(
    tmp_path: Path, scale: float, unit: str | None, said: float | None, expected: float | None
) -> None:
    def change(content: dict[str, Any]) -> None:
        for axis in (*content["inputs"][0]["axes"][2:], *content["outputs"][0]["axes"][2:]):
            axis |= {"scale": scale} | ({"unit": unit} if unit else {})
        if said is not None:
            content["config"] = {"zoobridge": {"pixel_size_nm": said}}

    package = open_package(write_package(tmp_path, change))
    description = package.description
    image = xr.DataArray(np.zeros((32, 32), np.float32), dims=("y", "x"))
    image.attrs["pixel_size_nm"] = {"y": 65.0, "x": 65.0}

    found = pixel_size_nm(description, description.inputs[0], "x")
    assert found == (None if expected is None else pytest.approx(expected))
    told = bind({"input": image}, description, read_geometry(description)).warnings
    assert any(f"made for {expected or 0:g} nm" in text for text in told) == bool(expected)


def test_opening_a_package_imports_no_torch() -> None:
    code = "import sys, bridge.zoo.package, bridge.zoo.catalog; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_nothing_is_printed_while_opening(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    open_package(write_package(tmp_path, set_to("tags", [])))
    with pytest.raises(PackageError):
        open_package(write_package(tmp_path, set_to("name", "x")))
    assert capfd.readouterr() == ("", "")


def test_real_packages_open(zoo_packages: Path) -> None:
    package = open_package(zoo_packages / "unet2d_multi_tensor")
    assert [str(t.id) for t in package.description.inputs] == ["input0", "input1"]
    assert package.weights["torchscript"].problem == ""
    assert "multi_tensor_unet.py is missing" in package.weights["pytorch_state_dict"].problem
    nuclei = open_package(zoo_packages / "unet2d_nuclei_broad")
    assert nuclei.weights["pytorch_state_dict"].url is not None
    assert nuclei.weights["onnx"].problem == ""


def test_a_real_invalid_description_is_refused(zoo_packages: Path) -> None:
    name = "invalid_v0_4_0_duplicate_tensor_names.bioimageio.yaml"
    with pytest.raises(PackageError, match="Duplicate tensor descriptor names"):
        open_package(zoo_packages / "unet2d_nuclei_broad" / name)
