"""The job pairs, kind xmicroscopy, from rendered images: registered, thinned, refused."""

import numpy as np
import pandas as pd
import pytest
import tifffile
import xarray as xr
from scipy import ndimage

from bridge.errors import ImageError, InputError
from bridge.images.write import write_image
from bridge.jobs.pairs import Pairs
from bridge.progress import silent
from bridge.restoration.storm_fields import StormConditions, draw_storm_field
from bridge.restoration.storm_folder import open_storm
from bridge.smlm.render import render_gaussian

EDGE_PX, FINE_NM, COARSE_NM = 320, 20, 100
SHIFT = (1.5, -0.6)  # of the widefield image, in its pixels


def draw_places(seed):
    """Give localizations (n, 2) in pixels of the fine grid."""
    rng = np.random.default_rng(seed)
    drawn = draw_storm_field(StormConditions(edge_px=EDGE_PX, full_per_px=12), rng)
    whole = np.stack(np.divmod(drawn.places, EDGE_PX), axis=1)
    return whole + rng.uniform(0, 1, whole.shape)


def see_widefield(places, shift, seed=9):
    """Give photons on coarse pixels, moved by ``shift`` of them."""
    n, fine = EDGE_PX * FINE_NM // COARSE_NM, COARSE_NM // FINE_NM
    edges = np.arange(fine * n + 1) / fine
    counts = np.histogram2d(*(places / fine + shift).T, (edges, edges))[0]
    blurred = ndimage.gaussian_filter(counts, 6).reshape(n, fine, n, fine).sum(axis=(1, 3))
    photons = np.random.default_rng(seed).poisson(blurred / blurred.max() * 400 + 10)
    return photons.astype(np.uint16)


def table_of(places):
    nm = places * FINE_NM
    return pd.DataFrame({"frame": 1, "x_nm": nm[:, 1], "y_nm": nm[:, 0]})


def save(path, pixels, pixel_nm):
    attrs = {"pixel_size_nm": dict.fromkeys("yx", float(pixel_nm))} if pixel_nm else {}
    path.parent.mkdir(exist_ok=True)
    write_image(path, xr.DataArray(pixels, dims=("y", "x"), attrs=attrs))


def render(places):
    return render_gaussian(
        table_of(places), pixel_size_nm=FINE_NM, shape=(EDGE_PX, EDGE_PX), sigma_nm=FINE_NM
    ).values


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Write the table, the rendering and the widefield image of one field."""
    folder = tmp_path_factory.mktemp("files")
    places = draw_places(5)
    named = table_of(places).rename(columns={"x_nm": "x [nm]", "y_nm": "y [nm]"})
    named.to_csv(folder / "cell.csv", index=False)
    save(folder / "cell_srm.tif", render(places), FINE_NM)
    save(folder / "cell_wf.tif", see_widefield(places, SHIFT), COARSE_NM)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Write folders of two fields, three undersampled draws of one and two of the other."""
    folder = tmp_path_factory.mktemp("folders")
    rng = np.random.default_rng(2)
    for number, n_draws in ((1, 3), (2, 2)):
        places = draw_places(number)
        save(folder / "srm" / f"cell_{number}_full.tif", render(places), FINE_NM)
        save(folder / "wf" / f"cell_{number}.tif", see_widefield(places, (0.3, 0.2)), COARSE_NM)
        for draw in range(1, n_draws + 1):
            few = places[rng.choice(len(places), 1000, replace=False)]
            save(folder / "sparse" / f"cell_{number}_usrm_{draw}.tif", render(few), FINE_NM)
        save(folder / "dense" / f"cell_{number}.tif", render(places[::2]), FINE_NM)
    return folder


def make(output, target, widefield, **options):
    values = {"kind": "xmicroscopy", "localizations": 1000, "subsamplings": 2, "output": output}
    given = {"target": str(target), "widefield": str(widefield)}
    return Pairs(**(values | given | options)).run(silent)


def row_of(folder):
    return pd.read_csv(folder / "fields.csv").iloc[0]


def test_a_rendering_gives_the_field_that_its_table_gives(files, tmp_path):
    result = make(tmp_path / "r", files / "cell_srm.tif", files / "cell_wf.tif")
    make(tmp_path / "t", "", files / "cell_wf.tif", table=str(files / "cell.csv"))
    rendered, tabled = (open_storm(tmp_path / name).fields[0] for name in "rt")
    row, other = row_of(tmp_path / "r"), row_of(tmp_path / "t")
    assert (row.shift_y_px, row.shift_x_px) == pytest.approx(SHIFT, abs=0.1)
    assert row.shift_y_px == pytest.approx(other.shift_y_px, abs=0.02)
    assert row.shift_x_px == pytest.approx(other.shift_x_px, abs=0.02)
    assert row.n_localizations == pytest.approx(other.n_localizations, rel=0.01)
    np.testing.assert_allclose(rendered.full(), tabled.full(), atol=1e-6)
    wide = [one.widefield().values for one in (rendered, tabled)]
    assert np.abs(wide[0] - wide[1]).mean() < 0.01 * wide[1].mean()
    settings = open_storm(tmp_path / "r").settings
    assert settings.pixel_size_nm == FINE_NM
    assert "thinning, an approximation" in settings.source
    assert any("an approximation" in text for text in result.warnings)
    page = (tmp_path / "r" / "page.html").read_text("utf-8")
    assert "an approximation" in page


def test_thinned_images_show_as_many_localizations_as_asked_and_differ(files, tmp_path):
    target = files / "cell_srm.tif"
    make(tmp_path / "r", target, files / "cell_wf.tif", localizations=800, subsamplings=3)
    make(
        tmp_path / "t", "", files / "cell_wf.tif", table=str(files / "cell.csv"), localizations=800
    )
    thinned = [image.values for image in open_storm(tmp_path / "r").fields[0].sparse()]
    drawn = [image.values for image in open_storm(tmp_path / "t").fields[0].sparse()]
    assert len(thinned) == 3
    assert not np.array_equal(thinned[0], thinned[1])
    full = open_storm(tmp_path / "t").fields[0].full().values
    by_table, by_image = (
        np.mean(
            [
                np.corrcoef(*(ndimage.gaussian_filter(i, 4).ravel() for i in (one, full)))[0, 1]
                for one in images
            ]
        )
        for images in (drawn, thinned)
    )
    assert by_image == pytest.approx(by_table, abs=0.03)


def test_renderings_given_are_taken_several_of_a_field_by_their_numbers(folders, tmp_path):
    result = make(
        tmp_path / "s",
        folders / "srm",
        folders / "wf",
        sparse=str(folders / "sparse"),
        dense=str(folders / "dense"),
    )
    made = open_storm(tmp_path / "s")
    assert [field.name for field in made.fields] == ["cell_1", "cell_2"]
    assert [len(field.sparse_paths) for field in made.fields] == [3, 2]
    assert [len(field.dense_paths) for field in made.fields] == [1, 1]
    assert made.settings.localizations is None
    assert made.settings.source == "rendered images"
    given = tifffile.imread(folders / "sparse" / "cell_2_usrm_2.tif")
    kept = made.fields[1].sparse()[1].values
    np.testing.assert_allclose(kept, (given / np.percentile(given, 99.7)).clip(0, 1), rtol=1e-5)
    assert any("unequal numbers" in text for text in result.warnings)
    assert not any("approximation" in text for text in result.warnings)


def test_a_widefield_image_already_on_the_fine_grid_is_registered_as_well(files, tmp_path):
    photons = tifffile.imread(files / "cell_wf.tif").astype(np.float32)
    scale = COARSE_NM // FINE_NM
    places = [(np.arange(EDGE_PX) + 0.5) / scale - 0.5] * 2
    grid = np.meshgrid(*places, indexing="ij")
    fine = ndimage.map_coordinates(photons, grid, order=3, mode="nearest")
    save(tmp_path / "fine.tif", fine, FINE_NM)
    make(tmp_path / "s", files / "cell_srm.tif", tmp_path / "fine.tif")
    row = row_of(tmp_path / "s")
    assert row.scale == pytest.approx(1)
    found = np.array([row.shift_y_px, row.shift_x_px]) / scale
    assert found == pytest.approx(SHIFT, abs=0.2)


def test_pixel_sizes_may_be_unknown_and_the_scale_broken(files, tmp_path):
    full = tifffile.imread(files / "cell_srm.tif")
    save(tmp_path / "a_srm.tif", full, None)
    save(tmp_path / "a_wf.tif", tifffile.imread(files / "cell_wf.tif"), None)
    make(tmp_path / "s", tmp_path / "a_srm.tif", tmp_path / "a_wf.tif")
    row = row_of(tmp_path / "s")
    assert row.scale == 5
    assert (row.shift_y_px, row.shift_x_px) == pytest.approx(SHIFT, abs=0.1)
    assert open_storm(tmp_path / "s").settings.pixel_size_nm is None
    places = draw_places(5)
    other = render_gaussian(
        table_of(places), pixel_size_nm=23.0, shape=(278, 278), sigma_nm=23.0
    ).values  # 4.348 pixels per widefield pixel
    save(tmp_path / "b_srm.tif", other, 23.0)
    make(tmp_path / "b", tmp_path / "b_srm.tif", files / "cell_wf.tif")
    row = row_of(tmp_path / "b")
    assert row.scale == pytest.approx(100 / 23, rel=1e-3)
    assert (row.shift_y_px, row.shift_x_px) == pytest.approx(SHIFT, abs=0.2)


def test_a_stretched_and_saturated_rendering_is_told_with_its_share(files, tmp_path):
    full = tifffile.imread(files / "cell_srm.tif")
    byte = (full / np.percentile(full, 98) * 255).clip(0, 255).astype(np.uint8)
    save(tmp_path / "cell_srm.tif", byte, FINE_NM)
    result = make(tmp_path / "s", tmp_path / "cell_srm.tif", files / "cell_wf.tif")
    told = " ".join(result.warnings)
    assert "cell_srm.tif: 2 % of its pixels are at its top, 255" in told
    assert "8 bit, filled from 0 to 255; it looks stretched" in told
    assert "don't count localizations, so whether it has 1000 of them isn't known" in told


def test_more_localizations_than_a_rendering_shows_are_refused(files, tmp_path):
    with pytest.raises(ImageError, match=r"add up to \S+ localizations, 100000 are asked for"):
        make(tmp_path / "s", files / "cell_srm.tif", files / "cell_wf.tif", localizations=100_000)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("route", ["target", "table"])
def test_rgb_is_refused(route, files, tmp_path):
    grey = tifffile.imread(files / "cell_wf.tif")
    rgb = np.repeat((grey / grey.max() * 255).astype(np.uint8)[..., None], 3, axis=2)
    tifffile.imwrite(tmp_path / "cell_rgb.tif", rgb, photometric="rgb")
    sources = {"target": files / "cell_srm.tif", "table": files / "cell.csv"}
    given = {"target": "", route: str(sources[route])}
    with pytest.raises(ImageError, match=r"cell_rgb\.tif: .*RGB image.*as a grey image"):
        make(tmp_path / "s", **(given | {"widefield": tmp_path / "cell_rgb.tif"}))


def test_a_rendering_of_another_grid_is_refused_with_both_scales(files, tmp_path):
    with pytest.raises(ImageError, match=r"2\.5 times finer by pixel sizes, and has 5 x 5 times"):
        make(tmp_path / "s", files / "cell_srm.tif", files / "cell_wf.tif", input_pixel_nm=50)
    save(tmp_path / "u_1.tif", render(draw_places(5))[:160, :160], FINE_NM)
    with pytest.raises(ImageError, match=r"u_1\.tif: \(160, 160\) pixels.*0\.5 times"):
        make(
            tmp_path / "s",
            files / "cell_srm.tif",
            files / "cell_wf.tif",
            sparse=str(tmp_path / "u_1.tif"),
        )


def test_a_table_of_another_scale_is_refused_with_the_scale(files, tmp_path):
    with pytest.raises(ImageError, match=r"details agree by .* a scale of 10\b.*pixel sizes"):
        make(
            tmp_path / "s",
            "",
            files / "cell_wf.tif",
            table=str(files / "cell.csv"),
            input_pixel_nm=200,
            min_agreement=0.5,
        )


@pytest.mark.parametrize("route", ["target", "table"])
def test_a_field_without_its_widefield_image_is_named(route, folders, tmp_path):
    sources = {"target": tmp_path / "srm", "table": tmp_path / "tables"}
    for number in (1, 2, 3):
        if route == "target":
            save(tmp_path / "srm" / f"cell_{number}.tif", render(draw_places(1)), FINE_NM)
        else:
            (tmp_path / "tables").mkdir(exist_ok=True)
            (tmp_path / "tables" / f"cell_{number}.csv").write_text("x [nm],y [nm]\n1,1\n")
    given = {"target": "", route: str(sources[route])}
    with pytest.raises(InputError, match=r"/cell_3\.\w+ without a partner.*beside 2 complete"):
        make(tmp_path / "s", **(given | {"widefield": folders / "wf"}))


def test_undersampled_images_missing_or_of_no_field_are_named(folders, tmp_path):
    for draw in (1, 2):
        save(tmp_path / "few" / f"cell_1_u_{draw}.tif", render(draw_places(1)), FINE_NM)
    options = {"target": folders / "srm", "widefield": folders / "wf"}
    with pytest.raises(InputError, match=r"there is none for cell_2: 2 files for 2 fields"):
        make(tmp_path / "s", **options, sparse=str(tmp_path / "few"))
    save(tmp_path / "few" / "cell_9_u_1.tif", render(draw_places(1)), FINE_NM)
    with pytest.raises(InputError, match=r"cell_9_u_1\.tif: its name is that of no field"):
        make(tmp_path / "s", **options, sparse=str(tmp_path / "few"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "x"}, "only renderings are given"),
        ({"target": "x", "widefield": "w", "table": "t.csv"}, "two sources are given"),
        ({"widefield": "w", "sparse": "u"}, "sparse and dense belong to full renderings"),
        ({"kind": "pairs", "input": "a", "target": "b", "sparse": "u"}, "are for kind xmicroscopy"),
    ],
)
def test_requests_that_mean_nothing_are_refused(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        Pairs(**({"kind": "xmicroscopy", "output": tmp_path / "s"} | options)).run(silent)
