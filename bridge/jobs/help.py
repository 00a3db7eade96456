"""What ``--help`` prints, made from the jobs' fields: plain text, nothing to import."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping

from bridge.jobs.base import Job
from bridge.jobs.options import Option, fields_of
from bridge.jobs.registry import GROUPS, load_job

_PLACEHOLDERS: dict[type, str] = {str: "TEXT", int: "N", float: "X"}


def overview(jobs: Mapping[tuple[str, ...], str], group: tuple[str, ...] = ()) -> str:
    """Describe all commands, or those of one group, a line each.

    Parameters
    ----------
    jobs : mapping
        Command words to ``module:Class``.
    group : tuple of str
        The words that the commands share; none for all.

    Returns
    -------
    str
        The text.
    """
    title = GROUPS.get(" ".join(group), "Super-resolution microscopy networks on any image.")
    commands = [command for command in jobs if command[: len(group)] == group]
    lines = [(" ".join(command), load_job(command, jobs).help_line()) for command in commands]
    call = " ".join(["zoobridge", *group])
    return "\n".join(
        [
            f"Usage: {call} COMMAND [OPTIONS]",
            "",
            title,
            "",
            "Commands:",
            *_columns(lines),
            "",
            "Options:",
            *_columns(
                [
                    ("--help", "Show this help, or that of a command."),
                    ("--version", "Show the version."),
                ]
            ),
            "",
            "The last line on standard output is one JSON object saying how it went.",
        ]
    )


def job_help(job: type[Job]) -> str:
    """Describe a job and all its options.

    Parameters
    ----------
    job : type of Job
        The job.

    Returns
    -------
    str
        The text.
    """
    options = fields_of(job)
    free = [option for option in options if option.name in job.positional]
    free.sort(key=lambda option: job.positional.index(option.name))
    others = [option for option in options if option.name not in job.positional]
    usage = ["zoobridge", *job.command]
    usage += [_free_usage(option) for option in free]
    usage += [_usage(option) for option in others if option.is_required]
    lines = [f"Usage: {' '.join(usage)} [OPTIONS]", "", job.help_text()]
    if free:
        rows = [(option.name.upper(), _help(option)) for option in free]
        lines += ["", "Values:", *_columns(rows)]
    rows = [(_usage(option), _help(option)) for option in others]
    lines += ["", "Options:", *_columns([*rows, ("--help", "Show this help.")])]
    return "\n".join(lines)


def placeholder(option: Option) -> str:
    """Name what an option takes: ``N``, ``PATH...``, ``auto|cpu|cuda``; nothing for yes or no."""
    if option.type is bool:
        return ""
    word = "|".join(option.choices) or _PLACEHOLDERS.get(option.type, "PATH")
    return word + ("..." if option.is_list else "")


def _usage(option: Option) -> str:
    if option.type is bool:
        return f"--[no-]{option.flag[2:]}"
    return f"{option.flag} {placeholder(option)}"


def _free_usage(option: Option) -> str:
    word = option.name.upper() + ("..." if option.is_list else "")
    return word if option.is_required else f"[{word}]"


def _help(option: Option) -> str:
    """Give an option's help with its range and default."""
    facts = [str(option.bounds).replace("x", placeholder(option))] if str(option.bounds) else []
    if option.is_required:
        facts.append("required")
    elif isinstance(option.default, bool):
        facts.append(f"default {'yes' if option.default else 'no'}")
    elif option.default not in (None, "", []):
        default = option.default
        facts.append(f"default {' '.join(default) if isinstance(default, list) else default}")
    return option.help + (f" [{'; '.join(facts)}]" if facts else "")


def _columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Set terms to the left and their texts to the right, wrapped to the terminal."""
    rows = list(rows)
    width = min(shutil.get_terminal_size().columns, 110)
    indent = min(max(len(term) for term, _ in rows), 26) + 4
    lines: list[str] = []
    for term, text in rows:
        wrapped = textwrap.wrap(
            text, max(width - indent, 30), break_on_hyphens=False, break_long_words=False
        )
        if len(term) + 4 > indent:
            lines.append(f"  {term}")
        else:
            lines.append(f"  {term:<{indent - 2}}{wrapped.pop(0) if wrapped else ''}")
        lines += [" " * indent + line for line in wrapped]
    return lines
