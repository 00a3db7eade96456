"""Training UR-Net-8, then X-Net behind it, and putting both into one network.

::

    run/                    the chain: recipe.yaml, run.json, package/ (widefield -> four images)
      ur-net-8/             a run of its own, with its package
      x-net/                a run of its own, which learned behind the one above

A chain that was stopped goes on where it was: a finished part is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from bridge.errors import OutputError, RecipeError
from bridge.progress import Progress, silent
from bridge.training.describe import package_words
from bridge.training.fit import Run, read_run_recipe, reopen, train
from bridge.training.networks import build_network
from bridge.training.parts import ChainPart
from bridge.training.recipe import Recipe, load_recipe
from bridge.training.tasks.storm import ChainTask

UR_NET_8: Final = "ur-net-8"
X_NET: Final = "x-net"
_LENGTHS: Final = frozenset({"steps", "minutes", "steps_per_epoch"})


@dataclass(frozen=True)
class Chain:
    """Both trainings, and the network that they make together."""

    ur_net_8: Run
    """The first one."""
    x_net: Run
    """The second one."""
    whole: Run
    """Both as one."""


def train_chain(
    recipe: Recipe, run_dir: Path, *, resume: bool = False, progress: Progress = silent
) -> Chain:
    """Train both networks, or take the training up again.

    Parameters
    ----------
    recipe : Recipe
        Of the kind ``xmicroscopy``; when a run is resumed, the run folder's own recipe counts.
    run_dir : Path
        Folder of the chain; made if missing.
    resume : bool
        Go on from what is there.
    progress : Progress
        Told of every step.

    Returns
    -------
    Chain
        With the best weights of both.

    Raises
    ------
    RecipeError, OutputError, TrainingError, Cancelled
        As :func:`bridge.training.fit.train` does.
    """
    note = run_dir / "recipe.yaml"
    if resume and not note.is_file():
        remedy = "Leave --resume away to start one."
        raise OutputError(str(run_dir), "holds no training", "a run's folder", remedy)
    if not resume and note.is_file():
        remedy = "Give --resume to go on with it, or another folder."
        raise OutputError(str(run_dir), "holds a training already", "an empty folder", remedy)
    recipe = read_run_recipe(run_dir) if resume else recipe
    package_words(recipe)
    first, second = split_recipe(recipe, run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    # Only what is said: the rest of fit is each network's own recipe's.
    content = recipe.model_dump(mode="json", exclude_unset=True)
    _write(note, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    ur = _train_part(first(), run_dir / UR_NET_8, _named(progress, "UR-Net-8 (1 of 2)"))
    x = _train_part(second(), run_dir / X_NET, _named(progress, "X-Net (2 of 2)"))
    return join(recipe, ur, x, run_dir)


def reopen_chain(run_dir: Path) -> Chain:
    """Open a chain's folder with the best weights of both, without training."""
    ur, x = (reopen(run_dir / name) for name in (UR_NET_8, X_NET))
    return join(read_run_recipe(run_dir), ur, x, run_dir)


def split_recipe(
    recipe: Recipe, run_dir: Path
) -> tuple[Callable[[], Recipe], Callable[[], Recipe]]:
    """Make the two networks' recipes: their own, with what the chain's recipe says of both.

    Data are the chain's, and so is what its ``fit`` says. Its steps, or minutes, are of both
    together, and are shared in proportion to the two recipes' own steps. What its network is made
    with goes to the networks inside: ``ur_width`` is UR-Net-8's width.

    Returns
    -------
    callable, callable
        Each gives a recipe; the second one's only loads when the first network is trained.
    """
    part = chain_part_of(recipe)
    paths = {"ur": part.ur_net_8, "x": part.x_net}
    own = {front: load_recipe(path).fit.steps or 1 for front, path in paths.items()}

    def changes(front: str) -> dict[str, object]:
        share = own[front] / sum(own.values())
        fit = recipe.fit
        found: dict[str, object] = {
            "data": recipe.data.model_dump(mode="json"),
            "network.arguments": _arguments(recipe, front),
            "task.stretch_percent": list(part.stretch_percent),
            "task.adversarial": part.adversarial,
            **{f"fit.{key}": getattr(fit, key) for key in fit.model_fields_set - _LENGTHS},
            "package.smallest_px": recipe.package.smallest_px,
        }
        if fit.steps is not None:
            steps = max(round(fit.steps * share), 1)
            found["fit.steps"] = steps
            found["fit.steps_per_epoch"] = min(fit.steps_per_epoch, steps)
        else:
            assert fit.minutes is not None
            found["fit.minutes"] = fit.minutes * share
        return found

    def first() -> Recipe:
        return load_recipe(part.ur_net_8, changes("ur"))

    def second() -> Recipe:
        start = {"task.start_ur": str((run_dir / UR_NET_8).resolve())}
        return load_recipe(part.x_net, changes("x") | start)

    return first, second


def join(recipe: Recipe, ur: Run, x: Run, run_dir: Path) -> Chain:
    """Put two trained networks into one, and note where it comes from."""
    network = build_network(recipe.network)
    weights = {f"ur_net_8.{name}": w for name, w in ur.task.network.state_dict().items()}
    weights |= {f"x_net.{name}": w for name, w in x.task.network.state_dict().items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        found = f"isn't made of the two trained networks: {' '.join(str(error).split())[:200]}"
        raise RecipeError("network.arguments", found, "the widths and depths of both") from error
    sources = (x.sources.training, x.sources.validation)
    task = ChainTask(
        recipe, network.eval(), x.task.scaling, training=sources[0], validation=sources[1]
    )
    notes = [_read_note(run.run_dir) for run in (ur, x)]
    steps = [int(note["steps_done"]) for note in notes]
    whole_note = {
        **notes[1],
        "name": recipe.name,
        "started": notes[0]["started"],
        "steps_done": sum(steps),
        "steps": {"ur_net_8": steps[0], "x_net": steps[1]},
    }
    _write(run_dir / "run.json", json.dumps(whole_note, indent=2))
    is_complete = ur.is_complete and x.is_complete
    whole = Run(run_dir, task, x.sources, x.history, is_complete)
    return Chain(ur, x, whole)


def chain_part_of(recipe: Recipe) -> ChainPart:
    """Give the recipe's task, one of both networks."""
    if not isinstance(recipe.task, ChainPart):
        raise RecipeError("task.kind", recipe.task.kind, "xmicroscopy", "Correct the recipe.")
    return recipe.task


def _arguments(recipe: Recipe, front: str) -> dict[str, Any]:
    """Give what one of the networks is made with: ``ur_width`` as ``width``, what is shared too."""
    given = recipe.network.arguments
    own = {
        name.removeprefix(f"{front}_"): value
        for name, value in given.items()
        if name.startswith(f"{front}_")
    }
    shared = {name: value for name, value in given.items() if not name.startswith(("ur_", "x_"))}
    return {**shared, **own}


def _train_part(recipe: Recipe, run_dir: Path, progress: Progress) -> Run:
    """Train one of the networks, go on with it, or take it as it is."""
    if not (run_dir / "run.json").is_file() or not (run_dir / "recipe.yaml").is_file():
        return train(recipe, run_dir, progress=progress)
    if _read_note(run_dir).get("is_complete"):
        return reopen(run_dir)
    return train(recipe, run_dir, resume=True, progress=progress)


def _named(progress: Progress, name: str) -> Progress:
    def told(done: int, total: int, note: str = "") -> None:
        progress(done, total, f"{name}, {note}" if note else name)

    return told


def _read_note(run_dir: Path) -> dict[str, Any]:
    note: dict[str, Any] = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    return note


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
