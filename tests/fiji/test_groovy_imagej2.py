"""The Groovy launchers in a real ImageJ2, without windows."""

from __future__ import annotations

import json

import pytest
from groovy_process import Groovy, predict

from bridge.jobs.registry import JOBS, load_job


@pytest.mark.fiji
def test_imagej2_runs_the_menu_command(imagej2: Groovy) -> None:
    assert predict(imagej2).value.endswith("\u00b5m,0.0125")


@pytest.mark.fiji
def test_imagej2_takes_the_image_that_the_macro_selected(imagej2: Groovy) -> None:
    run = imagej2.macro("""
        newImage("AA", "16-bit noise", 64, 48, 1);
        newImage("BB", "16-bit noise", 64, 48, 1);
        selectImage("AA");
        run("ZooBridge Predict", "");
        first = getTitle();
        close("*");
        newImage("CC", "16-bit noise", 64, 48, 1);
        run("ZooBridge Predict");
        return first + "," + getTitle();
    """)

    assert run.value == "AA-deep-storm,CC-deep-storm"


@pytest.mark.fiji
def test_imagej2_ends_the_macro_after_a_failure(imagej2: Groovy) -> None:
    run = predict(imagej2, options="model=deep-storm tlie=64")

    assert run.value in (None, "[aborted]")
    assert "there is no key 'tlie'" in run.log


@pytest.mark.fiji
def test_imagej2_has_functions_that_return(imagej2: Groovy) -> None:
    run = imagej2.macro("""
        newImage("a b.tif", "16-bit noise", 64, 48, 1);
        run("ZooBridge Macro Extensions");
        status = "";
        title = Ext.zooPredict("model=deep-storm", status);
        return title + "|" + getTitle() + "|" + status;
    """)

    title, active, status = run.value.split("|", 2)
    assert title == active == "a b-deep-storm"
    assert json.loads(status)["ok"]


@pytest.mark.fiji
def test_imagej2_has_a_menu_entry_for_every_job(imagej2: Groovy) -> None:
    run = imagej2.run("return ij.Menus.commands.keySet().findAll { it.startsWith('ZooBridge ') }")

    labels = {load_job(command).label for command in JOBS if command[0] != "fiji"}
    assert set(run.value) == labels | {"ZooBridge Macro Extensions"}


@pytest.mark.fiji
@pytest.mark.parametrize("key", ["model", "input"])
@pytest.mark.parametrize(
    "value",
    ["a b", "x[1]y", "/no where/a.zip", "C:\\data\\a b.zip", "\u65e5\u672c \u00e9.zip", "a=b c"],
)
def test_imagej2_passes_values_as_they_were_written(imagej2: Groovy, key: str, value: str) -> None:
    quoted = value.replace("\\", "\\\\")

    run = imagej2.macro(f"""
        newImage("cells.tif", "16-bit noise", 64, 48, 1);
        run("ZooBridge Predict", "{key}=[{quoted}]");
        return "went on";
    """)

    assert run.value in (None, "[aborted]")
    assert value in run.log.replace("\\\\", "\\")
