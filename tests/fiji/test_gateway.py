"""The way into a Fiji, and ``zoobridge fiji macro``.

Those marked ``fiji`` run in the ImageJ2 or Fiji folder that ZOOBRIDGE_FIJI names, of which a copy
made of hard links is used, as Fiji keeps notes of its scripts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plain_imagej
import pytest
import tifffile
from java_child import JavaChild
from plain_imagej import MOVIE, Ran

from bridge.errors import InputError, ZooBridgeError
from bridge.fiji.gateway import ENVIRONMENT, FijiError, find_fiji
from bridge.fiji.macro_job import RunMacro
from bridge.progress import silent

PREDICT = 'run("ZooBridge Predict", "model=deep-storm tile=64");'


def jars(folder: Path, *names: str) -> Path:
    (folder / "jars").mkdir(parents=True)
    for name in names:
        (folder / "jars" / name).touch()
    return folder


def test_a_fiji_is_found_by_its_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fiji = jars(tmp_path / "My Fiji", "scijava-common-2.99.2.jar", "imagej-legacy-1.2.1.jar")
    monkeypatch.setenv(ENVIRONMENT, str(fiji))

    assert find_fiji() == find_fiji(fiji) == find_fiji(str(fiji)) == fiji


def test_folders_that_are_no_fiji_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    plain, empty = tmp_path / "ImageJ", tmp_path / "empty"
    plain.mkdir()
    empty.mkdir()
    (plain / "ij.jar").touch()
    half = jars(tmp_path / "half", "scijava-common-2.99.2.jar")

    with pytest.raises(FijiError, match=f"no Fiji folder was given.*{ENVIRONMENT}"):
        find_fiji()
    with pytest.raises(FijiError, match="plain ImageJ"):
        find_fiji(plain)
    with pytest.raises(FijiError, match="no imagej-legacy"):
        find_fiji(half)
    with pytest.raises(InputError, match="neither Fiji nor ImageJ"):
        find_fiji(empty)
    with pytest.raises(InputError, match=r"nothing: .*[Nn]o such"):
        find_fiji(tmp_path / "nothing")


def test_a_macro_is_looked_at_before_anything_starts(tmp_path: Path) -> None:
    script, latin, good = tmp_path / "a.py", tmp_path / "latin.ijm", tmp_path / "good.ijm"
    script.touch()
    latin.write_bytes(b'print("\xb5m");')
    good.touch()
    there = tmp_path / "results"
    there.mkdir()
    (there / "old.tif").touch()

    for job, reason in (
        (RunMacro(macro=tmp_path / "none.ijm"), "no such file"),
        (RunMacro(macro=script), "no ImageJ macro"),
        (RunMacro(macro=latin), "UTF-8"),
        (RunMacro(macro=good, output=str(there)), "old.tif"),
    ):
        with pytest.raises(ZooBridgeError, match=reason):
            job.run(silent)


@pytest.mark.parametrize(
    ("code", "returned", "failure"),
    [
        ("return getArgument();", "two words, ä", ""),
        ('print("fine");', "", ""),
        ("\n\nnothing(3);", "", "Undefined identifier .line 3."),
        ('exit("bad luck");', "", "bad luck"),
        ("exit();", "", "gave no reason"),
        ('open("/no/such/file.tif");', "", "File not found: /no/such/file.tif"),
        ('run("No Such Command");', "", "Unrecognized command: .No Such Command"),
        ("x = newArray(2); print(x[5]);", "", "out of 0-1 range"),
    ],
)
def test_every_end_of_a_macro_is_told(
    plain: JavaChild, tmp_path: Path, code: str, returned: str, failure: str
) -> None:
    ran = plain.call(plain_imagej.run_code, code=code, argument="two words, ä", folder=tmp_path)

    assert ran.returned == returned
    assert bool(ran.failure) == bool(failure)
    assert re.search(failure, ran.failure)


# ---- In a real ImageJ2 or Fiji ----


@pytest.fixture(scope="session")
def fiji_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = os.environ.get(ENVIRONMENT)
    if not given:
        pytest.skip(f"no ImageJ2 or Fiji folder: {ENVIRONMENT} is not set")
    source = find_fiji(given)
    copy = tmp_path_factory.mktemp("fiji") / "Fiji.app"
    try:
        shutil.copytree(source, copy, copy_function=os.link, symlinks=True)
    except OSError:  # another disk
        shutil.rmtree(copy)
        shutil.copytree(source, copy)
    shutil.rmtree(copy / "scripts" / "Plugins" / "ZooBridge", ignore_errors=True)
    return copy


@pytest.fixture(scope="session")
def fiji(fiji_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JavaChild]:
    """A Fiji without windows, started by ``bridge.fiji.session``."""
    child = JavaChild(
        plain_imagej.start_fiji, fiji_dir=fiji_dir, home=tmp_path_factory.mktemp("fiji home")
    )
    yield child
    child.quit()


def do(fiji: JavaChild, folder: Path, code: str) -> Ran:
    ran = fiji.call(plain_imagej.run_code, code=code, argument="", folder=folder)
    assert isinstance(ran, Ran)
    return ran


@pytest.mark.fiji
@pytest.mark.slow
def test_the_selected_image_is_predicted_and_the_result_is_active(
    fiji: JavaChild, tmp_path: Path
) -> None:
    other = 'newImage("other", "8-bit ramp", 60, 60, 1); selectImage("cells.tif");'

    for _ in range(3):  # each on another thread of ImageJ2's, with what the last one left there
        ran = do(fiji, tmp_path, MOVIE + other + PREDICT + "return getTitle();")

        assert not ran.failure
        assert ran.returned == "cells-deep-storm"
        assert list(ran.images) == ["cells.tif", "other", "cells-deep-storm"]
        assert ran.images["cells-deep-storm"]["dimensions"] == (384, 320, 1, 1, 1)


@pytest.mark.fiji
@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (MOVIE + 'run("ZooBridge Predict", "modell=deep-storm");', "Did you mean model"),
        (MOVIE + 'run("ZooBridge Predict", "tile=many");', "tile: 'many'"),
        (MOVIE + 'run("ZooBridge Predict", "engine=magic");', "engine: 'magic'"),
        (MOVIE + "makeRectangle(100, 100, 5, 5);" + PREDICT, "holds no pixel"),
        (MOVIE + "close();" + PREDICT, "no image is open"),
        (PREDICT, "no image is open"),
    ],
)
def test_a_failing_command_ends_the_macro(
    fiji: JavaChild, tmp_path: Path, code: str, reason: str
) -> None:
    ran = do(fiji, tmp_path, code + 'print("went on");')

    assert reason in ran.failure
    assert "went on" not in ran.log


@pytest.mark.fiji
@pytest.mark.slow
def test_macro_functions_work_in_scijava_scripts(fiji: JavaChild, tmp_path: Path) -> None:
    code = """
    run("ZooBridge Macro Extensions");
    status = "";
    title = Ext.zooPredict("model=deep-storm", status);
    bad = Ext.zooPredict("modell=deep-storm", status);
    return title + ";" + bad + ";" + status;
    """

    ran = do(fiji, tmp_path, MOVIE + code)

    assert not ran.failure
    title, bad, status = ran.returned.split(";", 2)
    assert (title, bad) == ("cells-deep-storm", "")
    assert json.loads(status)["error"]["found"] == "there is no key 'modell'"


@pytest.mark.fiji
@pytest.mark.slow
def test_an_image_that_is_nowhere_shown_is_taken_by_ij_run(fiji: JavaChild) -> None:
    assert "unseen-deep-storm" in fiji.call(plain_imagej.predict_unseen)


@pytest.mark.fiji
@pytest.mark.slow
def test_only_one_fiji_runs_in_a_process(fiji: JavaChild, fiji_dir: Path, tmp_path: Path) -> None:
    again, other = fiji.call(plain_imagej.sessions, first=fiji_dir, second=tmp_path / "b")

    assert again == "the same"
    assert "Java runs already" in other
    assert str(fiji_dir) in other


def command(folder: Path, fiji_dir: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Run ``zoobridge fiji macro`` with a Java home of its own."""
    options = f"-Duser.home={folder} -Djava.util.prefs.userRoot={folder}"
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "fiji", "macro", *words, "--fiji", str(fiji_dir)],
        env={**os.environ, "JAVA_TOOL_OPTIONS": options, "ZOOBRIDGE_HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


@pytest.mark.fiji
@pytest.mark.slow
def test_the_command_runs_a_macro_and_keeps_its_images(fiji_dir: Path, tmp_path: Path) -> None:
    macro = tmp_path / "my macro.ijm"
    macro.write_text(MOVIE + PREDICT + 'print("done"); return getArgument();', encoding="utf-8")

    code, said = command(tmp_path, fiji_dir, macro.name, "an argument", "--output", "results")

    assert (code, said["ok"]) == (0, True)
    assert said["outputs"]["returned"] == "an argument"
    assert said["outputs"]["images"] == ["cells.tif", "cells-deep-storm"]
    assert said["outputs"]["log"].endswith("done")
    assert tifffile.imread(tmp_path / "results" / "cells-deep-storm.tif").shape == (320, 384)


@pytest.mark.fiji
@pytest.mark.slow
def test_the_command_fails_with_the_macros_reason(fiji_dir: Path, tmp_path: Path) -> None:
    macro = tmp_path / "bad.ijm"
    macro.write_text(MOVIE + 'run("ZooBridge Predict", "modell=x");', encoding="utf-8")

    code, said = command(tmp_path, fiji_dir, macro.name)

    assert (code, said["ok"]) == (1, False)
    assert said["error"]["kind"] == "MacroError"
    assert "there is no key 'modell'" in said["error"]["found"]
