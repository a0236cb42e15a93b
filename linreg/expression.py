"""A column computed from others: an expression as data, ``["log", ["column", "area"]]``, and its value.

It stands on numpy alone and is copied beside a model whose formula needs it, so that predictions are the same without
this package. All columns come as float64, dates as microseconds since 1970-01-01: whole numbers that float64 holds.

Shapes: N rows.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Expression = Sequence[Any]  # what is done, and with what: ["column", its name], ["number", 2.0], ["+", this, that]

OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "&": np.logical_and,
    "|": np.logical_or,
    "~": np.logical_not,
    "negative": operator.neg,
    "positive": operator.pos,
}
_OF_NUMPY = """abs cbrt ceil cos exp exp2 expm1 floor log log10 log1p log2 maximum minimum sign sin sqrt square tan tanh
where"""
FUNCTIONS: dict[str, Callable[..., Any]] = {name: getattr(np, name) for name in _OF_NUMPY.split()}
ELAPSED = "elapsed"  # of a date and the length of a unit in microseconds: how many of them since 1970-01-01
_MONTHS = "January February March April May June July August September October November December"
CALENDAR = {  # what these functions count is a level of a category
    "dayofweek": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "month": tuple(_MONTHS.split()),
}
UNITS = {"s": 1e6, "min": 6e7, "h": 3.6e9, "D": 86_400e6, "W": 7 * 86_400e6}  # of ``elapsed``, in microseconds
MOST_NESTED = 100


def depth(expression: Expression) -> int:
    """How deep it nests."""
    head, *rest = expression
    return 1 if head in ("column", "number") else 1 + max(map(depth, rest))


def dates_of(expression: Expression) -> Iterator[str]:
    """Those of its columns that are dates."""
    head, *rest = expression
    if head in (*CALENDAR, ELAPSED):
        yield rest[0][1]
    elif head not in ("column", "number"):
        for part in rest:
            yield from dates_of(part)


def columns_of(expression: Expression) -> Iterator[str]:
    """The columns that it is computed from, as often as it names them."""
    head, *rest = expression
    if head == "column":
        yield rest[0]
    elif head != "number":
        for part in rest:
            yield from columns_of(part)


def compute(expression: Expression, columns: Mapping[str, Float]) -> Float:
    """The value of every row, (N,); NaN where a column that it needs is, infinite where it has no finite value."""
    with np.errstate(all="ignore"):
        value_N = np.asarray(_value(expression, columns), dtype=np.float64)
    missing_N = np.logical_or.reduce([np.isnan(columns[name]) for name in columns_of(expression)])
    return np.where(missing_N, np.nan, np.where(np.isfinite(value_N), value_N, np.inf))


def level_codes(expression: Expression, columns: Mapping[str, Float]) -> npt.NDArray[np.int32]:
    """Of a function of ``CALENDAR`` which of its levels each row is at, (N,); -1 where the date is missing."""
    name, (_, column) = expression
    day_N = columns[column] / UNITS["D"]
    date_N = np.where(np.isfinite(day_N), np.floor(day_N), 0.0).astype("datetime64[D]")
    months = date_N.astype("datetime64[M]").astype(np.int64)
    code_N = months % 12 if name == "month" else (date_N.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    return np.where(np.isfinite(day_N), code_N, -1).astype(np.int32)


def level_names(expression: Expression, columns: Mapping[str, Float]) -> npt.NDArray[np.object_]:
    """The same by their names, (N,); None where the date is missing."""
    names = np.array([*CALENDAR[expression[0]], None], dtype=object)
    return np.asarray(names[level_codes(expression, columns)])  # a code of -1 is the last


def _value(expression: Expression, columns: Mapping[str, Float]) -> Any:
    head, *rest = expression
    if head == "column":
        return columns[rest[0]]
    if head == "number":
        return np.float64(rest[0])  # Python's own would raise where a column has no finite value
    done = operator.truediv if head == ELAPSED else OPERATORS.get(head) or FUNCTIONS[head]
    return np.asarray(done(*(_value(part, columns) for part in rest)), dtype=np.float64)  # a comparison too: 1 or 0
