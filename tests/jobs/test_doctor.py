from __future__ import annotations

import json
import os
import stat

import pytest

from bridge.cli import main
from bridge.jobs import examination
from bridge.jobs.examination import STEPS, Finding, Step, examine


def by_name(name: str) -> Step:
    return next(step for step in STEPS if step.name == name)


def test_a_healthy_machine_passes_with_every_engine_run(capsys):
    exit_code = main(["doctor"])
    out, err = capsys.readouterr()
    status = json.loads(out.splitlines()[-1])
    found = {check["part"]: check for check in status["outputs"]["checks"]}
    assert exit_code == 0, err
    for engine in ("torch", "onnxruntime"):
        assert found[engine]["level"] == "ok"
        assert "ran a small network" in found[engine]["found"]
    assert {"Python", "CPU", "GPU", "data folder", "cache folder", "disk", "memory"} <= set(found)
    assert "All that zoobridge needs works here." in err


def test_a_required_part_that_fails_makes_the_doctor_fail(capsys, monkeypatch):
    def broken() -> list[Finding]:
        raise OSError("libtorch.so: cannot open\nmore")

    monkeypatch.setattr(examination, "STEPS", (Step("torch", broken),))
    exit_code = main(["doctor"])
    out, err = capsys.readouterr()
    status = json.loads(out.splitlines()[-1])
    assert exit_code == 1
    assert status["error"]["what"] == "torch"
    assert status["error"]["found"] == "OSError: libtorch.so: cannot open"
    assert status["outputs"]["checks"][0]["level"] == "fail"
    assert "Error: torch" in err


def test_an_optional_part_that_fails_is_only_a_warning():
    def broken() -> list[Finding]:
        raise RuntimeError

    (finding,) = examine(Step("Java", broken, is_required=False))
    assert finding.level == "warn"


def test_an_engine_that_computes_nonsense_fails():
    (finding,) = examination._judge("torch", examination._image() * 0, "")
    assert (finding.level, finding.part) == ("fail", "torch")
    assert "gave 0 for a network whose answer is 9" in finding.found


def test_a_version_out_of_bounds_is_found(monkeypatch):
    needed = ["numpy<1", "torch", "no-such-package>2", "openvino<1; extra == 'openvino'"]
    monkeypatch.setattr(examination.metadata, "requires", lambda name: needed)
    (finding,) = examine(by_name("versions"))
    assert finding.level == "fail"
    assert finding.found.startswith("numpy ")
    assert finding.found.endswith("needed <1")


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setattr(examination, "_LIBRARIES", ("numpy", "no-such-package"))
    findings = examine(by_name("libraries"))
    assert [f.level for f in findings] == ["ok", "fail"]
    assert "no-such-package" in findings[1].found


def test_folders_that_cannot_be_written_fail(tmp_path, monkeypatch):
    blocked = tmp_path / "blocked"
    blocked.mkdir()

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("ZOOBRIDGE_HOME", str(blocked / "deep" / "er"))
    monkeypatch.setattr(examination.tempfile, "TemporaryFile", refuse)
    findings = examine(by_name("folders"))
    assert [f.level for f in findings] == ["fail", "fail"]
    assert "ZOOBRIDGE_HOME" in findings[0].remedy
    assert list(blocked.iterdir()) == [], "the doctor creates nothing"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Java is a shell script")
def test_java_is_looked_for_in_java_home_first(tmp_path, monkeypatch):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"99\"' >&2\n")
    java.chmod(java.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    (finding,) = examine(by_name("Java"))
    assert finding.level == "ok"
    assert finding.found == f'openjdk version "99", {java}'


def test_little_memory_and_disk_are_warnings(monkeypatch):
    monkeypatch.setattr("bridge.runtime.memory.available_bytes", lambda: 1 << 20)
    monkeypatch.setattr(examination, "_LEAST_DISK_GIB", 1e9)
    assert examine(by_name("memory"))[0].level == "warn"
    assert examine(by_name("disk"))[0].level == "warn"
