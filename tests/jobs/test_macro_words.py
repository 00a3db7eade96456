"""Macro options, read as ImageJ writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InputError
from bridge.jobs.macro_words import values_from_macro
from bridge.jobs.options import fields_of
from bridge.jobs.predict import Predict

OPTIONS = fields_of(Predict)


def read(text: str) -> dict[str, str]:
    return values_from_macro(text, OPTIONS, "zoobridge predict")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("model=deep-storm tile=64", {"model": "deep-storm", "tile": "64"}),
        ("  model=a   sum ", {"model": "a", "sum": "true"}),
        ("input=[my image (1).tif] tile=8", {"input": "my image (1).tif", "tile": "8"}),
        ("input=[a[1].tif]", {"input": "a[1].tif"}),
        ("input=[] tile=8", {"input": "", "tile": "8"}),
        ("input=", {"input": ""}),
        ("input='two words' sum=false", {"input": "two words", "sum": "false"}),
        (r"input=[C:\new folder\Zelle µ.tif]", {"input": "C:\\new folder\\Zelle µ.tif"}),
        ("input=a=b.tif", {"input": "a=b.tif"}),
    ],
)
def test_values(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("modle=x", r"'modle'.*Did you mean model"),
        ("Model=x", r"'Model'.*Did you mean model"),
        ("model=a model=b", "given twice"),
        ("tile", "has no value"),
        ("size = 9", "'size'"),
        ("my file.tif", "belongs to no key"),
        ("input=[a.tif", r"closing \]"),
        ("input=a.tif b.tif", r"'b.tif' belongs to no key.*\[ \]"),
        ("input='a", "closing '"),
    ],
)
def test_what_imagej_would_ignore_is_an_error(text, found):
    with pytest.raises(InputError, match=found):
        read(text)


plain = st.text(st.characters(exclude_characters="[]'", exclude_categories=["Cc", "Cs"]))


@given(st.dictionaries(st.sampled_from([o.name for o in OPTIONS]), plain, max_size=5))
def test_bracketed_values_come_back(values):
    text = " ".join(f"{key}=[{value}]" for key, value in values.items())
    assert read(text) == values
