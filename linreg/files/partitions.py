"""Files, globs, folders and URIs become partitions: one file each, known by the digest of all its bytes.

``find`` lists and hashes them; ``stream.read`` reads one, by a ``HashedFile``: the very bytes that were hashed. A
``DataFile`` is not hashed: it is for scoring. Every file is read by itself, since a data set that takes its schema from
the first file fills and drops columns of the others in silence.
"""

import os
import time
import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pyarrow as pa
import xxhash

from linreg.files import faults, paths, unpacked
from linreg.threads import in_threads

_CHUNK = 1 << 22
_PROBE = 65_536
_SETTLED = 2_000_000_000  # ns: a file that was written later than this before it was hashed may change unseen


@dataclass(frozen=True)
class Partition:
    """One file of a data set.

    Args:
        name: path below the data's root, with ``/``; a single file's own name.
        path: what opens it: a local path or a URI.
        size: bytes.
        digest: XXH3-128 of all bytes, in hex.
        stamp: what a local file's inode said when it was hashed; it tells any change since. Empty where it might not.
    """

    name: str
    path: str
    size: int
    digest: str
    stamp: tuple[int, ...] = field(default=(), compare=False)

    @property
    def label(self) -> str:
        """The path as messages show it: without credentials."""
        return paths.label(self.path)


def find(
    path: str,
    *,
    setting: str = "data.path",
    known: Mapping[str, Partition] | None = None,
    window: int = 0,
    window_by: str = "",
    raw_files: bool = False,
    tell: paths.Tell = warnings.warn,
) -> list[Partition]:
    """List and hash the files of a data set, sorted by name.

    Args:
        path: a file, a glob (``**`` too), a folder (searched to the bottom for .csv, packed or not, .parquet and .pq;
            names that begin with ``_`` or ``.`` are left out), or a URI that pyarrow's file systems read (globs there:
            ``*`` and ``**``).
        setting: what the caller calls the path, for the advice to check it.
        known: partitions with a stamp, by what opens them: those that are still the same are not opened.
        window, window_by: which files count, as ``DataConfig`` has them; the others are not opened.
        raw_files: whether files of a table format are read as they lie.
        tell: is given a line for what lies there too and is not read.

    Raises:
        UserError: nothing is there, nothing matches, it may not be read, or it is no data file.
        ServerAway: a remote file system does not answer.
    """
    known, same = known or {}, {}
    files = paths.files(path, setting=setting, raw_files=raw_files, tell=tell)
    files = paths.windowed(files, window, window_by)
    for name, opens, stamp in files:
        partition = known.get(opens)
        if partition and stamp and partition.stamp == stamp:
            same[opens] = partition if partition.name == name else replace(partition, name=name)
    fresh = in_threads(lambda file: _hashed(file.name, file.path), [f for f in files if f.path not in same])
    by_path = same | {p.path: p for p in fresh}
    return [by_path[file.path] for file in files]


def digest(partitions: Iterable[Partition]) -> str:
    """XXH3-128 of the names and digests of all partitions, in hex; their order does not matter."""
    lines = sorted(f"{p.digest} {p.name}\0" for p in partitions)
    return str(xxhash.xxh3_128_hexdigest("".join(lines).encode("utf-8", "surrogateescape")))


def _hashed(name: str, path: str) -> Partition:
    size, hasher, stamp = 0, xxhash.xxh3_128(), _stamp(path)
    with paths.advice(path), paths.open_file(path) as f:
        while chunk := f.read(_CHUNK):
            hasher.update(chunk)
            size += len(chunk)
    lasting = stamp if stamp == _stamp(path) and time.time_ns() - max(stamp[:2], default=0) > _SETTLED else ()
    return Partition(name, path, size, hasher.hexdigest(), lasting)


def _stamp(path: str) -> tuple[int, ...]:
    """Times of the last changes, size, inode and device of a local file; empty for others."""
    if "://" in path:
        return ()
    try:
        return paths.stamp(os.stat(path))
    except OSError:
        return ()  # opening it says what is wrong


def unchanged(partition: Partition) -> bool:
    """Whether the file certainly is what was hashed."""
    return bool(partition.stamp) and _stamp(partition.path) == partition.stamp


class HashedFile:
    """A partition's file, to be read: what it gives is what was hashed, or ``check`` raises."""

    remote = False  # what lies on a server is fetched as a whole: it cannot be hashed once more at the end

    def __init__(self, partition: Partition) -> None:
        self.path, self.label, self.size = partition.path, partition.label, partition.size
        self._partition = partition
        self._fetched = _fetched(partition) if paths.is_remote(partition.path) else None

    def open(self) -> AbstractContextManager[pa.NativeFile | unpacked.Unpacked]:
        """The file, at its beginning; closed at the end."""
        return unpacked.opened(self.path, self._fetched)

    def check(self) -> None:
        """Refuse a file that has changed since it was hashed."""
        p = self._partition
        if self._fetched is None and not unchanged(p) and _hashed(p.name, p.path).digest != p.digest:
            raise faults.changed(self.label)


@dataclass(frozen=True)
class DataFile:
    """A file and how it was when it was found: opened as often as needed, and refused where it is another by then.

    Nothing is hashed: size and time of the last change have to stand still from the first look to the last.

    Args:
        path: what opens it: a local path or a URI.
        size: bytes.
        changed: when, in nanoseconds; None where the storage does not tell.
    """

    path: str
    size: int
    changed: int | None

    @classmethod
    def of(cls, path: str) -> "DataFile":
        """Look at the file; raises ``UserError`` or ``ServerAway`` where it cannot be reached."""
        with paths.advice(path):
            system, inner = paths.open_system(path)
            info = system.get_file_info(inner)
            if not info.is_file:
                raise FileNotFoundError(2, "no such file", path)
        return cls(path, info.size, info.mtime_ns)

    @property
    def label(self) -> str:
        """The path as messages show it: without credentials."""
        return paths.label(self.path)

    @property
    def remote(self) -> bool:
        """Whether each read asks a server."""
        return paths.is_remote(self.path)

    def open(self) -> AbstractContextManager[pa.NativeFile | unpacked.Unpacked]:
        """The file, at its beginning; closed at the end."""
        return unpacked.opened(self.path)

    def check(self) -> None:
        """Refuse a file that is not what was found, or cannot be read: before what it held is blamed, or trusted."""
        if DataFile.of(self.path) != self:
            raise faults.changed(self.label)
        with paths.advice(self.path), paths.open_file(self.path) as file:
            file.read_at(_PROBE, 0)
            file.read_at(_PROBE, max(0, self.size - _PROBE))


SourceFile: TypeAlias = DataFile | HashedFile  # what a stream reads


def _fetched(partition: Partition) -> bytes:
    with paths.advice(partition.path), paths.open_file(partition.path) as file:
        data: bytes = file.read()
    if xxhash.xxh3_128_hexdigest(data) != partition.digest:
        raise faults.changed(partition.label)
    return data
