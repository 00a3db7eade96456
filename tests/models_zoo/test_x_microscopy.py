"""The chain of UR-Net-8 and X-Net as one network, against both run one after the other."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import models_zoo
from models_zoo.ur_net_8.architecture import UrNet8
from models_zoo.x_microscopy.architecture import XMicroscopy
from models_zoo.x_net.architecture import XNet


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def pieces(name: str) -> dict[str, str]:
    """Give classes, functions and constants of an architecture file by their names, as written."""
    text = (Path(models_zoo.__file__).parent / name / "architecture.py").read_text("utf-8")
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found[node.name] = ast.get_source_segment(text, node)
        elif isinstance(node, ast.Assign):
            found[ast.unparse(node.targets[0])] = ast.unparse(node)
    return found


def test_the_three_files_agree_word_for_word():
    ur, x, chain = pieces("ur_net_8"), pieces("x_net"), pieces("x_microscopy")
    assert ur.keys() & x.keys() == {"MULTIPLES", "Norm", "Dropout", "Down", "_cut", "_start"}
    assert chain == ur | x | {"XMicroscopy": chain["XMicroscopy"]}
    assert all(x[name] == ur[name] for name in ur.keys() & x.keys())


def test_it_has_the_weights_of_both():
    with torch.device("meta"):
        network = XMicroscopy()
    assert sum(p.numel() for p in network.parameters()) == 81_586_138 + 42_703_351


def test_it_is_both_networks_one_after_the_other():
    ur = UrNet8(width=4, depth=4, last_gamma=1.0).eval()
    x = XNet(width=4, depth=3).eval()
    chain = XMicroscopy(ur_width=4, x_width=4, ur_depth=4, x_depth=3).eval()
    weights = {f"ur_net_8.{k}": v for k, v in ur.state_dict().items()}
    chain.load_state_dict(weights | {f"x_net.{k}": v for k, v in x.state_dict().items()})
    wf = torch.rand(2, 1, 45, 38)
    with torch.no_grad():
        thrice = torch.cat([wf, wf, wf], dim=1)
        mu_srm = ur(thrice)
        assert float(mu_srm.max()) > 1  # so that the cut to 0 .. 1 is seen
        mu_srm = mu_srm.clamp(0, 1)
        expected = [image.mean(1, keepdim=True) for image in (mu_srm, *x(thrice, mu_srm))]
        for found, wanted in zip(chain(wf), expected, strict=True):
            assert found.shape == (2, 1, 45, 38)
            torch.testing.assert_close(found, wanted)


@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_torchscript_gives_the_same_at_two_sizes():
    network = XMicroscopy(ur_width=2, x_width=2, ur_depth=3, x_depth=3).eval()
    scripted = torch.jit.script(network)
    for shape in ((64, 48), (51, 34)):
        wf = torch.rand(2, 1, *shape)
        with torch.no_grad():
            for found, expected in zip(scripted(wf), network(wf), strict=True):
                torch.testing.assert_close(found, expected)


def test_tiles_with_its_reach_around_them_are_the_whole_image():
    network = XMicroscopy(ur_width=2, x_width=2, ur_depth=2, x_depth=2, norm="pixel")
    network = network.double().eval()
    wf = torch.rand(1, 1, 96, 40, dtype=torch.float64)
    assert network.reach_px == 15 + 16
    with torch.no_grad():
        whole = torch.stack(network(wf))
        tile = torch.stack(network(wf[:, :, 12:84]))  # rows 44 .. 52, 32 pixels on either side
    assert float((tile[..., 32:40, :] - whole[..., 44:52, :]).abs().max()) < 1e-12


@pytest.mark.slow
def test_onnx_gives_the_same_at_sizes_that_do_not_divide(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    network = XMicroscopy(ur_width=2, x_width=2, ur_depth=3, x_depth=3).eval()
    path = tmp_path / "network.onnx"
    free = {0: "batch", 2: torch.export.Dim("y", min=2), 3: torch.export.Dim("x", min=2)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.rand(2, 1, 50, 61),),
            str(path),
            dynamo=True,
            opset_version=18,
            dynamic_shapes=[free],
            external_data=False,
            verbose=False,
        )
    session = ort.InferenceSession(path)
    for shape in ((64, 96), (33, 47)):
        wf = torch.rand(3, 1, *shape)
        with torch.no_grad():
            expected = network(wf)
        outputs = session.run(None, {session.get_inputs()[0].name: wf.numpy()})
        for found, wanted in zip(outputs, expected, strict=True):
            np.testing.assert_allclose(found, wanted.numpy(), atol=5e-4)  # rounding
