"""The job ``evaluate``, on files as a user has them."""

from __future__ import annotations

import base64
import io
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from bridge.cli import main
from bridge.errors import ImageError, InputError, OutputError, TableError
from bridge.jobs.evaluate import Evaluate
from bridge.progress import silent

SIDE_NM = 6400.0


def write(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as ThunderSTORM does."""
    headings = {
        "frame": "frame",
        "x_nm": "x [nm]",
        "y_nm": "y [nm]",
        "sigma_nm": "sigma [nm]",
        "photons": "intensity [photon]",
        "background": "offset [photon]",
        "uncertainty_xy_nm": "uncertainty_xy [nm]",
    }
    renamed = table.rename(columns=headings)
    renamed.insert(0, "id", np.arange(1, len(table) + 1))
    renamed.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Emitters on a cross, found nine times in ten within 12 nm, and images of both."""
    folder = tmp_path_factory.mktemp("scene")
    rng = np.random.default_rng(0)
    n = 12_000
    along, across = rng.uniform(0, SIDE_NM, n), rng.normal(3200, 100, n)
    is_row = rng.random(n) < 0.5
    truth = pd.DataFrame(
        {
            "frame": np.sort(rng.integers(1, 301, n)),
            "x_nm": np.where(is_row, along, across),
            "y_nm": np.where(is_row, across, along),
            "sigma_nm": 130.0,
            "photons": rng.uniform(200, 2000, n),
            "background": 10.0,
        }
    )
    found = truth.sample(frac=0.9, random_state=1).sort_index()
    found[["x_nm", "y_nm"]] += rng.normal(0, 12, (len(found), 2))
    found["uncertainty_xy_nm"] = 12.0
    paths = {
        "truth": write(folder / "truth.csv", truth),
        "table": write(folder / "found.csv", found),
    }
    for name, table in (("reference", truth), ("image", found)):
        counts = np.histogram2d(table["y_nm"], table["x_nm"], 512, [(0, SIDE_NM)] * 2)[0]
        paths[name] = save(folder / f"{name}.tif", gaussian_filter(counts, 1), 12.5)
    light = gaussian_filter(counts, 130 / 12.5).reshape(64, 8, 64, 8).sum((1, 3)) * 20 + 100
    frames = rng.poisson(light, (40, 64, 64))
    paths["widefield"] = save(folder / "movie.tif", frames, 100.0)
    return paths


def save(path: Path, pixels: np.ndarray, pixel_nm: float) -> Path:
    tifffile.imwrite(
        path,
        pixels.astype(np.float32),
        imagej=True,
        resolution=(1000 / pixel_nm, 1000 / pixel_nm),
        metadata={"unit": "um", "axes": "TYX"[-pixels.ndim :]},
    )
    return path


def words(scene: dict[str, Path], *names: str) -> dict[str, str]:
    return {name: str(scene[name]) for name in names}


def test_a_table_is_judged_against_its_truth_and_the_page_shows_it(scene, tmp_path):
    page = tmp_path / "report.html"
    job = Evaluate(
        **words(scene, "table", "truth"),
        output=str(page),
        pixel_size_nm=100,
        field_width_nm=SIDE_NM,
        field_height_nm=SIDE_NM,
    )
    result = job.run(silent)
    outputs = result.outputs
    assert outputs["jaccard"] == pytest.approx(0.9, abs=0.01)
    assert outputs["precision"] > 0.99
    assert outputs["recall"] == pytest.approx(0.9, abs=0.01)
    assert outputs["rmse_lateral_nm"] == pytest.approx(12 * 2**0.5, rel=0.1)
    assert outputs["efficiency"] == pytest.approx(
        1 - math.hypot(1 - outputs["jaccard"], outputs["rmse_lateral_nm"] / 100)
    )
    assert 0.1 < outputs["chance_jaccard"] < 0.6, "a cross, so chance finds much"
    assert outputs["z_score_robust_sd_lateral"] == pytest.approx(1, abs=0.05)
    assert outputs["times_bound"] > 1
    assert outputs["frc_nm"] > 0
    assert result.warnings == []
    assert result.report == outputs["page"] == str(page)
    found = f"{100 * outputs['recall']:.1f} % of {outputs['n_emitters']:,} emitters were found"
    assert found in " ".join(result.summary)
    text = page.read_text("utf-8")
    pictures = re.findall(r"base64,([^\"]+)", text)
    assert len(pictures) == 5
    for picture in pictures:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L"))
        assert pixels.std() > 10, "a picture is blank"
    for heading in ("Who was found", "How far off", "Pixels, photons", "Resolution"):
        assert heading in text


def test_the_shell_gives_the_figures_in_its_status(scene, capsys):
    table, truth = (str(scene[name]) for name in ("table", "truth"))
    options = "--tolerance-nm 50 --matching optimal --photon-quantile 0.25 --border-nm 500"
    code = main(["evaluate", "--table", table, "--truth", truth, *options.split()])
    status = capsys.readouterr().out.splitlines()[-1]
    assert code == 0
    assert '"rule":"optimal"' in status
    assert '"tolerance_nm":50.0' in status
    assert re.search(r'"n_dim":2\d\d\d', status)
    assert '"rmse_axial_nm":null' in status


def test_an_image_is_judged_against_widefield_movie_and_reference(scene, tmp_path):
    result = Evaluate(
        **words(scene, "image", "widefield", "reference"), output=str(tmp_path / "page.html")
    ).run(silent)
    assert result.outputs["rsp"] > 0.99
    assert result.outputs["widefield_sigma_nm"] == pytest.approx(130, rel=0.03)
    assert result.outputs["correlation"] > 0.9
    assert result.outputs["nmse"] < 0.15
    assert 0 < result.outputs["ssim"] <= 1
    assert "error map" in (tmp_path / "page.html").read_text("utf-8").lower()


def test_a_table_alone_gives_its_resolution_and_what_it_shows_by_itself(scene):
    result = Evaluate(**words(scene, "table")).run(silent)
    figures = {"nena_nm", "nena_error_nm", "nena_pairs", "stated_uncertainty_nm"}
    assert set(result.outputs) == {"frc_nm", "frc_spread_nm", *figures}
    assert math.isnan(result.outputs["nena_nm"]), "no emitter shines for two frames"
    assert result.outputs["stated_uncertainty_nm"] == 12
    result = Evaluate(**words(scene, "table"), pixel_size_nm=100).run(silent)
    assert result.outputs["subpixel_chi2"] > 0
    assert result.outputs["subpixel_unevenness"] < 0.05


def test_blinking_emitters_show_their_precision_without_a_truth(tmp_path):
    rng = np.random.default_rng(0)
    n, times = 2000, 4
    frame = np.repeat(rng.integers(1, 500, n), times) + np.tile(np.arange(times), n)
    places = np.repeat(rng.uniform(0, SIDE_NM, (n, 2)), times, axis=0)
    places += rng.normal(0, 9, places.shape)
    found = pd.DataFrame({"frame": frame, "x_nm": places[:, 0], "y_nm": places[:, 1]})
    found = found.assign(uncertainty_xy_nm=6.0).sort_values("frame")
    table = write(tmp_path / "found.csv", found)
    page = tmp_path / "page.html"
    result = Evaluate(table=str(table), pixel_size_nm=100, output=str(page)).run(silent)
    assert result.outputs["nena_nm"] == pytest.approx(9, rel=0.05)
    assert result.outputs["nena_pairs"] > 5000
    assert any("stated uncertainty is 6 nm" in sentence for sentence in result.summary)
    text = page.read_text("utf-8")
    assert "What the table shows by itself" in text
    assert "chi-square" in text
    assert len(re.findall(r"base64,", text)) == 3
    merged = write(tmp_path / "merged.csv", found.rename(columns={"uncertainty_xy_nm": "sigma_nm"}))
    rows = pd.read_csv(merged).assign(detections=2)
    rows.to_csv(merged, index=False)
    result = Evaluate(table=str(merged), pixel_size_nm=100).run(silent)
    assert "nena_nm" not in result.outputs, "a merged table has no neighbours in time"


def test_the_widefield_says_how_large_the_field_is(scene):
    result = Evaluate(**words(scene, "table", "truth", "image", "widefield")).run(silent)
    assert result.outputs["field_width_nm"] == pytest.approx(SIDE_NM)
    assert not any("field" in warning for warning in result.warnings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing to judge"),
        ({"truth"}, "nothing to judge"),
        ({"truth", "image"}, "there is a truth and no table"),
        ({"table", "widefield"}, "there is a widefield and no image"),
    ],
)
def test_half_a_request_is_refused(scene, given, message):
    with pytest.raises(InputError, match=message):
        Evaluate(**words(scene, *given)).run(silent)


def test_bad_input_is_a_sentence(scene, tmp_path):
    both = words(scene, "table", "truth")
    with pytest.raises(InputError, match="only one length"):
        Evaluate(**both, field_width_nm=6400).run(silent)
    with pytest.raises(OutputError, match=r"ending in \.html"):
        Evaluate(**both, output=str(tmp_path / "page.txt")).run(silent)
    channels = save_channels(tmp_path / "channels.tif")
    with pytest.raises(ImageError, match="one plane"):
        Evaluate(image=str(channels)).run(silent)
    late = pd.read_csv(scene["truth"])
    late["frame"] += 1000
    late.to_csv(tmp_path / "late.csv", index=False)
    with pytest.raises(TableError, match="have none in common"):
        Evaluate(table=both["table"], truth=str(tmp_path / "late.csv")).run(silent)
    few = pd.read_csv(scene["table"]).iloc[:50]
    few.to_csv(tmp_path / "few.csv", index=False)
    with pytest.raises(TableError, match="at least 100"):
        Evaluate(table=str(tmp_path / "few.csv")).run(silent)
    result = Evaluate(table=str(tmp_path / "few.csv"), truth=both["truth"]).run(silent)
    assert any("No ring correlation" in warning for warning in result.warnings)


def save_channels(path: Path) -> Path:
    pixels = np.zeros((2, 32, 32), np.float32)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "CYX"})
    return path


def test_the_demo_data_of_others_is_judged_as_they_are(tmp_path):
    demo = Path(__file__).parents[3] / "shared" / "data" / "deep_storm_demo"
    if not demo.is_dir():
        pytest.skip("the demo data of Deep-STORM isn't beside the checkout")
    truth = str(demo / "positions_demo1.csv")
    result = Evaluate(table=truth, truth=truth, pixel_size_nm=100).run(silent)
    assert result.outputs["jaccard"] == 1
    assert result.outputs["field_width_nm"] == 6400
    assert result.outputs["chance_jaccard"] == pytest.approx(0.34, abs=0.05)
