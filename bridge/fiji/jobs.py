"""The jobs about Fiji itself; none of them becomes a menu entry there."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bridge.errors import InputError, RunError
from bridge.jobs.base import Job, Result
from bridge.progress import Progress


class FijiLaunchers(Job):
    """Write the menu entries of Fiji, one for each job and language.

    For developers: the repository keeps them in fiji_scripts, and a check fails when a job has
    changed since. Installing into a Fiji writes its own.
    """

    label: ClassVar[str] = "ZooBridge Fiji Launchers"
    command: ClassVar[tuple[str, ...]] = ("fiji", "launchers")

    output: str = ""
    """Folder to write them in; empty takes the repository's fiji_scripts."""
    check: bool = False
    """Write nothing, and fail where a file is missing, stale or surplus."""

    def run(self, progress: Progress) -> Result:
        """Write or compare all of them."""
        from bridge.fiji.launchers import RENEW, all_launchers, differences, made_by_us
        from bridge.fiji.whole_files import write_whole

        folder = Path(self.output) if self.output else _repository_scripts()
        found = differences(folder)
        if self.check:
            error = None
            if found:
                remedy = f"Run {RENEW}" + (f" --output {self.output}." if self.output else ".")
                error = RunError(
                    str(folder), "; ".join(found), "what the jobs' definitions give", remedy
                )
            return Result(
                outputs={"differences": list(found)},
                summary=[] if found else ["All launchers are as the jobs' definitions give them."],
                error=error,
            )
        expected = all_launchers()
        for path in made_by_us(folder):
            if path.relative_to(folder).as_posix() not in expected:
                path.unlink()
        for name, text in expected.items():
            write_whole(folder / name, text.encode())
        return Result(
            outputs={"folder": str(folder), "changed": list(found)},
            summary=[f"{len(expected)} launchers in {folder}, {len(found)} of them changed."],
        )


def _repository_scripts() -> Path:
    repository = Path(__file__).parents[2]
    if not (repository / "pyproject.toml").is_file():
        raise InputError(
            "output",
            "not given, and this zoobridge is installed without its repository",
            "a folder",
            "Give --output.",
        )
    return repository / "fiji_scripts"
