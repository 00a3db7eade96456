"""A finished run becomes a package: weights in three formats, card, cover, tensors, tested."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
import torch
import xarray as xr
from bioimageio.core import test_description
from bioimageio.spec import save_bioimageio_package_as_folder
from numpy.typing import NDArray

from bridge.errors import NetworkError, OutputError
from bridge.images.preview import save_picture
from bridge.progress import Progress, silent
from bridge.runtime.predict import Settings, predict_arrays
from bridge.smlm.simulate import simulate_movie
from bridge.training.card import write_card
from bridge.training.describe import INPUT, Facts, describe, smallest_px
from bridge.training.figures import Figures, filament_movies, measure, predict_frames
from bridge.training.fit import Run
from bridge.training.networks import build_network, stride_of
from bridge.training.weights import compare_weights, write_weights
from bridge.zoo.check import check_package
from bridge.zoo.package import open_package

_LIMIT: Final = 1e-4
"""Greatest difference between weight formats, as part of the output's maximum."""
_TILED_LIMIT: Final = 5e-5
"""Greatest difference between tiled and whole, in standard deviations of the whole."""
_PROBE_PX: Final = 96
_EXAMPLE_FRAMES: Final = 100


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
    """Greatest difference between tiled and whole, in standard deviations of the whole."""
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
    figures = measure(task, conditions=run.sources.conditions, fields=run.sources.fields)
    note = json.loads((run.run_dir / "run.json").read_text(encoding="utf-8"))
    facts = Facts(
        scaling=task.scaling,
        pixel_size_nm=run.sources.pixel_size_nm,
        radius_px=measure_radius_px(recipe.network, upscaling=recipe.task.upscaling),
        trained_on=_trained_on(run),
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
        examples = _write_examples(run, draft, smallest_px(recipe, network, facts))
        counts = examples.test.astype(np.float32)
        ready = (counts - np.float32(task.scaling.mean)) / np.float32(task.scaling.std)
        write_weights(network, draft, example=ready, input_name=INPUT, output_name="emitters")
        formats_differ = compare_weights(network, draft, example=ready, limit=_LIMIT)
        progress(next(steps), 6, "writing the card")
        shutil.copyfile(recipe.network.architecture, draft / "architecture.py")
        write_card(
            draft / "README.md",
            recipe,
            sources=run.sources,
            figures=figures,
            training={**note, "machine": _machine(note)},
            radius_px=facts.radius_px,
            smallest_px=smallest_px(recipe, network, facts),
            stride=stride_of(network),
        )
        _write_cover(draft / "cover.png", examples)
        description = describe(recipe, network, facts, draft)
        save_bioimageio_package_as_folder(description, output_path=package_dir)
        progress(next(steps), 6, "testing the package")
        with warnings.catch_warnings():
            # torch 2.15 calls TorchScript deprecated; that it still loads is tested here.
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
            summary = test_description(package_dir / "rdf.yaml", determinism="full")
        if summary.status != "passed":
            raise NetworkError(str(folder), f"its own test failed: {summary.format()[:2000]}")
        progress(next(steps), 6, "comparing tiles with the whole")
        tiled_differs = compare_tiles(package_dir, examples.movie)
        notes = [
            f"{finding.area}: {finding.sentence}"
            for finding in check_package(package_dir)
            if finding.level != "ok"
        ]
        if folder.exists():
            shutil.rmtree(folder)
        package_dir.rename(folder)
    progress(6, 6, "done")
    return Packaged(folder, figures, formats_differ, tiled_differs, notes)


def measure_radius_px(part: Any, *, upscaling: int) -> int:
    """Measure how many camera pixels away from a change the output still changes.

    With all weights above 0 nothing cancels and no ReLU hides a path; a change at each place of a
    stride by stride block finds the widest one.

    Parameters
    ----------
    part : NetworkPart
        Only the layers matter, and not the weights.
    upscaling : int
        Fine pixels per camera pixel.

    Returns
    -------
    int
        Receptive radius: the greatest distance along y or x, in whole camera pixels.
    """
    probe = build_network(part).double().eval()
    for weights in probe.parameters():
        weights.data.fill_(0.01)
    stride = stride_of(probe)
    size = -(-_PROBE_PX // stride) * stride
    radius = 0
    with torch.inference_mode():
        before = probe(torch.ones(1, 1, size, size, dtype=torch.float64))  # (1, 1, Y, X)
        for offset in range(stride):
            place = size // 2 + offset
            frames = torch.ones(1, 1, size, size, dtype=torch.float64)
            frames[0, 0, place, place] = 1e6
            changed = (probe(frames) != before)[0, 0].nonzero() // upscaling  # (n, 2)
            radius = max(radius, int((changed - place).abs().max()))
    return radius


def compare_tiles(package_dir: Path, movie: NDArray[np.generic]) -> float:
    """Predict two frames whole and in tiles, and give the difference in standard deviations.

    Raises
    ------
    NetworkError
        It is more than rounding explains.
    """
    package = open_package(package_dir)
    name = str(package.description.inputs[0].id)
    least = int(package.description.inputs[0].axes[2].size.min)  # type: ignore[union-attr]
    repeats = -(-(2 * least + 16) // movie.shape[1])
    frames = np.tile(movie[:2], (1, repeats, repeats))
    image = xr.DataArray(frames, dims=("t", "y", "x"))
    edge = max(frames.shape[1:])
    outputs = []
    for tile in (-(-edge // 8) * 8, least):
        settings = Settings(tile=tile, engine="onnxruntime", device="cpu")
        images, _ = predict_arrays(package, {name: image}, settings)
        outputs.append(next(iter(images.values())).values.astype(np.float64))
    whole, tiled = outputs
    difference = float(abs(tiled - whole).max() / whole.std()) if whole.std() > 0 else 0.0
    if difference > _TILED_LIMIT:
        found = f"tiles differ from the whole by {difference:.2g} standard deviations"
        raise NetworkError(str(package_dir), found, f"at most {_TILED_LIMIT:g}")
    return difference


@dataclass(frozen=True)
class _Examples:
    """A movie and what the network makes of it."""

    movie: NDArray[np.generic]
    predicted: NDArray[np.float32]
    test: NDArray[np.generic]


def _write_examples(run: Run, folder: Path, least_px: int) -> _Examples:
    """Write test and sample tensors, from data that the network never saw."""
    task = run.task
    frames = _example_movie(run)
    repeats = [-(-(least_px + 16) // edge) for edge in frames.shape[1:]]
    frames = np.tile(frames, (1, *repeats))
    height, width = (edge // 8 * 8 for edge in frames.shape[1:])
    movie = frames[:, :height, :width].astype(np.uint16)
    predicted = predict_frames(task, movie)
    stride = stride_of(task.network)
    test = movie[:1, None, :least_px, : least_px + 2 * stride]
    np.save(folder / "test_input.npy", test)
    np.save(folder / "test_output.npy", predict_frames(task, test[:, 0])[:, None])
    tifffile.imwrite(folder / "sample_input.tif", movie[:1], compression="zlib")
    # Steps of 1/6400 emitter: nobody sees them, and the file is a tenth.
    step = task.recipe.task.amount / 6400
    sample = ((predicted[:1] / step).round() * step).astype(np.float32)
    tifffile.imwrite(folder / "sample_output.tif", sample, compression="zlib")
    return _Examples(movie, predicted, test)


def _example_movie(run: Run) -> NDArray[np.generic]:
    if run.sources.fields:
        field = run.sources.fields[0]
        return field.read(0, min(field.n_frames, _EXAMPLE_FRAMES))
    assert run.sources.conditions is not None
    settings = list(filament_movies(run.sources.conditions).values())[-1]
    settings = settings.model_copy(
        update={"width_px": 96, "height_px": 96, "n_frames": _EXAMPLE_FRAMES}
    )
    return np.concatenate(list(simulate_movie(settings).blocks))


def _write_cover(path: Path, examples: _Examples) -> None:
    """Draw the summed frames beside the summed outputs."""
    frames = examples.movie.astype(np.float32).sum(axis=0)
    save_picture(
        path,
        [("Frames, summed", frames), ("Output, summed", examples.predicted.sum(axis=0))],
        colours="hot",
    )


def _trained_on(run: Run) -> dict[str, Any]:
    """Say in plain values what the network was trained on."""
    found: dict[str, Any] = {}
    if run.sources.conditions is not None:
        found = run.sources.conditions.model_dump(mode="json")
    if run.task.recipe.data.movies:
        found["movies"] = [movie.stack.name for movie in run.task.recipe.data.movies]
    return found


def _machine(note: dict[str, Any]) -> str:
    machine = note["machine"]
    return str(machine["gpu"] or f"{machine['threads']} thread(s) of {machine['processor']}")
