"""How well a network restores fields that it never saw, beside the input itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.images.blur import repeat_pixels
from bridge.quality.metrics import flux_ratio, peak_signal_to_noise, range_invariant_psnr
from bridge.quality.structure import structural_similarity
from bridge.training.pair_sources import KeptField

Restore = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_NAMES: Final = MappingProxyType(
    {
        "psnr_db": "PSNR, dB",
        "ssim": "SSIM",
        "range_invariant_psnr_db": "range-invariant PSNR, dB",
        "flux_ratio": "flux / true flux",
    }
)
_TOP_PERCENT: Final = 99.8


@dataclass(frozen=True)
class Figures:
    """Means over fields, of the network and of the input as it is.

    Attributes
    ----------
    network, untouched : mapping
        Figure by name, by structure; ``all`` is the mean over all fields.
    reference : str
        What the outputs were compared with.
    data_range : float
        Of PSNR and SSIM.
    seconds_per_megapixel : float
        Time of the network, of output pixels, on one thread.
    """

    network: Mapping[str, Mapping[str, float]]
    untouched: Mapping[str, Mapping[str, float]]
    reference: str
    data_range: float
    seconds_per_megapixel: float

    def flat(self) -> dict[str, float]:
        """Give all figures by one name each."""
        found = {
            f"{who}_{structure}_{name}": value
            for who, table in (("network", self.network), ("input", self.untouched))
            for structure, row in table.items()
            for name, value in row.items()
        }
        return {**found, "seconds_per_megapixel": self.seconds_per_megapixel}

    def sentences(self) -> list[str]:
        """Tell the most important ones."""
        ours, before = self.network["all"], self.untouched["all"]
        return [
            f"On fields it never saw: PSNR {ours['psnr_db']:.2f} dB (input {before['psnr_db']:.2f})"
            f", SSIM {ours['ssim']:.3f} ({before['ssim']:.3f}), flux {ours['flux_ratio']:.2f} of "
            f"that of {self.reference}."
        ]

    def card(self) -> str:
        """Tell them as a table in Markdown."""
        head = ["structure", *_NAMES.values(), "input: PSNR, dB", "input: SSIM"]
        rows = [
            [
                structure,
                *(f"{row[name]:.3f}" for name in _NAMES),
                f"{self.untouched[structure]['psnr_db']:.3f}",
                f"{self.untouched[structure]['ssim']:.3f}",
            ]
            for structure, row in self.network.items()
        ]
        lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
        return "\n".join(
            [
                f"Fields that nothing was learned from, against {self.reference}; the data range "
                f"of PSNR and SSIM is {self.data_range:.3g}.",
                "",
                *lines,
            ]
        )


def measure(fields: Sequence[KeptField], restore: Restore, *, scale: int) -> Figures:
    """Restore fields, and compare with what is right.

    Parameters
    ----------
    fields : sequence of KeptField
        Nothing was learned from them.
    restore : callable
        Turns an input (y, x) into an output (Y, X), both in their own units.
    scale : int
        Output pixels per input pixel.

    Returns
    -------
    Figures
        Per structure, and of all.
    """
    truths = [field.target if field.truth is None else field.truth for field in fields]
    is_clean = all(field.truth is not None for field in fields)
    data_range = float(np.percentile(np.stack([t.max() for t in truths]), 50))
    if is_clean:
        data_range = float(np.median([np.percentile(t, _TOP_PERCENT) for t in truths]))
    started = time.perf_counter()
    outputs = [restore(field.input) for field in fields]
    seconds = time.perf_counter() - started
    enlarged = [repeat_pixels(field.input, scale) for field in fields]
    network, untouched = (
        _average(
            fields,
            [_compare(i, t, data_range) for i, t in zip(images, truths, strict=True)],
        )
        for images in (outputs, enlarged)
    )
    megapixels = sum(output.size for output in outputs) / 1e6
    reference = "the truth without noise" if is_clean else "the measured target"
    return Figures(network, untouched, reference, data_range, seconds / megapixels)


def _compare(
    image: NDArray[np.float32], truth: NDArray[np.float32], data_range: float
) -> dict[str, float]:
    return {
        "psnr_db": peak_signal_to_noise(image, truth, data_range=data_range),
        "ssim": structural_similarity(image, truth, data_range=data_range),
        "range_invariant_psnr_db": range_invariant_psnr(image, truth),
        "flux_ratio": flux_ratio(image, truth),
    }


def _average(
    fields: Sequence[KeptField], rows: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    kinds = dict.fromkeys(field.structure for field in fields)
    groups = {
        kind or "fields": [
            row for field, row in zip(fields, rows, strict=True) if field.structure == kind
        ]
        for kind in kinds
    }
    if len(groups) > 1:
        groups["all"] = list(rows)
    else:
        groups = {"all": list(rows)}
    return {
        kind: {name: float(np.mean([row[name] for row in found])) for name in _NAMES}
        for kind, found in groups.items()
    }
