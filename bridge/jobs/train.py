"""The jobs ``train`` and ``package``: a recipe becomes a network, and the network a package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.training.fit import Run

SHIPPED = {
    "deep-storm": "deep_storm",
    "deep-storm-original": "deep_storm_original",
    "dsir": "dsir",
}
"""Recipes that come with zoobridge: name to folder in ``models_zoo``."""


class Train(Job):
    """Train a network and make its package.

    It learns from a simulation, from your own movie with its ThunderSTORM table (--stack and
    --table), or from both. The run's folder shows curves and panels while it trains; a stopped run
    goes on with --resume. The package is in the run's folder, tested.
    """

    label: ClassVar[str] = "ZooBridge Train"
    command: ClassVar[tuple[str, ...]] = ("train",)
    positional: ClassVar[tuple[str, ...]] = ("recipe",)

    recipe: str = "deep-storm"
    """Recipe (YAML), or the name of one: deep-storm, deep-storm-original, dsir."""
    output: Path = Path("zoobridge-run")
    """Folder of the run; made if missing."""
    stack: str = ""
    """Movie to learn from, TIFF; its right half judges."""
    table: str = ""
    """Localizations in this movie, as ThunderSTORM exports them."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Edge of a camera pixel; 0 takes it from the table's protocol, the stack or the recipe."""
    simulate: Literal["auto", "always", "never"] = "auto"
    """Whether to learn from a simulation too; auto: only where there is no movie."""
    like: str = ""
    """Table whose density, photons, widths and background the simulation takes over."""
    minutes: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Length of the training; 0 takes the recipe's."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Length in steps; 0 takes the recipe's."""
    seed: Annotated[int, Field(ge=-1)] = -1
    """Seed of weights and data; -1 takes the recipe's."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train."""
    change: list[str] = Field(default_factory=list)
    """Other values of the recipe, KEY=VALUE, such as fit.learning_rate=0.001."""
    resume: bool = False
    """Go on with the run in the folder."""

    def run(self, progress: Progress) -> Result:
        """Train, then package."""
        _require_lightning()
        from bridge.training.fit import train
        from bridge.training.recipe import load_recipe

        recipe = load_recipe(find_recipe(self.recipe), self._changes())
        finished = train(recipe, self.output, resume=self.resume, progress=progress)
        return package_run(finished, self.output / "package", overwrite=True, progress=progress)

    def _changes(self) -> dict[str, object]:
        from bridge.errors import InputError

        changes: dict[str, object] = {}
        for text in self.change:
            key, sign, value = text.partition("=")
            if not sign or not key:
                raise InputError("--change", repr(text), "KEY=VALUE, such as fit.batch=16")
            changes[key.strip()] = value.strip()
        if bool(self.stack) != bool(self.table):
            missing = "--table" if self.stack else "--stack"
            raise InputError(missing, "was not given", "a movie and its table", "Give both.")
        if self.stack:
            changes["data.movies"] = [self._movie()]
            if self.simulate == "never" or (self.simulate == "auto" and not self.like):
                changes["data.preset"] = None
                if not any(key.startswith("data.simulation.") for key in changes):
                    changes["data.simulation"] = {}  # the recipe's own, not used without a preset
        if self.like:
            changes["data.like"] = str(Path(self.like).absolute())
        if self.pixel_size_nm and not self.stack:
            changes["data.simulation.camera.pixel_size_nm"] = self.pixel_size_nm
        if self.minutes:
            changes["fit.minutes"] = self.minutes
        if self.steps:
            changes["fit.steps"] = self.steps
        if self.seed >= 0:
            changes["fit.seed"] = self.seed
        if self.device != "auto":
            changes["fit.device"] = self.device
        return changes

    def _movie(self) -> dict[str, Any]:
        movie = {"stack": self.stack, "table": self.table}
        paths = {key: str(Path(path).absolute()) for key, path in movie.items()}
        return {**paths, "pixel_size_nm": self.pixel_size_nm or None}


class PackageRun(Job):
    """Make the package of a training again, or of one that was stopped."""

    label: ClassVar[str] = "ZooBridge Package"
    command: ClassVar[tuple[str, ...]] = ("package",)
    positional: ClassVar[tuple[str, ...]] = ("input",)

    input: Path
    """Folder of the run."""
    output: Path | None = None
    """Folder of the package; none takes the run's own."""
    overwrite: bool = False
    """Replace a package that is there."""

    def run(self, progress: Progress) -> Result:
        """Take the run's best weights, and package them."""
        _require_lightning()
        from bridge.training.fit import reopen

        folder = self.input / "package" if self.output is None else self.output
        return package_run(reopen(self.input), folder, overwrite=self.overwrite, progress=progress)


def _require_lightning() -> None:
    """Refuse where the extra ``train`` was not installed."""
    from importlib.util import find_spec

    from bridge.errors import InputError

    if find_spec("lightning") is None:
        remedy = "pip install 'zoobridge[train]' brings it."
        raise InputError("zoobridge train", "needs lightning, which is not installed", "", remedy)


def find_recipe(name: str) -> Path:
    """Give the path of a recipe: a shipped one's by its name, or the path itself."""
    from importlib import resources

    if name in SHIPPED:
        return Path(str(resources.files("models_zoo") / SHIPPED[name]))
    from bridge.errors import RecipeError

    path = Path(name)
    if not path.exists():
        expected = f"a YAML file, or one of {', '.join(SHIPPED)}"
        raise RecipeError(name, "is no recipe here", expected, "Check the path.")
    return path


def package_run(run: Run, folder: Path, *, overwrite: bool, progress: Progress) -> Result:
    """Package a run and say what came of it."""
    from bridge.training.package import make_package

    packaged = make_package(run, folder, overwrite=overwrite, progress=progress)
    figures = packaged.figures.flat()
    summary = [
        f"{run.task.recipe.name}: its package is {folder}; bioimageio.core's test passed, weight "
        f"formats agree within {packaged.formats_differ:.1g} of the output's maximum, tiles with "
        f"the whole within {packaged.tiled_differs:.1g} standard deviations."
    ]
    for movie, score in packaged.figures.scores.items():
        summary.append(
            f"{movie}: r {score.correlation:.3f} (sum of frames {score.frames_correlation:.3f}), "
            f"NMSE {score.nmse:.3f} ({score.frames_nmse:.3f}), mass {score.mass:.2f}."
        )
    summary.append(f"Run it: zoobridge predict --model {folder} --input MOVIE --output OUT.tif")
    return Result(
        outputs={
            "package": str(folder),
            "run": str(run.run_dir),
            "panel": str(run.run_dir / "panel.png"),
            "curves": str(run.run_dir / "curves.png"),
            "figures": dict(figures),
        },
        warnings=run.sources.notes,
        summary=summary,
    )
