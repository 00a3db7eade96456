"""Folders of pairs: what is written is read again, whole or not at all, and mistakes are named."""

import numpy as np
import pytest
import tifffile

from bridge.errors import ImageError, InputError, OutputError
from bridge.restoration.pair_folder import PairSettings, new_pairs, open_pairs
from bridge.restoration.split import split_fields

SETTINGS = PairSettings(
    scale=2, input_pixel_size_nm=80, target_pixel_size_nm=40, input_fwhm_nm=280, source="test"
)


def write_some(folder, n=4, **options):
    rng = np.random.default_rng(0)
    with new_pairs(folder, SETTINGS, **options) as writer:
        for i in range(n):
            writer.add(
                f"f{i}",
                "lines",
                ("training", "validation", "test")[min(i, 2)],
                input=rng.random((8, 10), np.float32),
                target=np.full((16, 20), i, np.float32),
                truth=np.full((16, 20), 10 + i, np.float32) if i else None,
                figures={"correlation": 0.5},
            )


def make_by_hand(folder, inputs, targets):
    for kind, shapes in (("input", inputs), ("target", targets)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, shape in shapes.items():
            tifffile.imwrite(folder / kind / f"{name}.tif", np.ones(shape, np.float32))


def test_what_is_written_is_read_again(tmp_path):
    write_some(tmp_path / "pairs")
    pairs = open_pairs(tmp_path / "pairs")
    assert pairs.scale == 2
    assert pairs.settings == SETTINGS
    assert (pairs.input_fwhm_nm, pairs.target_fwhm_nm) == (280, None)
    assert [f.name for f in pairs.of("test")] == ["f2", "f3"]
    field = pairs.of("validation")[0]
    assert field.target().values.tolist() == np.full((16, 20), 1.0).tolist()
    assert field.truth().values[0, 0] == 11
    assert pairs.fields[0].truth() is None
    assert field.input().attrs["pixel_size_nm"] == pytest.approx({"y": 80, "x": 80})
    assert field.figures["correlation"] == 0.5


def test_an_interrupted_folder_does_not_appear(tmp_path):
    def stop_halfway():
        with new_pairs(tmp_path / "pairs", SETTINGS) as writer:
            writer.add("a", "b", "test", input=np.ones((4, 4)), target=np.ones((8, 8)))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop_halfway()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_only_on_request_and_only_one_of_ours(tmp_path):
    write_some(tmp_path / "pairs", 4)
    with pytest.raises(OutputError, match="already"):
        write_some(tmp_path / "pairs", 3)
    assert len(open_pairs(tmp_path / "pairs").fields) == 4
    write_some(tmp_path / "pairs", 3, overwrite=True)
    assert len(open_pairs(tmp_path / "pairs").fields) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["pairs"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match="other things"):
        write_some(tmp_path / "other", overwrite=True)
    assert (tmp_path / "other" / "thesis.txt").read_text() == "years"


def test_a_folder_made_by_hand_is_split_and_its_scale_found(tmp_path):
    shapes = {f"cell{i}": (8, 6) for i in range(10)}
    make_by_hand(tmp_path, shapes, dict.fromkeys(shapes, (32, 24)))
    pairs = open_pairs(tmp_path)
    assert pairs.scale == 4
    counts = [len(pairs.of(part)) for part in ("training", "validation", "test")]
    assert counts == [6, 2, 2]


@pytest.mark.parametrize(
    ("inputs", "targets", "words"),
    [
        ({"a": (8, 8)}, {"b": (8, 8)}, "without a partner: a, b"),
        ({"a": (8, 8), "b": (8, 8)}, {"a": (8, 8), "b": (8, 7)}, r"b.tif: it has \(8, 7\)"),
        ({"a": (8, 8)}, {"a": (20, 20)}, "16, 16"),
        ({}, {}, "0 inputs, 0 targets"),
    ],
)
def test_hand_made_mistakes_are_named(tmp_path, inputs, targets, words):
    make_by_hand(tmp_path, inputs, targets)
    with pytest.raises(InputError, match=words):
        open_pairs(tmp_path)


def test_a_missing_folder_a_wrong_key_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        open_pairs(tmp_path / "none")
    write_some(tmp_path / "p")
    settings = tmp_path / "p" / "pairs.yaml"
    text = settings.read_text()
    settings.write_text(text + "colour: red\n")
    with pytest.raises(InputError, match="colour"):
        open_pairs(tmp_path / "p")
    settings.write_text(text)
    (tmp_path / "p" / "input" / "f1.tif").unlink()
    with pytest.raises(InputError, match=r"f1.*missing"):
        open_pairs(tmp_path / "p")


def test_names_cannot_leave_the_folder(tmp_path):
    write_some(tmp_path / "p")
    table = tmp_path / "p" / "pairs.csv"
    table.write_text(table.read_text().replace("f1,", "../../f1,"))
    with pytest.raises(InputError, match="no file's name"):
        open_pairs(tmp_path / "p")


def test_movies_and_nan_are_refused(tmp_path):
    make_by_hand(tmp_path, {"a": (8, 8)}, {"a": (8, 8)})
    image = np.ones((8, 8), np.float32)
    image[2, 3] = np.nan
    tifffile.imwrite(tmp_path / "input" / "a.tif", image)
    with pytest.raises(ImageError, match="1 of 64 pixels are no numbers"):
        open_pairs(tmp_path).fields[0].input()
    tifffile.imwrite(
        tmp_path / "input" / "a.tif", np.ones((5, 8, 8), np.uint8), metadata={"axes": "TYX"}
    )
    with pytest.raises(ImageError, match="one plane"):
        open_pairs(tmp_path).fields[0].input()


def test_the_split_is_stable_seeded_and_never_empty():
    names = {f"n{i}": "ab"[i % 2] for i in range(40)}
    parts = split_fields(names, seed=3)
    backwards = split_fields(dict(reversed(names.items())), seed=3)
    assert backwards == parts
    assert split_fields(names, seed=4) != parts
    for structure in "ab":
        mine = [parts[name] for name in names if names[name] == structure]
        assert [mine.count(p) for p in ("training", "validation", "test")] == [14, 3, 3]
    for n in range(3, 8):
        assert set(split_fields(dict.fromkeys(map(str, range(n)), "x")).values()) == {
            "training",
            "validation",
            "test",
        }
    assert set(split_fields({"a": "x", "b": "x"}).values()) == {"training"}
