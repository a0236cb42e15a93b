"""What is wrong with a value of a data file, in one line: what, where, what to do.

    raise first_fault(stream, [ValueFault("temp", "is infinite", "correct it", np.isinf)])

Shapes: n rows of a block.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.errors import UserError, listed
from linreg.files.stream import Stream
from linreg.files.tables import CATEGORY, float64

SQUARED = 1e150  # the sum of squares of larger values is beyond float64
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ValueFault:
    """What a value of a column must not be.

    Args:
        what, remedy: the words for it.
        marks: which of these values (n,) are so: floats, or of a category texts, None where one is missing.
        computed: the column that ``marks`` is asked about, where that is computed from the first; empty: the first.
    """

    column: str
    what: str
    remedy: str
    marks: Callable[[npt.NDArray[Any]], Mask]
    computed: str = ""


def out_of_range(column: str, dtype: str = "float64") -> tuple[ValueFault, ValueFault]:
    """A value that is infinite, and one that the dtype or the square of which float64 does not hold."""
    most = largest(dtype)
    what = "is too large to be squared" if most == SQUARED else f"is beyond {dtype}"
    remedy = "rescale the column" + ("" if most == SQUARED else ', or set train.dtype = "float64"')
    return (
        ValueFault(column, "is infinite or beyond float64", "correct or remove it", np.isinf),
        ValueFault(column, what, remedy, lambda x_n: np.abs(x_n) > most),
    )


def largest(dtype: str) -> float:
    """What a value of that dtype may be: it is held by the dtype, and its square by float64."""
    return min(float(np.finfo(np.dtype(dtype)).max), SQUARED)


def no_level(column: str, remedy: str, computed: str = "") -> ValueFault:
    """A category that is at no level; ``computed`` of the column, where that is not empty."""

    def marks(text_n: npt.NDArray[Any]) -> Mask:
        return np.array([text is None for text in text_n], bool)

    return ValueFault(column, "is missing", remedy, marks, computed)


def unseen_level(column: str, known: Sequence[str], what: str, computed: str = "") -> ValueFault:
    """A category that is at a level that is not known; ``computed`` of the column, where that is not empty."""
    remedy = f'correct it, or train with data.unseen = "base" (it counts as {known[0]!r}); known are {listed(known)}'

    def marks(text_n: npt.NDArray[Any]) -> Mask:
        return np.array([text not in (None, *known) for text in text_n], bool)

    return ValueFault(column, what, remedy, marks, computed)


def no_date(column: str) -> ValueFault:
    """Text that is no date."""
    return ValueFault(column, "is no date", "write it like 2026-11-30 or 2026-11-30 18:45", np.isinf, column)


def no_value(column: str, computed: str, dtype: str = "float64") -> tuple[ValueFault, ValueFault]:
    """A number of which a formula's expression has no finite value, and one of which it has one that is too large."""
    remedy = "correct it, leave the row out, or write another data.formula"
    infinite, large = (replace(fault, column=column, computed=computed) for fault in out_of_range(computed, dtype))
    infinite = replace(infinite, what=f"gives {computed} no finite value", remedy=remedy)
    return infinite, replace(large, what=f"gives {computed} a value that {large.what}")


Compute = Callable[[pa.RecordBatch], Mapping[str, npt.NDArray[Any]]]


def first_fault(
    stream: Stream, faults: Sequence[ValueFault], *, weight: str = "", compute: Compute | None = None
) -> UserError | None:
    """Read a file once more for the first of these faults that it has, with its place and number; None: it has none.

    Args:
        weight: a column; rows in which it is 0 are not looked at.
        compute: gives of a batch the columns that faults have as ``computed``.
    """
    first: dict[ValueFault, tuple[int, str]] = {}
    count = dict.fromkeys(faults, 0)
    columns, start = list(dict.fromkeys([*(f.column for f in faults), *([weight] if weight else [])])), 0
    categories = {field.name for field in stream.schema if field.type == CATEGORY} & set(columns)
    every = bool(categories) or compute is not None
    names = stream.schema.names if every else columns
    for batch in stream.batches(None if every else columns):
        values = {name: plain_values(batch.column(names.index(name))) for name in columns}
        made = compute(batch) if compute else {}
        ignored = values[weight] == 0 if weight else np.zeros(len(batch), bool)
        for fault in faults:
            marked = fault.marks(made[fault.computed] if fault.computed else values[fault.column]) & ~ignored
            if marked.any():
                row = int(marked.argmax())
                level = str(values[fault.column][row] or "") if fault.column in categories else ""
                first.setdefault(fault, (start + row, level))
                count[fault] += int(marked.sum())
        start += len(batch)
    return next((_value_error(stream, fault, *first[fault], count[fault]) for fault in faults if fault in first), None)


def plain_values(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """Numbers as float64, NaN where one is missing; else texts, None where one is."""
    numbers = pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
    return float64(column) if numbers else np.array(column.to_pylist(), dtype=object)


def _value_error(stream: Stream, fault: ValueFault, row: int, level: str, count: int) -> UserError:
    where, text = stream.place(row, fault.column)
    text = text or level
    value = f"the value {text[:40]!r}" if text else "the value"
    more = f" ({count} such in the column)" if count > 1 else ""
    return UserError(
        f"{stream.file.label}: {where}, column '{fault.column}': {value} {fault.what}{more}: {fault.remedy}"
    )
