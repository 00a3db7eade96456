"""The U-Net that the benchmarks run: base 32, four poolings, batch norm, random weights.

This file is also the package's architecture file, so it imports torch alone at its top.
"""

import torch
from torch import nn


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm and ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(x)))


class UNet(nn.Module):
    """Same-size U-Net; heights and widths are multiples of 2 ** depth."""

    def __init__(self, base: int = 32, depth: int = 4) -> None:
        super().__init__()
        widths = [base * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            Block(n_in, n_out) for n_in, n_out in zip([1, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(Block(3 * n, n) for n in reversed(widths[:-1]))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(base, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (b, 1, y, x)
        skips = []
        for block in self.down[:-1]:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.down[-1](x)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        return self.head(x)  # (b, 1, y, x)
