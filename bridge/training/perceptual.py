"""The distance of two images in the features of VGG19, from a local file of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from bridge.errors import RecipeError

_LAYERS: Final = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0) + (512,) * 4
_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)
_SHRINK: Final = 12.75  # Ledig et al.: puts the features on the scale of a pixel's squared error


class VggFeatures(nn.Module):
    """Mean squared difference of VGG19's features before the last pooling ("5_4").

    Ledig et al., CVPR 2017, equation 5: after the activation, divided by 12.75. The weights are
    fixed, and are no part of a checkpoint.

    Parameters
    ----------
    path : Path
        torchvision's file, such as ``vgg19-dcbb9e9d.pth``; nothing is ever downloaded.

    Raises
    ------
    RecipeError
        The file cannot be read, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        n_in = 3
        for width in _LAYERS:
            if width:
                layers += [nn.Conv2d(n_in, width, 3, padding=1), nn.ReLU()]
                n_in = width
            else:
                layers.append(nn.MaxPool2d(2))
        network = nn.Sequential(*layers)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            network.load_state_dict(
                {
                    name.removeprefix("features."): value
                    for name, value in state.items()
                    if name.startswith("features.")
                }
            )
        except Exception as error:  # torch.load raises a dozen kinds
            reason = " ".join(str(error).split())[:160]
            expected = "torchvision's weights of VGG19"
            raise RecipeError(f"task.vgg_weights: {path}", reason, expected) from error
        self._fixed = [network.eval().requires_grad_(False)]  # a list: not in the checkpoint

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Compare images (b, 1, y, x) of values 0 to 1; gives one number."""
        network = self._fixed[0].to(image.device)
        mean, std = (image.new_tensor(v).view(1, 3, 1, 1) for v in (_MEAN, _STD))
        found, wanted = (network((one - mean) / std) / _SHRINK for one in (image, target))
        return nn.functional.mse_loss(found, wanted)
