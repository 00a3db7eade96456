"""The job pairs: real files matched, registered, refused, split; simulations; a real pair."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bridge.cli import main
from bridge.errors import ImageError, InputError, OutputError
from bridge.images.write import write_image
from bridge.jobs.pairs import Pairs
from bridge.progress import silent
from bridge.restoration.exposure import PairConditions, draw_clean_pair
from bridge.restoration.match import match_files
from bridge.restoration.pair_folder import open_pairs
from bridge.restoration.pairs import Grids, examine_values, plan_blocks
from bridge.restoration.signal import places_with_signal

ER = Path(__file__).parents[3] / "shared" / "data" / "widefield_storm" / "endoplasmic_reticulum"


def noisy(structure, seed, *, scale=1, edge_px=128):
    rng = np.random.default_rng(seed)
    pair = draw_clean_pair(PairConditions(scale=scale, edge_px=edge_px), structure, rng)
    peak = pair.input.max()
    image = rng.poisson(pair.input / peak * 150 + 10).astype(np.uint16)
    return image, rng.poisson(pair.target * 60).astype(np.uint16)


def write(folder, name, image, pixel_size_nm=None):
    folder.mkdir(parents=True, exist_ok=True)
    attrs = {"pixel_size_nm": dict.fromkeys("yx", pixel_size_nm)} if pixel_size_nm else {}
    known = xr.DataArray(image, dims=("y", "x"), attrs=attrs)
    write_image(folder / name, known, overwrite=True)


@pytest.fixture
def folders(tmp_path):
    """Write five fields of two structures, targets off by (2, -3), and one that is no pair."""
    for number in range(5):
        structure = ("filaments", "actin")[number % 2]
        image, target = noisy(structure, number)
        moved = np.roll(target, (-2, 3), (0, 1))
        write(tmp_path / "in" / structure, f"cell{number}_wf.tif", image, 40)
        write(tmp_path / "out" / structure, f"cell{number}_STED.tif", moved, 40)
    image, _ = noisy("actin", 98)
    _, target = noisy("actin", 99)
    write(tmp_path / "in" / "actin", "cell9_wf.tif", image, 40)
    write(tmp_path / "out" / "actin", "cell9_STED.tif", target, 40)
    return tmp_path


def make(folder, **options):
    values = {"input": str(folder / "in"), "target": str(folder / "out"), "output": folder / "p"}
    return Pairs(**(values | options)).run(silent)


def test_pairs_are_matched_moved_split_and_strangers_refused(folders):
    result = make(folders)
    assert result.error is None
    pairs = open_pairs(folders / "p")
    assert sorted(f.name for f in pairs.fields) == [
        "actin_cell1",
        "actin_cell3",
        "filaments_cell0",
        "filaments_cell2",
        "filaments_cell4",
    ]
    assert {f.part for f in pairs.fields} == {"training", "validation", "test"}
    assert pairs.structures == ("actin", "filaments")
    assert pairs.target_pixel_size_nm == pytest.approx(40, rel=1e-4)
    for field in pairs.fields:
        assert field.figures["shift_y_px"] == pytest.approx(2, abs=0.1)
        assert field.figures["shift_x_px"] == pytest.approx(-3, abs=0.1)
        assert field.figures["detail_correlation"] > field.figures["chance_correlation"] + 0.2
        assert min(field.input().shape) >= 124
    assert any("actin_cell9 is refused: details agree by" in note for note in result.warnings)
    page = (folders / "p" / "page.html").read_text("utf-8")
    assert "actin_cell9" in page
    assert "Refused" in page
    assert (folders / "p" / "picture.png").stat().st_size > 1000


def test_the_moved_target_is_the_one_that_was_meant(folders):
    make(folders)
    image, target = noisy("filaments", 2)
    field = next(f for f in open_pairs(folders / "p").fields if f.name == "filaments_cell2")
    kept = field.target().values
    rows, columns = 128 - kept.shape[0], 0
    meant = target[rows : rows + kept.shape[0], columns : columns + kept.shape[1]]
    inner = np.s_[8:-8, 8:-8]
    assert np.corrcoef(kept[inner].ravel(), meant[inner].ravel())[0, 1] > 0.97
    seen = image[rows : rows + kept.shape[0], columns : columns + kept.shape[1]]
    assert np.array_equal(field.input().values, seen)


def test_no_pair_at_all_leaves_a_page_and_no_folder(tmp_path):
    write(tmp_path / "in", "a.tif", noisy("actin", 1)[0])
    write(tmp_path / "out", "a.tif", noisy("actin", 2)[1])
    result = make(tmp_path)
    assert isinstance(result.error, ImageError)
    assert "0.25" in str(result.error)
    assert not (tmp_path / "p").exists()
    assert "details agree by" in Path(result.outputs["page"]).read_text("utf-8")


@pytest.mark.parametrize(
    ("image", "target", "words"),
    [
        ((64, 64), (75, 75), r"scale, by numbers of pixels, is 1\.172"),
        ((64, 64), (128, 192), "2 times the input's rows and 3 times"),
        ((64, 64), (32, 32), r"is 0\.5 "),
    ],
)
def test_grids_that_do_not_fit_are_named(tmp_path, image, target, words):
    rng = np.random.default_rng(0)
    write(tmp_path / "in", "a.tif", rng.integers(0, 999, image, np.uint16))
    write(tmp_path / "out", "a.tif", rng.integers(0, 999, target, np.uint16))
    with pytest.raises(ImageError, match=words):
        make(tmp_path)


def test_a_scale_that_is_not_whole_is_resampled_on_request(tmp_path):
    image, target = noisy("filaments", 3, edge_px=160)
    write(tmp_path / "in", "a.tif", image, 40)
    from skimage.transform import resize  # noqa: PLC0415

    finer = resize(target.astype(float), (272, 272), order=3)  # 160 / 272 * 40 nm
    write(tmp_path / "out", "a.tif", finer.astype(np.float32), 40 * 160 / 272)
    with pytest.raises(ImageError, match=r"scale, by pixel sizes, is 1\.7 "):
        make(tmp_path)
    make(tmp_path, resample=True)
    pairs = open_pairs(tmp_path / "p")
    assert pairs.scale == 2
    assert pairs.target_pixel_size_nm == pytest.approx(20, rel=1e-3)
    assert abs(pairs.fields[0].figures["shift_y_px"]) < 0.1


def test_a_large_single_pair_is_cut_into_blocks_that_share_nothing(tmp_path):
    image, target = noisy("actin", 5, scale=2, edge_px=768)
    write(tmp_path / "in", "er_wf.tif", image)
    write(tmp_path / "out", "er_storm.tif", np.roll(target, 3, axis=1))
    make(tmp_path, block_px=100)
    pairs = open_pairs(tmp_path / "p")
    assert pairs.scale == 2
    assert len(pairs.fields) == 9
    assert {f.part for f in pairs.fields} == {"training", "validation", "test"}
    for field in pairs.fields:
        assert field.figures["shift_x_px"] == pytest.approx(-1.5, abs=0.1)


def test_blocks_fill_the_field_with_gaps_between_them():
    blocks = plan_blocks((640, 300), block_px=128, gap_px=16)
    assert len(blocks) == 4 * 2
    used = np.zeros((640, 300), int)
    for rows, columns in blocks:
        used[rows, columns] += 1
        around = used[
            max(0, rows.start - 16) : rows.stop + 16, max(0, columns.start - 16) : columns.stop + 16
        ]
        assert around.sum() == (rows.stop - rows.start) * (columns.stop - columns.start)
    assert used.max() == 1
    assert used.mean() > 0.85


@pytest.mark.parametrize(
    ("names", "found", "alone"),
    [
        ((["a1_wf", "a2_wf"], ["a1_sted", "a2_sted"]), ["a1", "a2"], 0),
        ((["wf-3", "wf-4"], ["STED 3", "STED 4"]), ["3", "4"], 0),
        ((["x", "y", "z"], ["y", "x"]), ["x", "y"], 1),
        ((["ER_widefield"], ["ER_STORM"]), ["er"], 0),
        ((["one"], ["two"]), ["one"], 0),
    ],
)
def test_names_are_matched_by_their_words(tmp_path, names, found, alone):
    for folder, files in zip("ab", names, strict=True):
        for name in files:
            write(tmp_path / folder, f"{name}.tif", np.eye(4, dtype=np.uint8))
    matches = match_files(tmp_path / "a", tmp_path / "b")
    assert [match.name for match in matches.found] == found
    assert len(matches.alone) == alone


def test_names_that_cannot_be_matched_are_named(tmp_path):
    for folder, files in (("a", ["p", "q"]), ("b", ["r", "s"])):
        for name in files:
            write(tmp_path / folder, f"{name}.tif", np.eye(4, dtype=np.uint8))
    with pytest.raises(InputError, match="no file of one has a partner"):
        match_files(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match="given as input and as target"):
        match_files(tmp_path / "a", tmp_path / "a")
    with pytest.raises(InputError, match="no such folder"):
        match_files(tmp_path / "a", tmp_path / "c")


def test_values_that_were_changed_are_noticed(tmp_path):
    from bridge.restoration.pair_folder import read_plane  # noqa: PLC0415

    rng = np.random.default_rng(2)
    plain = rng.poisson(300, (128, 128))
    wide = rng.integers(0, 1200, (256, 256))

    def look(pixels):
        write(tmp_path, "i.tif", pixels)
        return " ".join(examine_values(read_plane(tmp_path / "i.tif"), what="i"))

    assert look(plain.astype(np.uint16)) == ""
    span = np.ptp(plain)
    eight = ((plain - plain.min()) * 255 // span).astype(np.uint8)
    assert "8 bit, filled from 0 to 255" in look(eight)
    assert "8-bit image that was stretched" in look(eight.astype(np.uint16) * 257)
    assert "67 % of the grey levels" in look((wide // 3 * 3).astype(np.uint16))
    assert "at its top, 330" in look(plain.clip(max=330).astype(np.uint16))
    with pytest.raises(ImageError, match="every pixel is 7"):
        look(np.full((16, 16), 7, np.uint16))
    with pytest.raises(ImageError, match="no numbers"):
        look(np.where(plain > 330, np.nan, plain).astype(np.float32))


def test_mixed_depths_are_said(folders):
    image, _ = noisy("filaments", 0)
    write(folders / "in" / "filaments", "cell0_wf.tif", image.clip(max=255).astype(np.uint8), 40)
    warnings = " ".join(make(folders).warnings)
    assert "mixed types (uint16, uint8)" in warnings


def test_patches_are_drawn_where_there_is_signal():
    target = np.zeros((60, 80), np.float32)
    target[40:50, 60:75] = 1
    weights = places_with_signal(target, 20)
    assert weights.shape == (41, 61)
    assert weights.sum() == pytest.approx(1)
    assert np.unravel_index(weights.argmax(), weights.shape)[0] in range(28, 42)
    assert weights[0, 0] == weights.min() > 0
    assert places_with_signal(target, 20, step_px=4).shape == (11, 16)
    assert places_with_signal(target * 0, 20).std() == pytest.approx(0, abs=1e-12)


def test_simulated_pairs_have_truth_parts_and_conditions(tmp_path):
    def once(name):
        job = Pairs(output=tmp_path / name, simulate="confocal-sted", fields=4, seed=3)
        job.run(silent)
        return open_pairs(tmp_path / name)

    one, same = once("a"), once("b")
    assert one.structures == ("filaments", "actin", "nuclei", "points")
    assert {f.part for f in one.fields} == {"training", "validation", "test"}
    assert (one.input_fwhm_nm, one.target_fwhm_nm) == (280, 110)
    assert PairConditions(**one.settings.conditions) == PairConditions()
    for field, twin in zip(one.fields, same.fields, strict=True):
        assert np.array_equal(field.input().values, twin.input().values)
        noise = (field.target() - field.truth()).values
        assert abs(noise.mean()) < 0.005
        assert 0.02 < noise.std() < 0.1


def test_simulated_centrioles_bring_their_places(tmp_path):
    Pairs(output=tmp_path / "c", simulate="widefield-confocal", fields=1).run(silent)
    pairs = open_pairs(tmp_path / "c")
    truth = pairs.fields[0].truth().values
    places = pd.read_csv(tmp_path / "c" / "places" / f"{pairs.fields[0].name}.csv")
    assert pairs.scale == 2
    at = truth[places.y_px.astype(int), places.x_px.astype(int)]
    assert np.median(at) > 5 * np.median(truth)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "there is no input"),
        ({"input": "x"}, "only one side"),
        ({"input": "x", "target": "y", "simulate": "confocal-sted"}, "both files and a simulation"),
        ({"table": "t.csv"}, "for kind xmicroscopy"),
        ({"simulate": "confocal-sted", "structure": "sponge"}, "'sponge'"),
    ],
)
def test_requests_that_mean_nothing_are_refused(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        Pairs(output=tmp_path / "o", **options).run(silent)
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_is_kept(folders):
    (folders / "p").mkdir()
    (folders / "p" / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match="already"):
        make(folders)
    with pytest.raises(OutputError, match="other things"):
        make(folders, overwrite=True)


def test_grids_near_a_whole_number_are_whole():
    assert Grids(3.997, 4, "").is_whole
    assert not Grids(1.17, 1, "").is_whole


@pytest.mark.slow
@pytest.mark.skipif(not ER.is_dir(), reason="needs ../shared/data/widefield_storm")
def test_the_real_pair_is_one_at_scale_4(tmp_path, capsys):
    words = ["--input", str(ER / "widefield"), "--target", str(ER / "reference")]
    assert main(["pairs", *words, "--output", str(tmp_path / "er"), "--structure", "er"]) == 0
    status = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert status["outputs"]["scale"] == 4
    pairs = open_pairs(tmp_path / "er")
    assert len(pairs.fields) >= 12
    agreement = [f.figures["detail_correlation"] for f in pairs.fields]
    chance = [f.figures["chance_correlation"] for f in pairs.fields]
    assert min(agreement) > 0.5
    assert max(chance) < 0.4
