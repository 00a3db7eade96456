"""A job's fields as plain data, and values into a job: shell, macro, JSON and tables start here.

Known types are ``str``, ``int``, ``float``, ``bool``, ``Path`` and ``Literal`` of texts, each also
``| None``, and lists of ``str`` or ``Path``. Values may come as text; pydantic reads them.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bridge.errors import InputError
from bridge.jobs.base import Job

Scalar = type[str] | type[int] | type[float] | type[bool] | type[Path]
Value = str | int | float | bool | list[str] | None

J = TypeVar("J", bound=Job)

_KINDS: dict[Scalar, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
}


@dataclass(frozen=True)
class Bounds:
    """The range of a number; an open end where there is no limit."""

    low: float | None = None
    high: float | None = None
    is_low_included: bool = True
    is_high_included: bool = True

    def __str__(self) -> str:
        low = "" if self.low is None else f"{_short(self.low)} {_sign(self.is_low_included)} "
        high = "" if self.high is None else f" {_sign(self.is_high_included)} {_short(self.high)}"
        return f"{low}x{high}" if low or high else ""


def _sign(is_included: bool) -> str:
    return "<=" if is_included else "<"


def _short(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


@dataclass(frozen=True)
class Option:
    """One field of a job, as shell, macro and tables need it."""

    name: str
    """Python name and macro key, ``pixel_size_nm``."""
    type: Scalar
    """Type of the value, or of each in a list."""
    is_list: bool
    """Takes any number of values."""
    is_optional: bool
    """May be left undecided (``None``)."""
    is_required: bool
    """Has no default."""
    default: Value
    """Default, paths as text; ``None`` where there is none."""
    choices: tuple[str, ...]
    """Allowed texts; empty where all are."""
    bounds: Bounds
    """Allowed range of a number."""
    help: str
    """The field's docstring, as one line."""

    @property
    def flag(self) -> str:
        """The shell's word, ``--pixel-size-nm``."""
        return "--" + self.name.replace("_", "-")

    def expected(self) -> str:
        """Say in words which values are allowed, ``a whole number, 0 <= x <= 8192``."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        limits = str(self.bounds)
        return _KINDS[self.type] + (f", {limits}" if limits else "")


def fields_of(job: type[Job]) -> list[Option]:
    """List a job's fields in the order of their definition.

    Parameters
    ----------
    job : type of Job
        The job.

    Returns
    -------
    list of Option
        One for each field.

    Raises
    ------
    TypeError
        A field's type is none of those that all faces can carry.
    """
    return [_option(name, field) for name, field in job.model_fields.items()]


def make_job(job: type[J], values: Mapping[str, object], *, spell: Callable[[str], str] = str) -> J:
    """Build a job from values by field name, and say what is wrong in the asker's own words.

    Parameters
    ----------
    job : type of Job
        The job.
    values : mapping
        Values by field name; texts are read as the field's type.
    spell : callable
        Turns a field's name into what the user wrote, such as ``--tile``.

    Returns
    -------
    Job
        The job, checked.

    Raises
    ------
    InputError
        A value is missing, unknown, of the wrong type or out of range.
    """
    options = {option.name: option for option in fields_of(job)}
    missing = [
        name for name, option in options.items() if option.is_required and name not in values
    ]
    what = "zoobridge " + " ".join(job.command)
    if missing:
        raise InputError(
            what,
            f"{_sentence([spell(name) for name in missing])} not given",
            "; ".join(f"{spell(name)}: {options[name].help}" for name in missing),
            f"See {what} --help.",
        )
    for name in options.keys() & values.keys():
        _refuse_empty(options[name], values[name], spell)
    try:
        return job.model_validate(dict(values))
    except ValidationError as error:
        raise _input_error(error.errors(include_url=False)[0], options, what, spell) from error


def _refuse_empty(option: Option, value: object, spell: Callable[[str], str]) -> None:
    """Refuse an empty path, which would quietly mean the current folder, and an empty must."""
    can_be_empty = option.type is not Path and not option.is_required
    if not can_be_empty and "" in (value if isinstance(value, list | tuple) else (value,)):
        remedy = "Give a file or folder, '.' for this one." if option.type is Path else option.help
        raise InputError(spell(option.name), "is empty", _KINDS[option.type], remedy)


def _input_error(
    detail: ErrorDetails, options: Mapping[str, Option], what: str, spell: Callable[[str], str]
) -> InputError:
    """Turn pydantic's first complaint into an error of four parts."""
    name = str(detail["loc"][0]) if detail["loc"] else ""
    remedy = f"See {what} --help."
    if name not in options:
        found = (
            f"{spell(name)} is not known" if name else detail["msg"].removeprefix("Value error, ")
        )
        return InputError(what, found, remedy=remedy)
    if detail["type"] == "value_error":
        return InputError(spell(name), detail["msg"].removeprefix("Value error, "), remedy=remedy)
    return InputError(spell(name), repr(detail["input"]), options[name].expected(), remedy)


def _sentence(names: list[str]) -> str:
    *front, last = names
    return f"{', '.join(front)} and {last} were" if front else f"{last} was"


def _option(name: str, field: FieldInfo) -> Option:
    inner, metadata = _unwrap(field.annotation, list(field.metadata))
    members = [member for member in _members(inner) if member is not type(None)]
    if len(members) != 1:
        raise TypeError(f"{name}: {inner} is more than one type")
    is_optional = type(None) in _members(inner)
    inner, metadata = _unwrap(members[0], metadata)
    is_list = get_origin(inner) in (list, tuple)
    if is_list:
        inner = get_args(inner)[0]
    choices = get_args(inner) if get_origin(inner) is Literal else ()
    scalar = str if choices and all(isinstance(c, str) for c in choices) else inner
    if scalar not in _KINDS or (is_list and (choices or scalar not in (str, Path))):
        raise TypeError(
            f"{name}: {field.annotation} is not a type that a macro or a shell can give"
        )
    is_required = field.is_required()
    return Option(
        name=name,
        type=scalar,
        is_list=is_list,
        is_optional=is_optional,
        is_required=is_required,
        default=None if is_required else _plain(field.get_default(call_default_factory=True)),
        choices=choices,
        bounds=_bounds(metadata),
        help=" ".join((field.description or "").split()),
    )


def _members(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _unwrap(annotation: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:
    """Take ``Annotated`` apart, adding what it holds to ``metadata``."""
    if get_origin(annotation) is not Annotated:
        return annotation, metadata
    inner, *extra = get_args(annotation)
    return inner, metadata + list(_flat(extra))


def _flat(extra: list[Any]) -> Iterator[Any]:
    for item in extra:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _bounds(metadata: list[Any]) -> Bounds:
    found = {
        key: getattr(item, key)
        for item in metadata
        for key in ("ge", "gt", "le", "lt")
        if getattr(item, key, None) is not None
    }
    return Bounds(
        low=found.get("ge", found.get("gt")),
        high=found.get("le", found.get("lt")),
        is_low_included="gt" not in found,
        is_high_included="lt" not in found,
    )


def _plain(value: Any) -> Value:
    """Give a default as JSON would hold it."""
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return str(value) if isinstance(value, Path) else value
