"""Real ImageJ 1.x in a process of its own, so that no test can hang or crash with it.

The parent (:class:`ImageJ`) sends the name of a function of this module and its arguments through
a pipe; the child, which alone knows Java, answers with what it returned or the trace of what it
raised::

    parent -> child   ("run_macro", {"code": "return 1;", "argument": ""})
    child -> parent   (True, MacroRun(...)) or (False, "Traceback ...")

A macro runs in a thread of its own while the child looks for modal dialogs, notes their text and
closes them as a user would. A child that doesn't answer in time is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import jpype  # type: ignore[import-untyped]

ABORTED: Final = "[aborted]"
"""What ImageJ gives for a macro that stopped by ``exit`` or by an error."""

LIMIT_S: Final = 900.0
"""Longest wait for one answer; a tiny training takes ten minutes on a busy machine."""


@dataclass(frozen=True)
class Picture:
    """What ImageJ says of an image."""

    title: str
    dimensions: tuple[int, ...]
    """Width, height, channels, slices, frames."""
    bits: int
    """8, 16, 32 (float), or 24 (RGB)."""
    is_hyperstack: bool
    mode: str
    """``composite``, ``color`` or ``grayscale`` of several channels; empty for others."""
    voxel: tuple[float, float, float]
    """Pixel width, pixel height and voxel depth, in ``unit``."""
    unit: str
    interval_s: float
    """Time from frame to frame in seconds; 0 where it is unknown."""
    display_range: tuple[float, float]
    selection: tuple[int, int, int, int] | None
    """Bounds x, y, width, height of the selection."""
    path: str
    """Where ImageJ thinks that the file is; empty where there is none."""
    is_changed: bool
    means: tuple[float, ...] = field(repr=False)
    """Mean of every plane, in the stack's order (channels fastest, then slices, then frames)."""


@dataclass(frozen=True)
class MacroRun:
    """What a macro did."""

    returned: str | None
    dialogs: tuple[str, ...]
    """Text of each dialog that came up."""
    log: str
    """Content of the Log window."""
    pictures: tuple[Picture, ...]
    """All open images, the active one last."""


class ImageJ:
    """A running ImageJ with its windows.

    Parameters
    ----------
    java_home : Path
        Folder of the Java to run it with.
    jar : Path
        ImageJ's jar.
    home : Path
        Folder for everything that Java and ImageJ would keep in the user's home; must exist.
    env : mapping
        Environment variables to set for it.
    """

    def __init__(self, java_home: Path, jar: Path, home: Path, env: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        settings = {"java_home": java_home, "jar": jar, "home": home, "env": dict(env)}
        self._process = context.Process(target=_serve, args=(theirs, settings), daemon=True)
        self._process.start()
        theirs.close()
        self._answer("start")

    def run_macro(self, code: str, argument: str = "") -> MacroRun:
        """Run macro code as ``IJ.runMacro`` does and wait for its end."""
        run = self._ask("run_macro", code=code, argument=argument)
        assert isinstance(run, MacroRun)
        return run

    def open(self, path: Path) -> Picture:
        """Open a file with ImageJ's own reader, without a window."""
        picture = self._ask("open_file", path=str(path))
        assert isinstance(picture, Picture)
        return picture

    def set_preference(self, key: str, value: str) -> None:
        """Remember a value as ``Prefs.set`` does; an empty one forgets it."""
        self._ask("set_preference", key=key, value=value)

    def clear(self) -> None:
        """Close all images and empty the log."""
        self._ask("clear")

    def quit(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _ask(self, name: str, **arguments: str) -> object:
        self._pipe.send((name, arguments))
        return self._answer(name)

    def _answer(self, name: str) -> object:
        if not self._pipe.poll(LIMIT_S):
            self._process.kill()
            raise TimeoutError(f"ImageJ gave no answer to {name} within {LIMIT_S:g} s")
        try:
            is_good, value = self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"ImageJ's process ended during {name}") from None
        if not is_good:
            raise RuntimeError(f"{name} in ImageJ's process:\n{value}")
        return value


# ---- From here on: the child ----


def _serve(pipe: Connection, settings: dict[str, Any]) -> None:
    """Answer until the parent closes the pipe, then end without waiting for Java's threads."""
    functions = {f.__name__: f for f in (run_macro, open_file, set_preference, clear)}
    try:
        pipe.send(_attempt(_start, settings))
        while True:
            name, arguments = pipe.recv()
            pipe.send(_attempt(functions[name], arguments))
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)


def _attempt(function: Any, arguments: Mapping[str, Any]) -> tuple[bool, object]:
    try:
        return True, function(**arguments)
    except Exception:  # noqa: BLE001 - the trace goes to the parent, which raises it
        return False, traceback.format_exc()


def _start(java_home: Path, jar: Path, home: Path, env: Mapping[str, str]) -> None:
    os.environ.update(env)
    jvm = next(java_home.glob("**/libjvm.so"), None) or next(java_home.glob("**/jvm.dll"))
    jpype.startJVM(
        str(jvm),
        f"-Duser.home={home}",
        f"-Djava.util.prefs.userRoot={home}",
        f"-Djava.io.tmpdir={env['TMPDIR']}",
        f"-Dplugins.dir={home}",
        "--enable-native-access=ALL-UNNAMED",
        "-Xmx1g",
        classpath=[str(jar)],
    )
    _java("ij.ImageJ")(None, 0)


def run_macro(code: str, argument: str) -> MacroRun:
    returned: list[str | None] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            value = _java("ij.IJ").runMacro(code, argument)
            returned.append(None if value is None else str(value))
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    dialogs: list[str] = []
    while thread.is_alive():
        thread.join(0.05)
        dialogs += _close_dialogs()
    if failures:
        raise failures[0]
    log = _java("ij.IJ").getLog()
    return MacroRun(
        returned[0], tuple(dialogs), "" if log is None else str(log), tuple(_pictures())
    )


def open_file(path: str) -> Picture:
    image = _java("ij.IJ").openImage(path)
    if image is None:
        raise OSError(f"ImageJ cannot open {path}")
    return _describe(image)


def set_preference(key: str, value: str) -> None:
    text = jpype.JString(value) if value else jpype.JObject(None, "java.lang.String")
    _java("ij.Prefs").set(key, text)


def clear() -> None:
    windows, interpreter = _java("ij.WindowManager"), _java("ij.macro.Interpreter")
    interpreter.batchMode = False
    for picture in list(windows.getIDList() or []):
        image = windows.getImage(picture)
        image.changes = False
        image.close()
    _java("ij.IJ").log("\\Clear")
    _close_dialogs()


def _java(name: str) -> Any:
    return jpype.JClass(name)


def _close_dialogs() -> list[str]:
    """Close the modal dialogs that are up and give what they said."""
    found = []
    for window in _java("java.awt.Window").getWindows():
        is_up = isinstance(window, _java("java.awt.Dialog")) and window.isShowing()
        if is_up and window.isModal() and _is_waited_for():
            found.append("\n".join([str(window.getTitle()), *_labels(window)]))
            window.dispose()
    return found


def _is_waited_for() -> bool:
    """Tell whether a dialog's end is waited for; closed before that, it would be forever."""
    stacks = _java("java.lang.Thread").getAllStackTraces().values()
    names = {str(frame.getClassName()) for stack in stacks for frame in stack}
    return "java.awt.WaitDispatchSupport" in names


def _labels(container: Any) -> list[str]:
    """Text of all labels in a window, in their order."""
    texts = []
    for part in container.getComponents():
        if isinstance(part, _java("ij.gui.MultiLineLabel")):
            lines = _java("ij.gui.MultiLineLabel").class_.getDeclaredField("lines")
            lines.setAccessible(True)
            texts += [str(line) for line in lines.get(part)]
        elif isinstance(part, _java("java.awt.Container")):
            texts += _labels(part)
    return texts


def _pictures() -> list[Picture]:
    windows = _java("ij.WindowManager")
    active = windows.getCurrentImage()
    images = [windows.getImage(i) for i in windows.getIDList() or []]
    images = [image for image in images if not image.equals(active)]
    return [_describe(image) for image in [*images, *([] if active is None else [active])]]


def _describe(image: Any) -> Picture:
    calibration, file = image.getCalibration(), image.getOriginalFileInfo()
    selection = image.getRoi()
    bounds = None if selection is None else selection.getBounds()
    stack = image.getStack()
    means = []
    for index in range(1, stack.getSize() + 1):
        means.append(float(stack.getProcessor(index).getStatistics().mean))
    return Picture(
        title=str(image.getTitle()),
        dimensions=tuple(int(n) for n in image.getDimensions()),
        bits=int(image.getBitDepth()),
        is_hyperstack=bool(image.isHyperStack()),
        mode=str(image.getModeAsString()).lower() if image.isComposite() else "",
        voxel=(
            float(calibration.pixelWidth),
            float(calibration.pixelHeight),
            float(calibration.pixelDepth),
        ),
        unit=str(calibration.getUnit()),
        interval_s=float(calibration.frameInterval),
        display_range=(float(image.getDisplayRangeMin()), float(image.getDisplayRangeMax())),
        selection=None
        if bounds is None
        else (int(bounds.x), int(bounds.y), int(bounds.width), int(bounds.height)),
        path="" if file is None or not file.fileName else f"{file.directory}{file.fileName}",
        is_changed=bool(image.changes),
        means=tuple(means),
    )
