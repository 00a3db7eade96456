from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from models_zoo.deep_storm.architecture import DeepStormLight
from models_zoo.deep_storm.describe import HALO_PX, SMALLEST_PX, measure_radius_px
from models_zoo.deep_storm.evaluate import measure_haze, measure_isolated, score_image
from models_zoo.deep_storm.make_demo import DEMO_DIR, make_demo
from models_zoo.deep_storm.movie import Scene, count_truth, simulate_movie
from models_zoo.deep_storm.package import make_package, run_formats
from models_zoo.deep_storm.predict import load_network, predict
from models_zoo.deep_storm.simulate import (
    OFFSET_ADU,
    PIXEL_SIZE_NM,
    UPSCALING,
    Conditions,
    Emitters,
    count_emitters,
    expose_mean,
    read_out,
    simulate_patches,
)
from models_zoo.deep_storm.train import (
    INPUT_MEAN,
    INPUT_STD,
    PERCENT,
    DeepStormLoss,
    Settings,
    Training,
)

PACKAGE_DIR = Path(__file__).parents[2] / "models_zoo" / "packages" / "deep-storm"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shipped() -> DeepStormLight:
    return load_network(PACKAGE_DIR / "weights.pt")


@pytest.fixture(scope="module")
def demo_frames() -> np.ndarray:
    return tifffile.imread(DEMO_DIR / "movie.tif")


def emitters_of(*rows: tuple[float, float, float]) -> Emitters:
    """One patch; rows are (x_px, y_px, photons)."""
    return Emitters(*torch.tensor(rows, dtype=torch.float64).T[:, None])


# The network


def test_network_has_a_few_hundred_thousand_weights():
    assert sum(p.numel() for p in DeepStormLight().parameters()) == 346_528


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (2, 1, 48, 52), (3, 1, 20, 64)])
def test_output_is_upscaled_and_never_negative(shape):
    network = DeepStormLight().eval()
    output = network(torch.randn(shape))
    assert output.shape == (shape[0], 1, 8 * shape[2], 8 * shape[3])
    assert output.min() >= 0


def test_halo_of_the_package_covers_the_measured_receptive_radius():
    network = DeepStormLight()
    radius_px = measure_radius_px(network)
    # By hand: two 3x3 layers at each end, two on each way and one at the bottom, at 1, 2 and 4
    # pixels per step, and up to 3 pixels because poolings look at blocks of 4.
    assert radius_px == (2 + 2) + 2 * (2 + 2) + 4 + 3
    assert radius_px <= HALO_PX
    assert HALO_PX % network.stride == 0
    assert SMALLEST_PX > 2 * HALO_PX


@pytest.mark.parametrize("start", [(0, 0), (4, 28), (28, 0), (16, 20)])
def test_tile_at_a_multiple_of_the_stride_equals_the_whole(shipped, demo_frames, start):
    size = 64
    whole = predict(shipped, demo_frames[:1])[0]
    top, left = start
    tile = predict(shipped, demo_frames[:1, top : top + size, left : left + size])[0]
    # The halo is only cut where the image goes on.
    end = [HALO_PX if edge + size < 96 else 0 for edge in start]
    cut = [HALO_PX if edge else 0 for edge in start]
    rows, columns = (
        slice(c * UPSCALING, (size - e) * UPSCALING) for c, e in zip(cut, end, strict=True)
    )
    expected = whole[top * UPSCALING :, left * UPSCALING :][rows, columns]
    np.testing.assert_allclose(tile[rows, columns], expected, atol=1e-5)


def test_tile_off_the_stride_differs(shipped, demo_frames):
    """Otherwise the description could ask for step 1, and the test above would prove nothing."""
    whole = predict(shipped, demo_frames[:1])[0]
    tile = predict(shipped, demo_frames[:1, 2:66, 2:66])[0]
    inner = slice(HALO_PX * UPSCALING, (64 - HALO_PX) * UPSCALING)
    expected = whole[2 * UPSCALING :, 2 * UPSCALING :][inner, inner]
    assert abs(tile[inner, inner] - expected).max() > 1e-3


# The simulator


def test_all_photons_of_an_inner_emitter_arrive_round_its_place():
    emitters = emitters_of((12.3, 9.8, 1000.0))
    mean = expose_mean(emitters, torch.tensor([1.3], dtype=torch.float64), shape=(20, 24))[0]
    y, x = (torch.arange(n) + 0.5 for n in (20, 24))  # pixel centres, from the corner
    assert float(mean.sum()) == pytest.approx(1000, abs=0.01)
    assert float((mean.sum(0) * x).sum() / mean.sum()) == pytest.approx(12.3, abs=1e-3)
    assert float((mean.sum(1) * y).sum() / mean.sum()) == pytest.approx(9.8, abs=1e-3)
    spread = float((mean.sum(0) * (x - 12.3) ** 2).sum() / mean.sum())
    # Integrating over a pixel adds the variance of a box, 1/12.
    assert spread == pytest.approx(1.3**2 + 1 / 12, abs=1e-3)


def test_camera_has_the_mean_and_variance_of_shot_read_and_rounding_noise():
    generator = torch.Generator().manual_seed(4)
    mean = torch.full((1, 600, 600), 10.0)
    counts = read_out(mean, torch.tensor([1.5]), generator=generator)
    assert float(counts.mean()) == pytest.approx(OFFSET_ADU + 10, abs=0.03)
    assert float(counts.var()) == pytest.approx(10 + 1.5**2 + 1 / 12, rel=0.01)
    assert torch.equal(counts, counts.round())


def test_two_emitters_in_a_fine_pixel_count_twice_and_coordinates_are_floored():
    edge = 1 / UPSCALING
    emitters = emitters_of(
        (0.0, 0.0, 5), (0.99 * edge, 0.5 * edge, 5), (edge, 0.0, 5), (1.99, 1.51, 5)
    )
    counts = count_emitters(emitters, shape=(2, 2))
    expected = torch.zeros(1, 1, 16, 16)
    expected[0, 0, 0, 0] = 2
    expected[0, 0, 0, 1] = 1
    expected[0, 0, 12, 15] = 1
    assert torch.equal(counts, expected)


def test_emitters_outside_or_without_photons_are_not_labelled():
    emitters = emitters_of((-0.01, 1, 5), (1, 4.01, 5), (1, 1, 0), (4.0, 1, 5))
    assert count_emitters(emitters, shape=(4, 4)).sum() == 0


def test_labels_lie_on_the_spots_that_made_them():
    conditions = Conditions(
        density_per_um2=(1, 1), photons=(1e4, 1e4), background=(1, 1), empty=0, lines=0
    )
    patches = simulate_patches(
        40, size_px=32, generator=torch.Generator().manual_seed(2), conditions=conditions
    )
    density = float(patches.emitters.sum()) / 40 / (32 * PIXEL_SIZE_NM / 1000) ** 2
    assert density == pytest.approx(1.0, abs=0.15)
    counts = torch.nn.functional.interpolate(patches.frames - 101, scale_factor=8.0)
    blurred = torch.nn.functional.avg_pool2d(patches.emitters, 17, stride=1, padding=8)

    def agreement(dy: int, dx: int) -> float:
        moved = blurred.roll((dy, dx), dims=(2, 3))
        return float((moved * counts)[..., 32:-32, 32:-32].sum())

    here = agreement(0, 0)
    for step in ((8, 0), (-8, 0), (0, 8), (0, -8)):
        assert agreement(*step) < here


def test_empty_patches_hold_background_only():
    conditions = Conditions(empty=1.0, lines=0.0, background=(20, 20))
    patches = simulate_patches(
        50, size_px=32, generator=torch.Generator().manual_seed(3), conditions=conditions
    )
    assert patches.emitters.sum() == 0
    assert float(patches.frames.mean()) == pytest.approx(OFFSET_ADU + 20, abs=1.5)


def test_movie_and_its_truth_agree():
    scene = Scene(n_frames=40, shape=(40, 56), n_filaments=4, out_of_focus=0.0)
    movie = simulate_movie(scene, seed=5)
    counts = count_truth(movie)
    assert movie.frames.shape == (40, 40, 56)
    assert counts.shape == (40, 320, 448)
    assert counts.sum() == len(movie.truth)
    density = len(movie.truth) / 40 / (40 * 56 / 100)
    assert density == pytest.approx(scene.density_per_um2, rel=0.15)
    signal = movie.frames.astype(float) - OFFSET_ADU - scene.background
    y_nm = (np.arange(40) + 0.5) * PIXEL_SIZE_NM
    weights = movie.truth[:, 4]
    assert (signal.sum((0, 2)) @ y_nm) / signal.sum() == pytest.approx(
        np.average(movie.truth[:, 3], weights=weights), abs=40
    )


def test_movie_is_the_same_for_the_same_seed_only():
    scene = Scene(n_frames=2, shape=(24, 24), n_filaments=2)
    first, again, other = (simulate_movie(scene, seed=s).frames for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# Training


def test_loss_of_a_perfect_image_is_its_penalty():
    emitters = torch.zeros(1, 1, 32, 32)
    emitters[0, 0, 16, 16] = 1
    loss = DeepStormLoss()
    assert float(loss(PERCENT * emitters, emitters)) == pytest.approx(0.5 * 100 / 32**2)
    # A lone emitter that is missed costs 100^2 times the kernel's square sum, 1 / (4 pi).
    missed = float(loss(torch.zeros_like(emitters), emitters)) * 32**2
    assert missed == pytest.approx(100**2 / (4 * np.pi), rel=0.01)


def test_twenty_steps_lower_the_loss_below_that_of_a_dark_image():
    training = Training(Settings(steps=20, seed=1, batch=8, size_px=16, rate=1e-2))
    held_out = simulate_patches(16, size_px=32, generator=torch.Generator().manual_seed(99))

    def held_out_loss() -> float:
        with torch.no_grad():
            # Twenty steps are too few for the running statistics: use the batch's own.
            predicted = training.network.train()((held_out.frames - INPUT_MEAN) / INPUT_STD)
            return float(training.loss(predicted, held_out.emitters))

    untrained = held_out_loss()
    while training.done < 1:
        training.advance()
    assert training.step == 20
    dark = float(training.loss(torch.zeros_like(held_out.emitters), held_out.emitters))
    assert held_out_loss() < dark < untrained


def test_resumed_training_equals_an_uninterrupted_one(tmp_path):
    settings = Settings(steps=6, seed=7, batch=2, size_px=16)
    whole = Training(settings)
    for _ in range(6):
        whole.advance()

    first = Training(settings)
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "checkpoint.pt")
    second = Training(settings)
    second.restore(tmp_path / "checkpoint.pt")
    assert second.step == 3
    weights_path = second.run(tmp_path)

    assert second.losses == whole.losses
    for name, value in torch.load(weights_path, weights_only=True).items():
        assert torch.equal(value, whole.network.state_dict()[name]), name


@pytest.mark.parametrize("length", [{}, {"minutes": 1.0, "steps": 5}])
def test_training_wants_one_length(length):
    with pytest.raises(ValueError, match="Give one of them"):
        Training(Settings(**length))


# The shipped package


def test_package_is_valid():
    # In a process of its own: bioimageio.spec leaves files open, and warnings are errors here.
    code = (
        "import sys; from bioimageio.spec import load_description; "
        "status = load_description(sys.argv[1]).validation_summary.status; "
        "assert status == 'valid-format', status"
    )
    command = [sys.executable, "-c", code, str(PACKAGE_DIR / "rdf.yaml")]
    subprocess.run(command, check=True, timeout=120)


def test_package_is_small():
    assert sum(path.stat().st_size for path in PACKAGE_DIR.iterdir()) < 8e6
    assert (PACKAGE_DIR / "cover.png").stat().st_size <= 500_000


def test_packaging_never_replaces_a_folder_that_is_no_package(tmp_path):
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(FileExistsError, match="Give another folder"):
        make_package(PACKAGE_DIR / "weights.pt", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years"


def test_weight_formats_agree_on_the_test_tensor():
    frames = np.load(PACKAGE_DIR / "test_input.npy")
    expected = np.load(PACKAGE_DIR / "test_output.npy")
    outputs = run_formats(PACKAGE_DIR, frames)
    assert set(outputs) == {"state_dict", "torchscript", "onnx"}
    for name, output in outputs.items():
        np.testing.assert_allclose(output, expected, atol=1e-4, err_msg=name)


def test_every_format_takes_any_batch_and_size():
    frames = np.full((3, 1, 60, 44), 110, dtype=np.uint16)
    for name, output in run_formats(PACKAGE_DIR, frames).items():
        assert output.shape == (3, 1, 480, 352), name


@pytest.mark.parametrize("name", ["architecture.py", "README.md", "cover.png"])
def test_package_holds_the_sources_as_they_are(name):
    source = Path(__file__).parents[2] / "models_zoo" / "deep_storm" / name
    assert (PACKAGE_DIR / name).read_bytes() == source.read_bytes()


def test_architecture_runs_alone_with_torch_only(tmp_path):
    shutil.copy(PACKAGE_DIR / "architecture.py", tmp_path / "alone.py")
    code = (
        "import sys, alone; alone.DeepStormLight(); "
        "assert not any(n.startswith(('models_zoo', 'bridge')) for n in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=120)


def test_shipped_network_beats_the_sum_of_frames_by_far(shipped, demo_frames):
    truth = tifffile.imread(DEMO_DIR / "truth.tif").astype(float)
    image = predict(shipped, demo_frames).sum(axis=0).astype(float)
    camera = demo_frames.sum(axis=0, dtype=float).repeat(8, 0).repeat(8, 1)
    network, frames = (score_image(i, truth / 100) for i in (image, camera - camera.min()))
    assert network["r"] > frames["r"] + 0.3
    assert network["NMSE 25"] < 0.3 * frames["NMSE 25"]
    assert 0.8 < image.sum() / truth.sum() < 1.1


def test_shipped_network_is_dark_on_empty_frames(shipped):
    haze, brightest = measure_haze(shipped, 10.0, seed=1)
    assert haze < 0.05
    assert brightest < 2


def test_output_lies_where_the_emitter_is(shipped):
    found = measure_isolated(shipped, 3000.0, seed=1, n=120)
    # Half a fine pixel, the usual slip, would be 6.25 nm; the mean of 120 is good to 0.4 nm.
    assert abs(found["bias x"]) < 2.5
    assert abs(found["bias y"]) < 2.5
    # The best possible is 2.9 nm (Mortensen et al. 2010: 3000 photons, 12.6 of variance behind).
    assert 2.6 < found["spread"] < 6.0


# The demo


def test_demo_is_what_the_script_makes(tmp_path):
    make_demo(tmp_path)
    for name in ("movie.tif", "truth.tif"):
        made, kept = (tifffile.imread(folder / name) for folder in (tmp_path, DEMO_DIR))
        np.testing.assert_array_equal(made, kept)
    assert (tmp_path / "truth.csv").read_text() == (DEMO_DIR / "truth.csv").read_text()


def test_demo_has_its_pixel_size_and_is_small():
    for name, per_um in (("movie.tif", 10.0), ("truth.tif", 80.0)):
        with tifffile.TiffFile(DEMO_DIR / name) as file:
            numerator, denominator = file.pages[0].tags["XResolution"].value
            assert numerator / denominator == pytest.approx(per_um, rel=1e-6)
            assert file.imagej_metadata["unit"] == "um"
            assert file.series[0].dtype == np.uint16
    assert sum(path.stat().st_size for path in DEMO_DIR.iterdir()) < 1e6
