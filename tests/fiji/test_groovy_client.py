"""The client of a Fiji without Python mode, in real Java: ImageJ 1.54p, Groovy 4, Appose 0.9.0.

Its worker is this Python. What needs windows runs under Xvfb; what needs ImageJ2 has the mark
``fiji``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pytest
from groovy_process import CLIENT, LAUNCHERS, Groovy, Run, start_imagej, start_imagej2

from bridge.images.units import length_in_nm, time_in_s
from bridge.jobs.macro_words import values_from_macro
from bridge.jobs.options import fields_of
from bridge.jobs.registry import JOBS, load_job

SHARED: Final = Path("/dev/shm")

PATTERN: Final = """
def pattern(bits, w, h, nc, nz, nt, unit = null) {
    def imp = ij.IJ.createHyperStack("cells.tif", w, h, nc, nz, nt, bits)
    for (t in 0..<nt) for (z in 0..<nz) for (c in 0..<nc) {
        def plane = imp.getStack().getProcessor(imp.getStackIndex(c + 1, z + 1, t + 1))
        for (y in 0..<h) for (x in 0..<w) {
            int v = (x + 2 * y + 21 * c + 55 * z + 221 * t) % 251
            if (bits == 8) plane.set(x, y, v)
            else if (bits == 16) plane.set(x, y, v * 261)
            else if (bits == 24) plane.set(x, y, (v << 16) | ((250 - v) << 8) | (v >> 1))
            else plane.setf(x, y, (float) (v / 8 - 3))
        }
    }
    return imp
}
def make(Map about) {
    def imp = pattern(about.bits ?: 32, about.w ?: 24, about.h ?: 20, about.nc ?: 1, about.nz ?: 1, about.nt ?: 1)
    if (about.roi) imp.setRoi(*about.roi)
    if (about.unit) {
        imp.calibration.unit = about.unit
        imp.calibration.pixelWidth = imp.calibration.pixelHeight = about.size ?: 0.1
        imp.calibration.pixelDepth = 0.3
    }
    return imp
}
/* Sends an image through the worker and back, as a job that changes nothing. */
def echo(client, imp) {
    ij.WindowManager.setTempCurrentImage(imp)
    def source = client.takeImage([values: [:], options: null])
    def script = '''
import json
import numpy as np
from bridge.jobs.desk import Answer, Shown
from bridge.worker import _put, image_of
about = json.loads(request)["image"]
image = image_of(pixels.ndarray(), about["pixel_size_nm"], about["frame_interval_s"])
nt, nz, nc, h, w = pixels.shape
t, z, c, y, x = np.ogrid[:nt, :nz, :nc, :h, :w]
v = (x + LEFT + 2 * (y + TOP) + 21 * c + 55 * z + 221 * t) % 251
u = (x + LEFT + 2 * (y + TOP) + 55 * z + 221 * t) % 251
rgb = np.where(c == 0, u, np.where(c == 1, 250 - u, u >> 1))
expected = {8: v, 16: v * 261, 24: rgb, 32: v / 8 - 3}[BITS]
same = bool((pixels.ndarray() == expected).all())
facts = [pixels.dtype, list(pixels.shape), list(image.dims), image.attrs, same]
_put(task, Answer(status="{}", lines=[json.dumps(facts)], images=[Shown("echo", image, (0.0, 1.0))]))
'''.replace("LEFT", source.box.x as int as String).replace("TOP", source.box.y as int as String)
        .replace("BITS", imp.bitDepth as String)
    def answer = client.worker().perform([command: "echo", values: [:], options: null], source, script)
    answer.facts = new groovy.json.JsonSlurper().parseText(answer.lines[0])
    client.class.classLoader.loadClass("ZooBridgeResults").show(answer, source, Thread.currentThread())
    return answer
}
def planes(imp) {
    (1..imp.stackSize).collect { imp.getStack().getProcessor(it).with { p -> [p.width, p.height, p.pixels.toList()] } }
}
"""
"""Groovy functions that make and compare images."""


def environment(**more: str) -> dict[str, str]:
    """Environment variables without a display and without a Python named."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "ZOOBRIDGE_PYTHON")}
    return {**kept, **more}


@pytest.fixture(scope="module")
def zoo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zoobridge home")


@pytest.fixture(scope="module")
def _headless(tmp_path_factory: pytest.TempPathFactory, zoo_home: Path) -> Iterator[Groovy]:
    home = tmp_path_factory.mktemp("java") / "imagej home"
    groovy = start_imagej(
        home, env=environment(ZOOBRIDGE_HOME=str(zoo_home)), python=sys.executable
    )
    yield groovy
    groovy.quit()


@pytest.fixture
def headless(_headless: Groovy) -> Groovy:
    """ImageJ without windows; its worker stays from test to test."""
    return _headless


@pytest.fixture(scope="module")
def without_appose(tmp_path_factory: pytest.TempPathFactory, zoo_home: Path) -> Iterator[Groovy]:
    """The same without Appose: a process for each request."""
    groovy = start_imagej(
        tmp_path_factory.mktemp("java") / "home",
        env=environment(ZOOBRIDGE_HOME=str(zoo_home)),
        python=sys.executable,
        with_appose=False,
    )
    yield groovy
    groovy.quit()


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A virtual X display."""
    if shutil.which("Xvfb") is None:
        tell = pytest.fail if os.environ.get("CI") else pytest.skip
        tell("windows need Xvfb, which is not installed (Debian: xvfb)")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1280x1024x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[writer], stderr=subprocess.DEVNULL
    )
    os.close(writer)
    with os.fdopen(reader) as numbers:
        number = numbers.readline().strip()
    assert number, "Xvfb did not start"
    yield f":{number}"
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def windowed(
    tmp_path_factory: pytest.TempPathFactory, zoo_home: Path, display: str
) -> Iterator[Groovy]:
    """ImageJ with windows."""
    groovy = start_imagej(
        tmp_path_factory.mktemp("java") / "home",
        env=environment(ZOOBRIDGE_HOME=str(zoo_home), DISPLAY=display),
        python=sys.executable,
    )
    yield groovy
    groovy.quit()


def echo(groovy: Groovy, code: str, **arguments: Any) -> Any:
    """Send the image of a snippet through the worker and back."""
    return groovy.run(
        f"{PATTERN}\ndef imp = {code}\ndef a = echo(client, imp)\n"
        + """
        def out = a.images[0].picture
        return [facts: a.facts, same: imp.bitDepth == 24 || imp.roi != null ? null : planes(out) == planes(imp),
                dimensions: out.dimensions.toList(), bits: out.bitDepth, hyper: out.hyperStack,
                unit: out.calibration.unit, timeUnit: out.calibration.timeUnit,
                size: out.calibration.with { [it.pixelWidth, it.pixelHeight, it.pixelDepth, it.frameInterval] },
                range: [out.displayRangeMin, out.displayRangeMax], composite: out.isComposite()]
    """,
        **arguments,
    ).value


def workers(groovy: Groovy) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(groovy.pid).children(recursive=True)
        if "appose.python_worker" in " ".join(child.cmdline())
    ]


# ---- Images to the worker and back ----


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize(
    ("nc", "nz", "nt", "dims"),
    [
        (1, 1, 1, "yx"),
        (3, 1, 1, "cyx"),
        (1, 4, 1, "zyx"),
        (1, 1, 5, "tyx"),
        (2, 3, 1, "czyx"),
        (2, 1, 3, "tcyx"),
        (2, 3, 4, "tczyx"),
    ],
)
def test_every_plane_arrives_and_comes_back(
    headless: Groovy, bits: int, nc: int, nz: int, nt: int, dims: str
) -> None:
    seen = echo(headless, f"make(bits: {bits}, nc: {nc}, nz: {nz}, nt: {nt})")

    dtype, shape, axes, _, is_expected = seen["facts"]
    assert (dtype, shape) == ({8: "uint8", 16: "uint16", 32: "float32"}[bits], [nt, nz, nc, 20, 24])
    assert "".join(axes) == dims
    assert is_expected
    assert seen["same"]
    assert (seen["dimensions"], seen["bits"]) == ([24, 20, nc, nz, nt], bits)
    assert seen["composite"] == (nc > 1)


def test_rgb_is_three_channels(headless: Groovy) -> None:
    seen = echo(headless, "make(bits: 24, nt: 2)")

    assert seen["facts"][:3] == ["uint8", [2, 1, 3, 20, 24], ["t", "c", "y", "x"]]
    assert seen["facts"][4]
    assert (seen["dimensions"], seen["bits"]) == ([24, 20, 3, 1, 2], 8)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize(
    ("roi", "box"),
    [
        ((3, 5, 7, 9), (3, 5, 7, 9)),
        ((0, 4, 24, 6), (0, 4, 24, 6)),
        ((-4, -3, 10, 10), (0, 0, 6, 7)),
        ((20, 15, 30, 30), (20, 15, 4, 5)),
    ],
)
def test_only_the_selection_travels(
    headless: Groovy, bits: int, roi: tuple[int, ...], box: tuple[int, ...]
) -> None:
    seen = echo(headless, f"make(bits: {bits}, nz: 2, roi: {list(roi)})")

    x, y, width, height = box
    assert seen["facts"][1][-2:] == [height, width]
    assert seen["facts"][4], f"not the pixels from ({x}, {y}) on"
    assert seen["dimensions"][:2] == [width, height]


def test_lines_and_points_select_nothing(headless: Groovy) -> None:
    seen = echo(headless, "make([:]).with { it.setRoi(new ij.gui.Line(3, 3, 3, 9)); it }")

    assert seen["facts"][1] == [1, 1, 1, 20, 24]


def test_a_virtual_stack_is_read_plane_by_plane(headless: Groovy, tmp_path: Path) -> None:
    code = """make(bits: 16, nt: 6).with {
        new ij.io.FileSaver(it).saveAsTiffStack(arguments.path)
        def lazy = ij.IJ.openVirtual(arguments.path)
        assert lazy.getStack().isVirtual()
        lazy.setDimensions(1, 1, 6)
        lazy
    }"""
    seen = echo(headless, code, path=str(tmp_path / "movie.tif"))

    assert seen["facts"][4]
    assert seen["same"]


def test_signed_16_bit_arrives_as_its_values(headless: Groovy) -> None:
    run = headless.run(
        PATTERN
        + """
        def imp = make(bits: 16)
        imp.calibration.setSigned16BitCalibration()
        ij.WindowManager.setTempCurrentImage(imp)
        def source = client.takeImage([values: [:], options: null])
        def script = "import json\\ntask.outputs['answer'] = json.dumps({'images': [], 'first': " +
            "[str(pixels.ndarray().dtype), float(pixels.ndarray()[0, 0, 0, 0, 3])]})"
        return client.worker().perform([command: "x", values: [:], options: null], source, script).first
    """
    )

    assert run.value == ["float32", 3 * 261 - 32768]


@pytest.mark.parametrize(
    "unit",
    ["nm", "micron", "microns", "um", "\u00b5m", "\\u00B5m", "mm", "cm", "m", "inch", "Angstrom"],
)
def test_calibration_travels_in_nm_and_returns_in_its_unit(headless: Groovy, unit: str) -> None:
    written = unit.replace("\\", "\\\\")
    seen = echo(headless, f'make(nz: 3, nt: 2, unit: "{written}", size: 0.25)')

    nm = length_in_nm(1.0, unit)
    assert nm is not None
    size = seen["facts"][3]["pixel_size_nm"]
    assert size == pytest.approx({"x": 0.25 * nm, "y": 0.25 * nm, "z": 0.3 * nm}, rel=1e-12)
    assert seen["size"][:3] == pytest.approx([0.25, 0.25, 0.3], rel=1e-12)
    assert length_in_nm(1.0, seen["unit"]) == nm


@pytest.mark.parametrize("unit", ["pixel", "pixels", "furlong"])
def test_other_units_give_no_pixel_size(headless: Groovy, unit: str) -> None:
    seen = echo(headless, f'make(unit: "{unit}")')

    assert seen["facts"][3] == {"pixel_size_nm": {}}
    assert seen["size"][:2] == [1.0, 1.0]


@pytest.mark.parametrize("unit", ["sec", "s", "ms", "msec", "us", "min", "h", "hour"])
def test_the_frame_interval_travels_in_seconds(headless: Groovy, unit: str) -> None:
    code = f'make(nt: 2).with {{ it.calibration.frameInterval = 1.5; it.calibration.timeUnit = "{unit}"; it }}'
    seen = echo(headless, code)

    seconds = time_in_s(1.5, unit)
    assert seconds is not None
    assert seen["facts"][3]["frame_interval_s"] == pytest.approx(seconds)
    assert seen["size"][3] == pytest.approx(seconds)


def test_the_overlay_is_kept_on_the_same_field(headless: Groovy) -> None:
    run = headless.run(
        PATTERN
        + """
        def imp = make(roi: [4, 2, 10, 10])
        imp.overlay = new ij.gui.Overlay(new ij.gui.Roi(6, 5, 3, 2))
        return echo(client, imp).images[0].picture.overlay.get(0).bounds.with { [it.x, it.y, it.width, it.height] }
    """
    )

    assert run.value == [2, 3, 3, 2]


# ---- Requests ----


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
        PATTERN
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


def predict(groovy: Groovy, macro: str = "", options: str = "model=deep-storm") -> Run:
    """Run a prediction on a small image by a macro."""
    return groovy.macro(f"""
        newImage("cells.tif", "16-bit noise", 64, 48, 1);
        setVoxelSize(0.1, 0.1, 1, "um");
        {macro}
        run("ZooBridge Predict", "{options}");
        getPixelSize(unit, w, h);
        return getTitle() + "," + getWidth() + "," + getHeight() + "," + nImages + "," + unit + "," + w;
    """)


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
        PATTERN
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
    headless.tell("""
        try {
            client.worker().ask("import sys, time\\nprint('out of luck', file=sys.stderr)\\ntime.sleep(60)", [:])
        } catch (RuntimeException problem) {
            return problem.message
        }
    """)
    time.sleep(1)
    first[0].kill()
    message = headless.answer().value

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
    time.sleep(0.2)

    run = predict(headless)

    assert run.value.startswith("cells-deep-storm")
    assert "is started anew" in run.log


def test_escape_stops_the_work(headless: Groovy) -> None:
    predict(headless)
    headless.tell(
        PATTERN
        + """
        def imp = ij.IJ.createImage("large", "32-bit noise", 1500, 1500, 1)
        ij.WindowManager.setTempCurrentImage(imp)
        def began = 0
        def user = Thread.start {
            Thread.sleep(1500)
            began = System.currentTimeMillis()
            ij.IJ.setKeyDown(java.awt.event.KeyEvent.VK_ESCAPE)
        }
        def message = client.perform([command: "predict", values: [tile: "64"], options: null]).error
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


# ---- Which Python ----


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
        (packages / "appose").symlink_to(Path(appose.__file__).parent)
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
        PATTERN
        + """
        ij.WindowManager.setTempCurrentImage(ij.IJ.createImage("large", "32-bit noise", 1500, 1500, 1))
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


# ---- With windows ----

WHEN_OPEN: Final = """
/* Does something to the dialog when it is open; gives what that gave. */
def whenOpen(Closure action) {
    def result = new java.util.concurrent.CompletableFuture()
    Thread.startDaemon {
        def dialog = null
        while (dialog == null || !dialog.visible) {
            dialog = java.awt.Window.windows.find { it instanceof ij.gui.GenericDialog && it.visible }
            Thread.sleep(50)
        }
        Thread.sleep(300)
        try {
            result.complete(action(dialog))
        } catch (Throwable error) {
            result.completeExceptionally(error)
            press(dialog, "Cancel")
        }
    }
    return result
}
def press(dialog, label) {
    def button = everything(dialog).find { it instanceof java.awt.Button && it.label.trim() == label }
    java.awt.EventQueue.invokeAndWait {
        button.actionListeners.each { it.actionPerformed(new java.awt.event.ActionEvent(button, 1001, label)) }
    }
}
def everything(container) {
    container.components.collectMany { it instanceof java.awt.Container ? everything(it) + [it] : [it] }
}
def labels(dialog) {
    everything(dialog).findAll { it instanceof java.awt.Label }*.text.findAll { it.trim() }
}
def entry(dialog, n, text) {
    def field = dialog.stringFields[n]
    java.awt.EventQueue.invokeAndWait { field.text = text }
    Thread.sleep(200)
}
def menu(command) { new ij.Executer(command).run() }
"""


def test_the_dialog_has_the_keys_and_their_defaults(windowed: Groovy) -> None:
    run = windowed.run(
        PATTERN
        + WHEN_OPEN
        + """
        make(bits: 16, w: 64, h: 48).show()
        def seen = whenOpen { dialog ->
            def said = [labels: labels(dialog), texts: dialog.stringFields*.text,
                 boxes: dialog.checkboxes*.label,
                 lists: everything(dialog).findAll { it instanceof java.awt.Choice }.collect { list ->
                    (0..<list.itemCount).collect { list.getItem(it) } }]
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
    boxes = [box.strip() for box in run.value["boxes"]]
    assert {k for k in keys if k not in shown} <= set(boxes)
    assert run.value["texts"][0] == "deep-storm"
    assert ["installed models", "deep-storm"] == run.value["lists"][0][:2]
    assert run.value["lists"][1] == ["active image", "cells.tif"]
    assert run.value["images"] == 1, "Cancel does nothing"


def test_what_was_entered_is_done_and_recorded(windowed: Groovy) -> None:
    run = windowed.run(
        PATTERN
        + WHEN_OPEN
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
        PATTERN
        + WHEN_OPEN
        + """
        make(bits: 16).show()
        def seen = whenOpen { dialog ->
            entry(dialog, 3, "12a")
            def ok = everything(dialog).find { it instanceof java.awt.Button && it.label.contains("OK") }
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
        PATTERN
        + WHEN_OPEN
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


# ---- In a real ImageJ2 ----


@pytest.fixture(scope="module")
def imagej2(tmp_path_factory: pytest.TempPathFactory, zoo_home: Path) -> Iterator[Groovy]:
    """A copy of the ImageJ2 that ZOOBRIDGE_FIJI names, with our launchers, without windows."""
    named = os.environ.get("ZOOBRIDGE_FIJI")
    if not named:
        pytest.skip("ZOOBRIDGE_FIJI names no ImageJ2 or Fiji folder")
    fiji = tmp_path_factory.mktemp("fiji") / "ImageJ2"
    shutil.copytree(named, fiji)
    shutil.copytree(LAUNCHERS, fiji / "scripts" / "Plugins" / "ZooBridge", dirs_exist_ok=True)
    (fiji / "zoobridge").mkdir(exist_ok=True)
    shutil.copy(CLIENT, fiji / "zoobridge")
    (fiji / "zoobridge" / "install.json").write_text(json.dumps({"python": sys.executable}))
    home = tmp_path_factory.mktemp("imagej2 home")
    groovy = start_imagej2(fiji, home, env=environment(ZOOBRIDGE_HOME=str(zoo_home)))
    yield groovy
    groovy.quit()


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
