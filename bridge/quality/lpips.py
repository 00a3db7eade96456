"""Perceptual distance of two images (LPIPS), from weights on this disk; nothing is downloaded.

Both images go through the convolutions of a network that was trained to name photographs; the
distance is that of its unit-length features, weighted by linear heads, added up over five layers
[1]_. The network's weights are torchvision's (``alexnet-*.pth``, ``vgg16-*.pth``), the heads those
that come with ``lpips`` and ``torchmetrics``.

Where no weights are at hand, :func:`untrained_lpips` measures the same with random filters of a
fixed seed and equal heads, the untrained baseline of [1]_. It is another figure with another name:
its numbers can't be compared with those of trained weights. It punishes blur (0.020 to 0.031 for a
further sigma of 0.8 pixels on restored STED images), and unlike trained weights doesn't reward
texture that is right on average only.

References
----------
.. [1] Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep Features as a
   Perceptual Metric (2018), arXiv 1801.03924.
"""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from bridge.errors import InputError
from bridge.quality.metrics import check_range, pair

Backbone = Literal["alex", "vgg"]

UNTRAINED: Final = "untrained LPIPS"
"""What the untrained baseline is called."""

LEAST_PX: Final = 64
"""Images are at least this high and wide."""

_SHIFT: Final = (-0.030, -0.088, -0.188)  # of red, green and blue, in the range -1 to 1
_SCALE: Final = (0.458, 0.448, 0.450)
_TINY: Final = 1e-8


class _Convolution(NamedTuple):
    """A convolution of a backbone, and what stands before and after it."""

    place: int  # in torchvision's ``features``
    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1
    is_pooled: bool = False  # max-pooling before it
    is_compared: bool = True  # its rectified output is one of the five layers


_ALEX: Final = (
    _Convolution(0, 3, 64, 11, 4, 2),
    _Convolution(3, 64, 192, 5, 1, 2, is_pooled=True),
    _Convolution(6, 192, 384, is_pooled=True),
    _Convolution(8, 384, 256),
    _Convolution(10, 256, 256),
)
_VGG: Final = (
    _Convolution(0, 3, 64, is_compared=False),
    _Convolution(2, 64, 64),
    _Convolution(5, 64, 128, is_pooled=True, is_compared=False),
    _Convolution(7, 128, 128),
    _Convolution(10, 128, 256, is_pooled=True, is_compared=False),
    _Convolution(12, 256, 256, is_compared=False),
    _Convolution(14, 256, 256),
    _Convolution(17, 256, 512, is_pooled=True, is_compared=False),
    _Convolution(19, 512, 512, is_compared=False),
    _Convolution(21, 512, 512),
    _Convolution(24, 512, 512, is_pooled=True, is_compared=False),
    _Convolution(26, 512, 512, is_compared=False),
    _Convolution(28, 512, 512),
)
_BACKBONES: Final = {"alex": (_ALEX, 3), "vgg": (_VGG, 2)}  # with the width of max-pooling


class Lpips(nn.Module):
    """The distance as a network; made by :func:`open_lpips` or :func:`untrained_lpips`.

    Parameters
    ----------
    backbone : {"alex", "vgg"}
        AlexNet, the authors' choice for comparing images, or VGG-16.
    name : str
        What the figure is called.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: Backbone, name: str) -> None:
        super().__init__()
        self.name = name
        self._layers, pool_px = _BACKBONES[backbone]
        self._pool = nn.MaxPool2d(pool_px, stride=2)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(one.inputs, one.outputs, one.kernel, one.stride, one.padding)
            for one in self._layers
        )
        compared = [one.outputs for one in self._layers if one.is_compared]
        self.heads = nn.ParameterList(torch.ones(1, n, 1, 1) for n in compared)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, image: Tensor, truth: Tensor) -> Tensor:
        """Give the distance of images in the range -1 to 1.

        Parameters
        ----------
        image, truth : Tensor (b, 3, y, x)
            From -1 (black) to 1 (white).

        Returns
        -------
        Tensor (b,)
            0 for equal images.
        """
        both = torch.cat([image, truth])  # (2b, 3, y, x)
        total = torch.zeros(len(image), dtype=image.dtype, device=image.device)  # (b,)
        for features, head in zip(self.features(both), self.heads, strict=True):
            length = (_TINY + features.square().sum(dim=1, keepdim=True)).sqrt()  # (2b, 1, v, u)
            first, second = (features / length).chunk(2)  # (b, c, v, u)
            weighted = (head * (first - second).square()).sum(dim=1)  # (b, v, u)
            total = total + weighted.mean(dim=(1, 2))  # (b,)
        return total

    def features(self, images: Tensor) -> list[Tensor]:
        """Give the five layers that are compared.

        Parameters
        ----------
        images : Tensor (b, 3, y, x)
            From -1 to 1.

        Returns
        -------
        list of Tensor (b, c, v, u)
            After the rectifier.
        """
        x = (images - self.shift) / self.scale  # (b, 3, y, x)
        kept = []
        for one, convolution in zip(self._layers, self.convolutions, strict=True):
            if one.is_pooled:
                x = self._pool(x)  # (b, c, v, u)
            x = convolution(x).relu()  # (b, c, v, u)
            if one.is_compared:
                kept.append(x)
        return kept

    @torch.inference_mode()
    def distance(self, image: ArrayLike, truth: ArrayLike, *, data_range: float) -> float:
        """Give the distance of two grey images.

        Parameters
        ----------
        image, truth : array_like, axes (y, x)
            Of equal shape, in the same units, at least 64 pixels each way. 0 becomes -1 (black),
            ``data_range`` becomes 1 (white); what is beyond is clipped, as on a screen. All three
            channels are the same.
        data_range : float
            The value that is white, > 0.

        Returns
        -------
        float
            0 for equal images.

        Raises
        ------
        ImageError
            The shapes differ, a value isn't finite, or there is no range.
        InputError
            The images are too small.
        """
        given, wanted = pair(image, truth)
        if given.ndim != 2 or min(given.shape) < LEAST_PX:
            raise InputError(
                "image", f"it has {given.shape} pixels", f"a plane of at least {LEAST_PX} each way"
            )
        reach = check_range(data_range)
        like = self.scale
        tensors = [
            torch.as_tensor(2 * (pixels / reach).clip(0, 1) - 1).to(like).expand(1, 3, -1, -1)
            for pixels in (given, wanted)
        ]
        return float(self(*tensors))


def open_lpips(
    weights_path: str | Path, *, heads_path: str | Path | None = None, backbone: Backbone = "alex"
) -> Lpips:
    """Make the distance from weights on this disk.

    Parameters
    ----------
    weights_path : str or Path
        State dict of torchvision's AlexNet or VGG-16; only tensors are read, no code.
    heads_path : str or Path, optional
        State dict of the linear heads, version 0.1; left out, those of torchmetrics are taken.
    backbone : {"alex", "vgg"}
        Which network it is.

    Returns
    -------
    Lpips
        Ready to be used.

    Raises
    ------
    InputError
        A file is missing or holds something else, or there are no heads.
    """
    network = Lpips(backbone, f"LPIPS ({'AlexNet' if backbone == 'alex' else 'VGG-16'})")
    loaded = _load(Path(weights_path))
    for one, convolution in zip(network._layers, network.convolutions, strict=True):
        for part in ("weight", "bias"):
            name = f"features.{one.place}.{part}"
            _copy(loaded, (name,), getattr(convolution, part), Path(weights_path))
    place = Path(heads_path) if heads_path else _bundled_heads(backbone)
    loaded = _load(place)
    for number, head in enumerate(network.heads):
        _copy(loaded, (f"lin{number}.model.1.weight", f"lin{number}.model.0.weight"), head, place)
    return network.eval()


def untrained_lpips(*, backbone: Backbone = "alex", seed: int = 0) -> Lpips:
    """Make the untrained baseline: random filters (He et al. 2015), equal heads.

    Parameters
    ----------
    backbone : {"alex", "vgg"}
        Whose layers.
    seed : int
        Seed of the filters; another one is another figure.

    Returns
    -------
    Lpips
        Ready to be used.
    """
    network = Lpips(backbone, UNTRAINED)
    generator = torch.Generator().manual_seed(seed)
    for convolution in network.convolutions:
        assert isinstance(convolution, nn.Conv2d)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu", generator=generator)
        assert convolution.bias is not None
        nn.init.zeros_(convolution.bias)
    return network.eval()


def _bundled_heads(backbone: Backbone) -> Path:
    """Find the heads that torchmetrics brings along."""
    found = find_spec("torchmetrics")
    if found is not None and found.origin:
        place = Path(found.origin).parent / "functional" / "image" / "lpips_models"
        if (place / f"{backbone}.pth").is_file():
            return place / f"{backbone}.pth"
    raise InputError(
        "linear heads of LPIPS",
        "none are given, and torchmetrics is not installed",
        f"the file {backbone}.pth of the packages lpips or torchmetrics",
        "pip install 'zoobridge[train]' brings torchmetrics.",
    )


def _load(path: Path) -> dict[str, Any]:
    expected = "a state dict of torchvision's AlexNet or VGG-16, or of the heads of LPIPS"
    if not path.is_file():
        raise InputError(str(path), "there is no such file", expected, "Check the path.")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        found = "it can't be read as tensors alone"
        raise InputError(str(path), found, expected, "Download it again.") from error
    if not isinstance(loaded, dict):
        raise InputError(str(path), f"it holds a {type(loaded).__name__}", expected)
    return loaded


def _copy(loaded: dict[str, Any], names: tuple[str, ...], into: Tensor, path: Path) -> None:
    """Copy the first tensor of these names, which must have the right shape."""
    found = next((loaded[name] for name in names if name in loaded), None)
    if not isinstance(found, Tensor) or found.shape != into.shape:
        was = tuple(found.shape) if isinstance(found, Tensor) else "missing"
        raise InputError(
            str(path),
            f"'{names[0]}' is {was}",
            f"a tensor of {tuple(into.shape)}",
            "Give the backbone that the file is of: alex or vgg.",
        )
    into.copy_(found)
