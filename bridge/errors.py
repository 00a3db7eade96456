"""What can go wrong, as one tree; each error says what, what was found, expected, and to do.

::

    ZooBridgeError
    |-- InputError            the request itself cannot be right; nothing was started (exit code 2)
    |   |-- ImageError        an image: its file, axes, size or values
    |   |-- TableError        a table of localizations: its file, columns, units or values
    |   |-- RecipeError       a recipe for training: its keys, values or data
    |   |-- PackageError      a model package: its archive, description, hashes or weights
    |   |   `-- TrustError    the package wants to run its own code, and nobody has agreed to that
    |   |-- DeviceError       a device or engine that was asked for is not here
    |   `-- OutputError       the place where a result should go
    |-- RunError              it went wrong on the way (exit code 1)
    |   |-- NetworkError      the network does not do what its description says
    |   |-- TrainingError     a training came to nothing: its loss is NaN, or its output is dead
    |   |-- MemoryShortage    not enough memory, even for the smallest tile
    |   `-- VerdictError      the result is there, and it is black, constant, NaN or saturated
    `-- Cancelled             the user stopped it (exit code 130)
"""

from __future__ import annotations

from typing import ClassVar


class ZooBridgeError(Exception):
    """An error that a user can act on.

    Parameters
    ----------
    what : str
        The file, field or part concerned.
    found : str
        What was found there.
    expected : str
        What was expected instead; may be empty.
    remedy : str
        What the user can do; may be empty.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(what, found, expected, remedy)
        self.what = what
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        sentences = [f"{self.what}: {self.found}"]
        if self.expected:
            sentences.append(f"Expected {self.expected}")
        if self.remedy:
            sentences.append(self.remedy)
        return " ".join(s if s.endswith((".", "!", "?")) else f"{s}." for s in sentences)

    def as_dict(self) -> dict[str, str]:
        """Give the four parts for the JSON status."""
        return {
            "kind": type(self).__name__,
            "what": self.what,
            "found": self.found,
            "expected": self.expected,
            "remedy": self.remedy,
        }


class InputError(ZooBridgeError):
    """The request cannot be right as it stands; nothing was started."""

    exit_code = 2


class ImageError(InputError):
    """An image cannot be read, or does not fit the model."""


class TableError(InputError):
    """A table of localizations cannot be read, or does not fit its image."""


class RecipeError(InputError):
    """A recipe for training holds a wrong key or value, or its data cannot be used."""


class PackageError(InputError):
    """A model package cannot be opened or does not hold what it says."""


class TrustError(PackageError):
    """The package holds code of its own, and running it was not agreed to."""


class DeviceError(InputError):
    """A device or engine that was asked for is not available."""


class OutputError(InputError):
    """The result cannot be put where it should go."""


class RunError(ZooBridgeError):
    """Something went wrong while the work was under way."""


class NetworkError(RunError):
    """The network does not do what its description says."""


class TrainingError(RunError):
    """A training came to nothing; its last good state was kept."""


class MemoryShortage(RunError):  # noqa: N818 - says what happened, as Cancelled does
    """The memory does not suffice even for the smallest tile."""


class VerdictError(RunError):
    """A result was computed and it is black, constant, NaN or saturated."""


class Cancelled(ZooBridgeError):  # noqa: N818 - not an error: somebody wanted it
    """The work was stopped by its user."""

    exit_code = 130

    def __init__(self, what: str = "cancelled", found: str = "stopped on request") -> None:
        super().__init__(what, found)
