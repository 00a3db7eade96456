"""The job ``compare-localizers``: networks, the classical fit and others on the same emitters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from bridge.jobs.base import Job, Result
from bridge.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from bridge.runtime.predict import Predictor
    from bridge.smlm.camera import Camera
    from bridge.smlm.contenders import Contender
    from bridge.smlm.density_sweep import Bench, Scene
    from bridge.smlm.patches import PatchConditions

_DEFAULT_MODEL = "localizer-2d"


class CompareLocalizers(Job):
    """Compare localizers on the same emitters, from sparse to dense.

    Models, the fit of single spots, and Picasso (picassosr) where it is installed localize the
    same simulated scenes; or your own movie with its truth, where tables that ThunderSTORM or
    others made of it join in. The page shows Jaccard index and error beside chance and theory;
    its figures are beside it as .csv, .json and .png.
    """

    label: ClassVar[str] = "ZooBridge Compare Localizers"
    command: ClassVar[tuple[str, ...]] = ("compare-localizers",)

    model: list[str] = Field(default=[])
    """Packages to compare; left out, localizer-2d where it is installed."""
    output: Path
    """Page to write (.html)."""
    densities: list[str] = Field(default=["0.1", "0.5", "1", "3", "6"])
    """Emitters per square micrometre and frame of the simulated scenes."""
    emitter_photons: Annotated[float, Field(ge=0, le=1_000_000)] = 0.0
    """Photons of each simulated emitter; 0 takes 1000, or the middle of the model's range."""
    background_photons: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Background of the scenes per pixel; 0 takes 10, or the middle of the model's range."""
    sigma_nm: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Width of a simulated spot (standard deviation); 0 takes the middle of the model's range."""
    share: Annotated[float, Field(gt=0, le=10)] = 1.0
    """Part of the usual number of frames; 0.1 is a quick look."""
    fit: bool = True
    """Compare with the classical fit of single spots."""
    picasso: Literal["auto", "yes", "no"] = "auto"
    """Compare with Picasso; auto: where picassosr is installed."""
    input: str = ""
    """Own movie to localize instead of simulated scenes; needs its truth."""
    truth: str = ""
    """Table of the own movie's emitters, one row for each frame in which one shines."""
    tables: list[str] = Field(default=[])
    """Tables that others found in the own movie (ThunderSTORM's, Picasso's, any that is read)."""
    pixel_size_nm: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """Edge of the own movie's pixels in nm; 0 takes what the movie says."""
    camera_offset_adu: Annotated[float, Field(ge=-1, le=65535)] = -1.0
    """Counts of a dark pixel of the own movie's camera; -1 takes the model's."""
    photons_per_adu: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """Photons that one count of the own movie's camera stands for; 0 takes the model's."""
    seed: Annotated[int, Field(ge=0, lt=100_000)] = 0
    """Other simulated scenes of the same kind."""
    device: str = "auto"
    """Where models compute: auto, cpu, cuda, cuda:1 or mps."""
    trust: bool = False
    """Let packages run code of their own (remembered for this content)."""
    overwrite: bool = False
    """Replace results that are there."""

    def run(self, progress: Progress) -> Result:
        """Open the models, let all localize, and write page, figures and picture."""
        from bridge.jobs.comparison_page import check_places, summarise, write_comparison
        from bridge.runtime.predict import Settings
        from bridge.runtime.ready import ReadyModels
        from bridge.smlm.contest import hold_contest, judge_movie
        from bridge.smlm.density_sweep import Bench
        from bridge.smlm.patches import PatchConditions

        self._check()
        densities = sorted({_density(text) for text in self.densities})
        check_places(self.output, overwrite=self.overwrite)
        names = self._model_names()
        models = ReadyModels(max(len(names), 1))
        settings = Settings(device=self.device, trust=self.trust)
        predictors = [models.predictor(name, settings) for name in names]
        conditions, notes = self._conditions(predictors)
        trained = conditions or PatchConditions.presets()["localizer"]
        if self.input:
            scene, camera = self._open_movie(trained.camera)
            contenders = self._contenders(predictors, camera, notes)
            contest = judge_movie(
                contenders,
                [(Path(table).stem, self._read(table)) for table in self.tables],
                scene,
                name=Path(self.input).name,
                pixel_size_nm=camera.pixel_size_nm,
                progress=progress,
            )
        else:
            bench = self._bench(Bench.within(trained))
            contest = hold_contest(
                self._contenders(predictors, bench.camera, notes),
                bench,
                densities,
                lone_photons=_lone_photons(conditions),
                share=self.share,
                progress=progress,
            )
        contest.notes += notes
        places = write_comparison(self.output, contest, overwrite=self.overwrite)
        return summarise(contest, places)

    def _check(self) -> None:
        from bridge.errors import InputError

        what = "zoobridge compare-localizers"
        if bool(self.input) != bool(self.truth):
            found = "a movie without its truth" if self.input else "a truth without its movie"
            raise InputError(
                what,
                found,
                "both, or neither for simulated scenes",
                "Make both with 'zoobridge simulate', or give --input and --truth.",
            )
        if self.tables and not self.input:
            raise InputError(
                what,
                "tables without the movie in which they were found",
                "--input and --truth besides",
                "Simulate a movie with 'zoobridge simulate', localize it elsewhere, and give all.",
            )

    def _model_names(self) -> list[str]:
        """Give the packages asked for, or the shipped one where it is here."""
        from bridge.errors import InputError, PackageError
        from bridge.zoo.catalog import find

        if self.model:
            return self.model
        try:
            find(_DEFAULT_MODEL)
        except PackageError:
            if self.tables:
                return []  # others are compared with the fit
            raise InputError(
                "zoobridge compare-localizers",
                f"no model is given, and {_DEFAULT_MODEL} is not installed",
                "at least one package",
                "Give --model; 'zoobridge models list' shows what is installed.",
            ) from None
        return [_DEFAULT_MODEL]

    def _conditions(self, predictors: list[Predictor]) -> tuple[PatchConditions | None, list[str]]:
        """Give what the first model that says so was trained on; the scenes lie in its middle."""
        from bridge.smlm.contenders import trained_on
        from bridge.smlm.localize_plan import check_model

        known = None
        for predictor in predictors:
            check_model(predictor)
            known = known or trained_on(predictor)
        if known is not None or not predictors:
            return known, []
        note = (
            "No model says what it was trained on, so scenes and camera are those that "
            "localizer-2d is trained for."
        )
        return None, [note]

    def _bench(self, usual: Bench) -> Bench:
        from dataclasses import replace

        from bridge.smlm.psf import IntegratedGaussian

        own: dict[str, object] = {"seed": self.seed}
        if self.emitter_photons:
            own["photons"] = self.emitter_photons
        if self.background_photons:
            own["background_photons"] = self.background_photons
        if self.sigma_nm:
            own["psf"] = IntegratedGaussian(sigma_nm=(self.sigma_nm, self.sigma_nm))
        return replace(usual, **own)  # type: ignore[arg-type]

    def _contenders(
        self, predictors: list[Predictor], camera: Camera, notes: list[str]
    ) -> list[Contender]:
        from bridge.errors import InputError
        from bridge.smlm.contenders import (
            fit_contender,
            has_picasso,
            network_contender,
            picasso_contender,
        )

        taking_part = [network_contender(one, camera=camera) for one in predictors]
        if self.fit:
            taking_part.append(fit_contender(camera))
        is_there = self.picasso != "no" and has_picasso()
        if is_there:
            taking_part.append(picasso_contender(camera))
        elif self.picasso == "yes":
            raise InputError(
                "--picasso",
                "picassosr is not installed",
                "",
                "pip install picassosr, or leave out.",
            )
        elif self.picasso == "auto":
            notes.append(
                "Picasso takes no part: picassosr is not installed (pip install picassosr)."
            )
        return taking_part

    def _open_movie(self, trained: Camera) -> tuple[Scene, Camera]:
        import numpy as np

        from bridge.errors import ImageError
        from bridge.images.read import open_image
        from bridge.smlm.camera import Ccd
        from bridge.smlm.density_sweep import Scene
        from bridge.smlm.movie_blocks import take_frames

        movie, _ = take_frames(open_image(self.input))
        if "c" in movie.dims:
            raise ImageError(
                self.input, f"{movie.sizes['c']} channels", "one", "Save the one to be localized."
            )
        said = movie.attrs.get("pixel_size_nm") or {}
        size_nm = self.pixel_size_nm or said.get("x") or trained.pixel_size_nm
        camera: Camera = trained.model_copy(update={"pixel_size_nm": float(size_nm)})
        if self.camera_offset_adu >= 0 or self.photons_per_adu:
            scaling = trained.scaling()
            offset_adu = self.camera_offset_adu
            camera = Ccd(
                pixel_size_nm=float(size_nm),
                offset_adu=scaling.offset_adu if offset_adu < 0 else offset_adu,
                electrons_per_adu=self.photons_per_adu or scaling.photons_per_adu,
            )
        frames = np.asarray(movie.values)
        truth = self._read(self.truth)
        area_um2 = frames.shape[1] * frames.shape[2] * (camera.pixel_size_nm / 1000) ** 2
        return Scene(len(truth) / (len(frames) * area_um2), frames, truth), camera

    def _read(self, path: str) -> pd.DataFrame:
        from bridge.smlm.table import read_table

        return read_table(path, pixel_size_nm=self.pixel_size_nm or None)


def _density(text: str) -> float:
    from bridge.errors import InputError

    try:
        density = float(text)
    except ValueError:
        density = -1.0
    if not 0.01 <= density <= 20:
        raise InputError(
            "--densities", repr(text), "emitters per square micrometre, 0.01 <= x <= 20", "Try 1."
        )
    return density


def _lone_photons(conditions: PatchConditions | None) -> list[float]:
    """Give the usual brightnesses that a model was trained on."""
    from bridge.smlm.contest import LONE_PHOTONS

    low, high = conditions.photons if conditions is not None else (0.0, float("inf"))
    inside = [photons for photons in LONE_PHOTONS if low <= photons <= high]
    return inside or [LONE_PHOTONS[2]]
