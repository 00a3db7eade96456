"""Make the card's picture again: ``python -m models_zoo.deep_storm.make_cover WEIGHTS``.

It writes ``cover.png`` beside this file: left the sum of the demo's frames, right the sum of the
network's outputs, in the middle 6.4 micrometres of the field.
"""

from __future__ import annotations

import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import tifffile
from numpy.typing import NDArray

from models_zoo.deep_storm.make_demo import DEMO_DIR
from models_zoo.deep_storm.predict import load_network, predict
from models_zoo.deep_storm.simulate import UPSCALING

COVER_PATH = Path(__file__).parent / "cover.png"
SHOWN = slice(16, 80)
"""Rows and columns of the demo that are shown, in camera pixels."""


def draw_cover(frames: NDArray[np.uint16], emitters: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw frames and outputs beside each other, each summed over the movie.

    Parameters
    ----------
    frames : ndarray, (t, y, x)
        Camera counts.
    emitters : ndarray, (t, y * UPSCALING, x * UPSCALING)
        The network's output.

    Returns
    -------
    ndarray, (Y, 2 * X, 3), uint8
        Colours.
    """
    camera = frames[:, SHOWN, SHOWN].sum(axis=0, dtype=np.float64)
    camera = camera.repeat(UPSCALING, axis=0).repeat(UPSCALING, axis=1)
    shown = slice(SHOWN.start * UPSCALING, SHOWN.stop * UPSCALING)
    fine = emitters[:, shown, shown].sum(axis=0, dtype=np.float64)
    panels = [_stretch(camera, 0.5, 99.9), _stretch(fine, 0.0, 99.5)]
    return _colour(np.hstack(panels))


def _stretch(image: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Scale between two percentiles to 0 to 1."""
    floor, top = np.percentile(image, [low, high])
    return np.asarray(np.clip((image - floor) / (top - floor), 0, 1), dtype=np.float64)


def _colour(image: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour values 0 to 1 from black over red and yellow to white, as ImageJ's "Red Hot"."""
    channels = [np.clip(3 * image - step, 0, 1) for step in range(3)]
    return (255 * np.stack(channels, axis=-1)).round().astype(np.uint8)


if __name__ == "__main__":
    movie = tifffile.imread(DEMO_DIR / "movie.tif")
    cover = draw_cover(movie, predict(load_network(Path(sys.argv[1])), movie))
    imageio.imwrite(COVER_PATH, cover, optimize=True)
