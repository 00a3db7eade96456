"""Which image is meant, and which is meant next: ImageJ keeps that by thread.

ImageJ2 runs a command on a thread of its pool. There, ImageJ 1.x knows neither the image that the
calling macro has selected without windows, nor forgets the one that an earlier command had; and an
image shown there isn't the macro's active one. So the thread that asked is looked up here.
"""

from __future__ import annotations

from typing import Any

import jpype


def active_image() -> Any:
    """Give the active image of whoever asked; None where there is none."""
    windows, images = jpype.JClass("ij.WindowManager"), _images_by_thread()
    asking = _asking_threads()
    for thread in asking:
        if images.get(thread) is not None:
            return images.get(thread)
    interpreter = jpype.JClass("ij.macro.Interpreter")
    if interpreter.isBatchMode():
        return interpreter.getLastBatchModeImage()
    if asking:
        windows.setTempCurrentImage(None)  # left by an earlier command on this thread
    return windows.getCurrentImage()


def open_image(title: str) -> Any:
    """Give the open image of a title; None where there is none."""
    windows = jpype.JClass("ij.WindowManager")
    images = [windows.getImage(number) for number in windows.getIDList() or []]
    return next((imp for imp in images if str(imp.getTitle()) == title), None)


def show_image(imp: Any) -> None:
    """Show an image, and make it the active one of whoever asked."""
    interpreter, windows = jpype.JClass("ij.macro.Interpreter"), jpype.JClass("ij.WindowManager")
    if jpype.JClass("java.awt.GraphicsEnvironment").isHeadless():
        interpreter.batchMode = True  # or ImageJ tries to make a window
    imp.show()
    asking = _asking_threads()
    if asking and interpreter.isBatchMode():
        windows.setTempCurrentImage(None)
        _images_by_thread().put(asking[0], imp)


def forget_options() -> None:
    """Forget the options of the macro's ``run``: ImageJ's dialogs would take them for answers."""
    options = _hidden("ij.Macro", "table")
    for thread in _asking_threads():
        options.remove(thread)


def _asking_threads() -> list[Any]:
    """List the threads that wait for this one, the nearest first; none in plain ImageJ."""
    hooks = _hidden("ij.IJ", "_hooks")
    return [] if hooks is None else list(hooks.getThreadAncestors() or [])


def _images_by_thread() -> Any:
    return _hidden("ij.WindowManager", "tempImageTable")


def _hidden(class_name: str, name: str) -> Any:
    """Give the value of a class's hidden field; None where it has none of this name."""
    for field in jpype.JClass(class_name).class_.getDeclaredFields():
        if str(field.getName()) == name:
            field.setAccessible(True)
            return field.get(None)
    return None
