"""Files, globs, folders and URIs become partitions: one file each, known by the digest of all its bytes.

``find`` lists and hashes them, ``read`` turns one into checked Arrow numbers: from the very bytes that were hashed.
Every file is read by itself, since a data set that takes its schema from the first file fills and drops columns of
the others in silence. What a file says is in ``tables``; which rows train and which test is in ``split``.
"""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import xxhash

from linreg.errors import UserError
from linreg.files import csv_faults as csv_check
from linreg.files import paths as listing
from linreg.files import tables
from linreg.threads import in_threads

_CHUNK = 1 << 22
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
        return listing.label(self.path)


def find(
    path: str,
    *,
    asked: str = "data.path",
    known: Mapping[str, Partition] | None = None,
    window: int = 0,
    window_by: str = "",
) -> list[Partition]:
    """List and hash the files of a data set, sorted by name.

    Args:
        path: a file, a glob (``**`` too), a folder (searched to the bottom for .csv, .parquet and .pq; hidden files
            and folders are left out), or a URI that pyarrow's file systems read (globs there: ``*`` and ``**``).
        asked: what the caller calls the path, for the advice to check it.
        known: partitions with a stamp, by what opens them: those that are still the same are not opened.
        window, window_by: which files count, as ``DataConfig`` has them; the others are not opened.

    Raises:
        UserError: nothing is there, nothing matches, it may not be read, or it is no data file.
        ServerAway: a remote file system does not answer.
    """
    found: dict[str, Partition | None] = {}
    files = listing.windowed(listing.files(path, asked=asked), window, window_by)
    for name, opens, stamp in files:
        same = known.get(opens) if known else None
        found[opens] = None
        if same and stamp and same.stamp == stamp:
            found[opens] = same if same.name == name else replace(same, name=name)
    rest = [file for file in files if found[file.path] is None]
    found |= {p.path: p for p in in_threads(lambda file: _hashed(file.name, file.path), rest)}
    return [p for file in files if (p := found[file.path])]


def digest(partitions: Iterable[Partition]) -> str:
    """XXH3-128 of the names and digests of all partitions, in hex; their order does not matter."""
    lines = sorted(f"{p.digest} {p.name}\0" for p in partitions)
    return str(xxhash.xxh3_128_hexdigest("".join(lines).encode("utf-8", "surrogateescape")))


def read(
    partition: Partition, columns: Sequence[str], *, optional: Sequence[str] = (), text_ok: Sequence[str] = ()
) -> pa.Table:
    """Read columns of one partition as checked numbers; nulls and NaN are still there.

    Args:
        columns: what the file must hold; integers, floats, booleans, decimals (which become float64).
        optional: what is read where the file holds it as numbers.
        text_ok: those of ``columns`` that may be of any type: a CSV gives them as text, Parquet as they are.

    Returns:
        a table of ``columns``, then the optional ones that are there, in file order of the rows.

    Raises:
        UserError: the file changed since ``find``, or is not what it should be: says where, and what to do.
    """
    what: dict[str, Any] = {"optional": optional, "text_ok": text_ok}
    if tables.kind(partition.name) == "csv" or not unchanged(partition):
        return tables.parse(partition.label, _bytes(partition), columns, **what)
    with listing.advice(partition.path), pa.OSFile(partition.path) as file:
        table = tables.parse(partition.label, file, columns, **what)
    if not unchanged(partition):
        raise _changed(partition)
    return table


def locate(partition: Partition, row: int, column: str) -> tuple[str, str]:
    """Where a row (counted from 0) stands, for a message: ``("line 5", "its text")``, or ``("row 4", "")``."""
    if tables.kind(partition.name) != "csv":
        return f"row {row + 1}", ""
    line, text = csv_check.cell(_bytes(partition), row, column)
    return f"line {line}", text


def _hashed(name: str, path: str) -> Partition:
    size, hasher, stamp = 0, xxhash.xxh3_128(), _stamp(path)
    with listing.advice(path):
        system, inner = listing.open_system(path)
        with system.open_input_file(inner) as f:
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
        return listing.stamp(os.stat(path))
    except OSError:
        return ()  # opening it says what is wrong


def unchanged(partition: Partition) -> bool:
    """Whether the file certainly is what was hashed."""
    return bool(partition.stamp) and _stamp(partition.path) == partition.stamp


def _changed(partition: Partition) -> UserError:
    return UserError(f"{partition.label}: changed while it was read: run again")


def _bytes(partition: Partition) -> bytes:
    """The whole file, refused where it is not what was hashed."""
    known = unchanged(partition)
    with listing.advice(partition.path):
        system, inner = listing.open_system(partition.path)
        with system.open_input_file(inner) as f:
            data: bytes = f.read()
    if not (known and unchanged(partition)) and xxhash.xxh3_128_hexdigest(data) != partition.digest:
        raise _changed(partition)
    return data
