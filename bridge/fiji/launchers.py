"""The menu entries of Fiji: one small script per job and language, written from the job's fields.

A launcher declares the job's fields as SciJava script parameters and hands their values on; it
decides nothing. What a user sees (dialog, messages, images) is made by ``ZooBridge.groovy`` and by
:mod:`bridge.fiji.run`. Why the declarations look as they do:

- every field is a text: SciJava drops a script without a word where a number doesn't parse;
- none is a String or required: SciJava's own dialog would ask for each that is not given (being
  invisible keeps a field out of the recorder only); for a CharSequence it has no entry to show;
- none is remembered: SciJava would fill it in next time, even for another script;
- no space in ``#@script``: SciJava ignores the line otherwise;
- ASCII only: Java may read a script in any encoding.

Nothing here needs Java. ``zoobridge fiji launchers`` writes them, ``--check`` compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from bridge.jobs.base import Job
from bridge.jobs.desk import INPUT, MODEL, OUTPUT, defaults
from bridge.jobs.options import Option, fields_of
from bridge.jobs.registry import JOBS, load_job

Language = Literal["groovy", "python"]

LANGUAGES: Final[tuple[Language, ...]] = ("groovy", "python")
"""Folders of launchers: for stock Fiji, and for its Python mode."""

MENU_DIR: Final = "Plugins/ZooBridge"
"""Folder of the launchers inside ``scripts``, which is also their menu."""

CLIENT: Final = "zoobridge/ZooBridge.groovy"
"""Where a Fiji keeps what all Groovy launchers share."""

EXTENSIONS: Final = "ZooBridge Macro Extensions"
"""The one launcher without a job: gives a macro functions with return values."""

RENEW: Final = "zoobridge fiji launchers"
"""The command that writes the launchers."""

_FIRST: Final = (MODEL, INPUT, OUTPUT)
_SUFFIXES: Final[Mapping[Language, str]] = MappingProxyType({"groovy": "groovy", "python": "py"})
_COMMENTS: Final[Mapping[Language, str]] = MappingProxyType({"groovy": "//", "python": "#"})


def launchers(language: Language) -> dict[str, str]:
    """Write all launchers of a language.

    Parameters
    ----------
    language : {"groovy", "python"}
        The language.

    Returns
    -------
    dict of str
        Text by path inside Fiji's ``scripts`` folder, with ``/``.
    """
    write: Callable[[type[Job]], str] = {"groovy": _groovy, "python": _python}[language]
    texts = {job.label: write(job) for job in _jobs()}
    texts[EXTENSIONS] = _extensions(language)
    suffix = _SUFFIXES[language]
    return {f"{MENU_DIR}/{_.replace(' ', '_')}.{suffix}": text for _, text in texts.items()}


def all_launchers() -> dict[str, str]:
    """Write the launchers of both languages, by path inside ``fiji_scripts``."""
    return {
        f"{language}/{path}": text
        for language in LANGUAGES
        for path, text in launchers(language).items()
    }


def differences(folder: Path) -> list[str]:
    """Name the files in which a folder differs from :func:`all_launchers`.

    Parameters
    ----------
    folder : Path
        The folder, such as the repository's ``fiji_scripts``.

    Returns
    -------
    list of str
        ``PATH is missing``, ``PATH is stale`` or ``PATH is surplus``, by path; empty where all is
        as it should be.
    """
    expected = all_launchers()
    present = {path.relative_to(folder).as_posix(): path for path in _files_in(folder)}
    found = dict.fromkeys(expected.keys() - present.keys(), "is missing")
    found |= dict.fromkeys(present.keys() - expected.keys(), "is surplus")
    for path in expected.keys() & present.keys():
        if present[path].read_bytes().replace(b"\r\n", b"\n") != expected[path].encode():
            found[path] = "is stale"
    return [f"{path} {state}" for path, state in sorted(found.items())]


def made_by_us(folder: Path) -> list[Path]:
    """List the launchers in a folder, also those of jobs that are no more."""
    mark = f"Made by `{RENEW}`".encode()
    return [path for path in _files_in(folder) if mark in path.read_bytes()[:200]]


def _files_in(folder: Path) -> list[Path]:
    return [p for name in LANGUAGES for p in (folder / name).rglob("*") if p.is_file()]


def function_names() -> dict[str, str]:
    """Name the macro functions: ``zooPredict`` and so on, with the job's command words.

    Returns
    -------
    dict of str
        Command words by function name; ``zooModels`` is short for ``zooModelsList``.
    """
    names = {
        "zoo"
        + "".join(part.capitalize() for word in command for part in word.split("-")): " ".join(
            command
        )
        for command in _commands()
    }
    return names | {"zooModels": "models list"}


def ordered_fields(job: type[Job]) -> list[Option]:
    """List a job's fields as Fiji shows them: model, input and output first."""
    fields = fields_of(job)
    first = {name: rank for rank, name in enumerate(_FIRST)}
    return sorted(fields, key=lambda field: first.get(field.name, len(first)))


def default_texts(job: type[Job]) -> dict[str, str]:
    """Give each field's default as a macro would write it; the output is shown rather than kept."""
    texts = defaults(job)
    return texts | {name: "" for name in texts if name == OUTPUT}


def _commands() -> list[tuple[str, ...]]:
    """List the jobs that Fiji offers: all but those that are about Fiji itself."""
    return [command for command in JOBS if command[0] != "fiji"]


def _jobs() -> list[type[Job]]:
    return [load_job(command) for command in _commands()]


# ---- Headers, the same in both languages ----


def _header(language: Language, made_from: str, label: str) -> list[str]:
    note = f"Made by `{RENEW}` from {made_from}; changes here are lost."
    return [
        f"{_COMMENTS[language]} {note}",
        f"#@script(label={_quoted(label)}, headless=true)",
    ]


def _parameter(field: Option, default: str) -> str:
    """Declare a field; SciJava reads the quoted texts with the escapes that JSON uses."""
    attributes = {
        "label": _quoted(field.name.replace("_", " ").capitalize()),
        "description": _quoted(field.help),
        "visibility": "INVISIBLE",
        "required": "false",
        "persist": "false",
        "value": _quoted(default),
    }
    listed = ", ".join(f"{key}={value}" for key, value in attributes.items())
    return f"#@ CharSequence ({listed}) {field.name}"


def _quoted(text: str) -> str:
    return json.dumps(text)


def _job_header(language: Language, job: type[Job]) -> list[str]:
    texts = default_texts(job)
    parameters = [_parameter(field, texts[field.name]) for field in ordered_fields(job)]
    return [*_header(language, f"the job `{' '.join(job.command)}`", job.label), *parameters]


# ---- Groovy ----

_LOAD_CLIENT: Final = """
def file = [System.getProperty("ij.dir"), ij.IJ.getDir("imagej")].findAll { it }
    .collect { new File(it, "%(client)s") }.find { it.isFile() }
if (file == null) {
    def text = "ZooBridge: this Fiji has no %(client)s. In a terminal, run zoobridge fiji install."
    ij.IJ.log(text)
    try {
        ij.IJ.error("ZooBridge", text)
    } catch (RuntimeException headless) {  // it cannot be shown, but it has ended the macro
    }
    return
}
def kept = ij.IJ.getProperty("zoobridge.client")
if (kept == null || kept.date != file.lastModified()) {
    def type = new GroovyClassLoader(getClass().classLoader).parseClass(file)
    kept = [date: file.lastModified(), client: type.getDeclaredConstructor().newInstance()]
    ij.IJ.setProperty("zoobridge.client", kept)
}
"""
"""Find what the launchers share, and load it once per Java machine and version of the file."""


def _groovy(job: type[Job]) -> str:
    fields, texts = ordered_fields(job), default_texts(job)
    load = _LOAD_CLIENT.strip() % {"client": CLIENT}
    call = ", ".join(_literal(text) for text in (" ".join(job.command), job.label))
    lines = [
        *_job_header("groovy", job),
        *_groovy_list("form", [_form_row(field, texts[field.name]) for field in fields]),
        f"def values = [{', '.join(f'{f.name}: {f.name}' for f in fields) or ':'}]",
        load,
        f"kept.client.run({call}, form, values)",
    ]
    return "\n".join(lines) + "\n"


def _groovy_list(name: str, items: list[str]) -> list[str]:
    if not items:
        return [f"def {name} = []"]
    return [f"def {name} = [", *(f"    {item}," for item in items), "]"]


def _form_row(field: Option, default: str) -> str:
    row = {
        "name": _literal(field.name),
        "type": _literal(_form_type(field)),
        "value": _literal(default),
        "choices": "[" + ", ".join(_literal(choice) for choice in field.choices) + "]",
        "help": _literal(field.help),
        "low": _number(field.bounds.low),
        "high": _number(field.bounds.high),
    }
    return "[" + ", ".join(f"{key}: {value}" for key, value in row.items()) + "]"


def _form_type(field: Option) -> str:
    """Say which kind of entry a dialog needs."""
    if field.is_list:
        return "list"
    if field.choices:
        return "choice"
    kinds = {str: "text", int: "whole", float: "number", bool: "flag", Path: "path"}
    return kinds[field.type]


def _number(limit: float | None) -> str:
    if limit is None:
        return "null"
    return str(int(limit)) if float(limit).is_integer() else repr(limit)


def _literal(text: str) -> str:
    """Write a Groovy string; ``$`` would start an expression."""
    return _quoted(text).replace("$", "\\$")


# ---- Python ----

_IMPORT: Final = """
try:
    from %(module)s import %(function)s
except (ImportError, SyntaxError) as error:
    import sys

    if sys.platform.startswith("java"):
        from ij import IJ
    else:
        from scyjava import jimport

        IJ = jimport("ij.IJ")
    text = (
        "ZooBridge: this Python, %%s at %%s, cannot load zoobridge (%%s). It takes Fiji in Python "
        "mode, with zoobridge in that Python. In a terminal, run zoobridge fiji install."
        %% (sys.version.split()[0], sys.executable, error)
    )
    IJ.log(text)
    try:
        IJ.error("ZooBridge", text)
    except:  # without a display it cannot be shown, but it has ended the macro
        pass
else:
    %(call)s
"""
"""Readable by Python 2 too: where Fiji isn't in Python mode, Jython runs this and says so."""


def _python(job: type[Job]) -> str:
    call = f"run({_quoted(' '.join(job.command))}, globals())"
    return _python_script(_job_header("python", job), "bridge.fiji.run", "run", call)


def _python_script(header: list[str], module: str, function: str, call: str) -> str:
    body = _IMPORT.strip() % {"module": module, "function": function, "call": call}
    return "\n".join(["#!Python", *header, body]) + "\n"


# ---- Macro functions with return values ----


def _extensions(language: Language) -> str:
    header = _header(language, "all jobs", EXTENSIONS)
    pairs = [f"{name}: {_literal(command)}" for name, command in function_names().items()]
    if language == "groovy":
        load = _LOAD_CLIENT.strip() % {"client": CLIENT}
        lines = [*header, *_groovy_list("functions", pairs), load]
        return "\n".join([*lines, "kept.client.extend(functions)"]) + "\n"
    listed = [f"{_quoted(name)}: {_quoted(words)}" for name, words in function_names().items()]
    call = "\n".join(["register({", *(f"        {pair}," for pair in listed), "    })"])
    return _python_script(header, "bridge.fiji.extensions", "register", call)
