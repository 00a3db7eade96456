"""The Groovy client in real Java: requests, functions of macros, and the worker's life.

ImageJ 1.54p, Groovy 4 and Appose 0.9.0 without windows; the worker is this Python.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Final

import psutil
import pytest
from groovy_process import IMAGES, Groovy, Run, environment, predict, start_imagej, workers

from bridge.jobs.macro_words import values_from_macro
from bridge.jobs.options import fields_of
from bridge.jobs.registry import load_job

SHARED: Final = Path("/dev/shm")


def test_options_are_taken_apart_as_python_does(headless: Groovy) -> None:
    options = fields_of(load_job(("predict",)))
    texts = [
        "model=deep-storm tile=64 sum",
        "model=[my model] input=[C:\\\\data\\\\a [1].tif] sum=true",
        "model='a b' output=[/tmp/\u00e9\u00df \u65e5\u672c/a.tif]",
        "  model=a   tile=[]  trust ",
        "input=[a [b] c] model=x",
    ]
    for text in texts:
        expected = values_from_macro(text, options, "predict")
        found = headless.run(
            "return client.class.classLoader.loadClass('ZooBridgeOptions').split(arguments.text)",
            text=text,
        ).value
        assert {f["key"]: "true" if f["value"] is None else f["value"] for f in found} == expected


@pytest.mark.parametrize(
    "title", ["cells.tif", "my cells.tif", "a [1].tif", "\u65e5\u672c \u00e9.tif"]
)
def test_input_may_be_the_title_of_an_open_image(headless: Groovy, title: str) -> None:
    run = headless.run(
        IMAGES
        + """
        def wanted = make(w: 30)
        wanted.title = arguments.title
        ij.macro.Interpreter.addBatchModeImage(wanted)
        ij.macro.Interpreter.addBatchModeImage(make(w: 40))
        def request = [values: [:], options: "model=a input=[" + arguments.title + "] tile=64"]
        def source = client.takeImage(request)
        return [source.image.width, request.options]
    """,
        title=title,
    )

    assert run.value == [30, "model=a tile=64"]


def test_a_macro_gets_its_prediction(headless: Groovy) -> None:
    shared = set(SHARED.iterdir()) if SHARED.is_dir() else set()

    run = predict(headless)

    assert run.value == "cells-deep-storm,512,384,2,\u00b5m,0.0125"
    assert "ran on cells.tif" in run.log
    assert not SHARED.is_dir() or {p for p in SHARED.iterdir() if p not in shared} == set()


def test_the_selection_is_predicted(headless: Groovy) -> None:
    run = predict(headless, macro="makeRectangle(8, 4, 40, 24);")

    assert run.value.startswith("cells-deep-storm,320,192,")


@pytest.mark.parametrize(
    ("options", "macro", "said"),
    [
        ("model=deep-storm tlie=64", "", "there is no key 'tlie'"),
        ("model=deep-storm tile=6x", "", "'6x'"),
        ("model=deep-storm engine=warp", "", "'warp'"),
        ("model=nothing-here", "", "nothing-here"),
        ("model=[no end", "", "has no closing ]"),
        ("model=deep-storm", 'close("*");', "no image is open"),
        ("model=deep-storm", "makeRectangle(100, 100, 5, 5);", "holds no pixel of the image"),
        ("model=deep-storm input=[/nowhere/a b.tif]", "", "/nowhere/a b.tif"),
    ],
)
def test_a_failure_says_why_and_ends_the_macro(
    headless: Groovy, options: str, macro: str, said: str
) -> None:
    run = predict(headless, macro=macro, options=options)

    assert run.value in (None, "[aborted]")
    assert said in run.log
    assert "\tat " not in run.log.split("Macro Error")[0], "a trace"


def test_an_image_closed_meanwhile_is_named(headless: Groovy) -> None:
    run = headless.run(
        IMAGES
        + """
        def imp = make(nt: 3)
        ij.WindowManager.setTempCurrentImage(imp)
        def source = client.takeImage([values: [:], options: null])
        imp.flush()
        try {
            client.worker().perform([command: "predict", values: [:], options: null], source)
        } catch (RuntimeException problem) {
            return problem.message
        }
    """
    )

    assert (
        run.value == "cells.tif: the image has been closed. Expected an open image. Open it again."
    )


def test_a_table_is_shown(headless: Groovy) -> None:
    run = headless.macro("""
        run("ZooBridge Macro Extensions");
        newImage("movie.tif", "16-bit black", 64, 64, 3);
        setVoxelSize(100, 100, 1, "nm");
        for (n = 1; n <= nSlices; n++) {
            setSlice(n);
            for (y = 0; y < 64; y++) for (x = 0; x < 64; x++)
                setPixel(x, y, 100 + 900 * exp(-((x-30)*(x-30) + (y-30)*(y-30)) / 3));
        }
        status = "";
        title = Ext.zooLocalize("", status);
        return title + "|" + status;
    """)

    title, _, status = run.value.partition("|")
    assert json.loads(status)["ok"], status
    assert title == "movie-deep-storm"


# ---- Macro functions ----


def test_functions_return_a_title_or_nothing_and_the_status(headless: Groovy) -> None:
    run = headless.macro("""
        newImage("cells.tif", "16-bit noise", 64, 48, 1);
        run("ZooBridge Macro Extensions");
        good = ""; bad = ""; list = "";
        title = Ext.zooPredict("model=deep-storm tile=64", good);
        nothing = Ext.zooPredict("model=deep-storm tlie=64", bad);
        n = Ext.zooModels("", list);
        return title + "|" + nothing + "|" + n + "|" + good + "|" + bad + "|" + list;
    """)

    title, nothing, n, *statuses = run.value.split("|")
    good, bad, models = map(json.loads, statuses)
    assert (title, nothing) == ("cells-deep-storm", "")
    assert good["ok"]
    assert (bad["ok"], bad["error"]["kind"]) == (False, "InputError")
    assert int(n) == len(models["outputs"]["models"]) or n == models["outputs"]["models"][0]


def test_a_function_without_an_image_fails_by_its_status(headless: Groovy) -> None:
    run = headless.macro("""
        run("ZooBridge Macro Extensions");
        status = "";
        title = Ext.zooPredict("", status);
        return title + "|" + status;
    """)

    title, _, status = run.value.partition("|")
    assert title == ""
    assert json.loads(status)["error"]["found"] == "no image is open"


# ---- The worker ----


def test_a_worker_that_dies_is_named_and_the_next_run_starts_anew(headless: Groovy) -> None:
    before = predict(headless)
    first = workers(headless)
    script = (
        "import os, sys\nprint('out of luck', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 9)"
    )
    message = headless.run(
        """
        try {
            client.worker().ask(arguments.script, [:])
        } catch (RuntimeException problem) {
            return problem.message
        }
        """,
        script=script,
    ).value

    after = predict(headless)

    assert "Python has ended" in message
    assert "out of luck" in message
    assert after.value == before.value
    assert [p.pid for p in workers(headless)] != [p.pid for p in first]


def test_a_worker_that_died_idle_is_replaced(headless: Groovy) -> None:
    predict(headless)
    for worker in workers(headless):
        worker.kill()
        worker.wait()
    headless.run("while (client.worker().service.isAlive()) Thread.sleep(10)")

    run = predict(headless)

    assert run.value.startswith("cells-deep-storm")
    assert "is started anew" in run.log


def test_escape_stops_the_work(headless: Groovy) -> None:
    predict(headless)
    headless.tell(
        IMAGES
        + """
        def imp = ij.IJ.createImage("large", "32-bit noise", 1500, 1500, 1)
        ij.WindowManager.setTempCurrentImage(imp)
        def began = 0
        def user = Thread.start {
            Thread.sleep(1500)
            began = System.currentTimeMillis()
            ij.IJ.setKeyDown(java.awt.event.KeyEvent.VK_ESCAPE)
        }
        def message = client.perform([command: "predict", values: [tile: "64"]]).error
        user.join()
        return [message, (System.currentTimeMillis() - began) / 1000]
    """
    )
    message, seconds = headless.answer().value

    assert message == "cancelled: stopped on request."
    assert seconds < 10
    assert len(workers(headless)) == 1, "the worker stays"


def test_two_fijis_at_once_have_their_own_workers(
    headless: Groovy, tmp_path: Path, zoo_home: Path
) -> None:
    other = start_imagej(
        tmp_path / "home", env=environment(ZOOBRIDGE_HOME=str(zoo_home)), python=sys.executable
    )
    runs: dict[str, Run] = {}
    threads = [
        threading.Thread(target=lambda n, g: runs.update({n: predict(g)}), args=(name, groovy))
        for name, groovy in {"first": headless, "second": other}.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = {worker.pid for groovy in (headless, other) for worker in workers(groovy)}
    children = workers(other)
    code = other.quit()

    assert {run.value for run in runs.values()} == {"cells-deep-storm,512,384,2,\u00b5m,0.0125"}
    assert len(pids) == 2
    assert code == 0
    assert psutil.wait_procs(children, timeout=20)[1] == [], "the worker ends with its Fiji"


def test_no_thread_keeps_java_from_ending(headless: Groovy) -> None:
    predict(headless)

    kept = headless.run(
        "return Thread.allStackTraces.keySet().findAll { it.name.startsWith('Appose') }*.daemon"
    ).value

    assert kept
    assert all(kept)


def test_twenty_runs_leave_nothing_behind(headless: Groovy) -> None:
    def measure() -> tuple[float, float, int]:
        heap = headless.run("""
            5.times { System.gc(); Thread.sleep(50) }
            return Runtime.runtime.with { it.totalMemory() - it.freeMemory() }
        """).value
        rss = workers(headless)[0].memory_info().rss
        shared = len(list(SHARED.iterdir())) if SHARED.is_dir() else 0
        return heap / 1e6, rss / 1e6, shared

    for _ in range(5):
        predict(headless)
    heap, rss, shared = measure()
    for _ in range(20):
        predict(headless)
    later = measure()

    assert later[0] - heap < 10, "MB in Java"
    assert later[1] - rss < 30, "MB in Python"
    assert later[2] <= shared
