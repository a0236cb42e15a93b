"""Where a CSV's rows begin and end, found at little cost: its head, its header and its last bytes. It opens no file."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from linreg.errors import UserError
from linreg.files import csv_faults, faults

_HEAD = 65_536
_BLANK = b" \t\r\n\x1a"


@dataclass(frozen=True)
class Layout:
    """The parts of a file.

    Args:
        names: the columns, as the header has them.
        start: the byte after the header's line.
        end: the byte after the last row; blank lines and spaces may follow.
    """

    names: Sequence[str]
    start: int
    end: int


def layout(label: str, source: pa.NativeFile) -> Layout:
    """Look at a file.

    Raises:
        UserError: it is UTF-16, of another format, blank, or its header cannot be read.
    """
    head = source.read_at(_HEAD, 0)
    if not head:  # of a packed file
        raise faults.empty(label)
    _check_head(label, head)
    begin, end = len(csv_faults.BOM) * head.startswith(csv_faults.BOM), _end(source)
    if end <= begin:
        raise UserError(f"{label}: holds blank lines only: write it again or leave it out")
    names, length = csv_faults.header(label, source.get_stream(begin, end - begin))
    if bad := csv_faults.not_utf8(source, begin + length):
        raise UserError(f"{label}: {bad}")
    return Layout(names, begin + length, end)


def _check_head(label: str, head: bytes) -> None:
    """Refuse UTF-16, by its mark or by text with every other byte zero, and another format, by its first bytes."""
    first = head[:1024]
    zeros = sorted((first[::2].count(0), first[1::2].count(0)))
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or (zeros[1] > 0.4 * len(first) and zeros[0] < 0.1 * len(first)):
        raise UserError(f"{label}: is UTF-16 or UTF-32 (line 1, byte 1), not UTF-8: save as UTF-8")
    if what := faults.foreign(head):
        raise UserError(f"{label}: is not a CSV but {what}: export it as CSV, or name it by what it is")


def _end(source: pa.NativeFile) -> int:
    """How many bytes there are before trailing blank lines and spaces."""
    end = int(source.size())
    while end:
        start = max(0, end - _HEAD)
        if filled := len(source.read_at(end - start, start).rstrip(_BLANK)):
            return start + filled
        end = start
    return 0
