"""The job ``compare`` on small simulated pairs and networks of one convolution."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from bridge.cli import main
from bridge.errors import InputError, OutputError, RecipeError
from bridge.jobs.compare import Compare
from bridge.jobs.compare_page import say_order
from bridge.jobs.train import find_recipe
from bridge.progress import silent
from bridge.quality.image_figures import Ruler
from bridge.quality.ranking import summarise
from bridge.restoration.exposure import PairConditions, draw_clean_pair, expose
from bridge.restoration.pair_folder import PairSettings, new_pairs, open_pairs

Run = Callable[..., tuple[int, dict[str, Any]]]
CONDITIONS = PairConditions(edge_px=96, structures=("filaments", "points"))
PARTS = ("training", "validation", "test", "test", "test")
SAME = np.zeros((3, 3))
SAME[1, 1] = 1
BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder of ten simulated fields of two structures, six of them to be judged."""
    folder = tmp_path_factory.mktemp("compare") / "pairs"
    write_pairs(folder, has_truth=True)
    return folder


def write_pairs(folder: Path, *, has_truth: bool, parts: tuple[str, ...] = PARTS) -> None:
    rng = np.random.default_rng(1)
    generator = torch.Generator().manual_seed(1)
    settings = PairSettings(
        input_pixel_size_nm=40,
        target_pixel_size_nm=40,
        input_fwhm_nm=280 if has_truth else None,
        target_fwhm_nm=110 if has_truth else None,
        source="a simulation",
    )
    with new_pairs(folder, settings) as writer:
        for structure in CONDITIONS.structures:
            for number, part in enumerate(parts):
                clean = draw_clean_pair(CONDITIONS, structure, rng)
                tensors = (torch.tensor(a)[None, None] for a in (clean.input, clean.target))
                noisy = expose(*tensors, CONDITIONS, generator=generator)
                writer.add(
                    f"{structure}_{number}",
                    structure,
                    part,
                    input=noisy[0][0, 0].numpy(),
                    target=noisy[1][0, 0].numpy(),
                    truth=clean.target if has_truth else None,
                )


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Give a function that runs the job: exit code and status."""

    def run(*words: object) -> tuple[int, dict[str, Any]]:
        exit_code = main(
            ["compare", "--output", str(tmp_path / "out"), "--draws", "200", *map(str, words)]
        )
        return exit_code, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run


def test_models_stand_beside_the_baselines(compare: Run, pairs, write_convolution, tmp_path):
    models = [
        write_convolution(tmp_path / "same", "EDSR of nothing", SAME),
        write_convolution(tmp_path / "blur", "SRGAN of nothing", BLUR),
        write_convolution(tmp_path / "dead", "Dead network", 0 * SAME),
    ]
    exit_code, status = compare("--pairs", pairs, "--data-range", 1, "--models", *models)
    assert exit_code == 0, status.get("error")
    outputs = status["outputs"]
    assert outputs["models"] == ["EDSR of nothing", "SRGAN of nothing", "Dead network"]
    rows = pd.read_csv(outputs["csv"])
    assert set(rows["field"]) == {f"{s}_{n}" for s in CONDITIONS.structures for n in (2, 3, 4)}, (
        "test fields only"
    )
    assert rows["model"].nunique() == 8
    means = rows.groupby(["model", "figure"])["value"].mean().unstack()
    same, seen = means.loc["EDSR of nothing"], means.loc["input"]
    pd.testing.assert_series_equal(
        same[["ssim", "psnr_db"]], seen[["ssim", "psnr_db"]], rtol=0.02, check_names=False
    )
    assert means.loc["Richardson-Lucy", "psnr_db"] > means.loc["input - background", "psnr_db"] + 2
    assert means.loc["noisy target", "psnr_db"] > means.loc["Richardson-Lucy", "psnr_db"]
    assert means.loc["all black", "flux_ratio"] == 0
    assert means.loc["SRGAN of nothing", "band_power"] < same["band_power"] - 0.1
    summary = pd.read_csv(outputs["summary"])
    assert set(summary["structure"]) == {"all", "filaments", "points"}
    one = summary[(summary["structure"] == "all") & (summary["figure"] == "psnr_db")]
    one = one.set_index("model")
    assert one["mean"].to_numpy() == pytest.approx(means["psnr_db"].loc[one.index].to_numpy())
    assert (one["low"] <= one["mean"]).all()
    assert one.loc["noisy target", "rank"] == 1
    said = " ".join(status["warnings"])
    assert "Dead network: 6 of 6 images are black" in said
    assert "EDSR of nothing: filaments: the flux is" in said
    page = Path(outputs["page"]).read_text("utf-8")
    assert "give lpips_weights" in page
    assert "untrained LPIPS" in page
    assert "EDSR has the best SSIM, SRGAN the best LPIPS. Here" in page
    assert "against the noise-free truth" in page
    assert page.count("data:image/png") == 3, "intervals, and a field of each structure"
    known = json.loads(Path(outputs["json"]).read_text("utf-8"))
    assert known["data_range"] == 1
    assert known["models"][-1]["parameters"] == 10
    assert known["models"][-1]["seconds_per_megapixel"] > 0


def test_without_truth_the_target_counts_and_the_kernel_is_fitted(
    compare: Run, write_convolution, tmp_path
):
    write_pairs(tmp_path / "pairs", has_truth=False)
    model = write_convolution(tmp_path / "same", "Nothing", SAME)
    exit_code, status = compare("--pairs", tmp_path / "pairs", "--models", model)
    assert exit_code == 0, status.get("error")
    figures = status["outputs"]["figures"]
    assert "noisy target" not in figures
    page = Path(status["outputs"]["page"]).read_text("utf-8")
    assert "the targets, with their noise, count as truth" in page
    assert "is fitted to them" in page
    assert "Band power was not measured" in page
    known = json.loads(Path(status["outputs"]["json"]).read_text("utf-8"))
    assert known["kernel_sigma_px"] == pytest.approx(2.73, rel=0.1)
    assert known["data_range"] == pytest.approx(1, abs=0.25)


def test_what_cannot_be_compared_is_said_at_once(pairs, write_convolution, tmp_path):
    model = str(write_convolution(tmp_path / "same", "Nothing", SAME))
    out = tmp_path / "out"
    with pytest.raises(InputError, match="neither models nor recipes"):
        Compare(pairs=pairs, output=out).run(silent)
    write_pairs(tmp_path / "untested", has_truth=True, parts=("training", "validation"))
    with pytest.raises(InputError, match="no test field"):
        Compare(pairs=tmp_path / "untested", output=out, models=[model]).run(silent)
    with pytest.raises(InputError, match="no such file"):
        Compare(pairs=pairs, output=out, models=[model], lpips_weights="none.pth").run(silent)
    assert not out.exists(), "nothing is left behind"
    out.mkdir()
    (out / "summary.csv").write_text("mine")
    with pytest.raises(OutputError, match="there already"):
        Compare(pairs=pairs, output=out, models=[model]).run(silent)
    assert (out / "summary.csv").read_text() == "mine"


def test_an_adversarial_recipe_starts_from_the_regression_before_it(pairs, tmp_path):
    folder = open_pairs(pairs)
    job = Compare(pairs=pairs, output=tmp_path, recipes=["edsr", "srgan"], steps=7, seed=3)
    first = job._make_recipe(find_recipe("edsr"), folder, [])
    assert (first.data.folder, first.fit.steps, first.fit.seed) == (pairs, 7, 3)
    second = job._make_recipe(find_recipe("srgan"), folder, [(first, tmp_path / "runs" / "edsr")])
    assert second.task.start == tmp_path / "runs" / "edsr"
    assert job._make_recipe(find_recipe("srgan"), folder, []).task.start is None
    with pytest.raises(RecipeError, match="doesn't learn from pairs"):
        job._make_recipe(find_recipe("localizer"), folder, [])


@pytest.mark.slow
@pytest.mark.filterwarnings(  # bioimageio leaves files open
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning"
)
def test_recipes_are_trained_on_the_training_fields_and_then_compared(
    compare: Run, pairs, tmp_path
):
    """A network of a few weights, three steps; the same command again trains nothing."""
    recipe = yaml.safe_load((find_recipe("edsr") / "recipe.yaml").read_text("utf-8"))
    recipe["network"]["arguments"] = {"scale": 1, "width": 4, "blocks": 1}
    recipe["network"]["architecture"] = str(find_recipe("edsr") / "architecture.py")
    recipe["fit"] |= {"steps_per_epoch": 3, "batch": 2}
    recipe["data"] |= {"patch_px": 32, "validation_patches": 2}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    words = ("--pairs", pairs, "--recipes", tmp_path / "tiny.yaml", "--steps", 3)
    exit_code, status = compare(*words)
    assert exit_code == 0, status.get("error")
    run = tmp_path / "out" / "runs" / "tiny"
    assert (run / "package" / "rdf.yaml").is_file()
    written = (run / "package" / "rdf.yaml").stat().st_mtime_ns
    exit_code, again = compare(*words, "--overwrite")
    assert exit_code == 0, again.get("error")
    assert (run / "package" / "rdf.yaml").stat().st_mtime_ns == written
    name = again["outputs"]["models"][0]
    assert again["outputs"]["figures"][name] == status["outputs"]["figures"][name]


@pytest.mark.parametrize(
    ("advantage", "said"),
    [
        (0.05, "SSIM is best for An EDSR, as published"),
        (-0.05, "SSIM is best for A SRGAN, unlike published"),
        (0.0005, "so closely that these fields don't decide it"),
    ],
)
def test_an_order_is_told_only_as_far_as_the_fields_decide_it(advantage: float, said: str) -> None:
    rows = [
        {"field": f"field {n}", "structure": "points", "figure": "ssim", "model": model, "value": v}
        for n in range(12)
        for model, v in (
            ("An EDSR", 0.8 + advantage),
            ("A SRGAN", 0.8 + 0.02 * (-1) ** n),
        )
    ]
    summary = summarise(pd.DataFrame(rows))

    assert said in say_order(summary, ["A SRGAN", "An EDSR"], Ruler(1.0))
