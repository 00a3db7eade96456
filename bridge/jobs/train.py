"""The jobs ``train`` and ``package``: a recipe becomes a network, and the network a package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.training.chain import Chain
    from bridge.training.fit import Run
    from bridge.training.package import Packaged

SHIPPED = {
    "deep-storm": "deep_storm",
    "deep-storm-original": "deep_storm_original",
    "dsir": "dsir",
    "localizer": "localizer",
    "localizer-blinking": "localizer/recipe_blinking.yaml",
    "localizer-3d": "localizer/recipe_astigmatic.yaml",
    "edsr": "edsr",
    "srgan": "srgan",
    "sr3": "sr3",
    "dfcan": "dfcan",
    "centriole-unet": "centriole_unet",
    "ur-net-8": "ur_net_8",
    "x-net": "x_net",
    "xmicroscopy": "x_microscopy",
}
"""Recipes that come with zoobridge: name to folder, or file, in ``models_zoo``."""


class Train(Job):
    """Train a network and make its package.

    It learns from a simulation, from your own movie with its ThunderSTORM table (--stack and
    --table), or from both. A localizer learns from a simulation that is like both: five minutes
    are enough for one that beats fitting. The run's folder shows curves and panels while it
    trains; a stopped run goes on with --resume. The package is in the run's folder, tested.
    """

    label: ClassVar[str] = "ZooBridge Train"
    command: ClassVar[tuple[str, ...]] = ("train",)
    positional: ClassVar[tuple[str, ...]] = ("recipe",)

    recipe: str = "deep-storm"
    """Recipe (YAML), or a shipped one: deep-storm, localizer, edsr, srgan, sr3, xmicroscopy ..."""
    output: Path = Path("zoobridge-run")
    """Folder of the run; made if missing."""
    stack: str = ""
    """Movie to learn from, TIFF; its right half judges. A localizer measures it."""
    table: str = ""
    """Localizations in this movie, as ThunderSTORM exports them; a localizer is made like them."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Edge of a camera pixel; 0 takes it from the table's protocol, the stack or the recipe."""
    simulate: Literal["auto", "always", "never"] = "auto"
    """Whether to learn from a simulation too; auto: only where there is no movie."""
    like: str = ""
    """Table whose density, photons, widths and background the simulation takes over."""
    pairs: str = ""
    """Folder of image pairs, as `zoobridge pairs` makes it; for edsr, srgan, sr3, dfcan ..."""
    camera_offset_adu: Annotated[float, Field(ge=-1, le=100_000)] = -1.0
    """Counts of a dark pixel; -1 takes it from the table's protocol or the recipe."""
    electrons_per_adu: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Electrons per count; 0 takes it from the table's protocol or the recipe."""
    em_gain: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Electron multiplication gain; 0 takes it from the table's protocol or the recipe."""
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
        require_lightning()
        from bridge.training.fit import train
        from bridge.training.recipe import load_recipe, read_kind

        path = find_recipe(self.recipe)
        kind = read_kind(path)
        recipe = load_recipe(path, self._changes(kind))
        if kind == "xmicroscopy":
            from bridge.training.chain import train_chain

            chain = train_chain(recipe, self.output, resume=self.resume, progress=progress)
            return package_chain(chain, self.output / "package", overwrite=True, progress=progress)
        finished = train(recipe, self.output, resume=self.resume, progress=progress)
        return package_run(finished, self.output / "package", overwrite=True, progress=progress)

    def _changes(self, kind: str) -> dict[str, object]:
        from bridge.errors import InputError

        changes: dict[str, object] = self._camera()
        for text in self.change:
            key, sign, value = text.partition("=")
            if not sign or not key:
                raise InputError("--change", repr(text), "KEY=VALUE, such as fit.batch=16")
            changes[key.strip()] = value.strip()
        if kind == "localization":
            changes |= self._likeness()
        elif bool(self.stack) != bool(self.table):
            missing = "--table" if self.stack else "--stack"
            raise InputError(missing, "was not given", "a movie and its table", "Give both.")
        elif self.stack:
            changes["data.movies"] = [self._movie()]
            if self.simulate == "never" or (self.simulate == "auto" and not self.like):
                changes["data.preset"] = None
                if not any(key.startswith("data.simulation.") for key in changes):
                    changes["data.simulation"] = {}  # the recipe's own, not used without a preset
        if self.pairs:
            changes["data.folder"] = str(Path(self.pairs).absolute())
        if self.like and kind != "localization":
            changes["data.like"] = str(Path(self.like).absolute())
        if self.pixel_size_nm and "data.movies" not in changes:
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

    def _camera(self) -> dict[str, object]:
        front = "data.simulation.camera."
        changes: dict[str, object] = {}
        if self.camera_offset_adu >= 0:
            changes[front + "offset_adu"] = self.camera_offset_adu
        if self.electrons_per_adu:
            changes[front + "electrons_per_adu"] = self.electrons_per_adu
        if self.em_gain:
            changes |= {front + "kind": "emccd", front + "em_gain": self.em_gain}
        return changes

    def _likeness(self) -> dict[str, object]:
        """Give table and movie that a localizer's simulation is to be like."""
        from bridge.errors import InputError

        table = self.like or self.table
        if self.stack and not table:
            found = "was not given, and a movie alone doesn't say what is in it"
            raise InputError("--table", found, "the movie's localizations", "Give it as well.")
        paths = {"data.like": table, "data.like_stack": self.stack}
        return {key: str(Path(path).absolute()) for key, path in paths.items() if path}

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
        require_lightning()
        from bridge.training.fit import read_run_recipe, reopen

        folder = self.input / "package" if self.output is None else self.output
        if read_run_recipe(self.input).task.kind == "xmicroscopy":
            from bridge.training.chain import reopen_chain

            chain = reopen_chain(self.input)
            return package_chain(chain, folder, overwrite=self.overwrite, progress=progress)
        return package_run(reopen(self.input), folder, overwrite=self.overwrite, progress=progress)


def require_lightning() -> None:
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


def package_chain(chain: Chain, folder: Path, *, overwrite: bool, progress: Progress) -> Result:
    """Package both networks as one, and each on its own in its run's folder."""
    whole = package_run(chain.whole, folder, overwrite=overwrite, progress=progress)
    for name, part in (("ur_net_8", chain.ur_net_8), ("x_net", chain.x_net)):
        own = part.run_dir / "package"
        found = package_run(part, own, overwrite=True, progress=progress)
        whole.outputs[f"{name}_package"] = str(own)
        whole.summary.extend(line for line in found.summary if line not in whole.summary)
        whole.warnings.extend(line for line in found.warnings if line not in whole.warnings)
    panel = {name: str(chain.x_net.run_dir / f"{name}.png") for name in ("panel", "curves")}
    whole.outputs.update(panel)
    return whole


def tell_tiles(packaged: Packaged) -> str:
    """Say how tiles compare with the whole."""
    if packaged.is_local:
        return f"tiles with the whole within {packaged.tiled_differs:.1g} standard deviations."
    return (
        "tiles are blended, since it looks at the whole image at once: they differ from it by "
        f"{packaged.tiled_differs:.1g} standard deviations (root mean square). Run images whole."
    )


def package_run(run: Run, folder: Path, *, overwrite: bool, progress: Progress) -> Result:
    """Package a run and say what came of it."""
    from bridge.training.package import make_package

    packaged = make_package(run, folder, overwrite=overwrite, progress=progress)
    figures = packaged.figures.flat()
    summary = [
        f"{run.task.recipe.name}: its package is {folder}; bioimageio.core's test passed, weight "
        f"formats agree within {packaged.formats_differ:.1g} of the output's maximum, "
        + tell_tiles(packaged)
    ]
    summary += packaged.figures.sentences()
    is_localizer = run.task.recipe.task.kind == "localization"
    job, output = ("localize", "TABLE.csv") if is_localizer else ("predict", "OUT.tif")
    pages = {}
    if is_localizer:
        from bridge.jobs.training_page import write_training_page

        pages["page"] = str(write_training_page(run.run_dir / "page.html", run, packaged))
        summary.append(f"Look at {pages['page']}.")
    summary.append(f"Run it: zoobridge {job} --model {folder} --input IMAGE --output {output}")
    return Result(
        outputs={
            "package": str(folder),
            **pages,
            "run": str(run.run_dir),
            "panel": str(run.run_dir / "panel.png"),
            "curves": str(run.run_dir / "curves.png"),
            "figures": dict(figures),
        },
        warnings=[*run.sources.warnings, *run.doubts],
        summary=[*run.sources.notes, *summary],
    )
