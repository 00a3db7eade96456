"""Train the deep-storm network on simulated patches.

``python -m models_zoo.deep_storm.train --minutes 20 --seed 1 --output DIR [--resume]`` writes
``DIR/checkpoint.pt`` (everything needed to go on) about once a minute, and ``DIR/weights.pt`` (the
network alone) at the end. Nothing is read from disk but the checkpoint.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models_zoo.deep_storm.architecture import DeepStormLight
from models_zoo.deep_storm.simulate import Conditions, simulate_patches

INPUT_MEAN = 120.0
"""Camera counts that the network sees as 0."""
INPUT_STD = 50.0
"""Camera counts that the network sees as 1."""
PERCENT = 100.0
"""Sum of the network's output for one emitter."""


@dataclass(frozen=True)
class Settings:
    """How long and how to train; give ``minutes`` or ``steps``.

    Parameters
    ----------
    minutes : float
        Length in minutes of this process's computing time; 0 counts ``steps`` instead.
    steps : int
        Length in steps; the same settings and seed then give the same weights on one machine.
    seed : int
        Seed of weights and patches.
    batch : int
        Patches per step, >= 2.
    size_px : int
        Edge of a patch in camera pixels, a multiple of 4.
    rate : float
        Highest learning rate; it is reached after 5 % of the training, and falls to 0 as a cosine.
    save_every_s : float
        Seconds of computing between two checkpoints.
    """

    minutes: float = 0.0
    steps: int = 0
    seed: int = 1
    batch: int = 8
    size_px: int = 32
    rate: float = 4e-3
    save_every_s: float = 60.0


class DeepStormLoss(nn.Module):
    """Compare images of emitters after a slight blur, and ask for few bright pixels.

    The loss of Deep-STORM (Nehme et al. 2018), with its weights: the label is 100 times the
    emitters blurred by a Gaussian of one fine pixel, and the blurred prediction is compared with
    it. The original blurs the prediction with a kernel of sum 2, so that an emitter is 50 there
    and 100 here; half of the original's penalty makes up for it.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        profile = torch.exp(-(torch.arange(-3, 4) ** 2) / 2.0)  # (7,)
        kernel = profile[:, None] * profile / profile.sum() ** 2  # (7, 7)
        self.register_buffer("kernel", kernel[None, None])  # (1, 1, 7, 7)

    def forward(self, predicted: Tensor, emitters: Tensor) -> Tensor:
        """Compute the loss.

        Parameters
        ----------
        predicted, emitters : Tensor, (b, 1, Y, X)
            The network's output in percent, and emitters per fine pixel.

        Returns
        -------
        Tensor, ()
            Mean over pixels and patches.
        """
        difference = predicted - PERCENT * emitters  # (b, 1, Y, X)
        blurred = nn.functional.conv2d(difference, self.kernel, padding=3)  # (b, 1, Y, X)
        return blurred.square().mean() + 0.5 * predicted.abs().mean()


class Training:
    """A training that can be stopped, saved and taken up again.

    Parameters
    ----------
    settings : Settings
        How long and how to train.
    conditions : Conditions, optional
        What is simulated; by default what the shipped network was trained on.
    """

    def __init__(self, settings: Settings, conditions: Conditions | None = None) -> None:
        if (settings.minutes > 0) == (settings.steps > 0):
            raise ValueError(
                f"training length: found minutes={settings.minutes} and steps={settings.steps}. "
                "Give one of them, above 0."
            )
        self.settings = settings
        self.conditions = conditions or Conditions()
        torch.manual_seed(settings.seed)
        self.network = DeepStormLight()
        self.loss = DeepStormLoss()
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings.rate, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.step = 0
        self.seconds = 0.0
        self.losses: list[float] = []

    @property
    def done(self) -> float:
        """Share of the training that is done, 0 to 1."""
        if self.settings.steps:
            return min(self.step / self.settings.steps, 1.0)
        return min(self.seconds / (60 * self.settings.minutes), 1.0)

    def advance(self) -> float:
        """Do one step and give its loss."""
        started = time.process_time()
        done = self.done
        rise = min(done / 0.05, 1.0) if self.step else 0.01
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * rise * (1 + math.cos(math.pi * done)) / 2
        frames, emitters = simulate_patches(
            self.settings.batch,
            size_px=self.settings.size_px,
            generator=self.generator,
            conditions=self.conditions,
        )
        self.network.train()
        predicted = self.network((frames - INPUT_MEAN) / INPUT_STD)  # (b, 1, Y, X)
        loss = self.loss(predicted, emitters)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        self.step += 1
        self.seconds += time.process_time() - started
        self.losses.append(float(loss.detach()))
        return self.losses[-1]

    def save(self, path: Path) -> None:
        """Write a checkpoint; a reader never meets half of one."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "losses": torch.tensor(self.losses),
            "settings": vars(self.settings),
        }
        partial = path.with_name(path.name + ".part")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Take up the training that a checkpoint was written from."""
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.losses = state["losses"].tolist()

    def run(self, output_dir: Path) -> Path:
        """Train to the end, save on the way, and give the path of the weights."""
        output_dir.mkdir(parents=True, exist_ok=True)
        saved_at = self.seconds
        while self.done < 1:
            self.advance()
            if self.seconds - saved_at >= self.settings.save_every_s:
                saved_at = self.seconds
                self.save(output_dir / "checkpoint.pt")
                self.report()
        self.save(output_dir / "checkpoint.pt")
        self.report()
        weights_path = output_dir / "weights.pt"
        torch.save(self.network.state_dict(), weights_path)
        return weights_path

    def report(self) -> None:
        """Print how far it is to the error stream."""
        recent = self.losses[-200:]
        print(
            f"{self.done:6.1%}  {self.seconds / 60:6.1f} min  step {self.step:6d}  "
            f"loss {sum(recent) / len(recent):.4f} (mean of the last {len(recent)})",
            file=sys.stderr,
            flush=True,
        )


def main(arguments: list[str] | None = None) -> None:
    """Train from the shell; the last line on standard output is the path of the weights."""
    parser = argparse.ArgumentParser(prog="models_zoo.deep_storm.train", description=__doc__)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, default=0.0, help="of computing time")
    length.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=Settings.rate, help="learning rate")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--resume", action="store_true", help="go on from output's checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    training = Training(
        Settings(minutes=given.minutes, steps=given.steps, seed=given.seed, rate=given.rate)
    )
    if given.resume:
        training.restore(given.output / "checkpoint.pt")
    print(training.run(given.output))


if __name__ == "__main__":
    main()
