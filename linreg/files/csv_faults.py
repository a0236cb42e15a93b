"""A slow second look at a CSV: finds the line that Arrow could not read, and says what is wrong with it.

Also the check of a header that is not one; ``csv_survey`` looks at the raw bytes. It opens no file.
Lines are counted as an editor shows them: from 1, the header included, a record at the line where it begins.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.csv as pacsv

from linreg.errors import UserError

if TYPE_CHECKING:
    import _csv

_MAGIC = {
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
_DELIMITERS = {";": "';'", "\t": "tabs", "|": "'|'"}
Text: TypeAlias = bytes | pa.NativeFile  # a CSV's bytes, or a stream of them that stands at the beginning
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+|inf|infinity|nan)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
BLANK = b" \t\r\n\x1a"


def end(data: bytes) -> int:
    """How many bytes there are before trailing blank lines and spaces."""
    tail = data[-4096:]
    return len(data) - len(tail) + len(tail.rstrip(BLANK))


def foreign(data: bytes) -> str:
    """What the first bytes say the file is, where that is no text; else an empty string."""
    known = next((what for magic, what in _MAGIC.items() if data.startswith(magic)), "")
    nul = data.find(b"\0", 0, 65536)
    return known or ("" if nul < 0 else f"binary data (a NUL byte in line {_line(data, nul)})")


def header(label: str, data: Text) -> list[str]:
    """The column names: the first line that is not blank.

    Raises:
        UserError: the line cannot be read as CSV.
    """
    try:
        return next(fields for _, fields in records(data))
    except csv.Error as e:
        raise UserError(f"{label}: line 1: is not CSV ({e}): check quotes and line ends") from e


def has_rows(data: Text) -> bool:
    """Whether a record follows the header."""
    return len(list(itertools.islice(records(data), 2))) > 1


def doubt(label: str, data: bytes, names: Sequence[str]) -> None:
    """Say why a header that lacks a column may be no header at all; return where it looks like one.

    Raises:
        UserError: another delimiter, numbers only, or another format.
    """
    raw = ",".join(names)
    if data.lstrip(b"\xef\xbb\xbf" + BLANK)[:1] in b"{[<":
        raise UserError(f"{label}: is not a CSV but JSON, HTML or XML: export it as CSV")
    for delimiter, shown in _DELIMITERS.items():
        if raw.count(delimiter) + 1 > len(names):
            raise UserError(f"{label}: line 1: columns are separated by {shown}, not by commas: save it with commas")
    if any(names) and all(not name or _NUMBER.fullmatch(name) for name in names):
        raise UserError(f"{label}: line 1: holds numbers only, so the header is missing: add a line with column names")


def explain(label: str, data: Text, columns: Sequence[str], reason: str) -> UserError:
    """Find the first line that is wrong: of another length, or with text in one of ``columns``.

    Args:
        reason: what Arrow said, for the case that no such line is found.
    """
    try:
        found = _first_fault(data, columns)
    except csv.Error as e:
        return UserError(f"{label}: is not CSV ({e}): check quotes and line ends")
    return UserError(f"{label}: {found or 'cannot be read as CSV (' + reason.splitlines()[0][:120] + ')'}")


def cell(data: Text, row: int, column: str) -> tuple[int, str]:
    """The line and the text of a cell; ``row`` counts data rows from 0."""
    lines = records(data)
    index = next(lines)[1].index(column)
    for number, (line, fields) in enumerate(lines):
        if number == row:
            return line, fields[index]
    raise AssertionError(f"row {row} is beyond the end")


def records(data: Text) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line where it begins; the header is the first.

    Raises:
        csv.Error: Python's reader gives up.
    """
    reader = _reader(data)
    line = 1
    for fields in reader:
        if fields:
            yield line, fields
        line = reader.line_num + 1


def open_quote(data: Text) -> int:
    """The line where a quoted field begins that the end of the file cuts off; 0: none."""
    reader = _reader(data, strict=True)
    line = 1
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error as e:
        return line if "end of data" in str(e) else 0
    return 0


def _first_fault(data: Text, columns: Sequence[str]) -> str:
    lines = records(data)
    names = next(lines)[1]
    index = {name: names.index(name) for name in columns}
    booleans: dict[str, bool] = {}
    for line, fields in lines:
        if len(fields) != len(names):
            what = f"line {line}: expected {len(names)} fields, found {len(fields)}"
            return f"{what}: complete the line, or quote text that holds commas"
        for name, i in index.items():
            if not _fits(fields[i], name, booleans):
                return f"line {line}, column '{name}': {fields[i][:40]!r} is not a number: correct it"
    return ""


def _fits(text: str, name: str, booleans: dict[str, bool]) -> bool:
    """Whether a cell is a number or empty; in a column that begins with true or false, whether it is a truth value."""
    if text.strip() in pacsv.ConvertOptions().null_values:
        return True
    truth = text.strip().lower() in ("true", "false")
    if booleans.setdefault(name, truth):
        return truth or text.strip() in ("0", "1")
    return bool(_NUMBER.fullmatch(text))


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _reader(data: Text, *, strict: bool = False) -> "_csv.Reader":
    csv.field_size_limit(2**31 - 1)  # Python's own limit of 131,072 characters would hide the line that is wrong
    if isinstance(data, bytes):
        data = pa.BufferReader(pa.py_buffer(data)[: end(data)])  # a view: slicing the bytes would copy the file
    return csv.reader(io.TextIOWrapper(data, encoding="utf-8-sig", newline=""), strict=strict)
