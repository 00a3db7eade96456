from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.errors import PackageError, TrustError
from bridge.zoo import places, trust

ONE, OTHER = "1" * 64, "2" * 64


def ask(sha256: str, *, agreed: bool = False, root: Path | None = None) -> None:
    trust.require(sha256, "its file net.py (UNet)", source="model.zip", trust=agreed, root=root)


def test_without_consent_the_code_and_the_remedy_are_named() -> None:
    with pytest.raises(TrustError) as error:
        ask(ONE)
    assert "model.zip" in str(error.value)
    assert "net.py (UNet)" in str(error.value)
    assert "--trust" in str(error.value)
    assert "ONNX" in str(error.value)


def test_consent_is_remembered_for_this_content_only(home: Path) -> None:
    ask(ONE, agreed=True)
    ask(ONE)
    assert trust.is_trusted(ONE)
    assert not trust.is_trusted(OTHER)
    with pytest.raises(TrustError):
        ask(OTHER)
    consent = json.loads((home / "data" / "trusted" / f"{ONE}.json").read_text())
    assert consent["source"] == "model.zip"


def test_consent_can_be_withdrawn() -> None:
    ask(ONE, agreed=True)
    assert trust.forget(ONE)
    assert not trust.forget(ONE)
    with pytest.raises(TrustError):
        ask(ONE)


def test_no_half_file_is_left_behind(home: Path) -> None:
    ask(ONE, agreed=True)
    ask(ONE, agreed=True)
    assert [p.name for p in (home / "data" / "trusted").iterdir()] == [f"{ONE}.json"]


def test_consent_that_cannot_be_remembered_holds_once_and_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        ask(ONE, agreed=True)
    assert "could not be remembered" in caplog.text
    assert not trust.is_trusted(ONE)


@pytest.mark.parametrize("strange", ["", "../../x", "A" * 64, "1" * 63])
def test_what_is_no_hash_is_no_file_name(strange: str) -> None:
    with pytest.raises(PackageError, match="is no SHA-256"):
        ask(strange, agreed=True)


def test_packages_that_ship_with_zoobridge_are_trusted_by_their_place(tmp_path: Path) -> None:
    shipped = places.embedded_dir()
    ask(ONE, root=shipped / "deep-storm")
    assert not trust.is_trusted(ONE)
    for root in (shipped, shipped / ".." / "deep_storm", tmp_path / "deep-storm", None):
        with pytest.raises(TrustError):
            ask(ONE, root=root)


def test_asking_for_consent_needs_neither_torch_nor_the_format_library() -> None:
    code = "import sys, bridge.zoo.trust; print({'torch', 'bioimageio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
