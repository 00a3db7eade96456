"""Fourier ring correlation against other programs' figure, closed forms and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.signal.windows import tukey

from bridge.errors import ImageError, TableError
from bridge.quality.resolution import correlate_rings, measure_table


def plane(pixels: np.ndarray, pixel_nm: float) -> xr.DataArray:
    size = {"y": pixel_nm, "x": pixel_nm}
    return xr.DataArray(pixels, dims=("y", "x"), attrs={"pixel_size_nm": size})


def test_line_segments_have_the_resolution_that_four_programs_found(segments):
    """Own numpy 35.07, nanopyx 34.97, frc 35.56, Picasso 36.28 nm on such a set."""
    result = measure_table(segments, split="random")
    assert result.resolution_nm == pytest.approx(35.1, rel=0.04)
    assert len(result.curves) == 5
    assert 0 < result.spread_nm < 1
    blocks = measure_table(segments, split="blocks")
    assert blocks.resolution_nm == pytest.approx(result.resolution_nm, rel=0.02)


def test_emitters_that_stay_on_deceive_a_random_split_and_not_blocks(segments):
    few = segments.iloc[:6000]
    lasting = few.loc[few.index.repeat(5)].reset_index(drop=True)
    lasting["frame"] = lasting["frame"] + np.arange(len(lasting)) % 5
    lasting[["x_nm", "y_nm"]] += np.random.default_rng(0).normal(0, 4, (len(lasting), 2))
    by_frames = measure_table(lasting, split="blocks").resolution_nm
    assert measure_table(lasting, split="random").resolution_nm < 0.6 * by_frames


def test_equal_images_correlate_everywhere_and_noise_nowhere():
    rng = np.random.default_rng(0)
    first, second = (plane(rng.normal(size=(128, 96)), 10.0) for _ in range(2))
    same = correlate_rings(first, first)
    assert np.allclose(same.correlation, 1)
    assert np.isnan(same.resolution_nm)
    other = correlate_rings(first, second)
    assert np.abs(other.correlation[10:]).max() < 0.3
    assert other.frequency_per_nm[-1] == pytest.approx(1 / 20, rel=0.02)


def test_the_crossing_lies_where_signal_and_noise_say():
    """White structure blurred by s, noise n: FRC = P / (P + n) with P = exp(-4 pi^2 s^2 q^2)."""
    rng = np.random.default_rng(1)
    n_px, sigma_px, noise = 512, 3.0, 0.02
    q = np.hypot(np.fft.fftfreq(n_px)[:, None], np.fft.fftfreq(n_px)[None])
    structure = np.fft.ifft2(
        np.fft.fft2(rng.normal(size=(n_px, n_px))) * np.exp(-2 * (np.pi * sigma_px * q) ** 2)
    ).real
    images = [plane(structure + rng.normal(0, noise**0.5, structure.shape), 10.0) for _ in range(2)]
    expected_q = np.sqrt(np.log(6 / noise)) / (2 * np.pi * sigma_px)  # P = n / 6 at 1/7
    resolution = correlate_rings(*images).resolution_nm
    assert resolution == pytest.approx(10 / expected_q, rel=0.03)


def test_rings_are_those_of_the_full_transform_for_odd_and_even_sides():
    rng = np.random.default_rng(2)
    for shape in ((32, 32), (33, 31), (32, 40)):
        a, b = (plane(rng.normal(size=shape), 1.0) for _ in range(2))
        curve = correlate_rings(a, b)
        from_full = _loop(a.values, b.values)[: len(curve.correlation)]
        inner = slice(4, len(from_full) - 4)  # where smoothing doesn't meet the ends
        assert np.allclose(curve.correlation[inner], from_full[inner], atol=1e-9)


def _loop(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlate ring by ring over every coefficient, and average 7 rings."""
    window = tukey(a.shape[0], 0.25)[:, None] * tukey(a.shape[1], 0.25)
    fa, fb = np.fft.fft2(a * window), np.fft.fft2(b * window)
    rings: dict[int, list[complex]] = {}
    powers: dict[int, list[list[float]]] = {}
    longest = max(a.shape)
    for y, qy in enumerate(np.fft.fftfreq(a.shape[0])):
        for x, qx in enumerate(np.fft.fftfreq(a.shape[1])):
            ring = round(float(np.hypot(qy, qx) * longest))
            rings.setdefault(ring, []).append(fa[y, x] * np.conj(fb[y, x]))
            powers.setdefault(ring, []).append([abs(fa[y, x]) ** 2, abs(fb[y, x]) ** 2])
    raw = np.array(
        [np.sum(rings[r]).real / np.sqrt(np.prod(np.sum(powers[r], axis=0))) for r in sorted(rings)]
    )
    return np.convolve(raw, np.ones(7) / 7, mode="same")


def test_what_cannot_be_measured_is_said():
    rng = np.random.default_rng(0)
    image = plane(rng.normal(size=(32, 32)), 10.0)
    with pytest.raises(ImageError, match="equal shape"):
        correlate_rings(image, image[:16])
    with pytest.raises(ImageError, match="pixel size isn't known"):
        correlate_rings(image.drop_attrs(), image)
    with pytest.raises(ImageError, match="at least 16"):
        correlate_rings(image[:8, :8], image[:8, :8])
    with pytest.raises(ImageError, match="aren't finite"):
        correlate_rings(image * np.nan, image)


def test_tables_that_cannot_be_cut_are_refused(segments):
    with pytest.raises(TableError, match="one frame"):
        measure_table(segments.assign(frame=1))
    with pytest.raises(TableError, match="at least 100"):
        measure_table(segments.iloc[:99])
    with pytest.raises(TableError, match="Give a larger pixel size"):
        measure_table(segments, pixel_size_nm=0.1)
