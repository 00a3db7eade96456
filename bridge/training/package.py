"""A finished run becomes a package: weights in three formats, card, cover, tensors, tested."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
import xarray as xr
from bioimageio.core import test_description
from bioimageio.spec import save_bioimageio_package_as_folder
from numpy.typing import NDArray

from bridge.errors import NetworkError, OutputError
from bridge.progress import Progress, silent
from bridge.runtime.predict import Settings, predict_arrays
from bridge.training.card import write_card
from bridge.training.describe import Facts, describe, smallest_px, tensor_file
from bridge.training.fit import Run
from bridge.training.kind import About, Arrays, Figures, Kind
from bridge.training.kinds import KINDS
from bridge.training.networks import stride_of
from bridge.training.weights import compare_weights, write_weights
from bridge.zoo.check import check_package
from bridge.zoo.package import open_package

_LIMIT: Final = 1e-4
"""Greatest difference between weight formats, as part of the output's maximum."""
_CORE_PX: Final = 56
"""What a tile keeps beyond the smallest input, when tiles are compared with the whole."""
_TILED_LIMIT: Final = 5e-5
"""Greatest difference between tiled and whole, in standard deviations of the whole."""


@dataclass(frozen=True)
class Packaged:
    """A package that passed its tests."""

    folder: Path
    """Where it is."""
    figures: Figures
    """What was measured."""
    formats_differ: float
    """Greatest difference between weight formats, as part of the output's maximum."""
    tiled_differs: float
    """Greatest difference between tiled and whole, in standard deviations of the whole; root mean
    square where tiles can't be exact."""
    is_local: bool
    """Whether tiles are exact."""
    notes: list[str]
    """What other programs will say to it."""


def make_package(
    run: Run, folder: Path, *, overwrite: bool = False, progress: Progress = silent
) -> Packaged:
    """Build the package of a run, test it, and put it in place when it has passed.

    Parameters
    ----------
    run : Run
        With its best weights.
    folder : Path
        The package's folder.
    overwrite : bool
        Replace an older package there.
    progress : Progress
        Told of every step.

    Returns
    -------
    Packaged
        The package.

    Raises
    ------
    OutputError
        Something is in the way.
    NetworkError
        The weight formats disagree, bioimageio.core's test fails, or tiles differ from the whole.
    """
    if folder.exists() and not (overwrite and (folder / "rdf.yaml").is_file()):
        remedy = "Give --overwrite to replace a package, or another folder."
        raise OutputError(str(folder), "is there already", "nothing, or an older package", remedy)
    steps = iter(range(1, 7))
    progress(next(steps), 6, "measuring")
    task, recipe = run.task.cpu().eval(), run.task.recipe
    network = task.network.eval()
    kind = KINDS[recipe.task.kind]
    figures, about = kind.measure(task, run.sources), kind.about(recipe, task.scaling)
    note = json.loads((run.run_dir / "run.json").read_text(encoding="utf-8"))
    facts = Facts(
        scaling=task.scaling,
        pixel_size_nm=run.sources.pixel_size_nm,
        radius_px=kind.measure_radius_px(task),
        trained_on=kind.trained_on(recipe, run.sources),
        training={
            key: note[key] for key in ("started", "ended", "steps_done", "versions") if key in note
        }
        | {"batch": recipe.fit.batch, "patch_px": recipe.data.patch_px, "seed": recipe.fit.seed},
        figures=figures.flat(),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".zoobridge-") as temporary:
        draft, package_dir = Path(temporary) / "draft", Path(temporary) / "package"
        draft.mkdir()
        progress(next(steps), 6, "writing weights")
        examples = _write_examples(run, kind, about, draft, smallest_px(recipe, network, facts))
        ready = kind.ready(task, examples.test)
        write_weights(
            network,
            draft,
            examples=ready,
            input_names=[told.name for told in about.inputs],
            output_names=[told.name for told in about.outputs],
            stride=stride_of(network),
        )
        formats_differ = compare_weights(network, draft, examples=ready, limit=_LIMIT)
        progress(next(steps), 6, "writing the card")
        shutil.copyfile(recipe.network.architecture, draft / "architecture.py")
        write_card(
            draft / "README.md",
            recipe,
            figures=figures,
            words=kind.card_words(recipe, run.sources),
            training={**note, "machine": _machine(note)},
            radius_px=facts.radius_px if about.is_local else None,
            smallest_px=smallest_px(recipe, network, facts),
            stride=stride_of(network),
        )
        kind.draw_cover(draft / "cover.png", task, examples.inputs, examples.outputs)
        description = describe(recipe, network, facts, about, draft)
        save_bioimageio_package_as_folder(description, output_path=package_dir)
        progress(next(steps), 6, "testing the package")
        with warnings.catch_warnings():
            # torch 2.15 calls TorchScript deprecated; that it still loads is tested here.
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
            summary = test_description(package_dir / "rdf.yaml", determinism="full")
        if summary.status != "passed":
            raise NetworkError(str(folder), f"its own test failed: {summary.format()[:2000]}")
        progress(next(steps), 6, "comparing tiles with the whole")
        # Noise is drawn by place; the spread of samples is less exact than their mean.
        noise = about.config.get("noise", {}).get("input")
        images = {
            told.name: array
            for told, array in zip(about.inputs, examples.inputs, strict=True)
            if told.name != noise
        }
        compared = [told.name for told in about.outputs[: 1 if noise else None]]
        tiled_differs = compare_tiles(package_dir, images, compared, is_local=about.is_local)
        notes = [
            f"{finding.area}: {finding.sentence}"
            for finding in check_package(package_dir)
            if finding.level != "ok"
        ]
        if folder.exists():
            shutil.rmtree(folder)
        package_dir.rename(folder)
    progress(6, 6, "done")
    return Packaged(folder, figures, formats_differ, tiled_differs, about.is_local, notes)


def compare_tiles(
    package_dir: Path,
    inputs: Mapping[str, NDArray[np.generic]],
    compared: Sequence[str],
    *,
    is_local: bool = True,
) -> float:
    """Predict two frames whole and in tiles, and give the difference in standard deviations.

    Parameters
    ----------
    package_dir : Path
        The package.
    inputs : mapping of str to ndarray, (t, c, y, x)
        Inputs in their own units, by name; two frames of them are taken.
    compared : sequence of str
        Outputs that are looked at.
    is_local : bool
        Whether tiles should be exact. Of a network whose output depends on the whole image they
        can't be: the runtime blends them, and the difference is only told.

    Returns
    -------
    float
        The greatest one of all channels, each over its own standard deviation; root mean square
        of all pixels where tiles aren't exact.

    Raises
    ------
    NetworkError
        It is more than rounding explains.
    """
    package = open_package(package_dir)
    least = int(package.description.inputs[0].axes[2].size.min)  # type: ignore[union-attr]
    tile = least + _CORE_PX  # the smallest input is little more than its two halos
    edge = tile + _CORE_PX if is_local else 2 * tile  # what overlaps for blending is halved
    given = {name: _enlarge(frames[:2], edge) for name, frames in inputs.items()}
    outputs = []
    for chosen in (-(-edge // 8) * 8, tile):
        # One thread: two that wait for each other on a busy machine are many times slower.
        settings = Settings(tile=chosen, engine="onnxruntime", device="cpu", threads=1)
        outputs.append(predict_arrays(package, given, settings)[0])
    difference = max(
        _differ(*(images[name].astype(np.float64) for images in outputs), is_local=is_local)
        for name in compared
    )
    if is_local and difference > _TILED_LIMIT:
        found = f"tiles differ from the whole by {difference:.2g} standard deviations"
        raise NetworkError(str(package_dir), found, f"at most {_TILED_LIMIT:g}")
    return difference


def _enlarge(frames: NDArray[np.generic], edge: int) -> xr.DataArray:
    """Repeat frames (t, c, y, x) up to an edge."""
    repeats = [-(-edge // n) for n in frames.shape[2:]]
    repeated = np.tile(frames, (1, 1, *repeats))[..., :edge, :edge]
    return xr.DataArray(repeated, dims=("t", "c", "y", "x"))


def _differ(whole: xr.DataArray, tiled: xr.DataArray, *, is_local: bool) -> float:
    """Give the greatest difference, or the root mean square, in standard deviations."""
    places = [dim for dim in whole.dims if dim != "c"]
    spread = whole.std(places)
    error = abs(tiled - whole)
    found = error.max(places) if is_local else (error**2).mean(places) ** 0.5
    return float((found / spread.where(spread > 0)).max().fillna(0))


@dataclass(frozen=True)
class _Examples:
    """Inputs, in the units of a package, and what the network makes of them."""

    inputs: Arrays
    outputs: list[NDArray[np.float32]]
    test: Arrays


def _write_examples(run: Run, kind: Kind, about: About, folder: Path, least_px: int) -> _Examples:
    """Write test and sample tensors, from data that the network never saw."""
    task, recipe = run.task, run.task.recipe
    inputs = kind.examples(recipe, run.sources, least_px)
    outputs = kind.predict(task, inputs)
    stride = stride_of(task.network)
    test = [
        array[:1, :, : least_px * told.upscaling, : (least_px + 2 * stride) * told.upscaling]
        for told, array in zip(about.inputs, inputs, strict=True)
    ]
    for role, names, tests, samples in (
        ("input", [told.name for told in about.inputs], test, [one[0] for one in inputs]),
        (
            "output",
            [told.name for told in about.outputs],
            kind.predict(task, test),
            [kind.thin_out(recipe, one[0]) for one in outputs],
        ),
    ):
        for number, (array, sample) in enumerate(zip(tests, samples, strict=True)):
            np.save(folder / tensor_file(f"test_{role}", names, number, "npy"), array)
            # Of several channels a page each: all in one page would be read as colours.
            path = folder / tensor_file(f"sample_{role}", names, number, "tif")
            tifffile.imwrite(path, sample, compression="zlib", photometric="minisblack")
    return _Examples(inputs, outputs, test)


def _machine(note: dict[str, Any]) -> str:
    machine = note["machine"]
    return str(machine["gpu"] or f"{machine['threads']} thread(s) of {machine['processor']}")
