from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, model_validator

from bridge.errors import ImageError, InputError
from bridge.jobs.base import Job, Result
from bridge.jobs.options import Bounds, Option, fields_of, make_job


class Sample(Job):
    """Show every kind of field."""

    label: ClassVar[str] = "ZooBridge Sample"
    command: ClassVar[tuple[str, ...]] = ("sample",)

    model: str
    """A name,
    over two lines."""
    images: Annotated[tuple[Path, ...], Field(default=(Path("a b.tif"),))]
    """Paths."""
    tile: Annotated[int, Field(ge=0, le=8192)] = 0
    """A number."""
    sigma_px: Annotated[float, Field(gt=0)] | None = None
    """A number or nothing."""
    share: float = Field(default=0.5, gt=0, lt=1)
    """An open range."""
    device: Literal["auto", "cpu"] = "auto"
    """A choice."""
    trust: bool = False
    """Yes or no."""

    @model_validator(mode="after")
    def _check(self) -> Sample:
        if self.tile == 13:
            raise ValueError("13 brings no luck")
        if self.tile == 14:
            raise ImageError("tile", "is 14")
        return self

    def run(self, progress):
        return Result()


def option(name: str) -> Option:
    return next(option for option in fields_of(Sample) if option.name == name)


def test_fields_come_in_order_with_their_docstrings():
    assert [o.name for o in fields_of(Sample)] == list(Sample.model_fields)
    assert option("model").help == "A name, over two lines."


def test_required_and_default_are_told_apart():
    assert option("model").is_required
    assert option("model").default is None
    assert not option("tile").is_required
    assert option("tile").default == 0


def test_lists_give_the_type_of_their_items_and_plain_defaults():
    images = option("images")
    assert (images.type, images.is_list, images.default) == (Path, True, ["a b.tif"])


def test_bounds_are_found_also_within_an_optional_type():
    assert option("tile").bounds == Bounds(0, 8192)
    sigma = option("sigma_px")
    assert (sigma.type, sigma.is_optional) == (float, True)
    assert sigma.bounds == Bounds(low=0, is_low_included=False)
    assert str(option("share").bounds) == "0 < x < 1"
    assert str(Bounds(-1, 1_000_000)) == "-1 <= x <= 1000000"
    assert str(Bounds()) == ""
    assert option("share").expected() == "a number, 0 < x < 1"


def test_choices_are_listed():
    assert option("device").choices == ("auto", "cpu")
    assert option("device").expected() == "one of auto, cpu"


def test_flags_have_dashes():
    assert option("sigma_px").flag == "--sigma-px"


@pytest.mark.parametrize(
    "annotation", [dict[str, int], list[int], int | str, Literal[1, 2], bytes, list[list[str]]]
)
def test_types_that_a_shell_or_macro_cannot_give_are_refused(annotation):
    odd = type(
        "Odd",
        (Job,),
        {"__annotations__": {"x": annotation}, "__module__": __name__, "x": None},
    )
    with pytest.raises(TypeError, match="x:"):
        fields_of(odd)


def test_texts_become_the_types_of_their_fields():
    job = make_job(
        Sample,
        {"model": "1", "images": ["x,y.tif"], "tile": "512", "sigma_px": "1.5", "trust": "true"},
    )
    assert job.model == "1"
    assert job.images == (Path("x,y.tif"),)
    assert (job.tile, job.sigma_px, job.trust) == (512, 1.5, True)


@pytest.mark.parametrize(
    ("values", "what", "found", "expected"),
    [
        ({}, "zoobridge sample", "<model> was not given", "<model>: A name, over two lines."),
        ({"model": "m", "tile": "x"}, "<tile>", "'x'", "a whole number, 0 <= x <= 8192"),
        ({"model": "m", "tile": 9000}, "<tile>", "9000", "a whole number, 0 <= x <= 8192"),
        ({"model": "m", "device": "gpu"}, "<device>", "'gpu'", "one of auto, cpu"),
        ({"model": "m", "trust": "maybe"}, "<trust>", "'maybe'", "true or false"),
        ({"model": "m", "images": ["a", ""]}, "<images>", "is empty", "a path"),
        ({"model": ""}, "<model>", "is empty", "a text"),
        ({"model": "m", "tiel": 1}, "zoobridge sample", "<tiel> is not known", ""),
        ({"model": "m", "tile": 13}, "zoobridge sample", "13 brings no luck", ""),
        ({"model": "m", "tile": 14}, "tile", "is 14", ""),
    ],
)
def test_wrong_values_are_explained_in_the_words_of_the_asker(values, what, found, expected):
    with pytest.raises(InputError) as caught:
        make_job(Sample, values, spell=lambda name: f"<{name}>")
    assert (caught.value.what, caught.value.found, caught.value.expected) == (what, found, expected)
    assert caught.value.exit_code == 2


def test_a_job_cannot_be_changed():
    job = make_job(Sample, {"model": "m"})
    with pytest.raises(ValueError, match="frozen"):
        job.tile = 3
