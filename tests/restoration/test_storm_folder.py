"""Folders for X-Microscopy: ours and the original layout, and what is missing in them."""

import numpy as np
import pytest
import tifffile

from bridge.errors import ImageError, InputError
from bridge.restoration.storm_folder import StormSettings, new_storm, open_storm


def put(folder, *names, shape=(8, 8)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", np.ones(shape, np.uint8))


def test_what_is_written_is_read_again(tmp_path):
    settings = StormSettings(pixel_size_nm=20, localizations=500, seed=1)
    parts = ("training", "validation", "test")
    with new_storm(tmp_path / "s", settings) as writer:
        for number, part in enumerate(parts):
            images = [np.full((6, 5), 10 * number + i, np.float32) for i in range(6)]
            writer.add(
                f"cell-{number}",
                part,
                widefield=images[0],
                sparse=images[1:4],
                dense=images[4:5],
                full=images[5],
            )
    folder = open_storm(tmp_path / "s")
    assert folder.settings == settings
    field = folder.of("test")[0]
    assert field.name == "cell-2"
    assert [image.values[0, 0] for image in field.sparse()] == [21, 22, 23]
    assert [image.values[0, 0] for image in field.dense()] == [24]
    assert field.widefield().values[0, 0] == 20
    assert field.full().values[0, 0] == 25
    assert field.full().attrs["pixel_size_nm"] == pytest.approx({"y": 20, "x": 20})


@pytest.mark.parametrize("by_field", [False, True])
def test_the_original_layout_is_read(tmp_path, by_field):
    for field in ("1", "2", "3"):
        group = tmp_path / f"field{field}" if by_field else tmp_path
        put(group / "wf", f"{field}-1")
        put(group / "U-SRM", *(f"{field}-{i}" for i in range(1, 12)))
        put(group / "W-SRM", *(f"{field}-{i}" for i in range(1, 4)))
    folder = open_storm(tmp_path)
    names = ["field1_1", "field2_2", "field3_3"] if by_field else ["1", "2", "3"]
    assert [field.name for field in folder.fields] == names
    assert [path.stem for path in folder.fields[1].sparse_paths][-2:] == ["2-10", "2-11"]
    assert len(folder.fields[2].dense()) == 3
    assert folder.fields[0].full() is None
    assert {field.part for field in folder.fields} == {"training", "validation", "test"}


def test_a_field_without_one_of_its_images_is_named(tmp_path):
    put(tmp_path / "wf", "a", "b")
    put(tmp_path / "u_srm", "a_1", "a_2")
    with pytest.raises(InputError, match=r"'b' has no image in u_srm.*1 in wf"):
        open_storm(tmp_path)


def test_a_widefield_image_on_another_grid_is_named_with_its_scale(tmp_path):
    put(tmp_path / "wf", "a")
    put(tmp_path / "u_srm", "a_1", shape=(40, 40))
    with pytest.raises(ImageError, match=r"a_1.tif: it has \(40, 40\).*5 times"):
        open_storm(tmp_path)


def test_a_colour_image_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="no folder 'wf'"):
        open_storm(tmp_path)
    put(tmp_path / "u_srm", "a_1")
    (tmp_path / "wf").mkdir()
    colours = np.zeros((8, 8, 3), np.uint8)
    tifffile.imwrite(tmp_path / "wf" / "a.tif", colours, photometric="rgb")
    with pytest.raises(ImageError, match="one plane"):
        open_storm(tmp_path).fields[0].widefield()
