"""A slow second look at a CSV: finds the line that Arrow could not read, and says what is wrong with it.

Lines are counted as an editor shows them: from 1, the header included, a record at the line where it begins. It opens
no file: ``source`` is one.
"""

import csv
import io
import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pacsv

from linreg.errors import UserError
from linreg.files import csv_pieces, faults
from linreg.files.tables import DATE, NUMBER, TIMESTAMP

if TYPE_CHECKING:
    import _csv

_DELIMITERS = {";": "';'", "\t": "tabs", "|": "'|'"}
BOM = b"\xef\xbb\xbf"


def header(label: str, source: pa.NativeFile) -> tuple[list[str], int]:
    """The column names, which are in the first line that is not blank, and how many bytes there are up to its end.

    Raises:
        UserError: the line cannot be read as CSV.
    """
    csv.field_size_limit(2**31 - 1)
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in _text(source):
            read.append(line)
            yield line

    try:
        names = next(filter(None, csv.reader(lines())))
    except csv.Error as e:
        raise UserError(f"{label}: line 1: is not CSV ({e}): check quotes and line ends") from e
    return names, len("".join(read).encode("utf-8", "surrogateescape"))


def doubt(label: str, head: bytes, names: Sequence[str], columns: Sequence[str]) -> None:
    """Say why a header that lacks one of the columns may be no header at all; return where it looks like one.

    Raises:
        UserError: another delimiter, numbers only, a comment or a title, or another format.
    """
    raw = ",".join(names)
    if head.removeprefix(BOM).lstrip()[:1] in (b"{", b"[", b"<"):
        raise UserError(f"{label}: is not a CSV but JSON, HTML or XML: export it as CSV")
    for delimiter, shown in _DELIMITERS.items():
        if raw.count(delimiter) + 1 > len(names):
            raise UserError(f"{label}: line 1: columns are separated by {shown}, not by commas: save it with commas")
    if any(names) and all(not name or NUMBER.fullmatch(name) for name in names):
        raise UserError(f"{label}: line 1: holds numbers only, so the header is missing: add a line with column names")
    below = [
        line for line, fields in itertools.islice(_records(pa.BufferReader(head)), 1, 20) if {*columns} <= {*fields}
    ]
    if below or raw.startswith("#"):
        where = f"; those stand in line {below[0]}" if below else ""
        raise UserError(f"{label}: line 1: is a comment or a title, not column names{where}: delete what is above them")


def check_quotes(source: pa.NativeFile, start: int, end: int) -> None:
    """Raise ``ArrowInvalid`` where the rows from ``start`` on are not UTF-8, or a quote opens and is never closed."""
    for _, piece, cut in csv_pieces.whole_lines(source, start, end):
        csv_pieces.check_utf8(pa.py_buffer(piece)[:cut])
    if _open_quote(source, start, end):
        raise pa.ArrowInvalid("a quote opens and is never closed")


def explain(label: str, source: pa.NativeFile, end: int, columns: Sequence[str], reason: str) -> UserError:
    """Find what is wrong: bytes that are not UTF-8, an open quote, a line of another length, or text among numbers.

    Args:
        end: the byte after the last row.
        columns: those that should be numbers.
        reason: what Arrow said, for the case that nothing is found.
    """
    try:
        fault = not_utf8(source, end) or _open_quote(source, 0, end) or _first_fault(source, end, columns)
    except csv.Error as e:
        return UserError(f"{label}: is not CSV ({e}): check quotes and line ends")
    return UserError(f"{label}: {fault or 'cannot be read as CSV (' + reason.splitlines()[0][:120] + ')'}")


def cell(source: pa.NativeFile, row: int, column: str) -> tuple[int, str]:
    """The line and the text of a cell; ``row`` counts data rows from 0."""
    lines = _records(source)
    index = next(lines)[1].index(column)
    for number, (line, fields) in enumerate(lines):
        if number == row:
            return line, fields[index]
    raise AssertionError(f"row {row} is beyond the end")


def not_utf8(source: pa.NativeFile, end: int) -> str:
    """The line of the first byte that is none."""
    line = 1
    for _, piece, cut in csv_pieces.whole_lines(source, 0, end):
        newline = b"\n" if b"\n" in piece else b"\r"
        try:
            piece[:cut].decode()
        except UnicodeDecodeError as e:
            at, column = line + piece.count(newline, 0, e.start), e.start - piece.rfind(newline, 0, e.start)
            byte = f"byte 0x{piece[e.start]:02x} (number {column} of the line)"
            return f"line {at}: {byte} is not UTF-8, perhaps Latin-1: save as UTF-8"
        line += piece.count(newline, 0, cut)
    return ""


def _open_quote(source: pa.NativeFile, start: int, end: int) -> str:
    """The line where a quoted field begins that the end of the file cuts off; no quote stands before ``start``."""
    if sum(piece.count(b'"', 0, cut) for _, piece, cut in csv_pieces.whole_lines(source, start, end)) % 2 == 0:
        return ""
    reader = _reader(source.get_stream(0, end), strict=True)
    line = 1
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error as e:
        return f"line {line}: a quote opens and is never closed: close or remove it" * ("end of data" in str(e))
    return ""


def _first_fault(source: pa.NativeFile, end: int, columns: Sequence[str]) -> str:
    lines = _records(source.get_stream(0, end))
    names = next(lines)[1]
    index = {name: names.index(name) for name in columns}
    booleans: dict[str, bool] = {}
    for number, (line, fields) in enumerate(lines):
        if len(fields) != len(names):
            following = {len(more) for _, more in itertools.islice(lines, 20)} if number == 0 else {0}
            return f"line {line}: {_wrong_length(fields, len(names), following)}"
        for name, i in index.items():
            if not _fits(fields[i], name, booleans):
                return f"line {line}, column '{name}': {fields[i][:40]!r} {_no_number(fields[i], name)}"
    return ""


def _no_number(text: str, column: str) -> str:
    """What a cell is instead, and what to do."""
    if DATE.fullmatch(text.strip()) or TIMESTAMP.fullmatch(text.strip()):
        return f"is a date, not a number: {faults.INSTEAD_OF_DATES}"
    category = f'where the column is a category, name it so: data.categorical = ["{column}"]'
    return f"is not a number: correct it, or, {category}"


def _wrong_length(fields: Sequence[str], names: int, following: Collection[int]) -> str:
    """What a row of another length than the header says; ``following``: those of the next ones, of a first row."""
    count = len(fields)
    if count == names + 1 and fields[-1] and set(following) == {count}:
        return (
            f"each row has {count} fields and the header {names}, so rows begin with a name that has no column: "
            "put a name for it in front of line 1, or write the file without row names"
        )
    return f"expected {names} fields, found {count}: complete the line, or quote text that holds commas"


def _fits(text: str, name: str, booleans: dict[str, bool]) -> bool:
    """Whether a cell is a number or empty; in a column that begins with true or false, whether it is a truth value."""
    if text.strip() in pacsv.ConvertOptions().null_values:
        return True
    truth = text.strip().lower() in ("true", "false")
    if booleans.setdefault(name, truth):
        return truth or text.strip() in ("0", "1")
    return bool(NUMBER.fullmatch(text))


def _records(source: pa.NativeFile) -> Iterator[tuple[int, list[str]]]:
    """Each record that is not blank, with the line where it begins; the header is the first.

    Raises:
        csv.Error: Python's reader gives up.
    """
    reader = _reader(source)
    line = 1
    for fields in reader:
        if fields:
            yield line, fields
        line = reader.line_num + 1


def _reader(source: pa.NativeFile, *, strict: bool = False) -> "_csv.Reader":
    csv.field_size_limit(2**31 - 1)  # Python's own limit of 131,072 characters would hide the line that is wrong
    return csv.reader(_text(source), strict=strict)


def _text(source: pa.NativeFile) -> io.TextIOWrapper:
    return io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
