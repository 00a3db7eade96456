"""Detection on simulated centrioles, and its parts against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.feature import blob_log

from bridge.errors import ImageError, InputError
from bridge.images.blur import blur
from bridge.jobs.places_truth import judge_places
from bridge.restoration.blobs import blob_responses
from bridge.restoration.centrioles import draw_centrioles
from bridge.restoration.detect import automatic_threshold, edge_noise, find_places, find_spots

PIXEL_NM = 65.0
RADIUS_NM = 180.0  # of a centriole, 200 x 450 nm, seen by a confocal microscope (FWHM 200 nm)
FLOOR = 5.0  # photons per pixel of even background


def blobs(shape, places, sigma_px, height=1.0):
    """Gaussian blobs; places (y, x) from the corner."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    plane = np.zeros(shape)
    for y, x in places:
        plane += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma_px**2))
    return plane


def centriole_field(seed: int, *, snr: float, edge_px: int = 256):
    """Cells with haze and specks, as a confocal microscope sees them; and the true places.

    SNR: peak / sqrt(peak + background) of the field's median centriole, in photons of one pixel;
    background is what the 31 x 31 pixels around have in the middle.
    """
    rng = np.random.default_rng(seed)
    things, places = draw_centrioles(edge_px=edge_px, pixel_size_nm=PIXEL_NM, rng=rng)
    seen = np.maximum(blur(things, 200 / 2.3548 / PIXEL_NM), 0)
    peaks, hazes = [], []
    for y, x in places[["y_px", "x_px"]].to_numpy(int):
        around = seen[max(0, y - 15) : y + 16, max(0, x - 15) : x + 16]
        hazes.append(np.median(around))
        peaks.append(seen[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].max() - hazes[-1])
    peak, haze = np.median(peaks), np.median(hazes)
    # gain g: (g peak)^2 = snr^2 (g peak + g haze + floor)
    a, b, c = peak**2, -(snr**2) * (peak + haze), -(snr**2) * FLOOR
    gain = (-b + math.sqrt(b**2 - 4 * a * c)) / (2 * a)
    noisy = rng.poisson(seen * gain + FLOOR).astype(np.float32)
    truth = places[["x_px", "y_px"]].assign(image=str(seed), t=1, c=1, z=1)
    return xr.DataArray(noisy, dims=("y", "x")), truth


def score_fields(seeds, *, snr, **options):
    radius_px = RADIUS_NM / PIXEL_NM
    n_right = n_found = n_truth = 0
    for seed in seeds:
        image, truth = centriole_field(seed, snr=snr)
        found = find_places(image, radius_px=radius_px, name=str(seed), **options)
        figures = judge_places(found, truth, {str(seed): radius_px})
        n_right += figures["n_right"]
        n_found += len(found)
        n_truth += len(truth)
    return n_right / n_found, n_right / n_truth, 2 * n_right / (n_found + n_truth), n_truth


def test_centrioles_at_snr_3_are_found_within_one_radius():
    precision, recall, f1, n_truth = score_fields(range(1000, 1040), snr=3.0)
    print(f"{n_truth} centrioles: precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}")
    assert n_truth > 300
    assert f1 >= 0.95


def test_without_the_size_specks_are_taken_for_centrioles():
    precision, _, f1, _ = score_fields(range(1000, 1008), snr=3.0, least_size=0.0)
    assert precision < 0.85
    assert f1 < 0.9


def test_noise_alone_exceeds_a_threshold_as_often_as_the_formula_says():
    rng = np.random.default_rng(0)
    shape, radius_px = (256, 256), 4.0
    n_planes, least = 24, 3.8
    n_found = sum(
        len(
            find_spots(
                rng.normal(100, 7, shape), radius_px=radius_px, threshold=least, min_distance_px=1
            )
        )
        for _ in range(n_planes)
    )
    sigma_px = radius_px / math.sqrt(2)
    each = 1.5 / sigma_px**2 * least * math.exp(-(least**2) / 2) / (2 * math.pi) ** 1.5
    expected = n_planes * math.prod(shape) * each
    assert n_found == pytest.approx(expected, rel=0.2)
    u = automatic_threshold(shape, radius_px)
    at_u = math.prod(shape) * each * (u / least) * math.exp((least**2 - u**2) / 2)
    assert at_u == pytest.approx(0.05)


def test_noise_at_edges_and_corners_is_known():
    rng = np.random.default_rng(0)
    shape, sigma_px = (31, 34), 2.5
    responses = [blob_responses(rng.normal(0, 1, shape), [sigma_px])[0] for _ in range(1500)]
    measured = np.std(responses, axis=0) / (math.sqrt(1 / (2 * math.pi)) / sigma_px)
    np.testing.assert_allclose(measured, edge_noise(shape, sigma_px), rtol=0.09)
    assert edge_noise(shape, sigma_px)[0, 0] > 1.85


@settings(max_examples=25)
@given(y=st.floats(15, 35), x=st.floats(15, 40), sigma_px=st.floats(1.5, 3.5))
def test_place_and_size_of_a_blob_are_found_between_pixels(y, x, sigma_px):
    found = find_spots(blobs((50, 55), [(y, x)], sigma_px), radius_px=math.sqrt(2) * 2.4)
    assert found.loc[0, "y_px"] == pytest.approx(y, abs=0.1)
    assert found.loc[0, "x_px"] == pytest.approx(x, abs=0.1)
    assert found.loc[0, "radius_px"] == pytest.approx(math.sqrt(2) * sigma_px, rel=0.06)


def test_a_blob_of_the_radius_scores_as_the_closed_form_says():
    # Response A / 2 at sigma = the blob's own; noise of the response sqrt(1 / (2 pi)) / sigma.
    rng = np.random.default_rng(0)
    sigma_px, height = 3.0, 4.0
    tops = []
    for _ in range(12):
        plane = blobs((128, 128), [(64.5, 64.5)], sigma_px, height) + rng.normal(0, 1, (128, 128))
        tops.append(find_spots(plane, radius_px=sigma_px * math.sqrt(2)).loc[0, "score"])
    assert np.mean(tops) == pytest.approx(height / 2 * sigma_px * math.sqrt(2 * math.pi), rel=0.06)


def test_responses_are_those_of_scipy_and_largest_at_the_blobs_own_scale():
    plane = blobs((96, 96), [(48.5, 40.5)], 3.0)
    sigmas = np.linspace(2, 4.5, 26)
    ours = blob_responses(plane, sigmas)
    for sigma, response in zip(sigmas, ours, strict=True):
        theirs = -(sigma**2) * ndimage.gaussian_laplace(plane, sigma, truncate=8)
        np.testing.assert_allclose(response, theirs, atol=2e-3)
    assert sigmas[int(np.argmax([r[48, 40] for r in ours]))] == pytest.approx(3.0)


def test_places_are_those_of_scikit_image():
    rng = np.random.default_rng(3)
    places = [(y + rng.uniform(), x + rng.uniform()) for y in (20, 60, 95) for x in (25, 70)]
    plane = blobs((120, 100), places, 2.5)
    theirs = blob_log(plane, min_sigma=2.5, max_sigma=2.5, num_sigma=1, threshold=0.1)
    ours = find_spots(plane, radius_px=2.5 * math.sqrt(2))
    assert len(ours) == len(theirs) == 6
    pixels = np.floor(ours[["y_px", "x_px"]].to_numpy()).astype(int)
    assert {tuple(p) for p in pixels} == {tuple(map(int, p)) for p in theirs[:, :2]}


@given(gain=st.floats(0.01, 100), offset=st.floats(-1000, 1000))
@settings(max_examples=10)
def test_scores_do_not_depend_on_gain_and_offset(gain, offset):
    rng = np.random.default_rng(1)
    plane = blobs((64, 64), [(30, 30)], 2.0, height=8.0) + rng.normal(0, 1, (64, 64))
    one, other = (find_spots(p, radius_px=3.0) for p in (plane, plane * gain + offset))
    np.testing.assert_allclose(one, other, rtol=1e-4)


def test_of_two_near_ones_the_better_is_kept():
    rng = np.random.default_rng(0)
    plane = blobs((60, 60), [(30, 24)], 1.5, 60) + blobs((60, 60), [(30, 31)], 1.5, 40)
    plane += rng.normal(0, 1, plane.shape)
    assert len(find_spots(plane, radius_px=2.1)) == 2
    found = find_spots(plane, radius_px=2.1, min_distance_px=10)
    assert len(found) == 1
    assert found.loc[0, "x_px"] == pytest.approx(24, abs=0.2)


def test_every_plane_of_a_stack_is_looked_at():
    rng = np.random.default_rng(0)
    stack = rng.normal(0, 0.05, (2, 3, 48, 48)).astype(np.float32)
    stack[1, 2] += blobs((48, 48), [(20, 30)], 2.0)
    stack[0, 0] += blobs((48, 48), [(10, 12)], 2.0)
    image = xr.DataArray(
        stack, dims=("t", "z", "y", "x"), attrs={"pixel_size_nm": {"y": 50.0, "x": 50.0}}
    )
    found = find_places(image, radius_px=2.8, name="stack")
    assert found[["t", "c", "z"]].to_numpy().tolist() == [[1, 1, 1], [2, 1, 3]]
    assert found["x_nm"].tolist() == pytest.approx([600, 1500], abs=10)
    flat = find_places(image, radius_px=2.8, slices="projection")
    assert flat[["t", "z"]].to_numpy().tolist() == [[1, 1], [2, 1]]


@pytest.mark.parametrize("level", [0.0, 7.0, 1e6])
def test_a_constant_plane_holds_nothing(level):
    found = find_spots(np.full((40, 40), level), radius_px=3.0)
    assert len(found) == 0
    assert found.attrs["best_score"] < 5
    assert found.attrs["threshold"] > 3


def test_what_cannot_be_looked_at_is_refused():
    plane = xr.DataArray(np.zeros((20, 20)), dims=("y", "x"))
    with pytest.raises(InputError, match="radius"):
        find_places(plane, radius_px=0.5)
    plane[3, 3] = np.nan
    with pytest.raises(ImageError, match="aren't numbers"):
        find_places(plane, radius_px=2.0)


def test_a_cell_on_black_is_no_heap_of_structures(monkeypatch):
    rng = np.random.default_rng(8)
    clean = np.zeros((200, 200))
    y, x = np.mgrid[:200, :200]
    clean[np.hypot(y - 100, x - 90) < 45] = 10.0
    spots = [(80, 90), (120, 110), (100, 60)]
    for place in spots:
        clean += 60 * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * 2.0**2))
    image = rng.poisson(clean)
    found = find_spots(image, radius_px=3.0, least_size=0.5)
    best = found.head(3)[["y_px", "x_px"]].to_numpy() - 0.5
    assert all(np.hypot(*(best - place).T).min() < 1 for place in spots)
    monkeypatch.setattr("bridge.restoration.detect._BLACK_SHARE", 2.0)  # the plane's noise alone
    assert len(found) < 0.6 * len(find_spots(image, radius_px=3.0, least_size=0.5))
