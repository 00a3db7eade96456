"""Macro options, read as ImageJ writes them: ``model=deep-storm input=[my image.tif] sum``.

ImageJ itself gives a script only the values of keys that it asks for, and keeps still about all
others. Read here, a misspelt key or a stray word is found.

- ``key=value`` up to the next space; ``key=[a b]`` with balanced brackets; ``key='a b'``;
- a lone ``key`` is ``key=true``, as ImageJ's own check boxes are recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import InputError
from bridge.jobs.options import Option
from bridge.jobs.words import nearest


def values_from_macro(text: str, options: Sequence[Option], what: str) -> dict[str, str]:
    """Read a macro's options into texts by field name.

    Parameters
    ----------
    text : str
        The second argument of the macro's ``run``.
    options : sequence of Option
        The fields that there are.
    what : str
        The command, for errors.

    Returns
    -------
    dict
        Texts by field name.

    Raises
    ------
    InputError
        A key is unknown or given twice, a bracket is left open, or a word belongs to no key.
    """
    known = {option.name: option for option in options}
    values: dict[str, str] = {}
    rest = text.strip()
    while rest:
        key, sign, rest = _key(rest)
        if key not in known:
            raise InputError(
                what,
                f"there is no key {key!r}" if sign else f"{key!r} belongs to no key",
                "some of " + ", ".join(known) if known else "no key",
                nearest(key, known) or "A value with spaces stands in [ ].",
            )
        if key in values:
            raise InputError(what, f"the key {key!r} is given twice", "one value", "")
        if sign:
            values[key], rest = _value(rest, key)
        elif known[key].type is bool:
            values[key] = "true"
        else:
            raise InputError(key, "has no value", f"{key}={known[key].expected()}", "")
        rest = rest.lstrip()
    return values


def _key(text: str) -> tuple[str, bool, str]:
    """Take a key off the front: the key, whether a value follows, and the rest."""
    end = next((i for i, letter in enumerate(text) if letter in "= \t\n"), len(text))
    has_value = text[end : end + 1] == "="
    return text[:end], has_value, text[end + has_value :]


def _value(text: str, key: str) -> tuple[str, str]:
    """Take a value off the front: the value, and the rest."""
    if text.startswith("["):
        depth = 0
        for i, letter in enumerate(text):
            depth += (letter == "[") - (letter == "]")
            if depth == 0:
                return text[1:i], text[i + 1 :]
        raise InputError(key, f"{text[:60]!r} has no closing ]", "as many ] as [", "")
    if text.startswith("'"):
        end = text.find("'", 1)
        if end < 0:
            raise InputError(key, f"{text[:60]!r} has no closing '", "a second '", "")
        return text[1:end], text[end + 1 :]
    value, _, rest = text.partition(" ")
    return value, rest
