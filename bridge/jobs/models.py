"""Model packages: list, describe, check, add and remove them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import JsonValue

from bridge.errors import PackageError
from bridge.jobs.base import Job, Result, Table
from bridge.progress import Progress


class ListModels(Job):
    """List the model packages that can be asked for by name."""

    label: ClassVar[str] = "ZooBridge Models List"
    command: ClassVar[tuple[str, ...]] = ("models", "list")

    def run(self, progress: Progress) -> Result:
        """List embedded and installed packages."""
        from bridge.zoo import catalog

        progress(0, 1, "looking for packages")
        entries = catalog.installed()
        models: list[JsonValue] = [
            {
                "name": entry.name,
                "kind": entry.kind,
                "title": entry.title,
                "description": entry.description,
                "path": str(entry.path),
            }
            for entry in entries
        ]
        rows = [[entry.name, entry.kind, entry.title, entry.description] for entry in entries]
        table = Table(columns=["name", "kind", "model", "what it does"], rows=rows)
        count = f"{len(rows)} package{'' if len(rows) == 1 else 's'}"
        more = "Add one with zoobridge models add PATH."
        return Result(outputs={"models": models}, tables=[table], summary=[f"{count}. {more}"])


class DescribeModel(Job):
    """Tell what a model package does, takes and gives."""

    label: ClassVar[str] = "ZooBridge Models Info"
    command: ClassVar[tuple[str, ...]] = ("models", "info")
    positional: ClassVar[tuple[str, ...]] = ("model",)

    model: str
    """Folder, .zip, YAML file or name of a model package."""

    def run(self, progress: Progress) -> Result:
        """Open the package and describe it."""
        from bridge.jobs.model_card import card_tables, model_card
        from bridge.zoo.package import open_package

        progress(0, 1, "opening the package")
        package = open_package(self.model)
        card = model_card(package)
        return Result(outputs=card, warnings=list(package.notes), tables=card_tables(card))


class CheckModel(Job):
    """Check a model package: its format, its results, and who else can run it."""

    label: ClassVar[str] = "ZooBridge Models Check"
    command: ClassVar[tuple[str, ...]] = ("models", "check")
    positional: ClassVar[tuple[str, ...]] = ("model",)

    model: str
    """Folder, .zip, YAML file or name of a model package."""
    execute: bool = True
    """Run the network on its test tensors, in every weights format, whole and in tiles."""
    trust: bool = False
    """Agree that the package may run code of its own."""

    def run(self, progress: Progress) -> Result:
        """Check the package step by step; an error among the findings makes the job fail."""
        from bridge.zoo.check import check_package

        progress(0, 2, "reading the package")
        findings = check_package(self.model)
        can_run = not any(f.level == "error" and f.area == "package" for f in findings)
        if self.execute and can_run:
            from bridge.jobs.model_trial import try_package
            from bridge.zoo.package import open_package

            progress(1, 2, "running the network")
            findings += try_package(open_package(self.model), trust=self.trust, progress=progress)
        rows = [[f.level, f.area, f.sentence] for f in findings]
        errors = [f.sentence for f in findings if f.level == "error"]
        listed: list[JsonValue] = [
            {"level": f.level, "area": f.area, "sentence": f.sentence} for f in findings
        ]
        failure = None
        if errors:
            found = f"{len(errors)} error{'' if len(errors) == 1 else 's'}; the first: {errors[0]}"
            failure = PackageError(self.model, found, "none", "Mend the package and check again.")
        return Result(
            outputs={"model": self.model, "findings": listed},
            tables=[Table(columns=["level", "area", "finding"], rows=rows)],
            summary=[] if errors else ["The package works."],
            error=failure,
        )


class AddModel(Job):
    """Install a model package, so that it can be asked for by name."""

    label: ClassVar[str] = "ZooBridge Models Add"
    command: ClassVar[tuple[str, ...]] = ("models", "add")
    positional: ClassVar[tuple[str, ...]] = ("path",)

    path: Path
    """Folder, .zip or YAML file of the package."""
    name: str = ""
    """Name to give it; empty makes one from the model's name."""
    overwrite: bool = False
    """Replace an installed package of that name."""

    def run(self, progress: Progress) -> Result:
        """Verify the package and copy it."""
        from bridge.zoo import catalog

        progress(0, 1, "copying the package")
        entry = catalog.add(self.path, name=self.name or None, overwrite=self.overwrite)
        return Result(
            outputs={"name": entry.name, "path": str(entry.path)},
            summary=[f"{entry.title} is installed as {entry.name}."],
        )


class RemoveModel(Job):
    """Remove an installed model package."""

    label: ClassVar[str] = "ZooBridge Models Remove"
    command: ClassVar[tuple[str, ...]] = ("models", "remove")
    positional: ClassVar[tuple[str, ...]] = ("name",)

    name: str
    """Name of an installed package."""

    def run(self, progress: Progress) -> Result:
        """Delete the installed copy."""
        from bridge.zoo import catalog

        progress(0, 1, "removing the package")
        catalog.remove(self.name)
        return Result(outputs={"name": self.name}, summary=[f"{self.name} is removed."])
