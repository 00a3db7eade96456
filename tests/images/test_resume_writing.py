"""Interrupted outputs: a killed run leaves no output, and its key continues where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from image_files import ramp

from bridge.errors import Cancelled, OutputError
from bridge.images.journal import Journal
from bridge.images.read import open_image
from bridge.images.write import ImageWriter

ENDINGS = [".tif", ".zarr"]
SHAPE = (3, 64, 48)
FORM = {"dims": ("t", "y", "x"), "shape": SHAPE, "dtype": "float32"}
PIXELS = ramp(SHAPE, "float32")


def write_steps(writer, *, stop_before=None):
    """Write rows of 16; give the steps that were really computed."""
    computed = []
    for t in range(SHAPE[0]):
        for y in range(0, SHAPE[1], 16):
            step = f"{t} {y}"
            if step in writer.finished:
                continue
            if step == stop_before:
                raise Cancelled
            rows = slice(y, y + 16)
            writer.write({"t": slice(t, t + 1), "y": rows}, PIXELS[t : t + 1, rows])
            writer.mark(step)
            computed.append(step)
    return computed


def leave_unfinished(path, **options):
    with pytest.raises(Cancelled), ImageWriter(path, **(FORM | {"key": "k"} | options)) as writer:
        write_steps(writer, stop_before="1 32")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cancelled_run_continues_with_its_key(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    leave_unfinished(path)
    assert names_in(tmp_path) == [f".a{ending}.part", f".a{ending}.part.journal"]
    with ImageWriter(path, **FORM, key="k", resume=True) as writer:
        assert len(writer.finished) == 6
        computed = write_steps(writer)
    assert computed[0] == "1 32"
    assert len(computed) == 6
    np.testing.assert_array_equal(open_image(path).values, PIXELS)
    assert names_in(tmp_path) == [path.name]


_KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
from test_resume_writing import FORM, write_steps
from bridge.images.write import ImageWriter
from bridge.errors import Cancelled
with ImageWriter(sys.argv[1], **FORM, key="k") as writer:
    try:
        write_steps(writer, stop_before="2 16")
    except Cancelled:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_run_leaves_no_output_and_continues_to_the_same_pixels(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    words = [sys.executable, "-c", _KILLED, str(path), os.path.dirname(__file__)]  # noqa: PTH120
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=os.environ)
    assert done.returncode == -9, done.stderr
    assert not path.exists()
    with ImageWriter(path, **FORM, key="k", resume=True) as writer:
        assert len(writer.finished) == 9
        assert write_steps(writer) == ["2 16", "2 32", "2 48"]
    np.testing.assert_array_equal(open_image(path).values, PIXELS)
    assert names_in(tmp_path) == [path.name]


@pytest.mark.parametrize(
    "change", [{"key": "other"}, {"dtype": "uint16"}, {"shape": (3, 64, 49)}, {"key": "k", "x": 1}]
)
def test_an_unfinished_output_of_other_settings_is_refused_and_kept(tmp_path, change):
    path = tmp_path / "a.tif"
    leave_unfinished(path)
    if change.pop("x", None):
        change["pixel_size_nm"] = {"y": 1.0, "x": 1.0}
    options = FORM | {"key": "k", "resume": True} | change
    with pytest.raises(OutputError) as caught, ImageWriter(path, **options):
        pass
    assert "another run or other settings" in str(caught.value)
    assert caught.value.remedy
    with ImageWriter(path, **FORM, key="k", resume=True) as writer:
        assert len(writer.finished) == 6
        write_steps(writer)


@pytest.mark.parametrize("options", [{"key": "other"}, {"key": ""}, {"key": "", "resume": True}])
def test_without_resuming_or_key_a_leftover_is_replaced(tmp_path, options):
    path = tmp_path / "a.tif"
    leave_unfinished(path)
    with ImageWriter(path, **FORM, **options) as writer:
        assert writer.finished == frozenset()
        assert len(write_steps(writer)) == 12
    assert names_in(tmp_path) == ["a.tif"]


def test_resuming_without_a_leftover_starts(tmp_path):
    with ImageWriter(tmp_path / "a.tif", **FORM, key="k", resume=True) as writer:
        assert writer.finished == frozenset()
        write_steps(writer)
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").values, PIXELS)


def test_a_journal_without_its_pixels_starts_anew(tmp_path):
    path = tmp_path / "a.tif"
    leave_unfinished(path)
    (tmp_path / ".a.tif.part").unlink()
    with ImageWriter(path, **FORM, key="k", resume=True) as writer:
        assert writer.finished == frozenset()
        write_steps(writer)
    np.testing.assert_array_equal(open_image(path).values, PIXELS)


def test_a_run_may_be_interrupted_more_than_once(tmp_path):
    path = tmp_path / "a.tif"
    leave_unfinished(path)
    with (
        pytest.raises(Cancelled),
        ImageWriter(path, **FORM, key="k", resume=True) as writer,
    ):
        write_steps(writer, stop_before="2 0")
    with ImageWriter(path, **FORM, key="k", resume=True) as writer:
        assert len(writer.finished) == 8
        write_steps(writer)
    np.testing.assert_array_equal(open_image(path).values, PIXELS)


def as_if_rebooted(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line | {"boot": "an earlier one"} if "boot" in line else line for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_after_a_power_cut_only_synced_steps_count(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path, what="a.tif")
    journal.begin(key="k", layout={})
    journal.add_step("one")
    journal.add_synced()
    journal.add_step("two")
    journal.close(remove=False)
    again = Journal(path, what="a.tif")
    assert again.finished == {"one", "two"}
    again.close(remove=False)
    as_if_rebooted(path)
    later = Journal(path, what="a.tif")
    assert later.finished == {"one"}
    later.go_on()
    later.add_step("three")
    later.close(remove=False)
    last = Journal(path, what="a.tif")
    assert last.finished == {"one", "three"}
    last.close(remove=True)
    assert not path.exists()


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path):
    path = tmp_path / "j"
    journal = Journal(path, what="a.tif")
    journal.begin(key="k", layout={"offset": 8})
    journal.add_step("one")
    journal.close(remove=False)
    with path.open("a") as file:
        file.write('{"step": "tw')
    again = Journal(path, what="a.tif")
    assert again.finished == {"one"}
    assert again.header["layout"] == {"offset": 8}
    again.close(remove=False)
