"""Thirteen causes of a black or poor output, each with what shows it; and three more signs.

The causes, their order and their thresholds were found by planting them in X-Microscopy's networks
(UR-Net-8 and X-Net, per-sample and batch norms, simulated microtubules): first values, from few
networks. Ranges are taken relative to the package's own test image, so that they hold for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from bridge.quality.diagnosis_evidence import Evidence, likeness
from bridge.quality.diagnosis_probe import Image

Status = Literal["good", "note", "doubtful", "bad", "unseen"]
Blame = Literal["code", "model", "input"]

LEAST_RUNNING_VARIANCE: Final = 1e-8
BLACK_P99: Final = 10 / 255
LEAST_R: Final = 0.5
_VARIANCE_RATIO: Final = (0.1, 10.0)
_UNTOUCHED_SHARE: Final = 0.2
_FAR_TOO_SMALL, _DIM, _LARGE, _FAR_TOO_LARGE = 0.02, 0.6, 1.5, 20.0
_WRAPPED_SHARE: Final = 0.01
_SPOILED, _HALF_SPOILED = 0.1, 0.5
_CUT_SHARE: Final = 0.98
_OUTLIER: Final = 5.0
_LEAST_BRIGHT: Final = 0.6
_PIXEL_SIZE_RATIO: Final = 1.2
_SHARPNESS_RATIO: Final = 2.0


@dataclass(frozen=True)
class Row:
    """One cause: looked for, and found or not."""

    number: int
    """In the order of the causes; 14 and above are further things worth knowing."""
    cause: str
    """In a few words."""
    status: Status
    """``bad``: it is so; ``doubtful``: it may be; ``note``: worth knowing; ``unseen``."""
    found: str
    """The figures."""
    blame: Blame = "model"
    """Where the cause lies, if it is one."""
    remedy: str = ""
    """What to do."""
    figures: dict[str, float] = field(default_factory=dict)
    """The same for programs."""


def check_finite(e: Evidence) -> Row:
    """Row 1: values that are no numbers; a norm over the image spreads one to all pixels."""
    seen = e.seen
    layers = [] if seen is None else [seen.outputs[e.index], seen.before[e.index]]
    counts = [int((~np.isfinite(part)).sum()) for part in layers if part is not None]
    found = f"{e.n_bad_input} in the input, {max(counts, default=0)} in the output."
    is_bad = e.n_bad_input > 0 or any(counts)
    return Row(
        1,
        "NaN",
        "bad" if is_bad else "good",
        found,
        "input" if e.n_bad_input else "model",
        "Fill these pixels before the network sees them: its norms spread one to the whole image."
        if e.n_bad_input
        else "Its weights hold or make values that are no numbers: get them again, or train anew.",
        {"not_finite_input": e.n_bad_input, "not_finite_output": max(counts, default=0)},
    )


def check_running_statistics(e: Evidence) -> Row:
    """Row 2: batch norms whose running variance decayed on one pixel, or doesn't fit the image."""
    cause, norms = "batch norm's running statistics", () if e.seen is None else e.seen.norms
    if e.seen is None:
        return Row(2, cause, "unseen", "The network wasn't run.")
    if not norms:
        return Row(2, cause, "good", "No norm uses running statistics.")
    least = min(norms, key=lambda n: n.least_variance)
    ratios = [n for n in norms if np.isfinite(n.variance_ratio) and n.variance_ratio > 0]
    off = [n for n in ratios if not _VARIANCE_RATIO[0] <= n.variance_ratio <= _VARIANCE_RATIO[1]]
    text = f"Least running variance {least.least_variance:.2g} ({least.name}, of {len(norms)})"
    if ratios:
        worst = max(ratios, key=lambda n: abs(np.log(n.variance_ratio)))
        text += f"; running over own variance {worst.variance_ratio:.2g} in {worst.name}"
    is_decayed = least.least_variance < LEAST_RUNNING_VARIANCE
    return Row(
        2,
        cause,
        "bad" if is_decayed else "doubtful" if off else "good",
        text + ".",
        "code",
        "The port runs norms in evaluation mode that were trained on one pixel: let these norms "
        "use each image's own statistics (--repair writes such a package)."
        if is_decayed
        else "Its norms' averages don't fit this image: use each image's own statistics.",
        {"least_running_variance": least.least_variance, "norms_off": len(off)},
    )


def check_weights(e: Evidence) -> Row:
    """Row 3: weights that weren't loaded; the picture is noise then, not black."""
    cause = "weights not loaded"
    if e.weights_error:
        return Row(3, cause, "bad", e.weights_error, "code", _WEIGHTS_REMEDY)
    look = e.weights
    if look is None:
        return Row(3, cause, "unseen", "These weights have no names to look at.")
    share = look.n_untouched / look.n_norms if look.n_norms else 0.0
    zero = look.n_zero / look.n_biases if look.n_biases else 0.0
    found = (
        f"{len(look.missing)} tensors missing, {len(look.unexpected)} unexpected; "
        f"{look.n_untouched} of {look.n_norms} norms and {look.n_zero} of {look.n_biases} biases "
        "as before training."
    )
    # Dead 1 x 1 layers stay as they were in healthy networks: 1 of 23 norms, 4 of 84.
    is_bad = bool(look.missing) or share > _UNTOUCHED_SHARE or (look.n_biases > 2 and zero > 0.9)
    figures = {"missing": len(look.missing), "norms_untouched": share, "biases_zero": zero}
    return Row(3, cause, "bad" if is_bad else "good", found, "code", _WEIGHTS_REMEDY, figures)


_WEIGHTS_REMEDY: Final = (
    "Check that the file is the trained network's, that every tensor's name is the "
    "architecture's, and that loading is strict."
)


def check_too_small(e: Evidence) -> Row:
    """Row 4: an input far below what the network was made for: divided twice, or not stretched."""
    reach = e.reach(e.ready)
    found = f"The network's input runs from {e.ready.min():.4g} to {e.ready.max():.4g}"
    found += f", {reach:.2g} of its test image's." if e.typical is not None else "; 1 is usual."
    status: Status = "bad" if reach < _FAR_TOO_SMALL else "doubtful" if reach < _DIM else "good"
    guess = "divided by 255 twice" if reach < _FAR_TOO_SMALL else "dim and not stretched"
    if status != "good" and np.isfinite(e.rescued_r):
        found += f" Stretched, r(out, in) is {e.rescued_r:.2f}."
    remedy = f"The image seems {guess}: give the image as the microscope saved it, or stretch it "
    remedy += "once, as a whole, to the range of the test image."
    return Row(4, "input too small", status, found, "input", remedy, {"reach": reach})


def check_too_large(e: Evidence) -> Row:
    """Row 5: an input far above what the network was made for; the output is white, not black."""
    top = np.percentile(e.ready, 99.9) / max(abs(e.ready).max(), 1e-30) * e.reach(e.ready)
    found = f"Its bright end (99.9 %) is {top:.3g} of the test image's."
    status: Status = "bad" if top > _FAR_TOO_LARGE else "doubtful" if top > _LARGE else "good"
    remedy = "The image wasn't divided by 255 or 65535, or not stretched: scale it to the range of "
    remedy += "the package's test image."
    return Row(5, "input too large", status, found, "input", remedy, {"top": float(top)})


def check_wrapped(e: Evidence) -> Row:
    """Row 6: 16 bits cast to 8 without limits: bright parts begin again at 0."""
    cause = "16-bit image wrapped"
    pixels = e.image
    is_eight_bit = (
        pixels.min() >= 0 and 250 <= pixels.max() <= 255 and bool((pixels == np.rint(pixels)).all())
    )
    if not is_eight_bit:
        found = f"The image is {pixels.dtype} with a maximum of {pixels.max():.4g}: no 8 bits."
        return Row(6, cause, "good", found, "input")
    jumps = abs(np.diff(pixels.astype(np.float32), axis=1)) > 128
    share = float(jumps.mean())
    return Row(
        6,
        cause,
        "bad" if share > _WRAPPED_SHARE else "good",
        f"{share:.2%} of neighbours differ by more than half the range.",
        "input",
        "Convert the original 16-bit image by dividing it, not by a cast.",
        {"jumps": share},
    )


def check_hot_pixel(e: Evidence) -> Row:
    """Row 7: one bright pixel that took the whole range of a stretch."""
    share = _top_share(e.ready)
    usual = 1.0 if e.typical is None else _top_share(e.typical)
    status: Status = "good"
    if share < _HALF_SPOILED * min(usual, 1.0):
        status = "bad" if share < _SPOILED * min(usual, 1.0) else "doubtful"
    found = f"99.9 % of the network's input is below {share:.2g} of its range"
    found += f" (test image: {usual:.2g})." if e.typical is not None else "."
    remedy = "Remove hot pixels, or stretch between percentiles (0.1 and 99.9), not between "
    remedy += "the extremes."
    return Row(7, "hot pixel spoils the stretch", status, found, "input", remedy, {"p999": share})


def _top_share(image: Image) -> float:
    low = float(image.min())
    return float((np.percentile(image, 99.9) - low) / max(float(image.max()) - low, 1e-30))


def check_last_relu(e: Evidence) -> Row:
    """Row 8: the last ReLU cuts everything off."""
    cause, before = "all below the last ReLU", e.before
    if before is None:
        return Row(8, cause, "unseen", "No last ReLU is seen.")
    cut = float((before <= 0).mean())
    usual = 0.0 if e.typical_output is None else float((e.typical_output <= 0).mean())
    found = f"Before it, values run from {before.min():.3g} to {before.max():.3g}, {cut:.1%} <= 0."
    is_likely = cut > max(_CUT_SHARE, (1 + usual) / 2)
    remedy = "The offset of its last layer doesn't fit: check how the weights were converted, or "
    remedy += "train the last layer again."
    return Row(
        8,
        cause,
        "bad" if before.max() <= 0 or is_likely else "good",
        found,
        "model",
        remedy,
        {"before_min": float(before.min()), "before_max": float(before.max()), "cut": cut},
    )


def check_cast(e: Evidence) -> Row:
    """Row 9: an output of 0 .. 1 saved as integers, or cast without limits."""
    cause = "output cast"
    if e.saved is None or e.output is None:
        return Row(9, cause, "unseen", "No saved output was given (--saved).", "code")
    saved, output = e.saved, e.output
    levels = len(np.unique(saved))
    found = f"{levels} levels saved, as {saved.dtype}, of an output up to {output.max():.3g}."
    is_flat = levels <= 2 and float(output.std()) > 0.01 * max(abs(float(output.max())), 1e-30)
    bright, figures = 1.0, {"levels": float(levels)}
    if saved.dtype.kind in "ui" and saved.shape == output.shape and saved.max() > 0:
        # A cast that begins again at 0 makes the brightest pixels dark.
        top = output >= np.percentile(output, 99.8)
        bright = float(np.median(saved[top]) / saved.max())
        bright /= max(float(np.median(output[top]) / output.max()), 1e-30)
        found += f" Where the output is brightest, {bright:.0%} of what should be there was saved."
        figures["bright"] = bright
    is_wrapped = bright < _LEAST_BRIGHT
    remedy = "Save the float output, or multiply by 255, cut to 0 .. 255 and round before the cast."
    status: Status = "bad" if is_flat or is_wrapped else "good"
    return Row(9, cause, status, found, "code", remedy, figures)


def check_outliers(e: Evidence) -> Row:
    """Row 10: a few pixels hold the range, so that a display shows black."""
    cause, values = "outliers own the range", e.before if e.before is not None else e.output
    if values is None:
        return Row(10, cause, "unseen", "The network wasn't run.")
    top, p99 = float(values.max()) / e.unit, float(np.percentile(values, 99)) / e.unit
    remedy = "Show it between percentiles; train with the last norm's scale started at 0.1."
    is_bad = top > _OUTLIER and p99 < 1
    found = f"Greatest value {top:.3g}, 99 % below {p99:.3g}."
    return Row(10, cause, "bad" if is_bad else "good", found, "model", remedy, {"top": top})


def check_display(e: Evidence) -> Row:
    """Row 11: a sparse image is dark by nature; no fault."""
    cause = "display only"
    if e.output is None:
        return Row(11, cause, "unseen", "The network wasn't run.")
    grey = 255 * np.clip(e.output / e.unit, 0, 1)
    p99, mean = float(np.percentile(grey, 99)), float(grey.mean())
    is_dark = grey.max() >= 20 and p99 >= 10 and mean < 16
    found = f"On 0 .. 255 its mean is {mean:.1f}, its 99th percentile {p99:.0f}."
    remedy = (
        "It is dark because it is sparse, as its target is: show it up to its 99.8th percentile."
    )
    return Row(11, cause, "note" if is_dark else "good", found, "model", remedy, {"mean": mean})


def check_sparse_input(e: Evidence) -> Row:
    """Row 12: X-Net was fed a black MU-SRM; its own output doesn't show it."""
    cause = "black MU-SRM given to X-Net"
    if e.sparse is None:
        return Row(12, cause, "unseen", "No sparse image takes part.", "input")
    p99 = float(np.percentile(e.sparse, 99))
    found = f"Its 99th percentile is {255 * p99:.1f} of 255."
    remedy = "Explain UR-Net-8's output first: X-Net's is bright whatever it is given, and wrong."
    status: Status = "bad" if p99 < BLACK_P99 else "good"
    return Row(12, cause, status, found, "input", remedy, {"sparse_p99": p99})


def check_likeness(e: Evidence) -> Row:
    """Row 13: the output doesn't show what the input shows."""
    cause = "output unlike its input"
    if e.output is None:
        return Row(13, cause, "unseen", "The network wasn't run.")
    r = likeness(e.output, e.image)
    usual = e.typical_r
    least = LEAST_R if not usual < LEAST_R + 0.1 else usual - 0.2
    found = f"r(out, in) is {r:.2f}"
    found += f" (test image: {usual:.2f})" if np.isfinite(usual) else ""
    found += (
        f"; blurred to the input's resolution {e.consistency:.2f}."
        if np.isfinite(e.consistency)
        else "."
    )
    remedy = "Input and package are as they should be: the network wasn't trained for such images, "
    remedy += "or not long enough. Train it on your own."
    status: Status = "bad" if not r >= least else "good"
    return Row(13, cause, status, found, "model", remedy, {"r": r, "rsp": e.consistency})


def check_pixel_size(e: Evidence) -> Row:
    """Row 14: pixels of another size than those it was trained on."""
    cause, ratio = "pixel size", e.pixel_size_nm / e.made_for_nm
    if not np.isfinite(ratio):
        return Row(14, cause, "unseen", "The image or the package doesn't say its pixel size.")
    found = f"{e.pixel_size_nm:g} nm; the model was made for {e.made_for_nm:g} nm."
    is_off = max(ratio, 1 / ratio) > _PIXEL_SIZE_RATIO
    remedy = f"Resample the image to {e.made_for_nm:g} nm first."
    return Row(
        14, cause, "doubtful" if is_off else "good", found, "input", remedy, {"ratio": ratio}
    )


def check_sharpness(e: Evidence) -> Row:
    """Row 15: an image much sharper or more blurred than the test image."""
    cause, ratio = "sharpness", e.fineness / e.typical_fineness
    if not np.isfinite(ratio):
        return Row(15, cause, "unseen", "There is no test image to compare with.")
    found = f"Its detail is {ratio:.2g} times as fine as the test image's."
    is_off = max(ratio, 1 / ratio) > _SHARPNESS_RATIO
    remedy = "Compare pixel size, focus and noise with the training data."
    return Row(
        15, cause, "doubtful" if is_off else "good", found, "input", remedy, {"ratio": ratio}
    )


def check_silent_layers(e: Evidence) -> Row:
    """Row 16: the first layer that lets nothing through; a weak sign by itself."""
    cause = "layers that die"
    layers = [] if e.seen is None else [layer for layer in e.seen.layers if layer.n_pixels > 1]
    if not layers:
        return Row(16, cause, "unseen", "The layers can't be seen in these weights.")
    dead = next((layer for layer in layers[:-1] if layer.silent_share == 1.0), None)
    most = max(layers, key=lambda layer: layer.silent_share)
    found = f"Most silent: {most.silent_share:.0%} of the channels after {most.name}."
    if dead is not None:
        found = f"Nothing passes the activation after {dead.name}, the first such layer."
    remedy = "Look at that layer's weights: its norm's shift is below what reaches it."
    return Row(16, cause, "good" if dead is None else "note", found, "model", remedy)


CHECKS: Final[Sequence[Callable[[Evidence], Row]]] = (
    check_finite,
    check_running_statistics,
    check_weights,
    check_too_small,
    check_too_large,
    check_wrapped,
    check_hot_pixel,
    check_last_relu,
    check_cast,
    check_outliers,
    check_display,
    check_sparse_input,
    check_likeness,
    check_pixel_size,
    check_sharpness,
    check_silent_layers,
)
"""In the order of the causes."""
