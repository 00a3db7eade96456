"""Reading and writing tables: what is kept, what is refused, what ThunderSTORM makes of it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import OutputError, TableError
from bridge.smlm.columns import COLUMNS, REQUIRED
from bridge.smlm.table import read_table, write_table

HEADING = '"id","frame","x [nm]","y [nm]","sigma [nm]","intensity [photon]"'
ROWS = ("1,1,150.5,250.25,110,800", "2,3,1150,2250,120,900")


def save(folder: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(*rows: str, end: str = "\n") -> str:
    return end.join([HEADING, *rows]) + end


def protocol(folder: Path, **content: object) -> None:
    (folder / "t-protocol.txt").write_text(json.dumps(content))


# ---------------------------------------------------------------- how a file is written


@pytest.mark.parametrize(
    "text",
    [
        lines(*ROWS),
        lines(*ROWS, end="\r\n"),
        lines(*ROWS, end="\r"),
        lines(*ROWS).rstrip("\n"),
        "\ufeff" + lines(*ROWS),
        lines(ROWS[0], "", ROWS[1], "", ""),
        lines(ROWS[0], "\t ", ROWS[1]),
        lines("1.0,1.0,1.505E2,250.25,1.1e+02,8.0E+2", "2.0,3.0,1.15E3,2250,120,900"),
        lines(*(row.replace(",", " , ") for row in ROWS)),
        lines(*(",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS)),
        lines(*(row + "," for row in ROWS)),
        lines(*ROWS).replace(",", "\t"),
        lines(*ROWS).replace('"', ""),
        lines(*ROWS).replace('"', "'"),
        lines(*ROWS).replace(",", ";"),
        lines(*ROWS).replace(",", ";").replace(".", ","),
        "\ufeff" + lines(*ROWS, end="\r\n").replace(",", ";").replace(".", ","),
        lines(*ROWS).replace(",", "\t").replace(".", ","),
        lines(*ROWS).replace(HEADING, '"' + HEADING.replace('"', '""')[2:-2] + '"'),
        lines(*ROWS).replace('[photon]"', '[photon]",'),
        "# a remark\n\n" + lines(*ROWS),
    ],
    ids=[
        "LF", "CRLF", "CR", "no end of line", "byte order mark", "blank lines", "padded blank line",
        "floats and exponents", "padded cells", "quoted cells", "blank last cell", "tabs",
        "bare heading", "single quotes", "semicolons", "decimal commas", "saved by Excel",
        "tabs and decimal commas", "heading in one quoted field", "blank last heading", "comment",
    ],
)  # fmt: skip
def test_the_same_table_written_in_many_ways(tmp_path, text):
    table = read_table(save(tmp_path, text))
    expected = pd.DataFrame(
        {
            "id": [1, 2],
            "frame": [1, 3],
            "x_nm": [150.5, 1150.0],
            "y_nm": [250.25, 2250.0],
            "sigma_nm": [110.0, 120.0],
            "photons": [800.0, 900.0],
        }
    )
    pd.testing.assert_frame_equal(table, expected)
    assert table.attrs["warnings"] == []


def test_utf16_and_western_encodings_are_read(tmp_path):
    text = "id,frame,x [\u00b5m],y [\u00b5m]\n1,1,1.5,2.5\n"
    for encoding in ("utf-8", "utf-16", "cp1252"):
        table = read_table(save(tmp_path, text.encode(encoding)))
        assert table[["x_nm", "y_nm"]].to_numpy().tolist() == [[1500.0, 2500.0]]


def test_columns_come_in_our_order_and_only_those_known(tmp_path):
    table = read_table(save(tmp_path, "loglikelihood,y [nm],frame,gt_id,x [nm]\n-3,20,1,7,10\n"))
    assert list(table) == ["frame", "x_nm", "y_nm"]
    assert "'loglikelihood', 'gt_id'" in table.attrs["history"][1]


def test_only_some_columns_can_be_read(tmp_path):
    table = read_table(save(tmp_path, lines(*ROWS)), columns=["photons"])
    assert list(table) == [*REQUIRED, "photons"]


def test_a_table_can_be_changed_after_reading(tmp_path):
    table = read_table(save(tmp_path, lines(*ROWS)))
    table.loc[0, "x_nm"] = 5.0
    table["y_nm"].to_numpy(copy=False)
    assert table.loc[0, "x_nm"] == 5


def test_not_a_number_and_infinity_are_kept_where_they_mean_something(tmp_path):
    text = (
        "frame,x [nm],y [nm],uncertainty_z [nm],chi2\n"
        "1,1,2,Infinity,NaN\n"
        "1,1,2,-Infinity,\n"
        "1,2,3,4,5\n"
    )
    table = read_table(save(tmp_path, text))
    assert table["uncertainty_z_nm"].tolist() == [math.inf, -math.inf, 4.0]
    assert np.isnan(table["chi2"]).tolist() == [True, True, False]


# ---------------------------------------------------------------- units and the camera


def test_pixels_and_adu_are_converted_with_what_is_given(tmp_path):
    text = "frame,x [px],y [um],sigma [px],intensity [ADU],offset [photon]\n1,10.5,2,1.5,100,7\n"
    table = read_table(save(tmp_path, text), pixel_size_nm=80, photons_per_adu=3.6)
    row = table.iloc[0]
    assert (row.x_nm, row.y_nm, row.sigma_nm) == (840, 2000, 120)
    assert (row.photons, row.background) == (360, 7)
    assert table.attrs["pixel_size_nm"] == 80


@pytest.mark.parametrize(
    ("unit", "option"), [("x [px]", "pixel_size_nm"), ("intensity [ADU]", "photons_per_adu")]
)
def test_an_unknown_camera_is_refused_and_the_option_named(tmp_path, unit, option):
    text = "frame,x [nm],y [nm],intensity [photon]\n1,1,1,1\n"
    name = unit.split(" ")[0]
    text = re.sub(rf"{name} \[\w+\]", unit, text)
    with pytest.raises(TableError, match=option) as error:
        read_table(save(tmp_path, text))
    assert f"'{unit}'" in error.value.what


@pytest.mark.parametrize("heading", ["x", "x [cubit]", "x [photon]"])
def test_a_coordinate_without_a_known_unit_is_refused(tmp_path, heading):
    with pytest.raises(TableError, match="unit"):
        read_table(save(tmp_path, f"frame,{heading},y [nm]\n1,1,1\n"), pixel_size_nm=100)


def test_another_column_without_a_known_unit_is_left_out_with_a_warning(tmp_path):
    table = read_table(save(tmp_path, "frame,x [nm],y [nm],intensity\n1,1,1,1\n"))
    assert "photons" not in table
    assert table.attrs["warnings"] == ["'intensity' is left out: its unit isn't known."]


def test_the_protocol_gives_pixel_size_and_photons(tmp_path):
    camera = {"pixelSize": 160.0, "photons2ADU": 10.0, "quantumEfficiency": 0.5}
    em = {"isEmGain": True, "gain": 100.0}
    path = save(tmp_path, "frame,x [px],y [px],intensity [ADU]\n1,2,3,50\n")
    protocol(tmp_path, version="ThunderSTORM (dev)", cameraSettings=camera)
    row = read_table(path).iloc[0]
    assert (row.x_nm, row.y_nm, row.photons) == (320, 480, 1000)
    protocol(tmp_path, cameraSettings=camera | em)
    assert read_table(path).photons[0] == 10
    assert read_table(path).attrs["pixel_size_nm"] == 160


def test_two_pixel_sizes_are_refused(tmp_path):
    protocol(tmp_path, cameraSettings={"pixelSize": 80.0})
    path = save(tmp_path, lines(*ROWS))
    assert read_table(path, pixel_size_nm=80.0001).attrs["pixel_size_nm"] == 80.0001
    with pytest.raises(TableError, match=r"100 nm \(given\) and 80 nm \(t-protocol.txt\)"):
        read_table(path, pixel_size_nm=100)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_protocol_is_said_and_not_used(tmp_path, content):
    path = save(tmp_path, lines(*ROWS))
    (tmp_path / "t-protocol.txt").write_text(content)
    table = read_table(path)
    assert table.attrs["pixel_size_nm"] is None
    assert "t-protocol.txt" in table.attrs["warnings"][0]


def test_region_and_post_processing_are_warned_of(tmp_path):
    path = save(tmp_path, lines(*ROWS))
    bounds = {"x": 40, "y": 30, "width": 64, "height": 32}
    protocol(tmp_path, imageInfo={"roiBounds": bounds}, postProcessing=[{"name": "drift"}])
    doubts = read_table(path).attrs["warnings"]
    assert "drift" in doubts[0]
    assert "64 x 32 px from x = 40 px, y = 30 px" in doubts[1]
    moved = read_table(path, origin_x_nm=4000, origin_y_nm=3000)
    assert moved.x_nm[0] == 4150.5
    assert moved.y_nm[0] == 3250.25
    assert len(moved.attrs["warnings"]) == 1


def test_merged_rows_are_warned_of(tmp_path):
    text = "frame,x [nm],y [nm],detections\n1,1,1,1\n2,2,2,4\n3,3,3,2\n"
    table = read_table(save(tmp_path, text))
    assert table["detections"].dtype == np.int64
    assert table.attrs["warnings"][0].startswith("2 rows are merged")


# ---------------------------------------------------------------- frames, origin, axes


def test_frames_from_0_become_frames_from_1_with_a_warning(tmp_path):
    path = save(tmp_path, "frame,x [nm],y [nm]\n0,1,1\n7,1,1\n")
    table = read_table(path)
    assert table.frame.tolist() == [1, 8]
    assert "frame 0" in table.attrs["warnings"][0]
    assert read_table(path, frame_base=0).attrs["warnings"] == []
    with pytest.raises(TableError, match="frame_base"):
        read_table(path, frame_base=1)


def test_frames_are_never_renumbered_by_their_lowest(tmp_path):
    path = save(tmp_path, "frame,x [nm],y [nm]\n5,1,1\n7,1,1\n")
    assert read_table(path).frame.tolist() == [5, 7]
    assert read_table(path, frame_base=0).frame.tolist() == [6, 8]


def test_ids_from_0_recall_picassos_export(tmp_path):
    path = save(tmp_path, "id,frame,x [nm],y [nm]\n0,1,1,1\n1,7,1,1\n")
    assert "Picasso" in read_table(path).attrs["warnings"][0]
    assert read_table(path, frame_base=1).attrs["warnings"] == []


@pytest.mark.parametrize("frame", ["-1", "1.5", "1e300", "NaN", "Infinity", ""])
def test_a_frame_that_is_none_is_refused_with_its_line(tmp_path, frame):
    with pytest.raises(TableError, match="line 4"):
        read_table(save(tmp_path, f"frame,x [nm],y [nm]\n3,1,1\n\n{frame},1,1\n"))


def test_centre_origin_and_exchanged_axes(tmp_path):
    path = save(tmp_path, "frame,x [px],y [px],sigma1 [px],sigma2 [px]\n1,2,3,1,2\n")
    table = read_table(
        path, pixel_size_nm=100, pixel_origin="centre", swap_xy=True, origin_x_nm=1000
    )
    row = table.iloc[0]
    assert (row.x_nm, row.y_nm) == (1350, 250)
    assert (row.sigma1_nm, row.sigma2_nm) == (200, 100)
    with pytest.raises(TableError, match="pixel_size_nm"):
        read_table(save(tmp_path, lines(*ROWS)), pixel_origin="centre")


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        (HEADING + "\n", "no rows"),
        (HEADING, "no rows"),
        ("# only this\n", "comments"),
        ("frame,y [nm]\n1,1\n", "no column for x"),
        ("frame,x [nm]\n1,1\n", "no column for y"),
        ("x [nm],y [nm]\n1,1\n", "no column for frame"),
        ("a,b\n1,2\n", "no column for frame and x and y"),
        ("word\n1\n", "one heading"),
        ("frame,x [nm],y [nm],x [nm]\n1,1,1,1\n", "'x [nm]' is there more than once"),
        (lines(*ROWS) + "3,1,abc,1,1,1\n", "line 4, column 'x [nm]': 'abc' is not a number"),
        (lines(*ROWS) + "3,1,1_0,1,1,1\n", "line 4"),
        (lines(*ROWS) + "3,1,1,1,oops,1\n", "line 4, column 'sigma [nm]': 'oops'"),
        (lines(*ROWS) + "3,1,,1,1,1\n", "line 4, column 'x [nm]': the cell is empty"),
        (lines(*ROWS) + "3,1\n" + ROWS[0] + "\n", "line 4, column 'x [nm]': the cell is empty"),
        (lines(*ROWS) + "3,1,NaN,1,1,1\n", "line 4, column 'x [nm]': nan"),
        (lines(*ROWS) + "3,1,1,Infinity,1,1\n", "line 4, column 'y [nm]': inf"),
        (lines(*ROWS) + "3,1,1,1,1,1,5\n", "line 4 has 7 cells"),
        (lines("1,1,1,5,2,0,11,8"), "6 headings and 8 cells"),
        (lines(*ROWS) + "3,1,17.2", "its last line has 3 cells"),
        ("id,frame,x [nm],y [nm]\n1.5,1,1,1\n", "line 2, column 'id'"),
        ('# <localizations insequence="true">\n1 2 3\n', "rapidSTORM"),
    ],
)
def test_bad_text_is_refused(tmp_path, text, said):
    with pytest.raises(TableError, match=re.escape(said)) as error:
        read_table(save(tmp_path, text))
    assert "t.csv" in error.value.what


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"II*\x00" + bytes(99), "TIFF"),
        (b"PK\x03\x04" + bytes(99), "xlsx"),
        (b"\x1f\x8b\x08" + bytes(99), "gzip"),
        (b"abc\x00\x01\x02", "binary"),
    ],
)
def test_a_binary_file_is_refused(tmp_path, content, said):
    with pytest.raises(TableError, match=said):
        read_table(save(tmp_path, content))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(TableError, match="folder"):
        read_table(tmp_path)


@pytest.mark.parametrize("name", ["pixel_size_nm", "photons_per_adu"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_impossible_settings_are_refused(tmp_path, name, value):
    with pytest.raises(TableError, match=name):
        read_table(save(tmp_path, lines(*ROWS)), **{name: value})


# ---------------------------------------------------------------- writing


def java_number(cell: str) -> float:
    """Parse a number as ``DecimalFormat.parse`` with US symbols does: the longest prefix."""
    match = re.match(r"-?(NaN|Infinity|\d+(\.\d*)?(E-?\d+)?|\.\d+(E-?\d+)?)", cell)
    if match is None:
        raise ValueError(cell)
    return float(match[0])


def import_by_thunderstorm(path: Path) -> dict[str, list[float]]:
    """Read a table by the rules of ThunderSTORM's own importer (DLMImportExport, 2016 builds)."""
    text = path.read_bytes().decode("utf-8")
    first, *rest = text.split("\n")
    header = [re.sub(r"^(['\"`])(.*)\1$", r"\2", cell.strip()) for cell in first.split(",")]
    columns: dict[str, list[float]] = {name: [] for name in header}
    for line in rest:
        cells = line.split(",")
        while cells and not cells[-1]:
            cells.pop()  # String.split drops empty cells at the end
        if len(cells) != len(header):
            continue
        for name, cell in zip(header, cells, strict=True):
            columns[name].append(java_number(cell))
    return columns


NUMBERS = st.one_of(
    st.floats(-1e6, 1e6),
    st.floats(-1e-4, 1e-4),
    st.sampled_from([0.0, -0.0, 1e-7, 1e15, 123456789.123456789]),
)
ODD = st.one_of(NUMBERS, st.sampled_from([math.nan, math.inf, -math.inf]))


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Give a table with some of our columns."""
    n = draw(st.integers(1, 12))
    names = draw(st.lists(st.sampled_from([*COLUMNS]), unique=True))
    table = {}
    for name in (c for c in COLUMNS if c in REQUIRED or c in names):
        if COLUMNS[name].dtype == "int64":
            table[name] = draw(st.lists(st.integers(1, 2**31), min_size=n, max_size=n))
        else:
            values = NUMBERS if name in REQUIRED else ODD
            table[name] = draw(st.lists(values, min_size=n, max_size=n))
    return pd.DataFrame(table)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(table=tables())
def test_what_is_written_is_read_back_and_imported_by_thunderstorm(tmp_path, table):
    path = write_table(table, tmp_path / "t.csv", overwrite=True)
    again, imported = read_table(path), import_by_thunderstorm(path)
    assert list(imported)[:2] == ["id", "frame"]
    assert b"\r" not in path.read_bytes()
    for name in table:
        values = table[name].to_numpy(np.float64)
        theirs = np.array(imported[COLUMNS[name].heading])
        np.testing.assert_allclose(theirs, values, atol=5.01e-6, rtol=1e-15)
        if name in again or not np.isnan(values).all():
            np.testing.assert_allclose(again[name], values, atol=5.01e-6, rtol=1e-15)
            assert again[name].dtype == COLUMNS[name].dtype


def test_the_importer_above_misreads_what_the_real_one_misreads():
    assert java_number("1.5e-3") == 1.5
    assert java_number("1.5E+03") == 1.5
    assert java_number("1.5E3") == 1500
    for cell in ("nan", "inf", "+5", "-"):
        with pytest.raises(ValueError, match=re.escape(cell)):
            java_number(cell)


def test_the_file_is_as_thunderstorm_writes_it(tmp_path):
    table = pd.DataFrame({"y_nm": [2.5, 1e-7], "frame": [3, 4], "x_nm": [1.0, -1.0], "own": [0, 0]})
    table["uncertainty_z_nm"] = [math.inf, math.nan]
    text = write_table(table, tmp_path / "t.csv").read_text()
    assert text == (
        '"id","frame","x [nm]","y [nm]","uncertainty_z [nm]"\n'
        "1,3,1.00000,2.50000,Infinity\n"
        "2,4,-1.00000,0.00000,NaN\n"
    )


def test_a_table_without_rows_is_written_with_its_headings(tmp_path):
    table = pd.DataFrame({"frame": [], "x_nm": [], "y_nm": []})
    path = write_table(table, tmp_path / "t.csv")
    assert path.read_text() == '"id","frame","x [nm]","y [nm]"\n'


def test_an_output_is_not_replaced_unasked_and_never_left_half(tmp_path, monkeypatch):
    table = pd.DataFrame({"frame": [1], "x_nm": [1.0], "y_nm": [1.0]})
    path = write_table(table, tmp_path / "deep" / "t.csv")
    before = path.read_bytes()
    with pytest.raises(OutputError, match="already"):
        write_table(table, path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bridge.smlm.table_out.write_thunderstorm", full)
    with pytest.raises(OutputError, match="No space"):
        write_table(table, path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("t.docx", "ending in '.docx'"), ("a/b/c/t.csv", "folder"), (".", "folder")],
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path, name, said):
    table = pd.DataFrame({"frame": [1], "x_nm": [1.0], "y_nm": [1.0]})
    with pytest.raises(OutputError, match=re.escape(said)):
        write_table(table, tmp_path / name, format="auto" if "." in name[1:] else "thunderstorm")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"frame": [1], "x_nm": [1.0]}, "no column y_nm"),
        ({"frame": [1], "x_nm": [math.nan], "y_nm": [1.0]}, "x_nm of row 1 is nan"),
        ({"frame": [0], "x_nm": [1.0], "y_nm": [1.0]}, "a frame is 0"),
    ],
)
def test_a_table_that_is_none_is_not_written(tmp_path, columns, said):
    with pytest.raises(TableError, match=said):
        write_table(pd.DataFrame(columns), tmp_path / "t.csv")
    assert not list(tmp_path.iterdir())
