from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_archive import pack
from toy_packages import write_package, write_package_04

from bridge.errors import PackageError
from bridge.zoo import catalog, places
from bridge.zoo.package import open_package


def installed() -> list[str]:
    return [entry.name for entry in catalog.installed() if entry.kind == "installed"]


def test_an_added_package_is_found_by_its_slug_and_opens(tmp_path: Path, home: Path) -> None:
    folder = write_package(tmp_path / "toy")
    (folder / "unrelated.txt").write_text("stays here")
    entry = catalog.add(folder)
    assert (entry.name, entry.kind, entry.title) == ("toy-model", "installed", "Toy model")
    assert entry.description == "A convolution."
    assert catalog.find("toy-model") == entry.path == home / "data" / "packages" / "toy-model"
    assert catalog.find("Toy Model") == entry.path
    assert open_package("toy-model").sha256 == open_package(folder).sha256
    assert not (entry.path / "unrelated.txt").exists()
    shutil.rmtree(folder)
    assert open_package("toy-model").weights["onnx"].problem == ""


def test_a_zip_and_an_old_format_can_be_added_under_a_name(tmp_path: Path) -> None:
    folder = write_package_04(tmp_path / "toy")
    entry = catalog.add(pack(folder, tmp_path / "toy.zip"), name="My Model (2)")
    assert entry.name == "my-model-2"
    assert open_package("my-model-2").sha256 == open_package(folder).sha256


def test_files_that_are_links_are_copied_under_their_names(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "toy")
    (folder / "blobs").mkdir()
    (folder / "weights.pt").rename(folder / "blobs" / "1")
    (folder / "weights.pt").symlink_to("blobs/1")
    copy = catalog.add(folder).path / "weights.pt"
    assert copy.is_file()
    assert not copy.is_symlink()


def test_a_taken_name_needs_overwrite(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "toy")
    catalog.add(folder)
    write_package(folder, lambda content: content.update(description="Changed."))
    with pytest.raises(PackageError, match="installed already"):
        catalog.add(folder)
    assert catalog.add(folder, overwrite=True).description == "Changed."
    assert installed() == ["toy-model"]


def test_what_cannot_be_opened_is_not_added(tmp_path: Path, home: Path) -> None:
    folder = write_package(tmp_path / "toy")
    (folder / "weights.pt").write_bytes(b"changed")
    with pytest.raises(PackageError, match="SHA-256"):
        catalog.add(folder)
    assert not (home / "data" / "packages").exists()
    with pytest.raises(PackageError, match="no letter or digit"):
        catalog.add(write_package(folder), name="!?")


def test_removing_leaves_nothing_behind(tmp_path: Path, home: Path) -> None:
    catalog.add(write_package(tmp_path / "toy"))
    catalog.remove("toy-model")
    assert list((home / "data" / "packages").iterdir()) == []
    with pytest.raises(PackageError, match="no such file, folder or installed package"):
        catalog.remove("toy-model")


def test_an_unknown_name_lists_close_and_known_names(tmp_path: Path) -> None:
    catalog.add(write_package(tmp_path / "toy"))
    with pytest.raises(PackageError, match="Did you mean toy-model"):
        open_package("toymodel")
    with pytest.raises(PackageError, match=r"Installed are: .*toy-model"):
        open_package("zzz")


@pytest.mark.parametrize("name", ["..", ".", "/", "../packages/toy-model"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(PackageError):
        catalog.find(name)


def test_packages_that_ship_are_listed_first_and_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "shipped"
    write_package(shipped / "deep-toy")
    monkeypatch.setattr(places, "embedded_dir", lambda: shipped)
    catalog.add(shipped / "deep-toy", name="another")
    assert [(e.name, e.kind) for e in catalog.installed()] == [
        ("deep-toy", "embedded"),
        ("another", "installed"),
    ]
    with pytest.raises(PackageError, match="ships with zoobridge"):
        catalog.add(shipped / "deep-toy", name="deep-toy", overwrite=True)
    with pytest.raises(PackageError, match="cannot be removed"):
        catalog.remove("deep-toy")
    assert open_package("deep-toy").root == shipped / "deep-toy"


def test_a_broken_installed_package_is_listed_with_its_fault(home: Path) -> None:
    (home / "data" / "packages" / "broken").mkdir(parents=True)
    entry = next(e for e in catalog.installed() if e.name == "broken")
    assert "holds no description" in entry.description
