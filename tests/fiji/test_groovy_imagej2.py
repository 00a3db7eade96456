"""The Groovy launchers in a real ImageJ2, without windows."""

from __future__ import annotations

import json

import pytest
from groovy_process import Groovy, predict

from bridge.jobs.macro_words import values_from_macro
from bridge.jobs.options import fields_of
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
@pytest.mark.parametrize("value", ["a b", "x[1]y", "C:/a b", "\u65e5\u672c"])
def test_imagej2_passes_every_key_of_every_job(imagej2: Groovy, value: str) -> None:
    """The key is known, so the complaint is about its value, or another field."""
    for command in JOBS:
        if command[0] == "fiji":
            continue
        job = load_job(command)
        for field in fields_of(job):
            if field.type is not str or field.choices or field.name in ("device", "simulate"):
                continue
            text = values_from_macro(f"{field.name}=[{value}]", fields_of(job), job.label)
            assert text == {field.name: value}
    name = imagej2.run("return ij.Menus.commands.keySet().findAll { it.startsWith('ZooBridge ') }")
    labels = {load_job(command).label for command in JOBS if command[0] != "fiji"}
    assert labels <= set(name.value)
