"""Bad files: each one gives an ImageError that names it, at opening or at reading."""

from __future__ import annotations

import contextlib
import os
import zipfile

import numpy as np
import pytest
import tifffile
import zarr
from image_files import MOVIE_WRITERS, ramp
from PIL import Image

from bridge.errors import ImageError
from bridge.images.read import find_images, open_image

MOVIE = ramp((5, 70, 50))
FILES = [name for name in MOVIE_WRITERS if "Zarr" not in name]


def expect_error(path, *words, **options):
    with pytest.raises(ImageError) as caught:
        open_image(path, **options).values  # noqa: B018 - reading is what may fail
    message = str(caught.value)
    assert str(path) in message
    for word in words:
        assert word in message
    assert len(message) < 600
    return caught.value


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("share", [0.0005, 0.02, 0.3, 0.6, 0.9, 0.99, 0.9999])
def test_a_file_cut_off_anywhere_is_an_error_or_still_whole(tmp_path, kind, share):
    ending, write = MOVIE_WRITERS[kind]
    path = tmp_path / f"movie{ending}"
    write(path, MOVIE)
    os.truncate(path, int(path.stat().st_size * share))
    with contextlib.suppress(ImageError):
        np.testing.assert_array_equal(open_image(path).values, MOVIE)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_with_noise_in_it_brings_no_foreign_error(tmp_path, kind):
    ending, write = MOVIE_WRITERS[kind]
    path = tmp_path / f"movie{ending}"
    write(path, MOVIE)
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(12):
        noisy = bytearray(whole)
        for place in rng.integers(0, min(len(noisy), 1200), 6):
            noisy[place] = rng.integers(256)
        path.write_bytes(noisy)
        with contextlib.suppress(ImageError):
            open_image(path).isel(y=slice(0, 5), x=slice(0, 5)).values  # noqa: B018


def test_a_missing_file_says_where_to_look(tmp_path):
    expect_error(tmp_path / "gone.tif", "no such file", str(tmp_path))
    expect_error(tmp_path / "gone" / "a.tif", "folder is missing too")


def test_an_empty_file_is_called_empty(tmp_path):
    for name in ("a.tif", "a.png", "a.npy"):
        (tmp_path / name).touch()
        expect_error(tmp_path / name, "empty")


def test_a_document_renamed_to_an_image_is_found_out(tmp_path):
    document = tmp_path / "letter.docx"
    with zipfile.ZipFile(document, "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    for name in ("a.tif", "a.png", "a.npy"):
        (tmp_path / name).write_bytes(document.read_bytes())
        expect_error(tmp_path / name)
    expect_error(tmp_path / "a.tif", "no TIFF file", "PK")


def test_a_text_file_renamed_to_npy_is_found_out(tmp_path):
    (tmp_path / "a.npy").write_text("1,2,3\n")
    expect_error(tmp_path / "a.npy")


def test_unknown_endings_and_folders_say_what_can_be_read(tmp_path):
    (tmp_path / "a.czi").write_bytes(b"x")
    expect_error(tmp_path / "a.czi", ".czi", "OME-Zarr", "Fiji")
    expect_error(tmp_path, "folder")


def test_arrays_that_are_no_images_are_refused(tmp_path):
    path = tmp_path / "a.npy"
    for array, word in (
        (np.zeros((4, 4), np.complex64), "complex64"),
        (np.zeros(4), "(4,)"),
        (np.zeros((0, 4)), "(0, 4)"),
        (np.full((4, 4), "a"), "str"),
        (np.zeros((4, 4), [("a", "f4")]), "void"),
    ):
        np.save(path, array)
        expect_error(path, word)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    expect_error(path)


def test_a_complex_tiff_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.complex64))
    expect_error(tmp_path / "a.tif", "complex64")


def test_five_axes_without_names_ask_for_them(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", ramp((2, 3, 4, 5, 6)), photometric="minisblack")
    expect_error(tmp_path / "a.tif", "2 x 3 x 4 x 5 x 6", "axes=")
    assert open_image(tmp_path / "a.tif", axes="tczyx").dims == ("t", "c", "z", "y", "x")


def test_a_damaged_tile_is_met_when_it_is_read_and_not_before(tmp_path):
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(1).integers(0, 60_000, (128, 128)).astype(np.uint16)
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        start, count = file.pages[0].dataoffsets[3], file.pages[0].databytecounts[3]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xff" * count)
    image = open_image(path)
    np.testing.assert_array_equal(image.isel(y=slice(0, 64)).values, pixels[:64])
    with pytest.raises(ImageError, match="damaged"):
        image.isel(y=slice(64, 128)).values  # noqa: B018


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, MOVIE, imagej=True)
    image = open_image(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ImageError, match="was changed"):
        image.values  # noqa: B018


def test_a_file_that_vanishes_while_it_is_read_is_an_image_error(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, MOVIE)
    image = open_image(path)
    path.unlink()
    with pytest.raises(ImageError):
        image.values  # noqa: B018


def test_a_cut_off_picture_is_an_error(tmp_path):
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 255, (99, 99)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    os.truncate(path, path.stat().st_size // 2)
    expect_error(path, "damaged")


def test_zarr_folders_without_an_image_are_refused(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.open_group(str(path), mode="w").create_group("well")
    expect_error(path, "well", "multiscales")
    (tmp_path / "b.zarr").mkdir()
    expect_error(tmp_path / "b.zarr", "folder")
    (path / "zarr.json").write_text("{")
    expect_error(path)


def test_zarr_metadata_may_not_point_outside_of_the_folder(tmp_path):
    secret = zarr.create_array(str(tmp_path / "secret"), shape=(4, 4), dtype="u1", chunks=(4, 4))
    secret[...] = 7
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    axes = [{"name": "y"}, {"name": "x"}]
    group.attrs["ome"] = {"multiscales": [{"axes": axes, "datasets": [{"path": "../secret"}]}]}
    expect_error(tmp_path / "a.zarr", "outside")


def test_a_damaged_zarr_block_is_an_image_error(tmp_path):
    ending, write = MOVIE_WRITERS["OME-Zarr"]
    path = tmp_path / f"a{ending}"
    write(path, MOVIE)
    block = next(p for p in (path / "s0" / "c").rglob("*") if p.is_file())
    block.write_bytes(b"noise")
    expect_error(path, "damaged")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, MOVIE)
    path.chmod(0)
    expect_error(path, "may not read")
    tmp_path.chmod(0)
    expect_error(path, "may not read")
    with pytest.raises(ImageError, match="may not read"):
        find_images([tmp_path])
    tmp_path.chmod(0o700)
