"""The alarm for trainings that come to nothing, and the figures that it looks at."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bridge.errors import TrainingError
from bridge.training.monitor import refuse_dead_output
from bridge.training.panels import save_curves
from bridge.training.tasks.heatmap import agreement


def epochs(*masses: float, spread: float = 1e-3, loss: float = 0.5) -> list[dict[str, float]]:
    return [
        {"epoch": n, "val_loss": loss, "val_spread": spread, "val_mass": mass}
        for n, mass in enumerate(masses, start=1)
    ]


@pytest.mark.parametrize(
    ("history", "found"),
    [
        (epochs(0.5, spread=0.0), "one value everywhere"),
        (epochs(0.5, loss=math.nan), "validation loss is nan"),
        (epochs(0.5, loss=math.inf), "validation loss is inf"),
        (epochs(0.5, *[0.001] * 5), "for 5 epochs its output has held less than 1%"),
    ],
)
def test_a_dead_output_is_refused_with_a_remedy(history, found):
    with pytest.raises(TrainingError, match=found) as caught:
        refuse_dead_output(history)
    assert "fit.learning_rate" in caught.value.remedy


@pytest.mark.parametrize(
    "history", [epochs(0.001), epochs(*[0.001] * 4), epochs(*[0.001] * 4, 0.02), epochs(1.0)]
)
def test_an_output_that_may_still_come_alive_is_left_alone(history):
    refuse_dead_output(history)


@given(st.integers(0, 1000), st.floats(0.2, 5.0))
def test_agreement_of_sums_is_that_of_the_pixels(seed, scale):
    rng = np.random.default_rng(seed)
    wanted = rng.gamma(0.5, 1.0, 400)
    given_ = np.clip(scale * wanted + rng.normal(0, 0.3, 400), 0, None)
    sums = {
        "n": 400.0, "loss": 6.0, "patches": 4.0, "spread": 50.0,
        "given": given_.sum(), "wanted": wanted.sum(),
        "given2": (given_**2).sum(), "wanted2": (wanted**2).sum(),
        "both": (given_ * wanted).sum(),
    }  # fmt: skip
    found = agreement(sums, amount=100.0)
    best = np.linalg.lstsq(given_[:, None], wanted, rcond=None)[0][0]
    assert found["correlation"] == pytest.approx(np.corrcoef(given_, wanted)[0, 1])
    assert found["nmse"] == pytest.approx(((best * given_ - wanted) ** 2).sum() / sums["wanted2"])
    assert found["mass"] == pytest.approx(given_.sum() / wanted.sum())
    assert (found["loss"], found["spread"]) == (1.5, 0.5)


def test_a_dark_output_has_figures_too():
    sums = {"n": 9.0, "given": 0.0, "wanted": 3.0, "given2": 0.0, "wanted2": 3.0, "both": 0.0}
    found = agreement(sums | {"loss": 1.0, "patches": 1.0, "spread": 0.0}, amount=1.0)
    assert (found["correlation"], found["nmse"], found["mass"]) == (0.0, 1.0, 0.0)


def test_curves_of_one_epoch_show_points(tmp_path):
    row = {"epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_correlation": 0.3}
    for number, history in enumerate(([row], [{"epoch": 1}])):
        save_curves(tmp_path / f"{number}.png", history, figures={"val_correlation": "r"})
    pixels = [np.asarray(Image.open(tmp_path / f"{n}.png").convert("L")) for n in (0, 1)]
    assert (pixels[0] != pixels[1]).any()
