"""The centriole network: linear enlarging to start with, any scale, finite reach."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models_zoo.centriole_unet.architecture import CentrioleUnet
from tests.models_zoo.restorers import awake, count, reach_px, written_differences


@pytest.fixture(autouse=True)
def fixed_chance():
    torch.manual_seed(0)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_it_starts_with_the_image_enlarged_linearly(scale):
    image = torch.rand(2, 1, 8, 16)
    enlarged = image
    if scale > 1:
        enlarged = nn.functional.interpolate(image, scale_factor=scale, mode="bilinear")
    torch.testing.assert_close(CentrioleUnet(scale=scale, width=8)(image), enlarged)


def test_its_count_is_the_sum_over_its_layers():
    def convolution(a: int, b: int, kernel: int = 3) -> int:
        return a * b * kernel**2 + b

    by_hand = convolution(1, 8) + convolution(8, 32) + convolution(8, 1)
    for n in (8, 16):
        by_hand += 2 * convolution(n, n) + convolution(n, 2 * n)  # down
        by_hand += convolution(2 * n, 4 * n, 1)  # doubling
        by_hand += convolution(2 * n, n) + convolution(n, n) + convolution(2 * n, n, 1)  # up
    by_hand += 2 * convolution(32, 32)
    assert count(CentrioleUnet(width=8, depth=2)) == by_hand


def test_its_reach_is_finite():
    network = awake(CentrioleUnet(scale=1, width=8, depth=2))
    assert 16 <= reach_px(network, edge_px=128) <= 40


def test_tiles_on_the_stride_give_the_image_s_own_values():
    network = awake(CentrioleUnet(scale=2, width=8, depth=2))
    image = torch.rand(1, 1, 96, 96)
    with torch.no_grad():
        whole, tile = network(image), network(image[..., 8:])
    torch.testing.assert_close(tile[..., 80:], whole[..., 96:], atol=1e-6, rtol=1e-5)


def test_written_formats_agree_at_other_sizes(tmp_path):
    network = awake(CentrioleUnet(width=8, depth=2))
    inputs = [[torch.rand(1, 1, 16, 24)], [torch.rand(3, 1, 20, 12)]]
    assert max(written_differences(network, tmp_path, inputs)) < 1e-5
