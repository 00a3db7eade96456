from __future__ import annotations

import tempfile
from pathlib import Path

from bridge.jobs.crash import write_crash_log


def crash() -> Exception:
    try:
        raise ValueError("a très odd \udcff value")
    except ValueError as error:
        return error


def test_the_log_holds_trace_command_and_versions(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "new"))
    path = write_crash_log(crash(), ["predict", "--input", "ä b.tif"])
    text = path.read_text(encoding="utf-8")
    assert path.is_relative_to(tmp_path / "new")
    assert "['zoobridge', 'predict', '--input', 'ä b.tif']" in text
    assert "Traceback" in text
    assert "a très odd" in text
    assert "Python 3" in text


def test_a_log_folder_that_cannot_be_written_is_no_second_crash(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file where a folder should be")
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = write_crash_log(crash(), [])
    assert path.parent == Path(tmp_path)
    assert "Traceback" in path.read_text(encoding="utf-8")
