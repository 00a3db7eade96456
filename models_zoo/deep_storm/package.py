"""Make the BioImage Model Zoo package: ``python -m models_zoo.deep_storm.package WEIGHTS OUT_DIR``.

``WEIGHTS`` is the ``weights.pt`` that ``train`` wrote. The folder ``OUT_DIR`` then holds
``rdf.yaml`` (format 0.5), the network as state dict, TorchScript and ONNX, its card, cover, and
test and sample tensors. A folder that is there already is replaced when the new one has passed
bioimageio.core's own test. What the package says about itself is in ``describe``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tifffile
import torch
from bioimageio.core import test_description
from bioimageio.spec import save_bioimageio_package_as_folder
from numpy.typing import NDArray

from models_zoo.deep_storm.architecture import DeepStormLight
from models_zoo.deep_storm.describe import FILES, SMALLEST_PX, describe
from models_zoo.deep_storm.make_demo import DEMO_DIR
from models_zoo.deep_storm.predict import load_network, normalise, predict

HERE = Path(__file__).parent


def export_network(network: DeepStormLight, output_dir: Path) -> None:
    """Write the network as state dict, TorchScript and single-file ONNX (opset 18, IR 8)."""
    torch.save(network.state_dict(), output_dir / FILES["state_dict"])
    example = torch.zeros(2, 1, SMALLEST_PX, SMALLEST_PX + network.stride)
    with warnings.catch_warnings():
        # torch 2.15 calls TorchScript deprecated, but it is what deepImageJ and QuPath read.
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        torch.jit.script(network).save(str(output_dir / FILES["torchscript"]))  # type: ignore[no-untyped-call]
    torch.onnx.export(
        network,
        (example,),
        str(output_dir / FILES["onnx"]),
        dynamo=True,
        external_data=False,
        opset_version=18,
        input_names=["frames"],
        output_names=["emitters"],
        dynamic_shapes=[dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)],
        verbose=False,
    )
    graph = onnx.load(output_dir / FILES["onnx"])
    graph.ir_version = 8  # for the ONNX Runtime 1.13 in deepImageJ; not tried there
    graph.doc_string = ""
    graph.metadata_props.clear()
    for node in graph.graph.node:
        del node.metadata_props[:]  # the exporter's stack traces, with paths of this computer
        node.doc_string = ""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, output_dir / FILES["onnx"])


def run_formats(package_dir: Path, frames: NDArray[np.generic]) -> dict[str, NDArray[np.float32]]:
    """Run a package's weights, each in its own engine, on frames (b, 1, y, x) in camera counts.

    Returns
    -------
    dict
        Output (b, 1, Y, X) by weight format: ``state_dict``, ``torchscript`` and ``onnx``.
    """
    ready = normalise(frames)
    with torch.inference_mode(), warnings.catch_warnings():
        # torch 2.15 calls TorchScript deprecated; that the file still loads is to be shown here.
        warnings.filterwarnings("ignore", "`torch.jit", FutureWarning)
        scripted = torch.jit.load(str(package_dir / FILES["torchscript"]))  # type: ignore[no-untyped-call]
        outputs = {
            "state_dict": load_network(package_dir / FILES["state_dict"])(ready).numpy(),
            "torchscript": scripted(ready).numpy(),
        }
    session = onnxruntime.InferenceSession(
        package_dir / FILES["onnx"], providers=["CPUExecutionProvider"]
    )
    outputs["onnx"] = session.run(None, {session.get_inputs()[0].name: ready.numpy()})[0]
    return outputs


def write_examples(network: DeepStormLight, package_dir: Path) -> None:
    """Write test and sample tensors, all from the demo movie."""
    movie = tifffile.imread(DEMO_DIR / "movie.tif")
    test = movie[:1, None, 20 : 20 + SMALLEST_PX, 24 : 24 + SMALLEST_PX + 8]
    np.save(package_dir / "test_input.npy", test)
    with torch.inference_mode():
        np.save(package_dir / "test_output.npy", network(normalise(test)).numpy())
    predicted = predict(network, movie)
    tifffile.imwrite(package_dir / "sample_input.tif", movie[:1], compression="zlib")
    # Steps of 1/64 percent: nobody sees them, and the file is a tenth.
    sample = (predicted[:1] * 64).round() / 64
    tifffile.imwrite(package_dir / "sample_output.tif", sample, compression="zlib")


def make_package(weights_path: Path, output_dir: Path) -> float:
    """Build, compare, test and put in place the package of a trained network.

    Parameters
    ----------
    weights_path : Path
        The ``weights.pt`` that training wrote.
    output_dir : Path
        The package's folder.

    Returns
    -------
    float
        Greatest difference between the outputs of the three weight formats, in percent of an
        emitter.

    Raises
    ------
    RuntimeError
        The formats disagree, or bioimageio.core's test fails.
    FileExistsError
        The folder is there, and it is no package.
    """
    if output_dir.exists() and not (output_dir / "rdf.yaml").is_file():
        raise FileExistsError(
            f"{output_dir}: found something without rdf.yaml, expected nothing or an older package "
            "to replace. Give another folder."
        )
    network = load_network(weights_path)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output_dir.parent) as temporary:
        draft_dir, package_dir = Path(temporary) / "draft", Path(temporary) / "package"
        draft_dir.mkdir()
        export_network(network, draft_dir)
        for name in ("architecture.py", "README.md", "cover.png"):
            shutil.copyfile(HERE / name, draft_dir / name)
        write_examples(network, draft_dir)
        outputs = run_formats(draft_dir, np.load(draft_dir / "test_input.npy"))
        expected = np.load(draft_dir / "test_output.npy")
        difference = float(max(abs(output - expected).max() for output in outputs.values()))
        if difference > 1e-3:
            raise RuntimeError(f"{output_dir}: the weight formats differ by {difference:.3g}.")
        description = describe(network, draft_dir)
        save_bioimageio_package_as_folder(description, output_path=package_dir)
        summary = test_description(package_dir / "rdf.yaml", determinism="full")
        if summary.status != "passed":
            raise RuntimeError(f"{output_dir}: bioimageio.core's test failed.\n{summary.format()}")
        if output_dir.exists():
            shutil.rmtree(output_dir)
        package_dir.rename(output_dir)
    return difference


def main(arguments: list[str]) -> None:
    """Make the package from the shell."""
    weights_path, output_dir = (Path(argument) for argument in arguments)
    difference = make_package(weights_path, output_dir)
    size = sum(path.stat().st_size for path in output_dir.iterdir())
    print(f"{output_dir}: {size / 1e6:.2f} MB; weight formats differ by at most {difference:.2g}")


if __name__ == "__main__":
    main(sys.argv[1:])
