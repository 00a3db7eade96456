"""What networks that learn from camera frames have in common, whatever they make of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bridge.smlm.patches import PatchConditions
from bridge.training.batches import Sources
from bridge.training.kind import Arrays, Input, Kind
from bridge.training.networks import build_network, stride_of
from bridge.training.recipe import Recipe
from bridge.training.sources import MovieSources, open_movies
from bridge.training.tasks.base import Scaling, TrainingTask, measure_scaling

INPUT: Final = "frames"
"""Name of the input tensor."""
TAGS: Final = (
    "super-resolution",
    "single-molecule-localization-microscopy",
    "smlm",
    "storm",
    "palm",
    "fluorescence-light-microscopy",
    "2d",
    "pytorch",
)
"""Tags of all these packages."""
MODALITY: Final = "single-molecule localization microscopy"
_PROBE_PX: Final = 96
CAMERA_FAILURE: Final = (
    "Check offset, counts per electron, width of the spots and background first."
)


class MovieKind(Kind):
    """Networks whose input is one camera frame, or a few in a row."""

    @abstractmethod
    def example_movie(self, sources: MovieSources) -> NDArray[np.generic]:
        """Give frames (t, y, x) that the network never saw, to show what it does."""

    def inputs_of(self, recipe: Recipe, frames: NDArray[np.generic]) -> NDArray[np.generic]:
        """Turn frames (t, y, x) into the network's inputs (t, c, y, x), counts still."""
        n_side = n_frames_of(recipe) // 2
        places = np.arange(len(frames))[:, None] + np.arange(-n_side, n_side + 1)
        windows: NDArray[np.generic] = frames[places.clip(0, len(frames) - 1)]
        return windows

    def open_sources(self, recipe: Recipe, *, stride: int) -> Sources:
        """Open movies and simulation."""
        return open_movies(recipe, stride=stride)

    def measure_scaling(self, recipe: Recipe, sources: Sources) -> Scaling:
        """Take mean and standard deviation of the counts in some patches."""
        return measure_scaling(sources.training, seed=recipe.fit.seed)

    def probes(self, recipe: Recipe, edge_px: int) -> tuple[Tensor, ...]:
        """Give an empty patch."""
        return (torch.zeros(1, n_frames_of(recipe), edge_px, edge_px),)

    def trained_on(self, recipe: Recipe, sources: Sources) -> dict[str, Any]:
        """Name the simulation's conditions and the movies."""
        opened = movies_of(sources)
        found: dict[str, Any] = {}
        if opened.conditions is not None:
            found = opened.conditions.model_dump(mode="json")
        if recipe.movies.movies:
            found["movies"] = [movie.stack.name for movie in recipe.movies.movies]
        return found

    def examples(self, recipe: Recipe, sources: Sources, least_px: int) -> Arrays:
        """Give a movie's frames, repeated sideways where they are too small."""
        frames = self.example_movie(movies_of(sources))
        repeats = [-(-(least_px + 16) // edge) for edge in frames.shape[1:]]
        frames = np.tile(frames, (1, *repeats))
        height, width = (edge // 8 * 8 for edge in frames.shape[1:])
        return [self.inputs_of(recipe, frames[:, :height, :width].astype(np.uint16))]

    def measure_radius_px(self, task: TrainingTask) -> int:
        """Measure how many camera pixels away from a change the output still changes."""
        return measure_radius_px(task.recipe)


def movies_of(sources: Sources) -> MovieSources:
    """Take sources for those of movies, which they are."""
    assert isinstance(sources, MovieSources)
    return sources


def n_frames_of(recipe: Recipe) -> int:
    """Give how many frames a network looks at."""
    return recipe.conditions.frames if recipe.conditions else 1


def frames_input(recipe: Recipe) -> Input:
    """Say what the input is: the middle frame, and those before and behind it."""
    n_side = n_frames_of(recipe) // 2
    names = {0: INPUT}
    for step in range(1, n_side + 1):
        names |= {-step: f"frames_before_{step}", step: f"frames_after_{step}"}
    return Input(
        INPUT,
        "Raw camera frames, in counts; frames of a movie go along the batch.",
        tuple(names[step] for step in range(-n_side, n_side + 1)),
    )


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
    n_frames = n_frames_of(recipe)
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


def tell_data(recipe: Recipe, sources: Sources) -> str:
    """Say in Markdown what a network was trained on."""
    said = []
    sources = movies_of(sources)
    if sources.conditions is not None:
        said.append(
            "Simulated patches, drawn afresh for each step: "
            f"{_percent(sources.conditions.lines_share)} with emitters on curved lines, "
            f"{_percent(sources.conditions.empty_share)} empty, the others with emitters anywhere."
        )
        said.append(_table_of(sources.conditions))
    if recipe.movies.movies:
        said.append(
            f"{len(recipe.movies.movies)} movies with their localizations; "
            f"{_percent(recipe.movies.validation_share)} of each field was kept for validation."
        )
    return "\n\n".join([*said, *sources.notes])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _table_of(conditions: PatchConditions) -> str:
    camera = conditions.camera
    rows = [
        ("emitters per square micrometre and frame", conditions.density_per_um2),
        ("photons of an emitter in a frame", conditions.photons),
        ("background photons per pixel", conditions.background_photons),
    ]
    sigma_nm = getattr(conditions.psf, "sigma_nm", None)
    if isinstance(sigma_nm, tuple):
        rows.append(("standard deviation of a spot, nm", sigma_nm))
    lines = [f"| {name} | {low:.4g} | {high:.4g} |" for name, (low, high) in rows]
    return "\n".join(
        [
            "| | from | to |",
            "|---|---|---|",
            *lines,
            f"| camera | | {camera.kind}, {camera.pixel_size_nm:g} nm pixels, offset "
            f"{camera.scaling().offset_adu:g} counts, {camera.scaling().photons_per_adu:.3g} "
            "photons per count |",
        ]
    )
