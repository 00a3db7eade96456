"""The job ``fiji macro``: an ImageJ macro run without windows, with an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import JsonValue

from bridge.errors import InputError, OutputError, RunError
from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.fiji.macro_run import MacroRun


class MacroError(RunError):
    """A macro stopped before its end."""


class RunMacro(Job):
    """Run an ImageJ macro in a Fiji without windows.

    The commands of zoobridge are there, installed in that Fiji or not; they run in this Python.
    Unlike ImageJ's own --headless, a macro that fails ends with an exit code and its reason.
    """

    label: ClassVar[str] = "ZooBridge Fiji Macro"
    command: ClassVar[tuple[str, ...]] = ("fiji", "macro")
    positional: ClassVar[tuple[str, ...]] = ("macro", "argument")

    macro: Path
    """The macro's file (.ijm or .txt)."""
    argument: str = ""
    """What the macro gets from getArgument()."""
    fiji: str = ""
    """Fiji's folder; empty takes the one that the variable ZOOBRIDGE_FIJI names."""
    output: str = ""
    """Folder for the images that are open at the end, as TIFF; empty keeps none."""
    overwrite: bool = False
    """Replace images that are there."""

    def run(self, progress: Progress) -> Result:
        """Start the Fiji, run the macro, and say how it went."""
        self._check()
        self._check_output()
        from bridge.fiji.gateway import find_fiji, session

        fiji_dir = find_fiji(self.fiji)
        progress(0, 2, "starting Fiji")
        with session(fiji_dir):
            from bridge.fiji.macro_run import open_titles, run_macro

            progress(1, 2, f"running {self.macro.name}")
            done = run_macro(self.macro.absolute(), self.argument)
            images = open_titles()
            saved = self._save(images)
        return self._result(done, list(images), saved)

    def _check(self) -> None:
        if not self.macro.is_file():
            raise InputError(str(self.macro), "there is no such file", "a macro", "Check the path.")
        if self.macro.suffix.lower() not in (".ijm", ".txt"):
            raise InputError(
                str(self.macro), "is no ImageJ macro", "a .ijm or .txt file", "Rename it if it is."
            )
        try:
            self.macro.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                str(self.macro), f"cannot be read ({error})", "a UTF-8 text", "Save it as UTF-8."
            ) from error

    def _check_output(self) -> None:
        """Refuse a folder with images in it before the macro takes its time."""
        there = sorted(Path(self.output).glob("*.tif")) if self.output else []
        if there and not self.overwrite:
            raise OutputError(
                self.output,
                f"there are images in it, {there[0].name} for one",
                "a new folder, or one without .tif files",
                "Give --overwrite to replace those of the same names.",
            )

    def _save(self, images: dict[str, Any]) -> dict[str, str]:
        """Write the open images, each whole or not at all; gives paths by title."""
        if not self.output:
            return {}
        from bridge.fiji.macro_run import save_tiff

        paths: dict[str, str] = {}
        for title, imp in images.items():
            name = _file_name(title)
            if f"{name}.tif" in paths.values():
                name = f"{name}-{len(paths)}"
            save_tiff(imp, Path(self.output, f"{name}.tif"))
            paths[title] = f"{name}.tif"
        return {title: str(Path(self.output, name)) for title, name in paths.items()}

    def _result(self, done: MacroRun, titles: list[str], saved: dict[str, str]) -> Result:
        outputs: dict[str, JsonValue] = {
            "returned": done.returned,
            "log": done.log,
            "images": list(titles),
            "saved": list(saved.values()),
        }
        if done.failure:
            error = MacroError(
                str(self.macro), f"the macro failed: {done.failure}", remedy="See its log above."
            )
            return Result(outputs=outputs, summary=done.log.splitlines(), error=error)
        lines = [*done.log.splitlines(), *(f"Written: {path}" for path in saved.values())]
        if done.returned:
            lines.append(f"Returned: {done.returned}")
        return Result(outputs=outputs, summary=[*lines, f"{self.macro.name} ran to its end."])


def _file_name(title: str) -> str:
    """Give a title's name as a file: without the ending, and nothing that a disk refuses."""
    from bridge.jobs.titles import without_ending

    name = "".join("_" if c in '<>:"/\\|?*' or ord(c) < 32 else c for c in without_ending(title))
    return name.strip(". ") or "image"
