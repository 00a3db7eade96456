"""The job explain: its files, its sentence, its repair; on packages with a planted fault."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import planted_networks as planted
import pytest
import tifffile
import torch
import xarray as xr

from bridge.errors import InputError, OutputError, PackageError, TrustError
from bridge.jobs.explain import Explain
from bridge.progress import silent
from bridge.quality.diagnosis import diagnose
from bridge.quality.diagnosis_gather import gather
from bridge.runtime.predict import Settings, predict_arrays
from bridge.zoo.package import open_package

FIELD = planted.draw_field(1001)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def wf_path(tmp_path: Path) -> Path:
    path = tmp_path / "wf.tif"
    tifffile.imwrite(path, np.rint(255 * FIELD.wf).astype(np.uint8))
    return path


def test_a_good_run_writes_page_report_and_summary(tmp_path, wf_path):
    planted.write(tmp_path / "ur", "ur_net_8")
    out = tmp_path / "out"
    job = Explain(image=str(wf_path), model=str(tmp_path / "ur"), output=str(out), trust=True)
    result = job.run(silent)
    assert result.outputs["is_healthy"] is True
    assert result.error is None
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [row["number"] for row in report["rows"]] == list(range(1, 17))
    assert report["cause_number"] == 0
    assert report["before_relu_max"] > 0
    assert result.summary[0] in (out / "summary.txt").read_text("utf-8")
    page = (out / "page.html").read_text("utf-8")
    assert page.count("data:image/png") == 5  # input, output twice, before the ReLU, blurred
    with pytest.raises(OutputError):
        job.run(silent)
    assert Explain(**{**job.model_dump(), "overwrite": True}).run(silent).outputs["is_healthy"]


def test_a_fault_is_told_in_one_sentence_with_what_to_do(tmp_path):
    path = tmp_path / "dark.npy"
    np.save(path, FIELD.wf)
    planted.write(tmp_path / "ur", "ur_net_8")
    result = Explain(image=str(path), model=str(tmp_path / "ur"), trust=True).run(silent)
    assert (result.outputs["cause_number"], result.outputs["blame"]) == (4, "input")
    assert result.summary[0].startswith("It is the input: input too small.")
    assert "divided by 255 twice" in result.summary[0]
    assert json.dumps(result.outputs, allow_nan=False)


def test_a_second_image_is_asked_for_and_taken(tmp_path, wf_path):
    planted.write(tmp_path / "x", "x_net")
    black = tmp_path / "black.tif"
    tifffile.imwrite(black, np.zeros((64, 64), np.uint8))
    with pytest.raises(InputError, match="wf, mu_srm"):
        Explain(image=str(wf_path), model=str(tmp_path / "x"), trust=True).run(silent)
    job = Explain(image=str(wf_path), model=str(tmp_path / "x"), second=str(black), trust=True)
    assert job.run(silent).outputs["cause_number"] == 12


def test_without_consent_or_other_weights_nothing_is_run(tmp_path, wf_path):
    planted.write(tmp_path / "ur", "ur_net_8")
    with pytest.raises(TrustError, match="your consent"):
        Explain(image=str(wf_path), model=str(tmp_path / "ur")).run(silent)


def test_what_another_program_saved_is_judged(tmp_path, wf_path):
    planted.write(tmp_path / "ur", "ur_net_8")
    saved = tmp_path / "saved.tif"
    tifffile.imwrite(saved, np.zeros((64, 64), np.uint8))
    job = Explain(image=str(wf_path), model=str(tmp_path / "ur"), saved=str(saved), trust=True)
    assert job.run(silent).outputs["cause_number"] == 9


@pytest.mark.parametrize("name", ["ur_net_8"])
def test_a_black_network_of_batch_norms_is_repaired_on_request(tmp_path, wf_path, name):
    """The failed port: its image is wrong; repaired, it is nearly that of the trained network."""
    planted.write(tmp_path / "black", name, planted.decayed(name), prefix="BatchNormed")
    out = tmp_path / "out"
    job = Explain(
        image=str(wf_path),
        model=str(tmp_path / "black"),
        output=str(out),
        repair=True,
        trust=True,
    )
    result = job.run(silent)
    assert result.outputs["cause_number"] == 2
    repaired = open_package(str(result.outputs["repaired"]))
    assert "Repaired by zoobridge" in str(repaired.description.description)
    assert repaired.sha256 != open_package(tmp_path / "black").sha256
    with pytest.raises(TrustError):
        predict_arrays(repaired, {"wf": colours()}, Settings(engine="torch", device="cpu"))
    gathered = gather(repaired, {"wf": xr.DataArray(255 * FIELD.wf, dims=("y", "x"))}, trust=True)
    rows = diagnose(gathered.evidence).rows
    assert rows[1].figures["least_running_variance"] > 1e-8
    likeness = {}
    for label, package in (("black", open_package(tmp_path / "black")), ("repaired", repaired)):
        settings = Settings(engine="torch", device="cpu", trust=True)
        images, _ = predict_arrays(package, {"wf": colours()}, settings)
        made = next(iter(images.values())).values.mean(axis=0)
        likeness[label] = np.corrcoef(made.ravel(), FIELD.full.ravel())[0, 1]
    assert likeness["repaired"] > 0.75
    assert not likeness["black"] > likeness["repaired"] - 0.1


def colours() -> xr.DataArray:
    """Give the image in the three channels that the network was made for."""
    wf = np.rint(255 * FIELD.wf).astype(np.float32)
    return xr.DataArray(np.stack([wf] * 3), dims=("c", "y", "x"))


def test_nothing_is_repaired_that_is_not_decayed(tmp_path, wf_path):
    planted.write(tmp_path / "ur", "ur_net_8")
    values = {"image": str(wf_path), "model": str(tmp_path / "ur"), "repair": True, "trust": True}
    with pytest.raises(PackageError, match="no batch norm"):
        Explain(**values, output=str(tmp_path / "out")).run(silent)
    assert not (tmp_path / "out" / "repaired").exists()
    with pytest.raises(InputError, match="folder"):
        Explain(**values).run(silent)
