"""What a file holds: as it lies, or unpacked while it is read, from front to back and never held as a whole.

    with opened("rows.csv.gz") as source:
        source.read_at(65_536, 0)

A packed file has neither a size nor places to jump to: its size takes a look through all of it, which checks it too,
and what lies in front of the last block that was read takes another. So a stream that goes on costs two looks.
"""

import contextlib
import io
from collections.abc import Callable, Iterator

import pyarrow as pa

from linreg.errors import UserError
from linreg.files import faults, paths, tables

_CHUNK = 1 << 20
_TAIL = 1 << 17  # bytes at the end that the look for the size keeps, where blank lines are looked for


@contextlib.contextmanager
def opened(path: str, content: bytes | None = None) -> Iterator["pa.NativeFile | Unpacked"]:
    """What a file holds, at its beginning, while it is open.

    Args:
        content: its bytes, where they are at hand.

    Raises:
        UserError: it cannot be opened or read, or is packed and damaged.
    """

    def source() -> pa.NativeFile:
        return paths.open_file(path) if content is None else pa.BufferReader(content)

    with paths.advice(path):
        if codec := tables.codec(path.partition("?")[0] if "://" in path else path):
            yield Unpacked(paths.label(path), codec, source)
            return
        with source() as file:
            yield file


class Unpacked:
    """A packed file as an unpacked one: those of the methods of ``pyarrow.NativeFile`` that reading a CSV takes.

    Args:
        label: the file, as messages show it.
        codec: as pyarrow calls it.
        source: opens the packed file.
    """

    def __init__(self, label: str, codec: str, source: Callable[[], pa.NativeFile]) -> None:
        self._label, self._codec, self._source = label, codec, source
        self._stream: pa.NativeFile | None = None
        self._block, self._at = b"", 0  # what was read last, and where it begins
        self._tail, self._size = b"", -1

    def size(self) -> int:
        """How many bytes it holds."""
        if self._size < 0:
            stream, size = self._open(), 0
            while chunk := self._read(stream, _CHUNK):
                self._tail, size = (self._tail + chunk)[-_TAIL:], size + len(chunk)
            self._size = size
        return self._size

    def read_at(self, count: int, offset: int) -> bytes:
        """So many bytes from there on; fewer at the end."""
        if self._size >= 0 and offset >= (start := self._size - len(self._tail)):
            return self._tail[offset - start :][:count]
        if self._stream is None or offset < self._at:
            self._stream, self._block, self._at = self._open(), b"", 0
        while (end := self._at + len(self._block)) < offset:
            self._block, self._at = self._read(self._stream, min(_CHUNK, offset - end)), end
            if not self._block:
                return b""
        self._block, self._at = self._block[offset - self._at :], offset
        if count > len(self._block):
            self._block += self._read(self._stream, count - len(self._block))
        return self._block[:count]

    def get_stream(self, offset: int, count: int) -> io.BufferedReader:
        """So many bytes from there on, as a file of its own."""
        return io.BufferedReader(_Part(Unpacked(self._label, self._codec, self._source), offset, offset + count))

    def _open(self) -> pa.NativeFile:
        return pa.CompressedInputStream(self._source(), self._codec)

    def _read(self, stream: pa.NativeFile, count: int) -> bytes:
        try:
            return bytes(stream.read(count))
        except OSError as e:
            with self._source() as packed:  # where it cannot be read at all, that is said
                while packed.read(_CHUNK):
                    pass
            reason = faults.first_line(e)
            raise UserError(f"{self._label}: is no whole {self._codec} file ({reason}): write or fetch it again") from e


class _Part(io.RawIOBase):
    """A stretch of an unpacked file."""

    def __init__(self, file: Unpacked, start: int, end: int) -> None:
        self._file, self._at, self._end = file, start, end

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self._file.read_at(min(len(buffer), self._end - self._at), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
