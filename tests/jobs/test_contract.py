"""Every registered job keeps the contract that shell, macro and menu stand on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.jobs.base import Job
from bridge.jobs.help import job_help
from bridge.jobs.options import fields_of
from bridge.jobs.registry import GROUPS, JOBS, load_job

COMMANDS = [pytest.param(command, id=" ".join(command)) for command in JOBS]


def is_tail_of(name: str, other: str) -> bool:
    """Tell whether ImageJ, asked for ``name``, would find it at the end of ``other``.

    ``ij.Macro.getValue`` looks for ``name=`` and refuses only a match preceded by a letter.
    """
    return name != other and other.endswith(name) and not other[-len(name) - 1].isalpha()


def test_tails_are_found_as_imagej_finds_them():
    assert is_tail_of("path", "model_path")
    assert is_tail_of("path", "2path")
    assert not is_tail_of("size", "tilesize")
    assert not is_tail_of("path", "path")


@pytest.mark.parametrize("command", COMMANDS)
def test_field_names_are_macro_keys(command):
    names = [option.name for option in fields_of(load_job(command))]
    for name in names:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name), name
        assert [other for other in names if is_tail_of(name, other)] == []
        assert name not in ("help", "version")
        assert not name.startswith("no_"), "would be the opposite of another option"


@pytest.mark.parametrize("command", COMMANDS)
def test_fields_have_help_and_a_default_or_are_required_texts(command):
    for option in fields_of(load_job(command)):
        assert option.help.endswith("."), f"{option.name} has no sentence for help"
        assert not option.is_required or option.type in (str, Path), option.name


@pytest.mark.parametrize("command", COMMANDS)
def test_a_job_says_who_it_is(command):
    job = load_job(command)
    assert job.command == command
    assert re.fullmatch(r"ZooBridge( [A-Z][a-z]+)+", job.label)
    assert re.fullmatch(r"[A-Z][^\n]{10,90}\.", job.help_line())
    assert set(job.positional) <= set(job.model_fields)
    assert job.model_config["frozen"] is True
    assert job.model_config["extra"] == "forbid"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_names_every_option(command):
    job = load_job(command)
    text = job_help(job)
    for option in fields_of(job):
        word = option.flag[2:] if option.name not in job.positional else option.name.upper()
        assert word in text
        assert " ".join(option.help.split()[:3]) in " ".join(text.split())


def test_labels_are_unique():
    labels = [load_job(command).label for command in JOBS]
    assert len(set(labels)) == len(labels)


def test_groups_are_those_of_the_commands():
    assert set(GROUPS) == {command[0] for command in JOBS if len(command) > 1}


def test_loading_every_job_and_its_help_loads_nothing_heavy():
    code = (
        "import sys; from bridge.jobs.help import job_help, overview;"
        "from bridge.jobs.registry import JOBS, load_job;"
        "overview(JOBS); [job_help(load_job(c)) for c in JOBS];"
        "print([m for m in ('torch','numpy','xarray','pandas','bioimageio','tifffile'"
        ",'onnxruntime'"
        ",'rich','scyjava','skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_something_that_is_no_job_is_not_loaded():
    with pytest.raises(TypeError, match="is not a Job"):
        load_job(("x",), {("x",): "pathlib:Path"})


def test_a_job_cannot_be_made_without_saying_how_it_runs():
    with pytest.raises(TypeError, match="abstract"):
        Job()
