"""Training a network that restores images such that another one takes them for targets.

Lightning steps the generator; the discriminator has its own optimizer here, stepped within the
same training step and kept in the same checkpoint. So a step of the training stays one step.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """A generator with a discriminator that sees the input beside the image; hinge loss.

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

    def configure_optimizers(self) -> Any:
        """Give the generator's optimizer, and make the discriminator's."""
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
        restored = self.restore(inputs).float()
        loss: Tensor = self.loss(restored, targets, share_done)
        if self.features is not None:
            loss = loss + part.perceptual * self.features(restored, targets)
        weight = part.adversarial * self.ramp(share_done)
        if not weight:
            return loss
        enlarged = nn.functional.interpolate(inputs.float(), restored.shape[-2:])
        if self._optimizer is not None:
            self._teach(enlarged, restored.detach(), targets)
        self.discriminator.requires_grad_(False)
        verdict = self.discriminator(torch.cat([enlarged, restored], dim=1))  # (b, 1, v, v)
        self.discriminator.requires_grad_(True)
        convinced: Tensor = verdict.mean()
        return loss - weight * convinced

    def ramp(self, share_done: float) -> float:
        """Give the part of the adversarial weight: 0 while warming up, then up to 1."""
        since = share_done - self.adversarial_part.warm_up_share
        return min(max(since / _RAMP_SHARE, 0.0), 1.0)

    def _teach(self, inputs: Tensor, restored: Tensor, targets: Tensor) -> None:
        """Step the discriminator once."""
        assert self._optimizer is not None
        with torch.enable_grad():
            true, made = (
                self.discriminator(torch.cat([inputs, image], dim=1))
                for image in (targets, restored)
            )
            loss = nn.functional.relu(1 - true).mean() + nn.functional.relu(1 + made).mean()
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
        said = super().doubts(figures)
        right = figures["val_discriminator"]
        if right > _WON:
            said.append(
                f"The discriminator is right in {right:.0%} of the cases: it has won, and the "
                "generator learns nothing from it. Lower task.discriminator_learning_rate, or "
                "raise task.adversarial."
            )
        return said


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
