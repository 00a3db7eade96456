"""The functions that every macro has in common, run by ImageJ's own interpreter."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagej_process import ImageJ

MARK: Final = "// ---- The rest is the same in every ZooBridge macro ----"
MACROS: Final = [
    macro
    for macro in sorted((Path(__file__).parents[2] / "macros").glob("*.ijm"))
    if MARK in macro.read_text("ascii")
]
"""Those that call the program ``zoobridge``; the others need the menu (test_workflow_macros.py)."""

FEW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""ImageJ keeps nothing between two examples."""


def shared_part(macro: Path) -> str:
    return macro.read_text("ascii").partition(MARK)[2]


def run(imagej: ImageJ, code: str, argument: str = "") -> str:
    """Run ``code``, which sets ``result``, with the shared functions; give ``result``."""
    done = imagej.run_macro(f"{code}\nreturn result;\n{shared_part(MACROS[0])}", argument)
    assert not done.dialogs
    assert done.returned is not None
    return done.returned


@pytest.mark.parametrize("macro", MACROS, ids=lambda path: path.name)
def test_a_macro_is_ascii_and_has_the_shared_functions(macro: Path) -> None:
    assert shared_part(macro)
    assert shared_part(macro) == shared_part(MACROS[0])


@given(text=st.text(st.characters(exclude_categories=["Cs"])), is_ascii=st.booleans())
@FEW
def test_a_text_comes_out_as_it_went_in(imagej: ImageJ, text: str, is_ascii: bool) -> None:
    quoted = json.dumps(text, ensure_ascii=is_ascii)
    assert run(imagej, "result = jsonText(getArgument());", quoted) == text


@pytest.mark.parametrize(
    ("quoted", "text"),
    [
        (r'"a \"b\" c"', 'a "b" c'),
        (r'"C:\\new\\table.tif"', r"C:\new\table.tif"),
        (r'"a\/b"', "a/b"),
        (r'"one\ntwo\tthree\r"', "one\ntwo\tthree\r"),
        (r'"\u00b5m, \u00B5m"', "\u00b5m, \u00b5m"),
        (r'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        ('""', ""),
        ("null", ""),
        ("true", "true"),
        ("-1.5e-3", "-1.5e-3"),
    ],
)
def test_every_escape_of_json_is_undone(imagej: ImageJ, quoted: str, text: str) -> None:
    assert run(imagej, "result = jsonText(getArgument());", quoted) == text


PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('{}[]",:\\ a', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=8,
)


@given(before=VALUES, value=VALUES, after=VALUES, spaced=st.booleans())
@FEW
def test_a_member_is_found_between_all_others(
    imagej: ImageJ, before: object, value: object, after: object, spaced: bool
) -> None:
    whole = {"a": before, "wanted": value, "z": {"wanted": after}}
    text = json.dumps(whole, separators=None if spaced else (",", ":"))

    found = run(imagej, 'result = jsonMember(getArgument(), "wanted");', text)

    assert json.loads(found) == value


def test_a_missing_member_is_empty(imagej: ImageJ) -> None:
    code = 'result = "<" + jsonMember(getArgument(), "b") + ">";'
    for text in ('{"a":"b"}', "{}", "", "[]", '"b"'):
        assert run(imagej, code, text) == "<>"


def test_the_images_of_a_status_are_found_wherever_they_are(imagej: ImageJ) -> None:
    outputs = {
        "images": ["/a b/1.tif", "C:\\x\\2.TIFF"],
        "n": 3,
        "report": "r.json",
        "m": ["c.tif"],
    }
    code = 'paths = imagesIn(getArgument()); result = String.join(paths, "|");'

    assert run(imagej, code, json.dumps(outputs)) == "/a b/1.tif|C:\\x\\2.TIFF|c.tif"


@pytest.mark.parametrize(
    ("key", "value"), [("model", "deep-storm"), ("output", "/a b/c"), ("tile", "0"), ("more", "")]
)
def test_an_option_is_read_as_imagej_reads_the_options_of_a_command(
    imagej: ImageJ, key: str, value: str
) -> None:
    argument = "model=deep-storm output=[/a b/c] more=[]"
    assert run(imagej, f'result = option("{key}", "0");', argument) == value


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("deep-storm", "deep-storm"),
        ("C:\\my models\\Net 2.zip", "Net 2"),
        ("/models/net/", "net"),
        ("/models/net/rdf.yaml", "net"),
        ("affable-shark", "affable-shark"),
    ],
)
def test_a_model_has_a_short_name(imagej: ImageJ, model: str, name: str) -> None:
    assert run(imagej, "result = nameOfModel(getArgument());", model) == name


def test_words_reach_the_command_as_they_are(imagej: ImageJ, tmp_path: Path) -> None:
    words = ["a b", 'say "no"', "C:\\new\\", "'", "$HOME *", "\u00b5 \u4e2d", "--x=[1, 2]", ";"]
    script = tmp_path / "echo.py"
    script.write_text(
        "import json, sys\n"
        "print('{\"zoobridge\" is how a status begins')\n"
        "print(json.dumps({'zoobridge': 1, 'words': sys.argv[1:]}))\n"
        "print()\n"
        "print('noise', file=sys.stderr)\n"
    )
    code = (
        'words = split(getArgument(), "\\n"); result = statusOf(words);'
        'result = jsonMember(result, "words");'
    )

    status = run(imagej, code, "\n".join([sys.executable, str(script), *words]))

    assert json.loads(status) == words


def test_a_failure_is_told_in_sentences(imagej: ImageJ) -> None:
    error = {"kind": "E", "what": "a.tif", "found": "is RGB", "expected": "", "remedy": "Split it!"}
    status = json.dumps({"zoobridge": 1, "ok": False, "error": error})
    code = 'result = failureOf(getArgument(), "zoobridge");'
    assert run(imagej, code, status) == "a.tif: is RGB.\nSplit it!"
