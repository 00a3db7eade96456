"""Make the demo movie and its truth again: ``python -m models_zoo.deep_storm.make_demo [DIR]``.

It writes ``movie.tif`` (camera counts, with the pixel size in ImageJ's metadata), ``truth.csv``
(the emitters, in ThunderSTORM's columns) and ``truth.tif`` (emitters of all frames on the fine
grid, blurred by one fine pixel, 100 counts each). The network was not trained on this movie.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models_zoo.deep_storm.movie import Scene, count_truth, simulate_movie, write_truth
from models_zoo.deep_storm.simulate import PIXEL_SIZE_NM, UPSCALING

DEMO_DIR = Path(__file__).parent / "demo"
SEED = 20180412
SCENE = Scene(n_frames=40, density_per_um2=2.0)


def write_image(path: Path, image: NDArray[np.generic], *, pixel_size_nm: float, axes: str) -> None:
    """Write a compressed TIFF whose pixel size ImageJ understands.

    Parameters
    ----------
    path : Path
        Where to; an existing file is replaced.
    image : ndarray
        Of a type that ImageJ knows: uint8, uint16 or float32.
    pixel_size_nm : float
        Edge of a pixel, in nm, > 0.
    axes : str
        Names of the image's axes, in ImageJ's letters, such as "TYX".
    """
    per_um = 1000 / pixel_size_nm
    tifffile.imwrite(
        path,
        image,
        imagej=True,
        compression="zlib",
        resolution=(per_um, per_um),
        metadata={"axes": axes, "unit": "um"},
    )


def make_demo(output_dir: Path) -> None:
    """Write the three files of the demo into a folder."""
    output_dir.mkdir(parents=True, exist_ok=True)
    movie = simulate_movie(SCENE, seed=SEED)
    write_image(output_dir / "movie.tif", movie.frames, pixel_size_nm=PIXEL_SIZE_NM, axes="TYX")
    truth = 100 * gaussian_filter(count_truth(movie).sum(axis=0), 1.0)
    fine_nm = PIXEL_SIZE_NM / UPSCALING
    write_image(
        output_dir / "truth.tif", truth.round().astype(np.uint16), pixel_size_nm=fine_nm, axes="YX"
    )
    write_truth(output_dir / "truth.csv", movie)


if __name__ == "__main__":
    make_demo(Path(sys.argv[1]) if len(sys.argv) > 1 else DEMO_DIR)
