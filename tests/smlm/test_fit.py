"""Spots are fitted as precisely as theory allows, and what they state is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.special import erf

from bridge.errors import Cancelled, ImageError
from bridge.smlm import fit_kernels as kernels
from bridge.smlm.camera import Ccd, Emccd, Scmos
from bridge.smlm.crlb import precision_bound
from bridge.smlm.evaluate import evaluate
from bridge.smlm.fit import estimate_width_px, fit_spots
from bridge.smlm.psf import IntegratedGaussian
from bridge.smlm.simulate import Simulation, simulate_movie
from bridge.smlm.spot_search import light_from_counts, rough_part
from bridge.smlm.table import read_table

GRID = 16  # pixels from one emitter to the next: they don't touch
EDGE = 20  # emitters along an edge
CCD = Ccd(read_noise_e=1.5)


def film_grid(photons, background, *, camera=CCD, sigma_nm=130.0, n_frames=6, grid=GRID, seed=0):
    """Film lone emitters, each somewhere in the middle of its own square; gives counts, truth."""
    rng = np.random.default_rng(seed)
    row, column = np.divmod(np.arange(EDGE**2), EDGE)
    x_px, y_px = (
        grid * (at + 0.5) + rng.uniform(-2, 2, (n_frames, EDGE**2)) for at in (column, row)
    )
    x, y = (torch.tensor(at, dtype=torch.float32) for at in (x_px, y_px))
    mean = IntegratedGaussian(sigma_nm=(sigma_nm, sigma_nm)).render(
        x, y, torch.zeros_like(x), torch.full_like(x, photons), torch.full_like(x, sigma_nm),
        pixel_size_nm=camera.pixel_size_nm, shape=(grid * EDGE, grid * EDGE),
    )  # fmt: skip
    counts = camera.expose(mean + background, generator=torch.Generator().manual_seed(seed))
    truth = pd.DataFrame(
        {
            "frame": np.repeat(np.arange(1, n_frames + 1), EDGE**2),
            "x_nm": x_px.ravel() * camera.pixel_size_nm,
            "y_nm": y_px.ravel() * camera.pixel_size_nm,
            "sigma_nm": sigma_nm,
            "photons": float(photons),
            "background": float(background),
        }
    )
    truth.attrs["pixel_size_nm"] = camera.pixel_size_nm
    return counts.numpy(), truth


def score(table, truth):
    edge_nm = GRID * EDGE * truth.attrs["pixel_size_nm"]
    return evaluate(table, truth, field_nm=(edge_nm, edge_nm), border_nm=0)


@pytest.mark.parametrize(
    ("photons", "background", "camera", "sigma_nm"),
    [
        (500, 10, CCD, 130),
        (1000, 10, CCD, 130),
        (5000, 50, CCD, 130),
        (1000, 10, Emccd(), 130),
        (1000, 10, Scmos(), 130),
        (1000, 10, Ccd(quantum_efficiency=0.8, electrons_per_adu=0.5), 130),
        (1000, 10, Ccd(pixel_size_nm=80), 200),
        (1000, 10, Ccd(pixel_size_nm=150), 140),
    ],
)
def test_lone_emitters_are_localized_at_the_bound(photons, background, camera, sigma_nm):
    counts, truth = film_grid(photons, background, camera=camera, sigma_nm=sigma_nm)
    table = fit_spots(counts, camera=camera)
    found = score(table, truth)
    read_noise = {"ccd": 1.5, "emccd": 74.4 / 300, "scmos": 1.6}[camera.kind]
    bound_nm = precision_bound(
        photons * camera.quantum_efficiency,
        background * camera.quantum_efficiency,
        sigma_nm=sigma_nm,
        pixel_size_nm=camera.pixel_size_nm,
        read_noise_photons=read_noise,
        excess_noise=camera.excess_factor(),
    )
    assert found.jaccard > 0.995
    assert found.rmse_per_axis_nm == pytest.approx(bound_nm, rel=0.05)
    assert abs(found.bias_x_nm) < 0.5
    assert abs(found.bias_y_nm) < 0.5
    assert found.spread_lateral.sd == pytest.approx(1, abs=0.05)
    for name in ("photons", "background", "sigma_nm"):
        assert table[name].median() == pytest.approx(truth[name].iloc[0], rel=0.02)


def test_the_maximum_is_that_of_a_general_optimizer():
    rng = np.random.default_rng(4)
    noise = np.full((9, 9), 2.0, np.float32)
    edges = np.arange(10)

    def expect(at):
        x, y, light, background, sigma = at
        along_x, along_y = (np.diff(erf((edges - c) / (sigma * 2**0.5))) / 2 for c in (x, y))
        return background + light * np.outer(along_y, along_x)

    truth = np.array([4.7, 4.2, 600.0, 8.0, 1.4])
    window = (rng.poisson(expect(truth)) + rng.normal(0, 2**0.5, noise.shape)).astype(np.float32)

    def loss(at):
        total = expect(at) + noise
        return float((total - (window + noise) * np.log(total)).sum())

    best = minimize(loss, truth, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9,
                                                                "maxiter": 5000}).x  # fmt: skip
    one = np.array([0])
    fit = kernels.fit_windows(window[None], noise, one, one + 4, one + 4, 4, 1.3)[0]
    np.testing.assert_allclose(fit[:5], best, rtol=2e-3)
    slope = np.array(
        [(expect(best + d) - expect(best - d)) / (2 * d.max()) for d in np.diag(1e-4 * best)]
    ).reshape(5, -1)
    information = (slope / (expect(best) + noise).ravel()) @ slope.T
    np.testing.assert_allclose(fit[5:10], np.diag(np.linalg.inv(information)), rtol=1e-2)


@pytest.mark.parametrize(
    ("density", "least_jaccard", "most_rmse_nm"),
    [(0.1, 0.96, 26), (0.5, 0.86, 53), (1.0, 0.74, 69), (3.0, 0.38, 90)],
)
def test_dense_fields_are_as_good_as_the_classical_peer_s(density, least_jaccard, most_rmse_nm):
    # Picasso, MLE (inner field): 0.971 / 26, 0.861 / 52, 0.742 / 67, 0.410 / 91
    base = Simulation.presets()["smlm-benchmark"]
    n_frames = 150 if density < 0.5 else 30
    changes = {"density_per_um2": density, "n_frames": n_frames, "seed": 11}
    settings = Simulation.model_validate(dict(base) | changes)
    movie = simulate_movie(settings)
    table = fit_spots(np.concatenate(list(movie.blocks)), camera=settings.camera)
    found = evaluate(table, movie.truth, field_nm=(12_800, 12_800))
    assert found.jaccard > least_jaccard
    assert found.rmse_lateral_nm < most_rmse_nm
    assert found.precision > 0.98


@pytest.mark.parametrize("background", [1.0, 10.0, 100.0])
def test_empty_frames_have_hardly_any_spots(background):
    counts = CCD.expose(
        torch.full((100, 128, 128), background), generator=torch.Generator().manual_seed(1)
    )
    assert len(fit_spots(counts.numpy(), camera=CCD)) / 100 < 0.2


def test_a_wrong_gain_changes_the_photons_and_not_what_is_found():
    counts, truth = film_grid(1000, 10, n_frames=2)
    wrong = Ccd(read_noise_e=1.5, electrons_per_adu=4.0)
    table = fit_spots(counts, camera=wrong)
    assert score(table, truth).jaccard > 0.99
    assert table["photons"].median() == pytest.approx(4000, rel=0.03)


@pytest.mark.parametrize("sigma_px", [0.8, 1.3, 2.0, 3.0])
def test_the_width_is_found_without_being_told(sigma_px):
    counts, _ = film_grid(2000, 10, sigma_nm=100 * sigma_px, n_frames=2, grid=24)
    assert estimate_width_px(counts, camera=CCD) == pytest.approx(sigma_px, rel=0.05)


def test_spots_at_the_border_are_found_too():
    camera = CCD
    x = torch.tensor([[1.2, 30.0, 62.5]])
    y = torch.tensor([[30.0, 1.4, 40.0]])
    mean = IntegratedGaussian(sigma_nm=(130, 130)).render(
        x, y, torch.zeros_like(x), torch.full_like(x, 3000.0), torch.full_like(x, 130.0),
        pixel_size_nm=100, shape=(64, 64),
    )  # fmt: skip
    counts = camera.expose(mean + 5, generator=torch.Generator().manual_seed(3)).numpy()
    table = fit_spots(counts, camera=camera).sort_values("x_nm")
    np.testing.assert_allclose(table["x_nm"], 100 * x[0].numpy(), atol=20)
    np.testing.assert_allclose(table["y_nm"], [3000, 140, 4000], atol=20)


def test_maps_of_a_chip_are_undone_pixel_by_pixel(tmp_path):
    rng = np.random.default_rng(2)
    shape = (GRID * EDGE, GRID * EDGE)
    maps = {
        "offset_adu": 100 + 10 * rng.random(shape),
        "electrons_per_adu": 0.4 + 0.2 * rng.random(shape),
        "read_noise_e": 1 + 4 * rng.random(shape) ** 4,
    }
    for name, values in maps.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", values.astype(np.float32))
    camera = Scmos(**{name: tmp_path / f"{name}.tif" for name in maps})
    counts, truth = film_grid(500, 5, camera=camera, n_frames=4)
    plain = Scmos(offset_adu=105.0, electrons_per_adu=0.5, read_noise_e=2.0)
    by_maps, by_means = (score(fit_spots(counts, camera=c), truth) for c in (camera, plain))
    assert by_maps.rmse_per_axis_nm < 0.9 * by_means.rmse_per_axis_nm
    assert by_maps.spread_lateral.sd == pytest.approx(1, abs=0.06)


def test_light_has_the_noise_of_poisson_for_every_camera():
    for camera in (CCD, Emccd(), Scmos(), Emccd(quantum_efficiency=0.7)):
        counts = camera.expose(
            torch.full((4, 200, 200), 40.0), generator=torch.Generator().manual_seed(5)
        )
        light = light_from_counts(counts.numpy(), camera)
        assert light.photons(light.values.astype(np.float64)).mean() == pytest.approx(40, rel=0.01)
        expected = light.values.mean() + light.variance.mean()
        assert light.values.var() == pytest.approx(expected, rel=0.03)


def test_the_rough_part_keeps_the_variance_of_noise_and_nothing_of_a_slope():
    y, x = np.mgrid[:100, :100].astype(np.float32)
    assert np.abs(rough_part(3 * x + 2 * y + 7)).max() == 0
    noise = np.random.default_rng(0).normal(0, 2, (400, 400)).astype(np.float32)
    assert rough_part(noise).std() == pytest.approx(2, rel=0.02)


def test_frames_are_numbered_as_asked_and_blocks_change_nothing():
    counts, _ = film_grid(1000, 10, n_frames=40)
    calls = []
    whole = fit_spots(
        counts, camera=CCD, first_frame=101, progress=lambda *step: calls.append(step)
    )
    assert whole["frame"].min() == 101
    assert whole["frame"].max() == 140
    assert whole.attrs["pixel_size_nm"] == 100
    assert len(calls) > 1
    assert calls[-1][:2] == (40, 40)
    later = fit_spots(counts[30:], camera=CCD, first_frame=131)
    pd.testing.assert_frame_equal(
        whole[whole["frame"] > 130].reset_index(drop=True), later, rtol=0.05, atol=20
    )


def test_a_bound_of_the_background_ends_no_fit():
    # bright wide spots side by side: between them no pixel is dark, and the best background is 0
    x = torch.tensor([[40.0, 46.0, 43.0]])
    y = torch.tensor([[40.0, 41.0, 46.0]])
    mean = IntegratedGaussian(sigma_nm=(300, 300)).render(
        x, y, torch.zeros_like(x), torch.full_like(x, 3e4), torch.full_like(x, 300.0),
        pixel_size_nm=100, shape=(80, 80),
    )  # fmt: skip
    counts = CCD.expose(mean, generator=torch.Generator().manual_seed(3)).numpy()
    light = light_from_counts(counts, CCD)
    rows, columns = np.array([40, 41, 46]), np.array([40, 46, 43])
    fits = kernels.fit_windows(
        light.values, light.variance, np.zeros(3, np.int64), rows, columns, 7, 3.0
    )
    assert np.isfinite(fits).all()
    assert (fits[:, kernels.BACKGROUND] < 1).any()


def test_real_spots_are_where_thunderstorm_found_them():
    folder = Path(__file__).parents[3] / "shared/data/thunderstorm_exports/coli_with_frames"
    if not folder.is_dir():
        pytest.skip("the real data of shared/data are not here")
    theirs = read_table(folder / "storm_table.csv", pixel_size_nm=80.0)
    # the camera isn't stated; this makes mean and noise agree
    camera = Ccd(pixel_size_nm=80.0, offset_adu=1730.0, electrons_per_adu=0.085, read_noise_e=1.0)
    ours = fit_spots(tifffile.imread(folder / "flu.tif"), camera=camera)
    near, widths = [], []
    for frame, rows in theirs.groupby("frame"):
        places = ours[ours["frame"] == frame]
        distance, which = cKDTree(places[["x_nm", "y_nm"]]).query(rows[["x_nm", "y_nm"]])
        at = distance < 40
        near += distance[at].tolist()
        widths += (places["sigma_nm"].to_numpy()[which[at]] / rows["sigma_nm"][at]).tolist()
    # the rest of the 48 are clusters wider than 4 pixels, or in several pieces
    assert len(near) >= 15
    assert np.median(near) < 10
    assert np.median(widths) == pytest.approx(1, abs=0.1)


def test_it_can_be_stopped():
    counts, _ = film_grid(1000, 10, n_frames=1)

    def stop(done, total, note=""):
        raise Cancelled

    with pytest.raises(Cancelled):
        fit_spots(counts, camera=CCD, progress=stop)


def test_frames_that_are_none_are_refused():
    bad = np.full((1, 20, 20), 100.0)
    bad[0, 3, 4] = np.nan
    with pytest.raises(ImageError, match="1 of 400 values"):
        fit_spots(bad, camera=CCD)
    for shape in ((20, 20), (0, 20, 20), (3, 4, 20)):
        with pytest.raises(ImageError, match="its shape is"):
            fit_spots(np.zeros(shape), camera=CCD)


def test_an_empty_and_a_constant_movie_give_an_empty_table():
    for value in (100, 0, 65535):
        table = fit_spots(np.full((3, 40, 40), value, np.uint16), camera=CCD)
        assert len(table) == 0
        assert list(table.columns) == [
            "frame", "x_nm", "y_nm", "sigma_nm", "photons", "background", "uncertainty_xy_nm",
        ]  # fmt: skip
