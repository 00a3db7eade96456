"""Whether some Python on this machine can do zoobridge's work: it is asked, not guessed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bridge.errors import InputError
from bridge.fiji.folder import python_in

_QUESTION: Final = """
import importlib, json, platform, shutil, sysconfig
answer = {"version": platform.python_version(), "missing": []}
for name in MODULES:
    try:
        importlib.import_module(name)
    except Exception as error:
        answer["missing"].append("%s (%s: %s)" % (name, type(error).__name__, error))
if not answer["missing"]:
    import bridge
    answer["zoobridge"] = bridge.__version__
    answer["command"] = shutil.which("zoobridge", path=sysconfig.get_path("scripts"))
print(json.dumps(answer))
"""
_LIMIT_S: Final = 120


@dataclass(frozen=True)
class FoundPython:
    """A Python that has zoobridge."""

    program: Path
    """Its absolute path; that of a virtual environment, not of what it links to."""
    version: str
    """Version of Python."""
    zoobridge: str
    """Version of its zoobridge."""
    command: Path | None
    """Its shell command ``zoobridge``, where it has one."""


def check_python(given: str, *, modules: tuple[str, ...] = ("bridge", "appose")) -> FoundPython:
    """Ask a Python whether it has zoobridge.

    Parameters
    ----------
    given : str
        Path or name of the program, or the folder of its environment.
    modules : tuple of str
        What it must be able to import.

    Returns
    -------
    FoundPython
        What it said.

    Raises
    ------
    InputError
        There is no such program, it doesn't run, or it cannot import one of the modules.
    """
    program = find_program(given)
    answer = _asked(program, modules)
    missing = answer["missing"]
    if missing:
        raise InputError(
            str(program),
            f"this Python {answer['version']} cannot import {', '.join(missing)}",
            "a Python with zoobridge",
            f'Install it there: "{program}" -m pip install zoobridge.',
        )
    command = answer["command"]
    return FoundPython(
        program, answer["version"], answer["zoobridge"], Path(command) if command else None
    )


def find_program(given: str) -> Path:
    """Find a Python by its path or name, or in the folder of its environment.

    Parameters
    ----------
    given : str
        What a user wrote.

    Returns
    -------
    Path
        Its absolute path, links not followed.

    Raises
    ------
    InputError
        There is none.
    """
    path = Path(given)
    if path.is_dir():
        found = python_in(path)
        if found is not None:
            return found.absolute()
        raise InputError(given, "no Python is in this folder", "a Python or its environment")
    name = shutil.which(given)
    if name is None:
        remedy = "Give its full path."
        raise InputError(given, "there is no such program", "a Python with zoobridge", remedy)
    return Path(name).absolute()


def _asked(program: Path, modules: tuple[str, ...]) -> dict[str, Any]:
    """Let it import the modules away from this folder and from what was set for this Python."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    question = _QUESTION.replace("MODULES", repr(modules))
    try:
        with tempfile.TemporaryDirectory() as elsewhere:
            done = subprocess.run(
                [str(program), "-c", question],
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
                cwd=elsewhere,
                env=environment,
                stdin=subprocess.DEVNULL,
            )
        answer = json.loads(done.stdout.strip().splitlines()[-1])
        if isinstance(answer, dict) and {"version", "missing"} <= answer.keys():
            return answer
        found = "does not answer as a Python would"
    except OSError as error:
        found = f"does not start ({error.strerror})"
    except subprocess.TimeoutExpired:
        found = f"gave no answer within {_LIMIT_S} s"
    except (ValueError, IndexError):
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        found = f"does not answer as a Python would, but says: {said[-1]}"
    remedy = "Name another with --python."
    raise InputError(str(program), found, "a Python with zoobridge", remedy)
