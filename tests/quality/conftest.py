from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

SIDE_NM = 5120
PIXEL_NM = 5.0


def plane(pixels: np.ndarray, pixel_nm: float) -> xr.DataArray:
    size = {"y": pixel_nm, "x": pixel_nm}
    return xr.DataArray(pixels, dims=("y", "x"), attrs={"pixel_size_nm": size})


@pytest.fixture(scope="session")
def segments() -> pd.DataFrame:
    """25 line segments, 52 692 localizations, sigma 10 nm, a field of 5.12 um."""
    rng = np.random.default_rng(0)
    begin, end = rng.uniform(0, SIDE_NM, (2, 25, 2))
    length = np.hypot(*(end - begin).T)
    which = rng.choice(25, 52_692, p=length / length.sum())
    along = rng.uniform(0, 1, 52_692)[:, None]
    places = begin[which] * (1 - along) + end[which] * along + rng.normal(0, 10, (52_692, 2))
    frames = rng.integers(1, 5001, len(places))
    return pd.DataFrame({"frame": frames, "x_nm": places[:, 0], "y_nm": places[:, 1]})


@pytest.fixture(scope="session")
def segments_image(segments) -> xr.DataArray:
    """Count the segments' localizations in 1024 x 1024 pixels of 5 nm."""
    reach = ((0, SIDE_NM), (0, SIDE_NM))
    counts = np.histogram2d(segments["y_nm"], segments["x_nm"], bins=1024, range=reach)[0]
    return plane(counts, PIXEL_NM)
