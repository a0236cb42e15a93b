"""The bytes of a CSV a piece at a time, cut where lines end. It opens no file."""

from collections.abc import Iterator

import pyarrow as pa

CHUNK = 1 << 20  # bytes of a piece; larger ones leave the cache


def whole_lines(source: pa.NativeFile, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """The bytes from ``start`` to ``end`` a piece at a time: where it begins, a piece, and where its last line ends."""
    size = CHUNK
    while start < end and (piece := source.read_at(min(size, end - start), start)):
        cut = 1 + (piece.rfind(b"\n") if b"\n" in piece else piece.rfind(b"\r"))
        if start + len(piece) >= end:
            cut = len(piece)
        if not cut:  # a line that is longer
            size *= 2
            continue
        yield start, piece, cut
        start, size = start + cut, CHUNK


def check_utf8(data: pa.Buffer) -> None:
    """Arrow's check, since decoding takes up to four times the memory; raises ``ArrowInvalid``."""
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, data]).validate(full=True)
