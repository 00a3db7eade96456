"""Images between ImageJ and the worker, through the Groovy client: pixels, units, overlay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from groovy_process import IMAGES, Groovy

from bridge.images.units import length_in_nm, time_in_s


def echo(groovy: Groovy, code: str, **arguments: Any) -> Any:
    """Send the image of a snippet through the worker and back."""
    return groovy.run(
        f"{IMAGES}\ndef imp = {code}\ndef a = echo(client, imp)\n"
        + """
        def out = a.images[0].picture
        def isSame = imp.bitDepth == 24 || imp.roi != null ? null : planes(out) == planes(imp)
        return [facts: a.facts, same: isSame,
                dimensions: out.dimensions.toList(), bits: out.bitDepth, hyper: out.hyperStack,
                unit: out.calibration.unit, timeUnit: out.calibration.timeUnit,
                size: out.calibration.with {
                    [it.pixelWidth, it.pixelHeight, it.pixelDepth, it.frameInterval] },
                range: [out.displayRangeMin, out.displayRangeMax], composite: out.isComposite()]
    """,
        **arguments,
    ).value


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize(
    ("nc", "nz", "nt", "dims"),
    [
        (1, 1, 1, "yx"),
        (3, 1, 1, "cyx"),
        (1, 4, 1, "zyx"),
        (1, 1, 5, "tyx"),
        (2, 3, 1, "czyx"),
        (2, 1, 3, "tcyx"),
        (2, 3, 4, "tczyx"),
    ],
)
def test_every_plane_arrives_and_comes_back(
    headless: Groovy, bits: int, nc: int, nz: int, nt: int, dims: str
) -> None:
    seen = echo(headless, f"make(bits: {bits}, nc: {nc}, nz: {nz}, nt: {nt})")

    dtype, shape, axes, _, is_expected = seen["facts"]
    assert (dtype, shape) == ({8: "uint8", 16: "uint16", 32: "float32"}[bits], [nt, nz, nc, 20, 24])
    assert "".join(axes) == dims
    assert is_expected
    assert seen["same"]
    assert (seen["dimensions"], seen["bits"]) == ([24, 20, nc, nz, nt], bits)
    assert seen["composite"] == (nc > 1)


def test_rgb_is_three_channels(headless: Groovy) -> None:
    seen = echo(headless, "make(bits: 24, nt: 2)")

    assert seen["facts"][:3] == ["uint8", [2, 1, 3, 20, 24], ["t", "c", "y", "x"]]
    assert seen["facts"][4]
    assert (seen["dimensions"], seen["bits"]) == ([24, 20, 3, 1, 2], 8)


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize(
    ("roi", "box"),
    [
        ((3, 5, 7, 9), (3, 5, 7, 9)),
        ((0, 4, 24, 6), (0, 4, 24, 6)),
        ((-4, -3, 10, 10), (0, 0, 6, 7)),
        ((20, 15, 30, 30), (20, 15, 4, 5)),
    ],
)
def test_only_the_selection_travels(
    headless: Groovy, bits: int, roi: tuple[int, ...], box: tuple[int, ...]
) -> None:
    seen = echo(headless, f"make(bits: {bits}, nz: 2, roi: {list(roi)})")

    x, y, width, height = box
    assert seen["facts"][1][-2:] == [height, width]
    assert seen["facts"][4], f"not the pixels from ({x}, {y}) on"
    assert seen["dimensions"][:2] == [width, height]


def test_lines_and_points_select_nothing(headless: Groovy) -> None:
    seen = echo(headless, "make([:]).with { it.setRoi(new ij.gui.Line(3, 3, 3, 9)); it }")

    assert seen["facts"][1] == [1, 1, 1, 20, 24]


def test_a_virtual_stack_is_read_plane_by_plane(headless: Groovy, tmp_path: Path) -> None:
    code = """make(bits: 16, nt: 6).with {
        new ij.io.FileSaver(it).saveAsTiffStack(arguments.path)
        def lazy = ij.IJ.openVirtual(arguments.path)
        assert lazy.getStack().isVirtual()
        lazy.setDimensions(1, 1, 6)
        lazy
    }"""
    seen = echo(headless, code, path=str(tmp_path / "movie.tif"))

    assert seen["facts"][4]
    assert seen["same"]


def test_signed_16_bit_arrives_as_its_values(headless: Groovy) -> None:
    run = headless.run(
        IMAGES
        + """
        def imp = make(bits: 16)
        imp.calibration.setSigned16BitCalibration()
        ij.WindowManager.setTempCurrentImage(imp)
        def source = client.takeImage([values: [:], options: null])
        def script = "import json\\ntask.outputs['answer'] = json.dumps({'images': [], 'first': " +
            "[str(pixels.ndarray().dtype), float(pixels.ndarray()[0, 0, 0, 0, 3])]})"
        return client.worker().perform([command: "x"], source, script).first
    """
    )

    assert run.value == ["float32", 3 * 261 - 32768]


@pytest.mark.parametrize(
    "unit",
    ["nm", "micron", "microns", "um", "\u00b5m", "\\u00B5m", "mm", "cm", "m", "inch", "Angstrom"],
)
def test_calibration_travels_in_nm_and_returns_in_its_unit(headless: Groovy, unit: str) -> None:
    written = unit.replace("\\", "\\\\")
    seen = echo(headless, f'make(nz: 3, nt: 2, unit: "{written}", size: 0.25)')

    nm = length_in_nm(1.0, unit)
    assert nm is not None
    size = seen["facts"][3]["pixel_size_nm"]
    assert size == pytest.approx({"x": 0.25 * nm, "y": 0.25 * nm, "z": 0.3 * nm}, rel=1e-12)
    assert seen["size"][:3] == pytest.approx([0.25, 0.25, 0.3], rel=1e-12)
    assert length_in_nm(1.0, seen["unit"]) == nm


@pytest.mark.parametrize("unit", ["pixel", "pixels", "furlong"])
def test_other_units_give_no_pixel_size(headless: Groovy, unit: str) -> None:
    seen = echo(headless, f'make(unit: "{unit}")')

    assert seen["facts"][3] == {"pixel_size_nm": {}}
    assert seen["size"][:2] == [1.0, 1.0]


@pytest.mark.parametrize("unit", ["sec", "s", "ms", "msec", "us", "min", "h", "hour"])
def test_the_frame_interval_travels_in_seconds(headless: Groovy, unit: str) -> None:
    code = """make(nt: 2).with {
        it.calibration.frameInterval = 1.5
        it.calibration.timeUnit = arguments.unit
        it
    }"""
    seen = echo(headless, code, unit=unit)

    seconds = time_in_s(1.5, unit)
    assert seconds is not None
    assert seen["facts"][3]["frame_interval_s"] == pytest.approx(seconds)
    assert seen["size"][3] == pytest.approx(seconds)


def test_the_overlay_is_kept_on_the_same_field(headless: Groovy) -> None:
    run = headless.run(
        IMAGES
        + """
        def imp = make(roi: [4, 2, 10, 10])
        imp.overlay = new ij.gui.Overlay(new ij.gui.Roi(6, 5, 3, 2))
        def kept = echo(client, imp).images[0].picture.overlay.get(0).bounds
        return [kept.x, kept.y, kept.width, kept.height]
    """
    )

    assert run.value == [2, 3, 3, 2]
