"""Tables of places: ours and Topaz's, and the line with which Topaz is asked."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import Cancelled, InputError, OutputError, RunError, TableError
from bridge.restoration.coordinates import (
    parse_plane_names,
    plane_name,
    read_places,
    write_places,
)
from bridge.restoration.detect import PLACE_COLUMNS
from bridge.restoration.topaz import find_with_topaz

# As topaz/extract.py prints it, and as its documentation shows it: x is the column, whole numbers.
TOPAZ_FILE = (
    "image_name\tx_coord\ty_coord\tscore\n"
    "cell_01\t12\t7\t3.2561102\n"
    "cell_01\t0\t255\t-1.75\n"
    "cell_02\t100\t31\t0.5\n"
)


def places(n: int = 3, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x_px": rng.uniform(0, 99, n), "y_px": rng.uniform(0, 99, n)})
    table = table.assign(image="cell", t=1, c=1, z=1, score=5.0, radius_px=3.0, **columns)
    return table[list(PLACE_COLUMNS)]


def test_topazs_file_is_read(tmp_path):
    path = tmp_path / "found.txt"
    path.write_text(TOPAZ_FILE)
    table = read_places(path)
    assert table["image"].tolist() == ["cell_01", "cell_01", "cell_02"]
    assert table["x_px"].tolist() == [12.5, 0.5, 100.5]  # from the corner: half a pixel more
    assert table["y_px"].tolist() == [7.5, 255.5, 31.5]
    assert table["score"].tolist() == pytest.approx([3.2561102, -1.75, 0.5])
    assert table[["t", "c", "z"]].eq(1).all(axis=None)


def test_topazs_training_targets_have_no_score(tmp_path):
    path = tmp_path / "targets.txt"
    path.write_text("# picked by hand\nimage_name\tx_coord\ty_coord\r\na\t3\t4\r\n\r\n")
    table = read_places(path)
    assert table["x_px"].tolist() == [3.5]
    assert table["score"].isna().all()


def test_what_is_written_for_topaz_is_what_topaz_writes(tmp_path):
    path = tmp_path / "found.txt"
    path.write_text(TOPAZ_FILE)
    again = write_places(read_places(path), tmp_path / "again.tsv")
    wanted, got = (pd.read_csv(p, sep="\t") for p in (path, again))
    pd.testing.assert_frame_equal(wanted, got)
    assert again.read_bytes().startswith(b"image_name\tx_coord\ty_coord\tscore\n")
    assert b"\r" not in again.read_bytes()


def test_topazs_pixel_is_the_one_that_holds_the_place(tmp_path):
    xy = np.random.default_rng(0).uniform(0, 5000, (200, 2))
    xy[:3] = [[0, 0], [1, 2], [0.999, 1.001]]
    table = places(200).assign(x_px=xy[:, 0], y_px=xy[:, 1])
    back = read_places(write_places(table, tmp_path / "t.txt"))
    np.testing.assert_array_equal(back[["x_px", "y_px"]], np.floor(xy) + 0.5)


def test_our_table_comes_back_as_it_was(tmp_path):
    table = places(5, x_nm=0.0).assign(t=[1, 1, 2, 2, 3], z=4)
    back = read_places(write_places(table, tmp_path / "a.csv"))
    np.testing.assert_allclose(back[["x_px", "y_px"]], table[["x_px", "y_px"]], atol=1e-3)
    assert back["t"].tolist() == [1, 1, 2, 2, 3]
    assert back["image"].tolist() == ["cell"] * 5


@pytest.mark.parametrize("ending", [".csv", ".txt"])
def test_a_table_without_rows_has_its_heading(tmp_path, ending):
    path = write_places(places(0), tmp_path / f"none{ending}")
    assert len(path.read_text().splitlines()) == 1
    assert len(read_places(path)) == 0


def test_planes_of_a_stack_are_images_of_their_own_to_topaz(tmp_path):
    table = places(2).assign(t=[1, 12], z=[3, 4])
    path = write_places(table, tmp_path / "stack.txt")
    assert "cell_t0012_c01_z0004\t" in path.read_text()
    back = read_places(path)
    assert back[["image", "t", "c", "z"]].to_numpy().tolist() == [
        ["cell", 1, 1, 3],
        ["cell", 12, 1, 4],
    ]


@given(
    name=st.text("ab_t0c1z", min_size=1, max_size=12),
    t=st.integers(1, 99999),
    c=st.integers(1, 120),
    z=st.integers(1, 20000),
)
@settings(max_examples=30)
def test_names_of_planes_come_apart_again(name, t, c, z):
    table = parse_plane_names(pd.DataFrame({"image": [plane_name(name, t=t, c=c, z=z)]}))
    assert table.iloc[0].tolist() == [name, t, c, z]


def test_nm_need_a_pixel_size(tmp_path):
    path = tmp_path / "nm.csv"
    path.write_text("x_nm,y_nm\n650,130\n")
    assert read_places(path, pixel_size_nm=65).loc[0, ["x_px", "y_px"]].tolist() == [10, 2]
    with pytest.raises(TableError, match="no pixel size is known"):
        read_places(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "columns are none"),
        ("a,b\n1,2\n", "columns are a, b"),
        ("x_px,y_px\n1,zwei\n", "'zwei' in row 1"),
        ("x_px,y_px\n1,2,3\n", "line 2 has 3 cells"),
        ("image_name\tx_coord\ty_coord\nA\t1\tnan\n", "'y_coord' holds 'nan'"),
    ],
)
def test_what_is_no_such_table_is_a_sentence(tmp_path, content, found):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(TableError, match=found):
        read_places(path)


def test_missing_and_binary_files_are_sentences(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        read_places(tmp_path / "none.csv")
    (tmp_path / "model.sav").write_bytes(b"\x80\x04\x95\xff\xfe")
    with pytest.raises(TableError, match="can't be read as text"):
        read_places(tmp_path / "model.sav")


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(OutputError, match="for Topaz"):
        write_places(places(), tmp_path / "a.xlsx")


RECORDER = """#!{python}
# Records how it was called, and answers with coordinates; it detects nothing.
import json, pathlib, sys
pathlib.Path({record!r}).write_text(json.dumps(sys.argv[1:]))
words = sys.argv[1:]
images = [w for w in words if w.endswith(".tif")]
text = "image_name\\tx_coord\\ty_coord\\tscore\\n"
for path in images:
    text += pathlib.Path(path).stem + "\\t4\\t9\\t2.5\\n"
{ending}
"""


@pytest.fixture
def recorder(tmp_path):
    """Give a script that records its arguments in place of Topaz, which isn't installed here."""

    def make(ending: str) -> tuple[Path, Path]:
        script, record = tmp_path / "record_arguments", tmp_path / "arguments.json"
        script.write_text(RECORDER.format(python=sys.executable, record=str(record), ending=ending))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        return script, record

    (tmp_path / "model.sav").write_bytes(b"not even a pickle: nobody may load it")
    return make


WRITES = 'pathlib.Path(words[words.index("--output") + 1]).write_text(text)'
PRINTS = 'print("# radius=3")\nprint(text)'  # as version 0.3 does although --output is given


@pytest.mark.parametrize("ending", [WRITES, PRINTS])
def test_topaz_is_asked_with_its_own_words_and_its_answer_read(recorder, tmp_path, ending):
    script, record = recorder(ending)
    planes = {"first": np.arange(600.0).reshape(20, 30), "second": np.ones((20, 30))}
    found = find_with_topaz(
        planes,
        model_path=tmp_path / "model.sav",
        radius_px=3.4,
        threshold=-2.5,
        program=str(script),
    )
    assert found["image"].tolist() == ["first", "second"]
    assert found["x_px"].tolist() == [4.5, 4.5]
    assert found["y_px"].tolist() == [9.5, 9.5]
    words = pd.read_json(record, typ="series").tolist()
    assert words[:7] == [
        "extract",
        "--model",
        str(tmp_path / "model.sav"),
        "--radius",
        "3",
        "--threshold",
        "-2.5",
    ]
    assert words[7] == "--output"
    assert len(words) == 11
    assert not Path(words[-1]).exists()  # nothing is left behind


def test_topaz_gets_standardised_planes(recorder, tmp_path):
    keep = tmp_path / "kept.tif"
    script, _ = recorder(f"import shutil; shutil.copy(images[0], {str(keep)!r})\n{WRITES}")
    plane = np.random.default_rng(0).normal(300, 20, (40, 50))
    find_with_topaz(
        {"a": plane}, model_path=tmp_path / "model.sav", radius_px=3, program=str(script)
    )
    seen = tifffile.imread(keep)
    np.testing.assert_allclose(seen, (plane - plane.mean()) / plane.std(), atol=1e-5)


def test_topazs_failures_are_told_in_its_words(recorder, tmp_path):
    model = tmp_path / "model.sav"
    script, _ = recorder('sys.exit("RuntimeError: invalid magic number")')
    with pytest.raises(RunError, match="invalid magic number"):
        find_with_topaz({"a": np.ones((9, 9))}, model_path=model, radius_px=3, program=str(script))
    script, _ = recorder("pass")
    with pytest.raises(RunError, match="left no coordinates"):
        find_with_topaz({"a": np.ones((9, 9))}, model_path=model, radius_px=3, program=str(script))


def test_a_missing_topaz_or_model_is_said_before_anything_runs(tmp_path):
    with pytest.raises(InputError, match="isn't installed"):
        find_with_topaz({}, model_path=tmp_path, radius_px=3, program="no-such-topaz")
    with pytest.raises(InputError, match="no such file"):
        find_with_topaz({}, model_path=tmp_path / "none.sav", radius_px=3, program=sys.executable)


def test_topaz_is_stopped_when_the_user_wants_it(recorder, tmp_path):
    script, record = recorder("import time; time.sleep(60)")

    def stop(done: int, total: int, note: str = "") -> None:
        if record.exists():
            raise Cancelled

    with pytest.raises(Cancelled):
        find_with_topaz(
            {"a": np.ones((9, 9))},
            model_path=tmp_path / "model.sav",
            radius_px=3,
            program=str(script),
            progress=stop,
        )
