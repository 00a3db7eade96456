"""SRGAN: generator and discriminators as published, and what scale 1 adds."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from models_zoo.srgan.architecture import Srgan
from models_zoo.srgan.discriminator import PatchDiscriminator, SrganDiscriminator
from tests.models_zoo.restorers import awake, count, reach_px, written_differences


@pytest.fixture(autouse=True)
def fixed_chance():
    torch.manual_seed(0)


def test_the_generator_has_the_weights_of_the_paper_s_layers():
    """The sum over figure 4 of the paper, worked out by hand (k: kernel, n: channels)."""
    first = 9 * 9 * 3 * 64 + 64 + 1
    convolution = 3 * 3 * 64 * 64 + 64
    block = 2 * convolution + 2 * (64 + 64) + 1
    doubling = 3 * 3 * 64 * 256 + 256 + 1
    last = 9 * 9 * 64 * 3 + 3
    by_hand = first + 16 * block + convolution + 128 + 2 * doubling + last
    assert by_hand == 1_549_462
    assert count(Srgan(scale=4, channels=3, outputs=3)) == by_hand


def test_without_norms_only_their_weights_go():
    with_norms = count(Srgan(scale=2, width=16, blocks=3))
    assert with_norms - count(Srgan(scale=2, width=16, blocks=3, norm="none")) == 7 * 32


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_target_has_scale_times_the_pixels(scale):
    network = Srgan(scale=scale, width=8, blocks=1)
    assert network(torch.rand(2, 1, 9, 14)).shape == (2, 1, 9 * scale, 14 * scale)


def test_at_scale_1_it_starts_with_the_image_itself():
    image = torch.rand(2, 1, 9, 14)
    assert torch.equal(Srgan(width=8, blocks=1)(image), image)


def test_it_sees_as_far_as_its_convolutions():
    assert reach_px(awake(Srgan(width=8, blocks=2)), edge_px=41) == 2 * 2 + 9


@pytest.mark.parametrize(("scale", "norm"), [(1, "batch"), (2, "none")])
def test_written_formats_agree_at_other_sizes(tmp_path, scale, norm):
    network = awake(Srgan(scale=scale, width=8, blocks=1, norm=norm))
    inputs = [[torch.rand(1, 1, 12, 16)], [torch.rand(3, 1, 15, 9)]]
    assert max(written_differences(network, tmp_path, inputs)) < 1e-5


def test_the_discriminator_has_the_weights_of_the_paper_s_layers():
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = sum(9 * a * b + b for a, b in pairwise(widths))
    norms = sum(2 * n for n in widths[2:])
    dense = 6 * 6 * 512 * 1024 + 1024 + 1024 + 1
    with torch.device("meta"):  # counted without memory
        network = SrganDiscriminator(channels=3, edge_px=96)
    assert count(network) == convolutions + norms + dense
    assert convolutions + norms + dense == 23_565_505


def test_the_discriminator_gives_one_number_an_image():
    assert SrganDiscriminator(edge_px=32)(torch.rand(3, 1, 32, 32)).shape == (3, 1)


def test_patches_are_judged_on_26_pixels():
    network = PatchDiscriminator(channels=1, width=8).eval()
    images = torch.rand(1, 1, 64, 64, requires_grad=True)
    verdicts = network(images)
    assert verdicts.shape == (1, 1, 16, 16)
    verdicts[0, 0, 8, 8].backward()
    seen = torch.nonzero(images.grad[0, 0].abs().sum(dim=0)).flatten()
    assert int(seen.max() - seen.min()) + 1 == 26


def test_the_spectral_norm_holds_each_layer_s_gain_at_1():
    """The largest singular value of each kernel, as a matrix, by numpy's decomposition."""
    network = PatchDiscriminator(width=8)
    with torch.no_grad():
        for weights in network.parameters():
            weights.mul_(7.0)  # as if it had grown
        for _ in range(60):  # each call is one step of the power iteration
            network(torch.rand(1, 2, 16, 16))
    kernels = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    for kernel in kernels:
        gain = torch.linalg.matrix_norm(kernel.detach().flatten(1), ord=2)
        assert gain == pytest.approx(1.0, abs=0.02)
