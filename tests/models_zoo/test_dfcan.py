"""DFCAN: layers as published, its spectra, and what scale 1 adds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models_zoo.dfcan.architecture import Dfcan
from tests.models_zoo.restorers import awake, count, written_differences


@pytest.fixture(autouse=True)
def fixed_chance():
    torch.manual_seed(0)


def test_it_has_the_weights_of_the_published_layers():
    """The sum over the layers of the paper's figure and of its code's DFCAN16, x2."""
    convolution = 9 * 64 * 64 + 64
    attention = convolution + (64 * 4 + 4) + (4 * 64 + 64)
    block = 2 * convolution + attention
    by_hand = (9 * 64 + 64) + 16 * block + (9 * 64 * 256 + 256) + (9 * 64 + 1)
    assert count(Dfcan(scale=2)) == by_hand == 1_930_753


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_target_has_scale_times_the_pixels(scale):
    network = Dfcan(scale=scale, width=16, groups=1, blocks=1)
    assert network(torch.rand(2, 1, 9, 14)).shape == (2, 1, 9 * scale, 14 * scale)


def test_at_scale_1_it_starts_with_the_image_itself():
    image = torch.rand(2, 1, 9, 14)
    assert torch.equal(Dfcan(width=16, groups=1, blocks=1)(image), image)


def test_a_sigmoid_is_taken_only_where_asked_for():
    torch.manual_seed(1)
    free = awake(Dfcan(scale=2, width=16, groups=1, blocks=1))
    torch.manual_seed(1)
    kept = awake(Dfcan(scale=2, width=16, groups=1, blocks=1, has_sigmoid=True))
    image = torch.rand(1, 1, 8, 8)
    torch.testing.assert_close(kept(image), free(image).sigmoid())


@pytest.mark.parametrize("shape", [(128, 128), (15, 22)])
def test_its_spectra_are_numpy_s(shape):
    """At 128 x 128 pixels the published ones; at other sizes scaled to them."""
    attention = Dfcan(scale=2, width=16, groups=1, blocks=1).groups[0].blocks[0].layers[4]
    seen = []
    attention.look.register_forward_hook(lambda _module, given, _result: seen.append(given[0]))
    features = torch.randn(1, 16, *shape)
    attention(features)
    spectra = np.abs(np.fft.fftshift(np.fft.fft2(features.numpy()), axes=(2, 3)))
    spectra = (spectra * 128 / np.sqrt(shape[0] * shape[1])) ** 0.8
    np.testing.assert_allclose(seen[0].numpy(), spectra, rtol=1e-3, atol=1e-3)


def test_no_overlap_makes_its_tiles_exact():
    """Its documentation warns of it: the far half of the image changes the near one."""
    network = awake(Dfcan(width=32, groups=1, blocks=2))
    near, far = torch.rand(1, 1, 16, 32), torch.rand(1, 1, 16, 32)
    with torch.no_grad():
        dark = network(torch.cat([near, 0 * far], dim=3))
        bright = network(torch.cat([near, 5 * far], dim=3))
    assert (dark - bright)[..., :8].abs().max() > 1e-4


def test_a_constant_image_gives_finite_gradients():
    network = awake(Dfcan(width=16, groups=1, blocks=1))
    network(torch.zeros(1, 1, 8, 8)).sum().backward()
    assert all(torch.isfinite(weights.grad).all() for weights in network.parameters())


def test_written_formats_agree_at_other_sizes(tmp_path):
    network = awake(Dfcan(scale=2, width=16, groups=1, blocks=1))
    inputs = [[torch.rand(1, 1, 12, 16)], [torch.rand(3, 1, 15, 9)]]
    assert max(written_differences(network, tmp_path, inputs)) < 1e-4
