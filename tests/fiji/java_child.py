"""A process of its own for each Java: whatever it does, pytest goes on.

The parent sends functions (by name, as pickle does) and their arguments; the child calls them and
sends back what they return, or the trace of what they raise.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Final

LIMIT_S: Final = 300.0


class JavaChild:
    """A process in which functions can be called, one after the other.

    Parameters
    ----------
    start : callable
        Called first, there; starts Java.
    settings
        Its arguments.
    """

    def __init__(self, start: Callable[..., None], **settings: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self.call(start, **settings)

    def call(self, function: Callable[..., Any], **arguments: Any) -> Any:
        """Call a module's function there, and give what it returns."""
        self._pipe.send((function, arguments))
        if not self._pipe.poll(LIMIT_S):
            self._process.kill()
            raise TimeoutError(f"no answer to {function.__name__} within {LIMIT_S:g} s")
        try:
            is_good, value = self._pipe.recv()
        except EOFError:
            raise RuntimeError(f"the process ended during {function.__name__}") from None
        if not is_good:
            raise RuntimeError(f"{function.__name__} in Java's process:\n{value}")
        return value

    def quit(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(pipe: Connection) -> None:
    try:
        while True:
            function, arguments = pipe.recv()
            try:
                answer = True, function(**arguments)
            except Exception:  # noqa: BLE001 - the trace goes to the parent, which raises it
                answer = False, traceback.format_exc()
            pipe.send(answer)
    except (EOFError, OSError):
        pass
    finally:
        os._exit(0)
