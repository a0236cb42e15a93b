"""What is wrong with a data file or a value in it, in one line: what, where, what to do.

    raise faults.no_rows(label)
    raise faults.first_fault(stream, [ValueFault("temp", "is infinite", "correct it", np.isinf)])

Shapes: n rows of a block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from linreg.errors import UserError, nearest
from linreg.files.tables import float64

if TYPE_CHECKING:
    from linreg.files.stream import Stream

SQUARED = 1e150  # the sum of squares of larger values is beyond float64
MAGIC = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ": "xz",
    b"%PDF": "PDF",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
}
Mask = npt.NDArray[np.bool_]


class ColumnMissing(UserError):
    """A file lacks a column that was asked for."""


@dataclass(frozen=True)
class ValueFault:
    """What a value of a column must not be.

    Args:
        what, remedy: the words for it.
        marks: which of these values (n,) are so.
    """

    column: str
    what: str
    remedy: str
    marks: Callable[[npt.NDArray[np.float64]], Mask]


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


def first_fault(stream: "Stream", faults: Sequence[ValueFault], *, weight: str = "") -> UserError | None:
    """Read a file once more for the first of these faults that it has, with its place and number; None: it has none.

    Args:
        weight: a column; rows in which it is 0 are not looked at.
    """
    first: dict[ValueFault, int] = {}
    count = dict.fromkeys(faults, 0)
    columns, start = list(dict.fromkeys([*(f.column for f in faults), *([weight] if weight else [])])), 0
    for batch in stream.batches(columns):
        values = {name: float64(batch.column(i)) for i, name in enumerate(columns)}
        ignored = values[weight] == 0 if weight else np.zeros(len(batch), bool)
        for fault in faults:
            marked = fault.marks(values[fault.column]) & ~ignored
            if marked.any():
                first.setdefault(fault, start + int(marked.argmax()))
                count[fault] += int(marked.sum())
        start += len(batch)
    return next((_value_error(stream, fault, first[fault], count[fault]) for fault in faults if fault in first), None)


def _value_error(stream: "Stream", fault: ValueFault, row: int, count: int) -> UserError:
    where, text = stream.place(row, fault.column)
    value = f"the value {text[:40]!r}" if text else "the value"
    more = f" ({count} such in the column)" if count > 1 else ""
    return UserError(
        f"{stream.file.label}: {where}, column '{fault.column}': {value} {fault.what}{more}: {fault.remedy}"
    )


def empty(label: str) -> UserError:
    """The error of a file of no bytes."""
    return UserError(f"{label}: is empty (0 bytes): write it again or leave it out")


def no_rows(label: str) -> UserError:
    """The error of a file that is nothing but column names."""
    return UserError(f"{label}: has column names but no rows: add rows or leave the file out")


def changed(label: str) -> UserError:
    """The error of a file that is not any more what was found."""
    return UserError(f"{label}: changed while it was read: run again")


def no_numbers(label: str, column: str, type_: str) -> UserError:
    """The error of a Parquet column that is something else."""
    return UserError(f"{label}: column '{column}' is {type_}, not numbers: cast it when the file is written")


def damaged(label: str, error: Exception) -> UserError:
    """The error of a Parquet file that Arrow cannot read."""
    return UserError(f"{label}: the Parquet file is damaged ({first_line(error)}): write or fetch it again")


def check_columns(label: str, names: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse a file that lacks a column, or holds it twice."""
    for name in columns:
        if name not in names:
            hint = nearest(name, names)
            hint = hint if len(hint) <= 300 else hint[:296] + " ..."
            raise ColumnMissing(f"{label}: column '{name}' is missing{hint}")
        if (times := list(names).count(name)) > 1:
            raise UserError(f"{label}: column '{name}' stands {times} times: keep one, or rename them")


def foreign(head: bytes) -> str:
    """What the first bytes say a file is, where that is no text; else an empty string."""
    known = next((what for magic, what in MAGIC.items() if head.startswith(magic)), "")
    nul = head.find(b"\0", 0, 65536)
    line = head.count(b"\n", 0, max(nul, 0)) + 1
    return known or ("" if nul < 0 else f"binary data (a NUL byte in line {line})")


def first_line(error: Exception | pa.ArrowException) -> str:
    """What an exception says, short enough for a message."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    return text if len(text) <= 120 else text[:116] + " ..."
