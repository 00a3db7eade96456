"""Tiny networks with every geometry that packages have; the file travels in the test packages."""

import itertools
import os
import signal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class Plain(nn.Module):
    """Convolutions that keep the size; sees `depth` pixels far."""

    def __init__(self, n_in: int = 1, n_out: int = 1, depth: int = 2, n_dims: int = 2):
        super().__init__()
        conv = (nn.Conv2d, nn.Conv3d)[n_dims - 2]
        width = [n_in, *[3] * (depth - 1), n_out]
        self.layers = nn.ModuleList(conv(a, b, 3, padding=1) for a, b in itertools.pairwise(width))

    def forward(self, x):
        for number, layer in enumerate(self.layers):
            x = layer(x if number == 0 else torch.tanh(x))
        return x


class Upscale(nn.Module):
    """A pixel shuffle between two convolutions."""

    def __init__(self, scale: int = 2, n_out: int = 1):
        super().__init__()
        self.first = nn.Conv2d(1, 2 * scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(scale)
        self.last = nn.Conv2d(2, n_out, 3, padding=1)

    def forward(self, x):
        return self.last(torch.tanh(self.shuffle(self.first(x))))


class UpscaleInX(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.last = nn.ConvTranspose2d(2, 1, (1, 2), stride=(1, 2))

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


class Downscale(nn.Module):
    def __init__(self, factor: int = 2):
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.last = nn.Conv2d(3, 1, factor, stride=factor)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


class Valid(nn.Module):
    """Convolutions without padding: loses `depth` pixels on every side, then may be upscaled."""

    def __init__(self, depth: int = 2, scale: int = 1):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(1 if i == 0 else 2, 2, 3) for i in range(depth))
        self.last = nn.ConvTranspose2d(2, 1, scale, stride=scale)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.last(x)


class Growing(nn.Module):
    """A transposed convolution without padding: the output is 4 pixels larger."""

    def __init__(self):
        super().__init__()
        self.conv = nn.ConvTranspose2d(1, 1, 5)

    def forward(self, x):
        return torch.tanh(self.conv(x))


class TwoOfOneSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 2, 3, padding=1)
        self.b = nn.Conv2d(3, 2, 5, padding=2)

    def forward(self, a, b):
        x = torch.tanh(self.a(torch.cat([a, b], 1)))
        y = self.b(torch.cat([x, b], 1))
        return y[:, :1], y[:, 1:] + x[:, :1]


class TwoSizes(nn.Module):
    """Widefield of n pixels and a second image of 2n: output of 2n, and of n if asked for."""

    def __init__(self, has_small_output: bool = False):
        super().__init__()
        self.wide = nn.Conv2d(1, 2, 3, padding=1)
        self.fine = nn.Conv2d(1, 2, 5, padding=2)
        self.up = nn.ConvTranspose2d(2, 2, 2, stride=2)
        self.last = nn.Conv2d(2, 1, 3, padding=1)
        self.down = nn.Conv2d(2, 1, 2, stride=2)
        self.has_small_output = has_small_output

    def forward(self, wide, fine):
        x = torch.tanh(self.up(torch.tanh(self.wide(wide))) + self.fine(fine))
        large = self.last(x)
        if self.has_small_output:
            return large, self.down(x)
        return large


class UNet(nn.Module):
    """Poolings, batch norms with statistics of their own, skips; the grid is 2**levels wide."""

    def __init__(self, levels: int = 3, width: int = 3):
        super().__init__()
        self.levels = levels
        self.encoders = nn.ModuleList(
            self._block(1 if i == 0 else width, width) for i in range(levels + 1)
        )
        self.ups = nn.ModuleList(nn.ConvTranspose2d(width, width, 2, 2) for _ in range(levels))
        self.decoders = nn.ModuleList(self._block(2 * width, width) for _ in range(levels))
        self.last = nn.Conv2d(width, 1, 1)

    @staticmethod
    def _block(n_in: int, n_out: int):
        return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU())

    def forward(self, x):
        skips = []
        for number, encoder in enumerate(self.encoders):
            x = encoder(x if number == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        x = skips.pop()
        for up, decoder in zip(self.ups, self.decoders):  # noqa: B905 - TorchScript
            x = decoder(torch.cat([up(x), skips.pop()], 1))
        return self.last(x)


class SelfPadding(nn.Module):
    """A U-Net that takes any size: it pads to its grid of 8 itself, and crops."""

    def __init__(self, on_both_sides: bool = False):
        super().__init__()
        self.inner = UNet()
        self.on_both_sides = on_both_sides

    def forward(self, x):
        height, width = x.shape[-2], x.shape[-1]
        more_y, more_x = (8 - height % 8) % 8, (8 - width % 8) % 8
        top = more_y // 2 if self.on_both_sides else 0
        left = more_x // 2 if self.on_both_sides else 0
        x = F.pad(x, [left, more_x - left, top, more_y - top], mode="replicate")
        return self.inner(x)[:, :, top : top + height, left : left + width]


class InstanceNormed(nn.Module):
    """Normalised by the statistics of all it is given."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.InstanceNorm2d(3, affine=True)
        self.last = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, x):
        return self.last(torch.relu(self.norm(self.first(x))))


class GlobalMean(nn.Module):
    """Squeeze and excitation: every pixel feels the mean of all."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.gate = nn.Conv2d(3, 3, 1)
        self.last = nn.Conv2d(3, 1, 1)

    def forward(self, x):
        x = torch.tanh(self.conv(x))
        return self.last(x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True))))


class OnlyOneSize(nn.Module):
    """Refuses every size but one, unless `size` is 0."""

    def __init__(self, size: int = 32, is_global: bool = False):
        super().__init__()
        self.size = size
        self.inner = GlobalMean() if is_global else Plain()

    def forward(self, x):
        if self.size and (x.shape[-1] != self.size or x.shape[-2] != self.size):
            raise ValueError(f"only {self.size} pixels")
        return self.inner(x)


class WithoutChannelOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Plain()

    def forward(self, x):
        return self.inner(x)[:, 0]


class WithoutChannelIn(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Plain()

    def forward(self, x):
        return self.inner(x.unsqueeze(1))


class ChannelsLast(nn.Module):
    def __init__(self, n_in: int = 2, n_out: int = 2, n_dims: int = 2):
        super().__init__()
        self.inner = Plain(n_in, n_out, 2, n_dims)

    def forward(self, x):
        if x.dim() == 4:
            return self.inner(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.inner(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)


class TimeBeforeChannel(nn.Module):
    """A movie as b t c y x, convolved in time too."""

    def __init__(self):
        super().__init__()
        self.inner = Plain(2, 1, 2, 3)

    def forward(self, x):
        return self.inner(x.transpose(1, 2)).transpose(1, 2)


class Offset(nn.Module):
    """Adds a number, so that a softmax or a threshold has something to decide."""

    def __init__(self, n_out: int = 1, gain: float = 1.0, offset: float = 0.0):
        super().__init__()
        self.inner = Plain(1, n_out)
        self.gain = gain
        self.offset = offset

    def forward(self, x):
        return self.inner(x) * self.gain + self.offset


class Faulty(nn.Module):
    """Gives something else than its description says: `kind` names what."""

    def __init__(self, kind: str = "size"):
        super().__init__()
        self.inner = Plain()
        self.kind = kind

    def forward(self, x):
        y = self.inner(x)
        if self.kind == "size":
            return y[..., 1:]
        if self.kind == "number":
            return y, y
        if self.kind == "channels":
            return torch.cat([y, y], 1)
        if self.kind == "nan":
            return y * float("nan")
        if self.kind == "nan in part":
            return torch.where(x > 0, y, y * float("nan"))
        if self.kind == "black":
            return y * 0
        if self.kind == "constant":
            return y * 0 + 7
        if self.kind == "saturated":
            return torch.clamp(y * 1e6 + 1e9, 0, 255) - torch.relu(x - 2.9)
        raise RuntimeError("the network gives up on purpose")


class Counting(nn.Module):
    """Writes one byte to a file per forward pass; in one piece, for torch.fx must not unroll it."""

    def __init__(self, log: str):
        super().__init__()
        self.inner = Plain()
        self.log = log

    def forward(self, x):
        if bool(torch.isnan(x).any()):
            raise ValueError("NaN")
        with open(self.log, "ab") as file:  # noqa: PTH123
            file.write(b"." * x.shape[0])
        return self.inner(x)


class Deadly(nn.Module):
    """Kills the process that runs it, once: at its third forward pass with a large input."""

    def __init__(self, marker: str):
        super().__init__()
        self.inner = Plain()
        self.marker = marker
        self.count = 0

    def forward(self, x):
        if bool(torch.isnan(x).any()):
            raise ValueError("NaN")
        self.count += 1
        if self.count == 3:
            try:
                os.close(os.open(self.marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(x)
