"""What the package says about itself: its description in format 0.5 of the BioImage Model Zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from bioimageio.spec.common import HttpUrl
from bioimageio.spec.generic.v0_3 import Author, CiteEntry
from bioimageio.spec.model import v0_5

from models_zoo.deep_storm.architecture import DeepStormLight
from models_zoo.deep_storm.simulate import OFFSET_ADU, PIXEL_SIZE_NM, UPSCALING, Conditions
from models_zoo.deep_storm.train import INPUT_MEAN, INPUT_STD, PERCENT

VERSION = "0.1.0"
HALO_PX = 20
"""Camera pixels cut off each side of a tile: the receptive radius, rounded up to the stride."""
SMALLEST_PX = 48
"""Edge of the smallest tile; without its halo 8 camera pixels are left."""
FILES = {
    "state_dict": "weights.pt",
    "torchscript": "weights_torchscript.pt",
    "onnx": "weights.onnx",
}


def measure_radius_px(network: DeepStormLight) -> int:
    """Measure how many camera pixels away from a change the output still changes.

    With all weights above 0 nothing cancels, and no ReLU hides a path; a change at each place of
    a stride by stride block finds the widest one.

    Parameters
    ----------
    network : DeepStormLight
        Only its layers matter, and not its weights.

    Returns
    -------
    int
        Receptive radius: the greatest distance along y or x, in whole camera pixels.
    """
    probe = DeepStormLight(network.width, network.upscaling).double().eval()
    for weights in probe.parameters():
        weights.data.fill_(0.01)
    size = 64
    radius = 0
    with torch.inference_mode():
        before = probe(torch.ones(1, 1, size, size, dtype=torch.float64))  # (1, 1, Y, X)
        for offset in range(network.stride):
            place = size // 2 + offset
            frames = torch.ones(1, 1, size, size, dtype=torch.float64)
            frames[0, 0, place, place] = 1e6
            changed = (probe(frames) != before)[0, 0].nonzero() // network.upscaling  # (n, 2)
            radius = max(radius, int((changed - place).abs().max()))
    return radius


def describe(network: DeepStormLight, package_dir: Path) -> v0_5.ModelDescr:
    """Describe the package whose files lie in a folder.

    Parameters
    ----------
    network : DeepStormLight
        The network in its weight files.
    package_dir : Path
        Folder with weights, architecture, card, cover, test and sample tensors.

    Returns
    -------
    ModelDescr
        Checked against the files.
    """
    return v0_5.ModelDescr(
        name="Deep-STORM light (8x)",
        version=v0_5.Version(VERSION),
        description=(
            "A super-resolved image (12.5 nm pixels) from each camera frame (100 nm pixels) of a "
            "dense movie of blinking emitters. Sum its outputs over the movie."
        ),
        authors=[Author(name="The zoobridge developers")],
        license=v0_5.LicenseId("BSD-3-Clause"),
        cite=[
            CiteEntry(
                text=(
                    "Nehme, Weiss, Michaeli, Shechtman: Deep-STORM: super-resolution "
                    "single-molecule microscopy by deep learning. Optica 5, 458 (2018)"
                ),
                doi=v0_5.Doi("10.1364/OPTICA.5.000458"),
            ),
            CiteEntry(
                text="Shi et al.: sub-pixel convolution (pixel shuffle). CVPR 2016",
                url=HttpUrl("https://arxiv.org/abs/1609.05158"),
            ),
        ],
        documentation=_file(package_dir, "README.md"),
        covers=[_file(package_dir, "cover.png")],
        tags=[
            "super-resolution",
            "single-molecule-localization-microscopy",
            "smlm",
            "storm",
            "palm",
            "deep-storm",
            "fluorescence-light-microscopy",
            "2d",
            "unet",
            "pytorch",
        ],
        inputs=[_describe_input(network, package_dir)],
        outputs=[_describe_output(package_dir)],
        weights=_describe_weights(network, package_dir),
        config=v0_5.Config(
            bioimageio=v0_5.BioimageioConfig(
                modality="single-molecule localization microscopy",
                task="super-resolution",
                architecture_type="U-Net with pixel shuffle",
                model_parameter_count=sum(p.numel() for p in network.parameters()),
            ),
            **_describe_conditions(network),
        ),
    )


def _file(package_dir: Path, name: str) -> v0_5.FileDescr:
    return v0_5.FileDescr(source=(package_dir / name).absolute())


def _describe_input(network: DeepStormLight, package_dir: Path) -> v0_5.InputTensorDescr:
    size = v0_5.ParameterizedSize(min=SMALLEST_PX, step=network.stride)
    # Without the casts the specification appends one back to uint16 behind the subtraction.
    to_float = v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))
    scaling = v0_5.FixedZeroMeanUnitVarianceDescr(
        kwargs=v0_5.FixedZeroMeanUnitVarianceKwargs(mean=INPUT_MEAN, std=INPUT_STD)
    )
    # Explicit axis ids: deepImageJ refuses a space axis without one.
    y, x = (
        v0_5.SpaceInputAxis(id=v0_5.AxisId(name), size=size, unit="nanometer", scale=PIXEL_SIZE_NM)
        for name in "yx"
    )
    return v0_5.InputTensorDescr(
        id=v0_5.TensorId("frames"),
        description="Raw camera frames, in counts; frames of a movie go along the batch.",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier("frames")]),
            y,
            x,
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="uint16"),
        preprocessing=[to_float, scaling, to_float],
        test_tensor=_file(package_dir, "test_input.npy"),
        sample_tensor=_file(package_dir, "sample_input.tif"),
    )


def _describe_output(package_dir: Path) -> v0_5.OutputTensorDescr:
    y, x = (
        v0_5.SpaceOutputAxisWithHalo(
            id=v0_5.AxisId(name),
            halo=HALO_PX * UPSCALING,
            unit="nanometer",
            scale=PIXEL_SIZE_NM / UPSCALING,
            size=v0_5.SizeReference(tensor_id=v0_5.TensorId("frames"), axis_id=v0_5.AxisId(name)),
        )
        for name in "yx"
    )
    return v0_5.OutputTensorDescr(
        id=v0_5.TensorId("emitters"),
        description="Emitters per fine pixel in percent: one emitter adds up to about 100.",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier("emitters")]),
            y,
            x,
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0.0, None)),
        test_tensor=_file(package_dir, "test_output.npy"),
        sample_tensor=_file(package_dir, "sample_output.tif"),
    )


def _describe_weights(network: DeepStormLight, package_dir: Path) -> v0_5.WeightsDescr:
    paths = {name: (package_dir / file_name).absolute() for name, file_name in FILES.items()}
    torch_version = v0_5.Version(torch.__version__.split("+")[0])
    architecture = v0_5.ArchitectureFromFileDescr(
        source=(package_dir / "architecture.py").absolute(),
        callable=v0_5.Identifier("DeepStormLight"),
        kwargs={"width": network.width, "upscaling": network.upscaling},
    )
    return v0_5.WeightsDescr(
        pytorch_state_dict=v0_5.PytorchStateDictWeightsDescr(
            source=paths["state_dict"], pytorch_version=torch_version, architecture=architecture
        ),
        torchscript=v0_5.TorchscriptWeightsDescr(
            source=paths["torchscript"], pytorch_version=torch_version, parent="pytorch_state_dict"
        ),
        onnx=v0_5.OnnxWeightsDescr(
            source=paths["onnx"], opset_version=18, parent="pytorch_state_dict"
        ),
    )


def _describe_conditions(network: DeepStormLight) -> dict[str, Any]:
    """Say which camera and which emitters the network knows, under ``config.zoobridge``."""
    trained_on = Conditions()
    return {
        "zoobridge": {
            "upscaling": UPSCALING,
            "sum_per_emitter": PERCENT,
            "combine_frames": "sum",
            "receptive_radius_px": measure_radius_px(network),
            "camera": {
                "pixel_size_nm": PIXEL_SIZE_NM,
                "offset_adu": OFFSET_ADU,
                "electrons_per_adu": 1.0,
                "read_noise_electrons": list(trained_on.read_noise),
            },
            "trained_on": {
                "density_per_um2": list(trained_on.density_per_um2),
                "photons": list(trained_on.photons),
                "background_photons": list(trained_on.background),
                "sigma_nm": list(trained_on.sigma_nm),
            },
        }
    }
