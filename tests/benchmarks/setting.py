"""What all benchmarks share: the package, the image, a measurement in a process of its own."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

HALO = 96


def make_package(folder: Path, base: int = 32) -> Path:
    """Build the U-Net's package: state dict, TorchScript and ONNX weights, fixed normalisation."""
    import warnings

    import torch
    from bioimageio.spec import save_bioimageio_package_as_folder
    from bioimageio.spec.generic.v0_3 import Author, CiteEntry
    from bioimageio.spec.model import v0_5

    from tests.benchmarks import unet

    path = folder / f"unet-{base}"
    if (path / "rdf.yaml").exists() or (path / "bioimageio.yaml").exists():
        return path
    work = folder / f"parts-{base}"
    work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    network = unet.UNet(base)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    network.eval()
    raw = np.random.default_rng(7).gamma(2.0, 50.0, (1, 1, 256, 256)).astype(np.float32)
    x = torch.from_numpy((raw - 100) / 70)
    with torch.inference_mode():
        output = network(x).numpy()
    np.save(work / "input.npy", raw)
    np.save(work / "output.npy", output)
    torch.save(network.state_dict(), work / "weights.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, x).save(work / "weights_ts.pt")
        dim = torch.export.Dim
        torch.onnx.export(
            network, (x,), work / "weights.onnx", dynamo=True, external_data=False,
            opset_version=18, input_names=["input"], output_names=["output"], verbose=False,
            dynamic_shapes=[{0: dim("b", min=1), 2: 16 * dim("h", min=2), 3: 16 * dim("w", min=2)}],
        )  # fmt: skip
    (work / "README.md").write_text(
        "# Benchmark\n\n# Validation\n\nRandom weights: only its speed means anything.\n"
    )
    (work / "unet.py").write_bytes(Path(unet.__file__).read_bytes())
    size = v0_5.ParameterizedSize(min=208, step=16)
    f32 = v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))
    fixed = v0_5.FixedZeroMeanUnitVarianceDescr(
        kwargs=v0_5.FixedZeroMeanUnitVarianceKwargs(mean=100.0, std=70.0)
    )

    def reference(axis: str) -> v0_5.SizeReference:
        return v0_5.SizeReference(tensor_id=v0_5.TensorId("input"), axis_id=v0_5.AxisId(axis))

    version = v0_5.Version(torch.__version__.split("+")[0])
    description = v0_5.ModelDescr(
        name=f"Benchmark U-Net {base}",
        description="A U-Net of random weights",
        authors=[Author(name="zoobridge")],
        cite=[CiteEntry(text="none", url="https://example.com/")],
        license=v0_5.LicenseId("BSD-3-Clause"),
        documentation=v0_5.FileDescr(source=work / "README.md"),
        inputs=[
            v0_5.InputTensorDescr(
                id=v0_5.TensorId("input"),
                axes=[
                    v0_5.BatchAxis(),
                    v0_5.ChannelAxis(channel_names=["raw"]),
                    v0_5.SpaceInputAxis(id=v0_5.AxisId("y"), size=size),
                    v0_5.SpaceInputAxis(id=v0_5.AxisId("x"), size=size),
                ],
                preprocessing=[f32, fixed, f32],
                test_tensor=v0_5.FileDescr(source=work / "input.npy"),
            )
        ],
        outputs=[
            v0_5.OutputTensorDescr(
                id=v0_5.TensorId("output"),
                axes=[
                    v0_5.BatchAxis(),
                    v0_5.ChannelAxis(channel_names=["out"]),
                    v0_5.SpaceOutputAxisWithHalo(
                        id=v0_5.AxisId("y"), size=reference("y"), halo=HALO
                    ),
                    v0_5.SpaceOutputAxisWithHalo(
                        id=v0_5.AxisId("x"), size=reference("x"), halo=HALO
                    ),
                ],
                test_tensor=v0_5.FileDescr(source=work / "output.npy"),
            )
        ],
        weights=v0_5.WeightsDescr(
            pytorch_state_dict=v0_5.PytorchStateDictWeightsDescr(
                source=work / "weights.pt",
                pytorch_version=version,
                architecture=v0_5.ArchitectureFromFileDescr(
                    source=work / "unet.py", callable="UNet", kwargs={"base": base}
                ),
            ),
            torchscript=v0_5.TorchscriptWeightsDescr(
                source=work / "weights_ts.pt", pytorch_version=version, parent="pytorch_state_dict"
            ),
            onnx=v0_5.OnnxWeightsDescr(
                source=work / "weights.onnx", opset_version=18, parent="pytorch_state_dict"
            ),
        ),
    )
    save_bioimageio_package_as_folder(description, output_path=path)
    return path


def make_image(size: int) -> np.ndarray:
    """Give a (size, size) float32 image of spots."""
    return np.random.default_rng(1).gamma(2.0, 50.0, (size, size)).astype(np.float32)


def measure(module: str, method: str, **options: object) -> dict[str, float]:
    """Run one method in a process of its own; gives what its ``report`` printed."""
    command = [sys.executable, "-m", module, "--method", method]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode:
        raise RuntimeError(f"{method}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def report(**figures: float) -> None:
    """Print a child's figures for :func:`measure`."""
    print(json.dumps(figures))


def rounds(
    module: str, methods: Sequence[str], n_rounds: int, **options: object
) -> dict[str, list[dict[str, float]]]:
    """Measure all methods, interleaved, ``n_rounds`` times."""
    found: dict[str, list[dict[str, float]]] = {m: [] for m in methods}
    for number in range(n_rounds):
        for method in methods:
            found[method].append(measure(module, method, **options))
            print(f"round {number + 1} {method}: {found[method][-1]}", file=sys.stderr)
    return found


def ratio(found: dict[str, list[dict[str, float]]], a: str, b: str, key: str = "seconds") -> str:
    """Give the median and range over the rounds of a's time against b's, as text."""
    each = [x[key] / y[key] for x, y in zip(found[a], found[b], strict=True)]
    return f"{statistics.median(each):.2f} ({min(each):.2f}..{max(each):.2f})"


def parser(methods: dict[str, Callable[..., None]]) -> argparse.ArgumentParser:
    """Give the options that every benchmark has."""
    options = argparse.ArgumentParser()
    options.add_argument("--method", choices=list(methods))
    options.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "zoobridge-benchmarks"
    )
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--base", type=int, default=32, help="width of the U-Net")
    options.add_argument("--size", type=int, default=2048)
    return options
