"""Training a network that draws images from noise: diffusion (SR3) or flow matching.

The network holds its own schedule and sampler; here it is shown mixtures of targets and noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from bridge.training.batches import Batch, seed_of
from bridge.training.tasks.restoration import RestorationTask

_NOISE_SEED: Final = 20_000_003
_TRAINING_KEY: Final = 7


class DiffusionTask(RestorationTask):
    """A network with ``training_pair``, ``noise_levels``, ``predict`` and a sampler as forward.

    Its figures are of the mean of its samples, from noise that is the same in every epoch.
    """

    result: ClassVar[Literal["best", "last"]] = "last"  # a few samples judge too noisily

    def loss_of(self, batch: Batch, share_done: float) -> Tensor:
        """Mix targets with noise at any level, and compare what the network says to it."""
        inputs, targets = self.scaled(batch)
        network: Any = self.network
        seed = seed_of([self.recipe.fit.seed, round(share_done * self.n_steps), _TRAINING_KEY])
        generator = torch.Generator(targets.device).manual_seed(seed)
        time = torch.rand(len(targets), device=targets.device, generator=generator)
        noise = torch.randn(targets.shape, device=targets.device, generator=generator)
        noisy, wanted = network.training_pair(targets, noise, time)
        level = network.noise_levels(time)[0]
        return nn.functional.mse_loss(network.predict(inputs, noisy, level).float(), wanted)

    def restore(self, inputs: Tensor) -> Tensor:
        """Draw samples, and give their mean."""
        network: Any = self.network
        generator = torch.Generator().manual_seed(_NOISE_SEED)
        height, width = (edge * network.scale for edge in inputs.shape[-2:])
        n_channels = network.samples * network.outputs
        noise = torch.randn(len(inputs), n_channels, height, width, generator=generator)
        restored: Tensor = network(inputs, noise.to(inputs.device))[0]
        return restored

    def doubts(self, figures: Mapping[str, float]) -> list[str]:
        """Say when samples have another mean level than targets: a low loss doesn't tell."""
        said = super().doubts(figures)
        if getattr(self.network, "target", "") == "eps":
            said.append(
                "The network predicts noise (eps), as published: after short trainings its grey "
                "levels are wrong while its loss is low. network.arguments.target=x0 doesn't "
                "have this trouble."
            )
        return said
