"""The job pairs, kind xmicroscopy: tables and widefield images to fields, or simulated."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import ndimage

from bridge.errors import ImageError, InputError, TableError
from bridge.images.write import write_image
from bridge.jobs.pairs import Pairs
from bridge.progress import silent
from bridge.restoration.storm_fields import StormConditions, draw_storm_field
from bridge.restoration.storm_folder import open_storm

EDGE_PX, FINE_NM, COARSE_NM = 320, 20, 100


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Write a table of 4000 localizations, and a widefield image 1.5 px down and 0.6 px left."""
    folder = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(5)
    conditions = StormConditions(edge_px=EDGE_PX, full_per_px=12)
    drawn = draw_storm_field(conditions, rng)
    places = np.stack(np.divmod(drawn.places, EDGE_PX), axis=1) + rng.uniform(
        0, 1, (len(drawn.places), 2)
    )
    nm = pd.DataFrame(
        {"frame": 1, "x [nm]": places[:, 1] * FINE_NM, "y [nm]": places[:, 0] * FINE_NM}
    )
    nm.to_csv(folder / "cell.csv", index=False)
    moved = places * FINE_NM / COARSE_NM + (1.5, -0.6)
    n = EDGE_PX * FINE_NM // COARSE_NM
    edges = np.arange(5 * n + 1) / 5
    counts = np.histogram2d(*moved.T, (edges, edges))[0]
    blurred = ndimage.gaussian_filter(counts, 6)
    widefield = blurred.reshape(n, 5, n, 5).sum(axis=(1, 3))
    photons = rng.poisson(widefield / widefield.max() * 400 + 10).astype(np.uint16)
    attrs = {"pixel_size_nm": dict.fromkeys("yx", COARSE_NM)}
    image = xr.DataArray(photons, dims=("y", "x"), attrs=attrs)
    write_image(folder / "cell_wf.tif", image)
    return folder


def make(field, output, **options):
    values = {
        "kind": "xmicroscopy",
        "table": str(field / "cell.csv"),
        "widefield": str(field / "cell_wf.tif"),
        "localizations": 1000,
        "subsamplings": 2,
        "output": output,
    }
    return Pairs(**(values | options)).run(silent)


def test_a_table_and_its_widefield_image_become_a_field(field, tmp_path):
    make(field, tmp_path / "s")
    folder = open_storm(tmp_path / "s")
    one = folder.fields[0]
    full, widefield = one.full().values, one.widefield().values
    assert full.shape == widefield.shape == (EDGE_PX, EDGE_PX)
    sparse = [image.values for image in one.sparse()]
    assert len(sparse) == 2
    assert not np.array_equal(*sparse)
    assert (sparse[0] > 0).sum() < (one.dense()[0].values > 0).sum() < (full > 0).sum()
    assert full.max() == pytest.approx(1)
    row = pd.read_csv(tmp_path / "s" / "fields.csv").iloc[0]
    assert row.shift_y_px == pytest.approx(1.5, abs=0.1)
    assert row.shift_x_px == pytest.approx(-0.6, abs=0.1)
    inner = np.s_[40:-40, 40:-40]
    blurred = ndimage.gaussian_filter(full, 6)
    lies = np.corrcoef(blurred[inner].ravel(), widefield[inner].ravel())[0, 1]
    off = np.corrcoef(np.roll(blurred, 7, 0)[inner].ravel(), widefield[inner].ravel())[0, 1]
    assert lies > 0.95
    assert lies > off + 0.1


def test_more_localizations_than_there_are_is_an_error(field, tmp_path):
    with pytest.raises(TableError, match=r"100000 are asked for"):
        make(field, tmp_path / "s", localizations=100_000)
    assert not (tmp_path / "s").exists()


def test_a_table_of_another_field_is_refused(field, tmp_path):
    table = pd.read_csv(field / "cell.csv")
    table["y [nm]"] = EDGE_PX * FINE_NM - table["y [nm]"]
    table.to_csv(tmp_path / "cell.csv", index=False)
    with pytest.raises(ImageError, match="details agree by"):
        make(field, tmp_path / "s", table=str(tmp_path / "cell.csv"), min_agreement=0.6)


def test_simulated_fields_have_all_their_images(tmp_path):
    Pairs(kind="xmicroscopy", simulate="widefield-storm", fields=3, output=tmp_path / "s").run(
        silent
    )
    folder = open_storm(tmp_path / "s")
    assert {field.part for field in folder.fields} == {"training", "validation", "test"}
    field = folder.fields[0]
    assert len(field.sparse()) == len(field.dense()) == 3
    assert field.sparse()[0].values.mean() < field.full().values.mean()
    assert (tmp_path / "s" / "page.html").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to make fields from"),
        ({"table": "t.csv"}, "nothing to make fields from"),
        ({"input": "x"}, "for kind pairs"),
    ],
)
def test_requests_for_fields_that_mean_nothing_are_refused(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        Pairs(kind="xmicroscopy", output=tmp_path / "s", **options).run(silent)
