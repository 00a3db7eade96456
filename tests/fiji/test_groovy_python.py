"""Which Python the Groovy client starts, what it says of a wrong one; and without Appose."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from groovy_process import IMAGES, Groovy, environment, predict, start_imagej


def failing(tmp_path: Path, python: Path | str | None, **more: str) -> str:
    """What is said when this Python is to work."""
    groovy = start_imagej(tmp_path / "home", env=environment(**more), python=python)
    try:
        return predict(groovy).log
    finally:
        groovy.quit()


def test_no_python_is_said(tmp_path: Path) -> None:
    assert "no Python is known" in failing(tmp_path, None)


def test_a_missing_python_is_said(tmp_path: Path) -> None:
    said = failing(tmp_path, tmp_path / "gone" / "python")

    assert "there is no such program" in said
    assert "zoobridge fiji install" in said


def test_a_program_that_is_no_python_is_said(tmp_path: Path) -> None:
    assert "Python has ended" in failing(tmp_path, "/bin/true")


def test_the_environment_variable_wins(tmp_path: Path) -> None:
    said = failing(tmp_path, sys.executable, ZOOBRIDGE_PYTHON=str(tmp_path / "other"))

    assert str(tmp_path / "other") in said


@pytest.mark.parametrize("missing", ["appose", "zoobridge"])
def test_a_missing_package_is_named_with_the_command_that_helps(
    tmp_path: Path, missing: str
) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    if missing == "zoobridge":
        import appose  # noqa: PLC0415

        packages = next(venv.glob("lib/python*/site-packages"))
        installed = Path(appose.__file__).parents[1]
        for part in (*installed.glob("appose"), *installed.glob("appose-*.dist-info")):
            (packages / part.name).symlink_to(part)
    python = venv / "bin" / "python"

    said = failing(tmp_path, python)

    assert f'"{python}" -m pip install {missing}' in said


def test_full_shared_memory_is_said_before_it_kills_java(tmp_path: Path, zoo_home: Path) -> None:
    mount = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    prefix = ["unshare", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small /dev/shm of their own")
    groovy = start_imagej(
        tmp_path / "home",
        env=environment(ZOOBRIDGE_HOME=str(zoo_home)),
        python=sys.executable,
        prefix=prefix,
    )
    try:
        run = groovy.macro("""
            newImage("large.tif", "32-bit black", 1024, 1024, 1);
            run("ZooBridge Predict", "model=deep-storm");
        """)
        small = groovy.macro("""
            run("ZooBridge Macro Extensions"); list = "";
            return Ext.zooModels("", list);
        """)
    finally:
        groovy.quit()

    assert "the shared memory is full" in run.log
    assert small.value


# ---- Without Appose ----


def test_the_same_without_appose(without_appose: Groovy) -> None:
    assert predict(without_appose).value == "cells-deep-storm,512,384,2,\u00b5m,0.0125"


def test_the_selection_without_appose(without_appose: Groovy) -> None:
    run = predict(without_appose, macro="makeRectangle(8, 4, 40, 24);")

    assert run.value.startswith("cells-deep-storm,320,192,")


@pytest.mark.parametrize(
    ("options", "macro", "said"),
    [
        ("model=deep-storm tlie=64", "", "there is no key 'tlie'"),
        ("model=deep-storm", 'close("*");', "no image is open"),
    ],
)
def test_failures_without_appose(
    without_appose: Groovy, options: str, macro: str, said: str
) -> None:
    run = predict(without_appose, macro=macro, options=options)

    assert run.value in (None, "[aborted]")
    assert said in run.log


def test_escape_without_appose(without_appose: Groovy) -> None:
    run = without_appose.run(
        IMAGES
        + """
        def imp = ij.IJ.createImage("large", "32-bit noise", 1500, 1500, 1)
        ij.WindowManager.setTempCurrentImage(imp)
        Thread.start {
            Thread.sleep(6000)
            ij.IJ.setKeyDown(java.awt.event.KeyEvent.VK_ESCAPE)
        }
        try {
            return client.perform([command: "predict", values: [tile: "64"], options: null]).error
        } catch (RuntimeException problem) {
            return problem.message
        }
    """
    )

    assert run.value == "cancelled: stopped on request."
