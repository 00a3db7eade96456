"""A network's reach is measured right: against what its layers say."""

from __future__ import annotations

import pytest

from bridge.runtime.device import Device
from bridge.runtime.engine import load_network
from bridge.runtime.examples import Examples
from bridge.runtime.geometry import SizeRule, read_geometry
from bridge.runtime.locality import Measured, Prober
from bridge.runtime.processing import Pipeline

from .cases import BY_NAME
from .conftest import Shelf


def measured(name: str, dim: str, shelf: Shelf) -> Measured:
    case = BY_NAME[name]
    package = shelf(case)
    geometry = read_geometry(package.description)
    engine = "torchscript" if "torchscript" in case.formats else "torch"
    network = load_network(package, engine, Device("cpu", 1), precision="float32", trust=True)
    contents = Examples(package, geometry, Pipeline(package, geometry)).contents
    return Prober(network, geometry, contents).measure(dim)


@pytest.mark.parametrize(
    ("name", "dim", "lead", "trail", "stride"),
    [
        ("same_size", "y", 2, 2, 1),
        ("halo_too_small", "x", 4, 4, 1),
        ("upscaling_2", "y", 2, 2, 1),
        ("upscaling_in_x_only", "x", 1, 1, 1),
        ("downscaling_4", "y", 4, 4, 4),
        ("valid_convolutions", "y", 0, 4, 1),
        ("valid_convolutions_upscaled_3", "x", 0, 6, 1),
        ("growing_output", "x", 4, 0, 1),
        ("own_time_axis", "t", 2, 2, 1),
        ("same_size_3d", "z", 2, 2, 1),
        ("two_sizes", "y", 2, 2, 1),
        ("unet_of_three_poolings", "y", 23, 23, 8),
        ("fixed_size_that_is", "y", 2, 2, 1),
    ],
)
def test_the_reach_is_that_of_the_layers(
    name: str, dim: str, lead: int, trail: int, stride: int, shelf: Shelf
) -> None:
    locality = measured(name, dim, shelf).locality
    assert (locality.lead, locality.trail, locality.stride) == (lead, trail, stride)
    assert locality.is_bounded


@pytest.mark.parametrize("name", ["instance_norm", "global_mean"])
def test_global_statistics_have_no_reach(name: str, shelf: Shelf) -> None:
    assert not measured(name, "x", shelf).locality.is_bounded


@pytest.mark.parametrize("name", ["pads_itself", "pads_itself_on_both_sides"])
def test_a_grid_that_the_description_does_not_tell_is_found(name: str, shelf: Shelf) -> None:
    locality = measured(name, "y", shelf).locality
    assert locality.stride == 8
    assert locality.is_bounded


def test_a_fixed_size_is_found_to_be_fixed_or_not(shelf: Shelf) -> None:
    assert measured("fixed_size_that_is", "y", shelf).rule == SizeRule(32, 0)
    assert measured("fixed_size_that_is_not_fixed", "y", shelf).rule == SizeRule(32, 16)
