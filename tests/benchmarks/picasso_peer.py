"""Filaments by a network and by a classical peer, Picasso, on the same movies and drawn alike.

``python -m tests.benchmarks.picasso_peer [--model deep-storm]``; needs ``picassosr``,
which zoobridge doesn't depend on. Each density is done with the best of three net gradients, which
the peer chooses with the truth in hand. Picasso's spots are counted on the same fine pixels and
blurred by one of them, as the truth is.
"""

from __future__ import annotations

import argparse
import os

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bridge.runtime.predict import Predictor, Settings
from bridge.smlm.patches import PatchConditions
from bridge.training.heatmap_figures import Score, _film, filament_movies, score_movie
from bridge.zoo.package import open_package

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

UPSCALING = 8
AMOUNT = 100.0
NET_GRADIENTS = (300, 600, 1200)
CAMERA = {"Baseline": 100.0, "Sensitivity": 1.0, "Gain": 1, "Qe": 1.0, "Pixelsize": 100}


def picasso(frames: NDArray[np.generic], net_gradient: int) -> NDArray[np.float32]:
    """Localize frames (t, y, x) with Picasso; gives the spots on fine pixels (t, Y, X)."""
    from picasso import localize

    n, height, width = frames.shape
    info = [{"Frames": n, "Height": height, "Width": width}]
    parameters = {"Min. Net Gradient": net_gradient, "Box Size": 7}
    spots = localize.localize_frames(
        frames.astype(np.uint16), info, parameters, camera_info=CAMERA, threaded=False
    )
    drawn = np.zeros((n, height * UPSCALING, width * UPSCALING), np.float32)
    x, y = ((np.asarray(spots[axis]) + 0.5) * UPSCALING for axis in "xy")
    inside = (x >= 0) & (y >= 0) & (x < width * UPSCALING) & (y < height * UPSCALING)
    places = (np.asarray(spots["frame"])[inside], y[inside].astype(int), x[inside].astype(int))
    np.add.at(drawn, places, AMOUNT)
    return np.stack([gaussian_filter(frame, 1.0) for frame in drawn])


def network(model: str):
    """Give a function from frames (t, y, x) to outputs (t, Y, X) of a package."""
    import xarray as xr

    from bridge.runtime.blocks import ArraySink

    predictor = Predictor(open_package(model), Settings(trust=True))
    name = predictor.geometry.inputs[0].name

    def predict(frames: NDArray[np.generic]) -> NDArray[np.float32]:
        sinks: list[ArraySink] = []

        def sink(spec):
            sinks.append(ArraySink(spec.name, spec.dims, spec.shape, spec.dtype, spec.attrs))
            return sinks[-1]

        image = xr.DataArray(frames, dims=("t", "y", "x"), attrs={"pixel_size_nm": {}})
        predictor.run({name: image}, sink)
        output = sinks[0].image
        return np.asarray(output).reshape(len(frames), *output.shape[-2:]).clip(min=0)

    return predict


def main() -> None:
    """Print a line for each movie."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="deep-storm")
    options = parser.parse_args()
    predict = network(options.model)
    torch.manual_seed(0)
    print("| movie | network: r, NMSE | Picasso: r, NMSE | NMSE network / Picasso |")
    print("|---|---|---|---|")
    for name, settings in filament_movies(PatchConditions.presets()["deep-storm"]).items():
        frames, labels = _film(settings)
        ours = score_movie(frames, labels, predict, upscaling=UPSCALING, amount=AMOUNT)
        theirs: Score = min(
            (
                score_movie(
                    frames,
                    labels,
                    lambda part, limit=limit: picasso(part, limit),
                    upscaling=UPSCALING,
                    amount=AMOUNT,
                )
                for limit in NET_GRADIENTS
            ),
            key=lambda score: score.nmse,
        )
        print(
            f"| {name} | {ours.correlation:.3f}, {ours.nmse:.3f} "
            f"| {theirs.correlation:.3f}, {theirs.nmse:.3f} | {ours.nmse / theirs.nmse:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
