"""What an evaluation found, as figures, as sentences and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from bridge.errors import ImageError
from bridge.images.read import open_image
from bridge.quality.consistency import Consistency
from bridge.quality.report import (
    FigureTable,
    Picture,
    Section,
    dash_blanks,
    draw_picture,
    write_page,
)
from bridge.quality.resolution import THRESHOLD, TableResolution
from bridge.smlm.evaluation_figures import (
    draw_errors,
    draw_nena,
    draw_overlay,
    draw_scatter,
    draw_subpixel,
)
from bridge.smlm.scoring import ALPHA_AXIAL_PER_NM, ALPHA_LATERAL_PER_NM, efficiency

if TYPE_CHECKING:
    from bridge.smlm.diagnostics import SelfCheck, SubpixelHistogram
    from bridge.smlm.evaluate import Evaluation

_FRC_PIXEL_NM = 5.0
_FRC_SIDE_PX = 3000
_STREAM_BYTES = 64 * 2**20
_UNEVEN = 0.05

_RULES = {
    "greedy": "greedily, nearest first, as in the SMLM challenge and DECODE",
    "optimal": "optimally: as many pairs as possible, then the least sum of distances",
    "stable": "stably, as ThunderSTORM does",
}


@dataclass
class Findings:
    """All that was read and measured; what wasn't asked for is None."""

    table: pd.DataFrame | None = None
    truth: pd.DataFrame | None = None
    evaluation: Evaluation | None = None
    resolution: TableResolution | None = None
    itself: SelfCheck | None = None
    image: xr.DataArray | None = None
    widefield: xr.DataArray | None = None
    reference: xr.DataArray | None = None
    consistency: Consistency | None = None
    likeness: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Give all figures by name, for the status."""
        figures: dict[str, Any] = {}
        if self.itself is not None:
            figures |= self.itself.as_dict()
        if self.evaluation is not None:
            figures |= self.evaluation.as_dict()
        if self.resolution is not None:
            figures["frc_nm"] = self.resolution.resolution_nm
            figures["frc_spread_nm"] = self.resolution.spread_nm
        if self.consistency is not None:
            for name in ("rse", "rsp", "sigma_nm", "alpha", "beta"):
                key = name if name.startswith("rs") else f"widefield_{name}"
                figures[key] = getattr(self.consistency, name)
        return figures | self.likeness


def mean_plane(path: str | Path) -> xr.DataArray:
    """Read an image, and average its frames a few at a time.

    Parameters
    ----------
    path : str or Path
        An image or a movie.

    Returns
    -------
    DataArray, axes (y, x), float32 or float64
        The image in memory.

    Raises
    ------
    ImageError
        It has channels or slices, or can't be read.
    """
    image = open_image(path)
    others = [str(dim) for dim in image.dims if dim not in ("t", "y", "x")]
    if others:
        raise ImageError(
            str(path),
            f"the image has the axes {' '.join(map(str, image.dims))}",
            "one plane (y, x), or a movie of it",
            "Save the plane to be judged as an image of its own.",
        )
    if "t" not in image.dims:
        return image.astype(np.float32).load()
    n_frames = image.sizes["t"]
    step = max(1, _STREAM_BYTES // (image.sizes["y"] * image.sizes["x"] * 8))
    total = np.zeros((image.sizes["y"], image.sizes["x"]))
    for start in range(0, n_frames, step):
        total += image.isel(t=slice(start, start + step)).values.sum(0, dtype=np.float64)
    return image.isel(t=0, drop=True).copy(data=total / n_frames)


def choose_frc_pixel(table: pd.DataFrame) -> float:
    """Give 5 nm, or more where the field would need over 3000 pixels along an axis."""
    span = max(float(np.ptp(table[name])) for name in ("x_nm", "y_nm")) if len(table) else 0.0
    return max(_FRC_PIXEL_NM, float(math.ceil(span / _FRC_SIDE_PX)))


def say_result(findings: Findings) -> list[str]:
    """Give the result in a few sentences.

    Parameters
    ----------
    findings : Findings
        What was measured.

    Returns
    -------
    list of str
        One sentence for each kind of figure.
    """
    said = []
    if findings.evaluation is not None:
        said += list(_say_evaluation(findings.evaluation))
    if findings.itself is not None:
        said += _say_itself(findings.itself)
    if findings.resolution is not None:
        resolution = findings.resolution
        if math.isnan(resolution.resolution_nm):
            said.append("The ring correlation gives no resolution: it never falls below 1/7.")
        else:
            said.append(
                f"Halves of the table agree down to {resolution.resolution_nm:.1f} nm (ring "
                f"correlation at 1/7, spread {resolution.spread_nm:.1f} nm over "
                f"{len(resolution.curves)} cuts)."
            )
    if findings.consistency is not None:
        fit = findings.consistency
        said.append(
            f"Blurred by {fit.sigma_nm:.0f} nm, the image correlates with the widefield image at "
            f"{fit.rsp:.3f} (RSP); the error is {fit.rse:.4g} widefield counts (RSE)."
        )
    if findings.likeness:
        said.append(
            f"Against the reference the image has a normalised square error of "
            f"{findings.likeness['nmse']:.3f} and a correlation of "
            f"{findings.likeness['correlation']:.3f}."
        )
    return said


def _say_evaluation(found: Evaluation) -> Iterator[str]:
    n_bright = found.n_emitters - found.n_dim
    yield (
        f"{_percent(found.recall)} of {n_bright:,} emitters were found, and "
        f"{_percent(found.precision)} of {found.tp + found.fp:,} detections are right: Jaccard "
        f"index {found.jaccard:.3f}, where chance alone gives {found.chance_jaccard:.3f}."
    )
    if found.tp:
        bound = ""
        if math.isfinite(found.times_bound):
            bound = f", {found.times_bound:.1f} times what theory allows isolated emitters"
        yield (
            f"Pairs are {found.rmse_lateral_nm:.1f} nm apart (root mean square; "
            f"{found.rmse_per_axis_nm:.1f} nm along an axis{bound}), which makes an efficiency of "
            f"{_percent(found.efficiency)}."
        )


def _say_itself(found: SelfCheck) -> Iterator[str]:
    if found.nena is None:
        return
    if math.isnan(found.nena.precision_nm):
        yield (
            "The precision can't be told from the table (NeNA): too few rows have a neighbour in "
            "the next frame that is nearer than by chance."
        )
        return
    sentence = f"Emitters found again in the next frame show a precision of {found.nena.as_text()}"
    if found.stated_nm == found.stated_nm:
        sentence += f"; the stated uncertainty is {found.stated_nm:.3g} nm (median)"
    yield sentence + "."


def _percent(share: float) -> str:
    return "none" if math.isnan(share) else f"{100 * share:.1f} %"


def write_findings(path: str | Path, findings: Findings, *, overwrite: bool) -> Path:
    """Write what was found as a page.

    Parameters
    ----------
    path : str or Path
        The page, ending in ``.html``.
    findings : Findings
        What was measured.
    overwrite : bool
        Replace a page that is there.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        The page can't be written.
    """
    judged = [
        Path(str(part.attrs.get("source", ""))).name
        for part in (findings.table, findings.image)
        if part is not None
    ]
    sections = []
    if findings.warnings:
        sections.append(Section("What to look at first", notes=findings.warnings))
    if findings.evaluation is not None:
        sections += _evaluation_sections(findings)
    if findings.itself is not None:
        sections += _itself_sections(findings.itself, has_truth=findings.evaluation is not None)
    if findings.resolution is not None:
        sections.append(_resolution_section(findings.resolution))
    if findings.image is not None:
        sections.append(_image_section(findings))
    lead = " ".join(say_result(findings))
    title = f"Evaluation of {' and '.join(judged)}"
    return write_page(path, title, sections, lead=lead, overwrite=overwrite)


def _evaluation_sections(findings: Findings) -> Iterator[Section]:
    found, table, truth = findings.evaluation, findings.table, findings.truth
    assert found is not None
    assert table is not None
    assert truth is not None
    overlay = draw_overlay(found, table, truth)
    yield Section(
        "Who was found",
        [_rules_sentence(found)],
        pictures=[draw_picture(overlay, "The frame with the most emitters, where it is densest.")],
        tables=[_score_table(found), _count_table(found)],
    )
    if found.tp:
        yield Section(
            "How far off",
            ["Errors are detection minus truth, over pairs that count."],
            pictures=[
                draw_picture(draw_scatter(found), "Errors of the pairs in the plane."),
                draw_picture(draw_errors(found), "Errors along each axis."),
            ],
            tables=[_error_table(found)],
        )
    if found.subpixel is not None:
        yield _pixel_section(found)


def _rules_sentence(found: Evaluation) -> str:
    reach = f"{found.tolerance_nm:g} nm"
    if found.is_3d:
        reach += f" in the plane and {found.tolerance_axial_nm:g} nm along z"
    sentence = (
        f"Detections and emitters of a frame were matched {_RULES[found.rule]}, within {reach}. "
        f"The field is {found.field_width_nm:.0f} x {found.field_height_nm:.0f} nm"
    )
    sentence += f", less {found.border_nm:g} nm at each edge." if found.border_nm else "."
    if found.n_dim:
        sentence += (
            f" {found.n_dim:,} emitters of at most {found.photon_threshold:g} photons count "
            "neither as found nor as missed."
        )
    return sentence


def _score_table(found: Evaluation) -> FigureTable:
    by_chance = efficiency(
        found.chance_jaccard, found.chance_rmse_lateral_nm, alpha_per_nm=ALPHA_LATERAL_PER_NM
    )
    rows = [
        ["Jaccard index", f"{found.jaccard:.3f}", f"{found.chance_jaccard:.3f}", "1"],
        [
            "lateral RMSE (nm)",
            f"{found.rmse_lateral_nm:.1f}",
            f"{found.chance_rmse_lateral_nm:.1f}",
            "0",
        ],
        ["efficiency (%)", f"{100 * found.efficiency:.1f}", f"{100 * by_chance:.1f}", "100"],
        ["precision", f"{found.precision:.3f}", "", "1"],
        ["recall", f"{found.recall:.3f}", "", "1"],
        ["F1", f"{found.f1:.3f}", "", "1"],
    ]
    if found.is_3d:
        rows += [
            ["axial efficiency (%)", f"{100 * found.efficiency_axial:.1f}", "", "100"],
            ["efficiency, mean of both (%)", f"{100 * found.efficiency_volume:.1f}", "", "100"],
        ]
    caption = (
        "By chance: the same detections in the wrong frames. Efficiency: 1 - sqrt((1 - J)^2 + "
        f"({ALPHA_LATERAL_PER_NM:g} RMSE / nm)^2)"
        + (f", axial with {ALPHA_AXIAL_PER_NM:g}." if found.is_3d else ".")
    )
    return FigureTable(["", "measured", "by chance", "best"], dash_blanks(rows), caption)


def _count_table(found: Evaluation) -> FigureTable:
    counts = {
        "frames": found.n_frames,
        "emitters": found.n_emitters,
        "detections": found.n_detections,
        "found (TP)": found.tp,
        "false (FP)": found.fp,
        "missed (FN)": found.fn,
    }
    if found.n_dim:
        counts["dim emitters"] = found.n_dim
    return FigureTable(list(counts), [[f"{count:,}" for count in counts.values()]])


def _error_table(found: Evaluation) -> FigureTable:
    rows = [
        [
            axis,
            f"{getattr(found, f'bias_{axis}_nm'):+.2f}",
            f"{rmse:.2f}",
            f"{getattr(found, f'mean_abs_{axis}_nm'):.2f}",
        ]
        for axis, rmse in (
            ("x", found.rmse_x_nm),
            ("y", found.rmse_y_nm),
            ("z", found.rmse_axial_nm),
        )
    ]
    rows += [
        ["lateral", "", f"{found.rmse_lateral_nm:.2f}", f"{found.mean_distance_lateral_nm:.2f}"],
        ["volume", "", f"{found.rmse_volume_nm:.2f}", f"{found.mean_distance_volume_nm:.2f}"],
    ]
    if not found.is_3d:
        rows = [row for row in rows if row[0] not in ("z", "volume")]
    return FigureTable(
        ["nm", "bias (mean)", "RMSE", "mean absolute error"],
        dash_blanks(rows),
        'What ThunderSTORM calls "RMSE" is the mean absolute error.',
    )


def _pixel_section(found: Evaluation) -> Section:
    subpixel = found.subpixel
    assert subpixel is not None
    reading = _say_subpixel(subpixel, found.subpixel_truth)
    pairs = {
        "photons, detected / true (median)": (found.photons_ratio, "1"),
        "bound for isolated emitters, along an axis (nm)": (found.bound_nm, "-"),
        "errors over the bound": (found.times_bound, "1"),
        "errors over stated uncertainty, lateral (SD)": (found.spread_lateral.sd, "1"),
        "the same, robust": (found.spread_lateral.robust_sd, "1"),
        "errors over stated uncertainty, axial (SD)": (found.spread_axial.sd, "1"),
    }
    rows = [[name, f"{value:.3f}", best] for name, (value, best) in pairs.items() if value == value]
    tables = [FigureTable(["", "measured", "best"], dash_blanks(rows))] if rows else []
    picture = draw_picture(
        draw_subpixel(subpixel, found.subpixel_truth), "Places within the camera pixel."
    )
    return Section(
        "Pixels, photons and uncertainties", [reading], pictures=[picture], tables=tables
    )


def _say_subpixel(found: SubpixelHistogram, truth: SubpixelHistogram | None) -> str:
    usual = truth.unevenness if truth is not None else 0.0
    is_locked = found.unevenness > max(_UNEVEN, 2 * usual)
    verdict = "they are drawn to certain places in it." if is_locked else "no pixel-locking."
    return (
        f"Detections are spread over the camera pixel with an unevenness of "
        f"{_percent(found.unevenness)} (chi-square {found.chi2:.1f} in {2 * (len(found.x) - 1)} "
        f"degrees of freedom, p = {found.p_value:.2g}): {verdict}"
    )


def _itself_sections(found: SelfCheck, *, has_truth: bool) -> Iterator[Section]:
    sentences, pictures = list(_say_itself(found)), []
    if found.nena is not None and len(found.nena.counts):
        caption = "Distances of rows to their nearest neighbours in the following frame."
        pictures.append(draw_picture(draw_nena(found.nena), caption))
    if found.subpixel is not None and not has_truth:  # with a truth it has a section of its own
        sentences.append(_say_subpixel(found.subpixel, None))
        caption = "Places within the camera pixel."
        pictures.append(draw_picture(draw_subpixel(found.subpixel, None), caption))
    if found.nena is not None:
        sentences.append(
            "NeNA (Endesfelder et al. 2014) is an average over all rows, along one axis; it counts "
            "what moves emitters from a frame to the next, not drift or errors common to both."
        )
    if sentences:
        yield Section("What the table shows by itself", sentences, pictures=pictures)


def _resolution_section(resolution: TableResolution) -> Section:
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for curve in resolution.curves:
        axes.plot(curve.frequency_per_nm, curve.correlation, color="#1f5fa8", alpha=0.6)
    axes.axhline(THRESHOLD, color="#666666", linestyle="--", linewidth=0.8, label="1/7")
    if math.isfinite(resolution.resolution_nm):
        label = f"{resolution.resolution_nm:.1f} nm"
        axes.axvline(1 / resolution.resolution_nm, color="#c81e1e", linewidth=1, label=label)
    axes.set(xlabel="spatial frequency (1/nm)", ylabel="ring correlation", xlim=(0, None))
    axes.set(ylim=(-0.1, 1.05))
    axes.legend(frameon=False)
    sentence = (
        "The table was cut into halves by blocks of frames, so that an emitter that shines for "
        "several frames mostly stays in one half. This says what is reproducible, not what is "
        "right."
    )
    if math.isnan(resolution.resolution_nm):
        sentence += " Some curve does not cross 1/7, so no resolution is given."
    return Section(
        "Resolution",
        [sentence],
        pictures=[draw_picture(figure, "Fourier ring correlation, one curve for each cut.")],
    )


def _image_section(findings: Findings) -> Section:
    assert findings.image is not None
    panels = [("image", findings.image)]
    rows = []
    if findings.reference is not None:
        panels.append(("reference", findings.reference))
        names = {
            "nmse": ("normalised square error, after the best scale", "0"),
            "correlation": ("correlation", "1"),
            "range_invariant_psnr_db": ("PSNR after the best scale and offset (dB)", "high"),
            "ssim": ("structural similarity, after the best scale", "1"),
        }
        rows += [
            [words, f"{findings.likeness[name]:.3f}", best] for name, (words, best) in names.items()
        ]
    if findings.consistency is not None and findings.widefield is not None:
        fit = findings.consistency
        panels += [
            ("widefield", findings.widefield),
            ("image, blurred", fit.blurred),
            ("error map", fit.error_map),
        ]
        rows += [
            ["RSP: correlation with the widefield", f"{fit.rsp:.4f}", "1"],
            ["RSE: error, in widefield counts", f"{fit.rse:.4g}", "0"],
            ["fitted blur, standard deviation (nm)", f"{fit.sigma_nm:.1f}", ""],
        ]
    sentences = []
    if findings.consistency is not None:
        sentences.append(
            "The image, blurred by a fitted PSF and scaled, is compared with the widefield image. "
            "Bright places of the error map are where structure is missing or false; noise of the "
            "widefield image keeps RSP below 1 even for a perfect image."
        )
    tables = [FigureTable(["", "measured", "best"], dash_blanks(rows))] if rows else []
    return Section("The image", sentences, pictures=[*map(_draw_panel, panels)], tables=tables)


def _draw_panel(panel: tuple[str, xr.DataArray]) -> Picture:
    title, image = panel
    figure = Figure(figsize=(3.6, 3.4), layout="constrained")
    axes = figure.subplots()
    size = image.attrs.get("pixel_size_nm") or {}
    scale, unit = (
        ({"y": size["y"] / 1000, "x": size["x"] / 1000}, "µm")
        if size
        else (
            {"y": 1.0, "x": 1.0},
            "px",
        )
    )
    extent = (0.0, image.sizes["x"] * scale["x"], image.sizes["y"] * scale["y"], 0.0)
    low, high = np.percentile(image.values, (0.1, 99.7))
    shown = axes.imshow(
        image.values,
        cmap="magma" if title == "error map" else "gray",
        extent=extent,
        vmin=low,
        vmax=max(high, low + 1e-12),
    )
    axes.set(title=title, xlabel=unit)
    figure.colorbar(shown, shrink=0.8)
    return draw_picture(figure, f"{title[0].upper()}{title[1:]}.")
