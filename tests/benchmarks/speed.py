"""Speed of tiled inference: ours against bioimageio.core, MONAI and the bare network without halo.

``python -m tests.benchmarks.speed [--rounds 3] [--size 2048]``
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks import setting

WINDOW = 704  # core's and MONAI's tiles: 512 kept + a halo of 96 on each side
THREADS = 2


def _timed(work: Callable[[], object], repeats: int = 2) -> float:
    """Give the best of some timings after a warm-up."""
    work()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def ours(folder: Path, size: int, engine: str) -> None:
    import xarray as xr

    from bridge.runtime.predict import ArraySink, Predictor, Settings
    from bridge.zoo.package import open_package

    package = open_package(setting.make_package(folder))
    predictor = Predictor(package, Settings(engine=engine, trust=True, threads=THREADS))  # type: ignore[arg-type]
    image = {"input": xr.DataArray(setting.make_image(size), dims=("y", "x"))}
    sinks: list[ArraySink] = []

    def work() -> None:
        sinks.clear()

        def sink(spec: object) -> ArraySink:
            sinks.append(ArraySink(spec.name, spec.dims, spec.shape, spec.dtype, spec.attrs))  # type: ignore[attr-defined]
            return sinks[-1]

        outcomes.append(predictor.run(image, sink))

    outcomes: list = []
    seconds = _timed(work)
    tiles = outcomes[-1].report["tiles"]
    np.save(folder / f"ours-{engine}.npy", sinks[0].image.values)
    setting.report(
        seconds=seconds,
        computed_share=tiles["computed_share"],
        window=tiles["window"]["y"],
        engine={"openvino": 0, "onnxruntime": 1, "torch": 2, "torchscript": 3}[
            outcomes[-1].report["engine"]["name"]
        ],
    )


def ideal(folder: Path, size: int, engine: str) -> None:
    """Time the bare network over abutting windows, without halo: the best of several sizes."""
    from bridge.runtime.device import Device
    from bridge.runtime.engine import load_network
    from bridge.zoo.package import open_package

    package = open_package(setting.make_package(folder))
    network = load_network(package, engine, Device("cpu", THREADS), precision="float32", trust=True)  # type: ignore[arg-type]
    image = ((setting.make_image(size) - 100) / 70)[None, None]
    best, at = float("inf"), 0
    for window in (256, 512, 1024, 1120):
        n = size // window if size % window == 0 else 1
        part = np.ascontiguousarray(image[..., :window, :window])
        network([part])
        start = time.perf_counter()
        for _ in range(min(n * n, 8)):
            network([part])
        per_pixel = (time.perf_counter() - start) / (min(n * n, 8) * window * window)
        if per_pixel * size * size < best:
            best, at = per_pixel * size * size, window
    setting.report(seconds=best, window=at)


def core(folder: Path, size: int, weights: str) -> None:
    import torch
    import xarray as xr
    from bioimageio.core import create_prediction_pipeline, load_model_description
    from bioimageio.core.sample import Sample
    from bioimageio.core.tensor import Tensor

    torch.set_num_threads(THREADS)
    description = load_model_description(setting.make_package(folder), perform_io_checks=False)
    pipeline = create_prediction_pipeline(
        description, weight_format=weights, devices=["cpu"] if weights != "onnx" else None
    )
    image = xr.DataArray(setting.make_image(size)[None, None], dims=("batch", "channel", "y", "x"))

    def work() -> object:
        sample = Sample(members={"input": Tensor.from_xarray(image)}, stat={}, id="image")
        return pipeline.predict_sample_with_fixed_blocking(
            sample, {"input": {"batch": 1, "channel": 1, "y": WINDOW, "x": WINDOW}}
        )

    pipeline.load()
    setting.report(seconds=_timed(work, repeats=1))


def monai(folder: Path, size: int) -> None:
    import torch
    from monai.inferers import sliding_window_inference

    from bridge.zoo.package import open_package
    from bridge.zoo.weights import load_torch

    torch.set_num_threads(THREADS)
    network = load_torch(
        open_package(setting.make_package(folder)), "pytorch_state_dict", trust=True
    )
    image = torch.from_numpy(((setting.make_image(size) - 100) / 70)[None, None])

    def work() -> None:
        with torch.inference_mode():
            outputs[:] = [sliding_window_inference(image, (512, 512), 1, network, 0.25, "gaussian")]

    outputs: list = []
    seconds = _timed(work, repeats=1)
    np.save(folder / "monai.npy", outputs[0].numpy()[0, 0])
    setting.report(seconds=seconds)


def whole(folder: Path, size: int) -> None:
    import torch

    from bridge.zoo.package import open_package
    from bridge.zoo.weights import load_torch

    torch.set_num_threads(THREADS)
    network = load_torch(
        open_package(setting.make_package(folder)), "pytorch_state_dict", trust=True
    )
    image = torch.from_numpy(((setting.make_image(size) - 100) / 70)[None, None])
    outputs: list = []

    def work() -> None:
        with torch.inference_mode():
            outputs[:] = [network(image)]

    seconds = _timed(work, repeats=1)
    np.save(folder / "whole.npy", outputs[0].numpy()[0, 0])
    setting.report(seconds=seconds)


METHODS: dict[str, Callable[..., None]] = {
    "ideal-torch": lambda f, s: ideal(f, s, "torch"),
    "ideal-onnxruntime": lambda f, s: ideal(f, s, "onnxruntime"),
    "ideal-openvino": lambda f, s: ideal(f, s, "openvino"),
    "ours-auto": lambda f, s: ours(f, s, "auto"),
    "ours-torch": lambda f, s: ours(f, s, "torch"),
    "ours-onnxruntime": lambda f, s: ours(f, s, "onnxruntime"),
    "core-torch": lambda f, s: core(f, s, "pytorch_state_dict"),
    "core-onnx": lambda f, s: core(f, s, "onnx"),
    "monai": monai,
    "whole": whole,
}


def main() -> None:
    options = setting.parser(METHODS).parse_args()
    if options.method:
        METHODS[options.method](options.folder, options.size)
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    setting.make_package(options.folder)
    found = setting.rounds(
        "tests.benchmarks.speed",
        list(METHODS),
        options.rounds,
        folder=options.folder,
        size=options.size,
    )
    reference = np.load(options.folder / "whole.npy")

    def difference(name: str) -> str:
        ours_or_theirs = np.load(options.folder / f"{name}.npy")
        return f"{np.abs(ours_or_theirs - reference).max() / reference.std():.1e}"

    engine = ["openvino", "onnxruntime", "torch", "torchscript"][
        int(found["ours-auto"][0]["engine"])
    ]

    def overhead(ours_name: str, ideal_name: str) -> str:
        each = [
            o["seconds"] / (i["seconds"] * o["computed_share"])
            for o, i in zip(found[ours_name], found[ideal_name], strict=True)
        ]
        return f"{sorted(each)[len(each) // 2]:.2f} ({min(each):.2f}..{max(each):.2f})"

    ratio = setting.ratio
    print(
        f"\n{options.size} x {options.size}, {THREADS} threads, auto = {engine}; "
        f"median (range) of {options.rounds} rounds\n"
    )
    print("| measure | ratio |\n|---|---|")
    print(f"| core blocking (state dict) / ours auto | {ratio(found, 'core-torch', 'ours-auto')} |")
    print(
        f"| core blocking (state dict) / ours torch | {ratio(found, 'core-torch', 'ours-torch')} |"
    )
    print(
        "| ours onnxruntime / core blocking (ONNX) | "
        f"{ratio(found, 'ours-onnxruntime', 'core-onnx')} |"
    )
    print(f"| MONAI / ours auto | {ratio(found, 'monai', 'ours-auto')} |")
    print(f"| MONAI / ours torch | {ratio(found, 'monai', 'ours-torch')} |")
    print(f"| own overhead, torch | {overhead('ours-torch', 'ideal-torch')} |")
    print(f"| own overhead, onnxruntime | {overhead('ours-onnxruntime', 'ideal-onnxruntime')} |")
    print(f"| own overhead, auto | {overhead('ours-auto', f'ideal-{engine}')} |")
    print(f"| whole job / ideal, torch | {ratio(found, 'ours-torch', 'ideal-torch')} |")
    print(f"| whole job / ideal torch, auto | {ratio(found, 'ours-auto', 'ideal-torch')} |")
    for name in ("ours-auto", "ours-torch", "ours-onnxruntime", "monai"):
        print(f"| max difference from whole / std, {name} | {difference(name)} |")


if __name__ == "__main__":
    main()
