"""The cases: one tiny network each for what a package's description can say."""

from __future__ import annotations

from typing import Any

from .packages import FIXED, TO_FLOAT, Case, In, Out


def op(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"id": name, "kwargs": kwargs} if kwargs else {"id": name}


def normalised(name: str, **kwargs: Any) -> tuple[dict[str, Any], ...]:
    return (TO_FLOAT, op(name, **kwargs), TO_FLOAT)


def same(name: str, pre: Any = None, post: Any = (), **more: Any) -> Case:
    """Give a same-size network with other processing."""
    tensor = In() if pre is None else In(ops=pre)
    return Case(name, inputs=(tensor,), outputs=(Out(ops=post),), **more)


SAMPLE = ["channel", "y", "x"]
DATASET = ["batch", "channel", "y", "x"]
FLOAT_LAST = (TO_FLOAT,)
TORCH = ("pytorch_state_dict", "torchscript")
WIDE, FINE = In("wide", sizes=(24, 1)), In("fine", sizes=(48, 2), ratio=2)
ZYX = {"z": 11, "y": 33, "x": 41}

GEOMETRY = [
    Case("same_size"),
    Case(
        "same_size_3d",
        kwargs={"n_dims": 3},
        inputs=(In(axes="bczyx", sizes=(8, 1)),),
        outputs=(Out(axes="bczyx"),),
        image=ZYX,
        tiles=(16,),
        batch=2,
    ),
    Case("upscaling_2", "Upscale", outputs=(Out(ratio=2, halo=4),)),
    Case("upscaling_3", "Upscale", {"scale": 3}, outputs=(Out(ratio=3),)),
    Case(
        "upscaling_8",
        "Upscale",
        {"scale": 8},
        outputs=(Out(ratio=8),),
        image={"y": 37, "x": 45},
        tiles=(20,),
    ),
    Case(
        "downscaling_2",
        "Downscale",
        {"factor": 2},
        inputs=(In(sizes=(16, 2)),),
        outputs=(Out(ratio="1/2"),),
    ),
    Case(
        "downscaling_4",
        "Downscale",
        {"factor": 4},
        inputs=(In(sizes=(16, 4)),),
        outputs=(Out(ratio="1/4"),),
    ),
    Case("upscaling_in_x_only", "UpscaleInX", outputs=(Out(ratio={"x": 2}),)),
    Case(
        "two_channels_in_three_out",
        kwargs={"n_in": 2, "n_out": 3},
        inputs=(In(channels=2),),
        outputs=(Out(channels=3),),
    ),
    Case("fixed_size_that_is_not_fixed", inputs=(In(sizes=32),), image={"y": 64, "x": 96}),
    Case(
        "fixed_size_that_is",
        "OnlyOneSize",
        inputs=(In(sizes=32),),
        formats=("pytorch_state_dict",),
        whole_kwargs={"size": 0},
        tiles=(32,),
    ),
    Case("minimum_not_a_multiple_of_the_step", inputs=(In(sizes=(19, 6)),)),
    Case("halo_too_small", kwargs={"depth": 4}, outputs=(Out(halo=1),)),
    Case("halo_generous", outputs=(Out(halo=6),)),
    Case("valid_convolutions", "Valid", outputs=(Out(offset=-4),), inputs=(In(sizes=(16, 1)),)),
    Case("valid_convolutions_with_halo", "Valid", outputs=(Out(offset=-4, halo=2),)),
    Case(
        "valid_convolutions_upscaled_2", "Valid", {"scale": 2}, outputs=(Out(ratio=2, offset=-8),)
    ),
    Case(
        "valid_convolutions_upscaled_3",
        "Valid",
        {"depth": 3, "scale": 3},
        outputs=(Out(ratio=3, offset=-18),),
    ),
    Case("growing_output", "Growing", outputs=(Out(offset=4),)),
    Case("output_without_channel_axis", "WithoutChannelOut", outputs=(Out(axes="byx"),)),
    Case("input_without_channel_axis", "WithoutChannelIn", inputs=(In(axes="byx"),)),
    Case("no_batch_axis", inputs=(In(axes="cyx"),), outputs=(Out(axes="cyx"),)),
    Case(
        "no_batch_axis_with_time",
        inputs=(In(axes="cyx"),),
        outputs=(Out(axes="cyx"),),
        image={"t": 3, "y": 40, "x": 52},
    ),
    Case("time_as_batch", image={"t": 4, "y": 40, "x": 61}),
    Case("depth_as_batch", image={"z": 3, "y": 40, "x": 61}),
    Case("time_and_depth_as_batch", image={"t": 2, "z": 3, "y": 35, "x": 40}, tiles=(25,), batch=4),
    Case(
        "time_as_batch_of_two_channels",
        kwargs={"n_in": 2, "n_out": 2},
        inputs=(In(channels=2),),
        outputs=(Out(channels=2),),
        image={"t": 3, "y": 40, "x": 61},
    ),
    Case(
        "own_time_axis",
        "TimeBeforeChannel",
        inputs=(In(axes="btcyx", channels=2, sizes={"t": (4, 1), "y": (16, 1), "x": (16, 1)}),),
        outputs=(Out(axes="btcyx"),),
        image={"t": 9, "y": 30, "x": 41},
        tiles=(16,),
        batch=2,
    ),
    Case(
        "channels_last",
        "ChannelsLast",
        inputs=(In(axes="byxc", channels=2),),
        outputs=(Out(axes="byxc", channels=2),),
    ),
    Case(
        "channels_last_3d",
        "ChannelsLast",
        {"n_dims": 3},
        inputs=(In(axes="bzyxc", channels=2, sizes=(8, 1)),),
        outputs=(Out(axes="bzyxc", channels=2),),
        image=ZYX,
        tiles=(16,),
        batch=2,
    ),
    Case(
        "unet_of_three_poolings",
        "UNet",
        inputs=(In(sizes=(32, 8)),),
        outputs=(Out(halo=8),),
        image={"y": 130, "x": 203},
        tiles=(96, 144),
    ),
    Case(
        "pads_itself",
        "SelfPadding",
        inputs=(In(sizes=(16, 1)),),
        formats=TORCH,
        is_scripted=True,
        image={"y": 131, "x": 203},
        tiles=(100, 144),
    ),
    Case(
        "pads_itself_on_both_sides",
        "SelfPadding",
        {"on_both_sides": True},
        inputs=(In(sizes=(16, 1)),),
        formats=TORCH,
        is_scripted=True,
        image={"y": 131, "x": 203},
        tiles=(100, 144),
    ),
]

SEVERAL = [
    Case(
        "two_inputs_two_outputs",
        "TwoOfOneSize",
        inputs=(In("a"), In("b")),
        outputs=(Out("p", of="a"), Out("q", of="b")),
    ),
    Case(
        "size_by_reference",
        "TwoOfOneSize",
        inputs=(In("a"), In("b", sizes=("a", 0))),
        outputs=(Out("p", of="a"), Out("q", of="a")),
    ),
    Case("two_sizes", "TwoSizes", inputs=(WIDE, FINE), outputs=(Out(ratio=2, of="wide"),)),
    Case(
        "two_sizes_by_reference",
        "TwoSizes",
        inputs=(WIDE, In("fine", sizes=("wide", 0), ratio=2)),
        outputs=(Out(ratio=2, of="wide", halo=8),),
    ),
    Case(
        "two_sizes_all_outputs_referencing_input_1_only",
        "TwoSizes",
        {"has_small_output": True},
        inputs=(WIDE, FINE),
        outputs=(Out("large", ratio=2, of="wide", halo=16), Out("small", of="wide", halo=8)),
    ),
    Case(
        "two_sizes_each_output_referencing_its_own",
        "TwoSizes",
        {"has_small_output": True},
        inputs=(WIDE, FINE),
        outputs=(Out("large", ratio=2, of="fine", halo=16), Out("small", of="wide", halo=8)),
    ),
    Case(
        "two_sizes_that_agree_on_few",
        "TwoSizes",
        inputs=(In("wide", sizes=(16, 3)), In("fine", sizes=(40, 4), ratio=2)),
        outputs=(Out(ratio=2, of="wide"),),
    ),
    Case(
        "two_sizes_over_time",
        "TwoSizes",
        inputs=(WIDE, FINE),
        outputs=(Out(ratio=2, of="wide"),),
        image={"t": 2, "y": 40, "x": 70},
        tiles=(36,),
    ),
]

PROCESSING = [
    same("samplewise_normalisation", normalised("zero_mean_unit_variance", axes=SAMPLE)),
    same(
        "samplewise_normalisation_over_time",
        normalised("zero_mean_unit_variance", axes=SAMPLE),
        image={"t": 3, "y": 40, "x": 61},
    ),
    same(
        "dataset_normalisation_over_time",
        normalised("zero_mean_unit_variance", axes=DATASET),
        image={"t": 3, "y": 40, "x": 61},
    ),
    same(
        "normalisation_over_everything",
        normalised("zero_mean_unit_variance"),
        image={"t": 3, "y": 40, "x": 61},
    ),
    same(
        "percentiles",
        normalised("scale_range", axes=SAMPLE, min_percentile=1.0, max_percentile=99.8),
    ),
    same(
        "percentiles_of_uint16",
        normalised("scale_range", axes=SAMPLE, min_percentile=3.0, max_percentile=99.0),
        dtype="uint16",
    ),
    same(
        "dataset_percentiles_over_time",
        normalised("scale_range", axes=DATASET, min_percentile=1.0, max_percentile=99.8),
        image={"t": 3, "y": 40, "x": 61},
    ),
    same(
        "clipped_at_percentiles",
        (
            TO_FLOAT,
            op("clip", axes=SAMPLE, min_percentile=2.0, max_percentile=98.0),
            FIXED,
            TO_FLOAT,
        ),
    ),
    same(
        "clipped_and_scaled",
        (
            TO_FLOAT,
            op("clip", min=80.0, max=140.0),
            op("scale_linear", gain=0.02, offset=-1.5),
            TO_FLOAT,
        ),
    ),
    Case(
        "statistics_per_channel",
        kwargs={"n_in": 2},
        inputs=(In(channels=2, ops=normalised("zero_mean_unit_variance", axes=["y", "x"])),),
    ),
    Case(
        "percentiles_per_channel",
        kwargs={"n_in": 2},
        inputs=(
            In(
                channels=2,
                ops=normalised(
                    "scale_range", axes=["y", "x"], min_percentile=1.0, max_percentile=99.0
                ),
            ),
        ),
    ),
    Case(
        "fixed_normalisation_per_channel",
        kwargs={"n_in": 2},
        inputs=(
            In(
                channels=2,
                ops=normalised(
                    "fixed_zero_mean_unit_variance",
                    axis="channel",
                    mean=[90.0, 110.0],
                    std=[20.0, 30.0],
                ),
            ),
        ),
    ),
    Case(
        "statistics_per_channel_last",
        "ChannelsLast",
        inputs=(
            In(axes="byxc", channels=2, ops=normalised("zero_mean_unit_variance", axes=["y", "x"])),
        ),
        outputs=(Out(axes="byxc", channels=2),),
    ),
    same("sigmoid", post=(op("sigmoid"), TO_FLOAT)),
    Case(
        "softmax",
        "Offset",
        {"n_out": 3, "gain": 4.0},
        outputs=(Out(channels=3, ops=(op("softmax", axis="channel"), TO_FLOAT)),),
    ),
    Case(
        "binarize",
        "Offset",
        {"offset": 0.1},
        outputs=(
            Out(
                ops=(op("binarize", threshold=0.0), op("ensure_dtype", dtype="uint8")),
                dtype="uint8",
            ),
        ),
    ),
    same("scale_linear", post=(op("scale_linear", gain=2.5, offset=7.0), TO_FLOAT)),
    same(
        "like_the_input",
        post=(op("scale_mean_variance", reference_tensor="input", axes=SAMPLE), TO_FLOAT),
    ),
    same(
        "like_the_input_over_time",
        post=(op("scale_mean_variance", reference_tensor="input", axes=SAMPLE), TO_FLOAT),
        image={"t": 3, "y": 40, "x": 61},
    ),
    same("output_normalised", post=(op("zero_mean_unit_variance", axes=SAMPLE), TO_FLOAT)),
    same(
        "output_normalised_over_time",
        post=(op("zero_mean_unit_variance", axes=SAMPLE), TO_FLOAT),
        image={"t": 3, "y": 40, "x": 61},
    ),
    Case(
        "output_in_bytes",
        outputs=(
            Out(
                ops=(
                    op("scale_linear", gain=60.0, offset=100.0),
                    op("clip", min=0.0, max=255.0),
                    op("ensure_dtype", dtype="uint8"),
                ),
                dtype="uint8",
            ),
        ),
    ),
    Case(
        "padded_with_zeros_by_description",
        inputs=(In(sizes=(16, 8), pad={"mode": "constant", "value": 0.0}),),
    ),
]

TYPES = [
    same(
        f"image_of_{name}",
        normalised("zero_mean_unit_variance", axes=SAMPLE),
        dtype=dtype,
        tiles=(32,),
        formats=TORCH,
    )
    for name, dtype in [
        ("uint8", "uint8"),
        ("uint16", "uint16"),
        ("int32", "int32"),
        ("float64", "float64"),
        ("float16", "float16"),
        ("bool", "bool"),
        ("big_endian_uint16", ">u2"),
        ("big_endian_float32", ">f4"),
    ]
] + [
    same(
        "percentiles_of_big_endian_float32",
        normalised("scale_range", axes=SAMPLE, min_percentile=3.0, max_percentile=99.0),
        dtype=">f4",
        tiles=(32,),
        formats=TORCH,
    ),
    Case(
        "big_endian_without_any_processing",
        inputs=(In(ops=()),),
        dtype=">f4",
        tiles=(32,),
        formats=TORCH,
    ),
]

EXACT = [*GEOMETRY, *SEVERAL, *PROCESSING, *TYPES]

GLOBAL = [
    Case("instance_norm", "InstanceNormed", image={"y": 90, "x": 120}, tiles=(48,)),
    Case("global_mean", "GlobalMean", image={"y": 90, "x": 120}, tiles=(48,)),
]
BY_NAME = {c.name: c for c in [*EXACT, *GLOBAL]}
