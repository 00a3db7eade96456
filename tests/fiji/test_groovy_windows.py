"""The Groovy client's dialog and messages, in ImageJ 1.54p with windows."""

from __future__ import annotations

from groovy_process import DIALOGS, IMAGES, Groovy, predict

from bridge.jobs.macro_words import values_from_macro
from bridge.jobs.options import fields_of
from bridge.jobs.registry import load_job


def test_the_dialog_has_the_keys_and_their_defaults(windowed: Groovy) -> None:
    run = windowed.run(
        IMAGES
        + DIALOGS
        + """
        make(bits: 16, w: 64, h: 48).show()
        def seen = whenOpen { dialog ->
            def said = [labels: labels(dialog), texts: dialog.stringFields*.text,
                 boxes: dialog.checkboxes*.label,
                 lists: choices(dialog)]
            press(dialog, "Cancel")
            said
        }
        menu("ZooBridge Predict")
        return seen.get() + [images: ij.WindowManager.imageCount]
    """,
        keep=True,
    )

    keys = [option.name for option in fields_of(load_job(("predict",)))]
    shown = [label.strip().replace(" ", "_") for label in run.value["labels"]]
    boxes = [box.strip().replace(" ", "_") for box in run.value["boxes"]]
    assert {k for k in keys if k not in shown} <= set(boxes)
    assert run.value["texts"][0] == "deep-storm"
    assert run.value["lists"][0][:2] == ["installed models", "deep-storm"]
    assert run.value["lists"][1] == ["active image", "cells.tif"]
    assert run.value["images"] == 1, "Cancel does nothing"


def test_what_was_entered_is_done_and_recorded(windowed: Groovy) -> None:
    run = windowed.run(
        IMAGES
        + DIALOGS
        + """
        make(bits: 16, w: 64, h: 48).show()
        new ij.plugin.frame.Recorder()
        whenOpen { dialog ->
            entry(dialog, 3, "32")
            press(dialog, "OK")
        }
        menu("ZooBridge Predict")
        def text = ij.plugin.frame.Recorder.instance.text
        ij.plugin.frame.Recorder.instance.close()
        return [ij.WindowManager.imageTitles.toList(), text]
    """,
        keep=True,
        thread="menu",
    )

    titles, recorded = run.value
    assert "cells-deep-storm" in titles
    line = next(
        text for text in recorded.splitlines() if text.startswith('run("ZooBridge Predict"')
    )
    options = line.partition(', "')[2].removesuffix('");')
    values = values_from_macro(options, fields_of(load_job(("predict",))), "predict")
    assert values["tile"] == "32"
    assert values["model"] == "deep-storm"
    assert "tile=32 " in options


def test_a_wrong_number_is_said_at_once_and_there_is_no_ok(windowed: Groovy) -> None:
    run = windowed.run(
        IMAGES
        + DIALOGS
        + """
        make(bits: 16).show()
        def seen = whenOpen { dialog ->
            entry(dialog, 3, "12a")
            def ok = dialog.buttons.find { it.label.contains("OK") }
            def said = [labels(dialog).join("|"), ok.enabled]
            press(dialog, "Cancel")
            said
        }
        menu("ZooBridge Predict")
        return seen.get()
    """,
        keep=True,
    )

    said, is_enabled = run.value
    assert "tile: '12a' is not a whole number (0 to 1000000)" in said
    assert not is_enabled


def test_a_preview_shows_the_selection_and_the_run_takes_the_image(windowed: Groovy) -> None:
    run = windowed.run(
        IMAGES
        + DIALOGS
        + """
        make(bits: 16, w: 64, h: 48, nt: 4).show()
        ij.IJ.image.setRoi(8, 8, 32, 24)
        whenOpen { dialog ->
            press(dialog, "Preview")
            while (!ij.WindowManager.getImage("Preview of cells-deep-storm")) Thread.sleep(100)
            press(dialog, "OK")
        }
        menu("ZooBridge Predict")
        return ["Preview of cells-deep-storm", "cells-deep-storm"].collect {
            ij.WindowManager.getImage(it).dimensions.toList() }
    """,
        keep=True,
    )

    assert run.value == [[256, 192, 1, 1, 1], [256, 192, 1, 1, 4]]


def test_a_failure_comes_in_a_dialog(windowed: Groovy) -> None:
    run = predict(windowed, options="model=deep-storm tlie=64")

    assert run.value == "[aborted]"
    assert any("there is no key 'tlie'" in " ".join(text.split()) for text in run.dialogs)


def test_a_macro_with_windows_gets_its_prediction(windowed: Groovy) -> None:
    assert predict(windowed).value.startswith("cells-deep-storm,512,384,2")
