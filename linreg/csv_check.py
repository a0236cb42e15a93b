"""A slow second look at a CSV: finds the line that Arrow could not read, and says what is wrong with it.

Also the checks that Arrow leaves out: bytes that are no CSV, UTF-8, a header that is not one. It opens no file.
Lines are counted as an editor shows them: from 1, the header included, a record at the line where it begins.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

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
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+|inf|infinity|nan)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
_BLANK = b" \t\r\n\x1a"


def end(data: bytes) -> int:
    """How many bytes there are before trailing blank lines and spaces."""
    tail = data[-4096:]
    return len(data) - len(tail) + len(tail.rstrip(_BLANK))


def foreign(data: bytes) -> str:
    """What the first bytes say the file is, where that is no text; else an empty string."""
    known = next((what for magic, what in _MAGIC.items() if data.startswith(magic)), "")
    nul = data.find(b"\0", 0, 65536)
    return known or ("" if nul < 0 else f"binary data (a NUL byte in line {_line(data, nul)})")


def check_bytes(label: str, data: bytes) -> None:
    """Refuse bytes that cannot be a CSV.

    Raises:
        UserError: blank, UTF-16, another format, not UTF-8 (with line and byte), or a quote that is never closed.
    """
    _check_utf16(label, data)
    if what := foreign(data):
        raise UserError(f"{label}: is not a CSV but {what}: export it as CSV, or name it by what it is")
    if not end(data.removeprefix(b"\xef\xbb\xbf")):
        raise UserError(f"{label}: holds blank lines only: write it again or leave it out")
    if not data.isascii() and not _is_utf8(data):
        raise UserError(_not_utf8(label, data))
    if data.count(b'"') % 2 and (line := _open_quote(data)):
        raise UserError(f"{label}: line {line}: a quote opens and is never closed: close or remove it")


def header(label: str, data: bytes) -> list[str]:
    """The column names: the first line that is not blank.

    Raises:
        UserError: the line cannot be read as CSV.
    """
    try:
        return next(fields for _, fields in records(data))
    except csv.Error as e:
        raise UserError(f"{label}: line 1: is not CSV ({e}): check quotes and line ends") from e


def has_rows(data: bytes) -> bool:
    """Whether a record follows the header."""
    return len(list(itertools.islice(records(data), 2))) > 1


def doubt(label: str, data: bytes, names: Sequence[str]) -> None:
    """Say why a header that lacks a column may be no header at all; return where it looks like one.

    Raises:
        UserError: another delimiter, numbers only, or another format.
    """
    raw = ",".join(names)
    if data.lstrip(b"\xef\xbb\xbf" + _BLANK)[:1] in b"{[<":
        raise UserError(f"{label}: is not a CSV but JSON, HTML or XML: export it as CSV")
    for delimiter, shown in _DELIMITERS.items():
        if raw.count(delimiter) + 1 > len(names):
            raise UserError(f"{label}: line 1: columns are separated by {shown}, not by commas: save it with commas")
    if any(names) and all(not name or _NUMBER.fullmatch(name) for name in names):
        raise UserError(f"{label}: line 1: holds numbers only, so the header is missing: add a line with column names")


def explain(label: str, data: bytes, columns: Sequence[str], reason: str) -> UserError:
    """Find the first line that is wrong: of another length, or with text in one of ``columns``.

    Args:
        reason: what Arrow said, for the case that no such line is found.
    """
    try:
        found = _first_fault(data, columns)
    except csv.Error as e:
        return UserError(f"{label}: is not CSV ({e}): check quotes and line ends")
    return UserError(f"{label}: {found or 'cannot be read as CSV (' + reason.splitlines()[0][:120] + ')'}")


def cell(data: bytes, row: int, column: str) -> tuple[int, str]:
    """The line and the text of a cell; ``row`` counts data rows from 0."""
    lines = records(data)
    index = next(lines)[1].index(column)
    for number, (line, fields) in enumerate(lines):
        if number == row:
            return line, fields[index]
    raise AssertionError(f"row {row} is beyond the end")


def records(data: bytes) -> Iterator[tuple[int, list[str]]]:
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


def _first_fault(data: bytes, columns: Sequence[str]) -> str:
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
                return f"line {line}, column '{name}': {fields[i][:40]!r} is not a number: correct it or leave it empty"
    return ""


def _fits(text: str, name: str, booleans: dict[str, bool]) -> bool:
    """Whether a cell is a number or empty; in a column that begins with true or false, whether it is a truth value."""
    if text.strip() in pacsv.ConvertOptions().null_values:
        return True
    truth = text.strip().lower() in ("true", "false")
    if booleans.setdefault(name, truth):
        return truth or text.strip() in ("0", "1")
    return bool(_NUMBER.fullmatch(text))


def _check_utf16(label: str, data: bytes) -> None:
    """By its byte order mark, or by text in which every other byte is zero."""
    head = data[:1024]
    zeros = sorted((head[::2].count(0), head[1::2].count(0)))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (zeros[1] > 0.4 * len(head) and zeros[0] < 0.1 * len(head)):
        raise UserError(f"{label}: is UTF-16 or UTF-32 (line 1, byte 1), not UTF-8: save as UTF-8")


def _is_utf8(data: bytes) -> bool:
    """Arrow's check, since decoding would take up to four times the file's memory."""
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _not_utf8(label: str, data: bytes) -> str:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = _line(data, e.start)
        column = e.start - data.rfind(b"\n", 0, e.start)
        byte = f"byte 0x{data[e.start]:02x} (number {column} of the line)"
        return f"{label}: line {line}: {byte} is not UTF-8, perhaps Latin-1: save as UTF-8"
    raise AssertionError("only called for bytes that are not UTF-8")


def _open_quote(data: bytes) -> int:
    """The line where a quoted field begins that the end of the file cuts off; 0: none."""
    reader = _reader(data, strict=True)
    line = 1
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error as e:
        return line if "end of data" in str(e) else 0
    return 0


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _reader(data: bytes, *, strict: bool = False) -> "_csv.Reader":
    csv.field_size_limit(2**31 - 1)  # Python's own limit of 131,072 characters would hide the line that is wrong
    source = pa.BufferReader(pa.py_buffer(data)[: end(data)])  # a view: slicing the bytes would copy the file
    return csv.reader(io.TextIOWrapper(source, encoding="utf-8-sig", newline=""), strict=strict)
