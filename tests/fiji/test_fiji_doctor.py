from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.fiji.doctor import steps, version_key
from bridge.fiji.install import install, plan_install
from bridge.jobs.examination import Finding, examine

JARS = (
    "ij-1.54p",
    "scijava-common-2.100.1",
    "imagej-legacy-2.0.4",
    "scripting-groovy-1.0.1",
    "appose-0.11.0",
    "jna-5.14.0",
    "jna-platform-5.14.0",
)


@pytest.fixture
def fiji(tmp_path: Path) -> Path:
    root = tmp_path / "Fiji.app"
    for folder in ("jars", "plugins", "scripts", "macros"):
        (root / folder).mkdir(parents=True)
    for jar in JARS:
        (root / "jars" / f"{jar}.jar").touch()
    (root / "fiji-linux-x64").touch()
    return root


def look(name: str, path: Path | None = None) -> list[Finding]:
    return examine(next(step for step in steps(path) if step.name == name))


def test_all_links_work_here_and_each_was_really_tried(fiji, capsys):
    install(plan_install(fiji))
    assert main(["fiji", "doctor", str(fiji)]) == 0, capsys.readouterr().err
    out, err = capsys.readouterr()
    checks = json.loads(out.splitlines()[-1])["outputs"]["checks"]
    found = {check["part"]: check["found"] for check in checks}
    assert list(found) == [
        "Python",
        "libraries",
        "versions",
        "Java",
        "packages for Fiji",
        "Fiji",
        "jars",
        "installed",
        "its Python",
        "Appose worker",
        "shared memory",
        "round trip",
    ]
    assert {check["level"] for check in checks if check["part"] != "Java"} == {"ok"}
    assert "ij 1.54p, scijava-common 2.100.1" in found["jars"]
    assert "jna 5.14.0" in found["jars"]
    assert "started and computed" in found["Appose worker"]
    assert "16 MiB written and read" in found["shared memory"]
    assert "64 x 64 pixels gave 512 x 512" in found["round trip"]
    assert "All that zoobridge needs for Fiji works here." in err


def test_without_a_folder_only_this_python_is_looked_at():
    names = [step.name for step in steps(None)]
    assert "Fiji" not in names
    assert names[-1] == "round trip"


def test_what_is_no_fiji_fails_with_the_reason(tmp_path):
    (finding,) = look("Fiji", tmp_path)
    assert finding.level == "fail"
    assert "neither Fiji nor ImageJ" in finding.found


def test_fijis_own_java_is_told(fiji):
    home = fiji / "java" / "linux64" / "zulu21"
    home.mkdir(parents=True)
    (home / "release").write_text('IMPLEMENTOR="Azul"\nJAVA_VERSION="21.0.7"\n')
    (finding,) = look("Fiji", fiji)
    assert "Java 21.0.7 in java/linux64/zulu21" in finding.found


def test_an_old_jna_and_an_old_appose_are_named(fiji):
    for jar in ("jna-5.14.0", "appose-0.11.0"):
        (fiji / "jars" / f"{jar}.jar").unlink()
    for jar in ("jna-3.2.7", "appose-0.8.0"):
        (fiji / "jars" / f"{jar}.jar").touch()
    bad = {finding.found for finding in look("jars", fiji) if finding.level == "fail"}
    assert bad == {"jna 3.2.7 is too old", "appose 0.8.0 is too old"}


def test_two_versions_of_a_jar_are_a_warning(fiji):
    (fiji / "plugins" / "jna-5.9.0.jar").touch()
    findings = look("jars", fiji)
    assert any("5.14.0 and 5.9.0" in f.found for f in findings if f.level == "warn")


def test_no_appose_is_a_warning_not_a_failure(fiji):
    (fiji / "jars" / "appose-0.11.0.jar").unlink()
    findings = look("jars", fiji)
    assert [f.level for f in findings] == ["ok", "warn"]
    assert "slower" in findings[1].found


def test_a_fiji_without_zoobridge_is_told_how_to_install(fiji):
    (finding,) = look("installed", fiji)
    assert finding.level == "warn"
    assert f"zoobridge fiji install {fiji}" in finding.remedy


def test_stale_and_changed_files_are_named(fiji):
    install(plan_install(fiji))
    gone = "scripts/Plugins/ZooBridge/ZooBridge_Predict.groovy"
    (fiji / gone).unlink()
    changed = "macros/ZooBridge/predict_folder.ijm"
    (fiji / changed).write_text("// mine")
    found = {(f.level, f.found) for f in look("installed", fiji)}
    assert ("fail", f"missing, or of another zoobridge: {gone}") in found
    assert ("warn", f"changed by somebody: {changed}") in found


def test_a_python_that_is_gone_is_named(fiji):
    install(plan_install(fiji))
    path = fiji / "zoobridge" / "install.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "python": "/no/such/python"}))
    finding = look("installed", fiji)[-1]
    assert (finding.level, finding.part) == ("fail", "its Python")
    assert "/no/such/python" in finding.found
    assert "--python PATH" in finding.remedy


def test_a_python_without_appose_cannot_start_a_worker(tmp_path, monkeypatch):
    environment = tmp_path / "env"
    command = [sys.executable, "-m", "venv", "--without-pip", str(environment)]
    subprocess.run(command, check=True)
    python = next(p for p in environment.glob("*/python*") if p.is_file())
    monkeypatch.setattr(sys, "executable", str(python))
    (finding,) = look("Appose worker")
    assert finding.level == "fail"
    assert "No module named 'appose'" in finding.found
    assert finding.remedy.endswith("-m pip install --upgrade appose")


def test_versions_compare_as_imagej_counts_them():
    assert version_key("1.53t") == [(1, ""), (53, "t")]
    assert version_key("1.53t") < version_key("1.54") < version_key("1.54p")
    assert version_key("3.2.7") < version_key("5.0") < version_key("5.14.0-x")
    assert version_key("0.9.0") < version_key("0.10.0")
