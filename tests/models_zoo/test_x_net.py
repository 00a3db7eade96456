"""X-Net against the published layer list: counts, branches, sizes, reach, other formats."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from models_zoo.x_net.architecture import Norm, XNet
from models_zoo.x_net.discriminator import XDiscriminator


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def alive(network: nn.Module) -> nn.Module:
    """Draw shifts and biases too, so that no wrong one goes unnoticed as 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in network.parameters():
            value += 0.05 * torch.randn(value.shape, generator=generator)
    return network.eval()


# kanshichao/X-Microscopy: X-Net with gate maps per channel and a gate on the image as well.
@pytest.mark.parametrize(("width", "n"), [(32, 42_703_351), (8, 2_681_527), (4, 674_903)])
def test_it_has_the_published_number_of_weights(width, n):
    with torch.device("meta"):
        network = XNet(width=width)
    assert count(network) == n


def test_it_has_the_published_number_of_norms():
    with torch.device("meta"):
        network = XNet()
    assert sum(isinstance(m, Norm) for m in network.modules()) == 84


def test_its_discriminator_has_the_published_number_of_weights():
    with torch.device("meta"):
        assert count(XDiscriminator()) == 412_801


@pytest.mark.parametrize("shape", [(250, 301), (1, 1), (3, 64)])
def test_any_size_comes_out_as_it_went_in(shape):
    network = XNet(width=2).eval()
    with torch.no_grad():
        outputs = network(torch.rand(1, 3, *shape), torch.rand(1, 3, *shape))
    assert [tuple(o.shape) for o in outputs] == [(1, 3, *shape)] * 3
    assert all(torch.isfinite(o).all() for o in outputs)


def test_one_pixel_at_the_bottom_trains():
    network = XNet(width=2).train()
    sum(o.sum() for o in network(*torch.rand(2, 1, 3, 256, 256))).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_all_three_images_depend_on_both_inputs():
    network = alive(XNet(width=4, depth=4))
    inputs = [torch.rand(1, 3, 40, 40, requires_grad=True) for _ in range(2)]
    for output in network(*inputs):
        gradients = torch.autograd.grad(output.square().sum(), inputs, retain_graph=True)
        assert all(float(g.abs().max()) > 0 for g in gradients)


def test_each_branch_adds_to_its_own_input():
    """With the last scale at 0, XM1 is the widefield image, and XM2 the sparse one."""
    network = alive(XNet(width=2, depth=3))
    with torch.no_grad():
        for decoder in (network.decoder_a, network.decoder_b):
            decoder.last_norm.weight.zero_()
            decoder.last_norm.bias.zero_()
        wf, mu_srm = torch.rand(2, 1, 3, 24, 24)
        xm1, xm2, _ = network(wf, mu_srm)
    assert torch.equal(xm1, wf)
    assert torch.equal(xm2, mu_srm)


def test_the_third_image_is_not_black_even_of_a_black_sparse_image():
    """Its last norm has no residual: scale and shift fix its spread, whatever comes in."""
    network = XNet(width=4, depth=4).eval()
    wf = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for mu_srm in (torch.rand(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)):
            xm3 = network(wf, mu_srm)[2]
            assert float(xm3.max()) > 0.1
            assert 0.02 < float(xm3.std()) < 0.1


def test_a_fusion_without_statistics_forces_no_spread_on_the_third_image():
    """The published one does: its third image is equally bright, however bright the others are."""
    wf, mu_srm = torch.rand(2, 1, 3, 64, 64)

    def spreads(fusion_norm: str | None) -> list[float]:
        network = alive(XNet(width=4, depth=4, fusion_norm=fusion_norm))
        with torch.no_grad():
            return [float(network.fusion(f * wf, f * mu_srm).std()) for f in (1.0, 0.1)]

    published, free = spreads(None), spreads("none")
    assert published[1] == pytest.approx(published[0], rel=0.3)
    assert free[1] < 0.6 * free[0]


def test_a_fusion_with_statistics_makes_tiles_inexact():
    assert XNet(width=2, depth=2, norm="none").is_local
    assert not XNet(width=2, depth=2, norm="none", fusion_norm="sample").is_local
    assert not XNet(width=2, depth=2, norm="sample", fusion_norm="none").is_local


def test_dropout_is_off_in_use_unless_asked_for():
    inputs = torch.rand(2, 1, 3, 32, 32)
    for at_inference in (False, True):
        network = alive(XNet(width=2, depth=3, dropout_at_inference=at_inference))
        with torch.no_grad():
            first, second = (network(*inputs)[2] for _ in range(2))
        assert torch.equal(first, second) is not at_inference


def test_images_of_a_batch_do_not_mix():
    network = alive(XNet(width=2, depth=4))
    wf, mu_srm = torch.rand(2, 3, 3, 40, 40)
    wf[1] *= 100
    with torch.no_grad():
        together = network(wf, mu_srm)
        for n in range(3):
            alone = network(wf[n : n + 1], mu_srm[n : n + 1])
            for one, all_of_them in zip(alone, together, strict=True):
                torch.testing.assert_close(all_of_them[n], one[0])


@pytest.mark.parametrize("norm", ["pixel", "none"])
@pytest.mark.parametrize("depth", [2, 4])
def test_the_reach_without_a_sample_norm_is_what_it_says(norm, depth):
    """The gradient of a row of the output is 0 farther away than ``reach_px``, and isn't there."""
    network = alive(XNet(width=2, depth=depth, norm=norm)).double()
    for part in (network.decoder_a, network.decoder_b, network.fusion):
        part.positive = nn.Identity()
    far = []
    for row in range(64, 64 + network.stride):
        inputs = torch.rand(2, 1, 3, 144, 16, dtype=torch.float64).requires_grad_()
        (gradient,) = torch.autograd.grad(network(*inputs)[2][:, :, row].sum(), inputs)
        rows = gradient.abs().sum((0, 1, 2, 4)).nonzero().flatten()
        far.append(max(row - int(rows.min()), int(rows.max()) - row))
    assert max(far) == network.reach_px
    assert network.reach_px == {2: 16, 4: 52}[depth]


@pytest.mark.parametrize("norm", ["pixel", "none"])
def test_tiles_with_its_reach_around_them_are_the_whole_image(norm):
    network = alive(XNet(width=2, depth=3, norm=norm)).double()
    inputs = torch.rand(2, 1, 3, 144, 150, dtype=torch.float64)
    step, around = 64, 32  # multiples of the stride of 8; the reach is 28
    with torch.no_grad():
        whole = torch.stack(network(*inputs))
        tiled = torch.full_like(whole, torch.nan)
        for y in range(0, 144, step):
            for x in range(0, 150, step):
                top, left = max(y - around, 0), max(x - around, 0)
                cut = inputs[..., top : y + step + around, left : x + step + around]
                tile = torch.stack(network(*cut))
                part = tile[..., y - top : y - top + step, x - left : x - left + step]
                tiled[..., y : y + step, x : x + step] = part
    assert float((tiled - whole).abs().max()) < 1e-12


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
@pytest.mark.parametrize("norm", ["sample", "pixel", "none"])
def test_torchscript_gives_the_same_at_two_sizes(norm):
    network = alive(XNet(width=2, depth=4, norm=norm))
    scripted = torch.jit.script(copy.deepcopy(network))
    for shape in ((64, 96), (51, 34)):
        inputs = torch.rand(2, 2, 3, *shape)
        with torch.no_grad():
            for found, expected in zip(scripted(*inputs), network(*inputs), strict=True):
                torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_onnx_gives_the_same_at_sizes_that_do_not_divide(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    network = alive(XNet(width=2, depth=3))
    path = tmp_path / "network.onnx"
    free = {0: "batch", 2: torch.export.Dim("y", min=2), 3: torch.export.Dim("x", min=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.rand(2, 2, 3, 50, 61)),
            str(path),
            dynamo=True,
            opset_version=18,
            dynamic_shapes=[free, free],
            external_data=False,
            verbose=False,
        )
    session = ort.InferenceSession(path)
    names = [i.name for i in session.get_inputs()]
    for shape in ((64, 96), (33, 47)):
        inputs = torch.rand(2, 3, 3, *shape)
        with torch.no_grad():
            expected = network(*inputs)
        feed = dict(zip(names, inputs.numpy(), strict=True))
        for found, wanted in zip(session.run(None, feed), expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=5e-4)  # rounding
