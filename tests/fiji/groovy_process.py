"""A Java process with ImageJ, Groovy and Appose, in which tests run snippets of Groovy.

It is started as a Fiji without Python mode is: by Java alone. The other end is
``groovy_server.groovy``. A process that doesn't answer in time is killed.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SERVER: Final = Path(__file__).with_name("groovy_server.groovy")
CLIENT: Final = Path(__file__).parents[2] / "bridge" / "fiji" / "ZooBridge.groovy"
LIMIT_S: Final = 180.0
_MARK: Final = "ANSWER "


@dataclass(frozen=True)
class Run:
    """What a snippet did."""

    value: Any
    """What it returned, as JSON carries it."""
    log: str
    """ImageJ's log; headless, what was printed on standard output while it ran."""
    dialogs: tuple[str, ...]
    """Text of each modal dialog that came up."""


class Groovy:
    """A running Java.

    Parameters
    ----------
    java : Path
        The ``java`` program.
    jars : sequence of Path
        The class path.
    client : Path
        The ZooBridge.groovy to load; ``install.json`` may lie beside it.
    env : mapping
        Environment variables; without DISPLAY it runs headless.
    home : Path
        Folder for everything that Java would keep in the user's home.
    prefix : sequence of str
        Words before the command, such as ``unshare -m``.
    """

    def __init__(
        self,
        java: Path,
        jars: Sequence[Path],
        client: Path,
        env: Mapping[str, str],
        home: Path,
        prefix: Sequence[str] = (),
    ) -> None:
        command = [
            *prefix,
            str(java),
            f"-Duser.home={home}",
            f"-Djava.util.prefs.userRoot={home}",
            f"-Djava.awt.headless={'false' if env.get('DISPLAY') else 'true'}",
            *(["--enable-native-access=ALL-UNNAMED"] if _version(java) >= 22 else []),
            "-Xmx512m",
            "-cp",
            os.pathsep.join(map(str, jars)),
            "groovy.ui.GroovyMain",
            str(SERVER),
            str(client),
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
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

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
        for line in stream:
            if line.startswith(_MARK):
                self._answers.put(line.removeprefix(_MARK))
            else:
                self._printed.append(line.rstrip("\n"))
        if stream is self._process.stdout:
            self._answers.put(None)


def _version(java: Path) -> int:
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True).stderr
    return int(said.split('"')[1].split(".")[0])
