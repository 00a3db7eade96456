"""Running a recipe: Lightning's loop in a folder that can be taken up again, exactly.

::

    run/
      README.md           says what each file is, and how to go on
      recipe.yaml         the recipe as it ran, every value decided
      run.json            when, on what, with which versions and input scaling; how it ended
      metrics.csv  curves.png  panel.png  panels/epoch_0001.png ...
      checkpoints/last.ckpt  checkpoints/best.ckpt
      tensorboard/

Checkpoints are written after each epoch, and every batch follows from its step. A run that was
stopped or killed does the rest of its epoch again, and ends with the same weights.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

import bridge
from bridge.errors import Cancelled, DeviceError, OutputError, ZooBridgeError
from bridge.progress import Progress, silent
from bridge.training.batches import Sources
from bridge.training.describe import package_words
from bridge.training.kinds import KINDS, check_network, open_sources
from bridge.training.monitor import Reporter
from bridge.training.networks import build_network, stride_of
from bridge.training.recipe import Recipe, make_recipe
from bridge.training.tasks.adversarial import load_start
from bridge.training.tasks.base import Scaling, TrainingTask

_TIMED_STEPS: Final = 5
_TRAINED_SHARE: Final = 0.92  # of the minutes; the rest goes into validation and pictures
_EXPLANATION: Final = """# A training of {name}

| file | what it is |
|---|---|
| `recipe.yaml` | every setting, as it runs |
| `run.json` | when, on what machine, with which versions, how counts are scaled, how it ended |
| `curves.png`, `metrics.csv` | losses, and agreement with the truth, after each epoch |
| `panel.png`, `panels/` | what the network makes of some validation patches, after each epoch |
| `checkpoints/best.ckpt` | the weights with the lowest validation loss |
| `checkpoints/last.ckpt` | the state after the last finished epoch; a localizer's weights |
| `tensorboard/` | the curves for TensorBoard |
| `package/` | the BioImage Model Zoo package, once the training has ended |

A training that was stopped or killed goes on where its last epoch ended, with the same result:
`zoobridge train --resume --output` and this folder. `zoobridge package` and this folder makes a
package of the best weights so far.
"""


@dataclass(frozen=True)
class Run:
    """A training that has come to an end."""

    run_dir: Path
    """Its folder."""
    task: TrainingTask
    """With the best weights."""
    sources: Sources
    """What it learned from."""
    history: list[dict[str, float]]
    """Figures of each epoch."""
    is_complete: bool
    """Whether all its steps were done, or it stopped because it got no better."""

    @property
    def doubts(self) -> list[str]:
        """What the last epoch's figures make doubtful."""
        return self.task.doubts(self.history[-1]) if self.history else []


def train(
    recipe: Recipe, run_dir: Path, *, resume: bool = False, progress: Progress = silent
) -> Run:
    """Train a network, or take a training up again.

    Parameters
    ----------
    recipe : Recipe
        What to train; when a run is resumed, the run folder's own recipe counts.
    run_dir : Path
        Folder of the run; made if missing.
    resume : bool
        Go on from the folder's last checkpoint.
    progress : Progress
        Told of every step; raises ``Cancelled`` to stop.

    Returns
    -------
    Run
        The network with its best weights.

    Raises
    ------
    RecipeError, ImageError, TableError
        The recipe or its data cannot be used.
    OutputError
        The folder holds another run, or nothing to resume.
    TrainingError
        The loss became NaN, or the output died.
    Cancelled
        The user stopped it; the checkpoints of finished epochs stay.
    """
    last = run_dir / "checkpoints" / "last.ckpt"
    _check_folder(run_dir, resume=resume)
    recipe = read_run_recipe(run_dir) if resume else recipe
    _check_device(recipe)
    package_words(recipe)  # what the package can't say is refused now
    torch.manual_seed(recipe.fit.seed)
    network = build_network(recipe.network)
    kind = KINDS[recipe.task.kind]
    check_network(network, recipe)
    sources = open_sources(recipe, stride=stride_of(network))
    _prepare(run_dir)
    if resume:
        scaling = read_scaling(run_dir)
    else:
        scaling = kind.measure_scaling(recipe, sources)
        recipe = _decide_length(recipe, sources, scaling)
        _write_note(run_dir, recipe, scaling, sources)
        _write_recipe(run_dir, recipe)  # last: with it the folder is a run that can be resumed
    start = getattr(recipe.task, "start", None)
    if start is not None:
        load_start(network, start)
    task = _make_task(recipe, network, scaling, sources)
    reporter = Reporter(run_dir, progress)
    with _quiet():
        trainer = _make_trainer(recipe, run_dir, reporter)
        try:
            with _interruptible():
                # The checkpoint is this folder's own, and holds tensors and plain values only.
                trainer.fit(task, ckpt_path=last if last.is_file() else None, weights_only=True)
        except ZooBridgeError as error:
            _add_to_note(
                run_dir, steps_done=_n_steps_kept(last), is_complete=False, stopped_by=str(error)
            )
            raise
    is_complete = trainer.global_step >= task.n_steps or trainer.should_stop
    _add_to_note(run_dir, steps_done=trainer.global_step, is_complete=is_complete, stopped_by=None)
    load_best(task, run_dir)
    return Run(run_dir, task, sources, reporter.history, is_complete)


def reopen(run_dir: Path) -> Run:
    """Open a run's folder with its best weights, without training.

    Parameters
    ----------
    run_dir : Path
        The run's folder.

    Returns
    -------
    Run
        As it ended, or as far as it has come.

    Raises
    ------
    OutputError
        The folder holds no run, or none with a finished epoch.
    """
    recipe = read_run_recipe(run_dir)
    network = build_network(recipe.network)
    sources = open_sources(recipe, stride=stride_of(network))
    task = _make_task(recipe, network, read_scaling(run_dir), sources)
    load_best(task, run_dir)
    note = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    return Run(run_dir, task, sources, [], bool(note.get("is_complete")))


def load_best(task: TrainingTask, run_dir: Path) -> None:
    """Give a task the weights of its run that count, ready for use."""
    order = ("best.ckpt", "last.ckpt") if task.result == "best" else ("last.ckpt",)
    paths = [run_dir / "checkpoints" / name for name in order]
    found = next((path for path in paths if path.is_file()), None)
    if found is None:
        remedy = "Train for an epoch at least."
        raise OutputError(str(run_dir), "holds no checkpoint", remedy=remedy)
    state = torch.load(found, map_location="cpu", weights_only=True)
    task.load_state_dict(state["state_dict"])
    task.cpu().eval()


def read_run_recipe(run_dir: Path) -> Recipe:
    """Read the recipe that a run was started with."""
    path = run_dir / "recipe.yaml"
    if not path.is_file():
        raise OutputError(str(run_dir), "holds no training", "a run's folder with recipe.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return make_recipe(content, folder=run_dir, source=str(path))


def read_scaling(run_dir: Path) -> Scaling:
    """Read how a run scales its input."""
    note = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    return Scaling(**note["scaling"])


def _check_folder(run_dir: Path, *, resume: bool) -> None:
    """Refuse a folder that isn't what resuming, or starting, needs."""
    is_run = (run_dir / "recipe.yaml").is_file() and (run_dir / "run.json").is_file()
    if resume and not is_run:
        remedy = "Leave --resume away to start one."
        raise OutputError(str(run_dir), "holds no training", "a run's folder", remedy)
    if resume:
        return
    if (run_dir / "checkpoints" / "last.ckpt").is_file():
        remedy = "Give --resume to go on with it, or another folder."
        raise OutputError(str(run_dir), "holds a training already", "an empty folder", remedy)
    foreign = [name for name in ("recipe.yaml", "README.md") if (run_dir / name).is_file()]
    if foreign and not is_run:
        found = f"holds a {foreign[0]} that is of no training"
        raise OutputError(str(run_dir), found, "an empty folder", "Give another folder.")


def _check_device(recipe: Recipe) -> None:
    if recipe.fit.device == "cuda" and not torch.cuda.is_available():
        remedy = "Set fit.device to cpu or auto; of a run that is resumed, in its recipe.yaml."
        raise DeviceError("fit.device", "no CUDA GPU is here", "a GPU", remedy)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Turn the exit by which Lightning answers Ctrl-C and SIGTERM into ``Cancelled``."""
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as exit_:
        raise Cancelled("training") from exit_
    finally:
        if is_main and before is not None:
            signal.signal(signal.SIGINT, before)  # Lightning leaves it ignored


def _n_steps_kept(path: Path) -> int:
    """Give the steps that a checkpoint holds; 0 where there is none."""
    if not path.is_file():
        return 0
    return int(torch.load(path, map_location="cpu", weights_only=True)["global_step"])


def _make_task(
    recipe: Recipe, network: torch.nn.Module, scaling: Scaling, sources: Sources
) -> TrainingTask:
    return KINDS[recipe.task.kind].task(
        recipe,
        network.to(memory_format=torch.channels_last),
        scaling,
        training=sources.training,
        validation=sources.validation,
    )


class _RunningAverage(WeightAveraging):
    """Average the weights over about the last 1 / (1 - decay) steps, and fewer at the start.

    With the whole decay from the first step on, the average of a short training would be its first
    weights. The rise is that of TensorFlow's ``ExponentialMovingAverage``.
    """

    def __init__(self, decay: float) -> None:
        def mix(average: Tensor, current: Tensor, n_steps: Tensor | int) -> Tensor:
            share = min(decay, (1 + int(n_steps)) / (10 + int(n_steps)))
            return average * share + current * (1 - share)

        super().__init__(avg_fn=mix)


def _make_trainer(recipe: Recipe, run_dir: Path, reporter: Reporter) -> lightning.Trainer:
    fit = recipe.fit
    assert fit.steps is not None
    callbacks: list[Callback] = [reporter]
    if fit.average:
        callbacks.append(_RunningAverage(fit.average))
    if fit.patience:
        callbacks.append(EarlyStopping("val_loss", patience=fit.patience))
    # Two of them: with save_last, Lightning writes last.ckpt only where best.ckpt is written, too.
    callbacks += [
        ModelCheckpoint(
            run_dir / "checkpoints",
            filename=name,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        for name, monitor in (("best", "val_loss"), ("last", None))
    ]
    return lightning.Trainer(
        # No other accelerator: figures are added up in float64, which Apple's lacks.
        accelerator="cuda" if fit.device != "cpu" and torch.cuda.is_available() else "cpu",
        devices=1,
        precision="bf16-mixed" if fit.precision == "bf16" else "32-true",
        max_epochs=-1,  # steps decide: a resumed Lightning counts one epoch too many
        max_steps=fit.steps,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        gradient_clip_val=fit.clip_norm or None,
        callbacks=callbacks,
        logger=TensorBoardLogger(run_dir, name="tensorboard", version=""),
        log_every_n_steps=min(50, fit.steps_per_epoch),
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice from users: the loaders only count, and this folder is known."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _decide_length(recipe: Recipe, sources: Sources, scaling: Scaling) -> Recipe:
    """Turn minutes into steps, by timing a few on a copy of the network."""
    fit = recipe.fit
    if fit.minutes is None:
        return recipe
    timed = recipe.model_copy(update={"fit": fit.model_copy(update={"steps": 1000})})
    task = _make_task(timed, build_network(recipe.network), scaling, sources)
    is_gpu = torch.cuda.is_available() and fit.device != "cpu"
    task.to("cuda" if is_gpu else "cpu")
    optimizer = torch.optim.AdamW(task.network.parameters())
    seconds = []
    for step in range(1 + _TIMED_STEPS):
        started = time.perf_counter()
        task.loss_of(task.training_batch(step), 0.0).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        if is_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    per_step = sorted(seconds[1:])[_TIMED_STEPS // 2]
    steps = max(round(60 * fit.minutes * _TRAINED_SHARE / per_step), 20)
    per_epoch = min(fit.steps_per_epoch, max(steps // 5, 1))
    decided = fit.model_copy(update={"steps": steps, "minutes": None, "steps_per_epoch": per_epoch})
    return recipe.model_copy(update={"fit": decided})


def _prepare(run_dir: Path) -> None:
    try:
        (run_dir / "checkpoints").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(run_dir), f"can't be made: {error.strerror}") from error


def _write_recipe(run_dir: Path, recipe: Recipe) -> None:
    content = recipe.model_dump(mode="json")
    _write(run_dir / "recipe.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _write_note(run_dir: Path, recipe: Recipe, scaling: Scaling, sources: Sources) -> None:
    note = {
        "name": recipe.name,
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "scaling": scaling._asdict(),
        "pixel_size_nm": sources.pixel_size_nm,
        "notes": sources.notes,
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {
            "zoobridge": bridge.__version__,
            "torch": torch.__version__,
            "lightning": lightning.__version__,
        },
    }
    _write(run_dir / "run.json", json.dumps(note, indent=2))
    _write(run_dir / "README.md", _EXPLANATION.format(name=recipe.name))


def _add_to_note(run_dir: Path, **more: Any) -> None:
    path = run_dir / "run.json"
    note = json.loads(path.read_text(encoding="utf-8"))
    note |= {"ended": time.strftime("%Y-%m-%d %H:%M:%S"), **more}
    _write(path, json.dumps(note, indent=2))


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
