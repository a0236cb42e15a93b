"""One pass over the raw bytes of a CSV, in constant memory: what Arrow's reader would not notice, or has to be told.

Bytes that are no CSV, UTF-16, UTF-8 that is none, a quote that is never closed; where the rows end and whether there
are quotes. ``csv_check`` looks at the lines. It opens no file.
"""

from dataclasses import dataclass

import pyarrow as pa

from linreg.errors import UserError
from linreg.files import csv_faults as csv_check

_CHUNK = 1 << 22
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Survey:
    """What a pass over the bytes tells.

    Args:
        end: how many bytes there are before trailing blank lines and spaces.
        quotes: whether a quote stands anywhere: line breaks inside quotes need a slower search for the ends of lines.
    """

    end: int
    quotes: bool


def survey(label: str, file: pa.NativeFile) -> Survey:
    """Refuse bytes that cannot be a CSV; ``file`` stands at its beginning and can be sought in.

    Raises:
        UserError: blank, UTF-16, another format, not UTF-8 (with line and byte), or a quote that is never closed.
    """
    position, end, quotes, cut = 0, 0, 0, b""
    while chunk := file.read(_CHUNK):
        if not position:
            _check_head(label, chunk)
        cut = _check_utf8(label, file, cut + chunk, position - len(cut))
        filled = len((chunk if position else chunk.removeprefix(_BOM)).rstrip(csv_check.BLANK))
        end = position + len(chunk.rstrip(csv_check.BLANK)) if filled else end
        quotes += chunk.count(b'"')
        position += len(chunk)
    if cut and not _is_utf8(cut):
        raise _not_utf8(label, file, cut, position - len(cut))
    if not end:
        raise UserError(f"{label}: holds blank lines only: write it again or leave it out")
    if quotes % 2 and (line := csv_check.open_quote(file.get_stream(0, end))):
        raise UserError(f"{label}: line {line}: a quote opens and is never closed: close or remove it")
    return Survey(end, quotes > 0)


def _check_head(label: str, data: bytes) -> None:
    """Refuse UTF-16, by its mark or by text with every other byte zero, and another format, by its first bytes."""
    head = data[:1024]
    zeros = sorted((head[::2].count(0), head[1::2].count(0)))
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or (zeros[1] > 0.4 * len(head) and zeros[0] < 0.1 * len(head)):
        raise UserError(f"{label}: is UTF-16 or UTF-32 (line 1, byte 1), not UTF-8: save as UTF-8")
    if what := csv_check.foreign(data):
        raise UserError(f"{label}: is not a CSV but {what}: export it as CSV, or name it by what it is")


def _check_utf8(label: str, file: pa.NativeFile, data: bytes, start: int) -> bytes:
    """Refuse what is not UTF-8; give back the end of ``data`` in which a character may be cut."""
    if data.isascii():
        return b""
    cut = next((i for i in (1, 2, 3) if data[-i:][:1] >= b"\xc0"), 0)
    whole = data[: len(data) - cut]
    if not _is_utf8(whole):
        raise _not_utf8(label, file, whole, start)
    return data[len(whole) :]


def _is_utf8(data: bytes) -> bool:
    """Arrow's check, since decoding would take up to four times the memory."""
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _not_utf8(label: str, file: pa.NativeFile, data: bytes, start: int) -> UserError:
    """The line of the first byte that is none; ``data`` begins at ``start`` of the file."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as e:
        line, column = _place(file, start + e.start)
        byte = f"byte 0x{data[e.start]:02x} (number {column} of the line)"
        return UserError(f"{label}: line {line}: {byte} is not UTF-8, perhaps Latin-1: save as UTF-8")
    raise AssertionError("only called for bytes that are not UTF-8")


def _place(file: pa.NativeFile, position: int) -> tuple[int, int]:
    """Line and byte of the line, both from 1."""
    before, line, newline = file.get_stream(0, position), 1, -1
    at = 0
    while chunk := before.read(_CHUNK):
        line += chunk.count(b"\n")
        newline = at + found if (found := chunk.rfind(b"\n")) >= 0 else newline
        at += len(chunk)
    return line, position - newline
