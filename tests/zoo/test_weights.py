from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from toy_packages import described, make_network, make_onnx, write_package

from bridge.errors import PackageError, TrustError
from bridge.zoo import places, trust
from bridge.zoo.onnx_weights import read_onnx
from bridge.zoo.package import Package, open_package
from bridge.zoo.weights import load_torch

FORMATS = ("pytorch_state_dict", "torchscript")


def rewrite(folder: Path, write: Callable[[Path], object], name: str = "weights.pt") -> Package:
    """Change a file of a package and describe it with its right hash."""
    write_package(folder)
    write(folder / name)

    changed = (folder / name).read_bytes()

    def describe_again(content: dict[str, Any]) -> None:
        (folder / name).write_bytes(changed)
        for entry in content["weights"].values():
            if entry["source"] == name:
                entry.update(described(folder / name))
        architecture = content["weights"]["pytorch_state_dict"]["architecture"]
        if architecture["source"] == name:
            architecture.update(described(folder / name))

    write_package(folder, describe_again)
    return open_package(folder)


@pytest.mark.parametrize("format", FORMATS)
def test_a_loaded_network_reproduces_the_test_output(tmp_path: Path, format: Any) -> None:
    package = open_package(write_package(tmp_path))
    network = load_torch(package, format, trust=True)
    assert not network.training
    assert {(p.dtype, p.device.type) for p in network.parameters()} == {(torch.float32, "cpu")}
    with torch.no_grad():
        found = network(torch.from_numpy(np.load(tmp_path / "test_input.npy")))
    np.testing.assert_allclose(found.numpy(), np.load(tmp_path / "test_output.npy"), atol=1e-6)


def test_onnx_is_read_as_bytes_that_run(tmp_path: Path) -> None:
    content = read_onnx(open_package(write_package(tmp_path)))
    assert isinstance(content, bytes)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"input": np.load(tmp_path / "test_input.npy")})
    np.testing.assert_allclose(found, np.load(tmp_path / "test_output.npy"), atol=1e-6)


def test_architecture_code_does_not_run_without_consent(tmp_path: Path) -> None:
    code = f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    package = rewrite(
        tmp_path / "toy", lambda path: path.write_text(code + path.read_text()), "net.py"
    )
    with pytest.raises(TrustError, match=r"net\.py \(Toy\)"):
        load_torch(package, "pytorch_state_dict")
    assert not (tmp_path / "ran").exists()
    load_torch(package, "torchscript")
    assert not (tmp_path / "ran").exists()
    load_torch(package, "pytorch_state_dict", trust=True)
    assert (tmp_path / "ran").exists()
    load_torch(package, "pytorch_state_dict")  # remembered
    trust.forget(package.sha256)
    with pytest.raises(TrustError):
        load_torch(package, "pytorch_state_dict")


def test_consent_to_one_content_is_none_to_another(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    load_torch(open_package(folder), "pytorch_state_dict", trust=True)
    package = rewrite(folder, lambda path: path.write_text(path.read_text() + "#"), "net.py")
    with pytest.raises(TrustError):
        load_torch(package, "pytorch_state_dict")


def test_an_architecture_changed_after_opening_does_not_run(tmp_path: Path) -> None:
    package = open_package(write_package(tmp_path))
    (tmp_path / "net.py").write_text("raise SystemExit")
    with pytest.raises(PackageError, match="changed after the package was opened"):
        load_torch(package, "pytorch_state_dict", trust=True)


def test_packages_that_ship_need_no_consent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = open_package(write_package(tmp_path / "shipped" / "toy"))
    monkeypatch.setattr(places, "embedded_dir", lambda: tmp_path / "shipped")
    load_torch(package, "pytorch_state_dict")


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (open, (self.path, "w"))


@pytest.mark.parametrize("save", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: {"conv.weight": evil}])
def test_a_pickle_with_code_is_refused_and_never_executed(
    tmp_path: Path, save: Any, wrap: Any
) -> None:
    evil = wrap(Evil(tmp_path / "ran"))
    package = rewrite(tmp_path / "toy", lambda path: save(evil, path))
    with pytest.raises(PackageError, match=r"weights\.pt .* (holds more|cannot be read)"):
        load_torch(package, "pytorch_state_dict", trust=True)
    assert not (tmp_path / "ran").exists()


def test_a_whole_pickled_network_is_refused_with_its_class(tmp_path: Path) -> None:
    package = rewrite(tmp_path, lambda path: torch.save(torch.nn.ReLU(), path))
    with pytest.raises(PackageError, match=r"torch\.nn\.modules\.activation\.ReLU.*state_dict"):
        load_torch(package, "pytorch_state_dict", trust=True)


def state(**changes: Any) -> dict[str, Any]:
    tensors = {**make_network().state_dict(), **changes}
    return {key: value for key, value in tensors.items() if value is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"state_dict": state()}, "more than tensors under state_dict"),
        ({"epoch": 3, **state()}, "more than tensors under epoch"),
        ([torch.zeros(1)], "holds a list"),
        (state(**{"conv.bias": None}), r"lacks conv\.bias"),
        (state(extra=torch.zeros(1)), "has extra, unknown to the architecture"),
        (
            state(**{"conv.weight": torch.zeros(1, 1, 5, 5)}),
            r"conv\.weight \(1 x 1 x 5 x 5 instead of 1 x 1 x 3 x 3\)",
        ),
        ({f"module.{key}": value for key, value in state().items()}, "DataParallel"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_their_names(
    tmp_path: Path, content: Any, message: str
) -> None:
    package = rewrite(tmp_path, lambda path: torch.save(content, path))
    with pytest.raises(PackageError, match=message):
        load_torch(package, "pytorch_state_dict", trust=True)


def test_missing_tensors_pass_where_the_description_is_not_strict(tmp_path: Path) -> None:
    def relax(content: dict[str, Any]) -> None:
        content["weights"]["pytorch_state_dict"]["strict"] = False

    folder = tmp_path
    write_package(folder)
    torch.save(state(**{"conv.bias": None}), folder / "weights.pt")
    kept = (folder / "weights.pt").read_bytes()

    def change(content: dict[str, Any]) -> None:
        (folder / "weights.pt").write_bytes(kept)
        content["weights"]["pytorch_state_dict"].update(described(folder / "weights.pt"))
        relax(content)

    network = load_torch(
        open_package(write_package(folder, change)), "pytorch_state_dict", trust=True
    )
    torch.testing.assert_close(network.get_parameter("conv.weight"), state()["conv.weight"])


def test_weights_of_which_nothing_fits_are_refused_even_if_not_strict(tmp_path: Path) -> None:
    write_package(tmp_path)
    torch.save({"other": torch.zeros(1)}, tmp_path / "weights.pt")
    kept = (tmp_path / "weights.pt").read_bytes()

    def change(content: dict[str, Any]) -> None:
        (tmp_path / "weights.pt").write_bytes(kept)
        entry = content["weights"]["pytorch_state_dict"]
        entry.update(described(tmp_path / "weights.pt"), strict=False)

    with pytest.raises(PackageError, match="lacks"):
        load_torch(open_package(write_package(tmp_path, change)), "pytorch_state_dict", trust=True)


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    half = {key: value.half() for key, value in state().items()}
    package = rewrite(tmp_path, lambda path: torch.save(half, path))
    network = load_torch(package, "pytorch_state_dict", trust=True)
    assert {p.dtype for p in network.parameters()} == {torch.float32}


LOADERS = {
    "weights.pt": lambda package: load_torch(package, "pytorch_state_dict", trust=True),
    "script.pt": lambda package: load_torch(package, "torchscript"),
    "net.onnx": read_onnx,
}


@pytest.mark.parametrize("name", LOADERS)
def test_damaged_weights_are_refused_with_a_sentence(tmp_path: Path, name: str) -> None:
    write_package(tmp_path)
    whole = (tmp_path / name).read_bytes()
    for content in (b"", b"garbage", whole[: len(whole) // 2], b"PK\x03\x04" + bytes(99)):
        package = rewrite(tmp_path, lambda path, c=content: path.write_bytes(c), name)
        with pytest.raises(PackageError, match=name):
            LOADERS[name](package)


def test_torchscript_given_as_state_dict_is_named_so(tmp_path: Path) -> None:
    write_package(tmp_path)
    script = (tmp_path / "script.pt").read_bytes()
    package = rewrite(tmp_path, lambda path: path.write_bytes(script))
    with pytest.raises(PackageError, match="is a TorchScript network"):
        load_torch(package, "pytorch_state_dict", trust=True)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("this is no Python", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("import no_such_library.part", "no_such_library, which is not installed"),
        ("Other = 1", "defines no Toy"),
        ("Toy = 1", "defines no Toy"),
        ("def Toy(width): return 3", "gives a int"),
        ("def Toy(): pass", "TypeError.*width"),
        ("def Toy(width): raise SystemExit", "SystemExit"),
        ("x = '\\0' \n\0", "net.py"),
    ],
)
def test_an_architecture_that_fails_is_refused_with_a_sentence(
    tmp_path: Path, code: str, message: str
) -> None:
    package = rewrite(tmp_path, lambda path: path.write_text(code), "net.py")
    with pytest.raises(PackageError, match=message):
        load_torch(package, "pytorch_state_dict", trust=True)


def test_an_architecture_may_hold_a_dataclass_and_reads_its_own_annotations(tmp_path: Path) -> None:
    code = (
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Size:\n    n: int = 1\n"
        "assert Size.__annotations__['n'] is int\n"  # ours are strings, and that must not spread
    )

    def extend(path: Path) -> None:
        path.write_text(code + path.read_text())

    load_torch(rewrite(tmp_path, extend, "net.py"), "pytorch_state_dict", trust=True)


def conv_state(path: Path) -> None:
    torch.save(torch.nn.Conv2d(1, 1, 3).state_dict(), path)


def library_package(folder: Path, **architecture: Any) -> Package:
    write_package(folder)
    conv_state(folder / "weights.pt")
    kept = (folder / "weights.pt").read_bytes()

    def change(content: dict[str, Any]) -> None:
        (folder / "weights.pt").write_bytes(kept)
        entry = content["weights"]["pytorch_state_dict"]
        entry.update(described(folder / "weights.pt"), architecture=architecture)

    return open_package(write_package(folder, change))


CONV = {"in_channels": 1, "out_channels": 1, "kernel_size": 3}


def test_a_network_class_of_torch_needs_no_consent(tmp_path: Path) -> None:
    package = library_package(tmp_path, import_from="torch.nn", callable="Conv2d", kwargs=CONV)
    assert isinstance(load_torch(package, "pytorch_state_dict"), torch.nn.Conv2d)


@pytest.mark.parametrize(
    ("where", "name", "kwargs"),
    [
        ("torch.hub", "load", {"repo_or_dir": "evil/evil", "model": "evil"}),
        ("torch", "load", {"f": "evil"}),
        ("torch.utils.cpp_extension", "load", {"name": "x", "sources": ["x.cpp"]}),
        ("torch.nn", "Conv2d", {**CONV, "pretrained": True}),
        ("torch_evil", "Net", {}),
        ("os", "system", {"command": "true"}),
    ],
)
def test_other_callables_of_libraries_need_consent(
    tmp_path: Path, where: str, name: str, kwargs: Any
) -> None:
    package = library_package(tmp_path, import_from=where, callable=name, kwargs=kwargs)
    with pytest.raises(TrustError, match=name):
        load_torch(package, "pytorch_state_dict")


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    package = library_package(
        tmp_path, import_from="no_such_library.nets", callable="Net", kwargs={}
    )
    with pytest.raises(PackageError, match="no_such_library, which is not installed"):
        load_torch(package, "pytorch_state_dict", trust=True)


def test_weights_by_url_raise_an_error_with_the_url_when_needed(tmp_path: Path) -> None:
    url = "https://example.invalid/weights.pt"

    def remote(content: dict[str, Any]) -> None:
        content["weights"]["torchscript"]["source"] = url
        del content["weights"]["onnx"]

    package = open_package(write_package(tmp_path, remote))
    with pytest.raises(PackageError, match=url) as error:
        load_torch(package, "torchscript")
    assert "pytorch_state_dict" in error.value.expected
    with pytest.raises(PackageError, match="has no onnx weights"):
        read_onnx(package)


def external(path: Path, location: str) -> None:
    """Store the tensors of the toy network outside of its ONNX file."""
    model = make_onnx(make_network())
    at = 0
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", str(at)), ("length", str(len(raw)))):
            tensor.external_data.add(key=key, value=value)
        with (path.parent / "net.onnx.data").open("r+b" if at else "wb") as stream:
            stream.seek(at)
            stream.write(raw)
        at += 4096
    path.write_bytes(model.SerializeToString())


def test_external_tensors_are_read_from_the_file_the_description_names(tmp_path: Path) -> None:
    write_package(tmp_path)
    external(tmp_path / "net.onnx", "net.onnx.data")
    kept = (tmp_path / "net.onnx").read_bytes()

    def change(content: dict[str, Any]) -> None:
        (tmp_path / "net.onnx").write_bytes(kept)
        content["weights"]["onnx"].update(
            described(tmp_path / "net.onnx"),
            external_data=described(tmp_path / "net.onnx.data"),
        )

    found = read_onnx(open_package(write_package(tmp_path, change)))
    assert found == (tmp_path / "net.onnx").resolve()
    session = onnxruntime.InferenceSession(str(found), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"input": np.load(tmp_path / "test_input.npy")})
    np.testing.assert_allclose(output, np.load(tmp_path / "test_output.npy"), atol=1e-6)


@pytest.mark.parametrize("location", ["net.onnx.data", "../secret", "/etc/hostname", ""])
def test_external_tensors_from_other_files_are_refused(tmp_path: Path, location: str) -> None:
    package = rewrite(tmp_path / "toy", lambda path: external(path, location), "net.onnx")
    with pytest.raises(PackageError, match="takes tensors from a file"):
        read_onnx(package)


def test_real_torchscript_and_onnx_agree(zoo_packages: Path) -> None:
    package = open_package(zoo_packages / "unet2d_nuclei_broad")
    network = load_torch(package, "torchscript")
    image = np.random.default_rng(0).normal(size=(1, 1, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    content = read_onnx(package)
    assert isinstance(content, bytes)
    model = onnx.load_model_from_string(content)
    assert model.graph.input[0].name
    assert expected.shape == (1, 1, 64, 64)
