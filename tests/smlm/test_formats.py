"""Tables as other programs write them: headings copied from their sources, and real exports."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from bridge.errors import OutputError, TableError
from bridge.smlm.table import read_table, write_table

EXPORTS = Path(__file__).parents[3] / "shared" / "data" / "thunderstorm_exports"
SIX = {"frame": 5, "x_nm": 1000.0, "y_nm": 2000.0, "z_nm": 30.0, "photons": 900.0}


def save(folder: Path, heading: str, row: str) -> Path:
    path = folder / "t.csv"
    path.write_bytes(f"{heading}\n{row}\n".encode())
    return path


# Headings as in jungmannlab/picasso picasso/io.py, super-resolution/Locan, jries/SMAP,
# cleterrier/ChriSTORM, the SMLM challenge's files, the Deep-STORM notebook and Nikon's exports.
TEXTS = {
    "ThunderSTORM 3D": (
        '"id","frame","x [nm]","y [nm]","z [nm]","sigma1 [nm]","sigma2 [nm]","intensity [photon]",'
        '"offset [photon]","bkgstd [photon]","chi2","uncertainty_xy [nm]","uncertainty_z [nm]"',
        "1,5,1000,2000,30,150,160,900,12,4,7,8,Infinity",
        SIX | {"sigma1_nm": 150, "sigma2_nm": 160, "background": 12, "uncertainty_xy_nm": 8},
    ),
    "ThunderSTORM v1.3": (
        '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]","offset [photon]",'
        '"bkgstd [photon]","chi2","uncertainty [nm]"',
        "1.0,5.0,1.0E3,2000.0,150.0,900.0,12.0,4.0,1.2345678912345679E8,1.0E-7",
        {"id": 1, "frame": 5, "x_nm": 1000, "chi2": 123456789.12345679, "uncertainty_xy_nm": 1e-7},
    ),
    "ThunderSTORM simulator, 3D": (
        '"id","frame","x [nm]","y [nm]","sigma1 [nm]","sigma2 [nm]","angle [rad]",'
        '"intensity [photon]","offset [photon]","bkgstd [photon]","z [nm]"',
        "1,5,1000,2000,150,160,0.1,900,1490.4,5.477,30",
        SIX,
    ),
    "after an evaluation": (
        '"id","frame","x [nm]","y [nm]","gt_id","gt_dist_xy [nm]","gt_dist_z [nm]"',
        "1,5,1000,2000,0,Infinity,Infinity",
        {"frame": 5, "x_nm": 1000, "y_nm": 2000},
    ),
    "Picasso's export": (
        "id,frame,x [nm],y [nm],sigma [nm],intensity [photon],offset [photon],bkgstd [photon],"
        "uncertainty_xy [nm],detections",
        "0,5,1000.0,2000.0,150.0,900,12,0,1e-05,1",
        {"id": 0, "frame": 5, "uncertainty_xy_nm": 1e-5, "detections": 1},
    ),
    "locan": (
        "original_index,frame,x [nm],y [nm],local_background,uncertainty_xy [nm]",
        "7,5,1000,2000,3,1e-05",
        {"frame": 5, "uncertainty_xy_nm": 1e-5},
    ),
    "SMAP": (
        "xnm,ynm,znm,frame,phot,bg,locprecnm,locprecznm,PSFxnm,PSFynm,channel",
        "1000,2000,30,5,900,12,8,20,150,160,1",
        SIX | {"sigma1_nm": 150, "sigma2_nm": 160, "uncertainty_z_nm": 20, "background": 12},
    ),
    "the challenge": (
        "Ground-truth, frame, xnano, ynano, znano, intensity ",
        "17, 5, 1000, 2000, 30, 900",
        SIX | {"id": 17},
    ),
    "the Deep-STORM notebook's predictions": (
        "frame,x [nm],y [nm],confidence [a.u]",
        "5,1000,2000,0.7",
        {"frame": 5, "x_nm": 1000, "y_nm": 2000},
    ),
    "the Deep-STORM notebook's labels": (
        ",frame,x [nm],y [nm],Photon #,Sigma [nm]",
        "0,5,1000,2000,900,150",
        {"frame": 5, "photons": 900, "sigma_nm": 150},
    ),
    "Nanoimager": (
        "Channel,Frame,X (nm),Y (nm),Z (nm),X precision (nm),Y precision (nm),Photons,Background",
        "0,5,1000,2000,30,6,8,900,12",
        SIX | {"uncertainty_x_nm": 6, "uncertainty_xy_nm": np.sqrt(50)},
    ),
    "Nanoimager, later": ("x-nm,y-nm,frame,channel", "1000,2000,5,0", {"x_nm": 1000}),
    "N-STORM": (
        "Channel Name\tX\tY\tXc\tYc\tHeight\tFrame\tLength\tZ\tPhotons"
        "\tLateral Localization Accuracy",
        "647\t1000\t2000\t1011\t2022\t55\t5\t2\t30\t900\t8",
        SIX | {"detections": 2, "uncertainty_xy_nm": 8},
    ),
    "ChriSTORM": (
        '"frame","x [nm]","y [nm]","z [nm]","intensity [photon]","offset [photon]",'
        '"uncertainty_xy [nm]","uncertainty_z [nm]","detections"',
        "5,1000,2000,30,900,12,8,20,1",
        SIX,
    ),
    "Abbelight": (
        '"id","frame","x [nm]","y [nm]","z [nm]","sigma [nm]","intensity [photon]",'
        '"amplitude [photon]","sigma_x [nm]","sigma_y [nm]","ratio_demixing"',
        "1,5,1000,2000,30,155,900,3,150,160,0.5",
        SIX | {"sigma_nm": 155, "sigma1_nm": 150, "sigma2_nm": 160},
    ),
    "MATLAB's readtable": (
        "id,frame,x_nm_,y_nm_,intensity_photon_",
        "1,5,1000,2000,900",
        {"x_nm": 1000, "photons": 900},
    ),
    "R": (
        '"","frame","x..nm.","y..nm.","intensity..photon."',
        '"1",5,1000,2000,900',
        {"x_nm": 1000, "photons": 900},
    ),
    "more headings than cells": (
        "frame\tx [nm]\ty [nm]\tz [nm]\tuncertainty_xy [nm]\tuncertainty_z [nm]",
        "5\t1000\t2000\t30",
        {"frame": 5, "z_nm": 30},
    ),
    "our own names": (
        "frame,x_nm,y_nm,photons,background,uncertainty_photons",
        "5,1000,2000,900,12,30",
        {"photons": 900, "background": 12, "uncertainty_photons": 30},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_of_each_program_is_read(tmp_path, name):
    heading, row, expected = TEXTS[name]
    table = read_table(save(tmp_path, heading, row))
    assert len(table) == 1
    found = {column: table[column][0] for column in expected}
    assert found == pytest.approx(expected)


def test_the_format_can_be_said(tmp_path):
    path = save(tmp_path, "frame,x,y,photons,sx,sy,bg,lpx,lpy", "4,10,20,900,1,2,12,0.1,0.1")
    with pytest.raises(TableError, match="no unit"):
        read_table(path)
    row = read_table(path, format="picasso", pixel_size_nm=100).iloc[0]
    assert (row.frame, row.x_nm, row.y_nm, row.sigma1_nm) == (5, 1050, 2050, 100)
    assert row.sigma_nm == pytest.approx(100 * np.sqrt(2))


# ---------------------------------------------------------------- Picasso


def save_picasso(folder: Path, *documents: object, **columns: list[float]) -> Path:
    path = folder / "locs.hdf5"
    rows = np.zeros(
        len(next(iter(columns.values()))),
        dtype=[(name, "u4" if name == "frame" else "f4") for name in columns],
    )
    for name, values in columns.items():
        rows[name] = values
    with h5py.File(path, "w") as file:
        file.create_dataset("locs", data=rows)
    if documents:
        path.with_suffix(".yaml").write_text(yaml.safe_dump_all(documents))
    return path


def test_picassos_table_is_read_with_its_yaml(tmp_path):
    path = save_picasso(
        tmp_path, {"Frames": 9, "Width": 64}, {"Generated by": "Picasso", "Pixelsize": 130},
        frame=[0, 4], x=[0, 10.25], y=[0, 20], photons=[1, 2], sx=[1, 2], sy=[1, 2], bg=[3, 4],
        lpx=[0.1, 0.3], lpy=[0.1, 0.4], net_gradient=[5, 6],
    )  # fmt: skip
    table = read_table(path)
    assert table.frame.tolist() == [1, 5]
    assert table.x_nm.tolist() == [65, 10.75 * 130]
    assert table.y_nm.tolist() == [65, 20.5 * 130]
    assert table.sigma_nm.tolist() == [130, 260]
    assert table.uncertainty_xy_nm[1] == pytest.approx(130 * np.sqrt((0.09 + 0.16) / 2))
    assert table.attrs["pixel_size_nm"] == 130
    assert "net_gradient" in table.attrs["history"][1]


def test_picassos_table_without_a_pixel_size_is_refused(tmp_path):
    path = save_picasso(tmp_path, frame=[0], x=[1], y=[1])
    with pytest.raises(TableError, match="pixel_size_nm"):
        read_table(path)
    table = read_table(path, pixel_size_nm=100)
    assert table.x_nm[0] == 150
    assert "locs.yaml is missing" in table.attrs["warnings"][0]
    (tmp_path / "locs.yaml").write_text("{: [")
    assert "can't be read" in read_table(path, pixel_size_nm=100).attrs["warnings"][0]


def test_a_pixel_size_that_contradicts_picassos_yaml_is_refused(tmp_path):
    path = save_picasso(tmp_path, {"Pixelsize": 130}, frame=[0], x=[1], y=[1])
    with pytest.raises(TableError, match="130 nm"):
        read_table(path, pixel_size_nm=100)


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"frame": [0], "x": [1]}, "no y"), ({"frame": [], "x": [], "y": []}, "no rows"),
     ({"frame": [0, 1], "x": [1, np.nan], "y": [1, 1]}, "row 2, column 'x'")],
)  # fmt: skip
def test_picassos_bad_tables_are_refused(tmp_path, columns, said):
    with pytest.raises(TableError, match=said):
        read_table(save_picasso(tmp_path, {"Pixelsize": 130}, **columns))


def test_another_hdf5_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = [1]
    with pytest.raises(TableError, match="HDF5 file with images in it"):
        read_table(tmp_path / "a.h5")


# ---------------------------------------------------------------- DECODE

DECODE = "x,y,z,id,frame_ix,phot,prob,bg,phot_cr,x_sig,y_sig,z_sig"


@pytest.mark.parametrize(("unit", "scale"), [("px", 1.0), ("nm", 100.0)])
def test_decodes_csv_is_read_by_its_metadata(tmp_path, unit, scale):
    meta = json.dumps({"xy_unit": unit, "px_size": [100.0, 100.0]})
    row = f"{9.5 * scale},{19.5 * scale},30,3,4,900,0.9,12,nan,{0.1 * scale},{0.2 * scale},20"
    path = save(tmp_path, f"# DECODE EmitterSet\n# {{}}\n# {meta}\n{DECODE}", row)
    found = read_table(path).iloc[0].to_dict()
    expected = SIX | {"id": 3, "x_nm": 2000, "y_nm": 1000, "probability": 0.9, "background": 12}
    expected |= {"uncertainty_x_nm": 20, "uncertainty_y_nm": 10, "uncertainty_z_nm": 20}
    expected["uncertainty_xy_nm"] = np.sqrt(250)
    assert found == pytest.approx(expected)


def test_decodes_csv_without_its_metadata_is_refused(tmp_path):
    with pytest.raises(TableError, match="column 'x': has no unit"):
        read_table(save(tmp_path, DECODE, "1,2,3,4,5,6,7,8,9,1,1,1"), pixel_size_nm=100)


def test_decodes_pixels_must_be_square(tmp_path):
    meta = json.dumps({"xy_unit": "px", "px_size": [100.0, 120.0]})
    path = save(tmp_path, f"# DECODE EmitterSet\n# {meta}\nx,y,frame_ix", "1,2,3")
    with pytest.raises(TableError, match="100 x 120 nm"):
        read_table(path)


def test_decodes_hdf5_is_read(tmp_path):
    path = tmp_path / "emitter.h5"
    with h5py.File(path, "w") as file:
        file.create_group("meta").attrs.update(xy_unit="px", px_size=[100.0, 100.0])
        file.create_group("decode").attrs["version"] = "0.10.1"
        data = file.create_group("data")
        data["xyz"] = np.array([[9.5, 19.5, 30.0]], np.float32)
        data["xyz_sig"] = np.array([[0.1, 0.2, 20.0]], np.float32)
        data["frame_ix"], data["id"], data["phot"] = [4], [3], [900.0]
        data["bg"] = h5py.Empty("f4")
        data["xyz_cr"] = h5py.Empty("f4")
    table = read_table(path)
    assert (table.x_nm[0], table.y_nm[0], table.z_nm[0]) == (2000, 1000, 30)
    assert (table.frame[0], table.photons[0]) == (5, 900)
    assert table.uncertainty_x_nm[0] == pytest.approx(20)
    assert "background" not in table


# ---------------------------------------------------------------- there and back


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 50
    table = pd.DataFrame(
        {
            "id": np.arange(1, n + 1),
            "frame": np.sort(rng.integers(1, 9, n)),
            "x_nm": rng.uniform(0, 6400, n),
            "y_nm": rng.uniform(0, 3200, n),
            "z_nm": rng.normal(0, 200, n),
            "photons": rng.uniform(100, 2000, n),
            "background": rng.uniform(0, 20, n),
            "uncertainty_x_nm": rng.uniform(5, 20, n),
            "uncertainty_y_nm": rng.uniform(5, 20, n),
        }
    )
    table.attrs["pixel_size_nm"] = 100.0
    return table


@pytest.mark.parametrize(
    ("name", "table_format", "tolerance_nm"),
    [("t.csv", "thunderstorm", 5e-6), ("t.hdf5", "picasso", 1e-3), ("t.csv", "decode", 1e-9)],
)
def test_each_format_written_is_read_back(tmp_path, table, name, table_format, tolerance_nm):
    path = write_table(table, tmp_path / name, format=table_format)
    again = read_table(path, pixel_size_nm=100)
    for column in ("frame", "x_nm", "y_nm", "z_nm", "photons", "uncertainty_x_nm"):
        np.testing.assert_allclose(again[column], table[column], atol=tolerance_nm, rtol=1e-6)


def test_picassos_files_hold_what_picasso_asks_of_them(tmp_path, table):
    path = write_table(table.iloc[::-1], tmp_path / "t.hdf5")
    with h5py.File(path) as file:
        rows = file["locs"][()]
    assert {"frame", "x", "y", "photons", "lpx", "lpy"} <= set(rows.dtype.names)
    assert (np.diff(rows["frame"].astype(int)) >= 0).all()
    assert rows["frame"].min() == table["frame"].min() - 1
    info = list(yaml.safe_load_all((tmp_path / "t.yaml").read_text()))
    assert {"Width", "Height", "Frames"} <= set(info[0])
    assert info[0]["Width"] == int(np.ceil(table["x_nm"].max() / 100))
    assert info[1]["Pixelsize"] == 100


@pytest.mark.parametrize("table_format", ["picasso", "decode"])
def test_a_centre_origin_needs_the_pixel_size(tmp_path, table, table_format):
    table.attrs.clear()
    with pytest.raises(OutputError, match="pixel_size_nm"):
        write_table(table, tmp_path / "t.x", format=table_format)
    assert not list(tmp_path.iterdir())


def test_picassos_yaml_is_not_replaced_unasked(tmp_path, table):
    (tmp_path / "t.yaml").write_text("mine")
    with pytest.raises(OutputError, match=re.escape("t.yaml")):
        write_table(table, tmp_path / "t.hdf5")
    assert [p.name for p in tmp_path.iterdir()] == ["t.yaml"]


# ---------------------------------------------------------------- real exports


@pytest.mark.parametrize(
    ("name", "n_rows", "n_frames"),
    [
        ("coli/01_storm.csv", 29995, 1851),
        ("coli_with_frames/storm_table.csv", 48, 4),
        ("locan/Thunderstorm_dstorm_data.csv", 19, 2001),
    ],
)
def test_real_exports_are_read_as_pandas_reads_them(name, n_rows, n_frames):
    path = EXPORTS / name
    if not path.is_file():
        pytest.skip(f"needs ../shared/data/thunderstorm_exports/{name}")
    table = read_table(path)
    assert len(table) == n_rows
    assert table["frame"].max() == n_frames
    plain = pd.read_csv(path, skiprows=1, header=None)
    columns = ["id", "frame", "x_nm", "y_nm", "sigma_nm", "photons", "background",
               "background_std", "chi2", "uncertainty_xy_nm"]  # fmt: skip
    np.testing.assert_array_equal(table[columns].to_numpy(), plain.to_numpy(np.float64))
    assert table.attrs["warnings"] == []
