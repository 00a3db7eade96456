"""How like the full STORM image X-Microscopy's images are, on fields that they never saw.

Every image gets the gain and offset that bring it nearest to the truth, so that PSNR and SSIM
compare structure, and not grey levels; r needs no fit. Rows that no network is needed for stand
beside: black, the widefield image, real sparse renderings. The last figure tells the likeness in
localizations: as many of them, rendered, have the same r.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bridge.quality.metrics import peak_signal_to_noise, pearson
from bridge.quality.structure import structural_similarity
from bridge.restoration.storm_fields import StormField
from bridge.training.storm_sources import TestField

Restore = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
"""Turns a widefield image (y, x) into images (y, x) by name."""
_GRID: Final = 24
_SEED: Final = 5
_FEWEST: Final = 20
_COLUMNS: Final = {"psnr_db": "PSNR, dB", "ssim": "SSIM", "correlation": "r"}


@dataclass(frozen=True)
class Figures:
    """Means over fields.

    Attributes
    ----------
    rows : mapping
        By image: ``psnr_db``, ``ssim`` (after the fit) and ``correlation``.
    results : tuple of str
        Names of the rows that the network made; the last one counts.
    localizations : mapping
        By row of the network: localizations whose rendering has the same r, over those of an
        undersampled image (k' / k); empty where the localizations aren't known.
    n_fields : int
        Fields.
    seconds_per_megapixel : float
        Time of the network on this machine.
    """

    rows: Mapping[str, Mapping[str, float]]
    results: tuple[str, ...]
    localizations: Mapping[str, float]
    n_fields: int
    seconds_per_megapixel: float

    def flat(self) -> dict[str, float]:
        """Give all figures by one name each."""
        found = {
            f"{_key(row)}_{name}": value
            for row, values in self.rows.items()
            for name, value in values.items()
        }
        found |= {f"{_key(row)}_localizations": value for row, value in self.localizations.items()}
        return {**found, "seconds_per_megapixel": self.seconds_per_megapixel}

    def sentences(self) -> list[str]:
        """Tell the most important ones."""
        name = self.results[-1]
        ours, before = self.rows[name], self.rows["widefield"]
        said = (
            f"On fields it never saw, after fitting gain and offset: {name} {ours['psnr_db']:.2f} "
            f"dB (widefield {before['psnr_db']:.2f}), SSIM {ours['ssim']:.3f} "
            f"({before['ssim']:.3f}), r {ours['correlation']:.3f} ({before['correlation']:.3f})."
        )
        told = self.localizations.get(name)
        if told is None:
            return [said]
        return [said, f"{name} is as like the full image as {told:.2f} undersampled images are."]

    def card(self) -> str:
        """Tell them as a table in Markdown."""
        head = ["image", *_COLUMNS.values(), "k' / k"]
        rows = [
            [
                row,
                *(f"{values[name]:.3f}" for name in _COLUMNS),
                f"{self.localizations[row]:.2f}" if row in self.localizations else "",
            ]
            for row, values in self.rows.items()
        ]
        lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
        return "\n".join(
            [
                f"{self.n_fields} fields that nothing was learned from, against the rendering of "
                "all localizations; gain and offset of each image are fitted first, the data range "
                "is 1. k' / k: as many localizations rendered have the same r, over those of an "
                "undersampled image. Raw SSIM isn't given: a black image has a high one.",
                "",
                *lines,
            ]
        )


def measure(fields: Sequence[TestField], restore: Restore) -> Figures:
    """Restore fields, and compare with the full STORM images.

    Parameters
    ----------
    fields : sequence of TestField
        Nothing was learned from them.
    restore : callable
        Turns a widefield image in its own units into the network's images.

    Returns
    -------
    Figures
        Means over the fields.
    """
    table: dict[str, list[dict[str, float]]] = {}
    shares: dict[str, list[float]] = {}
    results: tuple[str, ...] = ()
    seconds = 0.0
    for number, field in enumerate(fields):
        started = time.perf_counter()
        made = restore(field.widefield)
        seconds += time.perf_counter() - started
        results = tuple(made)
        images = {
            "all black": np.zeros_like(field.truth),
            "widefield": field.widefield,
            "one real sparse STORM": field.sparse[0],
            "mean of three real sparse": field.sparse.mean(axis=0),
            **made,
        }
        for name, image in images.items():
            table.setdefault(name, []).append(compare(image, field.truth))
        if field.drawn is not None:
            rng = np.random.default_rng([_SEED, number])
            equal = equal_localizations(
                [pearson_or_0(image, field.truth) for image in made.values()], field.drawn, rng
            )
            for name, n_equal in zip(made, equal, strict=True):
                shares.setdefault(name, []).append(n_equal / field.drawn.n_undersampled)
    rows = {
        name: {column: float(np.mean([one[column] for one in found])) for column in _COLUMNS}
        for name, found in table.items()
    }
    megapixels = sum(field.truth.size for field in fields) / 1e6
    localizations = {name: float(np.mean(found)) for name, found in shares.items()}
    return Figures(rows, results, localizations, len(fields), seconds / megapixels)


def compare(image: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """Give PSNR and SSIM (data range 1) after the best gain and offset, and Pearson's r."""
    fitted = fit_affine(image, truth)
    return {
        "psnr_db": peak_signal_to_noise(fitted, truth, data_range=1.0),
        "ssim": structural_similarity(fitted, truth, data_range=1.0),
        "correlation": pearson_or_0(image, truth),
    }


def fit_affine(image: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the image times the gain, plus the offset, of least squared error to the truth."""
    given, wanted = image.astype(np.float64), truth.astype(np.float64)
    variance = given.var()
    gain = ((given - given.mean()) * (wanted - wanted.mean())).mean() / variance if variance else 0
    fitted: NDArray[np.float64] = wanted.mean() + gain * (given - given.mean())
    return fitted


def pearson_or_0(image: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Give Pearson's r; 0 where an image is constant."""
    found = pearson(image, truth)
    return found if np.isfinite(found) else 0.0


def equal_localizations(
    correlations: Sequence[float], drawn: StormField, rng: np.random.Generator
) -> list[float]:
    """Give how many localizations, rendered, have such an r with the rendering of all.

    Parameters
    ----------
    correlations : sequence of float
        Each r.
    drawn : StormField
        The field.
    rng : numpy.random.Generator
        Draws the localizations.

    Returns
    -------
    list of float
        Between 20 and all; interpolated over the logarithm between 24 numbers of them.
    """
    truth = drawn.render_full()
    numbers = np.geomspace(min(_FEWEST, len(drawn.places)), len(drawn.places), _GRID).astype(int)
    reached = [pearson_or_0(drawn.render(int(n), rng), truth) for n in numbers]
    rising = np.maximum.accumulate(reached)
    return [float(np.exp(np.interp(r, rising, np.log(numbers)))) for r in correlations]


def _key(row: str) -> str:
    return row.lower().replace(" ", "_").replace("-", "_")
