"""Macro functions with return values, one for each job: ``Ext.zooPredict(options, status)``.

::

    run("ZooBridge Macro Extensions");
    status = "";
    title = Ext.zooPredict("model=deep-storm tile=64", status);
    if (title == "") exit("no prediction: " + status);

A function returns the title of what it showed, else the path of its first output, else a count; and
nothing where it failed. ``status`` gets the JSON status (:mod:`bridge.jobs.status`). A failure does
not end the macro.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jpype

from bridge.fiji.run import Done, perform
from bridge.fiji.show import is_macro, stop

TITLE = "ZooBridge Macro Extensions"


def register(jobs: Mapping[str, str]) -> None:
    """Give the running macro its functions.

    Parameters
    ----------
    jobs : mapping
        Command words by function name, ``{"zooPredict": "predict"}``.
    """
    if not is_macro():
        stop(
            TITLE,
            "no macro is running. Expected a macro that calls its functions. "
            f'Begin a macro with run("{TITLE}");',
        )
        return
    jpype.JClass("ij.macro.Functions").registerExtensions(_extension(jobs))


def returned(done: Done) -> str:
    """Say in one text what a job gave, as its macro function returns it.

    Parameters
    ----------
    done : Done
        What came of the request.

    Returns
    -------
    str
            A title, a path or a number; empty if it failed.
    """
    if not done.answer.is_ok:
        return ""
    if done.titles:
        return done.titles[0]
    outputs = json.loads(done.answer.status)["outputs"].values()
    firsts = [output[0] if isinstance(output, list) and output else output for output in outputs]
    texts = [first for first in firsts if isinstance(first, str)]
    counts = [str(len(output)) for output in outputs if isinstance(output, list)]
    return next(iter(texts + counts), "0")


def _extension(jobs: Mapping[str, str]) -> Any:
    """Make the Java object that ImageJ asks for the functions and calls."""
    interface = jpype.JClass("ij.macro.MacroExtension")
    descriptor = jpype.JClass("ij.macro.ExtensionDescriptor")
    kinds = [interface.ARG_STRING, interface.ARG_STRING + interface.ARG_OUTPUT]

    @jpype.JImplements(interface)
    class ZooBridgeFunctions:
        @jpype.JOverride  # type: ignore[untyped-decorator]
        def getExtensionFunctions(self) -> Any:  # noqa: N802 - Java's name
            described = [descriptor.newDescriptor(name, self, *kinds) for name in jobs]
            return jpype.JArray(descriptor)(described)

        @jpype.JOverride  # type: ignore[untyped-decorator]
        def handleExtension(self, name: Any, arguments: Any) -> str:  # noqa: N802 - Java's name
            done = perform(jobs[str(name)], values={}, options=str(arguments[0] or ""))
            arguments[1][0] = done.answer.status
            return returned(done)

    return ZooBridgeFunctions()
