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
from bridge.progress import Progress, silent
from bridge.runtime.predict import Settings, predict_arrays
from bridge.training.card import write_card
from bridge.training.describe import INPUT, Facts, describe, smallest_px
from bridge.training.fit import Run
from bridge.training.kind import Figures, Kind
from bridge.training.kinds import KINDS
from bridge.training.networks import build_network, stride_of
from bridge.training.recipe import Recipe
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
    kind = KINDS[recipe.task.kind]
    figures, output = kind.measure(task, run.sources), kind.output(recipe)
    note = json.loads((run.run_dir / "run.json").read_text(encoding="utf-8"))
    facts = Facts(
        scaling=task.scaling,
        pixel_size_nm=run.sources.pixel_size_nm,
        radius_px=measure_radius_px(recipe),
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
        examples = _write_examples(run, kind, draft, smallest_px(recipe, network, facts))
        counts = examples.test.astype(np.float32)
        ready = (counts - np.float32(task.scaling.mean)) / np.float32(task.scaling.std)
        write_weights(
            network,
            draft,
            example=ready,
            input_name=INPUT,
            output_name=output.name,
            stride=stride_of(network),
        )
        formats_differ = compare_weights(network, draft, example=ready, limit=_LIMIT)
        progress(next(steps), 6, "writing the card")
        shutil.copyfile(recipe.network.architecture, draft / "architecture.py")
        write_card(
            draft / "README.md",
            recipe,
            sources=run.sources,
            figures=figures,
            words=kind.card_words(recipe, run.sources),
            training={**note, "machine": _machine(note)},
            radius_px=facts.radius_px,
            smallest_px=smallest_px(recipe, network, facts),
            stride=stride_of(network),
        )
        kind.draw_cover(draft / "cover.png", task, examples.movie, examples.predicted)
        description = describe(recipe, network, facts, output, draft)
        save_bioimageio_package_as_folder(description, output_path=package_dir)
        progress(next(steps), 6, "testing the package")
        with warnings.catch_warnings():
            # torch 2.15 calls TorchScript deprecated; that it still loads is tested here.
            warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
            summary = test_description(package_dir / "rdf.yaml", determinism="full")
        if summary.status != "passed":
            raise NetworkError(str(folder), f"its own test failed: {summary.format()[:2000]}")
        progress(next(steps), 6, "comparing tiles with the whole")
        tiled_differs = compare_tiles(package_dir, examples.inputs)
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


def measure_radius_px(recipe: Recipe) -> int:
    """Measure how many camera pixels away from a change the output still changes.

    With all weights 1 and no offsets nothing cancels, nothing fades and no ReLU hides a path; a
    light at each place of a stride by stride block finds the widest one.

    Parameters
    ----------
    recipe : Recipe
        Of its network only the layers matter, and not the weights.

    Returns
    -------
    int
        Receptive radius: the greatest distance along y or x, in whole camera pixels.
    """
    upscaling = recipe.task.upscaling
    n_frames = recipe.conditions.frames if recipe.conditions else 1
    probe = build_network(recipe.network).double().eval()
    for name, weights in probe.named_parameters():
        weights.data.fill_(0.0 if name.endswith("bias") else 1.0)
    stride = stride_of(probe)
    size = -(-_PROBE_PX // stride) * stride
    radius = 0
    with torch.inference_mode():
        before = probe(torch.zeros(1, n_frames, size, size, dtype=torch.float64))  # (1, c, Y, X)
        for offset in range(stride):
            place = size // 2 + offset
            frames = torch.zeros(1, n_frames, size, size, dtype=torch.float64)
            frames[0, :, place, place] = 1.0
            changed = (probe(frames) != before)[0].any(dim=0).nonzero() // upscaling  # (n, 2)
            radius = max(radius, int((changed - place).abs().max()))
    return radius


def compare_tiles(package_dir: Path, inputs: NDArray[np.generic]) -> float:
    """Predict two frames whole and in tiles, and give the difference in standard deviations.

    Parameters
    ----------
    package_dir : Path
        The package.
    inputs : ndarray, (t, c, y, x)
        Inputs in camera counts; two of them are taken.

    Returns
    -------
    float
        The greatest one of all channels, each over its own standard deviation.

    Raises
    ------
    NetworkError
        It is more than rounding explains.
    """
    package = open_package(package_dir)
    name = str(package.description.inputs[0].id)
    least = int(package.description.inputs[0].axes[2].size.min)  # type: ignore[union-attr]
    repeats = -(-(2 * least + 16) // inputs.shape[2])
    frames = np.tile(inputs[:2], (1, 1, repeats, repeats))
    image = xr.DataArray(frames, dims=("t", "c", "y", "x"))
    edge = max(frames.shape[2:])
    outputs = []
    for tile in (-(-edge // 8) * 8, least):
        settings = Settings(tile=tile, engine="onnxruntime", device="cpu")
        images, _ = predict_arrays(package, {name: image}, settings)
        outputs.append(next(iter(images.values())).astype(np.float64))
    whole, tiled = outputs
    places = [dim for dim in whole.dims if dim != "c"]
    spread = whole.std(places)
    difference = float((abs(tiled - whole).max(places) / spread.where(spread > 0)).max().fillna(0))
    if difference > _TILED_LIMIT:
        found = f"tiles differ from the whole by {difference:.2g} standard deviations"
        raise NetworkError(str(package_dir), found, f"at most {_TILED_LIMIT:g}")
    return difference


@dataclass(frozen=True)
class _Examples:
    """A movie and what the network makes of it."""

    movie: NDArray[np.generic]
    inputs: NDArray[np.generic]
    predicted: NDArray[np.float32]
    test: NDArray[np.generic]


def _write_examples(run: Run, kind: Kind, folder: Path, least_px: int) -> _Examples:
    """Write test and sample tensors, from data that the network never saw."""
    task, recipe = run.task, run.task.recipe
    frames = kind.example_movie(run.sources)
    repeats = [-(-(least_px + 16) // edge) for edge in frames.shape[1:]]
    frames = np.tile(frames, (1, *repeats))
    height, width = (edge // 8 * 8 for edge in frames.shape[1:])
    movie = frames[:, :height, :width].astype(np.uint16)
    inputs = kind.inputs_of(recipe, movie)
    predicted = kind.predict(task, inputs)
    stride = stride_of(task.network)
    test = inputs[:1, :, :least_px, : least_px + 2 * stride]
    np.save(folder / "test_input.npy", test)
    np.save(folder / "test_output.npy", kind.predict(task, test))
    # Of several channels a page each: all in one page would be read as colours.
    tifffile.imwrite(folder / "sample_input.tif", inputs[0], compression="zlib")
    sample = kind.thin_out(recipe, predicted[0])
    tifffile.imwrite(folder / "sample_output.tif", sample, compression="zlib")
    return _Examples(movie, inputs, predicted, test)


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
