"""The jobs about Fiji itself; none of them becomes a menu entry there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from bridge.errors import InputError, OutputError, RunError
from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.fiji.folder import FijiFolder
    from bridge.fiji.install import Plan


class FijiInstall(Job):
    """Put zoobridge's commands and macros into a Fiji or ImageJ.

    Fiji gets menu entries (Plugins > ZooBridge), which are also commands for macros. Plain ImageJ
    gets macros in the same menu. Nothing of others is overwritten; `zoobridge fiji uninstall` takes
    all of it out again.
    """

    label: ClassVar[str] = "ZooBridge Fiji Install"
    command: ClassVar[tuple[str, ...]] = ("fiji", "install")
    positional: ClassVar[tuple[str, ...]] = ("folder",)

    folder: Path
    """Folder of Fiji or ImageJ."""
    kind: Literal["auto", "groovy", "python", "macros"] = "auto"
    """Groovy for Fiji, python for its Python mode, macros for plain ImageJ; auto looks."""
    python: str = ""
    """Python that works for Fiji, or its environment; empty takes the one that runs this."""

    def run(self, progress: Progress) -> Result:
        """Look at the folder, check the Python, then write."""
        from bridge.fiji.install import install, plan_install

        progress(0, 2, "looking at the folder")
        plan = plan_install(
            self.folder, kind=None if self.kind == "auto" else self.kind, python=self.python
        )
        progress(1, 2, "installing")
        changes = install(plan)
        progress(2, 2, "done")
        done = len(changes.written) + len(changes.removed)
        kept = [f"{path} was changed by somebody and is kept as it is." for path in changes.kept]
        return Result(
            outputs={
                "folder": str(plan.folder.root),
                "kind": plan.kind,
                "python": str(plan.python.program),
                "appose": plan.folder.jar_version("appose"),
                "written": list(changes.written),
                "removed": list(changes.removed),
                "kept": list(changes.kept),
            },
            warnings=[*plan.notes, *kept],
            summary=[
                _found(plan.folder),
                *_contents(plan),
                f"Python: {plan.python.program}, version {plan.python.version}, "
                f"with zoobridge {plan.python.zoobridge}.",
                f"{done} files changed. Restart it to find Plugins > ZooBridge."
                if done
                else "All was in place; nothing was changed.",
            ],
        )


class FijiUninstall(Job):
    """Take zoobridge out of a Fiji or ImageJ again."""

    label: ClassVar[str] = "ZooBridge Fiji Uninstall"
    command: ClassVar[tuple[str, ...]] = ("fiji", "uninstall")
    positional: ClassVar[tuple[str, ...]] = ("folder",)

    folder: Path
    """Folder of Fiji or ImageJ."""
    force: bool = False
    """Remove files of zoobridge that somebody changed, too."""

    def run(self, progress: Progress) -> Result:
        """Remove what install wrote, and the folders it made."""
        from bridge.fiji.folder import recognise
        from bridge.fiji.install import uninstall

        folder = recognise(self.folder)
        changes = uninstall(folder, force=self.force)
        error = None
        if changes.kept:
            error = OutputError(
                ", ".join(changes.kept),
                "was changed after it was installed, and is kept",
                remedy="Remove it too with --force.",
            )
        return Result(
            outputs={
                "folder": str(folder.root),
                "removed": list(changes.removed),
                "kept": list(changes.kept),
            },
            summary=[f"{len(changes.removed)} files removed from {folder.root}."],
            error=error,
        )


class FijiDoctor(Job):
    """Say which links between this Python and a Fiji work.

    Needs no running Fiji. The list can be pasted into a forum post.
    """

    label: ClassVar[str] = "ZooBridge Fiji Doctor"
    command: ClassVar[tuple[str, ...]] = ("fiji", "doctor")
    positional: ClassVar[tuple[str, ...]] = ("folder",)

    folder: str = ""
    """Folder of Fiji or ImageJ; empty looks at the rest."""

    def run(self, progress: Progress) -> Result:
        """Try every link; a required one that fails makes the job fail."""
        from bridge.fiji.doctor import steps
        from bridge.jobs.doctor import examined

        folder = Path(self.folder) if self.folder else None
        return examined(steps(folder), progress, "All that zoobridge needs for Fiji works here.")


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


def _found(folder: FijiFolder) -> str:
    """Say what a folder is, with the versions that matter."""
    from bridge.fiji.folder import KEY_JARS

    found = {name: folder.jar_version(name) for name in KEY_JARS}
    versions = ", ".join(f"{n} {v}" for n, v in found.items() if v).replace(" ?", ".jar")
    program = f", started by {folder.program}" if folder.program else ""
    return f"Found {folder.name} in {folder.root}{program}: {versions}."


def _contents(plan: Plan) -> list[str]:
    """Say what is put where, a sentence for each folder."""
    names: dict[str, int] = {}
    for path in plan.files:
        folder = path.rpartition("/")[0]
        names[folder] = names.get(folder, 0) + 1
    words = {"scripts": f"menu entries ({plan.kind})", "macros": "macros", "plugins": "macros"}
    return [
        f"{count} {words[folder.split('/')[0]]} in {folder}."
        for folder, count in names.items()
        if folder.split("/")[0] in words
    ]
