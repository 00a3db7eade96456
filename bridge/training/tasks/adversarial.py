"""Training a network that restores images such that another one takes them for targets.

Lightning steps the generator; the discriminator has its own optimizer here, stepped within the
same training step and kept in the same checkpoint. So a step of the training stays one step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn

from bridge.errors import RecipeError
from bridge.training.batches import Batch
from bridge.training.networks import build_network
from bridge.training.parts import AdversarialPart
from bridge.training.perceptual import VggFeatures
from bridge.training.tasks.restoration import RegressionTask

_RAMP_SHARE: Final = 0.1
_MEMORY: Final = 0.98
_WON: Final = 0.97
_KEY: Final = "discriminator_optimizer"


class AdversarialTask(RegressionTask):
    """A generator with a discriminator that sees the input beside the image.

    The discriminator: Isola et al., "Image-to-image translation with conditional adversarial
    networks", CVPR 2017, with the spectral norm and the hinge loss of Miyato et al., ICLR 2018.
    The generator: Ledig et al., "Photo-realistic single image super-resolution", CVPR 2017.
    """

    result: ClassVar[Literal["best", "last"]] = "last"  # the judged loss knows of no adversary
    curves: ClassVar[Mapping[str, str]] = MappingProxyType(
        {**RegressionTask.curves, "val_discriminator": "discriminator right"}
    )

    def __init__(self, *arguments: Any, **sources: Any) -> None:
        super().__init__(*arguments, **sources)
        part = self.adversarial_part
        self.discriminator: nn.Module | None = None
        if part.adversarial:
            self.discriminator = build_network(part.discriminator)
        self.features: nn.Module | None = None
        if part.perceptual:
            assert part.vgg_weights is not None
            self.features = VggFeatures(part.vgg_weights)
        self.register_buffer("rightness", torch.tensor(0.5))  # running share of right verdicts
        self.rightness: Tensor
        self._optimizer: torch.optim.Optimizer | None = None
        self._kept: dict[str, Any] | None = None

    @property
    def adversarial_part(self) -> AdversarialPart:
        """The recipe's task."""
        assert isinstance(self.recipe.task, AdversarialPart)
        return self.recipe.task

    @property
    def judgement_weight(self) -> float:
        """Weight of the discriminator's judgement beside the other losses."""
        return self.adversarial_part.adversarial

    def images_of(self, inputs: Tensor) -> Sequence[Tensor]:
        """Give all images that the network makes, each (b, c, Y, X)."""
        return [self.restore(inputs)]

    def condition_of(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Give what the discriminator sees beside an image, on the targets' grid."""
        return nn.functional.interpolate(inputs.float(), targets.shape[-2:])

    def judge(self, condition: Tensor, image: Tensor) -> Tensor:
        """Ask the discriminator whether an image is a target."""
        assert self.discriminator is not None
        verdict: Tensor = self.discriminator(torch.cat([condition, image], dim=1))
        return verdict

    def configure_optimizers(self) -> Any:
        """Give the generator's optimizer, and make the discriminator's."""
        if self.discriminator is None:
            return super().configure_optimizers()
        rate = self.adversarial_part.discriminator_learning_rate
        self._optimizer = torch.optim.Adam(self.discriminator.parameters(), rate, betas=(0.5, 0.99))
        if self._kept is not None:
            self._optimizer.load_state_dict(self._kept)
        return super().configure_optimizers()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the discriminator's optimizer."""
        if self._optimizer is not None:
            checkpoint[_KEY] = self._optimizer.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it up."""
        self._kept = checkpoint.get(_KEY)
        if self._optimizer is not None and self._kept is not None:
            self._optimizer.load_state_dict(self._kept)

    def loss_of(self, batch: Batch, share_done: float) -> Tensor:
        """Compare output and target, and ask the discriminator, which learns first."""
        part = self.adversarial_part
        inputs, targets = self.scaled(batch)
        images = [image.float() for image in self.images_of(inputs)]
        loss = torch.stack([self.loss(image, targets, share_done) for image in images]).sum()
        if self.features is not None:
            loss = loss + part.perceptual * sum(self.features(one, targets) for one in images)
        weight = self.judgement_weight * self.ramp(share_done)
        if not weight or self.discriminator is None:
            return loss
        condition = self.condition_of(inputs, targets)
        if self._optimizer is not None and self.global_step % part.discriminator_every == 0:
            self._teach(condition, [image.detach() for image in images], targets)
        self.discriminator.requires_grad_(False)
        verdicts = [self.judge(condition, image) for image in images]
        self.discriminator.requires_grad_(True)
        if part.gan == "bce":
            doubted = [nn.functional.softplus(-verdict).mean() for verdict in verdicts]
        else:
            doubted = [-verdict.mean() for verdict in verdicts]
        return loss + weight * torch.stack(doubted).sum()

    def ramp(self, share_done: float) -> float:
        """Give the part of the adversarial weight: 0 while warming up, then up to 1."""
        since = share_done - self.adversarial_part.warm_up_share
        return min(max(since / _RAMP_SHARE, 0.0), 1.0)

    def _teach(self, condition: Tensor, images: Sequence[Tensor], targets: Tensor) -> None:
        """Step the discriminator once."""
        assert self._optimizer is not None
        rise = nn.functional.softplus if self.adversarial_part.gan == "bce" else _hinge
        with torch.enable_grad():
            true = self.judge(condition, targets)
            made = torch.stack([self.judge(condition, image) for image in images])
            loss = rise(-true).mean() + rise(made).mean()
            self._optimizer.zero_grad()
            torch.autograd.backward(loss)
            self._optimizer.step()
        right = ((true > 0).float().mean() + (made < 0).float().mean()) / 2
        self.rightness.mul_(_MEMORY).add_((1 - _MEMORY) * right.detach())

    def on_validation_epoch_end(self) -> None:
        """Log how often the discriminator is right as well."""
        super().on_validation_epoch_end()
        self.log("val_discriminator", float(self.rightness), batch_size=1)

    def doubts(self, figures: Mapping[str, float]) -> list[str]:
        """Say when one of the two has won."""
        return super().doubts(figures) + self.collapse(figures)

    def collapse(self, figures: Mapping[str, float]) -> list[str]:
        """Say when the discriminator is always right."""
        right = figures["val_discriminator"]
        if right <= _WON:
            return []
        return [
            f"The discriminator is right in {right:.0%} of the cases: it has won, and the "
            "generator learns nothing from it. Lower task.discriminator_learning_rate, or "
            "raise task.adversarial."
        ]


def _hinge(verdicts: Tensor) -> Tensor:
    return nn.functional.relu(1 + verdicts)


def load_start(network: nn.Module, path: Path) -> None:
    """Give a network the weights of a package or of a run.

    Parameters
    ----------
    network : Module
        Changed in place.
    path : Path
        A package's folder with ``weights.pt``, or a run's with ``checkpoints``.

    Raises
    ------
    RecipeError
        There are no weights, or they are of another network.
    """
    places = [path / "weights.pt", path / "package" / "weights.pt"]
    runs = [path / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    found = next((place for place in (*places, *runs) if place.is_file()), None)
    if found is None:
        remedy = "Train a regression first, and name its run or package."
        raise RecipeError(f"task.start: {path}", "holds no weights", "a run or package", remedy)
    state = torch.load(found, map_location="cpu", weights_only=True)
    if "state_dict" in state:
        front = "network."
        state = {
            name.removeprefix(front): value
            for name, value in state["state_dict"].items()
            if name.startswith(front)
        }
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        found_ = f"holds weights of another network: {reason}"
        raise RecipeError(f"task.start: {path}", found_, "the recipe's own network") from error
