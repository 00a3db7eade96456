"""The loss against numpy and scipy, by the formulas of its papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate

from bridge.training.losses import HeatmapLoss
from bridge.training.parts import HeatmapPart

DSIR = HeatmapPart(
    amount=1.0,
    kernel_px=5,
    kernel_fwhm_px=3.0,
    kernel_norm="peak",
    finetune_share=0.1,
    finetune_kernel_fwhm_px=1.0,
    sparsity=0.0,
)


def patches(seed: int, *, edge: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Give outputs with both signs and emitters, some twice in a pixel and some at the edge."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 20, (3, edge, edge)), rng.poisson(0.02, (3, edge, edge)).astype(float)


def gaussian(edge: int, sigma_px: float) -> np.ndarray:
    """Compute a square Gaussian of peak 1, point by point."""
    middle = edge // 2
    return np.array(
        [
            [
                np.exp(-((i - middle) ** 2 + (j - middle) ** 2) / (2 * sigma_px**2))
                for j in range(edge)
            ]
            for i in range(edge)
        ]
    )


def blur(images: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.stack([correlate(image, kernel, mode="constant") for image in images])


def loss_of(task: HeatmapPart, predicted: np.ndarray, emitters: np.ndarray, done: float) -> float:
    tensors = (torch.from_numpy(a[:, None].astype(np.float32)) for a in (predicted, emitters))
    return float(HeatmapLoss(task)(*tensors, done))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), done=st.sampled_from([0.0, 0.5, 1.0]))
def test_it_is_deep_storm_s_published_loss(seed, done):
    # Training.py and CNN_Model.py: labels are spikes blurred by a 7x7 Gaussian of sum 1, times 100;
    # the loss blurs the output by one of sum 2, and adds the output's mean absolute value.
    published, spikes = patches(seed)
    kernel = gaussian(7, 1.0)
    kernel /= kernel.sum()
    label = 100 * blur(spikes, kernel)
    expected = ((label - blur(published, 2 * kernel)) ** 2).mean() + abs(published).mean()
    # Our output is twice the published one, so that its sum is 100 an emitter, as the label's.
    assert loss_of(HeatmapPart(), 2 * published, spikes, done) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("done", "fwhm_px"), [(0.0, 3.0), (0.89, 3.0), (0.91, 1.0), (1.0, 1.0)])
def test_it_is_dsir_s_published_loss_in_both_parts(done, fwhm_px):
    predicted, spikes = patches(5)
    kernel = gaussian(5, fwhm_px / 2.354820045)
    assert kernel[2, 2] == 1  # peak 1, and not sum 1
    expected = ((blur(predicted, kernel) - blur(spikes, kernel)) ** 2).mean()
    assert loss_of(DSIR, predicted, spikes, done) == pytest.approx(expected, rel=1e-5)


def test_the_blur_changes_at_the_very_step_that_the_recipe_says():
    predicted, spikes = patches(1)
    first, last = loss_of(DSIR, predicted, spikes, 0.0), loss_of(DSIR, predicted, spikes, 1.0)
    n_steps = 200
    values = [loss_of(DSIR, predicted, spikes, step / n_steps) for step in range(n_steps)]
    assert values == [first] * 180 + [last] * 20


def test_without_fine_tuning_the_blur_never_changes():
    predicted, spikes = patches(2)
    values = {loss_of(HeatmapPart(), predicted, spikes, done) for done in (0.0, 0.999, 1.0)}
    assert len(values) == 1


def test_two_emitters_in_a_pixel_ask_for_twice_as_much():
    spikes = np.zeros((1, 16, 16))
    spikes[0, 8, 8] = 2
    task = HeatmapPart(sparsity=0.0)
    values = [loss_of(task, amount * spikes, spikes, 0.0) for amount in (50, 100, 150)]
    assert values[1] == 0
    assert values[0] == pytest.approx(values[2])
    assert values[0] > 0


def test_the_gradient_of_a_dark_output_points_at_the_emitter():
    spikes = torch.zeros(1, 1, 16, 16)
    spikes[0, 0, 5, 11] = 1
    predicted = torch.zeros(1, 1, 16, 16, requires_grad=True)
    HeatmapLoss(HeatmapPart())(predicted, spikes, 0.0).backward()
    assert int(predicted.grad.argmin()) == 5 * 16 + 11
    assert predicted.grad.min() < 0


def test_half_precision_outputs_are_compared_in_full():
    predicted, spikes = patches(3)
    full = torch.from_numpy(predicted[:, None]).bfloat16()
    emitters = torch.from_numpy(spikes[:, None]).float()
    loss = HeatmapLoss(HeatmapPart())(full, emitters, 0.0)
    assert loss.dtype == torch.float32
    assert float(loss) == float(HeatmapLoss(HeatmapPart())(full.float(), emitters, 0.0))


def test_its_kernels_are_no_part_of_the_checkpoint():
    assert not HeatmapLoss(HeatmapPart()).state_dict()
