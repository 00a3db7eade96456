"""EDSR: layers as published, and what scale 1 adds."""

from __future__ import annotations

import pytest
import torch

from models_zoo.edsr.architecture import Edsr
from tests.models_zoo.restorers import awake, count, reach_px, written_differences


@pytest.fixture(autouse=True)
def fixed_chance():
    torch.manual_seed(0)


def test_counts_are_those_of_the_paper_s_networks():
    """Its table 1 says 1.5 M and 43 M, both for x4; the x2 figure is that of BasicSR's code."""
    colour = {"channels": 3, "outputs": 3}
    with torch.device("meta"):  # counted without memory
        assert count(Edsr(scale=2, **colour)) == 1_369_859
        assert count(Edsr(scale=4, **colour)) == 1_517_571
        large = Edsr(scale=4, width=256, blocks=32, residual_scale=0.1, **colour)
    assert count(large) == 43_089_923


def test_the_small_one_has_the_weights_it_was_measured_with():
    assert count(Edsr(width=32, blocks=8)) == 157_825


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_the_target_has_scale_times_the_pixels(scale):
    network = Edsr(scale=scale, width=8, blocks=1)
    assert network(torch.rand(2, 1, 9, 14)).shape == (2, 1, 9 * scale, 14 * scale)


def test_at_scale_1_it_starts_with_the_image_itself():
    image = torch.rand(2, 1, 9, 14)
    assert torch.equal(Edsr(width=8, blocks=1)(image), image)
    three = torch.rand(2, 3, 9, 14)
    mean = three.mean(dim=1, keepdim=True)
    assert torch.equal(Edsr(width=8, blocks=1, channels=3)(three), mean)


def test_blocks_add_what_the_residual_scale_says():
    network = awake(Edsr(width=8, blocks=1, residual_scale=0.0))
    block = network.blocks[0]
    features = torch.rand(1, 8, 6, 6)
    assert torch.equal(block(features), features)
    block.residual_scale = 0.5
    half = block(features) - features
    block.residual_scale = 1.0
    torch.testing.assert_close(block(features) - features, 2 * half)


def test_it_sees_as_far_as_its_convolutions():
    assert reach_px(awake(Edsr(width=8, blocks=3)), edge_px=33) == 2 * 3 + 3


def test_a_doubled_input_and_target_is_no_stretching():
    """Without norms or biases the network is homogeneous: twice the light gives twice the image."""
    network = awake(Edsr(width=8, blocks=2))
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if name.endswith("bias"):
                weights.zero_()
    image = torch.rand(1, 1, 12, 12)
    torch.testing.assert_close(network(2 * image), 2 * network(image))


@pytest.mark.parametrize("scale", [1, 2])
def test_written_formats_agree_at_other_sizes(tmp_path, scale):
    network = awake(Edsr(scale=scale, width=8, blocks=1))
    inputs = [[torch.rand(1, 1, 12, 16)], [torch.rand(3, 1, 15, 9)]]
    assert max(written_differences(network, tmp_path, inputs)) < 1e-5
