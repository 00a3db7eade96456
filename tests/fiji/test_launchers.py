from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import jgo
import pytest
from scijava_process import ask

from bridge.cli import main
from bridge.fiji.launchers import (
    EXTENSIONS,
    LANGUAGES,
    MENU_DIR,
    all_launchers,
    default_texts,
    differences,
    function_names,
    launchers,
    ordered_fields,
)
from bridge.jobs.options import fields_of, make_job
from bridge.jobs.registry import JOBS, load_job

COMMITTED = Path(__file__).parents[2] / "fiji_scripts"
COMMANDS = [command for command in JOBS if command[0] != "fiji"]
JARS = (
    "org.scijava:scijava-common:2.100.1",
    "org.apache.groovy:groovy-jsr223:4.0.28",
    "org.apache.groovy:groovy-json:4.0.28",
    "org.python:jython-standalone:2.7.4",
    "net.imagej:ij:1.54p",
)


@pytest.fixture(scope="module")
def jars() -> list[Path]:
    return [p for jar in JARS for p in jgo.build(jar, repositories={}).path.rglob("*.jar")]


def script_of(command: tuple[str, ...], language: str) -> Path:
    suffix = {"groovy": "groovy", "python": "py"}[language]
    name = load_job(command).label.replace(" ", "_")
    return COMMITTED / language / MENU_DIR / f"{name}.{suffix}"


# ---- What is written ----


def test_every_job_but_those_about_fiji_has_a_launcher_in_both_languages():
    labels = {load_job(command).label for command in COMMANDS} | {EXTENSIONS}
    for language in LANGUAGES:
        found = {Path(path).stem.replace("_", " ") for path in launchers(language)}
        assert found == labels


def test_launchers_are_ascii_and_the_same_every_time():
    first, second = all_launchers(), all_launchers()
    assert list(first.items()) == list(second.items())
    assert all(text.isascii() for text in first.values())


def test_model_input_and_output_come_first_and_the_rest_as_defined():
    names = [field.name for field in ordered_fields(load_job(("predict",)))]
    assert names[:5] == ["model", "input", "output", "sum", "tile"]
    names = [field.name for field in ordered_fields(load_job(("render",)))]
    assert names[:3] == ["output", "table", "pixel_size_nm"]


def test_defaults_can_be_read_back_by_the_job():
    for command in COMMANDS:
        job = load_job(command)
        texts = {name: text for name, text in default_texts(job).items() if text}
        lists = {field.name for field in fields_of(job) if field.is_list}
        values = {k: v.split(";") if k in lists else v for k, v in texts.items()}
        needed = {
            f.name: ["x"] if f.is_list else "x"
            for f in fields_of(job)
            if f.is_required and f.name not in values
        }
        made = make_job(job, {**needed, **values})
        for field in fields_of(job):
            if not field.is_required:
                assert getattr(made, field.name) == job.model_fields[field.name].get_default(
                    call_default_factory=True
                )


def test_macro_functions_are_named_after_the_commands():
    names = function_names()
    assert names["zooPredict"] == "predict"
    assert names["zooModels"] == names["zooModelsList"] == "models list"
    assert {tuple(words.split()) for words in names.values()} == set(COMMANDS)


def test_python_launchers_start_with_the_line_that_chooses_python():
    for text in launchers("python").values():
        assert text.startswith("#!Python\n"), "exactly, and first: Jython would run it otherwise"
        ast.parse(text)


# ---- The check for stale ones ----


def test_the_committed_launchers_are_up_to_date():
    assert differences(COMMITTED) == []


def test_a_changed_a_missing_and_a_surplus_file_are_named(tmp_path, capsys):
    assert main(["fiji", "launchers", "--output", str(tmp_path)]) == 0
    folder = tmp_path / "groovy" / MENU_DIR
    changed, missing, surplus = (
        folder / f"ZooBridge_{name}.groovy" for name in ("Predict", "Demo", "Gone")
    )
    changed.write_text(changed.read_text() + "\n")
    surplus.write_text("// Made by `zoobridge fiji launchers` from the job `gone`\n")
    missing.unlink()
    capsys.readouterr()
    assert main(["fiji", "launchers", "--check", "--output", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["outputs"]["differences"] == [
        f"groovy/{MENU_DIR}/ZooBridge_Demo.groovy is missing",
        f"groovy/{MENU_DIR}/ZooBridge_Gone.groovy is surplus",
        f"groovy/{MENU_DIR}/ZooBridge_Predict.groovy is stale",
    ]
    assert "ZooBridge_Predict.groovy is stale" in err
    assert "Run zoobridge fiji launchers --output" in err
    assert main(["fiji", "launchers", "--output", str(tmp_path)]) == 0
    assert differences(tmp_path) == []


def test_windows_line_ends_are_not_stale(tmp_path):
    main(["fiji", "launchers", "--output", str(tmp_path)])
    path = tmp_path / "python" / MENU_DIR / "ZooBridge_Predict.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert differences(tmp_path) == []


def test_writing_removes_only_what_was_made_by_it(tmp_path):
    theirs = tmp_path / "groovy" / "theirs.groovy"
    theirs.parent.mkdir()
    theirs.write_text("// mine\n")
    main(["fiji", "launchers", "--output", str(tmp_path)])
    assert theirs.read_text() == "// mine\n"
    assert differences(tmp_path) == ["groovy/theirs.groovy is surplus"]


# ---- Read by the real programs ----


def test_scijava_reads_every_header_as_the_job_defines_it(jars, tmp_path):
    scripts = [(c, language) for c in COMMANDS for language in LANGUAGES]
    files = [str(script_of(command, language)) for command, language in scripts]
    found = ask("headers", jars, tmp_path, files=files)
    for (command, language), header in zip(scripts, found, strict=True):
        job = load_job(command)
        texts = default_texts(job)
        assert header["label"] == job.label
        assert header["headless"] is True
        if language == "groovy":
            assert header["language"] == "Groovy"
        assert header["inputs"] == [
            {
                "name": field.name,
                "type": "java.lang.CharSequence",
                "label": field.name.replace("_", " ").capitalize(),
                "description": field.help,
                "default": texts[field.name],
                "is_required": False,
                "is_persisted": False,
                "visibility": "INVISIBLE",
            }
            for field in ordered_fields(job)
        ], f"{language} {command}"


def test_imagej_finds_every_key_for_its_own_text_only(jars, tmp_path):
    lookups, expected = [], []
    for command in COMMANDS:
        names = [field.name for field in fields_of(load_job(command))]
        for name in names:
            others = [other for other in names if other != name]
            all_of_them = " ".join(f"{other}=[of {other}]" for other in [*others, name])
            lookups += [[all_of_them, name], [" ".join(f"{o}=[{o}]" for o in others), name]]
            expected += [f"of {name}", "(none)"]
    assert ask("macro_values", jars, tmp_path, lookups=lookups) == expected


def test_jython_compiles_every_python_launcher(jars, tmp_path):
    files = [str(path) for path in (COMMITTED / "python").rglob("*.py")]
    assert len(files) == len(COMMANDS) + 1
    assert ask("compile_python_2", jars, tmp_path, files=files) == []


def test_jython_running_a_python_launcher_says_what_is_missing(jars, tmp_path):
    file = str(script_of(("predict",), "python"))
    said = ask("run_python_2", jars, tmp_path, file=file)
    assert said.startswith("ZooBridge: this Python, 2.7.4 at ")
    assert "It takes Fiji in Python mode" in said


RECORDER = """
class ZooBridge {
    static int made = 0
    ZooBridge() { made++ }
    void run(command, label, form, values) { say([command, label, form, values]) }
    void extend(functions) { say(functions) }
    void say(what) {
        def texts = groovy.json.JsonOutput.toJson([id: System.identityHashCode(this), what: what])
        ij.IJ.setProperty("said", texts)
    }
}
"""


def test_a_groovy_launcher_hands_its_values_to_the_client_that_all_share(jars, tmp_path):
    client = tmp_path / "app" / "zoobridge" / "ZooBridge.groovy"
    client.parent.mkdir(parents=True)
    client.write_text(RECORDER)
    predict = str(script_of(("predict",), "groovy"))
    runs: list[dict[str, Any]] = [
        {"file": predict, "inputs": {"model": "a $b \\c", "tile": "abc"}},
        {"file": str(script_of(("render",), "groovy"))},
        {"file": str(script_of(("doctor",), "groovy"))},
        {"file": str(Path(predict).with_name("ZooBridge_Macro_Extensions.groovy"))},
        {"file": predict, "touch": str(client)},
    ]
    properties = {"ij.dir": str(client.parents[1])}
    said = ask("run_scripts", jars, tmp_path, properties, runs=runs)
    command, label, form, values = said[0]["what"]
    assert (command, label) == ("predict", "ZooBridge Predict")
    fields = ordered_fields(load_job(("predict",)))
    texts = default_texts(load_job(("predict",)))
    assert values == {**texts, "model": "a $b \\c", "tile": "abc"}
    assert [row["name"] for row in form] == [field.name for field in fields]
    assert [row["value"] for row in form] == [texts[field.name] for field in fields]
    assert [row["help"] for row in form] == [field.help for field in fields]
    assert [tuple(row["choices"]) for row in form] == [field.choices for field in fields]
    assert [(row["low"], row["high"]) for row in form] == [
        (field.bounds.low, field.bounds.high) for field in fields
    ]
    types = {row["name"]: row["type"] for row in form}
    assert types["model"] == "text"
    assert types["input"] == "list"
    assert types["output"] == "path"
    assert types["engine"] == "choice"
    assert types["tile"] == "whole"
    assert types["sum"] == "flag"
    render = {row["name"]: row["type"] for row in said[1]["what"][2]}
    assert render["magnification"] == "number"
    assert said[2]["what"] == ["doctor", "ZooBridge Doctor", [], {}]
    assert said[3]["what"] == function_names()
    ids = [answer["id"] for answer in said]
    assert len(set(ids[:4])) == 1, "loaded once"
    assert ids[4] != ids[0], "loaded again when the file has changed"


def test_a_groovy_launcher_without_its_client_does_nothing_but_say_so(jars, tmp_path):
    runs = [{"file": str(script_of(("predict",), "groovy"))}]
    properties = {"ij.dir": str(tmp_path)}
    assert ask("run_scripts", jars, tmp_path, properties, runs=runs) == [None]
