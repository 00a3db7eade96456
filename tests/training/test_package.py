"""A trained package: tested by bioimageio, run by the package's own runtime, and telling."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import xarray as xr
from PIL import Image

from bridge.errors import NetworkError, OutputError
from bridge.runtime.predict import Settings, predict_arrays
from bridge.training import heatmap_figures as figures_module
from bridge.training import package as package_module
from bridge.training.fit import reopen, train
from bridge.training.heatmap_figures import predict_frames
from bridge.training.package import Packaged, make_package
from bridge.training.tasks.heatmap import HeatmapTask
from bridge.zoo.package import open_package

# bioimageio leaves files open, and warnings are errors here
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, small_recipe):
    recipe = small_recipe(
        fit__steps=30, fit__steps_per_epoch=15, fit__learning_rate=2e-2, fit__batch=4
    )
    return train(recipe, tmp_path_factory.mktemp("training") / "run")


@pytest.fixture(scope="module")
def packaged(run) -> Packaged:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOBRIDGE_HOME", str(run.run_dir.parent / "home"))
        patch.setattr(figures_module, "_N_EMPTY", 10)
        return make_package(run, run.run_dir / "package")


def predict(packaged: Packaged, frames: np.ndarray, tile: int) -> np.ndarray:
    package = open_package(packaged.folder)
    image = xr.DataArray(frames, dims=("t", "y", "x"))
    settings = Settings(tile=tile, engine="onnxruntime", device="cpu")
    images, _ = predict_arrays(package, {"frames": image}, settings)
    return np.asarray(next(iter(images.values())))


@pytest.mark.slow
def test_bioimageio_s_own_test_passes_for_every_format(packaged):
    # In a process of its own: bioimageio leaves files open, and warnings are errors here.
    code = (
        "import sys; from bioimageio.core import test_description as t\n"
        "for f in ('pytorch_state_dict', 'torchscript', 'onnx'):\n"
        "    assert t(sys.argv[1], weight_format=f).status == 'passed', f\n"
    )
    command = [sys.executable, "-c", code, str(packaged.folder / "rdf.yaml")]
    subprocess.run(command, check=True, timeout=300)


@pytest.mark.slow
def test_raw_frames_in_emitters_out_tiled_as_whole(packaged, run, monkeypatch, tmp_path):
    monkeypatch.setenv("ZOOBRIDGE_HOME", str(tmp_path))
    frames = np.random.default_rng(1).poisson(120, (2, 150, 131)).astype(np.uint16)
    whole, tiled = predict(packaged, frames, 160), predict(packaged, frames, 80)
    assert whole.shape[-2:] == (1200, 1048)
    assert abs(whole - tiled).max() < 1e-4 * max(whole.std(), 1e-6)
    task = reopen(run.run_dir).task
    assert isinstance(task, HeatmapTask)
    expected = predict_frames(task, frames[:, :128, :128])
    inner = whole.reshape(2, 1200, 1048)[:, :800, :800]
    np.testing.assert_allclose(inner, expected[:, :800, :800], atol=1e-3 * expected.max())


@pytest.mark.slow
def test_it_says_what_it_is(packaged):
    description = open_package(packaged.folder).description
    config = json.loads(description.config.model_dump_json())["zoobridge"]
    assert config["measured"] == packaged.figures.flat()
    assert config["training"]["steps_done"] == 30
    assert config["upscaling"] == 8
    card = (packaged.folder / "README.md").read_text()
    assert "\n# Validation\n" in card
    assert "filaments, 6 per um2" in card
    with Image.open(packaged.folder / "cover.png") as cover:
        assert cover.width / cover.height == pytest.approx(2, rel=0.15)
    assert (packaged.folder / "cover.png").stat().st_size <= 500_000


@pytest.mark.slow
def test_no_file_names_a_place_on_this_machine(packaged, run):
    for path in packaged.folder.iterdir():
        content = path.read_bytes()
        for place in (str(run.run_dir), str(Path.home()), str(Path.cwd()), sys.prefix):
            if len(place) > 3:
                assert place.encode() not in content, (path.name, place)
    graph = onnx.load(packaged.folder / "weights.onnx")
    assert not any(node.doc_string or node.metadata_props for node in graph.graph.node)
    assert graph.opset_import[0].version <= 18


@pytest.mark.slow
def test_what_is_there_is_kept_unless_it_is_a_package_to_replace(packaged, run, tmp_path):
    with pytest.raises(OutputError, match="is there already"):
        make_package(run, packaged.folder)
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match="is there already"):
        make_package(run, tmp_path, overwrite=True)


@pytest.mark.slow
def test_a_packaging_that_fails_leaves_nothing(packaged, run, tmp_path, monkeypatch):
    monkeypatch.setattr(figures_module, "_N_EMPTY", 4)
    monkeypatch.setattr(package_module, "_LIMIT", -1.0)  # no format agrees that well
    with pytest.raises(NetworkError, match="weights differ"):
        make_package(run, tmp_path / "package")
    assert list(tmp_path.iterdir()) == []
