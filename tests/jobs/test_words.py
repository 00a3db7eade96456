from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from bridge.errors import InputError
from bridge.jobs.base import Job, Result
from bridge.jobs.words import job_from_words


class Sample(Job):
    """Take all kinds of words."""

    label: ClassVar[str] = "ZooBridge Sample"
    command: ClassVar[tuple[str, ...]] = ("sample",)
    positional: ClassVar[tuple[str, ...]] = ("name", "others")

    name: str = ""
    """A name."""
    others: Annotated[list[str], Field(default_factory=list)]
    """More names."""
    input: Annotated[list[Path], Field(default_factory=list)]
    """Images."""
    offset_nm: float = 0.0
    """A number that may be negative."""
    overwrite: bool = False
    """Replace."""
    keep: bool = True
    """Keep."""

    def run(self, progress):
        return Result()


def read(*words: str) -> dict:
    return job_from_words(Sample, words).model_dump(mode="json", exclude_defaults=True)


ODD_NAMES = [
    "a,b.tif",
    "[a].tif",
    '["a", 1]',
    "{}",
    "1.tif",
    "12",
    "a b.tif",
    "Zellkörper µm.tif",
    "日本.tif",
    "-x.tif",
    "-",
    "a=b.tif",
    "'q'.tif",
    "null",
    "true",
    r"C:\new folder\t.tif",
    " leading and trailing ",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_file_names_arrive_as_they_are(name):
    assert read("--input", name, name) == {"input": [name, name]}
    assert read("--input", name, "--input", name, "--overwrite")["input"] == [name, name]
    assert read(f"--input={name}")["input"] == [name]
    assert read("--name", name) == {"name": name}
    assert read(name) == {"name": name}


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(text.filter(lambda word: not word.startswith("--")), min_size=1))
def test_any_texts_arrive_as_they_are(words):
    assert job_from_words(Sample, ["--others", *words]).others == words
    assert job_from_words(Sample, ["--", "name", *words]).others == words


@given(text)
def test_any_text_arrives_behind_an_equals_sign(word):
    assert job_from_words(Sample, [f"--name={word}"]).name == word


@pytest.mark.parametrize("value", ["-1e-3", "-.5", "1e3", "-7"])
def test_negative_and_scientific_numbers_are_values(value):
    assert read("--offset-nm", value) == {"offset_nm": float(value)}


def test_underscores_do_as_well_as_dashes():
    assert read("--offset_nm", "2") == {"offset_nm": 2.0}


@pytest.mark.parametrize(
    ("words", "overwrite"),
    [
        ([], False),
        (["--overwrite"], True),
        (["--no-overwrite"], False),
        (["--overwrite", "true"], True),
        (["--overwrite", "False"], False),
        (["--overwrite=false"], False),
        (["--overwrite=yes"], True),
    ],
)
def test_yes_and_no_can_be_said_in_every_usual_way(words, overwrite):
    assert job_from_words(Sample, words).overwrite is overwrite


def test_a_switch_does_not_take_the_word_behind_it():
    assert read("--overwrite", "model.zip") == {"overwrite": True, "name": "model.zip"}


def test_values_without_option_fill_the_positional_fields_in_order():
    assert read("n", "--no-keep", "a", "b") == {"name": "n", "others": ["a", "b"], "keep": False}
    assert read("--name", "n", "a") == {"name": "n", "others": ["a"]}


def test_after_two_dashes_all_words_are_values():
    assert read("--", "--name", "--") == {"name": "--name", "others": ["--"]}


@pytest.mark.parametrize(
    ("words", "what", "found", "remedy"),
    [
        (
            ["--inptu", "a"],
            "zoobridge sample",
            "there is no option --inptu",
            "Did you mean --input",
        ),
        (["--zzzzzz"], "zoobridge sample", "there is no option --zzzzzz", "See zoobridge sample"),
        (["--no-name"], "zoobridge sample", "there is no option --no-name", ""),
        (["--name"], "--name", "no value follows", "--name=VALUE"),
        (["--name", "--keep"], "--name", "no value follows", "--name=VALUE"),
        (["--input", "--keep"], "--input", "no value follows", "--input=VALUE"),
        (["--name", "a", "--name", "b"], "--name", "was given twice, 'a' and 'b'", "Leave one"),
        (["--keep", "--no-keep"], "--keep", "was given twice, 'true' and 'false'", "Leave one"),
        (["--offset-nm", "wide"], "--offset-nm", "'wide'", "See zoobridge sample"),
        (["--input", ""], "--input", "is empty", "'.'"),
        (["--overwrite=perhaps"], "--overwrite", "'perhaps'", "See zoobridge sample"),
    ],
)
def test_wrong_words_are_explained(words, what, found, remedy):
    with pytest.raises(InputError) as caught:
        job_from_words(Sample, words)
    assert (caught.value.what, caught.value.found) == (what, found)
    assert remedy in caught.value.remedy


def test_a_word_that_belongs_nowhere_is_refused():
    class Strict(Sample):
        """Take no free words."""

        positional: ClassVar[tuple[str, ...]] = ("name",)

    with pytest.raises(InputError, match="'c' belongs to no option"):
        job_from_words(Strict, ["a", "c"])
