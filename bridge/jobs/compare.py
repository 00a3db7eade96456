"""The job ``compare``: restorations side by side on the test fields of a folder of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    from bridge.quality.baselines import Calibration
    from bridge.quality.image_contest import Contestant, TestField
    from bridge.quality.image_figures import Ruler
    from bridge.quality.lpips import Lpips
    from bridge.restoration.pair_folder import PairField, PairFolder
    from bridge.training.recipe import Recipe


class Compare(Job):
    """Compare restorations of the same test fields, by one set of figures.

    Models are packages, or recipes that are trained first on the folder's training fields. Beside
    them are always the input, Richardson-Lucy, black, and the noisy target. Nothing is chosen on
    the test fields. The page shows figures with intervals, ranks and pictures at one contrast.
    """

    label: ClassVar[str] = "ZooBridge Compare"
    command: ClassVar[tuple[str, ...]] = ("compare",)

    pairs: Path
    """Folder of image pairs, as 'zoobridge pairs' writes it."""
    output: Path
    """Folder for the page, the tables and the trained models; made if missing."""
    models: list[str] = Field(default=[])
    """Packages to compare: folders, zips or installed names."""
    recipes: list[str] = Field(default=[])
    """Recipes to train first (edsr, srgan, sr3, dfcan, or files), in this order."""
    minutes: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Length of each training; 0 takes the recipe's."""
    steps: Annotated[int, Field(ge=0)] = 0
    """Length of each training in steps; 0 takes the recipe's."""
    data_range: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    """What the targets span, from 0; 0 takes it from their percentiles, the same for all."""
    lpips_weights: str = ""
    """File of torchvision's AlexNet or VGG-16, for LPIPS; empty measures a stand-in."""
    lpips_heads: str = ""
    """File of the linear heads of LPIPS; empty takes those of torchmetrics."""
    lpips_backbone: Literal["alex", "vgg"] = "alex"
    """Which network the weights are of."""
    draws: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Draws of the bootstrap, for intervals and ranks."""
    seed: Annotated[int, Field(ge=0, lt=100_000)] = 0
    """Seed of the draws, and of the trainings."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1 or mps."""
    trust: bool = False
    """Let packages run code of their own (remembered for this content)."""
    overwrite: bool = False
    """Replace results that are there; trained models stay and are used again."""

    def run(self, progress: Progress) -> Result:
        """Train what is to be trained, restore the test fields, measure, and write all."""
        from bridge.jobs.compare_page import Places, summarise_job, write_image_contest
        from bridge.quality.image_contest import baselines, choose_shown, hold_image_contest
        from bridge.quality.ranking import summarise
        from bridge.restoration.pair_folder import open_pairs

        self._check()
        folder = open_pairs(self.pairs)
        tests = _read_fields(folder, folder.of("test"), self.pairs)
        lpips = self._open_lpips()
        places = Places.of(self.output)
        places.check(overwrite=self.overwrite)
        models = [*self.models, *self._train_all(folder, progress)]
        contestants = self._open_models(models)
        calibration = self._calibrate(folder, progress)
        ruler, notes = self._make_ruler(folder, tests, calibration, lpips)
        has_truth = all(one.truth is not None for one in tests)
        contest = hold_image_contest(
            [*baselines(calibration, has_truth=has_truth), *contestants],
            tests,
            ruler,
            shown=choose_shown(tests),
            progress=progress,
        )
        rivals = [one.name for one in contest.standings if one.kind == "model"]
        summary = summarise(contest.rows, rivals=rivals, n_draws=self.draws, seed=self.seed)
        write_image_contest(
            places, contest, summary, tests, ruler, notes=notes, overwrite=self.overwrite
        )
        return summarise_job(contest, summary, ruler, places)

    def _check(self) -> None:
        from bridge.errors import InputError

        if not self.models and not self.recipes:
            raise InputError(
                "zoobridge compare",
                "neither models nor recipes are given",
                "at least one package or recipe",
                "Such as --recipes edsr srgan, or --models FOLDER.",
            )
        if self.lpips_heads and not self.lpips_weights:
            raise InputError("--lpips-heads", "are given without --lpips-weights", "both", "")

    def _train_all(self, folder: PairFolder, progress: Progress) -> list[str]:
        """Train the recipes on the folder's training fields; give the packages' folders."""
        if not self.recipes:
            return []
        from bridge.jobs.train import find_recipe, require_lightning
        from bridge.training.fit import train
        from bridge.training.package import make_package

        require_lightning()
        trained: list[tuple[Recipe, Path]] = []
        for name in self.recipes:
            path = find_recipe(name)
            recipe = self._make_recipe(path, folder, trained)
            run_dir = self.output / "runs" / (path.parent if path.is_file() else path).name
            if path.is_file() and path.stem != "recipe":
                run_dir = run_dir.with_name(path.stem)
            if not (run_dir / "package").is_dir():
                run_dir.parent.mkdir(parents=True, exist_ok=True)
                has_begun = (run_dir / "recipe.yaml").is_file()
                run = train(recipe, run_dir, resume=has_begun, progress=progress)
                make_package(run, run_dir / "package", progress=progress)
            trained.append((recipe, run_dir))
        return [str(run_dir / "package") for _, run_dir in trained]

    def _make_recipe(
        self, path: Path, folder: PairFolder, trained: Sequence[tuple[Recipe, Path]]
    ) -> Recipe:
        """Read a recipe for this folder; an adversarial one starts from a regression before it."""
        from bridge.errors import RecipeError
        from bridge.training.parts import AdversarialPart
        from bridge.training.recipe import load_recipe

        changes: dict[str, object] = {"data.folder": str(folder.path.absolute())}
        changes["fit.seed"] = self.seed
        if self.minutes:
            changes["fit.minutes"] = self.minutes
        if self.steps:
            changes["fit.steps"] = self.steps
        if self.device in ("cpu", "cuda"):
            changes["fit.device"] = self.device
        if load_recipe(path).data.kind != "pairs":
            raise RecipeError(
                str(path), "it doesn't learn from pairs of images", "a recipe of data.kind pairs"
            )
        if folder.scale != 1:
            changes |= {
                "network.arguments.scale": folder.scale,
                "task.upscaling": folder.scale,
            }
        recipe = load_recipe(path, changes)
        if isinstance(recipe.task, AdversarialPart) and recipe.task.start is None:
            for earlier, run_dir in trained:
                is_alike = _layout(earlier) == _layout(recipe)
                if is_alike and earlier.task.kind == "regression":
                    return load_recipe(path, {**changes, "task.start": str(run_dir.absolute())})
        return recipe

    def _open_models(self, models: Sequence[str]) -> list[Contestant]:
        from bridge.jobs.restoring import open_contestant
        from bridge.runtime.predict import Settings

        settings = Settings(device=self.device, trust=self.trust)
        found: list[Contestant] = []
        for model in models:
            taken = {one.name for one in found}
            found.append(open_contestant(model, settings, taken=taken))
        return found

    def _calibrate(self, folder: PairFolder, progress: Progress) -> Calibration:
        """Choose kernel, gain and iterations on validation fields, or training fields without."""
        from bridge.quality.baselines import Example, calibrate
        from bridge.quality.consistency import relative_sigma_nm

        sigma_px = None
        widths = folder.input_fwhm_nm, folder.target_fwhm_nm
        if widths[0] is not None and widths[1] is not None and folder.target_pixel_size_nm:
            sigma_px = relative_sigma_nm(widths[0], widths[1]) / folder.target_pixel_size_nm
        fields = folder.of("validation") or folder.of("training")
        examples = [Example(one.input, one.wanted) for one in map(_read_field, fields[:_MOST])]
        return calibrate(examples, sigma_px=sigma_px, progress=progress)

    def _make_ruler(
        self,
        folder: PairFolder,
        tests: Sequence[TestField],
        calibration: Calibration,
        lpips: Lpips,
    ) -> tuple[Ruler, list[str]]:
        """Decide once for all what is measured with, and say so."""
        from bridge.jobs.compare_page import say_ruler
        from bridge.quality.image_contest import choose_range
        from bridge.quality.image_figures import Ruler

        black, span = (0.0, self.data_range) if self.data_range else choose_range(tests)
        pixel_nm = folder.target_pixel_size_nm
        band = None
        if folder.input_fwhm_nm and folder.target_fwhm_nm and pixel_nm:
            band = (pixel_nm / folder.input_fwhm_nm, min(pixel_nm / folder.target_fwhm_nm, 0.5))
        ruler = Ruler(span, black, calibration.sigma_px, band, pixel_nm, lpips)
        has_truth = all(one.truth is not None for one in tests)
        notes = say_ruler(
            ruler,
            calibration,
            has_truth=has_truth,
            is_range_given=bool(self.data_range),
            is_lpips_given=bool(self.lpips_weights),
        )
        return ruler, notes

    def _open_lpips(self) -> Lpips:
        from bridge.quality.lpips import open_lpips, untrained_lpips

        if not self.lpips_weights:
            return untrained_lpips()
        return open_lpips(
            self.lpips_weights,
            heads_path=self.lpips_heads or None,
            backbone=self.lpips_backbone,
        )


_MOST = 12
"""Validation fields that are used; each takes 100 iterations of Richardson-Lucy."""


def _layout(recipe: Recipe) -> tuple[Path, str, str]:
    """Give what two networks share whose weights fit each other."""
    network = recipe.network
    return network.architecture.resolve(), network.callable, repr(network.arguments)


def _read_fields(folder: PairFolder, fields: Sequence[PairField], path: Path) -> list[TestField]:
    from bridge.errors import InputError

    if not fields:
        counts = ", ".join(
            f"{len(folder.of(part))} {part}" for part in ("training", "validation", "test")
        )
        raise InputError(
            str(path),
            f"there is no test field ({counts})",
            "at least one, that no model has learned from",
            "Give the folder more fields, or set 'part' in its pairs.csv.",
        )
    return [_read_field(one) for one in fields]


def _read_field(one: PairField) -> TestField:
    from bridge.quality.image_contest import TestField

    return TestField(one.name, one.structure, one.input(), one.target(), one.truth())
