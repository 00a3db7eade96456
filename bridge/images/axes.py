"""The vocabulary of axes: an image has some of ``t c z y x``, in that order, always y and x.

Files name their axes in many ways (``TZCYXS``, ``I``, ``Q``, nothing at all); this module decides
which of ours each one is. It never reads a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bridge.errors import ImageError

#: time, channel, depth, row, column: the order in which every image of the project comes
DIMS: tuple[str, ...] = ("t", "c", "z", "y", "x")

#: the axes that may have a pixel size
SPATIAL: tuple[str, ...] = ("z", "y", "x")

_LETTERS = "the letters t (time), c (channel), z (depth), y (row) and x (column), each at most once"
_SAY_AXES = "Name the file's axes in their order, for example axes='tyx'."


def sort_dims(dims: Iterable[str]) -> tuple[str, ...]:
    """Put axis names into the project's order, ``t c z y x``."""
    return tuple(sorted(dims, key=DIMS.index))


def parse_axes(text: str, *, what: str = "axes") -> tuple[str, ...]:
    """Turn what a user typed for the axes, such as ``"ZYX"``, into axis names.

    Parameters
    ----------
    text : str
        One letter for each axis, in the file's order; upper or lower case.
    what : str
        The file or option that an error names.

    Returns
    -------
    tuple of str
        The axis names, in the order typed.

    Raises
    ------
    ImageError
        A letter is unknown or comes twice, or ``y`` or ``x`` is missing.
    """
    names = tuple(text.strip().lower())
    remedy = "Give the axes in the file's order, for example 'tyx', 'zyx' or 'yxc'."
    unknown = sorted(set(names) - set(DIMS))
    if unknown:
        raise ImageError(what, f"the axes '{text}' hold '{unknown[0]}'", _LETTERS, remedy)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ImageError(what, f"the axes '{text}' hold '{twice[0]}' twice", _LETTERS, remedy)
    missing = [name for name in ("y", "x") if name not in names]
    if missing:
        raise ImageError(what, f"the axes '{text}' lack '{missing[0]}'", "a y and an x", remedy)
    return names


def check_dims(dims: Sequence[str], *, what: str) -> tuple[str, ...]:
    """Give ``dims`` back if they are some of ``t c z y x`` in that order, with ``y`` and ``x``.

    Raises
    ------
    ImageError
        They are not.
    """
    names = parse_axes("".join(dims), what=what) if all(len(d) == 1 for d in dims) else ()
    if not names or names != sort_dims(names):
        raise ImageError(
            what,
            f"the image has the axes {' '.join(map(str, dims))}",
            "some of t c z y x, in this order, with y and x",
            "Rename or transpose the axes.",
        )
    return names


def apply_axes(text: str, *, shape: Sequence[int], what: str) -> tuple[str | None, ...]:
    """Name a file's axes as its user wants them, whatever the file says.

    Parameters
    ----------
    text : str
        One letter for each axis of the file, or for each one longer than 1.
    shape : sequence of int
        The file's shape.
    what : str
        The file, for errors.

    Returns
    -------
    tuple of (str or None)
        For each axis of the file its name; None: length 1, to be dropped.

    Raises
    ------
    ImageError
        The letters are wrong, or too many or too few.
    """
    names = parse_axes(text, what=what)
    if len(names) == len(shape):
        return tuple(
            None if size == 1 and name not in "yx" else name
            for name, size in zip(names, shape, strict=True)
        )
    longer = [axis for axis, size in enumerate(shape) if size > 1]
    if len(names) == len(longer):
        named = dict(zip(longer, names, strict=True))
        return tuple(named.get(axis) for axis in range(len(shape)))
    raise ImageError(
        what,
        f"the axes '{text}' are {len(names)}, and the file has {len(shape)}: {_sizes(shape)}",
        "one letter for each axis, or for each axis longer than 1",
        _SAY_AXES,
    )


def guess_axes(
    letters: str, *, shape: Sequence[int], what: str
) -> tuple[tuple[str | None, ...], list[str]]:
    """Name a file's axes from the letters that the file or its reader uses.

    ``S`` (samples of a colour pixel) is a channel. One axis of unknown meaning is taken for time,
    as most stacks without a description are movies; the note says so.

    Parameters
    ----------
    letters : str
        One capital letter for each axis; any letter but ``T C Z Y X S`` is of unknown meaning.
    shape : sequence of int
        The file's shape.
    what : str
        The file, for errors.

    Returns
    -------
    names : tuple of (str or None)
        For each axis of the file its name; None: length 1, to be dropped.
    notes : list of str
        Sentences on what was assumed.

    Raises
    ------
    ImageError
        Two axes would have the same name, several have none, or there is no y or x.
    """
    names: list[str | None] = []
    unknown: list[int] = []
    for axis, (letter, size) in enumerate(zip(letters, shape, strict=True)):
        known = "c" if letter == "S" else letter.lower()
        if size == 1 and known not in ("y", "x"):
            names.append(None)
        elif known in DIMS:
            names.append(known)
        else:
            names.append(None)
            unknown.append(axis)
    notes = []
    if len(unknown) == 1 and "t" not in names:
        names[unknown[0]] = "t"
        notes.append(
            f"The file does not say what its {shape[unknown[0]]} planes are; they are taken as "
            "frames (t). Say axes='zyx' if they are slices."
        )
    elif unknown:
        found = f"the file does not say what all of its axes are: {_sizes(shape)}"
        expected = "at most one axis of unknown meaning besides y and x"
        raise ImageError(what, found, expected, _SAY_AXES)
    kept = [name for name in names if name is not None]
    if len(set(kept)) < len(kept) or not {"y", "x"} <= set(kept):
        found = f"the file's axes are '{letters}', of {_sizes(shape)}"
        raise ImageError(what, found, "a y, an x, and at most one t, c and z", _SAY_AXES)
    return tuple(names), notes


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
