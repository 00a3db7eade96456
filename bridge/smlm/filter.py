"""Rows of a table chosen by an expression: ``uncertainty_xy_nm < 20 and 300 < photons < 5000``.

Names are columns, ours (``x_nm``) or ThunderSTORM's (``x``, ``x [nm]``, ``intensity``). Between
them stand numbers, ``+ - * /``, comparisons, ``and or not`` and brackets; ``&``, ``|``, ``!``,
``~`` and a single ``=`` mean what they mean in ThunderSTORM's filter. The expression is taken apart
into these and nothing else: no call, no attribute, no index, and Python never evaluates any of it.

A comparison with a value that isn't there (NaN) is neither true nor false, as in SQL: the row is
kept neither by it nor by its opposite.
"""

from __future__ import annotations

import ast
import difflib
import operator
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bridge.errors import InputError, TableError
from bridge.smlm.columns import COLUMNS, read_heading

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_LONGEST = 2000
_DEEPEST = 100  # of brackets and signs in each other
_REMEDY = (
    "Compare columns with numbers, joined by and, or, not: uncertainty_xy_nm < 20 and photons > 300"
)

_ARITHMETIC: Final[Mapping[type[ast.operator], Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
    }
)
_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        ast.Lt: operator.lt,
        ast.LtE: operator.le,
        ast.Gt: operator.gt,
        ast.GtE: operator.ge,
        ast.Eq: operator.eq,
        ast.NotEq: operator.ne,
    }
)

# "!" but not "!=", "=" but not "==", "<=", ">=" or "!="
_WORDS = (
    (re.compile(r"&&?"), " and "),
    (re.compile(r"\|\|?"), " or "),
    (re.compile(r"~|!(?!=)"), " not "),
    (re.compile(r"(?<![<>=!])=(?!=)"), "=="),
)
_BRACKETED = re.compile(r"([A-Za-z_]\w*)\s*\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Part:
    """One of the conditions that must all hold.

    Attributes
    ----------
    text : str
        As it was written, but for signs that have become words.
    n_kept : int
        Rows that it keeps by itself.
    n_removed : int
        Rows that it removes by itself.
    n_removed_only : int
        Rows that it removes and no other part does.
    """

    text: str
    n_kept: int
    n_removed: int
    n_removed_only: int


@dataclass(frozen=True, eq=False)
class Choice:
    """What an expression chooses.

    Attributes
    ----------
    is_kept : ndarray of bool, one for each row
        Whether it is kept.
    parts : tuple of Part
        The conditions joined by ``and`` at the top; one where there is no such ``and``.
    columns : tuple of str
        Our columns that are asked about.
    """

    is_kept: Bools
    parts: tuple[Part, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Truth:
    """What is true and what is false of each row; neither where a value isn't there."""

    yes: Bools
    no: Bools


def choose_rows(table: pd.DataFrame, expression: str) -> Choice:
    """Find the rows of a table for which an expression is true.

    Parameters
    ----------
    table : DataFrame
        Localizations.
    expression : str
        The condition, at most 2000 letters.

    Returns
    -------
    Choice
        Rows to keep, and what each part of the condition removes.

    Raises
    ------
    InputError
        The expression is empty, not understood, or does what isn't allowed in it.
    TableError
        It asks for a column that the table hasn't got.
    """
    top = _parse(expression)
    reader = _Reader(table, expression)
    is_all = isinstance(top, ast.BoolOp) and isinstance(top.op, ast.And)
    nodes = top.values if is_all and isinstance(top, ast.BoolOp) else [top]
    with np.errstate(all="ignore"):  # what overflows or is divided by 0 compares as it is
        kept = [reader.judge(node).yes for node in nodes]
    texts = [ast.unparse(node) for node in nodes]
    n_refusing = np.sum([~one for one in kept], axis=0)
    parts = tuple(
        Part(text, int(one.sum()), int((~one).sum()), int((~one & (n_refusing == 1)).sum()))
        for text, one in zip(texts, kept, strict=True)
    )
    return Choice(n_refusing == 0, parts, tuple(reader.asked))


def _parse(expression: str) -> ast.expr:
    """Take an expression apart; nothing is evaluated."""
    if not expression.strip():
        raise InputError("the condition", "it is empty", "a comparison", _REMEDY)
    if len(expression) > _LONGEST:
        raise InputError(
            "the condition", f"it has {len(expression):,} letters", f"at most {_LONGEST:,}", ""
        )
    if "#" in expression:  # Python would leave out the rest without a word
        raise InputError(_quote(expression), "it has a #", "", _REMEDY)
    text = _BRACKETED.sub(_take_unit, expression)
    for sign, word in _WORDS:
        text = sign.sub(word, text)
    try:
        with warnings.catch_warnings(action="ignore"):  # of style: 1and
            parsed = ast.parse(text.strip().replace("\n", " "), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = getattr(error, "msg", None) or "it can't be taken apart"
        raise InputError(
            _quote(expression), f"it isn't understood: {reason}", "", _REMEDY
        ) from error
    # Python's own limit differs from process to process.
    level: list[ast.AST] = [parsed]
    depth = 0
    while level:
        level, depth = [n for node in level for n in ast.iter_child_nodes(node)], depth + 1
        if depth > _DEEPEST:
            raise InputError(
                _quote(expression), "it is nested too deeply", "a shorter one", _REMEDY
            )
    return parsed


def _take_unit(match: re.Match[str]) -> str:
    """Give the column of a heading with its unit, ``x [nm]``, if the unit is that of our tables."""
    heading = read_heading(f"{match[1]} [{match[2].strip()}]", "thunderstorm")
    if not heading.column:
        return f"{match[1]}_{match[2].strip()}" if match[2].strip().isidentifier() else match[1]
    unit = COLUMNS[heading.column].unit
    if heading.unit != unit:
        raise InputError(
            match[0],
            f"its unit is {match[2].strip() or 'not given'}",
            f"{unit or 'none'}, in which tables are held here",
            f"Write {heading.column}, and the number to go with it.",
        )
    return heading.column


class _Reader:
    """Computes the parts of an expression on the columns of a table."""

    def __init__(self, table: pd.DataFrame, expression: str) -> None:
        self._table = table
        self._expression = expression
        self.asked: list[str] = []

    def judge(self, node: ast.expr) -> _Truth:
        """Tell of which rows a condition is true, and of which it is false."""
        match node:
            case ast.BoolOp(op=ast.And(), values=nodes):
                truths = [self.judge(part) for part in nodes]
                return _Truth(
                    np.logical_and.reduce([t.yes for t in truths]),
                    np.logical_or.reduce([t.no for t in truths]),
                )
            case ast.BoolOp(op=ast.Or(), values=nodes):
                truths = [self.judge(part) for part in nodes]
                return _Truth(
                    np.logical_or.reduce([t.yes for t in truths]),
                    np.logical_and.reduce([t.no for t in truths]),
                )
            case ast.UnaryOp(op=ast.Not(), operand=part):
                truth = self.judge(part)
                return _Truth(truth.no, truth.yes)
            case ast.Compare(left=left, ops=ops, comparators=others):
                return self._compare([left, *others], ops)
        raise self._refuse(node, "it is no comparison")

    def _compare(self, nodes: list[ast.expr], ops: list[ast.cmpop]) -> _Truth:
        values = [self.compute(node) for node in nodes]
        yes, no = np.ones(len(self._table), bool), np.zeros(len(self._table), bool)
        for left, op, right in zip(values, ops, values[1:], strict=False):
            compare = _COMPARISONS.get(type(op))
            if compare is None:
                raise InputError(
                    _quote(self._expression),
                    "it has a comparison that isn't one of numbers",
                    "< <= > >= == !=",
                    _REMEDY,
                )
            is_known = ~(np.isnan(left) | np.isnan(right))
            found = compare(left, right)
            yes &= found & is_known
            no |= ~found & is_known
        return _Truth(yes, no)

    def compute(self, node: ast.expr) -> Floats:
        """Compute a number for each row."""
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                try:
                    return np.full(len(self._table), float(value))
                except OverflowError as error:
                    raise self._refuse(node, "it is too large a number") from error
            case ast.Name(id=name):
                return self._column(name)
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return -self.compute(part)
            case ast.UnaryOp(op=ast.UAdd(), operand=part):
                return self.compute(part)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                computed: Floats = _ARITHMETIC[type(op)](self.compute(left), self.compute(right))
                return computed
        raise self._refuse(node, "only columns, numbers and + - * / are allowed where a number is")

    def _column(self, name: str) -> Floats:
        column = name if name in self._table else read_heading(name, "thunderstorm").column
        if column not in self._table:
            raise self._unknown(name, column)
        if column not in self.asked:
            self.asked.append(column)
        values: Floats = self._table[column].to_numpy(np.float64)
        return values

    def _unknown(self, name: str, column: str) -> TableError:
        has = [str(name) for name in self._table]
        spelt = {c.thunderstorm: c.name for c in COLUMNS.values() if c.name in has}
        near = difflib.get_close_matches(name, [*has, *spelt], n=1, cutoff=0.5)
        hint = f"Did you mean {spelt.get(near[0], near[0])}?" if near and not column else ""
        return TableError(
            _quote(self._expression),
            f"'{name}' is no column of this table",
            f"one of {', '.join(has)}",
            hint or "Leave this part out, or export the table with this column.",
        )

    def _refuse(self, node: ast.expr, reason: str) -> InputError:
        part = ast.unparse(node)[:80]
        return InputError(_quote(self._expression), f"'{part}': {reason}", "", _REMEDY)


def _quote(expression: str) -> str:
    return f"'{expression[:80]}{'...' if len(expression) > 80 else ''}'"
