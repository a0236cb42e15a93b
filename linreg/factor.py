"""A factor of a formula's term: a column, a category, or an expression, read from Python's syntax and never run.

read_factor("np.log(area)", "python", "data.formula")
"""

import ast
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from linreg.errors import UserError, nearest
from linreg.expression import (
    CALENDAR,
    ELAPSED,
    FUNCTIONS,
    MOST_NESTED,
    UNITS,
    Expression,
    columns_of,
    dates_of,
    depth,
)

_INSTEAD = {
    "poly": "it needs all rows at once, and the powers themselves span the same columns: x + I(x ** 2)",
    "bs": "it needs all rows at once; write the pieces of a line: x + maximum(x - 10, 0)",
    "cr": "it needs all rows at once; write the pieces of a line: x + maximum(x - 10, 0)",
    "hashed": "name the category: C(x)",
    "lag": "make the column when the data are written",
    "offset": "subtract it from the target when the data are written",
    "factor": "a category is C(x)",
    "standardize": "scale(x) divides by the spread with n - 1",
    "hour": 'the hour as a number is floor(elapsed(t, "h") % 24)',
    "year": "elapsed(t) / 365.25 counts years",
}
_INSTEAD |= dict.fromkeys(("cs", "cc", "te"), _INSTEAD["cr"])
_LEARNED = ("center", "scale")
_SAME = ("I", "identity")
_CONSTANTS = {"np.pi": math.pi, "numpy.pi": math.pi, "np.e": math.e, "numpy.e": math.e}
_SIGNS: dict[type, str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.BitAnd: "&", ast.BitOr: "|", ast.Invert: "~", ast.USub: "negative", ast.UAdd: "positive",
}  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """A factor.

    Args:
        name: as formulaic writes it.
        column: what it is made of: a column of the data, or the name of the one that ``expression`` computes.
        expression: None: the column stands in the data.
        is_category: whether it surely is one; a column of text is too.
        levels: those that ``C()`` lists, the base first.
        base: the level that ``C()`` names as such.
        learned: ``center`` or ``scale``: what is subtracted, and divided by, comes from the training rows.
    """

    name: str
    column: str
    expression: Expression | None = None
    is_category: bool = False
    levels: tuple[str, ...] = ()
    base: str = ""
    learned: str = ""

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The columns of the data that it is made of."""
        return (self.column,) if self.expression is None else tuple(dict.fromkeys(columns_of(self.expression)))

    @cached_property
    def dates(self) -> tuple[str, ...]:
        """Those of them that are dates."""
        return tuple(dates_of(self.expression)) if self.expression is not None else ()


def read_factor(text: str, method: str, key: str) -> Factor:
    """Read a factor.

    Args:
        text, method: its text and kind, as formulaic has them.
        key: where it stands, for a message.

    Raises:
        UserError: it holds what is not read.
    """
    if method == "lookup":
        return Factor(text, text)
    if method != "python":
        raise UserError(f"{key} has {text!r} as a factor: a term is made of columns")
    return _Reader(text, key).factor()


class _Reader:
    """A factor that is written as a call or as an expression.

    Args:
        text: with the names of columns that are no Python names in backticks.
    """

    def __init__(self, text: str, key: str) -> None:
        self._key, self._text = key, text
        self._quoted = re.findall("`([^`]*)`", text)
        self._prefix = "_quoted_"
        while self._prefix in text:
            self._prefix += "_"
        count = iter(range(len(self._quoted)))
        self._source = re.sub("`[^`]*`", lambda _: f"{self._prefix}{next(count)}", text)

    def factor(self) -> Factor:
        try:
            node = ast.parse(self._source.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._refuse("is no expression: write it as in Python") from None
        function = self._function(node) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and function == "C":
            return self._category(node)
        if isinstance(node, ast.Call) and function in _LEARNED:
            return self._computed(self._single(node), learned=function)
        if isinstance(node, ast.Call) and function in CALENDAR:
            return self._calendar(node)
        return self._computed(node)

    def _computed(self, node: ast.expr, *, learned: str = "") -> Factor:
        try:
            expression = self._number(node)
            nested = depth(expression)
        except RecursionError:
            nested = MOST_NESTED + 1
        if nested > MOST_NESTED:
            raise self._refuse(f"nests deeper than {MOST_NESTED}: write a column of its own")
        if expression[0] == "column":
            return Factor(self._text, expression[1], learned=learned)
        if not list(columns_of(expression)):
            raise self._refuse("names no column")
        return Factor(self._text, self._written(node), expression, learned=learned)

    def _calendar(self, node: ast.Call) -> Factor:
        column = self._column(self._single(node))
        expression = (self._function(node), ("column", column))
        return Factor(self._text, f"{expression[0]}({column})", expression, is_category=True)

    def _category(self, node: ast.Call) -> Factor:
        """``C(x)``, ``C(x, levels=[...])``, ``C(x, contr.treatment("b"))``, ``C(dayofweek(t))``."""
        if not node.args:
            raise self._refuse("names no column")
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        options |= dict(zip(("contrasts", "levels"), node.args[1:], strict=False))
        levels, base = self._levels(options.pop("levels", None)), self._base(options.pop("contrasts", None))
        if options or len(node.args) > 3 or len(node.args) + len(node.keywords) > 3:
            raise self._refuse("takes a column and its levels: write C(x, levels=[...])")
        first = node.args[0]
        if isinstance(first, ast.Call) and self._function(first) in CALENDAR:
            made = self._calendar(first)
            return Factor(self._text, made.column, made.expression, True, levels, base)
        return Factor(self._text, self._column(first), None, True, levels, base)

    def _levels(self, node: ast.expr | None) -> tuple[str, ...]:
        if node is None:
            return ()
        levels = self._literal(node)
        if not isinstance(levels, list | tuple) or not levels:
            raise self._refuse('must list its levels, like levels=["north", "south"]')
        return tuple(map(str, levels))

    def _literal(self, node: ast.expr) -> Any:
        """A value that is written out; None where it is none."""
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None

    def _base(self, node: ast.expr | None) -> str:
        """The base that ``contr.treatment(base=...)`` names; it may be empty."""
        if node is None:
            return ""
        is_treatment = isinstance(node, ast.Call) and self._function(node) in ("contr.treatment", "Treatment")
        values = [*node.args, *(k.value for k in node.keywords)] if is_treatment and isinstance(node, ast.Call) else []
        bases = [self._literal(value) for value in values]
        if not is_treatment or len(values) > 1 or None in bases or "" in bases:
            raise self._refuse('is no treatment coding, which alone is read: C(x), or C(x, contr.treatment("base"))')
        return "".join(map(str, bases))

    def _number(self, node: ast.expr) -> Expression:
        """An expression of numbers."""
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return ("number", self._float(node.value))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in _CONSTANTS:
            return ("number", _CONSTANTS[ast.unparse(node)])
        if isinstance(node, ast.Name):
            return ("column", self._named(node.id))
        if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
            return (_SIGNS[type(node.op)], self._number(node.operand))
        if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
            return (_SIGNS[type(node.op)], self._number(node.left), self._number(node.right))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _SIGNS:
            return (_SIGNS[type(node.ops[0])], self._number(node.left), self._number(node.comparators[0]))
        if isinstance(node, ast.Call):
            return self._call(node)
        raise self._refuse(f"holds {self._written(node)!r}, which is neither a number nor arithmetic with columns")

    def _float(self, value: float) -> float:
        try:
            return float(value)
        except OverflowError:
            raise self._refuse("holds a number that float64 does not hold") from None

    def _call(self, node: ast.Call) -> Expression:
        name = self._function(node).removeprefix("np.").removeprefix("numpy.")
        if name in _SAME:
            return self._number(self._single(node))
        if name == "Q":
            return ("column", self._column(node))
        if name == ELAPSED:
            return self._elapsed(node)
        if name in _INSTEAD:
            raise self._refuse(f"calls {name}(), which is not read: {_INSTEAD[name]}")
        if name in ("C", *_LEARNED, *CALENDAR):
            raise self._refuse(f"has {name}() inside of an expression: it is a factor by itself")
        if name not in FUNCTIONS:
            known = (*FUNCTIONS, *CALENDAR, *_LEARNED, ELAPSED, "C", "I", "Q")
            raise self._refuse(f"calls {name}(), which is not known{nearest(name, known)}")
        if node.keywords or len(node.args) != (count := _arguments(name)):
            raise self._refuse(f"must give {name}() {count} argument{'s' * (count > 1)}")
        return (name, *map(self._number, node.args))

    def _elapsed(self, node: ast.Call) -> Expression:
        unit = node.args[1] if len(node.args) == 2 else ast.Constant("D")
        is_unit = isinstance(unit, ast.Constant) and unit.value in UNITS
        if len(node.args) not in (1, 2) or node.keywords or not is_unit:
            raise self._refuse(f'must be like elapsed(t, "D"), the unit one of {", ".join(UNITS)}')
        return (ELAPSED, ("column", self._column(node.args[0])), ("number", UNITS[ast.literal_eval(unit)]))

    def _single(self, node: ast.Call) -> ast.expr:
        if len(node.args) != 1 or node.keywords:
            raise self._refuse("takes one argument")
        return node.args[0]

    def _column(self, node: ast.expr) -> str:
        """The column that stands there by itself; ``Q("its name")`` is one too."""
        if isinstance(node, ast.Call) and self._function(node) == "Q":
            node = self._single(node)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                return node.value
        if not isinstance(node, ast.Name):
            raise self._refuse(f"needs a column, not {self._written(node)!r}")
        return self._named(node.id)

    def _named(self, name: str) -> str:
        return self._quoted[int(name.removeprefix(self._prefix))] if name.startswith(self._prefix) else name

    def _function(self, node: ast.Call) -> str:
        return ast.unparse(node.func)

    def _written(self, node: ast.expr) -> str:
        return re.sub(f"{self._prefix}[0-9]+", lambda match: f"`{self._named(match[0])}`", ast.unparse(node))

    def _refuse(self, what: str) -> UserError:
        return UserError(f"{self._key}: {self._text!r} {what}")


def _arguments(name: str) -> int:
    return {"where": 3, "maximum": 2, "minimum": 2}.get(name, 1)
