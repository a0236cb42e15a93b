"""What is wrong with a data file, in one line: what, where, what to do.

    raise faults.no_rows(label)

What is wrong with a value in it is ``value_faults``'.
"""

from collections.abc import Sequence

import pyarrow as pa

from linreg.errors import UserError, nearest

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


INSTEAD_OF_DATES = (
    "take of it what matters by data.formula, like y ~ elapsed(t) + month(t) + dayofweek(t) for a column t, or leave "
    "it out"
)


class ColumnMissing(UserError):
    """A file lacks a column that was asked for."""


def empty(label: str) -> UserError:
    """The error of a file of no bytes."""
    return UserError(f"{label}: is empty (0 bytes): write it again or leave it out")


def no_rows(label: str) -> UserError:
    """The error of a file that is nothing but column names."""
    return UserError(f"{label}: has column names but no rows: add rows or leave the file out")


def without_rows(names: Sequence[str]) -> str:
    """What is told of files without rows that stand among others."""
    return f"no row in {', '.join(names)}"


def changed(label: str) -> UserError:
    """The error of a file that is not any more what was found."""
    return UserError(f"{label}: changed while it was read: run again")


def no_numbers(label: str, column: str, type_: str) -> UserError:
    """The error of a Parquet column that is something else."""
    return UserError(f"{label}: column '{column}' is {type_}, not numbers: {_instead(column, type_)}")


def _instead(column: str, type_: str) -> str:
    """What to do with a column that is not of numbers."""
    if "string" in type_:
        return f'a category is named so: data.categorical = ["{column}"]'
    if type_.startswith(("date", "timestamp")):
        return INSTEAD_OF_DATES
    return "cast it when the file is written"


def no_category(label: str, column: str, type_: str) -> UserError:
    """The error of a Parquet column that is neither text nor codes."""
    is_date = type_.startswith(("date", "timestamp"))
    remedy = "cast it to text or integers when the file is written, or leave it out of data.categorical"
    what = f"column '{column}' is {type_}, not a category"
    return UserError(f"{label}: {what}: {INSTEAD_OF_DATES if is_date else remedy}")


def no_date(label: str, column: str, type_: str) -> UserError:
    """The error of a Parquet column that is neither dates nor text."""
    remedy = "take it as a number, or cast it to a timestamp when the file is written"
    return UserError(f"{label}: column '{column}' is {type_}, not dates: {remedy}")


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
