"""Run the trained network on whole frames, for this folder's own scripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models_zoo.deep_storm.architecture import DeepStormLight
from models_zoo.deep_storm.train import INPUT_MEAN, INPUT_STD


def load_network(weights_path: Path) -> DeepStormLight:
    """Give the network with the weights of a file, ready to be used."""
    network = DeepStormLight()
    network.load_state_dict(torch.load(weights_path, weights_only=True))
    return network.eval()


def normalise(frames: NDArray[np.generic]) -> torch.Tensor:
    """Turn camera counts (b, 1, y, x) into what the network wants, as the package declares it."""
    counts = torch.from_numpy(frames.astype(np.float32))
    return (counts - INPUT_MEAN) / INPUT_STD


def predict(network: DeepStormLight, frames: NDArray[np.generic]) -> NDArray[np.float32]:
    """Run whole frames (t, y, x) in camera counts one by one, and give (t, Y, X) in percent."""
    with torch.inference_mode():
        fine = [network(normalise(frame[None, None]))[0, 0] for frame in frames]
    return torch.stack(fine).numpy()
