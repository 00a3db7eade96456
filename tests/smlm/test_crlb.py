"""The bound against the figures that a least-squares and a likelihood fit were measured with."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from bridge.smlm.crlb import precision_bound

CAMERA = {"sigma_nm": 130, "pixel_size_nm": 100, "read_noise_photons": 1.5}


@pytest.mark.parametrize(
    ("photons", "background", "squares_nm", "likelihood_nm"),
    [(200, 10, 20.0, 19.6), (500, 10, 10.09, 9.61), (1000, 10, 6.42, 5.90), (5000, 50, 2.82, 2.57)],
)
def test_both_equations_give_the_worked_values(photons, background, squares_nm, likelihood_nm):
    squares = precision_bound(photons, background, fit="least squares", **CAMERA)
    assert squares == pytest.approx(squares_nm, rel=3e-3)
    assert precision_bound(photons, background, **CAMERA) == pytest.approx(likelihood_nm, rel=3e-3)


def test_the_bound_agrees_with_the_fisher_information_of_a_pixelated_gaussian():
    """Sum over pixels of (d mean / d x)^2 / mean, averaged over places in the pixel."""
    n, b, sigma, a = 1000.0, 10.0, 130.0, 100.0
    centres = (np.arange(-8, 9) * a)[None, :]
    places = np.linspace(-a / 2, a / 2, 21)[:, None]

    def share(place: np.ndarray) -> np.ndarray:
        edges = (centres[..., None] + np.array([-a / 2, a / 2]) - place[..., None]) / sigma
        return np.diff(erf(edges / np.sqrt(2)), axis=-1)[..., 0] / 2

    step = 0.01
    slope = (share(places + step) - share(places - step)) / (2 * step)
    across = share(np.zeros((1, 1)))[0]
    mean = n * share(places)[:, :, None] * across + b
    information = ((n * slope[:, :, None] * across) ** 2 / mean).sum((1, 2))
    exact = np.sqrt(np.mean(1 / information))
    bound = precision_bound(n, b, sigma_nm=sigma, pixel_size_nm=a)
    assert bound == pytest.approx(exact, rel=0.02)


def test_an_emccd_doubles_the_variance_and_nonsense_is_nan():
    plain = precision_bound(1000, 10, **CAMERA)
    assert precision_bound(1000, 10, excess_noise=2, **CAMERA) == pytest.approx(plain * 2**0.5)
    bounds = precision_bound([1000, 0, 1000, -5], [10, 10, -1, 10], **CAMERA)
    assert np.isnan(bounds).tolist() == [False, True, True, True]
